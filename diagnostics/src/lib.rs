//! Renders diagnostics as text in the style of rustc, or as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Patch, Renderer, Snippet};
use serde_json::{Value, json};
use terrace_syntax::code::{Code, Severity};
use terrace_syntax::diagnostic::{Diagnostic, Label};
use terrace_syntax::secrets::secrets_in;
use terrace_syntax::source::{FileId, Files, Span};

/// Maximum number of rendered diagnostics. Users do not read more, and most errors result from the first ones.
const MOST_DRAWN: usize = 500;
/// Maximum size of a rendered part of a file, in bytes. For a longer part, only the location is shown, because the renderer
/// examines every character.
const LONGEST_DRAWN: usize = 32 << 10;

/// Renders the diagnostics of one stack.
pub struct Drawing<'a> {
    files: &'a Files,
    stack: &'a Path,
    renderer: Renderer,
    /// The offsets where the lines of a file begin.
    lines: BTreeMap<FileId, Vec<usize>>,
    /// The spans of literal secrets. They are hidden in all diagnostics, because another diagnostic can show the same line.
    hidden: Vec<Span>,
}

/// Annotations of one file, in the order in which the files are shown.
type AnnotationsByFile<'a> = Vec<(FileId, Vec<(AnnotationKind, &'a Label)>)>;

impl<'a> Drawing<'a> {
    /// Creates a renderer. Shown paths begin with `stack`, the directory of the stack, so they are relative to the working directory.
    pub fn new(files: &'a Files, stack: &'a Path, color: bool) -> Drawing<'a> {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        Drawing {
            files,
            stack,
            renderer,
            lines: BTreeMap::new(),
            hidden: Vec::new(),
        }
    }

    /// Renders all diagnostics, each followed by an empty line.
    pub fn all(&mut self, diagnostics: &[Diagnostic]) -> String {
        let secrets = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.code == Code::LiteralSecret);
        self.hidden = secrets
            .flat_map(|secret| &secret.primary)
            .map(|label| label.span)
            .collect();
        let mut text = String::new();
        for diagnostic in diagnostics.iter().take(MOST_DRAWN) {
            text.push_str(&self.render(diagnostic));
            text.push_str("\n\n");
        }
        if diagnostics.len() > MOST_DRAWN {
            let more = diagnostics.len() - MOST_DRAWN;
            text.push_str(&format!("and {more} more (not shown)\n\n"));
        }
        text
    }

    /// Renders one diagnostic.
    fn render(&mut self, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level
            .primary_title(plain(&diagnostic.message))
            .id(diagnostic.code.slug());
        let mut main = Group::with_title(title);
        let mut places: AnnotationsByFile<'_> = Vec::new();
        let primary = diagnostic
            .primary
            .iter()
            .map(|label| (AnnotationKind::Primary, label));
        let related = diagnostic
            .related
            .iter()
            .map(|label| (AnnotationKind::Context, label));
        for (kind, label) in primary.chain(related) {
            match places.iter_mut().find(|(file, _)| *file == label.span.file) {
                Some((_, labels)) => labels.push((kind, label)),
                None => places.push((label.span.file, vec![(kind, label)])),
            }
        }
        for (file, labels) in places {
            main = main.elements(self.places(file, &labels));
        }
        for note in &diagnostic.notes {
            main = main.element(Level::NOTE.message(plain(note)));
        }
        let mut groups = Vec::new();
        let mut further = Vec::new();
        for frame in &diagnostic.trace {
            let title = Level::NOTE.secondary_title(plain(&frame.text));
            let place = Label {
                span: frame.span,
                text: String::new(),
            };
            let labels = [(AnnotationKind::Primary, &place)];
            further.push(title.elements(self.places(frame.span.file, &labels)));
        }
        for help in &diagnostic.help {
            let text = plain(&help.text);
            match &help.edit {
                // An edit is shown below its help text. Help without an edit is attached to the message.
                Some(edit) => {
                    let window = self.window(edit.span.file, [edit.span].into_iter());
                    if window.text.len() > LONGEST_DRAWN {
                        further.push(Group::with_title(Level::HELP.secondary_title(text)));
                        continue;
                    }
                    let patch = Patch::new(window.within(edit.span), edit.text.clone());
                    let snippet = Snippet::source(window.text)
                        .path(self.path(edit.span.file))
                        .line_start(window.first_line)
                        .patch(patch);
                    further.push(Level::HELP.secondary_title(text).element(snippet));
                }
                None if further.is_empty() => main = main.element(Level::HELP.message(text)),
                None => further.push(Group::with_title(Level::HELP.secondary_title(text))),
            }
        }
        groups.push(main);
        groups.extend(further);
        self.renderer.render(&groups)
    }

    /// Renders the labels of one file in one snippet, or in one snippet each if they are far apart.
    fn places(&mut self, file: FileId, labels: &[(AnnotationKind, &Label)]) -> Vec<Element<'a>> {
        let window = self.window(file, labels.iter().map(|(_, label)| label.span));
        if window.text.len() > LONGEST_DRAWN {
            return match labels {
                [(_, label)] => vec![self.origin(label.span)],
                labels => labels
                    .iter()
                    .flat_map(|label| self.places(file, &[*label]))
                    .collect(),
            };
        }
        let annotations = labels.iter().map(|(kind, label)| {
            let annotation = kind.span(window.within(label.span));
            let text = plain(&label.text);
            annotation.label(Some(text).filter(|text| !text.is_empty()))
        });
        let annotations: Vec<_> = annotations.collect();
        let snippet = Snippet::source(window.text)
            .path(self.path(file))
            .line_start(window.first_line)
            .annotations(annotations);
        vec![snippet.into()]
    }

    /// Shows a location without the source text.
    fn origin(&self, span: Span) -> Element<'a> {
        let location = self.files.location(span);
        let origin = Origin::path(self.path(span.file)).line(location.line as usize);
        origin.char_column(location.column as usize).into()
    }

    /// Returns the lines that contain the spans. The renderer examines every line that it receives, so it does not receive the
    /// whole file.
    fn window(&mut self, file: FileId, spans: impl Iterator<Item = Span>) -> Window<'a> {
        let text: &'a str = &self.files.get(file).text;
        let starts = self.lines.entry(file).or_insert_with(|| {
            let ends = text
                .bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let line_of = |offset: usize| starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let (mut first, mut last) = (usize::MAX, 0);
        for span in spans {
            let (start, end) = (span.start as usize, (span.end as usize).min(text.len()));
            first = first.min(line_of(start.min(text.len())));
            last = last.max(line_of(end));
        }
        let first = first.min(last);
        let begin = starts.get(first).copied().unwrap_or_default();
        let end = starts.get(last + 1).copied().unwrap_or(text.len());
        let mut window = Window {
            text: Cow::Borrowed(text.get(begin..end).unwrap_or_default()),
            begin,
            first_line: first + 1,
        };
        let inside = self
            .hidden
            .iter()
            .filter(|span| span.file == file && (span.start as usize) < end && (span.end as usize) > begin);
        for span in inside {
            window.hide(window.within(*span));
        }
        // An invalid file, or a value with `!public`, can contain secrets that were not reported.
        if window.text.len() <= LONGEST_DRAWN {
            for range in secrets_in(&window.text) {
                window.hide(range);
            }
        }
        window
    }

    fn path(&self, file: FileId) -> String {
        shown_path(self.stack, &self.files.get(file).path)
    }
}

/// Consecutive lines of a file.
struct Window<'a> {
    text: Cow<'a, str>,
    begin: usize,
    first_line: usize,
}

impl Window<'_> {
    /// Replaces a text with stars, one for each byte, so that the offsets after it do not change.
    fn hide(&mut self, range: Range<usize>) {
        let stars: String = self.text[range.clone()]
            .chars()
            .map(|c| {
                if c == '\n' {
                    "\n".to_owned()
                } else {
                    "*".repeat(c.len_utf8())
                }
            })
            .collect();
        self.text.to_mut().replace_range(range, &stars);
    }

    /// Converts a span to a byte range of these lines, moved to the boundaries of characters.
    fn within(&self, span: Span) -> Range<usize> {
        let clamp = |offset: u32| {
            let mut at = (offset as usize).saturating_sub(self.begin).min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (clamp(span.start), clamp(span.end));
        start..end.max(start)
    }
}

/// Returns a file's path relative to the working directory. Names of built-in modules and of flags are unchanged.
pub fn shown_path(stack: &Path, path: &str) -> String {
    if path.starts_with("module:") || path.starts_with("--") {
        return path.to_owned();
    }
    let mut shown = PathBuf::new();
    for part in stack.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(shown.components().next_back(), Some(Component::Normal(_))) => {
                shown.pop();
            }
            part => shown.push(part),
        }
    }
    shown.display().to_string()
}

/// Summarizes diagnostics: `2 errors, 1 warning`. Returns `None` if there are none.
pub fn summary(diagnostics: &[Diagnostic]) -> Option<String> {
    let counts = [
        counted(count(diagnostics, Severity::Error), "error"),
        counted(count(diagnostics, Severity::Warning), "warning"),
        counted(count(diagnostics, Severity::Note), "note"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    // The diagnostic with the highest severity, because the user must fix it first.
    let first = diagnostics
        .iter()
        .min_by_key(|diagnostic| diagnostic.severity())?;
    Some(format!(
        "{}; for details, run `terrace explain {}`",
        counts.join(", "),
        first.code.slug()
    ))
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    let of = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity() == severity);
    of.count()
}

/// Formats a count with its noun: `1 error`, `2 errors`. Returns `None` for 0.
fn counted(count: usize, noun: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        count => Some(format!("{count} {noun}s")),
    }
}

/// Converts diagnostics to JSON.
pub fn to_json(diagnostics: &[Diagnostic], files: &Files, stack: &Path) -> Value {
    let place = |span: Span| {
        let start = files.location(span);
        let last = Span {
            start: span.end,
            ..span
        };
        let end = files.location(last);
        json!({
            "file": shown_path(stack, &start.file),
            "line": start.line,
            "column": start.column,
            "end_line": end.line,
            "end_column": end.column,
        })
    };
    let label = |label: &Label| {
        let mut place = place(label.span);
        place["text"] = label.text.clone().into();
        place
    };
    let object = |diagnostic: &Diagnostic| {
        let help = diagnostic.help.iter().map(|help| {
            let edit = help.edit.as_ref().map(|edit| {
                let mut place = place(edit.span);
                place["replacement"] = edit.text.clone().into();
                place
            });
            json!({"text": help.text, "edit": edit})
        });
        json!({
            "code": diagnostic.code.slug(),
            "severity": diagnostic.severity().as_str(),
            "message": diagnostic.message,
            "at": diagnostic.primary.as_ref().map(label),
            "related": diagnostic.related.iter().map(label).collect::<Vec<_>>(),
            "trace": diagnostic.trace.iter().map(label).collect::<Vec<_>>(),
            "notes": diagnostic.notes,
            "help": help.collect::<Vec<_>>(),
        })
    };
    json!({
        "errors": count(diagnostics, Severity::Error),
        "warnings": count(diagnostics, Severity::Warning),
        "notes": count(diagnostics, Severity::Note),
        "diagnostics": diagnostics.iter().map(object).collect::<Vec<_>>(),
    })
}

/// Replaces control characters, which could move the cursor. Messages contain names from user files.
fn plain(text: &str) -> String {
    let replaced = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(replaced) {
        text.replace(replaced, "\u{fffd}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
