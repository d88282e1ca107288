//! Steps that start another pipeline.

use terrace_language::aws::actions;
use terrace_language::aws::arn::arn;
use terrace_language::value::term::Term;
use terrace_language::value::unit::Duration;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::source::Span;

use super::called::Target;
use crate::lower::Lowering;
use crate::read::waits;
use crate::services::{ServiceStep, Task};
use crate::targets::Runs;

impl Lowering<'_, '_> {
    pub(crate) fn pipeline(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let span = node.span;
        let machine = self.target(node, "AWS::StepFunctions::StateMachine")?;
        let machine_arn = machine.attribute("arn", span);
        self.permissions
            .allow("StartPipelines", actions::START_EXECUTION, [machine_arn.clone()]);
        let waits = waits(body);
        if waits {
            self.waited(&machine, step);
            let name = match &machine {
                Target::Pipeline(_, name, _) => Some(Term::String(name.clone())),
                Target::Resource(resource) => Some(resource.attribute("name", span)),
                Target::Value(Term::String(text)) => text.rsplit(':').next().map(Term::from),
                Target::Value(_) => None,
            };
            let Some(name) = name else {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::WrongTarget,
                        "a step that waits for a pipeline must name its component",
                    )
                    .at(span, "the ARN does not contain the required name"),
                );
                return None;
            };
            let executions = arn("states", ["execution:".into(), name, ":*".into()], span);
            self.permissions.allow(
                "WatchPipelines",
                &["states:DescribeExecution", "states:StopExecution"],
                [executions],
            );
            self.managed_rule("StepFunctionsGetEventsForStepFunctionsExecutionRule", span);
        }
        let mut parameters = vec![("StateMachineArn".into(), self.substitutions.value(&machine_arn))];
        match body.get("input") {
            Some(input) => self.put(&mut parameters, "Input", Some(input), step),
            None if step.position.distributed => self.diagnostics.push(
                Diagnostic::new(
                    Code::MissingField,
                    "a pipeline step in a distributed map requires an `input`",
                )
                .at(node.key, "would get the input of the item's execution")
                .note("each item of a distributed map has its own execution")
                .help("add an `input`, such as `input: {item: \"{{ item }}\"}`"),
            ),
            None => parameters.push(("Input.$".into(), "$$.Execution.Input".into())),
        }
        Some(self.service(
            if waits {
                "states:startExecution.sync:2"
            } else {
                "states:startExecution"
            },
            parameters,
        ))
    }

    /// Checks that a step can wait for another pipeline, and that it ends in time.
    fn waited(&mut self, machine: &Target<'_>, step: &ServiceStep<'_>) {
        let runs = match machine {
            Target::Pipeline(.., runs) => *runs,
            Target::Resource(resource) => Runs::of_machine(resource),
            Target::Value(_) => return,
        };
        let span: Span = step.node.span;
        if runs.express {
            self.diagnostics.push(
                Diagnostic::new(Code::InvalidState, "a step cannot wait for an `EXPRESS` pipeline")
                    .at(span, "waits for this pipeline")
                    .also(runs.span, "an `EXPRESS` pipeline")
                    .help("set `wait: false`, or make the other pipeline `STANDARD`"),
            );
        }
        // A step with its own timeout stops the other pipeline when it times out.
        let Some(seconds) = runs.seconds.filter(|seconds| *seconds > self.timeout.0) else {
            return;
        };
        if step.body.get("timeout").is_none() && !runs.express {
            let shown = |seconds: i64| Duration { seconds };
            self.diagnostics.push(
                Diagnostic::new(
                    Code::TimeoutOrder,
                    format!(
                        "the pipeline waits for another pipeline with a longer timeout ({}) than its own ({})",
                        shown(seconds),
                        shown(self.timeout.0)
                    ),
                )
                .at(span, "might still be running when this pipeline times out")
                .also(runs.span, format!("timeout of {}", shown(seconds)))
                .help("change one of the timeouts, or set a `timeout` on the step"),
            );
        }
    }
}
