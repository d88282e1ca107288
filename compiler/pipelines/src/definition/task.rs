//! Checks the calls of Task states.

use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, one_of};

use super::Finding;
use super::state::State;
use crate::runtime::path::templates;
use crate::services::tasks;
use crate::services::tasks::Pattern;

impl State<'_, '_, '_> {
    pub(super) fn task(&mut self) {
        let name = self.name;
        let Some(resource) = self.state.get("Resource") else {
            return self.say(&[], format!("state `{name}` has no `Resource`"));
        };
        let lambda = match resource {
            Term::Reference(reference) => self
                .machine
                .targets
                .follow(self.machine.resource, reference)
                .is_some_and(|target| target.kind.cloudformation() == Some("AWS::Lambda::Function")),
            Term::Map(entries) => {
                matches!(&**entries, [(key, _)] if key == "Fn::GetAtt") && resource.shown().contains("Arn")
            }
            other => {
                let text = other.shown();
                text.contains(":lambda:") && text.contains(":function:")
            }
        };
        if lambda {
            let mut finding = self.finding(
                &["Resource"],
                format!("state `{name}` invokes a Lambda function directly"),
            );
            finding.code = Code::DirectLambda;
            finding.label = "the result of the function replaces the whole input".into();
            let finding = finding.help(
                "use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`",
            );
            self.machine.findings.push(finding);
        }
        if let Some(text) = resource.as_str()
            && let Some(service) = text.split(":states:::").nth(1)
        {
            self.integration(service);
        }
        let seconds = |key: &str| self.state.get(key).and_then(Term::as_integer);
        let (timeout, heartbeat) = (seconds("TimeoutSeconds"), seconds("HeartbeatSeconds"));
        for (key, value) in [("TimeoutSeconds", timeout), ("HeartbeatSeconds", heartbeat)] {
            let written = self.state.get(key).is_some_and(|t| t.as_number().is_some());
            if written && value.is_none_or(|v| v < 1) {
                self.say(
                    &[key],
                    format!("`{key}` of state `{name}` must be an integer of at least 1"),
                );
            }
        }
        let order = |finding: Finding| Finding {
            code: Code::TimeoutOrder,
            ..finding
        };
        if let (Some(timeout), Some(heartbeat)) = (timeout, heartbeat)
            && heartbeat >= timeout
        {
            let finding = self.finding(
                &["HeartbeatSeconds"],
                format!(
                    "the heartbeat of state `{name}` ({heartbeat} s) is not shorter than its timeout ({timeout} s)"
                ),
            );
            self.machine.findings.push(order(finding));
        }
        if let (Some(timeout), Some(machine)) = (timeout, self.machine.timeout)
            && timeout > machine
        {
            let finding = self.finding(
                &["TimeoutSeconds"],
                format!("the timeout of state `{name}` ({timeout} s) is longer than the timeout of the state machine ({machine} s)"),
            );
            self.machine.findings.push(order(finding));
        }
    }

    fn integration(&mut self, service: &str) {
        let name = self.name;
        if let Some(action) = service.strip_prefix("aws-sdk:") {
            if action.ends_with(".sync") || action.split(':').count() != 2 {
                self.unknown(
                    service,
                    "write an SDK call as `aws-sdk:SERVICE:ACTION`, optionally with `.waitForTaskToken`",
                );
            }
        } else if !service.starts_with("activity:") {
            let (call, pattern) = Pattern::split(service);
            match tasks::patterns(call) {
                None => {
                    let near = terrace_catalog::nearest(call, tasks::integrations());
                    let help = near.map_or_else(
                        || "call the API as `aws-sdk:SERVICE:ACTION`".to_owned(),
                        did_you_mean,
                    );
                    self.unknown(service, &help);
                }
                Some(patterns) if !patterns.contains(&pattern) => {
                    let has: Vec<String> = patterns.iter().map(|p| format!("{call}{}", p.suffix())).collect();
                    let help = format!("use {}", one_of(has));
                    self.unknown(service, &help);
                }
                Some(_) => {}
            }
        }
        let waits = service.ends_with(".waitForTaskToken");
        if self.machine.express && (waits || service.contains(".sync")) {
            self.say(
                &["Resource"],
                format!("state `{name}` waits for `{service}`, which an Express state machine cannot do"),
            );
        }
        if waits && !self.jsonata {
            let mut passes = false;
            if let Some(parameters) = self.state.get("Parameters") {
                templates(parameters, &mut Vec::new(), &mut |_, value| {
                    passes |= value.as_str().is_some_and(|v| v.contains("$$.Task.Token"));
                });
            }
            if !passes {
                self.say(
                    &["Parameters"],
                    format!("state `{name}` waits for a task token but does not pass `$$.Task.Token`"),
                );
            }
            let bounded = [
                "TimeoutSeconds",
                "TimeoutSecondsPath",
                "HeartbeatSeconds",
                "HeartbeatSecondsPath",
            ];
            if !bounded.iter().any(|key| self.state.get(key).is_some()) {
                self.say(
                    &[],
                    format!("state `{name}` waits for a task token without a timeout or heartbeat"),
                );
            }
        }
    }

    fn unknown(&mut self, service: &str, help: &str) {
        let mut finding = self
            .finding(
                &["Resource"],
                format!("Step Functions has no integration `{service}`"),
            )
            .help(help);
        finding.code = Code::UnknownIntegration;
        self.machine.findings.push(finding);
    }
}
