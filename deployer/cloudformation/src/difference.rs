//! Predicts the changes of a template without a change set. It compares each property with the template that was deployed
//! last, and derives the replacements that CloudFormation must make.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{CloudFormationStack, Map, Segment, Text, Value};
use terrace_catalog::Replacement;
use terrace_deployer_model::diff::templates::{ResourceDiff, diff_resources, diff_values, with_properties};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::plan::{Action, Change, Field, MemberChange, Risk};
use terrace_deployer_model::reasons::{cannot_change_in_place, fields_change, resources_change};
use terrace_deployer_model::values::Late;

use super::losses;
use super::names::own_names;
use super::record::Observed;
use super::template::{self, flat, references, shown};

/// Returns the change that deploying `stack` makes to the observed stack.
///
/// # Errors
///
/// Fails if CloudFormation would reject the change: if a resource with an explicit name would be replaced, or if a logical id
/// changes its type.
pub(super) fn difference(
    stack: &CloudFormationStack,
    parameters: &BTreeMap<Text, Late<Text>>,
    tags: &BTreeMap<Text, Text>,
    observed: &Observed,
) -> Result<Change, Failure> {
    let mut comparison = Comparison {
        stack,
        old: &observed.template,
        observed,
        notes: Vec::new(),
        before: observed.parameters(),
        after: parameters,
        members: BTreeMap::new(),
    };
    comparison.resources();
    comparison.follow_replacements();
    comparison.refuse_impossible_changes()?;
    comparison.find_losses();

    let mut fields = comparison.outputs();
    let record = &observed.record;
    fields.extend(diff_values(&texts("Tags", &record.tags), &texts("Tags", tags)));
    if record.protected != stack.termination_protection {
        fields.push(field(
            "TerminationProtection",
            Some(record.protected.into()),
            Some(stack.termination_protection.into()),
        ));
    }
    if policy(observed.policy.as_ref()) != policy(stack.policy.as_ref()) {
        fields.push(field(
            "StackPolicy",
            observed.policy.clone(),
            stack.policy.clone(),
        ));
    }
    Ok(comparison.change(fields))
}

/// Returns the change that creates `stack`.
pub(super) fn creation(
    stack: &CloudFormationStack,
    parameters: &BTreeMap<Text, Late<Text>>,
    reason: &str,
) -> Change {
    let mut change = Change::of(Action::Create, reason);
    for (logical_id, resource) in template::resources(&stack.template) {
        change.members.push(MemberChange {
            fields: late_fields(resource, parameters),
            ..member(stack, logical_id, resource, Action::Create, "it does not exist")
        });
    }
    change
}

/// Returns whether a change needs a change set. Separate API calls set the termination protection and the stack policy.
pub(super) fn needs_change_set(change: &Change) -> bool {
    let has_own_call = |field: &Field| matches!(field.path.first(), Some(Segment::Key(key)) if key == "TerminationProtection" || key == "StackPolicy");
    change.action == Action::Create || !change.members.is_empty() || !change.fields.iter().all(has_own_call)
}

/// Returns the effective policy of a stack. A stack without a policy is equal to one whose policy allows everything, because
/// CloudFormation cannot delete a stack policy.
pub(super) fn policy(policy: Option<&Value>) -> Value {
    policy.cloned().unwrap_or_else(allow_all)
}

/// Returns the stack policy that allows every update.
pub(super) fn allow_all() -> Value {
    let mut statement = Map::new();
    statement.insert("Effect", "Allow");
    statement.insert("Principal", "*");
    statement.insert("Action", "Update:*");
    statement.insert("Resource", "*");
    let mut policy = Map::new();
    policy.insert("Statement", vec![Value::Map(statement)]);
    Value::Map(policy)
}

struct Comparison<'a> {
    stack: &'a CloudFormationStack,
    old: &'a Value,
    observed: &'a Observed,
    /// Notes about losses that are unknown until apply.
    notes: Vec<String>,
    before: BTreeMap<Text, Late<Text>>,
    after: &'a BTreeMap<Text, Late<Text>>,
    members: BTreeMap<Text, MemberChange>,
}

impl<'a> Comparison<'a> {
    fn new_template(&self) -> &'a Value {
        &self.stack.template
    }

    fn resources(&mut self) {
        let ids: BTreeSet<&Text> = template::resources(self.old)
            .chain(template::resources(self.new_template()))
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            let change = match (
                template::resource(self.old, id),
                template::resource(self.new_template(), id),
            ) {
                (None, Some(new)) => Some(MemberChange {
                    fields: late_fields(new, self.after),
                    ..member(self.stack, id, new, Action::Create, "new in the template")
                }),
                (Some(old), None) => Some(removed(self.stack, id, old, self.observed)),
                (Some(old), Some(new)) => self.changed(id, old, new),
                (None, None) => None,
            };
            if let Some(change) = change {
                self.members.insert(id.clone(), change);
            }
        }
    }

    fn changed(&self, id: &Text, old: &Value, new: &Value) -> Option<MemberChange> {
        let ResourceDiff {
            mut properties,
            mut attributes,
        } = diff_resources((old, &self.before), (new, self.after));
        let mut may_be_replaced = false;
        for property in &mut properties {
            let replacement = replacement(template::resource_type(new), &property.path);
            property.forces_replacement = replacement == Replacement::Always;
            may_be_replaced |= replacement == Replacement::Conditional;
        }
        attributes.retain(|field| template::has_effect(&field.path));
        let fields = [properties, attributes].concat();
        if fields.is_empty() {
            return None;
        }
        let mut change = member(self.stack, id, new, Action::Update, &fields_change(&fields));
        change.fields = fields;
        if change.fields.iter().any(|field| field.forces_replacement) {
            replaced(&mut change);
        } else if may_be_replaced {
            change.reason.push_str(MAY_BE_REPLACED);
            change.risk = Risk::Replace;
        }
        Some(change)
    }

    /// Adds the changes of resources that refer to a replaced resource. Their property gets a new value, and they may be
    /// replaced because of it.
    fn follow_replacements(&mut self) {
        let mut done: BTreeSet<Text> = BTreeSet::new();
        loop {
            let next = self
                .members
                .values()
                .find(|change| change.action == Action::Replace && !done.contains(&change.logical_id))
                .map(|change| change.logical_id.clone());
            let Some(replaced_id) = next else { return };
            done.insert(replaced_id.clone());
            for (id, new) in template::resources(self.new_template()) {
                let existed = template::resource(self.old, id).is_some();
                if *id == replaced_id || !existed {
                    continue;
                }
                let Some(properties) = new.get("Properties") else {
                    continue;
                };
                for (path, target, attribute) in references(properties) {
                    if target == replaced_id {
                        self.follow(id, new, &path, &replaced_id, attribute);
                    }
                }
            }
        }
    }

    fn follow(&mut self, id: &Text, new: &Value, path: &[Text], target: &Text, attribute: Option<Text>) {
        let path: Vec<Segment> = path
            .iter()
            .take_while(|key| *key != "*")
            .cloned()
            .map(Segment::Key)
            .collect();
        let forces = replacement(template::resource_type(new), &path) == Replacement::Always;
        let name = |target: &Text| {
            let member = self.stack.members.get(target);
            member.map_or_else(|| target.to_string(), |member| member.address.to_string())
        };
        let attribute = attribute.unwrap_or_else(|| "Ref".into());
        let known_after = Text::from(format!("{}.{attribute}", name(target)));
        let reason = format!("`{}` is replaced", name(target));
        let change = self
            .members
            .entry(id.clone())
            .or_insert_with(|| member(self.stack, id, new, Action::Update, &reason));
        match change.fields.iter_mut().find(|field| field.path == path) {
            Some(field) => field.forces_replacement |= forces,
            None => change.fields.push(Field {
                path,
                before: None,
                after: None,
                known_after: Some(known_after),
                forces_replacement: forces,
            }),
        }
        if forces && change.action == Action::Update {
            replaced(change);
        }
    }

    fn refuse_impossible_changes(&self) -> Result<(), Failure> {
        for change in self.members.values() {
            let id = &change.logical_id;
            let (Some(old), Some(new)) = (
                template::resource(self.old, id),
                template::resource(self.new_template(), id),
            ) else {
                continue;
            };
            let (was, is) = (template::resource_type(old), template::resource_type(new));
            let refusal = if was != is {
                Some(
                    Failure::new(
                        FailureKind::Rejected,
                        format!(
                            "`{id}` cannot change its type from `{was}` to `{is}`"
                        ),
                    )
                    .hint(
                        "declare the new resource under another key; the plan then shows what happens to the old one",
                    ),
                )
            } else if change.action == Action::Replace {
                self.name_conflict(change, new)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                return Err(refusal.about(change.address.as_ref(), change.origin.as_ref()));
            }
        }
        Ok(())
    }

    /// Returns the refusal of a replacement that keeps the name of the resource. CloudFormation creates the new resource before it
    /// deletes the old one, and two resources cannot have the same name.
    fn name_conflict(&self, change: &MemberChange, new: &Value) -> Option<Failure> {
        let resource_type = template::resource_type(new);
        let properties = new.get("Properties")?;
        let kept = |name: &&'static str| {
            let path: Vec<&str> = name.split('/').collect();
            let changes = change.fields.iter().any(|field| {
                let both = field.path.iter().zip(&path);
                both.into_iter()
                    .all(|(segment, key)| matches!(segment, Segment::Key(k) if k == key))
            });
            properties.at(&path).is_some() && !changes
        };
        let (identifier, names) = own_names(resource_type);
        let kept = if !identifier.is_empty() && identifier.iter().all(&kept) {
            identifier.last().copied()
        } else {
            names.into_iter().find(kept)
        }?;
        let path: Vec<&str> = kept.split('/').collect();
        let (name, _) = shown(&flat(properties.at(&path)?, self.after));
        let forced = change.fields.iter().find(|field| field.forces_replacement)?;
        let forced = terrace_artifact::show_path(&forced.path);
        let kept = kept.replace('/', ".");
        Some(
            Failure::new(
                FailureKind::Rejected,
                format!(
                    "`{forced}` of `{}` cannot be changed: CloudFormation creates the new `{resource_type}` before it \
                     deletes the old one, and both would have the name {name}",
                    change.logical_id
                ),
            )
            .hint(match self.observed.holds_data(&change.logical_id) {
                true => format!("change `{kept}` as well; the plan then shows what happens to the data of the old resource"),
                false => format!(
                    "change `{kept}` as well, or remove the resource in one apply and declare it again in the next"
                ),
            }),
        )
    }

    fn outputs(&self) -> Vec<Field> {
        let of = |template: &Value, parameters: &BTreeMap<Text, Late<Text>>| {
            let mut map = Map::new();
            let outputs = template.get("Outputs").and_then(Value::as_map);
            for (name, output) in outputs.into_iter().flatten() {
                let mut effective = Map::new();
                for key in ["Condition", "Value", "Export"] {
                    if let Some(value) = output.get(key) {
                        effective.insert(key, flat(value, parameters));
                    }
                }
                map.insert(name.clone(), effective);
            }
            let mut all = Map::new();
            all.insert("Outputs", map);
            Value::Map(all)
        };
        diff_values(&of(self.old, &self.before), &of(self.new_template(), self.after))
    }

    fn change(self, fields: Vec<Field>) -> Change {
        if self.members.is_empty() && fields.is_empty() {
            return Change::keep();
        }
        let reason = match self.members.len() {
            0 => fields_change(&fields),
            changed => resources_change(changed, self.total()),
        };
        let mut change = Change::of(Action::Update, reason);
        change.fields = fields;
        change.notes = self.notes;
        for mut member in self.members.into_values() {
            if let Some(old) = template::resource(self.old, &member.logical_id) {
                let holds = losses::holds(&member.logical_id, self.observed, self.stack);
                losses::goes(&mut change, &mut member, old, holds);
            }
            change.risk = change.risk.max(member.risk);
            change.members.push(member);
        }
        change
    }

    /// Adds the data losses of resources that are updated in place.
    fn find_losses(&mut self) {
        for change in self.members.values_mut() {
            let id = &change.logical_id;
            let old = template::resource(self.old, id);
            let new = template::resource(&self.stack.template, id);
            let (Some(old), Some(new), Action::Update) = (old, new, change.action) else {
                continue;
            };
            let before = with_properties((old, &self.before));
            let after = with_properties((new, self.after));
            let held = self
                .observed
                .holds_data(id)
                .then(|| self.stack.members.get(id))
                .flatten();
            self.notes.extend(change.loses_in_resource(&before, &after, held));
        }
    }

    fn total(&self) -> usize {
        let removed = template::resources(self.old)
            .filter(|(id, _)| template::resource(self.new_template(), id).is_none())
            .count();
        template::resources(self.new_template()).count() + removed
    }
}

/// The suffix of the reason of an update that replaces the resource for some values of the property.
const MAY_BE_REPLACED: &str = ", which may require replacement";

/// Returns whether this update replaces the resource for some values of its properties.
pub(super) fn may_be_replaced(member: &MemberChange) -> bool {
    member.action == Action::Update && member.reason.ends_with(MAY_BE_REPLACED)
}

/// Records that CloudFormation does not replace the resource.
pub(super) fn not_replaced(member: &mut MemberChange) {
    if let Some(reason) = member.reason.strip_suffix(MAY_BE_REPLACED) {
        member.reason = reason.to_owned();
        member.risk = Risk::None;
    }
}

fn removed(stack: &CloudFormationStack, id: &Text, old: &Value, observed: &Observed) -> MemberChange {
    let reason = "no longer in the template";
    let stays = template::keeps(old, "DeletionPolicy").is_some_and(|policy| policy != "Snapshot");
    let action = if stays { Action::Retain } else { Action::Delete };
    let mut change = member(stack, id, old, action, reason);
    change.address = change.address.or_else(|| observed.addresses.get(id).cloned());
    change
}

fn replaced(change: &mut MemberChange) {
    change.action = Action::Replace;
    change.reason = cannot_change_in_place(&change.fields);
    change.risk = Risk::Replace;
}

fn member(
    stack: &CloudFormationStack,
    id: &Text,
    resource: &Value,
    action: Action,
    reason: &str,
) -> MemberChange {
    let known = stack.members.get(id);
    MemberChange {
        logical_id: id.clone(),
        address: known
            .map(|member| member.address.clone())
            .or_else(|| template::address(resource)),
        resource_type: template::resource_type(resource).into(),
        origin: known.map(|member| member.origin.clone()),
        action,
        reason: reason.to_owned(),
        risk: Risk::None,
        fields: Vec::new(),
        losses: Vec::new(),
    }
}

/// Returns the properties of a new resource that are known only after apply.
fn late_fields(resource: &Value, parameters: &BTreeMap<Text, Late<Text>>) -> Vec<Field> {
    let properties = resource.get("Properties").cloned().unwrap_or_default();
    let flat = flat(&properties, parameters);
    let mut fields = diff_values(&Value::Map(Map::new()), &flat);
    fields.retain(|field| field.known_after.is_some());
    fields
}

/// Returns whether a change of a property replaces the resource. Returns `Never` for a type that is not in the catalog: only
/// CloudFormation can decide it.
fn replacement(resource_type: &str, path: &[Segment]) -> Replacement {
    terrace_catalog::cloudformation(resource_type)
        .map_or(Replacement::Never, |known| known.is_create_only(path))
}

/// Returns a changed field of a stack.
pub(super) fn field(key: &str, before: Option<Value>, after: Option<Value>) -> Field {
    Field::new(vec![Segment::Key(key.into())], before, after)
}

fn texts(name: &str, map: &BTreeMap<Text, Text>) -> Value {
    let mut out = Map::new();
    out.insert(
        name,
        map.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Map>(),
    );
    Value::Map(out)
}

#[cfg(test)]
mod tests;
