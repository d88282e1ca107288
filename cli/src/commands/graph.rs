//! `terrace graph`: draws components as boxes, with arrows to their dependencies.
//!
//! A picture is useful with twenty boxes, but not with two hundred. Tenants with the same components and arrows therefore share
//! their boxes, and resources are drawn for one component at a time.

mod draw;

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{
    Address, Artifact, ArtifactId, Body, Bundle, CloudFormationStack as Template, Owner, Part, Text, Value,
};

use crate::arguments::{Environment, GraphLanguage};
use crate::console::Console;
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::Stack;

/// A drawing: boxes in groups, and arrows between the boxes.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    title: String,
    /// The groups: the title of each, and its box labels by the keys that arrows use.
    groups: Vec<(String, BTreeMap<Key, String>)>,
    /// The labels of each arrow, by the dependent box and its dependency. A label names the attribute that is used.
    arrows: BTreeMap<(Key, Key), BTreeSet<String>>,
    /// The key of the first group. An arrow ends at the group if no single box in it is the end.
    whole: Option<Key>,
}

/// The owner, the component, and the resource if the drawing shows resources.
type Key = (Owner, Text, Option<Address>);

pub(crate) fn run(
    target: &Environment,
    output: GraphLanguage,
    component: Option<&str>,
    set: &[String],
    console: &Console,
) -> Result<Status, Problem> {
    let stack = Stack::open(&target.stack)?;
    let (bundle, _) = stack.environment(target.environment.as_ref(), set, console)?;
    let drawing = match component {
        None => components(&bundle),
        Some(name) => resources(&bundle, name)?,
    };
    console.data(&match output {
        GraphLanguage::Mermaid => drawing.mermaid(),
        GraphLanguage::Dot => drawing.dot(),
    })?;
    Ok(Status::Done)
}

/// Draws the components of an environment.
fn components(bundle: &Bundle) -> Drawing {
    let mut counts: BTreeMap<(Owner, Text), usize> = BTreeMap::new();
    for artifact in &bundle.artifacts {
        let (owner, component) = artifact.component();
        *counts.entry((owner.clone(), component.clone())).or_default() += resource_count(artifact);
    }
    let mut arrows: BTreeMap<(Key, Key), BTreeSet<String>> = BTreeMap::new();
    for need in needs(bundle) {
        let key = |artifact: &Artifact| {
            let (owner, component) = artifact.component();
            (owner.clone(), component.clone(), None)
        };
        let (from, to) = (key(need.from), key(need.to));
        if from != to {
            arrows.entry((from, to)).or_default().insert(need.label);
        }
    }
    let owners: BTreeSet<&Owner> = counts.keys().map(|(owner, _)| owner).collect();
    let mut alike: BTreeMap<(bool, String), Vec<&Owner>> = BTreeMap::new();
    for owner in owners {
        alike
            .entry((!owner.is_platform(), shape(owner, &counts, &arrows)))
            .or_default()
            .push(owner);
    }
    let mut drawing = Drawing {
        title: format!("{} {}", bundle.platform, bundle.environment.name),
        ..Drawing::default()
    };
    let mut drawn: BTreeSet<&Owner> = BTreeSet::new();
    let mut groups = Vec::new();
    for ((is_tenant, _), owners) in alike {
        let Some(&first) = owners.first() else { continue };
        drawn.insert(first);
        let boxes = counts.iter().filter(|((owner, _), _)| owner == first);
        let boxes = boxes.map(|((owner, component), count)| {
            let label = format!("{component}\n{count} {}", plural(*count, "resource"));
            ((owner.clone(), component.clone(), None), label)
        });
        groups.push((is_tenant, title(&owners), boxes.collect()));
    }
    // The platform comes first, because the tenants depend on it.
    groups.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    drawing.groups = groups
        .into_iter()
        .map(|(_, title, boxes)| (title, boxes))
        .collect();
    arrows.retain(|(from, to), _| drawn.contains(&from.0) && drawn.contains(&to.0));
    drawing.arrows = arrows;
    drawing
}

/// Describes the boxes and arrows of an owner without its name. Owners with the same description are drawn once.
fn shape(
    owner: &Owner,
    counts: &BTreeMap<(Owner, Text), usize>,
    arrows: &BTreeMap<(Key, Key), BTreeSet<String>>,
) -> String {
    let anonymous = |other: &Owner| {
        if other == owner {
            "*".to_owned()
        } else {
            other.to_string()
        }
    };
    let boxes = counts
        .iter()
        .filter(|((of, _), _)| of == owner)
        .map(|((_, component), count)| (component, count));
    let boxes: Vec<_> = boxes.collect();
    let lines = arrows
        .iter()
        .filter(|((from, to), _)| from.0 == *owner || to.0 == *owner);
    let lines =
        lines.map(|((from, to), labels)| (anonymous(&from.0), &from.1, anonymous(&to.0), &to.1, labels));
    let lines: Vec<_> = lines.collect();
    format!("{boxes:?} {lines:?}")
}

fn title(owners: &[&Owner]) -> String {
    const NAMED: usize = 4;
    let names: Vec<&str> = owners.iter().take(NAMED).map(|owner| owner.as_str()).collect();
    match owners.len() {
        1 => names.concat(),
        2..=NAMED => names.join(", "),
        many => format!("{many} tenants: {}, ...", names.join(", ")),
    }
}

/// Draws the resources of one component, and the components that are connected to it.
fn resources(bundle: &Bundle, name: &str) -> Result<Drawing, Problem> {
    let owners: BTreeSet<(&Owner, &Text)> = bundle.artifacts.iter().map(Artifact::component).collect();
    let all: Vec<String> = owners
        .iter()
        .map(|(owner, component)| format!("{owner}/{component}"))
        .collect();
    if !all.iter().any(|known| known == name) {
        let problem = Problem::new(format!(
            "component `{name}` does not exist in environment `{}`",
            bundle.environment.name
        ));
        return Err(
            match terrace_catalog::nearest(name, all.iter().map(String::as_str)) {
                Some(nearest) => problem.help(format!("did you mean `{nearest}`?")),
                None => problem.help("include the tenant of the component: `finance/web`, `platform/lake`"),
            },
        );
    }
    let is_own = |artifact: &Artifact| {
        let (owner, component) = artifact.component();
        format!("{owner}/{component}") == name
    };
    let key = |artifact: &Artifact| -> Key {
        let (owner, component) = artifact.component();
        let object = artifact.object().map(|object| object.address.clone());
        (
            owner.clone(),
            component.clone(),
            object.filter(|_| is_own(artifact)),
        )
    };
    let mut drawing = Drawing {
        title: format!("{} {} {name}", bundle.platform, bundle.environment.name),
        ..Drawing::default()
    };
    let mut own = BTreeMap::new();
    for artifact in bundle.artifacts.iter().filter(|artifact| is_own(artifact)) {
        match &artifact.body {
            Body::Object(object) => {
                own.insert(key(artifact), box_label(&object.address, &object.kind));
            }
            Body::Stack(template) => {
                for member in template.members.values() {
                    let key = (
                        template.owner.clone(),
                        template.component.clone(),
                        Some(member.address.clone()),
                    );
                    own.insert(key, box_label(&member.address, &member.resource_type));
                }
                inner_arrows(template, &mut drawing.arrows);
            }
        }
    }
    let mut connected = BTreeMap::new();
    for need in needs(bundle) {
        let inside = is_own(need.from) && is_own(need.to);
        if !is_own(need.from) && !is_own(need.to) {
            continue;
        }
        let from = match need.from.stack() {
            Some(template) if is_own(need.from) => users(template, need.parameter),
            _ => vec![key(need.from)],
        };
        let to = match need.to.stack() {
            Some(template) if is_own(need.to) => used(template, &need.label),
            _ => key(need.to),
        };
        for from in from {
            for (end, artifact) in [(&from, need.from), (&to, need.to)] {
                if !is_own(artifact) {
                    connected.insert(end.clone(), format!("{}/{}", end.0, end.1));
                }
            }
            // A box cannot have an arrow to the group that contains it.
            if from != to && !(inside && [&from, &to].iter().any(|end| end.2.is_none())) {
                let labels = drawing.arrows.entry((from, to.clone())).or_default();
                labels.insert(need.label.clone());
            }
        }
    }
    drawing.whole = own
        .keys()
        .next()
        .map(|(owner, component, _)| (owner.clone(), component.clone(), None));
    drawing.groups.push((name.to_owned(), own));
    if !connected.is_empty() {
        drawing
            .groups
            .push(("connected components".to_owned(), connected));
    }
    Ok(drawing)
}

fn box_label(address: &Address, kind: &str) -> String {
    let key = address
        .key
        .as_ref()
        .map_or(String::new(), |key| format!("[{key}]"));
    format!("{}{key}\n{kind}", address.resource)
}

/// Returns the key of the resource that a label such as `key.arn` names, or of the whole stack if it names none.
fn used(template: &Template, label: &str) -> Key {
    let resource = label.split('.').next().unwrap_or_default();
    let resource = resource.split('[').next().unwrap_or_default();
    let mut members = template.members.values().map(|member| &member.address);
    let address = members.find(|address| &*address.resource == resource);
    (
        template.owner.clone(),
        template.component.clone(),
        address.cloned(),
    )
}

/// Returns the keys of the resources that read a parameter, or of the whole stack if no resource reads it. A dependency that
/// only determines the order has no parameter.
fn users(template: &Template, parameter: Option<&Text>) -> Vec<Key> {
    let key = |address| (template.owner.clone(), template.component.clone(), address);
    let resources = template.template.get("Resources").and_then(Value::as_map);
    let mut keys = Vec::new();
    for (id, resource) in resources.into_iter().flatten() {
        let mut named = Vec::new();
        references(resource, &mut named);
        let reads = parameter.is_some_and(|parameter| named.iter().any(|(name, _)| **name == **parameter));
        if let Some(member) = template.members.get(id).filter(|_| reads) {
            keys.push(key(Some(member.address.clone())));
        }
    }
    if keys.is_empty() {
        keys.push(key(None));
    }
    keys
}

fn resource_count(artifact: &Artifact) -> usize {
    artifact.stack().map_or(1, |template| template.members.len())
}

/// A dependency between two artifacts.
struct Need<'a> {
    from: &'a Artifact,
    to: &'a Artifact,
    /// The attribute that `from` uses, or the kind of `to`.
    label: String,
    /// The parameter of the CloudFormation stack that receives the attribute.
    parameter: Option<&'a Text>,
}

fn needs(bundle: &Bundle) -> Vec<Need<'_>> {
    let mut dependencies = Vec::new();
    for artifact in &bundle.artifacts {
        let mut named: BTreeSet<&ArtifactId> = BTreeSet::new();
        let parts: Vec<(Option<&Text>, &Part)> = match &artifact.body {
            Body::Object(object) => object
                .bindings
                .iter()
                .flat_map(|binding| &binding.parts)
                .map(|part| (None, part))
                .collect(),
            Body::Stack(template) => template
                .parameters
                .iter()
                .flat_map(|(name, parts)| parts.iter().map(move |part| (Some(name), part)))
                .collect(),
        };
        for (parameter, part) in parts {
            let Part::Late(source) = part else { continue };
            if let Some(to) = bundle.artifact(&source.artifact) {
                let label = source.shown.splitn(3, '/').last().unwrap_or_default();
                named.insert(&source.artifact);
                dependencies.push(Need {
                    from: artifact,
                    to,
                    label: label.to_owned(),
                    parameter,
                });
            }
        }
        for id in artifact.needs.iter().filter(|id| !named.contains(id)) {
            if let Some(to) = bundle.artifact(id) {
                let object = to.object();
                dependencies.push(Need {
                    from: artifact,
                    to,
                    label: object.map_or(String::new(), |object| object.kind.to_string()),
                    parameter: None,
                });
            }
        }
    }
    dependencies
}

/// Adds an arrow for each reference between two resources of a template.
fn inner_arrows(template: &Template, arrows: &mut BTreeMap<(Key, Key), BTreeSet<String>>) {
    let key = |id: &str| -> Option<Key> {
        let member = template.members.get(id)?;
        Some((
            template.owner.clone(),
            template.component.clone(),
            Some(member.address.clone()),
        ))
    };
    let resources = template.template.get("Resources").and_then(Value::as_map);
    for (id, resource) in resources.into_iter().flatten() {
        let mut named = Vec::new();
        references(resource, &mut named);
        for (to, label) in named {
            if let (Some(from), Some(to)) = (key(id), key(&to))
                && from != to
            {
                arrows.entry((from, to)).or_default().insert(label);
            }
        }
    }
}

/// Collects the logical IDs that a part of a template refers to, each with the attribute.
fn references(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Map(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("Ref", Value::String(id)) => found.push((id.to_string(), String::new())),
                    ("DependsOn", Value::String(id)) => found.push((id.to_string(), String::new())),
                    ("DependsOn", Value::List(ids)) => {
                        found.extend(
                            ids.iter()
                                .filter_map(|id| Some((id.as_str()?.to_owned(), String::new()))),
                        );
                    }
                    ("Fn::GetAtt", Value::List(parts)) => {
                        if let [id, attribute] = parts.as_slice()
                            && let (Some(id), Some(attribute)) = (id.as_str(), attribute.as_str())
                        {
                            found.push((id.to_owned(), attribute.to_owned()));
                        }
                    }
                    ("Fn::Sub", Value::String(text)) => substituted(text, found),
                    ("Fn::Sub", Value::List(parts)) => {
                        if let Some(Value::String(text)) = parts.first() {
                            substituted(text, found);
                        }
                        parts.iter().skip(1).for_each(|part| references(part, found));
                    }
                    (_, value) => references(value, found),
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Collects the references in the string of an `Fn::Sub`, such as `${Queue.Arn}`.
fn substituted(text: &str, found: &mut Vec<(String, String)>) {
    for piece in text.split("${").skip(1) {
        if let Some((name, _)) = piece.split_once('}') {
            let (id, attribute) = name.split_once('.').unwrap_or((name, ""));
            found.push((id.to_owned(), attribute.to_owned()));
        }
    }
}
