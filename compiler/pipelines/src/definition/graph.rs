//! Checks the transitions between the states of one level: targets, reachability, ends, and failures.

use std::collections::BTreeMap;

use terrace_artifact::{Segment, Text};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Level, Machine, inner, type_of};

/// The kind of a transition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TransitionKind {
    /// `Next`, `Default`, a choice.
    Normal,
    /// `Catch`, of every error or of every failed task.
    AnyFailure,
    /// `Catch`, of errors with names.
    SomeFailure,
}

/// A transition to another state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit<'a> {
    /// The name of the target state.
    pub(super) target: &'a str,
    pub(super) way: TransitionKind,
    /// The key of the transition, and the index of its rule if the key contains a list.
    pub(super) source: (&'static str, Option<usize>),
}

impl Exit<'_> {
    /// Returns the path in the state to the name of the target.
    fn path(&self) -> Vec<Segment> {
        let (key, rule) = self.source;
        let mut path = vec![Segment::Key(key.into())];
        if let Some(index) = rule {
            path.extend([Segment::Index(index), Segment::Key("Next".into())]);
        }
        path
    }
}

/// Returns the transitions of a state, in the order of evaluation.
pub(super) fn exits(state: &Term) -> impl Iterator<Item = Exit<'_>> {
    let single = ["Next", "Default"].into_iter().filter_map(|key| {
        let target = state.get(key).and_then(Term::as_str)?;
        Some(Exit {
            target,
            way: TransitionKind::Normal,
            source: (key, None),
        })
    });
    let rules = ["Choices", "Catch"].into_iter().flat_map(|key| {
        let rules = state.get(key).map(Term::items).unwrap_or_default();
        rules.iter().enumerate().filter_map(move |(index, rule)| {
            let target = rule.get("Next").and_then(Term::as_str)?;
            let way = match key {
                "Choices" => TransitionKind::Normal,
                _ if catches_any(rule) => TransitionKind::AnyFailure,
                _ => TransitionKind::SomeFailure,
            };
            Some(Exit {
                target,
                way,
                source: (key, Some(index)),
            })
        })
    });
    single.chain(rules)
}

fn catches_any(catcher: &Term) -> bool {
    let errors = catcher.get("ErrorEquals").map(Term::items).unwrap_or_default();
    errors
        .iter()
        .any(|error| matches!(error.as_str(), Some("States.ALL" | "States.TaskFailed")))
}

/// The transitions between the states of one level, by index.
struct Transitions<'l> {
    level: &'l Level<'l>,
    /// The transitions of each state, with the index of the target, or `None` if the level has no such state.
    exits: Vec<Vec<(Exit<'l>, Option<usize>)>>,
}

impl<'l> Transitions<'l> {
    fn of(level: &'l Level<'l>) -> Transitions<'l> {
        let number = |name: &str| level.states.iter().position(|(other, _)| other == name);
        let exits = level.states.iter().map(|(_, state)| {
            let exits = exits(state).map(|exit| (exit, number(exit.target)));
            exits.collect()
        });
        Transitions {
            level,
            exits: exits.collect(),
        }
    }

    /// Returns for each state whether it is reachable by the transitions that `follow` allows.
    fn reach(&self, start: usize, follow: impl Fn(TransitionKind) -> bool) -> Vec<bool> {
        let mut reached = vec![false; self.exits.len()];
        let mut next = vec![start];
        while let Some(at) = next.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                let followed = self.exits[at].iter().filter(|(exit, _)| follow(exit.way));
                next.extend(followed.filter_map(|(_, to)| *to));
            }
        }
        reached
    }

    /// Returns the states with the items of a list of the same order.
    fn with<'t, T: Copy>(
        &self,
        list: &'t [T],
    ) -> impl Iterator<Item = (&'l Text, &'l Term, T)> + use<'l, 't, T> {
        let states = self.level.states.iter().zip(list);
        states.map(|((name, state), one)| (name, state, *one))
    }
}

/// Returns whether the level ends in this state.
pub(super) fn ends(state: &Term) -> bool {
    state.get("End").and_then(Term::as_bool) == Some(true) || matches!(type_of(state), "Succeed" | "Fail")
}

pub(super) fn check(machine: &mut Machine<'_>, definition: &Term) {
    let mut names = BTreeMap::new();
    collect(definition, &[], &mut names, &mut machine.findings);
    let level = Level::of(definition, &[]);
    check_level(machine, &level, true, &names);
}

/// Collects the name of every state with the path of its level, for messages about targets in other levels.
fn collect(
    level: &Term,
    path: &[Segment],
    names: &mut BTreeMap<String, Vec<Segment>>,
    findings: &mut Vec<Finding>,
) {
    for (name, state) in level.get("States").map(Term::entries).unwrap_or_default() {
        let mut at = path.to_vec();
        at.extend([Segment::Key("States".into()), Segment::Key(name.clone())]);
        if name.chars().count() > 80 || name.is_empty() {
            findings.push(Finding::new(
                Code::InvalidState,
                &at,
                format!(
                    "the name of state `{}` must have 1 to 80 characters, found {}",
                    terrace_syntax::diagnostic::shown(name),
                    name.chars().count()
                ),
            ));
        }
        if names.insert(name.to_string(), path.to_vec()).is_some() {
            findings.push(
                Finding::new(Code::DuplicateName, &at, format!("duplicate state `{name}`"))
                    .help("rename one of them: state names must be unique in the whole state machine"),
            );
        }
        for (steps, level) in inner(state) {
            let mut below = at.clone();
            below.extend(steps);
            collect(level, &below, names, findings);
        }
    }
}

/// Checks one level. `failing_counts` is whether a handled failure in this level makes the whole execution succeed.
fn check_level(
    machine: &mut Machine<'_>,
    level: &Level<'_>,
    failing_counts: bool,
    names: &BTreeMap<String, Vec<Segment>>,
) {
    let known = || level.states.iter().map(|(name, _)| name.as_str());
    let missing = |target: &str, path: &[Segment]| {
        let finding = Finding::new(
            Code::UnknownStep,
            path,
            format!("no state is named `{target}` here"),
        );
        match names.get(target) {
            Some(_) => finding.note(format!(
                "`{target}` is in another branch, and a state can lead only to states of the same branch"
            )),
            None => finding.nearest(target, known()),
        }
    };
    let mut start_path = level.path.clone();
    start_path.push(Segment::Key("StartAt".into()));
    match level.start {
        None => machine.findings.push(
            Finding::new(Code::InvalidState, &level.path, "missing `StartAt`")
                .help("set `StartAt` to the name of the first state"),
        ),
        Some(start) if level.get(start).is_none() && !level.states.is_empty() => {
            machine.findings.push(missing(start, &start_path));
        }
        Some(_) => {}
    }
    if level.states.is_empty() {
        machine
            .findings
            .push(Finding::new(Code::InvalidState, &level.path, "missing `States`"));
        return;
    }
    let ways = Transitions::of(level);
    for ((name, _), exits) in level.states.iter().zip(&ways.exits) {
        for (exit, _) in exits.iter().filter(|(_, to)| to.is_none()) {
            let mut path = level.path_of(name);
            path.extend(exit.path());
            machine.findings.push(missing(exit.target, &path));
        }
    }
    let start = level
        .states
        .iter()
        .position(|(name, _)| level.start == Some(name));
    if let Some(start) = start {
        // A misspelled target makes a state unreachable, which is the same mistake.
        if ways.exits.iter().flatten().all(|(_, to)| to.is_some()) {
            check_reachable(machine, &ways, start);
        }
        check_failures(machine, &ways, start, failing_counts);
    }
    for (name, state) in level.states {
        for (steps, below) in inner(state) {
            let mut path = level.path_of(name);
            path.extend(steps);
            // A map can tolerate failed items, so a handler in it may end successfully.
            let counts = failing_counts && type_of(state) == "Parallel";
            check_level(machine, &Level::of(below, &path), counts, names);
        }
    }
}

fn check_reachable(machine: &mut Machine<'_>, ways: &Transitions<'_>, start: usize) {
    let level = ways.level;
    let reached = ways.reach(start, |_| true);
    for (name, _, reached) in ways.with(&reached) {
        if !reached {
            let message = format!("state `{name}` is unreachable");
            let mut finding = Finding::new(Code::UnreachableState, &level.path_of(name), message);
            finding.label = "never runs".to_owned();
            machine
                .findings
                .push(finding.help("remove it, or name it in a `Next`, `Default`, `Choices` or `Catch`"));
        }
    }
    // A state without a transition was reported already. It is not an endless loop.
    let leads_on = |exits: &[(Exit<'_>, _)]| exits.iter().any(|(exit, _)| exit.way == TransitionKind::Normal);
    let states = level.states.iter().zip(&ways.exits);
    let mut finishing: Vec<bool> = states
        .map(|((_, state), exits)| ends(state) || !leads_on(exits))
        .collect();
    loop {
        let mut any = false;
        for (at, exits) in ways.exits.iter().enumerate() {
            let finishes = |exit: &Exit<'_>, to: usize| exit.way == TransitionKind::Normal && finishing[to];
            // A target that does not exist was reported already. It is not an endless loop.
            let finishes = exits
                .iter()
                .any(|(exit, to)| to.is_none_or(|to| finishes(exit, to)));
            if finishes && !finishing[at] {
                finishing[at] = true;
                any = true;
            }
        }
        if !any {
            break;
        }
    }
    let states = level.states.iter().zip(&ways.exits).enumerate();
    let endless: Vec<&str> = states
        .filter(|(at, (_, exits))| reached[*at] && !finishing[*at] && !exits.is_empty())
        .map(|(_, ((name, _), _))| name.as_str())
        .collect();
    if let Some(first) = endless.first() {
        machine.findings.push(
            Finding::new(
                Code::NoTerminalState,
                &level.path_of(first),
                format!("the execution never ends after state `{first}`"),
            )
            .note(format!(
                "{} lead only to each other",
                terrace_syntax::diagnostic::listed(&endless)
            ))
            .help("add `End: true` to one of them, or let one of them continue to a state outside the loop"),
        );
    }
}

/// Checks that every state that can fail has a `Catch` of every error, and that a path after a failure ends in `Fail`.
fn check_failures(machine: &mut Machine<'_>, ways: &Transitions<'_>, start: usize, counts: bool) {
    let level = ways.level;
    let normal = ways.reach(start, |way| way == TransitionKind::Normal);
    if counts {
        let deliberate = ways.reach(start, |way| way != TransitionKind::AnyFailure);
        let mut only_by_failing = ways.reach(start, |_| true);
        for (only, deliberate) in only_by_failing.iter_mut().zip(deliberate) {
            *only &= !deliberate;
        }
        for (name, state, only_by_failing) in ways.with(&only_by_failing) {
            if only_by_failing && ends(state) && type_of(state) != "Fail" {
                let message =
                    format!("state `{name}` runs only after a failure but ends the execution successfully");
                let mut finding = Finding::new(Code::FailureEndsInSuccess, &level.path_of(name), message);
                finding.label = "the execution succeeds here".to_owned();
                machine.findings.push(
                    finding
                        .note("alarms for failed executions do not fire, and the caller continues")
                        .help(format!("continue from `{name}` to a state of type `Fail`")),
                );
            }
        }
    }
    // Only at the top level: a failure in a branch fails the enclosing state, which must catch it.
    if !level.path.is_empty() {
        return;
    }
    for (name, state, normal) in ways.with(&normal) {
        if !normal || !matches!(type_of(state), "Task" | "Parallel" | "Map") {
            continue;
        }
        let catchers = state.get("Catch").map(Term::items).unwrap_or_default();
        let catches_all = catchers.iter().any(|c| {
            let errors = c.get("ErrorEquals").map(Term::items).unwrap_or_default();
            errors.iter().any(|e| e.as_str() == Some("States.ALL"))
        });
        if catches_all {
            continue;
        }
        let mut exits = ways.exits.iter().flatten();
        let handler = exits.find(|(exit, _)| exit.way == TransitionKind::AnyFailure);
        let message = if catchers.is_empty() {
            format!("state `{name}` has no `Catch`")
        } else {
            format!("the `Catch` of state `{name}` does not match every error")
        };
        let mut finding = Finding::new(Code::MissingCatch, &level.path_of(name), message);
        finding.label = "a failure ends the execution without notification".to_owned();
        machine.findings.push(finding.help(format!(
            "add `Catch: [{{ErrorEquals: [States.ALL], ResultPath: $.error, Next: {}}}]`",
            handler.map_or("HandleFailure", |(exit, _)| exit.target)
        )));
    }
}
