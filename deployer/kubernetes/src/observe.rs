//! Reads the live objects for a plan: lists by the environment's label, and single objects that the lists do not contain.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{FuturesUnordered, TryStreamExt};
use terrace_artifact::{Artifact, ArtifactId, Text, Value};
use terrace_deployer_model::backend::Wanted;
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::live::{LABEL, Live};

use super::api_errors::{About, is_missing_permission};
use super::kinds::{Kinds, Served};
use super::live::is_being_deleted;
use super::missing_permissions::{APPLY_VERBS, DELETE_VERBS, MissingPermission, missing_permissions};
use super::recorded_facts::remember_released;
use super::requests::{METADATA, Refusal, WHOLE, encode};
use super::{Kubernetes, PlannedNamespacesAndKinds};

/// The number of missing objects of one kind from which Terrace lists the names of all objects of the kind first.
const MANY: usize = 60;

/// The desired and dropped artifacts of one kind.
struct OfKind<'a> {
    served: &'a Served,
    artifacts: Vec<&'a Artifact>,
}

/// The result of a request for one object that exists.
enum Got<'a> {
    Object(ArtifactId, Value),
    Denied(MissingPermission<'a>, String),
}

impl Kubernetes {
    /// Returns the live objects of the desired artifacts, and all other objects with the environment's label.
    pub(super) async fn observe_all(&self, wanted: Wanted<'_>) -> Result<Vec<Live>, Failure> {
        let kinds = self.kinds().await?;
        let by_id: BTreeMap<&ArtifactId, &Artifact> = wanted
            .artifacts()
            .map(|artifact| (&artifact.id, artifact))
            .collect();
        let groups = of_kinds(&kinds, wanted.artifacts().chain(wanted.dropped()));
        let may_be_there =
            |served: &&Served| wanted.kinds.is_none_or(|kinds| kinds.contains(&*served.name()));
        let others = kinds
            .applicable()
            .filter(may_be_there)
            .filter(|served| !groups.iter().any(|group| group.served.same_kind(served)));
        let whole = groups
            .iter()
            .map(|group| self.list_ours(group.served, WHOLE, namespaces(group)));
        // For kinds that the bundle does not contain, the metadata is enough.
        let rest = others.map(|served| self.list_ours(served, METADATA, BTreeSet::new()));
        let found: Vec<Vec<(&Served, Value)>> = whole
            .map(futures::future::Either::Left)
            .chain(rest.map(futures::future::Either::Right))
            .collect::<FuturesUnordered<_>>()
            .try_collect()
            .await?;
        // Kubernetes also deletes the objects of a namespace that is being deleted, even if they have no deletion timestamp yet.
        let leaving: BTreeSet<Text> = found
            .iter()
            .flatten()
            .filter(|(served, object)| served.resource() == "namespaces" && is_being_deleted(object))
            .map(|(_, object)| place(object).1)
            .collect();
        let is_leaving = |object: &Value| is_being_deleted(object) || leaving.contains(&place(object).0);
        let mut live = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (served, object) in found.into_iter().flatten() {
            let id = id_of(wanted.target, served, &object);
            let artifact = by_id.get(&id).copied();
            seen.insert(id.clone());
            // A desired object that is being deleted counts as missing. Any other object counts until its deletion is complete.
            if artifact.is_none() || !is_leaving(&object) {
                let found = self
                    .whose
                    .live(wanted.target, served, object, artifact, wanted.identities);
                live.insert(id, found);
            }
        }
        let missing: Vec<OfKind<'_>> = groups
            .into_iter()
            .map(|mut group| {
                group.artifacts.retain(|artifact| !seen.contains(&artifact.id));
                group
            })
            .filter(|group| !group.artifacts.is_empty())
            .collect();
        let ours: BTreeSet<&Text> = live
            .values()
            .filter(|live| live.subject.kind == "Namespace")
            .map(|live| &live.subject.name)
            .collect();
        let mut places = missing.iter().flat_map(|group| &group.artifacts);
        let namespaces =
            if places.all(|artifact| namespace_of(artifact).is_none_or(|name| ours.contains(name))) {
                None
            } else {
                self.names_of_namespaces(&kinds).await?
            };
        self.expect(PlannedNamespacesAndKinds {
            existing: namespaces.clone(),
            ..PlannedNamespacesAndKinds::of(wanted.bundle, wanted.target)
        });
        let unlabeled = missing
            .iter()
            .map(|group| self.get_missing(group, &by_id, namespaces.as_ref()));
        let unlabeled: Vec<Vec<Got<'_>>> = unlabeled.collect::<FuturesUnordered<_>>().try_collect().await?;
        let (mut lacks, mut server_message) = (Vec::new(), None);
        let mut found = Vec::new();
        for result in unlabeled.into_iter().flatten() {
            match result {
                Got::Object(id, object) => found.push((id, object)),
                Got::Denied(lack, message) => {
                    // The messages of the server differ only in the object.
                    server_message.get_or_insert(message);
                    lacks.push(lack);
                }
            }
        }
        if !lacks.is_empty() {
            return Err(missing_permissions(&lacks).server(server_message.unwrap_or_default()));
        }
        for (id, object) in found {
            let artifact = by_id.get(&id).copied();
            let served = missing
                .iter()
                .find(|group| group.artifacts.iter().any(|a| a.id == id));
            if let Some(group) = served
                && !is_being_deleted(&object)
            {
                let found = self
                    .whose
                    .live(wanted.target, group.served, object, artifact, wanted.identities);
                live.insert(id, found);
            }
        }
        seen.extend(live.keys().cloned());
        for found in self.unlabeled(&kinds, wanted, &seen, &by_id).await? {
            live.insert(found.id.clone(), found);
        }
        remember_released(wanted, &mut live);
        Ok(live.into_values().collect())
    }

    /// Returns the recorded objects that have lost their label and are in no bundle. An earlier release dropped them.
    async fn unlabeled(
        &self,
        kinds: &Kinds,
        wanted: Wanted<'_>,
        seen: &BTreeSet<ArtifactId>,
        by_id: &BTreeMap<&ArtifactId, &Artifact>,
    ) -> Result<Vec<Live>, Failure> {
        let dropped: BTreeSet<&ArtifactId> = wanted.dropped().map(|artifact| &artifact.id).collect();
        let is_known = |id: &ArtifactId| seen.contains(id) || by_id.contains_key(id) || dropped.contains(id);
        let recorded = wanted
            .identities
            .iter()
            .map(|(id, _)| id)
            .filter(|id| !is_known(id));
        let gets = recorded.filter_map(|id| kinds.of_id(wanted.target, id)).map(
            |(served, namespace, name)| async move {
                let about = About {
                    verb: "get",
                    served,
                    namespace,
                    name: Some(name),
                };
                let found = self.requests.get(&served.path(namespace, name)).await;
                match found {
                    Ok(found) => Ok(found.map(|object| {
                        self.whose
                            .live(wanted.target, served, object, None, wanted.identities)
                    })),
                    // A user who may not read the object most likely may not delete it either. The delete reports that.
                    Err(Refusal::Status(status)) if is_missing_permission(&status) => Ok(None),
                    Err(refusal) => Err(self.requests.failure(refusal, about)),
                }
            },
        );
        let found: Vec<Option<Live>> = gets.collect::<FuturesUnordered<_>>().try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Lists the objects of a kind with the environment's label. If the user may not list the whole cluster, it lists the
    /// namespaces. If the user may not list at all, it returns nothing, and the caller reads the desired objects one by one.
    async fn list_ours<'a>(
        &self,
        served: &'a Served,
        accept: &'static str,
        namespaces: BTreeSet<Text>,
    ) -> Result<Vec<(&'a Served, Value)>, Failure> {
        let query = format!(
            "&labelSelector={}",
            encode(&format!("{LABEL}={}", self.whose.label))
        );
        let mut objects = match self.requests.list(&served.list_path(None), &query, accept).await {
            Ok(objects) => objects,
            Err(Refusal::Status(status)) if is_missing_permission(&status) => {
                let mut objects = Vec::new();
                for namespace in namespaces {
                    let path = served.list_path(Some(&namespace));
                    match self.requests.list(&path, &query, accept).await {
                        Ok(more) => objects.extend(more),
                        Err(Refusal::Status(status)) if is_missing_permission(&status) => {}
                        Err(refusal) => {
                            return Err(self.requests.failure(refusal, list_of(served, Some(&namespace))));
                        }
                    }
                }
                objects
            }
            // A kind that is served but not found belongs to a CRD that is being deleted.
            Err(Refusal::Status(status)) if status.code == 404 => Vec::new(),
            Err(refusal) => return Err(self.requests.failure(refusal, list_of(served, None))),
        };
        for object in &mut objects {
            name_kind(object, served);
        }
        Ok(objects.into_iter().map(|object| (served, object)).collect())
    }

    /// Reads objects that the lists by label do not contain: their label was removed, or the environment does not own them. A
    /// missing permission does not stop it, so that one failure can report all of them.
    async fn get_missing<'a>(
        &self,
        group: &OfKind<'a>,
        wanted: &BTreeMap<&ArtifactId, &Artifact>,
        namespaces: Option<&BTreeSet<Text>>,
    ) -> Result<Vec<Got<'a>>, Failure> {
        let served = group.served;
        let may_exist = |artifact: &&&'a Artifact| match (namespaces, namespace_of(artifact)) {
            (Some(existing), Some(namespace)) => existing.contains(namespace),
            _ => true,
        };
        let mut asked: Vec<&'a Artifact> = group.artifacts.iter().filter(may_exist).copied().collect();
        if asked.len() > MANY
            && let Ok(all) = self.requests.list(&served.list_path(None), "", METADATA).await
        {
            let all: BTreeSet<(Text, Text)> = all.iter().map(place).collect();
            asked.retain(|artifact| all.contains(&place_of(artifact)));
        }
        let gets = asked.into_iter().map(|artifact| async move {
            let Some(object) = artifact.object() else {
                return Ok(None);
            };
            let about = About {
                verb: "get",
                served,
                namespace: object.namespace.as_deref(),
                name: Some(&object.name),
            };
            let is_wanted = wanted.contains_key(&artifact.id);
            match self
                .requests
                .get(&served.path(about.namespace, &object.name))
                .await
            {
                Ok(found) => Ok(found.map(|found| Got::Object(artifact.id.clone(), found))),
                Err(Refusal::Status(status)) if is_missing_permission(&status) => {
                    let lack = MissingPermission {
                        about,
                        address: Some(&object.address),
                        // A dropped object is not declared any more.
                        origin: is_wanted.then_some(&object.origin),
                        needs: if is_wanted { APPLY_VERBS } else { DELETE_VERBS },
                    };
                    Ok(Some(Got::Denied(lack, status.message.clone())))
                }
                Err(refusal) => {
                    let failure = self.requests.failure(refusal, about);
                    Err(failure.about(Some(&object.address), Some(&object.origin)))
                }
            }
        });
        let found: Vec<_> = gets.collect::<FuturesUnordered<_>>().try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Lists the namespaces that are not being deleted. Returns nothing if the user may not list them.
    async fn names_of_namespaces(&self, kinds: &Kinds) -> Result<Option<BTreeSet<Text>>, Failure> {
        let Some(served) = kinds.get("v1", "Namespace") else {
            return Ok(None);
        };
        match self.requests.list(&served.list_path(None), "", METADATA).await {
            Ok(all) => Ok(Some(
                all.iter()
                    .filter(|object| !is_being_deleted(object))
                    .map(|object| place(object).1)
                    .collect(),
            )),
            Err(Refusal::Status(status)) if is_missing_permission(&status) => Ok(None),
            Err(refusal) => Err(self.requests.failure(refusal, list_of(served, None))),
        }
    }
}

/// Groups artifacts by the kind that the server serves. Objects of other kinds cannot exist.
fn of_kinds<'a>(kinds: &'a Kinds, artifacts: impl Iterator<Item = &'a Artifact>) -> Vec<OfKind<'a>> {
    let mut groups: BTreeMap<(&str, &str), OfKind<'a>> = BTreeMap::new();
    for artifact in artifacts {
        let Some(object) = artifact.object() else { continue };
        let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
        let served = kinds
            .get(&object.api_version, &object.kind)
            .or_else(|| kinds.versions(group, &object.kind).next());
        if let Some(served) = served {
            let entry = groups.entry((group, &object.kind));
            entry
                .or_insert_with(|| OfKind {
                    served,
                    artifacts: Vec::new(),
                })
                .artifacts
                .push(artifact);
        }
    }
    groups.into_values().collect()
}

fn namespaces(group: &OfKind<'_>) -> BTreeSet<Text> {
    group
        .artifacts
        .iter()
        .filter_map(|artifact| namespace_of(artifact).cloned())
        .collect()
}

fn namespace_of(artifact: &Artifact) -> Option<&Text> {
    artifact.object()?.namespace.as_ref()
}

fn place_of(artifact: &Artifact) -> (Text, Text) {
    let namespace = namespace_of(artifact).cloned().unwrap_or_default();
    (
        namespace,
        artifact
            .object()
            .map(|object| object.name.clone())
            .unwrap_or_default(),
    )
}

/// Returns the namespace and the name of an object.
pub(super) fn place(object: &Value) -> (Text, Text) {
    let text = |key| {
        object
            .at(&["metadata", key])
            .and_then(Value::as_str)
            .unwrap_or_default()
            .into()
    };
    (text("namespace"), text("name"))
}

/// Returns the artifact id of an object.
pub(super) fn id_of(target: &str, served: &Served, object: &Value) -> ArtifactId {
    let (namespace, name) = place(object);
    let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
    ArtifactId::object(target, &served.api_version(), &served.kind, namespace, &name)
}

/// Adds `apiVersion` and `kind` to an object. The items of a list do not contain them.
fn name_kind(object: &mut Value, served: &Served) {
    if let Some(map) = object.as_map_mut() {
        map.insert("apiVersion", served.api_version());
        map.insert("kind", served.kind.clone());
    }
}

/// Describes a list request, for failures.
pub(super) fn list_of<'a>(served: &'a Served, namespace: Option<&'a str>) -> About<'a> {
    About {
        verb: "list",
        served,
        namespace,
        name: None,
    }
}
