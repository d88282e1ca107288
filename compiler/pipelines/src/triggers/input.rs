//! The input that a trigger passes to a pipeline, in the form of EventBridge: a constant, or a template with values of the event.

use terrace_artifact::Text;
use terrace_language::aws::arn::concat;
use terrace_language::expression::{Expression, ExpressionKind, Scope, StringPart, Template, template};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Files;

use crate::runtime::path::{PathStep, show};
use crate::runtime::{is_late, secret_in_pipeline};
use crate::triggers::json;

/// A builder of an input.
#[derive(Default)]
pub(crate) struct Input {
    /// The parts of the JSON text.
    parts: Vec<Term>,
    /// The names and paths of values of the event.
    paths: Vec<(Text, Text)>,
    /// The path of the event that is the whole input.
    whole: Option<Text>,
}

impl Input {
    pub(crate) fn fixed(text: Term) -> Input {
        Input {
            parts: vec![text],
            ..Input::default()
        }
    }

    /// Creates a map of values of the event.
    pub(crate) fn of_paths(entries: &[(&str, &str)]) -> Input {
        let mut input = Input::default();
        let mut text = String::from("{");
        for (index, (key, path)) in entries.iter().enumerate() {
            let name = input.name(path);
            let comma = if index == 0 { "" } else { "," };
            text.push_str(&format!("{comma}{}:<{name}>", json(key)));
        }
        text.push('}');
        input.parts.push(text.into());
        input
    }

    fn name(&mut self, path: &str) -> Text {
        if let Some((name, _)) = self.paths.iter().find(|(_, known)| known == path) {
            return name.clone();
        }
        let name: String = path
            .trim_start_matches("$.")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let mut name: Text = name.into();
        while self.paths.iter().any(|(taken, _)| *taken == name) {
            name = format!("{name}-").into();
        }
        self.paths.push((name.clone(), path.into()));
        name
    }

    /// Returns the text of an input without values of an event.
    pub(crate) fn take_static(&mut self) -> Option<Term> {
        (!self.parts.is_empty()).then(|| concat(std::mem::take(&mut self.parts)))
    }

    /// Returns `Input`, `InputPath` or `InputTransformer`, or `None` for the unchanged event.
    pub(crate) fn finish(mut self) -> Option<(Text, Term)> {
        if let Some(path) = self.whole {
            return Some(("InputPath".into(), Term::String(path)));
        }
        let paths = std::mem::take(&mut self.paths);
        let text = self.take_static()?;
        if paths.is_empty() {
            return Some(("Input".into(), text));
        }
        let transformer = Term::map([("InputPathsMap", Term::map(paths)), ("InputTemplate", text)]);
        Some(("InputTransformer".into(), transformer))
    }
}

/// Writes the `input` of a trigger. `has_event` is whether the trigger has an event.
pub(crate) fn write(
    node: &Node,
    has_event: bool,
    scope: &Scope<'_>,
    files: &Files,
    diagnostics: &mut Diagnostics,
) -> Input {
    let mut writer = Writer {
        input: Input::default(),
        has_event,
        scope: *scope,
        files,
        diagnostics,
    };
    if let (NodeKind::String(_), Template::Whole(expression)) =
        (&node.kind, template(node, files, &mut Diagnostics::new()))
        && let Some(path) = event_path(&expression)
        && has_event
    {
        return Input {
            whole: Some(path),
            ..Input::default()
        };
    }
    writer.node(node);
    let input = writer.input;
    let length: usize = input
        .parts
        .iter()
        .map(|part| part.as_str().map_or(64, str::len))
        .sum();
    if length > 8192 {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidValue,
                format!("the input is too long ({length} bytes)"),
            )
            .at(node.key, "the maximum is 8,192 bytes"),
        );
    }
    input
}

struct Writer<'a, 'd> {
    input: Input,
    has_event: bool,
    scope: Scope<'a>,
    files: &'a Files,
    diagnostics: &'d mut Diagnostics,
}

impl Writer<'_, '_> {
    fn text(&mut self, text: &str) {
        self.input.parts.push(text.into());
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Map(entries) => {
                self.text("{");
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    self.text(&format!("{comma}{}:", json(key)));
                    self.node(value);
                }
                self.text("}");
            }
            NodeKind::List(items) => {
                self.text("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.text(",");
                    }
                    self.node(item);
                }
                self.text("]");
            }
            NodeKind::String(_) => match template(node, self.files, self.diagnostics) {
                Template::Plain(text) => self.text(&json(&text)),
                Template::Whole(expression) if is_late(&expression) => {
                    if let Some(name) = self.event(&expression) {
                        // Without quotes, because EventBridge writes the value as JSON.
                        self.text(&format!("<{name}>"));
                    }
                }
                Template::Whole(expression) => {
                    if let Some(term) = self.known(&expression) {
                        self.term(&term, node);
                    }
                }
                Template::Text(pieces) => {
                    self.text("\"");
                    for piece in &pieces {
                        match piece {
                            StringPart::Text(text) => {
                                let quoted = json(text);
                                self.text(&quoted[1..quoted.len() - 1]);
                            }
                            StringPart::Expression(expression) if is_late(expression) => {
                                if let Some(name) = self.event(expression) {
                                    self.text(&format!("<{name}>"));
                                }
                            }
                            StringPart::Expression(expression) => match self.known(expression) {
                                Some(term) if term.is_late() => self.input.parts.push(term),
                                Some(term) => {
                                    let quoted = json(&term.shown());
                                    self.text(&quoted[1..quoted.len() - 1]);
                                }
                                None => {}
                            },
                        }
                    }
                    self.text("\"");
                }
            },
            _ => self.text(&terrace_artifact::to_json_compact(&node.to_value())),
        }
    }

    fn term(&mut self, term: &Term, node: &Node) {
        match term {
            Term::Secret(_) => self.diagnostics.push(secret_in_pipeline(node.span)),
            Term::Reference(_) | Term::Concat(_) | Term::Asset(_) => {
                self.text("\"");
                self.input.parts.push(term.clone());
                self.text("\"");
            }
            term => self.text(&terrace_artifact::to_json_compact(&term.clone().into_value())),
        }
    }

    fn known(&mut self, expression: &Expression) -> Option<Term> {
        let scope: Scope<'_> = self.scope;
        match scope.evaluate(expression) {
            Ok(term) => Some(term.into_owned()),
            Err(failure) => {
                self.diagnostics.push(failure.diagnostic());
                None
            }
        }
    }

    fn event(&mut self, expression: &Expression) -> Option<Text> {
        let path = event_path(expression);
        let problem = match (&path, self.has_event) {
            (Some(_), true) => None,
            (Some(_), false) => Some((
                "a schedule with a time zone or `at(…)` has no event",
                "read `execution.start_time` in a step instead",
            )),
            (None, _) => Some((
                "the input of a trigger cannot compute a value",
                "read a path such as `event.detail.object.key`, and compute the value in a `pass` step",
            )),
        };
        if let Some((what, help)) = problem {
            self.diagnostics.push(
                Diagnostic::new(Code::NotAtRunTime, what)
                    .at(expression.span, "")
                    .help(help),
            );
            return None;
        }
        path.map(|path| self.input.name(&path))
    }
}

/// Returns the path of the event for an expression such as `event.detail.object.key`.
fn event_path(expression: &Expression) -> Option<Text> {
    fn steps(expression: &Expression) -> Option<Vec<PathStep>> {
        match &expression.kind {
            ExpressionKind::Name(name) if name == "event" => Some(Vec::new()),
            ExpressionKind::Attribute(of, name) => {
                let mut steps = steps(of)?;
                let name = if name == "detail_type" && steps.is_empty() {
                    "detail-type"
                } else {
                    name
                };
                steps.push(PathStep::Key(name.into()));
                Some(steps)
            }
            ExpressionKind::Index(of, index) => {
                let mut steps = steps(of)?;
                steps.push(match &index.kind {
                    ExpressionKind::Literal(Term::String(key)) => PathStep::Key(key.clone()),
                    ExpressionKind::Literal(term) => {
                        PathStep::Index(usize::try_from(term.as_integer()?).ok()?)
                    }
                    _ => return None,
                });
                Some(steps)
            }
            _ => None,
        }
    }
    let steps = steps(expression)?;
    // The paths of EventBridge allow `$.detail-type` but no brackets around names.
    let plain = steps.iter().map(|step| match step {
        PathStep::Key(key) => format!(".{key}"),
        PathStep::Index(_) => show("", std::slice::from_ref(step)),
    });
    Some(format!("${}", plain.collect::<String>()).into())
}
