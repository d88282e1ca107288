//! `docs/language.md` tells the truth: its examples are compiled, section by section, and its expressions are evaluated. So do the
//! pages of `docs/codes`: their examples are mistakes of the kind that they are about.

use std::collections::BTreeMap;

use terrace_compiler::code::Code;
use terrace_compiler::diagnostic::Diagnostics;
use terrace_compiler::expression::{self, Scope};
use terrace_compiler::source::{Files, MemorySources};
use terrace_compiler::term::Term;
use terrace_compiler::validate::{KINDS, schema};
use terrace_compiler::{Request, compile, yaml};

const PAGE: &str = include_str!("../../docs/language.md");

/// What a section that is not about them need not say.
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
        let compiled = compile(&MemorySources::new(files), &request());
        for said in &compiled.diagnostics {
            let place = said
                .primary
                .as_ref()
                .map(|label| compiled.files.location(label.span).to_string());
            wrong.push(format!(
                "{title}: [{}] {} at {place:?}",
                said.code.slug(),
                said.message
            ));
        }
        assert!(
            compiled.has_errors() || !compiled.bundles.is_empty(),
            "{title}: nothing comes of it"
        );
    }
    assert!(sections > 8, "only {sections} sections have examples");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the examples of codes' pages need not say: a key is required by many modules.
const KEY: (&str, &str) = ("module: kms", "{kind: Component, name: kms, module: kms}");

#[test]
fn examples_of_codes_come_to_them() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for code in Code::ALL {
        let mut files = examples(code.page());
        // A part of a document shows where something is wrong, and cannot be compiled.
        files.retain(|_, text| text.starts_with("kind:") || text.starts_with("{kind:"));
        if files.is_empty() {
            continue;
        }
        tried += 1;
        let all: String = files.values().map(String::as_str).collect();
        files.extend(files_beside(code.page()));
        let known: Vec<_> = BASE.into_iter().chain([KEY]).collect();
        files.insert("base.yaml".to_owned(), base(&known, &all));
        let compiled = compile(&MemorySources::new(files), &request());
        let said: Vec<&str> = compiled.diagnostics.iter().map(|said| said.code.slug()).collect();
        if !said.contains(&code.slug()) {
            wrong.push(format!("{}: its example comes to {said:?}", code.slug()));
        }
    }
    assert!(tried > 40, "only {tried} pages have whole documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The documents of a base whose word is not in the examples.
fn base(known: &[(&str, &str)], examples: &str) -> String {
    let missing = known.iter().filter(|(word, _)| !examples.contains(word));
    let documents: Vec<&str> = missing.map(|(_, document)| *document).collect();
    documents.join("\n---\n")
}

fn request() -> Request {
    Request {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: "2026-11-21".to_owned(),
        ..Request::default()
    }
}

#[test]
fn every_field_is_on_the_page() {
    // A test of a module and "any document" are not kinds of a stack's documents.
    let kinds = KINDS
        .into_iter()
        .filter(|kind| !["module-test", "stack"].contains(kind));
    for kind in kinds {
        let schema = schema(kind).expect("a published schema");
        let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
        for field in schema["properties"].as_object().expect("fields").keys() {
            let known = [format!("`{field}`"), format!("`{field}: ")];
            assert!(
                known.iter().any(|text| PAGE.contains(text)),
                "{kind}: `{field}` is not in docs/language.md"
            );
        }
    }
}

/// The files of a section: a block that names one is that, and each of the others is a file of its own.
fn examples(section: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for block in section.split("\n```yaml").skip(1) {
        let (info, text) = block.split_once('\n').unwrap_or_default();
        let text = text.split("\n```").next().unwrap_or_default();
        let name = match info.trim() {
            "" => format!("{:02}.yaml", files.len()),
            path => path.to_owned(),
        };
        files.insert(name, text.to_owned() + "\n");
    }
    files
}

/// The files of a page that are no documents: blocks that name one, such as `sh src/.env`.
fn files_beside(page: &str) -> impl Iterator<Item = (String, String)> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| {
        let (head, text) = block.split_once('\n')?;
        let (_, path) = head.split_once(' ')?;
        Some((path.to_owned(), text.to_owned() + "\n"))
    })
}

#[test]
fn every_expression_gives_what_it_says() {
    let inputs = PAGE
        .split("\nWith `inputs: ")
        .nth(1)
        .and_then(|rest| rest.split("`:").next());
    let inputs = inputs.expect("the inputs of the examples");
    let (mut files, mut said) = (Files::default(), Diagnostics::new());
    let nodes = yaml::read("inputs.yaml", inputs.as_bytes(), &mut files, &mut said);
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
        let nodes = yaml::read("row.yaml", document.as_bytes(), &mut files, &mut said);
        let template = expression::template(nodes[0].get("x").expect("the key"), &files, &mut said);
        let given = template.evaluate(&scope).map(|term| term.shown());
        assert_eq!(
            given.as_ref().map_err(|failure| &failure.message),
            Ok(wanted),
            "{written}"
        );
    }
}
