//! Runs the `terrace` program as a user does, with an environment in which nothing is left to chance.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use crate::servers::Account;

/// A way to call `terrace`: a directory and an environment.
#[derive(Clone, Debug)]
pub struct Terrace {
    directory: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed as data.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    command: String,
}

impl Terrace {
    /// Called in a directory, with no cluster and no account.
    pub fn in_directory(directory: &Path) -> Terrace {
        let kept = ["PATH", "LLVM_PROFILE_FILE"]
            .into_iter()
            .filter_map(|name| Some((name.into(), env::var_os(name)?)));
        let mut variables: Vec<(OsString, OsString)> = kept.collect();
        // No home: neither somebody's kubeconfig nor their AWS profile is read by accident.
        variables.push(("HOME".into(), directory.join("no-home").into()));
        variables.push(("KUBECONFIG".into(), directory.join("no-kubeconfig").into()));
        variables.push(("AWS_EC2_METADATA_DISABLED".into(), "true".into()));
        variables.push(("RUST_BACKTRACE".into(), "1".into()));
        Terrace {
            directory: directory.to_owned(),
            variables,
        }
    }

    /// With this kubeconfig.
    #[must_use]
    pub fn kubeconfig(self, path: &Path) -> Terrace {
        self.variable("KUBECONFIG", path)
    }

    /// With this account.
    #[must_use]
    pub fn account(self, account: &Account<'_>) -> Terrace {
        account
            .environment()
            .into_iter()
            .fold(self, |terrace, (name, value)| terrace.variable(name, value))
    }

    /// With this variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Terrace {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Runs to the end.
    ///
    /// # Panics
    ///
    /// When the program is not there.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with_input(arguments, "")
    }

    /// Runs to the end with a text on standard input.
    ///
    /// # Panics
    ///
    /// When the program is not there.
    #[track_caller]
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("the program ends");
        let _ = writer.join(); // one that does not read its input has its reasons
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("terrace {}", arguments.join(" ")),
        }
    }

    /// Starts and does not wait; all three streams are pipes.
    ///
    /// # Panics
    ///
    /// When the program is not there.
    #[track_caller]
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(program());
        command
            .current_dir(&self.directory)
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("terrace starts")
    }
}

impl Run {
    /// Fails, with all that was said, unless the program ended with this code.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    #[must_use]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(
            self.code, code,
            "the exit code of `{}`\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}` printed no JSON: {error}\n{}", self.command, self.stdout))
    }
}

/// The program, built beside this test's own: `target/debug/terrace`.
#[track_caller]
pub(crate) fn program() -> PathBuf {
    let test = env::current_exe().expect("this program's path");
    let directory = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let program = directory.join(format!("terrace{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not there: run `cargo build`, or `cargo xtask test`",
        program.display()
    );
    program
}
