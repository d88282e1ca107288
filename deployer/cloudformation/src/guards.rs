//! Termination protection and stack policies. Terrace sets them after the creation of a stack and relaxes them for approved
//! changes. A recovery record describes a guard while it is relaxed.

use terrace_artifact::{ArtifactId, CloudFormationStack, Map, Text, Value, to_json_compact};
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::journal::Note;
use terrace_deployer_model::live::Live;

use super::account::Account;
use super::record::{Observed, Record, STACK_TAG};
use super::status::StackState;

/// The guards that a stack must have after a step, whether the step succeeds or fails.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Guards {
    /// Whether the stack must be protected from deletion. `false` does not remove an existing protection.
    pub(super) protected: bool,
    /// The stack policy to set.
    pub(super) policy: Option<Value>,
}

impl Guards {
    /// Returns the guards of a stack that is being created.
    pub(super) fn of(stack: &CloudFormationStack) -> Guards {
        Guards {
            protected: stack.termination_protection,
            policy: stack.policy.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.protected && self.policy.is_none()
    }

    /// Returns a recovery record for a stack that temporarily lacks these guards. `why` completes the description.
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

/// Returns whether the guards of a recovery record are restored on a stack. A stack whose creation failed contains nothing to
/// guard, and its protection would prevent its deletion.
fn belong_on(record: &Record) -> bool {
    record.state() == StackState::Steady || record.status == "DELETE_FAILED"
}

/// Returns a stack as it will be after the guards of a recovery record are restored. Plans are made for this state.
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
    /// Restores the guards of a recovery record on the stack with its id, after running operations have ended. Does not change a
    /// stack without Terrace's tag: a recovery record alone does not prove ownership.
    pub(super) async fn restore(&self, note: &Note, label: &str) -> Result<(), Failure> {
        let is_tagged = |record: &Record| record.tags.get(STACK_TAG).is_some_and(|value| value == label);
        let found = self.at_rest(&note.id, || Ok(())).await?;
        let Some(record) = found.filter(|record| belong_on(record) && is_tagged(record)) else {
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
