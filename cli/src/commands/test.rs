//! `terrace test`: what comes out of a stack or a module, compared with what was accepted before.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use rayon::prelude::*;
use terrace_artifact::Bundle;

use crate::console::{Console, Tone};
use crate::diagnostics::shown_path;
use crate::golden::{accept, compare};
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::Stack;

/// Where goldens are, unless the Platform says otherwise.
const GOLDEN: &str = "golden";

pub(crate) fn run(folder: &Path, update: bool, console: &Console) -> Result<Status, Problem> {
    let update = update || env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let stack = Stack::open(folder)?;
    let compiled = stack.compiled(&[], &[], console)?;
    let golden = compiled.golden.as_deref().unwrap_or(GOLDEN);
    judge(&stack, golden, &rendered(&compiled.bundles), update, console)
}

/// What comes out, as `build` would write it.
fn rendered(bundles: &[Bundle]) -> BTreeMap<String, String> {
    let files = bundles.par_iter().flat_map_iter(|bundle| {
        let environment = bundle.environment.name.clone();
        terrace_artifact::files(bundle)
            .into_iter()
            .map(move |file| (format!("{environment}/{}", file.path), file.text))
    });
    files.collect()
}

/// Compares with the folder `golden`, or makes it so.
fn judge(
    stack: &Stack,
    golden: &str,
    now: &BTreeMap<String, String>,
    update: bool,
    console: &Console,
) -> Result<Status, Problem> {
    let folder = stack.folder.join(golden);
    let shown = shown_path(&stack.folder, golden);
    let comparison = compare(&folder, now)?;
    let count = format!("{} {}", now.len(), plural(now.len(), "file"));
    if comparison.is_same() {
        console.line(&console.paint(Tone::Good, &format!("{count} as in {shown}")));
        return Ok(Status::Done);
    }
    if update {
        accept(&folder, &comparison, now)?;
        console.line(&format!("accepted in {shown}: {}", comparison.summary()));
        return Ok(Status::Done);
    }
    if !comparison.begun {
        return Err(Problem::new(format!("{shown} has nothing to compare with yet"))
            .help(format!("to accept what comes out now, {count}:\n  {}", again(stack))));
    }
    console.data(&comparison.describe(&shown, console.colour_data()))?;
    let words = format!("{}, {} as before", comparison.summary(), comparison.same);
    console.line(&console.paint(Tone::Error, &words));
    console.line(&format!("to accept what comes out now:\n  {}", again(stack)));
    Ok(Status::Failed)
}

fn again(stack: &Stack) -> String {
    let folder = stack.folder.display().to_string();
    let folder = if folder == "." { String::new() } else { format!(" {folder}") };
    format!("terrace test{folder} --update")
}
