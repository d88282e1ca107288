//! Writing: a stack is created, updated or deleted, and looked at until it has settled.

use std::collections::BTreeMap;
use std::time::Duration;

use terrace_artifact::{Artifact, ArtifactId, Stack, Text};

use crate::backend::{Live, Look, Ticket, Write};
use crate::failure::{Failure, FailureKind};
use crate::journal::Journal;
use crate::ownership::Ownership;
use crate::plan::Action;
use crate::values::{Late, Values};

use super::account::Account;
use super::begun::Begun;
use super::change_set::{ChangeSet, Desired, Template, held_against_plan};
use super::difference;
use super::events::progress;
use super::evidence::Review;
use super::guards::Guards;
use super::observe::Known;
use super::record::{Observed, Record, STACK_TAG, stack_name, tags};
use super::status::{self, Standing};
use super::template;

impl Account {
    /// Creates or updates a stack; returns when CloudFormation has begun.
    pub(super) async fn deploy(
        &self,
        write: &Write<'_>,
        stack: &Stack,
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
        let creates = match found.as_ref().map(Record::standing) {
            None | Some(Standing::Gone | Standing::Empty) => true,
            Some(Standing::Steady) => false,
            Some(Standing::Ruined | Standing::Busy) => {
                let record = found.unwrap_or_default();
                return Err(self
                    .first_cause(&record.id, &record.status, Some(stack), &BTreeMap::new())
                    .await);
            }
            Some(Standing::Stuck) => return Err(self.stuck(&found.unwrap_or_default())),
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
        let as_left = found.as_ref().is_some_and(|record| record.was_left_by(&name));
        if !as_left && !creates && write.live.is_none() {
            let message = format!("somebody created `{}` since the plan was made", stack.name);
            return Err(Failure::new(FailureKind::Stale, message));
        }
        let mut begun = Begun {
            stack_id: found.as_ref().map(|record| record.id.clone()).unwrap_or_default(),
            // Of a stack that does not stand yet, the status alone tells whether it has begun.
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
            ..Begun::default()
        };
        // What the plan saw in the middle of something may have ended in another way than it seemed.
        let was_busy = live.record.standing() == Standing::Busy;
        if !as_left && (creates || was_busy || difference::needs_change_set(write.change)) {
            let set = self.create_change_set(&desired, name).await?;
            begun.stack_id = set.stack_id.clone();
            if set.changes.is_some() {
                self.carry_out(write, stack, &desired, &set, &live, &mut begun)
                    .await?;
            }
        }
        Ok(begun.into_ticket())
    }

    /// The stack that is written, once nobody is at work on it: the very one that the plan saw. Where it saw none, one of
    /// its name that an earlier attempt of ours has made.
    async fn to_write(
        &self,
        write: &Write<'_>,
        stack: &Stack,
        live: &Observed,
        label: &str,
    ) -> Result<Option<Record>, Failure> {
        let go_on = || write.journal.may_write();
        if write.live.is_some() {
            let found = self.at_rest(&live.record.id, go_on).await?;
            match found.filter(|record| record.standing() != Standing::Gone) {
                Some(record) => return Ok(Some(record)),
                // It was being deleted when the plan saw it.
                None if live.record.standing() == Standing::Busy => {}
                None => {
                    let message = format!("somebody deleted `{}` since the plan was made", stack.name);
                    return Err(Failure::new(FailureKind::Stale, message));
                }
            }
        }
        let found = self.at_rest(&stack.name, go_on).await?;
        let Some(record) = found.filter(|record| record.standing() != Standing::Gone) else {
            return Ok(None);
        };
        self.waits_for_nobody(&record, label).await?;
        Ok(Some(record))
    }

    /// Fails where somebody else is about to create a stack that has nothing in it yet.
    async fn waits_for_nobody(&self, record: &Record, label: &str) -> Result<(), Failure> {
        if record.standing() != Standing::Empty {
            return Ok(());
        }
        let Review::Somebodys(set) = self.review(record, label).await? else {
            return Ok(());
        };
        let message = format!(
            "somebody is about to create `{}`: their change set `{set}` waits for review",
            record.name
        );
        Err(Failure::new(FailureKind::NotOurs { owner: Some(set) }, message)
            .hint("give the component another name, or wait until they have decided"))
    }

    /// Lets CloudFormation carry out a change set that does what the plan says and no more.
    async fn carry_out(
        &self,
        write: &Write<'_>,
        stack: &Stack,
        desired: &Desired<'_>,
        set: &ChangeSet,
        live: &Observed,
        begun: &mut Begun,
    ) -> Result<(), Failure> {
        let changes = set.changes.as_deref().unwrap_or_default();
        if let Err(failure) = held_against_plan(changes, write.change, live, stack, write.approved) {
            self.clean_up(desired, set).await?;
            return Err(failure);
        }
        write.journal.may_write()?;
        let id = &write.artifact.id;
        let guards = Guards::of(stack);
        if desired.creates && !guards.is_empty() {
            let note = guards.note(id, &set.stack_id, &stack.name, "to be set once it stands");
            write.journal.write(note).await?;
        }
        // The old policy is there to stop what the user has just agreed to. The wanted one is set when the update is done.
        let in_the_way = begun.policy.is_some() || write.change.approvals().next().is_some();
        if live.policy.is_some() && in_the_way {
            let before = Guards {
                protected: false,
                policy: live.policy.clone(),
            };
            if guards.policy.is_some() {
                let note = before.note(id, &set.stack_id, &stack.name, "opened for an approved change");
                write.journal.write(note).await?;
            }
            self.set_policy(&set.stack_id, &difference::allow_all()).await?;
            begun.policy = Some(difference::policy(stack.policy.as_ref()));
        }
        self.execute(set).await?;
        begun.deploys = true;
        Ok(())
    }

    /// Begins to delete the very stack that was observed.
    pub(super) async fn remove(
        &self,
        live: &Live,
        journal: &Journal<'_>,
        label: &str,
    ) -> Result<Ticket, Failure> {
        let observed = Observed::from_value(&live.value);
        let id = &observed.record.id;
        let ticket = Begun {
            stack_id: id.clone(),
            deploys: true,
            addresses: observed.addresses.clone(),
            ..Begun::default()
        }
        .into_ticket();
        // What is being created can be deleted at once; an update has to end first.
        let now = loop {
            journal.may_write()?;
            let Some(now) = self.describe(id).await? else {
                return Ok(ticket);
            };
            let waits = now.standing() == Standing::Busy
                && !matches!(&*now.status, "DELETE_IN_PROGRESS" | "CREATE_IN_PROGRESS");
            if !waits {
                break now;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        if now.standing() == Standing::Gone || now.status == "DELETE_IN_PROGRESS" {
            return Ok(ticket);
        }
        self.waits_for_nobody(&now, label).await?;
        if now.protected {
            let guards = Guards {
                protected: true,
                policy: None,
            };
            let note = guards.note(&live.id, id, &now.name, "lifted for its deletion");
            journal.write(note).await?;
            self.protect(id, false).await?;
        }
        let request = self.cloudformation.delete_stack().stack_name(id.as_str());
        let sent = request.send().await;
        sent.map_err(|error| self.refused(&error, "cloudformation:DeleteStack", &now.name))?;
        Ok(ticket)
    }

    /// Looks once at a stack that was written or deleted.
    pub(super) async fn look(
        &self,
        id: &ArtifactId,
        artifact: Option<&Artifact>,
        ticket: &Ticket,
        label: &str,
    ) -> Result<Look, Failure> {
        let begun = Begun::of(ticket);
        // A stack that needs no write is looked at by its name; one that was written, by its id.
        let name_or_id = if begun.stack_id.is_empty() {
            stack_name(id)
        } else {
            &begun.stack_id
        };
        let found = self.describe(name_or_id).await?;
        let found = found.filter(|record| record.standing() != Standing::Gone);
        if begun.releases {
            return self.look_released(found, &begun).await;
        }
        let Some(record) = found else {
            return Ok(match artifact {
                None => Look::Gone,
                Some(_) => {
                    let kind = FailureKind::NotReady {
                        why: "somebody deleted it".to_owned(),
                    };
                    Look::Failed(Failure::new(kind, "the stack is gone"))
                }
            });
        };
        let stack = artifact.and_then(Artifact::stack);
        let total = stack.map_or(0, |stack| template::resources(&stack.template).count());
        match record.standing() {
            Standing::Busy => {
                let events = self.operation(&record.id).await?;
                return Ok(Look::Waiting(progress(
                    &record.id,
                    &record.status,
                    total,
                    &events,
                )));
            }
            Standing::Empty => return Ok(Look::Waiting("it has not begun yet".to_owned())),
            _ => {}
        }
        let Some(stack) = stack else {
            // A stack whose export is in use goes back to the status it had.
            if record.reason.contains("in use by") || record.reason.contains("cancel") {
                let kind = FailureKind::NotReady {
                    why: record.reason.to_string(),
                };
                return Ok(Look::Failed(Failure::new(
                    kind,
                    format!("`{}` could not be deleted", record.name),
                )));
            }
            if record.status != "DELETE_FAILED" {
                return Ok(Look::Waiting("its deletion has not begun yet".to_owned()));
            }
            let cause = self
                .first_cause(&record.id, &record.status, None, &begun.addresses)
                .await;
            return Ok(Look::Failed(cause));
        };
        // For a moment after it was asked to begin, a stack still shows how the operation before ended.
        if begun.deploys && !begun.updated.is_empty() && record.updated == begun.updated {
            return Ok(Look::Waiting("it has not begun yet".to_owned()));
        }
        let good = matches!(&*record.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE")
            || (!begun.deploys && record.standing() == Standing::Steady);
        if !good {
            let cause = self
                .first_cause(&record.id, &record.status, Some(stack), &BTreeMap::new())
                .await;
            return Ok(Look::Failed(cause));
        }
        self.settle(id, stack, record, &begun, label).await
    }

    /// Guards are set when everything stands: a stack that is being changed does not take them.
    async fn settle(
        &self,
        id: &ArtifactId,
        stack: &Stack,
        mut record: Record,
        begun: &Begun,
        label: &str,
    ) -> Result<Look, Failure> {
        if let Some(protection) = begun.protection {
            self.protect(&record.id, protection).await?;
            record.protected = protection;
        }
        if let Some(policy) = &begun.policy {
            self.set_policy(&record.id, policy).await?;
        }
        let target = id.as_str().split(':').next().unwrap_or_default();
        let template = match begun.deploys {
            true => stack.template.clone(),
            false => self.template_of(&record, Some(stack), label).await?,
        };
        let ownership = Ownership::Ours {
            marked: record.tags.get(STACK_TAG).is_some_and(|value| value == label),
            adopted: begun.adopted || record.is_tagged_adopted(),
        };
        let known = Known {
            wanted: Some(stack),
            before: None,
        };
        let live = self
            .live(&target.into(), record, template, ownership, known)
            .await?;
        Ok(Look::Settled(Box::new(live)))
    }

    /// The stack once nobody is at work on it: a run that was killed may have left it in the middle of something.
    /// Whoever asks may give up meanwhile.
    pub(super) async fn at_rest(
        &self,
        name_or_id: &str,
        go_on: impl Fn() -> Result<(), Failure>,
    ) -> Result<Option<Record>, Failure> {
        let mut pause = Duration::from_millis(250);
        loop {
            go_on()?;
            let found = self.describe(name_or_id).await?;
            match &found {
                Some(record) if record.standing() == Standing::Busy => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                _ => return Ok(found),
            }
        }
    }

    /// A stack that only a person can help.
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

/// The parameters, all of which are known when a stack is written.
pub(super) fn known(values: &Values, stack: &Stack) -> Result<BTreeMap<Text, Text>, Failure> {
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

fn refuse_unapproved(write: &Write<'_>, stack: &Stack) -> Result<(), Failure> {
    let mut needed = write.change.approvals();
    let missing = needed.find(|address| !write.approved.contains(*address));
    match missing {
        // A replace has deleted already, with approval, what there was.
        Some(address) if write.change.action != Action::Replace => Err(Failure::new(
            FailureKind::Rejected,
            format!(
                "`{}` would lose or stop managing `{address}`, which is not approved",
                stack.name
            ),
        )
        .hint(format!("if that is what you want, add `--approve '{address}'`"))),
        _ => Ok(()),
    }
}
