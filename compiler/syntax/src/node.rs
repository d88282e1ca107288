//! YAML nodes: values with their positions in the source.

use terrace_artifact::{Decimal, Segment, Text, Tree, Value, View};

use crate::source::Span;

/// A YAML value with its position. Equality ignores positions, because moving a line is not a change.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// The position of the value: a scalar with its quotes, or a collection from its first key to its last value.
    pub span: Span,
    /// The position of its key, if it is a value of a map. Otherwise the position of the value.
    pub key: Span,
}

/// The value of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeKind {
    /// `null`, `~` or an empty value.
    Null,
    /// `true` or `false`; `yes` and `NO` are strings (YAML 1.2).
    Bool(bool),
    /// An exact number.
    Number(Decimal),
    /// A string that can contain expressions.
    String(Text),
    /// A string with the tag `!raw`. Its braces belong to another language.
    Raw(Text),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the source. The keys are distinct.
    Map(Vec<(Text, Node)>),
    /// A value that could not be read. It is already reported, so later checks ignore it.
    Wrong,
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind
    }
}

impl Node {
    /// Returns the value of a key, if this is a map that contains the key.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, node)| node)
    }

    /// Returns the entries of a map. Any other node has none.
    #[inline]
    pub fn entries(&self) -> &[(Text, Node)] {
        if let NodeKind::Map(entries) = &self.kind {
            entries
        } else {
            &[]
        }
    }

    /// Returns the items of a list. Any other node has none.
    #[inline]
    pub fn items(&self) -> &[Node] {
        if let NodeKind::List(items) = &self.kind {
            items
        } else {
            &[]
        }
    }

    /// Returns the string, with or without the tag `!raw`.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) | NodeKind::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the boolean, or `None` for any other node.
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        if let NodeKind::Bool(b) = self.kind {
            Some(b)
        } else {
            None
        }
    }

    /// Returns the number, or `None` for any other node.
    pub fn as_number(&self) -> Option<Decimal> {
        if let NodeKind::Number(n) = self.kind {
            Some(n)
        } else {
            None
        }
    }

    /// Returns whether the value is `null` or empty.
    #[inline]
    pub fn is_null(&self) -> bool {
        self.kind == NodeKind::Null
    }

    /// Returns the node at a path. If the path does not exist, returns the last node on it that does.
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

    /// Returns the node at a path, if the whole path exists.
    pub fn find(&self, path: &[Segment]) -> Option<&Node> {
        path.iter().try_fold(self, Node::step)
    }

    fn step(&self, segment: &Segment) -> Option<&Node> {
        match segment {
            Segment::Key(key) => self.get(key),
            Segment::Index(at) => self.items().get(*at),
        }
    }

    /// Counts the nodes of this tree, up to `most`.
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

    /// Converts the node to a value without positions.
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
