//! How live systems are reached. The program's edge fills this in; nothing here reads the environment by itself,
//! except that the AWS SDK looks for credentials where it always does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use terrace_artifact::Text;

use crate::claims::StackOrigin;
use crate::lockfile::Lockfile;

/// How live systems are reached, and by whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// The stack's folder; the paths of directory targets start there.
    pub folder: PathBuf,
    /// The origin of that folder, and its `terrace.lock`.
    pub directory: StackDirectory,
    /// The kubeconfig; where absent, `~/.kube/config` (the edge passes `$KUBECONFIG` here).
    pub kubeconfig: Option<PathBuf>,
    /// How AWS is reached.
    pub aws: AwsAccess,
    /// Who is asking, for the ledger and for whoever waits for the lock: `ana@laptop`.
    pub who: Text,
    /// Tells this run from others of the same person: a process id and a time will do.
    pub run: Text,
    /// The version of the program.
    pub version: Text,
    /// The clock.
    pub now: fn() -> SystemTime,
}

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

/// How AWS is reached. What is absent is found where the SDK looks for it.
#[derive(Clone, Debug, Default)]
pub struct AwsAccess {
    /// Another endpoint, for all services.
    pub endpoint: Option<Text>,
    /// The profile of the shared configuration.
    pub profile: Option<Text>,
    /// An access key: its id and its secret.
    pub key: Option<(Text, Text)>,
}

/// A time as `2026-11-21T03:30:00Z`.
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970-01-01 as year, month and day. Years are counted from March, so that the leap day is the last.
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
    fn times_are_written_as_everywhere() {
        let at = |seconds| timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(at(1_795_231_845), "2026-11-21T03:30:45Z");
    }
}
