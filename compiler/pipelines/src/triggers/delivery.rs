//! The delivery of events to a pipeline: the roles that start it, and the queue of undelivered events with its alarm.

use terrace_artifact::Text;
use terrace_language::aws::actions;
use terrace_language::aws::iam;
use terrace_language::aws::iam::{Condition, Policy, Principal, Statement, trust};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::source::Span;

use super::machine_arn;
use crate::targets::own;

/// The key of the role of all rules.
pub(super) const RULE_ROLE: &str = "rule_role";

/// The key of the role of all schedules.
pub(super) const SCHEDULE_ROLE: &str = "schedule_role";

/// The key of the queue of undelivered events.
pub const UNDELIVERED: &str = "undelivered";

/// The delivery of events by the triggers of one pipeline.
pub(super) struct Delivery<'a> {
    pub(super) pipeline: &'a Text,
    /// The key that encrypts the state machine.
    pub(super) key: Option<&'a Term>,
    /// The keys of the rules.
    pub(super) rules: &'a [String],
    /// Whether the pipeline has a schedule.
    pub(super) has_schedules: bool,
    pub(super) span: Span,
}

impl Delivery<'_> {
    /// Returns the roles, the queue, its alarm and its policy. `topic` gets the notifications of the alarm.
    pub(super) fn resources(
        &self,
        topic: Option<Term>,
        make: &impl Fn(&str, &str, Term) -> Resource,
    ) -> Vec<Resource> {
        let mut resources = Vec::new();
        if !self.rules.is_empty() {
            let body = self.role("events.amazonaws.com", Policy::default());
            resources.push(make(RULE_ROLE, "AWS::IAM::Role", body));
        }
        if self.has_schedules {
            let mut send = Policy::default();
            let queue = own(UNDELIVERED, "arn", self.span);
            send.allow("KeepUndelivered", actions::SEND_MESSAGE, [queue]);
            let body = self.role("scheduler.amazonaws.com", send);
            resources.push(make(SCHEDULE_ROLE, "AWS::IAM::Role", body));
        }
        let queue = Term::map([
            ("MessageRetentionPeriod", Term::from(1_209_600)),
            ("SqsManagedSseEnabled", true.into()),
        ]);
        resources.push(make(UNDELIVERED, "AWS::SQS::Queue", queue));
        let alarm = undelivered_alarm(self.pipeline, topic, self.span);
        resources.push(make("undelivered_alarm", "AWS::CloudWatch::Alarm", alarm));
        if !self.rules.is_empty() {
            let body = self.queue_policy();
            resources.push(make("undelivered_policy", "AWS::SQS::QueuePolicy", body));
        }
        resources
    }

    /// Returns a role that starts the pipeline. The trust policy cannot name the rule, because the rule requires the role first.
    fn role(&self, service: &'static str, mut allowed: Policy) -> Term {
        let machine = own("state_machine", "arn", self.span);
        allowed.allow("StartPipeline", actions::START_EXECUTION, [machine]);
        if let Some(key) = self.key {
            let machine = machine_arn(self.pipeline, self.span);
            iam::allow_executions(&mut allowed, key.clone(), machine);
        }
        iam::role(trust(service, Vec::new(), self.span), "start", allowed)
    }

    /// Returns the policy that allows the rules to send to the queue.
    fn queue_policy(&self) -> Term {
        let span = self.span;
        // The value is a list even for one rule, so that a second rule does not change its form.
        let sources = Term::List(self.rules.iter().map(|rule| own(rule, "arn", span)).collect());
        let of_rules = Condition::new("ArnEquals", "aws:SourceArn", vec![sources]);
        let statement = Statement::allow(actions::SEND_MESSAGE)
            .sid("KeepUndelivered")
            .principal(Principal::Service("events.amazonaws.com"))
            .resources(vec![own(UNDELIVERED, "arn", span)])
            .conditions(vec![of_rules]);
        Term::map([
            ("Queues", Term::List(vec![own(UNDELIVERED, "ref", span)])),
            ("PolicyDocument", iam::document([statement])),
        ])
    }
}

/// Returns the alarm for messages in the queue, which would otherwise expire unnoticed.
fn undelivered_alarm(pipeline: &Text, topic: Option<Term>, span: Span) -> Term {
    let queue = Term::map([
        ("Name", Term::from("QueueName")),
        ("Value", own(UNDELIVERED, "queue_name", span)),
    ]);
    let mut alarm = Term::map([
        ("AlarmName", Term::from(format!("{pipeline}-undelivered"))),
        (
            "AlarmDescription",
            "events that could not start the pipeline are kept in a queue for two weeks".into(),
        ),
        ("Namespace", "AWS/SQS".into()),
        ("MetricName", "ApproximateNumberOfMessagesVisible".into()),
        ("Dimensions", Term::List(vec![queue])),
        ("Statistic", "Maximum".into()),
        ("Period", 300.into()),
        ("EvaluationPeriods", 1.into()),
        ("Threshold", 0.into()),
        ("ComparisonOperator", "GreaterThanThreshold".into()),
        ("TreatMissingData", "notBreaching".into()),
    ]);
    if let Some(topic) = topic {
        alarm.set("AlarmActions", Term::List(vec![topic.clone()]));
        alarm.set("OKActions", Term::List(vec![topic]));
    }
    alarm
}

/// Returns the delivery settings: retries for one hour, then the queue of undelivered events.
pub(super) fn delivery(span: Span) -> [(Text, Term); 2] {
    [
        (
            "RetryPolicy".into(),
            Term::map(
                [("MaximumEventAgeInSeconds", 3600), ("MaximumRetryAttempts", 24)]
                    .map(|(k, v)| (k, Term::from(v))),
            ),
        ),
        (
            "DeadLetterConfig".into(),
            Term::map([("Arn", own(UNDELIVERED, "arn", span))]),
        ),
    ]
}
