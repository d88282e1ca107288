//! Access to live systems. The caller fills in these types. Nothing here reads the process environment, except that the
//! AWS SDK looks for credentials in its usual places.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use futures::future::BoxFuture;
use terrace_artifact::{Target, Text};

use crate::backend::Connected;
use crate::claim::StackOrigin;
use crate::failure::Failure;
use crate::lockfile::Lockfile;

/// Connection settings for live systems, and the identity of the caller.
#[derive(Clone, Debug)]
pub struct Access {
    /// The stack's directory. The paths of directory targets are relative to it.
    pub folder: PathBuf,
    /// The origin of that directory, and its `terrace.lock`.
    pub directory: StackDirectory,
    /// The kubeconfig file. If absent, `~/.kube/config` is used (the caller passes `$KUBECONFIG` here).
    pub kubeconfig: Option<PathBuf>,
    /// Connection settings for AWS.
    pub aws: AwsAccess,
    /// The user, such as `ana@laptop`. It is recorded in the ledger and shown to users who wait for the lock.
    pub who: Text,
    /// Distinguishes this run from other runs of the same user. A process id and a time are enough.
    pub run: Text,
    /// The version of the program.
    pub version: Text,
    /// Connects to a target. The engine knows no backend: it calls this function.
    pub connect: Connect,
    /// The clock.
    pub now: fn() -> SystemTime,
}

/// Connects to a target for the environment with this label ([`terrace_artifact::Bundle::label`]). It does not ask the target
/// who it is; [`crate::backend::Backend::identify`] does.
pub type Connect = for<'a> fn(&'a Target, &'a Access, &'a str) -> BoxFuture<'a, Result<Connected, Failure>>;

/// The properties of a stack's directory that are not in its documents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StackDirectory {
    /// The origin, which every checkout of the directory shares.
    pub origin: StackOrigin,
    /// The contents of `terrace.lock`.
    pub lock: Option<Lockfile>,
    /// The names of all environments of the stack; empty if its documents were not read.
    pub environments: BTreeSet<Text>,
}

/// Connection settings for AWS. The SDK's defaults replace absent values.
#[derive(Clone, Debug, Default)]
pub struct AwsAccess {
    /// The endpoint URL for all services, if it is not the default one.
    pub endpoint: Option<Text>,
    /// The profile of the shared configuration.
    pub profile: Option<Text>,
    /// The id and the secret of an access key.
    pub key: Option<(Text, Text)>,
}

/// Formats a time as `2026-11-21T03:30:00Z`.
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Converts days since 1970-01-01 to year, month and day. Years start in March here, so that the leap day is the last
/// day.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn formats_times_in_utc() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(at(1_795_231_845), "2026-11-21T03:30:45Z");
    }
}
