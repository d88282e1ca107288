//! Pods: mounts, shared volumes, and what their namespace demands of them.

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::pod_spec;
use crate::diagnostic::listed;
use crate::resource::Resource;
use crate::term::Term;

pub(super) fn workload(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(pod) = pod_spec(subject.body) else { return };
    let base: &[&str] = match subject.resource.kind.kubernetes() {
        Some("Pod") => &["spec"],
        Some("CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    };
    selector(subject, findings);
    mounts(subject, pod, base, findings);
    shared(subject, pod, base, findings);
    match enforced_level(subject) {
        Some("restricted") => restricted(pod, base, true, findings),
        Some("baseline") => restricted(pod, base, false, findings),
        _ => {}
    }
    if subject.production() {
        for (path, container) in containers(pod) {
            let image = container.get("image").and_then(Term::as_str).unwrap_or_default();
            let floating = image.ends_with(":latest")
                || (!image.contains('@') && !image.rsplit('/').next().unwrap_or_default().contains(':'));
            if floating && !image.is_empty() {
                findings.push(
                    Finding::new(
                        Code::FloatingImage,
                        base,
                        format!("`{image}` is another image tomorrow"),
                    )
                    .below(path)
                    .below([Segment::Key("image".into())])
                    .help("in production, name a version or a digest"),
                );
            }
        }
    }
}

/// The Pod Security Standard that the subject's namespace enforces, where the stack says so.
pub(super) fn enforced_level<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    let (_, namespace) = subject.beside().find(|(other, body)| {
        other.kind.kubernetes() == Some("Namespace")
            && body.at(&["metadata", "name"]) == subject.body.at(&["metadata", "namespace"])
    })?;
    namespace
        .at(&["metadata", "labels", "pod-security.kubernetes.io/enforce"])?
        .as_str()
}

fn containers(pod: &Term) -> impl Iterator<Item = (Vec<Segment>, &Term)> {
    ["initContainers", "containers"].into_iter().flat_map(move |key| {
        pod.get(key)
            .map_or(&[][..], Term::items)
            .iter()
            .enumerate()
            .map(move |(at, container)| (vec![Segment::Key(key.into()), Segment::Index(at)], container))
    })
}

/// A workload whose selector does not find its own pods is refused.
fn selector(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let kind = subject.resource.kind.kubernetes().unwrap_or_default();
    let selects = matches!(kind, "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet");
    let wanted = subject.body.at(&["spec", "selector", "matchLabels"]);
    let labels = subject.body.at(&["spec", "template", "metadata", "labels"]);
    for (key, value) in wanted.filter(|_| selects).map_or(&[][..], Term::entries) {
        let own = labels.and_then(|labels| labels.get(key));
        if own == Some(value) {
            continue;
        }
        let message = match own {
            Some(own) => format!(
                "{kind} `{}` selects pods with the label `{key}: {}`, and its own have `{}`",
                subject.resource.address,
                value.shown(),
                own.shown()
            ),
            None => format!(
                "{kind} `{}` selects pods with the label `{key}`, and its own have none",
                subject.resource.address
            ),
        };
        findings.push(
            Finding::new(
                Code::InvalidResource,
                &["spec", "selector", "matchLabels"],
                message,
            )
            .below([Segment::Key(key.clone())])
            .help("give the template the same labels: in both `\"{{ selector }}\"`, or the words themselves"),
        );
    }
}

fn mounts(subject: &Subject<'_>, pod: &Term, base: &[&str], findings: &mut Vec<Finding>) {
    let name = |term: &Term| term.get("name").and_then(Term::as_str).map(str::to_owned);
    let mut volumes: Vec<String> = pod
        .get("volumes")
        .map_or(&[][..], Term::items)
        .iter()
        .filter_map(name)
        .collect();
    let claims = subject
        .body
        .at(&["spec", "volumeClaimTemplates"])
        .map_or(&[][..], Term::items);
    volumes.extend(claims.iter().filter_map(|claim| {
        claim
            .at(&["metadata", "name"])
            .and_then(Term::as_str)
            .map(str::to_owned)
    }));
    for (path, container) in containers(pod) {
        for (at, mount) in container
            .get("volumeMounts")
            .map_or(&[][..], Term::items)
            .iter()
            .enumerate()
        {
            let Some(name) = name(mount).filter(|name| !volumes.contains(name)) else {
                continue;
            };
            let finding = Finding::new(
                Code::DanglingMount,
                base,
                format!("`{name}` is mounted and is no volume of the pod"),
            )
            .below(path.clone())
            .below([
                Segment::Key("volumeMounts".into()),
                Segment::Index(at),
                Segment::Key("name".into()),
            ]);
            findings.push(
                match terrace_catalog::nearest(&name, volumes.iter().map(String::as_str)) {
                    Some(nearest) => finding.help(format!("`{nearest}` exists")),
                    None => finding.help("add it under `volumes`"),
                },
            );
        }
    }
}

/// A claim for one node, mounted by pods that may be on several: of one workload, or of two.
fn shared(subject: &Subject<'_>, pod: &Term, base: &[&str], findings: &mut Vec<Finding>) {
    let Some(most) = most_pods(subject, subject.resource, subject.body) else {
        return;
    };
    for (at, volume) in pod.get("volumes").map_or(&[][..], Term::items).iter().enumerate() {
        let Some(name) = claimed(volume).filter(|name| is_for_one_node(subject, name)) else {
            continue;
        };
        // Of several workloads the first is in order, and those after it are too many.
        let mounts = |(other, body): &(&Resource, &Term)| {
            other.address < subject.resource.address
                && most_pods(subject, other, body).is_some()
                && pod_spec(body).is_some_and(|pod| {
                    let volumes = pod.get("volumes").map_or(&[][..], Term::items);
                    volumes.iter().any(|volume| claimed(volume) == Some(name))
                })
        };
        let message = match subject.beside().find(mounts) {
            _ if most > 1 => {
                format!("up to {most} pods are to mount `{name}`, which can be attached to one node")
            }
            Some((other, _)) => {
                format!(
                    "`{}` mounts `{name}` too, which can be attached to one node",
                    other.address
                )
            }
            None => continue,
        };
        findings.push(
            Finding::new(Code::SharedVolume, base, message)
                .below([Segment::Key("volumes".into()), Segment::Index(at)])
                .below(["persistentVolumeClaim", "claimName"].map(|key| Segment::Key(key.into())))
                .help(match most > 1 {
                    true => "use the access mode `ReadWriteMany`, or one replica, or a StatefulSet with `volumeClaimTemplates`",
                    false => "use the access mode `ReadWriteMany`, or give each its own claim",
                }),
        );
    }
}

/// The name of the claim that a volume is of.
fn claimed(volume: &Term) -> Option<&str> {
    volume.at(&["persistentVolumeClaim", "claimName"])?.as_str()
}

fn is_for_one_node(subject: &Subject<'_>, name: &str) -> bool {
    let claim = subject.beside().find(|(other, body)| {
        other.kind.kubernetes() == Some("PersistentVolumeClaim")
            && body.at(&["metadata", "name"]).and_then(Term::as_str) == Some(name)
    });
    let modes = claim.and_then(|(_, body)| body.at(&["spec", "accessModes"]));
    let modes = modes.map_or(&[][..], Term::items);
    let single = |mode: &Term| matches!(mode.as_str(), Some("ReadWriteOnce" | "ReadWriteOncePod"));
    !modes.is_empty() && modes.iter().all(single)
}

/// The most pods that a workload which stays may have at once.
fn most_pods(subject: &Subject<'_>, resource: &Resource, body: &Term) -> Option<i64> {
    range(subject, resource, body).map(|(_, most)| most)
}

/// The fewest and the most pods that a workload which stays may have at once.
pub(super) fn range(subject: &Subject<'_>, resource: &Resource, body: &Term) -> Option<(i64, i64)> {
    if !matches!(resource.kind.kubernetes(), Some("Deployment" | "StatefulSet")) {
        return None;
    }
    let scaled = subject.beside().find(|(other, scaler)| {
        other.kind.kubernetes() == Some("HorizontalPodAutoscaler")
            && scaler.at(&["spec", "scaleTargetRef", "name"]) == body.at(&["metadata", "name"])
    });
    let number = |body: &Term, key: &str| body.at(&["spec", key]).and_then(Term::as_integer);
    Some(match scaled {
        Some((_, scaler)) => (
            number(scaler, "minReplicas").unwrap_or(1),
            number(scaler, "maxReplicas").unwrap_or(1),
        ),
        None => {
            let replicas = number(body, "replicas").unwrap_or(1);
            (replicas, replicas)
        }
    })
}

/// The Pod Security Standards: `baseline` refuses what reaches into the node, `restricted` demands the rest.
fn restricted(pod: &Term, base: &[&str], all: bool, findings: &mut Vec<Finding>) {
    let level = if all { "restricted" } else { "baseline" };
    let mut refuse = |path: Vec<Segment>, what: String, help: String| {
        let message = format!("the namespace is `{level}`: {what}");
        findings.push(
            Finding::new(Code::PodSecurity, base, message)
                .below(path)
                .help(help),
        );
    };
    const ELSEWHERE: &str = "or put the workload into a namespace whose level is `privileged`";
    let key = |name: &str| Segment::Key(name.into());
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.get(field).and_then(Term::as_bool) == Some(true) {
            refuse(
                vec![key(field)],
                format!("`{field}` is not allowed"),
                format!("take it out, {ELSEWHERE}"),
            );
        }
    }
    for (at, volume) in pod.get("volumes").map_or(&[][..], Term::items).iter().enumerate() {
        if volume.get("hostPath").is_some() {
            refuse(
                vec![key("volumes"), Segment::Index(at)],
                "volumes of the node (`hostPath`) are not allowed".to_owned(),
                format!("mount a `persistentVolumeClaim` or an `emptyDir`, {ELSEWHERE}"),
            );
        }
    }
    for (path, container) in containers(pod) {
        let own = |field: &[&str]| container.get("securityContext").and_then(|s| s.at(field));
        let security = |field: &[&str]| own(field).or_else(|| pod.get("securityContext")?.at(field));
        let name = container.get("name").map(Term::shown).unwrap_or_default();
        let at = |field: &str| {
            let mut path = path.clone();
            path.push(key("securityContext"));
            path.extend(own(&[field]).is_some().then(|| key(field)));
            path
        };
        if own(&["privileged"]).and_then(Term::as_bool) == Some(true) {
            refuse(
                at("privileged"),
                format!("container `{name}` cannot be privileged"),
                format!("take `privileged` out, {ELSEWHERE}"),
            );
        }
        if !all {
            continue;
        }
        let capabilities = |field| own(&["capabilities", field]).map_or(&[][..], Term::items);
        if capabilities("add")
            .iter()
            .any(|capability| capability.as_str() != Some("NET_BIND_SERVICE"))
        {
            refuse(
                at("capabilities"),
                format!("container `{name}` may add no capability but `NET_BIND_SERVICE`"),
                format!("take the others out of `add`, {ELSEWHERE}"),
            );
        }
        if security(&["runAsUser"]).and_then(Term::as_integer) == Some(0) {
            refuse(
                at("runAsUser"),
                format!("container `{name}` cannot run as user 0"),
                "name another user, such as `runAsUser: 10001`".to_owned(),
            );
        }
        let escalates = own(&["allowPrivilegeEscalation"]).and_then(Term::as_bool) != Some(false);
        let keeps = !capabilities("drop").iter().any(|one| one.as_str() == Some("ALL"));
        let as_root = security(&["runAsNonRoot"]).and_then(Term::as_bool) != Some(true);
        let profile = security(&["seccompProfile", "type"]).and_then(Term::as_str);
        let unconfined = !matches!(profile, Some("RuntimeDefault" | "Localhost"));
        let needs: Vec<&str> = [
            (escalates, "allowPrivilegeEscalation: false"),
            (keeps, "capabilities: {drop: [ALL]}"),
            (as_root, "runAsNonRoot: true"),
            (unconfined, "seccompProfile: {type: RuntimeDefault}"),
        ]
        .into_iter()
        .filter_map(|(missing, line)| missing.then_some(line))
        .collect();
        if !needs.is_empty() {
            let lines = needs.join(", ");
            let help = match container.get("securityContext") {
                Some(_) => format!("write `{lines}` in its `securityContext`"),
                None => format!("give the container `securityContext: {{{lines}}}`"),
            };
            refuse(
                at(""),
                format!("container `{name}` needs {}", listed(needs)),
                help,
            );
        }
    }
}
