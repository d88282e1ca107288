//! The schema of a module's input: JSON Schema's words, over types with units.

use terrace_artifact::Text;

use crate::dimension::Dimension;
use crate::document::Spanned;
use crate::node::{Node, NodeKind};
use crate::source::Span;

/// What the values of an input are.
#[derive(Clone, Debug)]
pub struct InputSchema {
    /// The type.
    pub kind: InputType,
    /// What it is when nobody says; [`NodeKind::Null`] for nothing. Absent: it has to be given.
    pub default: Option<Node>,
    /// What it is for.
    pub description: Option<Spanned<Text>>,
    /// The only values, where they are listed.
    pub allowed: Option<Vec<Node>>,
    /// What a quantity is of, where that is said.
    pub of: Option<Of>,
    /// The smallest value, in the type's own form: `24h` for a duration.
    pub minimum: Option<Node>,
    /// The largest.
    pub maximum: Option<Node>,
    /// A regular expression for text.
    pub pattern: Option<Spanned<Text>>,
    /// The fewest characters of a text, or items of a list.
    pub shortest: Option<Spanned<i64>>,
    /// The most characters of a text, or items of a list.
    pub longest: Option<Spanned<i64>>,
    /// Whether no two items of a list may be the same.
    pub unique: bool,
    /// What the items of a list are.
    pub items: Option<Box<InputSchema>>,
    /// The keys of an object.
    pub properties: Vec<(Spanned<Text>, InputSchema)>,
    /// Keys that have to be there.
    pub required: Vec<Spanned<Text>>,
    /// What other keys an object may have.
    pub others: Others,
    /// Its place: the key of the input.
    pub span: Span,
}

/// What the amounts of an input are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// Of this.
    Dimension(Dimension),
    /// Of what the key is that the amount has in a map: the name of a Kubernetes resource.
    Key,
}

impl Of {
    fn decode(word: &str) -> Option<Of> {
        let known = Dimension::ALL
            .into_iter()
            .find(|dimension| dimension.as_str() == word);
        known.map(Of::Dimension).or((word == "key").then_some(Of::Key))
    }
}

/// What other keys an object may have.
#[derive(Clone, Debug)]
pub enum Others {
    /// None.
    Refused,
    /// Any, with any value.
    Any,
    /// Any, with such values.
    Of(Box<InputSchema>),
}

/// The type of an input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InputType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
    /// A length of time: `24h`.
    Duration,
    /// An amount of bytes: `500Gi`.
    Size,
    /// A Kubernetes quantity: `500m`, `2`.
    Quantity,
    /// A part of a hundred: `70%`, `70`.
    Percent,
    /// A reference to a secret, never its value.
    Secret,
    /// Anything.
    Any,
}

impl InputType {
    /// Every type.
    pub const ALL: [InputType; 12] = [
        InputType::String,
        InputType::Integer,
        InputType::Number,
        InputType::Boolean,
        InputType::Array,
        InputType::Object,
        InputType::Duration,
        InputType::Size,
        InputType::Quantity,
        InputType::Percent,
        InputType::Secret,
        InputType::Any,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            InputType::String => "string",
            InputType::Integer => "integer",
            InputType::Number => "number",
            InputType::Boolean => "boolean",
            InputType::Array => "array",
            InputType::Object => "object",
            InputType::Duration => "duration",
            InputType::Size => "size",
            InputType::Quantity => "quantity",
            InputType::Percent => "percent",
            InputType::Secret => "secret",
            InputType::Any => "any",
        }
    }
}

impl InputSchema {
    /// Decodes a valid schema.
    pub fn decode(node: &Node) -> InputSchema {
        let word = node.get("type").and_then(Node::as_str).unwrap_or_default();
        let kind = InputType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .unwrap_or(InputType::Any);
        let number = |key: &str| {
            let node = node.get(key)?;
            Some(Spanned {
                value: node.as_number()?.as_integer()?,
                span: node.span,
            })
        };
        let text = |node: &Node| Spanned {
            value: node.as_str().unwrap_or_default().into(),
            span: node.span,
        };
        let nested = |node: &Node| Box::new(InputSchema::decode(node));
        InputSchema {
            kind,
            default: node.get("default").cloned(),
            description: node.get("description").map(text),
            allowed: node.get("enum").map(|list| list.items().to_vec()),
            of: node.get("of").and_then(Node::as_str).and_then(Of::decode),
            minimum: node.get("minimum").cloned(),
            maximum: node.get("maximum").cloned(),
            pattern: node.get("pattern").map(text),
            shortest: number("minLength").or_else(|| number("minItems")),
            longest: number("maxLength").or_else(|| number("maxItems")),
            unique: node.get("uniqueItems").and_then(Node::as_bool).unwrap_or(false),
            items: node.get("items").map(nested),
            properties: node
                .get("properties")
                .map_or(&[][..], Node::entries)
                .iter()
                .map(|(key, node)| {
                    (
                        Spanned {
                            value: key.clone(),
                            span: node.key,
                        },
                        InputSchema::decode(node),
                    )
                })
                .collect(),
            required: node
                .get("required")
                .map_or(&[][..], Node::items)
                .iter()
                .map(text)
                .collect(),
            others: match node.get("additionalProperties").map(|n| (&n.kind, n)) {
                Some((NodeKind::Bool(true), _)) => Others::Any,
                Some((NodeKind::Map(_), node)) => Others::Of(nested(node)),
                // An object that names no keys at all has any.
                None if kind == InputType::Object && node.get("properties").is_none() => Others::Any,
                _ => Others::Refused,
            },
            span: node.key,
        }
    }
}
