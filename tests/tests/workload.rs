//! The benchmark's workload: `terrace build` writes the same data for it as every other tool of the comparison.

use std::process::Command;

use terrace_tests::tools::{self, Tool};
use terrace_tests::{Scratch, Terrace};

#[test]
fn ten_tenants_produce_the_same_data() {
    let scratch = Scratch::new("workload");
    let (input, stack, out) = (
        scratch.path().join("input"),
        scratch.path().join("stack"),
        scratch.path().join("out"),
    );
    let python = Tool::Python.path();
    let bench = tools::root().join("bench");
    tools::run(
        Command::new(&python)
            .arg(bench.join("gen_input.py"))
            .arg("10")
            .arg(&input),
    )
    .unwrap();
    // The test run has built `xtask` and `terrace` in the parent of the directory with the test programs.
    let tests = std::env::current_exe().unwrap();
    let xtask = tests.ancestors().nth(2).unwrap().join("xtask");
    tools::run(Command::new(xtask).arg("workload").arg(&input).arg(&stack)).unwrap();
    let arguments = ["build", ".", "--out", &out.display().to_string()];
    let _ = Terrace::in_directory(&stack).run(&arguments).expect(0);
    // Prints `SAME: 130/130 objects equal`, or fails with the first differences.
    let same = tools::run(
        Command::new(&python)
            .arg(bench.join("check.py"))
            .arg(&input)
            .arg(&out)
            .arg("both"),
    )
    .unwrap();
    assert!(same.starts_with("SAME: 130/130 objects equal"), "{same}");
}
