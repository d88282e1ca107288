//! What `input`, `steps`, `item`, `error` and `execution` lead to where an expression stands.

use std::collections::BTreeSet;

use terrace_artifact::Text;

use super::path::{PathStep, show};
use super::read::{Gives, Steps};
use super::runtime::{Names, among, path_text};
use super::trigger::Trigger;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Where an expression stands.
#[derive(Clone, Default)]
pub(super) struct Position {
    /// Inside a map.
    pub(super) item: bool,
    /// After a failure.
    pub(super) error: bool,
    /// Among the pipeline's own steps: not in a branch, not in a map.
    pub(super) top: bool,
    /// Inside a map whose items have executions of their own.
    pub(super) distributed: bool,
    /// Paths that are there because a condition has asked for them.
    pub(super) guards: Vec<String>,
    /// The step whose result is what the map's iteration gives.
    pub(super) gives: Option<usize>,
}

/// What the steps of a map read from around it.
#[derive(Default)]
pub(super) struct MapReads {
    /// The map's own steps.
    own: BTreeSet<usize>,
    pub(super) inputs: BTreeSet<Text>,
    pub(super) steps: BTreeSet<usize>,
    /// Whether they read the error that led to the map, not one of the map's own steps.
    pub(super) error: bool,
    /// Whether there is such an error.
    failed: bool,
}

impl MapReads {
    pub(super) fn new(own: BTreeSet<usize>, around: &Position) -> MapReads {
        MapReads {
            own,
            failed: around.error,
            ..MapReads::default()
        }
    }
}

/// Keys of the state that are ours: an input of that name is read from the execution instead.
pub(super) const TAKEN: [&str; 3] = ["steps", "item", "error"];

/// The names at one place.
pub(super) struct Here<'x> {
    pub(super) steps: &'x Steps,
    /// Steps that leave their results behind.
    pub(super) kept: &'x BTreeSet<usize>,
    pub(super) triggers: &'x [Trigger<'x>],
    pub(super) maps: &'x mut Vec<MapReads>,
    pub(super) position: &'x Position,
    pub(super) reads: &'x mut Vec<(usize, Span)>,
    /// Paths that conditions around this place have asked for.
    pub(super) guards: Vec<String>,
}

type Found = Result<String, Box<Diagnostic>>;

impl Names for Here<'_> {
    fn path(&mut self, name: &str, steps: &[(PathStep, Span)], span: Span, asked: bool) -> Found {
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

impl Here<'_> {
    fn input(&mut self, steps: &[(PathStep, Span)], span: Span, asked: bool) -> Found {
        const EXECUTION: &str = "$$.Execution.Input";
        let Some((PathStep::Key(first), first_span)) = steps.first() else {
            if self.position.distributed {
                return Err(Box::new(
                    Diagnostic::new(
                        Code::NotAtRunTime,
                        "the whole input cannot be read in a distributed map",
                    )
                    .at(span, "each item has an execution, and an input, of its own")
                    .help("read what is needed of it: `input.NAME`"),
                ));
            }
            return Ok(path_text(EXECUTION, plain(steps)));
        };
        let wanted: Vec<PathStep> = plain(steps).collect();
        let lacking: Vec<&Trigger<'_>> = self.triggers.iter().filter(|t| !t.shape.has(&wanted)).collect();
        let given = lacking.is_empty() && !self.triggers.is_empty();
        let (path, of_run) = (path_text("$", plain(steps)), path_text(EXECUTION, plain(steps)));
        // A map gives its iterations what is certainly there. What is only asked for is read from the whole run's input.
        let uncertain = !self.maps.is_empty() && !given && !self.guarded(&path);
        if uncertain && self.position.distributed && (asked || self.guarded(&of_run)) {
            return Err(Box::new(
                Diagnostic::new(
                    Code::NotAtRunTime,
                    format!(
                        "`{}` cannot be asked for in a distributed map",
                        show("input", &wanted)
                    ),
                )
                .at(span, "each item has an execution, and an input, of its own")
                .help("ask before the map, in its `when`"),
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
            format!("no trigger gives `{shown}`")
        } else {
            format!("not every trigger gives `{shown}`")
        };
        let mut problem =
            Diagnostic::new(Code::UnproducedValue, message).at(span, "without it, the run fails here");
        for trigger in lacking {
            problem = problem.also(trigger.span, format!("gives {}", among(trigger.shape.keys())));
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
                "give it under the trigger's `input`: `input: {{{first}: …}}`"
            ));
        }
        if !names.is_empty() {
            problem = problem.note(format!(
                "every trigger gives {}",
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

    fn result(&mut self, steps: &[(PathStep, Span)], span: Span, asked: bool) -> Found {
        let Some(((PathStep::Key(name), name_span), rest)) = steps.split_first() else {
            return Err(Box::new(
                Diagnostic::new(Code::UnknownStep, "`steps` is read by the name of a step")
                    .at(span, "which step?")
                    .help(format!("the steps are {}", among(self.steps.names()))),
            ));
        };
        let Some(id) = self.steps.find(name) else {
            let problem = Diagnostic::new(Code::UnknownStep, format!("no step is named `{name}`"))
                .at(*name_span, "no such step")
                .nearest(*name_span, name, self.steps.names());
            return Err(Box::new(if problem.help.is_empty() {
                problem.help(format!("the steps are {}", among(self.steps.names())))
            } else {
                problem
            }));
        };
        let known = &self.steps.all[id];
        let mut path = vec![PathStep::Key(known.result.clone())];
        let mut rest: Vec<PathStep> = plain(rest).collect();
        let dropped = |what: &str| {
            Err(Box::new(
                Diagnostic::new(Code::UnproducedValue, format!("the step `{name}` {what}"))
                    .at(span, "there is nothing to read")
                    .also(known.span, "this step"),
            ))
        };
        if known.inside == Gives::Nothing {
            return dropped("gives nothing");
        }
        if !self.kept.contains(&id) {
            return dropped("drops its result");
        }
        let mut inside: &[&str] = &[];
        match &known.inside {
            Gives::Nothing => {}
            Gives::Answer(keys) => inside = keys,
            Gives::Branches(children) => {
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
                                format!("`{name}` does not give a result `{child}`"),
                            )
                            .at(span, "no branch has it")
                            .help(format!("`{name}` gives {}", among(names))),
                        ));
                    };
                    let found = &self.steps.all[found];
                    path.push(PathStep::Key(found.result.clone()));
                    rest.remove(0);
                    if let Gives::Answer(keys) = &found.inside {
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
                    format!("whether the step `{name}` has run cannot be asked in a map"),
                )
                .at(span, "each item is given the results that its steps read")
                .also(known.span, "this step")
                .help("ask before the map, in its `when`"),
            ));
        }
        // What a map gives its iterations has to be there, even where they only ask for a part of it.
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
        Diagnostic::new(Code::Undefined, format!("nothing is named `{name}` here"))
            .at(span, format!("`{name}` exists {place}")),
    )
}

fn execution(steps: &[(PathStep, Span)], span: Span) -> Found {
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
                Diagnostic::new(Code::Undefined, format!("`execution` has no `{part}`"))
                    .at(*part_span, "no such key")
                    .nearest(*part_span, part, PARTS.iter().map(|(name, _)| *name))
                    .help("`execution` has `id`, `name`, `start_time`, `role`"),
            )),
        };
    }
    Err(Box::new(
        Diagnostic::new(Code::Undefined, "`execution` is read by a key")
            .at(span, "here")
            .help("`execution` has `id`, `name`, `start_time`, `role`"),
    ))
}
