//! Finds values that are written for one environment and compiled for another.

use terrace_artifact::{Segment, Text};
use terrace_graph::targets;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Last words of keys whose value depends on the environment: `DATA_PROCESSING_MODE`, `environment`, `nodeEnv`.
const KEYS: [&str; 6] = ["env", "environment", "mode", "stage", "profile", "class"];

const DERIVE: &str = "use `\"{{ environment.name }}\"` or `\"{{ environment.class }}\"`, or limit the component with `environments`";

/// Reports literals with the name or class of another environment of the stack, as values of keys about the environment.
pub(super) fn another(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let words = &subject.graph.other_environments;
    if words.is_empty() {
        return;
    }
    let mut found = Vec::new();
    values(subject.body, words, &mut Vec::new(), &mut found);
    let environment = subject.environment("name");
    for (path, key, word) in found {
        if !subject.graph.is_literal(subject.resource, &path) {
            continue;
        }
        findings.push(
            Finding::new(
                Code::AnotherEnvironment,
                &[],
                format!("`{key}` is set to `{word}`, but this environment is `{environment}`"),
            )
            .below(path)
            .help(DERIVE),
        );
    }
}

/// Reports a resource with its own schedule in an environment with disabled triggers. Such an environment is a standby without data.
pub(super) fn schedule(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if subject.graph.places[subject.resource.instance].triggers {
        return;
    }
    let word = |key: &str| subject.body.get(key).and_then(Term::as_str);
    let (key, enabled, instead) = match subject.resource.kind.cloudformation() {
        Some("AWS::Events::Rule" | "AWS::Scheduler::Schedule") => (
            "ScheduleExpression",
            word("State") != Some("DISABLED"),
            "`State: \"{{ 'ENABLED' if environment.triggers else 'DISABLED' }}\"`",
        ),
        Some("AWS::Glue::Trigger") => (
            "Schedule",
            subject.body.get("StartOnCreation").and_then(Term::as_bool) == Some(true),
            "`StartOnCreation: \"{{ environment.triggers }}\"`",
        ),
        // A crawler has no state. On an empty bucket, it removes the tables that it made.
        Some("AWS::Glue::Crawler") => (
            "Schedule",
            true,
            "`Schedule: {$when: \"{{ environment.triggers }}\", ScheduleExpression: …}`",
        ),
        _ => return,
    };
    if enabled && subject.body.get(key).is_some() {
        let environment = subject.environment("name");
        let message = format!(
            "this schedule is enabled in `{environment}`, where the triggers of pipelines are disabled"
        );
        findings
            .push(Finding::new(Code::ScheduleInStandby, &[key], message).help(format!("write {instead}")));
    }
}

/// Reports a name that contains the name of another environment, but not that of its own.
pub(super) fn name(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let words = &subject.graph.other_environments;
    if words.is_empty() {
        return;
    }
    let (kind, environment) = (&subject.resource.kind, subject.environment("name"));
    let name = targets::name(kind, subject.body);
    let Some(name) = name.and_then(Term::as_str) else {
        return;
    };
    if !words.iter().any(|word| name.contains(word.as_str())) {
        return;
    }
    let has = |word: &str| {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|part| part == word)
    };
    let Some(word) = words.iter().find(|word| has(word)) else {
        return;
    };
    let path = targets::name_field(kind).unwrap_or_default();
    let own = [environment, subject.environment("class")];
    if own.iter().any(|own| name.contains(own)) || !subject.graph.is_literal(subject.resource, &path) {
        return;
    }
    findings.push(
        Finding::new(
            Code::AnotherEnvironment,
            &[],
            format!("the name `{name}` contains `{word}`, but this environment is `{environment}`"),
        )
        .below(path)
        .help(DERIVE),
    );
}

/// Finds the values that are one of the words and whose key is about the environment, with their paths and keys.
fn values<'a>(
    term: &'a Term,
    words: &[Text],
    path: &mut Vec<Segment>,
    found: &mut Vec<(Vec<Segment>, Text, &'a Text)>,
) {
    match term {
        Term::Map(entries) => {
            for (key, value) in entries {
                let known = match value {
                    Term::String(text) if words.contains(text) => {
                        about_environment(key, entries).zip(Some(text))
                    }
                    Term::Map(_) | Term::List(_) => None,
                    _ => continue,
                };
                path.push(Segment::Key(key.clone()));
                match known {
                    Some((known, text)) => found.push((path.clone(), known, text)),
                    None => values(value, words, path, found),
                }
                path.pop();
            }
        }
        Term::List(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Term::Map(_) | Term::List(_) = item {
                    path.push(Segment::Index(at));
                    values(item, words, path, found);
                    path.pop();
                }
            }
        }
        _ => {}
    }
}

/// Returns the key of a value if it is about the environment: its own key, or the `name` next to `value`.
fn about_environment(key: &Text, entries: &[(Text, Term)]) -> Option<Text> {
    let name = match key.eq_ignore_ascii_case("value") {
        true => {
            let named = |(key, _): &&(Text, Term)| matches!(key.as_str(), "name" | "Name" | "key" | "Key");
            entries.iter().find(named)?.1.as_str()?.into()
        }
        false => key.clone(),
    };
    let last = last_word(&name);
    KEYS.contains(&last.as_str()).then_some(name)
}

/// Returns the last word of a key in lower case: `mode` of `DATA_PROCESSING_MODE`, `env` of `nodeEnv`.
fn last_word(key: &str) -> String {
    let word = key
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let is_camel = word.chars().any(|c| c.is_ascii_lowercase());
    let start = word
        .rfind(|c: char| c.is_ascii_uppercase())
        .filter(|_| is_camel)
        .unwrap_or(0);
    word[start..].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::last_word;

    #[test]
    fn keys_are_known_by_their_last_word() {
        for (key, word) in [
            ("DATA_PROCESSING_MODE", "mode"),
            ("environment", "environment"),
            ("nodeEnv", "env"),
            ("app.kubernetes.io/stage", "stage"),
            ("Mode", "mode"),
            ("model", "model"),
            ("", ""),
        ] {
            assert_eq!(last_word(key), word, "{key}");
        }
    }
}
