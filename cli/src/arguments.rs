//! The command line: the commands and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use terrace_artifact::{Address, AddressError};

use crate::console::Console;
use crate::problem::Status;

/// Compile a data platform from one typed description and deploy it to Kubernetes and AWS.
#[derive(Parser, Debug)]
#[command(name = "terrace", bin_name = "terrace", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands of the program.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Create a starter stack and editor settings
    Init {
        /// Directory to create; must not exist or must be empty
        dir: PathBuf,
    },
    /// Check a stack in every environment without writing anything
    Validate {
        #[command(flatten)]
        stack: StackFolder,
        #[command(flatten)]
        set: Set,
        /// Output format
        #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
        output: Output,
    },
    /// Compile a stack and write the manifests and templates to a directory
    Build {
        #[command(flatten)]
        stack: StackFolder,
        /// Environment to build (can be repeated) [default: all environments]
        #[arg(short, long = "environment", value_name = "ENV")]
        environments: Vec<String>,
        /// Output directory
        #[arg(long, value_name = "DIR", default_value = "out")]
        out: PathBuf,
        #[command(flatten)]
        set: Set,
    },
    /// Compare the compiled output with its golden files
    Test {
        /// Directory of a stack, or of a module with test cases
        #[arg(value_name = "STACK|MODULE", default_value = ".")]
        folder: PathBuf,
        /// Update the golden files
        #[arg(long)]
        update: bool,
    },
    /// Show the changes that an apply would make
    Plan {
        #[command(flatten)]
        target: Environment,
        #[command(flatten)]
        planning: Planning,
        /// Save the plan to a file, for `terrace apply FILE`
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        /// Output format
        #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
        output: Output,
        /// Exit with code 2 if there are changes, or if a resource is not ready yet
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Deploy a stack, or apply a saved plan
    Apply {
        /// Directory of the stack, or file of a saved plan
        #[arg(value_name = "STACK|FILE", default_value = ".")]
        from: PathBuf,
        /// Environment to deploy; required unless you apply a saved plan
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        flags: ChangeFlags,
    },
    /// Delete the resources that Terrace manages in an environment
    #[command(mut_arg("adopt", |adopt| adopt.hide(true)))]
    #[command(mut_arg("only", |only| only.help(DESTROY_ONLY)))]
    Destroy {
        #[command(flatten)]
        target: Environment,
        /// Delete only the resources in a place that the environment no longer names: ACCOUNT/REGION, a kubeconfig context, or a directory
        #[arg(long, value_name = "PLACE")]
        at: Option<String>,
        #[command(flatten)]
        planning: Planning,
        #[command(flatten)]
        flags: ChangeFlags,
    },
    /// Stop managing an environment, without changing or deleting its resources
    Forget {
        /// Directory of the stack; a single argument that is not a directory is the place [default: .]
        stack: Option<String>,
        /// Place to forget: ACCOUNT/REGION, a kubeconfig context, or a directory [default: all places]
        place: Option<String>,
        /// Environment (required); may be one that the stack no longer contains
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        /// Skip the confirmation prompt
        #[arg(short, long)]
        yes: bool,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        set: Set,
    },
    /// Explain a diagnostic code, or show where a resource or a field comes from
    Explain {
        /// Diagnostic code (`unknown-tier`), resource address (`finance/web/deployment`), or component (`finance/web`)
        #[arg(value_name = "CODE|ADDRESS")]
        what: String,
        /// Field of the resource, such as `spec.replicas`
        field: Option<String>,
        /// Directory of the stack
        #[arg(long, value_name = "STACK", default_value = ".")]
        stack: PathBuf,
        /// Environment; required for an address or a component
        #[arg(short, long, value_name = "ENV")]
        environment: Option<String>,
        #[command(flatten)]
        set: Set,
    },
    /// Draw the components of an environment and their dependencies
    Graph {
        #[command(flatten)]
        target: Environment,
        /// Output format
        #[arg(long, value_enum, default_value_t = GraphLanguage::Mermaid, value_name = "FORMAT")]
        output: GraphLanguage,
        /// Draw the resources of one component, given as `TENANT/COMPONENT`
        #[arg(long, value_name = "COMPONENT")]
        component: Option<String>,
        #[command(flatten)]
        set: Set,
    },
    /// Create the S3 bucket that Terrace needs in each AWS account and region
    Bootstrap {
        #[command(flatten)]
        target: Environment,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        set: Set,
    },
    /// List the built-in modules, or show one
    Modules {
        #[command(subcommand)]
        command: Modules,
    },
    /// Print the JSON Schema of a document kind or of saved plans
    Schema {
        /// A document kind, `stack` for all kinds together, or `plan` for saved plans
        #[arg(value_name = "KIND", value_parser = schema_kinds())]
        kind: String,
    },
    /// Print a shell completion script
    Completions {
        /// Shell for which to print the script
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the man pages of all commands to a directory
    Man {
        /// Directory for the pages, such as `~/.local/share/man/man1`
        dir: PathBuf,
    },
}

/// The subcommands of `terrace modules`.
#[derive(Subcommand, Debug)]
pub(crate) enum Modules {
    /// List the name, version and summary of each module
    List,
    /// Show the inputs, outputs and resources of a module
    Show {
        /// Name of the module
        name: String,
        /// Print the YAML source of the module
        #[arg(long)]
        source: bool,
    },
}

/// The directory of a stack.
#[derive(Args, Debug)]
pub(crate) struct StackFolder {
    /// Directory of the stack
    #[arg(value_name = "STACK", default_value = ".")]
    pub(crate) stack: PathBuf,
}

/// One environment of a stack.
#[derive(Args, Debug)]
pub(crate) struct Environment {
    /// Directory of the stack
    #[arg(value_name = "STACK", default_value = ".")]
    pub(crate) stack: PathBuf,
    /// Environment (required)
    #[arg(short, long, value_name = "ENV")]
    pub(crate) environment: Option<String>,
}

/// Inputs that the command line overrides.
#[derive(Args, Debug)]
pub(crate) struct Set {
    /// Set an input of a component, such as the image that CI has just built (can be repeated)
    #[arg(long = "set", value_name = "COMPONENT.INPUT=VALUE")]
    pub(crate) set: Vec<String>,
}

/// How Terrace connects to live systems.
#[derive(Args, Debug)]
pub(crate) struct Reach {
    /// Kubeconfig file [default: `$KUBECONFIG`, then `~/.kube/config`]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Flags that control what a plan contains.
#[derive(Args, Debug)]
pub(crate) struct Planning {
    /// Limit the plan to a tenant, a component or a resource: `finance`, `finance/web` or `finance/web/deployment` (can be repeated). `plan` and `apply` also include the resources that the selected ones depend on
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) only: Vec<String>,
    /// Take ownership of fields that another field manager owns
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Start managing an existing resource that Terrace did not create, or all such resources of a component: TENANT/COMPONENT (can be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = approval)]
    pub(crate) adopt: Vec<String>,
    /// Approve a change for which the plan requires an approval, such as the loss of data (can be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = approval)]
    pub(crate) approve: Vec<String>,
    /// Accept this directory as the new origin of the environment, which was deployed from another directory; use this after you move the directory
    #[arg(long)]
    pub(crate) accept_origin: bool,
    /// Preview CloudFormation changes with temporary change sets
    #[arg(long)]
    pub(crate) change_set: bool,
    #[command(flatten)]
    pub(crate) set: Set,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Flags that control how changes are made.
#[derive(Args, Debug)]
pub(crate) struct ChangeFlags {
    /// Skip the confirmation prompt
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Maximum time for one resource to become ready, such as `90s` or `20m` [default: 10 minutes for a Kubernetes object, 1 hour for a CloudFormation stack]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// An output format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// Human-readable text
    Text,
    /// JSON for programs
    Json,
}

/// The help of `--only` for `destroy`, which does not include dependencies.
const DESTROY_ONLY: &str = "Delete only a tenant, a component or a resource: `finance`, `finance/web` or `finance/web/deployment` (can be repeated)";

/// The name of the schema of saved plans, which is not a document kind.
pub(crate) const PLAN: &str = "plan";

/// The language of a drawing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum GraphLanguage {
    /// Mermaid, for Markdown
    Mermaid,
    /// DOT, for Graphviz
    Dot,
}

/// Reports invalid arguments, or prints the help or version that the user requested.
pub(crate) fn refused(error: &clap::Error, console: &Console) -> Status {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let color = if asked_for {
        console.color_data()
    } else {
        console.color_words()
    };
    let text = error.render();
    let text = if color {
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
    let names = terrace_compiler::validate::schema_names();
    names.chain([PLAN]).collect::<Vec<_>>().into()
}

/// Parses the value of `--approve` and `--adopt`: an address, or a component. The plan later lists the addresses of a component.
fn approval(text: &str) -> Result<String, AddressError> {
    match text.parse::<Address>() {
        Err(error) if !is_component(text) => Err(error),
        _ => Ok(text.to_owned()),
    }
}

/// Reports whether `text` has the form TENANT/COMPONENT, such as `finance/web`.
pub(crate) fn is_component(text: &str) -> bool {
    text.split_once('/').is_some_and(|(tenant, component)| {
        !tenant.is_empty() && !component.is_empty() && !component.contains('/')
    })
}

/// Parses a duration such as `90s`, `20m` or `2h`, from one second to seven days.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    seconds
        .filter(|seconds| (1..=7 * 24 * 3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a duration such as `90s`, `20m` or `2h`, at most 7 days".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let help = Arguments::command().render_help().to_string();
        assert!(help.lines().count() <= 30, "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }

    #[test]
    fn accepts_an_address_or_a_component_as_approval() {
        assert!(approval("finance/db/server").is_ok());
        assert!(approval("finance/db").is_ok());
        for text in ["", "finance", "finance/", "/db", "finance//db", "finance/db/"] {
            assert!(approval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn requires_a_unit_for_durations() {
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
