//! Parses YAML into nodes with spans.
//!
//! Scalars follow YAML 1.2: `NO` is a string. `0777` is rejected as ambiguous. Size, depth and the number of nodes that aliases
//! copy are limited, so that no document can exhaust the memory.

mod entries;
mod shape;
mod syntax;

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};
use terrace_artifact::{Decimal, Text};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, not_in_this_version, shown};
use crate::node::{Node, NodeKind};
use crate::source::{FileId, Files, Span};

use entries::Entries;

/// The maximum size of a file, in bytes.
pub const LONGEST_FILE: usize = 8 << 20;
/// The maximum depth of nested collections.
pub const DEEPEST: usize = 64;
/// The maximum number of nodes that aliases add to a file.
const MOST_COPIED: usize = 100_000;

/// Adds a file to `files` and parses its documents. Reports problems and returns the documents that can be read.
pub fn read(path: &str, bytes: &[u8], files: &mut Files, diagnostics: &mut Diagnostics) -> Vec<Node> {
    match open(path, bytes, files, diagnostics) {
        Some(file) => parse(file, files, diagnostics),
        None => Vec::new(),
    }
}

/// Adds a file to `files`. Reports a file that is too long or is not UTF-8, and returns `None` for it.
pub fn open(path: &str, bytes: &[u8], files: &mut Files, diagnostics: &mut Diagnostics) -> Option<FileId> {
    let whole = |file| Span {
        file,
        start: 0,
        end: 0,
    };
    if bytes.len() > LONGEST_FILE {
        let file = files.add(path, "");
        let size = bytes.len() as f64 / f64::from(1 << 20);
        diagnostics.push(
            Diagnostic::new(Code::FileTooLong, format!("`{path}` is too long ({size:.1} MiB)"))
                .at(whole(file), "the maximum is 8 MiB")
                .help("split it into several files"),
        );
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(files.add(path, text.strip_prefix('\u{feff}').unwrap_or(text))),
        Err(error) => {
            let file = files.add(
                path,
                String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned(),
            );
            let at = u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX);
            diagnostics.push(
                Diagnostic::new(Code::NotUtf8, format!("`{path}` is not valid UTF-8"))
                    .at(
                        Span {
                            file,
                            start: at,
                            end: at,
                        },
                        "the first invalid byte",
                    )
                    .help("save the file as UTF-8"),
            );
            None
        }
    }
}

/// Parses the documents of a file.
pub fn parse(file: FileId, files: &Files, diagnostics: &mut Diagnostics) -> Vec<Node> {
    let text = &*files.get(file).text;
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let parser = Parser::new_from_str_with_options(text, options);
    Reader {
        text,
        file,
        diagnostics,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        names: BTreeMap::new(),
        copied: 0,
        documents: Vec::new(),
    }
    .run(parser)
}

/// Reports a key that is not a string.
fn key_not_a_string(span: Span, label: &str) -> Diagnostic {
    Diagnostic::new(Code::KeyNotText, "a key must be a string").at(span, label)
}

struct Reader<'a> {
    text: &'a str,
    file: FileId,
    diagnostics: &'a mut Diagnostics,
    stack: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    /// The anchors of the document, by name.
    names: BTreeMap<&'a str, Span>,
    copied: usize,
    documents: Vec<Node>,
}

/// A collection whose end the parser has not reached.
struct Open {
    span: Span,
    anchor: usize,
    /// Whether a reported problem makes the whole collection unusable.
    wrong: bool,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    /// The entries so far, and the key of the next value.
    Map(Entries, Option<(Text, Span)>),
    /// A map or list in the place of a key. It is reported and left out.
    Refused,
}

impl Reader<'_> {
    fn run<'b>(
        mut self,
        mut parser: impl Iterator<Item = Result<(Event<'b>, granit_parser::Span), granit_parser::ScanError>>,
    ) -> Vec<Node> {
        loop {
            let (event, span) = match parser.next() {
                None => return self.documents,
                Some(Ok((event, span))) => (event, self.span(&span)),
                Some(Err(error)) => {
                    self.syntax_error(&error);
                    return self.documents;
                }
            };
            match event {
                Event::DocumentStart(..) => self.names.clear(),
                Event::SequenceStart(_, anchor, tag) => {
                    let wrong = self.refuse_tag(tag.as_deref(), span);
                    let kind = if self.expects_key() {
                        self.key_is_a_collection(span)
                    } else {
                        OpenKind::List(Vec::new())
                    };
                    self.open(span, anchor, wrong, kind);
                }
                Event::MappingStart(_, anchor, tag) => {
                    let wrong = self.refuse_tag(tag.as_deref(), span);
                    let kind = if self.expects_key() {
                        self.key_is_a_collection(span)
                    } else {
                        OpenKind::Map(Entries::default(), None)
                    };
                    self.open(span, anchor, wrong, kind);
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span),
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(&text, style, anchor, tag.as_deref(), span);
                }
                Event::Alias(id) => self.alias(id, span),
                Event::UnresolvedAlias(name) => {
                    let written = self.text[span.start as usize..span.end as usize].to_owned();
                    self.diagnostics.push(
                        Diagnostic::new(Code::YamlSyntax, format!("no anchor is named `{}`", shown(&name)))
                            .at(span, "this alias needs an anchor (`&`) before it")
                            .nearest(span.within(1..written.len()), &name, self.names.keys().copied())
                            .replace(
                                span,
                                format!("\"{written}\""),
                                "quote the string if it is not an alias",
                            ),
                    );
                    self.value(NodeKind::Wrong, span, 0);
                }
                _ => {}
            }
            if self.stack.len() > DEEPEST {
                self.too_deep(span);
                return self.documents;
            }
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        let clamp = |n: usize| u32::try_from(n.min(self.text.len())).unwrap_or(u32::MAX);
        Span {
            file: self.file,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    fn too_deep(&mut self, span: Span) {
        self.diagnostics.push(
            Diagnostic::new(Code::TooDeep, "lists and maps are nested too deeply")
                .at(span.first(), format!("the maximum is {DEEPEST} levels")),
        );
    }

    fn syntax_error(&mut self, error: &granit_parser::ScanError) {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            let start = u32::try_from(at).unwrap_or(u32::MAX);
            return self.too_deep(Span {
                file: self.file,
                start,
                end: start,
            });
        }
        let diagnostic = syntax::diagnostic(self.text, self.file, at, error);
        // Unquoted braces were reported where they start. A syntax error later on the line has the same cause.
        let is_cause = |d: &Diagnostic| {
            let place = d.primary.as_ref().map(|label| label.span.start as usize);
            d.code == Code::UnquotedExpression
                && place.is_some_and(|start| start <= at && !self.text[start..at].contains('\n'))
        };
        match self.diagnostics.last_mut().filter(|last| is_cause(last)) {
            Some(last) if diagnostic.code == Code::UnquotedExpression => *last = diagnostic,
            Some(_) => {}
            None => self.diagnostics.push(diagnostic),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Open {
                kind: OpenKind::Map(_, None),
                ..
            })
        )
    }

    /// Reports a collection in the place of a key. YAML reads an unquoted `{{ x }}` as a map whose key is a map.
    fn key_is_a_collection(&mut self, span: Span) -> OpenKind {
        let outer = self.stack.last().map_or(span, |open| open.span);
        let rest = &self.text[outer.start as usize..];
        if rest.starts_with("{{") {
            let line = rest.lines().next().unwrap_or_default();
            let value = outer.start as usize..outer.start as usize + shape::with_expressions(line);
            let diagnostic = syntax::unquoted(self.text, self.file, value);
            self.diagnostics.push(diagnostic);
        } else {
            self.diagnostics
                .push(key_not_a_string(span, "found a list or a map"));
        }
        if let Some(outer) = self.stack.last_mut() {
            outer.wrong = true;
        }
        OpenKind::Refused
    }

    /// Reports an unknown tag of a collection, and returns whether it has one.
    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let unknown = |tag: &&Tag| !matches!(tag.core_suffix(), Some("map" | "seq"));
        let Some(tag) = tag.filter(unknown) else {
            return false;
        };
        self.unknown_tag(tag, span);
        true
    }

    fn unknown_tag(&mut self, tag: &Tag, value: Span) {
        let word = tag.original();
        let before = &self.text[..value.start as usize];
        let span = match before.rfind(word.as_str()) {
            Some(start) => Span {
                start: u32::try_from(start).unwrap_or(u32::MAX),
                end: u32::try_from(start + word.len()).unwrap_or(u32::MAX),
                ..value
            },
            None => value.first(),
        };
        let diagnostic = syntax::unknown_tag(&word, span).nearest(span, &word, ["!raw", "!public"]);
        let cloudformation = [
            "!Ref",
            "!GetAtt",
            "!Sub",
            "!Join",
            "!If",
            "!Select",
            "!Split",
            "!ImportValue",
            "!FindInMap",
            "!Base64",
        ];
        self.diagnostics
            .push(match cloudformation.contains(&word.as_str()) {
                true => diagnostic.help("use an expression instead: `\"{{ ref('NAME').arn }}\"`"),
                false => diagnostic.help(syntax::REMOVE_TAG),
            });
    }

    fn open(&mut self, span: Span, anchor: usize, wrong: bool, kind: OpenKind) {
        self.anchor(anchor, span);
        self.stack.push(Open {
            span,
            anchor,
            wrong,
            kind,
        });
    }

    /// Records the name of the anchor of a value, and reports a name that the document uses twice.
    fn anchor(&mut self, anchor: usize, value: Span) {
        if anchor == 0 {
            return;
        }
        let before = &self.text[..value.start as usize];
        let Some(mark) = before.rfind('&') else {
            return;
        };
        let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}');
        let name = before[mark + 1..].split(ends).next().unwrap_or_default();
        let start = u32::try_from(mark).unwrap_or(u32::MAX);
        let span = Span {
            file: self.file,
            start,
            end: start + u32::try_from(name.len()).unwrap_or_default() + 1,
        };
        if let Some(first) = self.names.insert(name, span) {
            self.diagnostics.push(
                Diagnostic::new(Code::YamlSyntax, format!("duplicate anchor `{}`", shown(name)))
                    .repeats(span, first)
                    .help("rename one of them"),
            );
        }
    }

    fn close(&mut self, end: Span) {
        let Some(open) = self.stack.pop() else { return };
        let (kind, last) = match open.kind {
            OpenKind::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (NodeKind::List(items), last)
            }
            OpenKind::Map(entries, _) => {
                let entries = entries.list;
                let last = entries.last().map(|(_, node)| node.span.end.max(node.key.end));
                (NodeKind::Map(entries), last)
            }
            OpenKind::Refused => {
                if let Some(Open {
                    kind: OpenKind::Map(_, key @ None),
                    ..
                }) = self.stack.last_mut()
                {
                    *key = Some((Text::default(), open.span));
                }
                return;
            }
        };
        let kind = if open.wrong { NodeKind::Wrong } else { kind };
        // The end event of a block collection comes after the blank lines and comments below it, so the span ends at the last value.
        let end = if end.end > end.start {
            end.end
        } else {
            last.unwrap_or(open.span.end)
        };
        self.value(
            kind,
            Span {
                end: end.max(open.span.end),
                ..open.span
            },
            open.anchor,
        );
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, span: Span) {
        if self.expects_key() {
            return self.key(text, style, span);
        }
        self.anchor(anchor, span);
        let plain = style == ScalarStyle::Plain;
        // The parser ends a block scalar after the indentation of the next line.
        let span = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let written = &self.text[span.start as usize..span.end as usize];
                span.within(0..written.trim_end().len())
            }
            _ => span,
        };
        let kind = match tag {
            None if plain => self.plain(text, span),
            None => NodeKind::String(text.into()),
            Some(tag) => match tag.core_suffix() {
                Some("str") => NodeKind::String(text.into()),
                Some("int" | "float" | "bool" | "null") => self.plain(text, span),
                _ if tag.original() == "!raw" => NodeKind::Raw(text.into()),
                // `check::secrets::is_marked` reads the tag itself.
                _ if tag.original() == "!public" => NodeKind::String(text.into()),
                _ => {
                    self.unknown_tag(tag, span);
                    NodeKind::Wrong
                }
            },
        };
        self.value(kind, span, anchor);
    }

    fn plain(&mut self, text: &str, span: Span) -> NodeKind {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
            "true" | "True" | "TRUE" => NodeKind::Bool(true),
            "false" | "False" | "FALSE" => NodeKind::Bool(false),
            _ if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) => {
                NodeKind::String(text.into())
            }
            _ => {
                let digits = text.trim_start_matches(['-', '+']);
                let octal_like =
                    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
                match text.parse::<Decimal>() {
                    Ok(_) if octal_like => {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::AmbiguousNumber,
                                format!("the number `{}` is ambiguous", shown(text)),
                            )
                            .at(span, "octal in YAML 1.1, decimal in YAML 1.2")
                            .replace(
                                span,
                                format!("\"{text}\""),
                                "quote it if it is a string, or remove the leading zero",
                            ),
                        );
                        NodeKind::Wrong
                    }
                    Ok(number) => NodeKind::Number(number),
                    Err(terrace_artifact::DecimalError::Range) => {
                        self.diagnostics.push(
                            Diagnostic::new(
                                Code::NumberTooLong,
                                format!("the number `{}` has too many digits", shown(text)),
                            )
                            .at(span, "the maximum is 18 digits")
                            .replace(
                                span,
                                format!("\"{text}\""),
                                "quote it if it is an identifier",
                            ),
                        );
                        NodeKind::Wrong
                    }
                    Err(_) => NodeKind::String(text.into()),
                }
            }
        }
    }

    fn key(&mut self, text: &str, style: ScalarStyle, span: Span) {
        if style == ScalarStyle::Plain && text == "<<" {
            self.diagnostics.push(
                not_in_this_version("merge keys (`<<`)")
                    .at(span, "")
                    .help("repeat the keys, or use `overrides`"),
            );
        } else if text.is_empty() {
            self.diagnostics.push(key_not_a_string(span, "the key is empty"));
        }
        let Some(Open {
            kind: OpenKind::Map(entries, key),
            ..
        }) = self.stack.last_mut()
        else {
            return;
        };
        if let Some(first) = entries.get(text) {
            self.diagnostics.push(
                Diagnostic::new(Code::DuplicateKey, format!("duplicate key `{}`", shown(text)))
                    .repeats(span, first.key)
                    .help("remove one of them"),
            );
        }
        *key = Some((text.into(), span));
    }

    fn alias(&mut self, id: usize, span: Span) {
        if self.expects_key() {
            self.diagnostics.push(key_not_a_string(span, "found an alias"));
            if let Some(Open {
                kind: OpenKind::Map(_, key),
                ..
            }) = self.stack.last_mut()
            {
                *key = Some((Text::default(), span));
            }
            return;
        }
        let size = self.anchors.get(&id).map_or(0, |node| node.count(MOST_COPIED));
        let before = self.copied;
        self.copied += size;
        if self.copied > MOST_COPIED {
            // Reported once, because such a document exceeds the limit a thousand times.
            if before <= MOST_COPIED {
                self.diagnostics.push(
                    Diagnostic::new(Code::TooManyCopies, "aliases expand to too many values")
                        .at(span, format!("the maximum is {MOST_COPIED} values"))
                        .help("use fewer aliases, or a module"),
                );
            }
            return self.value(NodeKind::Wrong, span, 0);
        }
        let kind = match self.anchors.get(&id) {
            Some(node) => node.kind.clone(),
            None => {
                self.diagnostics.push(
                    Diagnostic::new(Code::YamlSyntax, "the alias refers to a value that contains it")
                        .at(span, ""),
                );
                NodeKind::Wrong
            }
        };
        self.value(kind, span, 0);
    }

    /// Adds a complete value to the collection that contains it.
    fn value(&mut self, kind: NodeKind, span: Span, anchor: usize) {
        let mut node = Node {
            kind,
            span,
            key: span,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Open {
                kind: OpenKind::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: OpenKind::Map(entries, key),
                ..
            }) => {
                if let Some((key, span)) = key.take() {
                    // A key that was reported, as empty or duplicate, is left out, so that it is not reported again.
                    if !key.is_empty() && entries.get(&key).is_none() {
                        node.key = span;
                        entries.push(key, node);
                    }
                }
            }
            Some(Open {
                kind: OpenKind::Refused,
                ..
            }) => {}
        }
    }
}

#[cfg(test)]
mod tests;
