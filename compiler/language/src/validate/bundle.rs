//! The published schemas. Each is a single file that contains all its definitions, because a user may copy only one of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::schema_file::SchemaFile;

/// The address under which schemas are published.
const PUBLISHED: &str = "https://terrace.dev/schemas/v1/";

/// The key of a schema with its definitions.
const DEFINITIONS: &str = "definitions";

/// A schema that is being copied together with the definitions that it needs.
#[derive(Default)]
struct Bundle {
    definitions: BTreeMap<String, Json>,
}

/// Returns a schema with everything that it refers to.
pub(super) fn bundle(file: &'static SchemaFile) -> Json {
    let mut bundle = Bundle::default();
    let mut schema = Map::new();
    for (key, value) in file.json().as_object().into_iter().flatten() {
        if key != DEFINITIONS {
            schema.insert(key.clone(), bundle.copy(file, value));
        }
        if key == "$schema" {
            let id = format!("{PUBLISHED}{}.schema.json", file.name());
            schema.insert("$id".to_owned(), id.into());
        }
    }
    if !bundle.definitions.is_empty() {
        schema.insert(DEFINITIONS.to_owned(), bundle.definitions.into_iter().collect());
    }
    schema.into()
}

impl Bundle {
    /// Copies a part of a file. Its references then point into the bundle.
    fn copy(&mut self, file: &'static SchemaFile, json: &Json) -> Json {
        match json {
            Json::Object(map) => {
                let copy = |(key, value): (&String, &Json)| match (key.as_str(), value.as_str()) {
                    ("$ref", Some(reference)) => (key.clone(), self.include(file, reference).into()),
                    _ => (key.clone(), self.copy(file, value)),
                };
                map.iter().map(copy).collect()
            }
            Json::Array(items) => items.iter().map(|item| self.copy(file, item)).collect(),
            _ => json.clone(),
        }
    }

    /// Includes what a reference of a file points to, and returns the reference within the bundle.
    fn include(&mut self, file: &'static SchemaFile, reference: &str) -> String {
        let (file, pointer) = file.resolve(reference);
        let name = match pointer.rsplit_once('/') {
            Some((_, name)) => name,
            None => file.json()["title"].as_str().unwrap_or_default(),
        };
        if !self.definitions.contains_key(name) {
            // A definition can refer to itself.
            self.definitions.insert(name.to_owned(), Json::Null);
            let mut definition = file.json().pointer(pointer).cloned().unwrap_or_default();
            if let (true, Some(document)) = (pointer.is_empty(), definition.as_object_mut()) {
                document.retain(|key, _| key != "$schema" && key != DEFINITIONS);
            }
            let definition = self.copy(file, &definition);
            self.definitions.insert(name.to_owned(), definition);
        }
        format!("#/{DEFINITIONS}/{name}")
    }
}
