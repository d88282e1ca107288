//! A lock that outlives nobody: it is renewed while its holder lives, and free once it has stood still.
//!
//! No clocks of two machines are compared. A taker watches the record on its own clock for the length that the record states;
//! a holder stops itself before that length has passed since its last renewal, and one that finds itself later than that
//! (it was stopped, or the machine slept: [`crate::clock`]) has lost the lock, whatever the store would still accept. Nothing
//! can fence a request that is already on its way: one may land late, and the next plan shows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use terrace_artifact::Text;
use tokio::task::JoinHandle;

use crate::clock::Moment;
use crate::failure::{Failure, FailureKind};
use crate::home::{Held, Holder, Waiting};

/// Where one lease record is kept, with conditional writes.
pub trait LeaseStore: Send + Sync + 'static {
    /// The record and its version, or nothing where nobody holds it. The version is that of this very record (an ETag, a uid
    /// with a `resourceVersion`): one that was deleted and written anew never has it again.
    fn read(&self) -> BoxFuture<'_, Result<Option<(LeaseRecord, Text)>, Failure>>;

    /// Writes the record where `expected` is still its version, or where there is none if that is absent. Gives the
    /// new version, or nothing if somebody else was first. With `expected`, never creates a record.
    fn write<'a>(
        &'a self,
        record: &'a LeaseRecord,
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>>;

    /// Deletes the record where `expected` is still its version.
    fn clear<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>>;

    /// How somebody takes away a record by hand, for a reader.
    fn remedy(&self) -> String {
        "remove the lock by hand".to_owned()
    }
}

/// What a lease says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Who holds it.
    pub holder: Holder,
    /// After how long without renewal it is free.
    pub seconds: u32,
    /// How often it was renewed.
    pub renewals: u64,
}

/// How long a lease stands without renewal. Three renewals fit in.
pub(crate) const LENGTH: Duration = Duration::from_secs(15);

/// The longest lease that is waited for: nobody who writes them as we do asks for more.
const LONGEST: Duration = Duration::from_secs(60);

/// Takes a lease, or says who holds it.
pub fn take<'a>(
    store: Arc<dyn LeaseStore>,
    holder: &'a Holder,
    waiting: &'a Waiting<'a>,
) -> BoxFuture<'a, Result<Box<dyn Held>, Failure>> {
    take_for(store, holder, waiting, LENGTH)
}

fn take_for<'a>(
    store: Arc<dyn LeaseStore>,
    holder: &'a Holder,
    waiting: &'a Waiting<'a>,
    length: Duration,
) -> BoxFuture<'a, Result<Box<dyn Held>, Failure>> {
    Box::pin(async move {
        let mut record = LeaseRecord {
            holder: holder.clone(),
            seconds: u32::try_from(length.as_secs()).unwrap_or(u32::MAX).max(1),
            renewals: 0,
        };
        let mut standing: Option<(Text, Moment)> = None;
        let mut told: Option<Moment> = None;
        // Most of the time nobody holds it.
        let asked = Moment::now();
        if let Some(version) = store.write(&record, None).await? {
            return Ok(Box::new(Lease::renewing(store, record, version, asked, length)) as Box<dyn Held>);
        }
        loop {
            let asked = Moment::now();
            let expected = match store.read().await? {
                None => None,
                // The answer to our own write was lost on its way; for how long it is ours, only another one tells.
                Some((other, version)) if other.holder == *holder => {
                    // Not the same again: whoever watches it is to see that it changes.
                    record.renewals = other.renewals + 1;
                    Some(version)
                }
                Some((other, version)) => {
                    let since = match &standing {
                        Some((seen, since)) if *seen == version => *since,
                        Some(_) => return Err(locked(&other.holder)),
                        None => Moment::now(),
                    };
                    standing = Some((version.clone(), since));
                    let length_of_other = Duration::from_secs(other.seconds.into());
                    if length_of_other > LONGEST {
                        return Err(too_long(&other, store.remedy()));
                    }
                    let left = length_of_other.saturating_sub(since.elapsed());
                    if !left.is_zero() {
                        if told.is_none_or(|told| told.elapsed() >= length / 3) {
                            waiting(&other.holder, left);
                            told = Some(Moment::now());
                        }
                        tokio::time::sleep(length / 15).await;
                        continue;
                    }
                    Some(version)
                }
            };
            if let Some(version) = store.write(&record, expected.as_ref()).await? {
                return Ok(Box::new(Lease::renewing(store, record, version, asked, length)) as Box<dyn Held>);
            }
            // Somebody was faster; whoever it was is alive, and the next look says who.
            standing.get_or_insert((Text::default(), asked));
        }
    })
}

fn locked(holder: &Holder) -> Failure {
    let kind = FailureKind::Locked {
        holder: holder.who.clone(),
        since: holder.since.clone(),
    };
    let Holder { who, since, .. } = holder;
    Failure::new(
        kind,
        format!("{who} has been applying to this environment since {since}"),
    )
}

/// A lease that is not waited for: what wrote it does not work as we do.
fn too_long(other: &LeaseRecord, remedy: String) -> Failure {
    let mut failure = locked(&other.holder);
    let who = match &*other.holder.who {
        "" => "somebody",
        who => who,
    };
    failure.message = format!(
        "the lock is held by {who} for {} seconds, which no apply of Terrace asks for: it is not waited for",
        other.seconds
    );
    failure.hint(format!("if nobody is applying to this environment, {remedy}"))
}

/// A lease that is held and renewed by a task of its own.
struct Lease {
    store: Arc<dyn LeaseStore>,
    state: Arc<Mutex<State>>,
    length: Duration,
    renewal: JoinHandle<()>,
}

struct State {
    version: Text,
    /// When the renewal was asked for that succeeded last.
    renewed: Moment,
    lost: bool,
}

impl State {
    /// Whether it is lost, for good: somebody has it, or was free to take it for a moment.
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

impl Held for Lease {
    fn check(&self) -> Result<(), Failure> {
        let mut state = self.state();
        if state.is_lost(self.length) {
            let failure = Failure::new(FailureKind::LockLost, "the lock of this environment was lost");
            return Err(failure.hint(
                "it was not renewed in time, because the program was stopped, the machine slept, or the network was away; \
                 another apply may have run since, so nothing more was written",
            ));
        }
        if state.renewed.elapsed() >= own_length(self.length) {
            // If a renewal still succeeds in time, nobody took it in between.
            let message = "the lock could not be renewed in time";
            return Err(Failure::new(FailureKind::Throttled, message));
        }
        Ok(())
    }

    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        // A renewal on its way would bring the record back after it was cleared.
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

/// A holder's own deadline comes before the one that takers wait for.
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
        // A renewal whose answer was lost has changed the record all the same. When, nobody knows, so that it does not
        // count; the next one starts from there.
        let there = match written {
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
            Ok(None) => match there {
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
        /// Writes take effect, and nobody hears of it.
        deaf: AtomicBool,
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
                if self.deaf.load(Ordering::Relaxed) {
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

    fn holder(who: &str) -> Holder {
        Holder {
            who: who.into(),
            run: who.into(),
            since: "2026-11-21T03:30:00Z".into(),
        }
    }

    async fn lock(store: &Arc<Memory>, who: &str) -> Result<Box<dyn Held>, Failure> {
        let store: Arc<dyn LeaseStore> = store.clone();
        take(store, &holder(who), &|_, _| {}).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_hears_who_holds_it() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        let refused = lock(&store, "ben").await.err().unwrap();
        assert_eq!(
            refused.message,
            "ana has been applying to this environment since 2026-11-21T03:30:00Z"
        );
        first.check().unwrap();
        first.release().await.unwrap();
        lock(&store, "ben").await.unwrap().check().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_for_as_long_as_it_is_renewed() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        tokio::time::sleep(LENGTH * 20).await;
        first.check().unwrap();
        assert!(lock(&store, "ben").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_holder_is_waited_for() {
        let store = Arc::new(Memory::default());
        drop(lock(&store, "ana").await.unwrap());
        let begun = Instant::now();
        let told = Mutex::new(Vec::new());
        let waiting = |other: &Holder, left: Duration| {
            told.lock()
                .unwrap()
                .push(format!("{} {}", other.who, left.as_secs_f64().ceil()));
        };
        let kept: Arc<dyn LeaseStore> = store.clone();
        let second = take(kept, &holder("ben"), &waiting).await.unwrap();
        assert!(begun.elapsed() >= LENGTH, "{:?}", begun.elapsed());
        second.check().unwrap();
        assert_eq!(*told.lock().unwrap(), ["ana 15", "ana 10", "ana 5"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_stops_before_anybody_takes_over() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        store.down.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 4 / 5).await;
        assert!(first.check().unwrap_err().may_pass());
        store.down.store(false, Ordering::Relaxed);
        tokio::time::sleep(LENGTH / 14).await;
        first.check().unwrap();
    }

    /// A program that was stopped for a while finds its record untouched, and has lost the lock all the same.
    #[tokio::test(start_paused = true)]
    async fn a_renewal_later_than_the_lease_is_a_loss() {
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
        assert_eq!(
            *store.record.lock().unwrap(),
            before,
            "what may be somebody else's is left alone"
        );
    }

    /// Somebody has taken the lock and given it back: the first does not bring it back to life.
    #[tokio::test(start_paused = true)]
    async fn a_lock_that_others_have_used_since_is_lost() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        *store.record.lock().unwrap() = None;
        tokio::time::sleep(LENGTH / 2).await;
        assert_eq!(first.check().unwrap_err().kind, FailureKind::LockLost);
        assert!(store.record.lock().unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_lease_is_not_waited_for() {
        let store = Arc::new(Memory::default());
        let record = LeaseRecord {
            holder: holder("somebody"),
            seconds: 3600,
            renewals: 0,
        };
        *store.record.lock().unwrap() = Some((record, 1));
        let begun = Instant::now();
        let refused = lock(&store, "ana").await.err().unwrap();
        assert!(
            refused.message.contains("held by somebody for 3600 seconds"),
            "{refused}"
        );
        assert!(begun.elapsed() < LENGTH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_was_not_answered_is_one_all_the_same() {
        let store = Arc::new(Memory::default());
        let first = lock(&store, "ana").await.unwrap();
        store.deaf.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 2 / 5).await;
        store.deaf.store(false, Ordering::Relaxed);
        for _ in 0..10 {
            tokio::time::sleep(LENGTH / 5).await;
            first.check().unwrap();
        }
        first.release().await.unwrap();
        lock(&store, "ben").await.unwrap().check().unwrap();

        // It does not make the time longer for which nobody else waits.
        let first = lock(&store, "ana").await.unwrap();
        store.deaf.store(true, Ordering::Relaxed);
        tokio::time::sleep(LENGTH * 4 / 5).await;
        assert!(first.check().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_was_taken_unheard_is_ours_at_once() {
        let store = Arc::new(Memory::default());
        store.deaf.store(true, Ordering::Relaxed);
        assert!(lock(&store, "ana").await.is_err());
        store.deaf.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        lock(&store, "ana").await.unwrap().check().unwrap();
        assert!(begun.elapsed() < LENGTH / 5);
    }
}
