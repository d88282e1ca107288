//! Secrets that somebody wrote out.
//!
//! Two places are looked through: documents as they were written, so that the value is pointed at where it stands, and bodies
//! as the targets would get them ([`bodies`]), where expressions, inputs and defaults have come together. What tells a secret
//! is the same in both: the form of a value ([`forms`]), the key that it has ([`keys`]), and what a text gives to a key
//! ([`text`]). The value itself is never shown.

mod bodies;
mod forms;
mod keys;
mod text;

use std::collections::BTreeSet;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};

pub(crate) use bodies::in_body;
pub(crate) use forms::find as forms_in;
pub(crate) use text::{assigned, secrets_in};

/// Where a SealedSecret has its values.
const ENCRYPTED: &str = "encryptedData";

/// The keys of a name and of what is given to it, where both are items of a list.
const PAIRS: [(&str, &str); 5] = [
    ("name", "value"),
    ("Name", "Value"),
    ("Key", "Value"),
    ("ParameterKey", "ParameterValue"),
    ("OptionName", "Value"),
];

/// Why a value is taken for a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The name of its key, variable or argument.
    Key(String),
    /// Its form: `a private key`.
    Form(&'static str),
    /// A key in the text that is given a value.
    Assigned(String),
    /// It is in a Secret.
    Object,
}

impl Reason {
    fn shown(&self) -> String {
        match self {
            Reason::Key(key) => format!(
                "the name `{}` says that this is a secret",
                crate::diagnostic::shown(key)
            ),
            Reason::Form(what) => format!("this has the form of {what}"),
            Reason::Assigned(key) => format!(
                "`{}` is given a secret in this text",
                crate::diagnostic::shown(key)
            ),
            Reason::Object => "what a Secret holds is a secret".to_owned(),
        }
    }
}

/// Why a text is a secret, by itself.
fn of_text(text: &str) -> Option<Reason> {
    forms::first(text)
        .map(|form| Reason::Form(form.what))
        .or_else(|| text::assigned(text).map(|key| Reason::Assigned(key.to_owned())))
}

/// Why the value of a key is a secret.
fn of_value(key: &str, value: &str) -> Option<Reason> {
    of_text(value).or_else(|| keys::gives_secret(key, value).then(|| Reason::Key(key.to_owned())))
}

/// Why the argument after `flag` is a secret: `[--password, …]`.
fn of_argument(flag: &str, value: &str) -> Option<Reason> {
    let is_flag = flag.starts_with('-') && !flag.contains('=') && !value.starts_with('-');
    (is_flag && keys::gives_secret(flag, value)).then(|| Reason::Key(flag.to_owned()))
}

/// Whether a value under a key is a secret.
pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    of_value(key, value).is_some()
}

/// Whether what is at a path is never shown in a message: the path ends in a word for a secret.
pub(crate) fn is_confidential(key: &str) -> bool {
    keys::names_secret(key)
}

/// Whether the value of a Secret is public by its form: nothing at all, or certificates and public keys in PEM, in base64 or not.
fn is_public(value: &str) -> bool {
    let is_pem = |text: &str| {
        let mut kinds = text.split("-----BEGIN ").skip(1).peekable();
        kinds.peek().is_some()
            && text.trim_start().starts_with("-----BEGIN ")
            && kinds.all(|block| {
                let kind = block.split("-----").next().unwrap_or_default();
                matches!(
                    kind,
                    "CERTIFICATE" | "PUBLIC KEY" | "RSA PUBLIC KEY" | "X509 CRL" | "TRUSTED CERTIFICATE"
                )
            })
    };
    let decoded = || {
        let bytes = terrace_artifact::base64::decode(value)?;
        String::from_utf8(bytes).ok()
    };
    value.trim().is_empty() || is_pem(value) || decoded().is_some_and(|text| is_pem(&text))
}

/// Finds secrets in a document. A value that is marked `!public` is none.
pub(crate) fn literal_secrets(node: &Node, files: &Files, diagnostics: &mut Diagnostics) {
    let mut search = Search {
        files,
        diagnostics,
        told: BTreeSet::new(),
    };
    search.node(node, None);
}

/// A walk through a document.
struct Search<'s> {
    files: &'s Files,
    diagnostics: &'s mut Diagnostics,
    told: BTreeSet<Span>,
}

impl Search<'_> {
    /// Looks through a value. `named` is the name of the input that it describes.
    fn node(&mut self, node: &Node, named: Option<&str>) {
        match &node.kind {
            NodeKind::List(items) => {
                for item in items {
                    self.node(item, None);
                    self.variable(item);
                }
                for pair in items.windows(2) {
                    if let (Some(flag), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
                        self.say(&pair[1], of_argument(flag, value));
                    }
                }
            }
            NodeKind::Map(entries) => {
                let secret = is_secret_object(node);
                for (key, value) in entries {
                    if secret && matches!(key.as_str(), "data" | "stringData") {
                        self.object(value);
                    }
                    // What SealedSecrets encrypt is no secret any more.
                    if key != ENCRYPTED {
                        self.entry(key, value, named);
                    }
                }
            }
            // A value of a map was looked at with its key.
            NodeKind::String(text) | NodeKind::Raw(text) if node.key == node.span => {
                self.say(node, of_text(text));
            }
            _ => {}
        }
    }

    fn entry(&mut self, key: &str, value: &Node, named: Option<&str>) {
        // `password: {type: string, default: …}` describes an input: what it gives is given to `password`.
        let gives = named.filter(|_| matches!(key, "default" | "examples" | "enum"));
        let key = gives.unwrap_or(key);
        if let Some(text) = value.as_str() {
            self.say(value, of_value(key, text));
        } else if let Some(number) = value.as_number() {
            let text = number.to_string();
            self.say(
                value,
                keys::gives_secret(key, &text).then(|| Reason::Key(key.to_owned())),
            );
        }
        if let (Some(name), NodeKind::List(items)) = (gives, &value.kind) {
            for item in items {
                let reason = item.as_str().and_then(|text| of_value(name, text));
                self.say(item, reason);
            }
        }
        let describes = value.get("type").is_some_and(|kind| kind.as_str().is_some());
        let named = describes.then_some(key).filter(|key| keys::names_secret(key));
        self.node(value, named);
    }

    /// What a Secret holds: every text in it that is neither an expression nor public by its form.
    fn object(&mut self, values: &Node) {
        for (_, value) in values.entries() {
            let secret = value
                .as_str()
                .filter(|text| !text.contains("{{") && !is_public(text));
            self.say(value, secret.map(|_| Reason::Object));
        }
    }

    /// `{name: DB_PASSWORD, value: …}`
    fn variable(&mut self, item: &Node) {
        for (name, value) in PAIRS {
            if let (Some(named), Some(value)) = (item.get(name).and_then(Node::as_str), item.get(value))
                && let Some(given) = value.as_str()
            {
                self.say(value, of_value(named, given));
            }
        }
    }

    fn say(&mut self, node: &Node, reason: Option<Reason>) {
        if let Some(reason) = reason
            && !is_marked(self.files, node.span)
            && self.told.insert(node.span)
        {
            self.diagnostics
                .push(written_out(&reason).at(node.span, reason.shown()));
        }
    }
}

/// Whether a map is a resource that is a Secret, or a manifest of one.
fn is_secret_object(node: &Node) -> bool {
    let word = |key: &str| node.get(key).and_then(Node::as_str);
    word("type") == Some("v1/Secret") || word("kind") == Some("Secret") && word("apiVersion") == Some("v1")
}

/// Whether a value is marked as no secret: the tag `!public` stands before it, or before what it repeats.
pub(crate) fn is_marked(files: &Files, span: Span) -> bool {
    const MARK: &str = "!public";
    let text = &files.get(span.file).text;
    let marked = |before: &str| {
        let before = before.trim_end();
        // An anchor may stand between the two.
        let without_anchor = before
            .rfind('&')
            .filter(|at| !before[*at..].contains(char::is_whitespace));
        before.ends_with(MARK) || without_anchor.is_some_and(|at| before[..at].trim_end().ends_with(MARK))
    };
    let repeated = || {
        let name = files.text(span).strip_prefix('*')?;
        let anchor = format!("&{name}");
        let ends = |at: usize| text[at + anchor.len()..].starts_with(|c: char| c.is_whitespace() || c == ',');
        let anchors = text[..span.start as usize].match_indices(&anchor);
        let (at, _) = anchors.filter(|(at, _)| ends(*at)).last()?;
        let after = text[at + anchor.len()..].trim_start();
        Some(marked(&text[..at]) || after.starts_with(MARK))
    };
    let before = text.get(..span.start as usize).unwrap_or_default();
    marked(before) || repeated().unwrap_or(false)
}

/// What a shell keeps in its history, and a plan would show.
pub(crate) fn typed_out(span: Span) -> Diagnostic {
    Diagnostic::new(Code::LiteralSecret, MESSAGE)
        .at(span, "its value does not belong on a command line")
        .help("refer to it in the component's own document: `\"{{ secret('NAME').KEY }}\"`")
        .help("change the secret: the shell may keep this line")
}

const MESSAGE: &str = "a secret is written in plain text";

/// A secret that stands in a file, without its place.
pub(crate) fn written_out(reason: &Reason) -> Diagnostic {
    let refer = match reason {
        Reason::Object => {
            "let the Secret be made outside of the stack (by External Secrets, Sealed Secrets, or by hand) and refer to it: \
             `\"{{ secret('NAME').KEY }}\"`"
        }
        _ => "refer to it: `\"{{ secret('NAME').KEY }}\"`",
    };
    Diagnostic::new(Code::LiteralSecret, MESSAGE)
        .help(refer)
        .help("change the secret: this value has been in a file")
        .help("if this is no secret, say so: put `!public` before the value")
}

#[cfg(test)]
mod tests;
