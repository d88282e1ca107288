//! Validates rules that involve several fields or schemas.

use terrace_artifact::{Text, Tree, View};

use super::{At, Checker, Dialect, Entries, Presence};
use crate::compare::{is_open, required_only, type_of};
use crate::node::{NodeId, Rules};
use crate::problem::{Problem, ProblemKind};

impl Checker<'_> {
    pub(super) fn presence<T: Tree>(&self, value: &T) -> Presence {
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

    pub(super) fn presence_of<T: Tree>(&self, entries: Entries<'_, T>, key: &str) -> Presence {
        entries
            .iter()
            .find(|(k, _)| k == key)
            .map_or(Presence::No, |(_, value)| self.presence(value))
    }

    pub(super) fn rules<T: Tree>(&mut self, rules: &Rules<'static>, value: &T, at: &At<'_>) {
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
        for keys in rules.exactly_one.iter().chain(&rules.at_most_one) {
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
        for (index, (key, others)) in rules.excludes.iter().enumerate() {
            // Two keys that exclude each other are reported once.
            let reported = |other: &str| {
                rules.excludes[..index]
                    .iter()
                    .any(|(first, others)| *first == other && others.contains(key))
            };
            if self.presence_of(entries, key) == Presence::Yes {
                for other in others.iter().filter(|other| !reported(other)) {
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

    /// Reports the problems of the branch that fits best. If the branches only require keys, reports those keys.
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
            let candidate = self.problems.split_off(before);
            // A problem at a deeper level means that more of the branch fits.
            let depth = |candidate: &Vec<Problem>| candidate.iter().map(|p| p.path.len()).max();
            let better = best.as_ref().is_none_or(|best| {
                (candidate.len(), std::cmp::Reverse(depth(&candidate)))
                    < (best.len(), std::cmp::Reverse(depth(best)))
            });
            if better && !candidate.is_empty() {
                best = Some(candidate);
            }
        }
        match best {
            Some(candidate) => self.problems.extend(candidate),
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
