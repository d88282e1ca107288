//! The compiled form of a schema: a table of nodes that refer to each other by number, so that schemas can be recursive.
//!
//! `cargo xtask schemas` builds and encodes nodes; the program decodes them. This file contains both sides, so that they stay
//! consistent. Each chunk stores every string once, in a table from which the nodes borrow.

use std::collections::BTreeMap;

use terrace_artifact::Decimal;

use crate::pattern::Pattern;

/// The index of a node in its section.
pub type NodeId = u32;

/// The JSON types that a node accepts, as bits. No bit means any type.
pub mod types {
    /// The value `null`.
    pub const NULL: u8 = 1;
    /// A boolean.
    pub const BOOL: u8 = 2;
    /// An integer.
    pub const INTEGER: u8 = 4;
    /// Any number.
    pub const NUMBER: u8 = 8;
    /// A string.
    pub const STRING: u8 = 16;
    /// A list.
    pub const LIST: u8 = 32;
    /// A map.
    pub const MAP: u8 = 64;
}

/// The properties of a node in addition to its types, as bits.
pub mod flags {
    /// A map that accepts unknown keys.
    pub const OPEN: u16 = 1;
    /// A Kubernetes quantity.
    pub const QUANTITY: u16 = 2;
    /// A Kubernetes `IntOrString`.
    pub const INT_OR_STRING: u16 = 4;
    /// A Kubernetes `ObjectMeta`.
    pub const METADATA: u16 = 8;
    /// A Kubernetes `LabelSelector`.
    pub const SELECTOR: u16 = 16;
    /// A list that rejects equal items.
    pub const UNIQUE: u16 = 32;
    /// A string in base64.
    pub const BASE64: u16 = 64;
    /// Any value; its content is not validated.
    pub const ANY: u16 = 128;
    /// An integer of 32 bits.
    pub const INT32: u16 = 256;
    /// A complete embedded Kubernetes object.
    pub const EMBEDDED: u16 = 512;
    /// A string whose allowed values are compared without regard to case.
    pub const IGNORE_CASE: u16 = 1024;
    /// A string with a time in RFC 3339.
    pub const TIME: u16 = 2048;
}

/// The schema of one value.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// The accepted types, as bits of [`types`].
    pub types: u8,
    /// More properties, as bits of [`flags`].
    pub flags: u16,
    /// The known keys of a map, sorted by length, then by bytes.
    pub fields: Vec<Field<'a>>,
    /// The number of required fields.
    pub required: u16,
    /// The schema of list items.
    pub items: Option<NodeId>,
    /// The schema of the values of keys that are not among the fields.
    pub values: Option<NodeId>,
    /// The limits of a scalar, or of the size of a list or map.
    pub limits: Option<Box<Limits<'a>>>,
    /// The rules that involve several fields or schemas.
    pub rules: Option<Box<Rules<'a>>>,
    /// How a Kubernetes server merges the value.
    pub merge: Option<Box<Merge<'a>>>,
}

/// A known key of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// The key.
    pub name: &'a str,
    /// The schema of its value.
    pub node: NodeId,
    /// The position in the schema's order.
    pub position: u16,
    /// Whether the key is required.
    pub required: bool,
    /// Whether only the server sets the key.
    pub read_only: bool,
}

/// A scalar in a schema.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Literal<'a> {
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    String(&'a str),
}

/// The limits of a single value.
#[derive(Clone, Debug, Default)]
pub struct Limits<'a> {
    /// The allowed values; empty if all values are allowed.
    pub allowed: Vec<Literal<'a>>,
    /// The pattern that a string must match.
    pub pattern: Option<Pattern<'a>>,
    /// The minimum of a number.
    pub minimum: Option<Decimal>,
    /// The maximum of a number.
    pub maximum: Option<Decimal>,
    /// The exclusive maximum of a number.
    pub below: Option<Decimal>,
    /// The exclusive minimum of a number.
    pub above: Option<Decimal>,
    /// The divisor of which a number must be a multiple.
    pub multiple_of: Option<Decimal>,
    /// The minimum length of a string, in characters.
    pub min_length: Option<u32>,
    /// The maximum length of a string, in characters.
    pub max_length: Option<u32>,
    /// The minimum number of list items or map keys.
    pub min_count: Option<u32>,
    /// The maximum number of list items or map keys.
    pub max_count: Option<u32>,
}

/// The rules that involve several fields or schemas.
#[derive(Clone, Debug, Default)]
pub struct Rules<'a> {
    /// The schemas that must all accept the value (`allOf`).
    pub all: Vec<NodeId>,
    /// The schemas of which at least one must accept the value (`anyOf`).
    pub any: Vec<NodeId>,
    /// The schemas of which exactly one must accept the value (`oneOf`).
    pub one: Vec<NodeId>,
    /// The schema that must reject the value (`not`).
    pub not: Option<NodeId>,
    /// A condition: if the first schema accepts the value, the second must accept it, otherwise the third.
    pub condition: Option<(NodeId, Option<NodeId>, Option<NodeId>)>,
    /// The lists of keys of which exactly one is required.
    pub exactly_one: Vec<Vec<&'a str>>,
    /// The lists of keys of which at most one is allowed.
    pub at_most_one: Vec<Vec<&'a str>>,
    /// The lists of keys of which at least one is required.
    pub at_least_one: Vec<Vec<&'a str>>,
    /// The keys that require other keys.
    pub needs: Vec<(&'a str, Vec<&'a str>)>,
    /// The keys that exclude other keys.
    pub excludes: Vec<(&'a str, Vec<&'a str>)>,
    /// The schemas of the values whose keys match a pattern.
    pub patterns: Vec<(Pattern<'a>, NodeId)>,
    /// The schemas of the first items of a list.
    pub first_items: Vec<NodeId>,
    /// The keys in which the items of a list must differ.
    pub unique_keys: Vec<&'a str>,
}

/// How a Kubernetes server merges a list or a map, and the default that it sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merge<'a> {
    /// Whether the list or map is replaced as a whole.
    pub atomic: bool,
    /// Whether the list is a set of distinct scalars.
    pub set: bool,
    /// The keys that identify the items of a list; empty for other lists.
    pub keys: Vec<&'a str>,
    /// The value that the server uses if the field is absent.
    pub default: Option<Literal<'a>>,
}

/// Compares field names by length first, because most names already differ in length.
pub fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl<'a> Node<'a> {
    /// Finds a field by its name.
    #[inline]
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        let at = self
            .fields
            .binary_search_by(|field| order(field.name, name))
            .ok()?;
        Some(&self.fields[at])
    }

    /// Returns whether the node has the flag.
    #[inline]
    pub fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Returns the fields in the schema's order.
    pub fn in_order(&self) -> Vec<&Field<'a>> {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by_key(|field| field.position);
        fields
    }
}

const ITEMS: u64 = 1;
const VALUES: u64 = 2;
const LIMITS: u64 = 4;
const RULES: u64 = 8;
const MERGE: u64 = 16;
const FIELDS: u64 = 32;

/// A writer of nodes. Strings are numbered in the order of their first use.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    numbers: BTreeMap<String, u64>,
    strings: Vec<String>,
}

impl Writer {
    /// Returns the position of the next byte.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the bytes: the table of strings, then everything that was written.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.strings.len() as u64);
        for string in &self.strings {
            out.number(string.len() as u64);
        }
        for string in &self.strings {
            out.bytes.extend(string.as_bytes());
        }
        out.bytes.extend(self.bytes);
        out.bytes
    }

    /// Writes a number with seven bits per byte.
    pub fn number(&mut self, mut number: u64) {
        while number >= 128 {
            self.bytes.push((number & 127) as u8 | 128);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Writes a string.
    pub fn string(&mut self, string: &str) {
        let number = match self.numbers.get(string) {
            Some(number) => *number,
            None => {
                let number = self.strings.len() as u64;
                self.strings.push(string.to_owned());
                self.numbers.insert(string.to_owned(), number);
                number
            }
        };
        self.number(number);
    }

    /// Writes the length of a list, then each item with `each`.
    pub fn list<T>(&mut self, list: &[T], mut each: impl FnMut(&mut Writer, &T)) {
        self.number(list.len() as u64);
        for item in list {
            each(self, item);
        }
    }

    fn strings(&mut self, list: &[&str]) {
        self.list(list, |w, s| w.string(s));
    }

    fn option<T>(&mut self, option: &Option<T>, each: impl FnOnce(&mut Writer, &T)) {
        match option {
            None => self.number(0),
            Some(value) => {
                self.number(1);
                each(self, value);
            }
        }
    }

    fn literal(&mut self, literal: &Literal<'_>) {
        match literal {
            Literal::Bool(b) => self.number(u64::from(*b)),
            Literal::Number(n) => {
                self.number(2);
                self.string(&n.to_string());
            }
            Literal::String(s) => {
                self.number(3);
                self.string(s);
            }
        }
    }

    /// Writes a node.
    pub fn node(&mut self, node: &Node<'_>) {
        let bit = |there: bool, bit: u64| if there { bit } else { 0 };
        self.number(u64::from(node.types));
        self.number(u64::from(node.flags));
        self.number(
            bit(node.items.is_some(), ITEMS)
                | bit(node.values.is_some(), VALUES)
                | bit(node.limits.is_some(), LIMITS)
                | bit(node.rules.is_some(), RULES)
                | bit(node.merge.is_some(), MERGE)
                | bit(!node.fields.is_empty(), FIELDS),
        );
        if !node.fields.is_empty() {
            self.list(&node.fields, |w, field| {
                w.string(field.name);
                w.number(u64::from(field.node));
                let marks = u64::from(field.required) | u64::from(field.read_only) << 1;
                w.number(u64::from(field.position) << 2 | marks);
            });
        }
        for id in [node.items, node.values].into_iter().flatten() {
            self.number(u64::from(id));
        }
        if let Some(limits) = &node.limits {
            self.limits(limits);
        }
        if let Some(rules) = &node.rules {
            self.rules(rules);
        }
        if let Some(merge) = &node.merge {
            self.number(u64::from(merge.atomic) | u64::from(merge.set) << 1);
            self.strings(&merge.keys);
            self.option(&merge.default, |w, l| w.literal(l));
        }
    }

    fn limits(&mut self, limits: &Limits<'_>) {
        self.list(&limits.allowed, |w, l| w.literal(l));
        self.option(&limits.pattern, |w, p| w.string(p.text()));
        let numbers = [
            limits.minimum,
            limits.maximum,
            limits.below,
            limits.above,
            limits.multiple_of,
        ];
        let sizes = [
            limits.min_length,
            limits.max_length,
            limits.min_count,
            limits.max_count,
        ];
        let there = numbers
            .iter()
            .map(Option::is_some)
            .chain(sizes.iter().map(Option::is_some));
        let bits = there
            .enumerate()
            .fold(0, |bits, (i, there)| bits | u64::from(there) << i);
        self.number(bits);
        for number in numbers.into_iter().flatten() {
            self.string(&number.to_string());
        }
        for size in sizes.into_iter().flatten() {
            self.number(u64::from(size));
        }
    }

    fn rules(&mut self, rules: &Rules<'_>) {
        for ids in [&rules.all, &rules.any, &rules.one, &rules.first_items] {
            self.list(ids, |w, id| w.number(u64::from(*id)));
        }
        self.option(&rules.not, |w, id| w.number(u64::from(*id)));
        self.option(&rules.condition, |w, (condition, then, otherwise)| {
            w.number(u64::from(*condition));
            w.option(then, |w, id| w.number(u64::from(*id)));
            w.option(otherwise, |w, id| w.number(u64::from(*id)));
        });
        for groups in [&rules.exactly_one, &rules.at_most_one, &rules.at_least_one] {
            self.list(groups, |w, keys| w.strings(keys));
        }
        for pairs in [&rules.needs, &rules.excludes] {
            self.list(pairs, |w, (key, others)| {
                w.string(key);
                w.strings(others);
            });
        }
        self.list(&rules.patterns, |w, (pattern, id)| {
            w.string(pattern.text());
            w.number(u64::from(*id));
        });
        self.strings(&rules.unique_keys);
    }
}

/// The table of a chunk's strings.
#[derive(Debug)]
pub struct Strings {
    text: &'static str,
    ends: Vec<u32>,
}

/// A reader of the format of [`Writer`].
#[derive(Debug)]
pub struct Reader {
    bytes: &'static [u8],
    at: usize,
}

impl Reader {
    /// Reads the strings of a chunk and returns them with the remaining bytes.
    pub fn chunk(bytes: &'static [u8]) -> (Strings, &'static [u8]) {
        let mut reader = Reader { bytes, at: 0 };
        let count = reader.number();
        let mut end = 0;
        let mut ends = Vec::with_capacity(count as usize);
        for _ in 0..count {
            end += reader.number() as u32;
            ends.push(end);
        }
        let rest = &bytes[reader.at..];
        let (text, rest) = rest.split_at(end as usize);
        let text = std::str::from_utf8(text).unwrap_or_default();
        (Strings { text, ends }, rest)
    }

    /// Creates a reader that starts at a position after the strings.
    pub fn at(bytes: &'static [u8], at: usize) -> Reader {
        Reader { bytes, at }
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return number;
            }
            shift += 7;
        }
    }

    /// Reads a string.
    #[inline]
    pub fn string(&mut self, strings: &Strings) -> &'static str {
        let index = self.number() as usize;
        let start = if index == 0 { 0 } else { strings.ends[index - 1] };
        &strings.text[start as usize..strings.ends[index] as usize]
    }

    /// Reads a list.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Reader) -> T) -> Vec<T> {
        let count = self.number();
        (0..count).map(|_| each(self)).collect()
    }

    /// Reads a list of strings.
    pub fn strings(&mut self, strings: &Strings) -> Vec<&'static str> {
        self.list(|r| r.string(strings))
    }

    fn option<T>(&mut self, each: impl FnOnce(&mut Reader) -> T) -> Option<T> {
        (self.number() == 1).then(|| each(self))
    }

    fn decimal(&mut self, strings: &Strings) -> Decimal {
        self.string(strings).parse().unwrap_or(Decimal::ZERO)
    }

    fn literal(&mut self, strings: &Strings) -> Literal<'static> {
        match self.number() {
            0 => Literal::Bool(false),
            1 => Literal::Bool(true),
            2 => Literal::Number(self.decimal(strings)),
            _ => Literal::String(self.string(strings)),
        }
    }

    /// Reads a node.
    pub fn node(&mut self, strings: &Strings) -> Node<'static> {
        let mut node = Node {
            types: self.number() as u8,
            flags: self.number() as u16,
            ..Node::default()
        };
        let there = self.number();
        if there & FIELDS != 0 {
            node.fields = self.list(|r| {
                let (name, id, marks) = (r.string(strings), r.number() as NodeId, r.number());
                let (required, read_only) = (marks & 1 != 0, marks & 2 != 0);
                Field {
                    name,
                    node: id,
                    position: (marks >> 2) as u16,
                    required,
                    read_only,
                }
            });
            node.required = node.fields.iter().filter(|field| field.required).count() as u16;
        }
        node.items = (there & ITEMS != 0).then(|| self.number() as NodeId);
        node.values = (there & VALUES != 0).then(|| self.number() as NodeId);
        node.limits = (there & LIMITS != 0).then(|| Box::new(self.limits(strings)));
        node.rules = (there & RULES != 0).then(|| Box::new(self.rules(strings)));
        node.merge = (there & MERGE != 0).then(|| {
            let marks = self.number();
            Box::new(Merge {
                atomic: marks & 1 != 0,
                set: marks & 2 != 0,
                keys: self.strings(strings),
                default: self.option(|r| r.literal(strings)),
            })
        });
        node
    }

    fn limits(&mut self, strings: &Strings) -> Limits<'static> {
        let allowed = self.list(|r| r.literal(strings));
        let pattern = self.option(|r| Pattern::new(r.string(strings)));
        let there = self.number();
        let mut decimal = |bit: u32| (there >> bit & 1 == 1).then(|| self.decimal(strings));
        let (minimum, maximum, below) = (decimal(0), decimal(1), decimal(2));
        let (above, multiple_of) = (decimal(3), decimal(4));
        let mut size = |bit: u32| (there >> bit & 1 == 1).then(|| self.number() as u32);
        let (min_length, max_length, min_count, max_count) = (size(5), size(6), size(7), size(8));
        Limits {
            allowed,
            pattern,
            minimum,
            maximum,
            below,
            above,
            multiple_of,
            min_length,
            max_length,
            min_count,
            max_count,
        }
    }

    fn rules(&mut self, strings: &Strings) -> Rules<'static> {
        let mut ids = || self.list(|r| r.number() as NodeId);
        let (all, any, one, first_items) = (ids(), ids(), ids(), ids());
        let not = self.option(|r| r.number() as NodeId);
        let condition = self.option(|r| {
            let condition = r.number() as NodeId;
            let then = r.option(|r| r.number() as NodeId);
            (condition, then, r.option(|r| r.number() as NodeId))
        });
        let mut groups = || self.list(|r| r.strings(strings));
        let (exactly_one, at_most_one, at_least_one) = (groups(), groups(), groups());
        let mut pairs = || self.list(|r| (r.string(strings), r.strings(strings)));
        let (needs, excludes) = (pairs(), pairs());
        let patterns = self.list(|r| (Pattern::new(r.string(strings)), r.number() as NodeId));
        let unique_keys = self.strings(strings);
        Rules {
            all,
            any,
            one,
            not,
            condition,
            exactly_one,
            at_most_one,
            at_least_one,
            needs,
            excludes,
            patterns,
            first_items,
            unique_keys,
        }
    }
}
