//! Ownership of live artifacts: one rule for every backend and every command.
//!
//! An artifact is ours if something **proves** that Terrace created or adopted it. A mark (a label, a tag) only states
//! the intended owner, and any user can copy it, so a mark alone proves nothing. There are two proofs: the physical
//! identity that the state store recorded, and evidence that only our own writes leave behind. If the store is lost,
//! only the evidence remains. `docs/decisions/ownership.md` has the reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Artifact, ArtifactId, Digest, Text};

use crate::failure::{Failure, FailureKind};
use crate::live::Live;
use crate::plan::Subject;
use crate::state_store::StateStore;

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
    /// Not ours: no command writes or deletes it. Contains the owner, if known (`helm`, `kubectl-create`, the
    /// environment `acme/staging`).
    Foreign(Option<Text>),
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
    pub fn of(mark: Mark, proof: Option<Proof>, adopted: bool, owner: Option<Text>) -> Ownership {
        match (mark, proof) {
            (Mark::Other(other), _) => Ownership::Foreign(Some(other)),
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

/// The record of one live artifact in the state store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// The physical identity, which a replacement does not share: an object's UID, a stack id.
    pub id: Text,
    /// Whether it was adopted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// The physical identities of all artifacts at the end of a release.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identities {
    recorded: BTreeMap<ArtifactId, Recorded>,
    /// Whether everything that is ours is recorded, because the last release ended well. Then evidence no longer proves
    /// ownership of unrecorded artifacts: a copy or a restored backup of our artifact may contain the evidence, too.
    complete: bool,
}

impl Identities {
    /// Returns the record of an artifact.
    pub fn get(&self, id: &ArtifactId) -> Option<&Recorded> {
        self.recorded.get(id)
    }

    /// Returns the proof that a live artifact with this identity is ours. `evidence` is whether it carries traces that
    /// only our writes leave behind. Evidence counts only if the record has gaps, because the store was lost or the
    /// last apply did not end well.
    pub fn proof(&self, id: &ArtifactId, identity: &str, evidence: bool) -> Option<Proof> {
        if self.get(id).is_some_and(|recorded| recorded.id == identity) {
            Some(Proof::Recorded)
        } else {
            (evidence && !self.complete).then_some(Proof::Evidence)
        }
    }

    /// Sets whether everything that is ours is recorded.
    #[must_use]
    pub fn complete(mut self, complete: bool) -> Identities {
        self.complete = complete;
        self
    }

    /// Keeps the identities of the targets for which `holds` is true.
    #[must_use]
    pub fn in_targets(mut self, holds: impl Fn(&str) -> bool) -> Identities {
        self.recorded.retain(|id, _| holds(id.target()));
        self
    }

    /// Adds other identities.
    #[must_use]
    pub fn and(mut self, others: Identities) -> Identities {
        self.recorded.extend(others.recorded);
        self
    }

    /// Renames targets, from the old name to the new one.
    #[must_use]
    pub fn renamed(mut self, names: &BTreeMap<Text, Text>) -> Identities {
        let renamed = |(id, recorded): (ArtifactId, Recorded)| match names.get(id.target()) {
            Some(name) => (id.in_target(name), recorded),
            None => (id, recorded),
        };
        self.recorded = self.recorded.into_iter().map(renamed).collect();
        self
    }

    /// Returns whether the record states that this live artifact was adopted.
    pub fn is_adopted(&self, id: &ArtifactId, identity: &str) -> bool {
        self.get(id)
            .is_some_and(|recorded| recorded.adopted && recorded.id == identity)
    }

    /// Iterates over all records.
    pub fn iter(&self) -> impl Iterator<Item = (&ArtifactId, &Recorded)> {
        self.recorded.iter()
    }

    /// Returns the identities of the live artifacts that are ours.
    pub fn of<'a>(live: impl Iterator<Item = &'a Live>) -> Identities {
        let mut identities = Identities::default();
        for live in live {
            identities.record(live);
        }
        identities
    }

    /// Records a live artifact that is ours and has a physical identity; removes the record of any other.
    pub fn record(&mut self, live: &Live) {
        match live.ownership {
            Ownership::Ours { adopted, .. } => self.insert(&live.id, &live.identity, adopted),
            Ownership::Foreign(_) => self.remove(&live.id),
        }
    }

    /// Records an artifact whose creation has started, if it has a physical identity.
    pub fn insert(&mut self, id: &ArtifactId, identity: &Text, adopted: bool) {
        if !identity.is_empty() {
            let recorded = Recorded {
                id: identity.clone(),
                adopted,
            };
            self.recorded.insert(id.clone(), recorded);
        }
    }

    /// Removes the record of an artifact that was deleted or is no longer ours.
    pub fn remove(&mut self, id: &ArtifactId) {
        self.recorded.remove(id);
    }

    /// Stores the identities under their digest. An unchanged set exists already.
    pub async fn store(&self, home: &dyn StateStore) -> Result<Digest, Failure> {
        let bytes = serde_json::to_vec(&self.recorded).map_err(|error| unreadable("identities", &error))?;
        let digest = Digest::of_bytes(&bytes);
        home.create(&key(&digest), &bytes).await?;
        Ok(digest)
    }

    /// Reads the identities; `None` if they were deleted, which loses only a proof.
    pub async fn read(home: &dyn StateStore, digest: &Digest) -> Result<Option<Identities>, Failure> {
        let key = key(digest);
        let Some(bytes) = home.read(&key).await? else {
            return Ok(None);
        };
        if Digest::of_bytes(&bytes) != *digest {
            let message = format!(
                "`{key}` in {} does not match the digest in its name",
                home.shown()
            );
            return Err(Failure::new(FailureKind::Broken, message)
                .hint("another user changed this record; delete it to continue: Terrace then recognizes its resources by the evidence that its writes leave, such as entries in `managedFields`"));
        }
        let recorded = serde_json::from_slice(&bytes).map_err(|error| unreadable(&key, &error))?;
        Ok(Some(Identities {
            recorded,
            complete: false,
        }))
    }
}

fn key(digest: &Digest) -> String {
    format!("identities/{digest}")
}

fn unreadable(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(FailureKind::Broken, format!("`{what}` cannot be read: {error}"))
}

/// Creates the refusal to change a foreign artifact that has the name of a wanted one. `adoptable` is whether the user
/// can adopt it, or the reason why not.
pub fn not_ours(artifact: &Artifact, owner: Option<&Text>, adoptable: Result<(), String>) -> Failure {
    let subject = Subject::of(artifact);
    let message = match owner {
        Some(owner) => format!("{subject} exists already and is managed by `{owner}`"),
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
            owner: owner.cloned(),
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
        let foreign = |owner: &str| Ownership::Foreign(Some(owner.into()));
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
            let found = Ownership::of(mark.clone(), proof, false, Some("helm".into()));
            assert_eq!(found, expected, "{mark:?} {proof:?}");
        }
    }

    #[test]
    fn a_recorded_identity_does_not_prove_a_replacement() {
        let id = ArtifactId::object("kubernetes", "v1", "ConfigMap", Some("data"), "settings");
        let mut identities = Identities::default();
        identities.insert(&id, &"uid-1".into(), true);
        assert_eq!(identities.proof(&id, "uid-1", false), Some(Proof::Recorded));
        assert_eq!(identities.proof(&id, "uid-2", false), None);
        assert!(identities.is_adopted(&id, "uid-1") && !identities.is_adopted(&id, "uid-2"));
    }

    #[test]
    fn evidence_counts_only_where_the_record_has_gaps() {
        let id = ArtifactId::object("kubernetes", "v1", "ConfigMap", Some("data"), "settings");
        let mut identities = Identities::default();
        assert_eq!(identities.proof(&id, "uid", true), Some(Proof::Evidence));
        identities.insert(&id, &"uid".into(), false);
        let identities = identities.complete(true);
        assert_eq!(identities.proof(&id, "uid", true), Some(Proof::Recorded));
        assert_eq!(identities.proof(&id, "copy", true), None);
        let copied = ArtifactId::object("kubernetes", "v1", "ConfigMap", Some("data"), "copied");
        assert_eq!(identities.proof(&copied, "copy", true), None);
    }
}
