use std::collections::BTreeMap;

use crate::{Artifact, Body, Bundle, Map, Value, to_json_pretty, write_documents};

/// One file of a rendered bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Relative to the environment's folder, with `/` between its parts.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The files a bundle is written as: what `build` leaves on disk, what the directory target delivers, what goldens hold.
///
/// ```text
/// kubernetes/TENANT/COMPONENT.yaml          the objects of one component, in the order they are applied
/// cloudformation/TENANT/COMPONENT.json      the template of one CloudFormation stack
/// lifecycle/TENANT/COMPONENT.json           for review: the lifecycle rules of its buckets, by logical id
/// step-functions/TENANT/COMPONENT.json      for review: the definition of its state machine
/// ```
///
/// Where there is more than one cluster or account, a folder with the target's name comes after the first.
pub fn files(bundle: &Bundle) -> Vec<File> {
    let mut objects: BTreeMap<String, Vec<&Artifact>> = BTreeMap::new();
    let mut files = Vec::new();
    for artifact in &bundle.artifacts {
        let (tenant, component) = artifact.owner();
        match &artifact.body {
            Body::Object(_) => {
                let path = format!(
                    "{}/{tenant}/{component}.yaml",
                    folder(bundle, artifact, "kubernetes")
                );
                objects.entry(path).or_default().push(artifact);
            }
            Body::Stack(stack) => {
                let file = |kind: &str, value: &Value| File {
                    path: format!(
                        "{}/{tenant}/{}.json",
                        folder(bundle, artifact, kind),
                        stack.file_stem()
                    ),
                    text: to_json_pretty(value),
                };
                files.push(file("cloudformation", &stack.template));
                let lifecycle = by_logical_id(&stack.template, "AWS::S3::Bucket", |properties| {
                    properties.at(&["LifecycleConfiguration", "Rules"]).cloned()
                });
                if !lifecycle.is_empty() {
                    files.push(file("lifecycle", &Value::Map(lifecycle)));
                }
                let definitions =
                    by_logical_id(&stack.template, "AWS::StepFunctions::StateMachine", definition);
                match definitions.len() {
                    0 => {}
                    1 => files.extend(definitions.values().map(|d| file("step-functions", d))),
                    _ => files.extend(definitions.iter().map(|(id, definition)| File {
                        path: format!(
                            "{}/{tenant}/{}.{id}.json",
                            folder(bundle, artifact, "step-functions"),
                            stack.file_stem()
                        ),
                        text: to_json_pretty(definition),
                    })),
                }
            }
        }
    }
    for (path, mut artifacts) in objects {
        artifacts.sort_by_key(|artifact| (apply_rank(artifact), &artifact.id));
        let mut text = String::with_capacity(4096);
        write_documents(
            artifacts.iter().filter_map(|a| a.object()).map(|o| &o.manifest),
            &mut text,
        );
        files.push(File { path, text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

impl crate::Stack {
    /// The name of its files without the ending: the component's, with what tells apart the stacks one is divided into.
    fn file_stem(&self) -> &str {
        let at = self.name.rfind(self.component.as_str()).unwrap_or(0);
        if at > 0 { &self.name[at..] } else { &self.component }
    }
}

/// `kind`, or `kind/TARGET` where several targets get artifacts of this kind.
fn folder(bundle: &Bundle, artifact: &Artifact, kind: &str) -> String {
    let alike = bundle.targets.values().filter(|other| {
        bundle
            .targets
            .get(&artifact.target)
            .is_some_and(|own| std::mem::discriminant(own) == std::mem::discriminant(other))
    });
    if alike.count() > 1 {
        format!("{kind}/{}", artifact.target)
    } else {
        kind.to_owned()
    }
}

fn by_logical_id(template: &Value, resource_type: &str, pick: impl Fn(&Value) -> Option<Value>) -> Map {
    let resources = template.get("Resources").and_then(Value::as_map);
    resources
        .into_iter()
        .flatten()
        .filter(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(resource_type))
        .filter_map(|(id, resource)| Some((id.clone(), pick(resource.get("Properties")?)?)))
        .collect()
}

/// A state machine's definition as a value, whichever of its two properties holds it.
fn definition(properties: &Value) -> Option<Value> {
    match properties.get("DefinitionString") {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        _ => properties.get("Definition").cloned(),
    }
}

/// The order in which a person reads objects, and in which `kubectl apply -f` may apply them.
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
