//! The standard modules are tested as their page says: every input is given in a case that succeeds, every check fails in
//! one, and what comes out of them is right in the eyes of others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use terrace_tests::servers::{Cluster, Endpoint};
use terrace_tests::{judges, tools};

/// What a case is about, and not what a module should have.
const MEANT: &str = "runtime-deprecated";

#[test]
fn every_input_is_given_in_a_case_that_succeeds() {
    let mut missing = Vec::new();
    for module in modules() {
        let mut given = BTreeSet::new();
        for case in cases(&module).iter().filter(|case| !case.files.is_empty()) {
            paths(&case.document["inputs"], "", &mut given);
        }
        let mut declared = Vec::new();
        let inputs = read(&module.join("module.yaml"));
        for (name, input) in entries(&inputs["inputs"]) {
            declare(input, name.clone(), &mut declared);
        }
        let absent = declared.into_iter().filter(|path| !given.contains(path));
        missing.extend(absent.map(|path| format!("{}: {path}", module.display())));
    }
    assert!(missing.is_empty(), "no case gives\n{}", missing.join("\n"));
}

#[test]
fn every_check_fails_in_a_case() {
    let mut missing = Vec::new();
    for module in modules() {
        let told: Vec<String> = cases(&module).into_iter().map(|case| case.words).collect();
        let document = read(&module.join("module.yaml"));
        let checks = document["checks"].as_array().cloned().unwrap_or_default();
        for check in checks {
            let message = check["message"].as_str().expect("a message");
            if !told
                .iter()
                .any(|words| words.lines().any(|line| says(line, message)))
            {
                missing.push(format!("{}: {message}", module.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no case fails with\n{}", missing.join("\n"));
}

#[test]
fn judges_find_nothing_in_what_modules_make() {
    let of = |extension: &str| -> Vec<PathBuf> {
        let of_cases = modules().into_iter().flat_map(|module| cases(&module));
        let files = of_cases
            .filter(|case| case.name != MEANT)
            .flat_map(|case| case.files);
        files
            .filter(|file| file.extension().is_some_and(|found| found == extension))
            .collect()
    };
    let templates: Vec<PathBuf> = of("json").into_iter().filter(|file| is_template(file)).collect();
    assert!(!templates.is_empty());
    for verdict in [
        judges::cfn_lint(&templates),
        judges::lint_rights(&templates),
        judges::kubernetes_validate(&of("yaml")),
    ] {
        if let Err(found) = verdict {
            panic!("{found}");
        }
    }
}

/// Every input is given in some case: what comes out of the cases is what a user gets who follows the page.
#[test]
fn the_api_server_accepts_what_modules_make() {
    let cluster = Cluster::start();
    let (mut refused, mut tried) = (Vec::new(), 0);
    for module in modules() {
        for case in cases(&module) {
            let objects: Vec<Json> = case.files.iter().flat_map(|file| objects(file)).collect();
            let namespaces: BTreeSet<&str> = objects
                .iter()
                .filter_map(|object| object["metadata"]["namespace"].as_str())
                .collect();
            for name in namespaces {
                // With the labels that the module gives it: pods are held against them.
                let own = objects
                    .iter()
                    .find(|object| object["kind"] == "Namespace" && object["metadata"]["name"] == name);
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                cluster.apply(&own.unwrap_or(&namespace).to_string());
            }
            for object in objects {
                tried += 1;
                let arguments = [
                    "apply",
                    "--server-side",
                    "--dry-run=server",
                    "--force-conflicts",
                    "--filename=-",
                ];
                let output = cluster.run_kubectl(&arguments, &object.to_string());
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                // A warning of the server is what users read, too.
                if !output.status.success() || words.contains("Warning:") {
                    let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
                    refused.push(format!(
                        "{}, case {}: {name}: {words}",
                        module.display(),
                        case.name
                    ));
                }
            }
        }
    }
    assert!(tried > 50, "only {tried} objects were tried");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// The same for AWS, as far as the endpoint looks: the names of properties and attributes, and that what is referred to is there.
#[test]
fn the_endpoint_deploys_what_modules_make() {
    let endpoint = Endpoint::start();
    let (mut failed, mut tried) = (Vec::new(), 0);
    for module in modules() {
        for case in cases(&module) {
            // The names of buckets are the same in several cases, and belong to all accounts together.
            endpoint.reset();
            let account = endpoint.account();
            for (number, file) in case.files.iter().filter(|file| is_template(file)).enumerate() {
                let text = fs::read_to_string(file).expect("a template");
                let template: Json = serde_json::from_str(&text).expect("JSON");
                // What other stacks would tell.
                let parameters: Vec<Json> = entries(&template["Parameters"])
                    .map(|(name, _)| json!({"ParameterKey": name, "ParameterValue": "arn:aws:sqs:eu-west-1:111122223333:other"}))
                    .collect();
                let name = format!("stack-{number}");
                let request = json!({
                    "StackName": name, "TemplateBody": text, "Parameters": parameters,
                    "Capabilities": ["CAPABILITY_NAMED_IAM"],
                });
                tried += 1;
                let created = account.try_call("cloudformation", "create_stack", request);
                let place = format!("{}, case {}", module.display(), case.name);
                if let Err(error) = created {
                    failed.push(format!("{place}: {error}"));
                    continue;
                }
                let stacks = account.call("cloudformation", "describe_stacks", json!({"StackName": name}));
                if stacks["Stacks"][0]["StackStatus"] != "CREATE_COMPLETE" {
                    let request = json!({"StackName": name, "Filters": {"FailedEvents": true}});
                    let events = account.call("cloudformation", "describe_events", request);
                    let events = events["OperationEvents"].as_array().into_iter().flatten();
                    let words = ["ResourceStatusReason", "ValidationStatusReason"];
                    let reasons: Vec<&str> = events
                        .flat_map(|event| words.iter().filter_map(|word| event[*word].as_str()))
                        .collect();
                    failed.push(format!("{place}: {reasons:?}"));
                }
            }
        }
    }
    assert!(tried > 12, "only {tried} templates were tried");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn is_template(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
        && file.components().any(|part| part.as_os_str() == "cloudformation")
}

/// The Kubernetes objects of a file.
fn objects(file: &Path) -> Vec<Json> {
    if file.extension().is_none_or(|extension| extension != "yaml") {
        return Vec::new();
    }
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let documents = text.split("\n---\n").filter(|text| text.contains("apiVersion:"));
    documents
        .map(|text| yaml_serde::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
        .collect()
}

struct Case {
    name: String,
    document: Json,
    /// What comes out of it.
    files: Vec<PathBuf>,
    /// What is told.
    words: String,
}

fn modules() -> Vec<PathBuf> {
    tools::subfolders(&tools::root().join("modules"))
}

fn cases(module: &Path) -> Vec<Case> {
    let case = |path: PathBuf| {
        let folder = path.with_extension("");
        let mut files = Vec::new();
        walk(&folder, &mut files);
        let words = fs::read_to_string(folder.join("diagnostics.txt")).unwrap_or_default();
        files.retain(|file| !file.ends_with("diagnostics.txt"));
        Case {
            name: folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            document: read(&path),
            files,
            words,
        }
    };
    let entries = fs::read_dir(module.join("tests")).expect("cases");
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| path.is_file()).map(case).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, files),
            path => files.push(path),
        }
    }
}

fn read(path: &Path) -> Json {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

/// The paths that an input has: `zones.*.retention`.
fn declare(input: &Json, path: String, declared: &mut Vec<String>) {
    for (name, property) in entries(&input["properties"]) {
        declare(property, format!("{path}.{name}"), declared);
    }
    if input["additionalProperties"].is_object() {
        declare(&input["additionalProperties"], format!("{path}.*"), declared);
    }
    declared.push(path);
}

/// The paths that a value has, with every key also as any key.
fn paths(value: &Json, path: &str, given: &mut BTreeSet<String>) {
    for (name, value) in entries(value) {
        for name in [name, "*"] {
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            given.insert(path.clone());
            paths(value, &path, given);
        }
    }
}

/// Whether a line has the words of a message, whatever stands for its expressions.
fn says(line: &str, message: &str) -> bool {
    let words = message.split("{{").enumerate().map(|(at, piece)| match at {
        0 => piece,
        _ => piece.split_once("}}").map_or("", |(_, after)| after),
    });
    let mut rest = line;
    words.into_iter().all(|piece| match rest.split_once(piece) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
