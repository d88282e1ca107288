//! Validates documents against the JSON Schemas that are published for editors, with messages of its own.
//!
//! The schemas are the only description of the kinds, so an editor and the loader accept the same documents.

mod bundle;
mod check;
mod schema;
mod schema_file;
mod wording;

use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{
    Diagnostic, Diagnostics, did_you_mean, missing_key, not_in_this_version, one_of, shown,
};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Files;

use crate::document::DocumentKind;
use check::{Checker, SchemaContext, found, lacking};
use schema::Schemas;
pub(crate) use schema_file::{SchemaFile, schema_file};

/// Kinds that are planned and not supported yet.
const LATER: [&str; 3] = ["Dataset", "Connector", "Policy"];

/// Returns the names of the published schemas: the kinds in lower case, `module-test`, and `stack` for any document.
pub fn schema_names() -> impl Iterator<Item = &'static str> {
    SchemaFile::all().map(SchemaFile::name)
}

/// Returns the published JSON Schema with a name of [`schema_names`], in any case.
pub fn schema(name: &str) -> Option<String> {
    let file = SchemaFile::all().find(|file| file.name().eq_ignore_ascii_case(name))?;
    // JSON that was just read can always be written.
    let text = serde_json::to_string_pretty(&bundle::bundle(file)).unwrap_or_default();
    Some(text + "\n")
}

/// Validates a document and returns its kind. Reports every problem of an invalid document, and returns `None` for it.
///
/// An empty document is ignored.
pub fn validate(document: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Option<DocumentKind> {
    let kind = kind_of(document, diagnostics)?;
    let checker = Checker {
        schemas: kind.schema().schemas(),
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
    let schemas = schema_file::MODULE_TEST.schemas();
    report(
        Checker { schemas, files }.problems(Schemas::WHOLE, document, SchemaContext::Document("test")),
        diagnostics,
    )
}

/// Returns the kind that a document declares.
pub(crate) fn kind(document: &Node) -> Option<DocumentKind> {
    let word = document.get("kind")?.as_str()?;
    DocumentKind::ALL
        .iter()
        .copied()
        .find(|kind| kind.as_str() == word)
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
    let kinds = || DocumentKind::ALL.iter().map(|kind| kind.as_str());
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
            not_in_this_version(&format!("the kind `{later}`"))
                .at(node.span, "")
                .help("remove this document")
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
