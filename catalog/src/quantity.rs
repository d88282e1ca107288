//! Kubernetes quantities: `500m`, `2Gi`, `1e3`.

use terrace_artifact::Decimal;

/// Whether the text is a quantity.
pub fn is_quantity(text: &str) -> bool {
    split(text).is_some()
}

/// The quantity as the server stores it: `1024Mi` becomes `1Gi`, `0.5` becomes `500m`.
///
/// Nothing where the text is not a quantity, or is too large or too fine for 18 digits.
pub fn canonical(text: &str) -> Option<String> {
    let (number, suffix) = split(text)?;
    let number = number.strip_prefix('+').unwrap_or(number);
    let padded = match number.strip_prefix('-') {
        Some(digits) => format!("-{}", pad(digits)),
        None => pad(number),
    };
    let number: Decimal = padded.parse().ok()?;
    match suffix {
        Suffix::Binary(power) => {
            let bytes = number.mul(power_of(1024, power)?).ok()?;
            // A fraction of a byte, or less than 1 Ki: the server goes over to decimal suffixes.
            match bytes.as_integer() {
                Some(whole) if whole.unsigned_abs() >= 1024 => Some(binary(whole)),
                _ => decimal(bytes, Style::Suffix),
            }
        }
        Suffix::Decimal(power) => decimal(scaled(number, power)?, Style::Suffix),
        Suffix::Exponent(power) => decimal(scaled(number, power)?, Style::Exponent),
    }
}

/// The value of a quantity: `1Ki` is 1024. Nothing where it has more than 18 digits.
pub fn amount(text: &str) -> Option<Decimal> {
    let (number, suffix) = split(text)?;
    let negative = number.starts_with('-');
    let number: Decimal = pad(number.trim_start_matches(['+', '-'])).parse().ok()?;
    let number = if negative {
        Decimal::ZERO.sub(number).ok()?
    } else {
        number
    };
    match suffix {
        Suffix::Binary(power) => number.mul(power_of(1024, power)?).ok(),
        Suffix::Decimal(power) | Suffix::Exponent(power) => scaled(number, power),
    }
}

enum Suffix {
    Binary(u32),
    Decimal(i32),
    Exponent(i32),
}

#[derive(PartialEq)]
enum Style {
    Suffix,
    Exponent,
}

fn split(text: &str) -> Option<(&str, Suffix)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let number = &unsigned[..digits];
    if !number.bytes().any(|byte| byte.is_ascii_digit())
        || number.bytes().filter(|byte| *byte == b'.').count() > 1
    {
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

/// `.5` and `5.` are quantities but not numbers of ours.
fn pad(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{whole}.{fraction}")
}

fn power_of(base: i128, power: u32) -> Option<Decimal> {
    Decimal::new(base.checked_pow(power)?, 0).ok()
}

fn scaled(number: Decimal, power: i32) -> Option<Decimal> {
    let factor = power_of(10, power.unsigned_abs())?;
    if power < 0 {
        number.div(factor).ok()
    } else {
        number.mul(factor).ok()
    }
}

fn binary(whole: i64) -> String {
    const NAMES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut number, mut power) = (whole, 0);
    while number != 0 && number % 1024 == 0 && power < 6 {
        number /= 1024;
        power += 1;
    }
    format!("{number}{}", NAMES[power])
}

/// The largest suffix that leaves a whole number; finer than nano is rounded up, as the server does.
fn decimal(number: Decimal, style: Style) -> Option<String> {
    const NAMES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if number == Decimal::ZERO {
        return Some("0".to_owned());
    }
    let nano = number.mul(power_of(10, 9)?);
    let (mut mantissa, mut power) = match nano {
        Ok(nano) => {
            let nano = if nano.is_negative() {
                nano.floor()
            } else {
                nano.ceil()
            };
            (nano.as_integer()?, -9)
        }
        Err(_) => (number.as_integer()?, 0),
    };
    while mantissa % 1000 == 0 && power < 18 {
        mantissa /= 1000;
        power += 3;
    }
    Some(match style {
        Style::Exponent if power != 0 => format!("{mantissa}e{power}"),
        _ => format!("{mantissa}{}", NAMES[((power + 9) / 3) as usize]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_the_servers() {
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
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "", "m", "1 Gi", "1gi", "1GB", "1.2.3", "0x10", "--1", "1e", "1Kim", "one",
        ] {
            assert!(!is_quantity(text), "{text}");
        }
    }
}
