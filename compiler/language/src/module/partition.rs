//! Assigns the resources of a partitioned component to CloudFormation stacks. The assignment depends only on the key of a resource.

use std::num::NonZeroU32;

use terrace_artifact::{Digest, Partition};
use terrace_syntax::code::Code;

use crate::expression::{Failure, Scope};
use crate::module::Partitioning;
use crate::value::term::Term;

impl Partitioning {
    /// Returns the partition of a resource. It is a hash of the key, so that no resource moves when another is added or removed.
    pub fn partition(&self, scope: &Scope<'_>, failures: &mut Vec<Box<Failure>>) -> Partition {
        let value = match scope.evaluate(&self.by) {
            Ok(value) => value,
            Err(failure) => {
                failures.push(failure);
                return None;
            }
        };
        match value.as_ref() {
            Term::String(key) => partition(key, self.into),
            Term::Number(number) => partition(&number.to_string(), self.into),
            other => {
                let label = format!("found {}", other.kind());
                failures.push(
                    Failure::new(
                        Code::ExpressionType,
                        self.by.span,
                        "`by` of `divides` must be a string",
                        label,
                    )
                    .with_help("use `each.key`, or a string that is derived from it"),
                );
                None
            }
        }
    }
}

/// Returns the partition of a key: the first 32 bits of its SHA-256, modulo the number of partitions. This must never change, because
/// a change would move deployed resources.
fn partition(key: &str, into: NonZeroU32) -> Partition {
    let digest = Digest::of_bytes(key.as_bytes());
    let hexadecimal = digest.as_str().rsplit(':').next().unwrap_or_default();
    let first = hexadecimal
        .get(..8)
        .and_then(|text| u32::from_str_radix(text, 16).ok());
    NonZeroU32::new(first.unwrap_or_default() % into + 1)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::partition;

    /// Computed with `printf KEY | sha256sum`. Another result would move deployed resources.
    #[test]
    fn partitions_never_change() {
        for (key, into, want) in [
            ("orders", 8, 4),
            ("customers", 8, 4),
            ("a", 3, 3),
            ("", 2, 1),
            ("é", 200, 79),
        ] {
            let into = NonZeroU32::new(into).unwrap();
            assert_eq!(partition(key, into), NonZeroU32::new(want), "{key}");
        }
    }
}
