//! How a command of the deployer ends when it does not end well.

use std::fmt;

use terrace_artifact::ArtifactId;

use crate::apply::Report;
use crate::approval::{Approval, write_refusal};
use crate::claims::{LostTargets, OtherOrigin};
use crate::failure::{Failure, FailureKind};

/// Why a command did not do what it was asked.
#[derive(Clone, PartialEq, Debug)]
pub enum Error {
    /// Nothing was done, on purpose: going on would lose data, or was not what was planned.
    Refused(Refusal),
    /// Nothing was done, because something failed. All that is known, not only the first.
    Failed(Vec<Failure>),
    /// An apply stopped part-way.
    Partly(Box<Report>),
}

/// A deliberate refusal.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// Data or an identity would be lost, or data would be retained without management. Each address has to be approved.
    DataLoss {
        /// The approvals that are missing, in the order of their addresses.
        approvals: Vec<Approval>,
    },
    /// What the plan says may not be done: something of the same name is not ours, or is protected. All of it, not only the
    /// first.
    NotAllowed(Vec<Failure>),
    /// Something moved since the plan was made: what, and how.
    Stale(Vec<Moved>),
    /// The plan was made for another cluster, account or folder; or the environment names one that it is not.
    WrongTarget(Failure),
    /// The account has no bootstrap bucket, or what is in the bucket is not what Terrace put there.
    Bucket(Failure),
    /// Another directory deploys this environment.
    OtherOrigin(Box<OtherOrigin>),
    /// The plan would leave resources behind in places that the environment no longer names.
    LostTargets(Box<LostTargets>),
    /// The plan's file was changed, or is of another version of the program.
    NotAPlan(String),
}

/// Something that is not what the plan rests on.
#[derive(Clone, PartialEq, Debug)]
pub struct Moved {
    /// Which artifact.
    pub artifact: ArtifactId,
    /// The same, as the plan shows it: `Deployment data-tenant-finance/web`.
    pub shown: String,
    /// What about it.
    pub what: String,
}

impl Error {
    /// The program's exit code: 1 failed, 3 stopped part-way, 4 refused.
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
                for moved in moved {
                    write!(f, "\n  {}: {}", moved.shown, moved.what)?;
                }
                f.write_str("\n  help: plan again")
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
            Refusal::NotAPlan(why) => write!(f, "this plan cannot be applied: {why}\n  help: plan again"),
        }
    }
}

impl std::error::Error for Error {}
