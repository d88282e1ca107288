//! The `terrace` program: the only place that reads the environment, prints, or chooses an exit code.

mod arguments;
mod commands;
mod confirm;
mod console;
mod disk;
mod folder;
mod golden;
mod live;
mod lock;
mod origin;
mod problem;
mod progress;
mod renamed;
mod stack;

use std::process::ExitCode;
use std::{env, panic};

use clap::Parser as _;

use arguments::Arguments;
use console::Console;
use problem::Status;

/// Reduces the time of a compilation by one seventh, because the compiler makes a million small allocations on every core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let console = Console::of_process();
    panic::set_hook(Box::new(move |info| console.say(&our_mistake(info))));
    let status = panic::catch_unwind(|| run(&console)).unwrap_or(Status::Failed);
    ExitCode::from(status.code())
}

fn run(console: &Console) -> Status {
    match Arguments::try_parse() {
        Ok(arguments) => match commands::run(arguments.command, console) {
            Ok(status) => status,
            Err(problem) => {
                console.say(&problem.words(console));
                problem.status()
            }
        },
        Err(error) => arguments::refused(&error, console),
    }
}

/// Formats the message for a panic, which is a bug in the program.
fn our_mistake(info: &panic::PanicHookInfo<'_>) -> String {
    // Only the name of the command is shown: an argument such as `--set` can contain a secret.
    let command = env::args().nth(1).unwrap_or_default();
    format!(
        "this is a bug in terrace {}, not in your stack\n  {info}\n  while running: terrace {command}\n\
         help: please report it with the lines above, and with the stack if you may share it\n",
        env!("CARGO_PKG_VERSION"),
    )
}
