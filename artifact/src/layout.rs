use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::{Artifact, Body, Bundle, Map, Owner, Target, Text, Value, to_json_pretty, write_documents};

/// One file of a rendered bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// The path, relative to the environment's directory, with `/` as the separator.
    pub path: String,
    /// The content.
    pub text: String,
}

/// A file of a bundle that is rendered on demand, because all rendered files together are many times larger than the bundle.
#[derive(Debug)]
pub struct Sheet<'b> {
    /// The path, relative to the environment's directory, with `/` as the separator.
    pub path: String,
    content: Content<'b>,
}

#[derive(Debug)]
enum Content<'b> {
    Objects(Vec<&'b Artifact>),
    Template(&'b Value),
    /// Lifecycle rules by logical id.
    Rules(Vec<(&'b Text, &'b Value)>),
    /// The properties of a state machine.
    Machine(&'b Value),
}

impl Sheet<'_> {
    /// Renders the content.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Objects(artifacts) => {
                let mut artifacts = artifacts.clone();
                artifacts.sort_by_cached_key(|artifact| (apply_rank(artifact), &artifact.id));
                let mut text = String::with_capacity(artifacts.len() * 1024);
                let objects = artifacts.iter().filter_map(|artifact| artifact.object());
                write_documents(objects.map(|object| &object.manifest), &mut text);
                text
            }
            Content::Template(template) => to_json_pretty(template),
            Content::Rules(rules) => {
                let map: Map = rules
                    .iter()
                    .map(|(id, value)| ((*id).clone(), (*value).clone()))
                    .collect();
                to_json_pretty(&Value::Map(map))
            }
            Content::Machine(properties) => definition(properties)
                .map(|definition| to_json_pretty(&definition))
                .unwrap_or_default(),
        }
    }
}

/// Renders a bundle to its files, sorted by path. `build` writes these files, the directory target delivers them, and the
/// goldens contain them.
///
/// ```text
/// kubernetes/TENANT/COMPONENT.yaml          the objects of one component, in the order they are applied
/// cloudformation/TENANT/COMPONENT.json      the template of one CloudFormation stack
/// lifecycle/TENANT/COMPONENT.json           for review: the lifecycle rules of its buckets, by logical id
/// step-functions/TENANT/COMPONENT.json      for review: the definition of its state machine
/// ```
///
/// If there are several clusters or accounts, a directory with the target's name follows the first directory.
pub fn files(bundle: &Bundle) -> Vec<File> {
    let render = |sheet: Sheet<'_>| File {
        text: sheet.text(),
        path: sheet.path,
    };
    let sheets = sheets(&bundle.targets, &bundle.artifacts);
    sheets.into_iter().map(render).collect()
}

/// Returns the files of some artifacts of a bundle with these targets, sorted by path, to be rendered on demand. A file
/// contains a whole component, so `artifacts` must contain all artifacts of each component.
pub fn sheets<'b>(targets: &BTreeMap<Text, Target>, artifacts: &'b [Artifact]) -> Vec<Sheet<'b>> {
    let mut objects: HashMap<(&Text, &Owner, &Text), Vec<&Artifact>> = HashMap::new();
    let mut sheets = Vec::new();
    for artifact in artifacts {
        let (owner, component) = artifact.component();
        let stack = match &artifact.body {
            Body::Object(_) => {
                let key = (&artifact.target, owner, component);
                objects.entry(key).or_default().push(artifact);
                continue;
            }
            Body::Stack(stack) => stack,
        };
        let sheet = |kind: &str, more: &str, content| Sheet {
            path: format!(
                "{}/{owner}/{}{more}.json",
                folder(targets, &artifact.target, kind),
                stack.file_stem()
            ),
            content,
        };
        sheets.push(sheet("cloudformation", "", Content::Template(&stack.template)));
        let rules: Vec<_> = properties_of(&stack.template, "AWS::S3::Bucket")
            .filter_map(|(id, properties)| Some((id, properties.at(&["LifecycleConfiguration", "Rules"])?)))
            .collect();
        if !rules.is_empty() {
            sheets.push(sheet("lifecycle", "", Content::Rules(rules)));
        }
        let machines: Vec<_> = properties_of(&stack.template, "AWS::StepFunctions::StateMachine")
            .filter(|(_, properties)| has_definition(properties))
            .collect();
        let single = machines.len() == 1;
        sheets.extend(machines.into_iter().map(|(id, properties)| {
            let more = if single { String::new() } else { format!(".{id}") };
            sheet("step-functions", &more, Content::Machine(properties))
        }));
    }
    #[expect(clippy::iter_over_hash_type, reason = "sorted below")]
    for ((target, owner, component), artifacts) in objects {
        sheets.push(Sheet {
            path: format!(
                "{}/{owner}/{component}.yaml",
                folder(targets, target, "kubernetes")
            ),
            content: Content::Objects(artifacts),
        });
    }
    sheets.sort_by(|a, b| a.path.cmp(&b.path));
    sheets
}

impl crate::CloudFormationStack {
    /// Returns the name of the files without the extension: the component's name, followed by the number of the partition.
    fn file_stem(&self) -> Cow<'_, str> {
        match self.partition {
            None => Cow::Borrowed(&self.component),
            Some(number) => Cow::Owned(format!("{}-{number}", self.component)),
        }
    }
}

/// Returns `kind`, or `kind/TARGET` if the bundle has several targets of the same type.
fn folder(targets: &BTreeMap<Text, Target>, target: &Text, kind: &str) -> String {
    let own = targets.get(target).map(std::mem::discriminant);
    let alike = targets
        .values()
        .filter(|other| own == Some(std::mem::discriminant(*other)));
    if alike.count() > 1 {
        format!("{kind}/{target}")
    } else {
        kind.to_owned()
    }
}

/// Returns the properties of all resources of a type in a template, by logical id.
fn properties_of<'t>(
    template: &'t Value,
    resource_type: &'static str,
) -> impl Iterator<Item = (&'t Text, &'t Value)> {
    let resources = template.get("Resources").and_then(Value::as_map);
    resources
        .into_iter()
        .flatten()
        .filter(move |(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(resource_type))
        .filter_map(|(id, resource)| Some((id, resource.get("Properties")?)))
}

/// Returns whether the properties of a state machine contain its definition as a document. A string that is known only after
/// apply is not a document.
fn has_definition(properties: &Value) -> bool {
    match properties.get("DefinitionString") {
        Some(Value::String(text)) => text.trim_start().starts_with('{'),
        _ => properties.get("Definition").is_some(),
    }
}

/// Returns a state machine's definition as a value, from either of the two properties that can hold it.
fn definition(properties: &Value) -> Option<Cow<'_, Value>> {
    match properties.get("DefinitionString") {
        // The compiler has parsed the text. A text that is not JSON is shown unchanged.
        Some(written @ Value::String(text)) => {
            let read = serde_json::from_str(text);
            Some(read.map_or(Cow::Borrowed(written), Cow::Owned))
        }
        _ => properties.get("Definition").map(Cow::Borrowed),
    }
}

/// Returns the position of an object in its file: an order that reads well and that `kubectl apply -f` can apply.
fn apply_rank(artifact: &Artifact) -> usize {
    const KINDS: [&str; 24] = [
        "Namespace",
        "CustomResourceDefinition",
        "PriorityClass",
        "StorageClass",
        "ResourceQuota",
        "LimitRange",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "NetworkPolicy",
        "Secret",
        "ConfigMap",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Ingress",
    ];
    let kind = artifact.object().map_or("", |object| &object.kind);
    KINDS.iter().position(|k| *k == kind).unwrap_or(KINDS.len())
}
