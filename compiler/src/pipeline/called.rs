//! What a step names: a resource of the platform, another pipeline, or what an expression gives.

use terrace_artifact::Text;

use super::lower::Lowering;
use super::names::Position;
use super::runtime::Value;
use super::targets::{self, Runs, resource_of};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, shown};
use crate::expression::template;
use crate::node::Node;
use crate::resource::Resource;
use crate::source::Span;
use crate::term::{Reference, Term};

/// What a step names.
pub(super) enum Target<'a> {
    /// A resource of the platform.
    Resource(&'a Resource),
    /// A pipeline that is lowered like this one: the address of its machine, its name, and what it says of its runs.
    Pipeline(Text, Text, Runs),
    /// What an expression gave: an ARN or a name.
    Value(Term),
}

impl<'a> Target<'a> {
    /// The resource, where it is known.
    pub(super) fn resource(&self) -> Option<&'a Resource> {
        match self {
            Target::Resource(resource) => Some(resource),
            _ => None,
        }
    }

    /// An attribute; what an expression gave counts as the attribute itself.
    pub(super) fn attribute(&self, name: &str, span: Span) -> Term {
        match self {
            Target::Resource(resource) => resource.attribute(name, span),
            Target::Pipeline(address, ..) => Reference::of_address(address.clone(), name, span).into(),
            Target::Value(term) => term.clone(),
        }
    }

    /// The name; of an ARN, what stands last in it.
    pub(super) fn name(&self, span: Span) -> Term {
        match self {
            Target::Value(Term::String(text)) if text.starts_with("arn:") => {
                text.rsplit([':', '/']).next().unwrap_or(text).into()
            }
            other => other.attribute("name", span),
        }
    }
}

impl<'a> Lowering<'a, '_> {
    /// What stands behind a key that names a target.
    pub(super) fn target(&mut self, node: &Node, resource_type: &'static str) -> Option<Target<'a>> {
        let text = node.as_str()?;
        let target = if text.contains("{{") {
            self.target_expression(node, resource_type)?
        } else if text.starts_with("arn:") {
            Target::Value(text.into())
        } else {
            let found = self.context.targets.look(text);
            let pipeline = found.and_then(|found| Some((found.runs?, found)));
            match pipeline.filter(|_| resource_type == "AWS::StepFunctions::StateMachine") {
                Some((runs, found)) => {
                    let (instance, index) = (found.instance, found.index);
                    self.beside(index, node)?;
                    let address = format!("{}/{}/state_machine", instance.tenant, instance.component);
                    Target::Pipeline(address.into(), instance.name.clone(), runs)
                }
                None => resource_of(self.context, text, node.span, resource_type, self.diagnostics)
                    .map(Target::Resource)?,
            }
        };
        match &target {
            Target::Resource(resource) => self.beside(resource.instance, node)?,
            Target::Value(Term::String(text)) => self.service_of(text, resource_type, node)?,
            _ => {}
        }
        Some(target)
    }

    /// A step calls what is in the pipeline's own account and region: nothing else lets it in.
    pub(super) fn beside(&mut self, instance: usize, node: &Node) -> Option<()> {
        let own = self.context.place;
        let what = match self.context.targets.home(instance) {
            Some(other) if other.account != own.account => "account",
            Some(other) if other.region != own.region => "region",
            _ => return Some(()),
        };
        let name = node.as_str().unwrap_or_default();
        self.diagnostics.push(
            Diagnostic::new(
                Code::WrongTarget,
                format!("`{}` is in another {what} than the pipeline", shown(name)),
            )
            .at(node.span, "cannot be reached from here")
            .help("let both go to one account, with `on`"),
        );
        None
    }

    /// An ARN says which service it is of.
    fn service_of(&mut self, text: &str, resource_type: &'static str, node: &Node) -> Option<()> {
        let Some(service) = text.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1)) else {
            return Some(());
        };
        let wanted = match resource_type.split("::").nth(1)? {
            "StepFunctions" => "states".to_owned(),
            "EMRServerless" => "emr-serverless".to_owned(),
            other => other.to_lowercase(),
        };
        if service == wanted {
            return Some(());
        }
        let word = targets::word_for(resource_type);
        self.diagnostics.push(
            Diagnostic::new(Code::WrongTarget, format!("`{}` is not a {word}", shown(text)))
                .at(node.span, format!("a {word} is expected here"))
                .note(format!("its ARN is one of `{service}`, not of `{wanted}`")),
        );
        None
    }

    fn target_expression(&mut self, node: &Node, resource_type: &'static str) -> Option<Target<'a>> {
        let template = template(node, self.files, self.diagnostics);
        let mut reads = Vec::new();
        let value = self.with_runtime(&Position::default(), &mut reads, |runtime| {
            runtime.template(&template)
        })?;
        let word = targets::word_for(resource_type);
        match value {
            Value::Known(Term::Reference(reference)) => {
                let Some(resource) = self.context.targets.lead(&reference) else {
                    return Some(Target::Value(Term::Reference(reference)));
                };
                let kind = resource.kind.cloudformation().unwrap_or_default();
                if kind == resource_type {
                    return Some(Target::Resource(resource));
                }
                // A version or an alias of a function or a machine can be called as well.
                if kind.ends_with("Alias") || kind.ends_with("Version") {
                    return Some(Target::Value(Term::Reference(reference)));
                }
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::WrongTarget,
                        format!("`{}` is not a {word}", resource.address),
                    )
                    .at(node.span, format!("a {word} is expected here"))
                    .also(resource.declared, "this is meant"),
                );
                None
            }
            Value::Known(term @ (Term::String(_) | Term::Concat(_))) => Some(Target::Value(term)),
            Value::Known(other) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::WrongTarget,
                        format!("a {word} is named here, not {}", other.kind()),
                    )
                    .at(node.span, "not a name"),
                );
                None
            }
            Value::Late(_) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::NotAtRunTime,
                        "what a step calls has to be known when compiling",
                    )
                    .at(node.span, "known only when the pipeline runs")
                    .note("the role is allowed exactly what the steps call"),
                );
                None
            }
        }
    }
}
