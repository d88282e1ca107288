//! CloudFormation: properties of a resource in a template, intrinsic functions, and parameters and outputs of stacks.

pub mod attributes;
mod render;
mod stack_names;

use std::sync::Arc;

use terrace_artifact::{Segment, Text};
use terrace_catalog::{At, Problem, ProblemKind};
use terrace_language::expression::Failure;
use terrace_language::resource::{Destination, Instance, Resource, ResourceKind};
use terrace_language::targets::CloudFormation;
use terrace_language::value::term::{SecretReference, Term};
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::connect::unique_names::Name;
use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Lowering, logical_id};
use crate::targets::TargetLowering;
use attributes::name_property;

impl TargetLowering for CloudFormation {
    fn place<'i>(&self, instance: &'i Instance) -> Option<&'i Text> {
        instance.account.as_ref()
    }

    fn missing_place(&self) -> (&'static str, &'static str) {
        (
            "AWS account",
            "add `aws:` to the environment, select one of its accounts with `on: NAME`, or exclude the environment with `environments:`",
        )
    }

    fn complete(&self, resource: &mut Resource, _instance: &Instance) {
        if resource.body == Term::Omit {
            resource.body = Term::Map(Vec::new().into());
        }
    }

    fn unique_names<'r>(&self, resource: &'r Resource, report: &mut dyn FnMut(Name<'r>)) {
        report(Name::Derived(resource.instance, logical_id(resource)));
        let type_name = type_name(&resource.kind);
        if UNIQUE_IN_ACCOUNT.contains(&type_name)
            && let Some(name) = self.name(&resource.kind, &resource.body).and_then(Term::as_str)
        {
            report(Name::Set([type_name, "", ""], name));
        }
    }

    fn check_artifact_names(&self, graph: &Graph<'_>, diagnostics: &mut Diagnostics) {
        stack_names::check(graph, diagnostics);
    }

    fn name<'t>(&self, kind: &ResourceKind, body: &'t Term) -> Option<&'t Term> {
        body.get(name_property_of(kind)?)
    }

    fn name_field(&self, kind: &ResourceKind) -> Option<Vec<Segment>> {
        Some(vec![Segment::Key(name_property_of(kind)?.into())])
    }

    fn attribute(
        &self,
        resource: &Resource,
        path: &[Text],
        same_artifact: bool,
        span: Span,
    ) -> Result<Attribute, Box<Failure>> {
        attributes::find(resource, type_name(&resource.kind), path, same_artifact, span)
    }

    /// Inside the same account, the intrinsic function is used. Elsewhere the value is used, if it is known.
    fn resolves_pseudo_parameters(&self, place: &Destination, own: &Destination) -> bool {
        place == own || place.account.is_none()
    }

    fn render(&self, lowering: &mut Lowering<'_>, atoms: Vec<Atom>, _span: Span, _at: &At<'_>) -> Term {
        match <[Atom; 1]>::try_from(atoms) {
            Ok([atom]) => lowering.intrinsic(atom),
            Err(atoms) => lowering.substitution(atoms),
        }
    }

    fn secret(&self, lowering: &mut Lowering<'_>, secret: &Arc<SecretReference>, at: &At<'_>) -> Term {
        lowering.render(vec![Atom::Secret(secret.clone())], secret.span, at)
    }

    fn secret_entry(
        &self,
        _lowering: &mut Lowering<'_>,
        _key: &str,
        _secret: &SecretReference,
    ) -> Option<(Text, Term)> {
        None
    }

    fn validate(
        &self,
        kind: &ResourceKind,
        body: &Term,
        attributes: &[(Text, Term)],
        problems: &mut Vec<Problem>,
    ) {
        let name = kind.name();
        if let Some(resource_type) = terrace_catalog::cloudformation(name) {
            resource_type.validate(body, problems);
        }
        if !attributes.is_empty() {
            let mut whole = vec![("Type".into(), Term::from(name))];
            whole.extend(attributes.iter().cloned());
            terrace_catalog::validate_resource_attributes(&Term::Map(whole.into()), problems);
        }
    }

    fn limited_name(&self, resource: &Resource, problem: &Problem) -> Option<(String, usize)> {
        let [Segment::Key(key)] = problem.path.as_slice() else {
            return None;
        };
        let named = || {
            let property = name_property_of(&resource.kind)?;
            let name = (property == key.as_str()).then(|| resource.body.get(key))??;
            Some(name.shown().to_string())
        };
        match &problem.kind {
            ProblemKind::Length {
                maximum: Some(maximum),
                ..
            } => Some((named()?, *maximum as usize)),
            ProblemKind::Pattern { pattern } => {
                let name = named()?;
                // If a prefix of the name is valid, only the length is wrong.
                let pattern = terrace_catalog::Pattern::new(pattern);
                let fits = |length: &usize| pattern.matches(&name[..*length]);
                let mut lengths = name.char_indices().rev().map(|(at, _)| at);
                let maximum = lengths.find(|length| *length > 0 && fits(length))?;
                Some((name, maximum))
            }
            _ => None,
        }
    }

    fn is_slug(&self, _path: &[Segment]) -> bool {
        false
    }
}

/// Returns the type of a resource.
fn type_name(kind: &ResourceKind) -> &str {
    kind.cloudformation().unwrap_or_default()
}

/// Returns the property with the name of a resource.
fn name_property_of(kind: &ResourceKind) -> Option<&'static str> {
    let type_name = type_name(kind);
    name_property(type_name, terrace_catalog::cloudformation(type_name)?)
}

/// Types whose names are unique in an account (or, for buckets, anywhere).
const UNIQUE_IN_ACCOUNT: [&str; 18] = [
    "AWS::Athena::WorkGroup",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::Glue::Crawler",
    "AWS::Glue::Database",
    "AWS::Glue::Job",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::Kinesis::Stream",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::StepFunctions::StateMachine",
];
