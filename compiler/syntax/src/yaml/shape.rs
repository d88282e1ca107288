//! Functions that examine the text around a syntax error: lines, open quotes and brackets.

/// One line, without its indentation.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// The byte at which its first word starts.
    pub(super) start: usize,
    pub(super) indent: usize,
    pub(super) content: &'a str,
}

/// Returns the start of the character that contains a byte.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns the column of the first key of a line, after its dashes.
pub(super) fn column(line: Line<'_>) -> usize {
    let mut content = line.content;
    while let Some(inner) = content.strip_prefix("- ") {
        content = inner.trim_start();
    }
    column_of(line, content)
}

pub(super) fn column_of(line: Line<'_>, inner: &str) -> usize {
    line.indent + line.content.len() - inner.len()
}

/// Returns the position of a quote that a line opens and does not close.
pub(super) fn unclosed_quote(line: &str) -> Option<usize> {
    let mut open: Option<(usize, char)> = None;
    let mut previous = ' ';
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match open {
            Some((_, '"')) if c == '\\' => {
                characters.next();
            }
            Some((_, '\'')) if c == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
            }
            Some((_, quote)) if c == quote => open = None,
            None if c == '#' && previous == ' ' => break,
            None if matches!(c, '"' | '\'') && matches!(previous, ' ' | '[' | '{' | ',' | '(') => {
                open = Some((at, c));
            }
            _ => {}
        }
        previous = c;
    }
    open.map(|(at, _)| at)
}

/// Returns the position of the last bracket that a text opens and does not close.
pub(super) fn innermost_bracket(text: &str) -> Option<usize> {
    let document = text.rfind("\n---").map_or(0, |at| at + 4);
    let mut open = Vec::new();
    let mut quote = None;
    let mut previous = ' ';
    let mut characters = text[document..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match quote {
            Some('"') if c == '\\' => {
                characters.next();
            }
            Some(mark) if c == mark => quote = None,
            Some('#') if c == '\n' => quote = None,
            Some(_) => {}
            None if c == '#' && previous.is_whitespace() => quote = Some('#'),
            None if matches!(c, '"' | '\'') && matches!(previous, ' ' | '\n' | '[' | '{' | ',') => {
                quote = Some(c);
            }
            // Inside a plain scalar, brackets are ordinary characters, except within a flow collection.
            None if matches!(c, '[' | '{')
                && (!open.is_empty() || matches!(previous, ' ' | '\n' | ':' | '-')) =>
            {
                open.push(document + at);
            }
            None if matches!(c, ']' | '}') => {
                open.pop();
            }
            None => {}
        }
        previous = c;
    }
    open.pop()
}

/// Returns the length of a value that starts with an expression, up to the comma, bracket or comment after it.
pub(super) fn with_expressions(line: &str) -> usize {
    let mut end = 0;
    loop {
        let closed = line[end..].find("}}").map_or(line.len(), |at| end + at + 2);
        let rest = &line[closed..];
        let stop = rest.find([',', ']', '}', '\n']).unwrap_or(rest.len());
        let stop = rest.find(" #").map_or(stop, |comment| comment.min(stop));
        match rest[..stop].find("{{") {
            Some(next) => end = closed + next + 2,
            None => return line[..closed + stop].trim_end().len(),
        }
    }
}

/// Returns the word that ends or starts at a byte.
pub(super) fn word_before(text: &str, at: usize) -> std::ops::Range<usize> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}');
    let start = text[..at].rfind(separates).map_or(0, |found| {
        found + text[found..].chars().next().map_or(1, char::len_utf8)
    });
    if start < at {
        return start..at;
    }
    let end = text[at..].find(separates).map_or(text.len(), |end| at + end);
    at..end.max(at + 1).min(text.len())
}
