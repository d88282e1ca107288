//! Resources of a managed stack that are deleted only if the user approves them by name: resources that another user added,
//! and resources with data whose protection another user removed.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, CloudFormationStack, Owner, Text, Value};
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::plan::{Action, Change, Content};

use super::account::Account;
use super::events::name_of;
use super::record::{Observed, Record};
use super::template;

/// Returns the logical ids of a live template that no template of Terrace contains. It compares with the stack of the last
/// releases (`before`), or with the desired stack if there was no release.
pub(super) fn strangers(
    record: &Record,
    live: &Value,
    wanted: Option<&CloudFormationStack>,
    before: Option<&CloudFormationStack>,
) -> BTreeSet<Text> {
    let ours = before.or(wanted);
    let is_known = |id: &Text| {
        ours.is_some_and(|stack| {
            stack.members.contains_key(id) || template::resource(&stack.template, id).is_some()
        })
    };
    let ids = template::resources(live).map(|(id, _)| id);
    let unknown: BTreeSet<Text> = ids.filter(|id| !is_known(id)).cloned().collect();
    if unknown.is_empty() || record.has_what_we_wrote(live) {
        return BTreeSet::new();
    }
    unknown
}

impl Account {
    /// Adds the deleted resources that the user must approve by name to a change, in addition to its known losses.
    pub(super) async fn guard_contents(
        &self,
        mut change: Change,
        observed: &Observed,
    ) -> Result<Change, Failure> {
        let mut deleted = BTreeSet::new();
        let mut taken_over = Vec::new();
        for member in &change.members {
            let id = &member.logical_id;
            let is_strange = observed.strangers.contains(id);
            match member.action {
                Action::Delete => {
                    deleted.insert(id);
                }
                Action::Replace if is_strange => {
                    deleted.insert(id);
                }
                Action::Update if is_strange && change.action != Action::Adopt => taken_over.push(format!(
                    "`{id}`: another user added it to the CloudFormation stack; Terrace manages it from now on, because a component declares it"
                )),
                _ => {}
            }
        }
        let contents = self.contents_among(&deleted, observed).await?;
        change.delete_contents(contents, &[]);
        change.notes.extend(taken_over);
        Ok(change)
    }

    /// Returns the guarded resources of a stack that is deleted, without the retained ones.
    pub(super) async fn contents_of_stack(&self, observed: &Observed) -> Result<Vec<Content>, Failure> {
        let resources = template::resources(&observed.template);
        let deleted = resources.filter(|(_, resource)| {
            template::keeps(resource, "DeletionPolicy").is_none_or(|policy| policy == "Snapshot")
        });
        let deleted: BTreeSet<&Text> = deleted.map(|(id, _)| id).collect();
        self.contents_among(&deleted, observed).await
    }

    /// Returns the guarded resources among these logical ids, with their physical names.
    async fn contents_among(
        &self,
        ids: &BTreeSet<&Text>,
        observed: &Observed,
    ) -> Result<Vec<Content>, Failure> {
        let guarded = ids.iter().filter_map(|id| Some((*id, why(id, observed)?)));
        let guarded: Vec<(&Text, &str)> = guarded.collect();
        if guarded.is_empty() {
            return Ok(Vec::new());
        }
        let physical = self.physical_ids(&observed.record.id).await?;
        let contents = guarded.into_iter().map(|(id, why)| {
            let resource_type = template::resource(&observed.template, id).map(template::resource_type);
            let resource_type = resource_type.unwrap_or_default();
            let (shown, identity) = match physical.get(id) {
                Some(physical) => (
                    format!("{resource_type} `{id}` ({physical}), {why}"),
                    physical.clone(),
                ),
                None => (format!("{resource_type} `{id}`, {why}"), id.clone()),
            };
            let known = observed.addresses.get(id);
            Content {
                address: known.cloned().unwrap_or_else(|| address(observed, id)),
                shown,
                owner: None,
                identities: BTreeSet::from([identity]),
            }
        });
        Ok(contents.collect())
    }

    /// Returns the physical ids of the resources of a stack, by logical id.
    async fn physical_ids(&self, stack_id: &str) -> Result<BTreeMap<Text, Text>, Failure> {
        let mut physical_ids = BTreeMap::new();
        let request = self.cloudformation.list_stack_resources().stack_name(stack_id);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                self.refused(&error, "cloudformation:ListStackResources", name_of(stack_id))
            })?;
            for resource in page.stack_resource_summaries() {
                if let (Some(id), Some(physical)) =
                    (resource.logical_resource_id(), resource.physical_resource_id())
                {
                    physical_ids.insert(id.into(), physical.into());
                }
            }
        }
        Ok(physical_ids)
    }
}

/// Returns the reason why the deletion of a resource must be approved by name, or `None` if the regular rules of the plan
/// protect it.
fn why(id: &Text, observed: &Observed) -> Option<&'static str> {
    if observed.strangers.contains(id) {
        return Some("which this environment did not create");
    }
    let resource = template::resource(&observed.template, id)?;
    let is_unprotected = observed.holds_data(id) && template::data_mark(resource) != Some(true);
    let is_edited = !observed.record.has_what_we_wrote(&observed.template);
    (is_unprotected && is_edited).then_some(
        "which holds data and is no longer protected, because another user changed the template of the stack",
    )
}

/// Returns the address of a resource that no component declares: `platform/orders/Stack["Table"]`. It is unique, because the
/// resource keys of modules contain no capital letters.
fn address(observed: &Observed, id: &Text) -> Address {
    let (owner, component) = match observed.component.split_once('/') {
        Some((owner, component)) => (owner.into(), component.into()),
        None => (Owner::Platform, observed.record.name.clone()),
    };
    Address {
        owner,
        component,
        resource: "Stack".into(),
        key: Some(id.clone()),
    }
}
