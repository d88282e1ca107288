use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An exact decimal number: `mantissa` × 10^-`scale`, in lowest terms (no trailing zeros after the decimal point).
///
/// Every number in a source file is a `Decimal`, so that `0.1 * 1.5` is exactly `0.15`. Integers have scale 0. The
/// mantissa is an `i64` and the scale is at most 18. A number that does not fit is an error; it is never rounded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decimal {
    mantissa: i64,
    scale: u8,
}

/// The error of a conversion or an operation that has no [`Decimal`] as its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecimalError {
    /// The text is not a number.
    Syntax,
    /// The number does not fit: it has too many digits.
    Range,
    /// The divisor is zero.
    ZeroDivision,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecimalError::Syntax => "not a number",
            DecimalError::Range => "a number of more than 18 digits",
            DecimalError::ZeroDivision => "a division by zero",
        })
    }
}

impl std::error::Error for DecimalError {}

#[expect(
    clippy::should_implement_trait,
    reason = "operators cannot return an error, and a result that does not fit must not round or wrap"
)]
impl Decimal {
    /// The number zero.
    pub const ZERO: Decimal = Decimal {
        mantissa: 0,
        scale: 0,
    };

    /// Creates `mantissa` × 10^-`scale` in lowest terms. Fails if the number does not fit.
    pub fn new(mantissa: i128, scale: u8) -> Result<Decimal, DecimalError> {
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        let mantissa = i64::try_from(mantissa).map_err(|_| DecimalError::Range)?;
        if scale > 18 {
            return Err(DecimalError::Range);
        }
        Ok(Decimal { mantissa, scale })
    }

    /// Returns the mantissa and the scale.
    pub(crate) fn parts(self) -> (i64, u8) {
        (self.mantissa, self.scale)
    }

    /// Returns the number as an integer, if it is one.
    pub fn as_integer(self) -> Option<i64> {
        (self.scale == 0).then_some(self.mantissa)
    }

    /// Returns whether the number is an integer.
    pub fn is_integer(self) -> bool {
        self.scale == 0
    }

    /// Returns whether the number is less than zero.
    pub fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Converts to an approximate `f64`, for interfaces that have no exact numbers.
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 / 10f64.powi(i32::from(self.scale))
    }

    fn aligned(self, other: Decimal) -> (i128, i128, u8) {
        let scale = self.scale.max(other.scale);
        let raise = |d: Decimal| i128::from(d.mantissa) * 10i128.pow(u32::from(scale - d.scale));
        (raise(self), raise(other), scale)
    }

    /// Adds two numbers. Fails if the sum does not fit.
    pub fn add(self, other: Decimal) -> Result<Decimal, DecimalError> {
        let (a, b, scale) = self.aligned(other);
        Decimal::new(a + b, scale)
    }

    /// Subtracts `other`. Fails if the difference does not fit.
    pub fn sub(self, other: Decimal) -> Result<Decimal, DecimalError> {
        let (a, b, scale) = self.aligned(other);
        Decimal::new(a - b, scale)
    }

    /// Multiplies two numbers. Fails if the product does not fit.
    pub fn mul(self, other: Decimal) -> Result<Decimal, DecimalError> {
        Decimal::new(
            i128::from(self.mantissa) * i128::from(other.mantissa),
            self.scale + other.scale,
        )
    }

    /// Divides by `other`. Fails for a zero divisor, and for a quotient without an exact decimal form, such as 1 / 3.
    pub fn div(self, other: Decimal) -> Result<Decimal, DecimalError> {
        if other.mantissa == 0 {
            return Err(DecimalError::ZeroDivision);
        }
        let (mut a, b, _) = self.aligned(other);
        let mut scale = 0u8;
        while a % b != 0 {
            if scale == 18 {
                return Err(DecimalError::Range);
            }
            a = a.checked_mul(10).ok_or(DecimalError::Range)?;
            scale += 1;
        }
        Decimal::new(a / b, scale)
    }

    /// Divides by `other` and rounds to an integer, towards negative infinity.
    pub fn div_floor(self, other: Decimal) -> Result<Decimal, DecimalError> {
        if other.mantissa == 0 {
            return Err(DecimalError::ZeroDivision);
        }
        let (a, b, _) = self.aligned(other);
        let quotient = a / b;
        let floor = if a % b != 0 && ((a < 0) != (b < 0)) {
            quotient - 1
        } else {
            quotient
        };
        Decimal::new(floor, 0)
    }

    /// Computes the remainder of [`Decimal::div_floor`].
    pub fn rem_floor(self, other: Decimal) -> Result<Decimal, DecimalError> {
        self.sub(self.div_floor(other)?.mul(other)?)
    }

    /// Returns the greatest integer that is not greater than this number.
    pub fn floor(self) -> Decimal {
        let power = 10i64.checked_pow(u32::from(self.scale)).unwrap_or(i64::MAX);
        Decimal {
            mantissa: self.mantissa.div_euclid(power),
            scale: 0,
        }
    }

    /// Returns the least integer that is not less than this number.
    pub fn ceil(self) -> Decimal {
        let floor = self.floor();
        if floor == self {
            floor
        } else {
            Decimal {
                mantissa: floor.mantissa + 1,
                scale: 0,
            }
        }
    }
}

impl From<i64> for Decimal {
    fn from(integer: i64) -> Decimal {
        Decimal {
            mantissa: integer,
            scale: 0,
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Parses `12`, `-0.5` or `1.5e3`: JSON's grammar, plus a leading `+` and leading zeros.
    fn from_str(text: &str) -> Result<Decimal, DecimalError> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => (
                &text[..at],
                text[at + 1..].parse::<i32>().map_err(|_| DecimalError::Syntax)?,
            ),
            None => (text, 0),
        };
        let (negative, digits) = match number.as_bytes().first() {
            Some(b'-') => (true, &number[1..]),
            Some(b'+') => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty()
            || !all_digits(whole)
            || !all_digits(fraction)
            || (digits.contains('.') && fraction.is_empty())
        {
            return Err(DecimalError::Syntax);
        }
        let mut mantissa = 0i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa.checked_mul(10).ok_or(DecimalError::Range)? + i128::from(digit - b'0');
            if mantissa > 10i128.pow(30) {
                return Err(DecimalError::Range);
            }
        }
        let scale = i32::try_from(fraction.len()).map_err(|_| DecimalError::Range)? - exponent;
        let mantissa = if negative { -mantissa } else { mantissa };
        if mantissa == 0 {
            return Ok(Decimal::ZERO);
        }
        if scale < 0 {
            let power = u32::try_from(-scale)
                .ok()
                .filter(|p| *p <= 18)
                .ok_or(DecimalError::Range)?;
            return Decimal::new(
                mantissa
                    .checked_mul(10i128.pow(power))
                    .ok_or(DecimalError::Range)?,
                0,
            );
        }
        let mut mantissa = mantissa;
        let mut scale = scale;
        while scale > 18 {
            if mantissa % 10 != 0 {
                return Err(DecimalError::Range);
            }
            mantissa /= 10;
            scale -= 1;
        }
        Decimal::new(mantissa, u8::try_from(scale).map_err(|_| DecimalError::Range)?)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let (a, b, _) = self.aligned(*other);
        a.cmp(&b)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        let power = 10u64.pow(u32::from(self.scale));
        write!(
            f,
            "{sign}{}.{:0width$}",
            digits / power,
            digits % power,
            width = usize::from(self.scale)
        )
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_integer() {
            Some(integer) => serializer.serialize_i64(integer),
            None => serializer.serialize_f64(self.to_f64()),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        Decimal::from_str(&number.to_string()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(decimal("0.1").mul(decimal("1.5")).unwrap().to_string(), "0.15");
        assert_eq!(decimal("1.5").mul(decimal("1.2")).unwrap().to_string(), "1.8");
        assert_eq!(decimal("4.0").mul(decimal("1.2")).unwrap().to_string(), "4.8");
        assert_eq!(decimal("1").div(decimal("8")).unwrap().to_string(), "0.125");
        assert_eq!(decimal("1").div(decimal("3")), Err(DecimalError::Range));
        assert_eq!(decimal("-7").div_floor(decimal("2")).unwrap().to_string(), "-4");
    }

    #[test]
    fn displays_numbers_in_lowest_terms() {
        for (text, shown) in [
            ("2.0", "2"),
            ("-0.50", "-0.5"),
            ("1.5e3", "1500"),
            ("0", "0"),
            ("-0.0", "0"),
            ("1e-3", "0.001"),
        ] {
            assert_eq!(decimal(text).to_string(), shown);
        }
        for text in ["", "-", "1.", ".5", "1e", "0x1", "1_000", "99999999999999999999"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn floor_and_ceil_round_negative_numbers() {
        assert_eq!(decimal("-0.5").floor(), decimal("-1"));
        assert_eq!(decimal("-0.5").ceil(), decimal("0"));
        assert_eq!(decimal("4915.2").floor(), decimal("4915"));
        assert_eq!(decimal("4915.2").ceil(), decimal("4916"));
    }
}
