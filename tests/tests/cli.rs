//! Runs the console examples of the README, the tutorial and the guides, compares the stacks and modules with their goldens, and
//! checks the paths in refusals.

use std::fs;

use terrace_tests::servers::{Cluster, Endpoint};
use terrace_tests::{Scratch, Terrace, servers, tools, transcript};

#[test]
fn readme_examples_print_what_the_readme_shows() {
    check_with_cluster_and_account("README.md");
}

#[test]
fn examples_of_the_guide_to_clusters_and_accounts_print_what_it_shows() {
    check_with_cluster_and_account("docs/cluster-and-account.md");
}

#[test]
fn tutorial_examples_print_what_the_tutorial_shows() {
    transcript::check("docs/tutorial.md", &[]);
}

/// Runs the examples of a page that deploys to the cluster `acme-production` and the account 111122223333.
///
/// Each page has its own cluster and endpoint, because the plans on it depend on what the page itself has deployed.
#[track_caller]
fn check_with_cluster_and_account(page: &str) {
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
    transcript::check(page, &variables);
}

#[test]
fn every_stack_and_module_matches_its_goldens() {
    let mut wrong = Vec::new();
    for parent in ["stacks", "modules"] {
        let directory = tools::root().join(parent);
        let entries =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let path = format!("{parent}/{}", entry.file_name().display());
            let run = Terrace::in_directory(tools::root()).run(&["test", &path]);
            if run.code != 0 {
                wrong.push(format!("terrace test {path}\n{}{}", run.stdout, run.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_refusal_names_lines_relative_to_the_working_directory() {
    let scratch = Scratch::new("refused");
    let terrace = |arguments: &[&str]| Terrace::in_directory(scratch.path()).run(arguments);
    assert_eq!(terrace(&["init", "shop"]).code, 0);
    let claim = "\
kind: Component
name: archive
resources:
  claim:
    type: v1/PersistentVolumeClaim
    metadata: {namespace: default}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}
";
    fs::write(scratch.path().join("shop/archive.yaml"), claim).unwrap();
    let applied = terrace(&["apply", "shop", "-e", "development", "--yes"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let refused = terrace(&["destroy", "shop", "-e", "development", "--yes"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    let declared = "declared at shop/archive.yaml:2:7, defined at shop/archive.yaml:4:3";
    assert!(refused.stderr.contains(declared), "{}", refused.stderr);
}
