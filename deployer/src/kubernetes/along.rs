//! What the last release says of live objects: their addresses, and whether they hold data.

use std::collections::BTreeMap;

use terrace_artifact::{Address, ArtifactId, Object};

use crate::backend::{Live, Wanted};
use crate::loss::object_holds_data;

/// Adds to what is live what the last release says of it.
pub(super) fn remember_released(wanted: Wanted<'_>, live: &mut BTreeMap<ArtifactId, Live>) {
    let Some(previous) = wanted.previous else { return };
    for live in live.values_mut() {
        if let Some(object) = previous.artifact(&live.id).and_then(|artifact| artifact.object()) {
            remember(live, object);
        }
    }
}

/// What the last release says of an object, which the object itself may say no more.
fn remember(live: &mut Live, object: &Object) {
    if live.addresses.is_empty() {
        live.addresses.push(object.address.clone());
    }
    live.holds_data = match object_holds_data(&live.value, Some(object.holds_data)) {
        true => live.addresses.clone(),
        false => Vec::new(),
    };
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
