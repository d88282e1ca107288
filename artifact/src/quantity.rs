//! Kubernetes quantities: `500m`, `2Gi`, `1e3`. Every crate parses, compares and formats them here.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::{Decimal, Value};

/// An exact amount in Kubernetes: bytes, cores or objects. It keeps the family of suffixes that it was written in, as the API server does.
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

impl FromStr for Quantity {
    type Err = ();

    /// Parses a quantity. Fails if the text is not a quantity or does not fit a [`Decimal`].
    fn from_str(text: &str) -> Result<Quantity, ()> {
        let exact = parse(text).ok_or(())?;
        Ok(Quantity {
            amount: exact.amount().ok_or(())?,
            binary: exact.binary,
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
    /// Formats the canonical form that the API server stores: no fraction, and the largest suffix without loss. A fraction of
    /// a billionth is rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScaledInteger { mantissa, scale, .. } = ScaledInteger::of(self.amount);
        let Some(nano) = round_up(mantissa, scale, 9) else {
            return write!(f, "{}", self.amount);
        };
        let whole = (nano % NANO == 0).then_some(nano / NANO);
        f.write_str(&match whole {
            // A value below 1 Ki, or with a fraction of a byte, gets a decimal suffix.
            Some(whole) if self.binary && whole.unsigned_abs() >= 1024 => binary(whole),
            _ => decimal(nano),
        })
    }
}

/// Returns whether the text is a quantity.
pub fn is_quantity(text: &str) -> bool {
    split(text).is_some()
}

/// Returns whether two values are the same quantity. A value that is not a quantity equals only itself.
pub fn same_quantity(a: &Value, b: &Value) -> bool {
    a == b || compare_quantities(a, b) == Some(Ordering::Equal)
}

/// Compares two quantities. Returns `None` if a value is not a quantity, or the values do not fit into 128 bits.
pub fn compare_quantities(a: &Value, b: &Value) -> Option<Ordering> {
    let (a, b) = (exact(a)?, exact(b)?);
    let scale = a.scale.max(b.scale);
    Some(a.scaled_to(scale)?.cmp(&b.scaled_to(scale)?))
}

fn exact(value: &Value) -> Option<ScaledInteger> {
    match value {
        Value::Number(number) => Some(ScaledInteger::of(*number)),
        Value::String(text) => parse(text),
        _ => None,
    }
}

const NANO: i128 = 1_000_000_000;

/// A parsed quantity: `mantissa` × 10^-`scale`.
struct ScaledInteger {
    mantissa: i128,
    scale: i32,
    binary: bool,
}

impl ScaledInteger {
    fn of(number: Decimal) -> ScaledInteger {
        let (mantissa, scale) = number.parts();
        ScaledInteger {
            mantissa: mantissa.into(),
            scale: scale.into(),
            binary: false,
        }
    }

    fn amount(&self) -> Option<Decimal> {
        if self.scale < 0 {
            return Decimal::new(self.scaled_to(0)?, 0).ok();
        }
        Decimal::new(self.mantissa, u8::try_from(self.scale).ok()?).ok()
    }

    /// Returns the mantissa for another, not smaller scale.
    fn scaled_to(&self, scale: i32) -> Option<i128> {
        let power = u32::try_from(scale.checked_sub(self.scale)?).ok()?;
        self.mantissa.checked_mul(10i128.checked_pow(power)?)
    }
}

enum Suffix {
    Binary(u32),
    Decimal(i32),
}

fn parse(text: &str) -> Option<ScaledInteger> {
    let (number, suffix) = split(text)?;
    let digits = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if number.starts_with('-') {
        mantissa = -mantissa;
    }
    let scale = i32::try_from(fraction.len()).ok()?;
    Some(match suffix {
        Suffix::Binary(power) => ScaledInteger {
            mantissa: mantissa.checked_mul(1024i128.checked_pow(power)?)?,
            scale,
            binary: true,
        },
        Suffix::Decimal(power) => ScaledInteger {
            mantissa,
            scale: scale.checked_sub(power)?,
            binary: false,
        },
    })
}

fn split(text: &str) -> Option<(&str, Suffix)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let number = &unsigned.as_bytes()[..digits];
    if !number.iter().any(u8::is_ascii_digit) || number.iter().filter(|byte| **byte == b'.').count() > 1 {
        return None;
    }
    let (number, suffix) = text.split_at(text.len() - unsigned.len() + digits);
    let suffix = match suffix {
        "" => Suffix::Decimal(0),
        "Ki" => Suffix::Binary(1),
        "Mi" => Suffix::Binary(2),
        "Gi" => Suffix::Binary(3),
        "Ti" => Suffix::Binary(4),
        "Pi" => Suffix::Binary(5),
        "Ei" => Suffix::Binary(6),
        "n" => Suffix::Decimal(-9),
        "u" => Suffix::Decimal(-6),
        "m" => Suffix::Decimal(-3),
        "k" => Suffix::Decimal(3),
        "M" => Suffix::Decimal(6),
        "G" => Suffix::Decimal(9),
        "T" => Suffix::Decimal(12),
        "P" => Suffix::Decimal(15),
        "E" => Suffix::Decimal(18),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            Suffix::Decimal(exponent.parse().ok()?)
        }
    };
    Some((number, suffix))
}

/// Rounds to `places` decimal places, away from zero, so that a request for a resource never becomes zero.
fn round_up(mantissa: i128, scale: i32, places: i32) -> Option<i128> {
    let shift = places - scale;
    if shift >= 0 {
        return mantissa.checked_mul(10i128.checked_pow(shift.unsigned_abs())?);
    }
    // If the divisor does not fit into 128 bits, the result is the smallest unit.
    let Some(divisor) = 10i128.checked_pow(shift.unsigned_abs()) else {
        return Some(mantissa.signum());
    };
    let rest = mantissa % divisor;
    Some(mantissa / divisor + rest.signum())
}

fn binary(whole: i128) -> String {
    const NAMES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut number, mut power) = (whole, 0);
    while number % 1024 == 0 && power < 6 {
        number /= 1024;
        power += 1;
    }
    format!("{number}{}", NAMES[power])
}

/// Formats a value with the largest power of a thousand that leaves an integer.
fn decimal(nano: i128) -> String {
    const NAMES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if nano == 0 {
        return "0".to_owned();
    }
    let (mut number, mut power) = (nano, 0);
    while number % 1000 == 0 && power + 1 < NAMES.len() {
        number /= 1000;
        power += 1;
    }
    format!("{number}{}", NAMES[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        text.parse::<Quantity>().ok().map(|quantity| quantity.to_string())
    }

    #[test]
    fn canonical_form_matches_the_api_server() {
        for (text, expected) in [
            ("2.0", "2"),
            ("4.0Gi", "4Gi"),
            ("4.8Gi", "5153960755200m"),
            ("0.7Gi", "751619276800m"),
            ("0.15000000000000002", "150000001n"),
            ("0.5", "500m"),
            ("1500m", "1500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("2000Mi", "2000Mi"),
            ("512", "512"),
            ("100000", "100k"),
            ("500G", "500G"),
            ("1e3", "1k"),
            ("12e5", "1200k"),
            ("0", "0"),
            ("0Gi", "0"),
            (".5", "500m"),
            ("5.", "5"),
            ("-1500m", "-1500m"),
            ("0.5Ki", "512"),
            ("30.54Gi", "32792075304960m"),
            ("25.8228Ti", "28392468861734092800u"),
            ("1Ei", "1Ei"),
            ("1e-10", "1n"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "", "m", "1 Gi", "1gi", "1GB", "1.2.3", "0x10", "--1", "1e", "1Kim", "one", "4GiB", "1,5",
        ] {
            assert!(!is_quantity(text), "{text}");
        }
        assert_eq!(Quantity::size("10GB").unwrap().to_string(), "10G");
    }

    #[test]
    fn amounts_are_exact() {
        for (text, expected) in [
            ("1Ki", Some("1024")),
            ("500m", Some("0.5")),
            ("1e3", Some("1000")),
            ("-2", Some("-2")),
            ("1.50", Some("1.5")),
            ("30.54Gi", Some("32792075304.96")),
            ("1234567890123456789012", None),
        ] {
            let amount = text
                .parse::<Quantity>()
                .ok()
                .map(|quantity| quantity.amount.to_string());
            assert_eq!(amount.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn compares_spellings_by_value() {
        let same = |a: &str, b: &str| same_quantity(&a.into(), &b.into());
        for (a, b) in [
            ("1000m", "1"),
            ("0.5Gi", "512Mi"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1E", "1000P"),
            (".5", "500m"),
            ("1.", "1"),
            ("+1", "1"),
            ("16Ei", "18446744073709551616"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1", "2"),
            ("1Gi", "1G"),
            ("1m", "1"),
            ("x", "1"),
            ("", "0"),
            ("1Zi", "1"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
        assert!(same_quantity(&1i64.into(), &"1".into()));
        let order = |a: &str, b: &str| compare_quantities(&a.into(), &b.into());
        assert_eq!(order("2Gi", "2G"), Some(Ordering::Greater));
        assert_eq!(order("500m", "1"), Some(Ordering::Less));
        assert_eq!(order("x", "x"), None);
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
