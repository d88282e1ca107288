//! Checks jobs against the limit of concurrent jobs of their tenant.
//!
//! On plain Kubernetes, a quota limits running jobs by their pods: those with `activeDeadlineSeconds` are in the scope `Terminating`.
//! Finished pods do not count, and a Job whose pods do not fit waits until others have finished. Kubernetes does not pass the deadline of a Job
//! on to its pods, and operators set no deadline.

use terrace_graph::connect::pod_spec;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Kinds whose operators run their pods without a deadline.
const OF_OPERATORS: [&str; 4] = [
    "RayCronJob",
    "RayJob",
    "ScheduledSparkApplication",
    "SparkApplication",
];

/// Reports a job that the limit of concurrent jobs of its tenant does not count.
pub(super) fn job(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let tenant = subject.graph.uses[subject.resource.instance].tenant;
    let Some((tenant, limit)) =
        tenant.and_then(|tenant| Some((tenant, tenant.max_concurrent_jobs.as_ref()?)))
    else {
        return;
    };
    let kind = subject.resource.kind.kubernetes().unwrap_or_default();
    let (reason, help) = match kind {
        "Job" | "CronJob" if runs_alone(subject) => return,
        "Job" | "CronJob" if !has_quota(subject) => (
            "no ResourceQuota of its namespace limits running jobs",
            "use the module `tenant`, or add a ResourceQuota with `scopes: [Terminating]` and `hard: {pods: …}`",
        ),
        "Job" | "CronJob" if !has_deadline(subject.body) => (
            "its pods do not set `activeDeadlineSeconds`",
            "set `activeDeadlineSeconds` in the pod template, next to `containers`",
        ),
        kind if OF_OPERATORS.contains(&kind) => (
            "its operator does not set `activeDeadlineSeconds` on its pods",
            "limit it with the quotas for CPU, memory and pods; to queue such jobs, use a scheduler such as Kueue",
        ),
        _ => return,
    };
    let message = format!(
        "`max_concurrent_jobs: {}` of tenant `{}` does not limit {kind} `{}`: {reason}",
        limit.value, tenant.name.value, subject.resource.address
    );
    findings.push(Finding::new(Code::UncountedJob, &[], message).help(help));
}

/// Returns whether a CronJob never runs two Jobs at once.
fn runs_alone(subject: &Subject<'_>) -> bool {
    let policy = subject
        .body
        .at(&["spec", "concurrencyPolicy"])
        .and_then(Term::as_str);
    matches!(policy, Some("Forbid" | "Replace"))
}

/// Returns whether the pods of a Job or CronJob have a deadline, so that a quota counts them.
fn has_deadline(body: &Term) -> bool {
    pod_spec(body).is_some_and(|pod| pod.get("activeDeadlineSeconds").is_some())
}

/// Returns whether a quota of the namespace limits running pods that have a deadline.
fn has_quota(subject: &Subject<'_>) -> bool {
    subject.beside().any(|(other, body)| is_quota(other, body))
}

/// Returns whether a resource is a ResourceQuota that limits running pods that have a deadline.
pub(super) fn is_quota(resource: &Resource, body: &Term) -> bool {
    let scopes = body.at(&["spec", "scopes"]).map_or(&[][..], Term::items);
    let only = matches!(scopes, [scope] if scope.as_str() == Some("Terminating"));
    only && resource.kind.kubernetes() == Some("ResourceQuota")
        && body.at(&["spec", "hard", "pods"]).is_some()
}

/// Returns the minimum and maximum number of pods that a Job or CronJob runs at once, if such a quota counts them.
pub(super) fn counted(resource: &Resource, body: &Term) -> Option<(i64, i64)> {
    let spec = match resource.kind.kubernetes()? {
        "Job" => body.get("spec")?,
        "CronJob" => body.at(&["spec", "jobTemplate", "spec"])?,
        _ => return None,
    };
    let number = |key: &str| spec.get(key).and_then(Term::as_integer);
    let most = number("parallelism").unwrap_or(1);
    let most = number("completions").map_or(most, |completions| most.min(completions));
    // A Job makes progress if the quota has room for one of its pods.
    has_deadline(body).then_some((0, most))
}
