//! What expressions evaluate to and what resource bodies are made of before they are emitted.

use std::sync::{Arc, OnceLock};

use terrace_artifact::{Accepted, Decimal, Entries, Entry, Map, Quantity, Text, Tree, Value, View};
use terrace_syntax::source::Span;

use crate::value::unit::Duration;

/// A value of the language: JSON's kinds, units, and what is known only later.
///
/// Terms carry no places: a body of a thousand tenants would carry a million. Where a message needs the place of a
/// term, the one resource is expanded again with a trace.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Term {
    /// `null`; in a body, a key left out.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An exact number.
    Number(Decimal),
    /// Text.
    String(Text),
    /// A span of time. A body has to say in which unit it wants it.
    Duration(Duration),
    /// An amount; in a body, its canonical text.
    Quantity(Quantity),
    /// A list.
    List(Vec<Term>),
    /// A map in order, with distinct keys.
    Map(Entries<Term>),
    /// A value of another resource.
    Reference(Arc<Reference>),
    /// A secret, by name and key: never its value.
    Secret(Arc<SecretReference>),
    /// Text some of whose pieces are references.
    Concat(Arc<[Term]>),
    /// A file of the stack, delivered to the bootstrap bucket.
    Asset(Arc<AssetReference>),
    /// Nothing: the key or item is left out.
    Omit,
}

/// What is kept about a map that many have.
#[derive(Default)]
pub struct Memo {
    /// Whether lowering leaves it as it is.
    finished: OnceLock<bool>,
    /// The finished value.
    value: OnceLock<Map>,
    /// Set where no secret is written out in it.
    pub harmless: OnceLock<()>,
}

impl Entry for Term {
    type Memo = Memo;
}

/// A value taken from another resource's attribute.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The name in `ref('name')`.
    pub name: Text,
    /// The key, for a repeated resource: `ref('bucket', 'raw')` or `ref('bucket')['raw']`.
    pub key: Option<Text>,
    /// The attribute: `.arn`, `.spec.clusterIP`.
    pub path: Vec<Text>,
    /// Whether the module's own resources answer: not where a stack's input names something.
    pub local: bool,
    /// The expression that made it.
    pub span: Span,
}

impl Reference {
    /// A reference to an attribute of the resource of an address: it means the same wherever it stands.
    pub fn of_address(address: impl Into<Text>, attribute: &str, span: Span) -> Reference {
        Reference {
            name: address.into(),
            key: None,
            path: vec![attribute.into()],
            local: false,
            span,
        }
    }
}

/// `secret('name').key`.
#[derive(Clone, Debug)]
pub struct SecretReference {
    /// The secret's name in the target's own store.
    pub name: Text,
    /// The key within it; absent until it is taken.
    pub key: Option<Text>,
    /// The expression that made it.
    pub span: Span,
}

/// `asset('path')`.
#[derive(Clone, Debug)]
pub struct AssetReference {
    /// Relative to the stack's folder.
    pub path: Text,
    /// Which fact of it: `bucket`, `key`, `url`, `digest`; absent until it is taken.
    pub part: Option<Text>,
    /// The expression that made it.
    pub span: Span,
}

impl PartialEq for Reference {
    fn eq(&self, other: &Reference) -> bool {
        (&self.name, &self.key, &self.path, self.local) == (&other.name, &other.key, &other.path, other.local)
    }
}

impl PartialEq for SecretReference {
    fn eq(&self, other: &SecretReference) -> bool {
        (&self.name, &self.key) == (&other.name, &other.key)
    }
}

impl PartialEq for AssetReference {
    fn eq(&self, other: &AssetReference) -> bool {
        (&self.path, &self.part) == (&other.path, &other.part)
    }
}

impl Term {
    /// A map of distinct keys.
    pub fn map<K: Into<Text>, V: Into<Term>>(entries: impl IntoIterator<Item = (K, V)>) -> Term {
        Term::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// A list.
    pub fn list<V: Into<Term>>(items: impl IntoIterator<Item = V>) -> Term {
        Term::List(items.into_iter().map(Into::into).collect())
    }

    /// The text, where this is plain text.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        if let Term::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The number.
    #[inline]
    pub fn as_number(&self) -> Option<Decimal> {
        if let Term::Number(n) = self {
            Some(*n)
        } else {
            None
        }
    }

    /// The whole number.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_number().and_then(Decimal::as_integer)
    }

    /// The boolean.
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        if let Term::Bool(b) = self { Some(*b) } else { None }
    }

    /// The items of a list; none where this is something else.
    #[inline]
    pub fn items(&self) -> &[Term] {
        if let Term::List(items) = self { items } else { &[] }
    }

    /// The entries of a map; none where this is something else.
    #[inline]
    pub fn entries(&self) -> &[(Text, Term)] {
        if let Term::Map(entries) = self {
            entries
        } else {
            &[]
        }
    }

    /// The value of a key, where this is a map that has it.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Term> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, term)| term)
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Term> {
        match self {
            Term::Map(entries) => {
                let at = entries.iter().position(|(k, _)| k == key)?;
                Some(&mut entries.make_mut()[at].1)
            }
            _ => None,
        }
    }

    /// The value at a path of keys.
    #[inline]
    pub fn at(&self, path: &[&str]) -> Option<&Term> {
        path.iter().try_fold(self, |term, key| term.get(key))
    }

    /// Sets a key of a map: in its old place, or at the end.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<Term>) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(old) => *old = value.into(),
            None => {
                if let Term::Map(entries) = self {
                    entries.make_mut().push((key, value.into()));
                }
            }
        }
    }

    /// Returns the type of the value as a noun with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Term::Duration(_) => "a duration",
            Term::Quantity(_) => "a quantity",
            Term::Reference(_) => "a reference",
            Term::Secret(_) => "a secret",
            Term::Asset(_) => "an asset",
            Term::Concat(_) => "a string with a reference",
            Term::Omit => "`omit`",
            term => term.view().kind(),
        }
    }

    /// Whether it holds something that is known only when the graph is connected or applied.
    #[inline]
    pub fn is_late(&self) -> bool {
        match self {
            Term::Reference(_) | Term::Secret(_) | Term::Asset(_) | Term::Concat(_) => true,
            Term::List(items) => items.iter().any(Term::is_late),
            Term::Map(entries) => entries.iter().any(|(_, term)| term.is_late()),
            _ => false,
        }
    }

    /// Whether lowering leaves it as it is: nothing in it is late, wants a unit, or has to go.
    #[inline]
    pub fn is_finished(&self) -> bool {
        match self {
            Term::List(items) => items.iter().all(Term::is_finished),
            Term::Map(entries) => {
                let is_finished = || {
                    let mut values = entries.iter().map(|(_, value)| value);
                    values.all(|value| !matches!(value, Term::Null) && value.is_finished())
                };
                match entries.known() {
                    None => is_finished(),
                    Some(known) => *known.memo.finished.get_or_init(is_finished),
                }
            }
            term => !term.is_late() && !matches!(term, Term::Duration(_)),
        }
    }

    /// The same value, whose maps are shared by all copies of it.
    pub fn into_shared(self) -> Term {
        match self {
            Term::List(items) => Term::List(items.into_iter().map(Term::into_shared).collect()),
            Term::Map(entries) if entries.known().is_none() && !entries.is_empty() => {
                let shared = entries.into_iter().map(|(key, term)| (key, term.into_shared()));
                Term::Map(Entries::shared(shared.collect()))
            }
            term => term,
        }
    }

    /// Calls `see` with every reference in it.
    pub fn references(&self, see: &mut impl FnMut(&Reference)) {
        match self {
            Term::Reference(reference) => see(reference),
            Term::Concat(parts) => parts.iter().for_each(|part| part.references(see)),
            Term::List(items) => items.iter().for_each(|item| item.references(see)),
            Term::Map(entries) => entries.iter().for_each(|(_, term)| term.references(see)),
            _ => {}
        }
    }

    /// The finished value. What is late has been replaced before; what is left of it becomes readable text.
    pub fn into_value(self) -> Value {
        match self {
            Term::Null | Term::Omit => Value::Null,
            Term::Bool(b) => Value::Bool(b),
            Term::Number(n) => Value::Number(n),
            Term::String(text) => Value::String(text),
            Term::Duration(duration) => Value::String(duration.to_string().into()),
            Term::Quantity(quantity) => Value::String(quantity.to_string().into()),
            Term::List(items) => Value::List(items.into_iter().map(Term::into_value).collect()),
            Term::Map(entries) => Value::Map(match entries.known() {
                None => Map::from_distinct(values_of(entries)),
                Some(known) => {
                    let shared = || Map::shared(values_of(entries.clone()));
                    known.memo.value.get_or_init(shared).clone()
                }
            }),
            Term::Reference(_) | Term::Secret(_) | Term::Concat(_) | Term::Asset(_) => {
                Value::String(self.shown().into())
            }
        }
    }

    /// A term of a finished value.
    pub fn from_value(value: Value) -> Term {
        match value {
            Value::Null => Term::Null,
            Value::Bool(b) => Term::Bool(b),
            Value::Number(n) => Term::Number(n),
            Value::String(text) => Term::String(text),
            Value::List(items) => Term::List(items.into_iter().map(Term::from_value).collect()),
            Value::Map(map) => Term::Map(
                map.into_iter()
                    .map(|(key, value)| (key, Term::from_value(value)))
                    .collect(),
            ),
        }
    }

    /// How people are shown a term: text as it is, everything else as they would write it.
    pub fn shown(&self) -> String {
        match self {
            Term::Reference(reference) => {
                let key = reference
                    .key
                    .as_ref()
                    .map(|key| format!("[\"{key}\"]"))
                    .unwrap_or_default();
                let path: String = reference.path.iter().map(|part| format!(".{part}")).collect();
                format!("ref('{}'){key}{path}", reference.name)
            }
            Term::Secret(secret) => match &secret.key {
                Some(key) => format!("secret('{}').{key}", secret.name),
                None => format!("secret('{}')", secret.name),
            },
            Term::Asset(asset) => format!("asset('{}')", asset.path),
            Term::Concat(parts) => parts.iter().map(Term::shown).collect(),
            Term::String(text) => text.to_string(),
            term => match term.clone().into_value() {
                Value::String(text) => text.to_string(),
                value => value.to_string(),
            },
        }
    }
}

impl Tree for Term {
    fn view(&self) -> View<'_, Term> {
        match self {
            Term::Null => View::Null,
            Term::Bool(b) => View::Bool(*b),
            Term::Number(n) => View::Number(*n),
            Term::String(text) => View::String(text),
            Term::List(items) => View::List(items),
            Term::Map(entries) => View::Map(entries),
            _ => View::Unknown,
        }
    }

    fn accepted(&self) -> Option<&Accepted> {
        match self {
            Term::Map(entries) => entries.known().map(|known| &known.accepted),
            _ => None,
        }
    }
}

fn values_of(entries: Entries<Term>) -> Vec<(Text, Value)> {
    let entries = entries.into_iter();
    entries.map(|(key, term)| (key, term.into_value())).collect()
}

macro_rules! from {
    ($($type:ty => |$x:ident| $term:expr),* $(,)?) => {
        $(impl From<$type> for Term { #[inline] fn from($x: $type) -> Term { $term } })*
    };
}
from! {
    bool => |b| Term::Bool(b),
    i64 => |n| Term::Number(n.into()),
    Decimal => |n| Term::Number(n),
    &str => |s| Term::String(s.into()),
    String => |s| Term::String(s.into()),
    Text => |s| Term::String(s),
    &Text => |s| Term::String(s.clone()),
    Duration => |d| Term::Duration(d),
    Quantity => |q| Term::Quantity(q),
    Vec<Term> => |items| Term::List(items),
    Reference => |r| Term::Reference(Arc::new(r)),
}
