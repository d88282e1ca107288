//! Writing: a stack is created, updated or deleted, and looked at until it has settled.

use std::collections::BTreeMap;
use std::time::Duration;

use terrace_artifact::{Address, Artifact, ArtifactId, Map, Stack, Text, Value};

use crate::backend::{Live, Look, Ticket, Write};
use crate::failure::{Failure, FailureKind};
use crate::journal::Journal;
use crate::plan::{Action, Change};
use crate::values::{Late, Values};

use super::account::Account;
use super::change_set::{Desired, held_against_plan};
use super::difference;
use super::events::progress;
use super::guards::Guards;
use super::record::{Observed, Record, addresses_of, addresses_to_value, stack_name, tags};
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
        let tags = tags(stack, label);
        let found = self.at_rest(&stack.name, || write.journal.may_write()).await?;
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
            stack,
            parameters: &parameters,
            tags: &tags,
            creates,
        };
        let name = desired.name();
        let mut ticket = Begun {
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
            policy: None,
            deploys: false,
            addresses: BTreeMap::new(),
        };
        let live = write
            .live
            .map(|live| Observed::from_value(&live.value))
            .unwrap_or_default();
        if difference::policy(live.policy.as_ref()) != difference::policy(stack.policy.as_ref()) {
            ticket.policy = Some(difference::policy(stack.policy.as_ref()));
        }
        if found
            .as_ref()
            .is_some_and(|record| record.standing() == Standing::Empty)
        {
            self.only_our_change_sets(stack).await?;
        }
        let as_left = found.as_ref().is_some_and(|record| record.was_left_by(&name));
        if !as_left && !creates && write.live.is_none() {
            let message = format!("somebody created `{}` since the plan was made", stack.name);
            return Err(Failure::new(FailureKind::Stale, message));
        }
        // What the plan saw in the middle of something may have ended in another way than it seemed.
        let was_busy = live.record.standing() == Standing::Busy;
        if !as_left && (creates || was_busy || difference::needs_change_set(write.change)) {
            let set = self.create_change_set(&desired, name).await?;
            ticket.stack_id = set.stack_id.clone();
            if let Some(changes) = &set.changes {
                let held = held_against_plan(changes, write.change, &live.template, stack, write.approved);
                if let Err(failure) = held {
                    self.clean_up(&desired, &set.name).await?;
                    return Err(failure);
                }
                write.journal.may_write()?;
                let id = &write.artifact.id;
                let guards = Guards::of(stack);
                if creates && !guards.is_empty() {
                    let note = guards.note(id, &set.stack_id, &stack.name, "to be set once it stands");
                    write.journal.write(note).await?;
                }
                // The old policy is there to stop what the user has just agreed to. The wanted one is set when the update
                // is done.
                let in_the_way = ticket.policy.is_some() || !write.change.loses_data.is_empty();
                if live.policy.is_some() && in_the_way {
                    let before = Guards {
                        protected: false,
                        policy: live.policy.clone(),
                    };
                    if guards.policy.is_some() {
                        let note =
                            before.note(id, &set.stack_id, &stack.name, "opened for an approved change");
                        write.journal.write(note).await?;
                    }
                    self.set_policy(&stack.name, &difference::allow_all()).await?;
                    ticket.policy = Some(difference::policy(stack.policy.as_ref()));
                }
                self.execute(&set).await?;
                ticket.deploys = true;
            }
        }
        Ok(ticket.into_ticket())
    }

    /// Begins to delete the very stack that was observed.
    pub(super) async fn remove(&self, live: &Live, journal: &Journal<'_>) -> Result<Ticket, Failure> {
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
        if now.protected {
            let guards = Guards {
                protected: true,
                policy: None,
            };
            let note = guards.note(&live.id, id, &now.name, "lifted for its deletion");
            journal.write(note).await?;
            self.protect(&now.name, false).await?;
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
        let Some(record) = found.filter(|record| record.standing() != Standing::Gone) else {
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
        self.settle(id, stack, artifact, record, &begun, label).await
    }

    /// Guards are set when everything stands: a stack that is being changed does not take them.
    async fn settle(
        &self,
        id: &ArtifactId,
        stack: &Stack,
        artifact: Option<&Artifact>,
        mut record: Record,
        begun: &Begun,
        label: &str,
    ) -> Result<Look, Failure> {
        if let Some(protection) = begun.protection {
            self.protect(&record.name, protection).await?;
            record.protected = protection;
        }
        if let Some(policy) = &begun.policy {
            self.set_policy(&record.name, policy).await?;
        }
        let target = id.as_str().split(':').next().unwrap_or_default();
        let known = begun.deploys.then(|| stack.template.clone());
        let live = self
            .live_with(&target.into(), label, record, artifact, None, known)
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

    /// A stack without resources may be where somebody else has a change set to review.
    async fn only_our_change_sets(&self, stack: &Stack) -> Result<(), Failure> {
        let request = self
            .cloudformation
            .list_change_sets()
            .stack_name(stack.name.as_str());
        let listed = request
            .send()
            .await
            .map_err(|error| self.refused(&error, "cloudformation:ListChangeSets", &stack.name))?;
        let mut names = listed
            .summaries()
            .iter()
            .filter_map(|summary| summary.change_set_name());
        match names.find(|name| !name.starts_with("terrace-")) {
            None => Ok(()),
            Some(name) => Err(Failure::new(
                FailureKind::Conflict { manager: name.into() },
                format!(
                    "somebody is about to create `{}`: its change set `{name}` waits for review",
                    stack.name
                ),
            )
            .hint("rename the component, or delete the other change set")),
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

/// What a write or a delete began, as it is carried in a [`Ticket`].
#[derive(Default)]
struct Begun {
    stack_id: Text,
    /// When the stack was last updated, before this.
    updated: Text,
    /// What termination protection is to be when it is done, where that is something else than now.
    protection: Option<bool>,
    /// The policy it is to have when it is done, where that is something else than now.
    policy: Option<Value>,
    /// Whether CloudFormation was asked to change something.
    deploys: bool,
    /// The addresses of what is deleted, by logical id: nothing else says them once it is under way.
    addresses: BTreeMap<Text, Address>,
}

impl Begun {
    fn into_ticket(self) -> Ticket {
        let mut map = Map::new();
        map.insert("stack", self.stack_id);
        map.insert("updated", self.updated);
        map.insert("protection", self.protection);
        map.insert("policy", self.policy);
        map.insert("deploys", self.deploys);
        map.insert("addresses", addresses_to_value(&self.addresses));
        Ticket(Value::Map(map))
    }

    fn of(ticket: &Ticket) -> Begun {
        let text = |key: &str| Text::from(ticket.0.get(key).and_then(Value::as_str).unwrap_or_default());
        Begun {
            stack_id: text("stack"),
            updated: text("updated"),
            protection: ticket.0.get("protection").and_then(Value::as_bool),
            policy: ticket
                .0
                .get("policy")
                .filter(|policy| **policy != Value::Null)
                .cloned(),
            deploys: ticket.0.get("deploys").and_then(Value::as_bool).unwrap_or(false),
            addresses: addresses_of(ticket.0.get("addresses")),
        }
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
    let Change {
        action, loses_data, ..
    } = write.change;
    let missing = loses_data
        .iter()
        .find(|address| !write.approved.contains(*address));
    match missing {
        // A replace has deleted already, with approval, what there was.
        Some(address) if *action != Action::Replace => Err(Failure::new(
            FailureKind::Rejected,
            format!(
                "`{}` would lose the data of `{address}`, and nobody agreed to that",
                stack.name
            ),
        )
        .hint(format!("if it may be lost, add `--approve '{address}'`"))),
        _ => Ok(()),
    }
}
