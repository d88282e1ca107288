//! Holds a tree against a schema. Nothing is allocated unless there is a problem.

use terrace_artifact::{Decimal, Segment, Text, Tree, Value, View};

use crate::compare::{
    IsLiteral, entry, expected, is_base64, is_literal, is_open, is_time, names, required_only, same, type_of,
};
use crate::intrinsic::is_directive;
use crate::nearest;
use crate::node::{Limits, Literal, Node, NodeId, Rules, flags, types};
use crate::problem::{Problem, ProblemKind};
use crate::{metadata, quantity};

/// Whose rules about scalars and references hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// Scalars may be written as strings and the other way round; a map of one intrinsic function stands for any value.
    CloudFormation,
    /// Types are what they are.
    Kubernetes,
}

/// Where we are: a list linked through the stack, so that a path costs nothing until it is reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'p> {
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
    pub(crate) const ROOT: At<'static> = At {
        above: None,
        step: Step::Root,
    };

    pub(crate) fn key(&'p self, key: &'p str) -> At<'p> {
        At {
            above: Some(self),
            step: Step::Key(key),
        }
    }

    pub(crate) fn index(&'p self, index: usize) -> At<'p> {
        At {
            above: Some(self),
            step: Step::Index(index),
        }
    }

    fn path(&self) -> Vec<Segment> {
        let mut path = self.above.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => path.push(Segment::Key(key.into())),
            Step::Index(index) => path.push(Segment::Index(index)),
        }
        path
    }
}

/// Whether a key has a value. A CloudFormation condition may leave that open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    No,
    Maybe,
    Yes,
}

type Entries<'e, T> = &'e [(Text, T)];

/// A walk over one tree.
pub(crate) struct Checker<'c> {
    nodes: &'c [Node<'static>],
    dialect: Dialect,
    problems: &'c mut Vec<Problem>,
    /// Only whether there is a problem is wanted.
    probing: bool,
    failed: bool,
    /// How many of a schema's combined parts we are inside of.
    parts: u32,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(
        nodes: &'c [Node<'static>],
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

    /// Whether what the schema leaves open is to be looked at: once, not by each of the parts it is combined from.
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

    /// Holds a value against a node.
    pub(crate) fn value<T: Tree>(&mut self, id: NodeId, value: &T, at: &At<'_>) {
        if self.probing && self.failed {
            return;
        }
        let nodes = self.nodes;
        let node = &nodes[id as usize];
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

    fn wrong_type(&mut self, node: &Node<'static>, found: &'static str, at: &At<'_>) {
        self.report(at, || ProblemKind::WrongType {
            expected: expected(node),
            found,
        });
    }

    fn bool(&mut self, node: &Node<'static>, bool: bool, at: &At<'_>) {
        let text = if bool { "true" } else { "false" };
        if node.types == 0 || node.types & types::BOOL != 0 {
            if let Some(limits) = &node.limits {
                self.allowed(node, limits, &Value::Bool(bool), text, at);
            }
        } else if self.is_coerced(node) {
            self.text(node, text, at);
        } else {
            self.wrong_type(node, "a boolean", at);
        }
    }

    /// Whether a scalar stands for its text. Where a document may be given as text, it does not.
    fn is_coerced(&self, node: &Node<'static>) -> bool {
        self.dialect == Dialect::CloudFormation && node.types & (types::STRING | types::MAP) == types::STRING
    }

    fn number(&mut self, node: &Node<'static>, number: Decimal, at: &At<'_>) {
        let fits = node.types == 0
            || node.types & types::NUMBER != 0
            || (node.types & types::INTEGER != 0 && number.is_integer());
        if fits {
            self.amount(node, number, at);
        } else if node.is(flags::QUANTITY) {
            if number.is_negative() && node.types & types::STRING == 0 {
                self.wrong_type(node, "a number", at);
            }
        } else if self.is_coerced(node) {
            if node.limits.is_some() {
                self.text(node, &number.to_string(), at);
            }
        } else {
            self.wrong_type(node, View::<Value>::Number(number).kind(), at);
        }
    }

    fn string(&mut self, node: &Node<'static>, text: &str, at: &At<'_>) {
        if node.types == 0 || node.types & types::STRING != 0 {
            return self.text(node, text, at);
        }
        if self.dialect == Dialect::CloudFormation {
            let scalar = text.trim();
            if node.types & types::BOOL != 0 && matches!(scalar, "true" | "false" | "True" | "False") {
                return;
            }
            if node.types & (types::INTEGER | types::NUMBER) != 0
                && let Ok(number) = scalar.parse::<Decimal>()
                && (node.types & types::NUMBER != 0 || number.is_integer())
            {
                return self.amount(node, number, at);
            }
        }
        self.wrong_type(node, "a string", at);
    }

    fn text(&mut self, node: &Node<'static>, text: &str, at: &At<'_>) {
        if node.is(flags::QUANTITY) {
            if !quantity::is_quantity(text) {
                self.report(at, || ProblemKind::Form {
                    expected: "a quantity such as 500m or 2Gi",
                });
            }
            return;
        }
        if node.is(flags::BASE64) && !is_base64(text) {
            return self.report(at, || ProblemKind::Form {
                expected: "text in base64",
            });
        }
        if node.is(flags::TIME) && !is_time(text) {
            return self.report(at, || ProblemKind::Form {
                expected: "a time such as 2026-11-21T03:04:05Z",
            });
        }
        let Some(limits) = &node.limits else { return };
        if !limits.allowed.is_empty() {
            self.allowed(node, limits, &text, text, at);
        }
        if limits.min_length.is_some() || limits.max_length.is_some() {
            let (minimum, maximum) = (limits.min_length, limits.max_length);
            let length = if text.is_ascii() {
                text.len()
            } else {
                text.chars().count()
            } as u64;
            if minimum.is_some_and(|least| length < u64::from(least))
                || maximum.is_some_and(|most| length > u64::from(most))
            {
                self.report(at, || ProblemKind::Length { minimum, maximum });
            }
        }
        if self.dialect == Dialect::CloudFormation
            && (limits.minimum.is_some() || limits.maximum.is_some())
            && let Ok(number) = text.parse()
        {
            self.bounds(limits, number, at);
        }
        if let Some(pattern) = &limits.pattern
            && !pattern.matches(text)
        {
            self.report(at, || ProblemKind::Pattern {
                pattern: pattern.text().into(),
            });
        }
    }

    fn amount(&mut self, node: &Node<'static>, number: Decimal, at: &At<'_>) {
        if node.is(flags::INT32) && i32::try_from(number.as_integer().unwrap_or_default()).is_err() {
            let (minimum, maximum) = (i64::from(i32::MIN).into(), i64::from(i32::MAX).into());
            return self.report(at, || ProblemKind::Range {
                minimum: Some(minimum),
                maximum: Some(maximum),
            });
        }
        let Some(limits) = &node.limits else { return };
        if !limits.allowed.is_empty() {
            self.allowed(node, limits, &number, &number.to_string(), at);
        }
        self.bounds(limits, number, at);
        if let Some(of) = limits.multiple_of
            && number.div(of).is_ok_and(|times| !times.is_integer())
        {
            self.report(at, || ProblemKind::NotMultiple { of });
        }
    }

    fn bounds(&mut self, limits: &Limits<'static>, number: Decimal, at: &At<'_>) {
        if limits.minimum.is_some_and(|least| number < least)
            || limits.maximum.is_some_and(|most| number > most)
            || limits.below.is_some_and(|limit| number >= limit)
            || limits.above.is_some_and(|limit| number <= limit)
        {
            self.report(at, || ProblemKind::Range {
                minimum: limits.minimum.or(limits.above),
                maximum: limits.maximum.or(limits.below),
            });
        }
    }

    fn allowed(
        &mut self,
        node: &Node<'static>,
        limits: &Limits<'static>,
        scalar: &impl IsLiteral,
        text: &str,
        at: &At<'_>,
    ) {
        let lenient = self.dialect == Dialect::CloudFormation;
        let fits = |literal: &Literal<'_>| {
            scalar.is(literal)
                || match literal {
                    Literal::String(other) if node.is(flags::IGNORE_CASE) => other.eq_ignore_ascii_case(text),
                    Literal::String(other) => lenient && *other == text,
                    Literal::Bool(other) => lenient && text == if *other { "true" } else { "false" },
                    Literal::Number(other) => lenient && text.parse::<Decimal>().is_ok_and(|n| n == *other),
                }
        };
        if !limits.allowed.is_empty() && !limits.allowed.iter().any(fits) {
            self.report(at, || {
                let names = limits.allowed.iter().filter_map(|literal| match literal {
                    Literal::String(name) => Some(*name),
                    _ => None,
                });
                ProblemKind::NotInEnum {
                    nearest: nearest(text, names).map(Text::from),
                    allowed: limits.allowed.iter().map(Literal::value).collect(),
                }
            });
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
                self.report(&at, || ProblemKind::UnknownKey {
                    nearest: nearest(key, names(node)).map(Text::from),
                    known: names(node).take(12).map(Text::from).collect(),
                });
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

    fn presence<T: Tree>(&self, value: &T) -> Presence {
        if self.dialect == Dialect::Kubernetes {
            return Presence::Yes;
        }
        match value.view() {
            View::Map([(key, value)]) if key == "Ref" => match value.view() {
                View::String("AWS::NoValue") => Presence::No,
                _ => Presence::Yes,
            },
            View::Map([(key, value)]) if key == "Fn::If" => match value.view() {
                View::List([_, then, otherwise]) => match (self.presence(then), self.presence(otherwise)) {
                    (Presence::Yes, Presence::Yes) => Presence::Yes,
                    (Presence::No, Presence::No) => Presence::No,
                    _ => Presence::Maybe,
                },
                _ => Presence::Maybe,
            },
            _ => Presence::Yes,
        }
    }

    fn presence_of<T: Tree>(&self, entries: Entries<'_, T>, key: &str) -> Presence {
        entries
            .iter()
            .find(|(k, _)| k == key)
            .map_or(Presence::No, |(_, value)| self.presence(value))
    }

    fn rules<T: Tree>(&mut self, rules: &Rules<'static>, value: &T, at: &At<'_>) {
        for id in &rules.all {
            self.value(*id, value, at);
        }
        if !rules.any.is_empty() && !rules.any.iter().any(|id| self.passes(*id, value)) {
            self.none_of(&rules.any, value, at);
        }
        if !rules.one.is_empty() {
            let mut fitting = rules.one.iter().filter(|id| self.passes(**id, value));
            match (fitting.next(), fitting.next()) {
                (None, _) => self.none_of(&rules.one, value, at),
                (Some(_), None) => {}
                (Some(_), Some(second)) => {
                    let second = *second;
                    self.more_than_one(&rules.one, second, value, at);
                }
            }
        }
        if let Some(id) = rules.not
            && self.passes(id, value)
            && !is_open(value)
        {
            self.report(at, || ProblemKind::Ambiguous);
        }
        if let Some((condition, then, otherwise)) = rules.condition
            && !is_open(value)
        {
            let next = if self.passes(condition, value) {
                then
            } else {
                otherwise
            };
            if let Some(id) = next {
                self.value(id, value, at);
            }
        }
        if let View::Map(entries) = value.view() {
            self.key_rules(rules, entries, at);
        }
    }

    fn key_rules<T: Tree>(&mut self, rules: &Rules<'static>, entries: Entries<'_, T>, at: &At<'_>) {
        for keys in rules.exactly_one.iter().chain(&rules.at_least_one) {
            if keys
                .iter()
                .all(|key| self.presence_of(entries, key) == Presence::No)
            {
                self.report(at, || ProblemKind::OneOf {
                    keys: keys.iter().map(|key| vec![Text::from(*key)]).collect(),
                });
            }
        }
        for keys in &rules.exactly_one {
            let mut there = keys
                .iter()
                .filter(|key| self.presence_of(entries, key) == Presence::Yes);
            if let (Some(first), Some(second)) = (there.next(), there.next()) {
                self.report(&at.key(second), || ProblemKind::Excludes {
                    other: (*first).into(),
                });
            }
        }
        for (key, others) in &rules.needs {
            if self.presence_of(entries, key) == Presence::Yes {
                for other in others {
                    if self.presence_of(entries, other) == Presence::No {
                        self.report(at, || ProblemKind::Requires {
                            key: (*key).into(),
                            other: (*other).into(),
                        });
                    }
                }
            }
        }
        for (key, others) in &rules.excludes {
            if self.presence_of(entries, key) == Presence::Yes {
                for other in others {
                    if self.presence_of(entries, other) == Presence::Yes {
                        self.report(&at.key(other), || ProblemKind::Excludes { other: (*key).into() });
                    }
                }
            }
        }
    }

    fn passes<T: Tree>(&mut self, id: NodeId, value: &T) -> bool {
        let before = (self.probing, self.failed);
        (self.probing, self.failed) = (true, false);
        self.value(id, value, &At::ROOT);
        let passes = !self.failed;
        (self.probing, self.failed) = before;
        passes
    }

    /// Says what the branch lacks that comes closest; where branches only name keys, which keys there are.
    fn none_of<T: Tree>(&mut self, branches: &[NodeId], value: &T, at: &At<'_>) {
        self.failed = true;
        if self.probing {
            return;
        }
        let nodes = self.nodes;
        let keys = |id: &NodeId| required_only(nodes, &nodes[*id as usize]);
        if let Some(keys) = branches.iter().map(keys).collect::<Option<Vec<_>>>() {
            return self.report(at, || ProblemKind::OneOf { keys });
        }
        let kind = type_of(value);
        let fits = |id: &&NodeId| {
            let types = nodes[**id as usize].types;
            types == 0 || types & kind != 0
        };
        let mut best: Option<Vec<Problem>> = None;
        let before = self.problems.len();
        for id in branches.iter().filter(fits) {
            self.value(*id, value, at);
            let found = self.problems.split_off(before);
            // A problem further down means that more of the branch did fit.
            let depth = |found: &Vec<Problem>| found.iter().map(|p| p.path.len()).max();
            let better = best.as_ref().is_none_or(|best| {
                (found.len(), std::cmp::Reverse(depth(&found))) < (best.len(), std::cmp::Reverse(depth(best)))
            });
            if better && !found.is_empty() {
                best = Some(found);
            }
        }
        match best {
            Some(found) => self.problems.extend(found),
            None => self.report(at, || ProblemKind::NoForm),
        }
    }

    fn more_than_one<T: Tree>(&mut self, branches: &[NodeId], second: NodeId, value: &T, at: &At<'_>) {
        if is_open(value) {
            return;
        }
        let nodes = self.nodes;
        let keys = |id: NodeId| required_only(nodes, &nodes[id as usize]);
        let first = branches
            .iter()
            .find(|id| **id != second && self.passes(**id, value))
            .copied();
        let pair = first.and_then(keys).zip(keys(second));
        match pair {
            Some((first, second)) => {
                let apart = second.iter().find(|key| !first.contains(key)).or(second.first());
                let other = first.iter().find(|key| !second.contains(key)).or(first.first());
                let (apart, other) = (
                    apart.cloned().unwrap_or_default(),
                    other.cloned().unwrap_or_default(),
                );
                self.report(&at.key(&apart), || ProblemKind::Excludes { other });
            }
            None => self.report(at, || ProblemKind::Ambiguous),
        }
    }
}
