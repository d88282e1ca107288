//! The events of a running apply. The deployer itself prints nothing.

use std::fmt;
use std::time::Duration;

use terrace_artifact::{ArtifactId, Text};

use crate::claim::Deployment;
use crate::failure::Failure;
use crate::plan::Action;
use crate::subject::Subject;

/// An event of an apply.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Every target has been identified, and each is the one that the plan is for. Nothing has been written yet.
    Identified {
        /// `cluster acme-prod at https://10.0.0.1:6443`, `account 111122223333 in eu-west-1`.
        targets: Vec<Text>,
    },
    /// Another apply holds the lock, and its lease must expire first.
    WaitingForLock {
        /// The holder and the time it took the lock.
        holder: Text,
        /// Time until the lease expires if its holder does not renew it.
        left: Duration,
    },
    /// An approval matches no loss in the plan. Sent for saved plans only; other plans show it with their approvals.
    ApprovesNothing {
        /// The approval, and the address that the user may have meant.
        what: String,
    },
    /// The claims were updated.
    Recorded {
        /// The recorded places; absent if nothing is deployed.
        deployment: Option<Deployment>,
    },
    /// A step that an earlier apply left open is restored.
    Restoring {
        /// `the stack policy of acme-lake, opened for an approved change`.
        what: String,
    },
    /// The apply starts.
    Begun {
        /// The release's id.
        release: Text,
        /// Number of steps that change something.
        steps: usize,
    },
    /// A step starts.
    Started {
        /// The step.
        step: StepName,
    },
    /// A step waits until its artifact is ready.
    Waiting {
        /// The step.
        step: StepName,
        /// The reason.
        why: String,
        /// The time since the step started.
        elapsed: Duration,
    },
    /// A request failed and is retried.
    Retrying {
        /// The step.
        step: StepName,
        /// The failure.
        failure: Failure,
        /// The delay before the retry.
        after: Duration,
    },
    /// A step is complete and its artifact is ready.
    Done {
        /// The step.
        step: StepName,
        /// The time since the step started.
        elapsed: Duration,
    },
    /// A step was written, but its artifact is not known to be ready: the wait timed out, or the apply is stopping.
    Unsettled {
        /// The step.
        step: StepName,
        /// The reason.
        failure: Failure,
    },
    /// A step failed.
    Failed {
        /// The step.
        step: StepName,
        /// The failure.
        failure: Failure,
    },
    /// A step is not started, because a step that it depends on failed or the apply is stopping.
    Skipped {
        /// The step.
        step: StepName,
        /// The reason.
        why: String,
    },
    /// The apply was asked to stop: it no longer waits for running operations and starts no more steps.
    Stopping,
}

/// The step that an event is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StepName {
    /// The artifact.
    pub artifact: ArtifactId,
    /// The display name of the artifact.
    pub subject: Subject,
    /// The action.
    pub action: Action,
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.subject)
    }
}
