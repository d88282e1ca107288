//! Checks that a state machine and its Glue jobs agree on timeouts and on the names of arguments.

use std::collections::BTreeSet;

use terrace_artifact::{Segment, Text};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_language::value::unit::Duration;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, one_of};
use terrace_syntax::source::Span;

use super::{Finding, Level, Machine, inner};

use super::super::targets::Targets;

/// The names of the arguments that the script of a job reads, and their source.
pub(crate) struct Arguments {
    /// Without `--`.
    pub(crate) names: BTreeSet<Text>,
    /// Whether the script reads no others. It is false if the names are only defaults.
    pub(crate) complete: bool,
    /// The source in a message.
    pub(crate) source: String,
    /// The names that have a default.
    pub(crate) supplied: BTreeSet<Text>,
}

/// Arguments that Glue itself reads. An entry that ends in `-` is a prefix.
const OWN: [&str; 32] = [
    "additional-python-modules",
    "auto-scale-within-microbatch",
    "class",
    "conf",
    "continuous-log-",
    "customer-driver-env-vars",
    "customer-executor-env-vars",
    "datalake-formats",
    "disable-proxy",
    "enable-",
    "executor-cores",
    "extra-files",
    "extra-jars",
    "extra-py-files",
    "gitlab-",
    "job-bookmark-",
    "job-language",
    "job-name",
    "JOB_NAME",
    "job-run-id",
    "library-set",
    "observability-",
    "python-modules-installer-option",
    "scriptLocation",
    "spark-",
    "TempDir",
    "use-postgres-driver",
    "user-jars-first",
    "worker-",
    "write-shuffle-",
    "iceberg-",
    "hudi-",
];

/// Returns whether Glue itself reads an argument (without `--`).
fn is_own(name: &str) -> bool {
    OWN.iter()
        .any(|own| *own == name || (own.ends_with('-') && name.starts_with(own)))
}

/// Returns the timeout of a job in minutes, if it declares one.
pub(crate) fn default_timeout(job: &Resource) -> Option<i64> {
    job.body.get("Timeout").and_then(Term::as_integer)
}

/// Returns the arguments of the script of a job: from `ScriptArguments` in its `Metadata`, from `getResolvedOptions` in the
/// script, or from the names of the defaults.
pub(crate) fn script_arguments(job: &Resource, targets: &dyn Targets) -> Option<Arguments> {
    let supplied: BTreeSet<Text> = ["DefaultArguments", "NonOverridableArguments"]
        .iter()
        .filter_map(|key| job.body.get(key))
        .flat_map(Term::entries)
        .map(|(key, _)| Text::from(key.trim_start_matches("--")))
        .collect();
    let metadata = job
        .attributes
        .iter()
        .find(|(key, _)| key == "Metadata")
        .map(|(_, value)| value);
    if let Some(Term::List(names)) = metadata.and_then(|m| m.get("ScriptArguments")) {
        let names = names
            .iter()
            .filter_map(Term::as_str)
            .map(|n| n.trim_start_matches("--").into());
        return Some(Arguments {
            names: names.collect(),
            complete: true,
            source: format!("the arguments that `{}` declares", job.address),
            supplied,
        });
    }
    if let Some(Term::Asset(asset)) = job.body.at(&["Command", "ScriptLocation"])
        && let Some(names) = targets.text(&asset.path).and_then(|text| resolved_options(&text))
    {
        return Some(Arguments {
            names,
            complete: true,
            source: format!("`getResolvedOptions` in `{}`", asset.path),
            supplied,
        });
    }
    let names: BTreeSet<Text> = supplied.iter().filter(|name| !is_own(name)).cloned().collect();
    (!names.is_empty()).then(|| Arguments {
        names,
        complete: false,
        source: format!("the default arguments of `{}`", job.address),
        supplied,
    })
}

/// Returns the names that a Python script passes to `getResolvedOptions`, if they are a literal list.
fn resolved_options(script: &str) -> Option<BTreeSet<Text>> {
    let mut names = BTreeSet::new();
    let mut found = false;
    for line_start in script.match_indices("getResolvedOptions(").map(|(at, _)| at) {
        let line = script[..line_start].rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with('#') {
            continue;
        }
        let rest = &script[line_start..];
        let (Some(open), Some(close)) = (rest.find('['), rest.find(']')) else {
            return None;
        };
        if open > close {
            return None;
        }
        for item in rest[open + 1..close]
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let name = ['\'', '"']
                .iter()
                .find_map(|q| item.strip_prefix(*q)?.strip_suffix(*q))?;
            names.insert(Text::from(name));
        }
        found = true;
    }
    names.remove("JOB_NAME");
    found.then_some(names)
}

/// An argument that the job does not read, or missing arguments.
pub(crate) struct Mismatch {
    /// The index of the argument, or `None` for missing arguments.
    pub(crate) given: Option<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
    /// The correct name, if it is known.
    pub(crate) name: Option<String>,
}

/// Compares the arguments of a step with those of the script. The names in `given` have `--` and may end in `.$`.
pub(crate) fn mismatches(arguments: &Arguments, given: &[(Text, Option<Span>)]) -> Vec<Mismatch> {
    let plain = |name: &str| name.trim_end_matches(".$").trim_start_matches("--").to_owned();
    let alike = |a: &str, b: &str| normal(a) == normal(b);
    let passed: Vec<String> = given.iter().map(|(name, _)| plain(name)).collect();
    let mut problems = Vec::new();
    let mut explained = BTreeSet::new();
    for (index, name) in passed.iter().enumerate() {
        if is_own(name)
            || arguments.names.contains(name.as_str())
            || arguments.supplied.contains(name.as_str())
        {
            continue;
        }
        let same = arguments.names.iter().find(|wanted| alike(wanted, name));
        if let Some(wanted) = same {
            explained.insert(wanted.clone());
            problems.push(Mismatch {
                given: Some(index),
                message: format!("the job reads the argument `--{wanted}`, not `--{name}`"),
                help: format!("write `--{wanted}`"),
                name: Some(format!("--{wanted}")),
            });
        } else if arguments.complete {
            let near = terrace_catalog::nearest(name, arguments.names.iter().map(Text::as_str));
            explained.extend(near.map(Text::from));
            problems.push(Mismatch {
                given: Some(index),
                message: format!("the job does not read the argument `--{name}`"),
                help: match near {
                    Some(near) => did_you_mean(&format!("--{near}")),
                    None if arguments.names.is_empty() => "remove the argument".to_owned(),
                    None => format!("use {}", one_of(arguments.names.iter().map(|n| format!("--{n}")))),
                },
                name: near.map(|near| format!("--{near}")),
            });
        }
    }
    if arguments.complete {
        let missing: Vec<String> = arguments
            .names
            .iter()
            .filter(|name| {
                !passed.iter().any(|p| p == name.as_str())
                    && !arguments.supplied.contains(*name)
                    && !explained.contains(*name)
            })
            .map(|name| format!("--{name}"))
            .collect();
        if !missing.is_empty() {
            let (noun, verb) = match missing.len() {
                1 => ("argument", "is"),
                _ => ("arguments", "are"),
            };
            let missing = terrace_syntax::diagnostic::listed(&missing);
            problems.push(Mismatch {
                given: None,
                message: format!("the required {noun} {missing} {verb} missing"),
                help: format!("add {missing} to the arguments, or to the `DefaultArguments` of the job"),
                name: None,
            });
        }
    }
    problems
}

fn normal(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

pub(super) fn check(machine: &mut Machine<'_>, definition: &Term) {
    levels(machine, &Level::of(definition, &[]));
}

fn levels(machine: &mut Machine<'_>, level: &Level<'_>) {
    for (name, state) in level.states {
        let path = level.path_of(name);
        let resource = state.get("Resource").and_then(Term::as_str).unwrap_or_default();
        if resource.contains(":glue:startJobRun") {
            job(machine, name, state, &path, resource.ends_with(".sync"));
        }
        for (steps, below) in inner(state) {
            let mut path = path.clone();
            path.extend(steps);
            levels(machine, &Level::of(below, &path));
        }
    }
}

fn job(machine: &mut Machine<'_>, name: &str, state: &Term, path: &[Segment], waits: bool) {
    let parameters = state.get("Parameters").or_else(|| state.get("Arguments"));
    let targets = machine.targets;
    let named = parameters.and_then(|p| p.get("JobName"));
    let own = machine.resource;
    let job = match named {
        Some(Term::Reference(reference)) => targets.follow(own, reference),
        Some(term) => targets.of_type("AWS::Glue::Job").into_iter().find(|resource| {
            crate::triggers::started::leads_to(Some(term), own, resource, targets)
                || (term.as_str().is_some() && resource.body.get("Name") == Some(term))
        }),
        None => None,
    };
    let Some(job) = job.filter(|job| job.kind.cloudformation() == Some("AWS::Glue::Job")) else {
        return;
    };
    let overridden = parameters
        .and_then(|p| p.get("Timeout"))
        .and_then(Term::as_integer);
    let bound = [
        state
            .get("TimeoutSeconds")
            .and_then(Term::as_integer)
            .map(|s| (s, "the timeout of the state")),
        machine.timeout.map(|s| (s, "the timeout of the state machine")),
    ]
    .into_iter()
    .flatten()
    .min();
    if let (true, Some(minutes), Some((seconds, what))) =
        (waits, overridden.or_else(|| default_timeout(job)), bound)
        && minutes.saturating_mul(60) > seconds
    {
        let long = |seconds: i64| Duration { seconds };
        let mut finding = Finding::new(
            Code::TimeoutOrder,
            path,
            format!(
                "the job of state `{name}` can run for {}, longer than {what} ({})",
                long(minutes.saturating_mul(60)),
                long(seconds)
            ),
        );
        finding.label = "times out while the job continues".to_owned();
        machine.findings.push(
            finding
                .note(format!("`{}` has `Timeout: {minutes}` (minutes)", job.address))
                .help(format!(
                    "set the timeout of the job to {} minutes or less",
                    seconds / 60
                )),
        );
    }
    let Some(arguments) = script_arguments(job, targets) else {
        return;
    };
    let given: Vec<(Text, Option<Span>)> = parameters
        .and_then(|p| p.get("Arguments"))
        .map(Term::entries)
        .unwrap_or_default()
        .iter()
        .map(|(key, _)| (key.clone(), None))
        .collect();
    for mismatch in mismatches(&arguments, &given) {
        let mut path = path.to_vec();
        if let Some((name, _)) = mismatch.given.and_then(|index| given.get(index)) {
            path.extend(["Parameters", "Arguments", name].map(|key| Segment::Key(key.into())));
        }
        let mut finding = Finding::new(
            Code::ArgumentMismatch,
            &path,
            format!("in state `{name}`, {}", mismatch.message),
        );
        finding.key = mismatch.given.is_some();
        finding.label = match mismatch.given {
            Some(_) => "not read by the job",
            None => "arguments of this state",
        }
        .to_owned();
        let source = format!("Terrace reads the names from {}", arguments.source);
        machine.findings.push(finding.note(source).help(mismatch.help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_resolved_options_of_a_script() {
        let script = "# getResolvedOptions(sys.argv, ['OLD'])\nargs = getResolvedOptions(sys.argv, ['JOB_NAME',\n  \"INPUT_PATH\", 'OUTPUT_PATH'])\n";
        let names: Vec<Text> = resolved_options(script).unwrap().into_iter().collect();
        assert_eq!(names, ["INPUT_PATH", "OUTPUT_PATH"]);
        assert_eq!(resolved_options("getResolvedOptions(sys.argv, NAMES)"), None);
        assert_eq!(resolved_options("getResolvedOptions(sys.argv, [*NAMES])"), None);
        assert_eq!(resolved_options("print(1)"), None);
    }
}
