//! What goes wrong with live systems, told so that the reader knows what to do.

use std::fmt;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, Origin, Text};

/// Something a live system would not do, or did not answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, to act on.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// What is wrong, in our words: lower case, no full stop.
    pub message: String,
    /// What more is known.
    #[serde(flatten)]
    pub detail: Box<Detail>,
}

/// What more is known of a failure.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Detail {
    /// What the server said, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The resource it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The lines that declared the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What it is about, where that is more than one resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One of several things that a failure is about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Concern {
    /// What could not be done: `` `patch` ConfigMap data-tenant-sales/settings ``.
    pub what: String,
    /// The resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The lines that declared it; absent for what is declared no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Kinds of failures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FailureKind {
    /// The system does not answer.
    Unreachable,
    /// It answered that it is too busy.
    Throttled,
    /// We may not do this.
    Denied {
        /// `patch`, `cloudformation:CreateChangeSet`.
        verb: Text,
        /// `deployments.apps in data-tenant-finance`.
        resource: Text,
        /// A rule that would allow it, to be given to whoever grants rights (a line of RBAC, of an IAM policy).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// Somebody else manages this.
    Conflict {
        /// The other field manager, the other stack's label.
        manager: Text,
    },
    /// It exists, and is not ours. Nothing touches it unless the user adopts it by name.
    NotOurs {
        /// Who owns it, where something tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Text>,
    },
    /// Terrace itself refuses, to protect what is there.
    Protected,
    /// The system understood, and refuses.
    Rejected,
    /// What was planned does not fit what is there now.
    Stale,
    /// It did not settle in the time it was given.
    TimedOut,
    /// It cannot get ready: a pod that never starts, a CloudFormation stack that rolled back.
    NotReady {
        /// The first cause.
        why: String,
    },
    /// Another apply is running.
    Locked {
        /// Who.
        holder: Text,
        /// Since when.
        since: Text,
    },
    /// The lock of the environment was lost in the middle of an apply: another one may have run since.
    LockLost,
    /// The system is not the one the environment names.
    WrongTarget,
    /// The account has not been prepared with `terrace bootstrap`.
    NotBootstrapped,
    /// Something that Terrace stored has been changed by somebody else.
    Tampered,
    /// It was stopped before it was finished.
    Cancelled,
    /// Not in this version.
    Unsupported,
    /// A file of ours, or an answer of a server, is not what it should be.
    Broken,
}

impl Failure {
    /// A failure with nothing but a kind and what is wrong.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            detail: Box::default(),
        }
    }

    /// With the server's own words.
    #[must_use]
    pub fn server(mut self, words: impl Into<String>) -> Failure {
        let words = words.into();
        if !words.is_empty() {
            self.detail.server = Some(words);
        }
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.detail.hint = Some(hint.into());
        self
    }

    /// About a resource; what it already says about one stays.
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

    /// With one of several things it is about.
    #[must_use]
    pub fn concerning(mut self, concern: Concern) -> Failure {
        self.detail.concerns.push(concern);
        self
    }

    /// Whether the same request may succeed a moment later, with nothing changed.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, FailureKind::Unreachable | FailureKind::Throttled)
    }

    /// Whether running the command again can help, and when.
    pub fn again(&self) -> Option<&'static str> {
        match self.kind {
            FailureKind::Unreachable => Some("run it again when the system can be reached"),
            FailureKind::Throttled => Some("run it again in a minute"),
            FailureKind::TimedOut => Some("run it again to go on waiting, or raise `--timeout`"),
            FailureKind::Locked { .. } => Some("run it again when the other apply is done"),
            FailureKind::Stale => Some("plan again"),
            FailureKind::LockLost => Some("see what the other apply did, and run it again"),
            FailureKind::Cancelled => Some("run it again to finish"),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    /// The message, then a line each for the server's words, where it was declared, and help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail.address {
            Some(address) => write!(f, "{address}: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        if let FailureKind::NotReady { why } = &self.kind {
            write!(f, "\n  because: {}", indented(why))?;
        }
        if let Some(server) = &self.detail.server {
            write!(f, "\n  the server said: {}", indented(server))?;
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

fn declared(origin: &Origin) -> String {
    if origin.component == origin.resource {
        format!("declared at {}", origin.resource)
    } else {
        format!(
            "declared at {}, asked for at {}",
            origin.resource, origin.component
        )
    }
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}
