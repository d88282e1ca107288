//! `terrace.lock` on disk: read before a plan, and written by an apply.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use terrace_artifact::Text;
use terrace_deployer::{Deployment, LOCKFILE, Lockfile, Plan, StackOrigin};

use crate::console::{Console, Tone};
use crate::disk::in_words;
use crate::problem::Problem;

/// Reads the lock file of a stack. Returns `None` if the file does not exist.
pub(crate) fn read(folder: &Path) -> Result<Option<Lockfile>, Problem> {
    let path = folder.join(LOCKFILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Problem::new(format!(
                "cannot read `{}`: {}",
                path.display(),
                in_words(&error)
            )));
        }
    };
    let parsed = Lockfile::parse(&text);
    parsed.map(Some).map_err(|why| {
        Problem::new(format!("cannot read `{}`: {why}", path.display())).help(
            "restore the last committed version, or delete the file: the next apply writes it again from the claims in the \
             live systems",
        )
    })
}

/// Updates the entry of one environment during an apply.
pub(crate) struct Recorder {
    folder: PathBuf,
    platform: Text,
    environment: Text,
    origin: StackOrigin,
    outcome: Mutex<UpdateOutcome>,
}

/// The outcome of the updates.
#[derive(Default)]
struct UpdateOutcome {
    changed: bool,
    failed: Option<String>,
}

impl Recorder {
    /// Creates the recorder for the environment of a plan.
    pub(crate) fn new(folder: &Path, plan: &Plan) -> Recorder {
        Recorder::of(
            folder,
            &plan.bundle.platform,
            &plan.bundle.environment.name,
            &plan.origin,
        )
    }

    /// Creates the recorder for an environment of the stack in `folder`.
    pub(crate) fn of(folder: &Path, platform: &Text, environment: &Text, origin: &StackOrigin) -> Recorder {
        Recorder {
            folder: folder.to_owned(),
            platform: platform.clone(),
            environment: environment.clone(),
            origin: origin.clone(),
            outcome: Mutex::default(),
        }
    }

    /// Updates the entry, or removes it if nothing is deployed.
    pub(crate) fn record(&self, deployment: Option<&Deployment>) {
        let updated = update(&self.folder, |lockfile| match deployment {
            Some(deployment) => lockfile.record(&self.environment, &self.platform, &self.origin, deployment),
            None => {
                lockfile.environments.remove(&self.environment);
            }
        });
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match updated {
            Ok(changed) => outcome.changed |= changed,
            Err(why) => outcome.failed = Some(why),
        }
    }

    /// Prints the outcome. Call it after the output of the command.
    pub(crate) fn tell(&self, console: &Console) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join(LOCKFILE);
        if let Some(why) = &outcome.failed {
            console.line(&format!(
                "{} cannot update `{}`: {why}\n  the file records where `{}` is deployed; to update it, run an apply \
                 from a writable directory, and commit it",
                console.paint(Tone::Warning, "warning:"),
                path.display(),
                self.environment
            ));
        } else if outcome.changed {
            console.line(&format!("updated `{}`: commit it", path.display()));
        }
    }
}

/// Changes the file atomically, and only if its contents change. A file without entries is deleted. A lock on the
/// directory serializes concurrent applies.
fn update(folder: &Path, change: impl FnOnce(&mut Lockfile)) -> Result<bool, String> {
    let turn = File::open(folder).ok();
    if let Some(turn) = &turn {
        // Some file systems do not support locks.
        let _ = turn.lock();
    }
    let before = read(folder).map_err(|problem| problem.message().to_owned())?;
    let mut after = before.clone().unwrap_or_default();
    change(&mut after);
    if before.as_ref() == Some(&after) || before.is_none() && after.environments.is_empty() {
        return Ok(false);
    }
    // A symbolic link to the file is retained.
    let path = folder.join(LOCKFILE);
    let path = fs::canonicalize(&path).unwrap_or(path);
    let outcome = if after.environments.is_empty() {
        fs::remove_file(&path)
    } else {
        replace(&path, &after.to_text())
    };
    outcome.map(|()| true).map_err(|error| in_words(&error))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("lock.{}", std::process::id()));
    let outcome = fs::write(&temporary, text).and_then(|()| File::open(&temporary)?.sync_all());
    let put = outcome.and_then(|()| fs::rename(&temporary, path));
    put.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(folder: &Path) -> Recorder {
        let origin = StackOrigin::in_repository("github.com/acme/platform", "");
        Recorder::of(folder, &"acme".into(), &"production".into(), &origin)
    }

    #[test]
    fn writes_only_changes_and_deletes_a_file_without_entries() {
        let folder = std::env::temp_dir().join(format!("terrace-lock-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let deployment = Deployment::default();
        for (recorded, changes, exists) in [
            (Some(&deployment), true, true),
            (Some(&deployment), false, true),
            (None, true, false),
            (None, false, false),
        ] {
            let recorder = recorder(&folder);
            recorder.record(recorded);
            let outcome = recorder.outcome.lock().unwrap();
            assert_eq!((outcome.changed, &outcome.failed), (changes, &None));
            assert_eq!(folder.join(LOCKFILE).exists(), exists);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), usize::from(exists));
        }
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn tolerates_a_directory_that_cannot_be_written() {
        let recorder = recorder(Path::new("/no/such/directory"));
        recorder.record(Some(&Deployment::default()));
        assert!(recorder.outcome.lock().unwrap().failed.is_some());
    }
}
