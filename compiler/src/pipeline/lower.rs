//! Steps to states.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::Text;

use super::available;
use super::names::{Here, MapReads, Position};
use super::permission::Permissions;
use super::read::{Catcher, Gives, Kind, Known, Step, Steps, Way};
use super::runtime::{Condition, Runtime, Value};
use super::substitute::Substitutions;
use super::targets::Context;
use super::trigger::Trigger;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expression::{Expression, ExpressionKind, Scope, Template, template};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};
use crate::term::Term;
use crate::unit::Duration;

/// A state, with what the checks of the flow need to know of it.
pub(super) struct State {
    pub(super) name: Text,
    /// The step it is made of, and whether it leaves the step's result behind.
    pub(super) step: usize,
    pub(super) writes: bool,
    /// Where it leads, and whether without a failure.
    pub(super) exits: Vec<(Text, bool)>,
    pub(super) reads: Vec<(usize, Span)>,
    pub(super) levels: Vec<Level>,
    /// Its fields without the levels.
    pub(super) body: Term,
    pub(super) span: Span,
}

/// States beside each other.
pub(super) struct Level {
    pub(super) start: Text,
    pub(super) states: Vec<State>,
    /// How a map runs it.
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

/// Where a list of steps leads when it is through.
#[derive(Clone)]
pub(super) enum Exit {
    Next(Text),
    End,
}

/// The state in which a pipeline with `on_failure` ends when it has failed.
pub(super) const FAILED: &str = "PipelineFailed";

/// What lowering the steps of one pipeline carries along.
pub(super) struct Lowering<'a, 'd> {
    pub(super) context: &'d Context<'a>,
    /// What names mean when compiling.
    pub(super) scope: Scope<'a>,
    pub(super) files: &'a Files,
    pub(super) steps: Steps,
    pub(super) triggers: &'d [Trigger<'d>],
    pub(super) substitutions: Substitutions,
    pub(super) permissions: Permissions,
    pub(super) maps: Vec<MapReads>,
    pub(super) diagnostics: &'d mut Diagnostics,
    /// The pipeline's own `retry`.
    pub(super) retry: Option<&'d Node>,
    /// The pipeline's timeout in seconds, and the place that says so.
    pub(super) timeout: (i64, Option<Span>),
    pub(super) express: bool,
    /// The state that failures lead to.
    pub(super) handler: Option<Text>,
    /// The state that each step begins with: the step's own, or one that comes before it. None where a step is left out.
    pub(super) entries: BTreeMap<usize, Option<Text>>,
    /// Where the steps write, as far as their arguments say.
    pub(super) written: Vec<(Term, Span)>,
}

impl<'a> Lowering<'a, '_> {
    /// Whether later states find what a step gives.
    pub(super) fn keeps(&self, id: usize) -> bool {
        let known: &Known = &self.steps.all[id];
        known.asked != Some(false)
            && match &known.inside {
                Gives::Nothing => false,
                Gives::Branches(children) => children.iter().any(|(_, child)| self.keeps(*child)),
                Gives::Answer(_) => known.last.is_none_or(|last| self.keeps(last)),
            }
    }

    /// A list of steps; what it begins with, and its states.
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
            // A choice's own `when`s are its options'.
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
            Kind::Map(map, _) if prepares(map, files) => Text::from(format!("{}Items", step.state)),
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

    /// The state after a list, made where there is none.
    fn after(&mut self, exit: &Exit, step: &Step<'a>, suffix: &str) -> (Text, Option<State>) {
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
            body: Term::Map(Vec::new()),
            span: step.span,
        };
        let mut more: Vec<State> = Vec::new();
        let mut flows = true;
        match &step.kind {
            Kind::Task(call) => self.task(step, *call, position, &mut made),
            Kind::Parallel(branches) => self.parallel(step, branches, position, &mut made),
            Kind::Map(map, steps) => {
                if let Some(items) = self.map(step, map, steps, position, &mut made) {
                    states.push(items);
                }
            }
            Kind::Choice { options, default } => {
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
            Kind::Wait(wait) => self.wait(wait, position, &mut made),
            Kind::Fail(fail) => {
                flows = false;
                self.fail(fail, position, &mut made);
            }
            Kind::Succeed(succeed) => {
                flows = false;
                self.succeed(succeed, position, &mut made);
            }
            Kind::Pass(value) => self.pass(step, value, position, &mut made),
        }
        let fails = matches!(step.kind, Kind::Task(_) | Kind::Parallel(_) | Kind::Map(..));
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

    /// Where a step leaves its result, so that what was there before stays.
    fn result(&mut self, step: &Step<'a>, made: &mut State, position: &Position) {
        let path = format!("$.steps.{}", self.steps.all[step.id].result);
        made.writes = self.keeps(step.id);
        if !made.writes {
            // `ResultPath: null` would drop it, but CloudFormation takes no null in a template.
            made.body.set("ResultSelector", Term::map([("done", true)]));
        }
        made.body.set("ResultPath", path.as_str());
        if made.writes && position.gives == Some(step.id) {
            let mut steps = vec![path];
            if let Gives::Answer(inside) = &self.steps.all[step.id].inside {
                steps.extend(inside.iter().map(|key| (*key).to_owned()));
            }
            made.body.set("OutputPath", steps.join("."));
        }
    }

    fn task(&mut self, step: &Step<'a>, call: super::read::Call, position: &Position, made: &mut State) {
        made.body.set("Type", "Task");
        let mut reads = Vec::new();
        let Some(task) = self.call(call, step.body, position, &mut reads) else {
            made.reads = reads;
            return;
        };
        made.reads = reads;
        made.body.set("Resource", task.resource.as_str());
        made.body.set("Parameters", Term::Map(task.parameters));
        if self.keeps(step.id)
            && let Gives::Answer([key]) = &self.steps.all[step.id].inside
        {
            made.body.set(
                "ResultSelector",
                Term::map([(format!("{key}.$"), format!("$.{key}"))]),
            );
        }
        self.result(step, made, position);
        self.timeouts(step.body, &mut made.body);
    }

    /// `timeout` and `heartbeat`, each shorter than what is around it.
    pub(super) fn timeouts(&mut self, body: &Node, state: &mut Term) {
        let timeout = body
            .get("timeout")
            .and_then(|node| self.seconds(node).map(|s| (s, node.span)));
        let heartbeat = body
            .get("heartbeat")
            .and_then(|node| self.seconds(node).map(|s| (s, node.span)));
        let shown = |seconds: i64| Duration { seconds };
        if let Some((seconds, span)) = timeout {
            state.set("TimeoutSeconds", seconds);
            if seconds > self.timeout.0 {
                let mut problem = Diagnostic::new(
                    Code::TimeoutOrder,
                    format!(
                        "the step may take {}, longer than the whole pipeline, {}",
                        shown(seconds),
                        shown(self.timeout.0)
                    ),
                )
                .at(span, "longer than the pipeline's own timeout");
                problem = match self.timeout.1 {
                    Some(own) => problem.also(own, "the pipeline's"),
                    None => problem.note(format!(
                        "without `timeout`, a pipeline has {}",
                        shown(self.timeout.0)
                    )),
                };
                self.diagnostics.push(problem);
            }
        }
        if let Some((seconds, span)) = heartbeat {
            state.set("HeartbeatSeconds", seconds);
            let limit = timeout.map_or(self.timeout.0, |(seconds, _)| seconds);
            if seconds >= limit {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::TimeoutOrder,
                        format!(
                            "the heartbeat, {}, is not shorter than the timeout, {}",
                            shown(seconds),
                            shown(limit)
                        ),
                    )
                    .at(span, "a task is never silent for that long"),
                );
            }
        }
    }

    /// A duration of at least a second.
    pub(super) fn seconds(&mut self, node: &Node) -> Option<i64> {
        match node.as_str()?.parse::<Duration>() {
            Ok(duration) if duration.seconds >= 1 => Some(duration.seconds),
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(Code::InvalidValue, "this is not a duration of a second or more")
                        .at(node.span, "such as `30s`, `5m`, `4h`"),
                );
                None
            }
        }
    }

    fn parallel(
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
                    // Every step of the branch was left out: the branch does nothing, and keeps its place in the list of results.
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
            && let Gives::Branches(children) = self.steps.all[step.id].inside.clone()
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
                made.body.set("ResultSelector", Term::Map(selector));
            }
        }
        self.result(step, made, position);
    }

    fn map(
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
                Diagnostic::new(
                    Code::WrongType,
                    format!("a map goes over a list, not over {}", term.kind()),
                )
                .at(items.span, "not a list"),
            ),
            None => {}
        }
        made.reads = reads;
        let distributed = map.get("distributed").and_then(Node::as_bool) == Some(true);
        if distributed && self.express {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    "an `EXPRESS` pipeline cannot distribute a map",
                )
                .at(step.span, "each item would get an execution of its own"),
            );
        }
        self.maps.push(MapReads::new(inner_ids(steps)));
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
                    "`tolerated_failures` needs `distributed: true`",
                )
                .at(
                    step.span,
                    "in a map within one execution, the first failure ends it",
                ),
            ),
            (None, _) => {}
        }
        if distributed {
            self.allow_distributed();
        }
        self.result(step, made, position);
        before
    }

    /// What each iteration of a map is given: its item, and of the rest what its steps read.
    fn selector(&self, reads: &MapReads) -> Term {
        let mut entries: Vec<(Text, Term)> = vec![("item.$".into(), "$$.Map.Item.Value".into())];
        let path = |name: &str| {
            Term::from(super::runtime::path_text(
                "$",
                [super::path::PathStep::Key(name.into())],
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
        Term::Map(entries)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a choice joins what all the others keep apart"
    )]
    fn choice(
        &mut self,
        step: &Step<'a>,
        options: &[(&'a Node, Way<'a>)],
        default: Option<&Way<'a>>,
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

    /// The state a way leads to; the states of its own steps go to `more`.
    fn way(
        &mut self,
        step: &Step<'a>,
        way: &Way<'a>,
        exit: &Exit,
        position: &Position,
        more: &mut Vec<State>,
    ) -> Option<Text> {
        match way {
            Way::Goto(name, span) => self.goto(step, name, *span),
            Way::Steps(steps) => {
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

    fn goto(&mut self, step: &Step<'a>, name: &str, span: Span) -> Option<Text> {
        let known = self.steps.find(name);
        let level = self.steps.all[step.id].level;
        match known.map(|id| &self.steps.all[id]) {
            Some(found) if found.level == level => known.map(|id| mark(id, span)),
            Some(known) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::UnknownStep, format!("`{name}` is in another branch"))
                        .at(span, "a step leads only to steps beside it")
                        .also(known.span, "it is here"),
                );
                None
            }
            None => {
                let names: Vec<&str> = self
                    .steps
                    .all
                    .iter()
                    .filter(|known| known.level == level)
                    .map(|known| known.name.as_str())
                    .collect();
                let problem = Diagnostic::new(Code::UnknownStep, format!("no step is named `{name}`"))
                    .at(span, "no such step")
                    .nearest(span, name, names.iter().copied());
                let problem = if problem.help.is_empty() {
                    problem.help(format!("the steps here are {}", super::runtime::among(names)))
                } else {
                    problem
                };
                self.diagnostics.push(problem);
                None
            }
        }
    }

    fn catch(&mut self, step: &Step<'a>, position: &Position, made: &mut State, more: &mut Vec<State>) {
        let mut rules = Vec::new();
        let mut all = false;
        for catcher in &step.catch {
            self.order(&catcher.errors, all, step.body.get("catch"), step.span);
            all |= catcher.errors.contains(&"States.ALL");
            let Some(target) = self.caught(step, catcher, position, more) else {
                continue;
            };
            made.exits.push((target.clone(), false));
            rules.push(catch_rule(&catcher.errors, &target));
        }
        if let Some(handler) = self.handler.clone()
            && position.top
            && !position.error
            && !all
        {
            made.exits.push((handler.clone(), false));
            rules.push(catch_rule(&["States.ALL"], &handler));
        }
        if !rules.is_empty() {
            made.body.set("Catch", Term::List(rules));
        }
    }

    fn caught(
        &mut self,
        step: &Step<'a>,
        catcher: &Catcher<'a>,
        position: &Position,
        more: &mut Vec<State>,
    ) -> Option<Text> {
        let inside = Position {
            error: true,
            ..position.clone()
        };
        let Way::Steps(steps) = &catcher.way else {
            return self.way(step, &catcher.way, &Exit::End, &inside, more);
        };
        // After the steps of a `catch` the pipeline has failed; in a branch, the branch has.
        let name = if position.top {
            Text::from(FAILED)
        } else {
            Text::from(format!("{}Failed", step.state))
        };
        let (start, states) = self.list(steps, &Exit::Next(name.clone()), &inside);
        more.extend(states);
        if !position.top && !more.iter().any(|state| state.name == name) {
            more.push(failed(&name, step.id, step.span));
        }
        start.or(Some(name))
    }

    /// `States.ALL` stands alone and last.
    pub(super) fn order(&mut self, errors: &[&str], after_all: bool, list: Option<&Node>, span: Span) {
        let at = list.map_or(span, |list| list.key);
        if errors.contains(&"States.ALL") && errors.len() > 1 {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::CatchOrder,
                    "`States.ALL` stands alone, and here beside other errors",
                )
                .at(at, "it means every error already"),
            );
        }
        if after_all {
            self.diagnostics.push(
                Diagnostic::new(Code::CatchOrder, "a rule behind `States.ALL` is never reached")
                    .at(at, "the first rule that fits counts")
                    .help("put the rule with `States.ALL` last"),
            );
        }
    }

    fn wait(&mut self, wait: &'a Node, position: &Position, made: &mut State) {
        made.body.set("Type", "Wait");
        match wait.get("until") {
            None => {
                if let Some(seconds) = self.seconds(wait) {
                    made.body.set("Seconds", seconds);
                    if seconds > self.timeout.0 {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::TimeoutOrder,
                                "the step waits longer than the whole pipeline may take",
                            )
                            .at(wait.span, "longer than the pipeline's own timeout"),
                        );
                    }
                }
            }
            Some(until) => match self.payload(until, position, &mut made.reads) {
                Some(Value::Late(text)) if text.starts_with('$') => made.body.set("TimestampPath", text),
                Some(Value::Late(_)) => self.diagnostics.push(
                    Diagnostic::new(Code::NotAtRunTime, "a time to wait for is taken as it is")
                        .at(until.span, "compute it in a `pass` step before"),
                ),
                Some(Value::Known(term)) => made.body.set("Timestamp", term),
                None => {}
            },
        }
    }

    fn fail(&mut self, fail: &'a Node, position: &Position, made: &mut State) {
        made.body.set("Type", "Fail");
        let error = fail
            .get("error")
            .and_then(Node::as_str)
            .unwrap_or("PipelineFailed");
        made.body.set("Error", error);
        let cause = if fail.as_str().is_some() {
            Some(fail)
        } else {
            fail.get("cause")
        };
        match cause.and_then(|cause| self.payload(cause, position, &mut made.reads)) {
            Some(Value::Late(text)) => made.body.set("CausePath", text),
            Some(Value::Known(term)) => made.body.set("Cause", term),
            None => {}
        }
    }

    fn succeed(&mut self, succeed: &'a Node, position: &Position, made: &mut State) {
        match succeed.get("output").filter(|output| !output.is_null()) {
            None => made.body.set("Type", "Succeed"),
            Some(output) => {
                made.body.set("Type", "Pass");
                match self.payload(output, position, &mut made.reads) {
                    Some(Value::Late(text)) if text.starts_with('$') => made.body.set("InputPath", text),
                    Some(Value::Late(text)) => {
                        made.body.set("Parameters", Term::map([("value.$", text)]));
                    }
                    Some(Value::Known(term)) => made.body.set(static_or_template(&term), term),
                    None => {}
                }
                made.body.set("End", true);
            }
        }
    }

    fn pass(&mut self, step: &Step<'a>, value: &'a Node, position: &Position, made: &mut State) {
        made.body.set("Type", "Pass");
        let wrapped = value.entries().is_empty();
        match self.payload(value, position, &mut made.reads) {
            Some(Value::Late(text)) => made.body.set("Parameters", Term::map([("value.$", text)])),
            Some(Value::Known(term)) if wrapped => made.body.set("Result", Term::map([("value", term)])),
            Some(Value::Known(term)) => made.body.set(static_or_template(&term), term),
            None => {}
        }
        self.result(step, made, position);
    }

    fn retry(&mut self, step: &Step<'a>, made: &mut State) {
        let own = step.body.get("retry");
        let task = matches!(step.kind, Kind::Task(_));
        // A failed branch has tried again by itself; doing it all over is for those who say so.
        if own.is_none() && !task {
            return;
        }
        if let Some(rules) = self.retriers(own.or(self.retry), step.span) {
            made.body.set("Retry", rules);
        }
    }

    /// `Retry`; nothing where a step is not tried again.
    pub(super) fn retriers(&mut self, node: Option<&Node>, span: Span) -> Option<Term> {
        let fallback = Node {
            kind: NodeKind::Map(Vec::new()),
            span,
            key: span,
        };
        let node = node.unwrap_or(&fallback);
        if node.as_bool() == Some(false) {
            return None;
        }
        let list = if node.items().is_empty() {
            std::slice::from_ref(node)
        } else {
            node.items()
        };
        let mut rules = Vec::new();
        let mut all = false;
        for rule in list {
            let errors = rule.get("on").map(Node::items).unwrap_or_default();
            let mut errors: Vec<&str> = errors.iter().filter_map(Node::as_str).collect();
            if errors.is_empty() {
                errors.push("States.TaskFailed");
            }
            self.order(&errors, all, Some(node), span);
            all |= errors.contains(&"States.ALL");
            let interval = rule.get("interval").map_or(Some(30), |node| self.seconds(node))?;
            let number =
                |key: &str, default: i64| rule.get(key).and_then(Node::as_number).unwrap_or(default.into());
            let mut entries: Vec<(Text, Term)> = vec![
                ("ErrorEquals".into(), Term::list(errors)),
                ("IntervalSeconds".into(), interval.into()),
                ("MaxAttempts".into(), number("attempts", 3).into()),
                ("BackoffRate".into(), number("backoff", 2).into()),
            ];
            if let Some(longest) = rule
                .get("max_delay")
                .and_then(|node| self.seconds(node).map(|s| (s, node)))
            {
                if longest.0 <= interval {
                    self.diagnostics.push(
                        Diagnostic::new(Code::InvalidState, "`max_delay` is not longer than `interval`")
                            .at(longest.1.span, "the first wait is longer already"),
                    );
                }
                entries.push(("MaxDelaySeconds".into(), longest.0.into()));
            }
            if rule.get("jitter").and_then(Node::as_str) == Some("full") {
                entries.push(("JitterStrategy".into(), "FULL".into()));
            }
            rules.push(Term::Map(entries));
        }
        Some(Term::List(rules))
    }

    /// A condition, and the paths that are there where it is true.
    fn condition(
        &mut self,
        node: &'a Node,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
        guards: &mut Vec<String>,
    ) -> Option<Condition> {
        if let Some(known) = node.as_bool() {
            return Some(Condition::Known(known));
        }
        match template(node, self.files, self.diagnostics) {
            Template::Whole(expression) => {
                let mut found = Vec::new();
                let condition = self.with_runtime(position, reads, |runtime| {
                    runtime.condition(&expression, &mut found)
                });
                guards.extend(found);
                condition
            }
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(Code::WrongType, "a condition is an expression")
                        .at(node.span, "not an expression")
                        .help("such as `when: \"{{ input.mode == 'full' }}\"`"),
                );
                None
            }
        }
    }

    /// Runs a translation, and says what came of it.
    pub(super) fn with_runtime<T>(
        &mut self,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
        translate: impl FnOnce(&mut Runtime<'_, '_>) -> Result<T, super::runtime::Said>,
    ) -> Option<T> {
        let kept: BTreeSet<usize> = (0..self.steps.all.len()).filter(|id| self.keeps(*id)).collect();
        let mut here = Here {
            steps: &self.steps,
            kept: &kept,
            triggers: self.triggers,
            maps: &mut self.maps,
            position,
            reads,
            guards: position.guards.clone(),
        };
        let mut runtime = Runtime {
            scope: self.scope,
            names: &mut here,
            substitutions: &mut self.substitutions,
            failures: Vec::new(),
            problems: Vec::new(),
        };
        let result = translate(&mut runtime);
        let (failures, problems) = (runtime.failures, runtime.problems);
        for failure in failures {
            self.diagnostics.push(failure.diagnostic());
        }
        for problem in problems {
            self.diagnostics.push(problem);
        }
        result.ok()
    }

    /// A value as states hold it: a map with keys that end in `.$`, or one late value.
    pub(super) fn payload(
        &mut self,
        node: &Node,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
    ) -> Option<Value> {
        match &node.kind {
            NodeKind::String(_) => {
                let template = template(node, self.files, self.diagnostics);
                let value = self.with_runtime(position, reads, |runtime| runtime.template(&template))?;
                Some(match value {
                    Value::Known(term) => {
                        if has_secret(&term) {
                            self.diagnostics.push(
                                Diagnostic::new(Code::NotAtRunTime, "a secret cannot stand in a pipeline")
                                    .at(
                                        node.span,
                                        "everybody who may look at the definition or at a run would see it",
                                    )
                                    .help("let the task read the secret itself"),
                            );
                        }
                        Value::Known(self.substitutions.value(&term))
                    }
                    late => late,
                })
            }
            NodeKind::Map(entries) => {
                let mut out = Vec::new();
                for (key, value) in entries {
                    if key.starts_with('$') || key.ends_with(".$") {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::NotInThisVersion,
                                format!("`{key}` in a pipeline is not in this version"),
                            )
                            .at(
                                value.key,
                                "write the value as an expression: `key: \"{{ input.x }}\"`",
                            ),
                        );
                        continue;
                    }
                    match self.payload(value, position, reads) {
                        Some(Value::Late(text)) => out.push((format!("{key}.$").into(), Term::from(text))),
                        Some(Value::Known(Term::Omit)) | None => {}
                        Some(Value::Known(term)) => out.push((key.clone(), term)),
                    }
                }
                Some(Value::Known(Term::Map(out)))
            }
            NodeKind::List(items) => {
                let values: Vec<Value> = items
                    .iter()
                    .filter_map(|item| self.payload(item, position, reads))
                    .collect();
                if !values.iter().any(|value| matches!(value, Value::Late(_))) {
                    let terms = values.into_iter().filter_map(|value| match value {
                        Value::Known(term) => Some(term),
                        Value::Late(_) => None,
                    });
                    return Some(Value::Known(Term::List(terms.collect())));
                }
                let mut arguments = Vec::new();
                for value in values {
                    arguments.push(match value {
                        Value::Late(text) => text,
                        Value::Known(Term::String(text)) => {
                            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
                        }
                        Value::Known(term @ (Term::Number(_) | Term::Bool(_) | Term::Null)) => {
                            terrace_artifact::to_json_compact(&term.into_value())
                        }
                        Value::Known(_) => {
                            self.diagnostics.push(
                                Diagnostic::new(
                                    Code::NotAtRunTime,
                                    "a list of maps and values of a run cannot be written in one",
                                )
                                .at(node.span, "compute the values in `pass` steps before"),
                            );
                            return None;
                        }
                    });
                }
                Some(Value::Late(format!("States.Array({})", arguments.join(", "))))
            }
            _ => Some(Value::Known(Term::from_value(node.to_value()))),
        }
    }

    /// Holds the finished states against each other: what is reached, what ends, what has been produced where it is read.
    /// Where something is missing already, what follows it is not reached either, and is not told again.
    pub(super) fn check(&mut self, level: &Level, whole: bool) {
        available::check(level, &self.steps, whole, self.diagnostics);
    }

    /// Lets every `goto` lead to where its step begins, which is known only when all steps have been looked at.
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
            Term::Map(entries) => entries.iter_mut().for_each(|(_, term)| self.link_term(term)),
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
                        format!("the step `{}` is left out here", known.name),
                    )
                    .at(span, "leads to a step that is not there")
                    .also(known.span, "its `when` is false"),
                );
                known.state.clone()
            }
            None => self.steps.all[id].state.clone(),
        }
    }
}

/// A state that ends the execution with the error that led to it.
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

/// A level as `StartAt` and `States`.
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
        states.push((state.name, Term::Map(out)));
    }
    let mut entries: Vec<(Text, Term)> = Vec::new();
    entries.extend(level.config.map(|config| ("ProcessorConfig".into(), config)));
    entries.push(("StartAt".into(), Term::String(level.start)));
    entries.push(("States".into(), Term::Map(states)));
    Term::Map(entries)
}

/// A target that stands for a step, until it is known where the step begins. No state has such a name.
fn mark(id: usize, span: Span) -> Text {
    format!("\u{0}{id} {} {} {}", span.file.0, span.start, span.end).into()
}

fn marked(text: &str) -> Option<(usize, Span)> {
    let mut numbers = text.strip_prefix('\u{0}')?.split(' ');
    let id = numbers.next()?.parse().ok()?;
    let mut next = || numbers.next()?.parse().ok();
    let span = Span {
        file: crate::source::FileId(next()?),
        start: next()?,
        end: next()?,
    };
    Some((id, span))
}

/// Whether a map needs a state before it that makes its list: not where the list is a value of the run, as it is.
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

fn catch_rule(errors: &[&str], target: &str) -> Term {
    Term::map([
        ("ErrorEquals", Term::list(errors.iter().copied())),
        ("ResultPath", "$.error".into()),
        ("Next", target.into()),
    ])
}

fn with_next(rule: Term, target: &str) -> Term {
    let mut rule = rule;
    rule.set("Next", target);
    rule
}

/// `Result` for what is known, `Parameters` for what has paths in it.
fn static_or_template(term: &Term) -> &'static str {
    let mut late = false;
    super::path::templates(term, &mut Vec::new(), &mut |_, _| late = true);
    if late { "Parameters" } else { "Result" }
}

fn has_secret(term: &Term) -> bool {
    match term {
        Term::Secret(_) => true,
        Term::List(items) => items.iter().any(has_secret),
        Term::Map(entries) => entries.iter().any(|(_, term)| has_secret(term)),
        Term::Concat(parts) => parts.iter().any(has_secret),
        _ => false,
    }
}

fn inner_ids(steps: &[Step<'_>]) -> BTreeSet<usize> {
    let mut ids = BTreeSet::new();
    fn way(way: &Way<'_>, ids: &mut BTreeSet<usize>) {
        if let Way::Steps(steps) = way {
            add(steps, ids);
        }
    }
    fn add(steps: &[Step<'_>], ids: &mut BTreeSet<usize>) {
        for step in steps {
            ids.insert(step.id);
            match &step.kind {
                Kind::Parallel(branches) => branches.iter().for_each(|branch| add(branch, ids)),
                Kind::Map(_, steps) => add(steps, ids),
                Kind::Choice { options, default } => {
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
