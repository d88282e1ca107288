//! What has to hold whatever anybody writes: the functions that fuzzing calls with bytes of its own, and that the tests call with
//! the bytes it has found.
//!
//! Each of them panics where something does not hold: where the compiler does, where a place it names is outside of its file, where
//! the program cannot draw what it says, or where the same text is compiled into two things.

use std::path::Path;

use terrace_artifact::Text;
use terrace_compiler::diagnostic::{Diagnostic, Diagnostics};
use terrace_compiler::document::Document;
use terrace_compiler::expression::{self, Failure, Scope};
use terrace_compiler::node::{Node, NodeKind};
use terrace_compiler::source::{FileId, Files, MemorySources, Span};
use terrace_compiler::term::Term;
use terrace_compiler::{Compiled, Request, compile, validate, yaml};

// The program is no library, and what it draws has to be drawn here too.
#[path = "../../../cli/src/diagnostics.rs"]
mod diagnostics;

/// What a line begins with that says which file the lines after it are, in the input of [`compiler`].
pub const FILE: &str = "@@ ";
/// The file, in the input of [`compiler`], whose lines are arguments of `--set`.
pub const SET: &str = "--set";

/// A file of documents: read, held against its schema, and decoded.
pub fn loader(bytes: &[u8]) {
    let (mut files, mut said) = (Files::default(), Diagnostics::new());
    let nodes = yaml::read("stack.yaml", bytes, &mut files, &mut said);
    for node in nodes {
        every_node_is_inside(&node, &files);
        let _ = node.to_value().to_json();
        validate::validate_test(&node, &files, &mut said);
        if let Some(kind) = validate::validate(&node, &files, &mut said) {
            let document = Document::decode(kind, node);
            assert!(
                span_is_inside(document.name().span, &files),
                "a name outside of its file"
            );
        }
    }
    can_be_drawn(&said.into_sorted(), &files);
}

/// The text of an expression, and the same between braces in other text: read, and evaluated with names of every kind.
pub fn expressions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut files = Files::default();
    let mut said = Diagnostics::new();
    let names = names();
    let scope = Scope {
        names: &names,
        variables: None,
        local: true,
    };
    let node = whole_file(files.add("bare.yaml", text), text);
    match expression::bare(&node, text, &files) {
        Ok(expression) => {
            assert!(
                span_is_inside(expression.span, &files),
                "an expression outside of its file"
            );
            let paths = &mut Vec::new();
            expression.paths_of("inputs", paths);
            see(
                scope.evaluate(&expression).map(std::borrow::Cow::into_owned),
                &mut said,
            );
        }
        Err(failure) => said.push(failure.diagnostic()),
    }
    for text in [
        format!("{{{{ {text} }}}}"),
        format!("a {{{{{text}}}}} b"),
        text.to_owned(),
    ] {
        let node = whole_file(files.add("template.yaml", text.as_str()), &text);
        let template = expression::template(&node, &files, &mut said);
        see(template.evaluate(&scope), &mut said);
    }
    can_be_drawn(&said.into_sorted(), &files);
}

/// A stack of several files, compiled for all its environments: twice, the second time with its files in other places.
///
/// The bytes are the files one after the other, each after a line `@@ PATH`; see [`FILE`] and [`SET`].
pub fn compiler(bytes: &[u8]) {
    let stack = StackText::parse(bytes);
    let first = stack.compile();
    can_be_drawn(&first.diagnostics, &first.files);
    let second = stack.compile();
    assert_eq!(
        first.bundles, second.bundles,
        "the same stack is compiled into two things"
    );
    assert_eq!(
        first.diagnostics, second.diagnostics,
        "two things are said of the same stack"
    );
    for bundle in &first.bundles {
        let _ = bundle.digest();
        for file in terrace_artifact::files(bundle) {
            can_be_read(&file.path, &file.text);
        }
    }
}

/// What [`compiler`] reads its input as.
struct StackText {
    files: Vec<(String, Vec<u8>)>,
    set: Vec<String>,
}

impl StackText {
    fn parse(bytes: &[u8]) -> StackText {
        let mut files: Vec<(String, Vec<u8>)> = vec![("stack.yaml".to_owned(), Vec::new())];
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_prefix(FILE.as_bytes()) {
                Some(path) => files.push((String::from_utf8_lossy(path).trim().to_owned(), Vec::new())),
                None => {
                    if let Some((_, text)) = files.last_mut() {
                        text.extend_from_slice(line);
                    }
                }
            }
        }
        let set = files.iter().filter(|(path, _)| path == SET);
        let set = set.flat_map(|(_, text)| {
            let lines: Vec<String> = String::from_utf8_lossy(text).lines().map(str::to_owned).collect();
            lines
        });
        let set = set.collect();
        files.retain(|(path, text)| path != SET && !(path == "stack.yaml" && text.is_empty()));
        StackText { files, set }
    }

    fn compile(&self) -> Compiled {
        let sources = MemorySources::new(
            self.files
                .iter()
                .map(|(path, text)| (path.clone(), text.as_slice())),
        );
        let request = Request {
            environments: Vec::new(),
            set: self.set.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            today: "2026-11-21".to_owned(),
        };
        compile(&sources, &request)
    }
}

/// Names as a module's expressions have them, a value of each kind.
fn names() -> Vec<(Text, Term)> {
    let quantity = |text: &str| text.parse().map_or(Term::Null, Term::Quantity);
    let duration = |text: &str| text.parse().map_or(Term::Null, Term::Duration);
    vec![
        ("name".into(), "acme-production-finance-lake".into()),
        ("nothing".into(), Term::Null),
        (
            "environment".into(),
            Term::map([("class", "production"), ("region", "eu-west-1")]),
        ),
        (
            "inputs".into(),
            Term::map([
                ("memory", quantity("4Gi")),
                ("cores", quantity("0.1")),
                ("keep", duration("90d")),
                ("zones", Term::list(["raw", "curated", "raw"])),
                ("numbers", Term::list([3, 1, 2])),
                ("replicas", Term::from(3)),
                ("enabled", Term::Bool(true)),
                ("ratio", "0.1".parse().map_or(Term::Null, Term::Number)),
                ("env", Term::map([("A", Term::from("1")), ("B", Term::Null)])),
            ]),
        ),
    ]
}

fn see(result: Result<Term, Box<Failure>>, said: &mut Diagnostics) {
    match result {
        Ok(term) => {
            let _ = term.shown();
            let _ = term.into_value().to_string();
        }
        Err(failure) => said.push(failure.diagnostic()),
    }
}

fn whole_file(file: FileId, text: &str) -> Node {
    let span = Span {
        file,
        start: 0,
        end: u32::try_from(text.len()).unwrap_or(u32::MAX),
    };
    Node {
        kind: NodeKind::String(text.into()),
        span,
        key: span,
    }
}

/// What is emitted is read back without a word.
fn can_be_read(path: &str, text: &str) {
    if !path.ends_with(".yaml") {
        let read: Result<serde_json::Value, _> = serde_json::from_str(text);
        assert!(read.is_ok(), "{path} is not JSON: {text}");
        return;
    }
    let (mut files, mut said) = (Files::default(), Diagnostics::new());
    yaml::read(path, text.as_bytes(), &mut files, &mut said);
    let said = said.into_sorted();
    assert!(said.is_empty(), "{path} is not read back: {said:?}\n{text}");
}

/// Places are in their files, and the program draws all of it.
fn can_be_drawn(said: &[Diagnostic], files: &Files) {
    for diagnostic in said {
        let labels = diagnostic
            .primary
            .iter()
            .chain(&diagnostic.related)
            .chain(&diagnostic.trace);
        let edits = diagnostic.help.iter().filter_map(|help| help.edit.as_ref());
        for span in labels.map(|label| label.span).chain(edits.map(|edit| edit.span)) {
            assert!(
                span_is_inside(span, files),
                "a place outside of its file: {diagnostic:?}"
            );
        }
        let end = diagnostic.message.chars().last();
        assert!(
            end.is_some() && end != Some('.'),
            "a message with a full stop: {diagnostic:?}"
        );
    }
    let stack = Path::new("stack");
    for colour in [false, true] {
        let _ = diagnostics::Drawing::new(files, stack, colour).all(said);
    }
    let _ = diagnostics::to_json(said, files, stack).to_string();
    let _ = diagnostics::summary(said);
}

fn span_is_inside(span: Span, files: &Files) -> bool {
    let text = &files.get(span.file).text;
    span.start <= span.end && text.get(span.start as usize..span.end as usize).is_some()
}

fn every_node_is_inside(node: &Node, files: &Files) {
    assert!(
        span_is_inside(node.span, files) && span_is_inside(node.key, files),
        "a value outside of its file: {node:?}"
    );
    for item in node.items() {
        every_node_is_inside(item, files);
    }
    for (_, value) in node.entries() {
        every_node_is_inside(value, files);
    }
}
