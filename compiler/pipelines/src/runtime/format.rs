//! Builds strings from literal text and run-time values.

use terrace_language::value::term::Term;

/// Concatenates strings and references.
pub(crate) fn joined(parts: Vec<Term>) -> Term {
    let mut out: Vec<Term> = Vec::new();
    let mut text = String::new();
    for part in parts {
        match part {
            Term::Concat(inner) => {
                for part in inner.iter() {
                    match part {
                        Term::String(known) => text.push_str(known),
                        late => {
                            if !text.is_empty() {
                                out.push(std::mem::take(&mut text).into());
                            }
                            out.push(late.clone());
                        }
                    }
                }
            }
            late if late.is_late() => {
                if !text.is_empty() {
                    out.push(std::mem::take(&mut text).into());
                }
                out.push(late);
            }
            known => text.push_str(&known.shown()),
        }
    }
    if !text.is_empty() || out.is_empty() {
        out.push(text.into());
    }
    match out.len() {
        1 => out.swap_remove(0),
        _ => Term::Concat(out.into()),
    }
}

/// A builder of a `States.Format` call.
#[derive(Default)]
pub(crate) struct Format {
    text: String,
    values: Vec<String>,
}

impl Format {
    /// Adds literal text, in which `${…}` has no meaning.
    pub(crate) fn text(&mut self, text: &str) {
        for c in text.chars() {
            if matches!(c, '\'' | '\\' | '{' | '}') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
    }

    /// Adds text with `${…}` that CloudFormation replaces.
    pub(crate) fn marked(&mut self, text: &str) {
        self.text.push_str(&escaped(text, true));
    }

    pub(crate) fn value(&mut self, value: &str) {
        self.text.push_str("{}");
        self.values.push(value.to_owned());
    }

    pub(crate) fn finish(self) -> String {
        let values: String = self.values.iter().map(|value| format!(", {value}")).collect();
        format!("States.Format('{}'{values})", self.text)
    }
}

/// Escapes a string for the quotes of an intrinsic function. Braces have a meaning only in `States.Format`. The function does not
/// change `${…}`, because CloudFormation replaces it before Step Functions reads the string.
pub(crate) fn escaped(text: &str, braces: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("${")
            && let Some(end) = after.find('}')
            && after[..end].chars().all(|c| c.is_ascii_alphanumeric())
        {
            out.push_str(&rest[..end + 3]);
            rest = &after[end + 1..];
            continue;
        }
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '{' | '}' if braces => out.extend(['\\', c]),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}
