//! Every diagnostic code has cases under `tests/diagnostics`, with the exact output of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use terrace_compiler::code::{Code, Severity};
use terrace_tests::{Scratch, Terrace, markdown, tools, transcript};

/// The expected output.
const EXPECTED: &str = "expected.txt";
/// The arguments of the program, if they are not `validate`.
const COMMAND: &str = "command.txt";
/// Files that are too large for the repository: a line each, `PATH COUNT LINE`, or `PATH BYTES` for a file of zeros.
const LARGE: &str = "large.txt";

#[test]
fn every_case_prints_its_expected_output() {
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
        "{} cases print different output; `UPDATE_EXPECT=1` accepts it\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn every_code_has_a_case_and_every_case_a_code() {
    let cases = cases();
    let directories: BTreeSet<&str> = cases.keys().map(String::as_str).collect();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.slug()).collect();
    let without: Vec<&&str> = codes.difference(&directories).collect();
    assert!(
        without.is_empty(),
        "no case under tests/diagnostics for {without:?}"
    );
    let unknown: Vec<&&str> = directories.difference(&codes).collect();
    assert!(
        unknown.is_empty(),
        "directories in tests/diagnostics without a code: {unknown:?}"
    );
    let empty: Vec<&String> = cases
        .iter()
        .filter(|(_, cases)| cases.is_empty())
        .map(|(code, _)| code)
        .collect();
    assert!(
        empty.is_empty(),
        "directories in tests/diagnostics without a case: {empty:?}"
    );
}

#[test]
fn every_code_has_a_page() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let page = code.page();
        let first = page.lines().next().unwrap_or_default();
        if first != format!("# {}", code.slug()) && !first.starts_with(&format!("# {}: ", code.slug())) {
            wrong.push(format!("{}: starts with `{first}`", code.slug()));
        }
        // A waiver of a rule is not an example of a violation.
        let example = |block: &str| block.contains("```") && !block.contains("\nwaivers:\n  - {rule: ");
        if page.lines().count() < 8 || !page.split("\n\n").any(example) {
            wrong.push(format!("{}: has no example", code.slug()));
        }
    }
    let files = fs::read_dir(tools::root().join("docs/codes")).expect("docs/codes");
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.strip_suffix(".md").and_then(Code::from_slug).is_none() {
            wrong.push(format!("docs/codes/{name}: there is no such code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Documents that are added to a page's example if it has no document of such a kind itself.
const CONTEXT: [(&str, &str); 3] = [
    ("Platform", "{kind: Platform, name: acme}\n"),
    (
        "Environment",
        "{kind: Environment, name: production, class: production, kubernetes: {context: acme-production}, aws: {account: \"111122223333\", region: eu-west-1}}\n",
    ),
    ("Tenant", "{kind: Tenant, name: finance, tier: basic}\n"),
];

/// Pages whose mistake is outside of documents, or in a file that is not YAML. Their examples are only shown.
const ONLY_SHOWN: [&str; 7] = [
    "asset-too-large",
    "file-too-long",
    "invalid-set",
    "no-platform",
    "not-utf8",
    "too-deep",
    "wrong-version",
];

/// Compiles the first example of every page and compares the output on the page. `UPDATE_EXPECT=1` writes it.
#[test]
fn every_page_shows_the_output_of_its_example() {
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().map(|code| code.slug()) {
        if ONLY_SHOWN.contains(&code) {
            continue;
        }
        let path = tools::root().join(format!("docs/codes/{code}.md"));
        let page = read(&path).unwrap_or_default();
        match with_output(code, &page) {
            Err(problem) => wrong.push(format!("{code}: {problem}")),
            Ok(updated) if updated == page => {}
            Ok(updated) if transcript::updating() => fs::write(&path, updated).expect("a page"),
            Ok(updated) => wrong.push(format!("{code}: prints different output\n{updated}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the page with the actual output for its example, limited to diagnostics with its code.
fn with_output(code: &str, page: &str) -> Result<String, String> {
    let blocks = markdown::blocks(page);
    let mut following = blocks.iter();
    let example = following
        .find(|block| block.is_plain("yaml"))
        .ok_or("has no example")?
        .text;
    let shown = following.find(|block| block.is_plain("text"));
    let shown = shown.ok_or("has no output block after its example")?;
    let scratch = Scratch::new(code);
    scratch.write("stack.yaml", example);
    for block in &blocks {
        if let Some(path) = block.argument() {
            scratch.write(path, block.text);
        }
    }
    let missing = CONTEXT
        .iter()
        .filter(|(kind, _)| !example.contains(&format!("kind: {kind}")));
    let context: Vec<&str> = missing.map(|(_, document)| *document).collect();
    scratch.write("context.yaml", &context.join("---\n"));
    let run = Terrace::in_directory(scratch.path()).run(&["validate"]);
    let output = run.stderr.replace(&format!("{}/", scratch.path().display()), "");
    let diagnostics: Vec<&str> = output
        .split("\n\n")
        .filter(|diagnostic| {
            ["error", "warning", "note"]
                .iter()
                .any(|severity| diagnostic.starts_with(&format!("{severity}[{code}]")))
        })
        .collect();
    match diagnostics.is_empty() {
        true => Err(format!("its example prints no such diagnostic\n{output}")),
        false => {
            let text = diagnostics.join("\n\n") + "\n";
            Ok(markdown::with_texts(page, [(shown, text)]))
        }
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
    let output = run.stderr.replace(&format!("{}/", scratch.path().display()), "");
    let is_error = Code::from_slug(code).is_none_or(|code| code.severity() == Severity::Error);
    let severity = i32::from(is_error);
    let is_reported = output.contains(&format!("[{code}]"));
    if run.code != severity || !is_reported {
        return Err(format!(
            "{name}: ended with {} instead of {severity}, or without `[{code}]`\n{output}",
            run.code
        ));
    }
    let expected = read(&case.join(EXPECTED));
    if expected.as_deref() == Some(&*output) {
        return Ok(());
    }
    if transcript::updating() {
        return fs::write(case.join(EXPECTED), output).map_err(|error| format!("{name}: {error}"));
    }
    let expected = expected.unwrap_or_else(|| format!("({EXPECTED} does not exist)"));
    Err(format!("{name}\n--- expected\n{expected}\n--- actual\n{output}"))
}

/// Returns the cases by code.
fn cases() -> BTreeMap<String, Vec<PathBuf>> {
    let root = tools::root().join("tests/diagnostics");
    let directories = tools::subfolders(&root);
    let code = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    directories
        .iter()
        .map(|directory| (code(directory), tools::subfolders(directory)))
        .collect()
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}
