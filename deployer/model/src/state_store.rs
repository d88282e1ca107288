//! The state store of an environment: its ledger, its bundles, its recovery records and its lock.
//!
//! There is one for each environment: in the cluster if it has one, else in the bootstrap bucket, else in the directory
//! target. Losing it loses history, but no deployed resource.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use terrace_artifact::Text;

use crate::failure::Failure;

/// A small store with conditional writes. Keys are like paths: `ledger/00000007`, `bundles/DIGEST`,
/// `identities/DIGEST`, `journal/RELEASE-ARTIFACT`.
///
/// Values may exceed the size limit of the underlying store; an implementation splits them (a Secret is limited to 1
/// MiB).
pub trait StateStore: Send + Sync {
    /// Returns the display name: `namespace terrace-system of cluster acme-prod`.
    fn shown(&self) -> String;

    /// Returns the reason why nothing can be written yet, if a read has found that the store does not exist and an apply does
    /// not create it.
    fn missing(&self) -> Option<Failure> {
        None
    }

    /// Returns the shell command that deletes a value, for a user who repairs the store by hand.
    fn delete_command(&self, key: &str) -> String;

    /// Reads a value; `None` if it does not exist.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>>;

    /// Lists all keys with a prefix, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>>;

    /// Creates a value, completely or not at all. Returns `false`, and changes nothing, if the key exists.
    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Deletes a value. A missing value is not a failure.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// Acquires the lock, or fails with [`crate::failure::FailureKind::Locked`]. Creates what it needs (a namespace) if that is
    /// missing. If another holder seems to have the lock, calls `waiting` and watches until that holder renews (then it
    /// fails) or has not renewed for the whole length of the lease (then it takes over); see [`crate::lease::take`].
    fn lock<'a>(
        &'a self,
        holder: &'a LockHolder,
        waiting: &'a LockWaitObserver<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>>;
}

/// A cache for a state store. It reads immutable values only once: entries of the ledger, bundles, and identities.
pub struct CachingStateStore {
    home: Box<dyn StateStore>,
    known: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl CachingStateStore {
    /// Wraps a state store. Nothing has been read yet.
    pub fn new(home: Box<dyn StateStore>) -> CachingStateStore {
        CachingStateStore {
            home,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for CachingStateStore {
    fn shown(&self) -> String {
        self.home.shown()
    }

    fn missing(&self) -> Option<Failure> {
        self.home.missing()
    }

    fn delete_command(&self, key: &str) -> String {
        self.home.delete_command(key)
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(async move {
            let known = self.known().get(key).cloned();
            if known.is_some() {
                return Ok(known);
            }
            let value = self.home.read(key).await?;
            if let Some(bytes) = &value
                && ["ledger/", "bundles/", "identities/"]
                    .iter()
                    .any(|prefix| key.starts_with(prefix))
            {
                self.known().insert(key.to_owned(), bytes.clone());
            }
            Ok(value)
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        self.home.list(prefix)
    }

    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>> {
        self.home.create(key, value)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        self.home.delete(key)
    }

    fn lock<'a>(
        &'a self,
        holder: &'a LockHolder,
        waiting: &'a LockWaitObserver<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
        self.home.lock(holder, waiting)
    }
}

/// Called from time to time with the holder of the lock that an apply waits for, and the time until the lease expires
/// without renewal.
pub type LockWaitObserver<'a> = dyn Fn(&LockHolder, Duration) + Send + Sync + 'a;

/// The holder of a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LockHolder {
    /// The user and the machine, such as `ana@laptop`.
    pub who: Text,
    /// Distinguishes two runs of one user.
    pub run: Text,
    /// The time the lock was acquired, such as `2026-11-21T03:30:00Z`.
    pub since: Text,
}

/// An acquired lock. It is renewed in the background until it is released or dropped.
pub trait LockGuard: Send + Sync {
    /// Succeeds while the lock is certainly held. Fails as soon as it may be lost; then no new write may start. A
    /// failure that [`Failure::may_pass`] ends when a renewal succeeds after all; one of kind
    /// [`crate::failure::FailureKind::LockLost`] is final.
    fn check(&self) -> Result<(), Failure>;

    /// Releases the lock.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>>;
}

/// The maximum time to wait until it is certain whether a lock is still held.
const UNCERTAIN: Duration = Duration::from_secs(90);

/// Waits until a lock with a late renewal is certainly held, or lost.
pub async fn certainly_held(held: &dyn LockGuard) -> Result<(), Failure> {
    let began = tokio::time::Instant::now();
    loop {
        match held.check() {
            Err(failure) if failure.may_pass() && began.elapsed() < UNCERTAIN => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            certain => return certain,
        }
    }
}
