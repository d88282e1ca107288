//! PersistentVolumeClaims: the users of one that a plan deletes, and one that is larger than the stack declares.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{ArtifactId, Map, Object, Text, Value, compare_quantities};
use terrace_deployer_model::backend::PlannedDeletions;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;

use super::Kubernetes;
use super::api_errors::list;
use super::kinds::{Kinds, Served};
use super::live::metadata;
use super::observe::list_of;
use super::ownership::our_entry;
use super::requests::WHOLE;

const STORAGE: [&str; 4] = ["spec", "resources", "requests", "storage"];

/// A user of a PersistentVolumeClaim: a workload with those of its pods that mount the PVC, or a pod without a controller.
struct User {
    kind: Text,
    name: Text,
    id: ArtifactId,
    pods: Vec<Text>,
}

impl Kubernetes {
    /// Returns a failure for each PVC that a plan deletes or replaces although a pod keeps using it. Kubernetes would not
    /// complete the deletion.
    pub(super) async fn claims_in_use(&self, going: &PlannedDeletions<'_>) -> Result<Vec<Failure>, Failure> {
        let claims: Vec<&Live> = going
            .among
            .iter()
            .filter_map(|id| going.live.get(id))
            .filter(|live| &*live.subject.kind == "PersistentVolumeClaim")
            .collect();
        let mut failures = Vec::new();
        for claim in claims {
            let Some(namespace) = claim.subject.namespace.as_deref() else {
                continue;
            };
            let replaced = going.wanted.artifact(&claim.id);
            let users = self
                .users_of(going.target, namespace, &claim.subject.name)
                .await?;
            // A replacement deletes the PVC while all other objects exist. A deletion runs after all updates.
            let stays = |user: &User| {
                replaced.is_some()
                    || !going.deleted.contains(&user.id)
                        && going
                            .wanted
                            .artifact(&user.id)
                            .and_then(|artifact| artifact.object())
                            .is_none_or(|object| mentions(&object.manifest, &claim.subject.name))
            };
            let users: Vec<User> = users.into_iter().filter(stays).collect();
            if users.is_empty() {
                continue;
            }
            let operation = if replaced.is_some() { "replaced" } else { "deleted" };
            let message = format!(
                "{} cannot be {operation} while it is used by {}",
                claim.subject,
                listed(&users)
            );
            let failure = Failure::new(FailureKind::Protected, message).hint(self.remedy(namespace, &users));
            let origin = replaced
                .and_then(|artifact| artifact.object())
                .map(|object| &object.origin);
            failures.push(failure.about(claim.addresses.first(), origin));
        }
        Ok(failures)
    }

    /// Fails if the PVC `object` cannot be created because a pod still uses its predecessor, which is being deleted.
    pub(super) async fn still_used(&self, target: &str, object: &Object) -> Result<(), Failure> {
        let (kind, namespace) = (object.kind.as_str(), object.namespace.as_deref());
        let ("PersistentVolumeClaim", Some(namespace)) = (kind, namespace) else {
            return Ok(());
        };
        let users = self.users_of(target, namespace, &object.name).await?;
        if users.is_empty() {
            return Ok(());
        }
        let message = format!(
            "PersistentVolumeClaim {namespace}/{} is still being deleted, because it is used by {}",
            object.name,
            listed(&users)
        );
        Err(Failure::new(FailureKind::Protected, message).hint(self.remedy(namespace, &users)))
    }

    /// Returns the users of a PVC whose pods are scheduled to a node. Other pods do not delay the deletion of the PVC.
    async fn users_of(&self, target: &str, namespace: &str, claim: &str) -> Result<Vec<User>, Failure> {
        let kinds = self.kinds().await?;
        let Some(pods) = kinds.get("v1", "Pod") else {
            return Ok(Vec::new());
        };
        let found = self
            .requests
            .list(&pods.list_path(Some(namespace)), "", WHOLE)
            .await;
        let found =
            found.map_err(|refusal| self.requests.failure(refusal, list_of(pods, Some(namespace))))?;
        let mut users: BTreeMap<ArtifactId, User> = BTreeMap::new();
        for mut pod in found
            .into_iter()
            .filter(|pod| is_running(pod) && mentions(pod, claim))
        {
            let name: Text = metadata(&pod, "name").into();
            if let Some(map) = pod.as_map_mut() {
                map.insert("apiVersion", "v1");
                map.insert("kind", "Pod");
            }
            let owner = self.topmost(&kinds, namespace, pod).await?;
            let text = |key| owner.get(key).and_then(Value::as_str).unwrap_or_default();
            let id = ArtifactId::object(
                target,
                text("apiVersion"),
                text("kind"),
                Some(namespace),
                metadata(&owner, "name"),
            );
            let user = users.entry(id.clone()).or_insert_with(|| User {
                kind: text("kind").into(),
                name: metadata(&owner, "name").into(),
                id,
                pods: Vec::new(),
            });
            user.pods.push(name);
        }
        Ok(users.into_values().collect())
    }

    /// Follows the controllers of an object to the topmost one.
    async fn topmost(&self, kinds: &Kinds, namespace: &str, object: Value) -> Result<Value, Failure> {
        let mut object = object;
        let mut seen = BTreeSet::new();
        while let Some((served, name)) = controller(kinds, &object) {
            if !seen.insert((served.kind.clone(), name.clone())) {
                break;
            }
            match self.requests.get(&served.path(Some(namespace), &name)).await {
                Ok(Some(owner)) => object = owner,
                // The owner is deleted, or the user may not read it. The last known object represents it.
                _ => break,
            }
        }
        Ok(object)
    }

    fn remedy(&self, namespace: &str, users: &[User]) -> String {
        let context = &self.requests.context;
        let commands = users.iter().map(|user| command_to_stop(user, context, namespace));
        let commands: Vec<String> = commands.collect();
        format!(
            "stop these workloads, then make a new plan; apply restarts those that the stack declares:\n{}",
            commands.join("\n")
        )
    }
}

/// Returns the command that stops the pods of a user of a claim. It never deletes a resource that may hold data.
fn command_to_stop(user: &User, context: &str, namespace: &str) -> String {
    let (kind, name) = (user.kind.to_lowercase(), &user.name);
    match &*user.kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => {
            format!("kubectl --context {context} scale {kind} {name} --namespace {namespace} --replicas=0")
        }
        "Pod" | "Job" | "CronJob" | "DaemonSet" => {
            format!("kubectl --context {context} delete {kind} {name} --namespace {namespace}")
        }
        // A resource of an operator, such as a database cluster: deleting it can delete its data.
        kind => format!("stop the pods of {kind} `{name}` as its operator documents; do not delete it"),
    }
}

/// Returns the manifest of a PVC without its size, and a note for the plan, if another manager enlarged the live PVC. Apply
/// then leaves the size unchanged. If Terrace set the larger size, a smaller declared size is a replacement, and this returns
/// nothing.
pub(super) fn enlarged(manifest: &Value, live: &Value, manager: &str) -> Option<(Value, String)> {
    let is_claim = |key, value| manifest.get(key).and_then(Value::as_str) == Some(value);
    if !is_claim("apiVersion", "v1") || !is_claim("kind", "PersistentVolumeClaim") {
        return None;
    }
    let (wanted, has) = (manifest.at(&STORAGE)?, live.at(&STORAGE)?);
    let fields: Vec<String> = STORAGE.iter().map(|key| format!("f:{key}")).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let ours = our_entry(live, manager).and_then(|entry| entry.get("fieldsV1"));
    let is_larger = compare_quantities(has, wanted) == Some(Ordering::Greater);
    if !is_larger || ours.and_then(|ours| ours.at(&fields)).is_some() {
        return None;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let note = format!(
        "another manager enlarged it to {has}, but the stack declares {wanted}: a PersistentVolumeClaim cannot shrink, so it \
         keeps its size; declare `storage: {has}`",
        has = text(has),
        wanted = text(wanted)
    );
    Some((without(manifest, &STORAGE), note))
}

/// Returns a value without the entry at a path, and without the maps that this leaves empty.
fn without(value: &Value, path: &[&str]) -> Value {
    let (Some(map), [key, rest @ ..]) = (value.as_map(), path) else {
        return value.clone();
    };
    let mut map = map.clone();
    match map
        .get(key)
        .filter(|_| !rest.is_empty())
        .map(|below| without(below, rest))
    {
        Some(below) if below.as_map().is_none_or(|below| below.iter().next().is_some()) => {
            map.insert(*key, below);
        }
        _ => {
            map.remove(key);
        }
    }
    Value::Map(map)
}

/// Returns whether a pod is scheduled to a node and has not terminated.
fn is_running(pod: &Value) -> bool {
    let phase = pod.at(&["status", "phase"]).and_then(Value::as_str);
    pod.at(&["spec", "nodeName"]).is_some() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Returns whether a pod, or a pod template anywhere in an object, mounts a PVC.
fn mentions(value: &Value, claim: &str) -> bool {
    match value {
        Value::Map(map) => map.iter().any(|(key, value)| {
            let names = |map: &Map| map.get("claimName").and_then(Value::as_str) == Some(claim);
            &**key == "persistentVolumeClaim" && value.as_map().is_some_and(names) || mentions(value, claim)
        }),
        Value::List(items) => items.iter().any(|item| mentions(item, claim)),
        _ => false,
    }
}

/// Returns the kind and the name of the object's controller.
fn controller<'k>(kinds: &'k Kinds, object: &Value) -> Option<(&'k Served, Text)> {
    let owners = object
        .at(&["metadata", "ownerReferences"])
        .and_then(Value::as_list)?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |key| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    Some((kinds.get(text("apiVersion"), text("kind"))?, text("name").into()))
}

/// Lists users: `Deployment web (pods web-1 and web-2)`.
fn listed(users: &[User]) -> String {
    let users = users.iter().map(|user| {
        let pods: Vec<String> = user.pods.iter().take(3).map(ToString::to_string).collect();
        let more = user.pods.len() - pods.len();
        match &*user.kind {
            "Pod" => format!("Pod {}", user.name),
            kind if more > 0 => format!("{kind} {} (pods {} and {more} more)", user.name, pods.join(", ")),
            kind if pods.len() == 1 => format!("{kind} {} (pod {})", user.name, pods[0]),
            kind => format!("{kind} {} (pods {})", user.name, list(&pods)),
        }
    });
    list(&users.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(size: &str, owner: &str) -> Value {
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"c","managedFields":[
            {{"manager":"{owner}","operation":"Apply","fieldsV1":{{"f:spec":{{"f:resources":{{"f:requests":{{"f:storage":{{}}}}}}}}}}}}]}},
            "spec":{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"{size}"}}}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn suggests_no_deletion_of_a_user_that_may_hold_data() {
        let command = |kind: &str| {
            let user = User {
                kind: kind.into(),
                name: "db".into(),
                id: ArtifactId::object("here", "x/v1", kind, Some("data"), "db"),
                pods: vec!["db-1".into()],
            };
            command_to_stop(&user, "here", "data")
        };
        assert_eq!(
            command("StatefulSet"),
            "kubectl --context here scale statefulset db --namespace data --replicas=0"
        );
        assert_eq!(
            command("Job"),
            "kubectl --context here delete job db --namespace data"
        );
        for kind in ["Cluster", "Kafka", "Prometheus"] {
            let command = command(kind);
            assert!(command.ends_with("do not delete it"), "{command}");
        }
    }

    #[test]
    fn keeps_the_size_of_a_claim_that_another_manager_enlarged() {
        let wanted = claim("1Gi", "none");
        let (kept, note) = enlarged(&wanted, &claim("2Gi", "kubectl-patch"), "ours").unwrap();
        assert_eq!(kept.at(&STORAGE), None);
        assert_eq!(kept.at(&["spec", "resources"]), None);
        assert!(kept.at(&["spec", "accessModes"]).is_some());
        assert!(note.ends_with("declare `storage: 2Gi`"), "{note}");
        // The size is Terrace's own, or equal to the declared one, or smaller.
        assert!(enlarged(&wanted, &claim("2Gi", "ours"), "ours").is_none());
        assert!(enlarged(&wanted, &claim("1024Mi", "kubectl-patch"), "ours").is_none());
        assert!(enlarged(&wanted, &claim("512Mi", "kubectl-patch"), "ours").is_none());
    }
}
