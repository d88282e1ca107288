use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Decimal;
use crate::entries::{Accepted, Entries};

/// A string that is cheap to clone: up to 23 bytes are stored inline.
pub type Text = smol_str::SmolStr;

/// A value of a configuration: JSON's data model with exact numbers and ordered maps.
///
/// The equality of maps ignores the order of keys. The equality of lists does not.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// The value `null`.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An exact number.
    Number(Decimal),
    /// A string.
    String(Text),
    /// A list.
    List(Vec<Value>),
    /// A map that keeps the order in which it is written.
    Map(Map),
}

/// A map that keeps the order of its entries. A lookup is a linear search, because configuration maps are small.
#[derive(Clone, Debug, Default)]
pub struct Map(Entries<Value>);

impl Map {
    /// Creates an empty map.
    pub fn new() -> Map {
        Map::default()
    }

    /// Creates an empty map with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Map {
        Map(Vec::with_capacity(capacity).into())
    }

    /// Creates a map from entries whose keys are distinct, which the caller must ensure.
    pub fn from_distinct(entries: Vec<(Text, Value)>) -> Map {
        Map(entries.into())
    }

    /// Creates a map from distinct entries that many maps will share.
    pub fn shared(entries: Vec<(Text, Value)>) -> Map {
        Map(Entries::shared(entries))
    }

    /// Returns the entries, in order.
    pub fn entries(&self) -> &Entries<Value> {
        &self.0
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Returns the value of a key for modification.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(&mut self.0.make_mut()[at].1)
    }

    /// Sets a key and returns its previous value. An existing key keeps its position; a new key is appended.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.get_mut(&key) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.0.make_mut().push((key, value));
                None
            }
        }
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.make_mut().remove(at).1)
    }

    /// Iterates over the entries, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Value)> {
        self.0.iter()
    }

    /// Iterates over the keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.0.iter().map(|(k, _)| k)
    }

    /// Iterates over the values, in order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().map(|(_, v)| v)
    }

    /// Iterates over the values for modification, in order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.make_mut().iter_mut().map(|(_, v)| v)
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Text, Value);
    type IntoIter = std::slice::Iter<'a, (Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Map {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Map {
        let mut map = Map::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .enumerate()
                .all(|(i, (key, value))| match &other.0[i] {
                    (k, v) if k == key => v == value,
                    _ => other.get(key) == Some(value),
                })
    }
}

impl Eq for Map {}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Returns the string, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// Returns the boolean, if the value is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    /// Returns the number, if the value is one.
    pub fn as_number(&self) -> Option<Decimal> {
        if let Value::Number(n) = self {
            Some(*n)
        } else {
            None
        }
    }

    /// Returns the integer, if the value is one.
    pub fn as_integer(&self) -> Option<i64> {
        self.as_number().and_then(Decimal::as_integer)
    }

    /// Returns the list, if the value is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(list) = self {
            Some(list)
        } else {
            None
        }
    }

    /// Returns the map, if the value is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = self {
            Some(map)
        } else {
            None
        }
    }

    /// Returns the map for modification, if the value is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = self {
            Some(map)
        } else {
            None
        }
    }

    /// Returns the value of a key, if the value is a map with that key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Returns the value at a path of keys, if every step of the path exists.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Describes the type of the value for a message: `a list`, `null`.
    pub fn kind(&self) -> &'static str {
        self.view().kind()
    }

    /// Converts to a `serde_json` value. A number with a fraction becomes an approximate `f64`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => match n.as_integer() {
                Some(integer) => integer.into(),
                None => n.to_f64().into(),
            },
            Value::String(s) => s.as_str().into(),
            Value::List(list) => list.iter().map(Value::to_json).collect(),
            Value::Map(map) => {
                serde_json::Value::Object(map.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect())
            }
        }
    }

    /// Converts from a `serde_json` value. A number that does not fit a [`Decimal`] is rounded to 16 significant digits, or
    /// becomes zero if that does not fit either.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => number(n),
            serde_json::Value::String(s) => Value::String(s.as_str().into()),
            serde_json::Value::Array(list) => Value::List(list.iter().map(Value::from_json).collect()),
            serde_json::Value::Object(map) => Value::Map(Map::from_distinct(
                map.iter()
                    .map(|(k, v)| (k.as_str().into(), Value::from_json(v)))
                    .collect(),
            )),
        }
    }
}

fn number(n: &serde_json::Number) -> Value {
    let exact = n.to_string().parse::<Decimal>();
    let near = || format!("{:.*e}", 15, n.as_f64().unwrap_or_default()).parse::<Decimal>();
    Value::Number(exact.or_else(|_| near()).unwrap_or(Decimal::ZERO))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::to_json_compact(self))
    }
}

macro_rules! from {
    ($($type:ty => |$x:ident| $value:expr),* $(,)?) => {
        $(impl From<$type> for Value { fn from($x: $type) -> Value { $value } })*
    };
}
from! {
    bool => |b| Value::Bool(b),
    i64 => |n| Value::Number(n.into()),
    Decimal => |n| Value::Number(n),
    &str => |s| Value::String(s.into()),
    String => |s| Value::String(s.into()),
    Text => |s| Value::String(s),
    Vec<Value> => |list| Value::List(list),
    Map => |map| Value::Map(map),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Number(n) => n.serialize(serializer),
            Value::String(s) => serializer.serialize_str(s),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Value::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self {
            out.serialize_entry(key.as_str(), value)?;
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(map) => Ok(map),
            other => Err(serde::de::Error::custom(format!(
                "expected a map, found {}",
                other.kind()
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Bool(b))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Number(n.into()))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
                Ok(i64::try_from(n).map_or_else(|_| number(&n.into()), Value::from))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
                Ok(serde_json::Number::from_f64(n).map_or(Value::Null, |n| number(&n)))
            }
            fn visit_str<E>(self, s: &str) -> Result<Value, E> {
                Ok(Value::String(s.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Value::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = access.next_entry::<Text, Value>()? {
                    entries.push((key, value));
                }
                Ok(Value::Map(Map::from_distinct(entries)))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A borrowed view of the top level of a tree of values.
#[derive(Clone, Copy, Debug)]
pub enum View<'a, T> {
    /// The value `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    String(&'a str),
    /// A list.
    List(&'a [T]),
    /// The entries of a map, in order.
    Map(&'a [(Text, T)]),
    /// A value of any type that is known only after apply, such as a reference to another resource.
    Unknown,
}

impl<T> View<'_, T> {
    /// Describes the type of the value for a message: `a list`, `null`.
    pub fn kind(&self) -> &'static str {
        match self {
            View::Null => "null",
            View::Bool(_) => "a boolean",
            View::Number(n) if n.is_integer() => "an integer",
            View::Number(_) => "a number",
            View::String(_) => "a string",
            View::List(_) => "a list",
            View::Map(_) => "a map",
            View::Unknown => "a value known after apply",
        }
    }
}

/// A type with the shape of a [`Value`], which can be validated against a schema.
pub trait Tree: Sized {
    /// Returns the top level of the tree.
    fn view(&self) -> View<'_, Self>;

    /// Returns the record of the schema that accepted the tree. Returns `None` for a tree that is validated only once.
    fn accepted(&self) -> Option<&Accepted> {
        None
    }
}

impl Tree for Value {
    fn view(&self) -> View<'_, Value> {
        match self {
            Value::Null => View::Null,
            Value::Bool(b) => View::Bool(*b),
            Value::Number(n) => View::Number(*n),
            Value::String(s) => View::String(s),
            Value::List(list) => View::List(list),
            Value::Map(map) => View::Map(&map.0),
        }
    }

    fn accepted(&self) -> Option<&Accepted> {
        match self {
            Value::Map(map) => map.0.known().map(|known| &known.accepted),
            _ => None,
        }
    }
}
