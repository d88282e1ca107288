use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Address, Digest, Map, Text, Value};

/// The compiled result for one environment: everything that has to exist, and where.
///
/// The same sources and request give the same bundle, byte for byte.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The platform's name.
    pub platform: Text,
    /// The environment it is for.
    pub environment: Environment,
    /// Where artifacts go, by the names that [`Artifact::target`] uses.
    pub targets: BTreeMap<Text, Target>,
    /// What has to exist, in order of [`Artifact::id`].
    pub artifacts: Vec<Artifact>,
    /// Files that templates name by digest (Lambda code, Glue scripts).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<Digest, Asset>,
    /// Inputs given on the command line, `COMPONENT.INPUT=VALUE`, as the plan shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Text>,
}

/// The environment of a bundle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: Text,
    /// What kind of environment it is.
    pub class: Class,
    /// The lines that name its clusters and accounts, or its folder, by the names in [`Bundle::targets`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<Text, Location>,
}

/// What kind of environment one is; production has the strictest checks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// For developing.
    Development,
    /// For testing.
    Testing,
    /// The last stop before production.
    Staging,
    /// The real thing.
    Production,
    /// Takes over when production is lost.
    DisasterRecovery,
}

impl Class {
    /// Every class, in order of promotion.
    pub const ALL: [Class; 5] = [
        Class::Development,
        Class::Testing,
        Class::Staging,
        Class::Production,
        Class::DisasterRecovery,
    ];

    /// The word a user writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Development => "development",
            Class::Testing => "testing",
            Class::Staging => "staging",
            Class::Production => "production",
            Class::DisasterRecovery => "disaster_recovery",
        }
    }

    /// Whether the strictest checks and guards apply: production, and what stands in for it.
    pub fn is_production(self) -> bool {
        matches!(self, Class::Production | Class::DisasterRecovery)
    }
}

/// A system that artifacts are delivered to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// A folder: the rendered manifests, for Argo CD and Flux or to read.
    Directory {
        /// Relative to the stack's folder.
        path: Text,
    },
    /// A cluster.
    Kubernetes {
        /// The context of the kubeconfig.
        context: Text,
        /// `kubernetes`, `eks` or `openshift`.
        distribution: Text,
        /// The uid of the `kube-system` namespace, where the environment states it: any other cluster is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Text>,
    },
    /// An account and a region.
    Aws {
        /// 12 digits; any other account is refused.
        account: Text,
        /// Such as `eu-west-1`.
        region: Text,
        /// The profile of the shared AWS configuration that its credentials come from, where it is stated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<Text>,
    },
}

/// What one call to one backend delivers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Artifact {
    /// Its identity in the target, for good: a change of it is a delete and a create.
    pub id: ArtifactId,
    /// A key of [`Bundle::targets`].
    pub target: Text,
    /// Artifacts that must have settled before this one is written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<ArtifactId>,
    /// What it consists of.
    pub body: Body,
}

/// Names an artifact within its bundle and, since it is made of the target's own names, between bundles:
/// `kubernetes:apps/Deployment/data-tenant-finance/web`, `aws:acme-production-finance-lake`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactId(Text);

impl ArtifactId {
    /// The id of a Kubernetes object. `api_version` counts by its group alone: a new version is the same object.
    pub fn object(
        target: &str,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> ArtifactId {
        let group = api_version.split_once('/').map_or("core", |(group, _)| group);
        let namespace = namespace.unwrap_or("-");
        ArtifactId(format!("{target}:{group}/{kind}/{namespace}/{name}").into())
    }

    /// The id of a CloudFormation stack.
    pub fn stack(target: &str, name: &str) -> ArtifactId {
        ArtifactId(format!("{target}:{name}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an artifact consists of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")] // an object has a `kind` of its own
pub enum Body {
    /// A Kubernetes object.
    Object(Object),
    /// A CloudFormation stack.
    Stack(Stack),
}

/// A Kubernetes object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Object {
    /// The resource it is.
    pub address: Address,
    /// Where it was declared.
    pub origin: Origin,
    /// Such as `apps/v1`.
    pub api_version: Text,
    /// Such as `Deployment`.
    pub kind: Text,
    /// Absent for objects of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Text>,
    /// `metadata.name`.
    pub name: Text,
    /// The whole object as it is applied, with our label and annotations. Where a binding points there is a
    /// readable stand-in (`${finance/lake/role.arn}`).
    pub manifest: Value,
    /// Fields whose values are known only when another artifact has settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    /// Whether losing it loses data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_data: bool,
}

/// A CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// Its name.
    pub name: Text,
    /// The first two parts of its resources' addresses.
    pub component: Text,
    /// The tenant's name, or `platform`.
    pub tenant: Text,
    /// Which of the stacks it is that its component divides into; 0 for the one of the component's own name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: u32,
    /// Where the component was declared.
    pub origin: Origin,
    /// The template, with `Parameters`, `Resources` and `Outputs`.
    pub template: Value,
    /// The values of the template's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Text, Vec<Part>>,
    /// Tags of the whole stack; they do not change from one deployment to the next.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Text, Text>,
    /// What each logical id of the template is.
    pub members: BTreeMap<Text, Member>,
    /// Whether CloudFormation is to refuse to delete it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub termination_protection: bool,
    /// The stack policy, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// Keys of [`Bundle::assets`] that have to be in the bootstrap bucket first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub assets: BTreeSet<Digest>,
}

/// One resource of a CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The resource it is.
    pub address: Address,
    /// Where it was declared.
    pub origin: Origin,
    /// Such as `AWS::S3::Bucket`.
    #[serde(rename = "type")]
    pub resource_type: Text,
    /// Whether losing it loses data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_data: bool,
}

/// A file that a template names by digest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asset {
    /// Its key in the bootstrap bucket.
    pub key: Text,
    /// Its bytes, as base64 in JSON.
    #[serde(with = "crate::base64")]
    pub bytes: Vec<u8>,
}

/// Where a resource was declared: two places, both of the form `path:line:column`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The line of the stack that asked for the component.
    pub component: Location,
    /// The line of the module (or of the component's own resources) that declares the resource.
    pub resource: Location,
}

/// A place in a source file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Location {
    /// Relative to the stack's folder; modules of the program begin with `module:`.
    pub file: Text,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A field that is filled at deploy time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// Where in the manifest.
    pub path: Vec<Segment>,
    /// What goes there: the parts, one after the other. A single [`Part::Late`] keeps its type.
    pub parts: Vec<Part>,
}

/// A step of a path into a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segment {
    /// An index of a list.
    Index(usize),
    /// A key of a map.
    Key(Text),
}

/// A path as people write it: `spec.template.spec.containers[0].image`, `metadata.labels["a.b/c"]`.
pub fn show_path(path: &[Segment]) -> String {
    let mut out = String::new();
    for segment in path {
        match segment {
            Segment::Index(i) => out.push_str(&format!("[{i}]")),
            Segment::Key(key) if key.contains(['.', '/', ' ', '[']) => out.push_str(&format!("[\"{key}\"]")),
            Segment::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
        }
    }
    out
}

/// A piece of a value that is known now or later.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Known now.
    Text(Text),
    /// Known when another artifact has settled.
    Late(Source),
}

/// Parts as a reader sees them before they are known: `${finance/lake/role.arn}/path`.
pub fn show_parts(parts: &[Part]) -> Cow<'_, str> {
    match parts {
        [Part::Text(text)] => Cow::Borrowed(text),
        parts => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.to_string(),
                Part::Late(source) => format!("${{{}}}", source.shown),
            })
            .collect(),
    }
}

/// Where a late value comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The artifact that will have it.
    pub artifact: ArtifactId,
    /// The name of an output of a CloudFormation stack, or the path of a field of a Kubernetes object.
    pub attribute: Vec<Segment>,
    /// How people are told of it: an address and an attribute, `finance/lake/role.arn`.
    pub shown: Text,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(part: &u32) -> bool {
    *part == 0
}

impl Target {
    /// Whether this is a folder.
    pub fn is_directory(&self) -> bool {
        matches!(self, Target::Directory { .. })
    }
}

impl Artifact {
    /// The object, where this is one.
    pub fn object(&self) -> Option<&Object> {
        if let Body::Object(object) = &self.body {
            Some(object)
        } else {
            None
        }
    }

    /// The stack, where this is one.
    pub fn stack(&self) -> Option<&Stack> {
        if let Body::Stack(stack) = &self.body {
            Some(stack)
        } else {
            None
        }
    }

    /// The tenant and the component it belongs to.
    pub fn owner(&self) -> (&Text, &Text) {
        match &self.body {
            Body::Object(object) => (&object.address.tenant, &object.address.component),
            Body::Stack(stack) => (&stack.tenant, &stack.component),
        }
    }

    /// The digest of what is delivered. Where it was declared does not count: moving a line is no change.
    pub fn digest(&self) -> Digest {
        Digest::of_value(&self.identity())
    }

    fn identity(&self) -> Value {
        let parts = |parts: &[Part]| Value::from(&*show_parts(parts));
        let mut map = Map::new();
        map.insert("id", self.id.as_str());
        map.insert("target", self.target.clone());
        match &self.body {
            Body::Object(object) => {
                map.insert("manifest", object.manifest.clone());
            }
            Body::Stack(stack) => {
                map.insert("template", stack.template.clone());
                map.insert(
                    "parameters",
                    stack
                        .parameters
                        .iter()
                        .map(|(k, v)| (k.clone(), parts(v)))
                        .collect::<Map>(),
                );
                map.insert(
                    "tags",
                    stack
                        .tags
                        .iter()
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect::<Map>(),
                );
                map.insert("termination_protection", stack.termination_protection);
                map.insert("policy", stack.policy.clone().unwrap_or_default());
            }
        }
        Value::Map(map)
    }
}

impl Bundle {
    /// The digest of all that is delivered, and where to.
    pub fn digest(&self) -> Digest {
        let targets: Map = self
            .targets
            .iter()
            .map(|(name, target)| {
                let json = serde_json::to_value(target).unwrap_or_default();
                (name.clone(), Value::from_json(&json))
            })
            .collect();
        let artifacts = self.artifacts.iter().map(Artifact::identity).collect::<Vec<_>>();
        let mut map = Map::new();
        map.insert("stack", self.label());
        map.insert("targets", targets);
        map.insert("artifacts", artifacts);
        Digest::of_value(&Value::Map(map))
    }

    /// The value of our label on everything of this bundle: `acme.production`.
    pub fn label(&self) -> String {
        format!("{}.{}", self.platform, self.environment.name)
    }

    /// The artifact of an id.
    pub fn artifact(&self, id: &ArtifactId) -> Option<&Artifact> {
        self.artifacts
            .binary_search_by(|a| a.id.cmp(id))
            .ok()
            .map(|i| &self.artifacts[i])
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_survive_json() {
        for length in 0..7u8 {
            let asset = Asset {
                key: "k".into(),
                bytes: (0..length).map(|b| b.wrapping_mul(83)).collect(),
            };
            let json = serde_json::to_string(&asset).unwrap();
            assert_eq!(serde_json::from_str::<Asset>(&json).unwrap(), asset, "{json}");
        }
    }
}
