//! Holds documents against the JSON Schemas that are published for editors, and says what is wrong in words of our own.
//!
//! The schemas are the only description of the kinds: what an editor accepts is what the loader accepts. A new kind is a
//! schema in `schemas/`, a line in [`Kind`], and a type in [`crate::document`].

mod check;
mod schema;
mod words;

use std::sync::OnceLock;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed, shown};
use crate::node::{Node, NodeKind};
use crate::source::Files;
use check::{Checker, Place, lacking};
use schema::Schemas;

/// What a document describes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// What all of a stack has in common.
    Platform,
    /// Where it runs.
    Environment,
    /// For whom.
    Tenant,
    /// A use of a module.
    Component,
    /// Steps that run one after the other.
    Pipeline,
    /// A recipe.
    Module,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [
        Kind::Platform,
        Kind::Environment,
        Kind::Tenant,
        Kind::Component,
        Kind::Pipeline,
        Kind::Module,
    ];

    /// The word for it, as `kind` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Platform => "Platform",
            Kind::Environment => "Environment",
            Kind::Tenant => "Tenant",
            Kind::Component => "Component",
            Kind::Pipeline => "Pipeline",
            Kind::Module => "Module",
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
    ("platform", include_str!("../../../schemas/platform.schema.json")),
    (
        "environment",
        include_str!("../../../schemas/environment.schema.json"),
    ),
    ("tenant", include_str!("../../../schemas/tenant.schema.json")),
    (
        "component",
        include_str!("../../../schemas/component.schema.json"),
    ),
    ("pipeline", include_str!("../../../schemas/pipeline.schema.json")),
    ("module", include_str!("../../../schemas/module.schema.json")),
    (
        "module-test",
        include_str!("../../../schemas/module-test.schema.json"),
    ),
    ("stack", include_str!("../../../schemas/stack.schema.json")),
];

/// Kinds that the design has and this version has not.
const LATER: [&str; 3] = ["Dataset", "Connector", "Policy"];

/// The published schema of a kind, in JSON: one of [`KINDS`], in any case.
pub fn schema(kind: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
        .map(|(_, text)| *text)
}

/// The kind of a document that is valid. Everything that is wrong with one that is not is reported.
///
/// An empty document is none, and nothing is said of it.
pub fn validate(document: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let kind = kind_of(document, diagnostics)?;
    let checker = Checker {
        schemas: kind.schemas(),
        files,
    };
    report(
        checker.problems(Schemas::WHOLE, document, Place::Document(kind.as_str())),
        diagnostics,
    )
    .then_some(kind)
}

/// Whether a case of a module, a file in its `tests` folder, is valid. Everything that is wrong with it is reported.
pub fn validate_test(document: &Node, files: &Files, diagnostics: &mut Diagnostics) -> bool {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| Schemas::read(FILES[6].1));
    report(
        Checker { schemas, files }.problems(Schemas::WHOLE, document, Place::Document("test")),
        diagnostics,
    )
}

/// The kind that a document says it is.
pub(crate) fn kind(document: &Node) -> Option<Kind> {
    let word = document.get("kind")?.as_str()?;
    Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

fn kind_of(document: &Node, diagnostics: &mut Diagnostics) -> Option<Kind> {
    if document.is_null() || document.kind == NodeKind::Wrong {
        return None;
    }
    if !matches!(document.kind, NodeKind::Map(_)) {
        diagnostics.push(
            Diagnostic::new(Code::WrongType, "a document has to be a map")
                .at(document.span.first(), "something else begins here")
                .help("begin with `kind: Component`, or with another kind"),
        );
        return None;
    }
    let kinds = || Kind::ALL.into_iter().map(Kind::as_str);
    let Some(node) = document.get("kind") else {
        let span = lacking(document, Place::Document(""));
        let problem = Diagnostic::new(Code::MissingField, "this document has no `kind`")
            .at(span, "a document of what?");
        let misspelt = document
            .entries()
            .iter()
            .find(|(key, _)| terrace_catalog::nearest(key, ["kind"].into_iter()).is_some());
        diagnostics.push(match misspelt {
            Some((_, value)) => problem.replace(value.key, "kind", "`kind` may be meant"),
            None => problem.help(format!("say what it describes: {}", listed(kinds()))),
        });
        return None;
    };
    if node.kind == NodeKind::Wrong {
        return None;
    }
    let Some(word) = node.as_str() else {
        diagnostics.push(
            Diagnostic::new(Code::WrongType, "`kind` has to be text")
                .at(node.span, "this is something else")
                .help(format!("the kinds are {}", listed(kinds()))),
        );
        return None;
    };
    let kind = kind(document);
    if kind.is_none() {
        let later = terrace_catalog::nearest(word, LATER.into_iter());
        diagnostics.push(if let Some(later) = later {
            Diagnostic::new(
                Code::NotInThisVersion,
                format!("the kind `{later}` is not in this version"),
            )
            .at(node.span, "cannot be used yet")
        } else {
            Diagnostic::new(Code::UnknownKind, format!("no kind is named `{}`", shown(word)))
                .at(node.span, "no such kind")
                .nearest(node.span, word, kinds())
                .note(format!("the kinds are {}", listed(kinds())))
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
