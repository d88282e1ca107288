//! Where the text of an expression stands in its file.

use std::ops::Range;

use crate::source::Span;

/// Where a text stands in its file.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The text, or the scalar around it.
    base: Span,
    /// The offset in the text at which `base` begins, where offsets into the text are offsets into the file: not where the
    /// scalar has escapes or several lines.
    from: Option<usize>,
    /// The scalar as it stands in the file.
    written: &'a str,
}

impl<'a> Place<'a> {
    /// Where the text stands, in a scalar as it was written.
    pub(super) fn of(text: &str, scalar: Span, written: &'a str) -> Place<'a> {
        // A block ends with a line break that is not part of its place.
        let text = text.trim_end_matches('\n');
        let (base, from) = match written.find(text) {
            Some(at) if written.len() <= at + text.len() + 1 => (scalar.within(at..at + text.len()), Some(0)),
            _ => (scalar, None),
        };
        Place { base, from, written }
    }

    pub(super) fn span(self, range: Range<usize>) -> Span {
        match self.from {
            Some(from) => self
                .base
                .within(range.start.saturating_sub(from)..range.end.saturating_sub(from)),
            None => self.base,
        }
    }

    /// Where a piece of the text stands that begins at an offset: found by its words where the text as a whole is not in the file.
    pub(super) fn of_piece(self, piece: &str, from: usize, looked: &mut usize) -> Place<'a> {
        if self.from.is_some() {
            return self;
        }
        let Some(at) = self.written[*looked..].find(piece).map(|at| *looked + at) else {
            return self;
        };
        *looked = at + piece.len();
        Place {
            base: self.base.within(at..at + piece.len()),
            from: Some(from),
            ..self
        }
    }
}
