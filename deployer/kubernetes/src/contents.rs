//! The contents of a namespace or CRD that Kubernetes deletes together with it, and that the plan does not delete itself.
//!
//! The deletion of a namespace deletes every object in it, of any kind and of any manager. The plan must show these objects, so
//! Terrace lists all kinds of the server, by metadata alone, and only if a plan deletes a namespace or CRD. Objects that the
//! system creates in every namespace do not count, nor do objects that Terrace's own objects own by ownerReferences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use terrace_artifact::{Address, ArtifactId, Digest, Text, Value};
use terrace_deployer_model::backend::PlannedDeletions;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::Content;
use tokio::time::Instant;

use super::Kubernetes;
use super::api_errors::is_missing_permission;
use super::kinds::{Kinds, Served};
use super::live::{is_being_deleted, metadata, stranger};
use super::missing_permissions::{MissingPermission, missing_permissions};
use super::observe::{id_of, list_of, place};
use super::recorded_facts::guarded;
use super::requests::{METADATA, Refusal};

/// The maximum number of objects of one kind in one container that a plan names one by one. More objects form a set, which
/// one approval covers.
const NAMED: usize = 10;
/// The number of namespaces from which Terrace lists every kind once for the whole cluster.
const MANY: usize = 6;
/// The maximum age of the lists for the whole cluster.
const FRESH: Duration = Duration::from_secs(2);
/// The maximum time that garbage collection takes to delete the dependents of a deleted object.
const COLLECTED: Duration = Duration::from_secs(20);

/// An object in a container.
#[derive(Debug)]
struct Found {
    id: ArtifactId,
    uid: Text,
    kind: Text,
    group: Text,
    namespace: Text,
    name: Text,
    /// The uids of its owners.
    owners: Vec<Text>,
    /// The manager that created it.
    by: Option<Text>,
}

/// The objects that were found in all containers at one time.
#[derive(Debug)]
pub(super) struct Looked {
    at: Instant,
    found: Vec<Found>,
}

impl Kubernetes {
    /// Returns the objects that Kubernetes deletes together with the deleted namespaces and CRDs, by container.
    pub(super) async fn contents_of(
        &self,
        going: &PlannedDeletions<'_>,
    ) -> Result<BTreeMap<ArtifactId, Vec<Content>>, Failure> {
        let containers = |ids: &BTreeSet<ArtifactId>, kind: &str| -> Vec<Live> {
            let live = ids.iter().filter_map(|id| going.live.get(id));
            live.filter(|live| *live.subject.kind == *kind && !is_being_deleted(&live.value))
                .cloned()
                .collect()
        };
        let namespaces = containers(going.among, "Namespace");
        let definitions = containers(going.among, "CustomResourceDefinition");
        if namespaces.is_empty() && definitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let kinds = self.kinds().await?;
        let began = Instant::now();
        loop {
            let many = containers(going.deleted, "Namespace").len() >= MANY;
            let looked = self
                .look_into(&kinds, going, &namespaces, &definitions, many)
                .await?;
            let strangers = self.strangers(going, &looked.found);
            // The garbage collector deletes the dependents of a deleted object with a delay. Such dependents appear only in the
            // check immediately before a delete.
            let is_orphan =
                |found: &&Found| !found.owners.is_empty() && &*found.kind != "PersistentVolumeClaim";
            let waits = going.among.len() < going.deleted.len()
                && !strangers.is_empty()
                && strangers.iter().all(is_orphan)
                && began.elapsed() < COLLECTED;
            if waits {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
            let mut contents = BTreeMap::new();
            for container in namespaces.iter().chain(&definitions) {
                let within = strangers.iter().filter(|found| is_in(found, container, &kinds));
                let shown = contents_shown(container, within.copied(), going);
                if !shown.is_empty() {
                    contents.insert(container.id.clone(), shown);
                }
            }
            return Ok(contents);
        }
    }

    /// Lists the objects in these containers.
    async fn look_into(
        &self,
        kinds: &Kinds,
        going: &PlannedDeletions<'_>,
        namespaces: &[Live],
        definitions: &[Live],
        many: bool,
    ) -> Result<Arc<Looked>, Failure> {
        if let Some(looked) = self.looked().filter(|looked| many && looked.at.elapsed() < FRESH) {
            return Ok(looked);
        }
        let at = Instant::now();
        if let (Some(stale), false) = (kinds.stale().next(), namespaces.is_empty()) {
            let message = format!(
                "{} cannot be deleted: the server cannot list its objects of API group `{stale}`",
                namespaces[0].subject
            );
            return Err(Failure::new(FailureKind::Unreachable, message).hint(
                "repair the extension API server of this group; `kubectl get apiservices` shows its state",
            ));
        }
        let mut lists: Vec<(&Served, Option<Text>)> = Vec::new();
        for served in kinds.contained().filter(|_| !namespaces.is_empty()) {
            if many {
                lists.push((served, None));
            } else {
                let names = namespaces.iter().map(|live| Some(live.subject.name.clone()));
                lists.extend(names.map(|name| (served, name)));
            }
        }
        for definition in definitions {
            let defined = kinds.defined_by(&definition.subject.name);
            lists.extend(defined.map(|served| (served, None)));
        }
        let lists = lists.into_iter().map(|(served, namespace)| async move {
            let path = served.list_path(namespace.as_deref());
            match self.requests.list(&path, "", METADATA).await {
                Ok(objects) => Ok(Ok((served, objects))),
                Err(Refusal::Status(status)) if is_missing_permission(&status) => {
                    Ok(Err((served, namespace, status.message.clone())))
                }
                // The kind is being deleted with all of its objects.
                Err(Refusal::Status(status)) if status.code == 404 => Ok(Ok((served, Vec::new()))),
                Err(refusal) => Err(self
                    .requests
                    .failure(refusal, list_of(served, namespace.as_deref()))),
            }
        });
        let answers: Vec<_> = lists.collect::<FuturesUnordered<_>>().try_collect().await?;
        let (mut found, mut lacks) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok((served, objects)) => {
                    let objects = objects.iter().filter(|object| !is_systems_own(served, object));
                    found.extend(
                        objects.map(|object| Found::of(going.target, served, object, &self.whose.manager)),
                    );
                }
                Err(lack) => lacks.push(lack),
            }
        }
        // An object can be in a deleted namespace and be of a deleted CRD as well.
        let mut uids = BTreeSet::new();
        found.retain(|found| uids.insert(found.uid.clone()));
        if !lacks.is_empty() {
            return Err(unknown(&lacks, namespaces, definitions));
        }
        let looked = Arc::new(Looked { at, found });
        if many {
            *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked.clone());
        }
        Ok(looked)
    }

    fn looked(&self) -> Option<Arc<Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the found objects that no step of the plan deletes and that Terrace's own objects do not own.
    fn strangers<'f>(&self, going: &PlannedDeletions<'_>, found: &'f [Found]) -> Vec<&'f Found> {
        let has_step = |found: &Found| {
            let live = going.live.get(&found.id);
            going.deleted.contains(&found.id) && live.is_some_and(|live| live.identity == found.uid)
        };
        let roots = going.live.values().filter(|live| {
            going.deleted.contains(&live.id) || live.ownership.is_ours() && !live.ownership.is_adopted()
        });
        // An object that was once seen to be owned by a managed object still counts as owned after its owner is deleted.
        let mut belongs = self.belongs.lock().unwrap_or_else(PoisonError::into_inner);
        belongs.extend(roots.map(|live| live.identity.clone()));
        loop {
            let more: Vec<&Found> = found
                .iter()
                .filter(|found| !belongs.contains(&found.uid))
                .filter(|found| found.owners.iter().any(|owner| belongs.contains(owner)))
                .collect();
            if more.is_empty() {
                break;
            }
            belongs.extend(more.into_iter().map(|found| found.uid.clone()));
        }
        // The plan shows an owner instead of its dependents. PVCs are always shown, because they hold data.
        let alive: BTreeSet<&Text> = found.iter().map(|found| &found.uid).collect();
        let goes_with_owner = |found: &Found| {
            let mut owners = found.owners.iter();
            &*found.kind != "PersistentVolumeClaim"
                && owners.any(|owner| belongs.contains(owner) || alive.contains(owner))
        };
        found
            .iter()
            .filter(|found| !has_step(found) && !goes_with_owner(found))
            .collect()
    }
}

impl Found {
    fn of(target: &str, served: &Served, object: &Value, manager: &str) -> Found {
        let (namespace, name) = place(object);
        let owners = object
            .at(&["metadata", "ownerReferences"])
            .and_then(Value::as_list);
        let uid = |owner: &Value| owner.get("uid").and_then(Value::as_str).map(Text::from);
        Found {
            id: id_of(target, served, object),
            uid: metadata(object, "uid").into(),
            kind: served.kind.clone(),
            group: served.group.clone(),
            namespace,
            name,
            owners: owners.unwrap_or_default().iter().filter_map(uid).collect(),
            by: stranger(object, manager),
        }
    }

    /// Returns the kind for messages: `Secret`, `Certificate.cert-manager.io`.
    fn kind_shown(&self) -> String {
        if self.group.contains('.') && !self.group.ends_with(".k8s.io") {
            format!("{}.{}", self.kind, self.group)
        } else {
            self.kind.to_string()
        }
    }
}

/// Returns whether an object is in a namespace, or of the kind that a CRD defines.
fn is_in(found: &Found, container: &Live, kinds: &Kinds) -> bool {
    if &*container.subject.kind == "Namespace" {
        return found.namespace == container.subject.name;
    }
    kinds
        .defined_by(&container.subject.name)
        .is_some_and(|served| served.kind == found.kind && served.group == found.group)
}

/// Returns whether the system creates the object in every namespace, or derives it from other objects.
fn is_systems_own(served: &Served, object: &Value) -> bool {
    if is_being_deleted(object) {
        return true;
    }
    let name = metadata(object, "name");
    let label = |key: &str| object.at(&["metadata", "labels", key]).and_then(Value::as_str);
    match (served.group.as_str(), served.kind.as_str()) {
        ("", "ServiceAccount") => matches!(name, "default" | "builder" | "deployer"),
        ("", "ConfigMap") => matches!(name, "kube-root-ca.crt" | "openshift-service-ca.crt"),
        // The tokens and pull secrets of a service account are deleted with it.
        ("", "Secret") => [
            "kubernetes.io/service-account.name",
            "openshift.io/internal-registry-auth-token.service-account",
        ]
        .iter()
        .any(|key| object.at(&["metadata", "annotations", key]).is_some()),
        ("", "Endpoints") => label("endpoints.kubernetes.io/managed-by")
            .is_some_and(|by| by.starts_with("endpoint-controller")),
        ("discovery.k8s.io", "EndpointSlice") => {
            label("endpointslice.kubernetes.io/managed-by").is_some_and(|by| by.ends_with("k8s.io"))
        }
        ("rbac.authorization.k8s.io" | "authorization.openshift.io", "RoleBinding") => {
            matches!(
                name,
                "system:deployers" | "system:image-builders" | "system:image-pullers"
            )
        }
        _ => false,
    }
}

/// Describes the contents of a container for a plan: each object, or a set if there are more than [`NAMED`] of one kind.
fn contents_shown<'f>(
    container: &Live,
    within: impl Iterator<Item = &'f Found>,
    going: &PlannedDeletions<'_>,
) -> Vec<Content> {
    let mut container = container.clone();
    let Some(address) = guarded(&mut container).first().cloned() else {
        return Vec::new();
    };
    let is_namespace = &*container.subject.kind == "Namespace";
    let mut by_kind: BTreeMap<String, Vec<&Found>> = BTreeMap::new();
    for found in within {
        by_kind.entry(found.kind_shown()).or_default().push(found);
    }
    let mut contents = Vec::new();
    for (kind, mut all) in by_kind {
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        if all.len() > NAMED {
            contents.push(set(&address, &kind, &all));
            continue;
        }
        for found in all {
            let name = match is_namespace || found.namespace.is_empty() {
                true => found.name.to_string(),
                false => format!("{}/{}", found.namespace, found.name),
            };
            let ours = going.live.get(&found.id).filter(|live| live.ownership.is_ours());
            contents.push(Content {
                address: Content::address_in(&address, &format!("{kind}/{name}")),
                shown: match ours {
                    Some(live) if live.ownership.is_adopted() => {
                        format!("{kind} {name} (retained by this plan)")
                    }
                    Some(_) => format!("{kind} {name} (of this environment, but not deleted by this plan)"),
                    None => format!("{kind} {name}"),
                },
                owner: found.by.clone().filter(|_| ours.is_none()),
                identities: BTreeSet::from([found.uid.clone()]),
            });
        }
    }
    contents
}

/// Describes many objects of one kind as a set. Its address identifies the exact set by a digest of the uids.
fn set(container: &Address, kind: &str, all: &[&Found]) -> Content {
    let identities: BTreeSet<Text> = all.iter().map(|found| found.uid.clone()).collect();
    let list: Vec<Value> = identities.iter().map(|uid| uid.clone().into()).collect();
    let digest = Digest::of_value(&Value::List(list));
    let names: Vec<&str> = all.iter().take(3).map(|found| found.name.as_str()).collect();
    let makers: BTreeSet<&Text> = all.iter().filter_map(|found| found.by.as_ref()).collect();
    let makers: Vec<&str> = makers.into_iter().map(Text::as_str).collect();
    Content {
        address: Content::address_in(
            container,
            &format!("{kind}: {} objects, {}", all.len(), &digest.as_str()[..8]),
        ),
        shown: format!(
            "{} objects of kind {kind} ({} and others)",
            all.len(),
            names.join(", ")
        ),
        owner: (!makers.is_empty()).then(|| makers.join("`, `").into()),
        identities,
    }
}

/// Builds the failure of a user who may not list the contents of a container.
fn unknown(lacks: &[(&Served, Option<Text>, String)], namespaces: &[Live], definitions: &[Live]) -> Failure {
    let missing: Vec<MissingPermission<'_>> = lacks
        .iter()
        .map(|(served, namespace, _)| MissingPermission::of(list_of(served, namespace.as_deref())))
        .collect();
    let server_message = lacks.first().map_or("", |(_, _, message)| message);
    let names: Vec<String> = namespaces
        .iter()
        .chain(definitions)
        .map(|live| live.subject.to_string())
        .collect();
    let mut failure = missing_permissions(&missing).server(server_message);
    failure.message = format!(
        "{} cannot be deleted: {}, so Terrace cannot list what would be deleted with it",
        names.join(", "),
        failure.message
    );
    failure
}
