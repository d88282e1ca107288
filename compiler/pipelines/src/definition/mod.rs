//! Checks state machines that are written by hand, in the Amazon States Language, in a module or a component.
//!
//! The state machines of pipelines are correct by construction. Every message names its state, because the
//! definition can be a string without spans inside.

mod flow;
mod glue_jobs;
mod graph;
mod runs;
mod source;
mod state;
mod task;

use terrace_artifact::{Segment, Text};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean, listed};

use super::targets::Targets;

pub(crate) use flow::Shape;
pub(super) use glue_jobs::{default_timeout, mismatches, script_arguments};
pub use runs::check_runs;

/// A problem of a definition.
pub(super) struct Finding {
    pub(super) code: Code,
    /// The path in the definition.
    pub(super) path: Vec<Segment>,
    /// Whether the place is the key, not the value.
    pub(super) key: bool,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) notes: Vec<String>,
    pub(super) help: Vec<String>,
}

impl Finding {
    pub(super) fn new(code: Code, path: &[Segment], message: impl Into<String>) -> Finding {
        Finding {
            code,
            path: path.to_vec(),
            key: false,
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Finding {
        self.notes.push(note.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Finding {
        self.help.push(help.into());
        self
    }

    /// Suggests the most similar name, or lists the valid names.
    pub(super) fn nearest<'a>(self, word: &str, among: impl Iterator<Item = &'a str> + Clone) -> Finding {
        match terrace_catalog::nearest(word, among.clone()) {
            Some(name) => self.help(did_you_mean(name)),
            None => {
                let names: Vec<&str> = among.take(12).collect();
                if names.is_empty() {
                    self
                } else {
                    self.note(format!("the valid names are {}", listed(names)))
                }
            }
        }
    }
}

/// The state of the checks of one definition.
pub(super) struct Machine<'a> {
    /// The resource with the definition.
    pub(super) resource: &'a Resource,
    pub(super) targets: &'a dyn Targets,
    /// Whether it is an Express machine.
    pub(super) express: bool,
    /// Whether JSONata is the default query language.
    pub(super) jsonata: bool,
    /// The timeout of the state machine, if it has one.
    pub(super) timeout: Option<i64>,
    pub(super) findings: Vec<Finding>,
}

/// The states of one level: of the machine, of a branch, of a map.
pub(super) struct Level<'a> {
    /// The path of the map that has `StartAt` and `States`.
    pub(super) path: Vec<Segment>,
    pub(super) start: Option<&'a str>,
    pub(super) states: &'a [(Text, Term)],
}

impl<'a> Level<'a> {
    pub(super) fn of(term: &'a Term, path: &[Segment]) -> Level<'a> {
        Level {
            path: path.to_vec(),
            start: term.get("StartAt").and_then(Term::as_str),
            states: term.get("States").map(Term::entries).unwrap_or_default(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Term> {
        self.states.iter().find(|(n, _)| n == name).map(|(_, s)| s)
    }

    pub(super) fn path_of(&self, name: &str) -> Vec<Segment> {
        let mut path = self.path.clone();
        path.extend([Segment::Key("States".into()), Segment::Key(name.into())]);
        path
    }
}

/// Returns the levels directly inside a state, with their paths from it.
pub(super) fn inner(state: &Term) -> Vec<(Vec<Segment>, &Term)> {
    let mut levels = Vec::new();
    for (index, branch) in state
        .get("Branches")
        .map(Term::items)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        levels.push((
            vec![Segment::Key("Branches".into()), Segment::Index(index)],
            branch,
        ));
    }
    for key in ["ItemProcessor", "Iterator"] {
        if let Some(processor) = state.get(key) {
            levels.push((vec![Segment::Key(key.into())], processor));
        }
    }
    levels
}

/// Returns the type of a state, or an empty string.
pub(super) fn type_of(state: &Term) -> &str {
    state.get("Type").and_then(Term::as_str).unwrap_or_default()
}

/// Checks an `AWS::StepFunctions::StateMachine` that is written by hand: its definition, its triggers and its calls.
pub(crate) fn check_state_machine(resource: &Resource, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    let at = |path: &[Segment]| targets.place(resource, path);
    let definition = match source::definition(&resource.body) {
        Ok(Some(definition)) => definition,
        Ok(None) => return,
        Err(problem) => {
            let key = vec![Segment::Key(problem.key.into())];
            diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    format!("the definition of `{}` {}", resource.address, problem.what),
                )
                .at(at(&key), "expected a JSON object with `StartAt` and `States`"),
            );
            return;
        }
    };
    let mut machine = Machine {
        resource,
        targets,
        express: resource.body.get("StateMachineType").and_then(Term::as_str) == Some("EXPRESS"),
        jsonata: definition.term.get("QueryLanguage").and_then(Term::as_str) == Some("JSONata"),
        timeout: definition.term.get("TimeoutSeconds").and_then(Term::as_integer),
        findings: definition.findings,
    };
    state::check(&mut machine, &definition.term);
    graph::check(&mut machine, &definition.term);
    if !machine
        .findings
        .iter()
        .any(|f| f.code.severity() == terrace_syntax::code::Severity::Error && f.code == Code::UnknownStep)
    {
        flow::check(&mut machine, &definition.term);
    }
    glue_jobs::check(&mut machine, &definition.term);
    for finding in machine.findings {
        let mut path = vec![Segment::Key(definition.key.into())];
        path.extend(finding.path);
        let place = match finding.key {
            true => targets.place_of_key(resource, &path),
            false => at(&path),
        };
        let mut diagnostic = Diagnostic::new(finding.code, finding.message).at(place, finding.label);
        diagnostic.notes = finding.notes;
        for help in finding.help {
            diagnostic = diagnostic.help(help);
        }
        diagnostics.push(diagnostic);
    }
}
