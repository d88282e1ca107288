//! Asks the user to confirm changes.

use std::io;

use crate::console::Console;
use crate::problem::Problem;

/// Asks `question` and returns true if the user agrees. Without a terminal, the user must pass `--yes`; `otherwise` names the alternative.
pub(crate) fn confirm(
    question: &str,
    yes: bool,
    otherwise: &str,
    console: &Console,
) -> Result<bool, Problem> {
    if yes {
        return Ok(true);
    }
    if !console.can_ask() {
        return Err(
            Problem::new("cannot ask for confirmation: not running in a terminal")
                .help(format!("add `--yes`{otherwise}")),
        );
    }
    console.say(&format!("{question} [y/N] "));
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        // The end of the input leaves the cursor behind the question.
        Ok(0) => console.say("\n"),
        Ok(_) => {}
        Err(error) => return Err(Problem::new(format!("cannot read the answer: {error}"))),
    }
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        console.line("canceled: nothing was changed");
    }
    Ok(yes)
}
