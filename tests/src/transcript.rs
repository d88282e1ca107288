//! Runs the console examples of a page, such as the README, and compares their output.
//!
//! In every block marked `console`, a line that starts with `$ ` is a shell command. Its output on both streams, in order, must
//! equal the lines below it. A line `? 4` states the exit code 4; without such a line the exit code is 0. All blocks of a page
//! run in sequence, in the same copy of the repository's stacks and modules. Any other block that names a file after its
//! language, such as ```` ```yaml stacks/quickstart/production.yaml ````, writes that file. `UPDATE_EXPECT=1` updates the page.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use crate::scratch::{self, Scratch};
use crate::{markdown, tools};

/// Runs all examples of a page, and compares their output with the page.
///
/// The commands see `variables` and none of the caller's environment variables.
///
/// # Panics
///
/// If the output differs, or if the page has no examples.
#[track_caller]
pub fn check(page: &str, variables: &[(&str, &str)]) {
    let path = tools::root().join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let scratch = Scratch::new("transcript");
    scratch.copy("stacks");
    scratch.copy("modules");
    let now = run(&text, scratch.path(), variables);
    assert!(text.contains("\n$ "), "{page} has no examples");
    if now == text {
        return;
    }
    if updating() {
        fs::write(&path, now).unwrap_or_else(|error| panic!("{page}: {error}"));
        return;
    }
    let lines = now.lines().zip(text.lines()).position(|(now, then)| now != then);
    let line = lines.unwrap_or_else(|| now.lines().count().min(text.lines().count()));
    let from = line.saturating_sub(6);
    let part = |text: &str| text.lines().skip(from).take(30).collect::<Vec<_>>().join("\n");
    panic!(
        "{page}:{} differs from the output; `UPDATE_EXPECT=1` accepts it\n--- page\n{}\n--- output\n{}",
        line + 1,
        part(&text),
        part(&now)
    );
}

/// Returns whether to write expectations instead of comparing them.
pub fn updating() -> bool {
    env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}

/// Returns the page with the current output of its examples.
fn run(page: &str, directory: &Path, variables: &[(&str, &str)]) -> String {
    let blocks = markdown::blocks(page);
    let mut texts = Vec::new();
    for block in &blocks {
        if block.is_plain("console") {
            texts.push((block, run_block(block.text, directory, variables)));
        } else if let Some(file) = block.argument() {
            write(&directory.join(file), block.text);
        }
    }
    markdown::with_texts(page, texts)
}

/// Returns the text of a console block with the current output of its commands.
fn run_block(block: &str, directory: &Path, variables: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(block.len());
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            let Some(next) = lines.next() else { break };
            out.push_str(next);
            out.push('\n');
            command.push('\n');
            command.push_str(next);
        }
        while lines.next_if(|next| !next.starts_with("$ ")).is_some() {}
        let printed = shell(&command, directory, variables);
        out.push_str(&printed);
        if lines.peek().is_some() && !printed.ends_with("\n\n") {
            out.push('\n');
        }
    }
    out
}

fn write(path: &Path, text: &str) {
    let written = fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| fs::write(path, text));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Runs a command and returns its output, followed by its exit code if that is not 0.
fn shell(command: &str, directory: &Path, variables: &[(&str, &str)]) -> String {
    let output = directory.with_extension("output");
    let printed = printed(command, directory, variables, &output);
    let _ = fs::remove_file(&output);
    let (text, code) = printed.unwrap_or_else(|error| panic!("`{command}`: {error}"));
    let mut text = steady(&text, directory);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if code != 0 {
        text.push_str(&format!("? {code}\n"));
    }
    text
}

fn printed(
    command: &str,
    directory: &Path,
    variables: &[(&str, &str)],
    output: &PathBuf,
) -> io::Result<(String, i32)> {
    let file = File::create(output)?;
    let program = crate::program::program();
    let mut path = program.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("HOME", directory.join("no-home"))
        .env("KUBECONFIG", directory.join("no-kubeconfig"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("GIT_CEILING_DIRECTORIES", scratch::directory())
        .env("USER", "ana")
        .env("HOSTNAME", "laptop")
        .env("LC_ALL", "C")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()?;
    let text = fs::read(output)?;
    Ok((
        String::from_utf8_lossy(&text).into_owned(),
        status.code().unwrap_or(-1),
    ))
}

/// Replaces times, ports and directories, so that the text is the same on every run.
fn steady(text: &str, directory: &Path) -> String {
    let text = text.replace(&format!("{}/", directory.display()), "");
    let text = text.replace(&*directory.to_string_lossy(), ".");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let glued =
            before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/'));
        let length = from
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(from.len());
        let (number, after) = from.split_at(length);
        if let Some(before) = out.strip_suffix("http://localhost:").map(str::len) {
            // The URLs of the endpoint's queues contain its own address. Show the address of AWS instead.
            out.truncate(before);
            out.push_str("https://sqs.eu-west-1.amazonaws.com");
            rest = after;
            continue;
        }
        if !glued && is_timestamp(from) {
            out.push_str("2026-11-21T09:30:00Z");
            rest = &from[20..];
        } else if !glued && number.contains('.') && after.starts_with(" s") {
            out.push_str("0.1");
            rest = after;
        } else if out.ends_with("://127.0.0.1:") {
            out.push_str("6443");
            rest = after;
        } else {
            out.push_str(number);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Returns whether the text starts with a timestamp such as `2026-11-21T03:30:00Z`.
fn is_timestamp(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:ddZ";
    text.len() >= pattern.len()
        && pattern
            .bytes()
            .zip(text.bytes())
            .all(|(pattern, byte)| match pattern {
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_values_that_differ_between_runs() {
        let directory = Path::new("/tmp/x");
        let text = "done (3.4 s) at 2031-01-02T03:04:05Z, 1.5 GiB, v1.2 s in /tmp/x/out and /tmp/x";
        let steady = steady(text, directory);
        assert_eq!(
            steady,
            "done (0.1 s) at 2026-11-21T09:30:00Z, 1.5 GiB, v1.2 s in out and ."
        );
    }

    #[test]
    fn runs_only_console_blocks() {
        let scratch = Scratch::new("transcript-test");
        let page = "a\n```sh\n$ exit 9\n```\n\n```console\n$ echo one; exit 3\nold\n\n$ true\nold\n$ echo two\n```\n$ no\n";
        let want = "a\n```sh\n$ exit 9\n```\n\n```console\n$ echo one; exit 3\none\n? 3\n\n$ true\n\n$ echo two\ntwo\n```\n$ no\n";
        assert_eq!(run(page, scratch.path(), &[]), want);
        assert_eq!(run(want, scratch.path(), &[]), want);
    }
}
