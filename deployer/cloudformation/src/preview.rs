//! Predicts the change of a stack, and its outputs after the change.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{ChangeAction, Replacement, ResourceChange};
use terrace_artifact::{CloudFormationStack, Segment, Text, Value};
use terrace_deployer_model::backend::PreviewOptions;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::Ownership;
use terrace_deployer_model::plan::{Action, Change, MemberChange, Risk};
use terrace_deployer_model::values::{Late, Values};

use super::account::Account;
use super::change_set::{Desired, Template};
use super::difference::{creation, difference, field, may_be_replaced, needs_change_set, not_replaced};
use super::losses;
use super::record::{Observed, Record, tags};
use super::status::StackState;
use super::template;

impl Account {
    /// Returns the change that deploying `stack` makes.
    pub(super) async fn change(
        &self,
        stack: &CloudFormationStack,
        live: Option<&Live>,
        values: &Values,
        options: &PreviewOptions,
        label: &str,
    ) -> Result<Change, Failure> {
        let parameters = values.parameters(stack);
        let Some(live) = live else {
            return Ok(creation(stack, &parameters, "it does not exist"));
        };
        let observed = Observed::from_value(&live.value);
        let record = &observed.record;
        let is_ours = live.ownership.is_ours();
        if !is_ours && let Err(why) = may_adopt(record) {
            let sign = match &live.ownership {
                Ownership::Foreign(Some(owner)) => format!(" ({owner})"),
                _ => String::new(),
            };
            let message = format!(
                "CloudFormation stack `{}`{sign} cannot be adopted: {why}",
                record.name
            );
            return Err(Failure::new(FailureKind::Protected, message).hint(
                "to leave it unchanged, rename the component in the stack or remove it from the stack",
            ));
        }
        let tags = tags(stack, label, !is_ours || live.ownership.is_adopted());
        let mut change = match record.state() {
            StackState::Gone | StackState::Empty => creation(stack, &parameters, "it does not exist"),
            StackState::Ruined => ruined(stack, &parameters, live, record),
            StackState::Stuck => return Err(self.stuck(record)),
            StackState::Steady => difference(stack, &parameters, &tags, &observed)?,
            StackState::Busy => {
                let mut change = difference(stack, &parameters, &tags, &observed)?;
                let waits = format!("apply waits for it: its status is {}", record.status);
                if change.action == Action::Keep {
                    change = Change::of(Action::Update, waits);
                } else {
                    change.notes.push(waits);
                }
                change
            }
        };
        // A change set is a write. A plan does not write to a foreign stack, even if the user adopts it.
        let asks = options.change_set && is_ours && record.state() == StackState::Steady;
        if asks && change.action == Action::Update {
            self.ask(&mut change, stack, &parameters, &tags, &observed)
                .await?;
        }
        if !is_ours {
            change.action = Action::Adopt;
        }
        match change.action {
            Action::Update | Action::Adopt => self.guard_contents(change, &observed).await,
            _ => Ok(change),
        }
    }

    /// Asks CloudFormation for the exact changes. Creates a change set and deletes it again.
    async fn ask(
        &self,
        change: &mut Change,
        stack: &CloudFormationStack,
        parameters: &BTreeMap<Text, Late<Text>>,
        tags: &BTreeMap<Text, Text>,
        observed: &Observed,
    ) -> Result<(), Failure> {
        let known: Option<BTreeMap<Text, Text>> = parameters
            .iter()
            .map(|(name, value)| Some((name.clone(), value.known()?.clone())))
            .collect();
        let Some(known) = known.filter(|_| needs_change_set(change)) else {
            return Ok(());
        };
        let desired = Desired {
            name: &stack.name,
            template: Template::Declared(stack),
            parameters: &known,
            tags,
            stack_id: Some(&observed.record.id),
            creates: false,
        };
        let set = self
            .create_change_set(&desired, format!("preview-{}", desired.change_set_name()))
            .await?;
        if let Some(changes) = &set.changes {
            self.clean_up(&desired, &set).await?;
            merge(change, changes, stack, observed);
        }
        change.previewed = true;
        Ok(())
    }
}

/// Returns the value of an output: the current value, or the value after `change` if that is known before apply.
pub(super) fn attribute(attribute: &[Segment], live: &Live, change: Option<&Change>) -> Option<Value> {
    let [Segment::Key(name)] = attribute else {
        return None;
    };
    let observed = Observed::from_value(&live.value);
    if let Some(change) = change {
        match change.action {
            Action::Keep => {}
            Action::Update | Action::Adopt => {
                if !outlives(name, change, &observed) {
                    return None;
                }
            }
            Action::Create | Action::Replace | Action::Delete | Action::Retain => return None,
        }
    }
    observed
        .record
        .outputs
        .get(name)
        .map(|value| value.clone().into())
}

/// Returns the change that deletes a stack, with the effect on each resource.
pub(super) fn removal(live: &Live) -> Change {
    let observed = Observed::from_value(&live.value);
    let mut change = Change::of(Action::Delete, "no longer in the stack");
    for (logical_id, resource) in template::resources(&observed.template) {
        let kept = template::keeps(resource, "DeletionPolicy");
        let stays = kept.is_some_and(|policy| policy != "Snapshot");
        let mut member = MemberChange {
            logical_id: logical_id.clone(),
            address: observed.addresses.get(logical_id).cloned(),
            resource_type: template::resource_type(resource).into(),
            origin: None,
            action: if stays { Action::Retain } else { Action::Delete },
            reason: "its stack is deleted".to_owned(),
            risk: Risk::None,
            fields: Vec::new(),
            losses: Vec::new(),
        };
        let holds = observed.holds_data(logical_id);
        losses::goes(&mut change, &mut member, resource, holds);
        change.members.push(member);
    }
    unprotect(&mut change, &observed.record);
    change
}

/// Adds a note that the termination protection is disabled before the stack is deleted.
fn unprotect(change: &mut Change, record: &Record) {
    if record.protected {
        let disabled = field("TerminationProtection", Some(true.into()), Some(false.into()));
        change.fields.push(disabled);
        change
            .notes
            .push("its termination protection is disabled first".to_owned());
    }
}

/// Returns why a stack cannot be adopted. Only a stack that can be updated can be adopted: Terrace would have to delete any other
/// stack first, and does not delete foreign stacks.
pub(super) fn may_adopt(record: &Record) -> Result<(), String> {
    let remedy = match record.state() {
        StackState::Steady => return Ok(()),
        StackState::Busy => "make a new plan when the operation has ended",
        _ => "its owner must repair or delete it first",
    };
    Err(format!(
        "its status is {}, which does not allow updates; {remedy}",
        record.status
    ))
}

/// Returns whether an output keeps its value through an update.
fn outlives(output: &Text, change: &Change, observed: &Observed) -> bool {
    let is_output = |path: &[Segment]| matches!(path, [Segment::Key(section), Segment::Key(name), ..] if section == "Outputs" && name == output);
    if change.fields.iter().any(|field| is_output(&field.path)) {
        return false;
    }
    let Some(value) = observed.template.at(&["Outputs", output, "Value"]) else {
        return false;
    };
    template::references(value).into_iter().all(|(_, id, attribute)| {
        let member = change.members.iter().find(|member| member.logical_id == id);
        match member.map(|member| member.action) {
            None | Some(Action::Keep) => true,
            // Identifying attributes keep their values as long as the resource exists. Others may depend on its properties.
            Some(Action::Update) => attribute.is_none_or(|attribute| {
                ["Arn", "Id", "Name", "Url", "URL", "Endpoint", "DomainName"]
                    .iter()
                    .any(|suffix| attribute.ends_with(suffix))
            }),
            Some(_) => false,
        }
    })
}

fn ruined(
    stack: &CloudFormationStack,
    parameters: &BTreeMap<Text, Late<Text>>,
    live: &Live,
    record: &Record,
) -> Change {
    let reason = match &*record.status {
        "DELETE_FAILED" => {
            "its deletion failed (DELETE_FAILED): apply completes the deletion first".to_owned()
        }
        status => format!("its creation failed ({status}): apply deletes it first"),
    };
    let mut change = creation(stack, parameters, &reason);
    change.action = Action::Replace;
    change.loses_data = live.holds_data.iter().cloned().collect();
    if !change.loses_data.is_empty() {
        change.risk = Risk::DataLoss;
    }
    unprotect(&mut change, record);
    change
}

/// Corrects a predicted change with the changes that CloudFormation reports: the changed resources, and their replacements.
fn merge(change: &mut Change, reported: &[ResourceChange], stack: &CloudFormationStack, observed: &Observed) {
    for resource in reported {
        let Some(id) = resource.logical_resource_id() else {
            continue;
        };
        let replaced = resource.replacement() == Some(&Replacement::True);
        let known = change.members.iter().position(|member| member.logical_id == id);
        let index = known.unwrap_or(change.members.len());
        match known {
            None => change.members.push(reported_member(resource, stack, observed)),
            Some(index) => {
                let member = &mut change.members[index];
                let stays = resource.replacement() == Some(&Replacement::False) && may_be_replaced(member);
                if stays {
                    not_replaced(member);
                }
                if replaced && member.action != Action::Replace {
                    member.action = Action::Replace;
                    member.reason = "CloudFormation reports that it must be replaced".to_owned();
                    member.risk = Risk::Replace;
                    // The replacement deletes or retains the old resource as a whole.
                    member.losses.clear();
                }
                if stays && let Some(address) = member.address.clone() {
                    change.forget(&address);
                }
            }
        }
        if let Some(old) = template::resource(&observed.template, id) {
            let mut member = change.members[index].clone();
            let holds = losses::holds(&member.logical_id, observed, stack);
            losses::goes(change, &mut member, old, holds);
            change.members[index] = member;
        }
    }
    let risks = change.members.iter().map(|member| member.risk);
    change.risk = risks.max().unwrap_or_default();
}

/// Returns the change of a resource that CloudFormation reports although its declaration has not changed.
fn reported_member(
    resource: &ResourceChange,
    stack: &CloudFormationStack,
    observed: &Observed,
) -> MemberChange {
    let id: Text = resource.logical_resource_id().unwrap_or_default().into();
    let of = stack.members.get(&id);
    let replaced = resource.replacement() == Some(&Replacement::True);
    let recorded = observed.addresses.get(&id).cloned();
    MemberChange {
        address: of.map(|member| member.address.clone()).or(recorded),
        resource_type: resource.resource_type().unwrap_or_default().into(),
        origin: of.map(|member| member.origin.clone()),
        action: match resource.action() {
            Some(ChangeAction::Add) => Action::Create,
            Some(ChangeAction::Remove) => Action::Delete,
            _ if replaced => Action::Replace,
            _ => Action::Update,
        },
        reason: "CloudFormation reports that it changes".to_owned(),
        risk: if replaced { Risk::Replace } else { Risk::None },
        fields: Vec::new(),
        losses: Vec::new(),
        logical_id: id,
    }
}
