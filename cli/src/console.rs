//! Where output goes: data to standard output, words to standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::{env, fs};

use crate::problem::Problem;

/// The two streams, and whether they may have colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    colour_data: bool,
    colour_words: bool,
    interactive: bool,
}

/// What a coloured piece of text is. Colour never carries a meaning alone: the words say the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// Something is wrong.
    Error,
    /// Something may be wrong.
    Warning,
    /// What to do.
    Help,
    /// Something is new, or done.
    Good,
    /// Something is not important.
    Quiet,
    /// A heading.
    Strong,
}

impl Console {
    /// The process's own streams. Colours only where a person looks and has not said no.
    pub(crate) fn of_process() -> Console {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = !set("NO_COLOR") && !set("CI") && !dumb;
        let words = io::stderr().is_terminal();
        Console {
            colour_data: wanted && io::stdout().is_terminal(),
            colour_words: wanted && words,
            interactive: words && !set("CI") && !dumb,
        }
    }

    /// Whether words may be coloured.
    pub(crate) fn colour_words(self) -> bool {
        self.colour_words
    }

    /// Whether data may be coloured.
    pub(crate) fn colour_data(self) -> bool {
        self.colour_data
    }

    /// Whether a person looks at the words, so that lines may be drawn over.
    pub(crate) fn is_interactive(self) -> bool {
        self.interactive
    }

    /// Whether a person can be asked: words are seen and answers are typed.
    pub(crate) fn can_ask(self) -> bool {
        self.interactive && io::stdin().is_terminal()
    }

    /// Prints data. That nobody reads it any more is no error.
    pub(crate) fn data(self, text: &str) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Problem::new(format!("cannot write the output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Says something. That nobody hears it is no error.
    pub(crate) fn say(self, words: &str) {
        if !words.is_empty() {
            let mut err = io::stderr().lock();
            let _ = err.write_all(words.as_bytes()).and_then(|()| err.flush());
        }
    }

    /// Says a line.
    pub(crate) fn line(self, words: &str) {
        self.say(&format!("{words}\n"));
    }

    /// A piece of the words, coloured where that is wanted.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        painted(self.colour_words, tone, text)
    }
}

/// A text in the colour of a tone, or as it is.
pub(crate) fn painted(colour: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Error => "1;31",
        Tone::Warning => "1;33",
        Tone::Help => "1;36",
        Tone::Good => "32",
        Tone::Quiet => "2",
        Tone::Strong => "1",
    };
    if colour {
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

/// Who runs the program, as far as the machine knows: `ana@laptop`.
pub(crate) fn who() -> String {
    let user = variable("USER")
        .or_else(|| variable("LOGNAME"))
        .or_else(|| variable("USERNAME"));
    let host = variable("HOSTNAME").or_else(host);
    match (user, host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "somebody".to_owned(),
    }
}
