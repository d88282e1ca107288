use terrace_artifact::{Decimal, Segment, Text, Value, show_path};

/// A part of a resource body that the target would reject.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// The path of the invalid value or key, or of the map that lacks a key.
    pub path: Vec<Segment>,
    /// The kind of problem, with its details.
    pub kind: ProblemKind,
}

/// The kind of a problem.
#[derive(Clone, PartialEq, Debug)]
pub enum ProblemKind {
    /// The map has no such key.
    UnknownKey {
        /// The key that the user most likely meant.
        nearest: Option<Text>,
        /// Known keys, at most a dozen.
        known: Vec<Text>,
    },
    /// The key matches none of the patterns for the map's keys.
    KeyPattern {
        /// The regular expressions.
        patterns: Vec<Text>,
    },
    /// A required key is missing.
    Missing {
        /// The key.
        key: Text,
    },
    /// The value has the wrong type.
    WrongType {
        /// The accepted types in words: `a string`, `a string or an integer`.
        expected: Text,
        /// The type of the value, in words.
        found: &'static str,
    },
    /// The value is not one of the allowed values.
    NotInEnum {
        /// The allowed values.
        allowed: Vec<Value>,
        /// The value that the user most likely meant.
        nearest: Option<Text>,
    },
    /// The string does not match a pattern.
    Pattern {
        /// The regular expression.
        pattern: Text,
    },
    /// The string does not have the required form: a quantity, a name, a label.
    Form {
        /// The required form in words: `a quantity such as 500m or 2Gi`.
        expected: &'static str,
    },
    /// The number is too small or too large.
    Range {
        /// The minimum.
        minimum: Option<Decimal>,
        /// The maximum.
        maximum: Option<Decimal>,
    },
    /// The number is not a multiple of another number.
    NotMultiple {
        /// The other number.
        of: Decimal,
    },
    /// The string is too short or too long.
    Length {
        /// The minimum number of characters.
        minimum: Option<u32>,
        /// The maximum number of characters.
        maximum: Option<u32>,
    },
    /// The list or map has too few or too many entries.
    Count {
        /// The minimum number of entries.
        minimum: Option<u32>,
        /// The maximum number of entries.
        maximum: Option<u32>,
    },
    /// The item is equal to an earlier item or has the same key.
    Duplicate {
        /// The index of the earlier item.
        first: usize,
    },
    /// The field is read-only: only the server sets it.
    ReadOnly,
    /// The object has a namespace, but its kind is cluster-scoped.
    ClusterWide,
    /// The key conflicts with another key that is present.
    Excludes {
        /// The other key.
        other: Text,
    },
    /// A key requires another key that is missing.
    Requires {
        /// The key that is present.
        key: Text,
        /// The key that is missing.
        other: Text,
    },
    /// None of several keys is present, and one is required.
    OneOf {
        /// The alternatives, each with all keys that it requires.
        keys: Vec<Vec<Text>>,
    },
    /// The value has an excluded form, or fits more than one of several mutually exclusive forms.
    Ambiguous,
    /// The value fits none of several forms.
    NoForm,
}

impl Problem {
    /// Describes the problem in one sentence, without the path.
    pub fn message(&self) -> String {
        self.sentence(&match self.path.last() {
            Some(Segment::Key(key)) => format!("`{key}`"),
            Some(Segment::Index(index)) => format!("item {index}"),
            None => "the body".to_owned(),
        })
    }

    /// Describes the problem in one sentence. `subject` names the value at the path.
    pub fn sentence(&self, subject: &str) -> String {
        match &self.kind {
            ProblemKind::UnknownKey { .. } => format!("unknown field {subject}"),
            ProblemKind::KeyPattern { patterns } => {
                format!(
                    "the key {subject} must match {}",
                    one_of(patterns.iter().map(|text| format!("`{text}`")))
                )
            }
            ProblemKind::Missing { key } => format!("`{key}` is missing"),
            ProblemKind::WrongType { expected, found } => {
                format!("{subject} must be {expected}, not {found}")
            }
            ProblemKind::NotInEnum { allowed, .. } => {
                format!("{subject} must be {}", one_of(allowed.iter().map(shown)))
            }
            ProblemKind::Pattern { pattern } => format!("{subject} must match `{pattern}`"),
            ProblemKind::Form { expected } => format!("{subject} must be {expected}"),
            ProblemKind::Range { minimum, maximum } => {
                format!(
                    "{subject} must be {}",
                    between(minimum.as_ref(), maximum.as_ref())
                )
            }
            ProblemKind::NotMultiple { of } => format!("{subject} must be a multiple of {of}"),
            ProblemKind::Length { minimum, maximum } => {
                format!(
                    "{subject} must {}",
                    sized(*minimum, *maximum, "character", "characters")
                )
            }
            ProblemKind::Count { minimum, maximum } => {
                format!("{subject} must {}", sized(*minimum, *maximum, "entry", "entries"))
            }
            ProblemKind::Duplicate { first } => format!("{subject} repeats item {first}"),
            ProblemKind::ReadOnly => format!("{subject} is read-only: only the server sets it"),
            ProblemKind::ClusterWide => {
                format!("{subject} is not allowed: objects of this kind are cluster-scoped")
            }
            ProblemKind::Excludes { other } => format!("{subject} cannot be combined with `{other}`"),
            ProblemKind::Requires { key, other } => format!("`{key}` requires `{other}`"),
            ProblemKind::OneOf { keys } => {
                let group = |keys: &Vec<Text>| {
                    keys.iter()
                        .map(|key| format!("`{key}`"))
                        .collect::<Vec<_>>()
                        .join(" with ")
                };
                format!("{subject} must have {}", one_of(keys.iter().map(group)))
            }
            ProblemKind::Ambiguous => format!("{subject} has a form that is not allowed"),
            ProblemKind::NoForm => format!("{subject} has none of the allowed forms"),
        }
    }

    /// Returns advice on the correction, if the message does not already contain it.
    pub fn help(&self) -> Option<String> {
        match &self.kind {
            ProblemKind::UnknownKey {
                nearest: Some(nearest),
                ..
            }
            | ProblemKind::NotInEnum {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            ProblemKind::UnknownKey { nearest: None, known } if !known.is_empty() => Some(format!(
                "the valid fields are {}",
                known
                    .iter()
                    .map(|key| format!("`{key}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
            _ => None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", show_path(&self.path))?;
        }
        f.write_str(&self.message())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [one] => one.clone(),
        [some @ .., last] if words.len() <= 12 => format!("{} or {last}", some.join(", ")),
        _ => format!(
            "{} or one of {} others",
            words[..words.len().min(10)].join(", "),
            words.len().saturating_sub(10)
        ),
    }
}

fn sized(minimum: Option<u32>, maximum: Option<u32>, one: &str, many: &str) -> String {
    match (minimum, maximum) {
        (Some(1), None) => "not be empty".to_owned(),
        (_, Some(0)) => "be empty".to_owned(),
        (Some(1), Some(1)) => format!("have exactly 1 {one}"),
        (None, Some(1)) => format!("have at most 1 {one}"),
        _ => format!("have {} {many}", between(minimum.as_ref(), maximum.as_ref())),
    }
}

fn between<T: std::fmt::Display + PartialEq>(minimum: Option<&T>, maximum: Option<&T>) -> String {
    match (minimum, maximum) {
        (Some(least), Some(most)) if least == most => format!("exactly {least}"),
        (Some(least), Some(most)) => format!("between {least} and {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "other".to_owned(),
    }
}
