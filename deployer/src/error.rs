//! How a command of the deployer ends when it does not end well.

use std::fmt;

use terrace_artifact::{Address, ArtifactId};

use crate::apply::Report;
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
        /// What is not approved yet.
        addresses: Vec<Address>,
        /// Those of them whose data is retained but no longer managed.
        retains: Vec<Address>,
        /// Those of them that have an address or a credential that others use.
        loses_identity: Vec<Address>,
        /// What happens to containers, each with what is deleted along with them, a line each: not all of it is ours.
        containers: Vec<(String, Vec<String>)>,
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
            Refusal::DataLoss {
                addresses,
                retains,
                loses_identity,
                containers,
            } => {
                let is_lost = |address| !retains.contains(address) && !loses_identity.contains(address);
                let would = [
                    (addresses.iter().any(is_lost), "lose data"),
                    (!retains.is_empty(), "stop managing data that is retained"),
                    (!loses_identity.is_empty(), "lose an identity that others use"),
                ];
                let would = would.iter().filter(|(holds, _)| *holds).map(|(_, what)| *what);
                let would: Vec<&str> = would.collect();
                write!(f, "this would {}, so nothing was done", would.join(" and "))?;
                for (container, contents) in containers {
                    write!(f, "\n  {container}:")?;
                    for content in contents {
                        write!(f, "\n    {content}")?;
                    }
                }
                f.write_str("\n  if that is what you want, approve each by its address:")?;
                for address in addresses {
                    write!(f, "\n    --approve '{address}'")?;
                }
                Ok(())
            }
            Refusal::Stale(moved) => {
                f.write_str("something has changed since the plan was made, so nothing was done")?;
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
