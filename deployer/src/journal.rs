//! The journal: steps whose middle a look cannot see, written down before they begin and struck out when they have ended.
//!
//! Nearly everything an apply does shows when one looks: what was created is there, what was not is missing. A guard that
//! was loosened for a moment does not show: a stack without termination protection may be meant so. Whoever loosens one
//! notes it first, with the physical id and with what belongs there, and the next apply puts that back before anything else.
//!
//! Only a release that did not end well leaves notes, so nobody else has to ask for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use terrace_artifact::{ArtifactId, Digest, Text, Value};

use crate::apply::Cancel;
use crate::failure::{Failure, FailureKind};
use crate::home::{Held, Home};

/// What was about to be done when it was written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// The target's name in the bundle.
    pub target: Text,
    /// The artifact.
    pub artifact: ArtifactId,
    /// The physical thing (a stack's ARN): what has taken its place since is not meant.
    pub id: Text,
    /// For a reader: `the termination protection of acme-lake, lifted for its deletion`.
    pub what: String,
    /// What the backend needs to put it right.
    pub restore: Value,
}

/// The journal of one apply.
pub struct Journal<'a> {
    home: &'a dyn Home,
    held: &'a dyn Held,
    cancel: &'a Cancel,
    release: Text,
    /// The notes of this apply that have not been struck out.
    open: Mutex<BTreeMap<ArtifactId, Note>>,
}

const FOLDER: &str = "journal/";

impl<'a> Journal<'a> {
    pub(crate) fn new(
        home: &'a dyn Home,
        held: &'a dyn Held,
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

    /// Fails where nothing may be written any more: the lock may have gone to somebody else, or the apply is to stop. A
    /// step that has waited for something before it writes asks again.
    pub fn may_write(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::new(
                FailureKind::Cancelled,
                "the step was stopped before it started",
            ));
        }
        self.held.check()
    }

    /// Writes a note; only when this has returned may the step begin. Of a step that is tried again the first note counts:
    /// by now there may be nothing left to see of what was there before.
    pub async fn write(&self, note: Note) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&note).map_err(|error| {
            Failure::new(FailureKind::Broken, "a note cannot be written").server(error.to_string())
        })?;
        self.home.create(&self.key(&note.artifact), &bytes).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(note.artifact.clone()).or_insert(note);
        Ok(())
    }

    /// The note about an artifact that stands open.
    pub(crate) fn about(&self, artifact: &ArtifactId) -> Option<Note> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(artifact).cloned()
    }

    /// Strikes out the note about an artifact: all is as it should be.
    pub(crate) async fn strike(&self, artifact: &ArtifactId) -> Result<(), Failure> {
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

/// The notes that earlier applies left, by key.
pub(crate) async fn left(home: &dyn Home) -> Result<BTreeMap<String, Note>, Failure> {
    let mut notes = BTreeMap::new();
    for key in home.list(FOLDER).await? {
        let Some(bytes) = home.read(&key).await? else {
            continue;
        };
        let note = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(
                FailureKind::Broken,
                format!("`{key}` of {} cannot be read", home.shown()),
            )
            .server(error.to_string())
            .hint("it says which guard an apply that was killed left open; see to that, and delete it")
        })?;
        notes.insert(key, note);
    }
    Ok(notes)
}
