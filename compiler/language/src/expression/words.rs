//! Names in the spellings that targets require.

use terrace_artifact::Text;

/// Returns the words of a name in lower case: `RawBucket`, `raw_bucket` and `raw-bucket` have the same words.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous_lower = false;
    let mut begin = true;
    for c in text.chars() {
        if !c.is_alphanumeric() {
            begin = true;
            continue;
        }
        if begin || (c.is_uppercase() && previous_lower) {
            words.push(String::new());
        }
        begin = false;
        previous_lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// Returns a name as a logical id: `raw_bucket` becomes `RawBucket`.
pub fn pascal(text: &str) -> Text {
    let mut out = String::with_capacity(text.len());
    let mut capital = true;
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Returns a name with only lower-case letters, digits and `-`, which DNS labels and bucket names allow.
pub fn slug(text: &str) -> Text {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').into()
}
