//! Checks that the stacks of this repository compile to `golden/`, and that other tools read its YAML as the compiler
//! intended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use terrace_artifact::{Bundle, Value, to_json_compact};
use terrace_compiler::Request;
use terrace_compiler::source::{SourceError, Sources};
use terrace_tests::{Terrace, judges, tools, transcript};

#[test]
fn every_stack_compiles_to_its_goldens() {
    for stack in directories("stacks") {
        run_cases(&format!("stacks/{stack}"));
        assert!(
            tools::root().join("golden").join(&stack).is_dir(),
            "stacks/{stack} has no golden/{stack}"
        );
    }
    for golden in directories("golden") {
        assert!(
            tools::root().join("stacks").join(&golden).is_dir(),
            "golden/{golden} has no stack"
        );
    }
}

/// Checks all grants: every kind of grantee with its role, and every permission.
#[test]
fn every_grant_compiles_to_its_goldens() {
    run_cases("tests/grants");
}

#[test]
fn every_module_passes_its_test_cases() {
    for module in directories("modules") {
        run_cases(&format!("modules/{module}"));
    }
}

/// Runs `terrace test` in a directory. `UPDATE_EXPECT=1` accepts the output.
fn run_cases(directory: &str) {
    let mut arguments = vec!["test", directory];
    if transcript::updating() {
        arguments.push("--update");
    }
    let _ = Terrace::in_directory(tools::root()).run(&arguments).expect(0);
}

#[test]
fn python_reads_the_intended_values_from_the_goldens() {
    let mut cases = Vec::new();
    for stack in directories("stacks") {
        for bundle in intended_values(&stack) {
            let directory = tools::root()
                .join("golden")
                .join(&stack)
                .join(bundle.environment.name.as_str());
            cases.extend(cases_of(&bundle, &directory));
        }
    }
    assert!(!cases.is_empty(), "no YAML under golden/");
    if let Err(different) = judges::python_reads(&cases) {
        panic!("{different}");
    }
}

/// Returns the bundles of all environments of a stack. Their values have not been serialized.
fn intended_values(stack: &str) -> Vec<Bundle> {
    let request = Request {
        environments: Vec::new(),
        set: Vec::new(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: "2026-11-21".to_owned(),
    };
    let compiled = terrace_compiler::compile(
        &StackDirectory(tools::root().join("stacks").join(stack)),
        &request,
    );
    let errors: Vec<_> = compiled
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .collect();
    assert!(errors.is_empty(), "stacks/{stack}: {errors:#?}");
    assert!(!compiled.bundles.is_empty(), "stacks/{stack} has no environment");
    compiled.bundles
}

/// Returns each YAML file of an environment's goldens with the expected manifests. Fails if a manifest is in no file or
/// in two files.
fn cases_of(bundle: &Bundle, directory: &Path) -> Vec<judges::YamlSample> {
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
    files_below(&directory.join("kubernetes"), &mut files).unwrap_or_default();
    for file in files {
        let yaml = fs::read_to_string(&file).expect("a golden file");
        let want = documents(&yaml).map(|name| {
            // Two clusters may have objects with the same name. Each cluster then has its own directory.
            let mut keys: Vec<_> = manifests
                .keys()
                .filter(|(_, candidate)| *candidate == name)
                .cloned()
                .collect();
            keys.sort_by_key(|(target, _)| !in_directory(&file, target));
            let key = keys
                .first()
                .unwrap_or_else(|| panic!("{}: unexpected object `{name}`", file.display()));
            manifests.remove(key).expect("the key exists")
        });
        cases.push(judges::YamlSample {
            name: file.display().to_string(),
            want: want.collect(),
            yaml,
        });
    }
    assert!(
        manifests.is_empty(),
        "manifests without a file in {}: {:?}",
        directory.display(),
        manifests.keys()
    );
    cases
}

fn in_directory(file: &Path, directory: &str) -> bool {
    file.components().any(|part| part.as_os_str() == directory)
}

/// Returns the identity of each document, parsed by an independent YAML reader.
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

/// Returns the names of the directories in a directory of the repository. There must be at least one.
#[track_caller]
fn directories(parent: &str) -> Vec<String> {
    let entries = fs::read_dir(tools::root().join(parent))
        .into_iter()
        .flatten()
        .flatten();
    let directories = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = directories
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{parent}/ contains no directory");
    names
}

/// A stack's directory as the compiler's source.
struct StackDirectory(PathBuf);

impl Sources for StackDirectory {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        fs::read(self.0.join(path)).map(Arc::from).map_err(problem)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, SourceError> {
        let start = self.0.join(directory);
        let mut files = Vec::new();
        files_below(&start, &mut files).map_err(problem)?;
        let relative = files.iter().filter_map(|file| file.strip_prefix(&start).ok());
        let prefix = if directory.is_empty() {
            String::new()
        } else {
            format!("{}/", directory.trim_end_matches('/'))
        };
        let mut names: Vec<String> = relative
            .map(|file| format!("{prefix}{}", file.display()))
            .collect();
        names.sort();
        Ok(names)
    }
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
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
