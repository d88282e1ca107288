//! Reads policy documents that a user wrote.

use crate::value::term::Term;

/// Returns the values of a field in a policy that is a single value or a list.
pub fn values(term: Option<&Term>) -> &[Term] {
    match term {
        Some(Term::List(items)) => items,
        Some(other) => std::slice::from_ref(other),
        None => &[],
    }
}

/// Returns the statements of a policy document.
pub fn statements(document: Option<&Term>) -> &[Term] {
    values(document.and_then(|document| document.get("Statement")))
}

/// Returns whether a statement allows its actions. The other effect is to deny them.
pub fn allows(statement: &Term) -> bool {
    statement.get("Effect").and_then(Term::as_str) == Some("Allow")
}

/// Returns whether two patterns of actions have an action in common. A `*` in the middle matches everything from its place on.
pub fn overlap(one: &str, other: &str) -> bool {
    let open = |pattern: &str| {
        let lower = pattern.to_lowercase();
        match lower.split_once('*') {
            Some((start, _)) => (start.to_owned(), true),
            None => (lower, false),
        }
    };
    match (open(one), open(other)) {
        ((one, false), (other, false)) => one == other,
        ((one, true), (other, false)) => other.starts_with(&one),
        ((one, false), (other, true)) => one.starts_with(&other),
        ((one, true), (other, true)) => one.starts_with(&other) || other.starts_with(&one),
    }
}

/// Returns whether a statement allows a service to encrypt, apart from its conditions.
pub fn lets_encrypt(statement: &Term, service: &str) -> bool {
    let principals = match statement.get("Principal") {
        Some(Term::String(all)) => all == "*",
        Some(principal) => values(principal.get("Service"))
            .iter()
            // Some services have a separate name in each region.
            .any(|named| named.as_str().is_none_or(|named| is_service(named, service))),
        None => false,
    };
    let encrypts = |action: &Term| {
        action.as_str().is_none_or(|action| {
            let action = action.to_lowercase();
            action == "*" || action == "kms:*" || action.starts_with("kms:generatedatakey")
        })
    };
    allows(statement) && principals && values(statement.get("Action")).iter().any(encrypts)
}

fn is_service(named: &str, service: &str) -> bool {
    named == service
        || named
            .strip_prefix(service)
            .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_overlap_where_they_have_an_action_in_common() {
        for (one, other, expected) in [
            ("s3:GetObject", "s3:GetObject*", true),
            ("s3:getobject", "s3:GetObject", true),
            ("s3:*", "s3:DeleteObjectVersion", true),
            ("*", "kms:Decrypt", true),
            ("s3:Get*", "s3:GetObject*", true),
            ("s3:GetObject*", "s3:Get*", true),
            ("s3:GetBucketLocation", "s3:GetObject*", false),
            ("s3:DeleteObject", "s3:DeleteObjectVersion", false),
            ("kms:Decrypt", "s3:*", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} and {other}");
        }
    }
}
