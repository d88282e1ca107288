//! The standard modules are tested as their page says: every input is given in a case that succeeds, every check fails in
//! one, and what comes out of them is right in the eyes of others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
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
    let templates: Vec<PathBuf> = of("json")
        .into_iter()
        .filter(|file| file.components().any(|part| part.as_os_str() == "cloudformation"))
        .collect();
    assert!(!templates.is_empty());
    for verdict in [
        judges::cfn_lint(&templates),
        judges::kubernetes_validate(&of("yaml")),
    ] {
        if let Err(found) = verdict {
            panic!("{found}");
        }
    }
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
