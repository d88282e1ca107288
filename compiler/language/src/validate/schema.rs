//! JSON Schemas, read once into a form that is quick to check.
//!
//! Only the keywords that `schemas/` uses are known; a test fails when a schema uses another.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_lite::Regex;
use serde_json::Value as Json;
use terrace_artifact::{Decimal, Text, Value};

use super::schema_file::SchemaFile;

/// Every keyword that a schema may use. Those with `x-` are extensions for messages.
#[cfg(test)]
pub(super) const KEYWORDS: &[&str] = &[
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "doNotSuggest",
    "else",
    "enum",
    "examples",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "x-not-in-this-version",
    "x-say",
    "x-unit",
];

/// The index of a schema in [`Schemas`].
pub(super) type Id = usize;

/// The schemas of one file. The schema of the whole document is the first.
pub(super) struct Schemas {
    list: Vec<Schema>,
}

/// One schema.
#[derive(Default)]
pub(super) struct Schema {
    /// The allowed types.
    pub(super) types: Types,
    /// The allowed values, from `enum` or `const`.
    pub(super) values: Option<Vec<Value>>,
    pub(super) pattern: Option<Pattern>,
    /// Whether the value must be a regular expression, from `format`.
    pub(super) regex: bool,
    /// The minimum and maximum number of characters.
    pub(super) length: Bounds,
    pub(super) minimum: Option<Decimal>,
    pub(super) maximum: Option<Decimal>,
    /// The exclusive minimum.
    pub(super) above: Option<Decimal>,
    pub(super) items: Option<Id>,
    pub(super) count: Bounds,
    pub(super) unique: bool,
    pub(super) properties: Vec<(Text, Id)>,
    pub(super) required: Vec<Text>,
    pub(super) others: Others,
    pub(super) names: Option<Id>,
    pub(super) entries: Bounds,
    pub(super) all: Vec<Id>,
    pub(super) any: Vec<Id>,
    /// Keys of which exactly one must be present, each with its schema of the whole map.
    pub(super) one: Vec<(Text, Id)>,
    pub(super) not: Option<Id>,
    /// `if`, `then` and `else`.
    pub(super) condition: Option<(Id, Option<Id>, Option<Id>)>,
    /// The message for a value that does not match.
    pub(super) say: Option<Text>,
    /// The part that this version does not support.
    pub(super) later: Option<Later>,
    /// Whether it is a number with a unit.
    pub(super) unit: bool,
}

/// A part of a schema that this version does not support.
pub(super) enum Later {
    /// The key.
    Key,
    /// Modules of a kind, as a plural noun.
    Named(Text),
}

/// The rule for keys that `properties` does not list.
#[derive(Default, Clone, Copy)]
pub(super) enum Others {
    /// Any other key is allowed.
    #[default]
    Any,
    /// No other key is allowed.
    Refused,
    /// Any other key is allowed, with a value of this schema.
    Of(Id),
}

/// The minimum and maximum of a count.
#[derive(Default, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: Option<usize>,
    pub(super) most: Option<usize>,
}

/// A set of types.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

/// A regular expression, compiled when it is first needed.
pub(super) struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Schema {
    /// Returns whether the schema describes an expression: a string with braces.
    pub(super) fn is_expression(&self) -> bool {
        self.pattern
            .as_ref()
            .is_some_and(|pattern| pattern.text == r"\{\{")
    }
}

impl Pattern {
    /// Returns whether a string matches. A test ensures that every pattern of the schemas compiles.
    pub(super) fn fits(&self, text: &str) -> bool {
        let regex = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl Default for Types {
    fn default() -> Types {
        Types::ALL
    }
}

impl Types {
    pub(super) const ALL: Types = Types(0x7f);
    pub(super) const NONE: Types = Types(0);
    pub(super) const NULL: Types = Types(1);
    pub(super) const BOOLEAN: Types = Types(2);
    pub(super) const INTEGER: Types = Types(4);
    /// Numbers with a fraction. `number` is these and [`Types::INTEGER`].
    pub(super) const FRACTION: Types = Types(8);
    pub(super) const STRING: Types = Types(16);
    pub(super) const ARRAY: Types = Types(32);
    pub(super) const OBJECT: Types = Types(64);

    pub(super) fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub(super) fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub(super) fn has(self, other: Types) -> bool {
        self.0 & other.0 == other.0
    }

    fn named(name: &str) -> Types {
        match name {
            "null" => Types::NULL,
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::INTEGER.or(Types::FRACTION),
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::NONE,
        }
    }

    fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if number.is_integer() => Types::INTEGER,
            Value::Number(_) => Types::FRACTION,
            Value::String(_) => Types::STRING,
            Value::List(_) => Types::ARRAY,
            Value::Map(_) => Types::OBJECT,
        }
    }

    /// Returns the words for these types, such as `a string or a list`.
    pub(super) fn words(self) -> String {
        let mut words: Vec<&str> = [
            (Types::STRING, "a string"),
            (Types::INTEGER.or(Types::FRACTION), "a number"),
            (Types::BOOLEAN, "a boolean"),
            (Types::ARRAY, "a list"),
            (Types::OBJECT, "a map"),
            (Types::NULL, "`null`"),
        ]
        .into_iter()
        .filter_map(|(types, word)| self.has(types).then_some(word))
        .collect();
        if self.has(Types::INTEGER) && !self.has(Types::FRACTION) {
            words.insert(usize::from(self.has(Types::STRING)), "an integer");
        }
        match words.as_slice() {
            [front @ .., last] if !front.is_empty() => format!("{} or {last}", front.join(", ")),
            [one] => (*one).to_owned(),
            _ => "nothing".to_owned(),
        }
    }
}

impl Schemas {
    /// Reads a schema file, with the definitions of other files that it refers to.
    pub(super) fn read(file: &'static SchemaFile) -> Schemas {
        let mut reader = Reader {
            file,
            schemas: Vec::new(),
            known: BTreeMap::new(),
        };
        reader.schema("", file.json());
        let list = reader
            .schemas
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        let mut schemas = Schemas { list };
        for id in 0..schemas.list.len() {
            let types = schemas.types_of_choices(id);
            schemas.list[id].types = schemas.list[id].types.and(types);
        }
        schemas
    }

    /// The schema of the whole document.
    pub(super) const WHOLE: Id = 0;

    /// Returns the schema with an ID.
    pub(super) fn get(&self, id: Id) -> &Schema {
        &self.list[id]
    }

    /// Returns the types that the allowed values and alternatives of a schema leave.
    fn types_of_choices(&self, id: Id) -> Types {
        let schema = &self.list[id];
        let mut types = schema.types;
        if let Some(values) = &schema.values {
            types = types.and(values.iter().map(Types::of).fold(Types::NONE, Types::or));
        }
        if !schema.any.is_empty() {
            let any = schema.any.iter().map(|id| self.types_of_choices(*id));
            types = types.and(any.fold(Types::NONE, Types::or));
        }
        types
    }

    #[cfg(test)]
    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.list
            .iter()
            .filter_map(|schema| Some(schema.pattern.as_ref()?.text.as_str()))
    }
}

struct Reader {
    /// The file that is being read.
    file: &'static SchemaFile,
    schemas: Vec<Option<Schema>>,
    /// The schemas read so far, by file and JSON pointer, because definitions can refer to themselves.
    known: BTreeMap<(&'static str, String), Id>,
}

impl Reader {
    fn schema(&mut self, pointer: &str, json: &Json) -> Id {
        if let Some(reference) = json.get("$ref").and_then(Json::as_str) {
            return self.reference(reference);
        }
        let id = self.reserve(pointer);
        let schema = self.read(pointer, json);
        self.schemas[id] = Some(schema);
        id
    }

    /// Reads the schema that a reference points to, unless it was read before.
    fn reference(&mut self, reference: &str) -> Id {
        let (file, pointer) = self.file.resolve(reference);
        if let Some(id) = self.known.get(&(file.name(), pointer.to_owned())) {
            return *id;
        }
        let referring = std::mem::replace(&mut self.file, file);
        let id = match file.json().pointer(pointer) {
            Some(json) => self.schema(pointer, json),
            None => self.reserve(pointer),
        };
        self.file = referring;
        id
    }

    /// Returns the id of a schema that is not read yet.
    fn reserve(&mut self, pointer: &str) -> Id {
        let id = self.schemas.len();
        self.schemas.push(None);
        self.known.insert((self.file.name(), pointer.to_owned()), id);
        id
    }

    fn read(&mut self, pointer: &str, json: &Json) -> Schema {
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let size = |key: &str| {
            json.get(key)
                .and_then(Json::as_u64)
                .and_then(|n| usize::try_from(n).ok())
        };
        let number = |key: &str| json.get(key).map(Value::from_json).and_then(|n| n.as_number());
        let bounds = |least, most| Bounds {
            least: size(least),
            most: size(most),
        };
        let inside = |reader: &mut Self, key: &str| {
            json.get(key)
                .map(|json| reader.schema(&format!("{pointer}/{key}"), json))
        };
        let list = |reader: &mut Self, key: &str| -> Vec<Id> {
            let items = json
                .get(key)
                .and_then(Json::as_array)
                .map_or(&[][..], Vec::as_slice);
            let items = items.iter().enumerate();
            items
                .map(|(i, json)| reader.schema(&format!("{pointer}/{key}/{i}"), json))
                .collect()
        };
        let strings = |json: Option<&Json>| -> Vec<Text> {
            let items = json.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
            items.iter().filter_map(Json::as_str).map(Text::new).collect()
        };
        let one = list(self, "oneOf");
        let keys = json
            .get("oneOf")
            .and_then(Json::as_array)
            .map_or(&[][..], Vec::as_slice);
        let keys = keys
            .iter()
            .filter_map(|json| strings(json.get("required")).into_iter().next());
        let properties = json.get("properties").and_then(Json::as_object);
        Schema {
            types: match json.get("type") {
                None => Types::ALL,
                Some(Json::String(name)) => Types::named(name),
                names => strings(names)
                    .iter()
                    .map(|name| Types::named(name))
                    .fold(Types::NONE, Types::or),
            },
            values: match (json.get("const"), json.get("enum").and_then(Json::as_array)) {
                (Some(only), _) => Some(vec![Value::from_json(only)]),
                (None, Some(values)) => Some(values.iter().map(Value::from_json).collect()),
                (None, None) => None,
            },
            pattern: text("pattern").map(|text| Pattern {
                text: text.to_owned(),
                compiled: OnceLock::new(),
            }),
            regex: text("format") == Some("regex"),
            length: bounds("minLength", "maxLength"),
            minimum: number("minimum"),
            maximum: number("maximum"),
            above: number("exclusiveMinimum"),
            items: inside(self, "items"),
            count: bounds("minItems", "maxItems"),
            unique: json.get("uniqueItems") == Some(&Json::Bool(true)),
            properties: properties
                .into_iter()
                .flatten()
                .map(|(key, json)| {
                    (
                        key.into(),
                        self.schema(&format!("{pointer}/properties/{key}"), json),
                    )
                })
                .collect(),
            required: strings(json.get("required")),
            others: match json.get("additionalProperties") {
                None | Some(Json::Bool(true)) => Others::Any,
                Some(Json::Bool(false)) => Others::Refused,
                Some(json) => Others::Of(self.schema(&format!("{pointer}/additionalProperties"), json)),
            },
            names: inside(self, "propertyNames"),
            entries: bounds("minProperties", "maxProperties"),
            all: list(self, "allOf"),
            any: list(self, "anyOf"),
            one: keys.zip(one).collect(),
            not: inside(self, "not"),
            condition: inside(self, "if").map(|id| (id, inside(self, "then"), inside(self, "else"))),
            say: text("x-say").map(Text::new),
            later: match json.get("x-not-in-this-version") {
                Some(Json::String(what)) => Some(Later::Named(what.into())),
                Some(Json::Bool(true)) => Some(Later::Key),
                _ => None,
            },
            unit: json.get("x-unit") == Some(&Json::Bool(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::bundle::bundle;
    use crate::validate::schema_file::COMMON;

    /// Returns the published schemas by name.
    fn published() -> impl Iterator<Item = (&'static str, Json)> {
        SchemaFile::all().map(|file| (file.name(), bundle(file)))
    }

    /// Calls `visit` for every schema within a schema.
    fn walk(json: &Json, path: &str, visit: &mut impl FnMut(&str, &serde_json::Map<String, Json>)) {
        let Json::Object(map) = json else {
            assert!(json.is_boolean(), "{path}: neither a schema nor a boolean");
            return;
        };
        visit(path, map);
        for (keyword, value) in map {
            let path = format!("{path}/{keyword}");
            match keyword.as_str() {
                "properties" | "definitions" => {
                    value
                        .as_object()
                        .unwrap()
                        .iter()
                        .for_each(|(k, v)| walk(v, &format!("{path}/{k}"), visit));
                }
                "allOf" | "anyOf" | "oneOf" => {
                    value
                        .as_array()
                        .unwrap()
                        .iter()
                        .for_each(|v| walk(v, &path, visit));
                }
                "items" | "additionalProperties" | "propertyNames" | "not" | "if" | "then" | "else" => {
                    walk(value, &path, visit);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn schemas_use_no_keyword_that_is_not_checked() {
        for (name, json) in published() {
            walk(&json, name, &mut |path, schema| {
                for keyword in schema.keys() {
                    assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: `{keyword}`");
                }
                // Draft 7 ignores keywords next to `$ref`, and so does the checker.
                if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
                    assert!(json.pointer(&reference[1..]).is_some(), "{path}: {reference}");
                    let beside = schema
                        .keys()
                        .all(|k| ["$ref", "description", "default", "examples"].contains(&k.as_str()));
                    assert!(beside, "{path}: a keyword next to `$ref` that is ignored");
                }
                for one in schema.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
                    assert_eq!(
                        one["required"].as_array().map(Vec::len),
                        Some(1),
                        "{path}: `oneOf` chooses by keys"
                    );
                    assert!(schema.contains_key("x-say"), "{path}: no `x-say` for the choice");
                }
                if schema.contains_key("pattern")
                    && !path.ends_with("/if/properties/type")
                    && !path.contains("/not/")
                {
                    assert!(schema.contains_key("x-say"), "{path}: no `x-say` for the pattern");
                }
                if schema.contains_key("uniqueItems") {
                    let of_text = schema.get("items").is_some();
                    assert!(of_text, "{path}: `uniqueItems` without `items`");
                }
                for keyword in ["const", "enum"] {
                    let value = schema.get(keyword).cloned().unwrap_or_default();
                    let scalars = value.as_array().cloned().unwrap_or(vec![value]);
                    assert!(
                        scalars.iter().all(|v| !v.is_object()),
                        "{path}: a map in `{keyword}`"
                    );
                }
            });
        }
    }

    #[test]
    fn the_only_format_is_that_of_patterns() {
        for (name, json) in published() {
            walk(&json, name, &mut |path, schema| {
                let format = schema.get("format").and_then(Json::as_str);
                assert!(matches!(format, None | Some("regex")), "{path}: {format:?}");
            });
        }
    }

    #[test]
    fn every_pattern_compiles() {
        for file in SchemaFile::all() {
            for pattern in file.schemas().patterns() {
                assert!(Regex::new(pattern).is_ok(), "{}: {pattern}", file.name());
            }
        }
    }

    #[test]
    fn every_property_is_described() {
        for (name, json) in published() {
            walk(&json, name, &mut |path, schema| {
                for (key, property) in schema
                    .get("properties")
                    .and_then(Json::as_object)
                    .into_iter()
                    .flatten()
                {
                    let conditional = ["/if", "/then", "/else", "/oneOf"]
                        .iter()
                        .any(|word| path.contains(word));
                    let description = property.get("description").or_else(|| {
                        let target = property.get("$ref")?.as_str()?;
                        json.pointer(&target[1..])?.get("description")
                    });
                    assert!(
                        conditional || description.is_some(),
                        "{path}: `{key}` has no description"
                    );
                }
            });
        }
    }

    /// A bundle contains the targets of references under the last part of their pointers.
    #[test]
    fn every_reference_has_a_target_with_a_unique_name() {
        let mut targets: BTreeMap<String, (&str, String)> = BTreeMap::new();
        for file in SchemaFile::all().chain([&COMMON]) {
            walk(file.json(), file.name(), &mut |path, schema| {
                let Some(reference) = schema.get("$ref").and_then(Json::as_str) else {
                    return;
                };
                let (target, pointer) = file.resolve(reference);
                let exists = target.json().pointer(pointer).is_some();
                assert!(exists, "{path}: `{reference}` does not exist");
                let name = pointer.rsplit('/').next().unwrap_or_default().to_owned();
                let target = (target.name(), pointer.to_owned());
                // The reference to a kind has no pointer. The bundle contains the kind under its title.
                if !pointer.is_empty() {
                    let other = targets.entry(name).or_insert_with(|| target.clone());
                    assert_eq!(
                        *other, target,
                        "{path}: `{reference}` has the name of another target"
                    );
                }
            });
        }
        for file in SchemaFile::all().chain([&COMMON]) {
            let definitions = file.json().get("definitions").and_then(Json::as_object);
            for name in definitions.into_iter().flat_map(|definitions| definitions.keys()) {
                let used = targets
                    .get(name)
                    .is_some_and(|(target, _)| *target == file.name());
                assert!(used, "no schema refers to `{name}` in {}", file.name());
            }
        }
    }
}
