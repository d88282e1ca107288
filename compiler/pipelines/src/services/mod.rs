//! The services that steps call: the parameters of each call, and the permissions that it requires.

mod called;
mod nested;
mod query;
pub(crate) mod tasks;

use terrace_artifact::Text;
use terrace_language::aws::actions;
use terrace_language::aws::arn::{arn, concat, pseudo};
use terrace_language::aws::iam::Condition;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use super::definition::{default_timeout, mismatches, script_arguments};
use super::lower::Lowering;
use super::read::{Call, waits};
use super::runtime::Value;
use super::triggers::machine_arn;
use crate::runtime::names::Position;

/// The resource and parameters of a Task state.
pub(super) struct Task {
    pub(super) resource: String,
    pub(super) parameters: Vec<(Text, Term)>,
}

/// A step that calls a service.
pub(super) struct ServiceStep<'s> {
    /// The node that names the target.
    pub(super) node: &'s Node,
    /// The whole step.
    pub(super) body: &'s Node,
    pub(super) position: &'s Position,
    /// The results that it reads, added during lowering.
    pub(super) reads: &'s mut Vec<(usize, Span)>,
}

impl<'a> Lowering<'a, '_> {
    /// Lowers the call of a step.
    pub(super) fn call(
        &mut self,
        call: Call,
        body: &Node,
        position: &Position,
        reads: &mut Vec<(usize, Span)>,
    ) -> Option<Task> {
        let node = body.get(call.key())?;
        if self.express
            && waits(body)
            && matches!(
                call,
                Call::Glue | Call::Pipeline | Call::EmrServerless | Call::Athena
            )
        {
            self.diagnostics.push(
                Diagnostic::new(Code::InvalidState, "an `EXPRESS` pipeline cannot wait for a job")
                    .at(node.key, "waits for the end of the job")
                    .help("set `wait: false`, or make the pipeline `STANDARD`"),
            );
        }
        let step = &mut ServiceStep {
            node,
            body,
            position,
            reads,
        };
        match call {
            Call::Lambda => self.lambda(step),
            Call::Glue => self.glue(step),
            Call::Sns => self.sns(step),
            Call::Sqs => self.sqs(step),
            Call::Pipeline => self.pipeline(step),
            Call::EmrServerless => self.emr(step),
            Call::Athena => self.athena(step),
        }
    }

    pub(super) fn service(&mut self, service: &str, parameters: Vec<(Text, Term)>) -> Task {
        let partition = match self.context.place.region.as_deref() {
            Some(region) if region.starts_with("cn-") => "aws-cn".to_owned(),
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov".to_owned(),
            Some(_) => "aws".to_owned(),
            None => {
                let partition = pseudo("AWS::Partition", self.context.instance.declared);
                self.substitutions.inline(&partition)
            }
        };
        Task {
            resource: format!("arn:{partition}:states:::{service}"),
            parameters,
        }
    }

    /// Adds a value under a key, or its path under the key with `.$`.
    pub(super) fn put(
        &mut self,
        parameters: &mut Vec<(Text, Term)>,
        key: &str,
        node: Option<&Node>,
        step: &mut ServiceStep<'_>,
    ) {
        match node.and_then(|node| self.payload(node, step.position, step.reads)) {
            Some(Value::Late(text)) => parameters.push((format!("{key}.$").into(), text.into())),
            Some(Value::Known(Term::Omit | Term::Null)) | None => {}
            Some(Value::Known(term)) => parameters.push((key.into(), term)),
        }
    }

    /// Adds several values. Each pair is the key of the service and the key of the step.
    pub(super) fn put_all(
        &mut self,
        parameters: &mut Vec<(Text, Term)>,
        keys: &[(&str, &str)],
        step: &mut ServiceStep<'_>,
    ) {
        for (key, word) in keys {
            self.put(parameters, key, step.body.get(word), step);
        }
    }

    /// Adds a list of strings, because the services accept no numbers there.
    pub(super) fn put_texts(
        &mut self,
        parameters: &mut Vec<(Text, Term)>,
        key: &str,
        word: &str,
        step: &mut ServiceStep<'_>,
    ) {
        let Some(list) = step.body.get(word) else { return };
        let text = |item: &Node| match item.kind {
            NodeKind::Number(_) | NodeKind::Bool(_) => Node {
                kind: NodeKind::String(Term::from_value(item.to_value()).shown().into()),
                ..item.clone()
            },
            _ => item.clone(),
        };
        let list = Node {
            kind: NodeKind::List(list.items().iter().map(text).collect()),
            ..list.clone()
        };
        self.put(parameters, key, Some(&list), step);
    }

    fn lambda(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let function = self.target(node, "AWS::Lambda::Function")?;
        let function_arn = function.attribute("arn", node.span);
        let versions = concat([function_arn.clone(), ":*".into()]);
        self.permissions.allow(
            "InvokeFunctions",
            actions::INVOKE_FUNCTION,
            [function_arn.clone(), versions],
        );
        let mut parameters = vec![("FunctionName".into(), self.substitutions.value(&function_arn))];
        match body.get("payload") {
            Some(payload) => self.put(&mut parameters, "Payload", Some(payload), step),
            None => parameters.push(("Payload.$".into(), "$".into())),
        }
        Some(self.service("lambda:invoke", parameters))
    }

    fn glue(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let span = node.span;
        let job = self.target(node, "AWS::Glue::Job")?;
        let name = job.name(span);
        let job_arn = arn("glue", ["job/".into(), name.clone()], span);
        self.permissions
            .allow("StartGlueJobs", actions::START_JOB, [job_arn.clone()]);
        let waits = waits(body);
        if waits {
            self.permissions
                .allow("WatchGlueJobs", actions::FOLLOW_JOB, [job_arn]);
        }
        let mut parameters = vec![("JobName".into(), self.substitutions.value(&name))];
        let given = body.get("arguments");
        if let Some(Value::Known(Term::Map(entries))) =
            given.and_then(|given| self.payload(given, step.position, step.reads))
        {
            // Glue accepts only strings.
            let texts = entries.into_iter().map(|(key, value)| match value {
                Term::Number(_) | Term::Bool(_) => (key, Term::from(value.shown())),
                value => (key, value),
            });
            let texts: Vec<(Text, Term)> = texts.collect();
            if !texts.is_empty() {
                parameters.push(("Arguments".into(), Term::Map(texts.into())));
            }
        }
        if let Some(job) = job.resource() {
            self.arguments(job, body, given, span);
        }
        let timeout = body.get("timeout").and_then(Node::as_str);
        let timeout = timeout.and_then(|text| text.parse::<terrace_language::value::unit::Duration>().ok());
        let bound = timeout.map_or(self.timeout.0, |timeout| timeout.seconds.min(self.timeout.0));
        let longest = job.resource().and_then(default_timeout);
        // A run that outlives its step would continue, at a cost, when no step waits for it any more.
        if waits && (timeout.is_some() || longest.is_some_and(|minutes| minutes.saturating_mul(60) > bound)) {
            let minutes = longest.unwrap_or(i64::MAX).min((bound / 60).max(1));
            parameters.push(("Timeout".into(), minutes.into()));
        }
        Some(self.service(
            if waits {
                "glue:startJobRun.sync"
            } else {
                "glue:startJobRun"
            },
            parameters,
        ))
    }

    fn arguments(&mut self, job: &Resource, body: &Node, given: Option<&Node>, span: Span) {
        let Some(arguments) = script_arguments(job, self.context.targets) else {
            return;
        };
        let entries = given.map(Node::entries).unwrap_or_default();
        let names: Vec<(Text, Option<Span>)> = entries
            .iter()
            .map(|(name, node)| (name.clone(), Some(node.key)))
            .collect();
        for mismatch in mismatches(&arguments, &names) {
            let place = mismatch.given.and_then(|index| names.get(index)?.1);
            let (at, label) = match place {
                Some(place) => (place, "not read by the job"),
                None => (
                    given.map_or(body.get("glue").map_or(span, |n| n.span), |given| given.key),
                    "arguments of this step",
                ),
            };
            let diagnostic = Diagnostic::new(Code::ArgumentMismatch, mismatch.message)
                .at(at, label)
                .also(job.declared, "job declared here")
                .note(format!("Terrace reads the names from {}", arguments.source));
            self.diagnostics.push(match (place, mismatch.name) {
                (Some(place), Some(name)) => diagnostic.replace(place, name, mismatch.help),
                _ => diagnostic.help(mismatch.help),
            });
        }
    }

    fn sqs(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let node = step.node;
        let span = node.span;
        let queue = self.target(node, "AWS::SQS::Queue")?;
        let Some(resource) = queue.resource() else {
            self.diagnostics.push(
                Diagnostic::new(Code::WrongTarget, "the queue must be named by its component")
                    .at(span, "the step requires the URL and the ARN of the queue")
                    .help("write the name of the component, or `COMPONENT.RESOURCE`"),
            );
            return None;
        };
        self.permissions.allow(
            "SendToQueues",
            actions::SEND_MESSAGE,
            [queue.attribute("arn", span)],
        );
        self.encrypted(Some(resource), span);
        let url = self.substitutions.value(&queue.attribute("queue_url", span));
        let mut parameters = vec![("QueueUrl".into(), url)];
        self.put_all(&mut parameters, &[("MessageBody", "message")], step);
        self.group(resource, "FifoQueue", "queue", &mut parameters, step);
        Some(self.service("sqs:sendMessage", parameters))
    }

    fn sns(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let span = step.node.span;
        let topic = self.target(step.node, "AWS::SNS::Topic")?;
        let topic_arn = topic.attribute("arn", span);
        self.permissions
            .allow("PublishToTopics", actions::PUBLISH, [topic_arn.clone()]);
        self.encrypted(topic.resource(), span);
        let mut parameters = vec![("TopicArn".into(), self.substitutions.value(&topic_arn))];
        self.put_all(
            &mut parameters,
            &[("Message", "message"), ("Subject", "subject")],
            step,
        );
        match topic.resource() {
            Some(resource) => self.group(resource, "FifoTopic", "topic", &mut parameters, step),
            None => self.put_all(&mut parameters, &[("MessageGroupId", "group")], step),
        }
        Some(self.service("sns:publish", parameters))
    }

    /// Adds the group of a message. FIFO queues and topics require one, others reject it.
    fn group(
        &mut self,
        resource: &'a Resource,
        property: &str,
        word: &str,
        parameters: &mut Vec<(Text, Term)>,
        step: &mut ServiceStep<'_>,
    ) {
        let is = |property: &str| resource.body.get(property).and_then(Term::as_bool) == Some(true);
        let (node, fifo) = (step.node, is(property));
        match (fifo, step.body.get("group")) {
            (true, None) => self.diagnostics.push(
                Diagnostic::new(
                    Code::MissingField,
                    format!("a message to a FIFO {word} requires a `group`"),
                )
                .at(node.key, format!("is a FIFO {word}")),
            ),
            (false, Some(group)) => self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    format!("`group` is valid only for a FIFO {word}"),
                )
                .at(group.key, format!("the {word} is not FIFO")),
            ),
            (_, group) => self.put(parameters, "MessageGroupId", group, step),
        }
        if fifo && !is("ContentBasedDeduplication") {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::InvalidState,
                    format!("the FIFO {word} has no content-based deduplication"),
                )
                .at(
                    node.span,
                    "AWS would reject every message, because it has no deduplication ID",
                )
                .also(resource.declared, format!("{word} declared here"))
                .help("add `ContentBasedDeduplication: true` to it"),
            );
        }
    }

    fn emr(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let span = node.span;
        let application = self.target(node, "AWS::EMRServerless::Application")?;
        let role = self.target(body.get("role")?, "AWS::IAM::Role")?;
        let Some(resource) = application.resource() else {
            self.diagnostics.push(
                Diagnostic::new(
                    Code::WrongTarget,
                    "the EMR Serverless application must be named by its component",
                )
                .at(span, "the step requires the id and the ARN of the application"),
            );
            return None;
        };
        let application_arn = resource.attribute("arn", span);
        let role_arn = role.attribute("arn", span);
        self.permissions.allow(
            "StartSparkJobs",
            actions::START_SPARK_JOB,
            [application_arn.clone()],
        );
        let waits = waits(body);
        if waits {
            self.permissions.allow(
                "WatchSparkJobs",
                actions::FOLLOW_SPARK_JOB,
                [concat([application_arn, "/jobruns/*".into()])],
            );
            self.managed_rule("StepFunctionsGetEventsForEMRServerlessJobRule", span);
        }
        self.permissions.allow_if(
            "PassSparkRoles",
            &["iam:PassRole"],
            [role_arn.clone()],
            vec![Condition::new(
                "StringEquals",
                "iam:PassedToService",
                vec!["emr-serverless.amazonaws.com".into()],
            )],
        );
        let id = self
            .substitutions
            .value(&resource.attribute("application_id", span));
        let mut submit = Vec::new();
        self.put_all(&mut submit, &[("EntryPoint", "entry_point")], step);
        self.put_texts(&mut submit, "EntryPointArguments", "arguments", step);
        self.put_all(&mut submit, &[("SparkSubmitParameters", "spark")], step);
        let mut parameters: Vec<(Text, Term)> = vec![
            ("ApplicationId".into(), id),
            ("ExecutionRoleArn".into(), self.substitutions.value(&role_arn)),
            (
                "JobDriver".into(),
                Term::map([("SparkSubmit", Term::Map(submit.into()))]),
            ),
        ];
        self.put_all(
            &mut parameters,
            &[("ConfigurationOverrides", "configuration")],
            step,
        );
        let service = if waits {
            "emr-serverless:startJobRun.sync"
        } else {
            "emr-serverless:startJobRun"
        };
        Some(self.service(service, parameters))
    }

    /// Allows the rule that notifies Step Functions of the end of a job. Without this permission, creating the state machine fails.
    pub(super) fn managed_rule(&mut self, rule: &str, span: Span) {
        self.permissions.allow(
            "WatchJobs",
            &["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            [arn("events", [format!("rule/{rule}").into()], span)],
        );
    }

    /// Allows a distributed map to start executions of its own state machine.
    pub(super) fn allow_distributed(&mut self) {
        let span = self.context.instance.declared;
        let name = &self.context.instance.name;
        let machine = machine_arn(name, span);
        let runs = arn("states", [format!("execution:{name}:*").into()], span);
        let items = arn("states", [format!("execution:{name}/*:*").into()], span);
        self.permissions
            .allow("DistributeItems", actions::START_EXECUTION, [machine]);
        self.permissions.allow(
            "WatchItems",
            &[
                "states:DescribeExecution",
                "states:StopExecution",
                "states:RedriveExecution",
            ],
            [runs, items],
        );
    }
}
