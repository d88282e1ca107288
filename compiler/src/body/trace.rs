//! Where the fields of an expanded body came from: noted when somebody asks, for messages and for `explain`.

use terrace_artifact::{Segment, Text};

use crate::expression::Template;
use crate::node::{Node, NodeKind};
use crate::source::Span;

/// Where the leaves of an expanded body came from.
#[derive(Debug, Default)]
pub struct Trace {
    pub(super) path: Vec<Segment>,
    /// The path of each leaf and what wrote it.
    pub leaves: Vec<Leaf>,
    /// The path of each key and its place.
    pub(super) keys: Vec<(Vec<Segment>, Span)>,
}

/// One leaf of an expanded body.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Where in the body.
    pub path: Vec<Segment>,
    /// The scalar in the module.
    pub span: Span,
    /// The inputs that its expressions read, with the path below: `replicas`, `workers.maximum`.
    pub inputs: Vec<Vec<Text>>,
}

impl Trace {
    pub(super) fn leaf(&mut self, span: Span, template: &Template) {
        let mut inputs = Vec::new();
        template.expressions().for_each(|e| e.input_paths(&mut inputs));
        self.leaves.push(Leaf {
            path: self.path.clone(),
            span,
            inputs,
        });
    }

    pub(super) fn static_leaves(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Segment::Index(at));
                    self.static_leaves(item);
                    self.path.pop();
                }
            }
            NodeKind::Map(entries) if !entries.is_empty() => {
                for (key, node) in entries {
                    self.path.push(Segment::Key(key.clone()));
                    self.keys.push((self.path.clone(), node.key));
                    self.static_leaves(node);
                    self.path.pop();
                }
            }
            _ => self.leaves.push(Leaf {
                path: self.path.clone(),
                span: node.span,
                inputs: Vec::new(),
            }),
        }
    }

    /// The key at a path, where it was written as such.
    pub fn key(&self, path: &[Segment]) -> Option<Span> {
        let found = self.keys.iter().rev().find(|(known, _)| known == path);
        found.map(|(_, span)| *span)
    }

    /// The leaf at a path, or the first one below or around it.
    pub fn find(&self, path: &[Segment]) -> Option<&Leaf> {
        let common = |leaf: &Leaf| leaf.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let best = self.leaves.iter().map(common).max()?;
        self.leaves.iter().find(|leaf| common(leaf) == best)
    }
}
