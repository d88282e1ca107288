//! `terrace apply`, `terrace destroy` and `terrace bootstrap`: the commands that change live systems.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use terrace_artifact::{Address, Bundle, Target, Text};
use terrace_deployer::{
    Access, ApplyOptions, Connection, Event, LOCKFILE, Plan, PlanOptions, Purpose, Refusal, Report,
    StackDirectory, render_approved,
};

use crate::arguments::{ChangeFlags, Environment, Planning, Reach, is_component};
use crate::commands::plan::{approved, options, warn};
use crate::confirm::confirm;
use crate::console::{Console, Tone};
use crate::lock::{self, Recorder};
use crate::problem::{Problem, Status};
use crate::progress::{Progress, plural, took};
use crate::stack::Stack;
use crate::{live, origin};

/// Applies a stack's environment, or a saved plan.
pub(crate) fn run(
    from: &Path,
    environment: Option<String>,
    planning: &Planning,
    flags: &ChangeFlags,
    console: &Console,
) -> Result<Status, Problem> {
    if from.is_file() {
        return apply_saved(from, environment.as_ref(), planning, flags, console);
    }
    if !from.exists() && environment.is_none() && from.extension().is_some() {
        return Err(Problem::new(format!("file `{}` does not exist", from.display()))
            .help("to create a saved plan:\n  terrace plan -e ENV --save FILE"));
    }
    let target = Environment {
        stack: from.to_owned(),
        environment,
    };
    plan_and_apply(&ApplyKind::Apply, &target, planning, flags, console)
}

/// Deletes all resources of an environment, or those in one place.
pub(crate) fn destroy(
    target: &Environment,
    at: Option<&str>,
    planning: &Planning,
    flags: &ChangeFlags,
    console: &Console,
) -> Result<Status, Problem> {
    plan_and_apply(&ApplyKind::Destroy(at), target, planning, flags, console)
}

/// The kind of change.
enum ApplyKind<'a> {
    Apply,
    /// In one place that the environment no longer names, if a place is given.
    Destroy(Option<&'a str>),
}

impl ApplyKind<'_> {
    /// Connects to the targets and plans.
    async fn plan(
        &self,
        bundle: &Bundle,
        access: &Access,
        options: &PlanOptions,
    ) -> Result<(Connection, Plan), terrace_deployer::Error> {
        let (connection, purpose, there) = match self {
            ApplyKind::Apply => (Connection::open(bundle, access).await?, Purpose::Apply, None),
            ApplyKind::Destroy(None) => (Connection::open(bundle, access).await?, Purpose::Destroy, None),
            ApplyKind::Destroy(Some(place)) => {
                let (connection, there) = Connection::open_at(bundle, access, place).await?;
                (connection, Purpose::Destroy, Some(there))
            }
        };
        let plan = connection
            .plan(purpose, there.as_ref().unwrap_or(bundle), access, options)
            .await?;
        Ok((connection, plan))
    }
}

/// Creates the bootstrap bucket of the environment's accounts.
pub(crate) fn bootstrap(
    target: &Environment,
    reach: &Reach,
    set: &[String],
    console: &Console,
) -> Result<Status, Problem> {
    let stack = Stack::open(&target.stack)?;
    let (bundle, _) = stack.environment(target.environment.as_ref(), set, console)?;
    let access = live::reaching(&stack.folder, reach);
    let done = live::runtime()?.block_on(terrace_deployer::bootstrap(&bundle, &access));
    let lines = done.map_err(|error| live::located(error, &access.folder))?;
    if lines.is_empty() {
        console.line(&format!(
            "environment `{}` has no AWS account, so there is nothing to create",
            bundle.environment.name
        ));
    }
    for line in lines {
        console.line(&line);
    }
    Ok(Status::Done)
}

fn plan_and_apply(
    kind: &ApplyKind<'_>,
    target: &Environment,
    planning: &Planning,
    flags: &ChangeFlags,
    console: &Console,
) -> Result<Status, Problem> {
    if matches!(kind, ApplyKind::Destroy(_)) && !planning.adopt.is_empty() {
        return Err(Problem::new("`--adopt` cannot be used with `destroy`")
            .help("remove it; to delete a resource that was adopted earlier, add `--approve ADDRESS`"));
    }
    let stack = Stack::open(&target.stack)?;
    let (bundle, compiled) = stack.environment(target.environment.as_ref(), &planning.set.set, console)?;
    let access = live::access(&stack, &compiled, &planning.reach)?;
    let runtime = live::runtime()?;
    let options = options(planning);
    let planned = runtime.block_on(kind.plan(&bundle, &access, &options));
    let (connection, mut plan) = planned.map_err(|error| live::located(error, &access.folder))?;
    live::locate(&mut plan.refusals, &access.folder);
    let agreed = approved(planning);
    console.data(&render_approved(&plan, &agreed, console.color_data()))?;
    if plan.purpose == Purpose::Apply {
        warn(&plan, &stack, console);
    }
    allowed(&plan, planning, &access.folder)?;
    // A plan that only waits for resources to become ready needs no confirmation.
    if !plan.changes_nothing() {
        let environment = &bundle.environment.name;
        let (question, otherwise) = match plan.purpose {
            Purpose::Apply => (
                format!("\napply these changes to {environment}?"),
                ", or save the plan with `terrace plan --save FILE` and apply the file",
            ),
            Purpose::Destroy => (format!("\ndelete all of these resources in {environment}?"), ""),
        };
        if !confirm(&question, flags.yes, otherwise, console)? {
            return Ok(Status::Done);
        }
    }
    let chosen = ChosenOptions {
        approved: agreed,
        timeout: flags.timeout,
        recorder: Some(Recorder::new(&stack.folder, &plan)),
    };
    apply(&runtime, Some(&connection), &plan, &access, chosen, console)
}

/// Applies a saved plan without asking for confirmation, because the user reviewed the plan when it was saved.
fn apply_saved(
    file: &Path,
    environment: Option<&String>,
    planning: &Planning,
    flags: &ChangeFlags,
    console: &Console,
) -> Result<Status, Problem> {
    let has_inputs = !planning.set.set.is_empty()
        || !planning.only.is_empty()
        || !planning.adopt.is_empty()
        || planning.take_over
        || planning.accept_origin
        || planning.change_set;
    if environment.is_some() || has_inputs {
        return Err(Problem::new(format!(
            "`{}` is a saved plan; its environment and options cannot be changed",
            file.display()
        ))
        .help(format!(
            "apply it without these flags:\n  terrace apply {}",
            file.display()
        )));
    }
    let text =
        fs::read(file).map_err(|error| Problem::new(format!("cannot read `{}`: {error}", file.display())))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| {
        Problem::new(format!("`{}` is not a saved plan: {error}", file.display()))
            .help("to create a saved plan:\n  terrace plan -e ENV --save FILE")
            .help("to apply a stack, pass its directory:\n  terrace apply STACK -e ENV")
    })?;
    let folder = stack_folder(&plan)?;
    let is_here = origin::of(&folder)?.is_same(&plan.origin);
    let access = Access {
        directory: StackDirectory {
            origin: plan.origin.clone(),
            lock: if is_here { lock::read(&folder)? } else { None },
            ..StackDirectory::default()
        },
        ..live::reaching(&folder, &planning.reach)
    };
    allowed(&plan, planning, &access.folder)?;
    let chosen = ChosenOptions {
        approved: approved(planning),
        timeout: flags.timeout,
        recorder: is_here.then(|| Recorder::new(&folder, &plan)),
    };
    apply(&live::runtime()?, None, &plan, &access, chosen, console)
}

/// Returns the directory of the stack that a plan was made from. A plan with a directory target must find it, and recognizes
/// it by the file that declares the target.
fn stack_folder(plan: &Plan) -> Result<PathBuf, Problem> {
    let targets = plan.bundle.targets.iter();
    let in_it = targets.filter(|(_, target)| matches!(target, Target::Directory { .. }));
    for (name, _) in in_it {
        let place = plan.bundle.environment.places.get(name);
        let missing = match place {
            Some(place) => !plan.folder.join(&*place.file).is_file(),
            None => !plan.folder.is_dir(),
        };
        if missing {
            let named = place.map_or(String::new(), |place| format!(" that contains `{}`", place.file));
            return Err(Problem::new(format!(
                "the plan refers to a stack directory `{}`{named}, which does not exist here",
                plan.folder.display()
            ))
            .help("run `terrace apply` in the directory where the plan was made"));
        }
    }
    Ok(plan.folder.clone())
}

/// The options of an apply that the user chose.
struct ChosenOptions {
    approved: BTreeSet<Address>,
    timeout: Option<Duration>,
    /// Writes `terrace.lock`; absent if the plan was made in another directory.
    recorder: Option<Recorder>,
}

/// Refuses a plan that loses data without approval. This runs before the confirmation prompt, which does not approve data loss.
fn allowed(plan: &Plan, planning: &Planning, folder: &Path) -> Result<(), Problem> {
    if let Some(named) = planning.approve.iter().find(|text| is_component(text)) {
        let needed = plan.approvals();
        let of = needed.iter().filter(|address| address.is_of(named));
        let flags: Vec<String> = of.map(|address| format!("--approve '{address}'")).collect();
        let problem = Problem::new(format!(
            "`{named}` is a component; each resource must be approved by its own address"
        ));
        return Err(problem.help(match flags.as_slice() {
            [] => "this plan needs no approval for the component; remove the flag".to_owned(),
            flags => format!(
                "to approve every resource of the component that this plan lists, pass:\n  {}",
                flags.join(" ")
            ),
        }));
    }
    plan.allowed(&approved(planning))
        .map_err(|refusal| match refusal {
            Refusal::DataLoss { .. } => live::located(refusal.into(), folder),
            // The paths of the other refusals are relative to the working directory already.
            refusal => terrace_deployer::Error::from(refusal).into(),
        })
}

fn apply(
    runtime: &tokio::runtime::Runtime,
    connection: Option<&Connection>,
    plan: &Plan,
    access: &Access,
    chosen: ChosenOptions,
    console: &Console,
) -> Result<Status, Problem> {
    let progress = Progress::new(*console);
    let options = ApplyOptions {
        approved: chosen.approved,
        timeout: chosen.timeout,
        cancel: live::stop_on_interrupt(runtime, *console),
    };
    let recorder = chosen.recorder;
    let tell = |event| {
        if let (Event::Recorded { deployment }, Some(recorder)) = (&event, &recorder) {
            recorder.record(deployment.as_ref());
        }
        progress.tell(&event);
    };
    let applied = runtime.block_on(async {
        match connection {
            Some(connection) => connection.apply(plan, access, &options, tell).await,
            None => terrace_deployer::apply(plan, access, &options, tell).await,
        }
    });
    progress.end();
    match &recorder {
        Some(recorder) => recorder.tell(console),
        None => console.line(&format!(
            "`{LOCKFILE}` was not updated, because the plan was made in {}; to update it, run an apply there, and commit it",
            plan.origin
        )),
    }
    let report = applied.map_err(|error| live::located(error, &access.folder))?;
    summarize(plan, &report, console);
    for line in &report.leaves {
        console.line(&format!("{} {line}", console.paint(Tone::Warning, "warning:")));
    }
    // A destroy that left resources behind has not deleted everything.
    Ok(if report.leaves.is_empty() {
        Status::Done
    } else {
        Status::Partly
    })
}

/// Prints the result of an apply: the release, its duration, and the resources in each target.
fn summarize(plan: &Plan, report: &Report, console: &Console) {
    for note in &report.notes {
        console.line(&format!("note: {note}"));
    }
    if report.steps.is_empty() {
        console.line("no changes were necessary");
        return;
    }
    let release = report.release.as_deref().unwrap_or("-");
    let only: Vec<&str> = plan.only.iter().map(|only| &**only).collect();
    let what = match only.as_slice() {
        [] => plan.bundle.platform.to_string(),
        only => format!("{} of {}", only.join(", "), plan.bundle.platform),
    };
    let words = format!(
        "{} {what} in {}: release {release}, {} {} in {}",
        match plan.purpose {
            Purpose::Apply => "applied",
            Purpose::Destroy => "destroyed",
        },
        plan.bundle.environment.name,
        report.steps.len(),
        plural(report.steps.len(), "step"),
        took(report.elapsed),
    );
    console.line(&console.paint(Tone::Good, &words));
    let looked_at = |name: &&Text| plan.at.as_ref().is_none_or(|at| at == *name);
    for (name, identity) in plan.targets.iter().filter(|(name, _)| looked_at(name)) {
        let kinds = report.standing.get(name).into_iter().flatten();
        let what: Vec<String> = kinds
            // Kubernetes kinds, such as `Deployment`, have no plural here. Other descriptions contain a space.
            .map(|(kind, count)| {
                if kind.contains(' ') {
                    format!("{count} {}", plural(*count, kind))
                } else {
                    format!("{count} {kind}")
                }
            })
            .collect();
        let what = if what.is_empty() {
            "nothing".to_owned()
        } else {
            what.join(", ")
        };
        console.line(&format!("  {}: {what}", identity.shown));
    }
}
