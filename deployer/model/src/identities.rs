//! The recorded physical identities of live artifacts: the first proof of ownership.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terrace_artifact::{ArtifactId, Digest, Text};

use crate::failure::{Failure, FailureKind};
use crate::live::Live;
use crate::ownership::{Ownership, Proof};
use crate::state_store::StateStore;

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
            return Err(Failure::new(FailureKind::Broken, message).hint(remedy(home, &key)));
        }
        let recorded = serde_json::from_slice(&bytes)
            .map_err(|error| unreadable(&key, &error).hint(remedy(home, &key)))?;
        Ok(Some(Identities {
            recorded,
            complete: false,
        }))
    }
}

fn key(digest: &Digest) -> String {
    format!("identities/{digest}")
}

/// Returns the way to continue without a damaged record.
fn remedy(home: &dyn StateStore, key: &str) -> String {
    format!(
        "another user changed this record; delete it to continue: Terrace then recognizes its resources by the evidence that its \
         writes leave, such as entries in `managedFields`\n{}",
        home.delete_command(key)
    )
}

fn unreadable(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(FailureKind::Broken, format!("`{what}` cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
