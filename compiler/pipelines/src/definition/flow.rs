//! Checks that every value exists where a state reads it: a trigger, a `ResultPath` or a selector produces `$.x` on every path.

use std::collections::BTreeMap;
use std::sync::Arc;

use terrace_artifact::{Segment, Text};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, listed};

use super::super::runtime::among;
use super::graph::{TransitionKind, exits};
use super::{Finding, Level, Machine, inner, type_of};
use crate::runtime::path::{Path, PathStep, Root, paths_of, show, templates};
use crate::triggers::started;
use crate::triggers::started::Start;

/// The known shape of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// An unknown value, which may contain any path.
    Unknown,
    /// The result of the task of this state, whose content is unknown. For a function that gets the whole input, also
    /// the shape of that input, which the function may return.
    Result(Text, Option<Box<Shape>>),
    /// A map. An open map may have other keys.
    Map {
        /// The values that exist on every path.
        fields: Arc<BTreeMap<Text, Shape>>,
        /// Whether there may be other keys.
        open: bool,
    },
    /// A list with one item for each branch of the state of this name.
    List(Text, Vec<Shape>),
}

impl Shape {
    pub(crate) fn closed(fields: impl IntoIterator<Item = (Text, Shape)>) -> Shape {
        Shape::Map {
            fields: Arc::new(fields.into_iter().collect()),
            open: false,
        }
    }

    /// Returns the shape of a constant.
    pub(crate) fn of(term: &Term) -> Shape {
        match term {
            Term::Map(entries) => Shape::closed(
                entries
                    .iter()
                    .map(|(k, v)| (k.trim_end_matches(".$").into(), Shape::of(v))),
            ),
            _ => Shape::Unknown,
        }
    }

    /// Returns the shape that is known if either is possible.
    pub(crate) fn meet(&self, other: &Shape) -> Shape {
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Shape::Map { fields: a, open: x }, Shape::Map { fields: b, open: y }) => {
                let keys = a.keys().chain(b.keys());
                let fields = keys.filter_map(|key| {
                    let shape = match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => a.meet(b),
                        (Some(a), None) if *y => a.meet(&Shape::Unknown),
                        (None, Some(b)) if *x => b.meet(&Shape::Unknown),
                        _ => return None,
                    };
                    Some((key.clone(), shape))
                });
                Shape::Map {
                    fields: Arc::new(fields.collect()),
                    open: *x || *y,
                }
            }
            (Shape::Result(name, Some(a)), Shape::Result(other, Some(b))) if name == other => {
                Shape::Result(name.clone(), Some(Box::new(a.meet(b))))
            }
            (Shape::List(name, a), Shape::List(other, b)) if name == other && a.len() == b.len() => {
                Shape::List(name.clone(), a.iter().zip(b).map(|(a, b)| a.meet(b)).collect())
            }
            _ => Shape::Unknown,
        }
    }

    fn step(&self, step: &PathStep) -> Result<Shape, Missing<'_>> {
        match (self, step) {
            (Shape::Unknown, _) => Ok(Shape::Unknown),
            (Shape::Result(name, before), _) => Err(match before {
                Some(before) if before.step(step).is_err() => Missing::Function(name, before),
                _ => Missing::Unproven(name),
            }),
            (Shape::Map { fields, open }, PathStep::Key(key)) => match fields.get(key) {
                Some(shape) => Ok(shape.clone()),
                None if *open => Ok(Shape::Unknown),
                None => Err(Missing::Field(fields)),
            },
            (Shape::List(name, items), PathStep::Index(index)) => match items.get(*index) {
                Some(shape) => Ok(shape.clone()),
                None => Err(Missing::List(name)),
            },
            (Shape::List(name, _), PathStep::Key(_)) => Err(Missing::List(name)),
            (Shape::Map { fields, .. }, PathStep::Index(_)) => Err(Missing::Field(fields)),
        }
    }

    /// Returns whether a value exists, as far as is known.
    pub(crate) fn has(&self, steps: &[PathStep]) -> bool {
        steps
            .iter()
            .try_fold(self.clone(), |shape, step| shape.step(step).ok())
            .is_some()
    }

    /// Returns the keys that exist.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let fields = match self {
            Shape::Map { fields, .. } => Some(fields),
            _ => None,
        };
        fields
            .into_iter()
            .flat_map(|fields| fields.keys().map(Text::as_str))
    }

    fn at(&self, steps: &[PathStep]) -> Shape {
        steps
            .iter()
            .try_fold(self.clone(), |shape, step| shape.step(step).ok())
            .unwrap_or(Shape::Unknown)
    }

    /// Stores a value at a path of keys, as `ResultPath` does.
    fn put(self, steps: &[PathStep], value: Shape) -> Shape {
        let Some((PathStep::Key(key), rest)) = steps.split_first() else {
            return value;
        };
        match self {
            Shape::Map { mut fields, open } => {
                let own = Arc::make_mut(&mut fields);
                let inside = own
                    .remove(key)
                    .unwrap_or(if open { Shape::Unknown } else { Shape::closed([]) });
                own.insert(key.clone(), inside.put(rest, value));
                Shape::Map { fields, open }
            }
            _ => Shape::Map {
                fields: Arc::new([(key.clone(), Shape::Unknown.put(rest, value))].into()),
                open: true,
            },
        }
    }
}

enum Missing<'s> {
    /// The result of a function replaced the input, which did not contain the value.
    Function(&'s str, &'s Shape),
    Field(&'s BTreeMap<Text, Shape>),
    List(&'s str),
    Unproven(&'s str),
}

pub(super) fn check(machine: &mut Machine<'_>, definition: &Term) {
    if machine.jsonata {
        return;
    }
    let starts = started::starts(machine.resource, machine.targets);
    let input = starts
        .iter()
        .map(|start| start.input.clone())
        .reduce(|a, b| a.meet(&b));
    let level = Level::of(definition, &[]);
    let mut flow = Flow {
        starts: &starts,
        findings: Vec::new(),
    };
    flow.level(&level, input.unwrap_or(Shape::Unknown), true);
    machine.findings.extend(flow.findings);
}

struct Flow<'a> {
    starts: &'a [Start],
    findings: Vec<Finding>,
}

impl Flow<'_> {
    /// Returns the output of a level. Problems are reported only if `tell` is set.
    fn level(&mut self, level: &Level<'_>, input: Shape, tell: bool) -> Shape {
        let mut shapes: BTreeMap<&str, Shape> = BTreeMap::new();
        let Some(start) = level.start.filter(|s| level.get(s).is_some()) else {
            return Shape::Unknown;
        };
        shapes.insert(start, input);
        let mut waiting = vec![start];
        // A shape only loses information, so the loop ends. The limit protects against a mistake in that reasoning.
        let mut rounds = level.states.len() * 32 + 64;
        while let Some(name) = waiting.pop() {
            rounds -= 1;
            let (Some(state), Some(shape)) = (level.get(name), shapes.get(name).cloned()) else {
                continue;
            };
            for (target, out) in self.outs(level, name, state, &shape) {
                let merged = match shapes.get(target) {
                    Some(old) => old.meet(&out),
                    None => out,
                };
                if shapes.get(target) != Some(&merged) {
                    shapes.insert(target, merged);
                    waiting.push(target);
                }
            }
            if rounds == 0 {
                return Shape::Unknown;
            }
        }
        let mut result: Option<Shape> = None;
        for (name, state) in level.states {
            let Some(shape) = shapes.get(name.as_str()) else {
                continue;
            };
            if tell {
                self.reads(level, name, state, shape);
            }
            for (steps, below) in inner(state) {
                let mut path = level.path_of(name);
                path.extend(steps);
                let input = self.inner_input(state, shape);
                if tell {
                    self.level(&Level::of(below, &path), input, true);
                }
            }
            if super::graph::ends(state) && type_of(state) != "Fail" {
                let out = self.result(level, name, state, shape);
                result = Some(match result {
                    Some(before) => before.meet(&out),
                    None => out,
                });
            }
        }
        result.unwrap_or(Shape::Unknown)
    }

    fn inner_input(&self, state: &Term, shape: &Shape) -> Shape {
        let input = selected(shape, state.get("InputPath"));
        match type_of(state) {
            "Parallel" => state.get("Parameters").map_or(input, Shape::of),
            _ => match state.get("ItemSelector").or_else(|| state.get("Parameters")) {
                Some(selector) => Shape::of(selector),
                None => Shape::Unknown,
            },
        }
    }

    /// Returns the next states, each with its input.
    fn outs<'l>(
        &mut self,
        level: &Level<'l>,
        name: &str,
        state: &'l Term,
        shape: &Shape,
    ) -> Vec<(&'l str, Shape)> {
        let result = self.result(level, name, state, shape);
        exits(state)
            .filter(|exit| level.get(exit.target).is_some())
            .map(|exit| {
                let (_, Some(index)) = exit.source else {
                    return (exit.target, result.clone());
                };
                if exit.way == TransitionKind::Normal {
                    return (exit.target, result.clone());
                }
                let catcher = state.get("Catch").and_then(|c| c.items().get(index));
                let error =
                    Shape::closed([("Error".into(), Shape::Unknown), ("Cause".into(), Shape::Unknown)]);
                let out = placed(shape, catcher.and_then(|c| c.get("ResultPath")), error);
                (exit.target, out)
            })
            .collect()
    }

    /// Returns the output of a state.
    fn result(&mut self, level: &Level<'_>, name: &str, state: &Term, shape: &Shape) -> Shape {
        let input = selected(shape, state.get("InputPath"));
        let raw = match type_of(state) {
            "Task" => {
                let resource = state.get("Resource").and_then(Term::as_str).unwrap_or_default();
                if resource.ends_with(":lambda:invoke") {
                    Shape::Map {
                        fields: Arc::new([("Payload".into(), Shape::Unknown)].into()),
                        open: true,
                    }
                } else {
                    // The ARN of a function: it gets the whole input, and its result replaces it.
                    let function = !resource.contains(":states:::") && state.get("Parameters").is_none();
                    Shape::Result(name.into(), function.then(|| Box::new(input.clone())))
                }
            }
            "Pass" => match (state.get("Result"), state.get("Parameters")) {
                (Some(value), _) | (None, Some(value)) => Shape::of(value),
                (None, None) => input.clone(),
            },
            "Parallel" => {
                let inside = self.inner_input(state, shape);
                let items = inner(state)
                    .into_iter()
                    .map(|(steps, below)| {
                        let mut path = level.path_of(name);
                        path.extend(steps);
                        self.level(&Level::of(below, &path), inside.clone(), false)
                    })
                    .collect();
                Shape::List(name.into(), items)
            }
            "Map" => Shape::Unknown,
            _ => return selected(&input, state.get("OutputPath")),
        };
        let result = state.get("ResultSelector").map_or(raw, Shape::of);
        selected(
            &placed(&input, state.get("ResultPath"), result),
            state.get("OutputPath"),
        )
    }

    /// Reports every read of a state whose value may not exist.
    fn reads(&mut self, level: &Level<'_>, name: &str, state: &Term, shape: &Shape) {
        let at = level.path_of(name);
        let under = |key: &str| {
            let mut path = at.clone();
            path.push(Segment::Key(key.into()));
            path
        };
        let mut found: Vec<(Vec<Segment>, String, Shape)> = Vec::new();
        if let Some(path) = state.get("InputPath").and_then(Term::as_str) {
            found.push((under("InputPath"), path.to_owned(), shape.clone()));
        }
        let input = selected(shape, state.get("InputPath"));
        for key in ["Parameters", "ItemSelector"] {
            if let Some(template) = state.get(key) {
                templates(template, &mut Vec::new(), &mut |keys, value| {
                    if let Some(text) = value.as_str() {
                        let mut path = under(key);
                        path.extend(keys.iter().map(|k| Segment::Key(k.clone())));
                        found.push((path, text.to_owned(), input.clone()));
                    }
                });
            }
        }
        for (key, value) in state.entries() {
            let reads = matches!(key.as_str(), "ItemsPath" | "ErrorPath" | "CausePath")
                || (key.ends_with("Path")
                    && key.len() > 10
                    && !matches!(key.as_str(), "OutputPath" | "ResultPath"));
            if let Some(path) = value.as_str().filter(|_| reads) {
                found.push((under(key), path.to_owned(), input.clone()));
            }
        }
        for (index, rule) in state
            .get("Choices")
            .map(Term::items)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let mut tested = Vec::new();
            let mut present = Vec::new();
            variables(rule, &mut tested, &mut present);
            let mut path = under("Choices");
            path.push(Segment::Index(index));
            for variable in tested {
                // A rule that tests whether a value exists may also use it.
                if !present.contains(&variable) {
                    found.push((path.clone(), variable.to_owned(), input.clone()));
                }
            }
        }
        for (path, text, input) in found {
            let _ = paths_of(&text, &mut |written, read| {
                if let Some(finding) = self.read(name, &path, written, &read, &input) {
                    self.findings.push(finding);
                }
            });
        }
    }

    fn read(
        &self,
        state: &str,
        at: &[Segment],
        written: &str,
        path: &Path,
        input: &Shape,
    ) -> Option<Finding> {
        if path.root != Root::Input {
            return None;
        }
        let mut shape = input.clone();
        for (count, step) in path.steps.iter().enumerate() {
            let next = match shape.step(step) {
                Ok(next) => next,
                Err(missing) => {
                    return Some(self.missing(state, at, written, &path.steps[..=count], missing));
                }
            };
            shape = next;
        }
        None
    }

    /// Adds the input of each trigger as a note.
    fn given(&self, finding: Finding) -> Finding {
        self.starts.iter().fold(finding, |finding, start| {
            finding.note(format!("{} provides {}", start.name, among(start.input.keys())))
        })
    }

    fn missing(
        &self,
        state: &str,
        at: &[Segment],
        written: &str,
        steps: &[PathStep],
        missing: Missing<'_>,
    ) -> Finding {
        let lacking = show("$", steps);
        match missing {
            Missing::Function(task, before) => {
                let mut finding =
                    Finding::new(Code::UnproducedValue, at, reads_missing(state, written, &lacking));
                finding.label =
                    format!("the result of `{task}` replaced the input, which did not contain `{lacking}`");
                if matches!(before, Shape::Map { .. }) && steps.len() == 1 {
                    finding = self.given(finding);
                }
                finding.help(format!(
                    "if `{task}` returns the value, store its result with `ResultPath: $.{}` and read it there, otherwise add it to every trigger",
                    snake(task)
                ))
            }
            Missing::Unproven(task) => {
                let mut finding = Finding::new(
                    Code::UnprovenValue,
                    at,
                    format!("state `{state}` reads `{written}`, which might not exist"),
                );
                finding.label = format!("the result of `{task}` replaced the input");
                finding.help(format!(
                    "store the result of `{task}` separately: `ResultPath: $.{}`",
                    snake(task)
                ))
            }
            Missing::List(parallel) => {
                let mut finding = Finding::new(
                    Code::UnproducedValue,
                    at,
                    format!("state `{state}` reads `{written}` from a list"),
                );
                finding.label = format!("`{parallel}` returns a list with one item for each branch");
                finding.help(format!(
                    "read an item (`$[0]…`), or name the items with a `ResultSelector` in `{parallel}`"
                ))
            }
            Missing::Field(fields) => {
                let mut finding =
                    Finding::new(Code::UnproducedValue, at, reads_missing(state, written, &lacking));
                finding.label = "not every path to this state produces it".to_owned();
                let names: Vec<&str> = fields.keys().map(Text::as_str).collect();
                if steps.len() == 1 {
                    finding = self.given(finding);
                }
                if let [.., PathStep::Key(key)] = steps
                    && let Some(near) = terrace_catalog::nearest(key, names.iter().copied())
                {
                    return finding.help(did_you_mean(near));
                }
                if names.is_empty() {
                    finding
                } else {
                    finding.note(format!("every path produces {}", listed(names)))
                }
            }
        }
    }
}

/// Returns the message for a read of a value of which a part may not exist.
fn reads_missing(state: &str, written: &str, lacking: &str) -> String {
    match written == lacking {
        true => format!("state `{state}` reads `{written}`, which might not exist"),
        false => format!("state `{state}` reads `{written}`, but `{lacking}` might not exist"),
    }
}

/// Returns the shape after `InputPath` or `OutputPath`.
fn selected(shape: &Shape, path: Option<&Term>) -> Shape {
    match path {
        None => shape.clone(),
        Some(Term::Null) => Shape::closed([]),
        Some(term) => match term.as_str().and_then(Path::read) {
            Some(path) if path.root == Root::Input && path.whole => shape.at(&path.steps),
            _ => Shape::Unknown,
        },
    }
}

/// Returns the shape after `ResultPath` stores a result in the input.
fn placed(input: &Shape, path: Option<&Term>, result: Shape) -> Shape {
    match path {
        None => result,
        Some(Term::Null) => input.clone(),
        Some(term) => match term.as_str().and_then(Path::read) {
            Some(path) if path.root == Root::Input => input.clone().put(&path.steps, result),
            _ => Shape::Unknown,
        },
    }
}

/// Collects the paths that a choice rule compares, and those whose existence it tests.
fn variables<'a>(rule: &'a Term, tested: &mut Vec<&'a str>, present: &mut Vec<&'a str>) {
    if let Some(variable) = rule.get("Variable").and_then(Term::as_str) {
        if rule.get("IsPresent").is_some() {
            present.push(variable);
        } else {
            tested.push(variable);
        }
    }
    for (key, value) in rule.entries() {
        if key.ends_with("Path")
            && let Some(path) = value.as_str()
        {
            tested.push(path);
        }
    }
    for key in ["And", "Or"] {
        for rule in rule.get(key).map(Term::items).unwrap_or_default() {
            variables(rule, tested, present);
        }
    }
    if let Some(rule) = rule.get("Not") {
        variables(rule, tested, present);
    }
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && out.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            out.push('_');
        }
        out.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    out
}
