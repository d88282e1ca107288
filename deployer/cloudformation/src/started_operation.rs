//! The operation that a write, a delete or a release started. It is carried from one observation of a stack to the next.

use std::collections::BTreeMap;

use terrace_artifact::{Address, Map, Text, Value};
use terrace_deployer_model::backend::Ticket;
use terrace_deployer_model::live::Live;

use super::record::{addresses_of, addresses_to_value};

/// The operation that a write, a delete or a release started, as a [`Ticket`] carries it.
#[derive(Default)]
pub(super) struct StartedOperation {
    pub(super) stack_id: Text,
    /// The time of the last update before this operation.
    pub(super) updated: Text,
    /// The termination protection to set after the operation, if it differs from the current one.
    pub(super) protection: Option<bool>,
    /// The stack policy to set after the operation, if it differs from the current one.
    pub(super) policy: Option<Value>,
    /// Whether CloudFormation was asked to create, update or delete something.
    pub(super) deploys: bool,
    /// The addresses of the resources that are deleted, by logical id. After the deletion starts, no other source has them.
    pub(super) addresses: BTreeMap<Text, Address>,
    /// Whether the stack was adopted: it existed before Terrace managed it.
    pub(super) adopted: bool,
    /// Whether the stack is retained without Terrace's tags.
    pub(super) releases: bool,
}

impl StartedOperation {
    /// Returns the operation of a stack that needs no write.
    pub(super) fn unwritten(live: &Live) -> StartedOperation {
        StartedOperation {
            stack_id: live.identity.clone(),
            adopted: live.ownership.is_adopted(),
            ..StartedOperation::default()
        }
    }

    /// Converts the operation to the ticket that the engine carries.
    pub(super) fn into_ticket(self) -> Ticket {
        let mut map = Map::new();
        map.insert("stack", self.stack_id);
        map.insert("updated", self.updated);
        map.insert("protection", self.protection);
        map.insert("policy", self.policy);
        map.insert("deploys", self.deploys);
        map.insert("addresses", addresses_to_value(&self.addresses));
        map.insert("adopted", self.adopted);
        map.insert("releases", self.releases);
        Ticket(Value::Map(map))
    }

    /// Reads a ticket that [`StartedOperation::into_ticket`] wrote.
    pub(super) fn of(ticket: &Ticket) -> StartedOperation {
        let is = |key: &str| ticket.0.get(key).and_then(Value::as_bool).unwrap_or(false);
        let text = |key: &str| Text::from(ticket.0.get(key).and_then(Value::as_str).unwrap_or_default());
        StartedOperation {
            stack_id: text("stack"),
            updated: text("updated"),
            protection: ticket.0.get("protection").and_then(Value::as_bool),
            policy: ticket
                .0
                .get("policy")
                .filter(|policy| **policy != Value::Null)
                .cloned(),
            deploys: is("deploys"),
            addresses: addresses_of(ticket.0.get("addresses")),
            adopted: is("adopted"),
            releases: is("releases"),
        }
    }
}
