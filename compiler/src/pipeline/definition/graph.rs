//! How the states of one level follow each other: targets, reachability, ends, and where failures lead.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::Segment;

use super::{Finding, Level, Machine, inner, type_of};
use crate::code::Code;
use crate::term::Term;

/// How one state leads to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// `Next`, `Default`, a choice.
    Normal,
    /// `Catch`, of every error or of every failed task.
    AnyFailure,
    /// `Catch`, of errors with names.
    SomeFailure,
}

/// Where a state leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit<'a> {
    /// The name of the state there.
    pub(super) target: &'a str,
    pub(super) way: Way,
    /// The key of the state that says so, and the rule of it where it is a list.
    pub(super) said: (&'static str, Option<usize>),
}

impl Exit<'_> {
    /// The path in the state to the name.
    fn path(&self) -> Vec<Segment> {
        let (key, rule) = self.said;
        let mut path = vec![Segment::Key(key.into())];
        if let Some(index) = rule {
            path.extend([Segment::Index(index), Segment::Key("Next".into())]);
        }
        path
    }
}

/// Where a state leads, in the order in which it is tried.
pub(super) fn exits(state: &Term) -> impl Iterator<Item = Exit<'_>> {
    let single = ["Next", "Default"].into_iter().filter_map(|key| {
        let target = state.get(key).and_then(Term::as_str)?;
        Some(Exit {
            target,
            way: Way::Normal,
            said: (key, None),
        })
    });
    let rules = ["Choices", "Catch"].into_iter().flat_map(|key| {
        let rules = state.get(key).map(Term::items).unwrap_or_default();
        rules.iter().enumerate().filter_map(move |(index, rule)| {
            let target = rule.get("Next").and_then(Term::as_str)?;
            let way = match key {
                "Choices" => Way::Normal,
                _ if catches_any(rule) => Way::AnyFailure,
                _ => Way::SomeFailure,
            };
            Some(Exit {
                target,
                way,
                said: (key, Some(index)),
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

/// Whether the level ends here.
pub(super) fn ends(state: &Term) -> bool {
    state.get("End").and_then(Term::as_bool) == Some(true) || matches!(type_of(state), "Succeed" | "Fail")
}

pub(super) fn check(machine: &mut Machine<'_>, definition: &Term) {
    let mut names = BTreeMap::new();
    collect(definition, &[], &mut names, &mut machine.findings);
    let level = Level::of(definition, &[]);
    check_level(machine, &level, true, &names);
}

/// Every state's name with the path of its level, to say where a target is that is not here.
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
                    "a state's name has 1 to 80 characters; `{}` has {}",
                    crate::diagnostic::shown(name),
                    name.chars().count()
                ),
            ));
        }
        if names.insert(name.to_string(), path.to_vec()).is_some() {
            findings.push(
                Finding::new(Code::DuplicateName, &at, format!("two states are named `{name}`"))
                    .help("names are unique in the whole machine, across branches"),
            );
        }
        for (steps, level) in inner(state) {
            let mut below = at.clone();
            below.extend(steps);
            collect(level, &below, names, findings);
        }
    }
}

/// `failing_counts`: whether a failure that ends well here makes the whole execution succeed.
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
                "`{target}` is in another branch; states lead only to states beside them"
            )),
            None => finding.nearest(target, known()),
        }
    };
    let mut start_path = level.path.clone();
    start_path.push(Segment::Key("StartAt".into()));
    match level.start {
        None => machine.findings.push(
            Finding::new(Code::InvalidState, &level.path, "`StartAt` is missing")
                .help("it names the first state"),
        ),
        Some(start) if level.get(start).is_none() && !level.states.is_empty() => {
            machine.findings.push(missing(start, &start_path));
        }
        Some(_) => {}
    }
    if level.states.is_empty() {
        machine.findings.push(Finding::new(
            Code::InvalidState,
            &level.path,
            "there are no states",
        ));
        return;
    }
    for (name, state) in level.states {
        for exit in exits(state).filter(|exit| level.get(exit.target).is_none()) {
            let mut path = level.path_of(name);
            path.extend(exit.path());
            machine.findings.push(missing(exit.target, &path));
        }
    }
    if let Some(start) = level.start.filter(|start| level.get(start).is_some()) {
        // Where a target is misspelt, what it meant is not reached: that is the same mistake.
        let whole = level
            .states
            .iter()
            .all(|(_, state)| exits(state).all(|exit| level.get(exit.target).is_some()));
        if whole {
            check_reachable(machine, level, start);
        }
        check_failures(machine, level, start, failing_counts);
    }
    for (name, state) in level.states {
        for (steps, below) in inner(state) {
            let mut path = level.path_of(name);
            path.extend(steps);
            // A map may tolerate that some items fail: what a handler in it does is a decision about one item.
            let counts = failing_counts && type_of(state) == "Parallel";
            check_level(machine, &Level::of(below, &path), counts, names);
        }
    }
}

fn check_reachable(machine: &mut Machine<'_>, level: &Level<'_>, start: &str) {
    let reached = reach(level, start, |_| true);
    for (name, _) in level.states {
        if !reached.contains(name.as_str()) {
            machine.findings.push(
                Finding::new(
                    Code::UnreachableState,
                    &level.path_of(name),
                    format!("nothing leads to the state `{name}`"),
                )
                .help("name it in a `Next`, `Default`, `Choices` or `Catch`, or take it out"),
            );
        }
    }
    // A state that leads nowhere has been reported: it is no loop as well.
    let leads_on = |state: &Term| exits(state).any(|exit| exit.way == Way::Normal);
    let mut finishing: BTreeSet<&str> = level
        .states
        .iter()
        .filter(|(_, s)| ends(s) || !leads_on(s))
        .map(|(name, _)| name.as_str())
        .collect();
    loop {
        let before = finishing.len();
        for (name, state) in level.states {
            // A target that does not exist has been reported; it is not a loop as well.
            let finishes = exits(state).any(|exit| {
                (exit.way == Way::Normal && finishing.contains(exit.target))
                    || level.get(exit.target).is_none()
            });
            if finishes {
                finishing.insert(name);
            }
        }
        if finishing.len() == before {
            break;
        }
    }
    let endless: Vec<&str> = level
        .states
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| reached.contains(name) && !finishing.contains(name))
        .filter(|name| level.get(name).is_some_and(|state| exits(state).next().is_some()))
        .collect();
    if let Some(first) = endless.first() {
        machine.findings.push(
            Finding::new(
                Code::NoTerminalState,
                &level.path_of(first),
                format!("from the state `{first}` nothing leads to an end"),
            )
            .note(format!(
                "{} lead only to each other",
                crate::diagnostic::listed(&endless)
            ))
            .help("one of them has to have `End: true` or lead to a state that ends"),
        );
    }
}

/// The states that can be reached by the ways that `follow` allows.
pub(super) fn reach<'a>(
    level: &Level<'a>,
    start: &'a str,
    follow: impl Fn(Way) -> bool,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(name) = next.pop() {
        let Some(state) = level.get(name) else { continue };
        if reached.insert(name) {
            let followed = exits(state).filter(|exit| follow(exit.way));
            next.extend(followed.map(|exit| exit.target));
        }
    }
    reached
}

/// D17 and D18: every state that can fail has a `Catch` of everything, and what is only reached by failing ends in `Fail`.
fn check_failures(machine: &mut Machine<'_>, level: &Level<'_>, start: &str, counts: bool) {
    let normal = reach(level, start, |way| way == Way::Normal);
    let deliberate = reach(level, start, |way| way != Way::AnyFailure);
    if counts {
        let all = reach(level, start, |_| true);
        for (name, state) in level.states {
            let only_by_failing = all.contains(name.as_str()) && !deliberate.contains(name.as_str());
            if only_by_failing && ends(state) && type_of(state) != "Fail" {
                machine.findings.push(
                    Finding::new(
                        Code::FailureEndsInSuccess,
                        &level.path_of(name),
                        format!("the state `{name}` is reached only after a failure, and ends the execution as succeeded"),
                    )
                    .note("alarms on failed executions stay silent, and whoever started it goes on")
                    .help(format!("let `{name}` lead to a state of type `Fail`")),
                );
            }
        }
    }
    // A machine's own level only: in a branch a failure fails the state around it, which has to catch it.
    if !level.path.is_empty() {
        return;
    }
    for (name, state) in level.states {
        if !normal.contains(name.as_str()) || !matches!(type_of(state), "Task" | "Parallel" | "Map") {
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
        let handler = level.states.iter().find_map(|(_, s)| {
            exits(s)
                .find(|exit| exit.way == Way::AnyFailure)
                .map(|exit| exit.target)
        });
        let message = if catchers.is_empty() {
            format!("the state `{name}` has no `Catch`")
        } else {
            format!("the `Catch` of the state `{name}` does not catch everything")
        };
        let mut finding = Finding::new(Code::MissingCatch, &level.path_of(name), message);
        finding.label = "when it fails, the execution ends without a word".to_owned();
        machine.findings.push(finding.help(format!(
            "add `Catch: [{{ErrorEquals: [States.ALL], ResultPath: $.error, Next: {}}}]`",
            handler.unwrap_or("HandleFailure")
        )));
    }
}
