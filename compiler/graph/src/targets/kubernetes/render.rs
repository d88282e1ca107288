//! Renders values that are known after apply: bindings, which the deployer fills in, and references to Secrets.

use terrace_catalog::At;
use terrace_language::expression::Failure;
use terrace_language::value::term::{SecretReference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::source::Span;

use crate::lower::{Atom, Lowering};

impl Lowering<'_> {
    /// Renders a value as a string for messages, and adds a binding for the deployer.
    pub(super) fn binding(&mut self, atoms: Vec<Atom>, span: Span, at: &At<'_>) -> Term {
        let mut shown = String::new();
        for atom in &atoms {
            match atom {
                Atom::Text(text) => shown.push_str(text),
                Atom::Late(late) => shown.push_str(&format!("${{{}}}", late.shown)),
                Atom::Pseudo(name, _) => {
                    let what = match name.as_str() {
                        "AWS::AccountId" => "account",
                        "AWS::Region" => "region",
                        _ => "partition",
                    };
                    let message = format!("the {what} of this environment is unknown");
                    self.fail(
                        Failure::new(
                            Code::UnknownTarget,
                            span,
                            message,
                            "a Kubernetes object needs it at compile time",
                        )
                        .with_help("add `aws: {account: …, region: …}` to the environment"),
                    );
                }
                Atom::Secret(secret) => self.fail(Failure::new(
                    Code::LiteralSecret,
                    secret.span,
                    "a secret cannot be part of a string in a Kubernetes object",
                    "the object would contain its value",
                )),
                Atom::Asset(asset) => self.fail(Failure::new(
                    Code::InvalidResource,
                    asset.span,
                    "an asset cannot be used in a Kubernetes object",
                    "assets are stored in the bootstrap bucket of an AWS account",
                )),
            }
        }
        self.out.bindings.push((at.path(), atoms));
        // The checks still see a late value. Its string is for messages.
        Term::Concat(vec![Term::String(shown.into())].into())
    }

    /// Renders the reference to a key of a Secret.
    pub(super) fn secret_key_ref(&mut self, secret: &SecretReference) -> Term {
        let Some(key) = &secret.key else {
            let message = format!("`secret('{}')` cannot be used as a value", secret.name);
            self.fail(
                Failure::new(Code::UnknownAttribute, secret.span, message, "requires a key")
                    .with_help(format!("write `secret('{}').password`", secret.name)),
            );
            return Term::Null;
        };
        let reference = Term::map([("name", Term::from(&secret.name)), ("key", Term::from(key))]);
        Term::map([("secretKeyRef", reference)])
    }
}
