//! `cargo xtask test`: everything that says whether this checkout works, on a machine with Rust, Go, Python and Node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use terrace_tests::servers::Shared;
use terrace_tests::tools::{self, Tool};

/// Runs the whole verification, or with `--only` a part of it. What follows `--` is for `cargo test`.
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

/// Starts both servers and says how to reach them, until it is interrupted.
pub(crate) fn servers(arguments: &[String]) -> Result<(), String> {
    if let Some(argument) = arguments.first() {
        return Err(format!(
            "`{argument}` is not an argument of `servers`; it takes none"
        ));
    }
    require_tools()?;
    install()?;
    let servers = Shared::start()?;
    let mut words = String::new();
    for (name, value) in servers.environment() {
        words += &format!("export {name}={value}\n");
        match name {
            "TERRACE_TEST_KUBECONFIG" => words += &format!("export KUBECONFIG={value}\n"),
            "TERRACE_TEST_AWS_ENDPOINT" => words += &format!("export AWS_ENDPOINT_URL={value}\n"),
            _ => {}
        }
    }
    words += "export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-west-1\n";
    words += "# the access key is the account; both servers stop with this command (Ctrl-C)\n";
    say(&words);
    loop {
        thread::park();
    }
}

/// What `--only` selects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Lint,
    Cargo,
    Judges,
}

fn parse(arguments: &[String]) -> Result<(Option<Part>, &[String]), String> {
    let mine = arguments
        .iter()
        .position(|argument| argument == "--")
        .unwrap_or(arguments.len());
    let for_cargo = arguments.get(mine + 1..).unwrap_or_default();
    let words: Vec<&str> = arguments[..mine].iter().map(String::as_str).collect();
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
        "this machine lacks what the tests need\n  {}",
        missing.join("\n  ")
    ))
}

/// Installs the servers and the judges, at the same time: most of it is waiting for registries.
fn install() -> Result<(), String> {
    thread::scope(|scope| {
        let running = Tool::ALL.map(|tool| {
            scope.spawn(move || {
                let start = Instant::now();
                let result = tool.install();
                // On the other stream: what `servers` prints is for a shell to read.
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

/// Builds the tests themselves and the program, which most of them run.
fn build(test: &Command) -> Result<(), String> {
    // With `--tests`, the program and the tests share what they depend on; each on its own would want it built its way.
    succeed(&mut cargo("build --workspace --bins --tests"))?;
    let until_harness = test.get_args().take_while(|argument| *argument != "--");
    let mut command = cargo("");
    succeed(command.args(until_harness).arg("--no-run"))
}

/// What was run, how long it took and what came of it.
#[derive(Default)]
struct Report {
    stages: Vec<(&'static str, Duration, bool)>,
    passed: u64,
    failed: u64,
}

impl Report {
    /// A stage that others need: it counts only when it fails. Gives whether it succeeded.
    fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<(), String>) -> bool {
        say(&format!("── {name}\n"));
        let start = Instant::now();
        let result = work();
        if let Err(error) = &result {
            say(&format!("{error}\n"));
            self.failed += 1;
        }
        self.record(name, start, result.is_ok());
        result.is_ok()
    }

    /// A stage that is a check of its own.
    fn check(&mut self, name: &'static str, mut command: Command) {
        if self.stage(name, || succeed(&mut command)) {
            self.passed += 1;
        }
    }

    /// Runs `cargo test`, shows what it prints, and counts.
    fn tests(&mut self, command: &mut Command) {
        say("── test\n");
        let start = Instant::now();
        let before = self.failed;
        let outcome = count(command);
        if let Ok((passed, failed, success)) = outcome {
            self.passed += passed;
            // A program that does not compile, or crashes, has no result line of its own.
            self.failed += if success { failed } else { failed.max(1) };
        } else {
            self.failed += 1;
        }
        self.record("test", start, self.failed == before);
    }

    fn record(&mut self, name: &'static str, start: Instant, success: bool) {
        let time = start.elapsed();
        say(&format!("── {name}: {} {}\n", seconds(time), verdict(success)));
        self.stages.push((name, time, success));
    }

    fn finish(self) -> Result<(), String> {
        let total = self.stages.iter().map(|(_, time, _)| *time).sum();
        let mut words = String::from("\n");
        for (name, time, success) in &self.stages {
            words += &format!("{name:14} {:>9}  {}\n", seconds(*time), verdict(*success));
        }
        words += &format!("{:14} {:>9}\n", "total", seconds(total));
        words += &format!("{} passed, {} failed\n", self.passed, self.failed);
        say(&words);
        // The line above is the last one: there is nothing to add to it.
        if self.failed == 0 {
            Ok(())
        } else {
            Err(String::new())
        }
    }
}

/// Runs `cargo test` and adds up the result lines of all its programs; also says whether it succeeded.
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
        say(&format!("{line}\n"));
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

/// The cargo that runs this program, in the root of the repository. No argument has spaces in it.
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

/// Data and words alike go to standard output here, in order; a reader that has gone away is no failure of the tests.
fn say(words: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(words.as_bytes());
    let _ = out.flush();
}
