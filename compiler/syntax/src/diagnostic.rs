//! Diagnostics as data. The `terrace` program renders them.

use std::collections::BTreeSet;

use terrace_artifact::Text;

use crate::code::{Cause, Code, Severity};
use crate::source::Span;

/// One problem in the files of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// The kind of problem. It determines the severity and the page that `terrace explain` shows.
    pub code: Code,
    /// The problem, as subject and verb: lower case, no full stop, names in backticks.
    pub message: String,
    /// The place of the problem. Absent only if no file contains it.
    pub primary: Option<Label>,
    /// Other places that help to understand the problem.
    pub related: Vec<Label>,
    /// The places that led to the problem, innermost first, such as the component that uses the module.
    pub trace: Vec<Label>,
    /// The reasons, as full statements.
    pub notes: Vec<String>,
    /// The fixes, with the most likely one first.
    pub help: Vec<Help>,
}

/// A place with a fact about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A fact about this place, in a few words. May be empty.
    pub text: String,
}

/// A suggestion to fix a problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Help {
    /// The suggestion, as an imperative.
    pub text: String,
    /// The edit, if there is exactly one.
    pub edit: Option<Edit>,
}

/// An edit of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The span that is replaced. May be empty.
    pub span: Span,
    /// The new text.
    pub text: String,
}

impl Diagnostic {
    /// Creates a diagnostic without a place.
    pub fn new(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            message: message.into(),
            primary: None,
            related: Vec::new(),
            trace: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets the place of the problem.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds another place that helps to understand the problem.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a place that led to the problem.
    #[must_use]
    pub fn through(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.trace.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a reason.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Adds a suggestion without an edit.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(Help {
            text: text.into(),
            edit: None,
        });
        self
    }

    /// Adds a suggestion with an edit that replaces `span`.
    #[must_use]
    pub fn replace(mut self, span: Span, with: impl Into<String>, text: impl Into<String>) -> Diagnostic {
        self.help.push(Help {
            text: text.into(),
            edit: Some(Edit {
                span,
                text: with.into(),
            }),
        });
        self
    }

    /// Suggests the most similar name as an edit of `span`. Does nothing if no name is similar.
    #[must_use]
    pub fn nearest<'a>(self, span: Span, word: &str, among: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match terrace_catalog::nearest(word, among.into_iter()) {
            Some(name) => {
                let text = did_you_mean(name);
                self.replace(span, name, text)
            }
            None => self,
        }
    }

    /// Marks two places that contain the same key, name or item.
    #[must_use]
    pub fn repeats(self, second: Span, first: Span) -> Diagnostic {
        self.at(second, SECOND_OCCURRENCE).also(first, "first occurrence")
    }

    /// Returns the severity, which the code determines.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Returns whether the compiler emits nothing because of this diagnostic.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

/// The maximum number of related places of one problem that occurs in many places.
const MAX_RELATED: usize = 3;

/// The diagnostics that are found during compilation.
#[derive(Clone, Default, Debug)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Creates an empty collection.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds several diagnostics.
    pub fn extend(&mut self, some: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(some);
    }

    /// Adds a diagnostic and returns it, so that the caller can add help.
    pub fn push_mut(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.list.push_mut(diagnostic)
    }

    /// Returns the diagnostic that was added last.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Diagnostic> {
        self.list.last_mut()
    }

    /// Adds the diagnostics of another collection.
    pub fn append(&mut self, other: Diagnostics) {
        self.list.extend(other.list);
    }

    /// Adds diagnostics that were found after an earlier error, except those that the error may have caused: diagnostics
    /// with one of these causes, and diagnostics whose place touches the place of an error.
    pub fn append_unless_follow_on(&mut self, other: Diagnostics, causes: &[Cause]) {
        let errors = self.list.iter().filter(|known| known.is_error());
        let wrong: Vec<Span> = errors
            .filter_map(|known| Some(known.primary.as_ref()?.span))
            .collect();
        let touches = |span: Span| {
            let meets = |one: &Span| one.file == span.file && one.start <= span.end && span.start <= one.end;
            wrong.iter().any(meets)
        };
        let follows = |new: &Diagnostic| {
            new.code.cause().is_some_and(|cause| causes.contains(&cause))
                || new.primary.as_ref().is_some_and(|label| touches(label.span))
        };
        self.list
            .extend(other.list.into_iter().filter(|new| !follows(new)));
    }

    /// Returns whether one of the diagnostics is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// Removes the diagnostics of a code at places that a diagnostic in `others` already shows.
    pub fn remove_reported_at(&mut self, code: Code, others: &Diagnostics) {
        let labels = || {
            others
                .list
                .iter()
                .flat_map(|d| d.primary.iter().chain(&d.related))
        };
        let is_shown = |span: Span| labels().any(|label| label.span == span);
        self.list
            .retain(|d| d.code != code || !d.primary.as_ref().is_some_and(|label| is_shown(label.span)));
    }

    /// Returns whether an error leaves the result incomplete or different from what the user meant. After other errors
    /// the result is complete and can be checked further.
    pub fn blocks_next_phase(&self) -> bool {
        let blocks = |d: &Diagnostic| d.is_error() && !d.code.leaves_result_complete();
        self.list.iter().any(blocks)
    }

    /// Merges the diagnostics of a code that have the same message into one, with the other places as related places.
    pub fn merge(&mut self, code: Code) {
        if !self.list.iter().any(|d| d.code == code) {
            return;
        }
        let place = |d: &Diagnostic| d.primary.as_ref().map(|label| label.span);
        let (mut same, others) = std::mem::take(&mut self.list)
            .into_iter()
            .partition::<Vec<_>, _>(|d| d.code == code);
        self.list = others;
        same.sort_by(|a, b| (&a.message, place(a)).cmp(&(&b.message, place(b))));
        let mut same = same.into_iter().peekable();
        while let Some(mut first) = same.next() {
            let mut more = 0;
            let mut last = place(&first);
            while let Some(next) = same.next_if(|next| next.message == first.message) {
                let place = place(&next);
                if place == last {
                    continue;
                }
                last = place;
                match first.related.len() {
                    0..MAX_RELATED => {
                        let mut other = next.primary;
                        // A label that all places share is shown once.
                        if let (Some(first), Some(other)) = (&first.primary, &mut other)
                            && first.text == other.text
                        {
                            other.text.clear();
                        }
                        first.related.extend(other);
                    }
                    _ => more += 1,
                }
            }
            if more > 0 {
                let places = if more == 1 { "place" } else { "places" };
                first = first.note(format!("the same problem occurs in {more} more {places}"));
            }
            self.list.push(first);
        }
    }

    /// Returns whether an error inside a span was reported.
    pub fn has_errors_at(&self, span: Span) -> bool {
        let within = |s: Span| s.file == span.file && s.start >= span.start && s.end <= span.end;
        self.list
            .iter()
            .any(|d| d.is_error() && d.primary.as_ref().is_some_and(|label| within(label.span)))
    }

    /// Returns whether there are no diagnostics.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the diagnostics in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Returns the diagnostics in order of place, without duplicates: a mistake in a module that twenty components use is one message.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        let place = |d: &Diagnostic| d.primary.as_ref().map(|label| label.span);
        self.list
            .sort_by(|a, b| (place(a), &a.message).cmp(&(place(b), &b.message)));
        let mut seen = BTreeSet::new();
        self.list
            .retain(|d| seen.insert((place(d), d.code, d.message.clone())));
        self.list
    }
}

/// The label of the second of two equal keys, names or items.
pub const SECOND_OCCURRENCE: &str = "second occurrence";

/// Returns the help for a misspelled name.
pub fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Reports a required key that a map does not have. `what` names the map.
pub fn missing_key(key: &str, what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::MissingField, format!("missing key `{key}` in {what}"))
        .at(span, format!("requires `{key}`"))
}

/// Reports something that a later version will support. `what` is a plural noun, or a name in backticks.
pub fn not_in_this_version(what: &str) -> Diagnostic {
    let verb = if what.ends_with('`') { "is" } else { "are" };
    Diagnostic::new(
        Code::NotInThisVersion,
        format!("{what} {verb} not supported in this version"),
    )
}

/// Returns the alternatives for a message: `` `a` ``, `` `a` or `b` ``, or `` one of `a`, `b`, `c` ``.
pub fn one_of<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    match quoted(names).as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first, second] => format!("{first} or {second}"),
        names => format!("one of {}", names.join(", ")),
    }
}

/// Puts each name in backticks.
fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let names = names.into_iter();
    names.map(|name| format!("`{}`", name.as_ref())).collect()
}

/// Returns names as a list for a message: `` `a`, `b` and `c` ``.
pub fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    match quoted(names).as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

/// Returns names as a list for a message, after `one` for one name and `several` for other counts: `the key is `a``.
pub fn those<T: AsRef<str>>(one: &str, several: &str, names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter().peekable();
    let first = names.next();
    let words = if names.peek().is_none() && first.is_some() {
        one
    } else {
        several
    };
    format!("{words} {}", listed(first.into_iter().chain(names)))
}

/// Returns a name for a message, shortened if it is long.
pub fn shown(text: &str) -> Text {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}
