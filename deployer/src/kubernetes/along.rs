//! What goes along with an object that is taken away and that nobody declared: the claims in a namespace, the objects of a
//! definition, the claims of pods that a StatefulSet has no more.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use terrace_artifact::{Address, ArtifactId, Object, Segment, Text, Value};

use super::Kubernetes;
use super::kinds::{Kinds, Served};
use super::observe::{id_of, list_of, place};
use super::requests::{METADATA, Refusal};
use super::words::{is_missing_right, list};
use crate::backend::{Live, Ownership, Wanted};
use crate::failure::Failure;
use crate::plan::{Change, Risk};

/// What would go along.
enum Along {
    Objects(Vec<String>),
    /// Nobody tells us.
    Hidden,
}

/// How many are told by their names.
const NAMED: usize = 3;

impl Kubernetes {
    /// Marks what is to be taken away and takes data along that nobody declared, or may do so.
    pub(super) async fn mark_what_goes_along(
        &self,
        kinds: &Kinds,
        wanted: Wanted<'_>,
        live: &mut BTreeMap<ArtifactId, Live>,
    ) -> Result<(), Failure> {
        for dropped in wanted.dropped() {
            if let (Some(live), Some(object)) = (live.get_mut(&dropped.id), dropped.object()) {
                remember(live, object);
            }
        }
        let goes =
            |live: &Live| live.ownership == Ownership::Ours && wanted.bundle.artifact(&live.id).is_none();
        let going: Vec<(ArtifactId, Text, Text)> = live
            .values()
            .filter(|live| goes(live))
            .map(|live| {
                (
                    live.id.clone(),
                    live.subject.kind.clone(),
                    live.subject.name.clone(),
                )
            })
            .collect();
        let mut notes = BTreeMap::new();
        for (id, kind, name) in going {
            let (served, namespace) = match kind.as_str() {
                "Namespace" => (kinds.get("v1", "PersistentVolumeClaim"), Some(&*name)),
                "CustomResourceDefinition" => (kinds.defined_by(&name), None),
                _ => continue,
            };
            let Some(served) = served else { continue };
            // What has a step of its own has its own guard.
            let declared = |object: &Value| {
                let id = id_of(wanted.target, served, object);
                live.get(&id).is_some_and(goes)
            };
            let along = self.along(served, namespace, declared).await?;
            let Some(note) = told(&along, served, namespace) else {
                continue;
            };
            if let Some(live) = live.get_mut(&id) {
                live.holds_data = guarded(live);
            }
            notes.insert(id, note);
        }
        *self.goes_along.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        Ok(())
    }

    /// What a reader is to know of an object that is taken away.
    pub(super) fn note_of(&self, id: &ArtifactId) -> Option<String> {
        let notes = self.goes_along.lock().unwrap_or_else(PoisonError::into_inner);
        notes.get(id).cloned()
    }

    /// Adds what goes along with an object that is replaced.
    pub(super) async fn loses_along(&self, change: &mut Change, object: &Object) -> Result<(), Failure> {
        if object.kind != "CustomResourceDefinition" {
            return Ok(());
        }
        let kinds = self.kinds().await?;
        let Some(served) = kinds.defined_by(&object.name) else {
            return Ok(());
        };
        let along = self.along(served, None, |_| false).await?;
        if let Some(note) = told(&along, served, None) {
            change.notes.push(note);
            change.risk = Risk::DataLoss;
            change.loses_data.insert(object.address.clone());
        }
        Ok(())
    }

    async fn along(
        &self,
        served: &Served,
        namespace: Option<&str>,
        declared: impl Fn(&Value) -> bool,
    ) -> Result<Along, Failure> {
        match self
            .requests
            .list(&served.list_path(namespace), "", METADATA)
            .await
        {
            Ok(objects) => {
                let undeclared = objects.iter().filter(|object| !declared(object));
                let shown = undeclared.map(place).map(|(within, name)| match namespace {
                    None if !within.is_empty() => format!("`{within}/{name}`"),
                    _ => format!("`{name}`"),
                });
                Ok(Along::Objects(shown.collect()))
            }
            Err(Refusal::Status(status)) if is_missing_right(&status) => Ok(Along::Hidden),
            Err(Refusal::Status(status)) if status.is_not_found() => Ok(Along::Objects(Vec::new())),
            Err(refusal) => Err(self.requests.failure(refusal, list_of(served, namespace))),
        }
    }
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

fn told(along: &Along, served: &Served, namespace: Option<&str>) -> Option<String> {
    let place = namespace.map_or_else(
        || "it defines".to_owned(),
        |namespace| format!("in namespace `{namespace}`"),
    );
    match along {
        Along::Objects(names) if names.is_empty() => None,
        Along::Objects(names) => {
            let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
            if names.len() > NAMED {
                shown.push(format!("{} more", names.len() - NAMED));
            }
            let verb = if names.len() == 1 { "is" } else { "are" };
            Some(format!(
                "{} of the {} {place} {verb} deleted with it: nobody declared them here",
                list(&shown),
                served.plural
            ))
        }
        Along::Hidden => Some(format!(
            "no right to `list` the {} {place}: what is deleted with it is not known",
            served.resource()
        )),
    }
}
