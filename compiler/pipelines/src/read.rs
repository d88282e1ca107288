//! Reads steps from validated nodes into types.

use std::collections::BTreeMap;

use terrace_artifact::Text;
use terrace_language::expression::words::pascal;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

/// One step.
pub(super) struct Step<'a> {
    /// Its index in [`Steps::all`].
    pub(super) id: usize,
    /// The name of its state.
    pub(super) state: Text,
    /// The span of its name.
    pub(super) span: Span,
    pub(super) body: &'a Node,
    pub(super) kind: StepKind<'a>,
    pub(super) catch: Vec<Catcher<'a>>,
}

/// The kind of a step.
pub(super) enum StepKind<'a> {
    /// Calls a service.
    Task(Call),
    Parallel(Vec<Vec<Step<'a>>>),
    Choice {
        options: Vec<(&'a Node, Continuation<'a>)>,
        default: Option<Continuation<'a>>,
    },
    Map(&'a Node, Vec<Step<'a>>),
    Wait(&'a Node),
    Fail(&'a Node),
    Succeed(&'a Node),
    Pass(&'a Node),
}

/// A service that steps call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Lambda,
    Glue,
    Sns,
    Sqs,
    Pipeline,
    EmrServerless,
    Athena,
}

impl Call {
    pub(super) const ALL: [(&'static str, Call); 7] = [
        ("lambda", Call::Lambda),
        ("glue", Call::Glue),
        ("sns", Call::Sns),
        ("sqs", Call::Sqs),
        ("pipeline", Call::Pipeline),
        ("emr_serverless", Call::EmrServerless),
        ("athena", Call::Athena),
    ];

    /// Returns the key of the call in a step.
    pub(super) fn key(self) -> &'static str {
        Call::ALL
            .iter()
            .find(|(_, call)| *call == self)
            .map_or("", |(key, _)| key)
    }
}

/// The continuation of a choice or a handler.
pub(super) enum Continuation<'a> {
    /// Continues with a named step.
    Goto(&'a str, Span),
    Steps(Vec<Step<'a>>),
}

/// An error handler.
pub(super) struct Catcher<'a> {
    pub(super) errors: Vec<&'a str>,
    pub(super) way: Continuation<'a>,
}

/// The facts of a step that other steps need.
pub(super) struct StepFacts {
    pub(super) name: Text,
    pub(super) state: Text,
    pub(super) span: Span,
    /// The key of its result below `$.steps`.
    pub(super) result: Text,
    /// Whether the document names the result (`true`) or drops it (`false`).
    pub(super) asked: Option<bool>,
    /// The list that contains the step. A step can lead only to steps of the same list.
    pub(super) level: usize,
    /// The path from the result to the value that the step returns.
    pub(super) inside: StepOutput,
    /// For a map, the step whose results it returns.
    pub(super) last: Option<usize>,
}

/// The value that a step returns to later steps.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum StepOutput {
    /// No value.
    Nothing,
    /// The response of the service, below these keys.
    Answer(&'static [&'static str]),
    /// A map of the results of these steps.
    Branches(Vec<(usize, usize)>),
}

/// All steps of a pipeline.
pub(super) struct Steps {
    pub(super) all: Vec<StepFacts>,
    levels: usize,
    states: BTreeMap<Text, Span>,
    results: BTreeMap<Text, Span>,
}

impl Steps {
    pub(super) fn new() -> Steps {
        Steps {
            all: Vec::new(),
            levels: 0,
            states: BTreeMap::new(),
            results: BTreeMap::new(),
        }
    }

    /// Finds a step by its name in an expression (`validate_input`) or after `goto`.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let plain = |text: &str| text.replace('-', "_");
        self.all
            .iter()
            .position(|known| known.result == name)
            .or_else(|| self.all.iter().position(|known| known.name == name))
            .or_else(|| {
                self.all
                    .iter()
                    .position(|known| plain(&known.name) == plain(name))
            })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|known| known.name.as_str())
    }

    /// Reads a list of steps as a separate level.
    pub(super) fn read<'a>(&mut self, list: &'a Node, diagnostics: &mut Diagnostics) -> Vec<Step<'a>> {
        self.levels += 1;
        let level = self.levels;
        self.list(list, level, diagnostics)
    }

    fn list<'a>(&mut self, list: &'a Node, level: usize, diagnostics: &mut Diagnostics) -> Vec<Step<'a>> {
        let items = if list.items().is_empty() {
            std::slice::from_ref(list)
        } else {
            list.items()
        };
        items
            .iter()
            .flat_map(Node::entries)
            .filter_map(|(name, body)| self.step(name, body, level, diagnostics))
            .collect()
    }

    fn step<'a>(
        &mut self,
        name: &Text,
        body: &'a Node,
        level: usize,
        diagnostics: &mut Diagnostics,
    ) -> Option<Step<'a>> {
        let state = pascal(name);
        let span = body.key;
        let same = self.states.insert(state.clone(), span);
        if let Some(first) = same {
            diagnostics.push(
                Diagnostic::new(Code::DuplicateName, format!("duplicate step `{}`", shown(name)))
                    .at(span, format!("also becomes the state `{state}`"))
                    .also(first, "first occurrence")
                    .help("rename one of them: step names must be unique in the whole pipeline"),
            );
        }
        let asked = body
            .get("result")
            .and_then(|node| Some((node.as_str()?, node.span)));
        let result = asked.map(|(result, _)| result);
        let key: Text = match result {
            Some("omit") | None => name.replace('-', "_").into(),
            Some(result) => result.into(),
        };
        let at = asked
            .filter(|(result, _)| *result != "omit")
            .map_or(span, |(_, at)| at);
        if let Some(first) = self.results.insert(key.clone(), at)
            && same.is_none()
        {
            diagnostics.push(
                Diagnostic::new(Code::DuplicateName, format!("duplicate result `{}`", shown(&key)))
                    .at(at, "would overwrite the first result")
                    .also(first, "first occurrence")
                    .help("rename one of the results"),
            );
        }
        let id = self.all.len();
        self.all.push(StepFacts {
            name: name.clone(),
            state: state.clone(),
            span,
            result: key,
            asked: result.map(|result| result != "omit"),
            level,
            inside: StepOutput::Nothing,
            last: None,
        });
        let kind = self.kind(body, level, diagnostics)?;
        self.all[id].inside = match &kind {
            StepKind::Task(Call::Lambda) => StepOutput::Answer(&["Payload"]),
            StepKind::Task(Call::Pipeline) if waits(body) => StepOutput::Answer(&["Output"]),
            StepKind::Pass(value) if value.entries().is_empty() => StepOutput::Answer(&["value"]),
            StepKind::Task(_) | StepKind::Pass(_) => StepOutput::Answer(&[]),
            StepKind::Map(_, steps) => self.items(id, steps),
            StepKind::Parallel(branches) => StepOutput::Branches(certain(branches)),
            _ => StepOutput::Nothing,
        };
        let catch = body.get("catch").map(Node::items).unwrap_or_default();
        let catch = catch
            .iter()
            .filter_map(|catcher| {
                let errors = catcher.get("on").map(Node::items).unwrap_or_default();
                let errors: Vec<&str> = errors.iter().filter_map(Node::as_str).collect();
                Some(Catcher {
                    errors: if errors.is_empty() {
                        vec!["States.ALL"]
                    } else {
                        errors
                    },
                    way: self.way(catcher, level, diagnostics)?,
                })
            })
            .collect();
        Some(Step {
            id,
            state,
            span,
            body,
            kind,
            catch,
        })
    }

    fn kind<'a>(
        &mut self,
        body: &'a Node,
        level: usize,
        diagnostics: &mut Diagnostics,
    ) -> Option<StepKind<'a>> {
        if let Some((_, call)) = Call::ALL.iter().find(|(key, _)| body.get(key).is_some()) {
            return Some(StepKind::Task(*call));
        }
        if let Some(branches) = body.get("parallel") {
            return Some(StepKind::Parallel(
                branches
                    .items()
                    .iter()
                    .map(|branch| self.read(branch, diagnostics))
                    .collect(),
            ));
        }
        if let Some(options) = body.get("choice") {
            let options = options
                .items()
                .iter()
                .filter_map(|option| Some((option.get("when")?, self.way(option, level, diagnostics)?)))
                .collect();
            let default = body
                .get("default")
                .and_then(|way| self.way(way, level, diagnostics));
            return Some(StepKind::Choice { options, default });
        }
        if let Some(map) = body.get("map") {
            let steps = self.read(map.get("steps")?, diagnostics);
            return Some(StepKind::Map(map, steps));
        }
        let simple = |key| body.get(key);
        simple("wait")
            .map(StepKind::Wait)
            .or_else(|| simple("fail").map(StepKind::Fail))
            .or_else(|| simple("succeed").map(StepKind::Succeed))
            .or_else(|| simple("pass").map(StepKind::Pass))
    }

    /// Returns the value of a map: the list of the results of its last step, if that step always runs.
    fn items(&mut self, map: usize, steps: &[Step<'_>]) -> StepOutput {
        let certain = !steps.iter().any(leaves);
        match steps
            .last()
            .filter(|last| certain && last.body.get("when").is_none())
        {
            Some(last) if self.all[last.id].inside != StepOutput::Nothing => {
                self.all[map].last = Some(last.id);
                StepOutput::Answer(&[])
            }
            _ => StepOutput::Nothing,
        }
    }

    /// Reads a continuation. Its steps belong to the list of the step that leads there.
    fn way<'a>(
        &mut self,
        node: &'a Node,
        level: usize,
        diagnostics: &mut Diagnostics,
    ) -> Option<Continuation<'a>> {
        match (node.get("goto"), node.get("steps")) {
            (Some(goto), _) => Some(Continuation::Goto(goto.as_str()?, goto.span)),
            (None, Some(steps)) => Some(Continuation::Steps(self.list(steps, level, diagnostics))),
            (None, None) => None,
        }
    }
}

/// Returns whether a step waits for the end of the job that it starts.
pub(super) fn waits(body: &Node) -> bool {
    body.get("wait").and_then(Node::as_bool).unwrap_or(true)
}

/// Returns the steps of each branch that always run before its end, as `(branch, step)`.
fn certain(branches: &[Vec<Step<'_>>]) -> Vec<(usize, usize)> {
    let mut certain = Vec::new();
    for (index, branch) in branches.iter().enumerate() {
        for step in branch {
            if step.body.get("when").is_none() && step.catch.is_empty() {
                certain.push((index, step.id));
            }
            // Steps after a step that can lead elsewhere do not always run.
            if leaves(step) {
                break;
            }
        }
    }
    certain
}

/// Returns whether a step can lead to a step other than the next one.
fn leaves(step: &Step<'_>) -> bool {
    let way = |way: &Continuation<'_>| match way {
        Continuation::Goto(..) => true,
        Continuation::Steps(steps) => steps.iter().any(leaves),
    };
    let itself = match &step.kind {
        StepKind::Succeed(_) => true,
        StepKind::Choice { options, default } => {
            options.iter().any(|(_, w)| way(w)) || default.as_ref().is_some_and(way)
        }
        _ => false,
    };
    itself || step.catch.iter().any(|catcher| way(&catcher.way))
}
