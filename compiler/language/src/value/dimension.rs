//! The dimension of an amount: CPU, bytes or a count. An amount of one dimension is not valid for another, and some
//! amounts are never useful.

use terrace_artifact::{Decimal, Quantity};
use terrace_syntax::code::Code;

/// The dimension of an amount.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dimension {
    /// CPU cores: `500m`, `2`.
    Cpu,
    /// Bytes of memory: `512Mi`, `4Gi`.
    Memory,
    /// Bytes of a disk or volume: `20Gi`, `1Ti`.
    Storage,
    /// A count, such as pods or GPUs.
    Count,
}

/// A problem of an amount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidAmount {
    pub code: Code,
    /// The problem, as a predicate that follows the name of the amount: `is only 4 bytes`.
    pub says: String,
    /// The value that the user most likely meant.
    pub meant: Option<String>,
}

/// The minimum of a useful amount. No container starts and no volume is created below it, so a smaller amount lacks a unit.
const LEAST_BYTES: i64 = 1 << 20;

/// The maximum number of cores. No cluster has more, so a larger amount is a number of bytes.
const MOST_CORES: i64 = 1_000_000;

impl Dimension {
    /// Every dimension.
    pub const ALL: [Dimension; 4] = [
        Dimension::Cpu,
        Dimension::Memory,
        Dimension::Storage,
        Dimension::Count,
    ];

    /// Returns the name of the dimension.
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Cpu => "cpu",
            Dimension::Memory => "memory",
            Dimension::Storage => "storage",
            Dimension::Count => "count",
        }
    }

    /// Returns the dimension of a resource by its name in requests, limits and quotas: `cpu`, `limits.memory`,
    /// `nvidia.com/gpu`, `pods`. The keys of an input have `_` instead of `-`.
    pub fn of_resource(name: &str) -> Dimension {
        let plain = name
            .strip_prefix("requests.")
            .or_else(|| name.strip_prefix("limits."))
            .unwrap_or(name);
        match plain {
            "cpu" => Dimension::Cpu,
            "memory" => Dimension::Memory,
            "storage" | "ephemeral-storage" | "ephemeral_storage" => Dimension::Storage,
            _ if plain.starts_with("hugepages-") => Dimension::Memory,
            // The quota of a storage class: `gold.storageclass.storage.k8s.io/requests.storage`.
            _ if plain.ends_with("/requests.storage") => Dimension::Storage,
            _ => Dimension::Count,
        }
    }

    /// Returns example values for messages.
    pub fn examples(self) -> &'static str {
        match self {
            Dimension::Cpu => "`500m` or `2`",
            Dimension::Memory => "`512Mi` or `4Gi`",
            Dimension::Storage => "`20Gi` or `1Ti`",
            Dimension::Count => "`4` or `100`",
        }
    }

    /// Returns the problem of an amount of this dimension. Zero is valid.
    pub fn check(self, quantity: Quantity) -> Option<InvalidAmount> {
        let amount = quantity.amount;
        if amount < Decimal::ZERO {
            return Some(negative());
        }
        let wrong =
            |code: Code, says: String, meant: Option<String>| Some(InvalidAmount { code, says, meant });
        match self {
            Dimension::Cpu if quantity.binary || amount > MOST_CORES.into() => {
                let says = match quantity.binary {
                    true => "is a number of bytes, not of CPU cores".to_owned(),
                    false => format!("is {amount} cores"),
                };
                wrong(Code::WrongUnit, says, mantissa(quantity))
            }
            Dimension::Count if quantity.binary => {
                let says = "is a number of bytes, not a count".to_owned();
                wrong(Code::WrongUnit, says, mantissa(quantity))
            }
            Dimension::Count if !amount.is_integer() => {
                wrong(Code::InvalidValue, "must be an integer".to_owned(), None)
            }
            Dimension::Memory | Dimension::Storage
                if amount > Decimal::ZERO && amount < LEAST_BYTES.into() =>
            {
                let says = match amount.is_integer() {
                    true if amount == 1.into() => "is only 1 byte".to_owned(),
                    true => format!("is only {amount} bytes"),
                    false => "is less than one byte".to_owned(),
                };
                wrong(Code::WrongUnit, says, with_unit(quantity))
            }
            _ => None,
        }
    }
}

/// Returns the problem of a negative amount.
pub(crate) fn negative() -> InvalidAmount {
    InvalidAmount {
        code: Code::InvalidValue,
        says: "must not be negative".to_owned(),
        meant: None,
    }
}

/// Returns the number before the suffix: `2` of `2Gi`.
fn mantissa(quantity: Quantity) -> Option<String> {
    let shown = quantity.to_string();
    let digits = shown.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_few = digits
        .parse::<i64>()
        .is_ok_and(|number| (1..=MOST_CORES).contains(&number));
    is_few.then(|| digits.to_owned())
}

/// Adds the unit that a number most likely lacks: `4` becomes `4Gi`, `512` and `512m` become `512Mi`.
fn with_unit(quantity: Quantity) -> Option<String> {
    const MOST_GIBIBYTES: i64 = 256;
    if quantity.binary {
        return None;
    }
    match quantity.amount.as_integer() {
        Some(number) if number < MOST_GIBIBYTES => Some(format!("{number}Gi")),
        Some(number) if number < 1 << 17 => Some(format!("{number}Mi")),
        Some(_) => None,
        None => {
            let thousandths = quantity.amount.mul(1000.into()).ok()?.as_integer()?;
            Some(format!("{thousandths}Mi"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(dimension: Dimension, text: &str) -> Option<(String, Option<String>)> {
        let found = dimension.check(text.parse().expect("a quantity"))?;
        Some((found.says, found.meant))
    }

    #[test]
    fn amounts_that_make_sense_are_right() {
        for (dimension, amounts) in [
            (Dimension::Cpu, &["0", "1m", "500m", "2", "0.5", "400", "1k"][..]),
            (
                Dimension::Memory,
                &["0", "1Mi", "512Mi", "4Gi", "128M", "4294967296"],
            ),
            (Dimension::Storage, &["20Gi", "1Ti", "500G"]),
            (Dimension::Count, &["0", "4", "1k"]),
        ] {
            for amount in amounts {
                assert_eq!(says(dimension, amount), None, "{amount}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_was_meant() {
        for (dimension, amount, said, meant) in [
            (Dimension::Cpu, "-1", "must not be negative", None),
            (
                Dimension::Cpu,
                "2Gi",
                "is a number of bytes, not of CPU cores",
                Some("2"),
            ),
            (Dimension::Cpu, "2G", "is 2000000000 cores", Some("2")),
            (Dimension::Memory, "4", "is only 4 bytes", Some("4Gi")),
            (Dimension::Memory, "1", "is only 1 byte", Some("1Gi")),
            (Dimension::Memory, "512", "is only 512 bytes", Some("512Mi")),
            (Dimension::Memory, "400m", "is less than one byte", Some("400Mi")),
            (Dimension::Memory, "512Ki", "is only 524288 bytes", None),
            (Dimension::Storage, "20", "is only 20 bytes", Some("20Gi")),
            (
                Dimension::Count,
                "8Gi",
                "is a number of bytes, not a count",
                Some("8"),
            ),
            (Dimension::Count, "500m", "must be an integer", None),
        ] {
            let expected = (said.to_owned(), meant.map(str::to_owned));
            assert_eq!(says(dimension, amount), Some(expected), "{amount}");
        }
    }

    #[test]
    fn the_name_of_a_resource_says_what_it_is_of() {
        for (name, dimension) in [
            ("cpu", Dimension::Cpu),
            ("limits.cpu", Dimension::Cpu),
            ("requests.memory", Dimension::Memory),
            ("hugepages-2Mi", Dimension::Memory),
            ("requests.storage", Dimension::Storage),
            ("ephemeral_storage", Dimension::Storage),
            (
                "gold.storageclass.storage.k8s.io/requests.storage",
                Dimension::Storage,
            ),
            ("requests.nvidia.com/gpu", Dimension::Count),
            ("pods", Dimension::Count),
            ("count/jobs.batch", Dimension::Count),
        ] {
            assert_eq!(Dimension::of_resource(name), dimension, "{name}");
        }
    }
}
