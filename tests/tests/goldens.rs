//! `golden/` is what the stacks of this repository come out as, and its YAML says what the compiler meant.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use terrace_artifact::{Bundle, Value, to_json_compact};
use terrace_compiler::Request;
use terrace_compiler::source::{SourceError, Sources};
use terrace_tests::{Terrace, judges, tools};

#[test]
fn every_stack_comes_out_as_its_golden() {
    let terrace = Terrace::in_directory(tools::root());
    for stack in folders("stacks") {
        let _ = terrace.run(&["test", &format!("stacks/{stack}")]).expect(0);
        assert!(
            tools::root().join("golden").join(&stack).is_dir(),
            "stacks/{stack} has no golden/{stack}"
        );
    }
    for golden in folders("golden") {
        assert!(
            tools::root().join("stacks").join(&golden).is_dir(),
            "golden/{golden} is of no stack"
        );
    }
}

/// Every runner, with what its role is given besides its grants, and every right.
#[test]
fn every_right_comes_out_as_its_golden() {
    let terrace = Terrace::in_directory(tools::root());
    let _ = terrace.run(&["test", "tests/grants"]).expect(0);
}

#[test]
fn every_module_comes_out_as_its_cases_say() {
    let terrace = Terrace::in_directory(tools::root());
    for module in folders("modules") {
        let _ = terrace.run(&["test", &format!("modules/{module}")]).expect(0);
    }
}

#[test]
fn python_reads_every_value_of_the_goldens_as_it_was_meant() {
    let mut cases = Vec::new();
    for stack in folders("stacks") {
        for bundle in intended_values(&stack) {
            let folder = tools::root()
                .join("golden")
                .join(&stack)
                .join(bundle.environment.name.as_str());
            cases.extend(cases_of(&bundle, &folder));
        }
    }
    assert!(!cases.is_empty(), "no YAML under golden/");
    if let Err(different) = judges::python_reads(&cases) {
        panic!("{different}");
    }
}

/// What the compiler means by each environment of a stack: values that have not been text yet.
fn intended_values(stack: &str) -> Vec<Bundle> {
    let request = Request {
        environments: Vec::new(),
        set: Vec::new(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: "2026-11-21".to_owned(),
    };
    let compiled = terrace_compiler::compile(&Folder(tools::root().join("stacks").join(stack)), &request);
    let errors: Vec<_> = compiled
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .collect();
    assert!(errors.is_empty(), "stacks/{stack}: {errors:#?}");
    assert!(!compiled.bundles.is_empty(), "stacks/{stack} has no environment");
    compiled.bundles
}

/// Each YAML file of an environment's golden, with the manifests that belong into it. A manifest that is in no file, or in
/// two, fails here.
fn cases_of(bundle: &Bundle, folder: &Path) -> Vec<judges::Written> {
    let objects = bundle
        .artifacts
        .iter()
        .filter_map(|artifact| Some((artifact.target.as_str(), artifact.object()?)));
    let mut manifests: BTreeMap<(String, String), String> = objects
        .map(|(target, object)| {
            let name = identity(&object.manifest).unwrap_or_else(|| panic!("{} has no name", object.address));
            ((target.to_owned(), name), to_json_compact(&object.manifest))
        })
        .collect();
    let mut cases = Vec::new();
    let mut files = Vec::new();
    files_below(&folder.join("kubernetes"), &mut files).unwrap_or_default();
    for file in files {
        let yaml = fs::read_to_string(&file).expect("a golden file");
        let want = documents(&yaml).map(|name| {
            // Two clusters may have an object of one name; each then has a folder of its own.
            let mut keys: Vec<_> = manifests
                .keys()
                .filter(|(_, found)| *found == name)
                .cloned()
                .collect();
            keys.sort_by_key(|(target, _)| !in_folder(&file, target));
            let key = keys
                .first()
                .unwrap_or_else(|| panic!("{}: `{name}` was not meant", file.display()));
            manifests.remove(key).expect("it was there")
        });
        cases.push(judges::Written {
            name: file.display().to_string(),
            want: want.collect(),
            yaml,
        });
    }
    assert!(
        manifests.is_empty(),
        "in no file of {}: {:?}",
        folder.display(),
        manifests.keys()
    );
    cases
}

fn in_folder(file: &Path, folder: &str) -> bool {
    file.components().any(|part| part.as_os_str() == folder)
}

/// The identity of each document, read by a reader that is not ours.
fn documents(yaml: &str) -> impl Iterator<Item = String> {
    yaml_serde::Deserializer::from_str(yaml).map(|document| {
        let json: serde_json::Value = serde::Deserialize::deserialize(document).expect("YAML");
        identity(&Value::from_json(&json)).expect("an object with a name")
    })
}

fn identity(manifest: &Value) -> Option<String> {
    let text = |path: &[&str]| manifest.at(path).and_then(Value::as_str);
    let namespace = text(&["metadata", "namespace"]).unwrap_or("-");
    Some(format!(
        "{} {} {namespace} {}",
        text(&["apiVersion"])?,
        text(&["kind"])?,
        text(&["metadata", "name"])?
    ))
}

/// The names of the folders in a folder of the repository. There are some.
#[track_caller]
fn folders(parent: &str) -> Vec<String> {
    let entries = fs::read_dir(tools::root().join(parent))
        .into_iter()
        .flatten()
        .flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "nothing in {parent}/");
    names
}

/// A stack's folder as the compiler reads it.
struct Folder(PathBuf);

impl Sources for Folder {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        fs::read(self.0.join(path)).map(Arc::from).map_err(problem)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let start = self.0.join(folder);
        let mut files = Vec::new();
        files_below(&start, &mut files).map_err(problem)?;
        let relative = files.iter().filter_map(|file| file.strip_prefix(&start).ok());
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{}/", folder.trim_end_matches('/'))
        };
        let mut names: Vec<String> = relative
            .map(|file| format!("{prefix}{}", file.display()))
            .collect();
        names.sort();
        Ok(names)
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn problem(error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::NotFound,
        _ => SourceError::Unreadable(error.to_string()),
    }
}
