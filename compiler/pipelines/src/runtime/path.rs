//! Reference paths and payload templates of the Amazon States Language, as far as the flow checks need them.

use terrace_artifact::Text;
use terrace_language::value::term::Term;

/// A path into a state's input, the context object, or a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Path {
    /// The root of the path.
    pub(crate) root: Root,
    /// The plain steps: names and indexes.
    pub(crate) steps: Vec<PathStep>,
    /// Whether the steps are the whole path. `false` if a wildcard, a slice or a filter follows.
    pub(crate) whole: bool,
}

/// The root of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Root {
    /// `$`
    Input,
    /// `$$`
    Context,
    /// `$name`
    Variable(Text),
}

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PathStep {
    /// `.name` or `['name']`.
    Key(Text),
    /// `[0]`.
    Index(usize),
}

/// The intrinsic functions of the language, with their numbers of arguments.
const INTRINSICS: [(&str, std::ops::RangeInclusive<usize>); 18] = [
    ("States.Array", 0..=usize::MAX),
    ("States.ArrayContains", 2..=2),
    ("States.ArrayGetItem", 2..=2),
    ("States.ArrayLength", 1..=1),
    ("States.ArrayPartition", 2..=2),
    ("States.ArrayRange", 3..=3),
    ("States.ArrayUnique", 1..=1),
    ("States.Base64Decode", 1..=1),
    ("States.Base64Encode", 1..=1),
    ("States.Format", 1..=usize::MAX),
    ("States.Hash", 2..=2),
    ("States.JsonMerge", 3..=3),
    ("States.JsonToString", 1..=1),
    ("States.MathAdd", 2..=2),
    ("States.MathRandom", 2..=3),
    ("States.StringSplit", 2..=2),
    ("States.StringToJson", 1..=1),
    ("States.UUID", 0..=0),
];

impl Path {
    /// Parses a path, or returns `None`.
    pub(crate) fn read(text: &str) -> Option<Path> {
        let rest = text.strip_prefix('$')?;
        let (root, mut rest) = match rest.strip_prefix('$') {
            Some(rest) => (Root::Context, rest),
            None => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                match &rest[..end] {
                    "" => (Root::Input, rest),
                    name => (Root::Variable(name.into()), &rest[end..]),
                }
            }
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let name = &after[..end];
                if name.is_empty() || name == "*" {
                    let whole = false;
                    return (!after.is_empty()).then_some(Path { root, steps, whole });
                }
                if name.contains([' ', ')', ',', '\'', '"']) {
                    return None;
                }
                steps.push(PathStep::Key(name.into()));
                rest = &after[end..];
            } else {
                let after = rest.strip_prefix('[')?;
                let end = after.find(']')?;
                let inside = after[..end].trim();
                let quoted = ['\'', '"']
                    .iter()
                    .find_map(|quote| inside.strip_prefix(*quote)?.strip_suffix(*quote));
                match (quoted, inside.parse()) {
                    (Some(name), _) => steps.push(PathStep::Key(name.into())),
                    (None, Ok(index)) => steps.push(PathStep::Index(index)),
                    (None, Err(_)) => {
                        let whole = false;
                        return (!inside.is_empty()).then_some(Path { root, steps, whole });
                    }
                }
                rest = &after[end + 1..];
            }
        }
        Some(Path {
            root,
            steps,
            whole: true,
        })
    }
}

/// Formats a path: `$.steps.report.Payload`, `$.steps['validate-input'][0]`.
pub(crate) fn show(root: &str, steps: &[PathStep]) -> String {
    let mut out = root.to_owned();
    for step in steps {
        match step {
            PathStep::Index(index) => out.push_str(&format!("[{index}]")),
            PathStep::Key(name) if is_plain(name) => {
                out.push('.');
                out.push_str(name);
            }
            PathStep::Key(name) => out.push_str(&format!("['{}']", name.replace('\'', "\\'"))),
        }
    }
    out
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Calls `see` with every path that a `.$` value reads, itself or as an argument of a function. Returns the problem
/// of an invalid value.
pub(crate) fn paths_of(text: &str, see: &mut dyn FnMut(&str, Path)) -> Result<(), String> {
    if text.starts_with('$') {
        return match Path::read(text) {
            Some(path) => {
                see(text, path);
                Ok(())
            }
            None => Err(format!("`{text}` is not a valid path")),
        };
    }
    let rest = call(text.trim(), see)?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("unexpected text after the function in `{text}`"))
    }
}

/// Parses one call of a function and returns the text after it.
fn call<'a>(text: &'a str, see: &mut dyn FnMut(&str, Path)) -> Result<&'a str, String> {
    let Some((name, mut rest)) = text.split_once('(') else {
        return Err(format!(
            "`{text}` is neither a path that starts with `$` nor an intrinsic function"
        ));
    };
    let Some((_, arity)) = INTRINSICS.iter().find(|(known, _)| *known == name.trim()) else {
        return Err(format!("no intrinsic function is named `{}`", name.trim()));
    };
    let mut count = 0;
    rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix(')') {
        rest = after;
    } else {
        loop {
            rest = argument(rest.trim_start(), see)?.trim_start();
            count += 1;
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
            } else if let Some(after) = rest.strip_prefix(')') {
                rest = after;
                break;
            } else {
                return Err(format!("`{}(…` is not closed", name.trim()));
            }
        }
    }
    if arity.contains(&count) {
        Ok(rest)
    } else {
        Err(format!(
            "wrong number of arguments for `{}`: {count}",
            name.trim()
        ))
    }
}

fn argument<'a>(text: &'a str, see: &mut dyn FnMut(&str, Path)) -> Result<&'a str, String> {
    if text.starts_with("States.") {
        return call(text, see);
    }
    if let Some(after) = text.strip_prefix('\'') {
        let mut escaped = false;
        for (at, c) in after.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => return Ok(&after[at + 1..]),
                _ => {}
            }
        }
        return Err("a string is not closed".to_owned());
    }
    let mut depth = 0usize;
    let end = text
        .char_indices()
        .find(|(_, c)| match c {
            '[' => {
                depth += 1;
                false
            }
            ']' => {
                depth = depth.saturating_sub(1);
                false
            }
            ',' | ')' => depth == 0,
            _ => false,
        })
        .map_or(text.len(), |(at, _)| at);
    let (word, rest) = (text[..end].trim(), &text[end..]);
    if word.starts_with('$') {
        match Path::read(word) {
            Some(path) => see(word, path),
            None => return Err(format!("`{word}` is not a valid path")),
        }
    } else if word.parse::<f64>().is_err() && !matches!(word, "true" | "false" | "null") {
        return Err(format!("`{word}` is not a valid value"));
    }
    Ok(rest)
}

/// Calls `see` with every value of a `.$` key in a payload template and the keys that lead to it.
pub(crate) fn templates<'a>(term: &'a Term, at: &mut Vec<Text>, see: &mut dyn FnMut(&[Text], &'a Term)) {
    match term {
        Term::Map(entries) => {
            for (key, value) in entries {
                at.push(key.clone());
                if key.ends_with(".$") {
                    see(at, value);
                } else {
                    templates(value, at, see);
                }
                at.pop();
            }
        }
        Term::List(items) => items.iter().for_each(|item| templates(item, at, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths() {
        let key = |name: &str| PathStep::Key(name.into());
        for (text, root, steps, whole) in [
            ("$", Root::Input, vec![], true),
            ("$.a.b", Root::Input, vec![key("a"), key("b")], true),
            (
                "$['a-b'][0].c",
                Root::Input,
                vec![key("a-b"), PathStep::Index(0), key("c")],
                true,
            ),
            (
                "$$.Execution.Id",
                Root::Context,
                vec![key("Execution"), key("Id")],
                true,
            ),
            ("$total.x", Root::Variable("total".into()), vec![key("x")], true),
            ("$.a[*].b", Root::Input, vec![key("a")], false),
            ("$..b", Root::Input, vec![], false),
            ("$.a[?(@.b)]", Root::Input, vec![key("a")], false),
        ] {
            assert_eq!(Path::read(text), Some(Path { root, steps, whole }), "{text}");
        }
        for text in ["", "a.b", "$.", "$.a b", "$[", "$.a[]", "$x y"] {
            assert_eq!(Path::read(text), None, "{text}");
        }
    }

    #[test]
    fn finds_the_paths_in_functions() {
        let read = |text: &str| {
            let mut seen = Vec::new();
            paths_of(text, &mut |path, _| seen.push(path.to_owned())).map(|()| seen)
        };
        assert_eq!(
            read("States.Format('a, {} \\'b\\' {}', $.x, States.JsonToString($$.Execution))"),
            Ok(vec!["$.x".to_owned(), "$$.Execution".to_owned()])
        );
        assert_eq!(read("States.UUID()"), Ok(vec![]));
        assert_eq!(
            read("States.Formt($.x)"),
            Err("no intrinsic function is named `States.Formt`".to_owned())
        );
        assert_eq!(
            read("States.Hash($.x)"),
            Err("wrong number of arguments for `States.Hash`: 1".to_owned())
        );
        assert_eq!(
            read("input.x"),
            Err("`input.x` is neither a path that starts with `$` nor an intrinsic function".to_owned())
        );
        assert_eq!(read("States.Format('a"), Err("a string is not closed".to_owned()));
    }
}
