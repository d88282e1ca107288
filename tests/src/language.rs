//! Runs language tests: Markdown documents with small stacks, and the diagnostics or the output that each stack causes.
//!
//! `tests/language/README.md` describes the format. The compiler is a parameter, so this module depends on no phase of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize as _;
use similar::TextDiff;
use terrace_artifact::{File, Map, Value, to_json_pretty, to_yaml};

use crate::markdown::{self, Block, Part};
use crate::{tools, transcript};

/// The input of an example.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Stack {
    /// The files, by path.
    pub files: BTreeMap<String, String>,
    /// Values of inputs as for `--set`: `web.replicas=3`.
    pub set: Vec<String>,
}

/// The result of an example.
#[derive(Default)]
pub struct Outcome {
    /// The diagnostics as the program renders them.
    pub diagnostics: String,
    /// The files that the program emits.
    pub files: Vec<File>,
}

/// The text of a `text` block if there are no diagnostics.
const NO_PROBLEMS: &str = "no problems\n";

/// Compiles every example of a document and compares the results with its blocks.
/// `UPDATE_EXPECT=1` writes the results into the document.
///
/// # Errors
///
/// Returns the failures, each with the line and the heading of its example.
pub fn check(document: &str, compile: impl Fn(&Stack) -> Outcome) -> Result<(), Vec<String>> {
    let path = tools::root().join(document);
    let unreadable = |error: io::Error| vec![format!("{document}: {error}")];
    let page = fs::read_to_string(&path).map_err(unreadable)?;
    let base = match base(&page) {
        None => BTreeMap::new(),
        Some(name) => files_of(&path.with_file_name("stacks").join(name))
            .map_err(|error| vec![format!("{document}: the stack `{name}`: {error}")])?,
    };
    let located = |failures: Vec<Failure>| failures.iter().map(|failure| failure.show(document)).collect();
    let examples = examples(&page, &base).map_err(located)?;
    let mut failures = Vec::new();
    let mut updates = Vec::new();
    for example in &examples {
        let differences = example.run(&compile, &mut failures);
        if transcript::updating() {
            updates.extend(differences);
            continue;
        }
        for (block, text) in differences {
            let diff = TextDiff::from_lines(block.text, &text);
            let diff = diff.unified_diff().header("document", "result").to_string();
            let problem = format!("different result; `UPDATE_EXPECT=1` accepts it\n{diff}");
            failures.push(example.failure(block.line, problem));
        }
    }
    if !updates.is_empty() {
        fs::write(&path, markdown::with_texts(&page, updates)).map_err(unreadable)?;
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(located(failures)),
    }
}

/// Returns the name of the stack that the front matter of a page selects: `stack: NAME`.
fn base(page: &str) -> Option<&str> {
    let (front, _) = page.strip_prefix("---\n")?.split_once("\n---\n")?;
    Some(front.strip_prefix("stack: ").unwrap_or(front))
}

/// Reads the files of a directory, by name.
fn files_of(directory: &Path) -> io::Result<BTreeMap<String, String>> {
    let entries = fs::read_dir(directory)?;
    let files = entries.map(|entry| {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok((name, fs::read_to_string(&path)?))
    });
    files.collect()
}

/// A failure of an example, or a mistake in its document.
struct Failure {
    line: usize,
    heading: String,
    problem: String,
}

impl Failure {
    fn show(&self, document: &str) -> String {
        format!("{document}:{}: {}\n{}", self.line, self.heading, self.problem)
    }
}

/// A stack and the expected results.
struct Example<'p> {
    heading: &'p str,
    line: usize,
    stack: Stack,
    expected: Vec<(Expected<'p>, Block<'p>)>,
}

/// The content of an expected block.
#[derive(Clone, Copy)]
enum Expected<'p> {
    Diagnostics,
    Emitted(Selection<'p>),
    /// The paths of all emitted files.
    Paths,
}

/// A part of an emitted file.
#[derive(Clone, Copy)]
struct Selection<'p> {
    file: &'p str,
    /// A JSON pointer to a value in the file. It is empty for the whole file.
    pointer: &'p str,
    /// Keys that are left out at every level, separated by spaces.
    without: &'p str,
    as_json: bool,
}

/// The role of a block in its document.
enum Role<'p> {
    /// A file of one example.
    File(&'p str),
    /// A file of all examples below a heading.
    Shared(&'p str),
    /// Values for `--set`.
    Set,
    /// An expected result.
    Expected(Expected<'p>),
}

impl<'p> Role<'p> {
    fn of(block: &Block<'p>) -> Option<Role<'p>> {
        let language = block.language();
        let words = block.argument();
        if language == "text" {
            return match words {
                None => Some(Role::Expected(Expected::Diagnostics)),
                Some("set") => Some(Role::Set),
                Some("emitted") => Some(Role::Expected(Expected::Paths)),
                Some(_) => None,
            };
        }
        let Some(words) = words else {
            return block.is_plain("yaml").then_some(Role::File("stack.yaml"));
        };
        let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
        match first {
            "shared" if rest.is_empty() => Some(Role::Shared("shared.yaml")),
            "shared" => Some(Role::Shared(rest)),
            "emitted" => {
                let (place, without) = rest.split_once(" without ").unwrap_or((rest, ""));
                let (file, pointer) = place.split_once('#').unwrap_or((place, ""));
                let selection = Selection {
                    file,
                    pointer,
                    without,
                    as_json: language == "json",
                };
                let is_known = matches!(language, "json" | "yaml") && !file.is_empty();
                is_known.then_some(Role::Expected(Expected::Emitted(selection)))
            }
            path => (path.contains('.') && rest.is_empty()).then_some(Role::File(path)),
        }
    }
}

/// A heading whose examples are being read.
struct Section<'p> {
    level: usize,
    title: &'p str,
    line: usize,
    shared: Vec<(&'p str, &'p str)>,
    is_empty: bool,
}

/// Returns the examples of a page. The files of `base` are part of each of them.
///
/// A heading begins a section, which ends at the next heading of the same or a higher level. In a section, the first input block after an
/// expected block begins the next example.
fn examples<'p>(page: &'p str, base: &BTreeMap<String, String>) -> Result<Vec<Example<'p>>, Vec<Failure>> {
    let mut reader = Reader {
        base,
        sections: Vec::new(),
        current: None,
        examples: Vec::new(),
        failures: Vec::new(),
    };
    for part in markdown::parts(page) {
        match part {
            Part::Line(line, text) => {
                if let Some((level, title)) = markdown::heading(text) {
                    reader.finish_example();
                    reader.close_sections(level);
                    reader.sections.push(Section {
                        level,
                        title,
                        line,
                        shared: Vec::new(),
                        is_empty: true,
                    });
                }
            }
            Part::Block(block) => reader.add(block),
        }
    }
    reader.finish_example();
    reader.close_sections(0);
    if reader.examples.is_empty() && reader.failures.is_empty() {
        reader.failures.push(Failure {
            line: 1,
            heading: String::new(),
            problem: "the document has no examples".to_owned(),
        });
    }
    match reader.failures.is_empty() {
        true => Ok(reader.examples),
        false => Err(reader.failures),
    }
}

/// The state while a page is read.
struct Reader<'p, 'b> {
    base: &'b BTreeMap<String, String>,
    sections: Vec<Section<'p>>,
    current: Option<Example<'p>>,
    examples: Vec<Example<'p>>,
    failures: Vec<Failure>,
}

impl<'p> Reader<'p, '_> {
    fn fail(&mut self, line: usize, problem: impl Into<String>) {
        let heading = self.sections.last().map_or("", |section| section.title);
        self.failures.push(Failure {
            line,
            heading: heading.to_owned(),
            problem: problem.into(),
        });
    }

    fn add(&mut self, block: Block<'p>) {
        let Some(role) = Role::of(&block) else {
            return self.fail(block.line, format!("unknown kind of block: `{}`", block.info));
        };
        if let Role::Shared(path) = role {
            self.finish_example();
            return match self.sections.last_mut() {
                Some(section) => section.shared.push((path, block.text)),
                None => self.fail(block.line, "a shared block must be below a heading"),
            };
        }
        let is_input = !matches!(role, Role::Expected(_));
        if is_input
            && self
                .current
                .as_ref()
                .is_some_and(|example| !example.expected.is_empty())
        {
            self.finish_example();
        }
        let mut example = match self.current.take() {
            Some(example) => example,
            None => self.new_example(block.line),
        };
        match role {
            Role::Expected(expected) => example.expected.push((expected, block)),
            Role::Set => example.stack.set.extend(block.text.lines().map(str::to_owned)),
            Role::File(path) | Role::Shared(path) => {
                let before = example.stack.files.insert(path.to_owned(), block.text.to_owned());
                if before.is_some() {
                    self.fail(block.line, format!("the example has two files `{path}`"));
                }
            }
        }
        self.current = Some(example);
    }

    fn new_example(&self, line: usize) -> Example<'p> {
        let mut files = self.base.clone();
        for (path, text) in self.sections.iter().flat_map(|section| &section.shared) {
            let file = files.entry((*path).to_owned()).or_default();
            if !file.is_empty() {
                file.push_str("---\n");
            }
            file.push_str(text);
        }
        Example {
            heading: self.sections.last().map_or("", |section| section.title),
            line,
            stack: Stack {
                files,
                set: Vec::new(),
            },
            expected: Vec::new(),
        }
    }

    fn finish_example(&mut self) {
        let Some(example) = self.current.take() else {
            return;
        };
        if example.expected.is_empty() {
            return self.fail(example.line, "the example has no expected result");
        }
        for section in &mut self.sections {
            section.is_empty = false;
        }
        self.examples.push(example);
    }

    /// Ends the sections of this level and below.
    fn close_sections(&mut self, level: usize) {
        while self.sections.last().is_some_and(|section| section.level >= level) {
            let Some(section) = self.sections.pop() else {
                return;
            };
            if section.is_empty {
                self.failures.push(Failure {
                    line: section.line,
                    heading: section.title.to_owned(),
                    problem: "the section has no examples".to_owned(),
                });
            }
        }
    }
}

impl<'p> Example<'p> {
    fn failure(&self, line: usize, problem: String) -> Failure {
        Failure {
            line,
            heading: self.heading.to_owned(),
            problem,
        }
    }

    /// Compiles the example and returns the blocks whose text differs from the result, with the result.
    fn run(
        &self,
        compile: impl Fn(&Stack) -> Outcome,
        failures: &mut Vec<Failure>,
    ) -> Vec<(&Block<'p>, String)> {
        let outcome = compile(&self.stack);
        let diagnostics = match outcome.diagnostics.trim_end() {
            "" => NO_PROBLEMS.to_owned(),
            text => format!("{text}\n"),
        };
        let shows_diagnostics = self
            .expected
            .iter()
            .any(|(expected, _)| matches!(expected, Expected::Diagnostics));
        if !shows_diagnostics && diagnostics != NO_PROBLEMS {
            failures.push(self.failure(self.line, format!("unexpected diagnostics\n{diagnostics}")));
            return Vec::new();
        }
        let mut differences = Vec::new();
        for (expected, block) in &self.expected {
            let text = match expected {
                Expected::Diagnostics => Ok(diagnostics.clone()),
                Expected::Emitted(selection) => selection.select(&outcome.files),
                Expected::Paths => Ok(outcome
                    .files
                    .iter()
                    .map(|file| format!("{}\n", file.path))
                    .collect()),
            };
            match text {
                Ok(text) if text == block.text => {}
                Ok(text) => differences.push((block, text)),
                Err(problem) => failures.push(self.failure(block.line, problem)),
            }
        }
        differences
    }
}

impl Selection<'_> {
    /// Returns the selected part of the emitted files as text.
    fn select(&self, files: &[File]) -> Result<String, String> {
        let Some(file) = files.iter().find(|file| file.path == self.file) else {
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            return Err(format!("no file `{}` was emitted, only {paths:?}", self.file));
        };
        let whole = match file.path.ends_with(".json") {
            true => serde_json::from_str(&file.text).map_err(|error| format!("`{}`: {error}", self.file))?,
            false => documents(&file.text).map_err(|error| format!("`{}`: {error}", self.file))?,
        };
        let selected = point(&whole, self.pointer)
            .ok_or_else(|| format!("`{}` has no value at `{}`", self.file, self.pointer))?;
        let without: Vec<&str> = self.without.split_whitespace().collect();
        let selected = without_keys(selected, &without);
        Ok(match self.as_json {
            true => to_json_pretty(&selected),
            false => to_yaml(&selected),
        })
    }
}

/// Reads the documents of a YAML file. Several documents are a list.
fn documents(text: &str) -> Result<Value, yaml_serde::Error> {
    let documents = yaml_serde::Deserializer::from_str(text).map(Value::deserialize);
    let mut documents = documents.collect::<Result<Vec<Value>, _>>()?;
    Ok(match documents.len() {
        1 => documents.remove(0),
        _ => Value::List(documents),
    })
}

/// Returns the value at a JSON pointer.
fn point<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    pointer
        .split('/')
        .skip(1)
        .try_fold(value, |value, step| match value {
            Value::Map(map) => map.get(&step.replace("~1", "/").replace("~0", "~")),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
}

/// Returns a value without the entries of these keys at every level.
fn without_keys(value: &Value, keys: &[&str]) -> Value {
    match value {
        Value::Map(map) => {
            let entries = map.iter().filter(|(key, _)| !keys.contains(&key.as_str()));
            Value::Map(Map::from_iter(
                entries.map(|(key, value)| (key.clone(), without_keys(value, keys))),
            ))
        }
        Value::List(items) => Value::List(items.iter().map(|item| without_keys(item, keys)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines of the failures of a page. The compiler of these tests reports the text of `stack.yaml` if it begins with `bad`,
    /// and emits all files.
    fn failures(page: &str) -> Vec<String> {
        let failures = match examples(page, &BTreeMap::new()) {
            Err(failures) => failures,
            Ok(examples) => {
                let mut failures = Vec::new();
                for example in &examples {
                    for (block, text) in example.run(compile, &mut failures) {
                        failures.push(example.failure(block.line, text));
                    }
                }
                failures
            }
        };
        let lines = failures.iter();
        lines
            .map(|failure| format!("{} {}: {}", failure.line, failure.heading, failure.problem))
            .collect()
    }

    fn compile(stack: &Stack) -> Outcome {
        let text = stack.files.get("stack.yaml").map_or("", String::as_str);
        let set = File {
            path: "set.json".to_owned(),
            text: format!("{:?}", stack.set),
        };
        let files = stack.files.iter().map(|(path, text)| File {
            path: path.clone(),
            text: text.clone(),
        });
        Outcome {
            diagnostics: if text.starts_with("bad") {
                text.to_owned()
            } else {
                String::new()
            },
            files: files.chain([set]).collect(),
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn compares_diagnostics_and_parts_of_emitted_files() {
        let page = "# T\n## S\nWords.\n```yaml\na: {b/c: [1, {d: 2, e: 3}]}\n```\n```text set\nx=1\n```\n\
                    ```yaml emitted stack.yaml#/a/b~1c/1 without d\ne: 3\n```\n```json emitted set.json\n[\"x=1\"]\n```\n\
                    ```text\nno problems\n```\n## Next\n```yaml\nbad\n```\n```text\nbad\n```\n";
        assert_eq!(failures(page), NOTHING);
        let other = page
            .replace("e: 3\n```", "e: 4\n```")
            .replace("text\nbad", "text\ngood");
        assert_eq!(failures(&other), ["10 S: e: 3\n", "23 Next: bad\n"]);
    }

    #[test]
    fn shares_files_with_all_examples_of_a_section() {
        let page = "# T\n```yaml shared\na: 1\n```\n## S\n```yaml shared\nb: 2\n```\n### One\n```yaml\nc: 3\n```\n\
                    ```yaml emitted shared.yaml#/1\nb: 2\n```\n```yaml\nd: 4\n```\n```yaml emitted stack.yaml\nd: 4\n```\n\
                    ## Other\n```yaml\ne: 5\n```\n```yaml emitted shared.yaml\na: 1\n```\n\
                    ```text emitted\nshared.yaml\nstack.yaml\nset.json\n```\n";
        assert_eq!(failures(page), NOTHING);
    }

    #[test]
    fn the_front_matter_names_a_stack() {
        assert_eq!(base("---\nstack: account\n---\n# T\n"), Some("account"));
        assert_eq!(base("# T\n---\nstack: account\n---\n"), None);
        let files = BTreeMap::from([("a.py".to_owned(), "pass\n".to_owned())]);
        let Ok(examples) = examples("# T\n```yaml\na: 1\n```\n```text\n```\n", &files) else {
            panic!("the page has an example");
        };
        assert_eq!(
            examples[0].stack.files.keys().collect::<Vec<_>>(),
            ["a.py", "stack.yaml"]
        );
    }

    #[test]
    fn rejects_documents_that_test_nothing() {
        assert_eq!(failures("Words.\n"), ["1 : the document has no examples"]);
        assert_eq!(
            failures(
                "# T\n## Empty\n## S\n```yaml\na: 1\n```\n## Full\n```yaml\na: 1\n```\n```text\nno problems\n```\n"
            ),
            [
                "2 Empty: the section has no examples",
                "4 S: the example has no expected result",
                "3 S: the section has no examples"
            ]
        );
    }

    #[test]
    fn rejects_unknown_blocks_and_files() {
        let page =
            "# T\n```ymal\na: 1\n```\n```text wrong\n```\n```json emitted\n```\n```yaml a b.yaml\n```\n";
        assert_eq!(failures(page).len(), 5);
        let page = "# T\n```yaml\na: 1\n```\n```yaml\na: 2\n```\n```text\nno problems\n```\n";
        assert_eq!(failures(page), ["5 T: the example has two files `stack.yaml`"]);
        let page =
            "# T\n```yaml\na: 1\n```\n```yaml emitted other.yaml\n```\n```yaml emitted stack.yaml#/b\n```\n";
        assert_eq!(
            failures(page),
            [
                "5 T: no file `other.yaml` was emitted, only [\"stack.yaml\", \"set.json\"]",
                "7 T: `stack.yaml` has no value at `/b`"
            ]
        );
    }

    #[test]
    fn rejects_diagnostics_that_an_example_does_not_show() {
        let page = "# T\n```yaml\nbad\n```\n```yaml emitted stack.yaml\nbad\n```\n";
        assert_eq!(failures(page), ["2 T: unexpected diagnostics\nbad\n"]);
    }
}
