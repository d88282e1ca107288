//! Durations, parsed once and formatted as the target stores them.

use std::fmt;
use std::str::FromStr;

/// A duration in whole seconds: `30s`, `5m`, `24h`, `90d`, `2w`, `1y` (365 days), `1h30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Duration {
    /// The number of seconds.
    pub seconds: i64,
}

/// The units of a duration, longest first, in seconds.
const UNITS: [(&str, i64); 6] = [
    ("y", 31_536_000),
    ("w", 604_800),
    ("d", 86_400),
    ("h", 3600),
    ("m", 60),
    ("s", 1),
];

impl FromStr for Duration {
    type Err = ();

    fn from_str(text: &str) -> Result<Duration, ()> {
        let mut rest = text;
        let (mut seconds, mut longest) = (0i64, i64::MAX);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(())?;
            let number: i64 = rest[..digits].parse().map_err(|_| ())?;
            let (unit, length) = UNITS
                .iter()
                .find(|(unit, _)| rest[digits..].starts_with(unit))
                .ok_or(())?;
            if *length >= longest {
                return Err(());
            }
            longest = *length;
            seconds = number
                .checked_mul(*length)
                .and_then(|s| seconds.checked_add(s))
                .ok_or(())?;
            rest = &rest[digits + unit.len()..];
        }
        if text.is_empty() {
            Err(())
        } else {
            Ok(Duration { seconds })
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks and years are not used, because `30d` is clearer than `4w2d`.
        let (unit, length) = UNITS[2..]
            .iter()
            .find(|(_, length)| self.seconds % length == 0)
            .unwrap_or(&("s", 1));
        if self.seconds == 0 {
            f.write_str("0s")
        } else {
            write!(f, "{}{unit}", self.seconds / length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds, shown) in [
            ("30s", 30, "30s"),
            ("90m", 5400, "90m"),
            ("24h", 86_400, "1d"),
            ("1h30m", 5400, "90m"),
            ("2w", 1_209_600, "14d"),
            ("7y", 220_752_000, "2555d"),
            ("3661s", 3661, "3661s"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(
                (duration.seconds, duration.to_string().as_str()),
                (seconds, shown),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "h",
            "1.5h",
            "30m1h",
            "1h1h",
            "-1s",
            "99999999999999999999s",
            "1 h",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
