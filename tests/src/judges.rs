//! Programs of other people that say whether our output is right.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::tools::{self, Tool};

/// A piece of YAML text and what it is to mean.
#[derive(Clone, Debug)]
pub struct Written {
    /// Named when it is read as something else.
    pub name: String,
    /// One document or several.
    pub yaml: String,
    /// Each document as JSON.
    pub want: Vec<String>,
}

/// What PyYAML or libyaml read as something other than what was meant.
pub fn python_reads(cases: &[Written]) -> Result<(), String> {
    let line = |case: &Written| {
        serde_json::json!({"name": case.name, "yaml": case.yaml, "want": case.want}).to_string()
    };
    let lines: Vec<String> = cases.iter().map(line).collect();
    judge(
        &mut python("read_yaml.py"),
        &lines.join("\n"),
        &format!("{} read", cases.len()),
    )
}

/// What cfn-lint finds in templates.
pub fn cfn_lint(files: &[PathBuf]) -> Result<(), String> {
    judge(
        &mut python("lint_cloudformation.py"),
        &names(files),
        &format!("{} templates", files.len()),
    )
}

/// Statements of templates that allow what no action of AWS can do, or more than one resource of it.
pub fn lint_rights(files: &[PathBuf]) -> Result<(), String> {
    judge(
        &mut python("lint_rights.py"),
        &names(files),
        &format!("{} templates", files.len()),
    )
}

/// What kubernetes-validate finds in files of objects.
pub fn kubernetes_validate(files: &[PathBuf]) -> Result<(), String> {
    judge(&mut python("validate_kubernetes.py"), &names(files), " objects")
}

/// What asl-validator finds in definitions of state machines.
pub fn asl_validator(files: &[PathBuf]) -> Result<(), String> {
    for some in files.chunks(200) {
        let mut node = Command::new("node");
        node.arg(Tool::Node.path());
        for file in some {
            node.arg("--json-path").arg(file);
        }
        judge(&mut node, "", "is valid")?;
    }
    Ok(())
}

/// The files of `golden/` and `tests/grants/golden/` in folders called `folder` whose names end with `extension`, in order.
///
/// # Panics
///
/// When there are none: a judge with nothing to judge has not passed anything.
#[track_caller]
pub fn golden(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for goldens in ["golden", "tests/grants/golden"] {
        walk(&tools::root().join(goldens), &mut files);
    }
    files.retain(|file| {
        file.extension().is_some_and(|found| found == extension)
            && file.components().any(|part| part.as_os_str() == folder)
    });
    assert!(
        !files.is_empty(),
        "no {folder}/**/*.{extension} among the goldens"
    );
    files.sort();
    files
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn names(files: &[PathBuf]) -> String {
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>()
        .join("\n")
}

fn python(script: &str) -> Command {
    let mut python = Command::new(Tool::Python.path());
    python
        .arg(tools::root().join("tests/judges").join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Runs a judge. It has to succeed, and its last words have to be that it came to the end of its input.
fn judge(command: &mut Command, input: &str, last: &str) -> Result<(), String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let _ = writer.join(); // what it has not read is missing from its last words
    let words = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && words.trim_end().ends_with(last) {
        return Ok(());
    }
    let words = format!("{words}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = words.lines().take(100).collect();
    Err(lines.join("\n"))
}
