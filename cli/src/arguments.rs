//! The commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use terrace_artifact::{Address, AddressError};

use crate::console::Console;
use crate::problem::Status;

/// One description of a data platform, compiled and deployed to clusters and accounts.
#[derive(Parser, Debug)]
#[command(name = "terrace", bin_name = "terrace", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Write a stack to start from, with its editor settings
    Init {
        /// Where to; must not exist, or be empty
        dir: PathBuf,
    },
    /// Check every environment; nothing is written
    Validate {
        #[command(flatten)]
        stack: StackFolder,
        #[command(flatten)]
        set: Set,
        /// How to tell what is wrong
        #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
        output: Output,
    },
    /// Write what would be deployed, for a person to read
    Build {
        #[command(flatten)]
        stack: StackFolder,
        /// An environment; may be repeated. Without any, all of them
        #[arg(short, long = "environment", value_name = "ENV")]
        environments: Vec<String>,
        /// Where to
        #[arg(long, value_name = "DIR", default_value = "out")]
        out: PathBuf,
        #[command(flatten)]
        set: Set,
    },
    /// Compare what comes out with what was accepted before
    Test {
        /// The folder of a stack, or of a module with its cases
        #[arg(value_name = "STACK|MODULE", default_value = ".")]
        folder: PathBuf,
        /// Accept what comes out
        #[arg(long)]
        update: bool,
    },
    /// Say what an apply would change
    Plan {
        #[command(flatten)]
        target: Environment,
        #[command(flatten)]
        planning: Planning,
        /// Keep the plan in a file, to be applied with `terrace apply FILE`
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        /// How to tell the plan
        #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
        output: Output,
        /// Exit with 2 when there are changes
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Bring about what the stack describes, or exactly what a saved plan says
    Apply {
        /// The folder of the stack, or the file of a plan
        #[arg(value_name = "STACK|FILE", default_value = ".")]
        from: PathBuf,
        /// The environment; a saved plan has its own
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        changing: Changing,
    },
    /// Take away everything of an environment
    Destroy {
        #[command(flatten)]
        target: Environment,
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        changing: Changing,
    },
    /// Say what a code means, or where a resource and its fields come from
    Explain {
        /// A code such as `unknown-tier`, an address such as `finance/web/deployment`, or a component
        #[arg(value_name = "CODE|ADDRESS")]
        what: String,
        /// A field of the resource, such as `spec.replicas`
        field: Option<String>,
        /// The folder of the stack
        #[arg(long, value_name = "STACK", default_value = ".")]
        stack: PathBuf,
        /// The environment
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        #[command(flatten)]
        set: Set,
    },
    /// Draw the components of an environment and what they need
    Graph {
        #[command(flatten)]
        target: Environment,
        /// The language of the picture
        #[arg(long, value_enum, default_value_t = Picture::Mermaid, value_name = "FORMAT")]
        output: Picture,
        /// Draw the resources of this component, `TENANT/COMPONENT`
        #[arg(long, value_name = "COMPONENT")]
        component: Option<String>,
        #[command(flatten)]
        set: Set,
    },
    /// Create what an account needs once: a bucket for templates, code and history
    Bootstrap {
        #[command(flatten)]
        target: Environment,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        set: Set,
    },
    /// Show the modules that are in the program
    Modules {
        #[command(subcommand)]
        command: Modules,
    },
    /// Print the JSON Schema of a kind of document, or of a plan
    Schema {
        /// `stack` for any document, one kind of them, or `plan` for what `plan --save` writes
        #[arg(value_name = "KIND", value_parser = schema_kinds())]
        kind: String,
    },
    /// Print a script that completes commands and flags
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// What to show of the modules.
#[derive(Subcommand, Debug)]
pub(crate) enum Modules {
    /// Their names, versions and what they are for
    List,
    /// The inputs, outputs and resources of one
    Show {
        /// Its name
        name: String,
        /// The module's own text
        #[arg(long)]
        source: bool,
    },
}

/// Where the stack is.
#[derive(Args, Debug)]
pub(crate) struct StackFolder {
    /// The folder of the stack
    #[arg(value_name = "STACK", default_value = ".")]
    pub(crate) stack: PathBuf,
}

/// One environment of a stack.
#[derive(Args, Debug)]
pub(crate) struct Environment {
    /// The folder of the stack
    #[arg(value_name = "STACK", default_value = ".")]
    pub(crate) stack: PathBuf,
    /// The environment
    #[arg(short, long, value_name = "ENV")]
    pub(crate) environment: Option<String>,
}

/// Inputs from the command line.
#[derive(Args, Debug)]
pub(crate) struct Set {
    /// Give a component's input a value, such as the image that was just built; may be repeated
    #[arg(long = "set", value_name = "COMPONENT.INPUT=VALUE")]
    pub(crate) set: Vec<String>,
}

/// How live systems are reached.
#[derive(Args, Debug)]
pub(crate) struct Reach {
    /// The kubeconfig, instead of `$KUBECONFIG` and `~/.kube/config`
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// How a plan is made.
#[derive(Args, Debug)]
pub(crate) struct Planning {
    /// Plan only this, with what it needs: `finance`, `finance/web` or `finance/web/deployment`; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) only: Vec<String>,
    /// Take over fields that somebody else manages
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Manage something that exists and that this environment did not create; an address or TENANT/COMPONENT, may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = approval)]
    pub(crate) adopt: Vec<String>,
    /// Agree to lose the data of this resource, or to delete what was adopted; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = approval)]
    pub(crate) approve: Vec<String>,
    /// Ask CloudFormation itself, with change sets that are deleted again
    #[arg(long)]
    pub(crate) change_set: bool,
    #[command(flatten)]
    pub(crate) set: Set,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// How changes are made.
#[derive(Args, Debug)]
pub(crate) struct Changing {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// How long one resource may take to become ready, such as `90s` or `20m`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// How something is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For a person
    Text,
    /// For a program
    Json,
}

/// The schema that is no document's.
pub(crate) const PLAN: &str = "plan";

/// The language of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Picture {
    /// For Markdown and documentation
    Mermaid,
    /// For Graphviz
    Dot,
}

/// Says why the flags are not understood; or prints the help that was asked for.
pub(crate) fn refused(error: &clap::Error, console: &Console) -> Status {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let colour = if asked_for {
        console.colour_data()
    } else {
        console.colour_words()
    };
    let text = error.render();
    let text = if colour {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    if asked_for {
        match console.data(&text) {
            Ok(()) => Status::Done,
            Err(problem) => problem.status(),
        }
    } else {
        console.say(&text);
        Status::Failed
    }
}

fn schema_kinds() -> clap::builder::PossibleValuesParser {
    let kinds = terrace_compiler::validate::KINDS;
    kinds.into_iter().chain([PLAN]).collect::<Vec<_>>().into()
}

/// An address; or a component, of which the plan knows what could be approved or adopted.
fn approval(text: &str) -> Result<String, AddressError> {
    match text.parse::<Address>() {
        Err(error) if !is_component(text) => Err(error),
        _ => Ok(text.to_owned()),
    }
}

/// `finance/web`: the first two parts of an address.
pub(crate) fn is_component(text: &str) -> bool {
    text.split_once('/').is_some_and(|(tenant, component)| {
        !tenant.is_empty() && !component.is_empty() && !component.contains('/')
    })
}

/// `90s`, `20m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    found
        .filter(|seconds| (1..=7 * 24 * 3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "write a time such as `90s`, `20m` or `2h`, up to a week".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let help = Arguments::command().render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn an_approval_is_an_address_or_a_component() {
        assert!(approval("finance/db/server").is_ok());
        assert!(approval("finance/db").is_ok());
        for text in ["", "finance", "finance/", "/db", "finance//db", "finance/db/"] {
            assert!(approval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in [
            "",
            "90",
            "s",
            "-1s",
            "0s",
            "1.5h",
            "99999999999999999999m",
            "200h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
