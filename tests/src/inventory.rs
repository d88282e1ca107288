//! Complete inventories of a cluster, an account and a directory, which tests compare before and after a command.
//!
//! An inventory maps the identity of an item to its content. A replacement has a different identity, so `a == b` means
//! that nothing was created, changed, deleted or replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use terrace_artifact::Digest;

use crate::servers::{Account, Api};

/// Content by identity.
pub type Inventory = BTreeMap<String, String>;

/// Requests all groups, versions and resources of the API server in one answer.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Kinds that controllers write all the time.
const VOLATILE: [&str; 6] = [
    "events",
    "endpoints",
    "endpointslices",
    "ipaddresses",
    "nodes",
    "csinodes",
];

/// Lists every object of every kind of the server, in all namespaces, whose identity passes a test. The identity
/// includes the UID.
///
/// Omits the data that the server and its controllers write on their own: status, versions, and objects with
/// `ownerReferences`.
///
/// # Panics
///
/// If the server does not answer.
#[track_caller]
pub fn of_cluster(api: &Api, includes: impl Fn(&str) -> bool) -> Inventory {
    let mut found = Inventory::new();
    for path in ["/api", "/apis"] {
        let groups = api.get(path, DISCOVERY).unwrap_or_default();
        for (path, kind) in list(&groups["items"]).iter().flat_map(served) {
            // A CRD that was deleted in the meantime has no objects.
            let listed = api.get(&path, "application/json").unwrap_or_default();
            for object in list(&listed["items"]) {
                let identity = identity(&path, &kind, &object["metadata"]);
                if includes(&identity)
                    && let Some(content) = content(&kind, object)
                {
                    found.insert(identity, content);
                }
            }
        }
    }
    found
}

/// Returns the list path and the kind of each resource of a group, in the version that the server prefers.
fn served(group: &Json) -> Vec<(String, String)> {
    let version = &group["versions"][0];
    let name = version["version"].as_str().unwrap_or_default();
    let prefix = match group["metadata"]["name"].as_str() {
        None | Some("") => format!("/api/{name}"),
        Some(group) => format!("/apis/{group}/{name}"),
    };
    let listable = |resource: &&Json| {
        list(&resource["verbs"]).contains(&json!("list"))
            && !VOLATILE.iter().any(|kind| resource["resource"] == *kind)
    };
    let resources = list(&version["resources"]).iter().filter(listable);
    resources
        .map(|resource| {
            let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
            let path = format!("{prefix}/{}", text(&resource["resource"]));
            (path, text(&resource["responseKind"]["kind"]))
        })
        .collect()
}

fn identity(path: &str, kind: &str, metadata: &Json) -> String {
    let text = |key: &str| metadata[key].as_str().unwrap_or_default();
    format!(
        "{path} {kind} {}/{} {}",
        text("namespace"),
        text("name"),
        text("uid")
    )
}

/// Returns the content of an object; `None` if the server or a controller created it on its own.
fn content(kind: &str, object: &Json) -> Option<String> {
    let metadata = object["metadata"].as_object()?;
    let text = |key: &str| metadata.get(key).and_then(Json::as_str).unwrap_or_default();
    let by_the_system = metadata.contains_key("ownerReferences")
        || kind == "PersistentVolume"
        || (kind == "Lease" && text("namespace").starts_with("kube-"))
        || (kind == "ServiceAccount" && text("name") == "default")
        || (kind == "ConfigMap" && text("name") == "kube-root-ca.crt");
    if by_the_system {
        return None;
    }
    let mut content = object.clone();
    let managers = terrace_managers(&object["metadata"]["managedFields"]);
    let fields = content.as_object_mut()?;
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Json::as_object_mut) {
        for volatile in ["resourceVersion", "generation", "managedFields"] {
            metadata.remove(volatile);
        }
        metadata.insert("managers".into(), managers);
    }
    Some(content.to_string())
}

/// Returns the fields that Terrace manages, which also show a write that changes no value.
fn terrace_managers(entries: &Json) -> Json {
    let of_terrace = list(entries).iter().filter(|entry| {
        entry["manager"]
            .as_str()
            .is_some_and(|manager| manager.starts_with("terrace"))
    });
    of_terrace
        .map(|entry| json!([entry["manager"], entry["operation"], entry["fieldsV1"]]))
        .collect()
}

/// Lists all items of an account, in every service and region.
///
/// # Panics
///
/// If the endpoint does not answer.
#[track_caller]
pub fn of_account(account: &Account<'_>) -> Inventory {
    account.items()
}

/// Lists every file below a directory. Symbolic links are not followed.
///
/// # Panics
///
/// If a file cannot be read.
#[track_caller]
pub fn of_directory(directory: &Path) -> Inventory {
    let mut found = Inventory::new();
    add_files(directory, directory, &mut found);
    found
}

fn add_files(root: &Path, directory: &Path, found: &mut Inventory) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if path.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            found.insert(shown, format!("link to {}", target.display()));
        } else if path.is_dir() {
            add_files(root, &path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.insert(shown, Digest::of_bytes(&bytes).to_string());
        }
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}
