//! Every kind of problem has a case under `tests/diagnostics`, with what a user sees of it, to the letter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use terrace_compiler::code::Code;
use terrace_compiler::diagnostic::Severity;
use terrace_tests::{Scratch, Terrace, tools, transcript};

/// What a user sees.
const EXPECTED: &str = "expected.txt";
/// The arguments of the program, where they are not `validate`.
const COMMAND: &str = "command.txt";
/// Files that are too large to keep: a line each, `PATH COUNT LINE`, or `PATH BYTES` for one of zeros.
const LARGE: &str = "large.txt";

#[test]
fn every_case_is_told_as_written() {
    let mut wrong = Vec::new();
    for (code, cases) in cases() {
        for case in cases {
            if let Err(difference) = check(&code, &case) {
                wrong.push(difference);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases are told differently; `UPDATE_EXPECT=1` accepts that\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn every_code_has_a_case_and_every_case_a_code() {
    let cases = cases();
    let folders: BTreeSet<&str> = cases.keys().map(String::as_str).collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.slug()).collect();
    let without: Vec<&&str> = codes.difference(&folders).collect();
    assert!(
        without.is_empty(),
        "no case under tests/diagnostics for {without:?}"
    );
    let unknown: Vec<&&str> = folders.difference(&codes).collect();
    assert!(
        unknown.is_empty(),
        "folders of tests/diagnostics that are no code: {unknown:?}"
    );
    let empty: Vec<&String> = cases
        .iter()
        .filter(|(_, cases)| cases.is_empty())
        .map(|(code, _)| code)
        .collect();
    assert!(
        empty.is_empty(),
        "folders of tests/diagnostics without a case: {empty:?}"
    );
}

#[test]
fn every_code_has_a_page() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let page = code.page();
        let first = page.lines().next().unwrap_or_default();
        if first != format!("# {}", code.slug()) && !first.starts_with(&format!("# {}: ", code.slug())) {
            wrong.push(format!("{}: begins with `{first}`", code.slug()));
        }
        // What waives a rule is no example of what breaks it.
        let example = |block: &str| block.contains("```") && !block.contains("\nwaivers:\n  - {rule: ");
        if page.lines().count() < 8 || !page.split("\n\n").any(example) {
            wrong.push(format!("{}: has no example", code.slug()));
        }
    }
    let files = fs::read_dir(tools::root().join("docs/codes")).expect("docs/codes");
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".md").and_then(Code::from_slug).is_none() {
            wrong.push(format!("docs/codes/{name}: is no code's"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a page's example is compiled beside, where it has no document of such a kind itself.
const BESIDE: [(&str, &str); 3] = [
    ("Platform", "{kind: Platform, name: acme}\n"),
    (
        "Environment",
        "{kind: Environment, name: production, class: production, kubernetes: {context: acme-production}, aws: {account: \"111122223333\", region: eu-west-1}}\n",
    ),
    ("Tenant", "{kind: Tenant, name: finance, tier: basic}\n"),
];

/// Pages whose mistake is in no document, or in what is not YAML: their examples are only shown.
const ONLY_SHOWN: [&str; 7] = [
    "asset-too-large",
    "file-too-long",
    "invalid-set",
    "no-platform",
    "not-utf8",
    "too-deep",
    "wrong-version",
];

/// The first example of every page is compiled, and what the page says is told of it is told: `UPDATE_EXPECT=1` writes it.
#[test]
fn every_page_shows_what_is_said_of_its_example() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().map(|code| code.slug()) {
        if ONLY_SHOWN.contains(&code) {
            continue;
        }
        let path = tools::root().join(format!("docs/codes/{code}.md"));
        let page = read(&path).unwrap_or_default();
        match with_what_is_said(code, &page) {
            Err(problem) => wrong.push(format!("{code}: {problem}")),
            Ok(told) if told == page => {}
            Ok(told) if transcript::updating() => fs::write(&path, told).expect("a page"),
            Ok(told) => wrong.push(format!("{code}: is told differently\n{told}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files beside a page's example: blocks that are named, such as `sh src/.env`.
fn files_of(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| {
        let (head, text) = block.split_once('\n')?;
        let (_, path) = head.split_once(' ')?;
        Some((path, text))
    })
}

/// The page with what is really told of its example, of those with its code.
fn with_what_is_said(code: &str, page: &str) -> Result<String, String> {
    let block = |mark: &str, from: usize| {
        let start = from + page[from..].find(mark)? + mark.len();
        Some((start, start + page[start..].find("```")?))
    };
    let (start, end) = block("```yaml\n", 0).ok_or("has no example")?;
    let (said_start, said_end) = block("```text\n", end).ok_or("does not say what is told of its example")?;
    let example = &page[start..end];
    let scratch = Scratch::new(code);
    scratch.write("stack.yaml", example);
    for (path, text) in files_of(page) {
        scratch.write(path, text);
    }
    let missing = BESIDE
        .iter()
        .filter(|(kind, _)| !example.contains(&format!("kind: {kind}")));
    let beside: Vec<&str> = missing.map(|(_, document)| *document).collect();
    scratch.write("beside.yaml", &beside.join("---\n"));
    let run = Terrace::in_directory(scratch.path()).run(&["validate"]);
    let said = run.stderr.replace(&format!("{}/", scratch.path().display()), "");
    let told: Vec<&str> = said
        .split("\n\n")
        .filter(|one| {
            ["error", "warning", "note"]
                .iter()
                .any(|severity| one.starts_with(&format!("{severity}[{code}]")))
        })
        .collect();
    match told.is_empty() {
        true => Err(format!("its example is told of otherwise\n{said}")),
        false => Ok(format!(
            "{}{}\n{}",
            &page[..said_start],
            told.join("\n\n"),
            &page[said_end..]
        )),
    }
}

fn check(code: &str, case: &Path) -> Result<(), String> {
    let name = case
        .strip_prefix(tools::root())
        .unwrap_or(case)
        .display()
        .to_string();
    let scratch = Scratch::copy_of(&name);
    for file in [EXPECTED, COMMAND, LARGE] {
        let _ = fs::remove_file(scratch.path().join(file));
    }
    for line in read(&case.join(LARGE)).unwrap_or_default().lines() {
        let mut parts = line.splitn(3, ' ');
        let (Some(path), Some(count)) = (parts.next(), parts.next()) else {
            return Err(format!(
                "{name}/{LARGE}: a line is `PATH COUNT LINE` or `PATH BYTES`"
            ));
        };
        let count: usize = count
            .parse()
            .map_err(|error| format!("{name}/{LARGE}: {error}"))?;
        match parts.next() {
            Some(text) => scratch.write(path, &format!("{text}\n").repeat(count)),
            None => {
                scratch.write(path, "");
                let file = fs::File::options().write(true).open(scratch.path().join(path));
                let longer = file.and_then(|file| file.set_len(count as u64));
                longer.map_err(|error| format!("{name}/{path}: {error}"))?;
            }
        }
    }
    let command = read(&case.join(COMMAND)).unwrap_or_else(|| "validate".to_owned());
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let run = Terrace::in_directory(scratch.path()).run(&arguments);
    let said = run.stderr.replace(&format!("{}/", scratch.path().display()), "");
    let is_error = Code::from_slug(code).is_none_or(|code| code.severity() == Severity::Error);
    let severity = i32::from(is_error);
    let told = said.contains(&format!("[{code}]"));
    if run.code != severity || !told {
        return Err(format!(
            "{name}: ends with {} and not with {severity}, or without `[{code}]`\n{said}",
            run.code
        ));
    }
    let expected = read(&case.join(EXPECTED));
    if expected.as_deref() == Some(&*said) {
        return Ok(());
    }
    if transcript::updating() {
        return fs::write(case.join(EXPECTED), said).map_err(|error| format!("{name}: {error}"));
    }
    let expected = expected.unwrap_or_else(|| format!("(there is no {EXPECTED})"));
    Err(format!("{name}\n--- written\n{expected}\n--- told\n{said}"))
}

/// The cases by code: folders in folders.
fn cases() -> BTreeMap<String, Vec<PathBuf>> {
    let root = tools::root().join("tests/diagnostics");
    let folders = tools::subfolders(&root);
    let code = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    folders
        .iter()
        .map(|folder| (code(folder), tools::subfolders(folder)))
        .collect()
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}
