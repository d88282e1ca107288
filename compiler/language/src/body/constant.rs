//! Trees without expressions.

use terrace_syntax::node::{Node, NodeKind};

use super::keys::is_control;
use crate::value::term::Term;

/// A tree without expressions. Expanded bodies share its maps.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) node: Node,
    pub(super) term: Term,
    /// The same tree without null values, for resources.
    pub(super) without_nulls: Term,
    /// The number of values.
    pub(super) count: usize,
}

impl Constant {
    pub(super) fn new(node: &Node) -> Constant {
        let term = Term::from_value(node.to_value());
        Constant {
            node: node.clone(),
            without_nulls: without_nulls(term.clone()).into_shared(),
            term: term.into_shared(),
            count: node.count(usize::MAX),
        }
    }
}

/// Returns whether a tree has no expressions and no keys of the language.
pub(super) fn is_static(node: &Node) -> bool {
    match &node.kind {
        NodeKind::String(text) => !text.contains("{{"),
        NodeKind::List(items) => items.iter().all(is_static),
        NodeKind::Map(entries) => entries
            .iter()
            .all(|(key, node)| !key.contains("{{") && !is_control(key) && is_static(node)),
        _ => true,
    }
}

/// Returns a tree without null values.
pub(super) fn without_nulls(term: Term) -> Term {
    match term {
        Term::Map(entries) if entries.iter().any(|(_, term)| holds_null(term)) => Term::Map(
            entries
                .into_iter()
                .filter(|(_, term)| !matches!(term, Term::Null | Term::Omit))
                .map(|(key, term)| (key, without_nulls(term)))
                .collect(),
        ),
        Term::List(items) if items.iter().any(holds_null) => Term::List(
            items
                .into_iter()
                .filter(|t| !matches!(t, Term::Null | Term::Omit))
                .map(without_nulls)
                .collect(),
        ),
        term => term,
    }
}

fn holds_null(term: &Term) -> bool {
    match term {
        Term::Null | Term::Omit => true,
        Term::List(items) => items.iter().any(holds_null),
        Term::Map(entries) => entries.iter().any(|(_, term)| holds_null(term)),
        _ => false,
    }
}
