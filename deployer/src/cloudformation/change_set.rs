//! Change sets: created, read, held against the plan, executed or cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Change as SetChange, ChangeAction, ChangeSetStatus, ChangeSetType, ExecutionStatus, OnStackFailure,
    Parameter, Replacement, ResourceChange, Tag,
};
use terrace_artifact::{Address, Stack, Text, Value};

use crate::failure::{Failure, FailureKind};
use crate::plan::{Action, Change};

use super::account::Account;
use super::bucket::Body;
use super::record::change_set_name;
use super::status::Standing;
use super::template;

/// A change set that can be executed, or was found to be empty.
pub(super) struct ChangeSet {
    /// Its ARN, which no other has: one that is made again under this name has another.
    pub(super) id: Text,
    pub(super) name: String,
    pub(super) stack_id: Text,
    /// Absent where CloudFormation says that nothing would change.
    pub(super) changes: Option<Vec<ResourceChange>>,
}

/// What a change set is made of.
pub(super) struct Desired<'a> {
    pub(super) stack: &'a Stack,
    pub(super) parameters: &'a BTreeMap<Text, Text>,
    pub(super) tags: &'a BTreeMap<Text, Text>,
    /// Whether the stack does not exist yet.
    pub(super) creates: bool,
}

impl Desired<'_> {
    /// The name that stands for all of it.
    pub(super) fn name(&self) -> String {
        change_set_name(&self.stack.template, self.parameters, self.tags)
    }
}

impl Account {
    /// Creates a change set and waits until CloudFormation has worked out what it means. One of this name that a killed
    /// run left behind is used; one that can be executed no more is made again.
    pub(super) async fn create_change_set(
        &self,
        desired: &Desired<'_>,
        name: String,
    ) -> Result<ChangeSet, Failure> {
        let stack = &desired.stack.name;
        let mut tried_again = false;
        loop {
            if self.request_change_set(desired, &name).await? {
                break;
            }
            let left = self.worked_out(stack, &name).await?;
            if left.execution_status() == Some(&ExecutionStatus::Available) || tried_again {
                break;
            }
            self.delete_change_set(stack, &name).await?;
            tried_again = true;
        }
        let first = self.worked_out(stack, &name).await?;
        let stack_id = Text::from(first.stack_id().unwrap_or_default());
        let id = Text::from(first.change_set_id().unwrap_or_default());
        if first.status() == Some(&ChangeSetStatus::Failed) {
            let reason = first.status_reason().unwrap_or_default().to_owned();
            if is_empty(&reason) {
                self.clean_up(desired, &name).await?;
                return Ok(ChangeSet {
                    id,
                    name,
                    stack_id,
                    changes: None,
                });
            }
            let refused = self.refused_change_set(desired.stack, &name, reason).await;
            self.clean_up(desired, &name).await?;
            return Err(refused);
        }
        let changes = self.changes(stack, &name, first).await?;
        Ok(ChangeSet {
            id,
            name,
            stack_id,
            changes: Some(changes),
        })
    }

    /// Deletes a change set that is not to be executed, and the empty stack that was made for it.
    pub(super) async fn clean_up(&self, desired: &Desired<'_>, name: &str) -> Result<(), Failure> {
        let stack = &desired.stack.name;
        self.delete_change_set(stack, name).await?;
        // Nobody may have begun to create it meanwhile, with a change set of their own.
        let made = match desired.creates {
            true => self.describe(stack).await?,
            false => None,
        };
        if let Some(made) = made.filter(|made| made.standing() == Standing::Empty) {
            let request = self.cloudformation.delete_stack().stack_name(made.id.as_str());
            let sent = request.send().await;
            sent.map_err(|error| self.refused(&error, "cloudformation:DeleteStack", stack))?;
        }
        Ok(())
    }

    /// Lets CloudFormation carry out a change set. Resources it creates and cannot finish are deleted again, whatever
    /// their policy says of later: nothing is in them yet, and they would be in the way of the next attempt.
    pub(super) async fn execute(&self, set: &ChangeSet) -> Result<(), Failure> {
        // A token is remembered with the stack, and a second operation under it is taken for the first.
        let token = format!("terrace-{}", set.id.rsplit('/').next().unwrap_or_default());
        let request = self
            .cloudformation
            .execute_change_set()
            .stack_name(super::events::name_of(&set.stack_id))
            .change_set_name(&set.name)
            .client_request_token(token)
            .retain_except_on_create(true);
        match request.send().await {
            Ok(_) => Ok(()),
            // The answer to a first attempt may have been lost: then it is being executed already.
            Err(error) if error.code() == Some("InvalidChangeSetStatus") => {
                let stack = super::events::name_of(&set.stack_id);
                let now = self.describe_change_set(stack, &set.name, None).await?;
                match now.as_ref().and_then(DescribeChangeSetOutput::execution_status) {
                    Some(ExecutionStatus::ExecuteInProgress | ExecutionStatus::ExecuteComplete) => Ok(()),
                    _ => Err(self.refused(&error, "cloudformation:ExecuteChangeSet", stack)),
                }
            }
            Err(error) => {
                let stack = super::events::name_of(&set.stack_id);
                Err(self.refused(&error, "cloudformation:ExecuteChangeSet", stack))
            }
        }
    }

    /// Whether it was created; not, where one of this name is there already.
    async fn request_change_set(&self, desired: &Desired<'_>, name: &str) -> Result<bool, Failure> {
        let stack = desired.stack;
        let parameters = desired.parameters.iter().map(|(key, value)| {
            let parameter = Parameter::builder().parameter_key(key.as_str());
            parameter.parameter_value(value.as_str()).build()
        });
        let tags = desired.tags.iter().map(|(key, value)| {
            let tag = Tag::builder().key(key.as_str());
            tag.value(value.as_str()).build()
        });
        let capabilities = template::capabilities(&stack.template);
        let mut request = self
            .cloudformation
            .create_change_set()
            .stack_name(stack.name.as_str())
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
        request = match self.template_body(&stack.template, &stack.name).await? {
            Body::Inline(text) => request.template_body(text),
            Body::Url(url) => request.template_url(url),
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("AlreadyExistsException") => Ok(false),
            Err(error) => Err(self.refused(&error, "cloudformation:CreateChangeSet", &stack.name)),
        }
    }

    /// The change set as soon as CloudFormation has finished with it.
    async fn worked_out(&self, stack: &str, name: &str) -> Result<DescribeChangeSetOutput, Failure> {
        let mut pause = Duration::from_millis(200);
        let mut missing = 0;
        loop {
            let Some(set) = self.describe_change_set(stack, name, None).await? else {
                // What was made a moment ago may not be found everywhere yet.
                missing += 1;
                if missing < 5 {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                return Err(Failure::new(
                    FailureKind::Stale,
                    format!("somebody deleted the change set `{name}` of `{stack}` before it was executed"),
                ));
            };
            let pending = matches!(
                set.status(),
                Some(ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress)
            );
            if !pending {
                return Ok(set);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    async fn changes(
        &self,
        stack: &str,
        name: &str,
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
            match self.describe_change_set(stack, name, Some(token)).await? {
                Some(next) => page = next,
                None => return Ok(changes),
            }
        }
    }

    async fn describe_change_set(
        &self,
        stack: &str,
        name: &str,
        token: Option<&str>,
    ) -> Result<Option<DescribeChangeSetOutput>, Failure> {
        let request = self
            .cloudformation
            .describe_change_set()
            .stack_name(stack)
            .change_set_name(name);
        match request.set_next_token(token.map(str::to_owned)).send().await {
            Ok(set) => Ok(Some(set)),
            Err(error) if error.code() == Some("ChangeSetNotFound") => Ok(None),
            Err(error) => Err(self.refused(&error, "cloudformation:DescribeChangeSet", stack)),
        }
    }

    async fn delete_change_set(&self, stack: &str, name: &str) -> Result<(), Failure> {
        let request = self
            .cloudformation
            .delete_change_set()
            .stack_name(stack)
            .change_set_name(name);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ChangeSetNotFound") => Ok(()),
            Err(error) => Err(self.refused(&error, "cloudformation:DeleteChangeSet", stack)),
        }
    }
}

/// Whether CloudFormation would do something grave that the plan does not say.
pub(super) fn held_against_plan(
    changes: &[ResourceChange],
    planned: &Change,
    old: &Value,
    stack: &Stack,
    approved: &BTreeSet<Address>,
) -> Result<(), Failure> {
    for change in changes {
        let id = change.logical_resource_id().unwrap_or_default();
        let plan = planned.members.iter().find(|member| member.logical_id == id);
        let action = plan.map_or(Action::Keep, |member| member.action);
        let removes = change.action() == Some(&ChangeAction::Remove);
        let replaces = change.replacement() == Some(&Replacement::True);
        let may_replace = change.replacement() == Some(&Replacement::Conditional);
        let resource = template::resource(old, id);
        let holds_data = resource.is_some_and(template::holds_data)
            || stack.members.get(id).is_some_and(|member| member.holds_data);
        let kept = resource.is_some_and(|old| template::keeps(old, "UpdateReplacePolicy").is_some());
        let address = stack.members.get(id).map(|member| &member.address);
        let agreed = address.is_some_and(|address| approved.contains(address));
        let surprise = if removes && !matches!(action, Action::Delete | Action::Release) {
            Some("delete")
        } else if replaces && action != Action::Replace {
            Some("replace")
        } else if may_replace && action != Action::Replace && holds_data && !kept && !agreed {
            Some("perhaps replace")
        } else {
            None
        };
        if let Some(verb) = surprise {
            return Err(Failure::new(
                FailureKind::Stale,
                format!("CloudFormation would {verb} `{id}`, which the plan does not say"),
            )
            .about(address, stack.members.get(id).map(|member| &member.origin))
            .hint("plan with `--change-set`: that asks CloudFormation before anything is decided"));
        }
    }
    Ok(())
}

/// The only way CloudFormation has of saying that nothing would change.
fn is_empty(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}
