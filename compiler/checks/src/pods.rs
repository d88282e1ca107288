//! Checks the mounts, shared volumes, images and security settings of pods.

use terrace_artifact::Segment;
use terrace_graph::connect::pod_spec;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, listed};

use super::{Finding, Subject};

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
                        format!("`{image}` has no fixed version"),
                    )
                    .below(path)
                    .below([Segment::Key("image".into())])
                    .help("in production, use a version or a digest"),
                );
            }
        }
    }
}

/// Returns the Pod Security Standard that the namespace enforces, if the stack declares the Namespace.
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

/// Reports a workload whose selector does not select its own pods. Kubernetes rejects it.
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
                "{kind} `{}` selects pods with the label `{key}: {}`, but its own pods have `{key}: {}`",
                subject.resource.address,
                value.shown(),
                own.shown()
            ),
            None => format!(
                "{kind} `{}` selects pods with the label `{key}`, but its own pods do not have it",
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
            .help("use the same labels in the selector and in the pod template, such as `\"{{ selector }}\"` in both"),
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
                format!("the pod has no volume `{name}`"),
            )
            .below(path.clone())
            .below([
                Segment::Key("volumeMounts".into()),
                Segment::Index(at),
                Segment::Key("name".into()),
            ]);
            findings.push(
                match terrace_catalog::nearest(&name, volumes.iter().map(String::as_str)) {
                    Some(nearest) => finding.help(did_you_mean(nearest)),
                    None => finding.help("add the volume to `volumes`"),
                },
            );
        }
    }
}

/// Reports a PersistentVolumeClaim that only one node can attach, if several pods mount it, of one workload or of two.
fn shared(subject: &Subject<'_>, pod: &Term, base: &[&str], findings: &mut Vec<Finding>) {
    let Some(most) = most_pods(subject, subject.resource, subject.body) else {
        return;
    };
    for (at, volume) in pod.get("volumes").map_or(&[][..], Term::items).iter().enumerate() {
        let Some(name) = claimed(volume).filter(|name| is_for_one_node(subject, name)) else {
            continue;
        };
        // The first of several workloads is valid. The finding is reported for each further one.
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
                format!("up to {most} pods mount `{name}`, which only one node can attach")
            }
            Some((other, _)) => {
                format!(
                    "`{}` also mounts `{name}`, which only one node can attach",
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
                    false => "use the access mode `ReadWriteMany`, or give each workload its own PersistentVolumeClaim",
                }),
        );
    }
}

/// Returns the name of the PersistentVolumeClaim of a volume.
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

/// Returns the maximum number of pods of a Deployment or StatefulSet.
fn most_pods(subject: &Subject<'_>, resource: &Resource, body: &Term) -> Option<i64> {
    range(subject, resource, body).map(|(_, most)| most)
}

/// Returns the minimum and maximum number of pods of a Deployment or StatefulSet.
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

/// Reports violations of the Pod Security Standards. `baseline` forbids access to the node. `restricted`, if `all` is true, also requires
/// settings of the container.
fn restricted(pod: &Term, base: &[&str], all: bool, findings: &mut Vec<Finding>) {
    let level = if all { "restricted" } else { "baseline" };
    let mut refuse = |path: Vec<Segment>, what: String, help: String| {
        let message = format!("the namespace enforces the Pod Security Standard `{level}`: {what}");
        findings.push(
            Finding::new(Code::PodSecurity, base, message)
                .below(path)
                .help(help),
        );
    };
    const ELSEWHERE: &str = "or move the workload to a namespace that enforces `privileged`";
    let key = |name: &str| Segment::Key(name.into());
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.get(field).and_then(Term::as_bool) == Some(true) {
            refuse(
                vec![key(field)],
                format!("`{field}` is not allowed"),
                format!("remove `{field}`, {ELSEWHERE}"),
            );
        }
    }
    for (at, volume) in pod.get("volumes").map_or(&[][..], Term::items).iter().enumerate() {
        if volume.get("hostPath").is_some() {
            refuse(
                vec![key("volumes"), Segment::Index(at)],
                "`hostPath` volumes are not allowed".to_owned(),
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
                format!("container `{name}` must not be privileged"),
                format!("remove `privileged`, {ELSEWHERE}"),
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
                format!("container `{name}` may add only the capability `NET_BIND_SERVICE`"),
                format!("remove the others from `add`, {ELSEWHERE}"),
            );
        }
        if security(&["runAsUser"]).and_then(Term::as_integer) == Some(0) {
            refuse(
                at("runAsUser"),
                format!("container `{name}` must not run as user 0"),
                "use another user, such as `runAsUser: 10001`".to_owned(),
            );
        }
        let escalates = own(&["allowPrivilegeEscalation"]).and_then(Term::as_bool) != Some(false);
        let keeps = !capabilities("drop")
            .iter()
            .any(|capability| capability.as_str() == Some("ALL"));
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
                Some(_) => format!("add `{lines}` to its `securityContext`"),
                None => format!("add `securityContext: {{{lines}}}` to the container"),
            };
            refuse(
                at(""),
                format!("container `{name}` needs {}", listed(needs)),
                help,
            );
        }
    }
}
