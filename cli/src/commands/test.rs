//! `terrace test`: what comes out of a stack or a module, compared with what was accepted before.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;

use rayon::prelude::*;
use terrace_artifact::Bundle;
use terrace_compiler::diagnostic::Diagnostic;
use terrace_compiler::module_test;

use crate::console::{Console, Tone};
use crate::diagnostics::{Drawing, shown_path};
use crate::folder::is_rendered;
use crate::golden::{accept, compare};
use crate::problem::{Problem, Status};
use crate::progress::plural;
use crate::stack::{Stack, request};

/// Where goldens are, unless the Platform says otherwise.
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

/// The cases of a module: each is as it says it would be, and comes to what is in the folder of its name.
fn module(stack: &Stack, update: bool, console: &Console) -> Result<Status, Problem> {
    let tested = module_test::run(&stack.sources, &request(&[], &[]));
    stack.tell(&tested.diagnostics, &tested.files, console);
    if tested.diagnostics.iter().any(Diagnostic::is_error) {
        return Ok(Status::Failed);
    }
    if tested.cases.is_empty() {
        return Err(Problem::new(format!("`{}` has no cases", stack.folder.display()))
            .help("a case is a file in `tests`; an empty one tries the defaults"));
    }
    let mut wrong = BTreeSet::new();
    let mut now = BTreeMap::new();
    for case in tested.cases {
        if let Some(why) = &case.wrong {
            let error = console.paint(Tone::Error, "error:");
            console.line(&format!("{error} case `{}`: {why}\n", case.name));
            console.say(
                &Drawing::new(&case.sources, &stack.folder, console.colour_words()).all(&case.diagnostics),
            );
            // What comes out of it is not what was asked for: there is nothing in it to accept.
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
        // The cases themselves, and what they read, lie beside the folders of what they come to.
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
    let words = format!(
        "{} {} not as described",
        wrong.len(),
        if wrong.len() == 1 { "case is" } else { "cases are" }
    );
    console.line(&console.paint(Tone::Error, &words));
    Ok(Status::Failed)
}

/// What was accepted before.
struct Golden<'a> {
    /// The folder, from the stack's own.
    path: &'a str,
    /// Which of its files are goldens. The others are somebody else's: they are neither compared nor taken away.
    counts: &'a dyn Fn(&str) -> bool,
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
        console.line(&console.paint(Tone::Good, &format!("{count} as in {shown}")));
        return Ok(Status::Done);
    }
    if update {
        accept(&folder, &comparison, now)?;
        console.line(&format!("accepted in {shown}: {}", comparison.summary()));
        return Ok(Status::Done);
    }
    if !comparison.begun {
        return Err(
            Problem::new(format!("{shown} has nothing to compare with yet")).help(format!(
                "to accept what comes out now, {count}:\n  {}",
                again(stack)
            )),
        );
    }
    console.data(&comparison.describe(&shown, console.colour_data()))?;
    let words = format!("{}, {} as before", comparison.summary(), comparison.same);
    console.line(&console.paint(Tone::Error, &words));
    console.line(&format!("to accept what comes out now:\n  {}", again(stack)));
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
