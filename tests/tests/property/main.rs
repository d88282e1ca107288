//! The central property of ownership: no command changes or deletes a resource that it did not create, unless the user
//! adopted it by name. The tests use random stacks, random foreign acts, and complete inventories before and after each
//! command.

#![expect(
    clippy::print_stderr,
    reason = "reports the number of cases and their results"
)]

mod account;
mod case;
mod foreign;
mod stack;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::world::Servers;

/// The number of cases if `TERRACE_CASES` is not set.
const SAMPLE: u64 = 16;

/// The number of concurrent cases. A case spends most of its time waiting for servers.
const AT_ONCE: usize = 6;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_command_changes_foreign_resources() {
    let servers = Servers::start();
    let started = Instant::now();
    let seeds = match number("TERRACE_CASE") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TERRACE_CASES").unwrap_or(SAMPLE),
    };
    let next = AtomicU64::new(seeds.start);
    let codes = Mutex::new(BTreeMap::<String, usize>::new());
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| case::run(&servers, seed)));
            let outcome = outcome.unwrap_or_else(|_| Err(format!("seed {seed}: the case panicked")));
            match outcome {
                Ok(counted) => {
                    let mut codes = codes.lock().expect("no case panicked while holding the lock");
                    for (command, times) in counted {
                        *codes.entry(command).or_default() += times;
                    }
                }
                Err(problem) => {
                    eprintln!("{problem}\n");
                    failed
                        .lock()
                        .expect("no case panicked while holding the lock")
                        .push(problem);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed
        .into_inner()
        .expect("no case panicked while holding the lock");
    eprintln!(
        "{} cases in {:.0?}, commands and their exit codes: {:?}",
        seeds.end - seeds.start,
        started.elapsed(),
        codes
            .into_inner()
            .expect("no case panicked while holding the lock")
    );
    assert!(
        failed.is_empty(),
        "{} cases failed:\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}
