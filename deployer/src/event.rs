//! What an apply tells while it runs. The deployer itself prints nothing.

use std::fmt;
use std::time::Duration;

use terrace_artifact::{ArtifactId, Text};

use crate::claims::Deployment;
use crate::failure::Failure;
use crate::plan::{Action, Subject};

/// Something that happened during an apply.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Every target has said who it is, and each is the one the plan is for. Nothing was written before.
    Identified {
        /// `cluster acme-prod at https://10.0.0.1:6443`, `account 111122223333 in eu-west-1`.
        targets: Vec<Text>,
    },
    /// The lock is held by somebody whose lease has to run out.
    WaitingForLock {
        /// Who and since when.
        holder: Text,
        /// How long it still has to stand still to be free.
        left: Duration,
    },
    /// An approval is for nothing that the plan loses. Told of a saved plan; others are shown with their approvals.
    ApprovesNothing {
        /// Which, and which one may have been meant.
        what: String,
    },
    /// The claims were updated.
    Recorded {
        /// The recorded places; absent if nothing is deployed.
        deployment: Option<Deployment>,
    },
    /// What an earlier apply left open is put right.
    Restoring {
        /// `the stack policy of acme-lake, opened for an approved change`.
        what: String,
    },
    /// The apply begins.
    Begun {
        /// The release's id.
        release: Text,
        /// Number of steps that change something.
        steps: usize,
    },
    /// A step begins.
    Started {
        /// Which.
        step: StepName,
    },
    /// A step waits for its artifact to settle.
    Waiting {
        /// Which.
        step: StepName,
        /// What for.
        why: String,
        /// Since the step began.
        elapsed: Duration,
    },
    /// A request failed and is tried again.
    Retrying {
        /// Which.
        step: StepName,
        /// Why.
        failure: Failure,
        /// After how long.
        after: Duration,
    },
    /// A step is done and its artifact has settled.
    Done {
        /// Which.
        step: StepName,
        /// Since the step began.
        elapsed: Duration,
    },
    /// A step was written, and is not known to have settled: it took too long, or the apply is stopping.
    Unsettled {
        /// Which.
        step: StepName,
        /// Why.
        failure: Failure,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepName,
        /// Why.
        failure: Failure,
    },
    /// A step is not begun, because one it comes after failed or the apply is stopping.
    Skipped {
        /// Which.
        step: StepName,
        /// Why.
        why: String,
    },
    /// The apply was asked to stop: what was asked for is not waited for, nothing new begins.
    Stopping,
}

/// Which step an event is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StepName {
    /// The artifact.
    pub artifact: ArtifactId,
    /// What it is called.
    pub subject: Subject,
    /// What is done.
    pub action: Action,
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.subject)
    }
}
