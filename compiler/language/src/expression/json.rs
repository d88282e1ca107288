//! Converts values to JSON.

use terrace_artifact::to_json_compact;

use crate::value::term::Term;

/// Returns a value as compact JSON. References in it stay references.
pub(crate) fn json(value: &Term) -> Term {
    match value.is_late() {
        false => to_json_compact(&value.clone().into_value()).into(),
        true => json_with_references(value),
    }
}

/// Returns a value with references as JSON.
fn json_with_references(value: &Term) -> Term {
    fn write(value: &Term, known: &mut String, parts: &mut Vec<Term>) {
        let mut flush = |known: &mut String, part: &Term| {
            if !known.is_empty() {
                parts.push(std::mem::take(known).into());
            }
            parts.push(part.clone());
        };
        match value {
            Term::Reference(_) | Term::Secret(_) | Term::Asset(_) => {
                known.push('"');
                flush(known, value);
                known.push('"');
            }
            Term::Concat(inner) => {
                known.push('"');
                for part in inner.iter() {
                    match part {
                        Term::String(text) => {
                            let json = to_json_compact(&text.clone().into());
                            known.push_str(&json[1..json.len() - 1]);
                        }
                        part => flush(known, part),
                    }
                }
                known.push('"');
            }
            Term::List(items) => {
                known.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        known.push(',');
                    }
                    write(item, known, parts);
                }
                known.push(']');
            }
            Term::Map(entries) => {
                known.push('{');
                for (at, (key, item)) in entries.iter().enumerate() {
                    if at > 0 {
                        known.push(',');
                    }
                    known.push_str(&to_json_compact(&key.clone().into()));
                    known.push(':');
                    write(item, known, parts);
                }
                known.push('}');
            }
            scalar => known.push_str(&to_json_compact(&scalar.clone().into_value())),
        }
    }
    let (mut known, mut parts) = (String::new(), Vec::new());
    write(value, &mut known, &mut parts);
    parts.push(known.into());
    Term::Concat(parts.into())
}
