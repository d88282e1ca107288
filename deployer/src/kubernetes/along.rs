//! What the last bundle knows of an object that is taken away, and the claims that go when a StatefulSet gets fewer pods.

use std::collections::BTreeMap;

use terrace_artifact::{Address, ArtifactId, Object, Segment, Value};

use crate::backend::{Live, Wanted};
use crate::plan::{Change, Risk};

/// Adds to what is to be taken away what the last bundle says of it, where the object itself says it no more.
pub(super) fn remember_dropped(wanted: Wanted<'_>, live: &mut BTreeMap<ArtifactId, Live>) {
    for dropped in wanted.dropped() {
        if let (Some(live), Some(object)) = (live.get_mut(&dropped.id), dropped.object()) {
            remember(live, object);
        }
    }
}

/// Whether a StatefulSet takes its claims along when it is deleted.
pub(super) fn deletes_claims(set: &Value) -> bool {
    const POLICY: &[&str] = &["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"];
    set.at(POLICY).and_then(Value::as_str) == Some("Delete")
}

/// A StatefulSet may be told to delete the claims of the pods that go when it gets fewer.
pub(super) fn loses_by_scaling(change: &mut Change, object: &Object, manifest: &Value, live: &Value) {
    const POLICY: &[&str] = &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"];
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_integer);
    let fewer = change.fields.iter().any(|field| {
        let is_replicas = matches!(field.path.as_slice(), [Segment::Key(spec), Segment::Key(key)] if spec == "spec" && key == "replicas");
        is_replicas && number(&field.after).unwrap_or(1) < number(&field.before).unwrap_or(1)
    });
    let deletes = [manifest, live]
        .iter()
        .any(|value| value.at(POLICY).and_then(Value::as_str) == Some("Delete"));
    let claims = live
        .at(&["spec", "volumeClaimTemplates"])
        .and_then(Value::as_list);
    if object.kind == "StatefulSet" && fewer && deletes && claims.is_some_and(|claims| !claims.is_empty()) {
        change
            .notes
            .push("the claims of the pods that go are deleted with them (whenScaled: Delete)".to_owned());
        change.risk = Risk::DataLoss;
        change.loses_data.insert(object.address.clone());
    }
}

/// What the last bundle says of an object, where the object itself says it no more.
fn remember(live: &mut Live, object: &Object) {
    if live.addresses.is_empty() {
        live.addresses.push(object.address.clone());
    }
    if object.holds_data {
        live.holds_data = live.addresses.clone();
    }
}

/// The addresses by which the loss of an object is approved. One that does not say which resource it is has its name for
/// that.
pub(super) fn guarded(live: &mut Live) -> Vec<Address> {
    if live.addresses.is_empty() {
        live.addresses.push(Address {
            tenant: "platform".into(),
            component: "unknown".into(),
            resource: live.subject.name.clone(),
            key: None,
        });
    }
    live.addresses.clone()
}
