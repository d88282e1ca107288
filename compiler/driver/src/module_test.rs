//! Runs the test cases of a module: the files in its `tests/` directory.
//!
//! A case defines the environment, the tenant, the inputs and other documents that the module is used with.
//! The caller compares the output with the directory that has the name of the case.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rayon::prelude::*;
use terrace_artifact::Text;
use terrace_language::document::{ComponentSource, Document, DocumentKind};
use terrace_language::load;
use terrace_language::load::Read;
use terrace_language::validate;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Files, Sources, Span};
use terrace_syntax::yaml;

use crate::{Compiled, Emission, Request, compile_stack};

/// The file with the diagnostics of a case, next to its output.
pub const WORDS: &str = "diagnostics.txt";

/// The results of the test cases of a module.
#[derive(Debug, Default)]
pub struct Tested {
    /// The cases, in order of name.
    pub cases: Vec<Case>,
    /// The diagnostics of the module document. If it has errors, no case was run.
    pub diagnostics: Vec<Diagnostic>,
    /// The files of the spans.
    pub files: Files,
}

/// The result of one test case.
#[derive(Debug)]
pub struct Case {
    /// The name of its file, without the extension.
    pub name: String,
    /// The expected content of `tests/NAME/`, by path: the files of the component, and [`WORDS`] if there are diagnostics.
    pub files: BTreeMap<String, String>,
    /// The reason why the case fails, if the reason is not a difference in its directory.
    pub wrong: Option<String>,
    /// The diagnostics of the case.
    pub diagnostics: Vec<Diagnostic>,
    /// The files of the spans.
    pub sources: Files,
}

/// Returns whether a directory contains a module.
pub fn is_module(sources: &dyn Sources) -> bool {
    sources.read("module.yaml").is_ok()
}

/// Runs every test case of the module in this directory.
pub fn run(sources: &dyn Sources, request: &Request) -> Tested {
    let mut tested = Tested::default();
    let mut diagnostics = Diagnostics::new();
    let own = document(sources, "module.yaml", &mut tested.files, &mut diagnostics);
    if !matches!(own.as_slice(), [Document::Module(_)]) && !diagnostics.has_errors() {
        let message = "`module.yaml` must contain exactly one document of kind `Module`";
        diagnostics.push(Diagnostic::new(Code::UnknownModule, message));
    }
    if !diagnostics.has_errors() {
        let name = own[0].name().value.clone();
        let paths = sources.list("tests").unwrap_or_default();
        let names: Vec<String> = paths.iter().filter_map(|path| case_name(path)).collect();
        tested.cases = names
            .par_iter()
            .map(|case| run_case(sources, &name, case, request))
            .collect();
        tested.cases.sort_by(|a, b| a.name.cmp(&b.name));
    }
    tested.diagnostics = diagnostics.into_sorted();
    tested
}

fn case_name(path: &str) -> Option<String> {
    let name = path.strip_prefix("tests/")?.strip_suffix(".yaml")?;
    (!name.contains('/')).then(|| name.to_owned())
}

fn run_case(sources: &dyn Sources, module: &Text, name: &str, request: &Request) -> Case {
    let mut compiled = Compiled::default();
    let mut diagnostics = Diagnostics::new();
    let path = format!("tests/{name}.yaml");
    let expected = read_case(sources, &path, &mut compiled.files, &mut diagnostics).and_then(|case| {
        let expected = expected(&case);
        let mut documents = documents(&case, module, &compiled.files, &mut diagnostics);
        documents.extend(document(
            sources,
            "module.yaml",
            &mut compiled.files,
            &mut diagnostics,
        ));
        for name in beside(&documents) {
            let path = format!("../{name}/module.yaml");
            if sources.read(&path).is_ok() {
                documents.extend(document(sources, &path, &mut compiled.files, &mut diagnostics));
            }
        }
        let stack = load::assemble(Read::of(documents), &mut compiled.files, &mut diagnostics)?;
        if !diagnostics.has_errors() {
            let bundles =
                |emissions: Vec<Emission<'_>>| emissions.into_iter().map(Emission::into_bundle).collect();
            let made = compile_stack(
                &stack,
                sources,
                request,
                &|_| {},
                &mut compiled,
                &mut diagnostics,
                bundles,
            );
            compiled.bundles = made.unwrap_or_default();
        }
        Some(expected)
    });
    let failed = diagnostics.has_errors();
    let diagnostics = diagnostics.into_sorted();
    let mut files = BTreeMap::new();
    if !failed {
        for mut bundle in compiled.bundles {
            bundle
                .artifacts
                .retain(|artifact| artifact.component().1 == module.as_str());
            files.extend(
                terrace_artifact::files(&bundle)
                    .into_iter()
                    .map(|file| (file.path, file.text)),
            );
        }
    }
    if !diagnostics.is_empty() {
        files.insert(WORDS.to_owned(), words(&diagnostics, &compiled.files));
    }
    let wrong = match expected {
        None => Some("the case could not be run".to_owned()),
        Some(expected) => difference(&expected, &diagnostics),
    };
    Case {
        name: name.to_owned(),
        files,
        wrong,
        diagnostics,
        sources: compiled.files,
    }
}

fn document(
    sources: &dyn Sources,
    path: &str,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Vec<Document> {
    match sources.read(path) {
        Ok(bytes) => match yaml::open(path, &bytes, files, diagnostics) {
            Some(file) => load::documents_of(file, files, diagnostics).documents,
            None => Vec::new(),
        },
        Err(error) => {
            let message = format!("cannot read `{path}`: {error}");
            diagnostics.push(Diagnostic::new(Code::Unreadable, message));
            Vec::new()
        }
    }
}

fn read_case(
    sources: &dyn Sources,
    path: &str,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let bytes = sources.read(path).ok()?;
    let file = yaml::open(path, &bytes, files, diagnostics)?;
    let mut nodes = yaml::parse(file, files, diagnostics).into_iter();
    // An empty case tests the module with its defaults.
    let whole = Span {
        file,
        start: 0,
        end: 0,
    };
    let case = match nodes.next().filter(|node| !node.is_null()) {
        Some(node) => node,
        None => map(whole, []),
    };
    if let Some(second) = nodes.next() {
        diagnostics.push(
            Diagnostic::new(Code::InvalidValue, "a test case must be one document")
                .at(second.span.first(), "a second document starts here"),
        );
    }
    let valid = !diagnostics.has_errors() && validate::validate_test(&case, files, diagnostics);
    terrace_syntax::secrets::literal_secrets(&case, files, diagnostics);
    valid.then_some(case)
}

/// Returns the codes that the case expects. It must succeed if there are none.
fn expected(case: &Node) -> Vec<String> {
    let codes = case.get("expect").map_or(&[][..], Node::items).iter();
    let mut codes: Vec<String> = codes.filter_map(Node::as_str).map(str::to_owned).collect();
    codes.sort();
    codes
}

fn difference(expected: &[String], diagnostics: &[Diagnostic]) -> Option<String> {
    let mut reported: Vec<&str> = diagnostics.iter().map(|d| d.code.slug()).collect();
    reported.sort_unstable();
    reported.dedup();
    let listed = |codes: &[&str]| {
        codes
            .iter()
            .map(|code| format!("`{code}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if expected.is_empty() {
        let mut errors: Vec<&str> = diagnostics
            .iter()
            .filter(|d| d.is_error())
            .map(|d| d.code.slug())
            .collect();
        errors.dedup();
        return (!errors.is_empty()).then(|| {
            format!(
                "expected no errors, but the compiler reported {}",
                listed(&errors)
            )
        });
    }
    let missing: Vec<&str> = expected
        .iter()
        .map(String::as_str)
        .filter(|code| !reported.contains(code))
        .collect();
    let extra: Vec<&str> = reported
        .iter()
        .copied()
        .filter(|code| !expected.iter().any(|e| e == code))
        .collect();
    match (missing.as_slice(), extra.as_slice()) {
        ([], []) => None,
        (missing, []) => Some(format!("expected {}, which was not reported", listed(missing))),
        ([], extra) => Some(format!(
            "the compiler reported {}, which is not expected",
            listed(extra)
        )),
        (missing, extra) => Some(format!(
            "expected {}, but the compiler reported {}",
            listed(missing),
            listed(extra)
        )),
    }
}

/// Returns the diagnostics as a golden file contains them: without excerpts, so that only messages and places matter.
fn words(diagnostics: &[Diagnostic], files: &Files) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let severity = diagnostic.severity().as_str();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{severity}[{}]: {}",
            diagnostic.code.slug(),
            diagnostic.message
        );
        let labels = diagnostic
            .primary
            .iter()
            .chain(&diagnostic.related)
            .chain(&diagnostic.trace);
        for (index, label) in labels.enumerate() {
            let place = files.location(label.span);
            // Every edit of the module moves its lines, so only its path is shown.
            let place = match index == 0 && place.file.starts_with("tests/") {
                true => place.to_string(),
                false => place.file.to_string(),
            };
            let _ = match label.text.is_empty() {
                true => writeln!(text, "  {place}"),
                false => writeln!(text, "  {place}: {}", label.text),
            };
        }
        for note in &diagnostic.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        for help in &diagnostic.help {
            let _ = writeln!(text, "  help: {}", help.text);
        }
    }
    text
}

/// Returns the documents of the stack that a case describes.
fn documents(case: &Node, module: &Text, files: &Files, diagnostics: &mut Diagnostics) -> Vec<Document> {
    let start = case.span.first();
    let string = |text: &str| scalar(start, NodeKind::String(text.into()));
    let also = case.get("also").map_or(&[][..], Node::items);
    let mut documents = Vec::new();
    for node in also {
        documents.extend(
            validate::validate(node, files, diagnostics).map(|kind| Document::decode(kind, node.clone())),
        );
    }
    let has = |kind: DocumentKind| documents.iter().any(|document| document.kind() == kind);
    if !has(DocumentKind::Platform) {
        let platform = map(start, [("name", string("acme"))]);
        documents.insert(0, Document::decode(DocumentKind::Platform, platform));
    }
    let environment = case.get("environment");
    let setting = |key: &str, default: &str| match environment.and_then(|e| e.get(key)) {
        Some(node) => node.clone(),
        None => string(default),
    };
    let cluster = map(
        start,
        [
            ("context", string("test")),
            ("distribution", setting("distribution", "kubernetes")),
        ],
    );
    let account = map(
        start,
        [
            ("account", setting("account", "111122223333")),
            ("region", setting("region", "eu-west-1")),
        ],
    );
    let environment = map(
        start,
        [
            ("name", setting("name", "production")),
            ("class", setting("class", "production")),
            ("kubernetes", cluster),
            ("aws", account),
        ],
    );
    documents.push(Document::decode(DocumentKind::Environment, environment));
    let mut component = vec![("name", string(module)), ("module", string(module))];
    if let Some(tenant) = case.get("tenant") {
        documents.push(Document::decode(DocumentKind::Tenant, tenant.clone()));
        let name = tenant.get("name").cloned();
        let names = NodeKind::List(name.into_iter().collect());
        component.push(("tenants", scalar(tenant.key, names)));
    }
    component.extend(case.get("inputs").map(|inputs| ("inputs", inputs.clone())));
    documents.push(Document::decode(DocumentKind::Component, map(start, component)));
    documents
}

/// Returns the modules that components use, which may be in neighboring directories.
fn beside(documents: &[Document]) -> Vec<Text> {
    let own = |name: &Text| {
        documents
            .iter()
            .any(|d| matches!(d, Document::Module(module) if module.name.value == *name))
    };
    let mut names: Vec<Text> = documents
        .iter()
        .filter_map(|document| match document {
            Document::Component(component) => match &component.recipe {
                ComponentSource::Module { module, .. } => Some(module.name.value.clone()),
                ComponentSource::Own(_) => None,
            },
            _ => None,
        })
        .filter(|name| !own(name))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn scalar(span: Span, kind: NodeKind) -> Node {
    Node {
        kind,
        span,
        key: span,
    }
}

fn map<'a>(span: Span, entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    let entries = entries
        .into_iter()
        .map(|(key, node)| (key.into(), node))
        .collect();
    scalar(span, NodeKind::Map(entries))
}
