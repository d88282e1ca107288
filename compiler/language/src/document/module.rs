//! Module: a reusable, versioned recipe of resources, with typed inputs.

use std::cmp::Ordering;

use semver::Version;
use terrace_artifact::Text;
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

use super::DocumentType;
use super::body::Body;
use super::decode::{here, keyed, name, parsed, text, texts, word};
use super::fields::{Clearance, ModuleUse, Waiver, clearances, module_use, waivers};
use crate::module::inputs::InputSchema;
use crate::validate::{SchemaFile, schema_file};

/// A module: a versioned recipe.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name.
    pub name: Spanned<Text>,
    /// The version.
    pub version: Spanned<Version>,
    /// The status.
    pub status: Spanned<Status>,
    /// The module that replaces this one.
    pub replaced_by: Option<ModuleUse>,
    /// A summary in one line.
    pub summary: Spanned<Text>,
    /// The capabilities.
    pub capabilities: Vec<Spanned<Text>>,
    /// The supported formats.
    pub formats: Vec<Spanned<Text>>,
    /// The highest confidentiality of data that the module may process.
    pub clearance: Option<Spanned<Clearance>>,
    /// The certifications.
    pub certifications: Vec<Spanned<Text>>,
    /// The declared inputs.
    pub inputs: Vec<Input>,
    /// The resources and related declarations.
    pub body: Body,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The whole document.
    pub node: Node,
}

/// The status of a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// The module can be used.
    Active,
    /// The module can be used, but the compiler warns.
    Deprecated,
    /// New components cannot use the module.
    Sunset,
    /// The module cannot be used.
    Archived,
}

/// An input of a module.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name.
    pub name: Spanned<Text>,
    /// The schema of its values.
    pub schema: InputSchema,
}

impl DocumentType for Module {
    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("module");
        &SCHEMA
    }

    fn decode(node: Node) -> Module {
        let statuses = [
            ("active", Status::Active),
            ("deprecated", Status::Deprecated),
            ("sunset", Status::Sunset),
            ("archived", Status::Archived),
        ];
        Module {
            name: name(&node),
            version: parsed(&node, "version").unwrap_or(here(&node, Version::new(0, 0, 0))),
            status: word(&node, "status", &statuses).unwrap_or(here(&node, Status::Active)),
            replaced_by: node.get("replaced_by").map(module_use),
            summary: text(&node, "summary").unwrap_or(here(&node, Text::default())),
            capabilities: texts(&node, "capabilities"),
            formats: texts(&node, "formats"),
            clearance: word(&node, "clearance", &clearances()),
            certifications: texts(&node, "certifications"),
            inputs: keyed(node.get("inputs"), InputSchema::decode)
                .into_iter()
                .map(|(name, schema)| Input { name, schema })
                .collect(),
            body: Body::decode(&node),
            waivers: waivers(&node),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }

    fn order(&self, other: &Module) -> Ordering {
        (&self.name.value, &self.version.value).cmp(&(&other.name.value, &other.version.value))
    }

    fn title(&self) -> String {
        format!("`{}` {}", self.name.value, self.version.value)
    }
}
