//! How a command ends.

use terrace_deployer::Error;

use crate::console::{Console, Tone};

/// How a command ended, which is the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// It did what was asked.
    Done,
    /// It did nothing, or found something wrong.
    Failed,
    /// There are changes, and `--detailed-exitcode` was given.
    Changes,
    /// An apply stopped part-way.
    Partly,
    /// It would not: data would be lost, the plan is stale, the cluster or account is another one.
    Refused,
}

impl Status {
    /// The exit code.
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

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// All has been said already.
    Said,
    /// In words: what is wrong, and what to do.
    Words {
        /// Lower case, no full stop.
        message: String,
        /// What to do, a line each.
        help: Vec<String>,
    },
    /// From a live system.
    Deployer(Box<Error>),
}

impl Problem {
    /// Something that is wrong.
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem::Words {
            message: message.into(),
            help: Vec::new(),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn help(mut self, line: impl Into<String>) -> Problem {
        if let Problem::Words { help, .. } = &mut self {
            help.push(line.into());
        }
        self
    }

    /// What the command ends with.
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

    /// What is said about it; nothing where all has been said.
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
                    format!("\n{} {report}\n", console.paint(Tone::Error, "stopped part-way:"))
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
