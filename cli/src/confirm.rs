//! Asks before something is changed.

use std::io;

use crate::console::Console;
use crate::problem::Problem;

/// Whether the user wants it. Where nobody can be asked, `--yes` has to have been given, or what `otherwise` says.
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
        return Err(Problem::new("nobody is there to say yes, so nothing was done")
            .help(format!("add `--yes`{otherwise}")));
    }
    console.say(&format!("{question} [y/N] "));
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        // The end of the input ends no line.
        Ok(0) => console.say("\n"),
        Ok(_) => {}
        Err(error) => return Err(Problem::new(format!("the answer cannot be read: {error}"))),
    }
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        console.line("nothing was done");
    }
    Ok(yes)
}
