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
    /// The place of each API version and kind: every object is looked up several times.
    places: HashMap<(&'static str, &'static str), usize>,
    /// Many kinds share one section.
    sections: BTreeMap<(u32, u32), OnceLock<Shared>>,
}

#[derive(Debug)]
struct Shared {
    section: Section,
    facts: Vec<KindFacts<&'static str>>,
    /// For each node, whether it is a quantity or has one somewhere below it.
    quantities: OnceLock<Vec<bool>>,
}

/// What is said of a kind beside its schema.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct KindFacts<S> {
    /// `apps/v1 Deployment`: API version and kind.
    pub name: S,
    /// The name in URLs.
    pub plural: S,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether this is a custom resource.
    pub custom: bool,
    /// The node of the whole object.
    pub root: NodeId,
    /// What can be done with it: `create`, `list`, `patch`.
    pub verbs: Vec<S>,
}

impl<S: AsRef<str>> KindFacts<S> {
    /// Writes this behind the nodes of a section.
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

/// The kind of an API version and a name: `apps/v1`, `Deployment`.
pub fn kubernetes(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let index = *CATALOG.places.get(&(api_version, kind))?;
    Some(CATALOG.kinds[index].get_or_init(|| Kind::read(index)))
}

/// The API version and kind that were likely meant: the same kind in another version first, then a name that is close.
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

/// All API versions with their kinds, sorted.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    CATALOG.store.names().filter_map(|name| name.split_once(' '))
}

/// What a Kubernetes server knows of a kind.
#[derive(Debug)]
pub struct Kind {
    shared: &'static Shared,
    facts: &'static KindFacts<&'static str>,
}

/// What a field of an object is, as far as comparing and merging is concerned.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldType {
    /// A quantity of a built-in kind, which the server compares by value and stores in canonical form.
    pub is_quantity: bool,
    /// How a list merges with what others wrote.
    pub list: ListType,
    /// A map that is replaced as a whole.
    pub is_atomic_map: bool,
    /// What the server takes where nothing is written.
    pub default: Option<Value>,
}

/// How a list merges with what others wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListType {
    /// It is not a list, or one that is replaced as a whole.
    Atomic,
    /// Distinct scalars.
    Set,
    /// Maps told apart by these keys. A key that is not written may have a default.
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

    /// The API version: `apps/v1`.
    pub fn api_version(&self) -> &'static str {
        self.facts.name.split_once(' ').map_or("", |(version, _)| version)
    }

    /// The kind's name: `Deployment`.
    pub fn name(&self) -> &'static str {
        self.facts.name.split_once(' ').map_or("", |(_, name)| name)
    }

    /// The API group: `apps`; empty for the core.
    pub fn group(&self) -> &'static str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.facts.namespaced
    }

    /// The most characters that the name of an object may have.
    pub fn longest_name(&self) -> usize {
        grammar::longest_name(self)
    }

    /// The name in URLs: `deployments`.
    pub fn plural(&self) -> &'static str {
        self.facts.plural
    }

    /// What can be done with it: `create`, `list`, `patch`.
    pub fn verbs(&self) -> &'static [&'static str] {
        &self.facts.verbs
    }

    /// Whether this is a custom resource, known from its definition and not from the server itself.
    pub fn is_custom(&self) -> bool {
        self.facts.custom
    }

    /// What a delete of an object of this kind may take away; [`crate::data_of_object`] says it of one object.
    pub fn data(&self) -> Option<Classification> {
        data_of_kind(self.api_version(), self.name())
    }

    /// Adds what a server would not accept in a whole object of this kind.
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

    /// Calls `see` with every value of an object that stands where a built-in kind has a quantity.
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

    /// What the field at a path is; nothing for a path the kind does not have.
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

    /// Whether the server refuses a change at this path of a live object.
    ///
    /// A Secret or ConfigMap that says `immutable: true` refuses more: see [`Kind::frozen_by_mark`].
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

    /// What a live object with `immutable: true` refuses to change: top-level fields of Secrets and ConfigMaps.
    pub fn frozen_by_mark(&self) -> &'static [&'static str] {
        match (self.group(), self.name()) {
            ("", "Secret") => &["data", "stringData", "immutable"],
            ("", "ConfigMap") => &["data", "binaryData", "immutable"],
            _ => &[],
        }
    }

    /// The nodes and the root, for tests that make bodies from schemas.
    #[doc(hidden)]
    pub fn nodes(&self) -> (&'static [Node<'static>], NodeId) {
        (&self.shared.section.nodes, self.facts.root)
    }
}

/// A walk to the quantities of an object.
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

/// For each node, whether it is one of those, or one of those is somewhere below it.
fn holding(nodes: &[Node<'static>], is: impl Fn(&Node<'static>) -> bool) -> Vec<bool> {
    let mut holding: Vec<bool> = nodes.iter().map(is).collect();
    // Nodes refer to each other in any order, in rings too: until nothing is added.
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

/// The node of a key: a field's, or that of keys that match a pattern or are free.
fn child(node: &Node<'static>, key: &str) -> Option<NodeId> {
    if let Some(field) = node.field(key) {
        return Some(field.node);
    }
    let patterns = node.rules.as_ref().map_or(&[][..], |rules| &rules.patterns);
    let matching = patterns.iter().find(|(pattern, _)| pattern.matches(key));
    matching.map(|(_, id)| *id).or(node.values)
}
