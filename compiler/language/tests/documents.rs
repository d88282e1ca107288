//! The published schemas and the loader agree about every document: both reject a missing, misspelled or mistyped field at
//! any depth, or both accept it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonschema::Validator;
use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};
use terrace_language::document::DocumentKind;
use terrace_language::validate::{schema, schema_names, validate, validate_test};
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::Node;
use terrace_syntax::source::Files;
use terrace_syntax::yaml::read;

/// A kind with its schema, and with documents that use every field of the schema.
struct Case {
    kind: &'static str,
    schema: Json,
    validator: Validator,
    documents: Vec<Json>,
}

fn cases() -> Vec<Case> {
    let kinds = schema_names().filter(|kind| *kind != "stack");
    kinds
        .map(|kind| {
            let schema = json_of(kind);
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/documents/{kind}.yaml"));
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let (nodes, _, diagnostics) = load(&text);
            assert!(diagnostics.is_empty(), "{kind}: {diagnostics:#?}");
            let documents = nodes.iter().map(|node| node.to_value().to_json()).collect();
            Case {
                kind,
                validator: validator(&schema),
                schema,
                documents,
            }
        })
        .collect()
}

fn validator(schema: &Json) -> Validator {
    jsonschema::draft7::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

fn json_of(kind: &str) -> Json {
    serde_json::from_str(&schema(kind).unwrap()).unwrap()
}

fn load(text: &str) -> (Vec<Node>, Files, Vec<Diagnostic>) {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    let nodes = read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    (nodes, files, diagnostics.into_sorted())
}

/// Returns the diagnostics of the loader for a document, as `code: text of the span`.
fn verdict(kind: &str, document: &str) -> Vec<String> {
    let (nodes, files, syntax_errors) = load(document);
    assert!(syntax_errors.is_empty(), "{document}: {syntax_errors:#?}");
    let mut diagnostics = Diagnostics::new();
    for node in &nodes {
        let valid = match kind {
            "module-test" => validate_test(node, &files, &mut diagnostics),
            _ => validate(node, &files, &mut diagnostics).is_some(),
        };
        assert_eq!(valid, !diagnostics.has_errors(), "{document}");
    }
    let place = |d: &Diagnostic| files.text(d.primary.as_ref().unwrap().span).to_owned();
    diagnostics
        .into_sorted()
        .iter()
        .map(|d| format!("{}: {}", d.code.slug(), place(d)))
        .collect()
}

/// Returns the document with one value changed, for every value and every change.
fn mutations(json: &Json) -> Vec<(String, Json)> {
    let others = [
        json!(null),
        json!(true),
        json!(5),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("Some words"),
        json!("{{ name }}"),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({"a": 1}),
    ];
    let mut mutated: Vec<(String, Json)> = others
        .iter()
        .filter(|other| *other != json)
        .map(|other| (format!("= {other}"), other.clone()))
        .collect();
    match json {
        Json::Object(map) => {
            for (key, value) in map {
                let rebuilt = |replace: &dyn Fn(&mut Map<String, Json>)| {
                    let mut other = Map::new();
                    for (k, v) in map {
                        if k == key {
                            replace(&mut other);
                        } else {
                            other.insert(k.clone(), v.clone());
                        }
                    }
                    Json::Object(other)
                };
                mutated.push((format!(".{key} missing"), rebuilt(&|_| {})));
                for misspelled in [format!("{key}x"), key.to_uppercase()] {
                    let with = |other: &mut Map<String, Json>| {
                        other.insert(misspelled.clone(), value.clone());
                    };
                    mutated.push((format!(".{key} misspelled {misspelled}"), rebuilt(&with)));
                }
                for (path, changed) in mutations(value) {
                    let with = |other: &mut Map<String, Json>| {
                        other.insert(key.clone(), changed.clone());
                    };
                    mutated.push((format!(".{key}{path}"), rebuilt(&with)));
                }
            }
        }
        Json::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let with = |changed: Option<Json>| {
                    let mut other = items.clone();
                    other.splice(i..=i, changed);
                    Json::Array(other)
                };
                mutated.push((format!("[{i}] missing"), with(None)));
                mutated.push((format!("[{i}] twice"), {
                    let mut other = items.clone();
                    other.push(item.clone());
                    Json::Array(other)
                }));
                mutated.extend(
                    mutations(item)
                        .into_iter()
                        .map(|(path, changed)| (format!("[{i}]{path}"), with(Some(changed)))),
                );
            }
        }
        _ => {}
    }
    mutated
}

#[test]
fn both_accept_documents_that_use_every_field() {
    let stack = validator(&json_of("stack"));
    for case in cases() {
        for document in &case.documents {
            let errors: Vec<_> = case
                .validator
                .iter_errors(document)
                .map(|e| e.to_string())
                .collect();
            assert_eq!(errors, Vec::<String>::new(), "{}", case.kind);
            assert!(
                case.kind == "module-test" || stack.is_valid(document),
                "{}",
                case.kind
            );
            assert_eq!(
                verdict(case.kind, &document.to_string()),
                Vec::<String>::new(),
                "{document:#}"
            );
        }
    }
}

#[test]
fn both_agree_about_missing_misspelled_and_mistyped_fields() {
    let stack = validator(&json_of("stack"));
    for case in cases() {
        let all: Vec<_> = case.documents.iter().flat_map(mutations).collect();
        let refused = AtomicUsize::new(0);
        // An empty file contains no document, and a schema for editors treats it as an unfinished one.
        all.par_iter()
            .filter(|(_, mutated)| !mutated.is_null())
            .for_each(|(what, mutated)| {
                let published = case.validator.is_valid(mutated);
                let reported = verdict(case.kind, &mutated.to_string());
                let why = case.validator.validate(mutated);
                assert_eq!(
                    published,
                    reported.is_empty(),
                    "{}{what}: {reported:?}\n{why:#?}",
                    case.kind
                );
                if case.kind != "module-test" {
                    assert_eq!(
                        stack.is_valid(mutated),
                        published,
                        "{}{what}, as any document",
                        case.kind
                    );
                }
                refused.fetch_add(usize::from(!published), Ordering::Relaxed);
            });
        let refused = refused.into_inner();
        assert!(
            2 * refused > all.len() && refused < all.len(),
            "{}: {refused} of {}",
            case.kind,
            all.len()
        );
    }
}

#[test]
fn both_reject_fields_and_kinds_of_later_versions() {
    let mut tried = BTreeSet::new();
    for case in cases() {
        let properties = case.schema["properties"].as_object().unwrap();
        for (key, property) in properties
            .iter()
            .filter(|(_, p)| p.get("x-not-in-this-version").is_some())
        {
            assert_eq!(property["not"], json!({}), "{key}");
            let mut document = case.documents[0].clone();
            document[key] = json!({"anything": 1});
            assert!(!case.validator.is_valid(&document), "{key}");
            assert_eq!(
                verdict(case.kind, &document.to_string()),
                [format!("not-in-this-version: \"{key}\"")]
            );
            tried.insert(key.clone());
        }
    }
    assert_eq!(
        tried.into_iter().collect::<Vec<_>>(),
        ["access", "compliance", "strategy"]
    );
    for kind in ["Dataset", "Connector", "Policy"] {
        let document = json!({"kind": kind, "name": "a"});
        assert!(!jsonschema::draft7::is_valid(&json_of("stack"), &document));
        assert_eq!(
            verdict("", &document.to_string()),
            [format!("not-in-this-version: \"{kind}\"")]
        );
    }
}

/// Adjusts the references of a schema that becomes a definition in another schema.
fn moved(json: &Json, kind: &str) -> Json {
    match json {
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(target)) => (
                    key.clone(),
                    format!("#/definitions/{kind}{}", &target[1..]).into(),
                ),
                _ => (key.clone(), moved(value, kind)),
            })
            .collect(),
        Json::Array(items) => items.iter().map(|item| moved(item, kind)).collect(),
        _ => json.clone(),
    }
}

/// Records every property of the schema that a document uses, by the JSON pointer of the property's schema.
fn mark(case: &Case, pointer: &str, document: &Json, seen: &mut BTreeSet<String>) {
    let Some(schema) = case.schema.pointer(pointer).and_then(Json::as_object) else {
        return;
    };
    if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
        return mark(case, &target[1..], document, seen);
    }
    let fits = |pointer: &str| {
        let mut whole = case.schema.clone();
        whole
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !matches!(key.as_str(), "$schema" | "$id"));
        let whole = json!({"allOf": [{"$ref": format!("#/definitions/whole{pointer}")}], "definitions": {"whole": moved(&whole, "whole")}});
        jsonschema::draft7::is_valid(&whole, document)
    };
    if let Some(map) = document.as_object() {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (key, value) in map {
            if properties.is_some_and(|properties| properties.contains_key(key)) {
                seen.insert(format!("{pointer}/properties/{key}"));
                mark(case, &format!("{pointer}/properties/{key}"), value, seen);
            } else {
                mark(case, &format!("{pointer}/additionalProperties"), value, seen);
            }
        }
    }
    for item in document.as_array().into_iter().flatten() {
        mark(case, &format!("{pointer}/items"), item, seen);
    }
    for keyword in ["allOf", "anyOf"] {
        for i in 0..schema.get(keyword).and_then(Json::as_array).map_or(0, Vec::len) {
            let inner = format!("{pointer}/{keyword}/{i}");
            if keyword == "allOf" || fits(&inner) {
                mark(case, &inner, document, seen);
            }
        }
    }
    if schema.contains_key("if") {
        let next = if fits(&format!("{pointer}/if")) {
            "then"
        } else {
            "else"
        };
        mark(case, &format!("{pointer}/{next}"), document, seen);
    }
}

/// Collects the JSON pointers of all properties that a document may use.
fn declared(json: &Json, pointer: &str, pointers: &mut BTreeSet<String>) {
    let Some(map) = json.as_object() else {
        for (i, item) in json.as_array().into_iter().flatten().enumerate() {
            declared(item, &format!("{pointer}/{i}"), pointers);
        }
        return;
    };
    // An `else` without `then` only offers completions in editors. No valid document has its keys.
    let offered = !map.contains_key("then");
    for (key, value) in map.iter().filter(|(key, _)| !(offered && *key == "else")) {
        // No property is named `not`, `if` or `properties`, so these keys are always keywords.
        if key == "properties" {
            for (name, property) in value.as_object().unwrap() {
                if property.get("not").is_none() {
                    pointers.insert(format!("{pointer}/properties/{name}"));
                    declared(property, &format!("{pointer}/properties/{name}"), pointers);
                }
            }
        } else if !matches!(
            key.as_str(),
            "if" | "not" | "oneOf" | "default" | "examples" | "enum" | "const"
        ) {
            declared(value, &format!("{pointer}/{key}"), pointers);
        }
    }
}

#[test]
fn the_test_documents_use_every_property_of_the_schemas() {
    for case in cases() {
        let (mut seen, mut all) = (BTreeSet::new(), BTreeSet::new());
        for document in &case.documents {
            mark(&case, "", document, &mut seen);
        }
        declared(&case.schema, "", &mut all);
        let unused: Vec<_> = all.difference(&seen).collect();
        assert!(unused.is_empty(), "{}: {unused:#?}", case.kind);
        assert!(!all.is_empty());
    }
}

#[test]
fn the_schemas_are_valid() {
    for name in schema_names() {
        assert!(jsonschema::meta::is_valid(&json_of(name)), "{name}");
    }
}

/// `UPDATE_EXPECT=1` adds a new kind to the file.
#[test]
fn the_schema_of_a_stack_refers_to_that_of_each_kind() {
    let kinds: Vec<&str> = DocumentKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/stack.schema.json");
    let mut stack: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    stack["allOf"] = kinds
        .iter()
        .map(|kind| {
            json!({"if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": {"$ref": format!("{}.schema.json", kind.to_lowercase())}})
        })
        .collect();
    stack["properties"]["kind"]["enum"] = json!(kinds);
    let text = serde_json::to_string_pretty(&stack).unwrap() + "\n";
    expect_test::expect_file![path].assert_eq(&text);
}

/// `tests/language/documents.md` shows the diagnostics of documents that are not valid.
#[test]
fn accepts_empty_files_and_jobs_without_waiting() {
    for document in [
        "",
        "kind: Pipeline\nname: a\nsteps:\n  - load: {glue: x, wait: false}\n",
    ] {
        assert_eq!(verdict("", document), Vec::<String>::new(), "{document}");
    }
}
