//! The report of an apply: the result of each step.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use terrace_artifact::Text;

use crate::event::StepName;
use crate::failure::Failure;

/// The result of an apply.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The release's id; absent if there was nothing to do.
    pub release: Option<Text>,
    /// The outcome of each step that changes something.
    pub steps: Vec<(StepName, Outcome)>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The failure that lost the lock, if it was lost: nothing was written afterwards, and the ledger does not contain
    /// the end of this release.
    pub lost_lock: Option<Failure>,
    /// The resources that a destroy did not delete because this environment does not own them ([`crate::plan::Plan::leaves`]).
    pub leaves: Vec<String>,
    /// The number of artifacts of each kind that the environment has in each target after the apply. It includes the artifacts
    /// that the plan did not select.
    pub standing: BTreeMap<Text, BTreeMap<Text, usize>>,
    /// The duration.
    pub elapsed: Duration,
}

/// The outcome of a step.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Written, and the artifact is ready.
    Done,
    /// Written, but the artifact is not known to be ready.
    Unsettled(Failure),
    /// Not completed.
    Failed(Failure),
    /// Not started, with the reason.
    Skipped(String),
}

impl Report {
    /// Returns whether every step is complete, and the lock was held throughout.
    pub fn is_complete(&self) -> bool {
        self.lost_lock.is_none() && self.steps.iter().all(|(_, outcome)| *outcome == Outcome::Done)
    }
}

impl fmt::Display for Report {
    /// Writes the number of completed steps and the details of all others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.steps.iter().filter(|(_, outcome)| *outcome == Outcome::Done);
        write!(f, "{} of {} steps done", done.count(), self.steps.len())?;
        for (step, outcome) in &self.steps {
            match outcome {
                Outcome::Done => {}
                Outcome::Unsettled(failure) => write!(f, "\n\nnot ready: {step}\n{failure}")?,
                Outcome::Failed(failure) => write!(f, "\n\nfailed: {step}\n{failure}")?,
                Outcome::Skipped(_) => {}
            }
        }
        let skipped = |(step, outcome): &(StepName, Outcome)| match outcome {
            Outcome::Skipped(reason) => Some(format!("{step}: {reason}")),
            _ => None,
        };
        let skipped: Vec<String> = self.steps.iter().filter_map(skipped).collect();
        if !skipped.is_empty() {
            f.write_str("\n\nnot started:")?;
            for line in skipped {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(lost) = &self.lost_lock {
            write!(f, "\n\n{lost}")?;
        }
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}
