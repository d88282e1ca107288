//! Foreign acts in the cluster, the account and the directory, by users and tools other than Terrace.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value as Json, json};
use terrace_tests::random::Random;

use crate::account;
use crate::stack::{Environment, Object, Shape, Stack};
use crate::world::{Place, World, bare};

/// A foreign act.
#[derive(Debug)]
pub(crate) struct Act {
    /// The description.
    pub(crate) story: String,
    /// The environment and the address of the resource whose name the act takes, if any.
    pub(crate) takes: Option<(&'static str, String)>,
}

impl Act {
    pub(crate) fn new(story: impl Into<String>) -> Option<Act> {
        Some(Act {
            story: story.into(),
            takes: None,
        })
    }

    pub(crate) fn taking(
        story: impl Into<String>,
        environment: &Environment,
        address: String,
    ) -> Option<Act> {
        Some(Act {
            story: story.into(),
            takes: Some((environment.name, address)),
        })
    }
}

/// The situation of an act.
pub(crate) struct Scene<'a, 'w> {
    pub(crate) world: &'a World<'w>,
    pub(crate) stack: &'a Stack,
    pub(crate) environment: &'a Environment,
    /// The identities of the resources that Terrace created in that environment.
    pub(crate) ours: &'a BTreeSet<String>,
    pub(crate) random: &'a mut Random,
}

/// Runs a random act. Returns `None` if that is not possible now.
pub(crate) fn act(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let Environment { cluster, account, .. } = *scene.environment;
    if !cluster && !account {
        return file(scene);
    }
    if cluster && (!account || scene.random.percent(55)) {
        return match scene.random.below(13) {
            0..=2 => squat(scene),
            3..=4 => guest(scene),
            5..=6 => restore(scene),
            7 => recreate(scene),
            8..=9 => strip(scene),
            10 => delete(scene),
            11 => clear_managers(scene),
            _ => lose_state(scene),
        };
    }
    account::act(scene)
}

/// Creates a foreign object with a name that the stack declares.
fn squat(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let shapes: Vec<&Shape> = scene.stack.parts.iter().map(|part| part.shape).collect();
    let fitting: Vec<&Shape> = shapes
        .into_iter()
        .filter(|shape| !shape.objects.is_empty() && Stack::fits(shape, scene.environment))
        .collect();
    let shape = *scene.random.of(&fitting);
    let object = scene.random.of(shape.objects);
    let tenant = scene.random.of(&scene.stack.tenants).clone();
    let fill = |text: &str| {
        text.replace("$ID", &scene.stack.id)
            .replace("$ENV", scene.environment.name)
            .replace("$TENANT", &tenant)
    };
    let namespace = object.namespace.map(fill);
    let mut body: Json = serde_json::from_str(&fill(object.body)).expect("JSON");
    body["apiVersion"] = json!(object.api_version);
    body["kind"] = json!(object.kind);
    body["metadata"] = json!({"name": fill(object.name)});
    let marks = marks(scene);
    body["metadata"]["labels"] = marks.clone();
    let owner = if shape.of_tenants {
        tenant.as_str()
    } else {
        "platform"
    };
    let address = format!("{owner}/{}/{}", shape.name, object.resource);
    create(scene, &collection(object, namespace.as_deref()), &body)?;
    Act::taking(
        format!(
            "squat {} {}: {address}, labels {marks}",
            object.kind,
            fill(object.name)
        ),
        scene.environment,
        address,
    )
}

/// Returns the labels of a foreign object: none, those of Terrace, or those of another tool.
fn marks(scene: &mut Scene<'_, '_>) -> Json {
    let id = &scene.stack.id;
    let stack = format!("{id}.{}", scene.environment.name);
    match scene.random.below(4) {
        0 => json!({"terrace.dev/stack": stack, "app.kubernetes.io/managed-by": "terrace"}),
        1 => json!({"app.kubernetes.io/managed-by": "Helm"}),
        2 => json!({"terrace.dev/stack": format!("other-{id}.live")}),
        _ => json!({}),
    }
}

fn collection(object: &Object, namespace: Option<&str>) -> String {
    let root = if object.api_version.contains('/') {
        "apis"
    } else {
        "api"
    };
    let namespace = namespace
        .map(|name| format!("namespaces/{name}/"))
        .unwrap_or_default();
    format!("/{root}/{}/{namespace}{}", object.api_version, object.plural)
}

/// Creates an object like `kubectl`, Helm, or another environment of Terrace.
fn create(scene: &mut Scene<'_, '_>, collection: &str, body: &Json) -> Option<()> {
    let api = &scene.world.servers.api;
    let managers = [
        "kubectl-create",
        "helm",
        &format!("terrace/other-{}/live", scene.stack.id),
    ];
    let manager = *scene.random.of(&managers);
    if !manager.starts_with("terrace/") {
        let path = format!("{collection}?fieldManager={manager}");
        return api.write("POST", &path, body).ok().map(|_| ());
    }
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{collection}/{name}");
    if api.get(&path, "application/json").is_some() {
        return None;
    }
    let path = format!("{path}?fieldManager={}", manager.replace('/', "%2F"));
    api.apply(&path, body).ok().map(|_| ())
}

/// Creates a foreign object in one of our namespaces, or of one of our CRDs.
fn guest(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let places = ours(scene);
    let spaces: Vec<&Place> = places.iter().filter(|place| place.kind == "Namespace").collect();
    if spaces.is_empty() {
        return None;
    }
    let space = scene.random.of(&spaces).name.clone();
    let number = scene.random.below(1000);
    let mut body =
        json!({"apiVersion": "v1", "metadata": {"name": format!("guest-{number}"), "labels": marks(scene)}});
    let collection = match scene.random.below(4) {
        0 => {
            body["kind"] = json!("Secret");
            format!("/api/v1/namespaces/{space}/secrets")
        }
        1 => {
            body["kind"] = json!("PersistentVolumeClaim");
            body["spec"] = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "absent", "resources": {"requests": {"storage": "1Gi"}}});
            format!("/api/v1/namespaces/{space}/persistentvolumeclaims")
        }
        2 => {
            let group = format!("{}-{}.example", scene.stack.id, scene.environment.name);
            body["apiVersion"] = json!(format!("{group}/v1"));
            body["kind"] = json!("Thing");
            format!("/apis/{group}/v1/namespaces/{space}/things")
        }
        _ => {
            body["kind"] = json!("ConfigMap");
            format!("/api/v1/namespaces/{space}/configmaps")
        }
    };
    create(scene, &collection, &body)?;
    Act::new(format!("guest {} guest-{number} in {space}", body["kind"]))
}

/// Copies one of our objects into another namespace with all its metadata, like a test restore of a backup.
fn restore(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let api = &scene.world.servers.api;
    let attic = format!("{}-attic", scene.stack.id);
    let place = one_of_ours(scene, |place| {
        !["", "terrace-system"].contains(&place.namespace.as_str())
    })?;
    let object = api.get(&place.path(), "application/json")?;
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": attic}});
    let _ = api.write("POST", "/api/v1/namespaces", &space);
    api.write("POST", &place.collection(&attic), &bare(&object, &attic))
        .ok()?;
    let mut managers = object["metadata"]["managedFields"].clone();
    for entry in managers.as_array_mut().into_iter().flatten() {
        entry["time"] = json!("2020-01-01T00:00:00Z"); // the time of the backup
    }
    let managers = json!({"metadata": {"managedFields": managers}});
    let path = format!("{}/{}", place.collection(&attic), place.name);
    api.write("PATCH", &path, &managers).ok()?;
    Act::new(format!("restore {} {} into {attic}", place.kind, place.name))
}

/// Deletes one of our objects and creates a foreign one with its name.
fn recreate(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let api = &scene.world.servers.api;
    let place = one_of_ours(scene, |place| {
        [
            "ConfigMap",
            "Service",
            "ServiceAccount",
            "PriorityClass",
            "ClusterRole",
        ]
        .contains(&place.kind.as_str())
            && place.namespace != "terrace-system"
    })?;
    let object = api.get(&place.path(), "application/json")?;
    remove(scene, &place)?;
    api.write(
        "POST",
        &place.collection(&place.namespace),
        &bare(&object, &place.namespace),
    )
    .ok()?;
    let address = object["metadata"]["annotations"]["terrace.dev/address"]
        .as_str()
        .map(str::to_owned);
    let story = format!("recreate {} {}/{}", place.kind, place.namespace, place.name);
    match address {
        Some(address) => Act::taking(story, scene.environment, address),
        None => Act::new(story),
    }
}

/// Removes our labels from one of our objects.
fn strip(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let place = one_of_ours(scene, |place| place.namespace != "terrace-system")?;
    let labels = if place.kind == "Namespace" {
        json!({"terrace.dev/stack": null})
    } else {
        json!(null)
    };
    patch_metadata(scene, &place, "labels", &labels, "strip labels")
}

/// Deletes one of our objects.
fn delete(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let place = one_of_ours(scene, |place| {
        !["Namespace", "CustomResourceDefinition"].contains(&place.kind.as_str())
            && place.namespace != "terrace-system"
    })?;
    remove(scene, &place)?;
    Act::new(format!(
        "delete {} {}/{}",
        place.kind, place.namespace, place.name
    ))
}

/// Clears the managedFields of one of our objects.
fn clear_managers(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let place = one_of_ours(scene, |place| place.namespace != "terrace-system")?;
    patch_metadata(
        scene,
        &place,
        "managedFields",
        &json!([{}]),
        "clear managedFields",
    )
}

/// Changes one field in the metadata of an object.
fn patch_metadata(
    scene: &Scene<'_, '_>,
    place: &Place,
    field: &str,
    value: &serde_json::Value,
    story: &str,
) -> Option<Act> {
    let patch = json!({"metadata": {field: value}});
    scene
        .world
        .servers
        .api
        .write("PATCH", &place.path(), &patch)
        .ok()?;
    Act::new(format!(
        "{story} of {} {}/{}",
        place.kind, place.namespace, place.name
    ))
}

/// Deletes the state store.
fn lose_state(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let stored = ours(scene);
    let stored: Vec<&Place> = stored
        .iter()
        .filter(|place| place.namespace == "terrace-system")
        .collect();
    for place in &stored {
        let _ = scene.world.servers.api.write("DELETE", &place.path(), &json!({}));
    }
    (!stored.is_empty()).then(|| Act::new("lose the state store"))?
}

/// Writes a file to the target's directory: a new foreign file, or an edit of a rendered file.
fn file(scene: &mut Scene<'_, '_>) -> Option<Act> {
    let files = scene
        .ours
        .iter()
        .filter_map(|key| key.strip_prefix("directory deployed/"));
    let files: Vec<&str> = files.filter(|path| !path.starts_with('.')).collect();
    let directory = scene.world.directory.path().join("deployed");
    let number = scene.random.below(1000);
    if files.is_empty() || scene.random.percent(50) {
        let parent = files
            .first()
            .and_then(|path| path.rsplit_once('/'))
            .map_or("", |(directory, _)| directory);
        let path = directory.join(parent).join(format!("theirs-{number}.yaml"));
        fs::create_dir_all(path.parent()?).ok()?;
        fs::write(&path, format!("# theirs {number}\n")).ok()?;
        return Act::new(format!("write {}", path.display()));
    }
    let chosen = *scene.random.of(&files);
    fs::write(directory.join(chosen), format!("# theirs {number}\n")).ok()?;
    // An edited file remains ours, and the next apply restores it.
    Act::new(format!("overwrite deployed/{chosen}"))
}

fn remove(scene: &Scene<'_, '_>, place: &Place) -> Option<()> {
    let api = &scene.world.servers.api;
    api.write("DELETE", &place.path(), &json!({})).ok()?;
    let begun = Instant::now();
    while api.get(&place.path(), "application/json").is_some() {
        if begun.elapsed() > Duration::from_secs(10) {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Some(())
}

fn ours(scene: &Scene<'_, '_>) -> Vec<Place> {
    scene
        .ours
        .iter()
        .filter_map(|identity| Place::of(identity))
        .filter(|place| place.name != "terrace-system") // all cases share it
        .collect()
}

fn one_of_ours(scene: &mut Scene<'_, '_>, wanted: impl Fn(&Place) -> bool) -> Option<Place> {
    let places: Vec<Place> = ours(scene).into_iter().filter(wanted).collect();
    (!places.is_empty()).then(|| scene.random.of(&places).clone())
}
