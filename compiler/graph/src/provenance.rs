//! The origin of a field of a resource: the line that sets it, the inputs that the line reads, and the values of each input.

use terrace_artifact::{Address, Segment, Text, Value};
use terrace_language::body::Trace;
use terrace_language::document::{Component, ComponentSource};
use terrace_language::module::Module;
use terrace_language::resource::Resource;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::expand;
use crate::lower::check_bodies::patched;
use crate::resolve::{ComponentInstance, UseKind};
pub use terrace_language::module::layers::InputSource;

/// The origin of a field.
#[derive(Debug)]
pub struct Provenance {
    /// The key of the field in a document, or the value if it has no key there.
    pub place: Span,
    /// The text of the value, if the field is a single value, not a list or a map.
    pub written: Option<Span>,
    /// Whether a patch of the component sets the field, not the body of the component or its module.
    pub patched: bool,
    /// The inputs that the line reads.
    pub inputs: Vec<ReadInput>,
}

/// An input that a line reads.
#[derive(Debug)]
pub struct ReadInput {
    /// The name of the input, and the keys below it: `scaling.maximum`.
    pub path: Vec<Text>,
    /// The values of the input, the effective one first.
    pub settings: Vec<Setting>,
}

/// A value of an input.
#[derive(Debug)]
pub struct Setting {
    /// The source of the value.
    pub by: InputSource,
    /// The key in a document. A value on the command line has no useful place.
    pub place: Span,
    /// The value.
    pub value: Value,
}

impl Graph<'_> {
    /// Returns the origin of a field of a resource, or `None` if the compiler generates the field.
    pub fn provenance(&self, address: &Address, field: &[Segment]) -> Option<Provenance> {
        let resource = self
            .resources
            .iter()
            .find(|resource| resource.address == *address)?;
        let component_instance = &self.uses[resource.instance];
        if let Some(node) = patched(component_instance, resource, field) {
            return Some(Provenance {
                place: node.key,
                written: Some(node.span),
                patched: true,
                inputs: Vec::new(),
            });
        }
        let UseKind::Component { module, .. } = &component_instance.kind else {
            return None;
        };
        let trace = expand::trace(component_instance, address, self.files)?;
        let (place, written, paths) = made(&trace, field)?;
        let inputs = paths.into_iter().map(|path| ReadInput {
            settings: settings(component_instance, *module, &path),
            path,
        });
        Some(Provenance {
            place,
            written,
            patched: false,
            inputs: inputs.filter(|input| !input.settings.is_empty()).collect(),
        })
    }

    /// Returns the paths of the lists and maps of a resource that are omitted because all their entries are.
    pub fn emptied(&self, resource: &Resource) -> Vec<Vec<Segment>> {
        let component_instance = &self.uses[resource.instance];
        // Finding the paths expands the component again.
        let trace = resource
            .emptied
            .then(|| expand::trace(component_instance, &resource.address, self.files))
            .flatten();
        trace.map(|trace| trace.emptied).unwrap_or_default()
    }

    /// Returns whether the body of a resource in its module or component has a key in a tree with expressions.
    pub fn has_key(&self, resource: &Resource, key: &str) -> bool {
        expand::has_key(&self.uses[resource.instance], &resource.address, key)
    }
}

/// Returns the place that sets a field, its text, and the inputs that it reads.
fn made(trace: &Trace, field: &[Segment]) -> Option<(Span, Option<Span>, Vec<Vec<Text>>)> {
    let leaves = trace.leaves.iter();
    let within =
        |leaf: &&terrace_language::body::Leaf| leaf.path.starts_with(field) || field.starts_with(&leaf.path);
    let leaves: Vec<_> = leaves.filter(within).collect();
    let first = leaves.first()?;
    let mut inputs: Vec<Vec<Text>> = Vec::new();
    for path in leaves.iter().flat_map(|leaf| &leaf.inputs) {
        if !inputs.contains(path) {
            inputs.push(path.clone());
        }
    }
    // The keys of a value that an input passes as a whole are not in the body. The line that passes it on is the place.
    let known = (1..=field.len()).rev().map(|length| &field[..length]);
    let place = known.into_iter().find_map(|path| trace.key(path));
    let written = (leaves.len() == 1).then_some(first.span);
    Some((place.unwrap_or(first.span), written, inputs))
}

/// Returns every value of an input, the effective one first.
fn settings(
    component_instance: &ComponentInstance<'_>,
    module: Option<&Module>,
    path: &[Text],
) -> Vec<Setting> {
    let setting = |by: &InputSource, node: &Node| Setting {
        by: by.clone(),
        place: node.key,
        value: node.to_value(),
    };
    let layers = component_instance.layers.iter().rev().filter_map(|layer| {
        let node = path.iter().try_fold(layer.node, |node, key| node.get(key))?;
        Some(setting(&layer.by, node))
    });
    let default = module.and_then(|module| default(module, path));
    layers
        .chain(default.map(|node| setting(&InputSource::Module, node)))
        .collect()
}

/// Returns the default of an input in the module, or the part of it that is read.
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

/// Adds the component that uses the module to a diagnostic.
pub(crate) fn with_module_trace(
    diagnostic: Diagnostic,
    component: &Component,
    module: Option<&Module>,
) -> Diagnostic {
    match (module, &component.recipe) {
        (Some(module), ComponentSource::Module { module: used, .. }) => diagnostic.through(
            used.span,
            format!("in module `{}`, used here", module.document.name.value),
        ),
        _ => diagnostic,
    }
}
