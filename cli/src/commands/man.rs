//! `terrace man`: writes the man pages, which are generated from the arguments.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;

use crate::arguments::Arguments;
use crate::console::Console;
use crate::folder;
use crate::problem::{Problem, Status};

/// Writes `terrace.1` and one page for each command, such as `terrace-plan.1`, to a directory.
///
/// # Errors
///
/// The directory or a page cannot be written.
pub(crate) fn run(dir: &Path, console: &Console) -> Result<Status, Problem> {
    fs::create_dir_all(dir).map_err(|error| folder::unwritable(dir, &error))?;
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, dir).map_err(|error| folder::unwritable(dir, &error))?;
    console.line(&format!("wrote the man pages to `{}`", dir.display()));
    Ok(Status::Done)
}
