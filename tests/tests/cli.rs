//! The program as its users meet it: the examples of the README and of `tests/cli` are run.

use std::fs;

use terrace_tests::{tools, transcript};

#[test]
fn the_readme_tells_the_truth() {
    transcript::check("README.md", &[]);
}

#[test]
fn pages_of_examples_tell_the_truth() {
    let folder = tools::root().join("tests/cli");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut pages: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    pages.retain(|name| name.ends_with(".md"));
    pages.sort();
    assert!(!pages.is_empty(), "no pages in tests/cli");
    let mut wrong = Vec::new();
    for page in pages {
        let checked = std::panic::catch_unwind(|| transcript::check(&format!("tests/cli/{page}"), &[]));
        if checked.is_err() {
            wrong.push(page);
        }
    }
    assert!(wrong.is_empty(), "not true any more: {wrong:?}");
}
