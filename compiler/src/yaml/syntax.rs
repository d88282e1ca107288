//! What a parser stumbles over, told in the words of the mistake: where it was made, and what to write instead.

use granit_parser::{ErrorKind, ScanError};

use super::shape::{Line, boundary, column, column_of, innermost_bracket, unclosed_quote, word_before};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, shown};
use crate::source::{FileId, Span};

/// Says what is wrong where the parser stopped, at a byte of the text.
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
        _ => mistake.say("this is not YAML", at..at, error.info()),
    }
}

/// A value that begins with an expression, whose braces YAML reads as maps.
pub(super) fn unquoted(text: &str, file: FileId, value: std::ops::Range<usize>) -> Diagnostic {
    let at = value.start;
    let mistake = Mistake { text, file, at };
    let diagnostic = Diagnostic::new(Code::UnquotedExpression, "an expression has to stand in quotes")
        .at(mistake.span(value.clone()), "YAML reads these braces as maps");
    mistake.quoted(diagnostic, value)
}

struct Mistake<'a> {
    text: &'a str,
    file: FileId,
    /// Where the parser stopped.
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

    /// What stands from here to the end of the line.
    fn rest(&self) -> &'a str {
        let rest = &self.text[self.at..];
        rest.split(['\n', '\r']).next().unwrap_or_default().trim_end()
    }

    fn next(&self) -> char {
        self.text[self.at..].chars().next().unwrap_or(' ')
    }

    /// The line that a byte is in.
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

    /// The lines above, the nearest first, without those that are empty or comments.
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

    /// The value that stands unquoted on the line of the mistake, after its first colon or dash.
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

    /// Offers a value in quotes, those that it does not have in it.
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

    /// An expression whose braces YAML reads as maps.
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
                        "YAML wants spaces",
                    )
                    .replace(self.span(at..at + indent), spaces, "indent with spaces");
            }
            at += line.len();
        }
        let tab = self.text[begin..].find('\t').map_or(self.at, |tab| begin + tab);
        self.say("a tab stands where YAML wants a space", tab..tab + 1, "a tab")
            .help("indent and separate with spaces")
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
        let help = format!("close it with `{mark}`, or indent the lines that belong to it");
        match innermost_bracket(&self.text[..quote]) {
            Some(_) => diagnostic.help(help),
            None => diagnostic.replace(self.span(end..end), mark, help),
        }
    }

    fn after_quote(&self, quote: char) -> Diagnostic {
        let rest = self.rest().split(" #").next().unwrap_or_default().trim_end();
        let diagnostic = self.say(
            "something stands behind a closing quote",
            self.at..self.at + rest.len().max(1),
            "the text ends before this",
        );
        diagnostic.help(match quote {
            '\'' => "inside of `'` write `''` for an apostrophe, or put the whole text in `\"`",
            _ => "inside of `\"` write `\\\"` for a quote, or put the whole text in `'`",
        })
    }

    fn open_bracket(&self) -> Diagnostic {
        let Some(open) = innermost_bracket(&self.text[..self.at]).or_else(|| {
            let next = self.text[self.at..].starts_with(['[', '{']);
            next.then_some(self.at)
        }) else {
            return self.say(
                "this does not fit into the brackets around it",
                self.at..self.at,
                "not expected",
            );
        };
        let (bracket, closing) = match &self.text[open..=open] {
            "[" => ("[", "]"),
            bracket => (bracket, "}"),
        };
        let same_line = !self.text[open..self.at].contains('\n') && open < self.at;
        if same_line {
            // In one line a comma is missing, or a text with a colon has no quotes.
            let word = word_before(self.text, self.at);
            return self
                .say(
                    format!("something is missing between `{bracket}` and `{closing}`"),
                    word,
                    "a comma before this, or quotes around it",
                )
                .help("separate entries with commas, and put a text with `: ` or `, ` in it in quotes");
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
            true => diagnostic.help(format!("close it with `{closing}` after its last entry")),
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
            format!("`{bracket}` closes nothing"),
            self.at..self.at + bracket.len_utf8(),
            "nothing is open here",
        )
        .help("take it out, or put the text that it belongs to in quotes")
    }

    /// A colon where no value may begin: in a text, or behind a key that stands too far to the right.
    fn colon(&self) -> Diagnostic {
        if let Some(diagnostic) = self.expression() {
            return diagnostic;
        }
        if let Some(value) = self.value().filter(|value| value.start < self.at) {
            let diagnostic = self.say(
                "a text with `: ` in it has to stand in quotes",
                value.clone(),
                "YAML takes this for a key and its value",
            );
            return self.quoted(diagnostic, value);
        }
        let line = self.line(self.at);
        let key = line.start..self.at;
        let Some(above) = self.above(line).next() else {
            return self.say("no value may begin here", key, "not a key");
        };
        if let Some(diagnostic) = self.colon_without_space(above) {
            return diagnostic;
        }
        // Beside the line above already: that line is no key, for want of a colon.
        if line.indent == column(above) {
            return self.lacks_colon(above);
        }
        self.say(
            "this key stands under a value",
            key,
            "indented as if it belonged to the line above",
        )
        .also(
            self.span(above.start..above.start + above.content.len()),
            "this has a value already",
        )
        .replace(
            self.span(line.start - line.indent..line.start),
            " ".repeat(column(above)),
            "put it beside the key above",
        )
    }

    /// A line in which a colon is there, and no space behind it.
    fn colon_without_space(&self, line: Line<'a>) -> Option<Diagnostic> {
        let (key, value) = line.content.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if key.is_empty() || !key.chars().all(plain) || value.is_empty() || value.starts_with([' ', '/']) {
            return None;
        }
        let colon = line.start + key.len();
        Some(
            self.say(
                "a colon without a space is part of a text",
                colon..colon + 1,
                "no space follows",
            )
            .replace(self.span(colon..colon + 1), ": ", "put a space behind the colon"),
        )
    }

    /// A line, or the rest of one, that belongs to nothing above it.
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
                    "something stands behind a value that has ended",
                    self.at..self.at + self.rest().len().max(1),
                    "not expected",
                )
                .help("put the whole value in quotes, or the rest on a line of its own");
        }
        let levels = self.levels(line);
        let word = line.start..line.start + line.content.len();
        if levels.iter().any(|(column, _)| *column == line.indent) {
            return match line.content.starts_with('-') {
                true => self
                    .say("an item of a list stands among keys", word, "begins with `-`")
                    .help("give the list a key, and indent its items under it"),
                false => self
                    .say(
                        "a key stands among the items of a list",
                        word,
                        "does not begin with `-`",
                    )
                    .help("begin it with `- `, or indent it as what it belongs to"),
            };
        }
        let mut levels = levels;
        levels.dedup_by_key(|(column, _)| *column);
        let places: Vec<String> = levels
            .iter()
            .map(|(column, beside)| {
                let spaces = if *column == 1 { "space" } else { "spaces" };
                format!("{column} {spaces} put it beside `{}`", shown(beside))
            })
            .collect();
        self.say(
            "this line is indented as nothing above it is",
            word,
            format!(
                "after {} {}",
                line.indent,
                if line.indent == 1 { "space" } else { "spaces" }
            ),
        )
        .help(places.join(", "))
    }

    /// The columns at which something is open above a line, from the left, with what stands there.
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
        let diagnostic = self.say("a key has no colon", range.clone(), "`KEY: VALUE` is wanted here");
        match content.split_once(' ') {
            Some((key, value)) if !value.contains(' ') => diagnostic.replace(
                self.span(range),
                format!("{key}: {value}"),
                "put a colon behind the key",
            ),
            _ => diagnostic.help("put a colon behind the key; where it continues the text above, indent it"),
        }
    }

    fn list_in_line(&self) -> Diagnostic {
        let rest = self.rest();
        let diagnostic = self.say(
            "a list with dashes begins on a line of its own",
            self.at..self.at + rest.len().max(1),
            "behind a key there is no room for it",
        );
        match rest.strip_prefix("- ") {
            Some(item) if !item.contains([':', '#', ',', '-']) => diagnostic.replace(
                self.span(self.at..self.at + rest.len()),
                format!("[{item}]"),
                "write it in brackets, or put it on the next line",
            ),
            _ => diagnostic.help("put it on the next line, or write it in brackets"),
        }
    }

    fn reserved(&self, character: char) -> Diagnostic {
        if character.is_control() {
            return self
                .say(
                    format!("the character U+{:04X} cannot be in a file", u32::from(character)),
                    self.at..self.at + character.len_utf8(),
                    "cannot be seen",
                )
                .help("take it out, or write it as `\\u` in double quotes");
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
                '`' => "a text cannot begin with a backtick without quotes".to_owned(),
                _ => format!("a text cannot begin with `{character}` without quotes"),
            },
            range.clone(),
            "YAML keeps this character for itself",
        );
        self.quoted(diagnostic, range)
    }

    fn text_beside_header(&self) -> Diagnostic {
        let rest = self.rest();
        let diagnostic = self.say(
            "a text of several lines begins on the next line",
            self.at..self.at + rest.len().max(1),
            format!("nothing may follow `{}` here", self.next()),
        );
        diagnostic.help("put the text on the lines below, indented; or the whole of it in quotes")
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
                        format!("`\\{escaped}` means nothing between double quotes"),
                        start..start + 1 + escaped.len_utf8(),
                        "a backslash begins a special character",
                    )
                    .help("write `\\\\` for a backslash, or put the text in `'`");
            }
        }
        self.say(
            "a backslash is followed by nothing that it can make",
            self.at..self.at + 1,
            "in this text",
        )
        .help("write `\\\\` for a backslash, or put the text in `'`")
    }

    fn tag(&self) -> Diagnostic {
        let tag = self.rest().split([' ', ',', ']', '}']).next().unwrap_or_default();
        Diagnostic::new(
            Code::UnknownTag,
            format!("the tag `{}` means nothing here", shown(tag)),
        )
        .at(
            self.span(self.at..self.at + tag.len().max(1)),
            "tags are for text: `!raw`",
        )
        .help("put text that begins with `!` in quotes")
    }
}
