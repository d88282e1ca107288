//! Failures of live systems, with the information that a user needs to act on them.

use std::fmt;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, Origin, Text};

/// A request that a live system rejected or did not answer, or an operation that Terrace refuses.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure, for programs.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// The problem in our words: lower case, no full stop.
    pub message: String,
    /// Further details.
    #[serde(flatten)]
    pub detail: Box<Detail>,
}

/// Further details of a failure.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Detail {
    /// The server's message, unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The last observed state of a resource that Terrace waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_state: Option<String>,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The lines that declare the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The individual problems, if there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// A suggestion for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One of several problems of a failure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Concern {
    /// The problem: `` `patch` ConfigMap data-tenant-sales/settings ``.
    pub what: String,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The lines that declare it; absent if the stack no longer declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Kinds of failures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FailureKind {
    /// The system does not answer.
    Unreachable,
    /// The system answers that it is too busy.
    Throttled,
    /// Permissions are missing.
    Denied {
        /// `patch`, `cloudformation:CreateChangeSet`.
        verb: Text,
        /// `deployments.apps in data-tenant-finance`.
        resource: Text,
        /// A rule that would allow it, for the administrator who grants permissions (a line of RBAC, of an IAM policy).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// Another field manager or stack manages this.
    Conflict {
        /// The other field manager, or the label of the other stack.
        manager: Text,
    },
    /// The resource exists and Terrace does not own it. Terrace does not change it unless the user adopts it by name.
    NotOurs {
        /// The owner, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Text>,
    },
    /// Terrace refuses the operation to protect existing resources.
    Protected,
    /// The system understood the request and rejected it.
    Rejected,
    /// The plan does not fit the live state.
    Stale,
    /// The artifact was not ready before the timeout.
    TimedOut,
    /// The artifact cannot become ready: a pod that never starts, a CloudFormation stack that rolled back.
    NotReady {
        /// The first cause.
        why: String,
    },
    /// Another apply is running.
    Locked {
        /// The holder of the lock.
        holder: Text,
        /// The time it took the lock.
        since: Text,
    },
    /// The lock of the environment was lost during an apply: another apply may have run since.
    LockLost,
    /// The system is not the one the environment names.
    WrongTarget,
    /// The account has not been prepared with `terrace bootstrap`.
    NotBootstrapped,
    /// Another user or program changed data that Terrace had stored.
    Tampered,
    /// The operation was stopped before it completed.
    Cancelled,
    /// This version does not support the operation.
    Unsupported,
    /// One of our files, or an answer of a server, is invalid.
    Broken,
}

impl Failure {
    /// Creates a failure without details.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            detail: Box::default(),
        }
    }

    /// Adds the server's message.
    #[must_use]
    pub fn server(mut self, words: impl Into<String>) -> Failure {
        let words = words.into();
        if !words.is_empty() {
            self.detail.server = Some(words);
        }
        self
    }

    /// Adds the last observed state of the resource.
    #[must_use]
    pub fn last_state(mut self, state: impl Into<String>) -> Failure {
        self.detail.last_state = Some(state.into());
        self
    }

    /// Adds a suggestion.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.detail.hint = Some(hint.into());
        self
    }

    /// Adds the resource. An address or origin that is set already remains.
    #[must_use]
    pub fn about(mut self, address: Option<&Address>, origin: Option<&Origin>) -> Failure {
        if self.detail.address.is_none() {
            self.detail.address = address.cloned();
        }
        if self.detail.origin.is_none() {
            self.detail.origin = origin.cloned();
        }
        self
    }

    /// Adds one of several problems.
    #[must_use]
    pub fn concerning(mut self, concern: Concern) -> Failure {
        self.detail.concerns.push(concern);
        self
    }

    /// Returns whether the same request may succeed shortly afterwards, without any other change.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, FailureKind::Unreachable | FailureKind::Throttled)
    }

    /// Returns advice about running the command again, if that can help.
    pub fn again(&self) -> Option<&'static str> {
        match self.kind {
            FailureKind::Unreachable => Some("run the command again when the system can be reached"),
            FailureKind::Throttled => Some("run the command again in a minute"),
            FailureKind::TimedOut => Some("run the command again to continue waiting, or raise `--timeout`"),
            FailureKind::Locked { .. } => Some("run the command again when the other apply has ended"),
            FailureKind::Stale => Some("make a new plan"),
            FailureKind::LockLost => Some("check what the other apply did, then run the command again"),
            FailureKind::Cancelled => Some("run the command again to finish"),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    /// Writes the message, then a line each for the server's message, the declaring lines, and help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail.address {
            Some(address) => write!(f, "{address}: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        if let FailureKind::NotReady { why } = &self.kind {
            write!(f, "\n  cause: {}", indented(why))?;
        }
        if let Some(server) = &self.detail.server {
            write!(f, "\n  server response: {}", indented(server))?;
        }
        if let Some(state) = &self.detail.last_state {
            write!(f, "\n  last observed state: {}", indented(state))?;
        }
        if let Some(origin) = &self.detail.origin {
            write!(f, "\n  {}", declared(origin))?;
        }
        for concern in &self.detail.concerns {
            f.write_str("\n  ")?;
            if let Some(address) = &concern.address {
                write!(f, "{address}: ")?;
            }
            f.write_str(&concern.what)?;
            if let Some(origin) = &concern.origin {
                write!(f, "\n    {}", declared(origin))?;
            }
        }
        if let FailureKind::Denied { rule: Some(rule), .. } = &self.kind {
            let which = if rule.matches("apiGroups").count() > 1 {
                "the rules that would allow it"
            } else {
                "a rule that would allow it"
            };
            write!(f, "\n  {which}:\n    {}", rule.replace('\n', "\n    "))?;
        }
        if let Some(hint) = &self.detail.hint {
            write!(f, "\n  help: {}", indented(hint))?;
        }
        if let Some(again) = self.again() {
            write!(f, "\n  help: {again}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Names the line of the component, and the line of the module that defines the resource if it differs.
pub fn declared(origin: &Origin) -> String {
    if origin.component == origin.resource {
        format!("declared at {}", origin.resource)
    } else {
        format!("declared at {}, defined at {}", origin.component, origin.resource)
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}
