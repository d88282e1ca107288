//! Whether a live object has reached the state it was asked for, read from the object alone.
//!
//! The rules are kstatus' where it has one. "Failed" is kept for what does not pass by itself; whoever is merely slow is
//! waited for.

use terrace_artifact::Value;

use super::quantity::is_built_in;

/// What an object itself says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is there.
    Ready,
    /// It is on its way.
    Waiting(String),
    /// It will not get there without help.
    Failed(String),
}

use Verdict::{Failed, Ready, Waiting};

/// What an object says about itself.
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
            None => Waiting("nobody has checked yet whether it is available".to_owned()),
        },
        _ if is_built_in(api_version) => Ready,
        _ => custom(object),
    }
}

/// What an object that is being deleted waits for.
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
        ["foregroundDeletion"] => "being deleted: what it made goes first".to_owned(),
        names => format!("being deleted: waiting for the finalizer {}", quoted(names)),
    }
}

/// A change that the object's controller has not seen yet.
pub(crate) fn unseen(object: &Value) -> Option<Verdict> {
    let generation = number(object, &["metadata", "generation"]);
    let observed = object
        .at(&["status", "observedGeneration"])
        .and_then(Value::as_integer)?;
    (observed < generation).then(|| Waiting("its controller has not seen the change yet".to_owned()))
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
    fewer(updated, wanted, &format!("made{refused}"))
        .or_else(|| fewer(count("availableReplicas"), wanted, &format!("available{refused}")))
        .or_else(|| more(count("replicas"), updated, "of an earlier version"))
        .unwrap_or(Ready)
}

fn stateful_set(object: &Value) -> Verdict {
    let wanted = number_or(object, &["spec", "replicas"], 1);
    let count = |key| number(object, &["status", key]);
    // `OnDelete` leaves the change to whoever deletes the pods.
    let rolling = text(object, &["spec", "updateStrategy", "type"]) != "OnDelete";
    let partition = number(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
    let to_update = (wanted - partition).max(0);
    let settled = text(object, &["status", "currentRevision"]) == text(object, &["status", "updateRevision"]);
    let rolling = rolling && !settled;
    new_to_its_controller(object)
        .or_else(|| fewer(count("replicas"), wanted, "made"))
        .or_else(|| fewer(count("updatedReplicas"), to_update, "of the new version").filter(|_| rolling))
        .or_else(|| fewer(count("readyReplicas"), wanted, "ready"))
        .or_else(|| more(count("replicas"), wanted, "too many"))
        .unwrap_or_else(|| {
            if rolling && partition == 0 {
                Waiting("the new version is being rolled out".to_owned())
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
        .or_else(|| fewer(count("updatedNumberScheduled"), wanted, "of the new version").filter(|_| rolling))
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

/// Waits for a controller that has never reported on an object.
fn new_to_its_controller(object: &Value) -> Option<Verdict> {
    let seen = object.at(&["status", "observedGeneration"]).is_some();
    (!seen).then(|| Waiting("its controller has not seen it yet".to_owned()))
}

/// Waits while fewer pods than wanted are `what`.
fn fewer(count: i64, wanted: i64, what: &str) -> Option<Verdict> {
    (count < wanted).then(|| Waiting(format!("{count} of {} {what}", pods_are(wanted))))
}

/// Waits while there are more pods than wanted; the others are `what`.
fn more(count: i64, wanted: i64, what: &str) -> Option<Verdict> {
    let others = count - wanted;
    (others > 0).then(|| Waiting(format!("{} {what} {} still there", pods(others), are(others))))
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
            // Somebody else starts it; until then this is what was asked for.
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
        "Lost" => Failed("its volume is gone".to_owned()),
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
        (Some(("False", message)), _) => Failed(format!("its names are taken: {message}")),
        (_, Some(("True", _))) => Ready,
        _ => Waiting("the server does not serve it yet".to_owned()),
    }
}

/// A custom resource: conditions that most operators agree on. Without any, there is nothing to wait for.
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

/// Status and message of a condition.
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

/// The end of "0 of 1 pod is", "1 of 2 pods are".
fn pods_are(count: i64) -> String {
    format!("{} {}", pods(count), are(count))
}

fn are(count: i64) -> &'static str {
    if count == 1 { "is" } else { "are" }
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
    fn check(object: &str, want: Verdict) {
        let object: Value = serde_json::from_str(object).unwrap();
        assert_eq!(verdict(&object), want);
    }

    fn waiting(why: &str) -> Verdict {
        Waiting(why.to_owned())
    }

    #[test]
    fn what_has_no_state_is_ready() {
        check(r#"{"apiVersion":"v1","kind":"ConfigMap"}"#, Ready);
        check(r#"{"apiVersion":"batch/v1","kind":"CronJob"}"#, Ready);
        check(
            r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"generation":2}}"#,
            Ready,
        );
    }

    #[test]
    fn a_change_has_to_be_seen_first() {
        let object = |seen: u8| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{{"generation":2}},"status":{{"observedGeneration":{seen},
                "desiredNumberScheduled":3,"updatedNumberScheduled":3,"numberAvailable":3}}}}"#
            )
        };
        check(&object(1), waiting("its controller has not seen the change yet"));
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
    fn pods_of_the_version_before_are_waited_for() {
        let object = |replicas: u8, more: &str| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"Deployment","spec":{{"replicas":2{more}}},"status":{{"observedGeneration":1,
                "replicas":{replicas},"updatedReplicas":2,"availableReplicas":2}}}}"#
            )
        };
        check(
            &object(3, ""),
            waiting("1 pod of an earlier version is still there"),
        );
        check(&object(2, ""), Ready);
        check(&object(3, r#","paused":true"#), Ready);
    }

    #[test]
    fn a_part_of_a_stateful_set_may_stay_as_it_is() {
        let object = |partition: u8| {
            format!(
                r#"{{"apiVersion":"apps/v1","kind":"StatefulSet",
                "spec":{{"replicas":3,"updateStrategy":{{"type":"RollingUpdate","rollingUpdate":{{"partition":{partition}}}}}}},
                "status":{{"observedGeneration":1,"replicas":3,"readyReplicas":3,"updatedReplicas":1,
                "currentRevision":"a","updateRevision":"b"}}}}"#
            )
        };
        check(&object(2), Ready);
        check(&object(0), waiting("1 of 3 pods are of the new version"));
    }

    #[test]
    fn jobs_end_one_way_or_the_other() {
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
