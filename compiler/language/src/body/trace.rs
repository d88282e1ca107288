//! Records the sources of the fields of an expanded body, for messages and for `explain`.

use terrace_artifact::{Segment, Text};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use super::Expansion;
use crate::expression::{Expression, Template};
use crate::value::term::Term;

/// The sources of the leaves of an expanded body.
#[derive(Debug, Default)]
pub struct Trace {
    pub(super) path: Vec<Segment>,
    /// The path of each leaf and its source.
    pub leaves: Vec<Leaf>,
    /// The path of each key and its place.
    pub(super) keys: Vec<(Vec<Segment>, Span)>,
    /// The paths of the lists and maps that are omitted because all their entries are. Entries of an omitted list or map are not included.
    pub emptied: Vec<Vec<Segment>>,
    /// The enclosing loops, the innermost last.
    loops: Vec<Iteration>,
}

/// One iteration of a loop.
#[derive(Debug)]
struct Iteration {
    variable: Text,
    /// The entry of the input that the loop iterates over.
    entry: Option<Vec<Text>>,
}

/// One leaf of an expanded body.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The path in the body.
    pub path: Vec<Segment>,
    /// The scalar in the module.
    pub span: Span,
    /// The inputs that its expressions read, with the path below: `replicas`, `workers.maximum`.
    pub inputs: Vec<Vec<Text>>,
}

impl Iteration {
    /// Returns the input path that a path of the variable reads: `value` is the entry, `value.x` a field of it.
    fn entry_below(&self, path: Vec<Text>) -> Option<Vec<Text>> {
        let mut entry = self.entry.clone()?;
        let mut path = path.into_iter();
        if path.next()? == "value" {
            entry.extend(path);
        }
        Some(entry)
    }
}

/// A place in an expanded body.
#[derive(Clone, Copy, Debug)]
pub enum Mark<'t> {
    /// A scalar or an expression.
    Leaf(&'t Leaf),
    /// A key.
    Key(Span),
}

impl Trace {
    pub(super) fn leaf(&mut self, span: Span, template: &Template) {
        let mut inputs = Vec::new();
        template
            .expressions()
            .for_each(|expression| self.reads(expression, &mut inputs));
        self.leaves.push(Leaf {
            path: self.path.clone(),
            span,
            inputs,
        });
    }

    /// Records that the list or map at the current path is omitted because all its entries are.
    pub(super) fn empty(&mut self) {
        self.omit();
        self.emptied.push(self.path.clone());
    }

    /// Removes the records of the value at the current path, because the value is omitted.
    pub(super) fn omit(&mut self) {
        self.emptied.retain(|path| !path.starts_with(&self.path));
    }

    /// Starts an iteration of a loop.
    pub fn enter(&mut self, variable: &str, over: &Expression, key: &Text) {
        let own = || over.path_of("inputs");
        let of_turn = || {
            let mut turns = self.loops.iter().rev();
            turns.find_map(|turn| turn.entry_below(over.path_of(&turn.variable)?))
        };
        let entry = own().or_else(of_turn).map(|mut path| {
            path.push(key.clone());
            path
        });
        self.loops.push(Iteration {
            variable: variable.into(),
            entry,
        });
    }

    /// Ends an iteration of a loop.
    pub(crate) fn leave(&mut self) {
        self.loops.pop();
    }

    /// Adds the inputs that an expression reads, through the variables of loops as well.
    fn reads(&self, expression: &Expression, inputs: &mut Vec<Vec<Text>>) {
        expression.paths_of("inputs", inputs);
        for (at, turn) in self.loops.iter().enumerate() {
            let hidden = self.loops[at + 1..]
                .iter()
                .any(|inner| inner.variable == turn.variable);
            let mut paths = Vec::new();
            if !hidden {
                expression.paths_of(&turn.variable, &mut paths);
            }
            inputs.extend(paths.into_iter().filter_map(|path| turn.entry_below(path)));
        }
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

    /// Returns the span of the key at a path, if it is a literal key.
    pub fn key(&self, path: &[Segment]) -> Option<Span> {
        let found = self.keys.iter().rev().find(|(known, _)| known == path);
        found.map(|(_, span)| *span)
    }

    /// Returns the place to show for a path: its value, or the key of a map or list. If the path does not exist, returns
    /// the key of the enclosing value. An item of a list is marked at its first key.
    pub fn mark(&self, path: &[Segment]) -> Option<Mark<'_>> {
        let leaf = self.find(path)?;
        // An empty body has no place to show.
        let points = !leaf.path.is_empty() || !leaf.inputs.is_empty();
        if path.starts_with(&leaf.path) {
            return points.then_some(Mark::Leaf(leaf));
        }
        let first_of_item = |item: &[Segment]| {
            let mut keys = self.keys.iter();
            let found = keys.find(|(known, _)| known.len() == item.len() + 1 && known.starts_with(item));
            found.map(|(_, span)| *span)
        };
        let around = (1..=path.len()).rev().map(|length| &path[..length]);
        around
            .into_iter()
            .find_map(|path| match path.last() {
                Some(Segment::Index(_)) => first_of_item(path),
                _ => self.key(path),
            })
            .map(Mark::Key)
    }

    /// Returns the leaf at a path, or the first one below or around it.
    pub fn find(&self, path: &[Segment]) -> Option<&Leaf> {
        let common = |leaf: &Leaf| leaf.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let best = self.leaves.iter().map(common).max()?;
        self.leaves.iter().find(|leaf| common(leaf) == best)
    }
}

impl Expansion<'_> {
    /// Makes the expansion record the source of each leaf.
    pub fn traced(self, trace: &mut Trace) -> Expansion<'_> {
        Expansion {
            trace: Some(trace),
            keep_null: self.keep_null,
            failures: self.failures,
            emptied: self.emptied,
            made: self.made,
            common: None,
        }
    }

    /// Returns the value of a list or map without entries: it is omitted.
    pub(super) fn empty(&mut self) -> Term {
        self.emptied = true;
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.empty();
        }
        Term::Omit
    }

    /// Starts an iteration of a loop, if sources are recorded.
    pub(super) fn enter(&mut self, variable: &str, over: &Expression, key: &Text) {
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.enter(variable, over, key);
        }
    }

    /// Ends an iteration of a loop.
    pub(super) fn leave(&mut self) {
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.leave();
        }
    }
}
