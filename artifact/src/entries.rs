//! The entries of a map, which many maps can share.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{Text, Value};

/// The keys and values of a map, in order.
///
/// The parts of a module without expressions are the same for each of a thousand tenants. Such entries are
/// [shared](Entries::shared): a copy is cheap, and results computed from them, such as their text, are stored with them.
pub struct Entries<T: Entry>(Repr<T>);

enum Repr<T: Entry> {
    Own(Vec<(Text, T)>),
    Shared(Arc<Shared<T>>),
}

struct Shared<T: Entry> {
    entries: Vec<(Text, T)>,
    known: CachedResults<T>,
}

/// A type of value that maps contain.
pub trait Entry: Clone + Sized {
    /// The results that shared entries of this type store, in addition to those that all shared entries store.
    type Memo: Default + Send + Sync;
}

/// The stored results about shared entries. They are a cache and not part of the entries' value.
pub struct CachedResults<T: Entry> {
    /// The last schema that accepted the entries.
    pub accepted: Accepted,
    /// The results that are specific to this type of entries.
    pub memo: T::Memo,
}

/// The address of the schema node that last accepted a value. Schemas live as long as the program.
#[derive(Default)]
pub struct Accepted(AtomicUsize);

impl Accepted {
    /// Returns whether `schema` is the last schema node that accepted the value.
    pub fn is_by<S>(&self, schema: &'static S) -> bool {
        self.0.load(Ordering::Relaxed) == std::ptr::from_ref(schema).addr()
    }

    /// Records that `schema` accepted the value.
    pub fn by<S>(&self, schema: &'static S) {
        self.0.store(std::ptr::from_ref(schema).addr(), Ordering::Relaxed);
    }
}

/// The stored text of a [`Value`]'s entries, at the depth at which they were first written.
#[derive(Default)]
pub struct CachedTexts {
    pub(crate) yaml: TextAtDepth,
    pub(crate) json: TextAtDepth,
}

/// A text and the indentation depth that it was written for.
#[derive(Default)]
pub(crate) struct TextAtDepth(OnceLock<(usize, Box<str>)>);

impl TextAtDepth {
    /// Appends the output of `write` to `out`. Reuses the stored text if its depth is `depth`.
    pub(crate) fn add(&self, depth: usize, out: &mut String, write: impl Fn(&mut String)) {
        let (written, text) = self.0.get_or_init(|| {
            let mut text = String::new();
            write(&mut text);
            (depth, text.into())
        });
        match *written == depth {
            true => out.push_str(text),
            false => write(out),
        }
    }
}

impl Entry for Value {
    type Memo = CachedTexts;
}

impl<T: Entry> Entries<T> {
    /// Creates entries that many maps can share.
    pub fn shared(entries: Vec<(Text, T)>) -> Entries<T> {
        Entries(Repr::Shared(Arc::new(Shared {
            entries,
            known: CachedResults {
                accepted: Accepted::default(),
                memo: T::Memo::default(),
            },
        })))
    }

    /// Returns the stored results, if the entries are shared.
    pub fn known(&self) -> Option<&CachedResults<T>> {
        match &self.0 {
            Repr::Own(_) => None,
            Repr::Shared(shared) => Some(&shared.known),
        }
    }

    /// Returns the entries for modification. Copies them first if they are shared.
    pub fn make_mut(&mut self) -> &mut Vec<(Text, T)> {
        if let Repr::Shared(_) = self.0 {
            let shared = std::mem::take(self);
            self.0 = Repr::Own(shared.into_vec());
        }
        match &mut self.0 {
            Repr::Own(entries) => entries,
            Repr::Shared(_) => unreachable!("shared entries were copied above"),
        }
    }

    /// Converts to a vector. Copies the entries if other maps share them.
    pub fn into_vec(self) -> Vec<(Text, T)> {
        match self.0 {
            Repr::Own(entries) => entries,
            Repr::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(shared) => shared.entries,
                Err(shared) => shared.entries.clone(),
            },
        }
    }
}

impl<T: Entry> Deref for Entries<T> {
    type Target = [(Text, T)];

    fn deref(&self) -> &[(Text, T)] {
        match &self.0 {
            Repr::Own(entries) => entries,
            Repr::Shared(shared) => &shared.entries,
        }
    }
}

impl<T: Entry> Default for Entries<T> {
    fn default() -> Entries<T> {
        Entries(Repr::Own(Vec::new()))
    }
}

impl<T: Entry> Clone for Entries<T> {
    fn clone(&self) -> Entries<T> {
        Entries(match &self.0 {
            Repr::Own(entries) => Repr::Own(entries.clone()),
            Repr::Shared(shared) => Repr::Shared(shared.clone()),
        })
    }
}

impl<T: Entry + fmt::Debug> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}

/// Compares entries in order. [`Map`](crate::Map) compares without regard to the order.
impl<T: Entry + PartialEq> PartialEq for Entries<T> {
    fn eq(&self, other: &Entries<T>) -> bool {
        match (&self.0, &other.0) {
            (Repr::Shared(a), Repr::Shared(b)) if Arc::ptr_eq(a, b) => true,
            _ => **self == **other,
        }
    }
}

impl<T: Entry> From<Vec<(Text, T)>> for Entries<T> {
    fn from(entries: Vec<(Text, T)>) -> Entries<T> {
        Entries(Repr::Own(entries))
    }
}

impl<T: Entry> FromIterator<(Text, T)> for Entries<T> {
    fn from_iter<I: IntoIterator<Item = (Text, T)>>(entries: I) -> Entries<T> {
        Entries(Repr::Own(entries.into_iter().collect()))
    }
}

impl<T: Entry> IntoIterator for Entries<T> {
    type Item = (Text, T);
    type IntoIter = std::vec::IntoIter<(Text, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

impl<'a, T: Entry> IntoIterator for &'a Entries<T> {
    type Item = &'a (Text, T);
    type IntoIter = std::slice::Iter<'a, (Text, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Map, to_json_pretty, to_yaml};

    fn entries() -> Vec<(Text, Value)> {
        let inner = Map::from_iter([("b", Value::from(vec![Value::from("c"), "d: e".into()]))]);
        vec![("a".into(), inner.into()), ("text".into(), "one\ntwo\n".into())]
    }

    #[test]
    fn modification_copies_shared_entries() {
        let shared = Entries::shared(entries());
        let mut copy = shared.clone();
        copy.make_mut()[0].0 = "changed".into();
        assert!(copy.known().is_none());
        assert_eq!(&*shared, &*entries());
        assert_ne!(copy, shared);
        assert_eq!(shared, Entries::from(entries()));
        assert_eq!(shared.clone().into_vec(), entries());
    }

    #[test]
    fn shared_and_owned_entries_print_alike_at_every_depth() {
        let at_three_depths = |map: &Map| {
            let outer = Map::from_iter([("x", Value::List(vec![map.clone().into(), map.clone().into()]))]);
            Value::Map(Map::from_iter([
                ("same", Value::from(map.clone())),
                ("deeper", outer.into()),
                ("again", map.clone().into()),
            ]))
        };
        let owned = at_three_depths(&Map::from_distinct(entries()));
        let shared = at_three_depths(&Map::shared(entries()));
        assert_eq!(to_yaml(&shared), to_yaml(&owned));
        assert_eq!(to_json_pretty(&shared), to_json_pretty(&owned));
        assert_eq!(shared.to_string(), owned.to_string());
        assert_eq!(shared, owned);
    }
}
