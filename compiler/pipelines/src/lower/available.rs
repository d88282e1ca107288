//! Checks the states of a pipeline: each is reachable and leads to an end, and the result of a step exists
//! wherever it is read.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

use crate::lower::{Level, State};
use crate::read::Steps;

/// Checks the states of a level. `whole` is whether all steps became states. Unreachable states are reported only then.
pub(crate) fn check(level: &Level, steps: &Steps, whole: bool, diagnostics: &mut Diagnostics) {
    if whole {
        reachable(level, steps, diagnostics);
    }
    available(level, steps, &BTreeSet::new(), diagnostics);
}

fn reachable(level: &Level, steps: &Steps, diagnostics: &mut Diagnostics) {
    let states: BTreeMap<&Text, &State> = level.states.iter().map(|state| (&state.name, state)).collect();
    let mut reached = BTreeSet::new();
    let mut next = vec![&level.start];
    while let Some(name) = next.pop() {
        if let Some(state) = states.get(name)
            && reached.insert(name)
        {
            next.extend(state.exits.iter().map(|(target, _)| target));
        }
    }
    let mut reported = BTreeSet::new();
    for state in &level.states {
        let own = steps
            .all
            .get(state.step)
            .is_some_and(|known| known.state == state.name);
        if !reached.contains(&state.name) && own && reported.insert(state.step) {
            let name = &steps.all[state.step].name;
            diagnostics.push(
                Diagnostic::new(Code::UnreachableState, format!("step `{name}` is unreachable"))
                    .at(state.span, "never runs")
                    .help("remove it, or continue to it from an earlier step"),
            );
        }
    }
    let mut finishing: BTreeSet<&Text> = level
        .states
        .iter()
        .filter(|state| !state.exits.iter().any(|(_, normal)| *normal))
        .map(|s| &s.name)
        .collect();
    loop {
        let before = finishing.len();
        for state in &level.states {
            if state
                .exits
                .iter()
                .any(|(target, normal)| *normal && finishing.contains(target))
            {
                finishing.insert(&state.name);
            }
        }
        if finishing.len() == before {
            break;
        }
    }
    if let Some(endless) = level
        .states
        .iter()
        .find(|s| reached.contains(&s.name) && !finishing.contains(&s.name))
    {
        diagnostics.push(
            Diagnostic::new(Code::NoTerminalState, "the pipeline never ends after this step")
                .at(endless.span, "leads to an endless loop")
                .help("let one of the following steps continue to a step outside the loop"),
        );
    }
    for state in &level.states {
        for inner in &state.levels {
            reachable(inner, steps, diagnostics);
        }
    }
}

/// Checks that every result that a state reads exists: its step has run on every path to the state.
fn available(level: &Level, steps: &Steps, before: &BTreeSet<usize>, diagnostics: &mut Diagnostics) {
    let mut at: BTreeMap<&Text, BTreeSet<usize>> = BTreeMap::new();
    let states: BTreeMap<&Text, &State> = level.states.iter().map(|state| (&state.name, state)).collect();
    at.insert(&level.start, before.clone());
    let mut waiting = vec![&level.start];
    while let Some(name) = waiting.pop() {
        let (Some(state), Some(here)) = (states.get(name), at.get(name).cloned()) else {
            continue;
        };
        for (target, normal) in &state.exits {
            let mut out = here.clone();
            if *normal && state.writes {
                out.insert(state.step);
            }
            let merged = match at.get(target) {
                Some(old) => old.intersection(&out).copied().collect(),
                None => out,
            };
            // Sets only ever shrink, so this ends.
            if at.get(target) != Some(&merged) {
                at.insert(target, merged);
                waiting.push(target);
            }
        }
    }
    for state in &level.states {
        let Some(here) = at.get(&state.name) else { continue };
        for (id, span) in &state.reads {
            if here.contains(id) {
                continue;
            }
            let known = &steps.all[*id];
            let mut problem = Diagnostic::new(
                Code::UnproducedValue,
                format!("the result of `{}` might not exist here", known.name),
            )
            .at(*span, "not every path to this step produces it")
            .also(known.span, "produces the result");
            let around = steps.all.iter().find(|around| {
                matches!(&around.inside, crate::read::StepOutput::Branches(children) if children.iter().any(|(_, c)| c == id))
            });
            if let Some(around) = around.filter(|_| !states.contains_key(&known.state)) {
                problem = problem.help(format!(
                    "read the result of a branch as `steps.{}.{}`",
                    around.result, known.result
                ));
            } else if here.is_empty() {
                problem = problem.note("no step produces a result on every path to this step");
            } else {
                let names = here.iter().map(|id| steps.all[*id].result.as_str());
                problem = problem.note(format!(
                    "the available results are those of {}",
                    crate::runtime::among(names)
                ));
            }
            diagnostics.push(problem);
        }
        for inner in &state.levels {
            available(inner, steps, here, diagnostics);
        }
    }
}
