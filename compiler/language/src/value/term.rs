//! Terms: the values of expressions, and of resource bodies until they are emitted.

use std::sync::{Arc, OnceLock};

use terrace_artifact::{Accepted, Decimal, Entries, Entry, Map, Quantity, Segment, Text, Tree, Value, View};
use terrace_syntax::source::Span;

use crate::value::unit::Duration;

/// A value of the language: a JSON value, an amount with a unit, or a value that is known later.
///
/// Terms contain no positions, because the bodies of a thousand tenants would need a million of them. If a message needs the
/// position of a term, the compiler expands that one resource again with a trace.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Term {
    /// `null`. In a body, it omits its key.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An exact number.
    Number(Decimal),
    /// A string.
    String(Text),
    /// A duration. A body must convert it to a number in some unit.
    Duration(Duration),
    /// A quantity. A body contains its canonical form, as a string.
    Quantity(Quantity),
    /// A list.
    List(Vec<Term>),
    /// A map in order, with distinct keys.
    Map(Entries<Term>),
    /// A value of another resource.
    Reference(Arc<Reference>),
    /// A secret by its name and key, never its value.
    Secret(Arc<SecretReference>),
    /// A string with parts that are references.
    Concat(Arc<[Term]>),
    /// A file or directory of the stack that Terrace delivers to the bootstrap bucket.
    Asset(Arc<AssetReference>),
    /// No value. It omits its key or item.
    Omit,
}

/// Facts about a shared map, computed once.
#[derive(Default)]
pub struct Memo {
    /// Whether lowering does not change the map.
    finished: OnceLock<bool>,
    /// The value that the map becomes.
    value: OnceLock<Map>,
    /// Set if the map contains no literal secret.
    pub harmless: OnceLock<()>,
}

impl Entry for Term {
    type Memo = Memo;
}

/// A reference to an attribute of another resource.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The name in `ref('name')`.
    pub name: Text,
    /// The key, for a repeated resource: `ref('bucket', 'raw')` or `ref('bucket')['raw']`.
    pub key: Option<Text>,
    /// The attribute: `.arn`, `.spec.clusterIP`.
    pub path: Vec<Text>,
    /// Whether the name can refer to a resource of the same module. This is false for an input that the stack sets.
    pub local: bool,
    /// The expression that produced it.
    pub span: Span,
}

impl Reference {
    /// Creates a reference to an attribute of the resource at an address. It does not depend on the module that contains it.
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

/// A secret: `secret('name').key`.
#[derive(Clone, Debug)]
pub struct SecretReference {
    /// The name of the secret in the secret store of the target.
    pub name: Text,
    /// The key in the secret, or `None` if the expression does not select one.
    pub key: Option<Text>,
    /// The expression that produced it.
    pub span: Span,
}

/// An asset: `asset('path')`.
#[derive(Clone, Debug)]
pub struct AssetReference {
    /// The path, relative to the directory of the stack.
    pub path: Text,
    /// The selected attribute (`bucket`, `key`, `url` or `digest`), or `None` if the expression does not select one.
    pub part: Option<Text>,
    /// The expression that produced it.
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
    /// Creates a map. The keys must be distinct.
    pub fn map<K: Into<Text>, V: Into<Term>>(entries: impl IntoIterator<Item = (K, V)>) -> Term {
        Term::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    /// Creates a list.
    pub fn list<V: Into<Term>>(items: impl IntoIterator<Item = V>) -> Term {
        Term::List(items.into_iter().map(Into::into).collect())
    }

    /// Returns the string, or `None` for any other value.
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        if let Term::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// Returns the number, or `None` for any other value.
    #[inline]
    pub fn as_number(&self) -> Option<Decimal> {
        if let Term::Number(n) = self {
            Some(*n)
        } else {
            None
        }
    }

    /// Returns the number if it is an integer.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_number().and_then(Decimal::as_integer)
    }

    /// Returns the boolean, or `None` for any other value.
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        if let Term::Bool(b) = self { Some(*b) } else { None }
    }

    /// Returns the items of a list. Any other value has none.
    #[inline]
    pub fn items(&self) -> &[Term] {
        if let Term::List(items) = self { items } else { &[] }
    }

    /// Returns the entries of a map. Any other value has none.
    #[inline]
    pub fn entries(&self) -> &[(Text, Term)] {
        if let Term::Map(entries) = self {
            entries
        } else {
            &[]
        }
    }

    /// Returns the value of a key, if this is a map that contains the key.
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Term> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, term)| term)
    }

    /// Returns the value of a key for changes, if this is a map that contains the key.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Term> {
        match self {
            Term::Map(entries) => {
                let at = entries.iter().position(|(k, _)| k == key)?;
                Some(&mut entries.make_mut()[at].1)
            }
            _ => None,
        }
    }

    /// Returns the value at a path of keys.
    #[inline]
    pub fn at(&self, path: &[&str]) -> Option<&Term> {
        path.iter().try_fold(self, |term, key| term.get(key))
    }

    /// Returns the value at a path of keys and items.
    pub fn at_path(&self, path: &[Segment]) -> Option<&Term> {
        path.iter().try_fold(self, |term, segment| match segment {
            Segment::Key(key) => term.get(key),
            Segment::Index(at) => term.items().get(*at),
        })
    }

    /// Sets the value of a key of a map. A new key is added at the end.
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

    /// Returns whether the term contains a value that is known only when the graph is connected, or after apply.
    #[inline]
    pub fn is_late(&self) -> bool {
        match self {
            Term::Reference(_) | Term::Secret(_) | Term::Asset(_) | Term::Concat(_) => true,
            Term::List(items) => items.iter().any(Term::is_late),
            Term::Map(entries) => entries.iter().any(|(_, term)| term.is_late()),
            _ => false,
        }
    }

    /// Returns whether lowering does not change the term: it contains no late value, no duration and no `null` in a map.
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

    /// Converts the maps to shared maps, so that all copies of the term use the same ones.
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

    /// Calls `see` with every reference in the term.
    pub fn references(&self, see: &mut impl FnMut(&Reference)) {
        match self {
            Term::Reference(reference) => see(reference),
            Term::Concat(parts) => parts.iter().for_each(|part| part.references(see)),
            Term::List(items) => items.iter().for_each(|item| item.references(see)),
            Term::Map(entries) => entries.iter().for_each(|(_, term)| term.references(see)),
            _ => {}
        }
    }

    /// Converts the term to a value. Lowering has replaced the late values. Any that remain become readable strings.
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

    /// Converts a value to a term.
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

    /// Formats the term for messages: a string without quotes, and any other value as the user would write it.
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
