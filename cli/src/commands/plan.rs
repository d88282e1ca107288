//! `terrace plan`: shows the changes that an apply would make, as the servers predict them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use terrace_artifact::{Address, Text};
use terrace_deployer::{Error, Plan, PlanOptions, PreviewOptions, Refusal, render_approved};

use crate::arguments::{Environment, Output, Planning};
use crate::console::{Console, Tone};
use crate::folder::unwritable;
use crate::live;
use crate::problem::{Problem, Status};
use crate::renamed::hints;
use crate::stack::Stack;

/// The output options of the command.
pub(crate) struct PlanOutput<'a> {
    pub(crate) save: Option<&'a Path>,
    pub(crate) output: Output,
    pub(crate) detailed_exitcode: bool,
}

pub(crate) fn run(
    target: &Environment,
    planning: &Planning,
    output: &PlanOutput<'_>,
    console: &Console,
) -> Result<Status, Problem> {
    let stack = Stack::open(&target.stack)?;
    let (bundle, compiled) = stack.environment(target.environment.as_ref(), &planning.set.set, console)?;
    let access = live::access(&stack, &compiled, &planning.reach)?;
    let plan = live::runtime()?.block_on(terrace_deployer::plan(&bundle, &access, &options(planning)));
    let mut plan = plan.map_err(|error| live::located(error, &access.folder))?;
    live::locate(&mut plan.refusals, &access.folder);
    match output.output {
        Output::Text => console.data(&render_approved(&plan, &approved(planning), console.color_data()))?,
        Output::Json => console.data(&format!("{}\n", to_json(&plan)?))?,
    }
    warn(&plan, &stack, console);
    if !plan.refusals.is_empty() {
        // A refused plan is not saved, because it cannot be applied.
        return Err(Error::from(Refusal::NotAllowed(plan.refusals)).into());
    }
    if let Some(path) = output.save {
        fs::write(path, to_json(&plan)? + "\n").map_err(|error| unwritable(path, &error))?;
        console.line(&format!(
            "plan saved; to apply it:\n  terrace apply {}",
            path.display()
        ));
    }
    let changes = output.detailed_exitcode && !plan.is_empty();
    Ok(if changes { Status::Changes } else { Status::Done })
}

/// Warns about changes that the user probably did not intend.
pub(crate) fn warn(plan: &Plan, stack: &Stack, console: &Console) {
    for hint in hints(plan, &stack.folder) {
        console.line(&format!("{} {hint}", console.paint(Tone::Warning, "warning:")));
    }
}

/// Converts the flags to options of the planner.
pub(crate) fn options(planning: &Planning) -> PlanOptions {
    PlanOptions {
        preview: PreviewOptions {
            change_set: planning.change_set,
            take_over: planning.take_over,
            ..PlanOptions::everything().preview
        },
        accept_origin: planning.accept_origin,
        only: texts(&planning.only),
        adopt: texts(&planning.adopt),
        approved: approved(planning),
    }
}

fn texts(names: &[String]) -> Vec<Text> {
    names.iter().map(|name| name.as_str().into()).collect()
}

/// Returns the approved addresses.
pub(crate) fn approved(planning: &Planning) -> BTreeSet<Address> {
    let parsed = planning.approve.iter().map(|text| text.parse());
    parsed.filter_map(Result::ok).collect()
}

fn to_json(plan: &Plan) -> Result<String, Problem> {
    serde_json::to_string_pretty(plan)
        .map_err(|error| Problem::new(format!("cannot write the plan: {error}")))
}
