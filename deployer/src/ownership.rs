//! Whose a live thing is: one rule for every backend and every command.
//!
//! A thing is ours when something **proves** that we made or adopted it. A mark (a label, a tag) says whose it is meant to
//! be, and anybody can copy it, so a mark alone proves nothing. There are two proofs: the physical identity that the state
//! store recorded, and evidence that only our own writes leave behind, which is all that remains when the store was lost.
//! `docs/decisions/ownership.md` has the reasons.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Artifact, ArtifactId, Digest, Text};

use crate::backend::{Live, origin_of};
use crate::failure::{Failure, FailureKind};
use crate::home::Home;
use crate::planning::{addresses, subject};

/// Whose a live thing is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// This environment's of this stack: proven.
    Ours {
        /// Whether it still carries our mark. An apply puts a mark back that somebody took off.
        marked: bool,
        /// Whether it existed before us and was adopted by name. It is released when it leaves the stack, not deleted.
        adopted: bool,
    },
    /// Not ours: no command writes it or deletes it. Who owns it, where something tells (`helm`, `kubectl-create`, the
    /// environment `acme/staging`).
    Foreign(Option<Text>),
}

/// What a live thing says of whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Our mark.
    Ours,
    /// The mark of another environment, by its name.
    Other(Text),
    /// No mark.
    Absent,
}

/// What proves that a live thing is ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The state store recorded its physical identity.
    Recorded,
    /// It carries what only our writes leave behind.
    Evidence,
}

impl Ownership {
    /// Ours, marked, and made by us.
    pub const MADE: Ownership = Ownership::Ours {
        marked: true,
        adopted: false,
    };

    /// The rule. `owner` is who seems to own it otherwise; `adopted` is whether the thing itself or the record says that it
    /// was adopted.
    ///
    /// A backend gives [`Mark::Other`] only where the other environment has a proof of its own; a mark that somebody merely
    /// rewrote is [`Mark::Absent`].
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

    /// Whether it is ours.
    pub fn is_ours(&self) -> bool {
        matches!(self, Ownership::Ours { .. })
    }

    /// Whether it is ours because it was adopted.
    pub fn is_adopted(&self) -> bool {
        matches!(self, Ownership::Ours { adopted: true, .. })
    }

    /// Whether it is ours and has lost our mark.
    pub fn lost_mark(&self) -> bool {
        matches!(self, Ownership::Ours { marked: false, .. })
    }
}

/// What the state store recorded of one standing artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Its physical identity, which nothing that takes its place has: an object's uid, a StackId.
    pub id: Text,
    /// Whether it was adopted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// The physical identities of all that stood when a release ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identities {
    recorded: BTreeMap<ArtifactId, Recorded>,
    /// Whether all that is ours is recorded: the last release ended well. What is not recorded is then no longer proven by
    /// evidence: whatever copies or restores our things may copy the evidence, too.
    complete: bool,
}

impl Identities {
    /// What was recorded of an artifact.
    pub fn get(&self, id: &ArtifactId) -> Option<&Recorded> {
        self.recorded.get(id)
    }

    /// The proof that a live thing of this identity is ours. `evidence` is whether it carries what only our writes leave
    /// behind: that counts where the record has gaps, because the store was lost or the last apply did not end well.
    pub fn proof(&self, id: &ArtifactId, identity: &str, evidence: bool) -> Option<Proof> {
        if self.get(id).is_some_and(|recorded| recorded.id == identity) {
            Some(Proof::Recorded)
        } else {
            (evidence && !self.complete).then_some(Proof::Evidence)
        }
    }

    /// The same, where all that is ours is among them.
    #[must_use]
    pub(crate) fn complete(mut self, complete: bool) -> Identities {
        self.complete = complete;
        self
    }

    /// Keeps the identities of the targets that this holds for.
    #[must_use]
    pub(crate) fn in_targets(mut self, holds: impl Fn(&str) -> bool) -> Identities {
        self.recorded.retain(|id, _| holds(id.target()));
        self
    }

    /// Adds other identities.
    #[must_use]
    pub(crate) fn and(mut self, others: Identities) -> Identities {
        self.recorded.extend(others.recorded);
        self
    }

    /// Renames targets, from the old name to the new one.
    #[must_use]
    pub(crate) fn renamed(mut self, names: &BTreeMap<Text, Text>) -> Identities {
        let renamed = |(id, recorded): (ArtifactId, Recorded)| match names.get(id.target()) {
            Some(name) => (id.in_target(name), recorded),
            None => (id, recorded),
        };
        self.recorded = self.recorded.into_iter().map(renamed).collect();
        self
    }

    /// Whether the record says that this very thing was adopted.
    pub fn is_adopted(&self, id: &ArtifactId, identity: &str) -> bool {
        self.get(id)
            .is_some_and(|recorded| recorded.adopted && recorded.id == identity)
    }

    /// All that is recorded, by artifact.
    pub fn iter(&self) -> impl Iterator<Item = (&ArtifactId, &Recorded)> {
        self.recorded.iter()
    }

    /// Those of what was observed that are ours.
    pub(crate) fn of<'a>(live: impl Iterator<Item = &'a Live>) -> Identities {
        let mut identities = Identities::default();
        for live in live {
            identities.record(live);
        }
        identities
    }

    /// Records what is ours and has a physical identity; forgets what is not.
    pub(crate) fn record(&mut self, live: &Live) {
        match live.ownership {
            Ownership::Ours { adopted, .. } => self.insert(&live.id, &live.identity, adopted),
            Ownership::Foreign(_) => self.remove(&live.id),
        }
    }

    /// Records what was just begun; what has no physical identity is not recorded.
    pub(crate) fn insert(&mut self, id: &ArtifactId, identity: &Text, adopted: bool) {
        if !identity.is_empty() {
            let recorded = Recorded {
                id: identity.clone(),
                adopted,
            };
            self.recorded.insert(id.clone(), recorded);
        }
    }

    /// Forgets what is gone, or no longer ours.
    pub(crate) fn remove(&mut self, id: &ArtifactId) {
        self.recorded.remove(id);
    }

    /// Keeps them by their digest: a set that has not changed is there already.
    pub(crate) async fn store(&self, home: &dyn Home) -> Result<Digest, Failure> {
        let bytes = serde_json::to_vec(&self.recorded).map_err(|error| unreadable("identities", &error))?;
        let digest = Digest::of_bytes(&bytes);
        home.create(&key(&digest), &bytes).await?;
        Ok(digest)
    }

    /// Reads them; nothing where somebody deleted them, which loses a proof and no more.
    pub(crate) async fn read(home: &dyn Home, digest: &Digest) -> Result<Option<Identities>, Failure> {
        let key = key(digest);
        let Some(bytes) = home.read(&key).await? else {
            return Ok(None);
        };
        if Digest::of_bytes(&bytes) != *digest {
            let message = format!("`{key}` in {} is not what its name says", home.shown());
            return Err(Failure::new(FailureKind::Broken, message)
                .hint("another user changed it; delete it to continue: Terrace then recognizes its resources by the evidence of its own writes"));
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

/// The refusal to touch something that has the name of a wanted artifact and is not ours. `adoptable` is whether the user can
/// adopt it, or why not.
pub(crate) fn not_ours(artifact: &Artifact, owner: Option<&Text>, adoptable: Result<(), String>) -> Failure {
    let subject = subject(artifact);
    let message = match owner {
        Some(owner) => format!("{subject} exists already and is managed by `{owner}`"),
        None => format!("{subject} exists already, and this environment did not create it"),
    };
    let addresses = addresses(artifact);
    let (tenant, component) = artifact.owner();
    // A CloudFormation stack has an address for each of its resources; it is adopted as a whole.
    let (about, flag) = match addresses.as_slice() {
        [only] if artifact.object().is_some() => (Some(only), only.to_string()),
        _ => (None, format!("{tenant}/{component}")),
    };
    Failure::new(
        FailureKind::NotOurs {
            owner: owner.cloned(),
        },
        message,
    )
    .about(about, Some(origin_of(artifact)))
    .hint(match adoptable {
        Ok(()) => format!(
            "to manage it here from now on, adopt it: --adopt '{flag}'\n\
             to leave it alone, give yours another name, or remove it from the stack"
        ),
        Err(why) => format!(
            "it cannot be adopted: {why}\nto leave it alone, give yours another name, or remove it from the stack"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_makes_a_thing_ours() {
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
    fn a_recorded_identity_proves_only_the_very_same_thing() {
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

    #[tokio::test]
    async fn identities_are_kept_by_their_digest() {
        let folder = tempfile::tempdir().unwrap();
        let home = crate::directory::DirectoryHome {
            folder: folder.path().to_owned(),
        };
        let mut identities = Identities::default();
        identities.insert(&ArtifactId::stack("aws", "acme"), &"arn".into(), false);
        let digest = identities.store(&home).await.unwrap();
        assert_eq!(identities.store(&home).await.unwrap(), digest);
        assert_eq!(Identities::read(&home, &digest).await.unwrap(), Some(identities));
        let unknown = Digest::of_bytes(b"unknown");
        assert_eq!(Identities::read(&home, &unknown).await.unwrap(), None);
    }
}
