//! Pipelines: lowers steps to a Step Functions state machine, with its role, log group and triggers.
//!
//! ```text
//! read         steps as types
//! lower        steps to states, and the checks that steps are reachable, end, and read only results that exist
//! services     the calls of services, and the permissions that each requires
//! runtime      expressions with run-time values to paths, functions and choice rules
//! triggers     rules and schedules, with their input
//! targets      the view of the rest of the platform
//! definition   checks of state machines that are written by hand
//! ```

mod definition;
mod lower;
mod read;
mod runtime;
mod services;
mod targets;
mod triggers;

use terrace_artifact::{Address, Text};
use terrace_language::aws::actions;
use terrace_language::aws::iam;
use terrace_language::aws::iam::{Condition, Policy, trust};
use terrace_language::document::Pipeline;
use terrace_language::expression::Scope;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Files, Span};

pub use definition::check_runs;
use lower::{Exit, FAILED, Level, Lowering, State, failed, finish};
use read::{Call, Steps};
use runtime::names::Position;
pub use targets::{Context, Found, Runs, Targets};
use targets::{EXPRESS_LIMIT, own};
pub use triggers::UNDELIVERED;

/// Lowers a pipeline to resources: the state machine, its role and log group, and the resources of its triggers.
pub fn lower<'a>(
    pipeline: &'a Pipeline,
    context: &Context<'a>,
    scope: &Scope<'a>,
    files: &'a Files,
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let node = &pipeline.node;
    let span = pipeline.name.span;
    let express = Runs::of_pipeline(pipeline).express;
    let before = diagnostics.iter().filter(|problem| problem.is_error()).count();
    let triggers = triggers::read(node, diagnostics);
    let mut steps = Steps::new();
    let list = node
        .get("steps")
        .map(|list| steps.read(list, diagnostics))
        .unwrap_or_default();
    let on_failure = node.get("on_failure");
    let after = on_failure.and_then(|failure| failure.get("steps"));
    let after = after
        .map(|list| steps.read(list, diagnostics))
        .unwrap_or_default();
    let written = pipeline.timeout.as_ref().map(|timeout| timeout.span);
    let timeout = (Runs::longest(pipeline, express), written);
    if express && timeout.0 > EXPRESS_LIMIT {
        diagnostics.push(
            Diagnostic::new(
                Code::TimeoutOrder,
                "the timeout of an `EXPRESS` pipeline is too long",
            )
            .at(timeout.1.unwrap_or(span), "the maximum is 5 minutes"),
        );
    }
    let single = on_failure.filter(|failure| failure.get("steps").is_none());
    let handler: Option<Text> = match (single, after.first()) {
        (Some(_), _) => Some("HandleFailure".into()),
        (None, Some(_)) => Some(FAILED.into()),
        (None, None) => None,
    };
    let mut lowering = Lowering {
        context,
        scope: *scope,
        files,
        steps,
        triggers: &triggers,
        substitutions: runtime::substitute::Substitutions::default(),
        permissions: Policy::default(),
        maps: Vec::new(),
        diagnostics,
        retry: node.get("retry"),
        timeout,
        express,
        handler,
        entries: std::collections::BTreeMap::new(),
    };
    let position = Position {
        top: true,
        ..Position::default()
    };
    let failing = Position {
        error: true,
        ..position.clone()
    };
    // The steps of `on_failure` are lowered first, because other states refer to them. They are written last.
    let mut last = Vec::new();
    if !after.is_empty() {
        let (start, states) = lowering.list(&after, &Exit::Next(FAILED.into()), &failing);
        lowering.handler = start;
        last.extend(states);
    }
    let (start, mut states) = lowering.list(&list, &Exit::End, &position);
    if let Some(failure) = single {
        last.extend(lowering.on_failure(failure, &failing));
    }
    states.extend(last);
    if states
        .iter()
        .any(|state| state.exits.iter().any(|(target, _)| target == FAILED))
    {
        states.push(failed(FAILED, usize::MAX, span));
    }
    if logs(node) {
        let everything = ["*".into()];
        lowering
            .permissions
            .allow("DeliverLogs", actions::DELIVER_LOGS, everything);
    }
    lowering.permissions.allow("Trace", actions::TRACE, ["*".into()]);
    let make = |key: &str, resource_type: &str, body: Term| {
        let kind = ResourceKind::CloudFormation(resource_type.into());
        let address = Address {
            owner: context.instance.owner.clone(),
            component: context.instance.component.clone(),
            resource: key.into(),
            key: None,
        };
        Resource {
            holds_data: kind.holds_data(&body),
            ..Resource::generated(address, kind, body, span, context.index)
        }
    };
    let Some(start) = start else {
        lowering.diagnostics.push(
            Diagnostic::new(
                Code::MissingField,
                format!(
                    "pipeline `{}` has no steps in this environment",
                    pipeline.name.value
                ),
            )
            .at(span, "the `when` of every step is false"),
        );
        return Vec::new();
    };
    lowering.distinct(&states);
    lowering.link(&mut states);
    let level = Level::new(start, states);
    let whole = lowering
        .diagnostics
        .iter()
        .filter(|problem| problem.is_error())
        .count()
        == before;
    lowering.check(&level, whole);
    let key = lowering.encryption_key(pipeline);
    if let Some(key) = &key {
        let machine = triggers::machine_arn(&context.instance.name, span);
        iam::allow_executions(&mut lowering.permissions, key.clone(), machine);
        if logs(node) {
            iam::allow_execution_logs(&mut lowering.permissions, key.clone(), span);
        }
    }
    let topic = lowering.topic_of(on_failure);
    let mut resources = triggers::lower(&triggers, key.as_ref(), topic, &mut lowering, &make);
    let (substitutions, permissions) = (lowering.substitutions, lowering.permissions);
    let mut own_resources = vec![make(
        "state_machine",
        "AWS::StepFunctions::StateMachine",
        machine(pipeline, context, timeout.0, key.as_ref(), level, substitutions),
    )];
    own_resources.push(make("role", "AWS::IAM::Role", role(context, permissions, span)));
    if logs(node) {
        let mut body = Term::map([
            (
                "LogGroupName",
                Term::from(format!("/aws/vendedlogs/states/{}", context.instance.name)),
            ),
            ("RetentionInDays", 365.into()),
        ]);
        if let Some(key) = key {
            body.set("KmsKeyId", key);
        }
        own_resources.push(make("log_group", "AWS::Logs::LogGroup", body));
    }
    own_resources.append(&mut resources);
    own_resources
}

/// Returns whether [`check`] checks resources of this type.
pub fn is_checked(resource: &Resource) -> bool {
    let name = resource.kind.cloudformation();
    matches!(
        name,
        Some("AWS::StepFunctions::StateMachine" | "AWS::Events::Rule" | "AWS::Scheduler::Schedule")
    )
}

/// Checks a state machine, a rule or a schedule that is written by hand. Ignores other resources.
pub fn check(resource: &Resource, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    match resource.kind.cloudformation() {
        Some("AWS::StepFunctions::StateMachine") => {
            definition::check_state_machine(resource, targets, diagnostics);
        }
        Some("AWS::Events::Rule") => triggers::event::check_rule(resource, targets, diagnostics),
        Some("AWS::Scheduler::Schedule") => triggers::event::check_schedule(resource, targets, diagnostics),
        _ => {}
    }
}

fn logs(node: &Node) -> bool {
    node.get("logging")
        .and_then(|logging| logging.get("level"))
        .and_then(Node::as_str)
        != Some("OFF")
}

fn machine(
    pipeline: &Pipeline,
    context: &Context<'_>,
    timeout: i64,
    key: Option<&Term>,
    level: Level,
    substitutions: runtime::substitute::Substitutions,
) -> Term {
    let node = &pipeline.node;
    let span = pipeline.name.span;
    let mut definition: Vec<(Text, Term)> = Vec::new();
    if let Some(description) = node.get("description").and_then(Node::as_str) {
        definition.push(("Comment".into(), description.into()));
    }
    if let Term::Map(states) = finish(level) {
        let mut states = states.into_vec();
        // Before the states, where a reader finds it.
        states.insert(1, ("TimeoutSeconds".into(), timeout.into()));
        definition.extend(states);
    }
    let mut body: Vec<(Text, Term)> = vec![
        (
            "StateMachineName".into(),
            Term::String(context.instance.name.clone()),
        ),
        (
            "StateMachineType".into(),
            node.get("type")
                .and_then(Node::as_str)
                .unwrap_or("STANDARD")
                .into(),
        ),
        ("RoleArn".into(), own("role", "arn", span)),
        ("Definition".into(), Term::Map(definition.into())),
    ];
    body.extend(
        substitutions
            .finish()
            .map(|terms| ("DefinitionSubstitutions".into(), terms)),
    );
    if logs(node) {
        let logging = node.get("logging");
        let text = |key: &str| logging.and_then(|l| l.get(key));
        let destination = Term::map([(
            "CloudWatchLogsLogGroup",
            Term::map([("LogGroupArn", own("log_group", "arn", span))]),
        )]);
        body.push((
            "LoggingConfiguration".into(),
            Term::map([
                (
                    "Level",
                    Term::from(text("level").and_then(Node::as_str).unwrap_or("ERROR")),
                ),
                (
                    "IncludeExecutionData",
                    text("include_data")
                        .and_then(Node::as_bool)
                        .unwrap_or(false)
                        .into(),
                ),
                ("Destinations", Term::List(vec![destination])),
            ]),
        ));
    }
    body.push(("TracingConfiguration".into(), Term::map([("Enabled", true)])));
    body.extend(key.map(|key| {
        (
            "EncryptionConfiguration".into(),
            lower::encryption::configuration(key),
        )
    }));
    Term::Map(body.into())
}

fn role(context: &Context<'_>, permissions: Policy, span: Span) -> Term {
    // The condition allows only this state machine to assume the role.
    let machine = vec![triggers::machine_arn(&context.instance.name, span)];
    let of_machine = Condition::new("ArnLike", "aws:SourceArn", machine);
    let trust = trust("states.amazonaws.com", vec![of_machine], span);
    iam::role(trust, "steps", permissions)
}

impl<'a> Lowering<'a, '_> {
    /// Lowers the state that reports a failure, before the state machine ends in `Fail`.
    fn on_failure(&mut self, failure: &'a Node, position: &Position) -> Option<State> {
        let (_, call) = Call::ALL
            .into_iter()
            .find(|(key, _)| failure.get(key).is_some())?;
        let mut reads = Vec::new();
        let task = self.call(call, failure, position, &mut reads)?;
        let mut parameters = task.parameters;
        let path_key = |key: &str| format!("{key}.$").into();
        match call {
            Call::Sns if failure.get("message").is_none() => {
                parameters.push((path_key("Message"), self.failure_message().into()));
            }
            Call::Sqs if failure.get("message").is_none() => {
                parameters.push((path_key("MessageBody"), self.failure_message().into()));
            }
            Call::Lambda if failure.get("payload").is_none() => {
                parameters.retain(|(key, _)| key != "Payload.$");
                parameters.push((
                    "Payload".into(),
                    Term::map([
                        ("pipeline", Term::String(self.context.instance.name.clone())),
                        ("execution.$", "$$.Execution.Id".into()),
                        ("error.$", "$.error".into()),
                    ]),
                ));
            }
            _ => {}
        }
        let mut body = Term::map([("Type", Term::from("Task"))]);
        body.set("Resource", task.resource);
        body.set("Parameters", Term::Map(parameters.into()));
        body.set("ResultPath", "$.steps.HandleFailure");
        self.timeouts(failure, &mut body);
        let retry = failure.get("retry").or(self.retry);
        if let Some(rules) = self.retriers(retry, failure.key) {
            body.set("Retry", rules);
        }
        body.set("Next", FAILED);
        Some(State {
            name: "HandleFailure".into(),
            step: usize::MAX,
            writes: false,
            exits: vec![(FAILED.into(), true)],
            reads,
            levels: Vec::new(),
            body,
            span: failure.key,
        })
    }

    /// Returns the default message of a failure.
    fn failure_message(&self) -> String {
        let name = &self.context.instance.name;
        format!(
            "States.Format('The pipeline {name} failed: {{}} (execution {{}})', States.JsonToString($.error), $$.Execution.Id)"
        )
    }
}
