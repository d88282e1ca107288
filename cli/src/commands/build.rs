//! `terrace build`: what would be deployed, as files.

use std::collections::BTreeSet;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use terrace_artifact::sheets;
use terrace_compiler::{Emission, Piece};

use crate::console::Console;
use crate::folder;
use crate::problem::{Problem, Status};
use crate::progress::{plural, took};
use crate::stack::Stack;

/// Where the names of the files that were written are kept: only those are taken away when they are not written again.
const RECORD: &str = ".terrace/build.json";

pub(crate) fn run(
    folder: &Path,
    environments: &[String],
    out: &Path,
    set: &[String],
    console: &Console,
) -> Result<Status, Problem> {
    let begun = Instant::now();
    let stack = Stack::open(folder)?;
    let (compiled, written) = stack.emitted(environments, set, console, |emissions| {
        let built: BTreeSet<String> = emissions.iter().map(name).collect();
        is_delivered(out, &built)?;
        let mut files = BTreeSet::new();
        // The process ends with this command: nobody waits until a million pieces are given back one by one.
        for emission in &mut *ManuallyDrop::new(emissions) {
            files.extend(write(out, emission)?);
        }
        Ok::<_, Problem>((built, files))
    })?;
    let (built, files) = written?;
    // An environment that was not built now keeps its files; one that does not exist any more does not.
    let environment = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let exists = |path: &str| compiled.environments.contains(&environment(path));
    let before = recorded(out);
    let (kept, stale): (Vec<&String>, Vec<&String>) = before
        .iter()
        .filter(|path| !files.contains(*path))
        .partition(|path| exists(path) && !built.contains(&environment(path)));
    folder::remove(out, stale.into_iter().map(String::as_str))?;
    let record: BTreeSet<&String> = files.iter().chain(kept).collect();
    record_files(out, &record)?;
    console.line(&format!(
        "{} {} for {} {} in {} ({})",
        files.len(),
        plural(files.len(), "file"),
        built.len(),
        plural(built.len(), "environment"),
        out.display(),
        took(begun.elapsed()),
    ));
    Ok(Status::Done)
}

fn name(emission: &Emission<'_>) -> String {
    emission.environment().name.to_string()
}

/// Refuses to write where an environment is applied to.
fn is_delivered(out: &Path, built: &BTreeSet<String>) -> Result<(), Problem> {
    let environments = built.iter().map(|environment| out.join(environment));
    let delivered = std::iter::once(out.to_owned())
        .chain(environments)
        .find(|at| at.join(".terrace/manifest.json").exists());
    match delivered {
        None => Ok(()),
        Some(delivered) => Err(Problem::new(format!(
            "`{}` is the target directory of an environment",
            delivered.display()
        ))
        .help("build into another directory with `--out DIR`")),
    }
}

/// Writes the files of an environment, each component's as soon as they are made: all of them together are larger than
/// everything else. Gives their paths.
fn write(out: &Path, emission: &mut Emission<'_>) -> Result<Vec<String>, Problem> {
    let environment = name(emission);
    let targets = emission.targets().clone();
    let written = emission.each(|piece: Piece| {
        let mut paths = Vec::new();
        for sheet in sheets(&targets, &piece.artifacts) {
            let path = format!("{environment}/{}", sheet.path);
            folder::write_file(&out.join(&path), &sheet.text())?;
            paths.push(path);
        }
        Ok(paths)
    });
    let written: Result<Vec<Vec<String>>, Problem> = written.into_iter().collect();
    Ok(written?.concat())
}

/// What the last build wrote here. A record that cannot be read is none: then nothing is taken away.
fn recorded(out: &Path) -> BTreeSet<String> {
    let text = fs::read(out.join(RECORD)).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let paths = record.get("files").and_then(serde_json::Value::as_array);
    paths
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        // A record that somebody changed leads nowhere else.
        .filter(|path| folder::is_rendered(path))
        .map(str::to_owned)
        .collect()
}

fn record_files(out: &Path, files: &BTreeSet<&String>) -> Result<(), Problem> {
    let path = out.join(RECORD);
    let above = path.parent().unwrap_or(out);
    let text = format!("{:#}\n", json!({ "files": files }));
    fs::create_dir_all(above)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| folder::unwritable(&path, &error))
}
