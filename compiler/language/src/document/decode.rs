//! Decodes the values of fields. A value that is not valid is decoded to a default.

use std::str::FromStr;

use terrace_artifact::Text;
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

pub(super) fn name(node: &Node) -> Spanned<Text> {
    text(node, "name").unwrap_or(here(node, Text::default()))
}

pub(super) fn names(node: &Node, key: &str) -> Option<Vec<Spanned<Text>>> {
    node.get(key)
        .map(|list| list.items().iter().map(scalar).collect())
}

pub(super) fn texts(node: &Node, key: &str) -> Vec<Spanned<Text>> {
    names(node, key).unwrap_or_default()
}

pub(super) fn text(node: &Node, key: &str) -> Option<Spanned<Text>> {
    node.get(key).map(scalar)
}

pub(super) fn scalar(node: &Node) -> Spanned<Text> {
    here(node, node.as_str().unwrap_or_default().into())
}

pub(super) fn integer(node: &Node, key: &str) -> Option<Spanned<i64>> {
    let node = node.get(key)?;
    Some(here(node, node.as_number()?.as_integer()?))
}

pub(super) fn parsed<T: FromStr>(node: &Node, key: &str) -> Option<Spanned<T>> {
    let node = node.get(key)?;
    Some(here(node, node.as_str()?.parse().ok()?))
}

pub(super) fn word<T: Copy>(node: &Node, key: &str, words: &[(&str, T)]) -> Option<Spanned<T>> {
    one_of(node.get(key)?, words)
}

pub(super) fn one_of<T: Copy>(node: &Node, words: &[(&str, T)]) -> Option<Spanned<T>> {
    let text = node.as_str()?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| here(node, *value))
}

pub(super) fn keyed<T>(node: Option<&Node>, value: impl Fn(&Node) -> T) -> Vec<(Spanned<Text>, T)> {
    let entries = node.map_or(&[][..], Node::entries).iter();
    entries
        .map(|(key, node)| {
            (
                Spanned {
                    value: key.clone(),
                    span: node.key,
                },
                value(node),
            )
        })
        .collect()
}

pub(super) fn here<T>(node: &Node, value: T) -> Spanned<T> {
    Spanned {
        value,
        span: node.span,
    }
}
