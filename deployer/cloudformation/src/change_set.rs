//! Creates and reads change sets, compares them with the plan, and executes or deletes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Change as SetChange, ChangeAction, ChangeSetStatus, ChangeSetType, ExecutionStatus, OnStackFailure,
    Parameter, Replacement, ResourceChange, Tag,
};
use terrace_artifact::{Address, CloudFormationStack, Text, Value};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::plan::{Action, Change};

use super::account::Account;
use super::bucket::Body;
use super::events::name_of;
use super::losses;
use super::record::{Observed, change_set_name};
use super::status::StackState;
use super::template;

/// A change set that can be executed, or that CloudFormation reported as empty.
pub(super) struct ChangeSet {
    /// The ARN. It is unique: a later change set of the same name has a different ARN.
    pub(super) id: Text,
    pub(super) stack_id: Text,
    /// Absent if CloudFormation reports that nothing would change.
    pub(super) changes: Option<Vec<ResourceChange>>,
}

/// The desired state of a stack, from which a change set is created.
pub(super) struct Desired<'a> {
    /// The stack's name.
    pub(super) name: &'a Text,
    pub(super) template: Template<'a>,
    pub(super) parameters: &'a BTreeMap<Text, Text>,
    pub(super) tags: &'a BTreeMap<Text, Text>,
    /// The id of the stack that is changed. Absent if no stack has this name.
    pub(super) stack_id: Option<&'a Text>,
    /// Whether the stack does not exist yet, or contains no resources yet.
    pub(super) creates: bool,
}

/// The template of a change set.
#[derive(Clone, Copy)]
pub(super) enum Template<'a> {
    /// The template of a declared stack.
    Declared(&'a CloudFormationStack),
    /// The current template of the stack, with the current values of its parameters.
    Kept(&'a Value),
}

impl<'a> Desired<'a> {
    /// Returns the name of the change set, which contains the digest of the desired state.
    pub(super) fn change_set_name(&self) -> String {
        change_set_name(self.template(), self.parameters, self.tags)
    }

    fn template(&self) -> &'a Value {
        match self.template {
            Template::Declared(stack) => &stack.template,
            Template::Kept(template) => template,
        }
    }

    fn declared(&self) -> Option<&'a CloudFormationStack> {
        match self.template {
            Template::Declared(stack) => Some(stack),
            Template::Kept(_) => None,
        }
    }

    /// Returns the stack id for requests, because another stack can get the name at any time. A stack that does not exist yet
    /// has only a name.
    fn at(&self) -> &str {
        match self.stack_id {
            Some(id) if !self.creates => id,
            _ => self.name,
        }
    }
}

impl Account {
    /// Creates a change set and waits until CloudFormation has computed its changes. Uses the change set that an interrupted
    /// run left under this name. Creates it again if it can no longer be executed.
    pub(super) async fn create_change_set(
        &self,
        desired: &Desired<'_>,
        name: String,
    ) -> Result<ChangeSet, Failure> {
        let at = desired.at();
        let mut retried = false;
        let first = loop {
            let created = self.request_change_set(desired, &name).await?;
            let set = created.as_ref().unwrap_or(&name);
            let first = self.worked_out(at, set).await?;
            let usable = created.is_some() || first.execution_status() == Some(&ExecutionStatus::Available);
            if usable || retried {
                break first;
            }
            self.delete_change_set(at, first.change_set_id().unwrap_or(&name))
                .await?;
            retried = true;
        };
        let mut set = ChangeSet {
            id: first.change_set_id().unwrap_or_default().into(),
            stack_id: first.stack_id().unwrap_or_default().into(),
            changes: None,
        };
        // Another user may have deleted the stack since Terrace read it, and given its name to a new one.
        if desired.stack_id.is_some_and(|known| *known != set.stack_id) {
            self.clean_up(desired, &set).await?;
            let message = format!(
                "another user deleted stack `{}` and created it again",
                desired.name
            );
            return Err(Failure::new(FailureKind::Stale, message));
        }
        if first.status() == Some(&ChangeSetStatus::Failed) {
            let reason = first.status_reason().unwrap_or_default().to_owned();
            if is_empty(&reason) {
                self.clean_up(desired, &set).await?;
                return Ok(set);
            }
            let refused = self.refused_change_set(desired.declared(), &set, reason).await;
            self.clean_up(desired, &set).await?;
            return Err(refused);
        }
        set.changes = Some(self.changes(&set, first).await?);
        Ok(set)
    }

    /// Deletes a change set that must not be executed, and the empty stack that CloudFormation created for it.
    pub(super) async fn clean_up(&self, desired: &Desired<'_>, set: &ChangeSet) -> Result<(), Failure> {
        self.delete_change_set(&set.stack_id, &set.id).await?;
        let created = match desired.creates {
            true => self.describe(&set.stack_id).await?,
            false => None,
        };
        if created.is_none_or(|created| created.state() != StackState::Empty) {
            return Ok(());
        }
        // Another user may have created a change set in the empty stack. The stack is theirs then.
        if self.change_sets(&set.stack_id).await?.is_empty() {
            let request = self
                .cloudformation
                .delete_stack()
                .stack_name(set.stack_id.as_str());
            let sent = request.send().await;
            sent.map_err(|error| self.refused(&error, "cloudformation:DeleteStack", desired.name))?;
        }
        Ok(())
    }

    /// Returns the name and ARN of each change set of a stack that has not been executed.
    pub(super) async fn change_sets(&self, stack_id: &str) -> Result<Vec<(Text, Text)>, Failure> {
        let mut found = Vec::new();
        let name = name_of(stack_id);
        let request = self.cloudformation.list_change_sets().stack_name(name);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused(&error, "cloudformation:ListChangeSets", name))?;
            // Another stack may have the name by now.
            let of_stack = page
                .summaries()
                .iter()
                .filter(|set| set.stack_id() == Some(stack_id));
            found.extend(
                of_stack.filter_map(|set| Some((set.change_set_name()?.into(), set.change_set_id()?.into()))),
            );
        }
        Ok(found)
    }

    /// Executes a change set. If CloudFormation cannot finish the creation of a resource, it deletes the resource in spite of
    /// its deletion policy: such a resource contains no data yet, and its name would block the next attempt.
    pub(super) async fn execute(&self, set: &ChangeSet) -> Result<(), Failure> {
        // CloudFormation stores the token with the stack, and treats a second operation with the same token as the first.
        let token = format!("terrace-{}", set.id.rsplit('/').next().unwrap_or_default());
        let request = self
            .cloudformation
            .execute_change_set()
            .stack_name(set.stack_id.as_str())
            .change_set_name(set.id.as_str())
            .client_request_token(token)
            .retain_except_on_create(true);
        let Err(error) = request.send().await else {
            return Ok(());
        };
        // If the response to an earlier attempt was lost, CloudFormation already executes the change set.
        if error.code() == Some("InvalidChangeSetStatus") {
            let now = self.describe_change_set(&set.stack_id, &set.id, None).await?;
            let status = now.as_ref().and_then(DescribeChangeSetOutput::execution_status);
            let (running, complete) = (
                ExecutionStatus::ExecuteInProgress,
                ExecutionStatus::ExecuteComplete,
            );
            if status.is_some_and(|status| [running, complete].contains(status)) {
                return Ok(());
            }
        }
        Err(self.refused(&error, "cloudformation:ExecuteChangeSet", name_of(&set.stack_id)))
    }

    /// Requests a change set. Returns its ARN, or `None` if a change set of this name already exists.
    async fn request_change_set(&self, desired: &Desired<'_>, name: &str) -> Result<Option<String>, Failure> {
        let keeps = desired.declared().is_none();
        let parameters = desired.parameters.iter().map(|(key, value)| {
            let parameter = Parameter::builder().parameter_key(key.as_str());
            let parameter = match keeps {
                true => parameter.use_previous_value(true),
                false => parameter.parameter_value(value.as_str()),
            };
            parameter.build()
        });
        let tags = desired.tags.iter().map(|(key, value)| {
            let tag = Tag::builder().key(key.as_str());
            tag.value(value.as_str()).build()
        });
        let capabilities = template::capabilities(desired.template());
        let mut request = self
            .cloudformation
            .create_change_set()
            .stack_name(desired.at())
            .change_set_name(name)
            .set_parameters(Some(parameters.collect()).filter(|p: &Vec<Parameter>| !p.is_empty()))
            .set_capabilities(Some(capabilities).filter(|c| !c.is_empty()))
            .set_tags(Some(tags.collect()));
        request = if desired.creates {
            request
                .change_set_type(ChangeSetType::Create)
                .on_stack_failure(OnStackFailure::Rollback)
        } else {
            request.change_set_type(ChangeSetType::Update)
        };
        request = match desired.template {
            Template::Kept(_) => request.use_previous_template(true),
            Template::Declared(stack) => match self.template_body(&stack.template, &stack.name).await? {
                Body::Inline(text) => request.template_body(text),
                Body::Url(url) => request.template_url(url),
            },
        };
        match request.send().await {
            Ok(created) => Ok(Some(created.id().unwrap_or(name).to_owned())),
            Err(error) if error.code() == Some("AlreadyExistsException") => Ok(None),
            Err(error) => Err(self.refused(&error, "cloudformation:CreateChangeSet", desired.name)),
        }
    }

    /// Waits until CloudFormation has computed a change set, and returns it. `stack` and `set` are names or ids.
    async fn worked_out(&self, stack: &str, set: &str) -> Result<DescribeChangeSetOutput, Failure> {
        let mut pause = Duration::from_millis(200);
        let mut missing = 0;
        loop {
            let Some(found) = self.describe_change_set(stack, set, None).await? else {
                // CloudFormation is eventually consistent: a new change set may not be visible yet.
                missing += 1;
                if missing < 5 {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                let (stack, set) = (name_of(stack), name_of(set));
                return Err(Failure::new(
                    FailureKind::Stale,
                    format!("another user deleted change set `{set}` of `{stack}` before it was executed"),
                ));
            };
            let pending = matches!(
                found.status(),
                Some(ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress)
            );
            if !pending {
                return Ok(found);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    async fn changes(
        &self,
        set: &ChangeSet,
        first: DescribeChangeSetOutput,
    ) -> Result<Vec<ResourceChange>, Failure> {
        let mut changes: Vec<ResourceChange> = Vec::new();
        let mut page = first;
        loop {
            changes.extend(
                page.changes()
                    .iter()
                    .filter_map(SetChange::resource_change)
                    .cloned(),
            );
            let Some(token) = page.next_token() else {
                return Ok(changes);
            };
            match self
                .describe_change_set(&set.stack_id, &set.id, Some(token))
                .await?
            {
                Some(next) => page = next,
                None => return Ok(changes),
            }
        }
    }

    pub(super) async fn describe_change_set(
        &self,
        stack: &str,
        set: &str,
        token: Option<&str>,
    ) -> Result<Option<DescribeChangeSetOutput>, Failure> {
        let request = self
            .cloudformation
            .describe_change_set()
            .stack_name(stack)
            .change_set_name(set);
        match request.set_next_token(token.map(str::to_owned)).send().await {
            Ok(set) => Ok(Some(set)),
            Err(error) if error.code() == Some("ChangeSetNotFound") => Ok(None),
            Err(error) => Err(self.refused(&error, "cloudformation:DescribeChangeSet", name_of(stack))),
        }
    }

    async fn delete_change_set(&self, stack: &str, set: &str) -> Result<(), Failure> {
        let request = self
            .cloudformation
            .delete_change_set()
            .stack_name(stack)
            .change_set_name(set);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ChangeSetNotFound") => Ok(()),
            Err(error) => Err(self.refused(&error, "cloudformation:DeleteChangeSet", name_of(stack))),
        }
    }
}

/// Compares the changes of a change set with the plan.
///
/// # Errors
///
/// Fails if CloudFormation would delete or replace a resource and the plan does not, or if CloudFormation may replace a resource
/// with data that is neither retained nor approved.
pub(super) fn refuse_unplanned_changes(
    changes: &[ResourceChange],
    planned: &Change,
    live: &Observed,
    stack: &CloudFormationStack,
    approved: &BTreeSet<Address>,
) -> Result<(), Failure> {
    for change in changes {
        let id = change.logical_resource_id().unwrap_or_default();
        let plan = planned.members.iter().find(|member| member.logical_id == id);
        let action = plan.map_or(Action::Keep, |member| member.action);
        let removes = change.action() == Some(&ChangeAction::Remove);
        let replaces = change.replacement() == Some(&Replacement::True);
        let may_replace = change.replacement() == Some(&Replacement::Conditional);
        let resource = template::resource(&live.template, id);
        let holds_data = losses::holds(&id.into(), live, stack);
        let kept = resource.is_some_and(|old| template::keeps(old, "UpdateReplacePolicy").is_some());
        let address = stack.members.get(id).map(|member| &member.address);
        let approved = address.is_some_and(|address| approved.contains(address));
        let unplanned = if removes && !matches!(action, Action::Delete | Action::Retain) {
            Some("would delete")
        } else if replaces && action != Action::Replace {
            Some("would replace")
        } else if may_replace && action != Action::Replace && holds_data && !kept && !approved {
            Some("might replace")
        } else {
            None
        };
        if let Some(verb) = unplanned {
            return Err(Failure::new(
                FailureKind::Stale,
                format!("CloudFormation {verb} `{id}`, but the plan does not contain this change"),
            )
            .about(address, stack.members.get(id).map(|member| &member.origin))
            .hint("plan with `--change-set`, which asks CloudFormation for the exact changes"));
        }
    }
    Ok(())
}

/// Returns whether the reason of a failed change set is that nothing would change. CloudFormation has no status or code for
/// this case.
fn is_empty(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}
