//! The view of the rest of the platform that lowering a pipeline needs.

use terrace_artifact::{Segment, Text};
use terrace_language::document::Pipeline;
use terrace_language::resource::{Destination, Instance, Resource};
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, those};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use super::runtime::among;

/// The context of a pipeline.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The pipeline as a component.
    pub instance: &'a Instance,
    /// Its index in [`terrace_language::resource::Expanded::instances`].
    pub index: usize,
    /// The class, account and region of its environment.
    pub place: &'a Destination,
    /// The rest of the platform.
    pub targets: &'a dyn Targets,
}

/// The rest of the platform.
pub trait Targets {
    /// Finds a component by name, in the order of `ref`. The implementation reports a name that is unknown or
    /// ambiguous.
    fn find(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Found<'_>>;

    /// Finds a component like [`Targets::find`], without reports.
    fn look(&self, name: &str) -> Option<Found<'_>>;

    /// Returns the resource that a reference of the component resolves to.
    fn lead(&self, reference: &Reference) -> Option<&Resource>;

    /// Returns the destination of a component, by its index in [`terrace_language::resource::Expanded::instances`].
    fn home(&self, instance: usize) -> Option<&Destination>;

    /// Returns the module of a resource.
    fn module_of(&self, resource: &Resource) -> Option<&str>;

    /// Returns the resource that a reference in the body of `from` resolves to.
    fn follow(&self, from: &Resource, reference: &Reference) -> Option<&Resource>;

    /// Returns every resource of the environment.
    fn resources(&self) -> &[Resource];

    /// Returns the visible resources of a CloudFormation type: those of the tenant and of the platform.
    fn of_type(&self, resource_type: &str) -> Vec<&Resource> {
        let of_type = |resource: &&Resource| resource.kind.cloudformation() == Some(resource_type);
        self.resources().iter().filter(of_type).collect()
    }

    /// Returns the span of a value in the body of a resource, as far as it is known.
    fn place(&self, resource: &Resource, path: &[Segment]) -> Span {
        let _ = path;
        resource.declared
    }

    /// Returns the span of the key of such a value.
    fn place_of_key(&self, resource: &Resource, path: &[Segment]) -> Span {
        self.place(resource, path)
    }

    /// Returns the buckets that a job or function can write to, each with the prefix of the allowed keys, which is empty if
    /// every key is allowed. Known after grants are lowered to policies.
    fn writable<'s>(&'s self, runner: &Resource) -> Vec<(&'s Resource, Text)>;

    /// Returns the text of a file of the stack, by the path of `asset('path')`.
    fn text(&self, path: &str) -> Option<String>;
}

/// The component that a name resolves to.
#[derive(Clone)]
pub struct Found<'a> {
    /// The component.
    pub instance: &'a Instance,
    /// Its index in [`terrace_language::resource::Expanded::instances`].
    pub index: usize,
    /// The limits of its executions, if it is a pipeline, whose resources may not exist yet.
    pub runs: Option<Runs>,
    /// Its resources.
    pub resources: Vec<&'a Resource>,
}

/// The maximum duration of an execution of an `EXPRESS` pipeline, in seconds.
pub(super) const EXPRESS_LIMIT: i64 = 300;

/// The limits of the executions of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// The maximum duration in seconds, if it is known.
    pub(crate) seconds: Option<i64>,
    /// Whether the pipeline is `EXPRESS`.
    pub(crate) express: bool,
    /// The span that declares the limits.
    pub(crate) span: Span,
}

impl Runs {
    /// Returns the limits of a pipeline.
    pub fn of_pipeline(pipeline: &Pipeline) -> Runs {
        let express = pipeline.node.get("type").and_then(Node::as_str) == Some("EXPRESS");
        let timeout = pipeline.timeout.as_ref();
        Runs {
            seconds: Some(Runs::longest(pipeline, express)),
            express,
            span: timeout.map_or(pipeline.name.span, |timeout| timeout.span),
        }
    }

    /// Returns the maximum duration of an execution: by default 4 hours, and 5 minutes for `EXPRESS`.
    pub(super) fn longest(pipeline: &Pipeline, express: bool) -> i64 {
        let default = if express { EXPRESS_LIMIT } else { 14_400 };
        pipeline
            .timeout
            .as_ref()
            .map_or(default, |timeout| timeout.value.seconds)
    }

    /// Returns the limits of a state machine that is written by hand.
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

/// Returns a reference to an attribute of another resource of the same pipeline.
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
    let word = with_article(resource_type);
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
    use terrace_syntax::code::Code;
    match rest {
        Some(rest) => {
            let quoted = rest.replace('\'', "\"");
            let Some(resource) = found.resources.iter().copied().find(|r| named(r) == quoted) else {
                let names: Vec<String> = of_type().map(named).collect();
                let note = match names.is_empty() {
                    true => format!("the component has no {}", word_for(resource_type)),
                    false => those("the only candidate is", "the candidates are", &names),
                };
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownReference,
                        format!("component `{component}` has no resource `{rest}`"),
                    )
                    .at(span, format!("expected {word}"))
                    .note(note),
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
                            format!("`{name}` has more than one {}", word_for(resource_type)),
                        )
                        .at(span, "ambiguous name")
                        .help(format!("write {}", terrace_syntax::diagnostic::one_of(&names))),
                    );
                    None
                }
            }
        }
    }
}

/// Reports a target of the wrong type.
fn wrong_target(name: &str, resource_type: &str, span: Span, found: &Found<'_>) -> Diagnostic {
    let word = with_article(resource_type);
    let mut types: Vec<&str> = found
        .resources
        .iter()
        .map(|resource| resource.kind.name().as_str())
        .collect();
    types.sort_unstable();
    types.dedup();
    Diagnostic::new(
        terrace_syntax::code::Code::WrongTarget,
        format!("`{name}` is not {word}"),
    )
    .at(span, format!("expected {word}"))
    .also(
        found.instance.declared,
        format!("`{}` declared here", found.instance.component),
    )
    .note(format!("it contains {}", among(types)))
}

/// Returns the common name of a type with its article.
pub(super) fn with_article(resource_type: &str) -> String {
    let word = word_for(resource_type);
    // `SNS` and `SQS` start with a vowel sound.
    let article = if word.starts_with(['A', 'E', 'S', 'e']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {word}")
}

/// Returns the common name of a type.
pub(super) fn word_for(resource_type: &str) -> &'static str {
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
