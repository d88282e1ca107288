//! Jobs, and the tenant's limit of how many run at once.
//!
//! On plain Kubernetes, a quota limits running jobs by their pods: those with `activeDeadlineSeconds` are in the scope `Terminating`.
//! Pods that have finished do not count, and a Job whose pods do not fit waits until others have finished. The deadline of a Job itself
//! is not passed on to its pods, and operators set none.

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::pod_spec;
use crate::resource::Resource;
use crate::term::Term;

/// Kinds whose operators run their pods without a deadline.
const OF_OPERATORS: [&str; 4] = [
    "RayCronJob",
    "RayJob",
    "ScheduledSparkApplication",
    "SparkApplication",
];

/// A job that a tenant with a limit of concurrent jobs runs without being counted.
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
            "its pods have no deadline of their own",
            "set `activeDeadlineSeconds` in the pod template, beside `containers`",
        ),
        kind if OF_OPERATORS.contains(&kind) => (
            "its operator runs pods without a deadline",
            "what limits it are the quotas of processor time, memory and pods; to queue such jobs, a scheduler such as Kueue is needed",
        ),
        _ => return,
    };
    let message = format!(
        "`max_concurrent_jobs: {}` of tenant `{}` does not limit {kind} `{}`: {reason}",
        limit.value, tenant.name.value, subject.resource.address
    );
    findings.push(Finding::new(Code::UncountedJob, &[], message).help(help));
}

/// True when a CronJob never runs two Jobs at once.
fn runs_alone(subject: &Subject<'_>) -> bool {
    let policy = subject
        .body
        .at(&["spec", "concurrencyPolicy"])
        .and_then(Term::as_str);
    matches!(policy, Some("Forbid" | "Replace"))
}

/// True when the pods of a Job or CronJob have a deadline, by which a quota counts them.
fn has_deadline(body: &Term) -> bool {
    pod_spec(body).is_some_and(|pod| pod.get("activeDeadlineSeconds").is_some())
}

/// True when a quota of the namespace limits running pods that have a deadline.
fn has_quota(subject: &Subject<'_>) -> bool {
    subject.beside().any(|(other, body)| is_quota(other, body))
}

/// True for a ResourceQuota that limits running pods that have a deadline.
pub(super) fn is_quota(resource: &Resource, body: &Term) -> bool {
    let scopes = body.at(&["spec", "scopes"]).map_or(&[][..], Term::items);
    let only = matches!(scopes, [scope] if scope.as_str() == Some("Terminating"));
    only && resource.kind.kubernetes() == Some("ResourceQuota")
        && body.at(&["spec", "hard", "pods"]).is_some()
}

/// The fewest and the most pods that a Job or CronJob runs at once, where such a quota counts them.
pub(super) fn counted(resource: &Resource, body: &Term) -> Option<(i64, i64)> {
    let spec = match resource.kind.kubernetes()? {
        "Job" => body.get("spec")?,
        "CronJob" => body.at(&["spec", "jobTemplate", "spec"])?,
        _ => return None,
    };
    let number = |key: &str| spec.get(key).and_then(Term::as_integer);
    let most = number("parallelism").unwrap_or(1);
    let most = number("completions").map_or(most, |completions| most.min(completions));
    // Whatever the quota, a Job goes on as long as one of its pods fits.
    has_deadline(body).then_some((0, most))
}
