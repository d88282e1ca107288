use std::sync::{LazyLock, OnceLock};

use foldhash::HashMap;
use terrace_artifact::{Segment, Text, Tree, View};

use crate::check::{At, Checker, Dialect};
use crate::data::{Classification, data_of_type};
use crate::node::{Node, Reader, Strings, Writer};
use crate::problem::{Problem, ProblemKind};
use crate::store::{Section, Store};
use crate::{compare, nearest};

static DATA: &[u8] = include_bytes!("../data/cloudformation.bin");

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let store = Store::open(DATA);
    let types = store.names().map(|_| OnceLock::new()).collect();
    let places = store.names().enumerate().map(|(place, name)| (name, place));
    let places = places.collect();
    Catalog { store, types, places }
});

struct Catalog {
    store: Store,
    types: Vec<OnceLock<ResourceType>>,
    /// The place of each name: every resource is looked up several times.
    places: HashMap<&'static str, usize>,
}

/// The resource type of a name: `AWS::S3::Bucket`. `Custom::…` is a custom resource.
pub fn cloudformation(resource_type: &str) -> Option<&'static ResourceType> {
    let name = if resource_type.starts_with("Custom::") {
        CUSTOM
    } else {
        resource_type
    };
    let index = *CATALOG.places.get(name)?;
    Some(CATALOG.types[index].get_or_init(|| ResourceType::read(index)))
}

/// The name of the resource type that was likely meant.
pub fn nearest_type(resource_type: &str) -> Option<&'static str> {
    nearest(resource_type, types())
}

/// The names of all resource types, sorted.
pub fn types() -> impl Iterator<Item = &'static str> {
    CATALOG.store.names()
}

pub(crate) const CUSTOM: &str = "AWS::CloudFormation::CustomResource";

/// What CloudFormation knows of a resource type.
#[derive(Debug)]
pub struct ResourceType {
    name: &'static str,
    section: Section,
    facts: Facts<&'static str>,
}

/// What is said of a type's properties beside their schema. Each is a path of names, `*` for the items of a list,
/// with `/` in between: `TableInput/Name`.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Facts<S> {
    /// The node of the properties.
    pub root: u32,
    /// A change of these replaces the resource.
    pub create_only: Vec<S>,
    /// A change of these may replace the resource.
    pub conditional: Vec<S>,
    /// These cannot be given.
    pub read_only: Vec<S>,
    /// These cannot be read back.
    pub write_only: Vec<S>,
    /// What `Ref` gives.
    pub identifier: Vec<S>,
    /// What `Fn::GetAtt` gives, with dots; one that ends in `.*` is a prefix.
    pub attributes: Vec<S>,
}

impl<S: AsRef<str>> Facts<S> {
    /// Writes this behind the nodes of a section.
    pub fn write(&self, writer: &mut Writer) {
        writer.number(u64::from(self.root));
        for list in [
            &self.create_only,
            &self.conditional,
            &self.read_only,
            &self.write_only,
            &self.identifier,
            &self.attributes,
        ] {
            writer.list(list, |w, path| w.string(path.as_ref()));
        }
    }
}

impl Facts<&'static str> {
    fn read(reader: &mut Reader, strings: &Strings) -> Facts<&'static str> {
        let root = reader.number() as u32;
        let mut list = || reader.strings(strings);
        Facts {
            root,
            create_only: list(),
            conditional: list(),
            read_only: list(),
            write_only: list(),
            identifier: list(),
            attributes: list(),
        }
    }
}

/// Whether a change of a property replaces the resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Replacement {
    /// It is updated where it is.
    Never,
    /// It depends on the values.
    Conditional,
    /// A new one is made, then the old one deleted.
    Always,
}

impl ResourceType {
    fn read(index: usize) -> ResourceType {
        let (section, facts) = CATALOG.store.read(index, Facts::read);
        ResourceType {
            name: CATALOG.store.name(index),
            section,
            facts,
        }
    }

    /// The name: `AWS::S3::Bucket`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> &Node<'static> {
        &self.section.nodes[self.facts.root as usize]
    }

    /// The names of the properties in the schema's own order, those only CloudFormation sets among them.
    pub fn properties(&self) -> impl Iterator<Item = &'static str> {
        self.root().in_order().into_iter().map(|field| field.name)
    }

    /// The properties that must be there.
    pub fn required(&self) -> impl Iterator<Item = &'static str> {
        self.root()
            .in_order()
            .into_iter()
            .filter(|field| field.required)
            .map(|field| field.name)
    }

    /// The paths whose change replaces the resource: names with `/` in between, `*` for the items of a list.
    pub fn create_only(&self) -> &[&'static str] {
        &self.facts.create_only
    }

    /// The paths whose change may replace the resource.
    pub fn conditional_create_only(&self) -> &[&'static str] {
        &self.facts.conditional
    }

    /// The paths that only CloudFormation sets.
    pub fn read_only(&self) -> &[&'static str] {
        &self.facts.read_only
    }

    /// The paths that cannot be read back: passwords and the like.
    pub fn write_only(&self) -> &[&'static str] {
        &self.facts.write_only
    }

    /// The paths of which `Ref` gives the value.
    pub fn primary_identifier(&self) -> &[&'static str] {
        &self.facts.identifier
    }

    /// Whether a change at this path, or anywhere below it, replaces the resource. A path may lead through lists.
    pub fn is_create_only(&self, path: &[Segment]) -> Replacement {
        let touches = |paths: &[&str]| paths.iter().any(|known| overlaps(known, path));
        if touches(&self.facts.create_only) {
            Replacement::Always
        } else if touches(&self.facts.conditional) {
            Replacement::Conditional
        } else {
            Replacement::Never
        }
    }

    /// What `Fn::GetAtt` gives: `Arn`, `Endpoint.Address`. A name that ends in `.*` stands for all that begin so.
    pub fn attributes(&self) -> &[&'static str] {
        &self.facts.attributes
    }

    /// Whether `Fn::GetAtt` gives this attribute.
    pub fn attribute(&self, name: &str) -> bool {
        self.facts
            .attributes
            .iter()
            .any(|known| match known.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix) && name.len() > prefix.len(),
                None => *known == name,
            })
    }

    /// Adds what CloudFormation would not accept in the properties of a resource of this type.
    pub fn validate<T: Tree>(&'static self, properties: &T, problems: &mut Vec<Problem>) {
        let mut checker = Checker::new(&self.section.nodes, Dialect::CloudFormation, problems);
        checker.value(self.facts.root, properties, &At::ROOT);
    }

    /// What a delete of a resource of this type takes away.
    pub fn data(&self) -> Classification {
        data_of_type(self.name)
    }

    /// The regular expressions of the type.
    #[doc(hidden)]
    pub fn patterns(&self) -> impl Iterator<Item = &'static str> {
        self.section.nodes.iter().flat_map(|node| {
            let own = node.limits.as_ref().and_then(|limits| limits.pattern.as_ref());
            let keys = node.rules.as_ref().map_or(&[][..], |rules| &rules.patterns);
            own.into_iter()
                .chain(keys.iter().map(|(pattern, _)| pattern))
                .map(|pattern| pattern.text())
        })
    }

    /// The nodes and the root, for tests that make bodies from schemas.
    #[doc(hidden)]
    pub fn nodes(&self) -> (&[Node<'static>], u32) {
        (&self.section.nodes, self.facts.root)
    }
}

/// Whether a known path and a path lie on one line: one is the other, or the beginning of it.
fn overlaps(known: &str, path: &[Segment]) -> bool {
    let mut steps = known.split('/').filter(|step| *step != "*");
    let mut keys = path.iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key.as_str()),
        Segment::Index(_) => None,
    });
    loop {
        match (steps.next(), keys.next()) {
            (Some(step), Some(key)) if step == key => {}
            (Some(_), Some(_)) => return false,
            _ => return true,
        }
    }
}

/// Adds what CloudFormation would not accept in a resource beside its properties: `DeletionPolicy`, `DependsOn` and so on.
///
/// `resource` is the whole entry under `Resources`; its `Properties` are not looked into.
pub fn validate_resource_attributes<T: Tree>(resource: &T, problems: &mut Vec<Problem>) {
    const KNOWN: [&str; 10] = [
        "Type",
        "Condition",
        "DependsOn",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "UpdatePolicy",
        "CreationPolicy",
        "Metadata",
        "Properties",
        "Version",
    ];
    let mut checker = Checker::new(&[], Dialect::CloudFormation, problems);
    let at = At::ROOT;
    let View::Map(entries) = resource.view() else {
        return checker.report(&at, || wrong("a map", resource));
    };
    for (key, value) in entries {
        let at = at.key(key);
        let view = value.view();
        match key.as_str() {
            "Type" | "Condition" | "Version" if !matches!(view, View::String(_)) => {
                checker.report(&at, || wrong("text", value));
            }
            "DependsOn" => match view {
                View::String(_) => {}
                View::List(names) => {
                    for (index, name) in names.iter().enumerate() {
                        if !matches!(name.view(), View::String(_)) {
                            checker.report(&at.index(index), || wrong("text", name));
                        }
                    }
                }
                _ => checker.report(&at, || wrong("text or a list", value)),
            },
            "DeletionPolicy" => policy(
                &mut checker,
                value,
                &["Delete", "Retain", "RetainExceptOnCreate", "Snapshot"],
                &at,
            ),
            "UpdateReplacePolicy" => policy(&mut checker, value, &["Delete", "Retain", "Snapshot"], &at),
            "UpdatePolicy" | "CreationPolicy" | "Metadata" | "Properties"
                if !matches!(view, View::Map(_)) =>
            {
                checker.report(&at, || wrong("a map", value));
            }
            known if KNOWN.contains(&known) => {}
            unknown => checker.report(&at, || ProblemKind::UnknownKey {
                nearest: nearest(unknown, KNOWN.into_iter()).map(Text::from),
                known: KNOWN.into_iter().map(Text::from).collect(),
            }),
        }
    }
    if compare::find(entries, "Type").is_none() {
        checker.report(&at, || ProblemKind::Missing { key: "Type".into() });
    }
}

fn policy<T: Tree>(checker: &mut Checker<'_>, value: &T, allowed: &[&'static str], at: &At<'_>) {
    match value.view() {
        View::String(text) if allowed.contains(&text) => {}
        // With the language-extensions transform a policy may be a function.
        View::Map([(key, _)]) if key == "Ref" || key.starts_with("Fn::") => {}
        View::Unknown => {}
        View::String(text) => checker.report(at, || ProblemKind::NotInEnum {
            allowed: allowed.iter().map(|name| (*name).into()).collect(),
            nearest: nearest(text, allowed.iter().copied()).map(Text::from),
        }),
        _ => checker.report(at, || wrong("text", value)),
    }
}

fn wrong<T: Tree>(expected: &str, value: &T) -> ProblemKind {
    ProblemKind::WrongType {
        expected: expected.into(),
        found: value.view().kind(),
    }
}
