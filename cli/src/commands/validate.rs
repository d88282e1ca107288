//! `terrace validate`: everything that is wrong, in every environment.

use std::mem::ManuallyDrop;
use std::path::Path;

use crate::arguments::Output;
use crate::console::{Console, Tone};
use crate::diagnostics::to_json;
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::{Stack, request};

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
            // The process ends with this command: nobody waits until a million pieces are given back one by one.
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
                let words = format!(
                    "`{platform}` is in order: {environments} {}",
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
