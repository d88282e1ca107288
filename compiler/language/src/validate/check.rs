//! Checks a node against a schema and reports every problem.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use regex_lite::Regex;
use terrace_artifact::{Decimal, Digest, Value};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, did_you_mean, listed, missing_key, shown};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Files, Span};

use super::schema::{Bounds, Id, Later, Others, Schema, Schemas, Types};
use crate::validate::wording::{quoted, refused, unknown_key, unknown_value, with_note_on_expressions};

/// The maximum number of names that a message lists.
const MOST_LISTED: usize = 16;

/// The help for a value that would be valid as a string.
const QUOTE: &str = "put it in quotes";

/// The role of a node, as a message names it.
#[derive(Clone, Copy)]
pub(super) enum SchemaContext<'a> {
    /// A whole document of this kind.
    Document(&'a str),
    /// The value of a key.
    Key(&'a str),
    /// An item of the list under a key.
    Item(&'a str),
    /// The name of an entry of the map under a key.
    Name(&'a str),
}

impl fmt::Display for SchemaContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaContext::Document(kind) => write!(f, "`{kind}`"),
            SchemaContext::Key(key) => write!(f, "`{}`", shown(key)),
            SchemaContext::Item(key) => write!(f, "an item of `{}`", shown(key)),
            SchemaContext::Name(key) => write!(f, "a key of `{}`", shown(key)),
        }
    }
}

impl<'a> SchemaContext<'a> {
    /// Returns the role of an item of this list.
    fn item(self) -> SchemaContext<'a> {
        match self {
            SchemaContext::Document(key)
            | SchemaContext::Key(key)
            | SchemaContext::Item(key)
            | SchemaContext::Name(key) => SchemaContext::Item(key),
        }
    }

    pub(super) fn word(self) -> &'a str {
        match self {
            SchemaContext::Document(key)
            | SchemaContext::Key(key)
            | SchemaContext::Item(key)
            | SchemaContext::Name(key) => key,
        }
    }
}

/// Checks nodes against the schemas of one file.
pub(super) struct Checker<'a> {
    pub(super) schemas: &'a Schemas,
    pub(super) files: &'a Files,
}

impl Checker<'_> {
    /// Returns every problem of a node.
    pub(super) fn problems(&self, id: Id, node: &Node, place: SchemaContext<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        self.check(id, node, place, &mut found);
        found
    }

    /// Returns whether a node matches a schema, without diagnostics. Used for conditions.
    fn fits(&self, id: Id, node: &Node) -> bool {
        if node.kind == NodeKind::Wrong {
            return true;
        }
        let schema = self.schemas.get(id);
        schema.types.has(type_of(node))
            && schema
                .values
                .as_ref()
                .is_none_or(|values| values.iter().any(|value| is(node, value)))
            && scalar_problem(schema, node).is_none()
            && schema
                .required
                .iter()
                .all(|key| node.get(key).is_some() || !is_map(node))
            && schema
                .properties
                .iter()
                .all(|(key, id)| node.get(key).is_none_or(|node| self.fits(*id, node)))
            && schema.not.is_none_or(|id| !self.fits(id, node))
            && (schema.any.is_empty() || schema.any.iter().any(|id| self.fits(*id, node)))
            && self.others_fit(id, node)
    }

    /// Checks the keywords that conditions rarely use, so that [`Checker::fits`] stays fast.
    fn others_fit(&self, id: Id, node: &Node) -> bool {
        let schema = self.schemas.get(id);
        let plain = matches!(schema.others, Others::Any)
            && schema.items.is_none()
            && schema.all.is_empty()
            && schema.one.is_empty()
            && schema.condition.is_none()
            && schema.names.is_none()
            && schema.entries.least.or(schema.entries.most).is_none()
            && schema.count.least.or(schema.count.most).is_none()
            && !schema.unique;
        plain || self.problems(id, node, SchemaContext::Key("")).is_empty()
    }

    fn check(&self, id: Id, node: &Node, place: SchemaContext<'_>, found: &mut Vec<Diagnostic>) {
        if node.kind == NodeKind::Wrong {
            return;
        }
        let schema = self.schemas.get(id);
        if let Some(not) = schema.not
            && self.fits(not, node)
        {
            found.push(refused(schema, node, place));
            // The items of a key that is not supported yet are still checked.
            if let (Some(Later::Key), NodeKind::List(items)) = (&schema.later, &node.kind) {
                self.check_list(schema, node, items, place, found);
            }
            return;
        }
        if !schema.types.has(type_of(node)) {
            return found.push(self.wrong_type(schema, schema.types, node, place));
        }
        if !schema.any.is_empty() && !self.check_any(schema, node, place, found) {
            return;
        }
        if let Some(values) = &schema.values
            && !values.iter().any(|value| is(node, value))
        {
            return found.push(unknown_value(values, node, place));
        }
        if let Some(why) = scalar_problem(schema, node) {
            found.push(invalid(schema, node, place, &why));
        }
        match &node.kind {
            NodeKind::Map(_) if !self.check_map(schema, node, place, found) => return,
            NodeKind::List(items) => self.check_list(schema, node, items, place, found),
            _ => {}
        }
        for id in &schema.all {
            self.check(*id, node, place, found);
        }
        if let Some((condition, then, otherwise)) = schema.condition {
            let next = if self.fits(condition, node) {
                then
            } else {
                otherwise
            };
            if let Some(id) = next {
                self.check(id, node, place, found);
            }
        }
    }

    /// Returns whether one of the alternatives matches. If none does, reports the problems of the most likely one.
    fn check_any(
        &self,
        schema: &Schema,
        node: &Node,
        place: SchemaContext<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> bool {
        let kind = type_of(node);
        // A string without braces was not meant as an expression, so the message names the other alternatives.
        let plain = node.as_str().is_some_and(|text| !text.contains("{{"));
        let meant = |id: &&Id| !(plain && self.schemas.get(**id).is_expression());
        let possible = schema
            .any
            .iter()
            .filter(meant)
            .filter(|id| self.schemas.get(**id).types.has(kind));
        let mut best: Option<Vec<Diagnostic>> = None;
        for id in possible {
            let problems = self.problems(*id, node, place);
            if problems.is_empty() {
                return true;
            }
            if best.as_ref().is_none_or(|best| problems.len() < best.len()) {
                best = Some(problems);
            }
        }
        found.extend(best.unwrap_or_else(|| {
            let types = schema
                .any
                .iter()
                .filter(meant)
                .map(|id| self.schemas.get(*id).types);
            vec![self.wrong_type(schema, types.fold(Types::NONE, Types::or), node, place)]
        }));
        false
    }

    /// Reports the problems of a map. Returns whether further checks of the map make sense.
    fn check_map(
        &self,
        schema: &Schema,
        node: &Node,
        place: SchemaContext<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> bool {
        let entries = node.entries();
        if let Some(why) = out_of_bounds(schema.entries, entries.len(), "key", "keys") {
            found.push(invalid(schema, node, place, &why));
            return false;
        }
        // A merge key was reported already. The keys that it would add are not missing as well.
        let merged = node.get("<<").is_some();
        // A key that is present but misspelled is not reported as missing.
        let mut meant: Vec<&str> = Vec::new();
        let free = OnceCell::new();
        let free = || -> &Vec<&str> {
            free.get_or_init(|| {
                let later = |id: Id| matches!(self.schemas.get(id).later, Some(Later::Key));
                let open = schema.properties.iter().filter(|(_, id)| !later(*id));
                let names = open.map(|(key, _)| key.as_str());
                names.filter(|name| node.get(name).is_none()).collect()
            })
        };
        for (key, value) in entries {
            let property = schema.properties.iter().find(|(name, _)| name == key);
            if let Some(names) = schema.names {
                let name = Node {
                    kind: NodeKind::String(key.clone()),
                    span: value.key,
                    key: value.key,
                };
                found.extend(self.problems(names, &name, SchemaContext::Name(place.word())));
            }
            match (property, schema.others) {
                (Some((_, id)), _) => self.check(*id, value, SchemaContext::Key(key), found),
                (None, Others::Any) => {}
                (None, Others::Of(id)) if self.is_one_of(id, key) && !is_map(value) => {
                    let message = format!("missing name before `{}`", shown(key));
                    let problem = Diagnostic::new(Code::WrongType, message).at(value.key, "expected a name");
                    found.push(match &schema.say {
                        Some(say) => problem.help(say.as_str()),
                        None => problem,
                    });
                }
                (None, Others::Of(id)) => self.check(id, value, SchemaContext::Key(key), found),
                (None, Others::Refused) if key == "<<" => {}
                (None, Others::Refused) => {
                    let free = free();
                    meant.extend(terrace_catalog::nearest(key, free.iter().copied()));
                    let mut problem =
                        unknown_key(key, place, value.key).nearest(value.key, key, free.iter().copied());
                    if problem.help.is_empty() && (1..=MOST_LISTED).contains(&free.len()) {
                        problem = problem.note(match free.len() {
                            1 => format!("the only other valid key is {}", listed(free)),
                            _ => format!("other valid keys are {}", listed(free)),
                        });
                    }
                    found.push(problem);
                }
            }
        }
        for key in schema
            .required
            .iter()
            .filter(|key| node.get(key).is_none() && !meant.contains(&key.as_str()) && !merged)
        {
            let mut problem = missing_key(key, &place.to_string(), lacking(node, place));
            let strange = entries.iter().find(|(k, _)| {
                !schema.properties.iter().any(|(name, _)| name == k)
                    && terrace_catalog::nearest(k, [key.as_str()].into_iter()).is_some()
            });
            if let (Others::Any, Some((_, value))) = (schema.others, strange) {
                problem = problem.replace(value.key, key.as_str(), did_you_mean(key));
            }
            found.push(problem);
        }
        merged || schema.one.is_empty() || self.check_one(schema, node, place, &meant, found)
    }

    /// Returns whether a key is one of a group of which exactly one must be present.
    fn is_one_of(&self, id: Id, key: &str) -> bool {
        self.schemas.get(id).one.iter().any(|(one, _)| one == key)
    }

    /// Checks that exactly one key of a group is present. Returns false if several are.
    fn check_one(
        &self,
        schema: &Schema,
        node: &Node,
        place: SchemaContext<'_>,
        meant: &[&str],
        found: &mut Vec<Diagnostic>,
    ) -> bool {
        let names = || schema.one.iter().map(|(key, _)| key.as_str());
        let there: Vec<&str> = schema
            .one
            .iter()
            .filter(|(_, id)| self.fits(*id, node))
            .map(|(key, _)| key.as_str())
            .collect();
        let say = schema.say.as_deref().unwrap_or_default();
        match there.as_slice() {
            [_] => {}
            [first, second, ..] => {
                let span = |key| node.get(key).map_or(node.span, |value| value.key);
                found.push(
                    Diagnostic::new(
                        Code::InvalidValue,
                        format!("`{first}` and `{second}` cannot be used together"),
                    )
                    .at(span(second), format!("conflicts with `{first}`"))
                    .also(span(first), format!("`{first}` is set here"))
                    .help(say),
                );
                return false;
            }
            [] if names().any(|name| meant.contains(&name)) => {}
            [] => {
                let strange = node.entries().iter().find_map(|(key, value)| {
                    let known = schema.properties.iter().any(|(name, _)| name == key);
                    let nearest = if known {
                        None
                    } else {
                        terrace_catalog::nearest(key, names())
                    };
                    Some((key, value.key, nearest?))
                });
                found.push(match strange {
                    Some((key, span, name)) => {
                        unknown_key(key, place, span).replace(span, name, did_you_mean(name))
                    }
                    None => Diagnostic::new(Code::MissingField, say)
                        .at(lacking(node, place), "requires one of these keys"),
                });
            }
        }
        true
    }

    fn check_list(
        &self,
        schema: &Schema,
        node: &Node,
        items: &[Node],
        place: SchemaContext<'_>,
        found: &mut Vec<Diagnostic>,
    ) {
        if let Some(why) = out_of_bounds(schema.count, items.len(), "item", "items") {
            found.push(invalid(schema, node, place, &why));
        }
        if let Some(id) = schema.items {
            for item in items {
                self.check(id, item, place.item(), found);
            }
        }
        if schema.unique {
            let mut seen = BTreeMap::new();
            for item in items {
                let first = seen
                    .entry(Digest::of_value(&item.to_value()))
                    .or_insert(item.span);
                if *first != item.span {
                    found.push(
                        Diagnostic::new(
                            Code::InvalidValue,
                            format!("duplicate item {} in {place}", quoted(item)),
                        )
                        .repeats(item.span, *first)
                        .help("remove one of them"),
                    );
                }
            }
        }
    }

    fn wrong_type(
        &self,
        schema: &Schema,
        wanted: Types,
        node: &Node,
        place: SchemaContext<'_>,
    ) -> Diagnostic {
        let number = matches!(node.kind, NodeKind::Number(_));
        let unit = std::iter::once(schema)
            .chain(schema.any.iter().map(|id| self.schemas.get(*id)))
            .find(|schema| schema.unit);
        if let (true, Some(unit)) = (number, unit) {
            return Diagnostic::new(Code::WrongUnit, format!("{place} must have a unit"))
                .at(node.span, "missing unit")
                .help(unit.say.as_deref().unwrap_or_default());
        }
        let is_fraction = type_of(node) == Types::FRACTION && wanted.has(Types::INTEGER);
        let is_empty = node.is_null() && node.span.start == node.span.end;
        let label = if is_fraction {
            "found a number with a fraction"
        } else {
            found(node)
        };
        let mut problem = Diagnostic::new(Code::WrongType, format!("{place} must be {}", wanted.words()))
            .at(if is_empty { node.key } else { node.span }, label);
        let written = self.files.text(node.span);
        if wanted.has(Types::STRING) && matches!(node.kind, NodeKind::Number(_) | NodeKind::Bool(_)) {
            let text = Node {
                kind: NodeKind::String(written.into()),
                ..node.clone()
            };
            problem = match (scalar_problem(schema, &text), &schema.say) {
                (Some(_), Some(say)) => problem.help(say.as_str()),
                (Some(_), None) => problem,
                (None, _) => problem.replace(node.span, format!("\"{written}\""), QUOTE),
            };
        } else if let Some(text) = node.as_str() {
            let types = match text.parse::<Decimal>() {
                Ok(number) if number.is_integer() => Types::INTEGER,
                Ok(_) => Types::FRACTION,
                Err(_) if matches!(text, "true" | "false") => Types::BOOLEAN,
                Err(_) => Types::NONE,
            };
            if types != Types::NONE && wanted.has(types) {
                problem = problem.replace(node.span, text, "remove the quotes");
            } else if wanted.has(Types::BOOLEAN) && matches!(text, "yes" | "on" | "Yes" | "On") {
                let help = format!("write `true`: in YAML 1.2, `{text}` is a string");
                problem = problem.replace(node.span, "true", help);
            } else if wanted.has(Types::BOOLEAN) && matches!(text, "no" | "off" | "No" | "Off" | "NO") {
                let help = format!("write `false`: in YAML 1.2, `{text}` is a string");
                problem = problem.replace(node.span, "false", help);
            } else if wanted.has(Types::ARRAY) && !text.contains("{{") {
                problem = problem.replace(node.span, format!("[{written}]"), "write it as a list");
            }
        }
        with_note_on_expressions(problem, node)
    }
}

/// Returns the label of a value of the wrong type.
pub(super) fn found(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Null | NodeKind::Wrong => "has no value",
        NodeKind::Bool(_) => "found a boolean",
        NodeKind::Number(_) => "found a number",
        NodeKind::String(_) | NodeKind::Raw(_) => "found a string",
        NodeKind::List(_) => "found a list",
        NodeKind::Map(_) => "found a map",
    }
}

/// Reports a value of the right type that breaks a limit or does not have the required form.
fn invalid(schema: &Schema, node: &Node, place: SchemaContext<'_>, why: &InvalidReason) -> Diagnostic {
    let code = if schema.unit && matches!(why, InvalidReason::Form) {
        Code::WrongUnit
    } else {
        Code::InvalidValue
    };
    let is_collection = matches!(node.kind, NodeKind::Map(_) | NodeKind::List(_));
    let message = match place {
        SchemaContext::Name(_) => format!("{} is not valid as {place}", quoted(node)),
        _ if node.as_str() == Some("")
            || node.items().is_empty() && node.entries().is_empty() && is_collection =>
        {
            format!("{place} is empty")
        }
        _ if is_collection => match why {
            InvalidReason::TooFew(_) => format!("{place} has too few entries"),
            _ => format!("{place} has too many entries"),
        },
        _ => format!("{} is not a valid value for {place}", quoted(node)),
    };
    let span = if is_collection {
        lacking(node, place)
    } else {
        node.span
    };
    // The required form also helps with an empty string, and with a map that has too few or too many keys.
    let (label, say) = match why {
        InvalidReason::Form => ("", schema.say.as_deref()),
        InvalidReason::TooFew(label) | InvalidReason::TooMany(label) | InvalidReason::OutOfRange(label) => {
            let is_empty_or_map = node.as_str() == Some("") || is_map(node);
            (label.as_str(), schema.say.as_deref().filter(|_| is_empty_or_map))
        }
    };
    let problem = Diagnostic::new(code, message).at(span, label);
    let problem = match say {
        Some(say) => problem.help(say),
        None => problem,
    };
    with_note_on_expressions(problem, node)
}

/// The reason why a value of the right type is not valid. The text is the label.
enum InvalidReason {
    /// It does not match the pattern.
    Form,
    /// It has too few characters, items or keys.
    TooFew(String),
    /// It has too many characters, items or keys.
    TooMany(String),
    /// It is too small or too large a number.
    OutOfRange(String),
}

/// Returns the problem of a string or a number.
fn scalar_problem(schema: &Schema, node: &Node) -> Option<InvalidReason> {
    match &node.kind {
        NodeKind::String(text) | NodeKind::Raw(text) => {
            if schema.length.least.or(schema.length.most).is_some()
                && let Some(why) =
                    out_of_bounds(schema.length, text.chars().count(), "character", "characters")
            {
                return Some(why);
            }
            let strange = schema.pattern.as_ref().is_some_and(|pattern| !pattern.fits(text));
            (strange || (schema.regex && Regex::new(text).is_err())).then_some(InvalidReason::Form)
        }
        NodeKind::Number(number) => {
            if let Some(least) = schema.minimum.filter(|least| number < least) {
                return Some(InvalidReason::OutOfRange(format!("the minimum is {least}")));
            }
            if let Some(most) = schema.maximum.filter(|most| number > most) {
                return Some(InvalidReason::OutOfRange(format!("the maximum is {most}")));
            }
            schema
                .above
                .filter(|limit| number <= limit)
                .map(|limit| InvalidReason::OutOfRange(format!("must be greater than {limit}")))
        }
        _ => None,
    }
}

fn out_of_bounds(bounds: Bounds, count: usize, one: &str, many: &str) -> Option<InvalidReason> {
    let words = |n: usize| {
        if n == 1 {
            format!("{n} {one}")
        } else {
            format!("{n} {many}")
        }
    };
    if let Some(least) = bounds.least.filter(|least| count < *least) {
        return Some(InvalidReason::TooFew(match count {
            0 => format!("must have at least {}", words(least)),
            _ => format!("has {}, the minimum is {least}", words(count)),
        }));
    }
    let most = bounds.most.filter(|most| count > *most)?;
    let label = format!("has {}, but the maximum is {most}", words(count));
    Some(InvalidReason::TooMany(label))
}

/// Returns the span that marks a map or list as incomplete: its key, never the whole of it.
pub(super) fn lacking(node: &Node, place: SchemaContext<'_>) -> Span {
    let first = node.entries().first();
    match place {
        SchemaContext::Document(_) => {
            let kind = node.get("kind").map(|kind| kind.span);
            kind.or(first.map(|(_, value)| value.key)).unwrap_or(node.span)
        }
        _ if node.key != node.span => node.key,
        _ => first.map_or(node.span, |(_, value)| value.key),
    }
}

fn type_of(node: &Node) -> Types {
    match &node.kind {
        NodeKind::Null | NodeKind::Wrong => Types::NULL,
        NodeKind::Bool(_) => Types::BOOLEAN,
        NodeKind::Number(number) if number.is_integer() => Types::INTEGER,
        NodeKind::Number(_) => Types::FRACTION,
        NodeKind::String(_) | NodeKind::Raw(_) => Types::STRING,
        NodeKind::List(_) => Types::ARRAY,
        NodeKind::Map(_) => Types::OBJECT,
    }
}

fn is_map(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Map(_))
}

/// Returns whether a node equals a value of a schema. No schema lists maps.
fn is(node: &Node, value: &Value) -> bool {
    match (&node.kind, value) {
        (NodeKind::Null, Value::Null) => true,
        (NodeKind::Bool(a), Value::Bool(b)) => a == b,
        (NodeKind::Number(a), Value::Number(b)) => a == b,
        (NodeKind::String(a) | NodeKind::Raw(a), Value::String(b)) => a == b,
        _ => false,
    }
}
