//! Steps with several continuations: branches, maps, choices, and `goto`.

use std::collections::BTreeSet;

use terrace_artifact::Text;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use crate::lower::{Exit, Level, Lowering, State, mark, with_next};
use crate::read::{Continuation, Step, StepKind, StepOutput};
use crate::runtime::names::{MapReads, Position};
use crate::runtime::{Condition, Value};

impl<'a> Lowering<'a, '_> {
    pub(crate) fn parallel(
        &mut self,
        step: &Step<'a>,
        branches: &[Vec<Step<'a>>],
        position: &Position,
        made: &mut State,
    ) {
        made.body.set("Type", "Parallel");
        for branch in branches {
            let inner = Position {
                top: false,
                gives: None,
                ..position.clone()
            };
            let (start, states) = self.list(branch, &Exit::End, &inner);
            match start {
                Some(start) => made.levels.push(Level::new(start, states)),
                None => {
                    // A branch whose steps are all omitted keeps its index in the list of results.
                    let name = Text::from(format!("{}Nothing{}", step.state, made.levels.len() + 1));
                    let nothing = State {
                        name: name.clone(),
                        step: step.id,
                        writes: false,
                        exits: Vec::new(),
                        reads: Vec::new(),
                        levels: Vec::new(),
                        body: Term::map([("Type", Term::from("Pass")), ("End", Term::Bool(true))]),
                        span: step.span,
                    };
                    made.levels.push(Level::new(name, vec![nothing]));
                }
            }
        }
        if self.keeps(step.id)
            && let StepOutput::Branches(children) = self.steps.all[step.id].inside.clone()
        {
            let selector: Vec<(Text, Term)> = children
                .iter()
                .filter(|(_, child)| self.keeps(*child))
                .map(|(branch, child)| {
                    let result = &self.steps.all[*child].result;
                    (
                        format!("{result}.$").into(),
                        format!("$[{branch}].steps.{result}").into(),
                    )
                })
                .collect();
            if !selector.is_empty() {
                made.body.set("ResultSelector", Term::Map(selector.into()));
            }
        }
        self.result(step, made, position);
    }

    pub(crate) fn map(
        &mut self,
        step: &Step<'a>,
        map: &'a Node,
        steps: &[Step<'a>],
        position: &Position,
        made: &mut State,
    ) -> Option<State> {
        made.body.set("Type", "Map");
        let items = map.get("items")?;
        let path = format!("$.steps.{}", self.steps.all[step.id].result);
        let mut reads = Vec::new();
        let mut before = None;
        let prepare = |body: Term, reads: &mut Vec<(usize, Span)>| State {
            name: format!("{}Items", step.state).into(),
            step: step.id,
            writes: false,
            exits: vec![(step.state.clone(), true)],
            reads: std::mem::take(reads),
            levels: Vec::new(),
            body,
            span: step.span,
        };
        match self.payload(items, position, &mut reads) {
            Some(Value::Late(text)) if text.starts_with('$') => made.body.set("ItemsPath", text),
            Some(Value::Late(text)) => {
                made.body.set("ItemsPath", format!("{path}.value"));
                before = Some(prepare(
                    Term::map([
                        ("Type", Term::from("Pass")),
                        ("Parameters", Term::map([("value.$", text)])),
                        ("ResultPath", path.as_str().into()),
                        ("Next", Term::String(step.state.clone())),
                    ]),
                    &mut reads,
                ));
            }
            Some(Value::Known(term @ Term::List(_))) => {
                made.body.set("ItemsPath", path.as_str());
                before = Some(prepare(
                    Term::map([
                        ("Type", Term::from("Pass")),
                        ("Result", term),
                        ("ResultPath", path.as_str().into()),
                        ("Next", Term::String(step.state.clone())),
                    ]),
                    &mut reads,
                ));
            }
            Some(Value::Known(term)) => self.diagnostics.push(
                Diagnostic::new(Code::WrongType, "the items of a map must be a list")
                    .at(items.span, format!("found {}", term.kind())),
            ),
            None => {}
        }
        made.reads = reads;
        let distributed = map.get("distributed").and_then(Node::as_bool) == Some(true);
        if distributed && self.express {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    "an `EXPRESS` pipeline cannot have a distributed map",
                )
                .at(step.span, "each item would start its own execution"),
            );
        }
        self.maps.push(MapReads::new(inner_ids(steps), position));
        let last = steps.last().map(|last| last.id).filter(|_| self.keeps(step.id));
        let inner = Position {
            item: true,
            top: false,
            distributed: position.distributed || distributed,
            gives: last.filter(|last| self.keeps(*last)),
            ..position.clone()
        };
        let (start, states) = self.list(steps, &Exit::End, &inner);
        let reads = self.maps.pop().unwrap_or_default();
        let config = if distributed {
            Term::map([("Mode", "DISTRIBUTED"), ("ExecutionType", "STANDARD")])
        } else {
            Term::map([("Mode", "INLINE")])
        };
        made.levels.extend(start.map(|start| Level {
            config: Some(config),
            ..Level::new(start, states)
        }));
        made.body.set("ItemSelector", self.selector(&reads));
        let tolerated = map.get("tolerated_failures").and_then(Node::as_number);
        if let Some(number) = map.get("max_concurrency").and_then(Node::as_number) {
            made.body.set("MaxConcurrency", number);
        }
        match (tolerated, distributed) {
            (Some(percent), true) => made.body.set("ToleratedFailurePercentage", percent),
            (Some(_), false) => self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    "`tolerated_failures` requires `distributed: true`",
                )
                .at(step.span, "the first failure ends a map that is not distributed"),
            ),
            (None, _) => {}
        }
        if distributed {
            self.allow_distributed();
        }
        self.result(step, made, position);
        before
    }

    /// Returns the input of each iteration of a map: its item, and the values that its steps read.
    pub(crate) fn selector(&self, reads: &MapReads) -> Term {
        let mut entries: Vec<(Text, Term)> = vec![("item.$".into(), "$$.Map.Item.Value".into())];
        let path = |name: &str| {
            Term::from(crate::runtime::path_text(
                "$",
                [crate::runtime::path::PathStep::Key(name.into())],
            ))
        };
        for name in &reads.inputs {
            entries.push((format!("{name}.$").into(), path(name)));
        }
        if reads.error {
            entries.push(("error.$".into(), "$.error".into()));
        }
        if !reads.steps.is_empty() {
            let steps = reads.steps.iter().map(|id| {
                let result = &self.steps.all[*id].result;
                (format!("{result}.$"), format!("$.steps.{result}"))
            });
            entries.push(("steps".into(), Term::map(steps)));
        }
        Term::Map(entries.into())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a choice combines values that other steps keep separate"
    )]
    pub(crate) fn choice(
        &mut self,
        step: &Step<'a>,
        options: &[(&'a Node, Continuation<'a>)],
        default: Option<&Continuation<'a>>,
        exit: &Exit,
        position: &Position,
        made: &mut State,
        more: &mut Vec<State>,
    ) {
        let mut choices = Vec::new();
        let mut decided = None;
        for (when, way) in options {
            let mut guards = Vec::new();
            let condition = self.condition(when, position, &mut made.reads, &mut guards);
            let mut inside = position.clone();
            inside.guards.extend(guards);
            match condition {
                Some(Condition::Known(false)) => continue,
                Some(Condition::Known(true)) => {
                    decided = Some(way);
                    break;
                }
                Some(Condition::Rule(rule)) => {
                    let Some(target) = self.way(step, way, exit, &inside, more) else {
                        continue;
                    };
                    made.exits.push((target.clone(), true));
                    choices.push(with_next(rule, &target));
                }
                None => {
                    self.way(step, way, exit, &inside, more);
                }
            }
        }
        let otherwise = match decided.or(default) {
            Some(way) => self.way(step, way, exit, position, more),
            None => {
                let (after, extra) = self.after(exit, step, "Done");
                more.extend(extra);
                Some(after)
            }
        };
        let Some(otherwise) = otherwise else { return };
        made.exits.push((otherwise.clone(), true));
        made.body = if choices.is_empty() {
            Term::map([("Type", Term::from("Pass")), ("Next", Term::String(otherwise))])
        } else {
            Term::map([
                ("Type", Term::from("Choice")),
                ("Choices", Term::List(choices)),
                ("Default", Term::String(otherwise)),
            ])
        };
    }

    /// Returns the state that a continuation leads to. Adds the states of its steps to `more`.
    pub(crate) fn way(
        &mut self,
        step: &Step<'a>,
        way: &Continuation<'a>,
        exit: &Exit,
        position: &Position,
        more: &mut Vec<State>,
    ) -> Option<Text> {
        match way {
            Continuation::Goto(name, span) => self.goto(step, name, *span),
            Continuation::Steps(steps) => {
                let (start, states) = self.list(steps, exit, position);
                more.extend(states);
                start.or_else(|| {
                    let (after, extra) = self.after(exit, step, "Done");
                    more.extend(extra);
                    Some(after)
                })
            }
        }
    }

    pub(crate) fn goto(&mut self, step: &Step<'a>, name: &str, span: Span) -> Option<Text> {
        let known = self.steps.find(name);
        let level = self.steps.all[step.id].level;
        match known.map(|id| &self.steps.all[id]) {
            Some(found) if found.level == level => known.map(|id| mark(id, span)),
            Some(known) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::UnknownStep, format!("step `{name}` is in another branch"))
                        .at(span, "a step can continue only to steps of the same list")
                        .also(known.span, "declared here"),
                );
                None
            }
            None => {
                let names: Vec<&str> = self
                    .steps
                    .all
                    .iter()
                    .enumerate()
                    .filter(|(id, known)| known.level == level && *id != step.id)
                    .map(|(_, known)| known.name.as_str())
                    .collect();
                let problem = Diagnostic::new(Code::UnknownStep, format!("no step is named `{name}`"))
                    .at(span, "")
                    .nearest(span, name, names.iter().copied());
                let problem = match names.as_slice() {
                    _ if !problem.help.is_empty() => problem,
                    [] => problem.note("this list has no other steps"),
                    _ => problem.note(format!(
                        "the other steps of this list are {}",
                        crate::runtime::among(names)
                    )),
                };
                self.diagnostics.push(problem);
                None
            }
        }
    }
}

fn inner_ids(steps: &[Step<'_>]) -> BTreeSet<usize> {
    let mut ids = BTreeSet::new();
    fn way(way: &Continuation<'_>, ids: &mut BTreeSet<usize>) {
        if let Continuation::Steps(steps) = way {
            add(steps, ids);
        }
    }
    fn add(steps: &[Step<'_>], ids: &mut BTreeSet<usize>) {
        for step in steps {
            ids.insert(step.id);
            match &step.kind {
                StepKind::Parallel(branches) => branches.iter().for_each(|branch| add(branch, ids)),
                StepKind::Map(_, steps) => add(steps, ids),
                StepKind::Choice { options, default } => {
                    options.iter().for_each(|(_, w)| way(w, ids));
                    if let Some(default) = default {
                        way(default, ids);
                    }
                }
                _ => {}
            }
            step.catch.iter().for_each(|catcher| way(&catcher.way, ids));
        }
    }
    add(steps, &mut ids);
    ids
}
