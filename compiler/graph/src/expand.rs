//! Expands components into resources that contain references.

use std::collections::BTreeSet;

use rayon::prelude::*;
use terrace_artifact::{Address, Segment, Text, show_path};
use terrace_language::body::{Body, Common, Expansion, Trace, each_value, turns};
use terrace_language::document;
use terrace_language::document::Component;
use terrace_language::expression::{Failure, Scope, Variables};
use terrace_language::module::layers as values;
use terrace_language::module::patch::patch;
use terrace_language::module::{Check, ComponentTemplate, Module, Partitioning, ResourceTemplate};
use terrace_language::resource::{Expanded, Resource};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::{Files, Span};

use crate::provenance::with_module_trace;
use crate::resolve::waivers::Waivers;
use crate::resolve::{ComponentInstance, UseKind};
use crate::targets::lowering_of;

/// A grant, a connection or an existing object that a module or component declares, with its place.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredEdge {
    /// Its component: an index into [`Expanded::instances`].
    pub(crate) instance: usize,
    /// Its value, with unresolved references.
    pub(crate) value: Term,
    pub(crate) span: Span,
}

/// The result of phase 4.
#[derive(Debug, Default)]
pub struct Expansions {
    pub(crate) expanded: Expanded,
    pub(crate) grants: Vec<DeclaredEdge>,
    pub(crate) connects: Vec<DeclaredEdge>,
    /// Objects that Terrace does not create.
    pub(crate) existing: Vec<DeclaredEdge>,
    /// The places of the waivers that suppressed a failed check of a module.
    pub waived: BTreeSet<Span>,
}

/// One component after expansion.
#[derive(Default)]
struct ExpandedComponent {
    resources: Vec<Resource>,
    outputs: Vec<(Text, Term)>,
    grants: Vec<DeclaredEdge>,
    connects: Vec<DeclaredEdge>,
    existing: Vec<DeclaredEdge>,
    waived: BTreeSet<Span>,
    diagnostics: Diagnostics,
}

/// Expands every component. Pipelines are lowered later, when their targets are known.
pub fn expand(
    uses: &[ComponentInstance<'_>],
    waivers: &Waivers<'_>,
    files: &Files,
    diagnostics: &mut Diagnostics,
) -> Expansions {
    let pieces: Vec<ExpandedComponent> = uses
        .par_iter()
        .enumerate()
        .map(|(index, component_instance)| {
            let mut piece = ExpandedComponent::default();
            if let UseKind::Component {
                component,
                module,
                recipe,
            } = &component_instance.kind
            {
                expand_component(
                    component_instance,
                    component,
                    *module,
                    recipe,
                    index,
                    waivers,
                    files,
                    &mut piece,
                );
            }
            piece
        })
        .collect();
    let mut out = Expansions::default();
    for (component_instance, piece) in uses.iter().zip(pieces) {
        let mut instance = component_instance.instance.clone();
        instance.outputs = piece.outputs;
        out.expanded.instances.push(instance);
        out.expanded.resources.extend(piece.resources);
        out.grants.extend(piece.grants);
        out.connects.extend(piece.connects);
        out.existing.extend(piece.existing);
        out.waived.extend(piece.waived);
        diagnostics.append(piece.diagnostics);
    }
    out
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one component have different sources"
)]
fn expand_component(
    component_instance: &ComponentInstance<'_>,
    component: &Component,
    module: Option<&Module>,
    recipe: &ComponentTemplate,
    index: usize,
    waivers: &Waivers<'_>,
    files: &Files,
    piece: &mut ExpandedComponent,
) {
    let mut diagnostics = Diagnostics::new();
    let names = names_with_inputs(component_instance, module, files, &mut diagnostics);
    // An invalid input would cause errors everywhere it is used.
    if diagnostics.blocks_next_phase() {
        piece.diagnostics.append(diagnostics);
        return;
    }
    let scope = Scope {
        names: &names,
        variables: None,
        local: true,
    };
    let demanded = check(recipe, &scope, component_instance, &mut diagnostics);
    for (check, key, diagnostic) in demanded {
        let waiver = waivers.of_check(check, key.as_ref(), recipe, &component_instance.instance, index);
        diagnostics.extend(waivers.hold(waiver, &mut piece.waived, || diagnostic));
    }
    let mut failures = Vec::new();
    let common = Common::new(&recipe.repeated);
    piece.resources.reserve(recipe.resources.len());
    for template in &recipe.resources {
        expand_resource(
            template,
            recipe.partitioning.as_ref(),
            &common,
            &scope,
            component_instance,
            index,
            &mut piece.resources,
            &mut failures,
        );
    }
    for (name, body) in &recipe.outputs {
        let mut expansion = Expansion::of_values();
        let value = body.expand(&scope, &mut expansion);
        failures.append(&mut expansion.failures);
        piece.outputs.push((name.value.clone(), value));
    }
    for (bodies, stated) in [
        (&recipe.grants, &mut piece.grants),
        (&recipe.connects, &mut piece.connects),
        (&recipe.existing, &mut piece.existing),
    ] {
        stated.extend(state(bodies, &scope, index, &mut failures));
    }
    if let document::ComponentSource::Module { existing, .. } = &component.recipe {
        let bodies: Vec<Body> = existing
            .iter()
            .map(|node| Body::read(node, files, &mut diagnostics))
            .collect();
        let scope = Scope {
            names: &component_instance.names,
            variables: None,
            local: false,
        };
        piece
            .existing
            .extend(state(&bodies, &scope, index, &mut failures));
    }
    for failure in failures {
        diagnostics.push(with_module_trace(failure.diagnostic(), component, module));
    }
    if let document::ComponentSource::Module { patches, .. } = &component.recipe {
        patch(
            patches,
            &scope,
            component,
            files,
            &mut piece.resources,
            &mut diagnostics,
        );
    }
    piece.diagnostics.append(diagnostics);
}

/// Expands the items of a list. An item with a loop produces several.
fn state(
    bodies: &[Body],
    scope: &Scope<'_>,
    index: usize,
    failures: &mut Vec<Box<Failure>>,
) -> Vec<DeclaredEdge> {
    let mut stated = Vec::new();
    for body in bodies {
        let mut expansion = Expansion::of_resource();
        let mut values = Vec::new();
        body.expand_into(scope, &mut expansion, &mut values);
        failures.append(&mut expansion.failures);
        stated.extend(values.into_iter().map(|value| DeclaredEdge {
            instance: index,
            value,
            span: body.span(),
        }));
    }
    stated
}

/// Returns the scope of a component: its names, and its inputs merged and checked.
pub(crate) fn names_with_inputs(
    component_instance: &ComponentInstance<'_>,
    module: Option<&Module>,
    files: &Files,
    diagnostics: &mut Diagnostics,
) -> Vec<(Text, Term)> {
    let mut names = component_instance.names.clone();
    let Some(module) = module else { return names };
    let defaults = defaults(module, &names, files, diagnostics);
    let UseKind::Component { component, .. } = &component_instance.kind else {
        return names;
    };
    let user = match &component.recipe {
        document::ComponentSource::Module { module, .. } => module.span,
        document::ComponentSource::Own(_) => component.name.span,
    };
    let inputs = values::inputs(
        &module.document.inputs,
        &defaults,
        &component_instance.layers,
        user,
        files,
        diagnostics,
    );
    names.push(("inputs".into(), inputs));
    names
}

/// Checks the input values of a component.
pub fn check_inputs(component_instance: &ComponentInstance<'_>, files: &Files) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if let UseKind::Component {
        component,
        module: Some(module),
        ..
    } = &component_instance.kind
    {
        // Problems of defaults belong to the module. They are reported during expansion.
        let defaults = defaults(module, &component_instance.names, files, &mut Diagnostics::new());
        let user = component.name.span;
        values::inputs(
            &module.document.inputs,
            &defaults,
            &component_instance.layers,
            user,
            files,
            &mut diagnostics,
        );
    }
    diagnostics
}

/// Returns the defaults of the inputs of a module. Their expressions cannot use `inputs`.
fn defaults(module: &Module, names: &[(Text, Term)], files: &Files, diagnostics: &mut Diagnostics) -> Term {
    let scope = Scope {
        names,
        variables: None,
        local: true,
    };
    let mut out = Vec::with_capacity(module.document.inputs.len());
    for input in &module.document.inputs {
        let Some(default) = &input.schema.default else {
            continue;
        };
        let mut expansion = Expansion::of_values();
        let value = Body::read(default, files, diagnostics).expand(&scope, &mut expansion);
        for failure in expansion.failures {
            diagnostics.push(failure.diagnostic());
        }
        if value != Term::Omit {
            out.push((input.name.value.clone(), value));
        }
    }
    Term::Map(out.into())
}

/// Returns the failed checks of a module, each with the key of its iteration if the check is repeated.
fn check<'a>(
    recipe: &'a ComponentTemplate,
    scope: &Scope<'_>,
    component_instance: &ComponentInstance<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(&'a Check, Option<Text>, Diagnostic)> {
    let mut demanded = Vec::new();
    let UseKind::Component {
        component, module, ..
    } = &component_instance.kind
    else {
        return demanded;
    };
    for check in &recipe.checks {
        let Some(over) = &check.for_each else {
            let failed = check_once(check, None, scope, component_instance, diagnostics);
            demanded.extend(failed.map(|diagnostic| (check, None, diagnostic)));
            continue;
        };
        match turns(over, scope) {
            Err(failure) => diagnostics.push(with_module_trace(failure.diagnostic(), component, *module)),
            Ok(turns) => {
                for (key, value) in turns {
                    let value = each_value(key.clone(), value);
                    let variables = Variables {
                        name: "each",
                        value: &value,
                        outer: scope.variables,
                    };
                    let failed = check_once(
                        check,
                        Some(&key),
                        &scope.within(&variables),
                        component_instance,
                        diagnostics,
                    );
                    demanded.extend(failed.map(|diagnostic| (check, Some(key), diagnostic)));
                }
            }
        }
    }
    demanded
}

fn check_once(
    check: &Check,
    key: Option<&Text>,
    scope: &Scope<'_>,
    component_instance: &ComponentInstance<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Diagnostic> {
    let UseKind::Component {
        component, module, ..
    } = &component_instance.kind
    else {
        return None;
    };
    let failure = match scope.condition(&check.that) {
        Ok(true) => return None,
        Ok(false) => None,
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        diagnostics.push(with_module_trace(failure.diagnostic(), component, *module));
        return None;
    }
    let message = match check.message.evaluate(scope) {
        Ok(term) => term.shown(),
        Err(failure) => {
            diagnostics.push(with_module_trace(failure.diagnostic(), component, *module));
            return None;
        }
    };
    let input: Vec<Segment> = check
        .at
        .iter()
        .flat_map(|path| path.value.split('.'))
        .map(|part| match key {
            Some(key) if part == "*" => Segment::Key(key.clone()),
            _ => Segment::Key(part.into()),
        })
        .collect();
    // If the value is a default, the label points to the map around it that the user wrote.
    let written = (1..=input.len()).rev().find_map(|length| {
        let mut layers = component_instance.layers.iter().rev();
        let node = layers.find_map(|layer| layer.node.find(&input[..length]));
        node.map(|node| (node, length == input.len()))
    });
    let mut diagnostic = Diagnostic::new(Code::FailedCheck, message);
    if let Some(rule) = &check.rule {
        diagnostic = diagnostic.note(format!(
            "a waiver can suppress this rule by its name, `{}`",
            rule.value
        ));
    }
    diagnostic = match written {
        Some((node, whole)) => diagnostic
            .at(node.span, if whole { "violates the check" } else { "set here" })
            .also(check.that.span, "required by the module"),
        None => diagnostic.at(
            check.that.span,
            match input.is_empty() {
                true => "required by the module".to_owned(),
                false => format!("the module requires this of `{}`", show_path(&input)),
            },
        ),
    };
    Some(with_module_trace(diagnostic, component, *module))
}

/// Expands a template into no resource, one resource, or one for each iteration of its loop.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one resource have different sources"
)]
fn expand_resource(
    template: &ResourceTemplate,
    partitioning: Option<&Partitioning>,
    common: &Common<'_>,
    scope: &Scope<'_>,
    component_instance: &ComponentInstance<'_>,
    index: usize,
    out: &mut Vec<Resource>,
    failures: &mut Vec<Box<Failure>>,
) {
    each(template, scope, failures, &mut |key, scope, failures| {
        let mut expansion = Expansion::of_resource().sharing(common);
        let body = template.body.expand(scope, &mut expansion);
        let emptied = expansion.emptied;
        let attributes = template
            .attributes
            .iter()
            .map(|(name, body)| (name.clone(), body.expand(scope, &mut expansion)))
            .filter(|(_, term)| *term != Term::Omit)
            .collect();
        let holds_data = match template
            .holds_data
            .as_ref()
            .map(|body| body.expand(scope, &mut expansion))
        {
            Some(Term::Bool(holds)) => holds,
            _ => template.kind.value.holds_data(&body),
        };
        let granted_only = template
            .granted_only
            .as_ref()
            .is_some_and(|body| body.expand(scope, &mut expansion) == Term::Bool(true));
        failures.append(&mut expansion.failures);
        let partition = match (partitioning, &key) {
            (Some(partitioning), Some(_)) if !template.kind.value.is_deployed_alone() => {
                partitioning.partition(scope, failures)
            }
            _ => None,
        };
        let mut resource = Resource {
            address: Address {
                owner: component_instance.instance.owner.clone(),
                component: component_instance.instance.component.clone(),
                resource: template.name.value.clone(),
                key,
            },
            body,
            kind: template.kind.value.clone(),
            depends_on: template
                .depends_on
                .iter()
                .map(|name| (name.value.clone(), name.span))
                .collect(),
            attributes,
            holds_data,
            granted_only,
            emptied,
            declared: template.name.span,
            instance: index,
            partition,
        };
        lowering_of(&resource.kind).complete(&mut resource, &component_instance.instance);
        out.push(resource);
    });
}

type EachTurn<'a> = dyn FnMut(Option<Text>, &Scope<'_>, &mut Vec<Box<Failure>>) + 'a;

fn each(
    template: &ResourceTemplate,
    scope: &Scope<'_>,
    failures: &mut Vec<Box<Failure>>,
    then: &mut EachTurn<'_>,
) {
    let holds = |scope: &Scope<'_>, failures: &mut Vec<Box<Failure>>| {
        template
            .when
            .as_ref()
            .is_none_or(|when| match scope.condition(when) {
                Ok(holds) => holds,
                Err(failure) => {
                    failures.push(failure);
                    false
                }
            })
    };
    let Some(over) = &template.for_each else {
        if holds(scope, failures) {
            then(None, scope, failures);
        }
        return;
    };
    match turns(over, scope) {
        Err(failure) => failures.push(failure),
        Ok(turns) => {
            for (key, value) in turns {
                let each = each_value(key.clone(), value);
                let variables = Variables {
                    name: "each",
                    value: &each,
                    outer: scope.variables,
                };
                let scope = scope.within(&variables);
                if holds(&scope, failures) {
                    then(Some(key), &scope, failures);
                }
            }
        }
    }
}

/// Returns the source of each leaf of a resource, for messages and `explain`.
pub(crate) fn trace(
    component_instance: &ComponentInstance<'_>,
    address: &Address,
    files: &Files,
) -> Option<Trace> {
    let UseKind::Component { module, recipe, .. } = &component_instance.kind else {
        return None;
    };
    let names = names_with_inputs(component_instance, *module, files, &mut Diagnostics::new());
    let scope = Scope {
        names: &names,
        variables: None,
        local: true,
    };
    let template = template_of(recipe, address)?;
    let mut found = None;
    each(template, &scope, &mut Vec::new(), &mut |key, scope, _| {
        if key == address.key {
            let mut trace = Trace::default();
            if let (Some(over), Some(key)) = (&template.for_each, &key) {
                trace.enter("each", over, key);
            }
            let mut expansion = Expansion::of_resource().traced(&mut trace);
            template.body.expand(scope, &mut expansion);
            found = Some(trace);
        }
    });
    found
}

/// Returns whether the body of a resource in its module or component has a key in a tree with expressions.
pub(crate) fn has_key(component_instance: &ComponentInstance<'_>, address: &Address, key: &str) -> bool {
    let UseKind::Component { recipe, .. } = &component_instance.kind else {
        return false;
    };
    template_of(recipe, address).is_some_and(|template| template.body.has_key(key))
}

fn template_of<'r>(recipe: &'r ComponentTemplate, address: &Address) -> Option<&'r ResourceTemplate> {
    recipe
        .resources
        .iter()
        .find(|template| template.name.value == address.resource)
}
