//! Steps that run another pipeline.

use super::called::Target;
use super::calls::{Calling, Task};
use super::lower::Lowering;
use super::read::waits;
use super::targets::Runs;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::iam::arn;
use crate::source::Span;
use crate::term::Term;
use crate::unit::Duration;

impl Lowering<'_, '_> {
    pub(super) fn pipeline(&mut self, step: &mut Calling<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let span = node.span;
        let machine = self.target(node, "AWS::StepFunctions::StateMachine")?;
        let machine_arn = machine.attribute("arn", span);
        self.permissions.allow(
            "StartPipelines",
            &["states:StartExecution"],
            [machine_arn.clone()],
        );
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
                        "a pipeline that is waited for is named by its component",
                    )
                    .at(span, "its name is needed, besides its ARN"),
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
                    "in a distributed map, a pipeline has to be given an `input`",
                )
                .at(
                    node.key,
                    "without one, it would be given what the item's execution is given",
                )
                .note("each item has an execution of its own")
                .help("say what it is given: `input: {item: \"{{ item }}\"}`"),
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

    /// Whether the runs of another pipeline can be waited for, and end in time.
    fn waited(&mut self, machine: &Target<'_>, step: &Calling<'_>) {
        let runs = match machine {
            Target::Pipeline(.., runs) => *runs,
            Target::Resource(resource) => Runs::of_machine(resource),
            Target::Value(_) => return,
        };
        let span: Span = step.node.span;
        if runs.express {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    "a run of an `EXPRESS` pipeline cannot be waited for",
                )
                .at(span, "waits until it has ended")
                .also(runs.span, "it is `EXPRESS`")
                .help("say `wait: false`, or make it `STANDARD`"),
            );
        }
        // A step with a timeout of its own stops the other pipeline when the time is over.
        let Some(seconds) = runs.seconds.filter(|seconds| *seconds > self.timeout.0) else {
            return;
        };
        if step.body.get("timeout").is_none() && !runs.express {
            let shown = |seconds: i64| Duration { seconds };
            self.diagnostics.push(
                Diagnostic::new(
                    Code::TimeoutOrder,
                    format!(
                        "this pipeline waits for one that may take {}, longer than it may take itself, {}",
                        shown(seconds),
                        shown(self.timeout.0)
                    ),
                )
                .at(span, "may still run when this one has timed out")
                .also(runs.span, format!("may take {}", shown(seconds)))
                .help("give one of the two another `timeout`, or the step one"),
            );
        }
    }
}
