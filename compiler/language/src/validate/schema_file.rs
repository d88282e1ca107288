//! The files in `schemas/`: one for each kind of document, and those that belong to no kind.
//!
//! A file refers to a definition in another file as `common.schema.json#/definitions/name`, so that each definition exists once.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::schema::Schemas;
use crate::document::DocumentKind;

/// The end of the name of every file in `schemas/`.
const EXTENSION: &str = ".schema.json";

/// A file in `schemas/`. It is read when it is first needed.
pub(crate) struct SchemaFile {
    name: &'static str,
    text: &'static str,
    json: OnceLock<Json>,
    schemas: OnceLock<Schemas>,
}

/// The embedded file `schemas/NAME.schema.json`.
macro_rules! schema_file {
    ($name:literal) => {
        SchemaFile::new(
            $name,
            include_str!(concat!("../../../../schemas/", $name, ".schema.json")),
        )
    };
}
pub(crate) use schema_file;

/// The schema of a test case of a module.
pub(super) static MODULE_TEST: SchemaFile = schema_file!("module-test");

/// The schema of a document of any kind.
static STACK: SchemaFile = schema_file!("stack");

/// Definitions that several files use. It is not a schema of anything.
pub(super) static COMMON: SchemaFile = schema_file!("common");

impl SchemaFile {
    pub(crate) const fn new(name: &'static str, text: &'static str) -> SchemaFile {
        SchemaFile {
            name,
            text,
            json: OnceLock::new(),
            schemas: OnceLock::new(),
        }
    }

    /// Returns every file that is the schema of something: the kinds in their order, then the test cases and the stack.
    pub(super) fn all() -> impl Iterator<Item = &'static SchemaFile> {
        let kinds = DocumentKind::ALL.iter().map(|kind| kind.schema());
        kinds.chain([&MODULE_TEST, &STACK])
    }

    /// Returns the file to which a reference points, and the JSON pointer in it. `self` is the file that contains the reference.
    pub(super) fn resolve<'r>(&'static self, reference: &'r str) -> (&'static SchemaFile, &'r str) {
        let (path, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let name = path.strip_suffix(EXTENSION).unwrap_or(path);
        let mut files = SchemaFile::all().chain([&COMMON]);
        let file = files.find(|file| file.name == name).unwrap_or(self);
        (file, pointer)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn json(&self) -> &Json {
        self.json
            .get_or_init(|| serde_json::from_str(self.text).unwrap_or_default())
    }

    /// Returns the schemas of the file in the form that is quick to check.
    pub(super) fn schemas(&'static self) -> &'static Schemas {
        self.schemas.get_or_init(|| Schemas::read(self))
    }
}
