//! Where a field of a resource comes from: the line that makes it, the inputs which that line reads, and for each input the
//! values that it was given.

use std::fmt;

use terrace_artifact::{Address, Segment, Text, Value};

use crate::body::Trace;
use crate::connect::Graph;
use crate::connect::body::patched;
use crate::document::Tier;
use crate::expand;
use crate::module::Module;
use crate::node::Node;
use crate::resolve::{Use, UseKind};
use crate::source::Span;

/// Where a field comes from.
#[derive(Debug)]
pub struct Provenance {
    /// The key of the field in a document, or what stands there in its place.
    pub place: Span,
    /// What is written there, where the field is one value and not a list or a map of several.
    pub written: Option<Span>,
    /// Whether that is a patch of the component, and not the body that it or its module has.
    pub patched: bool,
    /// The inputs that it reads.
    pub inputs: Vec<ReadInput>,
}

/// An input that a line reads.
#[derive(Debug)]
pub struct ReadInput {
    /// Its name, and what is read of it: `scaling.maximum`.
    pub path: Vec<Text>,
    /// The values that it was given, the one that counts first.
    pub settings: Vec<Setting>,
}

/// A value that an input was given.
#[derive(Debug)]
pub struct Setting {
    /// Who gave it.
    pub by: Giver,
    /// The key in a document. On the command line it has none that helps.
    pub place: Span,
    /// What was written.
    pub value: Value,
}

/// Who gives values to inputs, in the order of precedence: later ones win.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Giver {
    /// The module itself, as a default.
    Module,
    /// The platform, for a tier of tenants.
    Tier(Tier),
    /// The component.
    Component(Text),
    /// A tenant.
    Tenant(Text),
    /// An environment, for all tenants.
    Environment(Text),
    /// An environment, for one tenant: the second name.
    EnvironmentForTenant(Text, Text),
    /// `--set`.
    CommandLine,
}

impl fmt::Display for Giver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Giver::Module => f.write_str("the module's default"),
            Giver::Tier(tier) => write!(f, "tier `{}`", tier.as_str()),
            Giver::Component(name) => write!(f, "component `{name}`"),
            Giver::Tenant(name) => write!(f, "tenant `{name}`"),
            Giver::Environment(name) => write!(f, "environment `{name}`"),
            Giver::EnvironmentForTenant(name, tenant) => write!(f, "environment `{name}` for `{tenant}`"),
            Giver::CommandLine => f.write_str("`--set`"),
        }
    }
}

impl Graph<'_> {
    /// Where a field of a resource comes from; nothing where no line of a document makes it, but the compiler itself.
    pub(crate) fn provenance(&self, address: &Address, field: &[Segment]) -> Option<Provenance> {
        let resource = self
            .resources
            .iter()
            .find(|resource| resource.address == *address)?;
        let one = &self.uses[resource.instance];
        if let Some(node) = patched(one, resource, field) {
            return Some(Provenance {
                place: node.key,
                written: Some(node.span),
                patched: true,
                inputs: Vec::new(),
            });
        }
        let UseKind::Component { module, .. } = &one.kind else {
            return None;
        };
        let trace = expand::trace(one, address, self.files)?;
        let (place, written, paths) = made(&trace, field)?;
        let inputs = paths.into_iter().map(|path| ReadInput {
            settings: settings(one, *module, &path),
            path,
        });
        Some(Provenance {
            place,
            written,
            patched: false,
            inputs: inputs.filter(|input| !input.settings.is_empty()).collect(),
        })
    }
}

/// The place that makes a field, what is written there, and the inputs that it reads.
fn made(trace: &Trace, field: &[Segment]) -> Option<(Span, Option<Span>, Vec<Vec<Text>>)> {
    let leaves = trace.leaves.iter();
    let within = |leaf: &&crate::body::Leaf| leaf.path.starts_with(field) || field.starts_with(&leaf.path);
    let leaves: Vec<_> = leaves.filter(within).collect();
    let first = leaves.first()?;
    let mut inputs: Vec<Vec<Text>> = Vec::new();
    for path in leaves.iter().flat_map(|leaf| &leaf.inputs) {
        if !inputs.contains(path) {
            inputs.push(path.clone());
        }
    }
    // A value that an input gives as a whole has no keys of its own in the body: the line that passes it on makes it.
    let known = (1..=field.len()).rev().map(|length| &field[..length]);
    let place = known.into_iter().find_map(|path| trace.key(path));
    let written = (leaves.len() == 1).then_some(first.span);
    Some((place.unwrap_or(first.span), written, inputs))
}

/// Every value that an input was given, the one that counts first.
fn settings(one: &Use<'_>, module: Option<&Module>, path: &[Text]) -> Vec<Setting> {
    let setting = |by: &Giver, node: &Node| Setting {
        by: by.clone(),
        place: node.key,
        value: node.to_value(),
    };
    let layers = one.layers.iter().rev().filter_map(|layer| {
        let node = path.iter().try_fold(layer.node, |node, key| node.get(key))?;
        Some(setting(&layer.by, node))
    });
    let default = module.and_then(|module| default(module, path));
    layers
        .chain(default.map(|node| setting(&Giver::Module, node)))
        .collect()
}

/// The default that a module gives an input, or the part of it that is read.
fn default<'m>(module: &'m Module, path: &[Text]) -> Option<&'m Node> {
    let (name, below) = path.split_first()?;
    let input = module
        .document
        .inputs
        .iter()
        .find(|input| input.name.value == *name)?;
    let mut schema = &input.schema;
    let mut found = schema.default.as_ref();
    for key in below {
        let within = found.and_then(|node| node.get(key));
        let property = schema.properties.iter().find(|(name, _)| name.value == *key);
        let (_, property) = property?;
        schema = property;
        found = within.or(schema.default.as_ref());
    }
    found
}
