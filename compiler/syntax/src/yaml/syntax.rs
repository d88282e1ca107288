//! Turns errors of the YAML parser into diagnostics that describe the mistake: its place, and what to write instead.

use granit_parser::{ErrorKind, ScanError};

use super::shape::{Line, boundary, column, column_of, innermost_bracket, unclosed_quote, word_before};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, shown};
use crate::source::{FileId, Span};

/// Returns the diagnostic for the byte at which the parser stopped.
pub(super) fn diagnostic(text: &str, file: FileId, at: usize, error: &ScanError) -> Diagnostic {
    let at = boundary(text, at);
    let mistake = Mistake { text, file, at };
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => mistake.tab(),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => mistake.open_quote(),
        ErrorKind::InvalidTrailingSingleQuotedScalar => mistake.after_quote('\''),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => mistake.after_quote('"'),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::BlockEntryInFlowCollection => mistake.open_bracket(),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => mistake.other_bracket(*open, *close),
        ErrorKind::MisplacedFlowCollectionEnd => mistake.closes_nothing(),
        ErrorKind::MappingValueNotAllowed => mistake.colon(),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::InvalidBlockScalarIndent => mistake.out_of_line(),
        ErrorKind::ExpectedDocumentStart if !mistake.rest().is_empty() => mistake.out_of_line(),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => mistake.no_colon(),
        ErrorKind::BlockSequenceEntryNotAllowed => mistake.list_in_line(),
        ErrorKind::UnexpectedCharacter { character } => mistake.reserved(*character),
        ErrorKind::MissingAnchorOrAliasName => mistake.reserved(mistake.next()),
        ErrorKind::InvalidBlockScalarHeader => mistake.text_beside_header(),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => mistake.escape(),
        ErrorKind::UndeclaredTagHandle
        | ErrorKind::UnclosedVerbatimTag
        | ErrorKind::InvalidTagTerminator
        | ErrorKind::InvalidTagEscape
        | ErrorKind::MissingTagUri => mistake.tag(),
        _ => mistake.say("invalid YAML", at..at, error.info()),
    }
}

/// Reports a value that starts with an unquoted expression, whose braces YAML reads as maps.
pub(super) fn unquoted(text: &str, file: FileId, value: std::ops::Range<usize>) -> Diagnostic {
    let at = value.start;
    let mistake = Mistake { text, file, at };
    let diagnostic = Diagnostic::new(Code::UnquotedExpression, "an expression must be in quotes").at(
        mistake.span(value.clone()),
        "without quotes, YAML reads this as a map",
    );
    mistake.quoted(diagnostic, value)
}

/// The help for a tag that does not exist.
pub(super) const REMOVE_TAG: &str = "remove the tag, or put a string that starts with `!` in quotes";

/// Reports a tag that does not exist.
pub(super) fn unknown_tag(tag: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::UnknownTag, format!("unknown tag `{}`", shown(tag)))
        .at(span, "the only tags are `!raw` and `!public`, for strings")
}

struct Mistake<'a> {
    text: &'a str,
    file: FileId,
    /// The byte at which the parser stopped.
    at: usize,
}

impl<'a> Mistake<'a> {
    fn span(&self, range: std::ops::Range<usize>) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut end = range.end.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        Span {
            file: self.file,
            start: clamp(boundary(self.text, range.start)),
            end: clamp(end),
        }
    }

    fn say(
        &self,
        message: impl Into<String>,
        range: std::ops::Range<usize>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::new(Code::YamlSyntax, message).at(self.span(range), label)
    }

    /// Returns the rest of the line.
    fn rest(&self) -> &'a str {
        let rest = &self.text[self.at..];
        rest.split(['\n', '\r']).next().unwrap_or_default().trim_end()
    }

    fn next(&self) -> char {
        self.text[self.at..].chars().next().unwrap_or(' ')
    }

    /// Returns the line that contains a byte.
    fn line(&self, at: usize) -> Line<'a> {
        let begin = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let whole = self.text[begin..].lines().next().unwrap_or_default();
        let content = whole.trim_start_matches([' ', '\t']);
        let indent = whole.len() - content.len();
        Line {
            start: begin + indent,
            indent,
            content: content.trim_end(),
        }
    }

    /// Returns the lines above, the nearest first, without empty lines and comments.
    fn above(&self, line: Line<'a>) -> impl Iterator<Item = Line<'a>> {
        let mut end = line.start - line.indent;
        std::iter::from_fn(move || {
            while end > 0 {
                let line = self.line(end - 1);
                end = line.start - line.indent;
                if line.content.starts_with("---") {
                    return None;
                }
                if !line.content.is_empty() && !line.content.starts_with('#') {
                    return Some(line);
                }
            }
            None
        })
    }

    /// Returns the unquoted value on the line of the mistake, after its first colon or dash.
    fn value(&self) -> Option<std::ops::Range<usize>> {
        let line = self.line(self.at);
        let mut from = 0;
        while let Some(rest) = line.content[from..].strip_prefix("- ") {
            from = line.content.len() - rest.trim_start().len();
        }
        let colon = line.content[from..].find(": ")? + from + 2;
        let value = line.content[colon..].trim_start();
        let value = value.split(" #").next().unwrap_or_default().trim_end();
        let start = line.start + line.content.len() - line.content[colon..].trim_start().len();
        (!value.is_empty()).then(|| start..start + value.len())
    }

    /// Suggests to quote a value, with quotes that the value does not contain.
    fn quoted(&self, diagnostic: Diagnostic, range: std::ops::Range<usize>) -> Diagnostic {
        let value = &self.text[range.clone()];
        let quote = match (value.contains('"') || value.contains('\\'), value.contains('\'')) {
            (false, _) => '"',
            (true, false) => '\'',
            (true, true) => {
                let escaped = value.replace('\'', "''");
                return diagnostic.replace(self.span(range), format!("'{escaped}'"), "put it in quotes");
            }
        };
        diagnostic.replace(
            self.span(range),
            format!("{quote}{value}{quote}"),
            "put it in quotes",
        )
    }

    /// Reports an unquoted expression on the line of the mistake.
    fn expression(&self) -> Option<Diagnostic> {
        let value = self.value()?;
        let expression = self.text[value.clone()].starts_with("{{");
        expression.then(|| unquoted(self.text, self.file, value))
    }

    fn tab(&self) -> Diagnostic {
        let begin = self.line(self.at).start - self.line(self.at).indent;
        let mut at = begin;
        for line in self.text[begin..].split_inclusive('\n') {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            if let Some(tab) = line[..indent].find('\t') {
                let here = self.line(at + indent);
                let spaces = match self.above(here).next() {
                    Some(above) if above.content.ends_with([':', '|', '>']) => column(above) + 2,
                    Some(above) => column(above),
                    None => 0,
                };
                let spaces = " ".repeat(spaces);
                return self
                    .say(
                        "a line is indented with a tab",
                        at + tab..at + indent,
                        "YAML does not allow tabs here",
                    )
                    .replace(self.span(at..at + indent), spaces, "indent with spaces");
            }
            at += line.len();
        }
        let tab = self.text[begin..].find('\t').map_or(self.at, |tab| begin + tab);
        self.say("unexpected tab", tab..tab + 1, "YAML does not allow tabs here")
            .help("use spaces")
    }

    fn open_quote(&self) -> Diagnostic {
        let here = self.line(self.at.saturating_sub(usize::from(self.at == self.text.len())));
        let found = std::iter::once(here).chain(self.above(here)).find_map(|line| {
            let opened = unclosed_quote(line.content)?;
            Some((line, line.start + opened))
        });
        let Some((line, quote)) = found else {
            return self.say("a quote is not closed", self.at..self.at, "still open here");
        };
        let mark = &self.text[quote..=quote];
        let end = line.start + line.content.len();
        let diagnostic = self.say("a quote is not closed", quote..quote + 1, "opened here");
        let help = format!("close it with `{mark}`, or indent its continuation lines");
        match innermost_bracket(&self.text[..quote]) {
            Some(_) => diagnostic.help(help),
            None => diagnostic.replace(self.span(end..end), mark, help),
        }
    }

    fn after_quote(&self, quote: char) -> Diagnostic {
        let rest = self.rest().split(" #").next().unwrap_or_default().trim_end();
        let diagnostic = self.say(
            "unexpected text after a closing quote",
            self.at..self.at + rest.len().max(1),
            "the string ends before this",
        );
        diagnostic.help(match quote {
            '\'' => "write `''` for an apostrophe inside `'…'`, or put the whole value in `\"`",
            _ => "write `\\\"` for a quote inside `\"…\"`, or put the whole value in `'`",
        })
    }

    fn open_bracket(&self) -> Diagnostic {
        let Some(open) = innermost_bracket(&self.text[..self.at]).or_else(|| {
            let next = self.text[self.at..].starts_with(['[', '{']);
            next.then_some(self.at)
        }) else {
            return self.say("unexpected text inside brackets", self.at..self.at, "");
        };
        let (bracket, closing) = match &self.text[open..=open] {
            "[" => ("[", "]"),
            bracket => (bracket, "}"),
        };
        let same_line = !self.text[open..self.at].contains('\n') && open < self.at;
        if same_line {
            // Within one line, a comma is missing, or a string with a colon is not quoted.
            let word = word_before(self.text, self.at);
            return self
                .say(
                    format!("missing comma or quotes between `{bracket}` and `{closing}`"),
                    word,
                    "needs a comma before it, or quotes around it",
                )
                .help("separate entries with commas, and put a string with `: ` or `, ` in quotes");
        }
        let line = self.line(open);
        let end = line.start
            + line
                .content
                .split(" #")
                .next()
                .unwrap_or_default()
                .trim_end()
                .len();
        let diagnostic = self.say(
            format!("`{bracket}` is not closed"),
            open..open + 1,
            "opened here",
        );
        let opens_last = end == open + 1;
        match opens_last {
            true => diagnostic.help(format!("close it with `{closing}` after the last entry")),
            false => diagnostic.replace(self.span(end..end), closing, format!("close it with `{closing}`")),
        }
    }

    fn other_bracket(&self, open: char, close: char) -> Diagnostic {
        let wanted = if open == '[' { ']' } else { '}' };
        self.say(
            format!("`{open}` is closed with `{close}`"),
            self.at..self.at + 1,
            "opened here",
        )
        .help(format!("close it with `{wanted}` first"))
    }

    fn closes_nothing(&self) -> Diagnostic {
        let bracket = self.next();
        self.say(
            format!("unmatched `{bracket}`"),
            self.at..self.at + bracket.len_utf8(),
            "no bracket is open here",
        )
        .help("remove it, or put the string that contains it in quotes")
    }

    /// Reports a colon inside a plain string, or after a key that is indented too far.
    fn colon(&self) -> Diagnostic {
        if let Some(diagnostic) = self.expression() {
            return diagnostic;
        }
        if let Some(value) = self.value().filter(|value| value.start < self.at) {
            let diagnostic = self.say(
                "a string with `: ` must be in quotes",
                value.clone(),
                "YAML reads this as a key and a value",
            );
            return self.quoted(diagnostic, value);
        }
        let line = self.line(self.at);
        let key = line.start..self.at;
        let Some(above) = self.above(line).next() else {
            return self.say("a value cannot start here", key, "");
        };
        if let Some(diagnostic) = self.colon_without_space(above) {
            return diagnostic;
        }
        // A line with the same indentation as the line above: the line above lacks a colon.
        if line.indent == column(above) {
            return self.lacks_colon(above);
        }
        self.say(
            "a key is indented below a value",
            key,
            "indented deeper than the line above",
        )
        .also(
            self.span(above.start..above.start + above.content.len()),
            "already has a value",
        )
        .replace(
            self.span(line.start - line.indent..line.start),
            " ".repeat(column(above)),
            "align it with the key above",
        )
    }

    /// Reports a line with a colon that no space follows.
    fn colon_without_space(&self, line: Line<'a>) -> Option<Diagnostic> {
        let (key, value) = line.content.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if key.is_empty() || !key.chars().all(plain) || value.is_empty() || value.starts_with([' ', '/']) {
            return None;
        }
        let colon = line.start + key.len();
        Some(
            self.say(
                "missing space after a colon",
                colon..colon + 1,
                "without a space, this is part of a string",
            )
            .replace(self.span(colon..colon + 1), ": ", "add a space after the colon"),
        )
    }

    /// Reports a line, or the rest of a line, that does not continue anything above it.
    fn out_of_line(&self) -> Diagnostic {
        if let Some(diagnostic) = self.expression() {
            return diagnostic;
        }
        let line = self.line(self.at);
        if line.content.starts_with('\t') || self.text[line.start - line.indent..line.start].contains('\t') {
            return self.tab();
        }
        let before = &self.text[line.start..self.at.max(line.start)];
        if !before.trim_matches([' ', '-']).is_empty() {
            return self
                .say(
                    "unexpected text after a value",
                    self.at..self.at + self.rest().len().max(1),
                    "the value ends before this",
                )
                .help("put the whole value in quotes, or move the rest to its own line");
        }
        let levels = self.levels(line);
        let word = line.start..line.start + line.content.len();
        if levels.iter().any(|(column, _)| *column == line.indent) {
            return match line.content.starts_with('-') {
                true => self
                    .say(
                        "a list item is next to the keys of a map",
                        word,
                        "starts with `-`",
                    )
                    .help("add a key for the list, and indent its items below it"),
                false => self
                    .say(
                        "a key is next to the items of a list",
                        word,
                        "does not start with `-`",
                    )
                    .help("start it with `- `, or indent it to belong to an item"),
            };
        }
        let mut levels = levels;
        levels.dedup_by_key(|(column, _)| *column);
        let places: Vec<String> = levels
            .iter()
            .map(|(column, beside)| {
                let spaces = if *column == 1 { "space" } else { "spaces" };
                format!("{column} {spaces} to align it with `{}`", shown(beside))
            })
            .collect();
        self.say(
            "the indentation matches no line above",
            word,
            format!(
                "indented by {} {}",
                line.indent,
                if line.indent == 1 { "space" } else { "spaces" }
            ),
        )
        .help(format!("indent it by {}", places.join(", or ")))
    }

    /// Returns the columns that a line can continue, from the left, with the word at each.
    fn levels(&self, line: Line<'a>) -> Vec<(usize, &'a str)> {
        let mut levels: Vec<(usize, &'a str)> = Vec::new();
        let mut leftmost = usize::MAX;
        for above in self.above(line) {
            if above.indent >= leftmost {
                continue;
            }
            leftmost = above.indent;
            let word = |content: &'a str| content.split(':').next().unwrap_or(content).trim_end();
            if let Some(inner) = above
                .content
                .strip_prefix("- ")
                .filter(|inner| inner.contains(':'))
            {
                let inner = inner.trim_start();
                levels.push((column_of(above, inner), word(inner)));
                levels.push((above.indent, "- "));
            } else {
                levels.push((above.indent, word(above.content)));
            }
            if leftmost == 0 {
                break;
            }
        }
        levels.reverse();
        levels
    }

    fn no_colon(&self) -> Diagnostic {
        let line = self.line(self.at);
        if let Some(diagnostic) = self.colon_without_space(line) {
            return diagnostic;
        }
        self.lacks_colon(line)
    }

    fn lacks_colon(&self, line: Line<'a>) -> Diagnostic {
        let content = line.content.split(" #").next().unwrap_or_default().trim_end();
        let range = line.start..line.start + content.len();
        let diagnostic = self.say(
            "missing colon after a key",
            range.clone(),
            "expected `KEY: VALUE`",
        );
        match content.split_once(' ') {
            Some((key, value)) if !value.contains(' ') => diagnostic.replace(
                self.span(range),
                format!("{key}: {value}"),
                "add a colon after the key",
            ),
            _ => diagnostic
                .help("add a colon after the key, or indent the line if it continues the string above"),
        }
    }

    fn list_in_line(&self) -> Diagnostic {
        let rest = self.rest();
        let diagnostic = self.say(
            "a list with dashes must start on a new line",
            self.at..self.at + rest.len().max(1),
            "starts on the line of its key",
        );
        match rest.strip_prefix("- ") {
            Some(item) if !item.contains([':', '#', ',', '-']) => diagnostic.replace(
                self.span(self.at..self.at + rest.len()),
                format!("[{item}]"),
                "write it in brackets, or move it to the next line",
            ),
            _ => diagnostic.help("move it to the next line, or write it in brackets"),
        }
    }

    fn reserved(&self, character: char) -> Diagnostic {
        if character.is_control() {
            return self
                .say(
                    format!(
                        "the control character U+{:04X} is not allowed",
                        u32::from(character)
                    ),
                    self.at..self.at + character.len_utf8(),
                    "invisible character",
                )
                .help(format!(
                    "remove it, or write it as `\\u{:04X}` in double quotes",
                    u32::from(character)
                ));
        }
        let rest = self.rest().split(" #").next().unwrap_or_default().trim_end();
        let in_brackets = innermost_bracket(&self.text[..self.at]).is_some();
        let word = match in_brackets {
            true => rest.split([',', ']', '}']).next().unwrap_or_default().trim_end(),
            false => rest,
        };
        let range = self.at..self.at + word.len().max(character.len_utf8());
        let diagnostic = self.say(
            match character {
                '`' => "a string that starts with a backtick must be in quotes".to_owned(),
                _ => format!("a string that starts with `{character}` must be in quotes"),
            },
            range.clone(),
            "YAML reserves this character",
        );
        self.quoted(diagnostic, range)
    }

    fn text_beside_header(&self) -> Diagnostic {
        let rest = self.rest();
        let diagnostic = self.say(
            "a block string must start on the next line",
            self.at..self.at + rest.len().max(1),
            format!("text after `{}`", self.next()),
        );
        diagnostic.help("move the text to the next line and indent it, or put the whole value in quotes")
    }

    fn escape(&self) -> Diagnostic {
        const KNOWN: &str = "0abtnvfre \"/\\N_LPxuU\n\t";
        let mut rest = self.text[self.at..].char_indices().skip(1);
        while let Some((at, c)) = rest.next() {
            if c != '\\' {
                continue;
            }
            let Some((_, escaped)) = rest.next() else { break };
            if !KNOWN.contains(escaped) || matches!(escaped, 'x' | 'u' | 'U') {
                let start = self.at + at;
                return self
                    .say(
                        format!("unknown escape `\\{escaped}` in double quotes"),
                        start..start + 1 + escaped.len_utf8(),
                        "a backslash starts an escape",
                    )
                    .help("write `\\\\` for a backslash, or put the string in `'`");
            }
        }
        self.say(
            "unknown escape in double quotes",
            self.at..self.at + 1,
            "a backslash starts an escape",
        )
        .help("write `\\\\` for a backslash, or put the string in `'`")
    }

    fn tag(&self) -> Diagnostic {
        let tag = self.rest().split([' ', ',', ']', '}']).next().unwrap_or_default();
        unknown_tag(tag, self.span(self.at..self.at + tag.len().max(1))).help(REMOVE_TAG)
    }
}
