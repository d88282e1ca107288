//! Live objects in the form that the engine uses: their ownership, and the facts that a plan depends on.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, Artifact, ArtifactId, Digest, Object, Segment, Text, Value};
use terrace_deployer_model::diff::objects::{ObjectShapes, is_secret};
use terrace_deployer_model::diff::{ItemIdentity, Shapes as _, identities};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::live::{ADDRESS, ADOPTED, Basis, LABEL, Live};
use terrace_deployer_model::loss::object_holds_data;
use terrace_deployer_model::ownership::{ApparentOwner, Mark, Ownership};
use terrace_deployer_model::subject::Subject;

use super::kinds::Served;
use super::ownership::{applied_by, manager, proven_by, surely_unchanged};
use super::recorded_facts::guarded;

/// The environment that owns objects: the value of its label, and its field manager.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    /// The value of the label, such as `acme.production`.
    pub(crate) label: Text,
    /// The field manager, such as `terrace/acme/production`.
    pub(crate) manager: String,
}

/// The maximum length of a value in a basis, in bytes. Longer values are replaced with their digests to keep plans readable.
const LONG: usize = 120;

impl Whose {
    /// Determines the owner of an object. The proof of Terrace's writes is an Apply entry of the environment's manager. The label
    /// alone proves nothing, because controllers and users copy labels.
    pub(crate) fn ownership(&self, id: &ArtifactId, object: &Value, identities: &Identities) -> Ownership {
        let uid = metadata(object, "uid");
        let proof = identities.proof(id, uid, proven_by(object, &self.manager));
        let adopted = annotation(object, ADOPTED) == Some("true") || identities.is_adopted(id, uid);
        Ownership::of(
            self.mark(object),
            proof,
            adopted,
            apparent_owner(object, &self.manager),
        )
    }

    /// Reads the label of an object. The label of another environment counts only if that environment has applied the object.
    pub(crate) fn mark(&self, object: &Value) -> Mark {
        let Some(label) = object.at(&["metadata", "labels", LABEL]).and_then(Value::as_str) else {
            return Mark::Absent;
        };
        if label == self.label {
            return Mark::Ours;
        }
        match label.split_once('.') {
            Some((platform, environment)) if applied_by(object, &manager(platform, environment)) => {
                Mark::Other(manager(platform, environment).into())
            }
            _ => Mark::Absent,
        }
    }

    /// Converts an object to the form that the engine uses. `wanted` is the artifact of the bundle with the same id.
    pub(crate) fn live(
        &self,
        target: &str,
        served: &Served,
        object: Value,
        wanted: Option<&Artifact>,
        identities: &Identities,
    ) -> Live {
        let wanted_object = wanted.and_then(Artifact::object);
        let text = |key: &str| -> Option<Text> { Some(object.at(&["metadata", key])?.as_str()?.into()) };
        let (namespace, name) = (text("namespace"), text("name").unwrap_or_default());
        let recorded = annotation(&object, ADDRESS).and_then(|text| text.parse::<Address>().ok());
        let address = recorded.or_else(|| wanted_object.map(|object| object.address.clone()));
        let addresses: Vec<Address> = address.into_iter().collect();
        let id = wanted.map_or_else(
            || {
                ArtifactId::object(
                    target,
                    &served.api_version(),
                    &served.kind,
                    namespace.as_deref(),
                    &name,
                )
            },
            |artifact| artifact.id.clone(),
        );
        let ownership = self.ownership(&id, &object, identities);
        let mut live = Live {
            notes: self.notes(&ownership, &object),
            ownership,
            identity: metadata(&object, "uid").into(),
            id,
            basis: basis(&object, wanted_object),
            holds_data: Vec::new(),
            addresses,
            needs: needs(target, served, namespace.as_deref()),
            subject: Subject {
                kind: served.kind.clone(),
                namespace,
                name,
            },
            value: object,
        };
        if object_holds_data(&live.value, None) {
            live.holds_data = match live.ownership.is_ours() {
                true => guarded(&mut live),
                false => live.addresses.clone(),
            };
        }
        live
    }

    /// Returns the notes about an object of this environment that has lost its label.
    fn notes(&self, ownership: &Ownership, object: &Value) -> Vec<String> {
        if !ownership.lost_mark() {
            return Vec::new();
        }
        let proof = if applied_by(object, &self.manager) {
            format!("the entry of `{}` in its managedFields", self.manager)
        } else {
            "its recorded uid".to_owned()
        };
        vec![format!(
            "its label `{LABEL}` was removed; {proof} proves that it belongs to this environment"
        )]
    }

    /// Returns whether applying this manifest certainly changes nothing. `false` means that a dry run must decide.
    pub(crate) fn is_unchanged(&self, manifest: &Value, object: &Value) -> bool {
        let label = object.at(&["metadata", "labels", LABEL]).and_then(Value::as_str);
        label == Some(&self.label) && surely_unchanged(manifest, object, &self.manager)
    }
}

/// Returns an annotation of an object.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object
        .at(&["metadata", "annotations", key])
        .and_then(Value::as_str)
}

/// Returns whether an object is being deleted.
pub(crate) fn is_being_deleted(object: &Value) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

/// Returns a string in the metadata of an object, or an empty string if it does not exist.
pub(crate) fn metadata<'a>(object: &'a Value, key: &str) -> &'a str {
    object
        .at(&["metadata", key])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Returns the namespace of an object and the CRD of its kind. Their deletion deletes the object.
fn needs(target: &str, served: &Served, namespace: Option<&str>) -> BTreeSet<ArtifactId> {
    let mut needs = BTreeSet::new();
    if let Some(namespace) = namespace {
        needs.insert(ArtifactId::object(target, "v1", "Namespace", None, namespace));
    }
    if served.group.contains('.') {
        let definition = format!("{}.{}", served.plural, served.group);
        let api_version = "apiextensions.k8s.io/v1";
        needs.insert(ArtifactId::object(
            target,
            api_version,
            "CustomResourceDefinition",
            None,
            &definition,
        ));
    }
    needs
}

/// Returns another manager of an object as its apparent owner.
pub(crate) fn apparent_owner(object: &Value, manager: &str) -> Option<ApparentOwner> {
    stranger(object, manager).map(ApparentOwner::Manager)
}

/// Returns another manager of an object, as its label `app.kubernetes.io/managed-by` or its managedFields name it.
pub(crate) fn stranger(object: &Value, manager: &str) -> Option<Text> {
    let label = object
        .at(&["metadata", "labels", "app.kubernetes.io/managed-by"])
        .and_then(Value::as_str)
        // A copy of one of Terrace's objects also has this label.
        .filter(|name| *name != "terrace");
    let entries = object
        .at(&["metadata", "managedFields"])
        .and_then(Value::as_list)
        .unwrap_or_default();
    let others = entries
        .iter()
        .filter(|entry| entry.get("subresource").is_none())
        .filter_map(|entry| entry.get("manager").and_then(Value::as_str))
        .filter(|name| *name != manager);
    // The system writes to many objects that it did not create.
    let (system, people): (Vec<&str>, Vec<&str>) = others.partition(|name| name.starts_with("kube-"));
    let other = people.first().or(system.first()).copied();
    label.or(other).map(Text::from)
}

/// Returns the facts about an object that a plan depends on: its uid, whether it is being deleted, and the live values at the
/// paths that Terrace sets. Writes of controllers to other paths do not make a plan stale.
fn basis(object: &Value, wanted: Option<&Object>) -> Basis {
    let mut facts = BTreeMap::new();
    facts.insert("uid".into(), metadata(object, "uid").into());
    if is_being_deleted(object) {
        facts.insert("being deleted".into(), true.into());
    }
    if let Some(wanted) = wanted {
        let mut walk = Walk {
            secret: is_secret(&wanted.manifest),
            uid: metadata(object, "uid"),
            shapes: ObjectShapes::of(&wanted.manifest),
            path: Vec::new(),
            facts: &mut facts,
        };
        for key in wanted.manifest.as_map().into_iter().flatten().map(|(key, _)| key) {
            if let (Some(wanted), Some(live)) = (wanted.manifest.get(key), object.get(key))
                && !matches!(key.as_str(), "apiVersion" | "kind")
            {
                walk.below(Segment::Key(key.clone()), key, wanted, live);
            }
        }
    }
    Basis(facts)
}

/// A traversal of the manifest and the live object that collects the facts of a basis.
struct Walk<'a> {
    secret: bool,
    uid: &'a str,
    shapes: ObjectShapes,
    /// The path in the manifest.
    path: Vec<Segment>,
    facts: &'a mut BTreeMap<Text, Value>,
}

impl Walk<'_> {
    /// Collects the facts below a key or an item. `name` is the path in the form of a basis, which names items by their merge keys.
    fn below(&mut self, segment: Segment, name: &str, wanted: &Value, live: &Value) {
        self.path.push(segment);
        self.value(name, wanted, live);
        self.path.pop();
    }

    fn value(&mut self, name: &str, wanted: &Value, live: &Value) {
        match (wanted, live) {
            (Value::Map(wanted), Value::Map(live)) if !wanted.is_empty() => {
                for (key, value) in wanted {
                    if let Some(live) = live.get(key) {
                        let name = if key.contains(['.', '/']) {
                            format!("{name}[\"{key}\"]")
                        } else {
                            format!("{name}.{key}")
                        };
                        self.below(Segment::Key(key.clone()), &name, value, live);
                    }
                }
            }
            (Value::List(wanted), Value::List(live)) => self.list(name, wanted, live),
            (_, live) => self.leaf(name, live),
        }
    }

    fn list(&mut self, name: &str, wanted: &[Value], live: &[Value]) {
        let keys = self.shapes.list(&self.path).keys().unwrap_or_default();
        let ids = identities(wanted, &keys).zip(identities(live, &keys));
        let Some((ids, others)) = ids.filter(|_| !wanted.is_empty()) else {
            return self.leaf(name, &Value::List(live.to_vec()));
        };
        for (at, (item, id)) in wanted.iter().zip(&ids).enumerate() {
            if let Some(twin) = others.iter().position(|other| other == id) {
                let name = format!("{name}[{}]", show_identity(id));
                self.below(Segment::Index(at), &name, item, &live[twin]);
            }
        }
    }

    fn leaf(&mut self, path: &str, live: &Value) {
        let hidden = self.secret && holds_secret(path);
        let value = match live {
            // The digest includes the uid, so that equal secrets of two objects have different digests.
            _ if hidden => Digest::of_value(&Value::List(vec![self.uid.into(), live.clone()]))
                .as_str()
                .into(),
            Value::String(text) if text.len() > LONG => Digest::of_value(live).as_str().into(),
            Value::List(_) | Value::Map(_) if live.to_string().len() > LONG => {
                Digest::of_value(live).as_str().into()
            }
            live => live.clone(),
        };
        self.facts.insert(path.into(), value);
    }
}

/// Shows the merge keys of an item: `web`, `8080/TCP`.
fn show_identity(id: &ItemIdentity) -> String {
    let values = id.iter().map(|value| match value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    });
    values.collect::<Vec<_>>().join("/")
}

/// Returns whether a path of a Secret, in the form of a basis, may lead to its values.
fn holds_secret(path: &str) -> bool {
    let below = |top: &str| {
        path.strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below("data") || below("stringData") || path.contains("last-applied-configuration")
}
