//! The lock: a lease that its holder renews, and that expires if the holder stops.
//!
//! The clocks of two machines are never compared. A waiting apply watches the record on its own clock for the length
//! that the record states. The holder stops before that length has passed since its last renewal. A holder that finds
//! itself later than that (the process was suspended, or the machine slept: `clock.rs`) has lost the lock, even
//! if the store would still accept a renewal. A request that is already on its way cannot be fenced: it may arrive
//! late, and the next plan shows its effect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use terrace_artifact::Text;
use tokio::task::JoinHandle;

use crate::clock::Moment;
use crate::failure::{Failure, FailureKind};
use crate::state_store::{LockGuard, LockHolder, LockWaitObserver};

/// The storage of one lease record, with conditional writes.
pub trait LeaseStore: Send + Sync + 'static {
    /// Reads the record and its version; `None` if the lock is free. The version identifies this record (an ETag, a UID
    /// with a `resourceVersion`): a record that was deleted and written again has a different version.
    fn read(&self) -> BoxFuture<'_, Result<Option<(LeaseRecord, Text)>, Failure>>;

    /// Writes the record if its version is still `expected`, or if no record exists and `expected` is absent. Returns
    /// the new version, or `None` if another writer was first. With `expected`, never creates a record.
    fn write<'a>(
        &'a self,
        record: &'a LeaseRecord,
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>>;

    /// Deletes the record if its version is still `expected`.
    fn clear<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>>;

    /// Tells the user how to delete the record manually.
    fn remedy(&self) -> String {
        "delete the lock manually".to_owned()
    }
}

/// The record of a lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The holder.
    pub holder: LockHolder,
    /// The time in seconds without renewal after which the lease expires.
    pub seconds: u32,
    /// The number of renewals.
    pub renewals: u64,
}

/// The length of our leases. Three renewals fit in.
pub const LENGTH: Duration = Duration::from_secs(15);

/// The maximum length of a foreign lease that an apply waits for. Terrace itself writes shorter ones.
const LONGEST: Duration = Duration::from_secs(60);

/// Acquires a lease, or fails with its holder.
pub fn take<'a>(
    store: Arc<dyn LeaseStore>,
    holder: &'a LockHolder,
    waiting: &'a LockWaitObserver<'a>,
) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
    take_for(store, holder, waiting, LENGTH)
}

fn take_for<'a>(
    store: Arc<dyn LeaseStore>,
    holder: &'a LockHolder,
    waiting: &'a LockWaitObserver<'a>,
    length: Duration,
) -> BoxFuture<'a, Result<Box<dyn LockGuard>, Failure>> {
    Box::pin(async move {
        let mut record = LeaseRecord {
            holder: holder.clone(),
            seconds: u32::try_from(length.as_secs()).unwrap_or(u32::MAX).max(1),
            renewals: 0,
        };
        let mut watched: Option<(Text, Moment)> = None;
        let mut reported: Option<Moment> = None;
        // Usually the lock is free.
        let asked = Moment::now();
        if let Some(version) = store.write(&record, None).await? {
            return Ok(Box::new(Lease::renewing(store, record, version, asked, length)) as Box<dyn LockGuard>);
        }
        loop {
            let asked = Moment::now();
            let expected = match store.read().await? {
                None => None,
                // The answer to our own write was lost. Only the answer to a new write shows how long the lock is ours.
                Some((other, version)) if other.holder == *holder => {
                    // Changes the record, so that a waiting apply sees a renewal.
                    record.renewals = other.renewals + 1;
                    Some(version)
                }
                Some((other, version)) => {
                    let since = match &watched {
                        Some((seen, since)) if *seen == version => *since,
                        Some(_) => return Err(locked(&other.holder)),
                        None => Moment::now(),
                    };
                    watched = Some((version.clone(), since));
                    let length_of_other = Duration::from_secs(other.seconds.into());
                    if length_of_other > LONGEST {
                        return Err(too_long(&other, store.remedy()));
                    }
                    let left = length_of_other.saturating_sub(since.elapsed());
                    if !left.is_zero() {
                        if reported.is_none_or(|at| at.elapsed() >= length / 3) {
                            waiting(&other.holder, left);
                            reported = Some(Moment::now());
                        }
                        tokio::time::sleep(length / 15).await;
                        continue;
                    }
                    Some(version)
                }
            };
            if let Some(version) = store.write(&record, expected.as_ref()).await? {
                return Ok(
                    Box::new(Lease::renewing(store, record, version, asked, length)) as Box<dyn LockGuard>
                );
            }
            // Another apply was faster. It is alive, and the next read shows its holder.
            watched.get_or_insert((Text::default(), asked));
        }
    })
}

fn locked(holder: &LockHolder) -> Failure {
    let kind = FailureKind::Locked {
        holder: holder.who.clone(),
        since: holder.since.clone(),
    };
    let LockHolder { who, since, .. } = holder;
    Failure::new(
        kind,
        format!("{who} has held the lock of this environment since {since}"),
    )
}

/// Creates the failure for a lease that is too long to wait for: another program must have written it.
fn too_long(other: &LeaseRecord, remedy: String) -> Failure {
    let mut failure = locked(&other.holder);
    let who = match &*other.holder.who {
        "" => "an unknown user",
        who => who,
    };
    failure.message = format!(
        "the lock of {who} lasts {} seconds, longer than any lock that Terrace takes, so this apply does not wait for it",
        other.seconds
    );
    failure.hint(format!("if no apply is running in this environment, {remedy}"))
}

/// An acquired lease, renewed by its own task.
struct Lease {
    store: Arc<dyn LeaseStore>,
    state: Arc<Mutex<State>>,
    length: Duration,
    renewal: JoinHandle<()>,
}

struct State {
    version: Text,
    /// The time at which the last successful renewal was sent.
    renewed: Moment,
    lost: bool,
}

impl State {
    /// Returns whether the lease is lost for good: another apply has it, or could have acquired it.
    fn is_lost(&mut self, length: Duration) -> bool {
        self.lost |= self.renewed.elapsed() >= length;
        self.lost
    }
}

impl Lease {
    fn renewing(
        store: Arc<dyn LeaseStore>,
        record: LeaseRecord,
        version: Text,
        renewed: Moment,
        length: Duration,
    ) -> Lease {
        let state = Arc::new(Mutex::new(State {
            version,
            renewed,
            lost: false,
        }));
        let renewal = tokio::spawn(renew(store.clone(), record, state.clone(), length));
        Lease {
            store,
            state,
            length,
            renewal,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LockGuard for Lease {
    fn check(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if state.is_lost(self.length) {
            let failure = Failure::new(FailureKind::LockLost, "the lock of this environment was lost");
            return Err(failure.hint(
                "it was not renewed in time: the program was suspended, the machine slept, or the network failed; \
                 another apply may have run since, so this apply made no further changes",
            ));
        }
        if state.renewed.elapsed() >= own_length(self.length) {
            // If a late renewal still succeeds, no other apply had the lock in between.
            let message = "the lock could not be renewed in time";
            return Err(Failure::new(FailureKind::Throttled, message));
        }
        Ok(())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        // A renewal on its way would create the record again after it was cleared.
        self.renewal.abort();
        Box::pin(async move {
            let version = {
                let mut state = self.state();
                if state.is_lost(self.length) {
                    return Ok(());
                }
                state.version.clone()
            };
            self.store.clear(&version).await
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Returns the deadline of the holder, which is before the one of waiting applies.
fn own_length(length: Duration) -> Duration {
    length * 4 / 5
}

async fn renew(
    store: Arc<dyn LeaseStore>,
    mut record: LeaseRecord,
    state: Arc<Mutex<State>>,
    length: Duration,
) {
    let mut pause = length / 3;
    loop {
        tokio::time::sleep(pause).await;
        record.renewals += 1;
        let expected = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_lost(length) {
                return;
            }
            state.version.clone()
        };
        let asked = Moment::now();
        let written = store.write(&record, Some(&expected)).await;
        // A renewal whose answer was lost may have changed the record. Its time is unknown, so it does not extend the
        // lease; the next renewal starts from the stored version.
        let stored = match written {
            Ok(None) => Some(store.read().await),
            _ => None,
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_lost(length) {
            return;
        }
        pause = match written {
            Ok(Some(version)) => {
                state.version = version;
                state.renewed = asked;
                length / 3
            }
            Ok(None) => match stored {
                Some(Ok(Some((other, version)))) if other.holder == record.holder => {
                    state.version = version;
                    Duration::ZERO
                }
                Some(Ok(_)) => {
                    state.lost = true;
                    return;
                }
                Some(Err(_)) | None => length / 15,
            },
            Err(_) => length / 15,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::Instant;

    use super::*;

    /// A record in memory, with a switch that makes every request fail.
    #[derive(Default)]
    struct Memory {
        record: Mutex<Option<(LeaseRecord, u64)>>,
        down: AtomicBool,
        /// Writes take effect, but their answers are lost.
        no_answers: AtomicBool,
    }

    impl LeaseStore for Memory {
        fn read(&self) -> BoxFuture<'_, Result<Option<(LeaseRecord, Text)>, Failure>> {
            let record = self.record.lock().unwrap().clone();
            Box::pin(async move { Ok(record.map(|(record, version)| (record, version.to_string().into()))) })
        }

        fn write<'a>(
            &'a self,
            record: &'a LeaseRecord,
            expected: Option<&'a Text>,
        ) -> BoxFuture<'a, Result<Option<Text>, Failure>> {
            Box::pin(async move {
                if self.down.load(Ordering::Relaxed) {
                    return Err(Failure::new(FailureKind::Unreachable, "down"));
                }
                let mut kept = self.record.lock().unwrap();
                let current = kept.as_ref().map(|(_, version)| version.to_string());
                if current.as_deref() != expected.map(|version| version.as_str()) {
                    return Ok(None);
                }
                let version = kept.as_ref().map_or(0, |(_, version)| version + 1);
                *kept = Some((record.clone(), version));
                if self.no_answers.load(Ordering::Relaxed) {
                    return Err(Failure::new(FailureKind::Unreachable, "no answer"));
                }
                Ok(Some(version.to_string().into()))
            })
        }

        fn clear<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async move {
                let mut kept = self.record.lock().unwrap();
                if kept
                    .as_ref()
                    .is_some_and(|(_, version)| version.to_string() == *expected.as_str())
                {
                    *kept = None;
                }
                Ok(())
            })
        }
    }

    fn holder(who: &str) -> LockHolder {
        LockHolder {
            who: who.into(),
            run: who.into(),
            since: "2026-11-21T03:30:00Z".into(),
        }
    }

    async fn lock(store: &Arc<Memory>, who: &str) -> Result<Box<dyn LockGuard>, Failure> {
        let store: Arc<dyn LeaseStore> = store.clone();
        take(store, &holder(who), &|_, _| {}).await
    }

    #[tokio::test(start_paused = true)]
    async fn reports_the_holder_of_the_lock() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        let refused = lock(&store, "ben").await.err().unwrap();
        assert_eq!(
            refused.message,
            "ana has held the lock of this environment since 2026-11-21T03:30:00Z"
        );
        first.check().unwrap();
        first.release().await.unwrap();
        lock(&store, "ben").await.unwrap().check().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_lock_while_it_is_renewed() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        tokio::time::sleep(LENGTH * 20).await;
        first.check().unwrap();
        assert!(lock(&store, "ben").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn takes_over_the_lock_of_a_killed_holder_after_its_lease() {
        let store = Arc::new(Memory::default());
        drop(lock(&store, "ana").await.unwrap());
        let begun = Instant::now();
        let waits = Mutex::new(Vec::new());
        let waiting = |other: &LockHolder, left: Duration| {
            waits
                .lock()
                .unwrap()
                .push(format!("{} {}", other.who, left.as_secs_f64().ceil()));
        };
        let kept: Arc<dyn LeaseStore> = store.clone();
        let second = take(kept, &holder("ben"), &waiting).await.unwrap();
        assert!(begun.elapsed() >= LENGTH, "{:?}", begun.elapsed());
        second.check().unwrap();
        assert_eq!(*waits.lock().unwrap(), ["ana 15", "ana 10", "ana 5"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_stops_before_its_lease_expires() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        store.down.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 4 / 5).await;
        assert!(first.check().unwrap_err().may_pass());
        store.down.store(false, Ordering::Relaxed);
        tokio::time::sleep(LENGTH / 14).await;
        first.check().unwrap();
    }

    /// A suspended program finds its record unchanged, but has lost the lock.
    #[tokio::test(start_paused = true)]
    async fn loses_the_lock_if_the_renewal_is_later_than_the_lease() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        store.down.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH + Duration::from_secs(1)).await;
        store.down.store(false, Ordering::Relaxed);
        for _ in 0..3 {
            assert_eq!(first.check().unwrap_err().kind, FailureKind::LockLost);
            tokio::time::sleep(LENGTH / 3).await;
        }
        let before = store.record.lock().unwrap().clone();
        first.release().await.unwrap();
        assert_eq!(*store.record.lock().unwrap(), before, "a lost lock was released");
    }

    /// Another apply has acquired and released the lock; a renewal must not create it again.
    #[tokio::test(start_paused = true)]
    async fn loses_a_lock_that_another_apply_has_used() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        *store.record.lock().unwrap() = None;
        tokio::time::sleep(LENGTH / 2).await;
        assert_eq!(first.check().unwrap_err().kind, FailureKind::LockLost);
        assert!(store.record.lock().unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_to_wait_for_a_lease_that_is_too_long() {
        let store = Arc::new(Memory::default());
        let record = LeaseRecord {
            holder: holder("ben"),
            seconds: 3600,
            renewals: 0,
        };
        *store.record.lock().unwrap() = Some((record, 1));
        let begun = Instant::now();
        let refused = lock(&store, "ana").await.err().unwrap();
        assert!(
            refused.message.contains("the lock of ben lasts 3600 seconds"),
            "{refused}"
        );
        assert!(begun.elapsed() < LENGTH);
    }

    #[tokio::test(start_paused = true)]
    async fn continues_after_a_renewal_without_answer() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        store.no_answers.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 2 / 5).await;
        store.no_answers.store(false, Ordering::Relaxed);
        for _ in 0..10 {
            tokio::time::sleep(LENGTH / 5).await;
            first.check().unwrap();
        }
        first.release().await.unwrap();
        lock(&store, "ben").await.unwrap().check().unwrap();

        // Such a renewal does not extend the lease.
        let first = lock(&store, "ana").await.unwrap();
        store.no_answers.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 4 / 5).await;
        assert!(first.check().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn recognizes_its_own_lease_after_a_lost_answer() {
        let store = Arc::new(Memory::default());
        store.no_answers.store(true, Ordering::Relaxed);
        assert!(lock(&store, "ana").await.is_err());
        store.no_answers.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        lock(&store, "ana").await.unwrap().check().unwrap();
        assert!(begun.elapsed() < LENGTH / 5);
    }
}
