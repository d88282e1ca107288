//! Schemas of module inputs: the keywords of JSON Schema, with types that have units.

use terrace_artifact::Text;
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Span;
use terrace_syntax::source::Spanned;

use crate::value::dimension::Dimension;

/// The schema of an input.
#[derive(Clone, Debug)]
pub struct InputSchema {
    /// The type.
    pub kind: InputType,
    /// The default, or [`NodeKind::Null`] for an optional input without a value. If absent, the input is required.
    pub default: Option<Node>,
    /// The purpose of the input.
    pub description: Option<Spanned<Text>>,
    /// The allowed values, if they are listed.
    pub allowed: Option<Vec<Node>>,
    /// The dimension of a quantity, if the schema states it.
    pub of: Option<Of>,
    /// The minimum, in the form of the type: `24h` for a duration.
    pub minimum: Option<Node>,
    /// The maximum.
    pub maximum: Option<Node>,
    /// The regular expression for a string.
    pub pattern: Option<Spanned<Text>>,
    /// The minimum number of characters of a string, or of items of a list.
    pub shortest: Option<Spanned<i64>>,
    /// The maximum number of characters of a string, or of items of a list.
    pub longest: Option<Spanned<i64>>,
    /// Whether the items of a list must be unique.
    pub unique: bool,
    /// The schema of the items of a list.
    pub items: Option<Box<InputSchema>>,
    /// The schemas of the keys of an object.
    pub properties: Vec<(Spanned<Text>, InputSchema)>,
    /// The required keys.
    pub required: Vec<Spanned<Text>>,
    /// The rule for other keys of an object.
    pub others: Others,
    /// The place of the key of the input.
    pub span: Span,
}

/// The dimension of the amounts of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// A fixed dimension.
    Dimension(Dimension),
    /// The dimension of the key of the amount in a map: the name of a Kubernetes resource.
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

/// The rule for keys of an object that are not in `properties`.
#[derive(Clone, Debug)]
pub enum Others {
    /// Other keys are rejected.
    Refused,
    /// Other keys may have any value.
    Any,
    /// Other keys must have values with this schema.
    Of(Box<InputSchema>),
}

/// The type of an input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InputType {
    /// A string.
    String,
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
    /// A duration: `24h`.
    Duration,
    /// An amount of bytes: `500Gi`.
    Size,
    /// A Kubernetes quantity: `500m`, `2`.
    Quantity,
    /// A percentage: `70%`, `70`.
    Percent,
    /// A reference to a secret, never its value.
    Secret,
    /// Any value.
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

    /// Returns the name of the type.
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
                // An object without `properties` may have any keys.
                None if kind == InputType::Object && node.get("properties").is_none() => Others::Any,
                _ => Others::Refused,
            },
            span: node.key,
        }
    }
}
