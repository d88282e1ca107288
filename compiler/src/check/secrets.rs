//! Secrets that somebody wrote out.

use std::ops::Range;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};
use crate::source::Span;

/// Words that name a secret at the end of a key.
const WORDS: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "credentials",
    "passphrase",
];

/// Words that name one only where they stand for themselves: `DB_PASS`, and not `bypass`.
const WHOLE_WORDS: [&str; 2] = ["pass", "pwd"];

/// The shortest text that could be a secret's value.
const SHORTEST: usize = 6;

/// Finds secrets in a document: by the form of the value, or by the name of its key. The value is never shown.
pub(crate) fn literal_secrets(node: &Node, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::List(items) => {
            for item in items {
                literal_secrets(item, diagnostics);
                variable(item, diagnostics);
            }
            for pair in items.windows(2) {
                argument(&pair[0], &pair[1], diagnostics);
            }
        }
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                if let Some(text) = value.as_str() {
                    let looks = is_secret(key, text);
                    if looks && !matches!(value.kind, NodeKind::Raw(_)) {
                        diagnostics.push(written_out(value.span));
                    }
                }
                literal_secrets(value, diagnostics);
            }
        }
        NodeKind::String(text) if looks_secret(text) && node.key == node.span => {
            diagnostics.push(written_out(node.span));
        }
        _ => {}
    }
}

/// Whether a value under a key is a secret, by either of them.
pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    looks_secret(value) || names_secret(key) && is_value(value)
}

/// Where secrets stand in lines as they were written, YAML or not: what is shown of a file hides them, also where the file
/// could not be read.
pub(crate) fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = assignments(text, &['=', ':'], Ends::AtSpace)
        .map(|assignment| assignment.value)
        .filter(|value| {
            let value = &text[value.clone()];
            is_value(value) && !value.starts_with(['{', '[', '|', '>', '!', '&', '*'])
        })
        .collect();
    let quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let start = text.as_ptr() as usize;
    for word in text.split(quotes).filter(|word| has_form(word)) {
        let at = word.as_ptr() as usize - start;
        found.push(at..at + word.len());
    }
    found
}

/// What a shell keeps in its history, and a plan would show.
pub(crate) fn typed_out(span: Span) -> Diagnostic {
    Diagnostic::new(Code::LiteralSecret, "a secret is written out here")
        .at(span, "its value does not belong on a command line")
        .help("refer to it in the component's own document: `\"{{ secret('NAME').KEY }}\"`")
        .help("change the secret: the shell may keep this line")
}

/// `{name: DB_PASSWORD, value: …}`
fn variable(item: &Node, diagnostics: &mut Diagnostics) {
    let (Some(name), Some(value)) = (item.get("name").and_then(Node::as_str), item.get("value")) else {
        return;
    };
    // What has the form of a secret was found under its key.
    let named = |text: &str| names_secret(name) && is_value(text) && !looks_secret(text);
    if value.as_str().is_some_and(named) {
        diagnostics.push(written_out(value.span));
    }
}

/// `[--password, …]`
fn argument(flag: &Node, value: &Node, diagnostics: &mut Diagnostics) {
    let (Some(flag), NodeKind::String(text)) = (flag.as_str(), &value.kind) else {
        return;
    };
    let flag = flag.starts_with('-') && !flag.contains('=') && names_secret(flag);
    if flag && is_value(text) && !text.starts_with('-') && !looks_secret(text) {
        diagnostics.push(written_out(value.span));
    }
}

fn written_out(span: Span) -> Diagnostic {
    Diagnostic::new(Code::LiteralSecret, "a secret is written out here")
        .at(span, "its value does not belong in a file")
        .help("refer to it: `\"{{ secret('NAME').KEY }}\"`")
        .help("change the secret: this value has been in a file")
}

fn names_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    WORDS.iter().any(|word| plain.ends_with(word))
        || WHOLE_WORDS
            .iter()
            .any(|word| plain.ends_with(word) && last_word(key).eq_ignore_ascii_case(word))
}

/// The last word of a key: `PASS` of `DB_PASS`, `Pass` of `smtpPass`.
fn last_word(key: &str) -> &str {
    let key = key.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let from = key
        .rfind(|c: char| !c.is_ascii_alphanumeric())
        .map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8));
    let word = &key.as_bytes()[from..];
    let begins = |at: &usize| {
        let before = word[at - 1];
        let ends_capitals = word.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        word[*at].is_ascii_uppercase() && (!before.is_ascii_uppercase() || ends_capitals)
    };
    &key[from + (1..word.len()).rev().find(begins).unwrap_or(0)..]
}

/// Text that could be a secret's value: not an expression, a name of one, a path or an ARN.
fn is_value(text: &str) -> bool {
    text.len() >= SHORTEST
        && !text.contains("{{")
        && !text.contains("${")
        && !text.starts_with(['/', '$'])
        && !text.starts_with("arn:")
        && !text.contains("resolve:")
        && !text.contains(char::is_whitespace)
}

/// `password=…` in a text.
struct Assignment {
    /// Where its value is.
    value: Range<usize>,
    /// Whether it is a parameter of a URL.
    parameter: bool,
}

/// Where a value without quotes ends.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// At what separates parameters.
    AtSeparator,
    /// At white space: rather too much than too little.
    AtSpace,
}

/// What is given to a key that names a secret, outside of `{{ }}`.
fn assignments<'a>(
    text: &'a str,
    separators: &'a [char],
    ends: Ends,
) -> impl Iterator<Item = Assignment> + 'a {
    let (mut looked, mut expression) = (0, 0..0);
    text.match_indices(separators).filter_map(move |(at, separator)| {
        // What is inside of a value is not looked through again: a text may be all `=`.
        if at < looked {
            return None;
        }
        looked = at + 1;
        let before = match separator {
            ":" => text[..at].trim_end_matches(['"', '\'']),
            _ => text[..at].trim_end_matches([' ', '\t']),
        };
        let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let key_start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| in_key(*c))
            .last()?
            .0;
        // `…:secret:…` is part of an ARN, `…/token:…` an image.
        let pair = separator == "="
            || before.len() < at
            || text[at + 1..].starts_with([' ', '\t', '"', '\''])
            || text[..key_start].ends_with(['{', ',']);
        if !pair || !names_secret(&before[key_start..]) {
            return None;
        }
        while expression.end <= at {
            let Some(opened) = text[expression.end..].find("{{") else {
                expression = text.len() + 1..text.len() + 1;
                break;
            };
            let start = expression.end + opened;
            let end = text[start..].find("}}").map_or(text.len(), |end| start + end + 2);
            expression = start..end;
        }
        if expression.contains(&at) {
            return None;
        }
        let rest = text[at + 1..].trim_start_matches([' ', '\t']);
        let rest = rest.strip_prefix("!raw ").unwrap_or(rest);
        let start = text.len() - rest.len();
        let (start, end) = match rest.chars().next()? {
            quote @ ('"' | '\'') => {
                let end = rest[1..].find(quote).unwrap_or(rest.len() - 1);
                (start + 1, start + 1 + end)
            }
            _ => {
                let end = rest.find(|c: char| match ends {
                    Ends::AtSeparator => {
                        c.is_whitespace() || matches!(c, '&' | ';' | ',' | ')' | '"' | '\'' | '\\')
                    }
                    Ends::AtSpace => c.is_whitespace() || matches!(c, '"' | '\''),
                });
                let value = &rest[..end.unwrap_or(rest.len())];
                let value = value.trim_end_matches([',', '}', ']']);
                (start, start + value.len())
            }
        };
        looked = end.max(looked);
        let parameter = text[..key_start].ends_with(['?', '&', ';']);
        Some(Assignment {
            value: start..end,
            parameter,
        })
    })
}

/// `jdbc:postgresql://host/db?password=…`, `--password=…`, a line of a properties file.
fn assigns_secret(text: &str) -> bool {
    text.contains('=')
        && assignments(text, &['='], Ends::AtSeparator).any(|assignment| {
            let value = &text[assignment.value];
            // In a program, what is assigned may be the name of a variable, or a call.
            let is_code = value.contains(['(', '[', '{', '<', '`', '%'])
                || value.starts_with(['=', '~', '@'])
                || !assignment.parameter && names_secret(value);
            is_value(value) && !is_code
        })
}

/// Text that is or holds a secret, whatever its key is.
fn looks_secret(text: &str) -> bool {
    has_form(text) || assigns_secret(text)
}

/// Forms that nothing else has.
fn has_form(text: &str) -> bool {
    // `://u:ppp@`: nothing shorter is looked through. Every text of every document comes by here.
    if text.len() < 9 {
        return false;
    }
    let access_key = |text: &str| {
        let found = text.find("AKIA").or_else(|| text.find("ASIA"));
        found.is_some_and(|at| {
            let rest = &text.as_bytes()[at + 4..];
            rest.len() >= 16
                && rest[..16]
                    .iter()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        })
    };
    let prefixes = [
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "sk_live_",
    ];
    // A signed token: header, claims and signature.
    let signed = || text.starts_with("eyJ") && text.len() >= 40 && text.split('.').count() == 3;
    (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
        || access_key(text)
        || signed()
        || prefixes
            .iter()
            .any(|prefix| text.starts_with(prefix) && text.len() >= 20)
        || url_with_password(text)
}

/// `postgresql://user:password@host`
fn url_with_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let Some((user, _)) = rest.split('/').next().unwrap_or_default().split_once('@') else {
        return false;
    };
    user.split_once(':').is_some_and(|(_, password)| {
        is_value(password) || password.len() >= 3 && !password.contains(['{', '$'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_last_word() {
        for key in [
            "DB_PASS",
            "pass",
            "smtp-pwd",
            "db.pass",
            "smtpPass",
            "DBPass",
            "clientSecret",
            "--password",
        ] {
            assert!(names_secret(key), "{key}");
        }
        for key in [
            "bypass",
            "COMPASS",
            "pass_through",
            "passwords_file",
            "token_ttl",
            "",
            "_",
        ] {
            assert!(!names_secret(key), "{key}");
        }
    }

    #[test]
    fn a_secret_is_known_by_its_form() {
        for text in [
            "jdbc:postgresql://h/db?user=u&password=hunter2",
            "Server=h;Pwd=hunter2;",
            "db.user=u\ndb.password = hunter2\n",
            "--password=hunter2",
            "https://h/?token={{ a }}&secret=hunter2",
            "export DB_PASS='hunter2'",
            "postgresql://u:hunter2@h/db",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        ] {
            assert!(looks_secret(text), "{text}");
        }
        for text in [
            "jdbc:postgresql://h/db?user=u&password={{ secret('db').password }}",
            "jdbc:postgresql://h/db?user=u&password=${DB_PASSWORD}",
            "{{ env(password='hunter2') }}",
            "PASSWORD=\"$(cat /run/secrets/db)\" exec serve --token=/run/token",
            "connect(password=os.environ['PASSWORD'], token=args.access_token)",
            "if password == previous or token != following:",
            "token=arn:aws:secretsmanager:eu-central-1:1:secret:db",
            "bypass=everything",
            "--password=",
            "password=<the password>",
            "============",
        ] {
            assert!(!looks_secret(text), "{text}");
        }
    }

    #[test]
    fn lines_hide_what_looks_like_a_secret() {
        let hidden = |text: &str| {
            let ranges = secrets_in(text);
            ranges
                .into_iter()
                .map(|range| text[range].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hidden("{DB_PASS: hunter2, b: 1}"), ["hunter2"]);
        assert_eq!(hidden("{\"password\":\"hunter2\"}"), ["hunter2"]);
        assert_eq!(hidden("web.env={dbPass:hunter2}"), ["hunter2"]);
        assert_eq!(hidden("web.env.PASSWORD=hun,ter2"), ["hun,ter2"]);
        assert_eq!(
            hidden("url: \"postgresql://u:hunter2@h\""),
            ["postgresql://u:hunter2@h"]
        );
        for text in [
            "password: {type: secret}",
            "password: \"{{ secret('db').password }}\"",
            "arn: arn:aws:secretsmanager:eu-central-1:1:secret:database",
            "image: example.org/token:1.2.3-rc",
        ] {
            assert!(hidden(text).is_empty(), "{text}");
        }
    }
}
