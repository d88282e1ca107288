//! Letting go of a stack that was adopted and is not wanted any more: it stays as it is, without our tags.
//!
//! The tags of a stack are changed by an update, which hands the change on to each of its resources. It is one all the same:
//! a stack that keeps our tag and the change set that we executed last would be taken for ours again.

use aws_sdk_cloudformation::types::{Replacement, ResourceChange};
use terrace_artifact::Digest;

use crate::backend::{Live, Look, Ticket};
use crate::failure::{Failure, FailureKind};
use crate::journal::Journal;

use super::account::Account;
use super::begun::Begun;
use super::change_set::{Desired, Template};
use super::evidence::without_marks;
use super::record::{Observed, Record};
use super::status::Standing;

impl Account {
    /// Begins to take our tags off the very stack that was observed.
    pub(super) async fn release(&self, live: &Live, journal: &Journal<'_>) -> Result<Ticket, Failure> {
        let observed = Observed::from_value(&live.value);
        let mut begun = Begun {
            stack_id: observed.record.id.clone(),
            releases: true,
            ..Begun::default()
        };
        let now = self.at_rest(&begun.stack_id, || journal.may_write()).await?;
        let Some(now) = now.filter(|now| now.standing() != Standing::Gone && is_marked(now)) else {
            return Ok(begun.into_ticket());
        };
        if now.standing() != Standing::Steady {
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
                return Err(held_back(&now, replaced));
            }
            journal.may_write()?;
            begun.updated = now.updated.clone();
            begun.deploys = true;
            self.execute(&set).await?;
        }
        Ok(begun.into_ticket())
    }

    /// Looks once at a stack that was released. It is gone for us as soon as it has lost our tags.
    pub(super) async fn look_released(&self, found: Option<Record>, begun: &Begun) -> Result<Look, Failure> {
        let Some(record) = found else {
            return Ok(Look::Gone);
        };
        if record.standing() == Standing::Busy {
            return Ok(Look::Waiting(record.status.to_string()));
        }
        if !is_marked(&record) {
            return Ok(Look::Gone);
        }
        if begun.deploys && record.updated == begun.updated {
            return Ok(Look::Waiting("it has not begun yet".to_owned()));
        }
        let cause = self
            .first_cause(&record.id, &record.status, None, &begun.addresses)
            .await;
        Ok(Look::Failed(cause))
    }
}

fn is_marked(record: &Record) -> bool {
    record.tags != without_marks(record)
}

/// Whether a change of tags does more than that.
fn replaces(change: &ResourceChange) -> bool {
    matches!(
        change.replacement(),
        Some(Replacement::True | Replacement::Conditional)
    )
}

fn held_back(record: &Record, replaced: &ResourceChange) -> Failure {
    let id = replaced.logical_resource_id().unwrap_or_default();
    let resource_type = replaced.resource_type().unwrap_or_default();
    let message = format!(
        "`{}` cannot be released: taking our tags off it would replace `{id}` ({resource_type})",
        record.name
    );
    Failure::new(FailureKind::Protected, message)
        .hint("keep its component in the stack, or approve its deletion")
}
