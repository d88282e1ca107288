//! `terrace validate`: reports every problem in every environment.

use std::mem::ManuallyDrop;
use std::path::Path;

use crate::arguments::Output;
use crate::console::{Console, Tone};
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::{Stack, request};
use terrace_diagnostics::to_json;

pub(crate) fn run(
    folder: &Path,
    set: &[String],
    output: Output,
    console: &Console,
) -> Result<Status, Problem> {
    let stack = Stack::open(folder)?;
    let request = request(&[], set);
    let (compiled, environments) =
        terrace_compiler::compile_with(&stack.sources, &request, &|_| {}, |emissions| {
            // The process ends with this command, so freeing a million small allocations would only delay the exit.
            ManuallyDrop::new(emissions).len()
        });
    stack.refuse_module(&compiled)?;
    match output {
        Output::Json => {
            let json = to_json(&compiled.diagnostics, &compiled.files, &stack.folder);
            console.data(&format!("{json:#}\n"))?;
        }
        Output::Text => {
            stack.tell(&compiled.diagnostics, &compiled.files, console);
            if let Some(environments) = environments {
                let platform = compiled.platform.as_deref().unwrap_or("the stack");
                // The summary of the warnings precedes this line, which must not contradict it.
                let problems = if compiled.diagnostics.is_empty() {
                    "problems"
                } else {
                    "errors"
                };
                let words = format!(
                    "checked {environments} {} of `{platform}`: no {problems}",
                    plural(environments, "environment")
                );
                console.line(&console.paint(Tone::Good, &words));
            } else {
                stack.hint(&compiled, console);
            }
        }
    }
    Ok(match environments {
        Some(_) => Status::Done,
        None => Status::Failed,
    })
}
