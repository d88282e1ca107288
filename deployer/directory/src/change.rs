//! Previews of the changes that an apply makes to the files of a directory.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{
    Artifact, Body, CloudFormationStack, Map, Member, Object, Segment, Text, Value, show_path,
};
use terrace_deployer_model::diff::objects::diff_objects;
use terrace_deployer_model::diff::templates::{ResourceDiff, diff_resources, diff_values, with_properties};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::loss::{fate_of_object, fate_of_resource, keeps};
use terrace_deployer_model::plan::{Action, Change, Field, MemberChange, Risk};
use terrace_deployer_model::reasons::{fields_change, resources_change};
use terrace_deployer_model::template::flat;
use terrace_deployer_model::values::Values;

use super::manifest::Found;

/// Compares an artifact with the files of the directory, and returns the change that writing it makes.
pub(super) fn preview(
    artifact: &Artifact,
    found: Option<&Found>,
    values: &Values,
) -> Result<Change, Failure> {
    let mut wanted = artifact.clone();
    let mut notes = Vec::new();
    match &mut wanted.body {
        Body::Object(object) => {
            let filled = values.fill(object);
            object.manifest = filled.manifest;
            for (path, shown) in filled.later {
                notes.push(format!(
                    "`{}` stays `${{{shown}}}`: this environment writes to a directory, which has no live values",
                    show_path(&path)
                ));
            }
        }
        Body::Stack(stack) => {
            for (name, value) in values.parameters(stack) {
                if let terrace_deployer_model::values::Late::Later(shown) = value {
                    notes.push(format!(
                        "parameter `{name}` stays `${{{shown}}}`: this environment writes to a directory, which has no live values"
                    ));
                }
            }
        }
    }
    let mut change = match found {
        None => Change::of(Action::Create, "it is not in the directory"),
        Some(found) if !found.others.is_empty() => return Err(shares_its_file(found)),
        Some(found) => compare(found, &wanted),
    };
    if change.action == Action::Create
        && let Body::Stack(stack) = &wanted.body
    {
        change.members = created(stack);
    }
    change.notes.splice(0..0, notes);
    Ok(change)
}

/// Builds the refusal to adopt an artifact whose file contains other objects. Terrace writes a file as a whole, so the other
/// objects would be lost.
fn shares_its_file(found: &Found) -> Failure {
    let message = format!(
        "`{}` cannot be adopted: it also contains {}",
        found.main,
        found.others.join(", ")
    );
    Failure::new(FailureKind::Protected, message)
        .hint("move these objects to another file, or add them to this component")
}

/// Returns the change that deletes an artifact from the directory. Argo CD and Flux delete the live objects whose manifests are
/// deleted, so the change reports the data that is lost with them.
pub(super) fn removal(found: Option<&Found>, live: &Live) -> Change {
    let mut change = Change::of(Action::Delete, "no longer in the stack");
    match found.map(|found| &found.artifact.body) {
        Some(Body::Stack(stack)) => {
            for (id, member) in &stack.members {
                record_removal(&mut change, stack, id, member);
            }
        }
        Some(Body::Object(object)) => {
            let fate = fate_of_object(&object.manifest, !live.holds_data.is_empty(), Action::Delete);
            for address in &live.addresses {
                fate.into_iter()
                    .for_each(|fate| change.record_fate(address, fate));
            }
        }
        None => {
            change.loses_data.extend(live.holds_data.iter().cloned());
            if !change.loses_data.is_empty() {
                change.risk = Risk::DataLoss;
            }
        }
    }
    change
}

/// Records that a resource is no longer in the template. Its deletion policy determines whether it is deleted or retained.
fn record_removal(change: &mut Change, stack: &CloudFormationStack, id: &Text, member: &Member) {
    let resource = stack.template.at(&["Resources", id]);
    let kept = resource.and_then(|resource| keeps(resource, "DeletionPolicy"));
    let (action, reason) = match kept {
        None | Some("Snapshot") => (Action::Delete, "no longer in the stack"),
        Some(_) => (
            Action::Retain,
            "no longer in the stack, and its deletion policy retains it",
        ),
    };
    let mut gone = MemberChange {
        origin: None,
        ..member_change(id, member, action, reason)
    };
    if let Some(fate) = fate_of_resource(&member.resource_type, member.holds_data, kept, Action::Delete) {
        change.record_fate(&member.address, fate);
        gone.risk = fate.risk();
    }
    change.members.push(gone);
}

fn compare(found: &Found, wanted: &Artifact) -> Change {
    let mut change = Change::keep();
    if !found.ours {
        change.action = Action::Adopt;
        change.reason =
            "the directory already contains it; this environment manages it from now on".to_owned();
    }
    if let Some(why) = &found.unreadable {
        if found.ours {
            change.action = Action::Update;
        }
        change.reason = format!(
            "`{}` is not a valid manifest ({why}): apply replaces the file; to keep its edits, repair it first",
            found.main
        );
        return change;
    }
    match (&found.artifact.body, &wanted.body) {
        (Body::Object(before), Body::Object(after)) => objects(before, after, &mut change),
        (Body::Stack(before), Body::Stack(after)) => stacks(before, after, &mut change),
        _ => change.action = Action::Update,
    }
    if !change.fields.is_empty() || !change.members.is_empty() {
        if found.ours {
            change.action = Action::Update;
            change.reason = match (change.members.len(), wanted.stack()) {
                (changed @ 1.., Some(stack)) => {
                    resources_change(changed, total_resources(&found.artifact, stack))
                }
                _ => fields_change(&change.fields),
            };
        }
    } else if change.action == Action::Keep
        && let Some(path) = found.edited.first()
    {
        change.action = Action::Update;
        change.reason = format!("`{path}` was edited or is missing");
    }
    change
}

fn objects(before: &Object, after: &Object, change: &mut Change) {
    change.fields = diff_objects(&before.manifest, &after.manifest);
    let template = |field: &Field| {
        let parts = field.path.iter().take(2).map(|segment| match segment {
            Segment::Key(key) => key.as_str(),
            Segment::Index(_) => "",
        });
        parts.eq(["spec", "template"])
    };
    let runs_pods = matches!(after.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    if runs_pods && change.fields.iter().any(template) {
        change.risk = Risk::Restart;
    }
    change.loses_in_object(after, before.holds_data, &before.manifest, &after.manifest);
}

fn stacks(before: &CloudFormationStack, after: &CloudFormationStack, change: &mut Change) {
    let resources =
        |stack: &CloudFormationStack| stack.template.get("Resources").and_then(Value::as_map).cloned();
    let (old, new) = (
        resources(before).unwrap_or_default(),
        resources(after).unwrap_or_default(),
    );
    // A directory has no live values, so parameters keep their names.
    let unresolved = BTreeMap::new();
    for (id, resource) in &new {
        let Some(member) = after.members.get(id) else {
            continue;
        };
        match old.get(id) {
            None => change
                .members
                .push(member_change(id, member, Action::Create, "new in the template")),
            Some(twin) if twin == resource => {}
            Some(twin) => {
                let (before_resource, after_resource) = ((twin, &unresolved), (resource, &unresolved));
                let ResourceDiff {
                    properties,
                    attributes,
                } = diff_resources(before_resource, after_resource);
                let fields = [properties, attributes].concat();
                let mut changed = member_change(id, member, Action::Update, fields_change(&fields));
                changed.fields = fields;
                let held = before.members.get(id).is_some_and(|member| member.holds_data);
                let held = held.then_some(member);
                let notes = changed.loses_in_resource(
                    &with_properties(before_resource),
                    &with_properties(after_resource),
                    held,
                );
                change.notes.extend(notes);
                if !changed.losses.is_empty() {
                    change.loses_data.insert(member.address.clone());
                    change.risk = Risk::DataLoss;
                }
                change.members.push(changed);
            }
        }
    }
    for (id, _) in old.iter().filter(|(id, _)| new.get(id).is_none()) {
        if let Some(member) = before.members.get(id) {
            record_removal(change, before, id, member);
        }
    }
    change.fields = diff_values(
        &flat(&rest(before), &unresolved),
        &flat(&rest(after), &unresolved),
    );
    // Resources that another tool added to the template are not recorded as members.
    let known = |id: &Text| after.members.contains_key(id) || before.members.contains_key(id);
    for (id, resource) in old.iter().filter(|(id, _)| !known(id)) {
        let path = vec![Segment::Key("Resources".into()), Segment::Key(id.clone())];
        change.fields.push(Field::new(path, Some(resource.clone()), None));
    }
}

/// Counts the resources of a stack and those that are no longer in it.
fn total_resources(before: &Artifact, after: &CloudFormationStack) -> usize {
    let resources = |stack: &CloudFormationStack| {
        let resources = stack.template.get("Resources").and_then(Value::as_map);
        resources
            .into_iter()
            .flat_map(Map::keys)
            .cloned()
            .collect::<BTreeSet<Text>>()
    };
    let before = before.stack().map(resources).unwrap_or_default();
    before.union(&resources(after)).count()
}

/// Returns a stack without its resources, as a value to compare.
fn rest(stack: &CloudFormationStack) -> Value {
    let mut map = stack.template.as_map().cloned().unwrap_or_default();
    map.remove("Resources");
    let parameters = stack.parameters.iter();
    map.insert(
        "ParameterValues",
        parameters
            .map(|(name, parts)| (name.clone(), Value::from(&*terrace_artifact::show_parts(parts))))
            .collect::<Map>(),
    );
    let tags = stack.tags.iter();
    map.insert(
        "Tags",
        tags.map(|(key, value)| (key.clone(), Value::from(value.clone())))
            .collect::<Map>(),
    );
    map.insert("TerminationProtection", stack.termination_protection);
    if let Some(policy) = &stack.policy {
        map.insert("StackPolicy", policy.clone());
    }
    Value::Map(map)
}

fn created(stack: &CloudFormationStack) -> Vec<MemberChange> {
    let resources = stack.template.get("Resources").and_then(Value::as_map);
    let ids = resources.into_iter().flatten().map(|(id, _)| id);
    ids.filter_map(|id| {
        Some(member_change(
            id,
            stack.members.get(id)?,
            Action::Create,
            "it does not exist",
        ))
    })
    .collect()
}

fn member_change(id: &Text, member: &Member, action: Action, reason: impl Into<String>) -> MemberChange {
    MemberChange {
        logical_id: id.clone(),
        address: Some(member.address.clone()),
        resource_type: member.resource_type.clone(),
        origin: Some(member.origin.clone()),
        action,
        reason: reason.into(),
        risk: Risk::None,
        fields: Vec::new(),
        losses: Vec::new(),
    }
}
