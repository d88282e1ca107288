//! The home of an environment: where its ledger, its bundles, its journal and its lock are.
//!
//! There is one for each environment: the cluster if it has one, else the bootstrap bucket, else the folder of the
//! directory target. Losing it loses history, never what is deployed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use terrace_artifact::Text;

use crate::failure::Failure;

/// A small store with conditional writes. Keys are like paths: `ledger/00000007`, `bundles/DIGEST`, `identities/DIGEST`,
/// `journal/RELEASE-ARTIFACT`.
///
/// Values may be larger than what the store takes at once: a backend divides them (a Secret stops at 1 MiB).
pub trait Home: Send + Sync {
    /// For a reader: `namespace terrace-system of cluster acme-prod`.
    fn shown(&self) -> String;

    /// Why nothing can be written to it yet, where a read has found that it does not exist and an apply does not create it.
    fn missing(&self) -> Option<Failure> {
        None
    }

    /// A value, or nothing where there is none.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>>;

    /// All keys with a prefix, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>>;

    /// Writes a value that does not exist yet, whole or not at all. Gives `false`, and changes nothing, where it does.
    fn create<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<bool, Failure>>;

    /// Deletes a value; that it is gone already is no failure.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// Takes the lock, or fails with [`crate::FailureKind::Locked`]. Creates what it needs (a namespace) where that is
    /// missing. Where somebody seems to hold it, tells `waiting` whom, and watches until the holder renews (then it
    /// fails) or has stood still for the whole length of the lease (then it takes over): [`crate::lease::take`] does that.
    fn lock<'a>(
        &'a self,
        holder: &'a Holder,
        waiting: &'a Waiting<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Held>, Failure>>;
}

/// A home that is not asked twice for what never changes: entries of the ledger, bundles, and identities.
pub(crate) struct Remembering {
    home: Box<dyn Home>,
    known: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Remembering {
    pub(crate) fn new(home: Box<dyn Home>) -> Remembering {
        Remembering {
            home,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Remembering {
    fn shown(&self) -> String {
        self.home.shown()
    }

    fn missing(&self) -> Option<Failure> {
        self.home.missing()
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(async move {
            let known = self.known().get(key).cloned();
            if known.is_some() {
                return Ok(known);
            }
            let found = self.home.read(key).await?;
            if let Some(value) = &found
                && ["ledger/", "bundles/", "identities/"]
                    .iter()
                    .any(|kept| key.starts_with(kept))
            {
                self.known().insert(key.to_owned(), value.clone());
            }
            Ok(found)
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
        holder: &'a Holder,
        waiting: &'a Waiting<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Held>, Failure>> {
        self.home.lock(holder, waiting)
    }
}

/// Is told, now and then, who holds the lock that is waited for, and in what time it is free if nothing is heard of them.
pub type Waiting<'a> = dyn Fn(&Holder, Duration) + Send + Sync + 'a;

/// Who takes a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Such as `ana@laptop`.
    pub who: Text,
    /// Tells two runs of one person apart.
    pub run: Text,
    /// When it was taken, such as `2026-11-21T03:30:00Z`.
    pub since: Text,
}

/// A lock that is held. It renews itself in the background until it is released or dropped.
pub trait Held: Send + Sync {
    /// Nothing while the lock is certainly ours; a failure from the moment it may not be any more: then no new write
    /// may start. A failure that may pass ([`Failure::may_pass`]) is over when a renewal succeeds after all; one of kind
    /// [`crate::FailureKind::LockLost`] never is.
    fn check(&self) -> Result<(), Failure>;

    /// Gives it back.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>>;
}

/// How long it may stay open whether a lock is still held.
const UNCERTAIN: Duration = Duration::from_secs(90);

/// Waits until a lock whose renewal is late is certainly held, or lost.
pub(crate) async fn certainly_held(held: &dyn Held) -> Result<(), Failure> {
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
