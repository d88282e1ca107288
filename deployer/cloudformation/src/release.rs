//! Retains an adopted stack that is no longer desired. The stack remains unchanged, except that it loses Terrace's tags.
//!
//! Only an update can change the tags of a stack, and CloudFormation applies the change to each resource. The update is still
//! necessary: Terrace would recognize a stack with its tag and its last executed change set as its own.

use aws_sdk_cloudformation::types::{Replacement, ResourceChange};
use terrace_artifact::{Address, Digest};
use terrace_deployer_model::backend::{Observation, Ticket};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::Journal;
use terrace_deployer_model::live::Live;

use super::account::Account;
use super::change_set::{Desired, Template};
use super::evidence::without_marks;
use super::record::{Observed, Record};
use super::started_operation::StartedOperation;
use super::status::StackState;

impl Account {
    /// Starts to remove Terrace's tags from the stack that was observed.
    pub(super) async fn release(&self, live: &Live, journal: &Journal<'_>) -> Result<Ticket, Failure> {
        let observed = Observed::from_value(&live.value);
        let mut operation = StartedOperation {
            stack_id: observed.record.id.clone(),
            releases: true,
            ..StartedOperation::default()
        };
        let now = self.at_rest(&operation.stack_id, || journal.may_write()).await?;
        let Some(now) = now.filter(|now| now.state() != StackState::Gone && is_marked(now)) else {
            return Ok(operation.into_ticket());
        };
        if now.state() != StackState::Steady {
            return Err(self.stuck(&now));
        }
        let tags = without_marks(&now);
        let desired = Desired {
            name: &now.name,
            template: Template::Kept(&observed.template),
            parameters: &now.parameters,
            tags: &tags,
            stack_id: Some(&now.id),
            creates: false,
        };
        let name = format!("release-{}", Digest::of_bytes(now.updated.as_bytes()).short());
        let set = self.create_change_set(&desired, name).await?;
        if let Some(changes) = &set.changes {
            if let Some(replaced) = changes.iter().find(|change| replaces(change)) {
                self.clean_up(&desired, &set).await?;
                return Err(held_back(&now, replaced, &live.addresses));
            }
            journal.may_write()?;
            operation.updated = now.updated.clone();
            operation.deploys = true;
            self.execute(&set).await?;
        }
        Ok(operation.into_ticket())
    }

    /// Observes a retained stack once. It counts as gone as soon as it has lost Terrace's tags.
    pub(super) async fn look_released(
        &self,
        found: Option<Record>,
        operation: &StartedOperation,
    ) -> Result<Observation, Failure> {
        let Some(record) = found else {
            return Ok(Observation::Gone);
        };
        if record.state() == StackState::Busy {
            return Ok(Observation::Waiting(record.status.to_string()));
        }
        if !is_marked(&record) {
            return Ok(Observation::Gone);
        }
        if operation.deploys && record.updated == operation.updated {
            return Ok(Observation::Waiting(
                "the operation has not started yet".to_owned(),
            ));
        }
        let cause = self
            .first_cause(&record.id, &record.status, None, &operation.addresses)
            .await;
        Ok(Observation::Failed(cause))
    }
}

fn is_marked(record: &Record) -> bool {
    record.tags != without_marks(record)
}

/// Returns whether a change of tags replaces a resource.
fn replaces(change: &ResourceChange) -> bool {
    matches!(
        change.replacement(),
        Some(Replacement::True | Replacement::Conditional)
    )
}

fn held_back(record: &Record, replaced: &ResourceChange, addresses: &[Address]) -> Failure {
    let id = replaced.logical_resource_id().unwrap_or_default();
    let resource_type = replaced.resource_type().unwrap_or_default();
    let options: Vec<String> = addresses
        .iter()
        .map(|address| format!("--approve '{address}'"))
        .collect();
    let message = format!(
        "CloudFormation stack `{}` cannot be retained: removing Terrace's tags would replace `{id}` ({resource_type})",
        record.name
    );
    Failure::new(FailureKind::Protected, message).hint(format!(
        "keep its component in the stack, or delete it with these options:\n{}",
        options.join("\n")
    ))
}
