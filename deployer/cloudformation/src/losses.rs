//! The losses of a change of a CloudFormation stack: resources that are deleted or retained, and data that is lost in resources
//! that remain.

use terrace_artifact::{Address, CloudFormationStack, Text, Value};
use terrace_deployer_model::loss::fate_of_resource;
use terrace_deployer_model::plan::{Action, Change, MemberChange, Risk};

use super::difference::may_be_replaced;
use super::record::Observed;
use super::template;

/// Returns whether a resource holds data, in the live stack or in the desired stack.
pub(super) fn holds(id: &Text, observed: &Observed, stack: &CloudFormationStack) -> bool {
    let desired = stack.members.get(id).is_some_and(|member| member.holds_data);
    desired || observed.holds_data(id)
}

/// Adds to a change what happens to the old resource and its data, if a member of the stack is deleted, retained or replaced.
pub(super) fn goes(change: &mut Change, member: &mut MemberChange, old: &Value, holds: bool) {
    if let Some(address) = &member.address
        && !member.losses.is_empty()
    {
        change.loses_data.insert(address.clone());
        change.risk = Risk::DataLoss;
    }
    let (policy, action) = match member.action {
        Action::Replace => ("UpdateReplacePolicy", Action::Replace),
        Action::Update if may_be_replaced(member) => ("UpdateReplacePolicy", Action::Replace),
        Action::Delete | Action::Retain => ("DeletionPolicy", Action::Delete),
        _ => return,
    };
    let kept = template::keeps(old, policy);
    let only_perhaps = member.action == Action::Update;
    let fate = fate_of_resource(&member.resource_type, holds, kept, action);
    if let Some(fate) = fate.filter(|_| !(only_perhaps && kept.is_some()))
        && let Some(address) = &member.address
    {
        change.record_fate(address, fate);
        member.risk = member.risk.max(fate.risk());
    }
    if let Some(kept) = kept.filter(|_| !only_perhaps) {
        change.notes.push(stays(member, kept, policy));
    }
}

/// Describes the part of a deleted or replaced resource that remains because of its policy.
fn stays(member: &MemberChange, kept: &str, policy: &str) -> String {
    let address = member.address.as_ref();
    let name = address.map_or(member.logical_id.to_string(), Address::to_string);
    let what = match (kept, member.action) {
        ("Snapshot", _) => "a snapshot of it",
        (_, Action::Replace) => "the old resource",
        _ => "it",
    };
    format!("`{name}`: {what} stays in the account ({policy}: {kept})")
}

#[cfg(test)]
mod tests;
