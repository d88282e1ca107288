//! Keeps the patterns of `tests/style/patterns.yaml` out of everything that users read.

use std::fs;

use regex::Regex;
use serde::Deserialize;
use terrace_tests::prose::{self, Passage};
use terrace_tests::{Terrace, tools};

/// The page that explains the rules. Its tables show bad sentences next to good ones.
const STYLE_PAGE: &str = "docs/style.md";

/// The content of `tests/style/patterns.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Style {
    areas: Vec<Area>,
    patterns: Vec<Pattern>,
}

/// One part of the files below a path.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Area {
    read: Part,
    under: String,
}

/// The part of a file that is checked.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Part {
    Prose,
    Examples,
    Descriptions,
    Yaml,
    Output,
    Messages,
    Help,
}

/// A banned pattern.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    find: String,
    reason: String,
    not: String,
    but: String,
    #[serde(default)]
    allow: Vec<Exception>,
}

/// A phrase that is correct although a pattern finds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    text: String,
    reason: String,
}

/// A pattern and its compiled expression.
struct Rule {
    pattern: Pattern,
    regex: Regex,
}

impl Rule {
    fn new(pattern: Pattern) -> Rule {
        let regex = Regex::new(&format!("(?i){}", pattern.find))
            .unwrap_or_else(|error| panic!("`{}`: {error}", pattern.find));
        Rule { pattern, regex }
    }

    /// Returns the first match in a text that no exception covers.
    fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        let lower = text.to_ascii_lowercase();
        let is_allowed = |start: usize, end: usize| {
            self.pattern.allow.iter().any(|exception| {
                let phrase = exception.text.to_ascii_lowercase();
                let mut places = lower.match_indices(&phrase).map(|(place, _)| place);
                places.any(|place| place < end && start < place + phrase.len())
            })
        };
        let mut matches = self.regex.find_iter(text);
        let found = matches.find(|found| !is_allowed(found.start(), found.end()))?;
        Some(found.as_str())
    }
}

#[test]
fn each_pattern_finds_its_bad_example_and_accepts_the_better_form() {
    for rule in style().1 {
        let Pattern {
            find,
            reason,
            not,
            but,
            allow,
        } = &rule.pattern;
        assert!(!reason.is_empty(), "`{find}` has no reason");
        assert!(rule.find(not).is_some(), "`{find}` does not find `{not}`");
        assert_eq!(rule.find(but), None, "`{find}` finds the better form `{but}`");
        for Exception { text, reason } in allow {
            assert!(!reason.is_empty(), "the exception `{text}` has no reason");
            assert!(
                rule.regex.is_match(text),
                "`{find}` does not find `{text}`, so the exception is not needed"
            );
        }
    }
}

#[test]
fn texts_that_users_read_contain_no_banned_pattern() {
    let (areas, rules) = style();
    let mut findings = Vec::new();
    for area in &areas {
        let passages = passages(area);
        assert!(!passages.is_empty(), "{area:?} contains no text");
        for (file, passage) in passages {
            for rule in &rules {
                if let Some(found) = rule.find(&passage.text) {
                    let Passage { line, text } = &passage;
                    let Pattern { reason, but, .. } = &rule.pattern;
                    let text: String = text.chars().take(160).collect();
                    findings.push(format!(
                        "{file}:{line}: `{}`\n  {text}\n  reason: {reason}; write for example: {but}",
                        found.trim()
                    ));
                }
            }
        }
    }
    assert!(
        findings.is_empty(),
        "{} banned patterns; {STYLE_PAGE} explains the rules\n{}",
        findings.len(),
        findings.join("\n")
    );
}

/// Reads the areas and the patterns.
fn style() -> (Vec<Area>, Vec<Rule>) {
    let path = tools::root().join("tests/style/patterns.yaml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let style: Style =
        yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (style.areas, style.patterns.into_iter().map(Rule::new).collect())
}

/// Returns the texts of an area, each with its file or its command.
fn passages(area: &Area) -> Vec<(String, Passage)> {
    let extension = match area.read {
        Part::Prose | Part::Examples => "md",
        Part::Descriptions => "json",
        Part::Yaml => "yaml",
        Part::Output => "txt",
        Part::Messages => "rs",
        Part::Help => return prose::help(&Terrace::in_directory(tools::root())),
    };
    let mut passages = Vec::new();
    for (path, text) in tools::tracked_files(&[extension]) {
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        if !path.starts_with(&area.under) || path == STYLE_PAGE || area.read == Part::Messages && is_test {
            continue;
        }
        let found = match area.read {
            Part::Prose => prose::markdown_prose(&text),
            Part::Examples => prose::markdown_examples(&text),
            Part::Descriptions => {
                let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
                prose::descriptions(&json)
            }
            Part::Yaml => prose::lines(&text),
            Part::Output => prose::output(&text),
            Part::Messages => prose::rust_messages(&text),
            Part::Help => continue,
        };
        passages.extend(found.into_iter().map(|passage| (path.clone(), passage)));
    }
    passages
}
