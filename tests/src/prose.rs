//! Extracts the texts that people read from the files of the repository.

use serde_json::Value;

use crate::Terrace;
use crate::markdown::{self, Part};

/// A text without line breaks, and the line of its file where it begins. The line is 0 if the format has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// The line, counted from 1.
    pub line: usize,
    /// The text. Names between backticks are replaced by `x`.
    pub text: String,
}

impl Passage {
    fn new(line: usize, text: &str) -> Passage {
        let mut plain = String::with_capacity(text.len());
        let mut pieces = text.split('`').peekable();
        let mut is_name = false;
        while let Some(piece) = pieces.next() {
            let is_closed = pieces.peek().is_some();
            plain.push_str(if is_name && is_closed { "x" } else { piece });
            if is_closed {
                plain.push('`');
            }
            is_name = !is_name;
        }
        Passage { line, text: plain }
    }
}

/// Returns the paragraphs, list items, headings and table rows of a Markdown page, without its code fences.
pub fn markdown_prose(page: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    let mut paragraph: Option<(usize, String)> = None;
    let mut finish = |paragraph: &mut Option<(usize, String)>| {
        passages.extend(paragraph.take().map(|(line, text)| Passage::new(line, &text)));
    };
    for (line, text, is_fenced) in markdown_lines(page) {
        let begins_item = is_list_item(text) || text.starts_with(['#', '|']);
        if is_fenced || text.is_empty() || begins_item {
            finish(&mut paragraph);
        }
        if is_fenced || text.is_empty() {
            continue;
        }
        match &mut paragraph {
            Some((_, words)) => {
                words.push(' ');
                words.push_str(text);
            }
            None => paragraph = Some((line, without_marker(text).to_owned())),
        }
    }
    finish(&mut paragraph);
    passages
}

/// Returns the lines of the code fences of a Markdown page.
pub fn markdown_examples(page: &str) -> Vec<Passage> {
    let lines = markdown_lines(page).filter(|(_, text, is_fenced)| *is_fenced && !is_quoted_source(text));
    lines.map(|(line, text, _)| Passage::new(line, text)).collect()
}

/// Returns the lines of an expected output, without the lines of user files that diagnostics quote.
pub fn output(text: &str) -> Vec<Passage> {
    lines(text)
        .into_iter()
        .filter(|passage| !is_quoted_source(&passage.text))
        .collect()
}

/// Returns the lines of a text, without markers of lists and comments.
pub fn lines(text: &str) -> Vec<Passage> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| Passage::new(index + 1, without_marker(line.trim())))
        .collect()
}

/// Returns the values of `description` and `x-say` in a JSON document.
pub fn descriptions(json: &Value) -> Vec<Passage> {
    let mut passages = Vec::new();
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if matches!(name.as_str(), "description" | "x-say") => {
                        passages.push(Passage::new(0, text));
                    }
                    _ => passages.extend(descriptions(value)),
                }
            }
        }
        Value::Array(items) => passages.extend(items.iter().flat_map(descriptions)),
        _ => {}
    }
    passages
}

/// Returns the lines of the string literals in a Rust file that contain a space. Skips comments and test modules.
pub fn rust_messages(source: &str) -> Vec<Passage> {
    let mut passages = Vec::new();
    for (line, literal) in string_literals(without_test_modules(source)) {
        let text = unescaped(&literal);
        if text.contains(' ') {
            passages.extend(text.lines().map(|part| Passage::new(line, part.trim())));
        }
    }
    passages
}

/// Runs `--help` for the program and each of its commands, and returns their texts, each with the command as its name.
///
/// # Panics
///
/// Panics if the program fails.
pub fn help(terrace: &Terrace) -> Vec<(String, Passage)> {
    let mut commands = vec![Vec::new()];
    let mut passages = Vec::new();
    while let Some(command) = commands.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = terrace.run(&arguments).expect(0).stdout;
        let name = ["terrace"]
            .into_iter()
            .chain(arguments)
            .collect::<Vec<_>>()
            .join(" ");
        let parts = help_parts(&help);
        passages.extend(parts.into_iter().map(|passage| (name.clone(), passage)));
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = listed
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next());
        for name in names.filter(|name| *name != "help") {
            commands.push(command.iter().cloned().chain([name.to_owned()]).collect());
        }
    }
    passages
}

/// Splits a help text at the gaps between its columns, and joins the lines of a description.
fn help_parts(help: &str) -> Vec<Passage> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    for (index, line) in help.lines().enumerate() {
        let text = line.trim();
        // Names of flags and commands begin at most 6 columns from the left; descriptions begin further to the right.
        let continues = line.len() - line.trim_start().len() > 8;
        match entries.last_mut() {
            Some((_, entry)) if continues => {
                entry.push(' ');
                entry.push_str(text);
            }
            _ => entries.push((index + 1, text.to_owned())),
        }
    }
    let columns = entries
        .iter()
        .flat_map(|(line, entry)| entry.split("  ").map(|column| (*line, column.trim())));
    columns
        .filter(|(_, column)| !column.is_empty())
        .map(|(line, column)| Passage::new(line, column))
        .collect()
}

/// Returns the trimmed lines of a page with their numbers and whether they are inside a code fence. Omits the lines of the fences.
fn markdown_lines(page: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    markdown::parts(page).into_iter().flat_map(|part| match part {
        Part::Line(line, text) => vec![(line, text, false)],
        Part::Block(block) => {
            let lines = block.text.lines().enumerate();
            lines
                .map(|(index, text)| (block.line + 1 + index, text.trim(), true))
                .collect()
        }
    })
}

fn is_list_item(text: &str) -> bool {
    text.len() > without_marker(text).len()
}

/// Removes the marker of a heading, a list item or a comment.
fn without_marker(text: &str) -> &str {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if let Some(rest) = number.strip_prefix(". ").filter(|_| number.len() < text.len()) {
        return rest;
    }
    let rest = text.trim_start_matches(['#', '-', '*']);
    rest.strip_prefix(' ')
        .filter(|_| rest.len() < text.len())
        .unwrap_or(text)
}

/// Reports whether a line of output quotes a user's file: `12 | kind: Stack`.
fn is_quoted_source(line: &str) -> bool {
    line.split_once('|').is_some_and(|(number, _)| {
        let number = number.trim();
        !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
    })
}

/// Cuts a Rust file before its test module. Test modules come last.
fn without_test_modules(source: &str) -> &str {
    let mut starts = source.match_indices("#[cfg(test)]\nmod ");
    let inline = starts.find(|(start, _)| {
        let declaration = source[*start..].lines().nth(1).unwrap_or_default();
        declaration.ends_with('{')
    });
    inline.map_or(source, |(start, _)| &source[..start])
}

/// Returns the string literals of Rust source with the lines where they begin. Escapes are kept.
fn string_literals(source: &str) -> Vec<(usize, String)> {
    let mut literals = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some((start, end, length)) = literal(rest) {
            literals.push((line, rest[start..end].to_owned()));
            length
        } else if first == '\'' {
            character_length(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            end.unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (passed, next) = rest.split_at(length);
        line += passed.matches('\n').count();
        rest = next;
    }
    literals
}

/// Returns the start and the end of the content, and the length, of the plain or raw string literal at the start of `source`.
fn literal(source: &str) -> Option<(usize, usize, usize)> {
    if let Some(content) = source.strip_prefix('"') {
        let mut characters = content.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '\\' => drop(characters.next()),
                '"' => return Some((1, 1 + index, index + 2)),
                _ => {}
            }
        }
        return None;
    }
    let hashes = source.strip_prefix('r')?;
    let marks = hashes.len() - hashes.trim_start_matches('#').len();
    let content = hashes[marks..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(marks));
    let start = marks + 2;
    let length = content.find(&closing)?;
    Some((start, start + length, start + length + closing.len()))
}

/// Returns the length of the character literal at the start of `source`, or 1 for the quote of a lifetime.
fn character_length(source: &str) -> usize {
    let mut characters = source.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => source[3..].find('\'').map_or(1, |end| end + 4),
        Some(_) => match characters.next() {
            Some((end, '\'')) => end + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// Replaces the escapes and the placeholders of a literal.
fn unescaped(literal: &str) -> String {
    let mut text = String::with_capacity(literal.len());
    let mut characters = literal.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => {}
            },
            '{' => {
                text.push_str("{}");
                for _ in characters.by_ref().take_while(|next| *next != '}') {}
            }
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(passages: Vec<Passage>) -> Vec<(usize, String)> {
        passages
            .into_iter()
            .map(|passage| (passage.line, passage.text))
            .collect()
    }

    #[test]
    fn separates_prose_from_examples() {
        let page = "# Title\n\nOne\ntwo `na me`.\n- item\n  more\n```yaml\nkind: Stack\n12 | quoted\n```\n| a | b |\n";
        let prose = [
            (1, "Title"),
            (3, "One two `x`."),
            (5, "item more"),
            (11, "| a | b |"),
        ];
        assert_eq!(
            texts(markdown_prose(page)),
            prose.map(|(line, text)| (line, text.to_owned()))
        );
        assert_eq!(texts(markdown_examples(page)), [(8, "kind: Stack".to_owned())]);
    }

    #[test]
    fn finds_messages_and_skips_comments_characters_and_tests() {
        let source = "// \"a comment\"\nlet a = ('\"', '\\'', \"the first {name:?} \\\n   line\\nthe second\");\n\
                      fn f<'a>() { r#\"a \"raw\" text\"#; \"word\" }\n#[cfg(test)]\nmod tests {\n \"in a test\" }";
        let expected = [(2, "the first {} line"), (2, "the second"), (4, "a \"raw\" text")];
        assert_eq!(
            texts(rust_messages(source)),
            expected.map(|(line, text)| (line, text.to_owned()))
        );
    }

    #[test]
    fn joins_the_lines_of_a_description_in_a_help_text() {
        let help = "Create it\n\nOptions:\n      --out <DIR>  Output\n                   directory\n";
        let parts: Vec<String> = help_parts(help).into_iter().map(|passage| passage.text).collect();
        assert_eq!(
            parts,
            ["Create it", "Options:", "--out <DIR>", "Output directory"]
        );
    }
}
