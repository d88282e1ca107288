//! The examples of `docs/language.md` compile, section by section, and its expressions evaluate to the documented values. The example on
//! each page of `docs/codes` causes the diagnostic that the page describes.

use std::collections::BTreeMap;

use terrace_compiler::code::Code;
use terrace_compiler::diagnostic::Diagnostics;
use terrace_compiler::document::DocumentKind;
use terrace_compiler::expression::{self, Scope};
use terrace_compiler::source::Files;
use terrace_compiler::term::Term;
use terrace_compiler::validate::schema;
use terrace_compiler::yaml;
use terrace_tests::markdown;

use crate::compiled;

const PAGE: &str = include_str!("../../../docs/language.md");

/// The documents that an example may omit.
const BASE: [(&str, &str); 4] = [
    (
        "kind: Platform",
        "{kind: Platform, name: acme, owner: data@acme.example}",
    ),
    (
        "kind: Environment",
        "{kind: Environment, name: production, class: production, kubernetes: {context: acme}, aws: {account: '111122223333', region: eu-west-1}}",
    ),
    ("kind: Tenant", "{kind: Tenant, name: finance, tier: enterprise}"),
    (
        "module: tenant",
        "{kind: Component, name: tenant, module: tenant, tenants: all}",
    ),
];

#[test]
fn every_example_compiles() {
    let mut wrong = Vec::new();
    let mut sections = 0;
    for section in PAGE.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let mut files = examples(section);
        if files.is_empty() {
            continue;
        }
        sections += 1;
        let all: String = files.values().map(String::as_str).collect();
        files.insert("base.yaml".to_owned(), base(&BASE, &all));
        for file in ["src/cleaner/handler.py", "src/consumer/handler.py"] {
            files.insert(file.to_owned(), "def main(event, context): pass\n".to_owned());
        }
        let compiled = compiled(files, Vec::new());
        for diagnostic in &compiled.diagnostics {
            let place = diagnostic
                .primary
                .as_ref()
                .map(|label| compiled.files.location(label.span).to_string());
            wrong.push(format!(
                "{title}: [{}] {} at {place:?}",
                diagnostic.code.slug(),
                diagnostic.message
            ));
        }
        assert!(
            compiled.has_errors() || !compiled.bundles.is_empty(),
            "{title}: the example compiles to nothing"
        );
    }
    assert!(sections > 8, "only {sections} sections have examples");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A document that the examples of code pages may also omit, because many modules require a key.
const KEY: (&str, &str) = ("module: kms", "{kind: Component, name: kms, module: kms}");

#[test]
fn examples_of_code_pages_cause_their_diagnostic() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for code in Code::ALL {
        let mut files = examples(code.page());
        // A fragment of a document cannot be compiled.
        files.retain(|_, text| text.starts_with("kind:") || text.starts_with("{kind:"));
        if files.is_empty() {
            continue;
        }
        tried += 1;
        let all: String = files.values().map(String::as_str).collect();
        files.extend(files_beside(code.page()));
        let known: Vec<_> = BASE.into_iter().chain([KEY]).collect();
        files.insert("base.yaml".to_owned(), base(&known, &all));
        let compiled = compiled(files, Vec::new());
        let codes: Vec<&str> = compiled.diagnostics.iter().map(|d| d.code.slug()).collect();
        if !codes.contains(&code.slug()) {
            wrong.push(format!("{}: its example causes {codes:?}", code.slug()));
        }
    }
    assert!(tried > 40, "only {tried} pages have whole documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the base documents whose key text does not appear in the examples.
fn base(known: &[(&str, &str)], examples: &str) -> String {
    let missing = known.iter().filter(|(word, _)| !examples.contains(word));
    let documents: Vec<&str> = missing.map(|(_, document)| *document).collect();
    documents.join("\n---\n")
}

#[test]
fn the_page_documents_every_kind_and_field() {
    for kind in DocumentKind::ALL.iter().map(|kind| kind.as_str()) {
        assert!(
            PAGE.contains(&format!("\n### {kind}\n")),
            "docs/language.md has no section `### {kind}`"
        );
        let schema = schema(kind).expect("a published schema");
        let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
        for field in schema["properties"].as_object().expect("fields").keys() {
            let known = [format!("`{field}`"), format!("`{field}: ")];
            assert!(
                known.iter().any(|text| PAGE.contains(text)),
                "{kind}: `{field}` is not in docs/language.md"
            );
        }
    }
}

/// Returns the YAML files of a section. A block can name its file; every other block is a separate file.
fn examples(section: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for block in markdown::blocks(section) {
        if block.language() == "yaml" {
            let name = block
                .argument()
                .map_or(format!("{:02}.yaml", files.len()), str::to_owned);
            files.insert(name, block.text.to_owned());
        }
    }
    files
}

/// Returns the files of a page that are not documents: blocks that name a file, such as `sh src/.env`.
fn files_beside(page: &str) -> Vec<(String, String)> {
    let blocks = markdown::blocks(page).into_iter();
    blocks
        .filter_map(|block| Some((block.argument()?.to_owned(), block.text.to_owned())))
        .collect()
}

#[test]
fn every_expression_has_the_documented_value() {
    let inputs = PAGE
        .split("\nWith `inputs: ")
        .nth(1)
        .and_then(|rest| rest.split("`:").next());
    let inputs = inputs.expect("the inputs of the examples");
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    let nodes = yaml::read("inputs.yaml", inputs.as_bytes(), &mut files, &mut diagnostics);
    let typed = nodes[0].entries().iter().map(|(name, node)| {
        let value = Term::from_value(node.to_value());
        let text = value.shown();
        let term = match name.as_str() {
            "memory" | "cores" => Term::Quantity(text.parse().expect("a quantity")),
            "keep" => Term::Duration(text.parse().expect("a duration")),
            _ => value,
        };
        (name.clone(), term)
    });
    let names = [("inputs".into(), Term::Map(typed.collect()))];
    let scope = Scope {
        names: &names,
        variables: None,
        local: true,
    };
    let table = PAGE
        .split("| expression | gives |\n|---|---|\n")
        .nth(1)
        .expect("the table of expressions");
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|"))
            .collect();
        let [_, written, wanted, _] = cells.as_slice() else {
            panic!("{row}");
        };
        let document = format!(
            "x: {}",
            terrace_artifact::to_json_compact(&format!("{{{{ {written} }}}}").as_str().into())
        );
        let nodes = yaml::read("row.yaml", document.as_bytes(), &mut files, &mut diagnostics);
        let template = expression::template(nodes[0].get("x").expect("the key"), &files, &mut diagnostics);
        let result = template.evaluate(&scope).map(|term| term.shown());
        assert_eq!(
            result.as_ref().map_err(|failure| &failure.message),
            Ok(wanted),
            "{written}"
        );
    }
}
