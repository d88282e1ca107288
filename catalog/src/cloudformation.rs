use std::sync::{LazyLock, OnceLock};

use foldhash::HashMap;
use terrace_artifact::{Segment, Text, Tree, View};

use crate::check::{At, Checker, Dialect};
use crate::data::{Classification, data_of_type, supports_snapshot};
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
    /// The index of each type by its name, because every resource is looked up several times.
    places: HashMap<&'static str, usize>,
}

/// Returns the resource type of a name such as `AWS::S3::Bucket`. Every `Custom::…` name is a custom resource.
pub fn cloudformation(resource_type: &str) -> Option<&'static ResourceType> {
    let name = if resource_type.starts_with("Custom::") {
        CUSTOM
    } else {
        resource_type
    };
    let index = *CATALOG.places.get(name)?;
    Some(CATALOG.types[index].get_or_init(|| ResourceType::read(index)))
}

/// Returns the resource type that a misspelled name most likely means.
pub fn nearest_type(resource_type: &str) -> Option<&'static str> {
    nearest(resource_type, types())
}

/// Iterates over the names of all resource types, sorted.
pub fn types() -> impl Iterator<Item = &'static str> {
    CATALOG.store.names()
}

pub(crate) const CUSTOM: &str = "AWS::CloudFormation::CustomResource";

/// A CloudFormation resource type.
#[derive(Debug)]
pub struct ResourceType {
    name: &'static str,
    section: Section,
    facts: Facts<&'static str>,
}

/// The facts about a type's properties that are not part of their schema. A path consists of names, with `*` for the items
/// of a list, separated by `/`: `TableInput/Name`.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Facts<S> {
    /// The node of the properties.
    pub root: u32,
    /// The properties whose change replaces the resource.
    pub create_only: Vec<S>,
    /// The properties whose change may replace the resource.
    pub conditional: Vec<S>,
    /// The properties that a template cannot set.
    pub read_only: Vec<S>,
    /// The properties that cannot be read back.
    pub write_only: Vec<S>,
    /// The properties that form the value of `Ref`.
    pub identifier: Vec<S>,
    /// The attributes that `Fn::GetAtt` accepts, with dots. A name that ends in `.*` is a prefix.
    pub attributes: Vec<S>,
}

impl<S: AsRef<str>> Facts<S> {
    /// Writes the facts after the nodes of a section.
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
    /// The resource is updated in place.
    Never,
    /// The values decide.
    Conditional,
    /// CloudFormation creates a new resource and then deletes the old one.
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

    /// Returns the name: `AWS::S3::Bucket`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> &Node<'static> {
        &self.section.nodes[self.facts.root as usize]
    }

    /// Iterates over the names of the properties in the schema's order, including read-only properties.
    pub fn properties(&self) -> impl Iterator<Item = &'static str> {
        self.root().in_order().into_iter().map(|field| field.name)
    }

    /// Iterates over the names of the required properties.
    pub fn required(&self) -> impl Iterator<Item = &'static str> {
        self.root()
            .in_order()
            .into_iter()
            .filter(|field| field.required)
            .map(|field| field.name)
    }

    /// Returns the paths whose change replaces the resource: names separated by `/`, with `*` for the items of a list.
    pub fn create_only(&self) -> &[&'static str] {
        &self.facts.create_only
    }

    /// Returns the paths whose change may replace the resource.
    pub fn conditional_create_only(&self) -> &[&'static str] {
        &self.facts.conditional
    }

    /// Returns the paths that only CloudFormation sets.
    pub fn read_only(&self) -> &[&'static str] {
        &self.facts.read_only
    }

    /// Returns the paths that cannot be read back, such as passwords.
    pub fn write_only(&self) -> &[&'static str] {
        &self.facts.write_only
    }

    /// Returns the paths that form the value of `Ref`.
    pub fn primary_identifier(&self) -> &[&'static str] {
        &self.facts.identifier
    }

    /// Returns whether a change at this path, or below it, replaces the resource. The path can contain list indices.
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

    /// Returns the attributes that `Fn::GetAtt` accepts: `Arn`, `Endpoint.Address`. A name that ends in `.*` matches every name
    /// with that prefix.
    pub fn attributes(&self) -> &[&'static str] {
        &self.facts.attributes
    }

    /// Returns whether `Fn::GetAtt` accepts this attribute.
    pub fn attribute(&self, name: &str) -> bool {
        self.facts
            .attributes
            .iter()
            .any(|known| match known.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix) && name.len() > prefix.len(),
                None => *known == name,
            })
    }

    /// Appends a problem for everything in the properties of such a resource that CloudFormation would reject.
    pub fn validate<T: Tree>(&'static self, properties: &T, problems: &mut Vec<Problem>) {
        let mut checker = Checker::new(&self.section.nodes, Dialect::CloudFormation, problems);
        checker.value(self.facts.root, properties, &At::ROOT);
    }

    /// Returns what deleting a resource of this type loses.
    pub fn data(&self) -> Classification {
        data_of_type(self.name)
    }

    /// Iterates over the regular expressions of the schema.
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

    /// Returns the nodes and the root, for tests that generate bodies from schemas.
    #[doc(hidden)]
    pub fn nodes(&self) -> (&[Node<'static>], u32) {
        (&self.section.nodes, self.facts.root)
    }
}

/// Returns whether one path is equal to the other or a prefix of it.
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

/// Appends a problem for everything outside the properties of a resource that CloudFormation would reject: `DeletionPolicy`,
/// `DependsOn` and so on.
///
/// `resource` is the complete entry under `Resources`. The content of `Properties` is not validated.
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
    // CloudFormation rejects a template that requests a snapshot for a type without snapshots.
    let of_type = compare::find(entries, "Type").map(Tree::view);
    let no_snapshot = usize::from(matches!(of_type, Some(View::String(name)) if !supports_snapshot(name)));
    for (key, value) in entries {
        let at = at.key(key);
        let view = value.view();
        match key.as_str() {
            "Type" | "Condition" | "Version" if !matches!(view, View::String(_)) => {
                checker.report(&at, || wrong("a string", value));
            }
            "DependsOn" => match view {
                View::String(_) => {}
                View::List(names) => {
                    for (index, name) in names.iter().enumerate() {
                        if !matches!(name.view(), View::String(_)) {
                            checker.report(&at.index(index), || wrong("a string", name));
                        }
                    }
                }
                _ => checker.report(&at, || wrong("a string or a list", value)),
            },
            "DeletionPolicy" => {
                let allowed = &["Delete", "Retain", "RetainExceptOnCreate", "Snapshot"][..4 - no_snapshot];
                policy(&mut checker, value, allowed, &at);
            }
            "UpdateReplacePolicy" => {
                let allowed = &["Delete", "Retain", "Snapshot"][..3 - no_snapshot];
                policy(&mut checker, value, allowed, &at);
            }
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
        // The language-extensions transform allows a function as a policy.
        View::Map([(key, _)]) if key == "Ref" || key.starts_with("Fn::") => {}
        View::Unknown => {}
        View::String(text) => checker.report(at, || ProblemKind::NotInEnum {
            allowed: allowed.iter().map(|name| (*name).into()).collect(),
            nearest: nearest(text, allowed.iter().copied()).map(Text::from),
        }),
        _ => checker.report(at, || wrong("a string", value)),
    }
}

fn wrong<T: Tree>(expected: &str, value: &T) -> ProblemKind {
    ProblemKind::WrongType {
        expected: expected.into(),
        found: value.view().kind(),
    }
}
