//! Finds secrets in bodies as the targets would get them, after expressions, inputs and defaults are applied.

use terrace_artifact::Segment;
use terrace_catalog::At;
use terrace_graph::connect::Graph;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::secrets::{
    ENCRYPTED, PAIRS, Reason, is_marked, is_public, keys, of_argument, of_text, of_value, typed_out,
    written_out,
};

use super::rules_of;

/// Properties that contain a secret, in addition to those whose names end in words such as `Password`.
const PROPERTIES: [&str; 3] = ["SecretString", "AuthToken", "SecretToken"];

/// Reports secrets in the body of a resource. Returns whether it contains any. If so, no other message may be about the body, because it
/// could show the secret.
pub fn in_body(graph: &Graph<'_>, at: usize, body: &Term, diagnostics: &mut Diagnostics) -> bool {
    let resource = &graph.resources[at];
    let mut found = Vec::new();
    Search::of(resource, &mut found).term(&At::ROOT, body);
    let mut has_secret = false;
    for (path, reason) in found {
        let diagnostic = graph.at_field(resource, &path, written_out(&reason));
        let place = diagnostic.primary.as_ref().map(|label| label.span);
        if place.is_some_and(|span| is_marked(graph.files, span)) {
            continue;
        }
        has_secret = true;
        diagnostics.push(match place {
            Some(span) if graph.files.get(span.file).path == "--set" => typed_out(span),
            Some(span) => diagnostic.at(span, reason.shown()),
            None => diagnostic,
        });
    }
    has_secret
}

/// A walk through a body.
struct Search<'f> {
    /// Whether the value of a property is a secret if its key names a password.
    password_properties: bool,
    /// Whether all values of the resource are secret.
    secret: bool,
    found: &'f mut Vec<(Vec<Segment>, Reason)>,
}

impl<'f> Search<'f> {
    fn of(resource: &Resource, found: &'f mut Vec<(Vec<Segment>, Reason)>) -> Search<'f> {
        let rules = rules_of(&resource.kind);
        Search {
            password_properties: rules.has_password_properties(),
            secret: rules.is_secret(&resource.kind),
            found,
        }
    }

    fn term(&mut self, at: &At<'_>, term: &Term) {
        match term {
            Term::Map(entries) => {
                let known = entries.known().map(|known| &known.memo.harmless);
                if known.is_some_and(|harmless| harmless.get().is_some()) {
                    return;
                }
                let before = self.found.len();
                self.map(at, entries);
                // Many tenants share the parts of a module without expressions. They are searched once.
                if let Some(harmless) = known.filter(|_| self.found.len() == before && !self.secret) {
                    let _ = harmless.set(());
                }
            }
            Term::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let here = at.index(index);
                    match item.as_str() {
                        Some(text) => self.note(&here, of_text(text)),
                        None => self.term(&here, item),
                    }
                    self.variable(&here, item);
                }
                for (index, pair) in items.windows(2).enumerate() {
                    if let (Some(flag), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
                        self.note(&at.index(index + 1), of_argument(flag, value));
                    }
                }
            }
            // A string with values that are known after apply: the parts that are known now.
            Term::Concat(parts) => {
                let known = parts.iter().find_map(Term::as_str);
                self.note(at, known.and_then(of_text));
            }
            _ => {}
        }
    }

    fn map(&mut self, at: &At<'_>, entries: &[(terrace_artifact::Text, Term)]) {
        for (key, term) in entries {
            let here = at.key(key);
            match term {
                _ if key == ENCRYPTED => {}
                Term::Map(values) if self.secret && matches!(key.as_str(), "data" | "stringData") => {
                    self.object(&here, values);
                }
                Term::String(text) => self.note(&here, self.of_value(key, text)),
                Term::Number(number) if self.password_properties => {
                    self.note(&here, self.of_value(key, &number.to_string()));
                }
                term => self.term(&here, term),
            }
        }
    }

    /// Searches the values of a Secret.
    fn object(&mut self, at: &At<'_>, values: &[(terrace_artifact::Text, Term)]) {
        for (key, value) in values {
            if value.as_str().is_some_and(|text| !is_public(text)) {
                self.note(&at.key(key), Some(Reason::Object));
            }
        }
    }

    fn of_value(&self, key: &str, value: &str) -> Option<Reason> {
        // The value of a property for passwords is one, even if it is short.
        let property = self.password_properties
            && (PROPERTIES.contains(&key) || keys::is_password(key))
            && keys::is_written(value);
        of_value(key, value).or_else(|| property.then(|| Reason::Key(key.to_owned())))
    }

    /// `{name: DB_PASSWORD, value: …}`
    fn variable(&mut self, at: &At<'_>, item: &Term) {
        let text = |key: &str| item.get(key).and_then(Term::as_str);
        for (name, value) in PAIRS {
            // A value that has the form of a secret was found under its key.
            if let (Some(named), Some(given)) = (text(name), text(value))
                && keys::gives_secret(named, given)
                && of_text(given).is_none()
            {
                self.note(&at.key(value), Some(Reason::Key(named.to_owned())));
            }
        }
    }

    fn note(&mut self, at: &At<'_>, reason: Option<Reason>) {
        self.found.extend(reason.map(|reason| (at.path(), reason)));
    }
}
