//! Resolves `input`, `steps`, `item`, `error` and `execution` to paths.

use std::collections::BTreeSet;

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::source::Span;

use super::path::{PathStep, show};
use crate::read::{StepOutput, Steps};
use crate::runtime::{Names, among, path_text};
use crate::triggers::Trigger;

/// The position of an expression.
#[derive(Clone, Default)]
pub(crate) struct Position {
    /// Inside a map.
    pub(crate) item: bool,
    /// After a failure.
    pub(crate) error: bool,
    /// In the steps of the pipeline itself, not in a branch or a map.
    pub(crate) top: bool,
    /// Inside a distributed map, whose items have their own executions.
    pub(crate) distributed: bool,
    /// Paths that exist because a condition tests them.
    pub(crate) guards: Vec<String>,
    /// The step whose result is the result of the iteration.
    pub(crate) gives: Option<usize>,
}

/// The values that the steps of a map read from outside.
#[derive(Default)]
pub(crate) struct MapReads {
    /// The steps of the map.
    own: BTreeSet<usize>,
    pub(crate) inputs: BTreeSet<Text>,
    pub(crate) steps: BTreeSet<usize>,
    /// Whether they read the error that led to the map.
    pub(crate) error: bool,
    /// Whether there is such an error.
    failed: bool,
}

impl MapReads {
    pub(crate) fn new(own: BTreeSet<usize>, around: &Position) -> MapReads {
        MapReads {
            own,
            failed: around.error,
            ..MapReads::default()
        }
    }
}

/// Keys of the state that the pipeline reserves. An input with such a name is read from the execution instead.
pub(crate) const TAKEN: [&str; 3] = ["steps", "item", "error"];

/// The names in one position.
pub(crate) struct NamesInScope<'x> {
    pub(crate) steps: &'x Steps,
    /// Steps whose results are stored.
    pub(crate) kept: &'x BTreeSet<usize>,
    pub(crate) triggers: &'x [Trigger<'x>],
    pub(crate) maps: &'x mut Vec<MapReads>,
    pub(crate) position: &'x Position,
    pub(crate) reads: &'x mut Vec<(usize, Span)>,
    /// Paths that enclosing conditions test.
    pub(crate) guards: Vec<String>,
}

type PathResult = Result<String, Box<Diagnostic>>;

impl Names for NamesInScope<'_> {
    fn path(&mut self, name: &str, steps: &[(PathStep, Span)], span: Span, asked: bool) -> PathResult {
        match name {
            "input" => self.input(steps, span, asked),
            "steps" => self.result(steps, span, asked),
            "item" if self.position.item => Ok(path_text("$.item", plain(steps))),
            "item" => Err(outside(span, "item", "inside a `map`")),
            "error" if self.position.error => {
                self.maps.iter_mut().for_each(|map| map.error = map.failed);
                let steps = plain(steps)
                    .enumerate()
                    .map(|(index, step)| match (index, &step) {
                        (0, PathStep::Key(key)) if matches!(key.as_str(), "error" | "name") => {
                            PathStep::Key("Error".into())
                        }
                        (0, PathStep::Key(key)) if key == "cause" => PathStep::Key("Cause".into()),
                        _ => step,
                    });
                Ok(path_text("$.error", steps))
            }
            "error" => Err(outside(
                span,
                "error",
                "in `on_failure` and in the steps of a `catch`",
            )),
            "event" => Err(outside(span, "event", "in the `input` of a trigger")),
            _ => execution(steps, span),
        }
    }

    fn guards(&mut self) -> &mut Vec<String> {
        &mut self.guards
    }
}

impl NamesInScope<'_> {
    fn input(&mut self, steps: &[(PathStep, Span)], span: Span, asked: bool) -> PathResult {
        const EXECUTION: &str = "$$.Execution.Input";
        let Some((PathStep::Key(first), first_span)) = steps.first() else {
            if self.position.distributed {
                return Err(Box::new(
                    Diagnostic::new(
                        Code::NotAtRunTime,
                        "the whole input cannot be read in a distributed map",
                    )
                    .at(span, "each item has its own execution and input")
                    .help("read single values: `input.NAME`"),
                ));
            }
            return Ok(path_text(EXECUTION, plain(steps)));
        };
        let wanted: Vec<PathStep> = plain(steps).collect();
        let lacking: Vec<&Trigger<'_>> = self.triggers.iter().filter(|t| !t.shape.has(&wanted)).collect();
        let given = lacking.is_empty() && !self.triggers.is_empty();
        let (path, of_run) = (path_text("$", plain(steps)), path_text(EXECUTION, plain(steps)));
        // A map passes only values that always exist to its iterations. Tested values are read from the input of the execution.
        let uncertain = !self.maps.is_empty() && !given && !self.guarded(&path);
        if uncertain && self.position.distributed && (asked || self.guarded(&of_run)) {
            return Err(Box::new(
                Diagnostic::new(
                    Code::NotAtRunTime,
                    format!(
                        "`{}` cannot be tested in a distributed map",
                        show("input", &wanted)
                    ),
                )
                .at(span, "each item has its own execution and input")
                .help("test it in the `when` of the map"),
            ));
        }
        let path = if TAKEN.contains(&first.as_str()) || uncertain && (asked || self.guarded(&of_run)) {
            of_run
        } else {
            self.maps.iter_mut().for_each(|map| {
                map.inputs.insert(first.clone());
            });
            path
        };
        if asked || self.guarded(&path) || lacking.is_empty() {
            return Ok(path);
        }
        let shown = show("input", &wanted);
        let message = if lacking.len() == self.triggers.len() {
            format!("no trigger provides `{shown}`")
        } else {
            format!("not every trigger provides `{shown}`")
        };
        let mut problem =
            Diagnostic::new(Code::UnproducedValue, message).at(span, "the execution fails here without it");
        for trigger in lacking {
            problem = problem.also(trigger.span, format!("provides {}", among(trigger.shape.keys())));
        }
        let all = self
            .triggers
            .iter()
            .map(|trigger| trigger.shape.clone())
            .reduce(|a, b| a.meet(&b));
        let names: Vec<String> = all
            .iter()
            .flat_map(|shape| shape.keys().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        problem = problem.nearest(*first_span, first, names.iter().map(String::as_str));
        if problem.help.is_empty() {
            problem = problem.help(format!(
                "add it to the `input` of the trigger: `input: {{{first}: …}}`"
            ));
        }
        if !names.is_empty() {
            problem = problem.note(format!(
                "every trigger provides {}",
                among(names.iter().map(String::as_str))
            ));
        }
        Err(Box::new(problem))
    }

    fn guarded(&self, path: &str) -> bool {
        self.guards.iter().any(|guard| {
            path.strip_prefix(guard.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn result(&mut self, steps: &[(PathStep, Span)], span: Span, asked: bool) -> PathResult {
        let Some(((PathStep::Key(name), name_span), rest)) = steps.split_first() else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::UnknownStep,
                    "`steps` must be followed by the name of a step",
                )
                .at(span, "missing name")
                .note(format!("the steps are {}", among(self.steps.names()))),
            ));
        };
        let Some(id) = self.steps.find(name) else {
            let problem = Diagnostic::new(Code::UnknownStep, format!("no step is named `{name}`"))
                .at(*name_span, "")
                .nearest(*name_span, name, self.steps.names());
            return Err(Box::new(if problem.help.is_empty() {
                problem.note(format!("the steps are {}", among(self.steps.names())))
            } else {
                problem
            }));
        };
        let known = &self.steps.all[id];
        let mut path = vec![PathStep::Key(known.result.clone())];
        let mut rest: Vec<PathStep> = plain(rest).collect();
        let dropped = |what: &str| {
            Err(Box::new(
                Diagnostic::new(Code::UnproducedValue, format!("step `{name}` {what}"))
                    .at(span, "")
                    .also(known.span, "declared here"),
            ))
        };
        if known.inside == StepOutput::Nothing {
            return dropped("has no result");
        }
        if !self.kept.contains(&id) {
            return dropped("drops its result");
        }
        let mut inside: &[&str] = &[];
        match &known.inside {
            StepOutput::Nothing => {}
            StepOutput::Answer(keys) => inside = keys,
            StepOutput::Branches(children) => {
                if let Some(PathStep::Key(child)) = rest.first().cloned() {
                    let found = children
                        .iter()
                        .map(|(_, child)| *child)
                        .find(|id| self.steps.find(&child) == Some(*id) && self.kept.contains(id));
                    let Some(found) = found else {
                        let names: Vec<&str> = children
                            .iter()
                            .map(|(_, id)| self.steps.all[*id].name.as_str())
                            .collect();
                        return Err(Box::new(
                            Diagnostic::new(
                                Code::UnproducedValue,
                                format!("step `{name}` has no result `{child}`"),
                            )
                            .at(span, "")
                            .note(format!("its results are {}", among(names))),
                        ));
                    };
                    let found = &self.steps.all[found];
                    path.push(PathStep::Key(found.result.clone()));
                    rest.remove(0);
                    if let StepOutput::Answer(keys) = &found.inside {
                        inside = keys;
                    }
                }
            }
        }
        let written = matches!((rest.first(), inside.first()), (Some(PathStep::Key(a)), Some(b)) if a == b);
        if !written {
            path.extend(inside.iter().map(|key| PathStep::Key((*key).into())));
        }
        let whole = rest.is_empty();
        path.extend(rest);
        let path = path_text("$.steps", path);
        let guarded = self.guarded(&path);
        let mut around = false;
        for map in self.maps.iter_mut().filter(|map| !map.own.contains(&id)) {
            map.steps.insert(id);
            around = true;
        }
        if asked && around && whole && !guarded {
            return Err(Box::new(
                Diagnostic::new(
                    Code::NotAtRunTime,
                    format!("a map cannot test whether step `{name}` has run"),
                )
                .at(span, "each item gets only the results that its steps read")
                .also(known.span, "declared here")
                .help("test it in the `when` of the map"),
            ));
        }
        // A value that a map passes to its iterations must exist, even if they only test a part of it.
        if !guarded && (!asked || around) {
            self.reads.push((id, span));
        }
        Ok(path)
    }
}

fn plain<'s>(steps: &'s [(PathStep, Span)]) -> impl Iterator<Item = PathStep> + 's {
    steps.iter().map(|(step, _)| step.clone())
}

fn outside(span: Span, name: &str, place: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::Undefined, format!("`{name}` is not available here"))
            .at(span, format!("only available {place}")),
    )
}

const KEYS_OF_EXECUTION: &str = "expected one of `id`, `name`, `start_time`, `role`";

fn execution(steps: &[(PathStep, Span)], span: Span) -> PathResult {
    const PARTS: [(&str, &str); 4] = [
        ("id", "Id"),
        ("name", "Name"),
        ("start_time", "StartTime"),
        ("role", "RoleArn"),
    ];
    if let [(PathStep::Key(part), part_span)] = steps {
        return match PARTS.iter().find(|(name, _)| name == part) {
            Some((_, key)) => Ok(format!("$$.Execution.{key}")),
            None => Err(Box::new(
                Diagnostic::new(Code::Undefined, format!("`execution` has no key `{part}`"))
                    .at(*part_span, KEYS_OF_EXECUTION)
                    .nearest(*part_span, part, PARTS.iter().map(|(name, _)| *name)),
            )),
        };
    }
    Err(Box::new(
        Diagnostic::new(Code::Undefined, "`execution` must be followed by a key").at(span, KEYS_OF_EXECUTION),
    ))
}
