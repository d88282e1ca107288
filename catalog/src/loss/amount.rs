//! Parses and compares numbers with units, in the notations of different properties.

use terrace_artifact::{Decimal, Quantity, Value};

/// The notation of an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Form {
    /// A number, or a string that contains one.
    #[default]
    Number,
    /// A map with a number and its unit: `{Unit: Days, Value: 30}`, `{Days: 30}`.
    Object,
    /// A string such as `30d` or `1h30m`.
    Duration,
    /// A string such as `10Gi`.
    Quantity,
}

/// An amount: a time in hours, or a number without a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Amount {
    Plain(Decimal),
    Hours(Decimal),
    Unlimited,
}

impl Amount {
    pub(super) fn read(value: &Value, form: Form) -> Option<Amount> {
        match (form, value) {
            (Form::Number, value) => number(value).map(Amount::Plain),
            (Form::Object, Value::Map(map)) => {
                let mut unit = None;
                let mut count = None;
                for (key, value) in map {
                    match (value, number(value)) {
                        (_, Some(value)) if count.is_none() => {
                            count = Some(value);
                            if let Some(named) = hours_of(key) {
                                unit = Some(Unit::Hours(named));
                            }
                        }
                        (Value::String(text), _) => unit = unit.or_else(|| Unit::read(text)),
                        _ => {}
                    }
                }
                match (unit, count) {
                    (Some(Unit::Unlimited), _) => Some(Amount::Unlimited),
                    (Some(Unit::Nothing), _) => Some(Amount::Hours(Decimal::ZERO)),
                    (Some(Unit::Hours(unit)), Some(count)) => count.mul(unit).ok().map(Amount::Hours),
                    (None, Some(count)) => Some(Amount::Plain(count)),
                    (_, None) => None,
                }
            }
            (Form::Duration, Value::String(text)) => duration(text).map(Amount::Hours),
            (Form::Quantity, Value::String(text)) => text
                .parse()
                .ok()
                .map(|Quantity { amount, .. }| Amount::Plain(amount)),
            (Form::Quantity, Value::Number(number)) => Some(Amount::Plain(*number)),
            _ => None,
        }
    }

    /// Returns whether this amount is less than another, or `None` if they cannot be compared.
    pub(super) fn is_less(self, other: Amount) -> Option<bool> {
        match (self, other) {
            (Amount::Unlimited, _) => Some(false),
            (_, Amount::Unlimited) => Some(true),
            (Amount::Plain(one), Amount::Plain(other)) | (Amount::Hours(one), Amount::Hours(other)) => {
                Some(one < other)
            }
            // Zero is the same in every unit.
            (Amount::Plain(one), Amount::Hours(other)) | (Amount::Hours(one), Amount::Plain(other))
                if one == Decimal::ZERO || other == Decimal::ZERO =>
            {
                Some(one < other)
            }
            _ => None,
        }
    }
}

/// Reads a number, or a string that contains only a number.
pub(super) fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => Some(*number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

enum Unit {
    Hours(Decimal),
    Unlimited,
    Nothing,
}

impl Unit {
    fn read(text: &str) -> Option<Unit> {
        match text.to_ascii_uppercase().as_str() {
            "INFINITE" => Some(Unit::Unlimited),
            "NONE" | "UNSPECIFIED" => Some(Unit::Nothing),
            _ => hours_of(text).map(Unit::Hours),
        }
    }
}

/// Returns the number of hours in a unit. A month counts as 30 days, a year as 365.
fn hours_of(unit: &str) -> Option<Decimal> {
    let unit = unit.to_ascii_lowercase();
    Some(match unit.strip_suffix('s').unwrap_or(&unit) {
        "second" => return Decimal::from(1).div(Decimal::from(3600)).ok(),
        "minute" => return Decimal::from(1).div(Decimal::from(60)).ok(),
        "hour" => Decimal::from(1),
        "day" => Decimal::from(24),
        "week" => Decimal::from(24 * 7),
        "month" => Decimal::from(24 * 30),
        "year" => Decimal::from(24 * 365),
        _ => return None,
    })
}

/// Parses `30d`, `1h30m` or `2w` into hours. Milliseconds are `ms`; there is no unit for months.
fn duration(text: &str) -> Option<Decimal> {
    let mut rest = text.trim();
    let mut milliseconds: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let factor: i128 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        let count: i128 = count.parse().ok()?;
        milliseconds = milliseconds.checked_add(count.checked_mul(factor)?)?;
        rest = after;
    }
    // Durations are only compared with each other, so a precision of a millionth of an hour is enough.
    Decimal::new(milliseconds.checked_mul(1_000_000)? / 3_600_000, 6).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, form: Form, is_less: Option<bool>) {
        let read = |json: &str| Amount::read(&serde_json::from_str(json).unwrap(), form).unwrap();
        assert_eq!(read(one).is_less(read(other)), is_less, "{one} < {other}");
    }

    #[test]
    fn compares_amounts_in_different_units() {
        check("1", "2", Form::Number, Some(true));
        check("\"24\"", "24", Form::Number, Some(false));
        check("\"1h30m\"", "\"2h\"", Form::Duration, Some(true));
        check("\"30d\"", "\"4w\"", Form::Duration, Some(false));
        check("\"500ms\"", "\"1s\"", Form::Duration, Some(true));
        check("\"10Gi\"", "\"10G\"", Form::Quantity, Some(false));
        let days = r#"{"Unit": "Days", "Value": 30}"#;
        check(r#"{"Unit": "Weeks", "Value": 4}"#, days, Form::Object, Some(true));
        check(
            r#"{"Days": 365, "Mode": "GOVERNANCE"}"#,
            r#"{"Years": 1}"#,
            Form::Object,
            Some(false),
        );
        check(days, r#"{"Type": "INFINITE"}"#, Form::Object, Some(true));
        check(r#"{"Type": "UNSPECIFIED"}"#, days, Form::Object, Some(true));
        check(r#"{"Count": 3}"#, days, Form::Object, None);
        assert_eq!(Amount::read(&"soon".into(), Form::Duration), None);
        assert_eq!(Amount::read(&Value::Bool(true), Form::Number), None);
    }
}
