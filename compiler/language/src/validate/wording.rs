//! Diagnostics for keys and values that a schema does not allow.

use terrace_artifact::Value;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, not_in_this_version, one_of, shown};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;

use super::check::SchemaContext;
use super::schema::{Later, Schema};

/// The compliance frameworks, in the order of the schemas.
const FRAMEWORKS: [&str; 5] = ["SOC2", "GDPR", "HIPAA", "PCI_DSS", "SOX"];

/// Reports a key that a map cannot have.
pub(super) fn unknown_key(key: &str, place: SchemaContext<'_>, span: Span) -> Diagnostic {
    let message = format!("unknown key `{}` in {place}", shown(key));
    Diagnostic::new(Code::UnknownKey, message).at(span, "")
}

/// Reports a key or value that is not allowed in its place.
pub(super) fn refused(schema: &Schema, node: &Node, place: SchemaContext<'_>) -> Diagnostic {
    match (&schema.later, &schema.say) {
        (Some(Later::Key), _) => {
            let key = format!("`{}`", place.word());
            let remedy = format!("remove {key}");
            not_in_this_version(&key).at(node.key, "").help(remedy)
        }
        (Some(Later::Named(what)), _) => not_in_this_version(what)
            .at(node.span, "")
            .help("copy the modules into the stack, and list their directory in `modules` of the Platform"),
        (None, Some(say)) => {
            let problem = Diagnostic::new(Code::InvalidValue, say.as_str()).at(node.key, "");
            problem.help(match place {
                SchemaContext::Key(key) => format!("remove `{}`", shown(key)),
                _ => "remove it".to_owned(),
            })
        }
        (None, None) => {
            let message = format!("{} is not a valid value for {place}", quoted(node));
            Diagnostic::new(Code::InvalidValue, message).at(node.span, "")
        }
    }
}

/// Reports a value that is not in the list of allowed values.
pub(super) fn unknown_value(values: &[Value], node: &Node, place: SchemaContext<'_>) -> Diagnostic {
    let words: Vec<String> = values
        .iter()
        .map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        .collect();
    // Tiers and frameworks have their own codes, because users misspell these names first.
    let tiers = crate::document::Tier::ALL.map(crate::document::Tier::as_str);
    let problem = if words.iter().eq(tiers.iter()) {
        Diagnostic::new(Code::UnknownTier, format!("no tier is named {}", quoted(node)))
    } else if words.iter().eq(FRAMEWORKS.iter()) {
        let message = format!("no framework is named {}", quoted(node));
        Diagnostic::new(Code::UnknownFramework, message)
    } else {
        let message = format!("{} is not a valid value for {place}", quoted(node));
        Diagnostic::new(Code::UnknownValue, message)
    }
    .at(node.span, format!("expected {}", one_of(&words)));
    let problem = match (node.as_str(), words.as_slice()) {
        (_, [only]) => problem.replace(node.span, only, format!("write `{only}`")),
        (Some(text), words) => problem.nearest(node.span, text, words.iter().map(String::as_str)),
        (None, _) => problem,
    };
    with_note_on_expressions(problem, node)
}

/// Returns a value as a message shows it.
pub(super) fn quoted(node: &Node) -> String {
    match &node.kind {
        NodeKind::String(text) | NodeKind::Raw(text) => format!("`{}`", shown(text)),
        NodeKind::List(_) => "this list".to_owned(),
        NodeKind::Map(_) => "this map".to_owned(),
        _ => format!("`{}`", node.to_value()),
    }
}

/// Adds a note if the value contains an expression in a place where none is evaluated.
pub(super) fn with_note_on_expressions(problem: Diagnostic, node: &Node) -> Diagnostic {
    if matches!(&node.kind, NodeKind::String(text) if text.contains("{{")) {
        return problem.note("expressions are evaluated only in input values and in resources");
    }
    problem
}
