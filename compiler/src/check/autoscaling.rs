//! Autoscalers and disruption budgets, against the workloads they are about.

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::Graph;
use crate::term::Term;

fn workload<'a>(
    subject: &Subject<'a>,
    kind: &str,
    name: &str,
) -> Option<(&'a crate::resource::Resource, &'a Term)> {
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
        let message = format!("at least {least} replicas, and at most {most}");
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
                "the autoscaler follows no metric",
            )
            .help("name one under `metrics`"),
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
                    "`{}` says {} replicas, and this autoscaler writes that number",
                    resource.address,
                    replicas.shown()
                ),
            )
            .help("remove `replicas` from the workload: the autoscaler begins with `minReplicas`"),
        );
    }
    let containers = crate::connect::pod_spec(body)
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
                        "a container of `{}` does not request `{name}`, so its use cannot be judged",
                        resource.address
                    ),
                )
                .help(format!(
                    "give every container `resources: {{requests: {{{name}: …}}}}`"
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
                "no pod may ever be evicted: nodes cannot be drained",
            )
            .help("let one go: `maxUnavailable: 1`"),
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
                    "{available} pods have to be there, and `{}` may have {replicas}: none can be evicted",
                    resource.address
                ),
            )
            .help("use `maxUnavailable: 1`, which holds for any number of pods"),
        );
    }
}

/// The workload that a selector finds, and the fewest pods it may have.
fn replicas_of<'a>(
    subject: &Subject<'a>,
    selector: Option<&Term>,
) -> Option<(&'a crate::resource::Resource, i64)> {
    let namespace = subject.body.at(&["metadata", "namespace"]);
    let (resource, body) = subject.beside().find(|(other, body)| {
        matches!(other.kind.kubernetes(), Some("Deployment" | "StatefulSet"))
            && body.at(&["metadata", "namespace"]) == namespace
            && body.at(&["spec", "selector", "matchLabels"]) == selector
    })?;
    let (replicas, _) = super::pods::range(subject, resource, body)?;
    Some((resource, replicas))
}

impl Graph<'_> {
    /// Whether another environment of the stack may deploy to the account of an instance.
    pub(crate) fn shares_account(&self, instance: usize) -> bool {
        let own = self.places[instance].account.as_ref();
        self.other_accounts
            .iter()
            .any(|other| own.is_none_or(|own| own == other))
    }
}
