//! Durations and quantities: parsed once, computed exactly, and formatted as the target stores them.

use std::fmt;
use std::str::FromStr;

use terrace_artifact::{Decimal, DecimalError};

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

/// An exact amount in Kubernetes: bytes, cores or objects. It keeps the family of suffixes that it was written in, because the server does, too.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// The amount in base units: bytes, cores.
    pub amount: Decimal,
    /// Whether the suffix is `Ki`, `Mi`, `Gi` and so on.
    pub binary: bool,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.amount == other.amount
    }
}

impl Eq for Quantity {}

const BINARY: [(&str, i64); 6] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];
const DECIMAL: [(&str, i64); 6] = [
    ("k", 1000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

impl FromStr for Quantity {
    type Err = ();

    fn from_str(text: &str) -> Result<Quantity, ()> {
        let at = text
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(at);
        if suffix.starts_with(['e', 'E']) && suffix.len() > 1 {
            return Ok(Quantity {
                amount: text.parse().map_err(|_| ())?,
                binary: false,
            });
        }
        let number: Decimal = number.parse().map_err(|_| ())?;
        let scaled = |factor: i64| number.mul(factor.into()).map_err(|_: DecimalError| ());
        if let Some((_, factor)) = BINARY.iter().find(|(unit, _)| *unit == suffix) {
            return Ok(Quantity {
                amount: scaled(*factor)?,
                binary: true,
            });
        }
        let amount = match suffix {
            "" => number,
            "m" => number.div(1000.into()).map_err(|_| ())?,
            "u" => number.div(1_000_000.into()).map_err(|_| ())?,
            _ => scaled(DECIMAL.iter().find(|(unit, _)| *unit == suffix).ok_or(())?.1)?,
        };
        Ok(Quantity {
            amount,
            binary: false,
        })
    }
}

impl Quantity {
    /// Parses a size: a quantity, or bytes with `B` after the suffix (`10GB`, `512MiB`).
    pub fn size(text: &str) -> Option<Quantity> {
        text.parse().ok().or_else(|| text.strip_suffix('B')?.parse().ok())
    }

    /// Rounds a product or quotient to whole Mi, or to whole thousandths of a core. Smaller amounts of bytes are rounded to whole bytes.
    pub fn rounded(self) -> Quantity {
        let round_to = |step: Decimal| -> Option<Decimal> {
            let steps = self.amount.div_floor(step).ok()?;
            let rest = self.amount.sub(steps.mul(step).ok()?).ok()?;
            let up = rest.add(rest).ok()? >= step;
            let steps = if up { steps.add(1.into()).ok()? } else { steps };
            steps.mul(step).ok()
        };
        let mebibyte = Decimal::from(1 << 20);
        let step = match self.binary {
            true if self.amount >= mebibyte => Some(mebibyte),
            true => Some(1.into()),
            false => Decimal::new(1, 3).ok(),
        };
        Quantity {
            amount: step.and_then(round_to).unwrap_or(self.amount),
            ..self
        }
    }
}

impl fmt::Display for Quantity {
    /// Formats the canonical form that the API server stores: no fraction, and the largest suffix without loss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.amount;
        if amount == Decimal::ZERO {
            return f.write_str("0");
        }
        if self.binary
            && let Some(bytes) = amount.as_integer()
        {
            return match BINARY.iter().rev().find(|(_, factor)| bytes % factor == 0) {
                Some((unit, factor)) => write!(f, "{}{unit}", bytes / factor),
                None => write!(f, "{bytes}"),
            };
        }
        match amount.as_integer() {
            Some(whole) => match DECIMAL.iter().rev().find(|(_, factor)| whole % factor == 0) {
                Some((unit, factor)) => write!(f, "{}{unit}", whole / factor),
                None => write!(f, "{whole}"),
            },
            None => {
                // Below one thousandth, the server uses micro and nano units and rounds up.
                for (unit, factor) in [("m", 1000i64), ("u", 1_000_000), ("n", 1_000_000_000)] {
                    if let Some(whole) = amount.mul(factor.into()).ok().and_then(Decimal::as_integer) {
                        return write!(f, "{whole}{unit}");
                    }
                }
                let nano = amount.mul(1_000_000_000.into()).map_or(amount, Decimal::ceil);
                write!(f, "{nano}n")
            }
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

    /// The expected values were generated with the apimachinery of Kubernetes.
    #[test]
    fn quantities_are_canonical() {
        for (text, shown) in [
            ("2.0", "2"),
            ("0.5", "500m"),
            ("1500m", "1500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("4.0Gi", "4Gi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("2000Mi", "2000Mi"),
            ("4.8Gi", "5153960755200m"),
            ("500G", "500G"),
            ("1e3", "1k"),
            ("0", "0"),
            ("1", "1"),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "Gi", "4GiB", "4gi", "1,5", "1.5.0"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        assert_eq!(Quantity::size("10GB").unwrap().to_string(), "10G");
    }

    #[test]
    fn products_are_rounded_to_whole_mebibytes_and_thousandths() {
        let product = |text: &str, factor: &str| {
            let quantity: Quantity = text.parse().unwrap();
            Quantity {
                amount: quantity.amount.mul(factor.parse().unwrap()).unwrap(),
                ..quantity
            }
            .rounded()
            .to_string()
        };
        assert_eq!(product("4Gi", "1.2"), "4915Mi");
        assert_eq!(product("1.5Gi", "1.2"), "1843Mi");
        assert_eq!(product("0.1", "1.5"), "150m");
        assert_eq!(product("2", "1.5"), "3");
        assert_eq!(product("100Ki", "1.5"), "150Ki");
    }
}
