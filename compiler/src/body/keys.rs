//! Keys of maps: which are the language's own, what they make, and what becomes of two that are alike.

use terrace_artifact::Text;

use super::{Expansion, MapBody};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::expression::json::json;
use crate::expression::{Failure, Scope};
use crate::source::Span;
use crate::term::Term;

/// `$for_each` is a key of the language, `$schema` and `$ref` are somebody else's: ours are spelled as words.
pub(super) fn is_control(key: &str) -> bool {
    const FOREIGN: [&str; 6] = ["$schema", "$ref", "$id", "$defs", "$comment", "$anchor"];
    key.starts_with('$')
        && !key.starts_with("$.")
        && !key.starts_with("${")
        && !FOREIGN.contains(&key)
        && key[1..].chars().all(|c| c.is_ascii_lowercase() || c == '_')
        && key.len() > 1
}

/// A key of a merged map: a later one counts.
pub(super) fn put(out: &mut Vec<(Text, Term)>, key: Text, term: Term) {
    match out.iter_mut().find(|(k, _)| *k == key) {
        Some((_, old)) => *old = term,
        None => out.push((key, term)),
    }
}

/// A key that the map itself writes. Only what was merged may be there already: `merged` are the places of that.
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
            let message = format!("the key `{}` is made twice", shown(&key));
            return Err(Failure::new(
                Code::InvalidRepetition,
                span,
                message,
                "one would overwrite the other",
            )
            .with_help("make the key of what differs: `{{ each.key }}`"));
        }
        None => out.push((key, term)),
    }
    Ok(())
}

impl MapBody {
    /// `$json`: the tree as compact text, for the properties of AWS that want a document in a string.
    pub(super) fn json_text(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        if !self.holds(scope, expansion) {
            return Term::Omit;
        }
        match self.json.as_ref().map(|body| body.expand(scope, expansion)) {
            None | Some(Term::Omit | Term::Null) => Term::Omit,
            Some(tree) => json(&tree),
        }
    }

    /// `$value` where no list is: the value of a key, which is there if `$when` is true.
    pub(super) fn one_value(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        if let Some(over) = &self.for_each {
            let message = "`$value` makes the items of a list, and here is none";
            let failure = Failure::new(Code::InvalidRepetition, over.span, message, "repeated here");
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

    /// Reports keys beside `$value` and `$json`, which make something that has no keys.
    pub(super) fn check_alone(&self, diagnostics: &mut Diagnostics) {
        let word = match (&self.value, &self.json) {
            (Some(_), _) => "$value",
            (None, Some(_)) => "$json",
            (None, None) => return,
        };
        let merged = self.merge.as_ref().map(|body| body.key);
        for key in self.entries.iter().map(|(_, body)| body.key).chain(merged) {
            diagnostics.push(
                Diagnostic::new(Code::UnknownKey, format!("nothing stands beside `{word}`"))
                    .at(key, format!("would be lost: `{word}` is the whole value")),
            );
        }
    }
}
