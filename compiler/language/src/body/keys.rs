//! Keys of maps: the keys of the language, and duplicate keys.

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::source::Span;

use super::{Expansion, MapBody};
use crate::expression::json::json;
use crate::expression::{Failure, Scope};
use crate::value::term::Term;

/// Returns whether a key belongs to the language, such as `$for_each`. `$schema` and `$ref` belong to JSON Schema.
pub(super) fn is_control(key: &str) -> bool {
    const FOREIGN: [&str; 6] = ["$schema", "$ref", "$id", "$defs", "$comment", "$anchor"];
    key.starts_with('$')
        && !key.starts_with("$.")
        && !key.starts_with("${")
        && !FOREIGN.contains(&key)
        && key[1..].chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && key.len() > 1
}

/// Adds a key of a merged map. A later value overrides an earlier one.
pub(super) fn put(out: &mut Vec<(Text, Term)>, key: Text, term: Term) {
    match out.iter_mut().find(|(k, _)| *k == key) {
        Some((_, old)) => *old = term,
        None => out.push((key, term)),
    }
}

/// Adds a key that the map itself contains. It may override only the merged entries, whose positions are in `merged`.
pub(super) fn put_own(
    out: &mut Vec<(Text, Term)>,
    merged: &core::ops::Range<usize>,
    key: Text,
    term: Term,
    span: Span,
) -> Result<(), Box<Failure>> {
    match out.iter().position(|(known, _)| *known == key) {
        Some(at) if merged.contains(&at) => out[at].1 = term,
        Some(_) => {
            let message = format!("duplicate key `{}`", shown(&key));
            return Err(Failure::new(
                Code::InvalidRepetition,
                span,
                message,
                "overwrites an earlier value",
            )
            .with_help("make the key unique, for example with `{{ each.key }}`"));
        }
        None => out.push((key, term)),
    }
    Ok(())
}

impl MapBody {
    /// Expands `$json`: the tree as a compact JSON string, for properties that contain a document in a string.
    pub(super) fn json_text(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        if !self.holds(scope, expansion) {
            return Term::Omit;
        }
        match self.json.as_ref().map(|body| body.expand(scope, expansion)) {
            None | Some(Term::Omit | Term::Null) => Term::Omit,
            Some(tree) => json(&tree),
        }
    }

    /// Expands `$value` outside a list: the value of a key, which is omitted if `$when` is false.
    pub(super) fn one_value(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        if let Some(over) = &self.for_each {
            let message = "`$value` with `$for_each` must be inside a list";
            let failure = Failure::new(Code::InvalidRepetition, over.span, message, "");
            expansion
                .failures
                .push(failure.with_help("put it in a list: `[{$for_each: …, $value: …}]`"));
            return Term::Omit;
        }
        match &self.value {
            Some(value) if self.holds(scope, expansion) => value.expand(scope, expansion),
            _ => Term::Omit,
        }
    }

    /// Reports keys next to `$value` and `$json`, which produce a value without keys.
    pub(super) fn check_alone(&self, diagnostics: &mut Diagnostics) {
        let word = match (&self.value, &self.json) {
            (Some(_), _) => "$value",
            (None, Some(_)) => "$json",
            (None, None) => return,
        };
        let merged = self.merge.as_ref().map(|body| body.key);
        for key in self.entries.iter().map(|(_, body)| body.key).chain(merged) {
            diagnostics.push(
                Diagnostic::new(
                    Code::UnknownKey,
                    format!("a map with `{word}` cannot have other keys"),
                )
                .at(key, format!("would be lost, because `{word}` is the whole value")),
            );
        }
    }
}
