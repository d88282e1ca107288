//! Time that also passes while the machine is suspended.
//!
//! The lease of a laptop that sleeps for an hour expires, but its monotonic clock does not move. On Linux the kernel
//! has a clock that includes suspension (`CLOCK_BOOTTIME`). Other systems use the wall clock: the time by which it is
//! ahead of the monotonic clock counts as sleep. Setting the wall clock forward therefore costs an apply its lock;
//! setting it back has no effect.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    awake: Instant,
    /// The time that the machine had slept by then, from an arbitrary start.
    asleep: Duration,
}

impl Moment {
    /// Returns the current moment.
    pub(crate) fn now() -> Moment {
        Moment {
            awake: Instant::now(),
            asleep: asleep(),
        }
    }

    /// Returns the time since this moment, including sleep.
    pub(crate) fn elapsed(&self) -> Duration {
        self.until(asleep())
    }

    /// Returns the time since this moment, for a machine that has slept for `asleep` by now.
    fn until(&self, asleep: Duration) -> Duration {
        self.awake.elapsed() + asleep.saturating_sub(self.asleep)
    }
}

/// Returns the time that the machine has slept since it was started.
#[cfg(target_os = "linux")]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

/// Returns the time by which the wall clock is ahead of the monotonic clock since the first call.
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
    async fn elapsed_time_includes_sleep() {
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
