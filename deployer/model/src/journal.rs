//! The journal: recovery records of steps whose intermediate state is not visible in the live system. A record is
//! written before the step starts and cleared when the step has ended.
//!
//! Almost every effect of an apply is visible: a created resource exists, and a missing one does not. A protection that
//! a step disables for a moment is not visible: a stack without termination protection may be intended. A step that
//! disables a protection first records the physical id and the setting to restore. The next apply restores it before
//! anything else.
//!
//! Only a release that did not end well leaves records, so plans read them only then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use terrace_artifact::{ArtifactId, Digest, Text, Value};

use crate::cancel::Cancel;
use crate::failure::{Failure, FailureKind};
use crate::state_store::{LockGuard, StateStore};

/// A recovery record: the operation that was about to start.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// The target's name in the bundle.
    pub target: Text,
    /// The artifact.
    pub artifact: ArtifactId,
    /// The physical id (a stack's ARN). The record does not apply to a replacement.
    pub id: Text,
    /// The display name: `the termination protection of acme-lake, disabled for its deletion`.
    pub what: String,
    /// The data that the backend needs to restore the setting.
    pub restore: Value,
}

/// The journal of one apply.
pub struct Journal<'a> {
    home: &'a dyn StateStore,
    held: &'a dyn LockGuard,
    cancel: &'a Cancel,
    release: Text,
    /// The records of this apply that are not cleared yet.
    open: Mutex<BTreeMap<ArtifactId, Note>>,
}

const FOLDER: &str = "journal/";

impl<'a> Journal<'a> {
    /// Creates the journal of a release. It contains no recovery records yet.
    pub fn new(
        home: &'a dyn StateStore,
        held: &'a dyn LockGuard,
        cancel: &'a Cancel,
        release: Text,
    ) -> Journal<'a> {
        Journal {
            home,
            held,
            cancel,
            release,
            open: Mutex::default(),
        }
    }

    /// Fails if no write may start: the lock may be lost, or the apply is stopping. A step that has waited before its
    /// write checks this again.
    pub fn may_write(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::new(
                FailureKind::Cancelled,
                "the step was stopped before it started",
            ));
        }
        self.held.check()
    }

    /// Writes a recovery record. The step may start only after this returns. If a step is retried, the first record
    /// counts: the retry may no longer see the original state.
    pub async fn write(&self, note: Note) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&note).map_err(|error| {
            Failure::new(FailureKind::Broken, "a recovery record cannot be written").server(error.to_string())
        })?;
        self.home.create(&self.key(&note.artifact), &bytes).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(note.artifact.clone()).or_insert(note);
        Ok(())
    }

    /// Returns the open recovery record of an artifact.
    pub fn about(&self, artifact: &ArtifactId) -> Option<Note> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(artifact).cloned()
    }

    /// Clears the recovery record of an artifact, because its step has ended.
    pub async fn strike(&self, artifact: &ArtifactId) -> Result<(), Failure> {
        self.home.delete(&self.key(artifact)).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(artifact);
        Ok(())
    }

    fn key(&self, artifact: &ArtifactId) -> String {
        let digest = Digest::of_bytes(artifact.as_str().as_bytes());
        format!("{FOLDER}{}-{}", self.release, &digest.as_str()[..16])
    }
}

/// Reads the recovery records of earlier applies, by key.
pub async fn left(home: &dyn StateStore) -> Result<BTreeMap<String, Note>, Failure> {
    let mut notes = BTreeMap::new();
    for key in home.list(FOLDER).await? {
        let Some(bytes) = home.read(&key).await? else {
            continue;
        };
        let note = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(
                FailureKind::Broken,
                format!("the recovery record `{key}` in {} cannot be read", home.shown()),
            )
            .server(error.to_string())
            .hint(format!(
                "it names a protection that an interrupted apply disabled: restore that protection, then delete the record\n{}",
                home.delete_command(&key)
            ))
        })?;
        notes.insert(key, note);
    }
    Ok(notes)
}
