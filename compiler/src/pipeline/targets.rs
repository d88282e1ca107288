//! What lowering a pipeline needs to know about the rest of the platform.

use terrace_artifact::{Segment, Text};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Pipeline;
use crate::node::Node;
use crate::resource::{Instance, Place, Resource};
use crate::source::Span;
use crate::term::{Reference, Term};

/// Where a pipeline stands.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The pipeline as a component.
    pub(crate) instance: &'a Instance,
    /// Its place in [`crate::resource::Expanded::instances`].
    pub(crate) index: usize,
    /// The class, account and region of its environment.
    pub(crate) place: &'a Place,
    /// The rest of the platform.
    pub(crate) targets: &'a dyn Targets,
}

/// The rest of the platform, as the later phases see it.
pub(crate) trait Targets {
    /// What a name finds, in the order in which `ref` looks. Where it finds nothing, or two things, the implementation says
    /// so itself.
    fn find(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Found<'_>>;

    /// Like [`Targets::find`], and silent where there is nothing.
    fn look(&self, name: &str) -> Option<Found<'_>>;

    /// The resource that a reference of the component itself leads to.
    fn lead(&self, reference: &Reference) -> Option<&Resource>;

    /// Where a component is deployed to: by its place in [`crate::resource::Expanded::instances`].
    fn home(&self, instance: usize) -> Option<&Place>;

    /// The module that a resource was made by.
    fn module_of(&self, resource: &Resource) -> Option<&str>;

    /// The resource that a reference in the body of `from` leads to.
    fn follow(&self, from: &Resource, reference: &Reference) -> Option<&Resource>;

    /// Every resource of the environment.
    fn resources(&self) -> &[Resource];

    /// The resources of a CloudFormation type that can be seen: those of the tenant and of the platform.
    fn of_type(&self, resource_type: &str) -> Vec<&Resource> {
        let of_type = |resource: &&Resource| resource.kind.cloudformation() == Some(resource_type);
        self.resources().iter().filter(of_type).collect()
    }

    /// The place of a value in a resource's body, as far as it is known.
    fn place(&self, resource: &Resource, path: &[Segment]) -> Span {
        let _ = path;
        resource.declared
    }

    /// The place of the key of such a value.
    fn place_of_key(&self, resource: &Resource, path: &[Segment]) -> Span {
        self.place(resource, path)
    }

    /// The buckets that a job or function may write into, each with what the keys begin with that it may write: the empty text where
    /// it may write all. Known once grants have become policies.
    fn writable<'s>(&'s self, runner: &Resource) -> Vec<(&'s Resource, Text)>;

    /// The text of a file of the stack, as `asset('path')` names it.
    fn text(&self, path: &str) -> Option<String>;
}

/// What a name finds.
#[derive(Clone)]
pub(crate) struct Found<'a> {
    /// The component.
    pub(crate) instance: &'a Instance,
    /// Its place in [`crate::resource::Expanded::instances`].
    pub(crate) index: usize,
    /// What it says of its runs, where it is a pipeline: its resources may not be there yet.
    pub(crate) runs: Option<Runs>,
    /// Its resources.
    pub(crate) resources: Vec<&'a Resource>,
}

/// The longest that a run of an `EXPRESS` pipeline may take, in seconds.
pub(super) const EXPRESS_LIMIT: i64 = 300;

/// What a pipeline says of its runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    /// The longest that one may take, where that is known.
    pub(crate) seconds: Option<i64>,
    /// Whether they are those of an `EXPRESS` pipeline.
    pub(crate) express: bool,
    /// The place that says so.
    pub(crate) span: Span,
}

impl Runs {
    /// What a pipeline says.
    pub(crate) fn of_pipeline(pipeline: &Pipeline) -> Runs {
        let express = pipeline.node.get("type").and_then(Node::as_str) == Some("EXPRESS");
        let timeout = pipeline.timeout.as_ref();
        Runs {
            seconds: Some(Runs::longest(pipeline, express)),
            express,
            span: timeout.map_or(pipeline.name.span, |timeout| timeout.span),
        }
    }

    /// The longest that a run of a pipeline may take: 4 hours where it does not say so, and 5 minutes for `EXPRESS`.
    pub(super) fn longest(pipeline: &Pipeline, express: bool) -> i64 {
        let default = if express { EXPRESS_LIMIT } else { 14_400 };
        pipeline
            .timeout
            .as_ref()
            .map_or(default, |timeout| timeout.value.seconds)
    }

    /// What a state machine says that somebody wrote.
    pub(crate) fn of_machine(machine: &Resource) -> Runs {
        let kind = machine.body.get("StateMachineType").and_then(Term::as_str);
        let timeout = machine.body.at(&["Definition", "TimeoutSeconds"]);
        Runs {
            seconds: timeout.and_then(Term::as_integer),
            express: kind == Some("EXPRESS"),
            span: machine.declared,
        }
    }
}

/// A reference to an attribute of another resource of the same pipeline.
pub(crate) fn own(resource: &str, attribute: &str, span: Span) -> Term {
    Reference {
        name: resource.into(),
        key: None,
        path: vec![attribute.into()],
        local: true,
        span,
    }
    .into()
}

/// Finds the one resource of a type: `COMPONENT`, `COMPONENT.RESOURCE` or `COMPONENT.RESOURCE["KEY"]`.
pub(crate) fn resource_of<'a>(
    context: &Context<'a>,
    name: &str,
    span: Span,
    resource_type: &str,
    diagnostics: &mut Diagnostics,
) -> Option<&'a Resource> {
    let (component, rest) = match name.split_once('.') {
        Some((component, rest)) => (component, Some(rest)),
        None => (name, None),
    };
    let found = context.targets.find(component, span, diagnostics)?;
    let word = word_for(resource_type);
    let of_type = || {
        found
            .resources
            .iter()
            .copied()
            .filter(|resource| resource.kind.cloudformation() == Some(resource_type))
    };
    let named = |resource: &Resource| match &resource.address.key {
        Some(key) => format!("{}[\"{key}\"]", resource.address.resource),
        None => resource.address.resource.to_string(),
    };
    use crate::code::Code;
    match rest {
        Some(rest) => {
            let quoted = rest.replace('\'', "\"");
            let Some(resource) = found.resources.iter().copied().find(|r| named(r) == quoted) else {
                let names: Vec<String> = of_type().map(named).collect();
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownReference,
                        format!("`{component}` has no resource `{rest}`"),
                    )
                    .at(span, format!("a {word} is expected here"))
                    .help(format!("it has {}", crate::diagnostic::listed(&names))),
                );
                return None;
            };
            if resource.kind.cloudformation() != Some(resource_type) {
                diagnostics.push(wrong_target(name, resource_type, span, &found));
                return None;
            }
            Some(resource)
        }
        None => {
            let mut candidates = of_type();
            let (first, second) = (candidates.next(), candidates.next());
            match (first, second) {
                (Some(resource), None) => Some(resource),
                (None, _) => {
                    diagnostics.push(wrong_target(name, resource_type, span, &found));
                    None
                }
                (Some(_), Some(_)) => {
                    let names: Vec<String> = of_type().map(|r| format!("{component}.{}", named(r))).collect();
                    diagnostics.push(
                        Diagnostic::new(
                            Code::AmbiguousReference,
                            format!("`{name}` has more than one {word}"),
                        )
                        .at(span, "which of them is meant?")
                        .help(format!("name one: {}", crate::diagnostic::listed(&names))),
                    );
                    None
                }
            }
        }
    }
}

fn wrong_target(name: &str, resource_type: &str, span: Span, found: &Found<'_>) -> Diagnostic {
    let word = word_for(resource_type);
    let mut types: Vec<&str> = found
        .resources
        .iter()
        .filter_map(|r| r.kind.cloudformation().or_else(|| r.kind.kubernetes()))
        .collect();
    types.sort_unstable();
    types.dedup();
    Diagnostic::new(
        crate::code::Code::WrongTarget,
        format!("`{name}` is not a {word}"),
    )
    .at(span, format!("a {word} is expected here"))
    .also(
        found.instance.declared,
        format!("`{}` is declared here", found.instance.component),
    )
    .note(format!("it makes {}", crate::diagnostic::listed(types)))
}

/// What people call a type.
pub(crate) fn word_for(resource_type: &str) -> &'static str {
    match resource_type {
        "AWS::Lambda::Function" => "Lambda function",
        "AWS::Glue::Job" => "Glue job",
        "AWS::SNS::Topic" => "SNS topic",
        "AWS::SQS::Queue" => "SQS queue",
        "AWS::StepFunctions::StateMachine" => "pipeline",
        "AWS::EMRServerless::Application" => "EMR Serverless application",
        "AWS::Athena::WorkGroup" => "Athena workgroup",
        "AWS::IAM::Role" => "role",
        "AWS::S3::Bucket" => "bucket",
        "AWS::Events::EventBus" => "event bus",
        "AWS::KMS::Key" => "KMS key",
        _ => "resource of that type",
    }
}
