//! `terrace build`: writes the compiled manifests and templates to a directory.

use std::collections::BTreeSet;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use terrace_artifact::sheets;
use terrace_compiler::{ComponentArtifacts, Emission};

use crate::console::Console;
use crate::folder;
use crate::problem::{Problem, Status};
use crate::progress::{plural, took};
use crate::stack::Stack;

/// The file that lists the files of the last build. The next build deletes only listed files that it does not write again.
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
        check_is_no_target(out, &built)?;
        let mut files = BTreeSet::new();
        // The process ends with this command, so freeing a million small allocations would only delay the exit.
        for emission in &mut *ManuallyDrop::new(emissions) {
            files.extend(write(out, emission)?);
        }
        Ok::<_, Problem>((built, files))
    })?;
    let (built, files) = written?;
    // Files of environments that were not built are kept. Files of environments that no longer exist are deleted.
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

/// Returns an error if a directory to write is the target of an environment.
fn check_is_no_target(out: &Path, built: &BTreeSet<String>) -> Result<(), Problem> {
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

/// Writes the files of an environment and returns their paths. Writes the files of each component as soon as they are compiled,
/// because all of them together would need more memory than the rest of the program.
fn write(out: &Path, emission: &mut Emission<'_>) -> Result<Vec<String>, Problem> {
    let environment = name(emission);
    let targets = emission.targets().clone();
    let written = emission.each(|piece: ComponentArtifacts| {
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

/// Returns the files that the last build wrote to the directory. If the record is missing or invalid, returns none, so that
/// nothing is deleted.
fn recorded(out: &Path) -> BTreeSet<String> {
    let text = fs::read(out.join(RECORD)).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let paths = record.get("files").and_then(serde_json::Value::as_array);
    paths
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        // A modified record could name files outside the directory.
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
