//! The result of a command: its exit code and its error message.

use terrace_deployer::Error;

use crate::console::{Console, Tone};

/// The result of a command. It determines the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// The command succeeded.
    Done,
    /// The command found errors, or failed before it changed anything.
    Failed,
    /// The plan contains changes and the user passed `--detailed-exitcode`.
    Changes,
    /// An apply stopped after it had made some of the changes.
    Partly,
    /// Terrace refused: data would be lost, the plan is stale, or the target is not the one that the plan was made for.
    Refused,
}

impl Status {
    /// Returns the exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Changes => 2,
            Status::Partly => 3,
            Status::Refused => 4,
        }
    }
}

/// The reason why a command failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The reason was printed already.
    Said,
    /// A message with instructions.
    Words {
        /// The problem, in lower case and without a full stop.
        message: String,
        /// The instructions, one per entry.
        help: Vec<String>,
    },
    /// An error from a live system.
    Deployer(Box<Error>),
}

impl Problem {
    /// Creates a problem from its message.
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem::Words {
            message: message.into(),
            help: Vec::new(),
        }
    }

    /// Adds an instruction.
    #[must_use]
    pub(crate) fn help(mut self, line: impl Into<String>) -> Problem {
        if let Problem::Words { help, .. } = &mut self {
            help.push(line.into());
        }
        self
    }

    /// Returns the message.
    pub(crate) fn message(&self) -> &str {
        match self {
            Problem::Words { message, .. } => message,
            Problem::Said | Problem::Deployer(_) => "it cannot be read",
        }
    }

    /// Returns the status that the command ends with.
    pub(crate) fn status(&self) -> Status {
        match self {
            Problem::Said | Problem::Words { .. } => Status::Failed,
            Problem::Deployer(error) => match error.exit_code() {
                3 => Status::Partly,
                4 => Status::Refused,
                _ => Status::Failed,
            },
        }
    }

    /// Renders the problem for the console. Returns an empty string if it was printed already.
    pub(crate) fn words(&self, console: &Console) -> String {
        let error = console.paint(Tone::Error, "error:");
        match self {
            Problem::Said => String::new(),
            Problem::Words { message, help } => {
                let mut words = format!("{error} {message}\n");
                for line in help {
                    let help = console.paint(Tone::Help, "help:");
                    words.push_str(&format!("{help} {}\n", line.replace('\n', "\n  ")));
                }
                words
            }
            Problem::Deployer(problem) => match &**problem {
                Error::Refused(refusal) => format!("{} {refusal}\n", console.paint(Tone::Error, "refused:")),
                Error::Failed(failures) => {
                    let all = failures.iter().map(|failure| format!("{error} {failure}\n"));
                    all.collect::<Vec<_>>().join("\n")
                }
                Error::Partly(report) => {
                    format!("\n{} {report}\n", console.paint(Tone::Error, "partly applied:"))
                }
            },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Deployer(Box::new(error))
    }
}
