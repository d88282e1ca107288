//! The program as its users meet it: the examples of the README and of `tests/cli` are run.

use std::fs;

use terrace_tests::servers::{Cluster, Endpoint};
use terrace_tests::{Scratch, Terrace, servers, tools, transcript};

#[test]
fn the_readme_tells_the_truth() {
    // Its last examples reach a cluster and an account. They are its own: it says what is there, and what is not.
    let kubeconfig = Scratch::new("kubeconfig");
    let path = kubeconfig.path().join("config");
    let cluster = Cluster::start();
    servers::write_kubeconfig(&path, &[("acme-production", &cluster)]);
    let endpoint = Endpoint::start();
    let mut variables = endpoint.account_named("111122223333").environment();
    variables.push(("KUBECONFIG", path.display().to_string()));
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    transcript::check("README.md", &variables);
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

#[test]
fn every_stack_and_module_of_the_repository_is_as_accepted() {
    let mut wrong = Vec::new();
    for above in ["stacks", "modules"] {
        let folder = tools::root().join(above);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let path = format!("{above}/{}", entry.file_name().display());
            let run = Terrace::in_directory(tools::root()).run(&["test", &path]);
            if run.code != 0 {
                wrong.push(format!("terrace test {path}\n{}{}", run.stdout, run.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
