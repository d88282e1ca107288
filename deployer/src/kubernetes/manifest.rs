//! A manifest as it is sent: in the form that is stored, and for exactly the object that was observed, or for a new one.

use terrace_artifact::{Map, Value};

use super::live::metadata;
use super::ownership::without_entry;
use crate::backend::{ADDRESS, ADOPTED, HOLDS_DATA, LABEL, Live};

/// A manifest in the form the server stores: `stringData` is there for writers only, and would differ for ever.
pub(super) fn stored_form(mut manifest: Value) -> Value {
    if !super::difference::is_secret(&manifest) {
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
                super::home::base64(value.as_str().unwrap_or_default().as_bytes()),
            );
        }
        map.insert("data", data);
    }
    manifest
}

/// The manifest for exactly the object that was observed: if another has taken its place, the server refuses.
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

/// The manifest of what was adopted, or is being adopted: the object itself remembers it.
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

/// A resourceVersion that no object has: what is applied with it is created, or refused with a conflict if there is anything.
const NEVER: &str = "1";

/// The manifest of an object that must not exist yet. Without this, server-side apply takes over whatever is there.
pub(super) fn only_new(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(Value::Map(map)) = manifest.as_map_mut().and_then(|map| map.get_mut("metadata")) {
        map.insert("resourceVersion", NEVER);
    }
    manifest
}

/// The manifest of a new object, for one that the system has made in its place.
pub(super) fn instead_of(manifest: &Value, found: &Value) -> Value {
    let mut manifest = adopted(manifest.clone());
    if let Some(Value::Map(map)) = manifest.as_map_mut().and_then(|map| map.get_mut("metadata")) {
        map.remove("resourceVersion");
        map.insert("uid", metadata(found, "uid"));
    }
    manifest
}

/// The patch that takes our marks and our entry of managedFields off an object, and leaves its values alone. It is refused
/// where somebody has written the object since.
pub(super) fn released(object: &Value, manager: &str) -> Value {
    let nothing = |keys: &[&str]| -> Map { keys.iter().map(|key| (*key, Value::Null)).collect() };
    let mut metadata_of = Map::new();
    for key in ["uid", "resourceVersion"] {
        metadata_of.insert(key, metadata(object, key));
    }
    metadata_of.insert("labels", nothing(&[LABEL]));
    metadata_of.insert("annotations", nothing(&[ADDRESS, ADOPTED, HOLDS_DATA]));
    metadata_of.insert("managedFields", without_entry(object, manager));
    [("metadata", metadata_of)].into_iter().collect::<Map>().into()
}
