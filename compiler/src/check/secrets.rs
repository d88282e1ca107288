//! Secrets that somebody wrote out.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};

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

/// Finds secrets in a document: by the form of the value, or by the name of its key. The value is never shown.
pub(crate) fn literal_secrets(node: &Node, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::List(items) => {
            for item in items {
                literal_secrets(item, diagnostics);
                variable(item, diagnostics);
            }
        }
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                if let Some(text) = value.as_str() {
                    let looks = looks_secret(text) || (names_secret(key) && is_value(text));
                    if looks && !matches!(value.kind, NodeKind::Raw(_)) {
                        report(value, diagnostics);
                    }
                }
                literal_secrets(value, diagnostics);
            }
        }
        NodeKind::String(text) if looks_secret(text) && node.key == node.span => report(node, diagnostics),
        _ => {}
    }
}

/// `{name: DB_PASSWORD, value: …}`
fn variable(item: &Node, diagnostics: &mut Diagnostics) {
    let (Some(name), Some(value)) = (item.get("name").and_then(Node::as_str), item.get("value")) else {
        return;
    };
    if names_secret(name) && value.as_str().is_some_and(is_value) {
        report(value, diagnostics);
    }
}

fn report(node: &Node, diagnostics: &mut Diagnostics) {
    diagnostics.push(
        Diagnostic::new(Code::LiteralSecret, "a secret is written out here")
            .at(node.span, "its value does not belong in a file")
            .help("refer to it: `\"{{ secret('NAME').KEY }}\"`")
            .help("change the secret: this value has been in a file"),
    );
}

fn names_secret(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect();
    WORDS.iter().any(|word| plain.ends_with(word))
}

/// Text that could be a secret's value: not an expression, a name of one, a path or an ARN.
fn is_value(text: &str) -> bool {
    text.len() >= 6
        && !text.contains("{{")
        && !text.contains("${")
        && !text.starts_with(['/', '$'])
        && !text.starts_with("arn:")
        && !text.contains("resolve:")
        && !text.contains(char::is_whitespace)
}

/// Forms that nothing else has.
fn looks_secret(text: &str) -> bool {
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
    (text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----"))
        || access_key(text)
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
