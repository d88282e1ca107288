//! Checks autoscalers and disruption budgets against their workloads.

use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

fn workload<'a>(
    subject: &Subject<'a>,
    kind: &str,
    name: &str,
) -> Option<(&'a terrace_language::resource::Resource, &'a Term)> {
    let namespace = subject.body.at(&["metadata", "namespace"]);
    subject.beside().find(|(other, body)| {
        other.kind.kubernetes() == Some(kind)
            && body.at(&["metadata", "name"]).and_then(Term::as_str) == Some(name)
            && body.at(&["metadata", "namespace"]) == namespace
    })
}

pub(super) fn autoscaler(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let spec = subject.body.get("spec");
    let number = |key: &str| spec.and_then(|spec| spec.get(key)).and_then(Term::as_integer);
    let (least, most) = (
        number("minReplicas").unwrap_or(1),
        number("maxReplicas").unwrap_or(i64::MAX),
    );
    if least > most {
        let message = format!("`minReplicas` ({least}) is greater than `maxReplicas` ({most})");
        findings.push(Finding::new(
            Code::InvalidAutoscaler,
            &["spec", "minReplicas"],
            message,
        ));
    }
    let metrics = spec.and_then(|spec| spec.get("metrics"));
    if metrics.is_none_or(|metrics| metrics.items().is_empty()) {
        findings.push(
            Finding::new(
                Code::InvalidAutoscaler,
                &["spec", "scaleTargetRef"],
                "the autoscaler has no metric",
            )
            .help("add a metric to `metrics`"),
        );
    }
    let target = spec.and_then(|spec| spec.get("scaleTargetRef"));
    let word = |key: &str| {
        target
            .and_then(|target| target.get(key))
            .and_then(Term::as_str)
            .unwrap_or_default()
    };
    let Some((resource, body)) = workload(subject, word("kind"), word("name")) else {
        return;
    };
    if let Some(replicas) = body.at(&["spec", "replicas"]) {
        findings.push(
            Finding::new(
                Code::ReplicasWithAutoscaler,
                &["spec", "scaleTargetRef"],
                format!(
                    "`{}` sets `replicas: {}`, which this autoscaler controls",
                    resource.address,
                    replicas.shown()
                ),
            )
            .help("remove `replicas` from the workload; the autoscaler starts with `minReplicas`"),
        );
    }
    let containers = terrace_graph::connect::pod_spec(body)
        .and_then(|pod| pod.get("containers"))
        .map_or(&[][..], Term::items);
    for metric in metrics.map_or(&[][..], Term::items) {
        let Some(name) = metric.at(&["resource", "name"]).and_then(Term::as_str) else {
            continue;
        };
        if containers.iter().any(|c| {
            c.at(&["resources", "requests", name]).is_none() && c.at(&["resources", "limits", name]).is_none()
        }) {
            findings.push(
                Finding::new(
                    Code::InvalidAutoscaler,
                    &["spec", "metrics"],
                    format!(
                        "a container of `{}` does not request `{name}`, so the autoscaler cannot compute its utilization",
                        resource.address
                    ),
                )
                .help(format!(
                    "add `resources: {{requests: {{{name}: …}}}}` to every container"
                )),
            );
        }
    }
}

pub(super) fn budget(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let spec = subject.body.get("spec");
    let number = |key: &str| spec.and_then(|spec| spec.get(key)).and_then(Term::as_integer);
    let percent =
        |key: &str, text: &str| spec.and_then(|spec| spec.get(key)).and_then(Term::as_str) == Some(text);
    if number("maxUnavailable") == Some(0)
        || percent("maxUnavailable", "0%")
        || percent("minAvailable", "100%")
    {
        let key = if spec.is_some_and(|spec| spec.get("maxUnavailable").is_some()) {
            "maxUnavailable"
        } else {
            "minAvailable"
        };
        findings.push(
            Finding::new(
                Code::BlockedEviction,
                &["spec", key],
                "the budget allows no eviction, so nodes cannot be drained",
            )
            .help("allow one eviction: `maxUnavailable: 1`"),
        );
        return;
    }
    let Some(available) = number("minAvailable") else {
        return;
    };
    let selector = spec.and_then(|spec| spec.at(&["selector", "matchLabels"]));
    let Some((resource, replicas)) = replicas_of(subject, selector) else {
        return;
    };
    if available >= replicas {
        findings.push(
            Finding::new(
                Code::BlockedEviction,
                &["spec", "minAvailable"],
                format!(
                    "`minAvailable` ({available}) is not less than the minimum number of pods of `{}` ({replicas}), so no pod can be evicted",
                    resource.address
                ),
            )
            .help("use `maxUnavailable: 1`, which works for any number of pods"),
        );
    }
}

/// Finds the workload that a selector selects, with its minimum number of pods.
fn replicas_of<'a>(
    subject: &Subject<'a>,
    selector: Option<&Term>,
) -> Option<(&'a terrace_language::resource::Resource, i64)> {
    let namespace = subject.body.at(&["metadata", "namespace"]);
    let (resource, body) = subject.beside().find(|(other, body)| {
        matches!(other.kind.kubernetes(), Some("Deployment" | "StatefulSet"))
            && body.at(&["metadata", "namespace"]) == namespace
            && body.at(&["spec", "selector", "matchLabels"]) == selector
    })?;
    let (replicas, _) = super::pods::range(subject, resource, body)?;
    Some((resource, replicas))
}
