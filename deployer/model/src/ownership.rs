//! Ownership of live artifacts: one rule for every backend and every command.
//!
//! An artifact is ours if something **proves** that Terrace created or adopted it. A mark (a label, a tag) only states
//! the intended owner, and any user can copy it, so a mark alone proves nothing. There are two proofs: the physical
//! identity that the state store recorded, and evidence that only our own writes leave behind. If the store is lost,
//! only the evidence remains. `docs/decisions/ownership.md` has the reasons.

use std::fmt;

use terrace_artifact::{Artifact, Text};

use crate::failure::{Failure, FailureKind};
use crate::subject::Subject;

/// The owner of a live artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// This environment of this stack; proven.
    Ours {
        /// Whether it still carries our mark. An apply restores a mark that was removed.
        marked: bool,
        /// Whether it existed before Terrace and was adopted by name. When it leaves the stack it is retained, not
        /// deleted.
        adopted: bool,
    },
    /// Not ours: no command writes or deletes it. Contains the apparent owner, if there is a sign of one.
    Foreign(Option<ApparentOwner>),
}

/// A sign of the owner of a foreign artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApparentOwner {
    /// A tool or another environment manages it: `helm`, `kubectl-create`, `acme/staging`.
    Manager(Text),
    /// It has these tags: `team=payments`. Any user can set a tag, so its value is not an owner.
    Tags(Text),
    /// It has this change set, which another user created.
    ChangeSet(Text),
}

impl ApparentOwner {
    /// Returns the manager, if one is known.
    pub fn manager(&self) -> Option<&Text> {
        match self {
            ApparentOwner::Manager(manager) => Some(manager),
            ApparentOwner::Tags(_) | ApparentOwner::ChangeSet(_) => None,
        }
    }
}

impl fmt::Display for ApparentOwner {
    /// Writes a sentence about the artifact: ``it is managed by `helm` ``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApparentOwner::Manager(manager) => write!(f, "it is managed by `{manager}`"),
            ApparentOwner::Tags(tags) => write!(f, "its tags are `{tags}`"),
            ApparentOwner::ChangeSet(set) => write!(f, "another user created its change set `{set}`"),
        }
    }
}

/// The owner that the mark of a live artifact states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Our mark.
    Ours,
    /// The mark of another environment, by its name.
    Other(Text),
    /// The mark is missing.
    Absent,
}

/// The proof that a live artifact is ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The state store recorded its physical identity.
    Recorded,
    /// It carries traces that only our writes leave behind.
    Evidence,
}

impl Ownership {
    /// Ours, marked, and made by us.
    pub const MADE: Ownership = Ownership::Ours {
        marked: true,
        adopted: false,
    };

    /// Determines the owner. `owner` is the apparent owner if it is not ours; `adopted` is whether the artifact or the
    /// record states that it was adopted.
    ///
    /// A backend passes [`Mark::Other`] only if the other environment has its own proof; a mark that was merely
    /// rewritten is [`Mark::Absent`].
    pub fn of(mark: Mark, proof: Option<Proof>, adopted: bool, owner: Option<ApparentOwner>) -> Ownership {
        match (mark, proof) {
            (Mark::Other(other), _) => Ownership::Foreign(Some(ApparentOwner::Manager(other))),
            (mark, Some(_)) => Ownership::Ours {
                marked: mark == Mark::Ours,
                adopted,
            },
            (_, None) => Ownership::Foreign(owner),
        }
    }

    /// Returns whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Ownership::Ours { .. })
    }

    /// Returns whether it is ours because it was adopted.
    pub fn is_adopted(&self) -> bool {
        matches!(self, Ownership::Ours { adopted: true, .. })
    }

    /// Returns whether it is ours and has lost our mark.
    pub fn lost_mark(&self) -> bool {
        matches!(self, Ownership::Ours { marked: false, .. })
    }
}

/// Creates the refusal to change a foreign artifact that has the name of a wanted one. `adoptable` is whether the user
/// can adopt it, or the reason why not.
pub fn not_ours(
    artifact: &Artifact,
    owner: Option<&ApparentOwner>,
    adoptable: Result<(), String>,
) -> Failure {
    let subject = Subject::of(artifact);
    let message = match owner {
        Some(ApparentOwner::Manager(manager)) => {
            format!("{subject} exists already and is managed by `{manager}`")
        }
        Some(sign) => format!("{subject} exists already, and {sign}"),
        None => format!("{subject} exists already, and this environment did not create it"),
    };
    let addresses = artifact.addresses();
    let (of, component) = artifact.component();
    // A CloudFormation stack has an address for each of its resources, but it is adopted as a whole.
    let (about, flag, ours) = match addresses.as_slice() {
        [only] if artifact.object().is_some() => (Some(only), only.to_string(), "resource"),
        _ => (None, format!("{of}/{component}"), "component"),
    };
    let leave = format!("to leave it unchanged, rename the {ours} in the stack or remove it from the stack");
    Failure::new(
        FailureKind::NotOurs {
            owner: owner.and_then(ApparentOwner::manager).cloned(),
        },
        message,
    )
    .about(about, Some(artifact.origin()))
    .hint(match adoptable {
        Ok(()) => {
            format!("to manage it in this environment from now on, adopt it: --adopt '{flag}'\n{leave}")
        }
        Err(why) => format!("it cannot be adopted: {why}\n{leave}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_establishes_ownership() {
        use Proof::{Evidence, Recorded};
        let manager = |name: &str| Some(ApparentOwner::Manager(name.into()));
        let foreign = |name: &str| Ownership::Foreign(manager(name));
        let ours = |marked| Ownership::Ours {
            marked,
            adopted: false,
        };
        for (mark, proof, expected) in [
            (Mark::Ours, Some(Recorded), ours(true)),
            (Mark::Ours, Some(Evidence), ours(true)),
            (Mark::Ours, None, foreign("helm")),
            (Mark::Absent, Some(Recorded), ours(false)),
            (Mark::Absent, Some(Evidence), ours(false)),
            (Mark::Absent, None, foreign("helm")),
            (
                Mark::Other("acme/staging".into()),
                Some(Recorded),
                foreign("acme/staging"),
            ),
            (Mark::Other("acme/staging".into()), None, foreign("acme/staging")),
        ] {
            let found = Ownership::of(mark.clone(), proof, false, manager("helm"));
            assert_eq!(found, expected, "{mark:?} {proof:?}");
        }
    }
}
