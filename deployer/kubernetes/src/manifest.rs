//! Manifests in the form in which they are sent: as the server stores them, and pinned to the observed object or to a new one.

use terrace_artifact::{Map, Value};
use terrace_deployer_model::diff::objects::is_secret;
use terrace_deployer_model::live::{ADDRESS, ADOPTED, HOLDS_DATA, LABEL, Live};

use super::live::metadata;
use super::ownership::without_entry;

/// Converts a manifest to the form that the server stores. It stores `stringData` of a Secret as `data`, so a manifest with
/// `stringData` would always differ from the live object.
pub(super) fn stored_form(mut manifest: Value) -> Value {
    if !is_secret(&manifest) {
        return manifest;
    }
    if let Some(map) = manifest.as_map_mut()
        && let Some(Value::Map(texts)) = map.remove("stringData")
    {
        let mut data = map
            .remove("data")
            .and_then(|data| data.as_map().cloned())
            .unwrap_or_default();
        for (key, value) in &texts {
            data.insert(
                key.clone(),
                super::state_store::base64(value.as_str().unwrap_or_default().as_bytes()),
            );
        }
        map.insert("data", data);
    }
    manifest
}

/// Pins a manifest to the observed object by its uid. The server rejects it if another object has taken the name.
pub(super) fn pinned(manifest: &Value, live: Option<&Live>) -> Value {
    let mut manifest = manifest.clone();
    if let (Some(live), Some(Value::Map(map))) = (
        live,
        manifest.as_map_mut().and_then(|map| map.get_mut("metadata")),
    ) {
        map.insert("uid", metadata(&live.value, "uid"));
    }
    manifest
}

/// Adds the annotation that records that the object was adopted.
pub(super) fn adopted(mut manifest: Value) -> Value {
    if let Some(Value::Map(map)) = manifest.as_map_mut().and_then(|map| map.get_mut("metadata")) {
        let annotations = map.remove("annotations");
        let mut annotations = annotations
            .and_then(|annotations| annotations.as_map().cloned())
            .unwrap_or_default();
        annotations.insert(ADOPTED, "true");
        map.insert("annotations", annotations);
    }
    manifest
}

/// A resourceVersion that no object has. An apply with it creates the object, or fails with a conflict if the object exists.
const NEVER: &str = "1";

/// Returns the manifest of an object that must not exist yet. Without this, server-side apply would take over an existing object.
pub(super) fn only_new(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(Value::Map(map)) = manifest.as_map_mut().and_then(|map| map.get_mut("metadata")) {
        map.insert("resourceVersion", NEVER);
    }
    manifest
}

/// Returns the manifest of a new object for an object of the same name that the system created first.
pub(super) fn instead_of(manifest: &Value, found: &Value) -> Value {
    let mut manifest = adopted(manifest.clone());
    if let Some(Value::Map(map)) = manifest.as_map_mut().and_then(|map| map.get_mut("metadata")) {
        map.remove("resourceVersion");
        map.insert("uid", metadata(found, "uid"));
    }
    manifest
}

/// Returns the patch that removes Terrace's label, annotations and managedFields entry from an object, and retains its values. The
/// server rejects the patch if another manager has written the object since it was read.
pub(super) fn released(object: &Value, manager: &str) -> Value {
    let removed = |keys: &[&str]| -> Map { keys.iter().map(|key| (*key, Value::Null)).collect() };
    let mut metadata_of = Map::new();
    for key in ["uid", "resourceVersion"] {
        metadata_of.insert(key, metadata(object, key));
    }
    metadata_of.insert("labels", removed(&[LABEL]));
    metadata_of.insert("annotations", removed(&[ADDRESS, ADOPTED, HOLDS_DATA]));
    metadata_of.insert("managedFields", without_entry(object, manager));
    [("metadata", metadata_of)].into_iter().collect::<Map>().into()
}
