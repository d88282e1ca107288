//! The events that CloudFormation reports during an operation, and the progress of the operation.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use aws_sdk_cloudformation::types;
use terrace_artifact::Text;
use terrace_deployer_model::failure::Failure;

use super::account::Account;

/// An event of a stack.
#[derive(Clone, Debug)]
pub(super) struct StackEvent {
    /// The unique id of the event.
    id: Text,
    pub(super) logical_id: Text,
    pub(super) physical_id: Text,
    pub(super) resource_type: Text,
    pub(super) status: Text,
    pub(super) reason: Text,
}

impl Account {
    /// Returns the events of the current or last operation, oldest first, from the request of the operation on. Does not read
    /// events again that it has read before: a large stack has many pages of events, and is observed often.
    pub(super) async fn operation(&self, stack_id: &str) -> Result<Vec<StackEvent>, Failure> {
        let known = self.watched().remove(stack_id).unwrap_or_default();
        let newest = known.last().map(|event: &StackEvent| event.id.clone());
        let mut events = Vec::new();
        let mut next: Option<String> = None;
        'pages: loop {
            let request = self.cloudformation.describe_stack_events().stack_name(stack_id);
            let page = request
                .set_next_token(next.take())
                .send()
                .await
                .map_err(|error| {
                    self.refused(&error, "cloudformation:DescribeStackEvents", name_of(stack_id))
                })?;
            for event in page.stack_events() {
                let event = StackEvent::of(event);
                if Some(&event.id) == newest.as_ref() {
                    events.extend(known.into_iter().rev());
                    break 'pages;
                }
                let begins = event.begins(stack_id);
                events.push(event);
                if begins {
                    break 'pages;
                }
            }
            match page.next_token() {
                Some(token) => next = Some(token.to_owned()),
                None => break,
            }
        }
        events.reverse();
        self.watched().insert(stack_id.into(), events.clone());
        Ok(events)
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<Text, Vec<StackEvent>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StackEvent {
    fn of(event: &types::StackEvent) -> StackEvent {
        let text = |text: Option<&str>| Text::from(text.unwrap_or_default());
        StackEvent {
            id: text(event.event_id()),
            logical_id: text(event.logical_resource_id()),
            physical_id: text(event.physical_resource_id()),
            resource_type: text(event.resource_type()),
            status: text(event.resource_status().map(|status| status.as_str())),
            reason: text(event.resource_status_reason()),
        }
    }

    pub(super) fn is_of_stack(&self, stack_id: &str) -> bool {
        self.resource_type == "AWS::CloudFormation::Stack" && self.physical_id == stack_id
    }

    fn begins(&self, stack_id: &str) -> bool {
        self.is_of_stack(stack_id)
            && matches!(
                &*self.status,
                "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" | "DELETE_IN_PROGRESS" | "IMPORT_IN_PROGRESS"
            )
    }

    /// Returns whether this event may be the cause of other failures.
    pub(super) fn is_cause(&self, stack_id: &str) -> bool {
        self.status.ends_with("_FAILED")
            && !self.is_of_stack(stack_id)
            // After the first failure, CloudFormation cancels all running operations and reports them with this word.
            && !self.reason.contains("cancelled")
    }
}

/// Describes the progress of an operation: `CREATE_IN_PROGRESS: 3 of 7 resources, creating Bucket and Table`.
pub(super) fn progress(stack_id: &str, status: &str, total: usize, events: &[StackEvent]) -> String {
    let mut latest = BTreeMap::<&Text, &StackEvent>::new();
    for event in events.iter().filter(|event| !event.is_of_stack(stack_id)) {
        latest.insert(&event.logical_id, event);
    }
    let ended = |event: &&&StackEvent| event.status.ends_with("_COMPLETE");
    let done = latest.values().filter(ended).count();
    let running: Vec<String> = latest
        .values()
        .filter(|event| event.status.ends_with("_IN_PROGRESS"))
        .map(|event| format!("{} {}", doing(&event.status), event.logical_id))
        .collect();
    let mut text = format!("{status}: {done} of {} resources", total.max(latest.len()));
    match running.as_slice() {
        [] => {}
        some if some.len() <= 2 => text.push_str(&format!(", {}", some.join(" and "))),
        [first, rest @ ..] => text.push_str(&format!(", {first} and {} more", rest.len())),
    }
    text
}

/// Returns `NAME` of `arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/UUID`.
pub(super) fn name_of(stack_id: &str) -> &str {
    stack_id.split('/').nth(1).unwrap_or(stack_id)
}

fn doing(status: &str) -> &'static str {
    match status.split('_').next() {
        Some("CREATE") => "creating",
        Some("DELETE") => "deleting",
        Some("IMPORT") => "importing",
        _ => "updating",
    }
}
