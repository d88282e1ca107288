//! Checks the jobs that a state machine runs and the rules that start it: Glue jobs that exceed their concurrency, and state machines that start themselves.
//!
//! The checks apply to pipelines and to state machines that are written by hand. The write permissions of jobs and functions are known here, because grants are
//! policies already.

use std::collections::BTreeMap;

use terrace_artifact::{Segment, Text};
use terrace_language::aws::s3_url;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

use super::super::targets::Targets;
use super::{Level, inner, source, type_of};
use crate::triggers::event::{awaited_buckets, awaited_keys};
use crate::triggers::started::leads_to;

const JOB: &str = "AWS::Glue::Job";
const FUNCTION: &str = "AWS::Lambda::Function";

/// A state that runs a job or a function.
struct Task<'t> {
    path: Vec<Segment>,
    runs: &'t Resource,
    arguments: Option<&'t Term>,
}

/// The state of the checks.
struct Machine<'t> {
    resource: &'t Resource,
    targets: &'t dyn Targets,
    /// The property with the definition.
    key: &'static str,
    body: &'t Term,
}

/// Checks how many runs of a job a state machine starts at once, and whether a job writes objects that start the state machine.
pub fn check_runs(machine: &Resource, targets: &dyn Targets, diagnostics: &mut Diagnostics) {
    // A definition that cannot be read is reported elsewhere.
    let Ok(Some(definition)) = source::definition(&machine.body) else {
        return;
    };
    let checked = Machine {
        resource: machine,
        targets,
        key: definition.key,
        body: &machine.body,
    };
    let whole = Level::of(&definition.term, &[]);
    let mut tasks = Vec::new();
    checked.tasks(&whole, &mut tasks);
    let starts = checked.starts();
    checked.at_once(&whole, diagnostics);
    checked.of_each_event(&tasks, &starts, diagnostics);
    for rule in starts {
        checked.loops(rule, &tasks, diagnostics);
    }
}

impl<'t> Machine<'t> {
    fn place(&self, path: &[Segment]) -> terrace_syntax::source::Span {
        let mut whole = vec![Segment::Key(self.key.into())];
        whole.extend_from_slice(path);
        self.targets.place(self.resource, &whole)
    }

    /// Returns the event rules that start the state machine.
    fn starts(&self) -> Vec<&'t Resource> {
        let rules = self.targets.of_type("AWS::Events::Rule").into_iter();
        let starts_it = |rule: &&Resource| {
            let targets = rule.body.get("Targets").map(Term::items).unwrap_or_default();
            rule.body.get("EventPattern").is_some()
                && targets
                    .iter()
                    .any(|target| leads_to(target.get("Arn"), rule, self.resource, self.targets))
        };
        rules.filter(starts_it).collect()
    }

    /// Collects every state that runs a job or a function of the platform.
    fn tasks<'d: 't>(&self, level: &Level<'d>, found: &mut Vec<Task<'t>>) {
        for (name, state) in level.states {
            let path = level.path_of(name);
            if let Some(runs) = self.run_by(state) {
                let parameters = state.get("Parameters").or_else(|| state.get("Arguments"));
                found.push(Task {
                    path: path.clone(),
                    runs,
                    arguments: parameters.and_then(|parameters| parameters.get("Arguments")),
                });
            }
            for (steps, below) in inner(state) {
                let mut path = path.clone();
                path.extend(steps);
                self.tasks(&Level::of(below, &path), found);
            }
        }
    }

    /// Returns the job or function that a state runs.
    fn run_by(&self, state: &Term) -> Option<&'t Resource> {
        let service = state.get("Resource").and_then(Term::as_str)?;
        let (property, resource_type, name) = if service.contains(":glue:startJobRun") {
            ("JobName", JOB, "Name")
        } else if service.contains(":lambda:invoke") {
            ("FunctionName", FUNCTION, "FunctionName")
        } else {
            return None;
        };
        let parameters = state.get("Parameters").or_else(|| state.get("Arguments"))?;
        let named = parameters.get(property)?;
        self.targets.of_type(resource_type).into_iter().find(|resource| {
            leads_to(Some(named), self.resource, resource, self.targets)
                || (named.as_str().is_some() && resource.body.get(name) == Some(named))
        })
    }

    /// Reports maps and branches that start more runs of a job at once than it allows. Returns how many the level starts of each job.
    fn at_once(
        &self,
        level: &Level<'_>,
        diagnostics: &mut Diagnostics,
    ) -> BTreeMap<String, (&'t Resource, i64)> {
        let mut most: BTreeMap<String, (&'t Resource, i64)> = BTreeMap::new();
        for (name, state) in level.states {
            let path = level.path_of(name);
            let mut of_state: BTreeMap<String, (&'t Resource, i64)> = BTreeMap::new();
            let run = self
                .run_by(state)
                .filter(|runs| runs.kind.cloudformation() == Some(JOB));
            if let Some(job) = run {
                of_state.insert(job.address.to_string(), (job, 1));
            }
            for (steps, below) in inner(state) {
                let mut path = path.clone();
                path.extend(steps);
                for (address, (job, count)) in self.at_once(&Level::of(below, &path), diagnostics) {
                    // Branches run in parallel.
                    of_state.entry(address).or_insert((job, 0)).1 += count;
                }
            }
            let inside: Vec<(&'t Resource, i64)> = of_state.values().copied().collect();
            if type_of(state) == "Map" {
                let most = state
                    .get("MaxConcurrency")
                    .and_then(Term::as_integer)
                    .filter(|most| *most > 0);
                for (_, count) in of_state.values_mut() {
                    *count = count.saturating_mul(most.unwrap_or(i64::MAX));
                }
            }
            let branches = state.get("Branches").map_or(0, |branches| branches.items().len());
            for ((job, within), (_, count)) in inside.into_iter().zip(of_state.values()) {
                let capacity = Capacity::of(job);
                let fits = |count: i64| count <= capacity.runs;
                // The branches were summed above, so the limit for one of them is compared.
                let fitted = if branches > 0 { fits(1) } else { fits(within) };
                if fitted && !fits(*count) && !(capacity.queues && *count == i64::MAX) {
                    diagnostics.push(self.too_many(&path, state, job, *count, &capacity));
                }
            }
            for (address, (job, count)) in of_state {
                let known = most.entry(address).or_insert((job, 0));
                known.1 = known.1.max(count);
            }
        }
        most
    }

    fn too_many(
        &self,
        path: &[Segment],
        state: &Term,
        job: &Resource,
        count: i64,
        capacity: &Capacity,
    ) -> Diagnostic {
        let many = match count {
            i64::MAX => "an unlimited number of runs".to_owned(),
            count => format!("{count} runs"),
        };
        let mut path = path.to_vec();
        if state.get("MaxConcurrency").is_some() {
            path.push(Segment::Key("MaxConcurrency".into()));
        }
        let problem = Diagnostic::new(
            Code::ConcurrentRuns,
            format!(
                "the state starts {many} of `{}` at once, but the job allows {}, so {}",
                job.address,
                capacity.runs,
                if capacity.queues {
                    "the others wait"
                } else {
                    "the others fail"
                }
            ),
        )
        .at(self.place(&path), "starts the runs")
        .also(job.declared, "job declared here");
        match capacity.queues {
            true => problem.note("the waiting time of a run counts toward the timeout of its state"),
            false => problem,
        }
        .help(format!(
            "start {} at a time, or raise the limit of the job: `{}: {}`",
            capacity.runs,
            self.advice(job, "MaxConcurrentRuns", "max_concurrent_runs"),
            if count == i64::MAX { 10 } else { count }
        ))
    }

    /// Returns the name of a setting of a job: the input of the module `glue-job`, or the property.
    fn advice(&self, job: &Resource, property: &str, input: &str) -> String {
        match self.targets.module_of(job) {
            Some("glue-job") => input.to_owned(),
            _ => property.to_owned(),
        }
    }

    /// Reports jobs with limited concurrency that every event starts.
    fn of_each_event(&self, tasks: &[Task<'_>], starts: &[&Resource], diagnostics: &mut Diagnostics) {
        let Some(rule) = starts.first() else { return };
        let mut reported: Vec<String> = Vec::new();
        for task in tasks
            .iter()
            .filter(|task| task.runs.kind.cloudformation() == Some(JOB))
        {
            let capacity = Capacity::of(task.runs);
            let address = task.runs.address.to_string();
            if capacity.queues || reported.contains(&address) {
                continue;
            }
            diagnostics.push(
                Diagnostic::new(
                    Code::ConcurrentRuns,
                    format!(
                        "each event starts a run of `{address}`, but the job allows {} at a time, so the others fail",
                        capacity.runs
                    ),
                )
                .at(self.place(&task.path), "starts a run for each event")
                .also(rule.declared, "any number of events can arrive")
                .also(task.runs.declared, "job declared here")
                .help(format!(
                    "queue the runs: `{}: true`",
                    self.advice(task.runs, "JobRunQueuingEnabled", "queue")
                )),
            );
            reported.push(address);
        }
    }

    /// Reports jobs and functions that write the objects that a rule waits for.
    fn loops(&self, rule: &Resource, tasks: &[Task<'_>], diagnostics: &mut Diagnostics) {
        let keys = awaited_keys(rule);
        for bucket in awaited_buckets(rule, self.targets) {
            for task in tasks {
                let found = self
                    .argument_into(task, bucket, &keys)
                    .or_else(|| self.only_into(task, bucket, &keys));
                let Some((path, how)) = found else { continue };
                diagnostics.push(
                    Diagnostic::new(
                        Code::TriggerLoop,
                        format!(
                            "`{}` writes objects that start it again",
                            self.resource.address.component
                        ),
                    )
                    .at(self.place(&path), how)
                    .also(rule.declared, "every new object starts it")
                    .help("write to another prefix or bucket"),
                );
            }
        }
    }

    /// Returns the argument that makes a job write the objects of a rule: an argument of the state, or a default of the job.
    fn argument_into(
        &self,
        task: &Task<'_>,
        bucket: &Resource,
        keys: &[Text],
    ) -> Option<(Vec<Segment>, String)> {
        let given = task.arguments.map(Term::entries).unwrap_or_default();
        let is_given = |name: &str| given.iter().any(|(key, _)| key.trim_end_matches(".$") == name);
        let default = task
            .runs
            .body
            .get("DefaultArguments")
            .map(Term::entries)
            .unwrap_or_default();
        let default = default
            .iter()
            .filter(|(key, _)| !is_given(key))
            .map(|entry| (false, entry));
        let mut arguments = given.iter().map(|entry| (true, entry)).chain(default);
        arguments.find_map(|(given, (name, value))| {
            let from = if given { self.resource } else { task.runs };
            (is_output(name) && self.leads_into(task, from, value, bucket, keys)).then(|| {
                let mut path = task.path.clone();
                if !given {
                    return (
                        path,
                        format!("the default of `{name}` is a location that the trigger watches"),
                    );
                }
                path.extend(["Parameters", "Arguments", name].map(|key| Segment::Key(key.into())));
                (path, "the trigger watches this location".to_owned())
            })
        })
    }

    /// Returns whether a value names a location that a rule waits for: a URL, or a prefix if the job writes to no other bucket.
    fn leads_into(
        &self,
        task: &Task<'_>,
        from: &Resource,
        value: &Term,
        bucket: &Resource,
        keys: &[Text],
    ) -> bool {
        let value = &self.with_substitutions(value);
        let starts = |prefix: &str| keys.iter().any(|key| prefix.starts_with(key.as_str()));
        if let Some(location) = s3_url::split(value) {
            let same = match &location.bucket {
                Term::Reference(reference) => {
                    let found = self.targets.follow(from, reference);
                    found.is_some_and(|found| found.address == bucket.address)
                }
                name => bucket.body.get("BucketName") == Some(name),
            };
            return same && starts(&location.prefix);
        }
        let relative = value
            .as_str()
            .filter(|text| !text.contains("://") && !text.is_empty());
        let of_runner = self.targets.writable(task.runs);
        let mut elsewhere = of_runner.iter().filter(|(other, _)| {
            let own = other.address.component == task.runs.address.component;
            !own && other.address != bucket.address
        });
        let writes = of_runner.iter().any(|(other, _)| other.address == bucket.address);
        writes
            && elsewhere.next().is_none()
            && relative.is_some_and(|text| starts(text.trim_start_matches('/')))
    }

    /// Returns whether every location in a bucket that a job or function can write to is one that a rule waits for.
    fn only_into(&self, task: &Task<'_>, bucket: &Resource, keys: &[Text]) -> Option<(Vec<Segment>, String)> {
        let of_runner = self.targets.writable(task.runs);
        let mut prefixes = of_runner
            .iter()
            .filter(|(other, _)| other.address == bucket.address)
            .map(|(_, prefix)| prefix)
            .peekable();
        prefixes.peek()?;
        let starts = |prefix: &Text| keys.iter().any(|key| prefix.starts_with(key.as_str()));
        prefixes.all(starts).then(|| {
            let runs = &task.runs.address;
            (
                task.path.clone(),
                format!("`{runs}` can write in this bucket only to the location that the trigger watches"),
            )
        })
    }

    /// Replaces `${Name}` in a string with its substitution.
    fn with_substitutions(&self, value: &Term) -> Term {
        let (Term::String(text), Some(substitutions)) = (value, self.body.get("DefinitionSubstitutions"))
        else {
            return value.clone();
        };
        let mut parts: Vec<Term> = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else {
                break;
            };
            parts.push(before.into());
            parts.push(substitutions.get(name).cloned().unwrap_or_default());
            rest = behind;
        }
        parts.push(rest.into());
        terrace_language::aws::arn::concat(parts.into_iter().filter(|part| part.as_str() != Some("")))
    }
}

/// Returns whether an argument of this name is an output location.
fn is_output(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["output", "target", "sink", "destination"]
        .iter()
        .any(|word| name.contains(word))
}

/// The concurrency limit of a job.
struct Capacity {
    runs: i64,
    /// Whether further runs wait instead of failing.
    queues: bool,
}

impl Capacity {
    fn of(job: &Resource) -> Capacity {
        let runs = job.body.at(&["ExecutionProperty", "MaxConcurrentRuns"]);
        Capacity {
            runs: runs.and_then(Term::as_integer).unwrap_or(1),
            queues: job.body.get("JobRunQueuingEnabled").and_then(Term::as_bool) == Some(true),
        }
    }
}
