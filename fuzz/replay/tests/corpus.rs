//! Replays the inputs that fuzzing has found, and every stack, module and test case of this repository.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use terrace_replay::{FILE, compiler, expressions, loader};
use terrace_tests::tools::{root, subfolders};

/// A time limit that no input exceeds, even on a slow machine and without optimization.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn replays_the_corpus_of_the_loader() {
    replay("loader", loader);
}

#[test]
fn replays_the_corpus_of_expressions() {
    replay("expressions", expressions);
}

#[test]
fn replays_the_corpus_of_the_compiler() {
    replay("compiler", compiler);
}

#[test]
fn loads_all_documents_of_this_repository() {
    let root = root();
    let mut paths = Vec::new();
    for folder in ["stacks", "modules", "tests/diagnostics"] {
        below(&root.join(folder), &mut paths);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert!(paths.len() > 100, "only {} documents were found", paths.len());
    try_each(&paths, loader);
}

#[test]
fn compiles_all_stacks_of_this_repository() {
    let root = root();
    let mut cases: Vec<PathBuf> = subfolders(&root.join("stacks"));
    cases.extend(
        subfolders(&root.join("tests/diagnostics"))
            .iter()
            .flat_map(|code| subfolders(code)),
    );
    assert!(cases.len() > 100, "only {} stacks were found", cases.len());
    let texts: Vec<(PathBuf, Vec<u8>)> = cases
        .into_iter()
        .map(|case| (case.clone(), stack(&case)))
        .collect();
    try_all(&texts, compiler);
}

/// Reads a stack from disk into the input format of [`compiler`].
fn stack(folder: &Path) -> Vec<u8> {
    let mut paths = Vec::new();
    below(folder, &mut paths);
    let mut text = Vec::new();
    for path in paths {
        let name = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .to_string_lossy()
            .replace('\\', "/");
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.extend_from_slice(format!("{FILE}{name}\n").as_bytes());
        text.extend_from_slice(&bytes);
        if !bytes.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    text
}

fn replay(corpus: &str, target: fn(&[u8])) {
    let mut paths = Vec::new();
    below(&root().join("fuzz/corpus").join(corpus), &mut paths);
    assert!(!paths.is_empty(), "fuzz/corpus/{corpus} is empty");
    try_each(&paths, target);
}

fn try_each(paths: &[PathBuf], target: fn(&[u8])) {
    let read = |path: &PathBuf| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let inputs: Vec<(PathBuf, Vec<u8>)> = paths.iter().map(|path| (path.clone(), read(path))).collect();
    try_all(&inputs, target);
}

/// Runs every input and panics with the paths of those that failed. Each failure has already printed its own message.
fn try_all(inputs: &[(PathBuf, Vec<u8>)], target: fn(&[u8])) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let size = inputs.len().div_ceil(threads).max(1);
    let failed: Vec<String> = thread::scope(|scope| {
        let parts: Vec<_> = inputs
            .chunks(size)
            .map(|part| scope.spawn(move || part.iter().filter_map(|input| failure(input, target)).collect()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|_| vec!["a thread".to_owned()]))
            .collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        inputs.len(),
        failed.join("\n")
    );
}

fn failure((path, bytes): &(PathBuf, Vec<u8>), target: fn(&[u8])) -> Option<String> {
    let begin = Instant::now();
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err();
    let took = begin.elapsed();
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    match panicked {
        true => Some(format!("{name}: panics")),
        false if took > LONGEST => Some(format!("{name}: takes {} s", took.as_secs())),
        false => None,
    }
}

fn below(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        match entry.is_dir() {
            true if entry.ends_with("out") => {}
            true => below(&entry, paths),
            // A dangling link belongs to a test case of assets and is not a file.
            false if !entry.exists() => {}
            false => paths.push(entry),
        }
    }
}
