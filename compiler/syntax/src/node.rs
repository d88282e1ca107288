//! YAML as it was written: values that know their place.

use terrace_artifact::{Decimal, Segment, Text, Tree, Value, View};

use crate::source::Span;

/// A value with its place. Equality ignores places: moving a line is no change.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its bytes: of a scalar with its quotes, of a collection from its first key to its last value.
    pub span: Span,
    /// The bytes of its key, where it is a value of a map; its own otherwise.
    pub key: Span,
}

/// What a node is.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeKind {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`; `yes` and `NO` are strings (YAML 1.2).
    Bool(bool),
    /// An exact number.
    Number(Decimal),
    /// A string in which `{{ }}` has a meaning.
    String(Text),
    /// A string tagged `!raw`: its braces belong to somebody else.
    Raw(Text),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written. Keys are distinct.
    Map(Vec<(Text, Node)>),
    /// What could not be read, and was told: nothing more is said of it.
    Wrong,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

impl Node {
    /// The value of a key, where this is a map that has it.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, node)| node)
    }

    /// The entries of a map; none where this is something else.
    #[inline]
    pub fn entries(&self) -> &[(Text, Node)] {
        if let NodeKind::Map(entries) = &self.kind {
            entries
        } else {
            &[]
        }
    }

    /// The items of a list; none where this is something else.
    #[inline]
    pub fn items(&self) -> &[Node] {
        if let NodeKind::List(items) = &self.kind {
            items
        } else {
            &[]
        }
    }

    /// The string, raw or not.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) | NodeKind::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean.
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        if let NodeKind::Bool(b) = self.kind {
            Some(b)
        } else {
            None
        }
    }

    /// The number.
    pub fn as_number(&self) -> Option<Decimal> {
        if let NodeKind::Number(n) = self.kind {
            Some(n)
        } else {
            None
        }
    }

    /// Whether it is `null` or nothing.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.kind == NodeKind::Null
    }

    /// The node at a path, as far as the path leads: the nearest enclosing one where it ends early.
    pub fn at(&self, path: &[Segment]) -> &Node {
        let mut node = self;
        for segment in path {
            match node.step(segment) {
                Some(next) => node = next,
                None => return node,
            }
        }
        node
    }

    /// The node at a path, where the path leads all the way.
    pub fn find(&self, path: &[Segment]) -> Option<&Node> {
        path.iter().try_fold(self, Node::step)
    }

    fn step(&self, segment: &Segment) -> Option<&Node> {
        match segment {
            Segment::Key(key) => self.get(key),
            Segment::Index(at) => self.items().get(*at),
        }
    }

    /// The number of nodes in this tree, counted no further than `most`.
    pub fn count(&self, most: usize) -> usize {
        let mut total = 1;
        let children = self
            .items()
            .iter()
            .chain(self.entries().iter().map(|(_, node)| node));
        for child in children {
            if total > most {
                break;
            }
            total += child.count(most);
        }
        total
    }

    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null | NodeKind::Wrong => Value::Null,
            NodeKind::Bool(b) => Value::Bool(*b),
            NodeKind::Number(n) => Value::Number(*n),
            NodeKind::String(text) | NodeKind::Raw(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::List(items.iter().map(Node::to_value).collect()),
            NodeKind::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_value()))
                    .collect();
                Value::Map(terrace_artifact::Map::from_distinct(entries))
            }
        }
    }
}

impl Tree for Node {
    fn view(&self) -> View<'_, Node> {
        match &self.kind {
            NodeKind::Null => View::Null,
            NodeKind::Wrong => View::Unknown,
            NodeKind::Bool(b) => View::Bool(*b),
            NodeKind::Number(n) => View::Number(*n),
            NodeKind::String(text) | NodeKind::Raw(text) => View::String(text),
            NodeKind::List(items) => View::List(items),
            NodeKind::Map(entries) => View::Map(entries),
        }
    }
}
