//! Finds the first cause of a failure among the events that CloudFormation reports.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{EventFilter, EventType};
use terrace_artifact::{Address, CloudFormationStack, Text};
use terrace_deployer_model::failure::{Failure, FailureKind};

use super::account::Account;
use super::change_set::ChangeSet;
use super::events::{StackEvent, name_of};
use super::status::{self, StackState};

/// A problem that CloudFormation reports for a resource.
struct Cause {
    logical_id: Text,
    resource_type: Text,
    /// The status and the reason: `CREATE_FAILED: the limit is reached`.
    text: String,
}

impl Account {
    /// Returns the failure of the last operation on a stack. Reports the first cause, not the resources that were canceled or
    /// rolled back because of it.
    pub(super) async fn first_cause(
        &self,
        stack_id: &str,
        outcome: &str,
        stack: Option<&CloudFormationStack>,
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
        // If no resource failed, the events of the stack itself contain the only reason.
        let mut of_stack = events.iter().filter(|event| event.is_of_stack(stack_id));
        let with_reason = of_stack.find(|event| !matches!(&*event.reason, "" | "User Initiated"));
        let why = match with_reason {
            _ if !causes.is_empty() => describe(&causes),
            Some(event) => event.reason.to_string(),
            None => format!("its status is {outcome}"),
        };
        let failure = Failure::new(
            FailureKind::NotReady { why },
            format!("`{name}` {}", ended(outcome)),
        );
        let hint = if status::state_of_status(outcome) == StackState::Stuck || causes.is_empty() {
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

    /// Returns the failure of a change set that CloudFormation did not create.
    pub(super) async fn refused_change_set(
        &self,
        stack: Option<&CloudFormationStack>,
        set: &ChangeSet,
        reason: String,
    ) -> Failure {
        let causes = self.validation(&set.stack_id, Some(&set.id)).await;
        let name = name_of(&set.stack_id);
        let message = format!("CloudFormation rejects the change set of `{name}`");
        let response = if causes.is_empty() {
            reason
        } else {
            describe(&causes)
        };
        let failure = Failure::new(FailureKind::Rejected, message).server(response);
        let failure = blame(failure, &causes, stack, &BTreeMap::new());
        match causes.iter().find_map(hint) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Returns the problems that CloudFormation found in resources before it changed any. Returns none if the request fails:
    /// the reason of the stack itself remains.
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

fn describe(causes: &[Cause]) -> String {
    let lines: Vec<String> = causes
        .iter()
        .map(|cause| format!("`{}` ({}): {}", cause.logical_id, cause.resource_type, cause.text))
        .collect();
    lines.join("\n")
}

/// Adds the address of the first cause and the lines that declare it.
fn blame(
    failure: Failure,
    causes: &[Cause],
    stack: Option<&CloudFormationStack>,
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
        "ROLLBACK_COMPLETE" | "ROLLBACK_IN_PROGRESS" => "could not be created and was rolled back",
        "UPDATE_ROLLBACK_COMPLETE" | "UPDATE_ROLLBACK_IN_PROGRESS" => {
            "could not be updated and was rolled back to its last stable state"
        }
        "DELETE_FAILED" => "could not be deleted",
        "CREATE_FAILED" | "ROLLBACK_FAILED" => "could not be created",
        "UPDATE_FAILED" => "could not be updated",
        "UPDATE_ROLLBACK_FAILED" => "could not be updated, and its rollback failed",
        _ => "did not reach a stable status",
    }
}

fn hint(cause: &Cause) -> Option<String> {
    if cause.resource_type == "AWS::S3::Bucket" && cause.text.contains("not empty") {
        return Some(
            "empty the bucket to delete it, or set `deletion_policy: Retain` to keep it: CloudFormation deletes only \
             empty buckets, so no object was lost"
                .to_owned(),
        );
    }
    if cause.text.contains("already exists") {
        return Some(
            "choose another name: Terrace cannot import an existing resource into a stack yet. The existing one may hold \
             data: an earlier stack retained it, or another user created it"
                .to_owned(),
        );
    }
    None
}
