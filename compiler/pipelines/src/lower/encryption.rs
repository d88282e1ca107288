//! The key that encrypts the definition, the executions and the logs of a pipeline.

use terrace_artifact::Owner;
use terrace_language::document::Pipeline;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, listed};
use terrace_syntax::source::Span;

use crate::lower::Lowering;
use crate::targets::{Targets, resource_of};

const KEY: &str = "AWS::KMS::Key";

impl<'a> Lowering<'a, '_> {
    /// Returns the ARN of the key that the document names, or of the key of the module `kms`, if there is one.
    pub(crate) fn encryption_key(&mut self, pipeline: &Pipeline) -> Option<Term> {
        let span = pipeline.name.span;
        let key = match pipeline.node.get("key") {
            Some(node) => {
                let name = node.as_str().filter(|name| *name != "aws")?;
                let key = resource_of(self.context, name, node.span, KEY, self.diagnostics)?;
                self.beside(key.instance, node)?;
                key
            }
            None => self.usual_key(span)?,
        };
        Some(key.attribute("arn", span))
    }

    /// Finds the key of the module `kms`: of the tenant, or else of the platform.
    fn usual_key(&mut self, span: Span) -> Option<&'a Resource> {
        let targets: &'a dyn Targets = self.context.targets;
        let own = self.context.place;
        let is_near = |key: &&Resource| {
            let home = targets.home(key.instance);
            let near = |home: &terrace_language::resource::Destination| {
                (&home.account, &home.region) == (&own.account, &own.region)
            };
            targets.module_of(key) == Some("kms") && home.is_none_or(near)
        };
        let keys: Vec<&Resource> = targets.of_type(KEY).into_iter().filter(is_near).collect();
        let owned_by = |owner: &Owner| -> Vec<&'a Resource> {
            let owned = keys.iter().filter(|key| key.address.owner == *owner);
            owned.copied().collect()
        };
        let mut scopes = self.context.instance.owner.scopes().map(owned_by);
        let found = scopes.find(|found| !found.is_empty()).unwrap_or_default();
        if let Some(named) = found.iter().find(|key| key.address.component == "kms") {
            return Some(named);
        }
        match found.as_slice() {
            [] => None,
            [one] => Some(one),
            several => {
                let names = several.iter().map(|key| key.address.component.as_str());
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::AmbiguousReference,
                        "the encryption key of the pipeline is ambiguous",
                    )
                    .at(span, format!("{} have a key", listed(names)))
                    .help("set `key: COMPONENT`, or `key: aws` for a key that AWS owns"),
                );
                None
            }
        }
    }
}

/// Returns the encryption configuration of a state machine.
pub(crate) fn configuration(key: &Term) -> Term {
    Term::map([
        ("Type", Term::from("CUSTOMER_MANAGED_KMS_KEY")),
        ("KmsKeyId", key.clone()),
        ("KmsDataKeyReusePeriodSeconds", 300.into()),
    ])
}
