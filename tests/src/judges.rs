//! Third-party programs that judge the output of Terrace.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::tools::{self, Tool};

/// A YAML text and the values that it must represent.
#[derive(Clone, Debug)]
pub struct YamlSample {
    /// The name that reports show.
    pub name: String,
    /// The text, with one or more documents.
    pub yaml: String,
    /// The expected value of each document, as JSON.
    pub want: Vec<String>,
}

/// Checks that PyYAML and libyaml read the expected values. An error lists the differences.
pub fn python_reads(cases: &[YamlSample]) -> Result<(), String> {
    let line = |case: &YamlSample| {
        serde_json::json!({"name": case.name, "yaml": case.yaml, "want": case.want}).to_string()
    };
    let lines: Vec<String> = cases.iter().map(line).collect();
    judge(
        &mut python("read_yaml.py"),
        &lines.join("\n"),
        &format!("{} read", cases.len()),
    )
}

/// Checks templates with cfn-lint. An error lists the findings.
pub fn cfn_lint(files: &[PathBuf]) -> Result<(), String> {
    judge(
        &mut python("lint_cloudformation.py"),
        &names(files),
        &format!("{} templates", files.len()),
    )
}

/// Checks the permissions in templates: actions must exist, and must be limited to the resources that AWS checks. An error lists the
/// findings.
pub fn lint_rights(files: &[PathBuf]) -> Result<(), String> {
    judge(
        &mut python("lint_rights.py"),
        &names(files),
        &format!("{} templates", files.len()),
    )
}

/// Checks files of objects with kubernetes-validate. An error lists the findings.
pub fn kubernetes_validate(files: &[PathBuf]) -> Result<(), String> {
    judge(&mut python("validate_kubernetes.py"), &names(files), " objects")
}

/// Checks definitions of state machines with asl-validator. An error lists the findings.
pub fn asl_validator(files: &[PathBuf]) -> Result<(), String> {
    for chunk in files.chunks(200) {
        let mut node = Command::new("node");
        node.arg(Tool::Node.path());
        for file in chunk {
            node.arg("--json-path").arg(file);
        }
        judge(&mut node, "", "is valid")?;
    }
    Ok(())
}

/// Returns the files of `golden/` and `tests/grants/golden/` in directories named `directory` with the extension
/// `extension`, sorted.
///
/// # Panics
///
/// If there are no such files, because a judge without input proves nothing.
#[track_caller]
pub fn golden(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for goldens in ["golden", "tests/grants/golden"] {
        walk(&tools::root().join(goldens), &mut files);
    }
    files.retain(|file| {
        file.extension().is_some_and(|found| found == extension)
            && file.components().any(|part| part.as_os_str() == directory)
    });
    assert!(
        !files.is_empty(),
        "the goldens contain no {directory}/**/*.{extension}"
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

/// Runs a judge. The judge must succeed, and its output must end with `last`, which shows that it read all of its input.
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
    let _ = writer.join(); // an incomplete read is detected by the last line of the output
    let printed = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && printed.trim_end().ends_with(last) {
        return Ok(());
    }
    let printed = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = printed.lines().take(100).collect();
    Err(lines.join("\n"))
}
