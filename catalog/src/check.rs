//! Validates a tree against a schema. A valid tree causes no allocation.

mod rules;
mod scalar;

use terrace_artifact::{Segment, Text, Tree, View};

use crate::compare::{entry, is_literal, names, same};
use crate::intrinsic::is_directive;
use crate::metadata;
use crate::nearest;
use crate::node::{Node, NodeId, flags, types};
use crate::problem::{Problem, ProblemKind};

/// The target whose rules for scalars and references apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// CloudFormation converts scalars to and from strings, and accepts a map of one intrinsic function for any value.
    CloudFormation,
    /// Kubernetes converts nothing.
    Kubernetes,
}

/// The position in a tree: a list linked through the call stack, so that a path costs nothing until it is reported.
#[derive(Clone, Copy, Debug)]
pub struct At<'p> {
    above: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> At<'p> {
    /// The root of a tree.
    pub const ROOT: At<'static> = At {
        above: None,
        step: Step::Root,
    };

    /// Returns the position of a key's value.
    pub fn key(&'p self, key: &'p str) -> At<'p> {
        At {
            above: Some(self),
            step: Step::Key(key),
        }
    }

    /// Returns the position of a list item.
    pub fn index(&'p self, index: usize) -> At<'p> {
        At {
            above: Some(self),
            step: Step::Index(index),
        }
    }

    /// Iterates over the keys of the path, from the last to the first. Skips list indices.
    pub fn keys(&self) -> impl Iterator<Item = &'p str> {
        let ways = std::iter::successors(Some(*self), |at| at.above.copied());
        ways.filter_map(|at| match at.step {
            Step::Key(key) => Some(key),
            Step::Root | Step::Index(_) => None,
        })
    }

    /// Returns the path as an owned value.
    pub fn path(&self) -> Vec<Segment> {
        let mut path = self.above.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => path.push(Segment::Key(key.into())),
            Step::Index(index) => path.push(Segment::Index(index)),
        }
        path
    }
}

/// Whether a key has a value. With a CloudFormation condition this can be unknown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    No,
    Maybe,
    Yes,
}

type Entries<'e, T> = &'e [(Text, T)];

fn unknown(node: &Node<'static>, key: &str) -> ProblemKind {
    match &node.rules {
        Some(rules) if node.fields.is_empty() && !rules.patterns.is_empty() => ProblemKind::KeyPattern {
            patterns: rules
                .patterns
                .iter()
                .map(|(pattern, _)| pattern.text().into())
                .collect(),
        },
        _ => ProblemKind::UnknownKey {
            nearest: nearest(key, names(node)).map(Text::from),
            known: names(node).take(12).map(Text::from).collect(),
        },
    }
}

/// The state of the validation of one tree.
pub(crate) struct Checker<'c> {
    nodes: &'static [Node<'static>],
    dialect: Dialect,
    problems: &'c mut Vec<Problem>,
    /// Whether to record only that a problem exists, in `failed`.
    probing: bool,
    failed: bool,
    /// The number of enclosing schema combinations (`allOf`, `anyOf`, …).
    parts: u32,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(
        nodes: &'static [Node<'static>],
        dialect: Dialect,
        problems: &'c mut Vec<Problem>,
    ) -> Checker<'c> {
        Checker {
            nodes,
            dialect,
            problems,
            probing: false,
            failed: false,
            parts: 0,
        }
    }

    /// Returns whether to validate values that the schema does not describe. This happens once, and not again in each part of a
    /// combined schema.
    pub(crate) fn looks_at_anything(&self) -> bool {
        self.dialect == Dialect::CloudFormation && self.parts == 0
    }

    pub(crate) fn report(&mut self, at: &At<'_>, kind: impl FnOnce() -> ProblemKind) {
        self.failed = true;
        if !self.probing {
            self.problems.push(Problem {
                path: at.path(),
                kind: kind(),
            });
        }
    }

    /// Validates a value against a node.
    pub(crate) fn value<T: Tree>(&mut self, id: NodeId, value: &T, at: &At<'_>) {
        if self.probing && self.failed {
            return;
        }
        let node = &self.nodes[id as usize];
        // Inside a combined schema some values are not validated, so the result must not be recorded.
        let accepted = value.accepted().filter(|_| self.parts == 0);
        let Some(accepted) = accepted else {
            return self.validate(id, node, value, at);
        };
        if accepted.is_by(node) {
            return;
        }
        let failed = std::mem::take(&mut self.failed);
        self.validate(id, node, value, at);
        if !self.failed {
            accepted.by(node);
        }
        self.failed |= failed;
    }

    fn validate<T: Tree>(&mut self, id: NodeId, node: &'static Node<'static>, value: &T, at: &At<'_>) {
        let view = value.view();
        match view {
            View::Unknown => return,
            View::Map(entries) => {
                if self.dialect == Dialect::CloudFormation && self.intrinsic(id, node, entries, at) {
                    return;
                }
                if node.is(flags::ANY) {
                    return self.anything(value, at);
                }
                if node.types != 0 && node.types & types::MAP == 0 {
                    return self.wrong_type(node, view.kind(), at);
                }
                self.map(node, value, entries, at);
            }
            View::List(items) => {
                if node.is(flags::ANY) {
                    return self.anything(value, at);
                }
                if node.types != 0 && node.types & types::LIST == 0 {
                    return self.wrong_type(node, view.kind(), at);
                }
                self.list(node, items, at);
            }
            View::Null => {
                let open = self.dialect == Dialect::Kubernetes && (node.types == 0 || node.is(flags::ANY));
                if node.types & types::NULL == 0 && !open {
                    return self.wrong_type(node, view.kind(), at);
                }
            }
            _ if node.is(flags::ANY) => return,
            View::Bool(bool) => self.bool(node, bool, at),
            View::Number(number) => self.number(node, number, at),
            View::String(text) => self.string(node, text, at),
        }
        if let Some(rules) = &node.rules {
            self.parts += 1;
            self.rules(rules, value, at);
            self.parts -= 1;
        }
    }

    fn list<T: Tree>(&mut self, node: &Node<'static>, items: &[T], at: &At<'_>) {
        let first = node.rules.as_ref().map_or(&[][..], |rules| &rules.first_items);
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = first.get(index) {
                self.value(*id, item, &at.index(index));
            }
            if let Some(id) = node.items {
                self.value(id, item, &at.index(index));
            } else if self.dialect == Dialect::CloudFormation {
                self.anything(item, &at.index(index));
            }
        }
        self.count(node, items.len(), at);
        if node.is(flags::UNIQUE) {
            self.distinct(items, at, |a, b| same(a, b));
        }
        if let Some(rules) = &node.rules
            && !rules.unique_keys.is_empty()
        {
            self.distinct(items, at, |a, b| {
                rules
                    .unique_keys
                    .iter()
                    .all(|key| match (entry(a, key), entry(b, key)) {
                        (Some(a), Some(b)) => same(a, b),
                        _ => false,
                    })
            });
        }
        if let Some(merge) = &node.merge {
            if merge.set {
                self.distinct(items, at, |a, b| same(a, b));
            }
            if !merge.keys.is_empty() && items.len() > 1 {
                let nodes = self.nodes;
                let item = node.items.map(|id| &nodes[id as usize]);
                let default = |key: &str| {
                    let field = item?.field(key)?;
                    nodes[field.node as usize].merge.as_ref()?.default
                };
                self.distinct(items, at, |a, b| {
                    merge.keys.iter().all(|key| match (entry(a, key), entry(b, key)) {
                        (Some(a), Some(b)) => same(a, b),
                        (None, None) => true,
                        (Some(value), None) | (None, Some(value)) => {
                            default(key).is_some_and(|literal| is_literal(value, &literal))
                        }
                    })
                });
            }
        }
    }

    fn distinct<T>(&mut self, items: &[T], at: &At<'_>, same: impl Fn(&T, &T) -> bool) {
        for (index, item) in items.iter().enumerate().skip(1) {
            if let Some(first) = items[..index].iter().position(|earlier| same(earlier, item)) {
                self.report(&at.index(index), || ProblemKind::Duplicate { first });
            }
        }
    }

    fn count(&mut self, node: &Node<'static>, count: usize, at: &At<'_>) {
        let Some(limits) = &node.limits else { return };
        let (minimum, maximum) = (limits.min_count, limits.max_count);
        if minimum.is_some_and(|least| count < least as usize)
            || maximum.is_some_and(|most| count > most as usize)
        {
            self.report(at, || ProblemKind::Count { minimum, maximum });
        }
    }

    fn map<T: Tree>(&mut self, node: &Node<'static>, value: &T, entries: Entries<'_, T>, at: &At<'_>) {
        let mut required = 0;
        for (key, value) in entries {
            let at = at.key(key);
            if let Some(field) = node.field(key) {
                required += u16::from(field.required && self.presence(value) != Presence::No);
                if field.read_only {
                    self.report(&at, || ProblemKind::ReadOnly);
                } else {
                    self.value(field.node, value, &at);
                }
                continue;
            }
            let rules = node.rules.as_ref();
            let matching =
                rules.and_then(|rules| rules.patterns.iter().find(|(pattern, _)| pattern.matches(key)));
            if let Some((_, id)) = matching {
                self.value(*id, value, &at);
            } else if let Some(id) = node.values {
                self.value(id, value, &at);
            } else if node.is(flags::OPEN) {
                self.anything(value, &at);
            } else if self.dialect == Dialect::Kubernetes || !is_directive(key) {
                self.report(&at, || unknown(node, key));
            }
        }
        if required < node.required {
            for field in node.fields.iter().filter(|field| field.required) {
                if self.presence_of(entries, field.name) == Presence::No {
                    self.report(at, || ProblemKind::Missing {
                        key: field.name.into(),
                    });
                }
            }
        }
        self.count(node, entries.len(), at);
        if node.is(flags::METADATA) {
            metadata::check_nested(self, entries, at);
        } else if node.is(flags::SELECTOR) {
            metadata::check_selector(self, value, at);
        }
    }
}
