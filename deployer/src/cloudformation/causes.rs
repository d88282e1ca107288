//! What went wrong first, of all that CloudFormation tells of a failure.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{EventFilter, EventType};
use terrace_artifact::{Address, Stack, Text};

use crate::failure::{Failure, FailureKind};

use super::account::Account;
use super::change_set::ChangeSet;
use super::events::{StackEvent, name_of};
use super::status::{self, Standing};

/// Something that CloudFormation holds against a resource.
struct Cause {
    logical_id: Text,
    resource_type: Text,
    /// Where in it, and what: `is CREATE_FAILED: the limit is reached`.
    text: String,
}

impl Account {
    /// Why the last operation on a stack failed: the first thing that went wrong, not what was cancelled or taken back
    /// because of it.
    pub(super) async fn first_cause(
        &self,
        stack_id: &str,
        outcome: &str,
        stack: Option<&Stack>,
        addresses: &BTreeMap<Text, Address>,
    ) -> Failure {
        let name = name_of(stack_id);
        let events = match self.operation(stack_id).await {
            Ok(events) => events,
            Err(failure) => return failure,
        };
        let first = events.iter().find(|event| event.is_cause(stack_id));
        let causes = match first {
            Some(event) => vec![Cause::of(event)],
            None => self.validation(stack_id, None).await,
        };
        // Where nothing that it is made of failed, what CloudFormation says of the whole is all there is.
        let mut whole = events.iter().filter(|event| event.is_of_stack(stack_id));
        let said = whole.find(|event| !matches!(&*event.reason, "" | "User Initiated"));
        let why = match said {
            _ if !causes.is_empty() => told(&causes),
            Some(event) => event.reason.to_string(),
            None => format!("its status is {outcome}"),
        };
        let failure = Failure::new(
            FailureKind::NotReady { why },
            format!("`{name}` {}", ended(outcome)),
        );
        let hint = if status::standing(outcome) == Standing::Stuck || causes.is_empty() {
            Some(status::way_out(outcome, name, &self.region))
        } else {
            causes.iter().find_map(hint)
        };
        let failure = blame(failure, &causes, stack, addresses);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Why CloudFormation would not make a change set.
    pub(super) async fn refused_change_set(
        &self,
        stack: Option<&Stack>,
        set: &ChangeSet,
        reason: String,
    ) -> Failure {
        let causes = self.validation(&set.stack_id, Some(&set.id)).await;
        let name = name_of(&set.stack_id);
        let message = format!("CloudFormation refuses the change set of `{name}`");
        let said = if causes.is_empty() { reason } else { told(&causes) };
        let failure = Failure::new(FailureKind::Rejected, message).server(said);
        let failure = blame(failure, &causes, stack, &BTreeMap::new());
        match causes.iter().find_map(hint) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// What CloudFormation found wrong with resources before it touched any. Knowing nothing is no failure: then there
    /// is still what the stack itself says.
    async fn validation(&self, stack: &str, change_set: Option<&str>) -> Vec<Cause> {
        let request = self.cloudformation.describe_events();
        let request = match change_set {
            Some(name) => request.change_set_name(name).stack_name(stack),
            None => request.stack_name(stack),
        };
        let failed = EventFilter::builder().failed_events(true).build();
        let Ok(page) = request.filters(failed).send().await else {
            return Vec::new();
        };
        let events = page.operation_events();
        let operation = events.first().and_then(|event| event.operation_id());
        let text = |text: Option<&str>| Text::from(text.unwrap_or_default());
        events
            .iter()
            .filter(|event| event.operation_id() == operation)
            .filter(|event| event.event_type() == Some(&EventType::ValidationError))
            .map(|event| Cause {
                logical_id: text(event.logical_resource_id()),
                resource_type: text(event.resource_type()),
                text: event
                    .validation_status_reason()
                    .unwrap_or("it is not valid")
                    .to_owned(),
            })
            .collect()
    }
}

impl Cause {
    fn of(event: &StackEvent) -> Cause {
        Cause {
            logical_id: event.logical_id.clone(),
            resource_type: event.resource_type.clone(),
            text: format!("{}: {}", event.status, event.reason),
        }
    }
}

fn told(causes: &[Cause]) -> String {
    let lines: Vec<String> = causes
        .iter()
        .map(|cause| format!("`{}` ({}): {}", cause.logical_id, cause.resource_type, cause.text))
        .collect();
    lines.join("\n")
}

/// Says which resource it is about, and where that was declared.
fn blame(
    failure: Failure,
    causes: &[Cause],
    stack: Option<&Stack>,
    addresses: &BTreeMap<Text, Address>,
) -> Failure {
    let Some(first) = causes.first() else {
        return failure;
    };
    let member = stack.and_then(|stack| stack.members.get(&first.logical_id));
    let address = member.map(|member| &member.address);
    let address = address.or_else(|| addresses.get(&first.logical_id));
    failure.about(address, member.map(|member| &member.origin))
}

fn ended(outcome: &str) -> &'static str {
    match outcome {
        "ROLLBACK_COMPLETE" | "ROLLBACK_IN_PROGRESS" => "could not be created, and was rolled back",
        "UPDATE_ROLLBACK_COMPLETE" | "UPDATE_ROLLBACK_IN_PROGRESS" => {
            "could not be updated, and is back in its last good state"
        }
        "DELETE_FAILED" => "could not be deleted",
        "CREATE_FAILED" | "ROLLBACK_FAILED" => "could not be created",
        "UPDATE_FAILED" => "could not be updated",
        "UPDATE_ROLLBACK_FAILED" => "could not be updated, nor brought back to its last good state",
        _ => "did not get there",
    }
}

fn hint(cause: &Cause) -> Option<String> {
    if cause.resource_type == "AWS::S3::Bucket" && cause.text.contains("not empty") {
        return Some(
            "CloudFormation deletes a bucket only when it is empty, so nothing in it was lost. To keep it, give it \
             `deletion_policy: Retain`"
                .to_owned(),
        );
    }
    if cause.text.contains("already exists") {
        return Some(
            "something else has this name: an earlier stack retained it and it may hold data, or another \
             user created it. Choose another name; Terrace cannot import an existing resource into a stack yet"
                .to_owned(),
        );
    }
    None
}
