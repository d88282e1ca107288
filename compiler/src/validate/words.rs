//! Words for values that are not allowed where they stand.

use terrace_artifact::Value;

use super::check::Place;
use super::schema::{Later, Schema};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, listed, shown};
use crate::node::{Node, NodeKind};

/// The frameworks of rules, as the schemas list them.
const FRAMEWORKS: [&str; 5] = ["SOC2", "GDPR", "HIPAA", "PCI_DSS", "SOX"];

/// A key or value that is not allowed where it stands.
pub(super) fn refused(schema: &Schema, node: &Node, place: Place<'_>) -> Diagnostic {
    match (&schema.later, &schema.say) {
        (Some(Later::Key), _) => Diagnostic::new(
            Code::NotInThisVersion,
            format!("`{}` is not in this version", place.word()),
        )
        .at(node.key, "cannot be used yet"),
        (Some(Later::Named(what)), _) => {
            Diagnostic::new(Code::NotInThisVersion, format!("{what} are not in this version"))
                .at(node.span, "cannot be used yet")
        }
        (None, Some(say)) => Diagnostic::new(Code::InvalidValue, say.as_str())
            .at(node.key, "not allowed here")
            .help("take it out"),
        (None, None) => Diagnostic::new(Code::InvalidValue, format!("{place} cannot be this"))
            .at(node.span, "not allowed here"),
    }
}

pub(super) fn unknown_value(values: &[Value], node: &Node, place: Place<'_>) -> Diagnostic {
    let words: Vec<String> = values
        .iter()
        .map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        .collect();
    let allowed = match words.as_slice() {
        [one] => format!("it has to be `{one}`"),
        _ => format!("allowed are {}", listed(&words)),
    };
    // Tiers and frameworks have pages of their own: they are the first names that a user gets wrong.
    let tiers = crate::document::Tier::ALL.map(crate::document::Tier::as_str);
    let problem = if words.iter().eq(tiers.iter()) {
        Diagnostic::new(Code::UnknownTier, format!("no tier is named {}", quoted(node)))
    } else if words.iter().eq(FRAMEWORKS.iter()) {
        let message = format!("no framework is named {}", quoted(node));
        Diagnostic::new(Code::UnknownFramework, message)
    } else {
        let message = format!("{} is not a value of {place}", quoted(node));
        Diagnostic::new(Code::UnknownValue, message)
    }
    .at(node.span, "no such value")
    .note(allowed);
    let problem = match (node.as_str(), words.as_slice()) {
        (_, [one]) => problem.replace(node.span, one, format!("`{one}` is the only value")),
        (Some(text), words) => problem.nearest(node.span, text, words.iter().map(String::as_str)),
        (None, _) => problem,
    };
    with_note_on_expressions(problem, node)
}

/// A value as a message shows it.
pub(super) fn quoted(node: &Node) -> String {
    match &node.kind {
        NodeKind::String(text) | NodeKind::Raw(text) => format!("`{}`", shown(text)),
        NodeKind::List(_) => "this list".to_owned(),
        NodeKind::Map(_) => "this map".to_owned(),
        _ => format!("`{}`", node.to_value()),
    }
}

pub(super) fn with_note_on_expressions(problem: Diagnostic, node: &Node) -> Diagnostic {
    if matches!(&node.kind, NodeKind::String(text) if text.contains("{{")) {
        return problem.note("no expression is computed here, only in values of inputs and in resources");
    }
    problem
}
