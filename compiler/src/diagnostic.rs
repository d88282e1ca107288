//! What the compiler has to say to the user, as data; the `terrace` program draws it.

use std::collections::BTreeSet;

use terrace_artifact::Text;

use crate::code::Code;
use crate::source::Span;

/// One thing to say about what a user wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What kind of problem it is; decides the severity and the page `terrace explain` shows.
    pub code: Code,
    /// What is wrong: lower case, no full stop, names in backticks.
    pub message: String,
    /// The place it is about. Absent only where there is no file to point into.
    pub primary: Option<Label>,
    /// Other places that matter.
    pub related: Vec<Label>,
    /// How we got there, innermost first: the component that used the module.
    pub trace: Vec<Label>,
    /// Facts that explain why.
    pub notes: Vec<String>,
    /// What to do, in order of promise.
    pub help: Vec<Help>,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Nothing is emitted.
    Error,
    /// Worth a look.
    Warning,
    /// Something that is done and that nobody wrote down.
    Note,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A place and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What this place is, in a few words; may be empty.
    pub text: String,
}

/// What to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Help {
    /// In words.
    pub text: String,
    /// The change itself, where there is just one.
    pub edit: Option<Edit>,
}

/// A replacement of text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// What is replaced; may be empty.
    pub span: Span,
    /// By what.
    pub text: String,
}

impl Diagnostic {
    /// A diagnostic without a place yet.
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

    /// The place it is about.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Another place that matters.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.related.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// A place that led here.
    #[must_use]
    pub fn through(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.trace.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// A fact that explains why.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(Help {
            text: text.into(),
            edit: None,
        });
        self
    }

    /// What to write instead of `span`.
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

    /// The nearest name, offered as an edit of `span`; nothing where there is none.
    #[must_use]
    pub fn nearest<'a>(self, span: Span, word: &str, among: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match terrace_catalog::nearest(word, among.into_iter()) {
            Some(name) => {
                let text = format!("`{name}` exists");
                self.replace(span, name, text)
            }
            None => self,
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether nothing may be emitted because of it.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

/// How many other places are shown of one thing that is wrong in many.
const MOST_BESIDE: usize = 3;

/// Diagnostics as they are found: collected, never thrown.
#[derive(Clone, Default, Debug)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds some.
    pub(crate) fn extend(&mut self, some: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(some);
    }

    /// Adds one, and gives it back for what is still to be said.
    pub(crate) fn push_mut(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.list.push_mut(diagnostic)
    }

    /// The one that was added last.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Diagnostic> {
        self.list.last_mut()
    }

    /// Adds those of another collection.
    pub fn append(&mut self, other: Diagnostics) {
        self.list.extend(other.list);
    }

    /// Adds what was found after something was wrong already, but for what may only follow from that: these codes, and
    /// whatever is about a place that an error is about.
    pub(crate) fn append_beside(&mut self, other: Diagnostics, following: &[Code]) {
        let errors = self.list.iter().filter(|known| known.is_error());
        let wrong: Vec<Span> = errors
            .filter_map(|known| Some(known.primary.as_ref()?.span))
            .collect();
        let touches = |span: Span| {
            let meets = |one: &Span| one.file == span.file && one.start <= span.end && span.start <= one.end;
            wrong.iter().any(meets)
        };
        let follows = |new: &Diagnostic| {
            following.contains(&new.code) || new.primary.as_ref().is_some_and(|label| touches(label.span))
        };
        self.list
            .extend(other.list.into_iter().filter(|new| !follows(new)));
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// Removes those of a code at places that are shown in others already.
    pub(crate) fn remove_told(&mut self, code: Code, others: &Diagnostics) {
        let labels = || {
            others
                .list
                .iter()
                .flat_map(|d| d.primary.iter().chain(&d.related))
        };
        let told = |span: Span| labels().any(|label| label.span == span);
        self.list
            .retain(|d| d.code != code || !d.primary.as_ref().is_some_and(|label| told(label.span)));
    }

    /// Whether one of them is an error after which something is missing or is not what was meant. What has an error of another
    /// kind is all there, and can be looked at for more.
    pub(crate) fn is_broken(&self) -> bool {
        let whole = |code: Code| {
            matches!(
                code,
                Code::DanglingReference | Code::LiteralSecret | Code::NameTooLong | Code::UnusedInput
            )
        };
        self.list.iter().any(|d| d.is_error() && !whole(d.code))
    }

    /// Says once what several places say of one thing: of those of a code with one message, the first, with the others beside it.
    pub(crate) fn merge(&mut self, code: Code) {
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
                    0..MOST_BESIDE => {
                        let mut other = next.primary;
                        // What is said of one place need not be said of each.
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
                first = first.note(format!("the same is said in {more} more {places}"));
            }
            self.list.push(first);
        }
    }

    /// Whether an error inside a span was reported.
    pub fn has_errors_at(&self, span: Span) -> bool {
        let within = |s: Span| s.file == span.file && s.start >= span.start && s.end <= span.end;
        self.list
            .iter()
            .any(|d| d.is_error() && d.primary.as_ref().is_some_and(|label| within(label.span)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those so far.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// In order of place, each said once: one mistake in a module that twenty components use is one message.
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

/// `` `a`, `b` and `c` ``, for messages.
pub(crate) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

/// `there is `a``, `there are `a` and `b``: what there is, after the words for one or for several.
pub(crate) fn those<T: AsRef<str>>(one: &str, several: &str, names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter().peekable();
    let first = names.next();
    let words = if names.peek().is_none() && first.is_some() {
        one
    } else {
        several
    };
    format!("{words} {}", listed(first.into_iter().chain(names)))
}

/// A name as it goes into a message: whole, or cut where it would drown the sentence.
pub(crate) fn shown(text: &str) -> Text {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}
