use std::fmt;
use std::sync::OnceLock;

use regex_lite::Regex;

/// A regular expression of a schema, compiled when it is first needed.
#[derive(Clone)]
pub struct Pattern<'a> {
    text: &'a str,
    compiled: OnceLock<Option<Regex>>,
}

impl<'a> Pattern<'a> {
    /// Takes the schema's own text.
    pub fn new(text: &'a str) -> Pattern<'a> {
        Pattern {
            text,
            compiled: OnceLock::new(),
        }
    }

    /// The schema's own text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether it can be checked. Look-around and back-references cannot.
    pub fn is_supported(&self) -> bool {
        self.compiled().is_some()
    }

    /// Whether the text matches, anywhere unless the pattern says otherwise. What cannot be checked matches.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled().is_none_or(|regex| regex.is_match(text))
    }

    fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(self.text).ok()).as_ref()
    }
}

impl fmt::Debug for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}
