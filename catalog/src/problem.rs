use terrace_artifact::{Decimal, Segment, Text, Value, show_path};

/// Something in a body that its target would not accept.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// Where: the offending value or key, or for what is missing the map it is missing from.
    pub path: Vec<Segment>,
    /// What.
    pub kind: ProblemKind,
}

/// What is wrong at a place.
#[derive(Clone, PartialEq, Debug)]
pub enum ProblemKind {
    /// The map has no such key.
    UnknownKey {
        /// The key that was likely meant.
        nearest: Option<Text>,
        /// Keys there are, a dozen at most.
        known: Vec<Text>,
    },
    /// The map's keys are free, but must match one of some patterns.
    KeyPattern {
        /// The regular expressions.
        patterns: Vec<Text>,
    },
    /// A required key is not there.
    Missing {
        /// The key.
        key: Text,
    },
    /// The value has another type.
    WrongType {
        /// The types there may be, in words: `text`, `text or a whole number`.
        expected: Text,
        /// The type that is there, in words.
        found: &'static str,
    },
    /// The value is not one of those there are.
    NotInEnum {
        /// Those there are.
        allowed: Vec<Value>,
        /// The one that was likely meant.
        nearest: Option<Text>,
    },
    /// The string does not match a pattern.
    Pattern {
        /// The regular expression.
        pattern: Text,
    },
    /// The string is not of the form it must have: a quantity, a name, a label.
    Form {
        /// What it must be, in words: `a quantity such as 500m or 2Gi`.
        expected: &'static str,
    },
    /// The number is too small or too large.
    Range {
        /// The least there may be.
        minimum: Option<Decimal>,
        /// The greatest there may be.
        maximum: Option<Decimal>,
    },
    /// The number is not a multiple.
    NotMultiple {
        /// Of this.
        of: Decimal,
    },
    /// The string is too short or too long.
    Length {
        /// The least number of characters.
        minimum: Option<u32>,
        /// The greatest number of characters.
        maximum: Option<u32>,
    },
    /// The list or map has too few or too many entries.
    Count {
        /// The least number of entries.
        minimum: Option<u32>,
        /// The greatest number of entries.
        maximum: Option<u32>,
    },
    /// The item is equal to an earlier one, or has its key.
    Duplicate {
        /// The index of the earlier one.
        first: usize,
    },
    /// Only the server sets this.
    ReadOnly,
    /// Objects of this kind live in no namespace.
    ClusterWide,
    /// The key cannot stand beside another that is there.
    Excludes {
        /// The other key.
        other: Text,
    },
    /// The map has a key that needs another, which is not there.
    Requires {
        /// The key that is there.
        key: Text,
        /// The key that is not.
        other: Text,
    },
    /// None of some keys, of which one must be there, is there.
    OneOf {
        /// The keys, each with those that go with it.
        keys: Vec<Vec<Text>>,
    },
    /// The value has a form that is ruled out, or fits more than one of several forms that rule each other out.
    Ambiguous,
    /// The value fits none of several forms.
    NoForm,
}

impl Problem {
    /// What is wrong, in a sentence without the path.
    pub fn message(&self) -> String {
        let last = match self.path.last() {
            Some(Segment::Key(key)) => format!("`{key}`"),
            Some(Segment::Index(index)) => format!("item {index}"),
            None => "the body".to_owned(),
        };
        match &self.kind {
            ProblemKind::UnknownKey { .. } => format!("there is no field {last} here"),
            ProblemKind::KeyPattern { patterns } => {
                format!(
                    "the key {last} must match {}",
                    one_of(patterns.iter().map(|text| format!("`{text}`")))
                )
            }
            ProblemKind::Missing { key } => format!("`{key}` is missing"),
            ProblemKind::WrongType { expected, found } => format!("{last} must be {expected}, not {found}"),
            ProblemKind::NotInEnum { allowed, .. } => {
                format!("{last} must be {}", one_of(allowed.iter().map(shown)))
            }
            ProblemKind::Pattern { pattern } => format!("{last} must match `{pattern}`"),
            ProblemKind::Form { expected } => format!("{last} must be {expected}"),
            ProblemKind::Range { minimum, maximum } => {
                format!("{last} must be {}", between(minimum.as_ref(), maximum.as_ref()))
            }
            ProblemKind::NotMultiple { of } => format!("{last} must be a multiple of {of}"),
            ProblemKind::Length { minimum, maximum } => {
                format!(
                    "{last} must {}",
                    sized(*minimum, *maximum, "character", "characters")
                )
            }
            ProblemKind::Count { minimum, maximum } => {
                format!("{last} must {}", sized(*minimum, *maximum, "entry", "entries"))
            }
            ProblemKind::Duplicate { first } => format!("{last} repeats item {first}"),
            ProblemKind::ReadOnly => format!("{last} is set by the server and cannot be given"),
            ProblemKind::ClusterWide => {
                format!("{last} cannot be given: objects of this kind live in no namespace")
            }
            ProblemKind::Excludes { other } => format!("{last} cannot stand beside `{other}`"),
            ProblemKind::Requires { key, other } => format!("`{key}` needs `{other}` beside it"),
            ProblemKind::OneOf { keys } => {
                let group = |keys: &Vec<Text>| {
                    keys.iter()
                        .map(|key| format!("`{key}`"))
                        .collect::<Vec<_>>()
                        .join(" with ")
                };
                format!("{last} must have {}", one_of(keys.iter().map(group)))
            }
            ProblemKind::Ambiguous => format!("{last} has a form that is ruled out"),
            ProblemKind::NoForm => format!("{last} has none of the forms it may have"),
        }
    }

    /// What to do about it, where there is more to say.
    pub fn help(&self) -> Option<String> {
        match &self.kind {
            ProblemKind::UnknownKey {
                nearest: Some(nearest),
                ..
            }
            | ProblemKind::NotInEnum {
                nearest: Some(nearest),
                ..
            } => Some(format!("`{nearest}` exists")),
            ProblemKind::UnknownKey { nearest: None, known } if !known.is_empty() => Some(format!(
                "there is {}",
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
