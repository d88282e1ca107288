//! Asks before something is changed.

use std::io;

use crate::console::Console;
use crate::problem::Problem;

/// Whether the user wants it. Where nobody can be asked, `--yes` has to have been given.
pub(crate) fn confirm(question: &str, yes: bool, console: &Console) -> Result<bool, Problem> {
    if yes {
        return Ok(true);
    }
    if !console.can_ask() {
        return Err(Problem::new("nobody is there to say yes, so nothing was done")
            .help("add `--yes`, or save the plan with `terrace plan --save FILE` and apply that"));
    }
    console.say(&format!("{question} [y/N] "));
    let mut answer = String::new();
    if let Err(error) = io::stdin().read_line(&mut answer) {
        return Err(Problem::new(format!("the answer cannot be read: {error}")));
    }
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        console.line("nothing was done");
    }
    Ok(yes)
}
