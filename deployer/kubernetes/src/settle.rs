//! Determines from a live object alone whether it is ready.
//!
//! The rules are those of kstatus (sigs.k8s.io/cli-utils), where it has one. "Failed" means that the object does not become ready
//! without a change. Terrace waits for objects that are merely slow.

use terrace_artifact::Value;
use terrace_catalog::is_built_in_group;

/// The readiness of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The object has reached its desired state.
    Ready,
    /// The object is not ready yet, with the reason.
    Waiting(String),
    /// The object does not become ready without a change, with the reason.
    Failed(String),
}

use Verdict::{Failed, Ready, Waiting};

/// Determines the readiness of an object.
pub(crate) fn verdict(object: &Value) -> Verdict {
    if object.at(&["metadata", "deletionTimestamp"]).is_some() {
        return Waiting(departure(object));
    }
    let api_version = text(object, &["apiVersion"]);
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let kind = text(object, &["kind"]);
    if let Some(waiting) = unseen(object) {
        return waiting;
    }
    match (group, kind) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replica_set(object),
        ("batch", "Job") => job(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "PersistentVolume") if text(object, &["status", "phase"]) == "Failed" => {
            Failed(text(object, &["status", "message"]).to_owned())
        }
        ("", "Namespace") => match text(object, &["status", "phase"]) {
            "Active" => Ready,
            phase => Waiting(format!("its phase is `{phase}`")),
        },
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => match condition(object, "Available") {
            Some(("True", _)) => Ready,
            Some((_, message)) => Waiting(message.to_owned()),
            None => Waiting("its availability has not been checked yet".to_owned()),
        },
        _ if is_built_in_group(group) => Ready,
        _ => custom(object),
    }
}

/// Describes what delays the deletion of an object.
pub(crate) fn departure(object: &Value) -> String {
    let finalizers: Vec<&str> = object
        .at(&["metadata", "finalizers"])
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let remaining = conditions(object)
        .filter(|condition| text(condition, &["status"]) == "True")
        .filter(|condition| {
            matches!(
                text(condition, &["type"]),
                "NamespaceContentRemaining"
                    | "NamespaceFinalizersRemaining"
                    | "NamespaceDeletionContentFailure"
            )
        })
        .map(|condition| text(condition, &["message"]).to_owned());
    let remaining: Vec<String> = remaining.collect();
    if !remaining.is_empty() {
        return format!("being deleted: {}", remaining.join("; "));
    }
    match finalizers.as_slice() {
        [] => "being deleted".to_owned(),
        ["foregroundDeletion"] => "being deleted: waiting for its dependents".to_owned(),
        [name] => format!("being deleted: waiting for the finalizer `{name}`"),
        names => format!("being deleted: waiting for the finalizers {}", quoted(names)),
    }
}

/// Waits for the object's controller to observe the last change.
pub(crate) fn unseen(object: &Value) -> Option<Verdict> {
    let generation = number(object, &["metadata", "generation"]);
    let observed = object
        .at(&["status", "observedGeneration"])
        .and_then(Value::as_integer)?;
    (observed < generation).then(|| Waiting("its controller has not observed the change yet".to_owned()))
}

fn deployment(object: &Value) -> Verdict {
    if object.at(&["spec", "paused"]).and_then(Value::as_bool) == Some(true) {
        return Ready;
    }
    if let Some(waiting) = new_to_its_controller(object) {
        return waiting;
    }
    for condition in conditions(object) {
        if text(condition, &["type"]) == "Progressing"
            && text(condition, &["reason"]) == "ProgressDeadlineExceeded"
        {
            let seconds = number_or(object, &["spec", "progressDeadlineSeconds"], 600);
            return Failed(format!("no progress within {seconds} seconds"));
        }
    }
    let wanted = number_or(object, &["spec", "replicas"], 1);
    let count = |key| number(object, &["status", key]);
    let refused = conditions(object)
        .find(|condition| {
            text(condition, &["type"]) == "ReplicaFailure" && text(condition, &["status"]) == "True"
        })
        .map(|condition| format!(": {}", text(condition, &["message"])))
        .unwrap_or_default();
    let updated = count("updatedReplicas");
    fewer(updated, wanted, &format!("created{refused}"))
        .or_else(|| fewer(count("availableReplicas"), wanted, &format!("available{refused}")))
        .or_else(|| more(count("replicas"), updated, "of an earlier revision"))
        .unwrap_or(Ready)
}

fn stateful_set(object: &Value) -> Verdict {
    let wanted = number_or(object, &["spec", "replicas"], 1);
    let count = |key| number(object, &["status", key]);
    // With `OnDelete`, the controller updates a pod only after a user deletes it.
    let rolling = text(object, &["spec", "updateStrategy", "type"]) != "OnDelete";
    let partition = number(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
    let to_update = (wanted - partition).max(0);
    let is_current =
        text(object, &["status", "currentRevision"]) == text(object, &["status", "updateRevision"]);
    let rolling = rolling && !is_current;
    new_to_its_controller(object)
        .or_else(|| fewer(count("replicas"), wanted, "created"))
        .or_else(|| fewer(count("updatedReplicas"), to_update, "updated").filter(|_| rolling))
        .or_else(|| fewer(count("readyReplicas"), wanted, "ready"))
        .or_else(|| more(count("replicas"), wanted, "beyond `spec.replicas`"))
        .unwrap_or_else(|| {
            if rolling && partition == 0 {
                Waiting("the new revision is being rolled out".to_owned())
            } else {
                Ready
            }
        })
}

fn daemon_set(object: &Value) -> Verdict {
    let count = |key| number(object, &["status", key]);
    let wanted = count("desiredNumberScheduled");
    let rolling = text(object, &["spec", "updateStrategy", "type"]) != "OnDelete";
    new_to_its_controller(object)
        .or_else(|| fewer(count("updatedNumberScheduled"), wanted, "updated").filter(|_| rolling))
        .or_else(|| fewer(count("numberAvailable"), wanted, "available"))
        .unwrap_or(Ready)
}

fn replica_set(object: &Value) -> Verdict {
    let wanted = number_or(object, &["spec", "replicas"], 1);
    fewer(
        number(object, &["status", "availableReplicas"]),
        wanted,
        "available",
    )
    .unwrap_or(Ready)
}

/// Waits for a controller that has never reported the status of an object.
fn new_to_its_controller(object: &Value) -> Option<Verdict> {
    let seen = object.at(&["status", "observedGeneration"]).is_some();
    (!seen).then(|| Waiting("its controller has not observed it yet".to_owned()))
}

/// Waits while fewer than `wanted` pods are in `state`, such as `ready`.
fn fewer(count: i64, wanted: i64, state: &str) -> Option<Verdict> {
    (count < wanted).then(|| Waiting(format!("{count} of {} {state}", pods_are(wanted))))
}

/// Waits while there are more than `wanted` pods. `which` describes the surplus pods.
fn more(count: i64, wanted: i64, which: &str) -> Option<Verdict> {
    let surplus = count - wanted;
    (surplus > 0).then(|| Waiting(format!("{} {which} still {}", pods(surplus), exist(surplus))))
}

fn job(object: &Value) -> Verdict {
    for condition in conditions(object).filter(|condition| text(condition, &["status"]) == "True") {
        match text(condition, &["type"]) {
            "Complete" | "SuccessCriteriaMet" => return Ready,
            "Failed" | "FailureTarget" => {
                return Failed(format!(
                    "{}: {}",
                    text(condition, &["reason"]),
                    text(condition, &["message"])
                ));
            }
            // A controller or a user starts a suspended Job. Until then it has reached its desired state.
            "Suspended" => return Ready,
            _ => {}
        }
    }
    if object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true) {
        return Ready;
    }
    let done = number(object, &["status", "succeeded"]);
    let wanted = number_or(object, &["spec", "completions"], 1);
    let failed = match number(object, &["status", "failed"]) {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    Waiting(format!("{done} of {} complete{failed}", pods_are(wanted)))
}

fn claim(object: &Value) -> Verdict {
    match text(object, &["status", "phase"]) {
        "Bound" => {
            let resizing = conditions(object).any(|condition| {
                matches!(text(condition, &["type"]), "Resizing" | "ControllerResizeError")
                    && text(condition, &["status"]) == "True"
            });
            if resizing {
                Waiting("its volume is being resized".to_owned())
            } else {
                Ready
            }
        }
        "Lost" => Failed("its volume no longer exists".to_owned()),
        _ => Waiting("it is not bound to a volume".to_owned()),
    }
}

fn pod(object: &Value) -> Verdict {
    match text(object, &["status", "phase"]) {
        "Succeeded" => Ready,
        "Failed" => Failed(match text(object, &["status", "message"]) {
            "" => "its containers failed".to_owned(),
            message => message.to_owned(),
        }),
        "Running" if matches!(condition(object, "Ready"), Some(("True", _))) => Ready,
        phase => Waiting(format!("its phase is `{phase}`")),
    }
}

fn service(object: &Value) -> Verdict {
    let has_address = object
        .at(&["status", "loadBalancer", "ingress"])
        .and_then(Value::as_list)
        .is_some_and(|ingress| !ingress.is_empty());
    if text(object, &["spec", "type"]) == "LoadBalancer" && !has_address {
        return Waiting("it has no load balancer yet".to_owned());
    }
    Ready
}

fn definition(object: &Value) -> Verdict {
    match (
        condition(object, "NamesAccepted"),
        condition(object, "Established"),
    ) {
        (Some(("False", message)), _) => Failed(format!("its names conflict with another CRD: {message}")),
        (_, Some(("True", _))) => Ready,
        _ => Waiting("the server does not serve it yet".to_owned()),
    }
}

/// Determines the readiness of a custom resource from the conditions that most operators use. Without conditions it is ready.
fn custom(object: &Value) -> Verdict {
    if let Some(("True", message)) = condition(object, "Stalled") {
        return Failed(message.to_owned());
    }
    if let Some(("True", message)) = condition(object, "Reconciling") {
        return Waiting(message.to_owned());
    }
    match condition(object, "Ready") {
        Some(("True", _)) | None => Ready,
        Some((_, "")) => Waiting("it is not ready".to_owned()),
        Some((_, message)) => Waiting(message.to_owned()),
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object
        .at(&["status", "conditions"])
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
}

/// Returns the status and the message of a condition.
fn condition<'a>(object: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let condition = conditions(object).find(|condition| text(condition, &["type"]) == name)?;
    Some((text(condition, &["status"]), text(condition, &["message"])))
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    value.at(path).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, path: &[&str]) -> i64 {
    number_or(value, path, 0)
}

fn number_or(value: &Value, path: &[&str], otherwise: i64) -> i64 {
    value.at(path).and_then(Value::as_integer).unwrap_or(otherwise)
}

fn pods(count: i64) -> String {
    if count == 1 {
        "1 pod".to_owned()
    } else {
        format!("{count} pods")
    }
}

/// Returns the pods with the verb, for "0 of 1 pod is" and "1 of 2 pods are".
fn pods_are(count: i64) -> String {
    format!("{} {}", pods(count), are(count))
}

fn are(count: i64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn exist(count: i64) -> &'static str {
    if count == 1 { "exists" } else { "exist" }
}

fn quoted(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(object: &str, expected: Verdict) {
        let object: Value = serde_json::from_str(object).unwrap();
        assert_eq!(verdict(&object), expected);
    }

    fn waiting(why: &str) -> Verdict {
        Waiting(why.to_owned())
    }

    #[test]
    fn objects_without_a_status_are_ready() {
        check(r#"{"apiVersion":"v1","kind":"ConfigMap"}"#, Ready);
        check(r#"{"apiVersion":"batch/v1","kind":"CronJob"}"#, Ready);
        check(
            r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2}}"#,
            Ready,
        );
    }

    #[test]
    fn waits_until_the_controller_observes_the_change() {
        let object = |seen: u8| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{{"generation":2}},"status":{{"observedGeneration":{seen},
                "desiredNumberScheduled":3,"updatedNumberScheduled":3,"numberAvailable":3}}}}"#
            )
        };
        check(
            &object(1),
            waiting("its controller has not observed the change yet"),
        );
        check(&object(2), Ready);
    }

    #[test]
    fn a_load_balancer_needs_an_address() {
        let object = |ingress: &str| {
            format!(
                r#"{{"apiVersion":"v1","kind":"Service","spec":{{"type":"LoadBalancer"}},"status":{{"loadBalancer":{{{ingress}}}}}}}"#
            )
        };
        check(&object(""), waiting("it has no load balancer yet"));
        check(&object(r#""ingress":[{"ip":"10.0.0.1"}]"#), Ready);
    }

    #[test]
    fn waits_for_the_pods_of_an_earlier_revision() {
        let object = |replicas: u8, more: &str| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"Deployment","spec":{{"replicas":2{more}}},"status":{{"observedGeneration":1,
                "replicas":{replicas},"updatedReplicas":2,"availableReplicas":2}}}}"#
            )
        };
        check(
            &object(3, ""),
            waiting("1 pod of an earlier revision still exists"),
        );
        check(&object(2, ""), Ready);
        check(&object(3, r#","paused":true"#), Ready);
    }

    #[test]
    fn respects_the_partition_of_a_stateful_set() {
        let object = |partition: u8| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"StatefulSet",
                "spec":{{"replicas":3,"updateStrategy":{{"type":"RollingUpdate","rollingUpdate":{{"partition":{partition}}}}}}},
                "status":{{"observedGeneration":1,"replicas":3,"readyReplicas":3,"updatedReplicas":1,
                "currentRevision":"a","updateRevision":"b"}}}}"#
            )
        };
        check(&object(2), Ready);
        check(&object(0), waiting("1 of 3 pods are updated"));
    }

    #[test]
    fn reads_the_conditions_of_a_job() {
        let object = |condition: &str| {
            format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","status":{{"failed":1,"conditions":[{{"type":"{condition}","status":"True",
                "reason":"BackoffLimitExceeded","message":"too many"}}]}}}}"#
            )
        };
        check(&object("Complete"), Ready);
        check(&object("Suspended"), Ready);
        check(
            &object("Failed"),
            Failed("BackoffLimitExceeded: too many".to_owned()),
        );
        check(&object("Other"), waiting("0 of 1 pod is complete, 1 failed"));
    }
}
