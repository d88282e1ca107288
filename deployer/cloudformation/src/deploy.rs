//! Creates, updates and deletes stacks, and observes them until they are ready.

use std::collections::BTreeMap;
use std::time::Duration;

use terrace_artifact::{Artifact, ArtifactId, CloudFormationStack, Text};
use terrace_deployer_model::backend::{Observation, Ticket, Write};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::Journal;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::Ownership;
use terrace_deployer_model::plan::Action;
use terrace_deployer_model::values::{Late, Values};

use super::account::Account;
use super::change_set::{ChangeSet, Desired, Template, refuse_unplanned_changes};
use super::difference;
use super::events::progress;
use super::evidence::PendingChangeSet;
use super::guards::Guards;
use super::observe::Known;
use super::record::{Observed, Record, STACK_TAG, stack_name, tags};
use super::started_operation::StartedOperation;
use super::status::{self, StackState};
use super::template;

impl Account {
    /// Creates or updates a stack. Returns when CloudFormation has started the operation.
    pub(super) async fn deploy(
        &self,
        write: &Write<'_>,
        stack: &CloudFormationStack,
        label: &str,
    ) -> Result<Ticket, Failure> {
        let parameters = known(write.values, stack)?;
        refuse_unapproved(write, stack)?;
        let adopted =
            write.action == Action::Adopt || write.live.is_some_and(|live| live.ownership.is_adopted());
        let tags = tags(stack, label, adopted);
        let live = write
            .live
            .map(|live| Observed::from_value(&live.value))
            .unwrap_or_default();
        let found = self.to_write(write, stack, &live, label).await?;
        let creates = match found.as_ref().map(Record::state) {
            None | Some(StackState::Gone | StackState::Empty) => true,
            Some(StackState::Steady) => false,
            Some(StackState::Ruined | StackState::Busy) => {
                let record = found.unwrap_or_default();
                return Err(self
                    .first_cause(&record.id, &record.status, Some(stack), &BTreeMap::new())
                    .await);
            }
            Some(StackState::Stuck) => return Err(self.stuck(&found.unwrap_or_default())),
        };
        let desired = Desired {
            name: &stack.name,
            template: Template::Declared(stack),
            parameters: &parameters,
            tags: &tags,
            stack_id: found.as_ref().map(|record| &record.id),
            creates,
        };
        let name = desired.change_set_name();
        let is_deployed = found.as_ref().is_some_and(|record| record.was_left_by(&name));
        if !is_deployed && !creates && write.live.is_none() {
            let message = format!(
                "another user created stack `{}` after the plan was made",
                stack.name
            );
            return Err(Failure::new(FailureKind::Stale, message));
        }
        let mut operation = StartedOperation {
            stack_id: found.as_ref().map(|record| record.id.clone()).unwrap_or_default(),
            // For a stack that does not exist yet, the status alone shows whether the operation has started.
            updated: found
                .as_ref()
                .filter(|_| !creates)
                .map(|record| record.updated.clone())
                .unwrap_or_default(),
            protection: (found.as_ref().is_some_and(|record| record.protected)
                != stack.termination_protection)
                .then_some(stack.termination_protection),
            policy: (difference::policy(live.policy.as_ref()) != difference::policy(stack.policy.as_ref()))
                .then(|| difference::policy(stack.policy.as_ref())),
            adopted,
            ..StartedOperation::default()
        };
        // An operation that was running when the plan was made may have ended differently than predicted.
        let was_busy = live.record.state() == StackState::Busy;
        if !is_deployed && (creates || was_busy || difference::needs_change_set(write.change)) {
            let set = self.create_change_set(&desired, name).await?;
            operation.stack_id = set.stack_id.clone();
            if set.changes.is_some() {
                self.carry_out(write, stack, &desired, &set, &live, &mut operation)
                    .await?;
            }
        }
        Ok(operation.into_ticket())
    }

    /// Waits until no operation runs on the stack to write, and returns it. This is the stack that the plan observed. If the plan
    /// observed none, it is a stack of the same name that an earlier attempt has created.
    async fn to_write(
        &self,
        write: &Write<'_>,
        stack: &CloudFormationStack,
        live: &Observed,
        label: &str,
    ) -> Result<Option<Record>, Failure> {
        let may_continue = || write.journal.may_write();
        if write.live.is_some() {
            let found = self.at_rest(&live.record.id, may_continue).await?;
            match found.filter(|record| record.state() != StackState::Gone) {
                Some(record) => return Ok(Some(record)),
                // The plan observed a stack that was being deleted.
                None if live.record.state() == StackState::Busy => {}
                None => {
                    let message = format!(
                        "another user deleted stack `{}` after the plan was made",
                        stack.name
                    );
                    return Err(Failure::new(FailureKind::Stale, message));
                }
            }
        }
        let found = self.at_rest(&stack.name, may_continue).await?;
        let Some(record) = found.filter(|record| record.state() != StackState::Gone) else {
            return Ok(None);
        };
        self.refuse_foreign_change_set(&record, label).await?;
        Ok(Some(record))
    }

    /// Fails if a change set of another user waits in a stack without resources.
    async fn refuse_foreign_change_set(&self, record: &Record, label: &str) -> Result<(), Failure> {
        if record.state() != StackState::Empty {
            return Ok(());
        }
        let PendingChangeSet::Foreign(set) = self.review(record, label).await? else {
            return Ok(());
        };
        let message = format!(
            "another user is creating stack `{}`: change set `{set}` waits for review",
            record.name
        );
        Err(Failure::new(FailureKind::NotOurs { owner: None }, message)
            .hint("if the change set is not needed, delete it; otherwise, rename the component"))
    }

    /// Executes a change set, if it makes only the changes of the plan.
    async fn carry_out(
        &self,
        write: &Write<'_>,
        stack: &CloudFormationStack,
        desired: &Desired<'_>,
        set: &ChangeSet,
        live: &Observed,
        operation: &mut StartedOperation,
    ) -> Result<(), Failure> {
        let changes = set.changes.as_deref().unwrap_or_default();
        if let Err(failure) = refuse_unplanned_changes(changes, write.change, live, stack, write.approved) {
            self.clean_up(desired, set).await?;
            return Err(failure);
        }
        write.journal.may_write()?;
        let id = &write.artifact.id;
        let guards = Guards::of(stack);
        if desired.creates && !guards.is_empty() {
            let note = guards.note(id, &set.stack_id, &stack.name, "to be set after its creation");
            write.journal.write(note).await?;
        }
        // The old policy may deny the change that the user has approved. The desired policy is set after the update.
        let must_be_relaxed = operation.policy.is_some() || write.change.approvals().next().is_some();
        if live.policy.is_some() && must_be_relaxed {
            let before = Guards {
                protected: false,
                policy: live.policy.clone(),
            };
            if guards.policy.is_some() {
                let note = before.note(id, &set.stack_id, &stack.name, "relaxed for an approved change");
                write.journal.write(note).await?;
            }
            self.set_policy(&set.stack_id, &difference::allow_all()).await?;
            operation.policy = Some(difference::policy(stack.policy.as_ref()));
        }
        self.execute(set).await?;
        operation.deploys = true;
        Ok(())
    }

    /// Starts to delete the stack that was observed. Does not delete a later stack of the same name.
    pub(super) async fn remove(
        &self,
        live: &Live,
        journal: &Journal<'_>,
        label: &str,
    ) -> Result<Ticket, Failure> {
        let observed = Observed::from_value(&live.value);
        let id = &observed.record.id;
        let ticket = StartedOperation {
            stack_id: id.clone(),
            deploys: true,
            addresses: observed.addresses.clone(),
            ..StartedOperation::default()
        }
        .into_ticket();
        // A stack can be deleted during its creation, but not during an update.
        let now = loop {
            journal.may_write()?;
            let Some(now) = self.describe(id).await? else {
                return Ok(ticket);
            };
            let waits = now.state() == StackState::Busy
                && !matches!(&*now.status, "DELETE_IN_PROGRESS" | "CREATE_IN_PROGRESS");
            if !waits {
                break now;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        if now.state() == StackState::Gone || now.status == "DELETE_IN_PROGRESS" {
            return Ok(ticket);
        }
        self.refuse_foreign_change_set(&now, label).await?;
        if now.protected {
            let guards = Guards {
                protected: true,
                policy: None,
            };
            let note = guards.note(&live.id, id, &now.name, "disabled for its deletion");
            journal.write(note).await?;
            self.protect(id, false).await?;
        }
        let request = self.cloudformation.delete_stack().stack_name(id.as_str());
        let sent = request.send().await;
        sent.map_err(|error| self.refused(&error, "cloudformation:DeleteStack", &now.name))?;
        Ok(ticket)
    }

    /// Observes a stack once after a write, a delete or a release.
    pub(super) async fn look(
        &self,
        id: &ArtifactId,
        artifact: Option<&Artifact>,
        ticket: &Ticket,
        label: &str,
    ) -> Result<Observation, Failure> {
        let operation = StartedOperation::of(ticket);
        // A stack that needed no write may have no id in its ticket.
        let name_or_id = if operation.stack_id.is_empty() {
            stack_name(id)
        } else {
            &operation.stack_id
        };
        let found = self.describe(name_or_id).await?;
        let found = found.filter(|record| record.state() != StackState::Gone);
        if operation.releases {
            return self.look_released(found, &operation).await;
        }
        let Some(record) = found else {
            return Ok(match artifact {
                None => Observation::Gone,
                Some(_) => {
                    let kind = FailureKind::NotReady {
                        why: "another user deleted it".to_owned(),
                    };
                    Observation::Failed(Failure::new(kind, "the stack no longer exists"))
                }
            });
        };
        let stack = artifact.and_then(Artifact::stack);
        let total = stack.map_or(0, |stack| template::resources(&stack.template).count());
        match record.state() {
            StackState::Busy => {
                let events = self.operation(&record.id).await?;
                return Ok(Observation::Waiting(progress(
                    &record.id,
                    &record.status,
                    total,
                    &events,
                )));
            }
            StackState::Empty => {
                return Ok(Observation::Waiting(
                    "the operation has not started yet".to_owned(),
                ));
            }
            _ => {}
        }
        let Some(stack) = stack else {
            // CloudFormation restores the previous status of a stack whose export is in use.
            if record.reason.contains("in use by") || record.reason.contains("cancel") {
                let kind = FailureKind::NotReady {
                    why: record.reason.to_string(),
                };
                return Ok(Observation::Failed(Failure::new(
                    kind,
                    format!("`{}` could not be deleted", record.name),
                )));
            }
            if record.status != "DELETE_FAILED" {
                return Ok(Observation::Waiting(
                    "the deletion has not started yet".to_owned(),
                ));
            }
            let cause = self
                .first_cause(&record.id, &record.status, None, &operation.addresses)
                .await;
            return Ok(Observation::Failed(cause));
        };
        // For a moment after the request, a stack still has the status of the previous operation.
        if operation.deploys && !operation.updated.is_empty() && record.updated == operation.updated {
            return Ok(Observation::Waiting(
                "the operation has not started yet".to_owned(),
            ));
        }
        let good = matches!(&*record.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE")
            || (!operation.deploys && record.state() == StackState::Steady);
        if !good {
            let cause = self
                .first_cause(&record.id, &record.status, Some(stack), &BTreeMap::new())
                .await;
            return Ok(Observation::Failed(cause));
        }
        self.settle(id, stack, record, &operation, label).await
    }

    /// Sets the guards of a stack and returns its live state. CloudFormation rejects guards during an operation.
    async fn settle(
        &self,
        id: &ArtifactId,
        stack: &CloudFormationStack,
        mut record: Record,
        operation: &StartedOperation,
        label: &str,
    ) -> Result<Observation, Failure> {
        if let Some(protection) = operation.protection {
            self.protect(&record.id, protection).await?;
            record.protected = protection;
        }
        if let Some(policy) = &operation.policy {
            self.set_policy(&record.id, policy).await?;
        }
        let target = id.as_str().split(':').next().unwrap_or_default();
        let template = match operation.deploys {
            true => stack.template.clone(),
            false => self.template_of(&record, Some(stack), label).await?,
        };
        let ownership = Ownership::Ours {
            marked: record.tags.get(STACK_TAG).is_some_and(|value| value == label),
            adopted: operation.adopted || record.is_tagged_adopted(),
        };
        let known = Known {
            wanted: Some(stack),
            before: None,
        };
        let live = self
            .live(&target.into(), record, template, ownership, known)
            .await?;
        Ok(Observation::Settled(Box::new(live)))
    }

    /// Waits until no operation runs on a stack, and returns it. An interrupted run may have left an operation running. Stops
    /// waiting if `may_continue` fails.
    pub(super) async fn at_rest(
        &self,
        name_or_id: &str,
        may_continue: impl Fn() -> Result<(), Failure>,
    ) -> Result<Option<Record>, Failure> {
        let mut pause = Duration::from_millis(250);
        loop {
            may_continue()?;
            let found = self.describe(name_or_id).await?;
            match &found {
                Some(record) if record.state() == StackState::Busy => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                _ => return Ok(found),
            }
        }
    }

    /// Returns the failure of a stack that only the user can bring into a stable status.
    pub(super) fn stuck(&self, record: &Record) -> Failure {
        let kind = FailureKind::NotReady {
            why: if record.reason.is_empty() {
                record.status.to_string()
            } else {
                record.reason.to_string()
            },
        };
        Failure::new(kind, format!("`{}` is in status {}", record.name, record.status)).hint(status::way_out(
            &record.status,
            &record.name,
            &self.region,
        ))
    }
}

/// Returns the values of all parameters, which must be known when a stack is written.
pub(super) fn known(values: &Values, stack: &CloudFormationStack) -> Result<BTreeMap<Text, Text>, Failure> {
    let mut parameters = BTreeMap::new();
    for (name, value) in values.parameters(stack) {
        match value {
            Late::Known(value) => {
                parameters.insert(name, value);
            }
            Late::Later(shown) => {
                return Err(Failure::new(
                    FailureKind::Broken,
                    format!("`{}` needs `{shown}`, which has no value yet", stack.name),
                ));
            }
        }
    }
    Ok(parameters)
}

fn refuse_unapproved(write: &Write<'_>, stack: &CloudFormationStack) -> Result<(), Failure> {
    let mut needed = write.change.approvals();
    let missing = needed.find(|address| !write.approved.contains(*address));
    match missing {
        // A replace has already deleted the old stack, with approval.
        Some(address) if write.change.action != Action::Replace => Err(Failure::new(
            FailureKind::Rejected,
            format!(
                "stack `{}` would lose the data of `{address}` or stop managing it, which was not approved",
                stack.name
            ),
        )
        .hint(format!("to allow it, add `--approve '{address}'`"))),
        _ => Ok(()),
    }
}
