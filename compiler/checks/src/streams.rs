//! Checks functions and their event source mappings.

use terrace_language::value::term::Term;
use terrace_language::value::unit::Duration;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Runtimes without security updates (AWS Lambda's deprecation table, November 2026).
const DEPRECATED: [&str; 22] = [
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "java8",
    "java8.al2",
    "dotnetcore3.1",
    "dotnet5.0",
    "dotnet6",
    "dotnet7",
    "go1.x",
    "provided",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
];

pub(super) fn function(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if let Some(runtime) = subject.body.get("Runtime").and_then(Term::as_str)
        && DEPRECATED.contains(&runtime)
    {
        let newest = match runtime {
            r if r.starts_with("python") => "python3.13",
            r if r.starts_with("nodejs") => "nodejs22.x",
            r if r.starts_with("java") => "java21",
            r if r.starts_with("dotnet") => "dotnet8",
            r if r.starts_with("ruby") => "ruby3.4",
            _ => "provided.al2023",
        };
        let message = format!("`{runtime}` no longer gets security updates");
        findings.push(
            Finding::new(Code::DeprecatedRuntime, &["Runtime"], message)
                .instead(newest, format!("use `{newest}`")),
        );
    }
}

/// Returns the retention in seconds of the queue for failures, or `None` if failures are sent elsewhere.
fn kept_in_queue(subject: &Subject<'_>) -> Option<i64> {
    let destination = subject
        .resource
        .body
        .at(&["DestinationConfig", "OnFailure", "Destination"])?;
    let Term::Reference(reference) = destination else {
        return None;
    };
    let at = subject.graph.follow(subject.resource.instance, reference)?;
    let is_queue = subject.graph.resources[at].kind.cloudformation() == Some("AWS::SQS::Queue");
    let period = subject.lowered(at).get("MessageRetentionPeriod");
    // The default is four days.
    is_queue.then(|| period.and_then(Term::as_integer).unwrap_or(345_600))
}

/// Reports a mapping of a stream without limits for retries or without a destination for failed records.
pub(super) fn mapping(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let body = subject.body;
    // Queues have no position. They have a redrive policy.
    if body.get("StartingPosition").is_none() {
        return;
    }
    let retries = body
        .get("MaximumRetryAttempts")
        .and_then(Term::as_integer)
        .unwrap_or(-1);
    let age = body
        .get("MaximumRecordAgeInSeconds")
        .and_then(Term::as_integer)
        .unwrap_or(-1);
    let caught = body
        .at(&["DestinationConfig", "OnFailure", "Destination"])
        .is_some();
    if retries == -1 && age == -1 {
        findings.push(
            Finding::new(
                Code::UnsafeStream,
                &["MaximumRetryAttempts"],
                "Lambda retries a failed record until the stream deletes it, and the record blocks its shard",
            )
            .help(
                "set `MaximumRetryAttempts: 3` and a destination for failures: `DestinationConfig: {OnFailure: …}`",
            ),
        );
    } else if !caught {
        findings.push(
            Finding::new(
                Code::UnsafeStream,
                &["DestinationConfig"],
                "failed records are lost",
            )
            .help("send them to a queue: `DestinationConfig: {OnFailure: {Destination: …}}`"),
        );
    }
    let stream = match subject.resource.body.get("EventSourceArn") {
        Some(Term::Reference(reference)) => subject.graph.follow(subject.resource.instance, reference),
        _ => None,
    };
    let retention = stream.map(|at| subject.lowered(at)).map(|stream| {
        stream
            .get("RetentionPeriodHours")
            .and_then(Term::as_integer)
            .unwrap_or(24)
            * 3600
    });
    if let (Some(retention), Some(kept)) = (retention, kept_in_queue(subject))
        && kept > retention
    {
        findings.push(
            Finding::new(
                Code::UnsafeStream,
                &["DestinationConfig", "OnFailure", "Destination"],
                format!(
                    "the queue keeps only the positions of failed records, for {}, but the stream deletes the records after {}",
                    Duration { seconds: kept },
                    Duration { seconds: retention }
                ),
            )
            .help("send failures to a bucket, which gets the whole batch, or increase `RetentionPeriodHours` of the stream"),
        );
    }
    if let Some(retention) = retention.filter(|retention| age > *retention) {
        findings.push(
            Finding::new(
                Code::UnsafeStream,
                &["MaximumRecordAgeInSeconds"],
                format!(
                    "Lambda retries records for {}, but the stream deletes them after {}",
                    Duration { seconds: age },
                    Duration { seconds: retention }
                ),
            )
            .help("set `MaximumRecordAgeInSeconds` to less than the retention of the stream"),
        );
    }
}
