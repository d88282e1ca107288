use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use foldhash::HashMap;
use terrace_artifact::{Segment, Tree, Value, View};

use crate::check::{At, Checker, Dialect};
use crate::compare::find;
use crate::data::{Classification, data_of_kind};
use crate::grammar;
use crate::immutable::{self, Immutable};
use crate::nearest;
use crate::node::{Literal, Node, NodeId, Reader, Strings, Writer, flags};
use crate::problem::{Problem, ProblemKind};
use crate::store::{Section, Store};

static DATA: &[u8] = include_bytes!("../data/kubernetes.bin");

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let store = Store::open(DATA);
    let kinds = store.names().map(|_| OnceLock::new()).collect();
    let places = (0..store.names().count()).map(|index| (store.section_of(index), OnceLock::new()));
    let sections = places.collect();
    let names = store.names().enumerate();
    let places = names.filter_map(|(place, name)| Some((name.split_once(' ')?, place)));
    let places = places.collect();
    Catalog {
        store,
        kinds,
        places,
        sections,
    }
});

struct Catalog {
    store: Store,
    kinds: Vec<OnceLock<Kind>>,
    /// The index of each kind by API version and name, because every object is looked up several times.
    places: HashMap<(&'static str, &'static str), usize>,
    /// The sections by their position. Many kinds share a section.
    sections: BTreeMap<(u32, u32), OnceLock<Shared>>,
}

#[derive(Debug)]
struct Shared {
    section: Section,
    facts: Vec<KindFacts<&'static str>>,
    /// For each node, whether it is a quantity or contains one at any depth.
    quantities: OnceLock<Vec<bool>>,
}

/// The facts about a kind that are not part of its schema.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct KindFacts<S> {
    /// The API version and the kind: `apps/v1 Deployment`.
    pub name: S,
    /// The plural name, which URLs contain.
    pub plural: S,
    /// Whether the kind is namespaced.
    pub namespaced: bool,
    /// Whether the kind is a custom resource.
    pub custom: bool,
    /// The node of the whole object.
    pub root: NodeId,
    /// The supported verbs: `create`, `list`, `patch`.
    pub verbs: Vec<S>,
}

impl<S: AsRef<str>> KindFacts<S> {
    /// Writes the facts after the nodes of a section.
    pub fn write(&self, writer: &mut Writer) {
        writer.string(self.name.as_ref());
        writer.string(self.plural.as_ref());
        writer.number(u64::from(self.namespaced) | u64::from(self.custom) << 1);
        writer.number(u64::from(self.root));
        writer.list(&self.verbs, |w, verb| w.string(verb.as_ref()));
    }
}

impl KindFacts<&'static str> {
    fn read(reader: &mut Reader, strings: &Strings) -> KindFacts<&'static str> {
        let (name, plural) = (reader.string(strings), reader.string(strings));
        let (marks, root) = (reader.number(), reader.number() as NodeId);
        let verbs = reader.strings(strings);
        KindFacts {
            name,
            plural,
            namespaced: marks & 1 != 0,
            custom: marks & 2 != 0,
            root,
            verbs,
        }
    }
}

/// Returns the kind of an API version and a name: `apps/v1`, `Deployment`.
pub fn kubernetes(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let index = *CATALOG.places.get(&(api_version, kind))?;
    Some(CATALOG.kinds[index].get_or_init(|| Kind::read(index)))
}

/// Returns the API version and kind that an unknown pair most likely means: the same kind in another version, or else a
/// kind with a similar name.
pub fn nearest_kind(api_version: &str, kind: &str) -> Option<(&'static str, &'static str)> {
    let same = kinds().filter(|(_, name)| *name == kind);
    let version = nearest(api_version, same.clone().map(|(version, _)| version));
    if let Some(version) = version {
        return same.clone().find(|(other, _)| *other == version);
    }
    if let Some(first) = same.clone().next() {
        return Some(first);
    }
    let beside = kinds()
        .filter(|(version, _)| *version == api_version)
        .map(|(_, name)| name);
    let name = nearest(kind, beside).or_else(|| nearest(kind, kinds().map(|(_, name)| name)))?;
    kinds()
        .find(|(version, other)| *other == name && *version == api_version)
        .or_else(|| kinds().find(|(_, other)| *other == name))
}

/// Iterates over all pairs of API version and kind, sorted.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    CATALOG.store.names().filter_map(|name| name.split_once(' '))
}

/// Returns whether the API server itself serves this API group: `apps`; empty for the core group. The names do not show it,
/// because some groups of custom resources also end in `k8s.io` (Gateway API).
pub fn is_built_in_group(group: &str) -> bool {
    let of_group = |version: &str| version.rsplit_once('/').map_or("", |(group, _)| group) == group;
    let first = kinds().find(|(version, _)| of_group(version));
    first
        .and_then(|(version, name)| kubernetes(version, name))
        .is_some_and(|kind| !kind.is_custom())
}

/// A Kubernetes kind in one API version.
#[derive(Debug)]
pub struct Kind {
    shared: &'static Shared,
    facts: &'static KindFacts<&'static str>,
}

/// The properties of a field that matter for comparing and merging objects.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldType {
    /// Whether the field is a quantity of a built-in kind. The server compares these by value and stores the canonical form.
    pub is_quantity: bool,
    /// How a list merges with the items of other field managers.
    pub list: ListType,
    /// Whether the field is a map that is replaced as a whole.
    pub is_atomic_map: bool,
    /// The value that the server uses if the field is absent.
    pub default: Option<Value>,
}

/// How a list merges with the items of other field managers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListType {
    /// The field is not a list, or is a list that is replaced as a whole.
    Atomic,
    /// A list of distinct scalars.
    Set,
    /// A list of maps that these keys identify, each with its default if it has one.
    Map(Vec<(&'static str, Option<Value>)>),
}

impl Kind {
    fn read(index: usize) -> Kind {
        let shared: &'static Shared = CATALOG.sections[&CATALOG.store.section_of(index)].get_or_init(|| {
            let (section, facts) = CATALOG
                .store
                .read(index, |r, s| r.list(|r| KindFacts::read(r, s)));
            Shared {
                section,
                facts,
                quantities: OnceLock::new(),
            }
        });
        let name = CATALOG.store.name(index);
        let place = shared.facts.iter().position(|facts| facts.name == name);
        Kind {
            shared,
            facts: &shared.facts[place.unwrap_or_default()],
        }
    }

    /// Returns the API version: `apps/v1`.
    pub fn api_version(&self) -> &'static str {
        self.facts.name.split_once(' ').map_or("", |(version, _)| version)
    }

    /// Returns the kind's name: `Deployment`.
    pub fn name(&self) -> &'static str {
        self.facts.name.split_once(' ').map_or("", |(_, name)| name)
    }

    /// Returns the API group: `apps`; empty for the core group.
    pub fn group(&self) -> &'static str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Returns whether the kind is namespaced.
    pub fn namespaced(&self) -> bool {
        self.facts.namespaced
    }

    /// Returns the maximum length of an object's name, in characters.
    pub fn longest_name(&self) -> usize {
        grammar::longest_name(self)
    }

    /// Returns the plural name, which URLs contain: `deployments`.
    pub fn plural(&self) -> &'static str {
        self.facts.plural
    }

    /// Returns the supported verbs: `create`, `list`, `patch`.
    pub fn verbs(&self) -> &'static [&'static str] {
        &self.facts.verbs
    }

    /// Returns whether the kind is a custom resource, whose schema comes from a CRD.
    pub fn is_custom(&self) -> bool {
        self.facts.custom
    }

    /// Returns what deleting an object of this kind may lose. [`crate::data_of_object`] decides it for one object.
    pub fn data(&self) -> Option<Classification> {
        data_of_kind(self.api_version(), self.name())
    }

    /// Appends a problem for everything in a complete object of this kind that a server would reject.
    pub fn validate<T: Tree>(&self, object: &T, problems: &mut Vec<Problem>) {
        let mut checker = Checker::new(&self.shared.section.nodes, Dialect::Kubernetes, problems);
        checker.value(self.facts.root, object, &At::ROOT);
        let View::Map(entries) = object.view() else { return };
        let at = At::ROOT.key("metadata");
        let Some(View::Map(metadata)) = find(entries, "metadata").map(Tree::view) else {
            return;
        };
        match find(metadata, "name").map(Tree::view) {
            Some(View::String(name)) => {
                if let Some(expected) = grammar::refusal(self, name) {
                    checker.report(&at.key("name"), || ProblemKind::Form { expected });
                }
            }
            None if find(metadata, "generateName").is_none() && self.verbs().contains(&"get") => {
                checker.report(&at, || ProblemKind::Missing { key: "name".into() });
            }
            _ => {}
        }
        match find(metadata, "namespace").map(Tree::view) {
            Some(_) if !self.namespaced() => {
                checker.report(&at.key("namespace"), || ProblemKind::ClusterWide);
            }
            Some(View::String(namespace)) if !grammar::is_label(namespace) => {
                checker.report(&at.key("namespace"), || ProblemKind::Form {
                    expected: grammar::LABEL,
                });
            }
            _ => {}
        }
    }

    /// Calls `see` for every value of an object whose field is a quantity of a built-in kind.
    pub fn quantities<T: Tree>(&self, object: &T, see: &mut dyn FnMut(&At<'_>, &T)) {
        if self.is_custom() {
            return;
        }
        let nodes = &self.shared.section.nodes;
        let holders = self
            .shared
            .quantities
            .get_or_init(|| holding(nodes, |node| node.is(flags::QUANTITY)));
        let walk = Quantities { nodes, holders };
        walk.visit(self.facts.root, object, &At::ROOT, see);
    }

    /// Returns the type of the field at a path, or `None` if the kind has no such field.
    pub fn field(&self, path: &[Segment]) -> Option<FieldType> {
        let mut node = &self.shared.section.nodes[self.facts.root as usize];
        for segment in path {
            let next = match segment {
                Segment::Index(_) => node.items?,
                Segment::Key(key) => child(node, key)?,
            };
            node = &self.shared.section.nodes[next as usize];
        }
        Some(self.field_type(node))
    }

    fn field_type(&self, node: &Node<'static>) -> FieldType {
        let merge = node.merge.as_deref();
        let value = |literal: Option<Literal<'_>>| literal.map(|literal| literal.value());
        let nodes = &self.shared.section.nodes;
        let item = node.items.map(|id| &nodes[id as usize]);
        let key_default = |key: &str| {
            let field = item?.field(key)?;
            value(nodes[field.node as usize].merge.as_ref()?.default)
        };
        let list = match merge {
            Some(merge) if !merge.keys.is_empty() => {
                ListType::Map(merge.keys.iter().map(|key| (*key, key_default(key))).collect())
            }
            Some(merge) if merge.set => ListType::Set,
            _ => ListType::Atomic,
        };
        FieldType {
            is_quantity: node.is(flags::QUANTITY) && !self.facts.custom,
            list,
            is_atomic_map: merge.is_some_and(|merge| merge.atomic) && node.items.is_none(),
            default: value(merge.and_then(|merge| merge.default)),
        }
    }

    /// Returns whether the server rejects a change at this path of a live object.
    ///
    /// A Secret or ConfigMap with `immutable: true` has more immutable fields: see [`Kind::frozen_by_mark`].
    pub fn is_immutable(&self, path: &[Segment]) -> bool {
        let mut keys = path.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        match immutable::of(self.group(), self.name()) {
            Immutable::Only(fields) => fields.iter().any(|field| immutable::is_within(field, path)),
            Immutable::SpecBut(fields) => {
                keys.next() == Some("spec") && !fields.iter().any(|field| immutable::is_within(field, path))
            }
        }
    }

    /// Returns the top-level fields that are immutable in a Secret or ConfigMap with `immutable: true`.
    pub fn frozen_by_mark(&self) -> &'static [&'static str] {
        match (self.group(), self.name()) {
            ("", "Secret") => &["data", "stringData", "immutable"],
            ("", "ConfigMap") => &["data", "binaryData", "immutable"],
            _ => &[],
        }
    }

    /// Returns the nodes and the root, for tests that generate bodies from schemas.
    #[doc(hidden)]
    pub fn nodes(&self) -> (&'static [Node<'static>], NodeId) {
        (&self.shared.section.nodes, self.facts.root)
    }
}

/// A visitor of the quantities of an object.
struct Quantities<'n> {
    nodes: &'n [Node<'static>],
    holders: &'n [bool],
}

impl Quantities<'_> {
    fn visit<T: Tree>(&self, id: NodeId, value: &T, at: &At<'_>, see: &mut dyn FnMut(&At<'_>, &T)) {
        if !self.holders[id as usize] {
            return;
        }
        let node = &self.nodes[id as usize];
        match value.view() {
            View::Map(entries) => {
                for (key, value) in entries {
                    if let Some(id) = child(node, key) {
                        self.visit(id, value, &at.key(key), see);
                    }
                }
            }
            View::List(items) => {
                let Some(id) = node.items else { return };
                for (index, item) in items.iter().enumerate() {
                    self.visit(id, item, &at.index(index), see);
                }
            }
            _ if node.is(flags::QUANTITY) => see(at, value),
            _ => {}
        }
    }
}

/// Returns for each node whether `is` holds for it or for a node below it.
fn holding(nodes: &[Node<'static>], is: impl Fn(&Node<'static>) -> bool) -> Vec<bool> {
    let mut holding: Vec<bool> = nodes.iter().map(is).collect();
    // Nodes refer to each other in any order and in cycles, so repeat until nothing changes.
    loop {
        let mut any = false;
        for (at, node) in nodes.iter().enumerate() {
            let patterns = node.rules.as_ref().map_or(&[][..], |rules| &rules.patterns);
            let below = node.fields.iter().map(|field| field.node);
            let mut below = below
                .chain(node.items)
                .chain(node.values)
                .chain(patterns.iter().map(|(_, id)| *id));
            if !holding[at] && below.any(|id| holding[id as usize]) {
                holding[at] = true;
                any = true;
            }
        }
        if !any {
            return holding;
        }
    }
}

/// Returns the node of a key's value: a field, a pattern that matches the key, or the node for all other keys.
fn child(node: &Node<'static>, key: &str) -> Option<NodeId> {
    if let Some(field) = node.field(key) {
        return Some(field.node);
    }
    let patterns = node.rules.as_ref().map_or(&[][..], |rules| &rules.patterns);
    let matching = patterns.iter().find(|(pattern, _)| pattern.matches(key));
    matching.map(|(_, id)| *id).or(node.values)
}
