//! Time that also passes while the machine is suspended.
//!
//! A laptop that sleeps for an hour has lost its lock, and its monotonic clock has not moved. On Linux the kernel keeps a clock
//! that counts suspension (`CLOCK_BOOTTIME`). Elsewhere the wall clock stands in: whatever it is ahead of the monotonic clock
//! counts as sleep, so a clock that somebody puts forward costs an apply its lock, and one put back costs nothing.

use std::time::Duration;

use tokio::time::Instant;

/// A moment that others are measured from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    awake: Instant,
    /// How long the machine had slept by then, from wherever that is counted.
    asleep: Duration,
}

impl Moment {
    /// This moment.
    pub(crate) fn now() -> Moment {
        Moment {
            awake: Instant::now(),
            asleep: asleep(),
        }
    }

    /// How long ago it was, sleep included.
    pub(crate) fn elapsed(&self) -> Duration {
        self.until(asleep())
    }

    /// How long ago it was, for a machine that has slept for so long by now.
    fn until(&self, asleep: Duration) -> Duration {
        self.awake.elapsed() + asleep.saturating_sub(self.asleep)
    }
}

/// How long the machine has slept since it was started.
#[cfg(target_os = "linux")]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// How far the wall clock is ahead of the monotonic clock since this program first looked.
#[cfg(not(target_os = "linux"))]
fn asleep() -> Duration {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime};
    static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();
    let (awake, wall) = START.get_or_init(|| (Instant::now(), SystemTime::now()));
    let passed = wall.elapsed().unwrap_or_default();
    passed.saturating_sub(awake.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes() {
        let begun = Moment::now();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let elapsed = begun.elapsed();
        assert!(
            elapsed >= Duration::from_secs(20) && elapsed < Duration::from_secs(25),
            "{elapsed:?}"
        );
        let slept = begun.until(begun.asleep + Duration::from_secs(3600));
        assert!(slept >= Duration::from_secs(3620), "{slept:?}");
    }
}
