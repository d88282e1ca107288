//! Steps that become one state: service calls, waits, ends, computed values.

use terrace_language::value::term::Term;
use terrace_language::value::unit::Duration;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::node::Node;

use crate::lower::{Lowering, State};
use crate::read::{Step, StepOutput};
use crate::runtime::Value;
use crate::runtime::names::Position;
use crate::triggers::schedule;

impl<'a> Lowering<'a, '_> {
    /// Stores the result of a step without replacing the input.
    pub(crate) fn result(&mut self, step: &Step<'a>, made: &mut State, position: &Position) {
        let path = format!("$.steps.{}", self.steps.all[step.id].result);
        made.writes = self.keeps(step.id);
        if !made.writes {
            // `ResultPath: null` would drop the result, but a CloudFormation template cannot contain null.
            made.body.set("ResultSelector", Term::map([("done", true)]));
        }
        made.body.set("ResultPath", path.as_str());
        if made.writes && position.gives == Some(step.id) {
            let mut steps = vec![path];
            if let StepOutput::Answer(inside) = &self.steps.all[step.id].inside {
                steps.extend(inside.iter().map(|key| (*key).to_owned()));
            }
            made.body.set("OutputPath", steps.join("."));
        }
    }

    pub(crate) fn task(
        &mut self,
        step: &Step<'a>,
        call: crate::read::Call,
        position: &Position,
        made: &mut State,
    ) {
        made.body.set("Type", "Task");
        let mut reads = Vec::new();
        let Some(task) = self.call(call, step.body, position, &mut reads) else {
            made.reads = reads;
            return;
        };
        made.reads = reads;
        made.body.set("Resource", task.resource.as_str());
        made.body.set("Parameters", Term::Map(task.parameters.into()));
        if self.keeps(step.id)
            && let StepOutput::Answer([key]) = &self.steps.all[step.id].inside
        {
            made.body.set(
                "ResultSelector",
                Term::map([(format!("{key}.$"), format!("$.{key}"))]),
            );
        }
        self.result(step, made, position);
        self.timeouts(step.body, &mut made.body);
    }

    /// Lowers `timeout` and `heartbeat`. Each must be shorter than the enclosing timeout.
    pub(crate) fn timeouts(&mut self, body: &Node, state: &mut Term) {
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
                        "the timeout of the step ({}) is longer than the timeout of the pipeline ({})",
                        shown(seconds),
                        shown(self.timeout.0)
                    ),
                )
                .at(span, "");
                problem = match self.timeout.1 {
                    Some(own) => problem.also(own, "timeout of the pipeline"),
                    None => problem.note(format!(
                        "the default timeout of a pipeline is {}",
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
                            "the heartbeat ({}) is not shorter than the timeout ({})",
                            shown(seconds),
                            shown(limit)
                        ),
                    )
                    .at(span, "the step times out first"),
                );
            }
        }
    }

    /// Parses a duration of at least one second.
    pub(crate) fn seconds(&mut self, node: &Node) -> Option<i64> {
        match node.as_str()?.parse::<Duration>() {
            Ok(duration) if duration.seconds >= 1 => Some(duration.seconds),
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(Code::InvalidValue, "the duration must be at least one second")
                        .at(node.span, "expected a value such as `30s`, `5m`, `4h`"),
                );
                None
            }
        }
    }

    pub(crate) fn wait(&mut self, wait: &'a Node, position: &Position, made: &mut State) {
        made.body.set("Type", "Wait");
        match wait.get("until") {
            None => {
                if let Some(seconds) = self.seconds(wait) {
                    made.body.set("Seconds", seconds);
                    if seconds > self.timeout.0 {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::TimeoutOrder,
                                "the step waits longer than the timeout of the pipeline",
                            )
                            .at(wait.span, ""),
                        );
                    }
                }
            }
            Some(until) => match self.payload(until, position, &mut made.reads) {
                Some(Value::Late(text)) if text.starts_with('$') => made.body.set("TimestampPath", text),
                Some(Value::Late(_)) => self.diagnostics.push(
                    Diagnostic::new(Code::NotAtRunTime, "`until` cannot compute a value at run time")
                        .at(until.span, "")
                        .help("compute the time in a `pass` step before this one"),
                ),
                Some(Value::Known(term)) => {
                    // A value that CloudFormation inserts is not known yet.
                    let written = term.as_str().filter(|text| !text.contains("${"));
                    if let Some(Err(wrong)) = written.map(schedule::check_time) {
                        self.diagnostics.push(
                            Diagnostic::new(Code::InvalidValue, wrong.what)
                                .at(until.span, "expected a date, a time, and `Z` or a UTC offset")
                                .help(wrong.help),
                        );
                    }
                    made.body.set("Timestamp", term);
                }
                None => {}
            },
        }
    }

    pub(crate) fn fail(&mut self, fail: &'a Node, position: &Position, made: &mut State) {
        made.body.set("Type", "Fail");
        let error = fail.get("error");
        match error.map(|error| self.payload(error, position, &mut made.reads)) {
            None => made.body.set("Error", "PipelineFailed"),
            Some(Some(Value::Late(text))) => made.body.set("ErrorPath", text),
            Some(Some(Value::Known(term))) => made.body.set("Error", term),
            Some(None) => {}
        }
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

    pub(crate) fn succeed(&mut self, succeed: &'a Node, position: &Position, made: &mut State) {
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

    pub(crate) fn pass(&mut self, step: &Step<'a>, value: &'a Node, position: &Position, made: &mut State) {
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
}

/// Returns the field for a value: `Result` for a constant, `Parameters` for a value with paths.
fn static_or_template(term: &Term) -> &'static str {
    let mut late = false;
    crate::runtime::path::templates(term, &mut Vec::new(), &mut |_, _| late = true);
    if late { "Parameters" } else { "Result" }
}
