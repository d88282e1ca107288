//! Finds secrets in plain text.
//!
//! Two places are searched: documents as they are written, so that the message points to the value, and bodies as the targets would get them,
//! after expressions, inputs and defaults are applied. This module searches documents. The crate of the rules searches bodies. In both places,
//! a secret is recognized by the form of the value ([`forms`]), by its key ([`keys`]), or by an assignment inside a string ([`text`]). No
//! message shows the value.

mod forms;
pub mod keys;
mod text;

use std::collections::BTreeSet;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};

pub use forms::find as forms_in;
pub use text::{assigned, secrets_in};

/// The key with the values of a SealedSecret.
pub const ENCRYPTED: &str = "encryptedData";

/// The keys for the name and the value of a list item.
pub const PAIRS: [(&str, &str); 5] = [
    ("name", "value"),
    ("Name", "Value"),
    ("Key", "Value"),
    ("ParameterKey", "ParameterValue"),
    ("OptionName", "Value"),
];

/// The reason why a value is a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The name of the key, variable or argument.
    Key(String),
    /// The form of the value: `a private key`.
    Form(&'static str),
    /// The string assigns a value to this key.
    Assigned(String),
    /// The value is in a Secret.
    Object,
}

impl Reason {
    pub fn shown(&self) -> String {
        match self {
            Reason::Key(key) => format!("the name `{}` indicates a secret", crate::diagnostic::shown(key)),
            Reason::Form(what) => format!("has the form of {what}"),
            Reason::Assigned(key) => format!("assigns a secret to `{}`", crate::diagnostic::shown(key)),
            Reason::Object => "the values of a Secret are secret".to_owned(),
        }
    }
}

/// Returns the reason why a string is a secret, independent of its key.
pub fn of_text(text: &str) -> Option<Reason> {
    forms::first(text)
        .map(|form| Reason::Form(form.what))
        .or_else(|| text::assigned(text).map(|key| Reason::Assigned(key.to_owned())))
}

/// Returns the reason why the value of a key is a secret.
pub fn of_value(key: &str, value: &str) -> Option<Reason> {
    of_text(value).or_else(|| keys::gives_secret(key, value).then(|| Reason::Key(key.to_owned())))
}

/// Returns the reason why the argument after `flag` is a secret: `[--password, …]`.
pub fn of_argument(flag: &str, value: &str) -> Option<Reason> {
    let is_flag = flag.starts_with('-') && !flag.contains('=') && !value.starts_with('-');
    (is_flag && keys::gives_secret(flag, value)).then(|| Reason::Key(flag.to_owned()))
}

/// Returns whether the value of a key is a secret.
pub fn is_secret(key: &str, value: &str) -> bool {
    of_value(key, value).is_some()
}

/// Returns whether messages must not show the value of a key, because the key names a secret.
pub fn is_confidential(key: &str) -> bool {
    keys::names_secret(key)
}

/// Returns whether the value of a Secret is public: empty, or certificates and public keys in PEM, with or without base64.
pub fn is_public(value: &str) -> bool {
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

/// Reports secrets in a document, except values with the tag `!public`.
pub fn literal_secrets(node: &Node, files: &Files, diagnostics: &mut Diagnostics) {
    let mut search = Search {
        files,
        diagnostics,
        reported: BTreeSet::new(),
    };
    search.node(node, None);
}

/// A walk through a document.
struct Search<'s> {
    files: &'s Files,
    diagnostics: &'s mut Diagnostics,
    reported: BTreeSet<Span>,
}

impl Search<'_> {
    /// Searches a value. `named` is the name of the input that the value describes.
    fn node(&mut self, node: &Node, named: Option<&str>) {
        match &node.kind {
            NodeKind::List(items) => {
                for item in items {
                    self.node(item, None);
                    self.variable(item);
                }
                for pair in items.windows(2) {
                    if let (Some(flag), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
                        self.report(&pair[1], of_argument(flag, value));
                    }
                }
            }
            NodeKind::Map(entries) => {
                let secret = is_secret_object(node);
                for (key, value) in entries {
                    if secret && matches!(key.as_str(), "data" | "stringData") {
                        self.object(value);
                    }
                    // The values of a SealedSecret are encrypted.
                    if key != ENCRYPTED {
                        self.entry(key, value, named);
                    }
                }
            }
            // A value of a map was checked with its key.
            NodeKind::String(text) | NodeKind::Raw(text) if node.key == node.span => {
                self.report(node, of_text(text));
            }
            _ => {}
        }
    }

    fn entry(&mut self, key: &str, value: &Node, named: Option<&str>) {
        // `password: {type: string, default: …}` describes an input, so the default is a value of `password`.
        let gives = named.filter(|_| matches!(key, "default" | "examples" | "enum"));
        let key = gives.unwrap_or(key);
        if let Some(text) = value.as_str() {
            self.report(value, of_value(key, text));
        } else if let Some(number) = value.as_number() {
            let text = number.to_string();
            self.report(
                value,
                keys::gives_secret(key, &text).then(|| Reason::Key(key.to_owned())),
            );
        }
        if let (Some(name), NodeKind::List(items)) = (gives, &value.kind) {
            for item in items {
                let reason = item.as_str().and_then(|text| of_value(name, text));
                self.report(item, reason);
            }
        }
        let describes = value.get("type").is_some_and(|kind| kind.as_str().is_some());
        let named = describes.then_some(key).filter(|key| keys::names_secret(key));
        self.node(value, named);
    }

    /// Reports every string in a Secret that is neither an expression nor public.
    fn object(&mut self, values: &Node) {
        for (_, value) in values.entries() {
            let secret = value
                .as_str()
                .filter(|text| !text.contains("{{") && !is_public(text));
            self.report(value, secret.map(|_| Reason::Object));
        }
    }

    /// `{name: DB_PASSWORD, value: …}`
    fn variable(&mut self, item: &Node) {
        for (name, value) in PAIRS {
            if let (Some(named), Some(value)) = (item.get(name).and_then(Node::as_str), item.get(value))
                && let Some(given) = value.as_str()
            {
                self.report(value, of_value(named, given));
            }
        }
    }

    fn report(&mut self, node: &Node, reason: Option<Reason>) {
        if let Some(reason) = reason
            && !is_marked(self.files, node.span)
            && self.reported.insert(node.span)
        {
            self.diagnostics
                .push(written_out(&reason).at(node.span, reason.shown()));
        }
    }
}

/// Returns whether a map is a resource or a manifest of a Secret.
fn is_secret_object(node: &Node) -> bool {
    let word = |key: &str| node.get(key).and_then(Node::as_str);
    word("type") == Some("v1/Secret") || word("kind") == Some("Secret") && word("apiVersion") == Some("v1")
}

/// Returns whether a value has the tag `!public`, directly or at the anchor that it repeats.
pub fn is_marked(files: &Files, span: Span) -> bool {
    const MARK: &str = "!public";
    let text = &files.get(span.file).text;
    let marked = |before: &str| {
        let before = before.trim_end();
        // An anchor may be between the tag and the value.
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

/// Reports a secret on the command line. The history of the shell and a plan would contain it.
pub fn typed_out(span: Span) -> Diagnostic {
    Diagnostic::new(Code::LiteralSecret, MESSAGE)
        .at(span, "secrets must not be passed on the command line")
        .help("refer to the secret in the document of the component: `\"{{ secret('NAME').KEY }}\"`")
        .help("rotate the secret, because the history of the shell may contain it")
}

const MESSAGE: &str = "a secret is written in plain text";

/// Reports a secret in a file, without its place.
pub fn written_out(reason: &Reason) -> Diagnostic {
    let refer = match reason {
        Reason::Object => {
            "create the Secret outside the stack (with External Secrets, Sealed Secrets, or by hand), and refer to it: \
             `\"{{ secret('NAME').KEY }}\"`"
        }
        _ => "refer to the secret: `\"{{ secret('NAME').KEY }}\"`",
    };
    Diagnostic::new(Code::LiteralSecret, MESSAGE)
        .help(refer)
        .help("rotate the secret, because this value has been in a file")
        .help("if the value is not secret, write `!public` before it")
}

#[cfg(test)]
mod tests;
