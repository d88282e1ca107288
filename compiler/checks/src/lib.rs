//! Checks the lowered graph for problems that the target accepts and that cause failures at run time.
//!
//! A rule reads one resource and its neighbors, and returns findings. A waiver names a rule and a resource, states a reason, and has an
//! expiry date.

mod assets;
mod autoscaling;
pub mod clearance;
mod environments;
mod glue_resources;
mod jobs;
mod keys;
mod monitoring;
mod names;
mod network;
mod percentages;
mod permissions;
mod pods;
mod policies;
mod quantities;
mod quota;
mod rbac;
mod restrictions;
mod secrets;
pub mod stack_quotas;
mod storage;
mod streams;
mod targets;
mod tenancy;

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};
use rayon::prelude::*;
use terrace_artifact::{Segment, Text};
use terrace_graph::connect::Graph;
use terrace_graph::lower::Lowered;
use terrace_graph::resolve::UseKind;
use terrace_graph::resolve::waivers::Waivers;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::target_languages;
use terrace_language::value::term::Term;
use terrace_syntax::code::{Cause, Code};
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Span;

pub use secrets::in_body as secrets_in_body;

/// A problem that a rule finds in a resource.
pub(crate) struct Finding {
    code: Code,
    message: String,
    /// The field with the problem.
    path: Vec<Segment>,
    help: Vec<String>,
    /// The correct value, if the value in the file is a literal. The first help describes the edit.
    instead: Option<Text>,
}

impl Finding {
    fn new(code: Code, path: &[&str], message: impl Into<String>) -> Finding {
        let path = path.iter().map(|key| Segment::Key((*key).into())).collect();
        Finding {
            code,
            message: message.into(),
            path,
            help: Vec::new(),
            instead: None,
        }
    }

    fn below(mut self, path: impl IntoIterator<Item = Segment>) -> Finding {
        self.path.extend(path);
        self
    }

    fn help(mut self, text: impl Into<String>) -> Finding {
        self.help.push(text.into());
        self
    }

    /// Adds a help that replaces the value.
    fn instead(mut self, value: impl Into<Text>, text: impl Into<String>) -> Finding {
        self.instead = Some(value.into());
        self.help(text)
    }
}

/// One resource as the rules see it: with lowered references, so that its values are those that the target gets.
pub(crate) struct Subject<'a> {
    pub(crate) graph: &'a Graph<'a>,
    pub(crate) bodies: &'a [Lowered],
    neighbours: &'a Neighbours<'a>,
    tenancy: &'a tenancy::Tenancy<'a>,
    pub(crate) resource: &'a Resource,
    pub(crate) body: &'a Term,
    /// Whether the resource has a quantity that Kubernetes cannot store exactly, and one that is not valid in its field.
    inexact: bool,
    senseless: bool,
}

/// The objects of each namespace of each cluster, including the Namespace itself.
type Neighbours<'a> = HashMap<(Option<&'a Text>, &'a str), Vec<usize>>;

fn neighbours<'a>(graph: &'a Graph<'a>, bodies: &'a [Lowered]) -> Neighbours<'a> {
    let mut neighbours = Neighbours::new();
    for (at, resource) in graph.resources.iter().enumerate() {
        if let Some(namespace) = namespace_of(resource, bodies[at].body(resource)) {
            let cluster = graph.instances[resource.instance].cluster.as_ref();
            neighbours.entry((cluster, namespace)).or_default().push(at);
        }
    }
    neighbours
}

/// Returns the namespace of an object, or its name if it is a Namespace.
fn namespace_of<'a>(resource: &Resource, body: &'a Term) -> Option<&'a str> {
    let key = match resource.kind.kubernetes()? {
        "Namespace" => "name",
        _ => "namespace",
    };
    body.at(&["metadata", key])?.as_str()
}

impl<'a> Subject<'a> {
    /// Iterates over the objects of the namespace, including the Namespace.
    fn beside(&self) -> impl Iterator<Item = (&'a Resource, &'a Term)> {
        let (graph, bodies) = (self.graph, self.bodies);
        let cluster = graph.instances[self.resource.instance].cluster.as_ref();
        let namespace = namespace_of(self.resource, self.body);
        let found = namespace.and_then(|namespace| self.neighbours.get(&(cluster, namespace)));
        let found: &'a [usize] = found.map_or(&[], Vec::as_slice);
        found.iter().map(move |at| {
            let resource = &graph.resources[*at];
            (resource, bodies[*at].body(resource))
        })
    }

    /// Returns the body of another resource as its target gets it.
    fn lowered(&self, at: usize) -> &'a Term {
        self.bodies[at].body(&self.graph.resources[at])
    }

    /// Returns `environment.name` or `environment.class` of the scope of expressions.
    fn environment(&self, key: &str) -> &'a str {
        let names = &self.graph.uses[self.resource.instance].names;
        let environment = names.iter().find(|(name, _)| name == "environment");
        let found = environment.and_then(|(_, term)| term.get(key));
        found.and_then(Term::as_str).unwrap_or_default()
    }

    fn production(&self) -> bool {
        self.graph.places[self.resource.instance].class.is_production()
    }
}

/// A problem of a resource, with or without its place.
enum Reported {
    Finding(Finding),
    Diagnostic(Diagnostic),
}

/// Checks every resource against every rule. Resources in `broken` already have errors: their findings, and findings that they may cause,
/// are not reported.
pub fn check(
    graph: &Graph<'_>,
    bodies: &[Lowered],
    broken: &[usize],
    waivers: &Waivers<'_>,
    waived: &BTreeSet<Span>,
    diagnostics: &mut Diagnostics,
) {
    let neighbours = neighbours(graph, bodies);
    let tenancy = tenancy::Tenancy::new(graph, bodies);
    let findings: Vec<(usize, Finding)> = graph
        .resources
        .par_iter()
        .enumerate()
        .flat_map_iter(|(at, resource)| {
            let subject = Subject {
                graph,
                bodies,
                neighbours: &neighbours,
                tenancy: &tenancy,
                resource,
                body: bodies[at].body(resource),
                inexact: bodies[at].inexact,
                senseless: bodies[at].senseless,
            };
            let mut findings = Vec::new();
            rules(&subject, &mut findings);
            findings.into_iter().map(move |finding| (at, finding))
        })
        .collect();
    // State machines, rules and schedules that are resources of a component have their own rules. Some of the rules apply to pipelines, too.
    let by_hand: Vec<(usize, Code, Diagnostic)> = graph
        .resources
        .par_iter()
        .enumerate()
        .filter(|(_, resource)| terrace_pipelines::is_checked(resource))
        .flat_map_iter(|(at, resource)| {
            let mut found = Diagnostics::new();
            let targets = graph.targets(resource.instance);
            if !matches!(graph.uses[resource.instance].kind, UseKind::Pipeline(_)) {
                terrace_pipelines::check(resource, &targets, &mut found);
            }
            if resource.kind.cloudformation() == Some("AWS::StepFunctions::StateMachine") {
                terrace_pipelines::check_runs(resource, &targets, &mut found);
            }
            let found = found.into_sorted().into_iter();
            found.map(move |diagnostic| (at, diagnostic.code, graph.located(resource, diagnostic)))
        })
        .collect();
    let assets: Vec<(usize, Code, Diagnostic)> = graph
        .resources
        .par_iter()
        .enumerate()
        .filter(|(at, _)| !bodies[*at].assets.is_empty())
        .flat_map_iter(|(at, resource)| {
            let found = assets::check(graph, resource, &bodies[at]).into_iter();
            found.map(move |(code, diagnostic)| (at, code, diagnostic))
        })
        .collect();
    let mut used = waived.clone();
    // A finding is located only if it is reported, because locating it expands its component again.
    let found = findings
        .into_iter()
        .map(|(at, finding)| (at, finding.code, Reported::Finding(finding)));
    let by_hand = by_hand
        .into_iter()
        .chain(assets)
        .map(|(at, code, diagnostic)| (at, code, Reported::Diagnostic(diagnostic)));
    let follows = |at: usize, code: Code| {
        !broken.is_empty()
            && (code.cause() == Some(Cause::OtherResource) || broken.binary_search(&at).is_ok())
    };
    for (at, code, problem) in found.chain(by_hand) {
        if follows(at, code) {
            continue;
        }
        let waiver = waivers.of_resource(&graph.resources[at], code);
        let reported = waivers.hold(waiver, &mut used, || match problem {
            Reported::Finding(finding) => diagnostic(graph, at, finding),
            Reported::Diagnostic(diagnostic) => diagnostic,
        });
        diagnostics.extend(reported);
    }
    if broken.is_empty() {
        waivers.unused(&used, diagnostics);
    }
}

/// The rules for the resources of a target language.
trait TargetRules: Sync {
    /// Checks a resource against the rules for its type, and for all resources of the language.
    fn check(&self, subject: &Subject<'_>, findings: &mut Vec<Finding>);

    /// Returns whether all values of a resource are secret.
    fn is_secret(&self, kind: &ResourceKind) -> bool;

    /// Returns whether the value of a property is a secret if its key names a password.
    fn has_password_properties(&self) -> bool;

    /// Converts the values of a lowered body to the form that the server stores, so that a plan shows no false change.
    fn canonicalize(&self, resource: &Resource, lowered: &mut Lowered);
}

/// Returns the rules for the target language of a resource.
fn rules_of(kind: &ResourceKind) -> &'static dyn TargetRules {
    target_languages!(kind, TargetRules)
}

/// Converts the values of a lowered body to the form that the server stores, so that a plan shows no false change.
pub fn canonicalize(resource: &Resource, lowered: &mut Lowered) {
    rules_of(&resource.kind).canonicalize(resource, lowered);
}

fn rules(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    rules_of(&subject.resource.kind).check(subject, findings);
    restrictions::empty(subject, findings);
    environments::another(subject, findings);
}

fn diagnostic(graph: &Graph<'_>, at: usize, finding: Finding) -> Diagnostic {
    let resource = &graph.resources[at];
    let diagnostic = graph.at_field(
        resource,
        &finding.path,
        Diagnostic::new(finding.code, finding.message),
    );
    let mut help = finding.help.into_iter();
    let diagnostic = match (
        finding.instead,
        graph.literal(resource, &finding.path),
        help.next(),
    ) {
        (Some(value), Some(span), Some(text)) => diagnostic.replace(span, value.as_str(), text),
        (.., Some(text)) => diagnostic.help(text),
        (.., None) => diagnostic,
    };
    help.fold(diagnostic, Diagnostic::help)
}
