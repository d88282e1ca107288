//! The target of a step: a resource of the platform, another pipeline, or the value of an expression.

use terrace_artifact::Text;
use terrace_language::expression::template;
use terrace_language::resource::Resource;
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, shown};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use crate::lower::Lowering;
use crate::runtime::Value;
use crate::runtime::names::Position;
use crate::targets;
use crate::targets::{Runs, resource_of};

/// The label of a value that must be known at compile time and is not.
pub(crate) const KNOWN_AT_RUN_TIME: &str = "known only at run time";
/// The reason why a target must be known at compile time.
pub(crate) const LEAST_PRIVILEGE: &str =
    "the role of the pipeline has permissions only for targets that are known at compile time";

/// The target of a step.
pub(crate) enum Target<'a> {
    /// A resource of the platform.
    Resource(&'a Resource),
    /// Another pipeline: the address of its state machine, its name, and the limits of its executions.
    Pipeline(Text, Text, Runs),
    /// The value of an expression: an ARN or a name.
    Value(Term),
}

impl<'a> Target<'a> {
    /// Returns the resource, if it is known.
    pub(crate) fn resource(&self) -> Option<&'a Resource> {
        match self {
            Target::Resource(resource) => Some(resource),
            _ => None,
        }
    }

    /// Returns an attribute. The value of an expression is the attribute itself.
    pub(crate) fn attribute(&self, name: &str, span: Span) -> Term {
        match self {
            Target::Resource(resource) => resource.attribute(name, span),
            Target::Pipeline(address, ..) => Reference::of_address(address.clone(), name, span).into(),
            Target::Value(term) => term.clone(),
        }
    }

    /// Returns the name, which is the last part of an ARN.
    pub(crate) fn name(&self, span: Span) -> Term {
        match self {
            Target::Value(Term::String(text)) if text.starts_with("arn:") => {
                text.rsplit([':', '/']).next().unwrap_or(text).into()
            }
            other => other.attribute("name", span),
        }
    }
}

impl<'a> Lowering<'a, '_> {
    /// Resolves the target that a key names.
    pub(crate) fn target(&mut self, node: &Node, resource_type: &'static str) -> Option<Target<'a>> {
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
                    let address = format!("{}/{}/state_machine", instance.owner, instance.component);
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

    /// Checks that a target is in the account and region of the pipeline, because a step cannot call others.
    pub(crate) fn beside(&mut self, instance: usize, node: &Node) -> Option<()> {
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
                format!("`{}` is not in the {what} of the pipeline", shown(name)),
            )
            .at(
                node.span,
                "a step can call only targets in its own account and region",
            )
            .help("set `on` of the pipeline and of the component to the same account and region"),
        );
        None
    }

    /// Checks that an ARN belongs to the expected service.
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
        let word = targets::with_article(resource_type);
        self.diagnostics.push(
            Diagnostic::new(Code::WrongTarget, format!("`{}` is not {word}", shown(text)))
                .at(node.span, format!("expected {word}"))
                .note(format!("the ARN belongs to `{service}`, not to `{wanted}`")),
        );
        None
    }

    fn target_expression(&mut self, node: &Node, resource_type: &'static str) -> Option<Target<'a>> {
        let template = template(node, self.files, self.diagnostics);
        let mut reads = Vec::new();
        let value = self.with_runtime(&Position::default(), &mut reads, |runtime| {
            runtime.template(&template)
        })?;
        let word = targets::with_article(resource_type);
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
                    Diagnostic::new(Code::WrongTarget, format!("`{}` is not {word}", resource.address))
                        .at(node.span, format!("expected {word}"))
                        .also(resource.declared, "declared here"),
                );
                None
            }
            Value::Known(term @ (Term::String(_) | Term::Concat(_))) => Some(Target::Value(term)),
            Value::Known(other) => {
                self.diagnostics.push(
                    Diagnostic::new(Code::WrongTarget, format!("the name of {word} must be a string"))
                        .at(node.span, format!("found {}", other.kind())),
                );
                None
            }
            Value::Late(_) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::NotAtRunTime,
                        "the target of a step must be known at compile time",
                    )
                    .at(node.span, KNOWN_AT_RUN_TIME)
                    .note(LEAST_PRIVILEGE),
                );
                None
            }
        }
    }
}
