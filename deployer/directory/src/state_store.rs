//! The state store of an environment that has neither a cluster nor an account: `.terrace/` in the target's directory.
//!
//! ```text
//! .terrace/ledger/00000001     an entry of the ledger
//! .terrace/bundles/DIGEST      a bundle that an entry names
//! .terrace/identities/DIGEST   the identities of the resources that existed when a release ended
//! .terrace/lock                locked by the operating system while an apply runs, and unlocked when its process ends
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::state_store::{LockGuard, LockHolder, LockWaitObserver, StateStore};

use super::{STATE, failed};

mod claim;

/// The number of attempts to take the lock.
const LOOKS: u32 = 10;
/// The time between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(30);

/// The directory of a target, as a state store.
#[derive(Clone)]
pub struct DirectoryStateStore {
    /// The target's directory.
    pub folder: PathBuf,
}

impl DirectoryStateStore {
    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(STATE).join(key)
    }
}

impl StateStore for DirectoryStateStore {
    fn shown(&self) -> String {
        format!("{}", self.folder.join(STATE).display())
    }

    fn delete_command(&self, key: &str) -> String {
        format!("rm '{}'", self.path(key).display())
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>> {
        let path = self.path(key);
        Box::pin(async move {
            match fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(failed("read", &path, &error)),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
            let path = self.path(folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failed("read", &path, &error)),
            };
            let mut keys = Vec::new();
            for entry in entries {
                let name = entry.map_err(|error| failed("read", &path, &error))?.file_name();
                // A name that begins with a dot belongs to an interrupted write.
                if let Some(name) = name.to_str()
                    && name.starts_with(start)
                    && !name.starts_with('.')
                {
                    keys.push(format!("{folder}/{name}"));
                }
            }
            keys.sort();
            Ok(keys)
        })
    }

    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>> {
        let path = self.path(key);
        Box::pin(async move {
            let temporary =
                super::disk::write_beside(&path, value).map_err(|e| failed("write", &path, &e))?;
            // The history must survive a power failure.
            let synced = File::open(&temporary).and_then(|file| file.sync_all());
            synced.map_err(|e| failed("write", &path, &e))?;
            // Unlike a rename, a hard link does not replace an existing file.
            let linked = fs::hard_link(&temporary, &path);
            let outcome = match linked {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(_) if path.exists() => Ok(false),
                // The file system has no hard links. The lock alone prevents concurrent writes.
                Err(_) => fs::copy(&temporary, &path)
                    .map(|_| true)
                    .map_err(|e| failed("write", &path, &e)),
            };
            let _ = fs::remove_file(&temporary);
            outcome
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        let path = self.path(key);
        Box::pin(async move {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, &error)),
                _ => Ok(()),
            }
        })
    }

    fn lock<'a>(
        &'a self,
        holder: &'a LockHolder,
        waiting: &'a LockWaitObserver<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
        let path = self.path("lock");
        Box::pin(async move {
            let mut file = open(&path).map_err(|error| failed("write", &path, &error))?;
            // An apply that is ending releases the lock a moment later.
            for look in 0..LOOKS {
                match file.try_lock() {
                    Ok(()) => return hold(file, holder).map_err(|error| failed("write", &path, &error)),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
                }
                if let Some(other) = read_holder(&mut file)
                    && look == 0
                {
                    waiting(&other, PAUSE * LOOKS);
                }
                tokio::time::sleep(PAUSE).await;
            }
            let (who, since, message) = match read_holder(&mut file) {
                Some(LockHolder { who, since, .. }) => {
                    let message = format!("{who} has held the lock of this environment since {since}");
                    (who, since, message)
                }
                None => {
                    let message = "another process holds the lock of this environment".to_owned();
                    ("another process".into(), "just now".into(), message)
                }
            };
            Err(Failure::new(FailureKind::Locked { holder: who, since }, message))
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn hold(mut file: File, holder: &LockHolder) -> io::Result<Box<dyn LockGuard>> {
    let text = serde_json::to_vec(holder)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.flush()?;
    Ok(Box::new(Locked { file }))
}

fn read_holder(file: &mut File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The lock of an environment. The operating system releases it when the process ends, even after a crash.
struct Locked {
    file: File,
}

impl LockGuard for Locked {
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            // The file must not name a holder that no longer holds the lock.
            let _ = self.file.set_len(0);
            let _ = self.file.unlock();
            Ok(())
        })
    }
}
