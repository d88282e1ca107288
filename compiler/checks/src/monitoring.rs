//! Checks the threshold, the direction and the metric of alarms.

use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

pub(super) fn alarm(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let body = subject.body;
    let text = |key: &str| body.get(key).and_then(Term::as_str).unwrap_or_default();
    let metric = text("MetricName");
    if body.get("Threshold").is_none() && body.get("ThresholdMetricId").is_none() {
        let path: &[&str] = if metric.is_empty() { &[] } else { &["MetricName"] };
        findings.push(
            Finding::new(
                Code::AlarmWithoutThreshold,
                path,
                format!("the alarm on `{metric}` has no threshold"),
            )
            .help("add a `Threshold`, in the unit of the metric"),
        );
    }
    let better_when_high = ["Score", "Processed", "Success", "Completeness", "Healthy"];
    if text("ComparisonOperator").starts_with("GreaterThan")
        && better_when_high.iter().any(|word| metric.contains(word))
        && !metric.contains("Unhealthy")
        && !metric.contains("Freshness")
    {
        findings.push(
            Finding::new(
                Code::InvertedAlarm,
                &["ComparisonOperator"],
                format!("`{metric}` is better when it is higher, but the alarm fires when it rises"),
            )
            .instead("LessThanThreshold", "use `LessThanThreshold`"),
        );
    }
    let namespace = text("Namespace");
    if !namespace.is_empty() && !namespace.starts_with("AWS/") && !emitted(subject, namespace) {
        findings.push(
            Finding::new(
                Code::OrphanMetric,
                &["Namespace"],
                format!("no resource of the platform emits metrics in namespace `{namespace}`"),
            )
            .help("set `METRICS_NAMESPACE` in the environment of a function or job, or add a metric filter"),
        );
    }
}

/// Returns whether a function, a job or a metric filter contains the name of the namespace.
fn emitted(subject: &Subject<'_>, namespace: &str) -> bool {
    subject
        .graph
        .resources
        .iter()
        .zip(subject.bodies)
        .any(|(resource, lowered)| match resource.kind.cloudformation() {
            Some("AWS::Lambda::Function" | "AWS::Glue::Job" | "AWS::Logs::MetricFilter") => {
                mentions(lowered.body(resource), namespace)
            }
            _ => false,
        })
}

fn mentions(term: &Term, text: &str) -> bool {
    match term {
        Term::String(s) => s == text,
        Term::List(items) => items.iter().any(|item| mentions(item, text)),
        Term::Map(entries) => entries.iter().any(|(_, item)| mentions(item, text)),
        _ => false,
    }
}
