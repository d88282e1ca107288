//! The claim of an environment in the directory that it is rendered to: `.terrace/claim.json`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use futures::future::BoxFuture;
use terrace_artifact::{Digest, Text};
use terrace_deployer_model::claim::{ClaimStore, Versioned};
use terrace_deployer_model::failure::Failure;

use super::super::{disk, failed};
use super::{DirectoryStateStore, open};

const CLAIM: &str = "claim.json";
/// The operating system's lock on this file spans the read and the write of the claim.
const GUARD: &str = "claim.lock";

impl ClaimStore for DirectoryStateStore {
    fn shown(&self) -> String {
        self.path(CLAIM).display().to_string()
    }

    fn delete_command(&self) -> String {
        format!("rm '{}'", self.path(CLAIM).display())
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Versioned>, Failure>> {
        Box::pin(async move {
            let path = self.path(CLAIM);
            let found = read_file(&path).map_err(|error| failed("read", &path, &error))?;
            Ok(found.map(|bytes| {
                let version = version(&bytes);
                (bytes, version)
            }))
        })
    }

    fn write<'a>(
        &'a self,
        bytes: &'a [u8],
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
        Box::pin(async move {
            let path = self.path(CLAIM);
            let written = self.change(expected, || disk::replace_for_good(&path, bytes));
            let written = written.map_err(|error| failed("write", &path, &error))?;
            Ok(written.then(|| version(bytes)))
        })
    }

    fn remove<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let path = self.path(CLAIM);
            let removed = self.change(Some(expected), || fs::remove_file(&path));
            removed.map_err(|error| failed("delete", &path, &error))?;
            Ok(())
        })
    }
}

impl DirectoryStateStore {
    /// Runs `change` if the claim's version is `expected`. Returns whether it ran.
    fn change(&self, expected: Option<&Text>, change: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        let guard: File = open(&self.path(GUARD))?;
        guard.lock()?;
        let now = read_file(&self.path(CLAIM))?.map(|bytes| version(&bytes));
        let is_expected = now.as_ref() == expected;
        if is_expected {
            change()?;
        }
        guard.unlock()?;
        Ok(is_expected)
    }
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn version(bytes: &[u8]) -> Text {
    Digest::of_bytes(bytes).as_str().into()
}
