//! The kinds that a server serves, with their paths and verbs.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Text, Value};

use super::requests::{Refusal, Requests, encode};

/// A kind that a server serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Served {
    /// The API group, such as `apps`; empty for the core group.
    pub(crate) group: Text,
    /// The version, such as `v1`.
    pub(crate) version: Text,
    /// The kind, such as `Deployment`.
    pub(crate) kind: Text,
    /// The name of the resource, such as `deployments`.
    pub(crate) plural: Text,
    /// Whether its objects are in namespaces.
    pub(crate) namespaced: bool,
    /// The verbs that the server supports for the kind.
    pub(crate) verbs: Vec<Text>,
}

/// All kinds that a server serves, the preferred version of each group first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    served: Vec<Served>,
    by_kind: BTreeMap<(Text, Text), Vec<usize>>,
    /// The groups and versions of extension API servers that do not answer. They may have objects.
    stale: Vec<String>,
}

/// Kinds whose objects are created by controllers. Users do not apply them, and a list by label would scan many objects.
const MADE_BY_CONTROLLERS: &[(&str, &str)] = &[
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("", "Endpoints"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("", "Node"),
    ("", "ComponentStatus"),
    ("apps", "ControllerRevision"),
    ("apps", "ReplicaSet"),
    ("coordination.k8s.io", "Lease"),
    ("coordination.k8s.io", "LeaseCandidate"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("networking.k8s.io", "IPAddress"),
    ("resource.k8s.io", "ResourceSlice"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "VolumeAttachment"),
];

impl Kinds {
    /// Discovers the kinds in two requests.
    pub(crate) async fn discover(requests: &Requests) -> Result<Kinds, Refusal> {
        const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                              application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let (core, groups) =
            futures::try_join!(requests.get_as("/api", ACCEPT), requests.get_as("/apis", ACCEPT))?;
        let mut kinds = Kinds::default();
        for list in [&core, &groups] {
            if list.get("kind").and_then(Value::as_str) != Some("APIGroupDiscoveryList") {
                return Err(Refusal::Unreadable(
                    "the server does not support aggregated discovery, which requires Kubernetes 1.27 or newer".to_owned(),
                ));
            }
            for group in items(list, "items") {
                kinds.read_group(group);
            }
        }
        Ok(kinds)
    }

    fn read_group(&mut self, group: &Value) {
        let name = text(group.at(&["metadata", "name"]));
        for version in items(group, "versions") {
            // A stale version belongs to an extension API server that does not answer, so its kinds cannot be listed.
            if version.get("freshness").and_then(Value::as_str) == Some("Stale") {
                let resources = items(version, "resources");
                let stored = |resource: &Value| {
                    items(resource, "verbs")
                        .iter()
                        .any(|verb| verb.as_str() == Some("delete"))
                };
                if resources.is_empty() || resources.iter().any(stored) {
                    self.stale
                        .push(format!("{name}/{}", text(version.get("version"))));
                }
                continue;
            }
            for resource in items(version, "resources") {
                let kind = text(resource.at(&["responseKind", "kind"]));
                let entry = Served {
                    group: name.clone(),
                    version: text(version.get("version")),
                    kind: kind.clone(),
                    plural: text(resource.get("resource")),
                    namespaced: resource.get("scope").and_then(Value::as_str) == Some("Namespaced"),
                    verbs: items(resource, "verbs")
                        .iter()
                        .map(|verb| text(Some(verb)))
                        .collect(),
                };
                self.by_kind
                    .entry((name.clone(), kind))
                    .or_default()
                    .push(self.served.len());
                self.served.push(entry);
            }
        }
    }

    /// Returns the kind at exactly this version.
    pub(crate) fn get(&self, api_version: &str, kind: &str) -> Option<&Served> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.versions(group, kind)
            .find(|served| served.version == version)
    }

    /// Returns all versions of a kind, with the preferred one first.
    pub(crate) fn versions(&self, group: &str, kind: &str) -> impl Iterator<Item = &Served> {
        let at = self.by_kind.get(&(group.into(), kind.into()));
        at.into_iter().flatten().map(|at| &self.served[*at])
    }

    /// Returns the kind, the namespace and the name of the object with this id in a target.
    pub(crate) fn of_id<'a>(
        &self,
        target: &str,
        id: &'a ArtifactId,
    ) -> Option<(&Served, Option<&'a str>, &'a str)> {
        let (of, place) = id.as_str().split_once(':')?;
        let mut parts = place.splitn(4, '/');
        let (group, kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let group = if group == "core" { "" } else { group };
        let served = self.versions(group, kind).next().filter(|_| of == target)?;
        Some((served, Some(namespace).filter(|name| *name != "-"), name))
    }

    /// Returns the kind that the CRD of this name, `PLURAL.GROUP`, defines.
    pub(crate) fn defined_by(&self, definition: &str) -> Option<&Served> {
        let mut first = self.by_kind.values().map(|at| &self.served[at[0]]);
        first.find(|served| served.group.contains('.') && served.resource() == definition)
    }

    /// Returns the groups and versions whose objects cannot be listed at the moment.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &str> {
        self.stale.iter().map(String::as_str)
    }

    /// Returns one version of each namespaced kind whose objects are stored. Events are excluded, because their loss is harmless.
    pub(crate) fn contained(&self) -> impl Iterator<Item = &Served> {
        let first = self.by_kind.values().map(|at| &self.served[at[0]]);
        first.filter(|served| {
            let can = |verb: &str| served.verbs.iter().any(|v| v == verb);
            served.namespaced && can("list") && can("delete") && &*served.kind != "Event"
        })
    }

    /// Returns one version of each kind whose objects a user can apply, list and delete.
    pub(crate) fn applicable(&self) -> impl Iterator<Item = &Served> {
        let can = |served: &Served, verb: &str| served.verbs.iter().any(|v| v == verb);
        self.by_kind
            .values()
            .map(|at| &self.served[at[0]])
            .filter(move |served| can(served, "list") && can(served, "patch") && can(served, "delete"))
            .filter(|served| !MADE_BY_CONTROLLERS.contains(&(served.group.as_str(), served.kind.as_str())))
    }
}

impl Served {
    /// Returns the `apiVersion`: `apps/v1`, `v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Returns the path of all objects, or of those in a namespace.
    pub(crate) fn list_path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let api_version = self.api_version();
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("/{root}/{api_version}/namespaces/{namespace}/{}", self.plural)
            }
            _ => format!("/{root}/{api_version}/{}", self.plural),
        }
    }

    /// Returns the path of one object.
    pub(crate) fn path(&self, namespace: Option<&str>, name: &str) -> String {
        // Names of RBAC objects can contain colons.
        format!("{}/{}", self.list_path(namespace), encode(name))
    }

    /// Returns the qualified name of the resource: `deployments.apps`, `services`.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Returns the kind as ids of artifacts write it: `apps/Deployment`, `core/Service`.
    pub(crate) fn name(&self) -> String {
        let group = if self.group.is_empty() {
            "core"
        } else {
            &self.group
        };
        format!("{group}/{}", self.kind)
    }

    /// Returns whether both have the same group and kind, at any version.
    pub(crate) fn same_kind(&self, other: &Served) -> bool {
        self.group == other.group && self.kind == other.kind
    }
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_list).unwrap_or_default()
}

fn text(value: Option<&Value>) -> Text {
    value.and_then(Value::as_str).unwrap_or_default().into()
}
