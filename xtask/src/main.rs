//! Commands for the development of Terrace: `cargo xtask COMMAND`.

mod classes;
mod data_loss;
mod schemas;
mod test;
mod workload;

use std::process::ExitCode;

/// The commands, each with its arguments and description.
const COMMANDS: &[(&str, Command, &str)] = &[
    (
        "test",
        test::run,
        "[--only lint|cargo|judges] [-- ARGUMENTS OF CARGO TEST]   run every test and judge",
    ),
    (
        "servers",
        test::servers,
        "  start the cluster and the AWS endpoint that tests use, until Ctrl-C",
    ),
    (
        "schemas",
        schemas::run,
        "[--cloudformation DIR] [--kubernetes DIR|URL --crds DIR]   make catalog/data from the targets' own schemas",
    ),
    (
        "classes",
        classes::run,
        "  bring catalog/data/classes.tsv up to date with the catalog",
    ),
    (
        "data-loss",
        data_loss::run,
        "  write docs/data-loss.md from the catalog's tables",
    ),
    (
        "workload",
        workload::run,
        "INPUT_DIR STACK_DIR   write the stack of the benchmark's workload",
    ),
];

/// A command. It receives the arguments after its name and returns an error message of one sentence.
type Command = fn(&[String]) -> Result<(), String>;

#[expect(
    clippy::print_stderr,
    reason = "this is a command-line program, and its messages go to the terminal"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments
        .first()
        .and_then(|name| COMMANDS.iter().find(|(command, ..)| command == name));
    let Some((_, run, _)) = command else {
        eprintln!("usage: cargo xtask COMMAND");
        for (name, _, words) in COMMANDS {
            eprintln!("  {name} {words}");
        }
        return ExitCode::FAILURE;
    };
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // The message is empty if the command has already printed everything.
            if !problem.is_empty() {
                eprintln!("error: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}
