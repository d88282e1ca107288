//! Writes data to standard output and messages to standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::{env, fs};

use crate::problem::Problem;

/// The output streams of the process, and whether they are colored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    color_data: bool,
    color_words: bool,
    interactive: bool,
}

/// The meaning of a colored piece of text. Color is never the only carrier of a meaning: the text states the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// An instruction.
    Help,
    /// A created object, or success.
    Good,
    /// Secondary text.
    Quiet,
    /// A heading.
    Strong,
}

impl Console {
    /// Describes the streams of this process. Uses color only on a terminal, and only if the environment does not forbid it
    /// (`NO_COLOR`, `CI`, `TERM=dumb`).
    pub(crate) fn of_process() -> Console {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_allowed = !is_set("NO_COLOR") && !is_set("CI") && !is_dumb;
        let is_terminal = io::stderr().is_terminal();
        Console {
            color_data: is_allowed && io::stdout().is_terminal(),
            color_words: is_allowed && is_terminal,
            interactive: is_terminal && !is_set("CI") && !is_dumb,
        }
    }

    /// Returns true if messages are colored.
    pub(crate) fn color_words(self) -> bool {
        self.color_words
    }

    /// Returns true if data is colored.
    pub(crate) fn color_data(self) -> bool {
        self.color_data
    }

    /// Returns true if messages go to a terminal, where progress bars can be redrawn.
    pub(crate) fn is_interactive(self) -> bool {
        self.interactive
    }

    /// Returns true if the user can answer a question: messages and input use a terminal.
    pub(crate) fn can_ask(self) -> bool {
        self.interactive && io::stdin().is_terminal()
    }

    /// Prints data. A closed pipe is not an error, because the reader may need only the first lines.
    pub(crate) fn data(self, text: &str) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Problem::new(format!("cannot write the output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Prints a message. Ignores errors, because there is no other stream to report them.
    pub(crate) fn say(self, words: &str) {
        if !words.is_empty() {
            let mut err = io::stderr().lock();
            let _ = err.write_all(words.as_bytes()).and_then(|()| err.flush());
        }
    }

    /// Prints a message and a line break.
    pub(crate) fn line(self, words: &str) {
        self.say(&format!("{words}\n"));
    }

    /// Colors a part of a message if messages are colored.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.color_words, tone, text)
    }
}

/// Returns the text in the color of a tone, or unchanged if `color` is false.
pub(crate) fn painted(color: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Error => "1;31",
        Tone::Warning => "1;33",
        Tone::Help => "1;36",
        Tone::Good => "32",
        Tone::Quiet => "2",
        Tone::Strong => "1",
    };
    if color {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Reads an environment variable. An empty value counts as absent.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the name of the machine. The kernel's name comes first, because it is the same in every shell.
pub(crate) fn host() -> Option<String> {
    let file = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    file("/proc/sys/kernel/hostname")
        .or_else(|| file("/etc/hostname"))
        .or_else(|| variable("COMPUTERNAME"))
        .or_else(|| variable("HOSTNAME"))
        .filter(|host| !host.is_empty())
}

/// Returns the user and the host that run the program, as far as the environment names them: `ana@laptop`.
pub(crate) fn who() -> String {
    let user = variable("USER")
        .or_else(|| variable("LOGNAME"))
        .or_else(|| variable("USERNAME"));
    let host = variable("HOSTNAME").or_else(host);
    match (user, host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => "an unknown user".to_owned(),
    }
}
