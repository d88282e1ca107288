//! What a namespace or a definition contains that a plan does not delete by itself: nothing of it goes unsaid.
//!
//! A namespace takes everything with it, whatever its kind and whoever made it. So every kind that the server has is listed,
//! by metadata alone, and only when a namespace or a definition is really going. What the system puts into every namespace
//! does not count, nor what belongs to our objects by its ownerReferences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use terrace_artifact::{Address, ArtifactId, Digest, Text, Value};
use tokio::time::Instant;

use super::Kubernetes;
use super::along::guarded;
use super::denied::{Lack, denied};
use super::kinds::{Kinds, Served};
use super::live::{is_being_deleted, metadata, stranger};
use super::observe::{id_of, list_of, place};
use super::requests::{METADATA, Refusal};
use super::words::is_missing_right;
use crate::backend::{Going, Live};
use crate::failure::{Failure, FailureKind};
use crate::plan::Content;

/// So many objects of one kind in one container are named one by one; more are told, and approved, as a set.
const NAMED: usize = 10;
/// From so many namespaces on, every kind is listed once for the whole cluster.
const MANY: usize = 6;
/// How old such lists may be.
const FRESH: Duration = Duration::from_secs(2);
/// How long garbage collection may take to follow the deletion of what owned something.
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
    /// The uids of what owns it.
    owners: Vec<Text>,
    /// Who made it.
    by: Option<Text>,
}

/// What was found in all containers at one moment.
#[derive(Debug)]
pub(super) struct Looked {
    at: Instant,
    found: Vec<Found>,
}

impl Kubernetes {
    /// What goes along with the namespaces and definitions among what is deleted.
    pub(super) async fn contents_of(
        &self,
        going: &Going<'_>,
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
            // What was owned by something that is gone by now follows it in a moment. Only a look right before a delete
            // meets that.
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
                let told = told(container, within.copied(), going);
                if !told.is_empty() {
                    contents.insert(container.id.clone(), told);
                }
            }
            return Ok(contents);
        }
    }

    /// Lists what is in these containers.
    async fn look_into(
        &self,
        kinds: &Kinds,
        going: &Going<'_>,
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
                "the server does not know now what `{stale}` has in {}, so that cannot be deleted",
                namespaces[0].subject
            );
            return Err(Failure::new(FailureKind::Unreachable, message).hint(
                "the extension server of this API group does not answer: see `kubectl get apiservices`",
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
                Err(Refusal::Status(status)) if is_missing_right(&status) => {
                    Ok(Err((served, namespace, status.message.clone())))
                }
                // The kind is going, with all of its objects.
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
        // An object of a definition that goes may be in a namespace that goes, too.
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

    /// What of all that was found has no step of its own and does not belong to what is ours.
    fn strangers<'f>(&self, going: &Going<'_>, found: &'f [Found]) -> Vec<&'f Found> {
        let has_step = |found: &Found| {
            let live = going.live.get(&found.id);
            going.deleted.contains(&found.id) && live.is_some_and(|live| live.identity == found.uid)
        };
        let roots = going.live.values().filter(|live| {
            going.deleted.contains(&live.id) || live.ownership.is_ours() && !live.ownership.is_adopted()
        });
        // What was seen to belong to ours still does when its owner is gone before it.
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
        // What is owned by something else in the container is told with its owner. Claims count, whoever owns them: they hold
        // data.
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

    /// `Secret`, `Certificate.cert-manager.io`.
    fn kind_shown(&self) -> String {
        if self.group.contains('.') && !self.group.ends_with(".k8s.io") {
            format!("{}.{}", self.kind, self.group)
        } else {
            self.kind.to_string()
        }
    }
}

/// Whether something is in a namespace, or of the kind that a definition defines.
fn is_in(found: &Found, container: &Live, kinds: &Kinds) -> bool {
    if &*container.subject.kind == "Namespace" {
        return found.namespace == container.subject.name;
    }
    kinds
        .defined_by(&container.subject.name)
        .is_some_and(|served| served.kind == found.kind && served.group == found.group)
}

/// What the system itself puts into every namespace, or makes of what is there.
fn is_systems_own(served: &Served, object: &Value) -> bool {
    if is_being_deleted(object) {
        return true;
    }
    let name = metadata(object, "name");
    let label = |key: &str| object.at(&["metadata", "labels", key]).and_then(Value::as_str);
    match (served.group.as_str(), served.kind.as_str()) {
        ("", "ServiceAccount") => matches!(name, "default" | "builder" | "deployer"),
        ("", "ConfigMap") => matches!(name, "kube-root-ca.crt" | "openshift-service-ca.crt"),
        // The tokens and pull secrets of a service account go with it.
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

/// What is in a container, as a plan names it: each object, or all of one kind where there are very many.
fn told<'f>(container: &Live, within: impl Iterator<Item = &'f Found>, going: &Going<'_>) -> Vec<Content> {
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
                        format!("{kind} {name} (released by this plan)")
                    }
                    Some(_) => format!("{kind} {name} (of this environment, and not deleted by this plan)"),
                    None => format!("{kind} {name}"),
                },
                owner: found.by.clone().filter(|_| ours.is_none()),
                identities: BTreeSet::from([found.uid.clone()]),
            });
        }
    }
    contents
}

/// Very many objects of one kind: the address says exactly which, by a digest.
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

/// The failure of who may not see what a container contains.
fn unknown(lacks: &[(&Served, Option<Text>, String)], namespaces: &[Live], definitions: &[Live]) -> Failure {
    let missing: Vec<Lack<'_>> = lacks
        .iter()
        .map(|(served, namespace, _)| Lack::of(list_of(served, namespace.as_deref())))
        .collect();
    let said = lacks.first().map_or("", |(_, _, said)| said);
    let names: Vec<String> = namespaces
        .iter()
        .chain(definitions)
        .map(|live| live.subject.to_string())
        .collect();
    let mut failure = denied(&missing).server(said);
    failure.message = format!(
        "{} cannot be deleted: {}, so nobody knows what would be deleted with it",
        names.join(", "),
        failure.message
    );
    failure
}
