//! Reads the definition of a state machine in any of its forms.

use terrace_artifact::{Text, Value};
use terrace_catalog::At;
use terrace_language::value::json_size::is_longer;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::Finding;

/// A definition and the property that contains it.
pub(super) struct Definition {
    /// `Definition` or `DefinitionString`.
    pub(super) key: &'static str,
    pub(super) term: Term,
    pub(super) findings: Vec<Finding>,
}

/// The reason why a definition cannot be read.
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) what: String,
}

/// The maximum length of a definition, in bytes.
const LONGEST: usize = 1_048_576;

/// Returns the definition in the properties of a state machine, or `None` if it is in a bucket.
pub(super) fn definition(body: &Term) -> Result<Option<Definition>, Problem> {
    let (key, source) = match (body.get("Definition"), body.get("DefinitionString")) {
        (Some(term), _) => ("Definition", term),
        (None, Some(term)) => ("DefinitionString", term),
        (None, None) => return Ok(None),
    };
    let problem = |what: String| Problem { key, what };
    let mut replaced = Vec::new();
    let parsed;
    let mut term = if key == "Definition" && !is_intrinsic(source) {
        source.clone()
    } else {
        let text = text_of(source, &mut replaced).ok_or_else(|| problem("cannot be read".into()))?;
        if text.len() > LONGEST {
            return Err(problem(format!(
                "is too long ({} bytes, the maximum is 1,048,576)",
                text.len()
            )));
        }
        parsed = serde_json::from_str::<Value>(&text)
            .map_err(|error| problem(format!("is not valid JSON: {error}")))?;
        Term::from_value(parsed)
    };
    if !matches!(term, Term::Map(_)) {
        return Err(problem("is not a JSON object".into()));
    }
    let mut findings = Vec::new();
    let substitutions = body.get("DefinitionSubstitutions");
    // `${…}` in `Fn::Sub` belong to CloudFormation and are checked with the template.
    let known = !is_intrinsic(source);
    put_back(
        &mut term,
        &replaced,
        substitutions,
        known,
        &At::ROOT,
        &mut findings,
    );
    // The length of a string was checked already.
    let written = matches!(source, Term::Map(_)) && key == "Definition";
    if written && is_longer(&term, LONGEST) {
        return Err(problem("is too long (the maximum is 1,048,576 bytes)".into()));
    }
    Ok(Some(Definition { key, term, findings }))
}

fn is_intrinsic(term: &Term) -> bool {
    matches!(term, Term::Map(entries) if entries.len() == 1 && entries[0].0.starts_with("Fn::"))
}

/// Returns the text with marks for values that are not known yet. Adds their terms to `replaced`.
fn text_of(term: &Term, replaced: &mut Vec<Term>) -> Option<String> {
    let mut mark = |term: &Term| {
        replaced.push(term.clone());
        format!("\u{1}{}\u{2}", replaced.len() - 1)
    };
    Some(match term {
        Term::String(text) => text.to_string(),
        Term::Concat(parts) => parts
            .iter()
            .map(|part| match part {
                Term::String(text) => text.to_string(),
                other => mark(other),
            })
            .collect::<String>()
            .replace('\u{1}', "\\u0001")
            .replace('\u{2}', "\\u0002"),
        Term::Map(entries) => match &**entries {
            [(key, value)] if key == "Fn::Sub" => match value {
                Term::List(items) => items.first()?.as_str()?.to_owned(),
                value => return text_of(value, replaced),
            },
            [(key, value)] if key == "Fn::Join" => {
                let [separator, items] = value.items() else {
                    return None;
                };
                let separator = separator.as_str()?;
                let texts: Vec<String> = items
                    .items()
                    .iter()
                    .map(|item| match item {
                        Term::String(text) => text.to_string(),
                        other => mark(other)
                            .replace('\u{1}', "\\u0001")
                            .replace('\u{2}', "\\u0002"),
                    })
                    .collect();
                texts.join(separator)
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// Replaces strings that consist of a mark or of `${name}` with their terms.
fn put_back(
    term: &mut Term,
    replaced: &[Term],
    substitutions: Option<&Term>,
    known: bool,
    at: &At<'_>,
    findings: &mut Vec<Finding>,
) {
    match term {
        Term::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                put_back(item, replaced, substitutions, known, &at.index(index), findings);
            }
        }
        Term::Map(entries) => {
            for (key, value) in entries.make_mut() {
                put_back(value, replaced, substitutions, known, &at.key(key), findings);
            }
        }
        Term::String(text) => {
            let marked = |text: &Text| {
                let number = text.strip_prefix('\u{1}')?.strip_suffix('\u{2}')?;
                replaced.get(number.parse::<usize>().ok()?).cloned()
            };
            if let Some(original) = marked(text) {
                *term = original;
                return;
            }
            if !known || !text.contains('$') {
                return;
            }
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once("${") {
                let Some((name, behind)) = after.split_once('}') else {
                    break;
                };
                rest = behind;
                let value = substitutions.and_then(|s| s.get(name));
                if value.is_none() && !name.is_empty() {
                    let names = substitutions.map(Term::entries).unwrap_or_default();
                    findings.push(
                        Finding::new(
                            Code::InvalidState,
                            &at.path(),
                            format!("`${{{name}}}` has no substitution"),
                        )
                        .nearest(name, names.iter().map(|(key, _)| key.as_str()))
                        .help(format!("add `{name}` to `DefinitionSubstitutions`")),
                    );
                }
            }
            let whole = text
                .strip_prefix("${")
                .and_then(|t| t.strip_suffix('}'))
                .and_then(|name| substitutions?.get(name));
            if let Some(value) = whole {
                *term = value.clone();
            }
        }
        _ => {}
    }
}
