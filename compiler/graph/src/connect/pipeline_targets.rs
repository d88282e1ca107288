//! The view of the graph for the lowering of pipelines.

use terrace_artifact::{Segment, Text};
use terrace_language::body::Mark;
use terrace_language::expression::words::pascal;
use terrace_language::resource::{Destination, Resource};
use terrace_language::value::term::Reference;
use terrace_pipelines::{Found, Runs, Targets};
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use crate::resolve::UseKind;

use super::Graph;

/// The view of a graph from one component.
pub(super) struct InGraph<'g, 'a> {
    pub(super) graph: &'g Graph<'a>,
    pub(super) from: usize,
}

impl InGraph<'_, '_> {
    fn found(&self, instance: usize) -> Found<'_> {
        Found {
            instance: &self.graph.instances[instance],
            index: instance,
            runs: match self.graph.uses[instance].kind {
                UseKind::Pipeline(pipeline) => Some(Runs::of_pipeline(pipeline)),
                UseKind::Component { .. } => None,
            },
            resources: self
                .graph
                .resources_of(instance)
                .map(|(_, resource)| resource)
                .collect(),
        }
    }

    fn reference(&self, name: &str, span: Span) -> Reference {
        Reference {
            name: name.into(),
            key: None,
            path: Vec::new(),
            local: false,
            span,
        }
    }
}

impl Targets for InGraph<'_, '_> {
    fn find(&self, name: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Found<'_>> {
        match self.graph.find(self.from, &self.reference(name, span)) {
            Ok(super::Found::Component(at)) => Some(self.found(at)),
            Ok(super::Found::Resource(at)) => {
                let resource = &self.graph.resources[at];
                Some(Found {
                    resources: vec![resource],
                    ..self.found(resource.instance)
                })
            }
            Err(failure) => {
                diagnostics.push(failure.diagnostic());
                None
            }
        }
    }

    fn look(&self, name: &str) -> Option<Found<'_>> {
        let span = self.graph.instances[self.from].declared;
        match self.graph.find(self.from, &self.reference(name, span)) {
            Ok(super::Found::Component(at)) => Some(self.found(at)),
            _ => None,
        }
    }

    fn lead(&self, reference: &Reference) -> Option<&Resource> {
        let at = self.graph.follow(self.from, reference)?;
        Some(&self.graph.resources[at])
    }

    fn home(&self, instance: usize) -> Option<&Destination> {
        self.graph.places.get(instance)
    }

    fn module_of(&self, resource: &Resource) -> Option<&str> {
        self.graph.instances[resource.instance].module.as_deref()
    }

    fn follow(&self, from: &Resource, reference: &Reference) -> Option<&Resource> {
        self.graph
            .follow(from.instance, reference)
            .map(|at| &self.graph.resources[at])
    }

    fn resources(&self) -> &[Resource] {
        &self.graph.resources
    }

    fn writable<'s>(&'s self, runner: &Resource) -> Vec<(&'s Resource, Text)> {
        self.graph.writable(runner)
    }

    fn place(&self, resource: &Resource, path: &[Segment]) -> Span {
        if let UseKind::Pipeline(pipeline) = &self.graph.uses[resource.instance].kind {
            return place_in_pipeline(&pipeline.node, path).unwrap_or(resource.declared);
        }
        let trace = crate::expand::trace(
            &self.graph.uses[resource.instance],
            &resource.address,
            self.graph.files,
        );
        match trace.as_ref().and_then(|trace| trace.mark(path)) {
            Some(Mark::Leaf(leaf)) => leaf.span,
            Some(Mark::Key(span)) => span,
            None => resource.declared,
        }
    }

    fn place_of_key(&self, resource: &Resource, path: &[Segment]) -> Span {
        let component_instance = &self.graph.uses[resource.instance];
        let trace = crate::expand::trace(component_instance, &resource.address, self.graph.files);
        let key = trace.as_ref().and_then(|trace| trace.key(path));
        key.unwrap_or_else(|| self.place(resource, path))
    }

    fn of_type(&self, resource_type: &str) -> Vec<&Resource> {
        self.graph.visible(self.from, resource_type).collect()
    }

    fn text(&self, path: &str) -> Option<String> {
        self.graph.assets.text(path)
    }
}

/// Returns the place in the document of a pipeline for a path in its state machine: the step of the state, or its argument.
fn place_in_pipeline(pipeline: &Node, path: &[Segment]) -> Option<Span> {
    let key = |at: usize| match path.get(at)? {
        Segment::Key(key) => Some(key.as_str()),
        Segment::Index(_) => None,
    };
    let states = path
        .iter()
        .rposition(|segment| *segment == Segment::Key("States".into()))?;
    let (name, step) = step_of(pipeline.get("steps")?, key(states + 1)?)?;
    let below = match (key(states + 2), key(states + 4)) {
        (Some("Parameters"), Some(argument)) => step
            .get("arguments")
            .and_then(|arguments| arguments.get(argument.trim_end_matches(".$")))
            .map(|argument| argument.span),
        (Some("MaxConcurrency"), _) => step
            .get("map")
            .and_then(|map| map.get("max_concurrency"))
            .map(|most| most.span),
        _ => None,
    };
    below.or(Some(name))
}

/// Returns the step of a state: the place of its name, and its body.
fn step_of<'n>(node: &'n Node, state: &str) -> Option<(Span, &'n Node)> {
    let own = node
        .entries()
        .iter()
        .find(|(name, body)| pascal(name) == state && !body.entries().is_empty());
    if let Some((_, body)) = own {
        return Some((body.key, body));
    }
    let inside = node.entries().iter().map(|(_, body)| body).chain(node.items());
    inside.into_iter().find_map(|body| step_of(body, state))
}
