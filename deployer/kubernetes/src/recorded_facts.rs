//! Facts about live objects that the last release recorded: their addresses, and whether they hold data.

use std::collections::BTreeMap;

use terrace_artifact::{Address, ArtifactId, Object, Owner};
use terrace_deployer_model::backend::Wanted;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::loss::object_holds_data;

/// Adds the facts of the last release to the live objects.
pub(super) fn remember_released(wanted: Wanted<'_>, live: &mut BTreeMap<ArtifactId, Live>) {
    let Some(previous) = wanted.previous else { return };
    for live in live.values_mut() {
        if let Some(object) = previous.artifact(&live.id).and_then(|artifact| artifact.object()) {
            remember(live, object);
        }
    }
}

/// Adds the facts of the last release to one object. The object itself may have lost the annotations with these facts.
fn remember(live: &mut Live, object: &Object) {
    if live.addresses.is_empty() {
        live.addresses.push(object.address.clone());
    }
    live.holds_data = match object_holds_data(&live.value, Some(object.holds_data)) {
        true => live.addresses.clone(),
        false => Vec::new(),
    };
}

/// Returns the addresses by which a user approves the loss of an object. An object without an address gets one with its own
/// name.
pub(super) fn guarded(live: &mut Live) -> Vec<Address> {
    if live.addresses.is_empty() {
        live.addresses.push(Address {
            owner: Owner::Platform,
            component: Address::UNRECORDED.into(),
            resource: live.subject.name.clone(),
            key: None,
        });
    }
    live.addresses.clone()
}
