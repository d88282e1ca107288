//! Compares trees with each other and with the literals of a schema.

use terrace_artifact::{Decimal, Text, Tree, Value, View};

use crate::node::{Literal, Node, flags, types};

/// A scalar that can be compared with a schema's literals.
pub(crate) trait ComparableScalar {
    fn is(&self, literal: &Literal<'_>) -> bool;
}

impl ComparableScalar for Value {
    fn is(&self, literal: &Literal<'_>) -> bool {
        is_literal(self, literal)
    }
}

impl ComparableScalar for &str {
    fn is(&self, literal: &Literal<'_>) -> bool {
        matches!(literal, Literal::String(other) if other == self)
    }
}

impl ComparableScalar for Decimal {
    fn is(&self, literal: &Literal<'_>) -> bool {
        matches!(literal, Literal::Number(other) if other == self)
    }
}

impl Literal<'_> {
    /// Converts to a value.
    pub fn value(&self) -> Value {
        match self {
            Literal::Bool(bool) => Value::Bool(*bool),
            Literal::Number(number) => Value::Number(*number),
            Literal::String(text) => Value::String((*text).into()),
        }
    }
}

pub(crate) fn is_literal<T: Tree>(value: &T, literal: &Literal<'_>) -> bool {
    match (value.view(), literal) {
        (View::Bool(a), Literal::Bool(b)) => a == *b,
        (View::Number(a), Literal::Number(b)) => a == *b,
        (View::String(a), Literal::String(b)) => a == *b,
        _ => false,
    }
}

/// Returns whether two trees are equal. A value that is not known yet is equal to nothing.
pub(crate) fn same<T: Tree>(a: &T, b: &T) -> bool {
    match (a.view(), b.view()) {
        (View::Null, View::Null) => true,
        (View::Bool(a), View::Bool(b)) => a == b,
        (View::Number(a), View::Number(b)) => a == b,
        (View::String(a), View::String(b)) => a == b,
        (View::List(a), View::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (View::Map(a), View::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.iter().find(|(k, _)| k == key).is_some_and(|(_, b)| same(a, b)))
        }
        _ => false,
    }
}

/// Returns the value of a key, if the tree is a map with that key.
pub(crate) fn entry<'t, T: Tree>(value: &'t T, key: &str) -> Option<&'t T> {
    match value.view() {
        View::Map(entries) => find(entries, key),
        _ => None,
    }
}

/// Returns the value of a key among entries.
pub(crate) fn find<'t, T>(entries: &'t [(Text, T)], key: &str) -> Option<&'t T> {
    entries.iter().find(|(k, _)| k == key).map(|(_, value)| value)
}

/// Returns whether a part of the tree is known only after apply.
pub(crate) fn is_open<T: Tree>(value: &T) -> bool {
    match value.view() {
        View::Unknown => true,
        View::List(items) => items.iter().any(is_open),
        View::Map([(key, _)]) if key == "Ref" || key.starts_with("Fn::") => true,
        View::Map(entries) => entries.iter().any(|(_, value)| is_open(value)),
        _ => false,
    }
}

/// Returns the bit of a value's type.
pub(crate) fn type_of<T: Tree>(value: &T) -> u8 {
    match value.view() {
        View::Null => types::NULL,
        View::Bool(_) => types::BOOL,
        View::Number(number) if number.is_integer() => types::INTEGER | types::NUMBER,
        View::Number(_) => types::NUMBER,
        View::String(_) => types::STRING,
        View::List(_) => types::LIST,
        View::Map(_) => types::MAP,
        View::Unknown => u8::MAX,
    }
}

/// Describes the types that a node accepts.
pub(crate) fn expected(node: &Node<'_>) -> Text {
    if node.is(flags::QUANTITY) {
        return "a quantity".into();
    }
    const WORDS: [(u8, &str); 6] = [
        (types::STRING, "a string"),
        (types::INTEGER, "an integer"),
        (types::NUMBER, "a number"),
        (types::BOOL, "a boolean"),
        (types::LIST, "a list"),
        (types::MAP, "a map"),
    ];
    let words: Vec<&str> = WORDS
        .iter()
        .filter(|(bit, _)| node.types & bit != 0)
        .map(|(_, word)| *word)
        .collect();
    words.join(" or ").into()
}

/// Iterates over the names of a node's fields in the schema's order, without read-only fields.
pub(crate) fn names<'n>(node: &'n Node<'static>) -> impl Iterator<Item = &'static str> + 'n {
    node.in_order()
        .into_iter()
        .filter(|field| !field.read_only)
        .map(|field| field.name)
}

/// Returns the required keys of a branch that has no other rules.
pub(crate) fn required_only(nodes: &[Node<'static>], branch: &Node<'static>) -> Option<Vec<Text>> {
    let plain = branch.is(flags::OPEN)
        && branch.limits.is_none()
        && branch.rules.is_none()
        && branch.required > 0
        && branch.fields.iter().all(|field| {
            field.required && {
                let node = &nodes[field.node as usize];
                node.is(flags::ANY) || node.types == 0 && node.fields.is_empty()
            }
        });
    plain.then(|| branch.in_order().iter().map(|field| field.name.into()).collect())
}

pub(crate) fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - data.len() <= 2
        && data
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// Returns whether a string is a time by RFC 3339. Checks the form and the range of each part, but not the days of the month.
pub(crate) fn is_time(text: &str) -> bool {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<u32>().ok())?
    };
    let byte = |at: usize| text.as_bytes().get(at).copied().unwrap_or_default();
    let marks =
        byte(4) == b'-' && byte(7) == b'-' && byte(10) == b'T' && byte(13) == b':' && byte(16) == b':';
    let parts = [
        number(5, 7),
        number(8, 10),
        number(11, 13),
        number(14, 16),
        number(17, 19),
    ];
    let [
        Some(1..=12),
        Some(1..=31),
        Some(0..=23),
        Some(0..=59),
        Some(0..=60),
    ] = parts
    else {
        return false;
    };
    let rest = text.get(19..).unwrap_or_default();
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|first: char| first.is_ascii_digit()) => {
            fraction.trim_start_matches(|char: char| char.is_ascii_digit())
        }
        Some(_) => return false,
        None => rest,
    };
    let offset = |zone: &str| {
        let (hours, minutes) = zone.split_once(':').unwrap_or_default();
        [hours, minutes]
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    marks && number(0, 4).is_some() && (zone == "Z" || zone.strip_prefix(['+', '-']).is_some_and(offset))
}

#[cfg(test)]
mod tests {
    use super::{is_base64, is_time};

    #[test]
    fn accepts_only_rfc_3339_times() {
        for text in [
            "2026-11-21T03:04:05Z",
            "2026-11-21T03:04:05.123456Z",
            "2026-11-21T03:04:05+02:00",
        ] {
            assert!(is_time(text), "{text}");
        }
        for text in [
            "",
            "2026-11-21",
            "2026-11-21 03:04:05Z",
            "2026-13-21T03:04:05Z",
            "2026-11-21T03:04:05",
            "2026-11-21T03:04:05.Z",
            "2026-11-21T03:04:05+2",
        ] {
            assert!(!is_time(text), "{text}");
        }
    }

    #[test]
    fn accepts_only_padded_base64() {
        for text in ["", "YQ==", "YWI=", "YWJj"] {
            assert!(is_base64(text), "{text}");
        }
        for text in ["YQ", "Y===", "Y Q=", "Y=Q="] {
            assert!(!is_base64(text), "{text}");
        }
    }
}
