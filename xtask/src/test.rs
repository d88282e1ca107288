//! `cargo xtask test`: the complete verification of a checkout, on a machine with Rust, Go, Python and Node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use terrace_tests::servers::Shared;
use terrace_tests::tools::{self, Tool};

/// Runs the whole verification, or a part of it with `--only`. Passes the arguments after `--` to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (part, for_cargo) = parse(arguments)?;
    require_tools()?;
    let mut report = Report::default();
    if part.is_none_or(|part| part == Part::Lint) {
        report.check("format", cargo("fmt --all --check"));
        report.check(
            "clippy",
            cargo("clippy --workspace --all-targets -- --deny warnings"),
        );
    }
    if part != Some(Part::Lint) && report.stage("install", install) {
        let mut command = cargo(match part {
            Some(Part::Judges) => "test --no-fail-fast --workspace --test judges --test yaml --test goldens",
            _ => "test --no-fail-fast",
        });
        command.args(for_cargo);
        if report.stage("build", || build(&command)) {
            let mut shared = None;
            let started = report.stage("start servers", || {
                Shared::start().map(|servers| shared = Some(servers))
            });
            if let (true, Some(servers)) = (started, shared) {
                command.envs(servers.environment());
                report.tests(&mut command);
                report.stage("stop servers", || {
                    drop(servers);
                    Ok(())
                });
            }
        }
    }
    report.finish()
}

/// Starts both servers, prints the variables that point to them, and runs until it is interrupted.
pub(crate) fn servers(arguments: &[String]) -> Result<(), String> {
    if let Some(argument) = arguments.first() {
        return Err(format!(
            "`{argument}` is not an argument of `servers`; it takes none"
        ));
    }
    require_tools()?;
    install()?;
    let servers = Shared::start()?;
    let mut exports = String::new();
    for (name, value) in servers.environment() {
        exports += &format!("export {name}={value}\n");
        match name {
            "TERRACE_TEST_KUBECONFIG" => exports += &format!("export KUBECONFIG={value}\n"),
            "TERRACE_TEST_AWS_ENDPOINT" => exports += &format!("export AWS_ENDPOINT_URL={value}\n"),
            _ => {}
        }
    }
    exports += "export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-west-1\n";
    exports += "# the access key is the account; both servers stop with this command (Ctrl-C)\n";
    print(&exports);
    loop {
        thread::park();
    }
}

/// The part of the verification that `--only` selects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Lint,
    Cargo,
    Judges,
}

fn parse(arguments: &[String]) -> Result<(Option<Part>, &[String]), String> {
    let own_count = arguments
        .iter()
        .position(|argument| argument == "--")
        .unwrap_or(arguments.len());
    let for_cargo = arguments.get(own_count + 1..).unwrap_or_default();
    let words: Vec<&str> = arguments[..own_count].iter().map(String::as_str).collect();
    let part = match words[..] {
        [] => None,
        ["--only", "lint"] => Some(Part::Lint),
        ["--only", "cargo"] => Some(Part::Cargo),
        ["--only", "judges"] => Some(Part::Judges),
        _ => {
            return Err(
                "usage: cargo xtask test [--only lint|cargo|judges] [-- ARGUMENTS OF CARGO TEST]".to_owned(),
            );
        }
    };
    Ok((part, for_cargo))
}

fn require_tools() -> Result<(), String> {
    let missing = tools::missing_prerequisites();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the tests need tools that this machine does not have\n  {}",
        missing.join("\n  ")
    ))
}

/// Installs the servers and the judges in parallel, because most of the time is spent on waiting for registries.
fn install() -> Result<(), String> {
    thread::scope(|scope| {
        let running = Tool::ALL.map(|tool| {
            scope.spawn(move || {
                let start = Instant::now();
                let result = tool.install();
                // The progress goes to standard error, because a shell reads the standard output of `servers`.
                let _ = writeln!(io::stderr(), "  {}: {}", tool.name(), seconds(start.elapsed()));
                result.map_err(|error| format!("{}: {error}", tool.name()))
            })
        });
        let failed = running.into_iter().filter_map(|thread| match thread.join() {
            Ok(result) => result.err(),
            Err(_) => Some("an installation panicked".to_owned()),
        });
        let failed: Vec<String> = failed.collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("\n"))
        }
    })
}

/// Builds the tests and the program, which most of them run.
fn build(test: &Command) -> Result<(), String> {
    // With `--tests`, the program and the tests share one build of their dependencies. Separate builds would select
    // different features.
    succeed(&mut cargo("build --workspace --bins --tests"))?;
    let until_harness = test.get_args().take_while(|argument| *argument != "--");
    let mut command = cargo("");
    succeed(command.args(until_harness).arg("--no-run"))
}

/// The stages of a run with their times and results.
#[derive(Default)]
struct Report {
    stages: Vec<(&'static str, Duration, bool)>,
    passed: u64,
    failed: u64,
}

impl Report {
    /// Runs a stage that other stages need, and returns whether it succeeded. Only a failure counts in the totals.
    fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<(), String>) -> bool {
        print(&format!("── {name}\n"));
        let start = Instant::now();
        let result = work();
        if let Err(error) = &result {
            print(&format!("{error}\n"));
            self.failed += 1;
        }
        self.record(name, start, result.is_ok());
        result.is_ok()
    }

    /// Runs a stage that is itself a check.
    fn check(&mut self, name: &'static str, mut command: Command) {
        if self.stage(name, || succeed(&mut command)) {
            self.passed += 1;
        }
    }

    /// Runs `cargo test`, shows its output, and counts the results.
    fn tests(&mut self, command: &mut Command) {
        print("── test\n");
        let start = Instant::now();
        let before = self.failed;
        let outcome = count(command);
        if let Ok((passed, failed, success)) = outcome {
            self.passed += passed;
            // A test program that does not compile, or crashes, prints no result line.
            self.failed += if success { failed } else { failed.max(1) };
        } else {
            self.failed += 1;
        }
        self.record("test", start, self.failed == before);
    }

    fn record(&mut self, name: &'static str, start: Instant, success: bool) {
        let time = start.elapsed();
        print(&format!("── {name}: {} {}\n", seconds(time), verdict(success)));
        self.stages.push((name, time, success));
    }

    fn finish(self) -> Result<(), String> {
        let total = self.stages.iter().map(|(_, time, _)| *time).sum();
        let mut summary = String::from("\n");
        for (name, time, success) in &self.stages {
            summary += &format!("{name:14} {:>9}  {}\n", seconds(*time), verdict(*success));
        }
        summary += &format!("{:14} {:>9}\n", "total", seconds(total));
        summary += &format!("{} passed, {} failed\n", self.passed, self.failed);
        print(&summary);
        // The line above is the summary, so the error needs no message.
        if self.failed == 0 {
            Ok(())
        } else {
            Err(String::new())
        }
    }
}

/// Runs `cargo test` and returns the totals of the result lines, and whether the command succeeded.
fn count(command: &mut Command) -> io::Result<(u64, u64, bool)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let (mut passed, mut failed) = (0, 0);
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(|out| out.split(b'\n'))
    {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        print(&format!("{line}\n"));
        let Some(result) = line.strip_prefix("test result: ") else {
            continue;
        };
        let number = |word: &str| {
            let words: Vec<&str> = result.split([' ', '.', ';']).collect();
            let at = words.iter().position(|found| *found == word)?;
            words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
        };
        passed += number("passed").unwrap_or(0);
        failed += number("failed").unwrap_or(0);
    }
    Ok((passed, failed, child.wait()?.success()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("it ended with {status}"))
    }
}

/// Returns a command that runs the calling cargo in the root of the repository. Arguments cannot contain spaces.
fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments.split_whitespace())
        .current_dir(tools::root());
    command
}

fn verdict(success: bool) -> &'static str {
    if success { "ok" } else { "FAILED" }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Prints to standard output. Ignores errors, because a closed pipe is not a failure of the tests.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
