//! Finds the cause of an object that is not ready: a pod, a container, or an event.

use std::time::Duration;

use terrace_artifact::{Map, Text, Value};
use terrace_deployer_model::access::timestamp;

use super::Kubernetes;
use super::live::metadata;
use super::requests::{WHOLE, encode};
use super::settle::{Verdict, unseen};

/// The age from which a pod whose image cannot be pulled counts as failed. A temporary failure of a registry is shorter.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of restarts from which a failing container counts as failed.
const STARTS: i64 = 5;

/// A problem of one pod.
struct Trouble {
    /// A description of the problem.
    explanation: String,
    /// Whether the problem persists without a change of the object.
    lasting: bool,
}

impl Kubernetes {
    /// Adds the cause to the verdict on an object that is not ready, as far as the user may read pods and events. A lasting
    /// problem of a pod, such as an image that does not exist, changes the verdict from waiting to failed.
    pub(super) async fn explain(&self, object: &Value, verdict: Verdict) -> Verdict {
        let why = match &verdict {
            Verdict::Ready => return verdict,
            Verdict::Waiting(why) | Verdict::Failed(why) => why.clone(),
        };
        // The pods still belong to the previous revision. Their problems do not concern the new one.
        if unseen(object).is_some() {
            return verdict;
        }
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        let pods = match kind {
            "Deployment" => self.pods_of_deployment(object).await,
            "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => self.pods_of(object).await,
            "Pod" => vec![object.clone()],
            _ => Vec::new(),
        };
        let patient_until = timestamp(
            (self.now)()
                .checked_sub(PATIENCE)
                .unwrap_or(std::time::UNIX_EPOCH),
        );
        if kind == "StatefulSet"
            && let Some(verdict) = self.make_way(object, &pods, &patient_until, &why).await
        {
            return verdict;
        }
        let mut troubles: Vec<Trouble> = pods
            .iter()
            .filter_map(|pod| trouble(pod, &patient_until))
            .collect();
        troubles.sort_by_key(|trouble| !trouble.lasting);
        if let Some(trouble) = troubles.first() {
            let explanation = format!("{why}; {}", trouble.explanation);
            return match verdict {
                Verdict::Waiting(_) if !trouble.lasting => Verdict::Waiting(explanation),
                _ => Verdict::Failed(explanation),
            };
        }
        for pod in pods.iter().filter(|pod| !is_up(pod)).take(2) {
            if let Some(claim) = self.unbound_claim(pod).await {
                let pod = metadata(pod, "name");
                let explanation = format!(
                    "{why}; pod `{pod}` waits for PersistentVolumeClaim `{claim}`, which is not bound to a volume"
                );
                return match verdict {
                    Verdict::Failed(_) => Verdict::Failed(explanation),
                    _ => Verdict::Waiting(explanation),
                };
            }
        }
        let mut uids: Vec<&str> = vec![metadata(object, "uid")];
        uids.extend(
            pods.iter()
                .filter(|pod| !is_up(pod))
                .map(|pod| metadata(pod, "uid"))
                .take(2),
        );
        let mut warning = None;
        if !matches!(kind, "Namespace" | "CustomResourceDefinition") {
            for uid in uids {
                warning = self.warning(object, uid).await.or(warning);
            }
        }
        let explanation = match warning {
            Some(warning) if !why.contains(&warning) => format!("{why}; {warning}"),
            _ => why,
        };
        match verdict {
            Verdict::Failed(_) => Verdict::Failed(explanation),
            _ => Verdict::Waiting(explanation),
        }
    }

    /// Returns whether an unbound PVC waits for its first consumer, and no pod uses it. Such a PVC is ready.
    pub(super) async fn waits_for_consumer(&self, claim: &Value) -> bool {
        let class = claim
            .at(&["spec", "storageClassName"])
            .and_then(Value::as_str)
            .unwrap_or_default();
        if class.is_empty() {
            return false;
        }
        let path = format!("/apis/storage.k8s.io/v1/storageclasses/{}", encode(class));
        let binding = match self.requests.get(&path).await {
            Ok(Some(class)) => {
                class.get("volumeBindingMode").and_then(Value::as_str) == Some("WaitForFirstConsumer")
            }
            // A user who may not read StorageClasses finds the binding mode in the event of the controller.
            _ => self
                .events(claim, metadata(claim, "uid"), "")
                .await
                .iter()
                .any(|event| event.get("reason").and_then(Value::as_str) == Some("WaitForFirstConsumer")),
        };
        if !binding {
            return false;
        }
        let name = metadata(claim, "name");
        let path = format!("/api/v1/namespaces/{}/pods", metadata(claim, "namespace"));
        let pods = self.requests.list(&path, "", WHOLE).await.unwrap_or_default();
        !pods.iter().any(|pod| {
            let volumes = pod
                .at(&["spec", "volumes"])
                .and_then(Value::as_list)
                .unwrap_or_default();
            volumes.iter().any(|volume| {
                volume
                    .at(&["persistentVolumeClaim", "claimName"])
                    .and_then(Value::as_str)
                    == Some(name)
            })
        })
    }

    /// Deletes the pod of an earlier revision that can never become ready. The controller of a StatefulSet waits for this pod and
    /// never rolls out the next revision. The documentation of StatefulSets recommends to delete it (section "Forced rollback").
    async fn make_way(&self, set: &Value, pods: &[Value], patient_until: &str, why: &str) -> Option<Verdict> {
        let version = set.at(&["status", "updateRevision"]).and_then(Value::as_str)?;
        let rolling = set
            .at(&["spec", "updateStrategy", "type"])
            .and_then(Value::as_str)
            != Some("OnDelete");
        let stuck = pods.iter().find(|pod| {
            let of = pod
                .at(&["metadata", "labels", "controller-revision-hash"])
                .and_then(Value::as_str);
            of.is_some_and(|of| of != version)
                && trouble(pod, patient_until).is_some_and(|trouble| trouble.lasting)
        })?;
        if !rolling {
            return None;
        }
        let (name, namespace) = (metadata(stuck, "name"), metadata(stuck, "namespace"));
        let preconditions: Map = [("uid", metadata(stuck, "uid"))].into_iter().collect();
        let options: Map = [("preconditions", Value::Map(preconditions))]
            .into_iter()
            .collect();
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let explanation =
            format!("{why}; pod `{name}` of an earlier revision cannot become ready and blocks the rollout");
        Some(match self.requests.delete(&path, &options.into()).await {
            Ok(_) => Verdict::Waiting(format!("{explanation}: Terrace deletes it")),
            Err(_) => Verdict::Failed(format!(
                "{explanation}: delete it with\nkubectl --context {} --namespace {namespace} delete pod {name}",
                self.requests.context
            )),
        })
    }

    /// Returns a PVC that a pod uses and that is not bound to a volume.
    async fn unbound_claim(&self, pod: &Value) -> Option<Text> {
        let volumes = pod
            .at(&["spec", "volumes"])
            .and_then(Value::as_list)
            .unwrap_or_default();
        for volume in volumes {
            let Some(name) = volume
                .at(&["persistentVolumeClaim", "claimName"])
                .and_then(Value::as_str)
            else {
                continue;
            };
            let namespace = metadata(pod, "namespace");
            let path = format!(
                "/api/v1/namespaces/{namespace}/persistentvolumeclaims/{}",
                encode(name)
            );
            let claim = self.requests.get(&path).await.ok().flatten()?;
            if claim.at(&["status", "phase"]).and_then(Value::as_str) != Some("Bound") {
                return Some(name.into());
            }
        }
        None
    }

    /// Returns the pods of a Deployment's newest revision. The Deployment deletes the pods of earlier revisions.
    async fn pods_of_deployment(&self, deployment: &Value) -> Vec<Value> {
        const REVISION: &[&str] = &["metadata", "annotations", "deployment.kubernetes.io/revision"];
        let path = format!(
            "/apis/apps/v1/namespaces/{}/replicasets",
            metadata(deployment, "namespace")
        );
        let sets = self
            .requests
            .list(&path, &selector(deployment), WHOLE)
            .await
            .unwrap_or_default();
        let newest = sets.iter().find(|set| {
            is_owned_by(set, metadata(deployment, "uid")) && set.at(REVISION) == deployment.at(REVISION)
        });
        match newest {
            Some(set) => self.pods_of(set).await,
            None => Vec::new(),
        }
    }

    /// Returns the pods that an object owns.
    async fn pods_of(&self, object: &Value) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/pods", metadata(object, "namespace"));
        // Without the permission to list pods, the message contains only the status of the object.
        let pods = self
            .requests
            .list(&path, &selector(object), WHOLE)
            .await
            .unwrap_or_default();
        let mut pods: Vec<Value> = pods
            .into_iter()
            .filter(|pod| is_owned_by(pod, metadata(object, "uid")))
            .collect();
        for pod in &mut pods {
            if let Some(map) = pod.as_map_mut() {
                map.insert("kind", "Pod");
            }
        }
        pods
    }

    /// Returns the last warning event about the object with this uid, in the namespace of `near`.
    async fn warning(&self, near: &Value, uid: &str) -> Option<String> {
        let events = self.events(near, uid, ",type=Warning").await;
        let time = |event: &Value| -> Text {
            let times = ["lastTimestamp", "eventTime", "firstTimestamp"];
            times
                .iter()
                .find_map(|key| event.get(key).and_then(Value::as_str))
                .unwrap_or_default()
                .into()
        };
        let last = events.iter().max_by_key(|event| time(event))?;
        let text = |path: &[&str]| last.at(path).and_then(Value::as_str).unwrap_or_default();
        Some(format!(
            "{} {} (event {})",
            text(&["involvedObject", "kind"]),
            format_args!("`{}`: {}", text(&["involvedObject", "name"]), text(&["message"])),
            text(&["reason"])
        ))
    }

    /// Returns the events about the object with this uid. `also` is a further field selector.
    async fn events(&self, near: &Value, uid: &str, also: &str) -> Vec<Value> {
        let namespace = match metadata(near, "namespace") {
            "" => "default",
            namespace => namespace,
        };
        let path = format!("/api/v1/namespaces/{namespace}/events");
        let query = format!(
            "&fieldSelector={}",
            encode(&format!("involvedObject.uid={uid}{also}"))
        );
        self.requests.list(&path, &query, WHOLE).await.unwrap_or_default()
    }
}

/// Returns the problem of a pod. A pull failure of a pod that started before `patient_until` is lasting.
fn trouble(pod: &Value, patient_until: &str) -> Option<Trouble> {
    if pod.at(&["metadata", "deletionTimestamp"]).is_some() {
        return None;
    }
    let name = metadata(pod, "name");
    let began = pod
        .at(&["status", "startTime"])
        .and_then(Value::as_str)
        .unwrap_or("9");
    let old = began <= patient_until;
    for list in ["initContainerStatuses", "containerStatuses"] {
        for status in pod
            .at(&["status", list])
            .and_then(Value::as_list)
            .unwrap_or_default()
        {
            if let Some((explanation, lasting)) = container_trouble(status, old) {
                return Some(Trouble {
                    explanation: format!("pod `{name}`: {explanation}"),
                    lasting,
                });
            }
        }
    }
    let conditions = pod
        .at(&["status", "conditions"])
        .and_then(Value::as_list)
        .unwrap_or_default();
    let unscheduled = conditions.iter().find(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("PodScheduled")
            && condition.get("status").and_then(Value::as_str) == Some("False")
    })?;
    let message = unscheduled
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(Trouble {
        explanation: format!("pod `{name}` cannot be scheduled: {message}"),
        lasting: false,
    })
}

/// Returns the problem of a container, and whether it is lasting. `old` is whether the pod is older than [`PATIENCE`].
fn container_trouble(status: &Value, old: bool) -> Option<(String, bool)> {
    let text = |path: &[&str]| status.at(path).and_then(Value::as_str).unwrap_or_default();
    let (container, image) = (text(&["name"]), text(&["image"]));
    let (reason, message) = (
        text(&["state", "waiting", "reason"]),
        text(&["state", "waiting", "message"]),
    );
    let starts = status
        .get("restartCount")
        .and_then(Value::as_integer)
        .unwrap_or_default();
    let ended = |path: &[&str]| {
        let ended = status.at(path)?;
        let code = ended.get("exitCode").and_then(Value::as_integer)?;
        let reason = ended.get("reason").and_then(Value::as_str).unwrap_or("Error");
        (code != 0).then(|| format!("exit code {code}, {reason}"))
    };
    match reason {
        "ImagePullBackOff" | "ErrImagePull" => Some((
            format!("image `{image}` of container `{container}` cannot be pulled ({reason}: {message})"),
            old,
        )),
        "InvalidImageName" | "ErrImageNeverPull" => Some((
            format!("image `{image}` of container `{container}` cannot be used ({reason}: {message})"),
            true,
        )),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => Some((
            format!("container `{container}` cannot be started ({reason}: {message})"),
            old,
        )),
        "CrashLoopBackOff" => {
            let code = ended(&["lastState", "terminated"])
                .map(|code| format!(", {code}"))
                .unwrap_or_default();
            let times = if starts == 1 {
                "once".to_owned()
            } else {
                format!("{starts} times")
            };
            Some((
                format!("container `{container}` exited and was restarted {times} ({reason}{code})"),
                starts >= STARTS,
            ))
        }
        _ => ended(&["state", "terminated"])
            .map(|code| (format!("container `{container}` exited ({code})"), false)),
    }
}

/// Returns whether the condition `Ready` of a pod is true.
fn is_up(pod: &Value) -> bool {
    let conditions = pod
        .at(&["status", "conditions"])
        .and_then(Value::as_list)
        .unwrap_or_default();
    conditions.iter().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    })
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    let owners = object
        .at(&["metadata", "ownerReferences"])
        .and_then(Value::as_list)
        .unwrap_or_default();
    owners
        .iter()
        .any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
}

/// Returns the `matchLabels` of an object's selector as a query. It omits `matchExpressions`: the list then contains more
/// objects, and the caller checks their owners.
fn selector(object: &Value) -> String {
    let labels = object
        .at(&["spec", "selector", "matchLabels"])
        .and_then(Value::as_map);
    let terms: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    if terms.is_empty() {
        String::new()
    } else {
        format!("&labelSelector={}", encode(&terms.join(",")))
    }
}
