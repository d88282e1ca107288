//! Validates documents against the JSON Schemas that are published for editors, with messages of its own.
//!
//! The schemas are the only description of the kinds, so an editor and the loader accept the same documents. A new kind is a
//! schema in `schemas/`, a line in [`DocumentKind`], and a type in [`crate::document`].

mod check;
mod schema;
mod wording;

use std::sync::OnceLock;

use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{
    Diagnostic, Diagnostics, did_you_mean, missing_key, not_in_this_version, one_of, shown,
};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Files;

use check::{Checker, SchemaContext, found, lacking};
use schema::Schemas;

/// The kind of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// The settings that a whole stack shares.
    Platform,
    /// A place that a stack is deployed to: clusters, an account or a directory.
    Environment,
    /// A group of users that components are deployed for.
    Tenant,
    /// One use of a module, or resources of its own.
    Component,
    /// A workflow of steps.
    Pipeline,
    /// A reusable recipe for resources, with typed inputs.
    Module,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [DocumentKind; 6] = [
        DocumentKind::Platform,
        DocumentKind::Environment,
        DocumentKind::Tenant,
        DocumentKind::Component,
        DocumentKind::Pipeline,
        DocumentKind::Module,
    ];

    /// Returns the value of the key `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentKind::Platform => "Platform",
            DocumentKind::Environment => "Environment",
            DocumentKind::Tenant => "Tenant",
            DocumentKind::Component => "Component",
            DocumentKind::Pipeline => "Pipeline",
            DocumentKind::Module => "Module",
        }
    }

    fn schemas(self) -> &'static Schemas {
        static SCHEMAS: [OnceLock<Schemas>; 6] = [const { OnceLock::new() }; 6];
        SCHEMAS[self as usize].get_or_init(|| Schemas::read(FILES[self as usize].1))
    }
}

/// The names under which schemas are published: the kinds in lower case, `module-test`, and `stack` for any document.
pub const KINDS: [&str; 8] = [
    "platform",
    "environment",
    "tenant",
    "component",
    "pipeline",
    "module",
    "module-test",
    "stack",
];

/// The schema files, in the order of [`KINDS`].
const FILES: [(&str, &str); 8] = [
    (
        "platform",
        include_str!("../../../../schemas/platform.schema.json"),
    ),
    (
        "environment",
        include_str!("../../../../schemas/environment.schema.json"),
    ),
    ("tenant", include_str!("../../../../schemas/tenant.schema.json")),
    (
        "component",
        include_str!("../../../../schemas/component.schema.json"),
    ),
    (
        "pipeline",
        include_str!("../../../../schemas/pipeline.schema.json"),
    ),
    ("module", include_str!("../../../../schemas/module.schema.json")),
    (
        "module-test",
        include_str!("../../../../schemas/module-test.schema.json"),
    ),
    ("stack", include_str!("../../../../schemas/stack.schema.json")),
];

/// Kinds that are planned and not supported yet.
const LATER: [&str; 3] = ["Dataset", "Connector", "Policy"];

/// Returns the published JSON Schema of a kind. `kind` is one of [`KINDS`], in any case.
pub fn schema(kind: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
        .map(|(_, text)| *text)
}

/// Validates a document and returns its kind. Reports every problem of an invalid document, and returns `None` for it.
///
/// An empty document is ignored.
pub fn validate(document: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Option<DocumentKind> {
    let kind = kind_of(document, diagnostics)?;
    let checker = Checker {
        schemas: kind.schemas(),
        files,
    };
    report(
        checker.problems(Schemas::WHOLE, document, SchemaContext::Document(kind.as_str())),
        diagnostics,
    )
    .then_some(kind)
}

/// Validates a test case of a module, a file in its `tests` directory. Reports every problem and returns whether it is valid.
pub fn validate_test(document: &Node, files: &Files, diagnostics: &mut Diagnostics) -> bool {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| Schemas::read(FILES[6].1));
    report(
        Checker { schemas, files }.problems(Schemas::WHOLE, document, SchemaContext::Document("test")),
        diagnostics,
    )
}

/// Returns the kind that a document declares.
pub(crate) fn kind(document: &Node) -> Option<DocumentKind> {
    let word = document.get("kind")?.as_str()?;
    DocumentKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

fn kind_of(document: &Node, diagnostics: &mut Diagnostics) -> Option<DocumentKind> {
    if document.is_null() || document.kind == NodeKind::Wrong {
        return None;
    }
    if !matches!(document.kind, NodeKind::Map(_)) {
        diagnostics.push(
            Diagnostic::new(Code::WrongType, "a document must be a map")
                .at(document.span.first(), found(document))
                .help("start the document with its kind, such as `kind: Component`"),
        );
        return None;
    }
    let kinds = || DocumentKind::ALL.into_iter().map(DocumentKind::as_str);
    let Some(node) = document.get("kind") else {
        let span = lacking(document, SchemaContext::Document(""));
        let problem = missing_key("kind", "this document", span);
        let misspelt = document
            .entries()
            .iter()
            .find(|(key, _)| terrace_catalog::nearest(key, ["kind"].into_iter()).is_some());
        diagnostics.push(match misspelt {
            Some((_, value)) => problem.replace(value.key, "kind", did_you_mean("kind")),
            None => problem.help(format!("set `kind` to {}", one_of(kinds()))),
        });
        return None;
    };
    if node.kind == NodeKind::Wrong {
        return None;
    }
    let Some(word) = node.as_str() else {
        diagnostics.push(
            Diagnostic::new(Code::WrongType, "`kind` must be a string")
                .at(node.span, found(node))
                .help(format!("set `kind` to {}", one_of(kinds()))),
        );
        return None;
    };
    let kind = kind(document);
    if kind.is_none() {
        let later = terrace_catalog::nearest(word, LATER.into_iter());
        diagnostics.push(if let Some(later) = later {
            not_in_this_version(&format!("the kind `{later}`")).at(node.span, "")
        } else {
            Diagnostic::new(Code::UnknownKind, format!("no kind is named `{}`", shown(word)))
                .at(node.span, format!("expected {}", one_of(kinds())))
                .nearest(node.span, word, kinds())
        });
    }
    kind
}

fn report(problems: Vec<Diagnostic>, diagnostics: &mut Diagnostics) -> bool {
    let valid = problems.is_empty();
    for problem in problems {
        diagnostics.push(problem);
    }
    valid
}
