//! Tests the standard modules: every input is set in a successful case, every check fails in a case, and independent
//! tools accept the output.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use terrace_tests::servers::{Cluster, Endpoint};
use terrace_tests::{judges, tools};

/// The name of cases that deliberately contain a deprecated runtime.
const DELIBERATE: &str = "runtime-deprecated";

#[test]
fn every_input_is_set_in_a_successful_case() {
    let mut missing = Vec::new();
    for module in modules() {
        let mut set = BTreeSet::new();
        for case in cases(&module).iter().filter(|case| !case.files.is_empty()) {
            paths(&case.document["inputs"], "", &mut set);
        }
        let mut declared = Vec::new();
        let inputs = read(&module.join("module.yaml"));
        for (name, input) in entries(&inputs["inputs"]) {
            declare(input, name.clone(), &mut declared);
        }
        let absent = declared.into_iter().filter(|path| !set.contains(path));
        missing.extend(absent.map(|path| format!("{}: {path}", module.display())));
    }
    assert!(missing.is_empty(), "no case sets\n{}", missing.join("\n"));
}

#[test]
fn every_check_fails_in_a_case() {
    let mut missing = Vec::new();
    for module in modules() {
        let outputs: Vec<String> = cases(&module).into_iter().map(|case| case.words).collect();
        let document = read(&module.join("module.yaml"));
        let checks = document["checks"].as_array().cloned().unwrap_or_default();
        for check in checks {
            let message = check["message"].as_str().expect("a message");
            if !outputs
                .iter()
                .any(|words| words.lines().any(|line| contains_message(line, message)))
            {
                missing.push(format!("{}: {message}", module.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no case fails with\n{}", missing.join("\n"));
}

#[test]
fn independent_tools_accept_the_output_of_modules() {
    let of = |extension: &str| -> Vec<PathBuf> {
        let of_cases = modules().into_iter().flat_map(|module| cases(&module));
        let files = of_cases
            .filter(|case| case.name != DELIBERATE)
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

/// Applies the objects of all cases in a dry run. Together the cases set every input.
#[test]
fn the_api_server_accepts_the_objects_of_modules() {
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
                // Keeps the labels that the module sets, because the server validates pods according to them.
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
                // Users also read the warnings of the server, so they count as refusals.
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

/// Creates the stacks of all cases at the endpoint, which checks names of properties and attributes and the existence
/// of references.
#[test]
fn the_endpoint_deploys_the_templates_of_modules() {
    let endpoint = Endpoint::start();
    let (mut failed, mut tried) = (Vec::new(), 0);
    for module in modules() {
        for case in cases(&module) {
            // Several cases use the same bucket names, which must be unique across all accounts.
            endpoint.reset();
            let account = endpoint.account();
            for (number, file) in case.files.iter().filter(|file| is_template(file)).enumerate() {
                let text = fs::read_to_string(file).expect("a template");
                let template: Json = serde_json::from_str(&text).expect("JSON");
                // Placeholders for the outputs of other stacks.
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

/// Returns the Kubernetes objects of a file.
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
    /// The compiled files.
    files: Vec<PathBuf>,
    /// The diagnostics.
    words: String,
}

fn modules() -> Vec<PathBuf> {
    tools::subfolders(&tools::root().join("modules"))
}

fn cases(module: &Path) -> Vec<Case> {
    let case = |path: PathBuf| {
        let directory = path.with_extension("");
        let mut files = Vec::new();
        walk(&directory, &mut files);
        let words = fs::read_to_string(directory.join("diagnostics.txt")).unwrap_or_default();
        files.retain(|file| !file.ends_with("diagnostics.txt"));
        Case {
            name: directory
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

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
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

/// Collects the paths of an input: `zones.*.retention`.
fn declare(input: &Json, path: String, declared: &mut Vec<String>) {
    for (name, property) in entries(&input["properties"]) {
        declare(property, format!("{path}.{name}"), declared);
    }
    if input["additionalProperties"].is_object() {
        declare(&input["additionalProperties"], format!("{path}.*"), declared);
    }
    declared.push(path);
}

/// Collects the paths of a value. Each key is also collected as `*`.
fn paths(value: &Json, path: &str, set: &mut BTreeSet<String>) {
    for (name, value) in entries(value) {
        for name in [name, "*"] {
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            set.insert(path.clone());
            paths(value, &path, set);
        }
    }
}

/// Returns whether a line contains a message, with any text for its expressions.
fn contains_message(line: &str, message: &str) -> bool {
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
