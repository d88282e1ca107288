//! Assigns the resources of a partitioned component to CloudFormation stacks. The assignment depends only on the key of a resource.

use terrace_artifact::Digest;
use terrace_syntax::code::Code;

use crate::expression::{Failure, Scope};
use crate::module::Division;
use crate::value::term::Term;

impl Division {
    /// Returns the number of the stack of a resource, from 1. It is a hash of the key, so that no resource moves when another is added or removed.
    pub fn part(&self, scope: &Scope<'_>, failures: &mut Vec<Box<Failure>>) -> u32 {
        let value = match scope.evaluate(&self.by) {
            Ok(value) => value,
            Err(failure) => {
                failures.push(failure);
                return 0;
            }
        };
        match value.as_ref() {
            Term::String(key) => part(key, self.into),
            Term::Number(number) => part(&number.to_string(), self.into),
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
                0
            }
        }
    }
}

/// Returns the partition of a key: the first 32 bits of its SHA-256, modulo the number of partitions. This must never change, because
/// a change would move deployed resources.
fn part(key: &str, into: u32) -> u32 {
    let digest = Digest::of_bytes(key.as_bytes());
    let hexadecimal = digest.as_str().rsplit(':').next().unwrap_or_default();
    let first = hexadecimal
        .get(..8)
        .and_then(|text| u32::from_str_radix(text, 16).ok());
    first.unwrap_or_default() % into.max(1) + 1
}

#[cfg(test)]
mod tests {
    use super::part;

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
            assert_eq!(part(key, into), want, "{key}");
        }
    }
}
