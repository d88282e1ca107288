//! The commands: one file for each command, or for several commands that belong together.

mod apply;
mod build;
mod explain;
mod forget;
mod graph;
mod init;
mod man;
mod modules;
mod plan;
mod test;
mod validate;

use clap::CommandFactory as _;

use crate::arguments::{Arguments, Command, PLAN};
use crate::console::Console;
use crate::problem::{Problem, Status};

/// Runs a command.
pub(crate) fn run(command: Command, console: &Console) -> Result<Status, Problem> {
    match command {
        Command::Init { dir } => init::run(&dir, console),
        Command::Validate { stack, set, output } => validate::run(&stack.stack, &set.set, output, console),
        Command::Build {
            stack,
            environments,
            out,
            set,
        } => build::run(&stack.stack, &environments, &out, &set.set, console),
        Command::Test { folder, update } => test::run(&folder, update, console),
        Command::Plan {
            target,
            planning,
            save,
            output,
            detailed_exitcode,
        } => {
            let output = plan::PlanOutput {
                save: save.as_deref(),
                output,
                detailed_exitcode,
            };
            plan::run(&target, &planning, &output, console)
        }
        Command::Apply {
            from,
            environment,
            planning,
            flags,
        } => apply::run(&from, environment, &planning, &flags, console),
        Command::Destroy {
            target,
            at,
            planning,
            flags,
        } => apply::destroy(&target, at.as_deref(), &planning, &flags, console),
        Command::Forget {
            stack,
            place,
            environment,
            yes,
            reach,
            set,
        } => {
            let request = forget::ForgetRequest::new(stack, place, environment)?;
            forget::run(&request, yes, &reach, &set.set, console)
        }
        Command::Explain {
            what,
            field,
            stack,
            environment,
            set,
        } => {
            let place = explain::ExplainQuery {
                stack: &stack,
                environment: environment.as_ref(),
                set: &set.set,
            };
            explain::run(&what, field.as_deref(), &place, console)
        }
        Command::Graph {
            target,
            output,
            component,
            set,
        } => graph::run(&target, output, component.as_deref(), &set.set, console),
        Command::Bootstrap { target, reach, set } => apply::bootstrap(&target, &reach, &set.set, console),
        Command::Modules { command } => modules::run(&command, console),
        Command::Schema { kind } => schema(&kind, console),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "terrace", &mut script);
            console.data(&String::from_utf8_lossy(&script))?;
            Ok(Status::Done)
        }
        Command::Man { dir } => man::run(&dir, console),
    }
}

fn schema(kind: &str, console: &Console) -> Result<Status, Problem> {
    let text = match kind {
        PLAN => Some(terrace_deployer::PLAN_SCHEMA.to_owned()),
        kind => terrace_compiler::validate::schema(kind),
    };
    let text = text.ok_or_else(|| Problem::new(format!("document kind `{kind}` does not exist")))?;
    console.data(&text)?;
    Ok(Status::Done)
}
