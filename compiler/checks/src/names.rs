//! Checks names that are the same in two environments, and names that are too long for a host name.

use terrace_language::expression::words::slug;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Types whose names are unique in an account, with the property for the name.
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

/// Reports a name without the name of the environment, in an account that another environment shares.
pub(super) fn environment(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let type_name = subject.resource.kind.name();
    let Some((_, property)) = TYPES.iter().find(|(name, _)| *name == type_name) else {
        return;
    };
    let Some(name) = subject.body.get(property).and_then(Term::as_str) else {
        return;
    };
    let environment = subject.environment("name");
    let account = subject.graph.places[subject.resource.instance].account.as_deref();
    let is_distinct = name.contains(environment)
        || name.contains(slug(environment).as_str())
        || account.is_some_and(|account| name.contains(account));
    if !is_distinct {
        findings.push(
            Finding::new(
                Code::NameWithoutEnvironment,
                &[property],
                format!("the name `{name}` is the same in every environment of this account"),
            )
            .help("start the name with `{{ name }}`, or add `{{ environment.name }}` to it"),
        );
    }
}

/// Reports the name of an indexed Job that is too long. The host name of a pod is the name of the Job with the index of the pod, and must
/// be a valid label.
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
                "shorten the name to {} characters or fewer: a host name has at most {} characters",
                terrace_catalog::LONGEST_LABEL - (length - name.unwrap_or_default().len()),
                terrace_catalog::LONGEST_LABEL
            )),
        );
    }
}
