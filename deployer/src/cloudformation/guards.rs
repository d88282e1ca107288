//! Termination protection and stack policies: set when a stack stands, loosened where what was approved needs it, and noted
//! while they are not what they should be.

use terrace_artifact::{ArtifactId, Map, Stack, Text, Value, to_json_compact};

use crate::backend::Live;
use crate::failure::Failure;
use crate::journal::Note;

use super::account::Account;
use super::record::{Observed, Record, STACK_TAG};
use super::status::Standing;

/// The guards that a stack is to have when a step has ended, one way or another.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Guards {
    /// Whether it is to be protected from deletion. What is not protected is no guard.
    pub(super) protected: bool,
    pub(super) policy: Option<Value>,
}

impl Guards {
    /// What a stack that is being created is to get.
    pub(super) fn of(stack: &Stack) -> Guards {
        Guards {
            protected: stack.termination_protection,
            policy: stack.policy.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.protected && self.policy.is_none()
    }

    /// A note that a stack is without them for a moment; `why` ends the sentence.
    pub(super) fn note(&self, artifact: &ArtifactId, record_id: &Text, name: &str, why: &str) -> Note {
        let which = match (self.protected, &self.policy) {
            (true, Some(_)) => "termination protection and stack policy",
            (true, None) => "termination protection",
            (false, _) => "stack policy",
        };
        let mut restore = Map::new();
        restore.insert("protected", self.protected);
        restore.insert("policy", self.policy.clone());
        Note {
            target: artifact.as_str().split(':').next().unwrap_or_default().into(),
            artifact: artifact.clone(),
            id: record_id.clone(),
            what: format!("{which} of `{name}`, {why}"),
            restore: restore.into(),
        }
    }

    fn of_note(note: &Note) -> Guards {
        let protected = note.restore.get("protected").and_then(Value::as_bool);
        let policy = note
            .restore
            .get("policy")
            .filter(|policy| **policy != Value::Null);
        Guards {
            protected: protected.unwrap_or(false),
            policy: policy.cloned(),
        }
    }
}

/// Whether the guards of a note are put back on a stack: one that never stood has nothing in it to be guarded, and its
/// protection would only be in the way of tidying up.
fn belong_on(record: &Record) -> bool {
    record.standing() == Standing::Steady || record.status == "DELETE_FAILED"
}

/// A stack as it will be when the guards of a note are back on it: a plan is made for that.
pub(super) fn with_guards_back(mut live: Live, note: &Note, policy_counts: bool) -> Live {
    let mut observed = Observed::from_value(&live.value);
    if observed.record.id != note.id || !belong_on(&observed.record) {
        return live;
    }
    let guards = Guards::of_note(note);
    observed.record.protected |= guards.protected;
    if policy_counts && guards.policy.is_some() {
        observed.policy = guards.policy;
    }
    live.basis = observed.basis();
    live.value = observed.to_value();
    live
}

impl Account {
    /// Puts back what a note says, on the very stack that it is about, once nobody is at work on it. A stack without our tag
    /// gets nothing: a note proves no more than a recorded StackId.
    pub(super) async fn restore(&self, note: &Note, label: &str) -> Result<(), Failure> {
        let ours = |record: &Record| record.tags.get(STACK_TAG).is_some_and(|value| value == label);
        let found = self.at_rest(&note.id, || Ok(())).await?;
        let Some(record) = found.filter(|record| belong_on(record) && ours(record)) else {
            return Ok(());
        };
        let guards = Guards::of_note(note);
        if guards.protected && !record.protected {
            self.protect(&record.id, true).await?;
        }
        match &guards.policy {
            Some(policy) => self.set_policy(&record.id, policy).await,
            None => Ok(()),
        }
    }

    pub(super) async fn protect(&self, stack_id: &str, protected: bool) -> Result<(), Failure> {
        let request = self
            .cloudformation
            .update_termination_protection()
            .stack_name(stack_id)
            .enable_termination_protection(protected);
        let sent = request.send().await;
        sent.map_err(|error| {
            self.refused(
                &error,
                "cloudformation:UpdateTerminationProtection",
                super::events::name_of(stack_id),
            )
        })?;
        Ok(())
    }

    pub(super) async fn set_policy(&self, stack_id: &str, policy: &Value) -> Result<(), Failure> {
        let request = self.cloudformation.set_stack_policy().stack_name(stack_id);
        let sent = request.stack_policy_body(to_json_compact(policy)).send().await;
        sent.map_err(|error| {
            self.refused(
                &error,
                "cloudformation:SetStackPolicy",
                super::events::name_of(stack_id),
            )
        })?;
        Ok(())
    }
}
