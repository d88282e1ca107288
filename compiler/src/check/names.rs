//! Names that two environments would share.

use super::{Finding, Subject};
use crate::code::Code;
use crate::expression::filters::slug;
use crate::resource::ResourceKind;
use crate::term::Term;

/// Types whose names are an account's, and of which people write the names themselves.
const TYPES: [(&str, &str); 18] = [
    ("AWS::Athena::WorkGroup", "Name"),
    ("AWS::CloudWatch::Alarm", "AlarmName"),
    ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::Events::Rule", "Name"),
    ("AWS::Glue::Crawler", "Name"),
    ("AWS::Glue::Job", "Name"),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::KMS::Alias", "AliasName"),
    ("AWS::Kinesis::Stream", "Name"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::SNS::Topic", "TopicName"),
    ("AWS::SQS::Queue", "QueueName"),
    ("AWS::SecretsManager::Secret", "Name"),
    ("AWS::StepFunctions::StateMachine", "StateMachineName"),
];

/// A name without the environment in it collides as soon as two environments share an account.
pub(super) fn environment(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let ResourceKind::CloudFormation(type_name) = &subject.resource.kind else {
        return;
    };
    let Some((_, property)) = TYPES.iter().find(|(name, _)| name == type_name) else {
        return;
    };
    let Some(name) = subject.body.get(property).and_then(Term::as_str) else {
        return;
    };
    let environment = subject.environment("name");
    let account = subject.graph.places[subject.resource.instance].account.as_deref();
    let told_apart = name.contains(environment)
        || name.contains(slug(environment).as_str())
        || account.is_some_and(|account| name.contains(account));
    if !told_apart && subject.graph.shares_account(subject.resource.instance) {
        findings.push(
            Finding::new(
                Code::NameWithoutEnvironment,
                &[property],
                format!("`{name}` would be the name in every environment of the account"),
            )
            .help("begin it with `{{ name }}`, or put `{{ environment.name }}` into it"),
        );
    }
}

/// The host name of each pod of an indexed Job is the Job's name with the pod's index: it has to be a label.
pub(super) fn indexed_job(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let spec = match subject.resource.kind.kubernetes() {
        Some("Job") => subject.body.get("spec"),
        _ => None,
    };
    let word = |key: &str| spec.and_then(|spec| spec.get(key));
    if word("completionMode").and_then(Term::as_str) != Some("Indexed") {
        return;
    }
    let name = subject.body.at(&["metadata", "name"]).and_then(Term::as_str);
    let last = word("completions").and_then(Term::as_integer).unwrap_or(1) - 1;
    let host = format!("{}-{}", name.unwrap_or_default(), last.max(0));
    let length = host.len();
    if length > terrace_catalog::LONGEST_LABEL {
        let message = format!("`{host}`, the host name of the last pod, is {length} characters long");
        findings.push(
            Finding::new(Code::NameTooLong, &["metadata", "name"], message).help(format!(
                "shorten the name by {}: a host name has at most {} characters",
                length - terrace_catalog::LONGEST_LABEL,
                terrace_catalog::LONGEST_LABEL
            )),
        );
    }
}
