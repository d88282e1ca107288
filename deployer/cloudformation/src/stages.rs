//! Updates a stack in two change sets: the first keeps the resources that other stacks still use, the second deletes them.
//!
//! References between stacks are parameters with values. CloudFormation does not know these references. It would delete a
//! resource that another stack uses, and that stack would refer to a missing resource until its own update.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{CloudFormationStack, Map, Part, Text, Value};
use terrace_deployer_model::backend::RemovedPart;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::{Action, Change};
use terrace_deployer_model::values::{Late, Values};

use super::difference::difference;
use super::names::unique_name;
use super::record::{Observed, tags};
use super::template;

/// Returns the resources that an update deletes or replaces, each with the values by which other artifacts may refer to it: the
/// outputs that contain it, and its own name.
pub(super) fn leaving(live: &Live, change: &Change) -> Vec<RemovedPart> {
    let observed = Observed::from_value(&live.value);
    let mut all = Vec::new();
    for member in &change.members {
        let replaced = match member.action {
            Action::Delete => false,
            Action::Replace => true,
            _ => continue,
        };
        let Some(old) = template::resource(&observed.template, &member.logical_id) else {
            continue;
        };
        // The deletion of a foreign resource is approved by name, and the approval is valid for one step.
        if observed.strangers.contains(&member.logical_id) {
            continue;
        }
        // A retained resource remains usable for other stacks.
        if replaced && template::keeps(old, "UpdateReplacePolicy").is_some_and(|kept| kept != "Snapshot") {
            continue;
        }
        let with_reference = outputs(&observed.template).filter(|(_, output)| {
            let references = template::references(output);
            references.iter().any(|(_, id, _)| *id == member.logical_id)
        });
        let of_outputs = with_reference.filter_map(|(name, _)| observed.record.outputs.get(name).cloned());
        let values: BTreeSet<Text> = of_outputs.chain(own_name(old, &observed)).collect();
        if !values.is_empty() {
            let address = member.address.as_ref();
            all.push(RemovedPart {
                part: member.logical_id.clone(),
                shown: address.map_or(member.logical_id.clone(), |address| address.to_string().into()),
                values,
                replaced,
            });
        }
    }
    all
}

/// Returns the desired stack with the live resources `parts`, the resources that these refer to, and the outputs that contain
/// them. Returns `None` if the live template has sections that cannot be merged in part.
pub(super) fn keeping(
    stack: &CloudFormationStack,
    live: &Live,
    parts: &BTreeSet<Text>,
) -> Option<CloudFormationStack> {
    let observed = Observed::from_value(&live.value);
    let old = &observed.template;
    if ["Conditions", "Mappings", "Transform"]
        .iter()
        .any(|section| old.get(section).is_some())
    {
        return None;
    }
    let mut kept = stack.clone();
    let mut open: Vec<Text> = parts.iter().cloned().collect();
    while let Some(id) = open.pop() {
        if template::resource(&kept.template, &id).is_some() {
            continue;
        }
        if let Some(resource) = template::resource(old, &id) {
            insert(&mut kept.template, "Resources", &id, resource.clone());
            open.extend(referred(resource));
        } else if let Some(parameter) = old.at(&["Parameters", &id])
            && kept.template.at(&["Parameters", &id]).is_none()
        {
            insert(&mut kept.template, "Parameters", &id, parameter.clone());
            let value = observed.record.parameters.get(&id).cloned().unwrap_or_default();
            kept.parameters.insert(id, vec![Part::Text(value)]);
        }
    }
    for (name, output) in outputs(old) {
        let contains_part = template::references(output)
            .iter()
            .any(|(_, id, _)| parts.contains(id));
        let wanted = kept.template.at(&["Outputs", name]);
        if !contains_part || wanted == Some(output) {
            continue;
        }
        // After an interruption, the outputs alone show which stacks still use the old resource.
        let name = match wanted {
            Some(_) => format!("{name}Before").into(),
            None => name.clone(),
        };
        insert(&mut kept.template, "Outputs", &name, output.clone());
    }
    Some(kept)
}

/// Returns the remaining change after `kept` has been deployed.
pub(super) fn rest(
    stack: &CloudFormationStack,
    kept: &CloudFormationStack,
    live: &Live,
    values: &Values,
    label: &str,
) -> Option<Change> {
    // By then, the parameters of both sides have the same values, even if these are not known yet.
    let same = |stack: &CloudFormationStack| -> BTreeMap<Text, Text> {
        let late = values.parameters(stack).into_iter();
        late.map(|(name, value)| {
            let (Late::Known(text) | Late::Later(text)) = value;
            (name, text)
        })
        .collect()
    };
    let mut observed = Observed::from_value(&live.value);
    observed.template = kept.template.clone();
    observed.record.parameters = same(kept);
    observed.record.tags = tags(stack, label, live.ownership.is_adopted());
    observed.record.protected = stack.termination_protection;
    observed.policy = stack.policy.clone();
    let after = same(stack).into_iter();
    let after = after.map(|(name, value)| (name, Late::Known(value))).collect();
    let change = difference(stack, &after, &observed.record.tags, &observed).ok()?;
    (change.action == Action::Update).then_some(change)
}

fn outputs(template: &Value) -> impl Iterator<Item = (&Text, &Value)> {
    let map = template.get("Outputs").and_then(Value::as_map);
    map.into_iter().flatten().map(|(name, output)| (name, output))
}

/// Returns the explicit name of a resource. Other artifacts can refer to it by the naming rules, without an output.
fn own_name(resource: &Value, observed: &Observed) -> Option<Text> {
    let name = unique_name(resource, &observed.parameters(), true);
    name.map(|(_, name)| name)
}

/// Returns the resources that a resource refers to or depends on.
fn referred(resource: &Value) -> Vec<Text> {
    let references = template::references(resource).into_iter().map(|(_, id, _)| id);
    let after = match resource.get("DependsOn") {
        Some(Value::String(id)) => vec![id.clone()],
        Some(Value::List(ids)) => ids.iter().filter_map(Value::as_str).map(Text::from).collect(),
        _ => Vec::new(),
    };
    references.chain(after).collect()
}

fn insert(template: &mut Value, section: &str, name: &Text, value: Value) {
    let Some(map) = template.as_map_mut() else { return };
    if map.get(section).is_none() {
        map.insert(section, Map::new());
    }
    if let Some(section) = map.get_mut(section).and_then(Value::as_map_mut) {
        section.insert(name.clone(), value);
    }
}
