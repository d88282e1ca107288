//! `terrace test`: compares the compiled output of a stack or a module with its golden files.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;

use rayon::prelude::*;
use terrace_artifact::Bundle;
use terrace_compiler::diagnostic::Diagnostic;
use terrace_compiler::module_test;

use crate::console::{Console, Tone};
use crate::folder::is_rendered;
use crate::golden::{accept, compare};
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::{Stack, request};
use terrace_diagnostics::{Drawing, shown_path};

/// The default directory of golden files, relative to the stack.
const GOLDEN: &str = "golden";

pub(crate) fn run(folder: &Path, update: bool, console: &Console) -> Result<Status, Problem> {
    let update = update || env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let stack = Stack::open(folder)?;
    if module_test::is_module(&stack.sources) {
        return module(&stack, update, console);
    }
    let compiled = stack.compiled(&[], &[], console)?;
    let golden = Golden {
        path: compiled.golden.as_deref().unwrap_or(GOLDEN),
        counts: &is_rendered,
    };
    judge(&stack, &golden, &rendered(&compiled.bundles), update, console)
}

/// Runs the test cases of a module. Each case must produce the diagnostics that it declares and the files in the directory of its name.
fn module(stack: &Stack, update: bool, console: &Console) -> Result<Status, Problem> {
    let tested = module_test::run(&stack.sources, &request(&[], &[]));
    stack.tell(&tested.diagnostics, &tested.files, console);
    if tested.diagnostics.iter().any(Diagnostic::is_error) {
        return Ok(Status::Failed);
    }
    if tested.cases.is_empty() {
        return Err(
            Problem::new(format!("module `{}` has no test cases", stack.folder.display()))
                .help("add a YAML file to `tests/`; an empty file tests the default inputs"),
        );
    }
    let mut wrong = BTreeSet::new();
    let mut now = BTreeMap::new();
    for case in tested.cases {
        if let Some(why) = &case.wrong {
            let error = console.paint(Tone::Error, "error:");
            console.line(&format!("{error} case `{}`: {why}\n", case.name));
            console.say(
                &Drawing::new(&case.sources, &stack.folder, console.color_words()).all(&case.diagnostics),
            );
            // The output of a failed case must not become a golden file.
            wrong.insert(case.name);
            continue;
        }
        now.extend(
            case.files
                .into_iter()
                .map(|(path, text)| (format!("{}/{path}", case.name), text)),
        );
    }
    let golden = Golden {
        path: "tests",
        // `tests/` also contains the cases themselves and the files that they read.
        counts: &|path| {
            let (case, file) = path.split_once('/').unwrap_or_default();
            !wrong.contains(case) && (file == module_test::WORDS || is_rendered(path))
        },
    };
    if wrong.is_empty() {
        return judge(stack, &golden, &now, update, console);
    }
    if !now.is_empty() {
        judge(stack, &golden, &now, update, console)?;
    }
    let words = format!("{} test {} failed", wrong.len(), plural(wrong.len(), "case"));
    console.line(&console.paint(Tone::Error, &words));
    Ok(Status::Failed)
}

/// The golden files of a stack or a module.
struct Golden<'a> {
    /// The directory, relative to the stack.
    path: &'a str,
    /// Decides whether a file in the directory is a golden file. Other files are neither compared nor deleted.
    counts: &'a dyn Fn(&str) -> bool,
}

/// Renders bundles to the files that `terrace build` writes.
fn rendered(bundles: &[Bundle]) -> BTreeMap<String, String> {
    let files = bundles.par_iter().flat_map_iter(|bundle| {
        let environment = bundle.environment.name.clone();
        terrace_artifact::files(bundle)
            .into_iter()
            .map(move |file| (format!("{environment}/{}", file.path), file.text))
    });
    files.collect()
}

/// Compares the files `now` with the golden files, or updates the golden files.
fn judge(
    stack: &Stack,
    golden: &Golden<'_>,
    now: &BTreeMap<String, String>,
    update: bool,
    console: &Console,
) -> Result<Status, Problem> {
    let folder = stack.folder.join(golden.path);
    let shown = shown_path(&stack.folder, golden.path);
    let comparison = compare(&folder, golden.counts, now)?;
    let count = format!("{} {}", now.len(), plural(now.len(), "file"));
    if comparison.is_same() {
        console.line(&console.paint(
            Tone::Good,
            &format!("compared {count} with {shown}: no differences"),
        ));
        return Ok(Status::Done);
    }
    if update {
        accept(&folder, &comparison, now)?;
        console.line(&format!("updated {shown}: {}", comparison.summary()));
        return Ok(Status::Done);
    }
    if !comparison.begun {
        return Err(
            Problem::new(format!("{shown} contains no golden files yet")).help(format!(
                "to accept the current output ({count}), run:\n  {}",
                again(stack)
            )),
        );
    }
    console.data(&comparison.describe(&shown, console.color_data()))?;
    let words = format!("{}, {} unchanged", comparison.summary(), comparison.same);
    console.line(&console.paint(Tone::Error, &words));
    console.line(&format!("to accept the current output, run:\n  {}", again(stack)));
    Ok(Status::Failed)
}

fn again(stack: &Stack) -> String {
    let folder = stack.folder.display().to_string();
    let folder = if folder == "." {
        String::new()
    } else {
        format!(" {folder}")
    };
    format!("terrace test{folder} --update")
}
