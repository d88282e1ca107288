use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Address, Digest, Map, Owner, Text, Value};

/// The compiled result for one environment: all artifacts and the targets they are deployed to.
///
/// The same sources and request always produce the same bundle, byte for byte.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The platform's name.
    pub platform: Text,
    /// The environment that the bundle was compiled for.
    pub environment: Environment,
    /// The targets of the artifacts, by the names that [`Artifact::target`] uses.
    pub targets: BTreeMap<Text, Target>,
    /// The artifacts that make up the desired state, sorted by [`Artifact::id`].
    pub artifacts: Vec<Artifact>,
    /// Files that templates refer to by digest, such as Lambda code and Glue scripts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<Digest, Asset>,
    /// The inputs from the command line as `COMPONENT.INPUT=VALUE`, in the form that the plan shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Text>,
}

/// The environment of a bundle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// The environment's name.
    pub name: Text,
    /// The environment's class.
    pub class: Class,
    /// The lines of the source that declare the clusters, the accounts or the directory, by the names in [`Bundle::targets`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<Text, Location>,
}

/// The class of an environment. It decides how strict the checks and guards are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An environment for development.
    Development,
    /// An environment for tests.
    Testing,
    /// The last environment before production.
    Staging,
    /// The production environment.
    Production,
    /// The environment that replaces production in a disaster.
    DisasterRecovery,
}

impl Class {
    /// All classes, in order of promotion.
    pub const ALL: [Class; 5] = [
        Class::Development,
        Class::Testing,
        Class::Staging,
        Class::Production,
        Class::DisasterRecovery,
    ];

    /// Returns the class as users write it in a stack.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Development => "development",
            Class::Testing => "testing",
            Class::Staging => "staging",
            Class::Production => "production",
            Class::DisasterRecovery => "disaster_recovery",
        }
    }

    /// Returns whether the strictest checks and guards apply, as they do for production and its replacement.
    pub fn is_production(self) -> bool {
        matches!(self, Class::Production | Class::DisasterRecovery)
    }
}

/// A system that artifacts are deployed to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// A directory of rendered manifests, for Argo CD, Flux or a reader.
    Directory {
        /// The path, relative to the stack's directory.
        path: Text,
    },
    /// A Kubernetes cluster.
    Kubernetes {
        /// The name of the kubeconfig context.
        context: Text,
        /// The distribution: `kubernetes`, `eks` or `openshift`.
        distribution: Text,
        /// The UID of the `kube-system` namespace, if the environment declares it. Terrace then rejects any other cluster.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Text>,
    },
    /// An AWS account and region.
    Aws {
        /// The account id of 12 digits. Terrace rejects credentials of any other account.
        account: Text,
        /// The region, such as `eu-west-1`.
        region: Text,
        /// The profile in the shared AWS configuration that provides the credentials, if the environment declares one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<Text>,
    },
}

/// The unit that one call to a backend deploys: a Kubernetes object or a CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Artifact {
    /// The permanent identity in the target. An artifact with another id is a new artifact: the old one is deleted.
    pub id: ArtifactId,
    /// The name of the target, a key of [`Bundle::targets`].
    pub target: Text,
    /// The artifacts that must be ready before this one is written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<ArtifactId>,
    /// The object or the CloudFormation stack.
    pub body: Body,
}

/// The identity of an artifact, such as `kubernetes:apps/Deployment/data-tenant-finance/web` or
/// `aws:acme-production-finance-lake`.
///
/// It consists of the target's own names, so it is unique within a bundle and stable between bundles.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactId(Text);

impl ArtifactId {
    /// Builds the id of a Kubernetes object. Only the group of `api_version` is part of the id, because the same object can be
    /// read and written in several versions.
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

    /// Builds the id of a CloudFormation stack.
    pub fn stack(target: &str, name: &str) -> ArtifactId {
        ArtifactId(format!("{target}:{name}").into())
    }

    /// Returns the name of its target.
    pub fn target(&self) -> &str {
        self.0.split_once(':').map_or("", |(target, _)| target)
    }

    /// Returns the id of the same artifact in a target of this name.
    #[must_use]
    pub fn in_target(&self, target: &str) -> ArtifactId {
        let (_, name) = self.0.split_once(':').unwrap_or(("", &self.0));
        ArtifactId(format!("{target}:{name}").into())
    }

    /// Returns the id as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The content of an artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")] // not `kind`, which is a field of `Object`
pub enum Body {
    /// A Kubernetes object.
    Object(Object),
    /// A CloudFormation stack.
    Stack(CloudFormationStack),
}

/// A Kubernetes object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Object {
    /// The address of the resource.
    pub address: Address,
    /// The source of the resource.
    pub origin: Origin,
    /// The API version, such as `apps/v1`.
    pub api_version: Text,
    /// The kind, such as `Deployment`.
    pub kind: Text,
    /// The namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Text>,
    /// The value of `metadata.name`.
    pub name: Text,
    /// The complete object as it is applied, with Terrace's label and annotations. A field that a binding fills contains a
    /// readable placeholder, such as `${finance/lake/role.arn}`.
    pub manifest: Value,
    /// The fields whose values are known only after another artifact is ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    /// Whether deleting the object loses data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_data: bool,
}

/// The number of one of several CloudFormation stacks of a component, counted from 1. It is absent for the stack that has the component's name.
pub type Partition = Option<NonZeroU32>;

/// A CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CloudFormationStack {
    /// The name of the CloudFormation stack.
    pub name: Text,
    /// The component's name, the second part of its resources' addresses.
    pub component: Text,
    /// The owner of the component, the first part of its resources' addresses.
    #[serde(rename = "tenant")]
    pub owner: Owner,
    /// The partition of the component that it contains; absent for the one that has the component's name.
    #[serde(rename = "part", default, skip_serializing_if = "Option::is_none")]
    pub partition: Partition,
    /// The source of the component.
    pub origin: Origin,
    /// The template, with `Parameters`, `Resources` and `Outputs`.
    pub template: Value,
    /// The values of the template's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Text, Vec<Part>>,
    /// The tags of the CloudFormation stack. They stay the same from one release to the next.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Text, Text>,
    /// The resources of the template, by logical id.
    pub members: BTreeMap<Text, Member>,
    /// Whether CloudFormation must refuse to delete it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub termination_protection: bool,
    /// The stack policy, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// The keys of [`Bundle::assets`] that must be in the bootstrap bucket before the deployment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub assets: BTreeSet<Digest>,
}

/// One resource of a CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The address of the resource.
    pub address: Address,
    /// The source of the resource.
    pub origin: Origin,
    /// The resource type, such as `AWS::S3::Bucket`.
    #[serde(rename = "type")]
    pub resource_type: Text,
    /// Whether deleting the resource loses data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds_data: bool,
}

/// A file that a template refers to by digest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Asset {
    /// The file's key in the bootstrap bucket.
    pub key: Text,
    /// The file's bytes, encoded as base64 in JSON.
    #[serde(with = "crate::base64")]
    pub bytes: Vec<u8>,
}

/// The two places in the source that a resource comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The place in the stack that declares the component.
    pub component: Location,
    /// The place in the module, or in the component's own resources, that declares the resource.
    pub resource: Location,
}

/// A position in a source file, shown as `path:line:column`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Location {
    /// The path, relative to the stack's directory. The path of a built-in module starts with `module:`.
    pub file: Text,
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A field that the deployer fills during apply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The path of the field in the manifest.
    pub path: Vec<Segment>,
    /// The parts whose concatenation is the value. A single [`Part::Late`] keeps its type.
    pub parts: Vec<Part>,
}

/// A step of a path into a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segment {
    /// An index into a list.
    Index(usize),
    /// A key of a map.
    Key(Text),
}

/// Formats a path for a reader: `spec.template.spec.containers[0].image`, `metadata.labels["a.b/c"]`.
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

/// A part of a value that is known at compile time or after apply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text that is known at compile time.
    Text(Text),
    /// A value that is known once another artifact is ready.
    Late(Source),
}

/// Formats parts with a placeholder for each unknown value: `${finance/lake/role.arn}/path`.
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

/// The source of a value that is known after apply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The artifact that provides the value.
    pub artifact: ArtifactId,
    /// The name of a CloudFormation stack's output, or the path of a Kubernetes object's field.
    pub attribute: Vec<Segment>,
    /// The form that users see, an address and an attribute: `finance/lake/role.arn`.
    pub shown: Text,
}

impl Target {
    /// Returns whether the target is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Target::Directory { .. })
    }
}

impl Artifact {
    /// Returns the Kubernetes object, if the artifact is one.
    pub fn object(&self) -> Option<&Object> {
        if let Body::Object(object) = &self.body {
            Some(object)
        } else {
            None
        }
    }

    /// Returns the CloudFormation stack, if the artifact is one.
    pub fn stack(&self) -> Option<&CloudFormationStack> {
        if let Body::Stack(stack) = &self.body {
            Some(stack)
        } else {
            None
        }
    }

    /// Returns the component that the artifact belongs to: its owner and its name.
    pub fn component(&self) -> (&Owner, &Text) {
        match &self.body {
            Body::Object(object) => (&object.address.owner, &object.address.component),
            Body::Stack(stack) => (&stack.owner, &stack.component),
        }
    }

    /// Returns the addresses of the resources in the artifact.
    pub fn addresses(&self) -> Vec<Address> {
        match &self.body {
            Body::Object(object) => vec![object.address.clone()],
            Body::Stack(stack) => {
                let members = stack.members.values();
                members.map(|member| member.address.clone()).collect()
            }
        }
    }

    /// Returns the line that declares the artifact: the line of the object, or of the component for a CloudFormation stack.
    pub fn origin(&self) -> &Origin {
        match &self.body {
            Body::Object(object) => &object.origin,
            Body::Stack(stack) => &stack.origin,
        }
    }

    /// Computes the digest of the content. Origins are not part of it, so moving a declaration to another line does not change it.
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
    /// Computes the digest of the label, the targets and the contents of all artifacts.
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

    /// Returns the value of Terrace's label on all objects of this bundle: `acme.production`.
    pub fn label(&self) -> String {
        format!("{}.{}", self.platform, self.environment.name)
    }

    /// Finds an artifact by its id.
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
    fn assets_round_trip_through_json() {
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
