//! Lowers steps to states.

mod available;
mod branch;
pub(crate) mod encryption;
pub(crate) mod failure;
mod simple;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::Text;
use terrace_language::aws::iam::Policy;
use terrace_language::expression::{Expression, ExpressionKind, Scope, Template, template};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Files, Span};

use super::read::{Step, StepFacts, StepKind, StepOutput, Steps};
use super::runtime::Condition;
use super::targets::Context;
use crate::runtime::names::{MapReads, Position};
use crate::runtime::substitute::Substitutions;
use crate::triggers::Trigger;

/// A state, with the facts that the flow checks need.
pub(super) struct State {
    pub(super) name: Text,
    /// The step of the state, and whether the state stores the result of the step.
    pub(super) step: usize,
    pub(super) writes: bool,
    /// The states that it leads to, each with whether it does so without a failure.
    pub(super) exits: Vec<(Text, bool)>,
    pub(super) reads: Vec<(usize, Span)>,
    pub(super) levels: Vec<Level>,
    /// Its fields without the levels.
    pub(super) body: Term,
    pub(super) span: Span,
}

/// The states of one list.
pub(super) struct Level {
    pub(super) start: Text,
    pub(super) states: Vec<State>,
    /// The configuration of the map that runs it.
    pub(super) config: Option<Term>,
}

impl Level {
    pub(super) fn new(start: Text, states: Vec<State>) -> Level {
        Level {
            start,
            states,
            config: None,
        }
    }
}

/// The continuation after a list of steps.
#[derive(Clone)]
pub(super) enum Exit {
    Next(Text),
    End,
}

/// The final state of a failed pipeline with `on_failure`.
pub(super) const FAILED: &str = "PipelineFailed";

/// The state of lowering one pipeline.
pub(super) struct Lowering<'a, 'd> {
    pub(super) context: &'d Context<'a>,
    /// The names at compile time.
    pub(super) scope: Scope<'a>,
    pub(super) files: &'a Files,
    pub(super) steps: Steps,
    pub(super) triggers: &'d [Trigger<'d>],
    pub(super) substitutions: Substitutions,
    pub(super) permissions: Policy,
    pub(super) maps: Vec<MapReads>,
    pub(super) diagnostics: &'d mut Diagnostics,
    /// The `retry` of the pipeline.
    pub(super) retry: Option<&'d Node>,
    /// The timeout of the pipeline in seconds, and its span.
    pub(super) timeout: (i64, Option<Span>),
    pub(super) express: bool,
    /// The state that failures lead to.
    pub(super) handler: Option<Text>,
    /// The first state of each step: its own, or one before it. `None` if the step is omitted.
    pub(super) entries: BTreeMap<usize, Option<Text>>,
}

impl<'a> Lowering<'a, '_> {
    /// Returns whether the result of a step is stored for later states.
    pub(super) fn keeps(&self, id: usize) -> bool {
        let known: &StepFacts = &self.steps.all[id];
        known.asked != Some(false)
            && match &known.inside {
                StepOutput::Nothing => false,
                StepOutput::Branches(children) => children.iter().any(|(_, child)| self.keeps(*child)),
                StepOutput::Answer(_) => known.last.is_none_or(|last| self.keeps(last)),
            }
    }

    /// Reports steps whose state has the name of a generated state, because one of the two would be
    /// lost.
    pub(super) fn distinct(&mut self, states: &[State]) {
        let mut all: Vec<&State> = Vec::new();
        let mut open: Vec<&State> = states.iter().collect();
        while let Some(state) = open.pop() {
            open.extend(state.levels.iter().flat_map(|level| &level.states));
            all.push(state);
        }
        let own = |state: &State| {
            self.steps
                .all
                .get(state.step)
                .filter(|known| known.state == state.name)
        };
        let made: BTreeSet<&Text> = all
            .iter()
            .filter(|state| own(state).is_none())
            .map(|state| &state.name)
            .collect();
        for step in all.iter().filter_map(|state| own(state)) {
            if made.contains(&step.state) {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::DuplicateName,
                        format!(
                            "the pipeline already has a generated state `{}`",
                            shown(&step.state)
                        ),
                    )
                    .at(
                        step.span,
                        format!("also becomes the state `{}`", shown(&step.state)),
                    )
                    .help("rename the step"),
                );
            }
        }
    }

    /// Lowers a list of steps. Returns its first state and all its states.
    pub(super) fn list(
        &mut self,
        steps: &[Step<'a>],
        exit: &Exit,
        position: &Position,
    ) -> (Option<Text>, Vec<State>) {
        struct Entry<'s, 'a> {
            step: &'s Step<'a>,
            condition: Option<Term>,
            reads: Vec<(usize, Span)>,
            guards: Vec<String>,
        }
        let mut entries: Vec<Entry<'_, 'a>> = Vec::new();
        for step in steps {
            let mut entry = Entry {
                step,
                condition: None,
                reads: Vec::new(),
                guards: Vec::new(),
            };
            // The options of a choice have their own `when`.
            if let Some(when) = step.body.get("when") {
                match self.condition(when, position, &mut entry.reads, &mut entry.guards) {
                    Some(Condition::Known(false)) => {
                        self.entries.insert(step.id, None);
                        continue;
                    }
                    Some(Condition::Known(true)) | None => {}
                    Some(Condition::Rule(rule)) => entry.condition = Some(rule),
                }
            }
            entries.push(entry);
        }
        let files = self.files;
        let inside = |step: &Step<'a>| match &step.kind {
            StepKind::Map(map, _) if prepares(map, files) => Text::from(format!("{}Items", step.state)),
            _ => step.state.clone(),
        };
        let name = |entry: &Entry<'_, 'a>| match entry.condition {
            Some(_) => Text::from(format!("If{}", entry.step.state)),
            None => inside(entry.step),
        };
        let names: Vec<Text> = entries.iter().map(name).collect();
        for (entry, name) in entries.iter().zip(&names) {
            self.entries.insert(entry.step.id, Some(name.clone()));
        }
        let mut states = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let next = match names.get(index + 1) {
                Some(next) => Exit::Next(next.clone()),
                None => exit.clone(),
            };
            if let Some(rule) = entry.condition {
                let (after, extra) = self.after(&next, entry.step, "Skipped");
                let target = inside(entry.step);
                let choice = with_next(rule, &target);
                states.push(State {
                    name: names[index].clone(),
                    step: entry.step.id,
                    writes: false,
                    exits: vec![(target, true), (after.clone(), true)],
                    reads: entry.reads,
                    levels: Vec::new(),
                    body: Term::map([
                        ("Type", Term::from("Choice")),
                        ("Choices", Term::List(vec![choice])),
                        ("Default", Term::String(after)),
                    ]),
                    span: entry.step.span,
                });
                states.extend(extra);
            }
            let mut inside = position.clone();
            inside.guards.extend(entry.guards);
            self.step(entry.step, &next, &inside, &mut states);
        }
        (
            names.into_iter().next().or(match exit {
                Exit::Next(next) => Some(next.clone()),
                Exit::End => None,
            }),
            states,
        )
    }

    /// Returns the state after a list, and creates it if there is none.
    pub(super) fn after(&mut self, exit: &Exit, step: &Step<'a>, suffix: &str) -> (Text, Option<State>) {
        match exit {
            Exit::Next(next) => (next.clone(), None),
            Exit::End => {
                let name = Text::from(format!("{}{suffix}", step.state));
                let state = State {
                    name: name.clone(),
                    step: step.id,
                    writes: false,
                    exits: Vec::new(),
                    reads: Vec::new(),
                    levels: Vec::new(),
                    body: Term::map([("Type", "Succeed")]),
                    span: step.span,
                };
                (name, Some(state))
            }
        }
    }

    fn step(&mut self, step: &Step<'a>, exit: &Exit, position: &Position, states: &mut Vec<State>) {
        let mut made = State {
            name: step.state.clone(),
            step: step.id,
            writes: false,
            exits: Vec::new(),
            reads: Vec::new(),
            levels: Vec::new(),
            body: Term::Map(Vec::new().into()),
            span: step.span,
        };
        let mut more: Vec<State> = Vec::new();
        let mut flows = true;
        match &step.kind {
            StepKind::Task(call) => self.task(step, *call, position, &mut made),
            StepKind::Parallel(branches) => self.parallel(step, branches, position, &mut made),
            StepKind::Map(map, steps) => {
                if let Some(items) = self.map(step, map, steps, position, &mut made) {
                    states.push(items);
                }
            }
            StepKind::Choice { options, default } => {
                flows = false;
                self.choice(
                    step,
                    options,
                    default.as_ref(),
                    exit,
                    position,
                    &mut made,
                    &mut more,
                );
            }
            StepKind::Wait(wait) => self.wait(wait, position, &mut made),
            StepKind::Fail(fail) => {
                flows = false;
                self.fail(fail, position, &mut made);
            }
            StepKind::Succeed(succeed) => {
                flows = false;
                self.succeed(succeed, position, &mut made);
            }
            StepKind::Pass(value) => self.pass(step, value, position, &mut made),
        }
        let fails = matches!(
            step.kind,
            StepKind::Task(_) | StepKind::Parallel(_) | StepKind::Map(..)
        );
        if fails {
            self.retry(step, &mut made);
            self.catch(step, position, &mut made, &mut more);
        }
        if flows {
            match exit {
                Exit::Next(next) => {
                    made.body.set("Next", next.clone());
                    made.exits.push((next.clone(), true));
                }
                Exit::End => {
                    made.body.set("End", true);
                }
            }
        }
        states.push(made);
        states.extend(more);
    }

    /// Checks that the states are reachable, end, and read only results that exist.
    /// If a step is invalid, the steps after it are unreachable and are not reported.
    pub(super) fn check(&mut self, level: &Level, whole: bool) {
        available::check(level, &self.steps, whole, self.diagnostics);
    }

    /// Resolves every `goto` to the first state of its step, which is known only after all steps are lowered.
    pub(super) fn link(&mut self, states: &mut [State]) {
        for state in states {
            for (target, _) in &mut state.exits {
                if let Some((id, span)) = marked(target) {
                    *target = self.entry(id, span);
                }
            }
            self.link_term(&mut state.body);
            for level in &mut state.levels {
                self.link(&mut level.states);
            }
        }
    }

    fn link_term(&mut self, term: &mut Term) {
        match term {
            Term::String(text) => {
                if let Some((id, span)) = marked(text) {
                    *text = self.entry(id, span);
                }
            }
            Term::List(items) => items.iter_mut().for_each(|item| self.link_term(item)),
            Term::Map(entries) => {
                let entries = entries.make_mut().iter_mut();
                entries.for_each(|(_, term)| self.link_term(term));
            }
            _ => {}
        }
    }

    fn entry(&mut self, id: usize, span: Span) -> Text {
        match self.entries.get(&id) {
            Some(Some(entry)) => entry.clone(),
            Some(None) => {
                let known = &self.steps.all[id];
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownStep,
                        format!("step `{}` is omitted in this environment", known.name),
                    )
                    .at(span, "leads to the omitted step")
                    .also(known.span, "its `when` is false"),
                );
                known.state.clone()
            }
            None => self.steps.all[id].state.clone(),
        }
    }
}

/// Creates a state that ends the execution with the error that led to it.
pub(super) fn failed(name: &str, step: usize, span: Span) -> State {
    State {
        name: name.into(),
        step,
        writes: false,
        exits: Vec::new(),
        reads: Vec::new(),
        levels: Vec::new(),
        body: Term::map([
            ("Type", "Fail"),
            ("ErrorPath", "$.error.Error"),
            ("CausePath", "States.JsonToString($.error)"),
        ]),
        span,
    }
}

/// Converts a level to `StartAt` and `States`.
pub(super) fn finish(level: Level) -> Term {
    let mut states = Vec::new();
    for state in level.states {
        let Term::Map(entries) = state.body else { continue };
        let is_map = entries
            .iter()
            .any(|(key, value)| key == "Type" && value.as_str() == Some("Map"));
        // A reader wants to see what a state does before how its result is kept.
        let opens = if is_map { "ItemSelector" } else { "Type" };
        let mut levels = state.levels;
        let mut out: Vec<(Text, Term)> = Vec::new();
        for (key, value) in entries {
            let here = key == opens;
            out.push((key, value));
            if !here || levels.is_empty() {
                continue;
            }
            let mut inner = std::mem::take(&mut levels).into_iter().map(finish);
            out.push(if is_map {
                ("ItemProcessor".into(), inner.next().unwrap_or_default())
            } else {
                ("Branches".into(), Term::List(inner.collect()))
            });
        }
        states.push((state.name, Term::Map(out.into())));
    }
    let mut entries: Vec<(Text, Term)> = Vec::new();
    entries.extend(level.config.map(|config| ("ProcessorConfig".into(), config)));
    entries.push(("StartAt".into(), Term::String(level.start)));
    entries.push(("States".into(), Term::Map(states.into())));
    Term::Map(entries.into())
}

pub(super) fn with_next(rule: Term, target: &str) -> Term {
    let mut rule = rule;
    rule.set("Next", target);
    rule
}

/// Returns a placeholder for a step whose first state is not known yet. No state has such a name.
pub(super) fn mark(id: usize, span: Span) -> Text {
    format!("\u{0}{id} {} {} {}", span.file.0, span.start, span.end).into()
}

fn marked(text: &str) -> Option<(usize, Span)> {
    let mut numbers = text.strip_prefix('\u{0}')?.split(' ');
    let id = numbers.next()?.parse().ok()?;
    let mut next = || numbers.next()?.parse().ok();
    let span = Span {
        file: terrace_syntax::source::FileId(next()?),
        start: next()?,
        end: next()?,
    };
    Some((id, span))
}

/// Returns whether a map requires a state before it that builds its list. It does not if the list is a plain run-time value.
fn prepares(map: &Node, files: &Files) -> bool {
    fn is_path(expression: &Expression) -> bool {
        match &expression.kind {
            ExpressionKind::Name(name) => super::runtime::NAMES.contains(&name.as_str()),
            ExpressionKind::Attribute(of, _) => is_path(of),
            ExpressionKind::Index(of, index) => is_path(of) && !super::runtime::is_late(index),
            _ => false,
        }
    }
    let Some(items) = map.get("items") else {
        return false;
    };
    match template(items, files, &mut Diagnostics::new()) {
        Template::Whole(expression) => !is_path(&expression),
        _ => true,
    }
}
