//! The size of terms as compact JSON. Targets limit the size of templates and definitions.

use terrace_artifact::Text;

use crate::value::term::Term;

/// Returns the length of a term as compact JSON. `of_text` measures strings.
pub fn size(term: &Term, of_text: fn(&str) -> usize) -> usize {
    match term {
        Term::String(text) => of_text(text),
        Term::List(items) => items.iter().map(|item| size(item, of_text) + 1).sum::<usize>() + 2,
        Term::Map(entries) => {
            let entry = |(key, value): &(Text, Term)| of_text(key) + size(value, of_text) + 2;
            entries.iter().map(entry).sum::<usize>() + 2
        }
        Term::Bool(_) => 5,
        Term::Null | Term::Omit => 4,
        other => other.shown().len(),
    }
}

/// Returns an upper bound of the length of a string as JSON: every character could be a control character.
pub fn at_most(text: &str) -> usize {
    6 * text.len() + 2
}

/// Returns the length of a string as JSON.
pub fn text_size(text: &str) -> usize {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(byte).sum::<usize>() + 2
}

/// Returns whether a term as compact JSON exceeds a number of bytes. Only a term that may exceed it is serialized.
pub fn is_longer(term: &Term, most: usize) -> bool {
    size(term, at_most) > most && terrace_artifact::to_json_compact(&term.clone().into_value()).len() > most
}
