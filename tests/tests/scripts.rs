//! Runs the scripts in the stacks of this repository.

use std::process::Command;

use terrace_tests::servers;
use terrace_tests::tools::{self, Tool};

#[test]
fn the_jobs_and_functions_of_acme_work() {
    let account = servers::aws().account();
    let mut python = Command::new(Tool::Python.path());
    python
        .args(["-m", "unittest", "--verbose", "test_acme"])
        .current_dir(tools::root().join("tests/scripts"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(account.environment())
        .env("AWS_DEFAULT_REGION", account.region());
    if let Err(words) = tools::run(&mut python) {
        panic!("{words}");
    }
}
