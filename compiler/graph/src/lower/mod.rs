//! Converts references to the form of their target: intrinsic functions inside a CloudFormation stack, parameters between stacks, bindings in
//! Kubernetes objects, and literals if the value is known at compile time.

pub mod attributes;
pub(crate) mod check_bodies;
pub mod outputs;
mod render;

use std::collections::BTreeMap;
use std::sync::Arc;

use terrace_artifact::{Segment, Text};
use terrace_catalog::At;
use terrace_language::expression::Failure;
use terrace_language::expression::words::pascal;
use terrace_language::resource::Resource;
use terrace_language::value::term::{AssetReference, Reference, SecretReference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed, shown};
use terrace_syntax::source::Span;

use crate::connect::{Edge, Found, Graph};
use crate::lower::attributes::Attribute;
use crate::targets::{TargetLowering, lowering_of};

/// The maximum number of outputs of other components that a reference may lead through.
const DEEPEST: usize = 24;

/// The maximum number of references of one resource. An output that contains another output twice doubles the number at each level.
const MOST_RESOLVED: usize = 50_000;

/// A resource with references in the form of its target.
#[derive(Debug, Default)]
pub struct Lowered {
    /// The lowered body, or `None` if it is equal to the body of the resource, which then has no references.
    pub body: Option<Term>,
    pub attributes: Vec<(Text, Term)>,
    /// Fields of a Kubernetes object that are filled in during apply.
    pub bindings: Vec<(Vec<Segment>, Vec<Atom>)>,
    /// Values from other stacks and clusters, by parameter name.
    pub parameters: BTreeMap<Text, Late>,
    pub edges: Vec<Edge>,
    /// The paths of assets, each with the first place that names it.
    pub assets: BTreeMap<Text, Span>,
    /// Whether the body has a quantity that Kubernetes cannot store exactly.
    pub inexact: bool,
    /// Whether the body has a quantity that is not valid in its field.
    pub senseless: bool,
    pub diagnostics: Diagnostics,
}

impl Lowered {
    /// Returns the body as the target gets it.
    #[inline]
    pub fn body<'a>(&'a self, resource: &'a Resource) -> &'a Term {
        self.body.as_ref().unwrap_or(&resource.body)
    }
}

/// A value of another resource that is known after apply.
#[derive(Clone, PartialEq, Debug)]
pub struct Late {
    pub resource: usize,
    pub attribute: Attribute,
    /// The value for messages: `finance/lake/role.arn`. Empty inside the stack of the reader, where no message shows it.
    pub shown: Text,
}

/// A piece of a value.
#[derive(Clone, PartialEq, Debug)]
pub enum Atom {
    /// A string that is known at compile time.
    Text(Text),
    /// An attribute of a resource in the same stack or elsewhere.
    Late(Late),
    /// A pseudo parameter such as `AWS::Region`, with the component that contains it.
    Pseudo(Text, usize),
    /// The value of a secret, which Terrace never reads.
    Secret(Arc<SecretReference>),
    /// A property of an asset.
    Asset(Arc<AssetReference>),
}

/// The result of resolving a reference.
enum Resolved {
    Atoms(Vec<Atom>),
    /// A value with references in the scope of a component.
    Value(usize, Term),
}

/// Lowers one resource.
pub(crate) struct Lowering<'g> {
    pub(crate) graph: &'g Graph<'g>,
    /// The resource that reads.
    pub(crate) at: usize,
    /// The language of the resource.
    pub(crate) target: &'static dyn TargetLowering,
    pub(crate) out: Lowered,
    resolved: usize,
    /// Whether a stack output is lowered, not a resource. An output may refer to its resource, but a resource may not refer to itself.
    output: bool,
}

impl<'g> Graph<'g> {
    /// Lowers one resource.
    pub fn lower(&'g self, at: usize) -> Lowered {
        let resource = &self.resources[at];
        let mut lowering = Lowering::new(self, at);
        let body = (!resource.body.is_finished())
            .then(|| lowering.term(resource.instance, &resource.body, 0, &At::ROOT));
        let attributes: Vec<_> = resource
            .attributes
            .iter()
            .map(|(name, term)| (name.clone(), lowering.term(resource.instance, term, 0, &At::ROOT)))
            .collect();
        for (name, span) in &resource.depends_on {
            lowering.depends_on(resource, name, *span);
        }
        Lowered {
            body,
            attributes,
            ..lowering.out
        }
    }

    /// Lowers an output of a component for its stack. Returns `None` if the output is not an intrinsic function of this stack.
    pub(crate) fn lower_output(&'g self, at: usize, term: &Term) -> Option<Term> {
        let mut lowering = Lowering::new(self, at);
        lowering.output = true;
        let instance = self.resources[at].instance;
        let lowered = lowering.term(instance, term, 0, &At::ROOT);
        let own = lowering.out.parameters.is_empty() && lowering.out.diagnostics.is_empty();
        let is_output =
            matches!(&lowered, Term::Map(entries) if entries.len() == 1 && is_intrinsic(&entries[0].0));
        (own && is_output).then_some(lowered)
    }

    /// Returns the string of a term in a component, if it is known at compile time. `at` is the resource that reads it.
    pub(crate) fn known_text(&'g self, at: usize, component: usize, term: &Term) -> Option<Text> {
        if let Some(text) = term.as_str() {
            return Some(text.into());
        }
        let mut lowering = Lowering::new(self, at);
        let term = lowering.term(component, term, 0, &At::ROOT);
        let out = lowering.out;
        let known = out.diagnostics.is_empty() && out.bindings.is_empty() && out.parameters.is_empty();
        term.as_str().filter(|_| known).map(Text::from)
    }

    /// Returns the resource that a reference leads to, directly or through outputs.
    pub fn follow(&self, from: usize, reference: &Reference) -> Option<usize> {
        let mut from = from;
        let mut reference = reference.clone();
        for _ in 0..DEEPEST {
            match self.find(from, &reference).ok()? {
                Found::Resource(at) => return Some(at),
                Found::Component(component) => match self.output(component, &reference).ok()? {
                    (Term::Reference(next), rest) => {
                        let mut next = next.as_ref().clone();
                        next.path.extend(rest.iter().cloned());
                        (from, reference) = (component, next);
                    }
                    _ => return None,
                },
            }
        }
        None
    }

    /// Returns the output that a reference reads from a component, and the rest of the path.
    pub(crate) fn output<'r>(
        &self,
        component: usize,
        reference: &'r Reference,
    ) -> Result<(Term, &'r [Text]), Box<Failure>> {
        let instance = &self.instances[component];
        let mut path: Vec<&Text> = reference.key.iter().collect();
        path.extend(&reference.path);
        let names = || instance.outputs.iter().map(|(name, _)| name.as_str());
        let Some(first) = path.first() else {
            let message = format!("component `{}` cannot be used as a value", instance.component);
            return Err(Failure::new(
                Code::UnknownAttribute,
                reference.span,
                message,
                "requires an output",
            )
            .with_help(match names().next() {
                Some(_) => format!("use one of its outputs: {}", listed(names())),
                None => format!("add `outputs` to `{}`", instance.component),
            }));
        };
        let Some((_, term)) = instance.outputs.iter().find(|(name, _)| name == *first) else {
            let message = format!(
                "component `{}` has no output `{}`",
                instance.component,
                shown(first)
            );
            let failure = Failure::new(Code::UnknownAttribute, reference.span, message, "");
            let failure = match (terrace_catalog::nearest(first, names()), names().next()) {
                (Some(name), _) => failure.near(first, std::iter::once(name)),
                (None, Some(_)) => failure.with_help(format!("use one of its outputs: {}", listed(names()))),
                (None, None) => failure.with_help(format!(
                    "add `outputs: {{{first}: …}}` to `{}`, which has no outputs",
                    instance.component
                )),
            };
            return Err(self.at_attribute(failure, first));
        };
        let skip = usize::from(reference.key.is_none());
        let mut rest = &reference.path[skip.min(reference.path.len())..];
        let mut term = term;
        while let ([key, more @ ..], Term::Map(entries)) = (rest, term) {
            let Some((_, next)) = entries.iter().find(|(k, _)| k == key) else {
                let keys = entries.iter().map(|(key, _)| key.as_str());
                let message = format!(
                    "the output `{first}` of `{}` has no key `{}`",
                    instance.component,
                    shown(key)
                );
                return Err(Failure::new(Code::UnknownAttribute, reference.span, message, "")
                    .with_help(format!("use one of its keys: {}", listed(keys))));
            };
            (term, rest) = (next, more);
        }
        Ok((term.clone(), rest))
    }

    /// Returns whether two resources are in one artifact that contains several.
    pub(crate) fn same_artifact(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.resources[a], &self.resources[b]);
        (a.instance, a.partition) == (b.instance, b.partition)
            && !a.kind.is_deployed_alone()
            && !b.kind.is_deployed_alone()
    }
}

/// Returns the logical ID of a resource. It is derived from declared keys only, so that it does not change.
pub fn logical_id(resource: &Resource) -> Text {
    let name = pascal(&resource.address.resource);
    match &resource.address.key {
        Some(key) => [name, pascal(key)].concat().into(),
        None => name,
    }
}

/// Returns the name of an attribute of another resource for messages: `finance/lake/role.arn`.
fn late_name(target: &Resource, path: &[Text]) -> Text {
    let mut name = target.address.to_string();
    for part in path {
        name.push('.');
        name.push_str(part);
    }
    name.into()
}

/// Returns the name of the output for an attribute.
pub fn output_name(resource: &Resource, attribute: &Attribute) -> Text {
    let id = logical_id(resource);
    match attribute {
        Attribute::GetAtt(name) => format!("{id}{}", name.replace('.', "")).into(),
        _ => id,
    }
}

pub(crate) fn is_intrinsic(key: &str) -> bool {
    key == "Ref" || key.starts_with("Fn::")
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph<'g>, at: usize) -> Lowering<'g> {
        Lowering {
            graph,
            at,
            target: lowering_of(&graph.resources[at].kind),
            out: Lowered::default(),
            resolved: 0,
            output: false,
        }
    }

    pub(crate) fn resource(&self) -> &'g Resource {
        &self.graph.resources[self.at]
    }

    fn term(&mut self, context: usize, term: &Term, depth: usize, at: &At<'_>) -> Term {
        match term {
            Term::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    out.push(self.term(context, item, depth, &at.index(index)));
                }
                Term::List(out)
            }
            Term::Map(entries) if entries.known().is_some() && term.is_finished() => term.clone(),
            Term::Map(entries) => {
                let mut out = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    if let Term::Secret(secret) = value
                        && let Some(entry) = self.target.secret_entry(self, key, secret)
                    {
                        out.push(entry);
                        continue;
                    }
                    let value = self.term(context, value, depth, &at.key(key));
                    // An output of another component may be null. The key is then omitted, like any other.
                    if !matches!(value, Term::Null) {
                        out.push((key.clone(), value));
                    }
                }
                Term::Map(out.into())
            }
            Term::Duration(duration) => {
                let message = format!("a duration ({duration}) cannot be used as a number or string");
                self.fail(
                    Failure::new(
                        Code::WrongUnit,
                        self.resource().declared,
                        message,
                        "in this resource",
                    )
                    .with_help("convert it to a unit with `| days`, `| hours`, `| minutes` or `| seconds`"),
                );
                Term::Null
            }
            Term::Reference(reference) => match self.resolve(context, reference, depth) {
                Ok(Resolved::Value(context, value)) => self.term(context, &value, depth + 1, at),
                Ok(Resolved::Atoms(atoms)) => self.render(atoms, reference.span, at),
                Err(failure) => {
                    self.fail(failure);
                    Term::Null
                }
            },
            Term::Concat(parts) => {
                let mut atoms = Vec::new();
                let mut span = self.resource().declared;
                for part in parts.iter() {
                    if let Term::Reference(reference) = part {
                        span = reference.span;
                    }
                    match self.atoms(context, part, depth) {
                        Ok(more) => atoms.extend(more),
                        Err(failure) => self.fail(failure),
                    }
                }
                self.render(atoms, span, at)
            }
            Term::Secret(secret) => self.target.secret(self, secret, at),
            Term::Asset(asset) => self.render(vec![Atom::Asset(asset.clone())], asset.span, at),
            term => term.clone(),
        }
    }

    /// Returns the parts of a string.
    fn atoms(&mut self, context: usize, term: &Term, depth: usize) -> Result<Vec<Atom>, Box<Failure>> {
        match term {
            Term::String(text) => Ok(vec![Atom::Text(text.clone())]),
            Term::Number(_) | Term::Quantity(_) => Ok(vec![Atom::Text(term.shown().into())]),
            Term::Secret(secret) => Ok(vec![Atom::Secret(secret.clone())]),
            Term::Asset(asset) => Ok(vec![Atom::Asset(asset.clone())]),
            Term::Concat(parts) => {
                let mut atoms = Vec::new();
                for part in parts.iter() {
                    atoms.extend(self.atoms(context, part, depth)?);
                }
                Ok(atoms)
            }
            Term::Reference(reference) => match self.resolve(context, reference, depth)? {
                Resolved::Atoms(atoms) => Ok(atoms),
                Resolved::Value(context, value) => match value {
                    Term::Map(_)
                    | Term::List(_)
                    | Term::Bool(_)
                    | Term::Null
                    | Term::Duration(_)
                    | Term::Omit => {
                        let message = format!(
                            "`{}` cannot be part of a string",
                            Term::from(reference.as_ref().clone()).shown()
                        );
                        Err(Failure::new(
                            Code::ExpressionType,
                            reference.span,
                            message,
                            format!("found {}", value.kind()),
                        ))
                    }
                    value => self.atoms(context, &value, depth + 1),
                },
            },
            other => Err(Failure::new(
                Code::ExpressionType,
                self.resource().declared,
                format!("{} cannot be part of a string", other.kind()),
                "in this resource",
            )),
        }
    }

    fn resolve(
        &mut self,
        context: usize,
        reference: &Reference,
        depth: usize,
    ) -> Result<Resolved, Box<Failure>> {
        if depth > DEEPEST {
            return Err(self.graph.ring_of_references(context, reference));
        }
        self.resolved += 1;
        if self.resolved > MOST_RESOLVED {
            let message = format!("the resource has more than {MOST_RESOLVED} references");
            let failure = Failure::new(
                Code::InvalidRepetition,
                reference.span,
                message,
                "exceeds the maximum",
            );
            return Err(failure.with_help("split the resource into several resources"));
        }
        if reference.name.starts_with("AWS::") {
            return Ok(Resolved::Atoms(vec![Atom::Pseudo(
                reference.name.clone(),
                context,
            )]));
        }
        match self.graph.find(context, reference)? {
            Found::Component(component) => {
                let (term, rest) = self.graph.output(component, reference)?;
                match term {
                    Term::Reference(own) => {
                        let mut next = own.as_ref().clone();
                        next.path.extend(rest.iter().cloned());
                        next.span = reference.span;
                        let resolved = self.resolve(component, &next, depth + 1);
                        resolved.map_err(|failure| self.graph.at_output(component, &own, failure))
                    }
                    term if rest.is_empty() => Ok(Resolved::Value(component, term)),
                    term => {
                        let message =
                            format!("the output is {}, so it has no key `{}`", term.kind(), rest[0]);
                        Err(Failure::new(Code::UnknownAttribute, reference.span, message, ""))
                    }
                }
            }
            Found::Resource(to) => {
                let same_artifact = self.graph.same_artifact(self.at, to);
                let target = &self.graph.resources[to];
                if to != self.at {
                    self.out.edges.push(Edge {
                        from: self.at,
                        to,
                        span: reference.span,
                    });
                }
                match self
                    .graph
                    .attribute(target, &reference.path, same_artifact, reference.span)?
                {
                    Attribute::Known(term) => match &term {
                        Term::Reference(next) => {
                            let mut next = next.as_ref().clone();
                            next.span = reference.span;
                            self.resolve(target.instance, &next, depth + 1)
                        }
                        _ => Ok(Resolved::Value(target.instance, term)),
                    },
                    attribute => {
                        if to == self.at && !self.output {
                            return Err(Failure::new(
                                Code::DependencyCycle,
                                reference.span,
                                "a resource cannot refer to itself",
                                "refers to the resource that contains it",
                            ));
                        }
                        let shown = match same_artifact {
                            true => Text::default(),
                            false => late_name(target, &reference.path),
                        };
                        Ok(Resolved::Atoms(vec![Atom::Late(Late {
                            resource: to,
                            attribute,
                            shown,
                        })]))
                    }
                }
            }
        }
    }

    fn depends_on(&mut self, resource: &Resource, name: &Text, span: Span) {
        let reference = Reference {
            name: name.clone(),
            key: None,
            path: Vec::new(),
            local: true,
            span,
        };
        match self.graph.find(resource.instance, &reference) {
            Ok(Found::Resource(to)) if to == self.at => self.fail(Failure::new(
                Code::DependencyCycle,
                span,
                "a resource cannot depend on itself",
                "names the resource that contains it",
            )),
            Ok(Found::Resource(to)) => self.out.edges.push(Edge {
                from: self.at,
                to,
                span,
            }),
            // The name of a repeated resource means all its instances.
            Err(failure) if failure.code == Code::AmbiguousReference => {
                let all = self.graph.resources_of(resource.instance);
                // In a partitioned component, only those of the same stack. Otherwise its stacks would depend on each other.
                let beside =
                    |other: &Resource| resource.partition.is_none() || other.partition == resource.partition;
                let repeated: Vec<usize> = all
                    .filter(|(_, other)| other.address.resource == *name && beside(other))
                    .map(|(to, _)| to)
                    .collect();
                self.out.edges.extend(repeated.into_iter().map(|to| Edge {
                    from: self.at,
                    to,
                    span,
                }));
            }
            Ok(Found::Component(component)) => {
                let all: Vec<usize> = self.graph.resources_of(component).map(|(to, _)| to).collect();
                self.out.edges.extend(all.into_iter().map(|to| Edge {
                    from: self.at,
                    to,
                    span,
                }));
            }
            Err(failure) => self.fail(failure),
        }
    }

    pub(crate) fn fail(&mut self, failure: Box<Failure>) {
        self.report(failure.diagnostic());
    }

    /// Adds a diagnostic about the resource, with the component that led to it.
    pub(crate) fn report(&mut self, mut diagnostic: Diagnostic) {
        let instance = self.resource().instance;
        if let crate::resolve::UseKind::Component {
            component, module, ..
        } = &self.graph.uses[instance].kind
        {
            let file = component.name.span.file;
            if diagnostic
                .primary
                .as_ref()
                .is_some_and(|label| label.span.file != file)
            {
                diagnostic = crate::provenance::with_module_trace(diagnostic, component, *module);
            }
        }
        self.out.diagnostics.push(diagnostic);
    }
}
