//! Runs the `terrace` program as a user does, in a controlled environment.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use crate::scratch;
use crate::servers::Account;

/// The directory and the environment variables for calls of `terrace`.
#[derive(Clone, Debug)]
pub struct Terrace {
    directory: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

/// The result of a call.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code, or -1 if a signal ended the program.
    pub code: i32,
    /// The text on standard output.
    pub stdout: String,
    /// The text on standard error.
    pub stderr: String,
    command: String,
}

impl Terrace {
    /// Creates a caller for a directory, without a cluster and an account.
    pub fn in_directory(directory: &Path) -> Terrace {
        let kept = ["PATH", "LLVM_PROFILE_FILE"]
            .into_iter()
            .filter_map(|name| Some((name.into(), env::var_os(name)?)));
        let mut variables: Vec<(OsString, OsString)> = kept.collect();
        // Without a home directory, the program cannot read the developer's kubeconfig or AWS profile.
        variables.push(("HOME".into(), directory.join("no-home").into()));
        variables.push(("KUBECONFIG".into(), directory.join("no-kubeconfig").into()));
        variables.push(("AWS_EC2_METADATA_DISABLED".into(), "true".into()));
        variables.push(("GIT_CEILING_DIRECTORIES".into(), scratch::directory().into()));
        variables.push(("RUST_BACKTRACE".into(), "1".into()));
        Terrace {
            directory: directory.to_owned(),
            variables,
        }
    }

    /// Sets the kubeconfig.
    #[must_use]
    pub fn kubeconfig(self, path: &Path) -> Terrace {
        self.variable("KUBECONFIG", path)
    }

    /// Sets the AWS account.
    #[must_use]
    pub fn account(self, account: &Account<'_>) -> Terrace {
        account
            .environment()
            .into_iter()
            .fold(self, |terrace, (name, value)| terrace.variable(name, value))
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Terrace {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Runs the program and waits for its end.
    ///
    /// # Panics
    ///
    /// If the program does not exist.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with_input(arguments, "")
    }

    /// Runs the program with a text on standard input, and waits for its end.
    ///
    /// # Panics
    ///
    /// If the program does not exist.
    #[track_caller]
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("the program ends");
        let _ = writer.join(); // the program may end before it reads its input
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: format!("terrace {}", arguments.join(" ")),
        }
    }

    /// Starts the program with pipes for all three streams, and does not wait.
    ///
    /// # Panics
    ///
    /// If the program does not exist.
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
    /// Checks the exit code. A failure shows all output of the program.
    ///
    /// # Panics
    ///
    /// If the exit code differs.
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

    /// Parses standard output as JSON.
    ///
    /// # Panics
    ///
    /// If the output is not JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}` did not print JSON: {error}\n{}", self.command, self.stdout))
    }
}

/// Returns the path of the program, in the directory of the test's own build: `target/debug/terrace`.
#[track_caller]
pub(crate) fn program() -> PathBuf {
    let test = env::current_exe().expect("this program's path");
    let directory = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let program = directory.join(format!("terrace{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} does not exist: run `cargo build`, or `cargo xtask test`",
        program.display()
    );
    program
}
