//! Holds a node against a schema, and says everything that is wrong with it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use regex_lite::Regex;
use terrace_artifact::{Decimal, Digest, Value};

use super::schema::{Bounds, Id, Later, Others, Schema, Schemas, Types};
use super::words::{quoted, refused, unknown_value, with_note_on_expressions};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, listed, shown};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};

/// How many names a message may list.
const MOST_LISTED: usize = 16;

/// What a node is to the reader of a message.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// A whole document of this kind.
    Document(&'a str),
    /// The value of a key.
    Key(&'a str),
    /// An item of the list under a key.
    Item(&'a str),
    /// The name of an entry of the map under a key.
    Name(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Document(kind) => write!(f, "`{kind}`"),
            Place::Key(key) => write!(f, "`{}`", shown(key)),
            Place::Item(key) => write!(f, "an item of `{}`", shown(key)),
            Place::Name(key) => write!(f, "a key of `{}`", shown(key)),
        }
    }
}

impl<'a> Place<'a> {
    /// The place of an item of a list that stands here.
    fn item(self) -> Place<'a> {
        match self {
            Place::Document(key) | Place::Key(key) | Place::Item(key) | Place::Name(key) => Place::Item(key),
        }
    }

    pub(super) fn word(self) -> &'a str {
        match self {
            Place::Document(key) | Place::Key(key) | Place::Item(key) | Place::Name(key) => key,
        }
    }
}

/// Where what is wrong goes: told, or only whether there is something.
pub(super) struct Checker<'a> {
    pub(super) schemas: &'a Schemas,
    pub(super) files: &'a Files,
}

impl Checker<'_> {
    /// Everything that is wrong with a node.
    pub(super) fn problems(&self, id: Id, node: &Node, place: Place<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        self.check(id, node, place, &mut found);
        found
    }

    /// Whether a node fits, without a word: for conditions.
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

    /// The rest of [`Checker::fits`]: what conditions never use costs nothing there.
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
        plain || self.problems(id, node, Place::Key("")).is_empty()
    }

    fn check(&self, id: Id, node: &Node, place: Place<'_>, found: &mut Vec<Diagnostic>) {
        if node.kind == NodeKind::Wrong {
            return;
        }
        let schema = self.schemas.get(id);
        if let Some(not) = schema.not
            && self.fits(not, node)
        {
            found.push(refused(schema, node, place));
            // What a key will hold in a later version can be wrong already.
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

    /// Whether one of the alternatives fits; if none does, says what is wrong with the one that was most likely meant.
    fn check_any(&self, schema: &Schema, node: &Node, place: Place<'_>, found: &mut Vec<Diagnostic>) -> bool {
        let kind = type_of(node);
        // A text without braces was not meant as an expression: it is told what else may stand there.
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

    /// Says what is wrong with a map. Whether it is clear what was meant, so that there may be more to say of it.
    fn check_map(&self, schema: &Schema, node: &Node, place: Place<'_>, found: &mut Vec<Diagnostic>) -> bool {
        let entries = node.entries();
        if let Some(why) = out_of_bounds(schema.entries, entries.len(), "key", "keys") {
            found.push(invalid(schema, node, place, &why));
            return false;
        }
        // What a merge key would bring was told not to come.
        let merged = node.get("<<").is_some();
        // What a misspelt key was meant to be is not missing as well.
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
                found.extend(self.problems(names, &name, Place::Name(place.word())));
            }
            match (property, schema.others) {
                (Some((_, id)), _) => self.check(*id, value, Place::Key(key), found),
                (None, Others::Any) => {}
                (None, Others::Of(id)) if self.is_one_of(id, key) && !is_map(value) => {
                    let message = format!("`{}` stands where a name belongs", shown(key));
                    let problem =
                        Diagnostic::new(Code::WrongType, message).at(value.key, "the name of what?");
                    found.push(match &schema.say {
                        Some(say) => problem.help(say.as_str()),
                        None => problem,
                    });
                }
                (None, Others::Of(id)) => self.check(id, value, Place::Key(key), found),
                (None, Others::Refused) if key == "<<" => {}
                (None, Others::Refused) => {
                    let free = free();
                    meant.extend(terrace_catalog::nearest(key, free.iter().copied()));
                    let mut problem = Diagnostic::new(
                        Code::UnknownKey,
                        format!("`{}` is not a key of {place}", shown(key)),
                    )
                    .at(value.key, "no such key")
                    .nearest(value.key, key, free.iter().copied());
                    if problem.help.is_empty() && (1..=MOST_LISTED).contains(&free.len()) {
                        problem = problem.note(match free.len() {
                            1 => format!("the other key of {place} is {}", listed(free)),
                            _ => format!("the other keys of {place} are {}", listed(free)),
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
            let mut problem = Diagnostic::new(Code::MissingField, format!("`{key}` is missing in {place}"))
                .at(lacking(node, place), format!("needs `{key}`"));
            let strange = entries.iter().find(|(k, _)| {
                !schema.properties.iter().any(|(name, _)| name == k)
                    && terrace_catalog::nearest(k, [key.as_str()].into_iter()).is_some()
            });
            if let (Others::Any, Some((_, value))) = (schema.others, strange) {
                problem = problem.replace(value.key, key.as_str(), format!("`{key}` may be meant"));
            }
            found.push(problem);
        }
        merged || schema.one.is_empty() || self.check_one(schema, node, place, &meant, found)
    }

    /// Whether a key is one of those of which a schema wants exactly one.
    fn is_one_of(&self, id: Id, key: &str) -> bool {
        self.schemas.get(id).one.iter().any(|(one, _)| one == key)
    }

    /// Exactly one of some keys is there, or none of two is known to be the one that was meant.
    fn check_one(
        &self,
        schema: &Schema,
        node: &Node,
        place: Place<'_>,
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
                        format!("`{first}` and `{second}` exclude each other"),
                    )
                    .at(span(second), "one of the two is too much")
                    .also(span(first), "the other")
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
                    Some((key, span, name)) => Diagnostic::new(
                        Code::UnknownKey,
                        format!("`{}` is not a key of {place}", shown(key)),
                    )
                    .at(span, "no such key")
                    .replace(span, name, format!("`{name}` exists")),
                    None => {
                        Diagnostic::new(Code::MissingField, say).at(lacking(node, place), "needs one of them")
                    }
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
        place: Place<'_>,
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
                            format!("{} is twice in {place}", quoted(item)),
                        )
                        .at(item.span, "the second time")
                        .also(*first, "the first time")
                        .help("remove one of the two"),
                    );
                }
            }
        }
    }

    fn wrong_type(&self, schema: &Schema, wanted: Types, node: &Node, place: Place<'_>) -> Diagnostic {
        let number = matches!(node.kind, NodeKind::Number(_));
        let unit = std::iter::once(schema)
            .chain(schema.any.iter().map(|id| self.schemas.get(*id)))
            .find(|schema| schema.unit);
        if let (true, Some(unit)) = (number, unit) {
            return Diagnostic::new(Code::WrongUnit, format!("{place} has no unit"))
                .at(node.span, "a number of what?")
                .help(unit.say.as_deref().unwrap_or_default());
        }
        let is_fraction = type_of(node) == Types::FRACTION && wanted.has(Types::INTEGER);
        let (label, span) = match &node.kind {
            NodeKind::Null | NodeKind::Wrong => (
                "nothing stands here",
                if node.span.start == node.span.end {
                    node.key
                } else {
                    node.span
                },
            ),
            NodeKind::Bool(_) => ("this is a boolean", node.span),
            NodeKind::Number(_) if is_fraction => ("this is not whole", node.span),
            NodeKind::Number(_) => ("this is a number", node.span),
            NodeKind::String(_) | NodeKind::Raw(_) => ("this is text", node.span),
            NodeKind::List(_) => ("this is a list", node.span),
            NodeKind::Map(_) => ("this is a map", node.span),
        };
        let mut problem =
            Diagnostic::new(Code::WrongType, format!("{place} has to be {}", wanted.words())).at(span, label);
        let written = self.files.text(node.span);
        if wanted.has(Types::STRING) && matches!(node.kind, NodeKind::Number(_) | NodeKind::Bool(_)) {
            let text = Node {
                kind: NodeKind::String(written.into()),
                ..node.clone()
            };
            problem = match (scalar_problem(schema, &text), &schema.say) {
                (Some(_), Some(say)) => problem.help(say.as_str()),
                (Some(_), None) => problem,
                (None, _) => problem.replace(node.span, format!("\"{written}\""), "put it in quotes"),
            };
        } else if let Some(text) = node.as_str() {
            let types = match text.parse::<Decimal>() {
                Ok(number) if number.is_integer() => Types::INTEGER,
                Ok(_) => Types::FRACTION,
                Err(_) if matches!(text, "true" | "false") => Types::BOOLEAN,
                Err(_) => Types::NONE,
            };
            if types != Types::NONE && wanted.has(types) {
                problem = problem.replace(node.span, text, "take the quotes off");
            } else if wanted.has(Types::BOOLEAN) && matches!(text, "yes" | "on" | "Yes" | "On") {
                problem = problem.replace(node.span, "true", "in YAML 1.2 this word is text");
            } else if wanted.has(Types::BOOLEAN) && matches!(text, "no" | "off" | "No" | "Off" | "NO") {
                problem = problem.replace(node.span, "false", "in YAML 1.2 this word is text");
            } else if wanted.has(Types::ARRAY) && !text.contains("{{") {
                problem = problem.replace(node.span, format!("[{written}]"), "put it in a list");
            }
        }
        with_note_on_expressions(problem, node)
    }
}

fn invalid(schema: &Schema, node: &Node, place: Place<'_>, why: &Why) -> Diagnostic {
    let code = if schema.unit && matches!(why, Why::Form) {
        Code::WrongUnit
    } else {
        Code::InvalidValue
    };
    let message = match place {
        Place::Name(_) => format!("{} cannot be {place}", quoted(node)),
        _ if matches!(node.kind, NodeKind::Map(_) | NodeKind::List(_)) => match why {
            Why::Length(label) if label == "empty" => format!("{place} is empty"),
            Why::Length(label) => format!("{place} {label}"),
            Why::Form => format!("{place} cannot be like this"),
        },
        _ if node.as_str() == Some("") => format!("{place} is empty"),
        _ => format!("{} cannot be the value of {place}", quoted(node)),
    };
    let span = match node.kind {
        NodeKind::Map(_) | NodeKind::List(_) => lacking(node, place),
        _ => node.span,
    };
    let (label, say) = match why {
        Why::Form => ("of another form".to_owned(), schema.say.as_deref()),
        // What has a form and is empty, or has too much in it, is best told the form.
        Why::Length(label) if node.as_str() == Some("") || is_map(node) => {
            (label.clone(), schema.say.as_deref())
        }
        Why::Length(label) => (label.clone(), None),
    };
    let problem = Diagnostic::new(code, message).at(span, label);
    let problem = match say {
        Some(say) => problem.help(say),
        None => problem,
    };
    with_note_on_expressions(problem, node)
}

/// Why a value does not fit, although it is of the right type.
enum Why {
    /// It does not fit the pattern.
    Form,
    /// It is too long, too short, too large or too small; in words.
    Length(String),
}

/// What is wrong with a text or a number.
fn scalar_problem(schema: &Schema, node: &Node) -> Option<Why> {
    match &node.kind {
        NodeKind::String(text) | NodeKind::Raw(text) => {
            if schema.length.least.or(schema.length.most).is_some()
                && let Some(why) =
                    out_of_bounds(schema.length, text.chars().count(), "character", "characters")
            {
                return Some(why);
            }
            let strange = schema.pattern.as_ref().is_some_and(|pattern| !pattern.fits(text));
            (strange || (schema.regex && Regex::new(text).is_err())).then_some(Why::Form)
        }
        NodeKind::Number(number) => {
            if let Some(least) = schema.minimum.filter(|least| number < least) {
                return Some(Why::Length(format!("at least {least}")));
            }
            if let Some(most) = schema.maximum.filter(|most| number > most) {
                return Some(Why::Length(format!("at most {most}")));
            }
            schema
                .above
                .filter(|limit| number <= limit)
                .map(|limit| Why::Length(format!("more than {limit}")))
        }
        _ => None,
    }
}

fn out_of_bounds(bounds: Bounds, count: usize, one: &str, many: &str) -> Option<Why> {
    let words = |n: usize| {
        if n == 1 {
            format!("{n} {one}")
        } else {
            format!("{n} {many}")
        }
    };
    if let Some(least) = bounds.least.filter(|least| count < *least) {
        return Some(Why::Length(match count {
            0 => "empty".to_owned(),
            _ => format!("has {}, needs at least {least}", words(count)),
        }));
    }
    let most = bounds.most.filter(|most| count > *most)?;
    Some(Why::Length(format!("has {}, may have {most}", words(count))))
}

/// Where a map or list is marked for what it lacks: its key, never all of it.
pub(super) fn lacking(node: &Node, place: Place<'_>) -> Span {
    let first = node.entries().first();
    match place {
        Place::Document(_) => {
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

/// Whether a node is a value of a schema: no schema lists maps.
fn is(node: &Node, value: &Value) -> bool {
    match (&node.kind, value) {
        (NodeKind::Null, Value::Null) => true,
        (NodeKind::Bool(a), Value::Bool(b)) => a == b,
        (NodeKind::Number(a), Value::Number(b)) => a == b,
        (NodeKind::String(a) | NodeKind::Raw(a), Value::String(b)) => a == b,
        _ => false,
    }
}
