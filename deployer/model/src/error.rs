//! The errors of the deployer's commands.

use std::collections::BTreeSet;
use std::fmt;

use terrace_artifact::{Address, ArtifactId, Origin};

use crate::approval::{Approval, write_refusal};
use crate::claim::{LostTargets, OtherOrigin};
use crate::failure::{Failure, FailureKind, declared};
use crate::plan::Plan;
use crate::report::Report;

/// The reason why a command did not complete.
#[derive(Clone, PartialEq, Debug)]
pub enum Error {
    /// Terrace refused the command before any change: it would lose data, or the plan does not fit.
    Refused(Refusal),
    /// The command failed before any change. Contains all failures, not only the first.
    Failed(Vec<Failure>),
    /// An apply ended before all steps were complete.
    Partly(Box<Report>),
}

/// A refusal by Terrace.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// Data or an identity would be lost, or data would be retained without management. Each address requires an
    /// approval.
    DataLoss {
        /// The approvals that are missing, in the order of their addresses.
        approvals: Vec<Approval>,
    },
    /// The plan contains refusals: a foreign resource has the same name, or a resource is protected. Contains all of
    /// them, not only the first.
    NotAllowed(Vec<Failure>),
    /// Facts have changed since the plan was made.
    Stale(Vec<Moved>),
    /// The plan was made for a different cluster, account or directory, or a target is not the one that the environment
    /// names.
    WrongTarget(Failure),
    /// The account has no bootstrap bucket, or another user changed a file in it.
    Bucket(Failure),
    /// Another directory deploys this environment.
    OtherOrigin(Box<OtherOrigin>),
    /// The plan would leave resources behind in places that the environment no longer names.
    LostTargets(Box<LostTargets>),
    /// The file of the plan was changed, or a different version of the program wrote it.
    NotAPlan(String),
}

/// A fact that the plan depends on and that has changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// The artifact.
    pub artifact: ArtifactId,
    /// The display name in the plan: `Deployment data-tenant-finance/web`.
    pub shown: String,
    /// The change of the fact.
    pub what: String,
    /// The lines that declare the artifact; absent if the stack no longer declares it.
    pub origin: Option<Origin>,
}

impl Error {
    /// Returns the exit code of the program: 1 if the command failed, 3 if an apply ended before all steps were
    /// complete, 4 if Terrace refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Failed(failures)
                if failures
                    .iter()
                    .any(|failure| failure.kind == FailureKind::LockLost) =>
            {
                3
            }
            Error::Failed(_) => 1,
            Error::Partly(_) => 3,
            Error::Refused(_) => 4,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure.kind {
            FailureKind::WrongTarget => Error::Refused(Refusal::WrongTarget(failure)),
            FailureKind::NotBootstrapped | FailureKind::Tampered => Error::Refused(Refusal::Bucket(failure)),
            _ => Error::Failed(vec![failure]),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

impl Plan {
    /// Checks whether the plan may be applied with approvals for these addresses.
    pub fn allowed(&self, approved: &BTreeSet<Address>) -> Result<(), Refusal> {
        if !self.refusals.is_empty() {
            return Err(Refusal::NotAllowed(self.refusals.clone()));
        }
        let approvals = self.open_approvals(approved);
        if approvals.is_empty() {
            return Ok(());
        }
        Err(Refusal::DataLoss { approvals })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => write!(f, "{refusal}"),
            Error::Failed(failures) => {
                for (i, failure) in failures.iter().enumerate() {
                    if i > 0 {
                        f.write_str("\n\n")?;
                    }
                    write!(f, "{failure}")?;
                }
                Ok(())
            }
            Error::Partly(report) => write!(f, "{report}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::DataLoss { approvals } => write_refusal(approvals, f),
            Refusal::Stale(moved) => {
                f.write_str(
                    "the plan is stale: live resources have changed since it was made; nothing was changed",
                )?;
                for (i, fact) in moved.iter().enumerate() {
                    write!(f, "\n  {}: {}", fact.shown, fact.what)?;
                    let is_last = moved.get(i + 1).is_none_or(|next| next.artifact != fact.artifact);
                    if let Some(origin) = fact.origin.as_ref().filter(|_| is_last) {
                        write!(f, "\n    {}", declared(origin))?;
                    }
                }
                f.write_str("\n  help: make a new plan")
            }
            Refusal::NotAllowed(failures) => {
                for (i, failure) in failures.iter().enumerate() {
                    let gap = if i > 0 { "\n\n" } else { "" };
                    write!(f, "{gap}{failure}")?;
                }
                Ok(())
            }
            Refusal::WrongTarget(failure) | Refusal::Bucket(failure) => write!(f, "{failure}"),
            Refusal::OtherOrigin(other) => write!(f, "{other}"),
            Refusal::LostTargets(lost) => write!(f, "{lost}"),
            Refusal::NotAPlan(why) => {
                write!(f, "this plan cannot be applied: {why}\n  help: make a new plan")
            }
        }
    }
}

impl std::error::Error for Error {}
