//! Parses and formats Kubernetes quantities: `500m`, `2Gi`, `1e3`.

use terrace_artifact::Decimal;

/// Returns whether the text is a quantity.
pub fn is_quantity(text: &str) -> bool {
    split(text).is_some()
}

/// Converts a quantity to the canonical form of the API server: `1024Mi` becomes `1Gi`, `0.5` becomes `500m`.
///
/// A server keeps some non-canonical texts unchanged (`5.`, `1E6`). It never changes the canonical form, except as
/// [`canonical_resource`] describes. Returns `None` if the text is not a quantity or does not fit into 128 bits.
pub fn canonical(text: &str) -> Option<String> {
    let (mantissa, scale, format) = parse(text)?;
    Some(written(round_up(mantissa, scale, 9)?, format))
}

/// Converts like [`canonical`], for limits, requests, quotas and capacities of core objects (`v1`'s `ResourceList`). There a
/// server rounds up to a multiple of a thousandth.
pub fn canonical_resource(text: &str) -> Option<String> {
    let (mantissa, scale, format) = parse(text)?;
    let milli = round_up(mantissa, scale, 3)?;
    Some(written(milli.checked_mul(1_000_000)?, format))
}

fn written(nano: i128, format: Format) -> String {
    let whole = (nano % NANO == 0).then_some(nano / NANO);
    match (format, whole) {
        // A value below 1 Ki, or with a fraction of a byte, gets a decimal suffix.
        (Format::Binary, Some(whole)) if whole.unsigned_abs() >= 1024 => binary(whole),
        (Format::Exponent, _) => decimal(nano, |power| {
            if power == 0 {
                String::new()
            } else {
                format!("e{power}")
            }
        }),
        _ => decimal(nano, |power| NAMES[((power + 9) / 3) as usize].to_owned()),
    }
}

/// Returns the value of a quantity (`1Ki` is 1024), or `None` if the text is not a quantity or does not fit a [`Decimal`].
pub fn amount(text: &str) -> Option<Decimal> {
    let (mantissa, scale, _) = parse(text)?;
    if scale < 0 {
        let factor = 10i128.checked_pow(scale.unsigned_abs())?;
        return Decimal::new(mantissa.checked_mul(factor)?, 0).ok();
    }
    Decimal::new(mantissa, u8::try_from(scale).ok()?).ok()
}

const NANO: i128 = 1_000_000_000;
const NAMES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The family of a suffix, which the canonical form preserves.
#[derive(Clone, Copy)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

enum Suffix {
    Binary(u32),
    Decimal(i32),
    Exponent(i32),
}

/// Parses a quantity into an integer, its number of decimal places and its format.
fn parse(text: &str) -> Option<(i128, i32, Format)> {
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
        Suffix::Binary(power) => (
            mantissa.checked_mul(1024i128.checked_pow(power)?)?,
            scale,
            Format::Binary,
        ),
        Suffix::Decimal(power) => (mantissa, scale - power, Format::Decimal),
        Suffix::Exponent(power) => (mantissa, scale.checked_sub(power)?, Format::Exponent),
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
            Suffix::Exponent(exponent.parse().ok()?)
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
fn decimal(nano: i128, suffix: impl Fn(i32) -> String) -> String {
    if nano == 0 {
        return "0".to_owned();
    }
    let (mut number, mut power) = (nano, -9);
    while number % 1000 == 0 && power < 18 {
        number /= 1000;
        power += 3;
    }
    format!("{number}{}", suffix(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_matches_the_api_server() {
        for (text, expected) in [
            ("2.0", "2"),
            ("4.0Gi", "4Gi"),
            ("4.8Gi", "5153960755200m"),
            ("0.7Gi", "751619276800m"),
            ("0.15000000000000002", "150000001n"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1000Mi", "1000Mi"),
            ("512", "512"),
            ("1024", "1024"),
            ("100000", "100k"),
            ("1e3", "1e3"),
            ("12e5", "1200e3"),
            ("0", "0"),
            ("0Gi", "0"),
            (".5", "500m"),
            ("5.", "5"),
            ("-1500m", "-1500m"),
            ("0.5Ki", "512"),
            ("30.54Gi", "32792075304960m"),
            ("25.8228Ti", "28392468861734092800u"),
            ("1Ei", "1Ei"),
            ("1e-10", "1e-9"),
            ("1.25e1", "12500e-3"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for (text, expected) in [
            ("0.0005", "1m"),
            ("20.75m", "21m"),
            ("0.5", "500m"),
            ("4.603667Gi", "4943149801669m"),
        ] {
            assert_eq!(canonical_resource(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "", "m", "1 Gi", "1gi", "1GB", "1.2.3", "0x10", "--1", "1e", "1Kim", "one",
        ] {
            assert!(!is_quantity(text), "{text}");
        }
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
            let amount = amount(text).map(|number| number.to_string());
            assert_eq!(amount.as_deref(), expected, "{text}");
        }
        // Different notations of the same quantity have the same amount.
        assert_eq!(amount("1Gi"), amount("1024Mi"));
        assert_eq!(amount("0.1"), amount("100m"));
    }
}
