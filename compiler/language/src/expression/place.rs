//! The place of the text of an expression in its file.

use std::ops::Range;

use terrace_syntax::source::Span;

/// The place of a text in its file.
#[derive(Clone, Copy)]
pub(super) struct ExpressionSpan<'a> {
    /// The span of the text, or of the scalar that contains it.
    base: Span,
    /// The offset in the text at which `base` starts, if offsets in the text correspond to offsets in the file. They do not if the
    /// scalar has escapes or several lines.
    from: Option<usize>,
    /// The scalar as the file contains it.
    written: &'a str,
}

impl<'a> ExpressionSpan<'a> {
    /// Returns the place of a text in a scalar.
    pub(super) fn of(text: &str, scalar: Span, written: &'a str) -> ExpressionSpan<'a> {
        // The span of a block scalar does not include its last line break.
        let text = text.trim_end_matches('\n');
        let (base, from) = match written.find(text) {
            Some(at) if written.len() <= at + text.len() + 1 => (scalar.within(at..at + text.len()), Some(0)),
            _ => (scalar, None),
        };
        ExpressionSpan { base, from, written }
    }

    pub(super) fn span(self, range: Range<usize>) -> Span {
        match self.from {
            Some(from) => self
                .base
                .within(range.start.saturating_sub(from)..range.end.saturating_sub(from)),
            None => self.base,
        }
    }

    /// Returns the place of a part of the text that starts at an offset. Searches for the part if the file does not contain the whole text.
    pub(super) fn of_piece(self, piece: &str, from: usize, looked: &mut usize) -> ExpressionSpan<'a> {
        if self.from.is_some() {
            return self;
        }
        let Some(at) = self.written[*looked..].find(piece).map(|at| *looked + at) else {
            return self;
        };
        *looked = at + piece.len();
        ExpressionSpan {
            base: self.base.within(at..at + piece.len()),
            from: Some(from),
            ..self
        }
    }
}
