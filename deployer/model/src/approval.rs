//! The changes of a plan that an apply makes only with the user's approval.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use terrace_artifact::{Address, Body, Origin};

use crate::failure::declared;
use crate::plan::{Action, Content, Loss, Plan, Step};

/// One address that the user must approve before a plan is applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Approval {
    /// The value of `--approve`.
    pub address: Address,
    /// The resource, with its owner if Terrace does not manage it, such as ``Secret precious, created by `helm` ``.
    pub resource: String,
    /// The consequence for the resource, such as `deleted, and its data is lost`.
    pub consequence: String,
    /// The kind of loss.
    pub kind: ApprovalKind,
    /// The lines that declare the resource; absent for a resource that the stack no longer declares.
    pub origin: Option<Origin>,
    /// Whether the resource is not ours, and so was never declared in the stack.
    pub is_foreign: bool,
}

/// The kind of loss that an approval allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ApprovalKind {
    /// Data is lost.
    Data,
    /// Data is retained but no longer managed.
    Retention,
    /// An address or a credential that other systems use changes.
    Identity,
}

impl Plan {
    /// Returns the missing approvals of this plan, in the order of their addresses.
    pub fn open_approvals(&self, approved: &BTreeSet<Address>) -> Vec<Approval> {
        let mut open = BTreeMap::new();
        for step in &self.steps {
            let addresses = step
                .change
                .approvals()
                .filter(|address| !approved.contains(*address));
            for address in addresses {
                let approval = self.approval(step, address);
                open.entry(address.clone()).or_insert(approval);
            }
        }
        open.into_values().collect()
    }

    fn approval(&self, step: &Step, address: &Address) -> Approval {
        let change = &step.change;
        let kind = if change.loses_data.contains(address) {
            ApprovalKind::Data
        } else if change.retains.contains(address) {
            ApprovalKind::Retention
        } else {
            ApprovalKind::Identity
        };
        let contents: Vec<&Content> = change
            .contents
            .iter()
            .filter(|content| content.address == *address)
            .collect();
        if !contents.is_empty() {
            let shown: Vec<String> = contents.iter().map(ToString::to_string).collect();
            return Approval {
                address: address.clone(),
                resource: shown.join("; "),
                consequence: format!("deleted together with {}", step.subject),
                kind,
                origin: None,
                is_foreign: true,
            };
        }
        let member = change
            .members
            .iter()
            .find(|member| member.address.as_ref() == Some(address));
        let (resource, action, losses, origin) = match member {
            Some(member) => (
                format!(
                    "{} `{}` of {}",
                    member.resource_type, member.logical_id, step.subject
                ),
                member.action,
                &member.losses,
                member.origin.as_ref(),
            ),
            None => (
                step.subject.to_string(),
                change.action,
                &change.losses,
                step.origin.as_ref(),
            ),
        };
        let is_container = !change.contents.is_empty() && member.is_none();
        Approval {
            address: address.clone(),
            resource,
            consequence: consequence(kind, action, losses, is_container),
            kind,
            origin: origin.or_else(|| self.declaration(address)).cloned(),
            is_foreign: false,
        }
    }

    /// Returns the lines of the bundle that declare an address. The bundle of a destroy still declares deleted resources.
    fn declaration(&self, address: &Address) -> Option<&Origin> {
        self.bundle
            .artifacts
            .iter()
            .find_map(|artifact| match &artifact.body {
                Body::Object(object) => (object.address == *address).then(|| artifact.origin()),
                Body::Stack(stack) => {
                    let mut members = stack.members.values();
                    let member = members.find(|member| member.address == *address);
                    member.map(|member| &member.origin)
                }
            })
    }
}

fn consequence(kind: ApprovalKind, action: Action, losses: &[Loss], is_container: bool) -> String {
    let happens = match action {
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Retain => "removed from the stack",
        Action::Keep | Action::Create | Action::Adopt | Action::Update => "updated",
    };
    match kind {
        ApprovalKind::Data if is_container => format!("{happens} together with the objects in it"),
        ApprovalKind::Data if losses.is_empty() => format!("{happens}, and its data is lost"),
        ApprovalKind::Data => {
            let losses: Vec<&str> = losses.iter().map(|loss| &*loss.what).collect();
            format!("{happens}, and {}", losses.join(" and "))
        }
        ApprovalKind::Retention => format!("{happens}, and its data is retained but no longer managed"),
        ApprovalKind::Identity => {
            format!("{happens}, and other systems lose an address or a credential that they use")
        }
    }
}

/// Writes the refusal for missing approvals: each resource with its consequence and its lines, then the options that
/// approve them.
pub fn write_refusal(approvals: &[Approval], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kinds: BTreeSet<ApprovalKind> = approvals.iter().map(|approval| approval.kind).collect();
    let kinds: Vec<&str> = kinds
        .iter()
        .map(|kind| match kind {
            ApprovalKind::Data => "lose data",
            ApprovalKind::Retention => "stop managing data that is retained",
            ApprovalKind::Identity => "change an identity that other systems use",
        })
        .collect();
    write!(
        f,
        "the plan would {} without your approval; nothing was changed",
        kinds.join(" and ")
    )?;
    for approval in approvals {
        write!(f, "\n  {approval}")?;
    }
    f.write_str("\n  help: to approve each change, add these options:")?;
    for approval in approvals {
        write!(f, "\n    --approve '{}'", approval.address)?;
    }
    Ok(())
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.resource, self.consequence)?;
        match &self.origin {
            Some(origin) => write!(f, "\n    {}", declared(origin)),
            None if self.is_foreign => Ok(()),
            None => f.write_str("\n    the stack no longer declares it"),
        }
    }
}
