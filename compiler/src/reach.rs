//! Overrides that reach nothing: their component is not in the environment, or not of the tenant.

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed};
use crate::document::{Component, ComponentInputs, Environment, Spanned, Tenant, Tenants, Tier};
use crate::load::Stack;
use crate::node::Node;
use crate::presence::{self, is_in};
use crate::source::Span;

/// Reports values that are given to a component where it is not. Names that nothing has are said elsewhere.
pub(crate) fn check(stack: &Stack, diagnostics: &mut Diagnostics) {
    for environment in &stack.environments {
        let name = &environment.name.value;
        for (inputs, component) in known(stack, &environment.overrides) {
            if let Some(place) = elsewhere(stack, component.environments.as_deref(), name) {
                diagnostics.push(
                    nothing(inputs, &format!("in the environment `{name}`"))
                        .also(place, "it is only in these"),
                );
            }
        }
        for (tenant, list) in &environment.tenant_overrides {
            let Some(tenant) = stack
                .tenants
                .iter()
                .find(|known| known.name.value == tenant.value)
            else {
                continue;
            };
            let absent = elsewhere(stack, tenant.environments.as_deref(), name);
            for (inputs, component) in known(stack, list) {
                let who = &tenant.name.value;
                let problem = if let Some(place) = absent {
                    nothing(inputs, &format!("one of the tenant `{who}` in `{name}`"))
                        .also(place, format!("`{who}` is only in these"))
                } else if let Some(place) = of_others(stack, component, tenant) {
                    nothing(inputs, &format!("one of the tenant `{who}`")).also(place, "these have it")
                } else if let Some(place) = elsewhere(stack, component.environments.as_deref(), name) {
                    nothing(inputs, &format!("in the environment `{name}`"))
                        .also(place, "it is only in these")
                } else {
                    continue;
                };
                diagnostics.push(problem);
            }
        }
    }
    for tenant in &stack.tenants {
        for (inputs, component) in known(stack, &tenant.overrides) {
            let who = &tenant.name.value;
            if let Some(place) = of_others(stack, component, tenant) {
                let what = format!("one of the tenant `{who}`");
                diagnostics.push(nothing(inputs, &what).also(place, "these have it"));
            }
        }
    }
}

/// Reports values that are given to a component where nobody has it. Called where nothing is wrong with any document: a tenant of
/// a tier that is misspelt has none.
pub(crate) fn check_tenants(stack: &Stack, diagnostics: &mut Diagnostics) {
    for environment in &stack.environments {
        for (inputs, component) in known(stack, &environment.overrides) {
            if is_in(component.environments.as_deref(), environment)
                && !presence::is_there(stack, component, environment)
            {
                let what = format!("in the environment `{}`", environment.name.value);
                diagnostics
                    .push(nothing(inputs, &what).also(component.name.span, "none of its tenants is there"));
            }
        }
    }
    for tenant in &stack.tenants {
        for (inputs, component) in known(stack, &tenant.overrides) {
            if component.tenants.select(tenant)
                && !presence::meets(stack, component.environments.as_deref(), tenant)
            {
                let what = format!("in any environment of the tenant `{}`", tenant.name.value);
                diagnostics.push(nothing(inputs, &what).also(component.name.span, "this component"));
            }
        }
    }
    for (tier, meaning) in &stack.platform.tiers {
        for (inputs, component) in known(stack, &meaning.inputs) {
            if let Some(place) = of_other_tiers(stack, component, tier) {
                let what = format!("one of a tenant of the tier `{}`", tier.value.as_str());
                diagnostics.push(nothing(inputs, &what).also(place, "it is for these"));
            }
        }
    }
}

/// Reports values from the command line for components that are in none of the environments that are compiled.
pub(crate) fn check_set(
    stack: &Stack,
    set: &[(Text, Node)],
    environments: &[&Environment],
    diagnostics: &mut Diagnostics,
) {
    for (name, node) in set {
        let component = stack
            .components
            .iter()
            .find(|component| component.name.value == *name);
        let Some(component) = component else { continue };
        let is_there = |environment: &&Environment| presence::is_there(stack, component, environment);
        if !environments.iter().any(is_there) {
            let names = listed(environments.iter().map(|environment| &environment.name.value));
            diagnostics.push(
                Diagnostic::new(
                    Code::UnknownComponent,
                    format!("the component `{name}` is not in {names}"),
                )
                .at(
                    node.entries().first().map_or(node.key, |(_, value)| value.key),
                    "sets nothing",
                )
                .also(component.name.span, "this component"),
            );
        }
    }
}

/// Inputs, and the component that they are for.
fn known<'s>(
    stack: &'s Stack,
    list: &'s [ComponentInputs],
) -> impl Iterator<Item = (&'s ComponentInputs, &'s Component)> {
    list.iter().filter_map(|inputs| {
        let mut components = stack.components.iter();
        let component = components.find(|component| component.name.value == inputs.component.value)?;
        Some((inputs, component))
    })
}

fn nothing(inputs: &ComponentInputs, place: &str) -> Diagnostic {
    let name = &inputs.component;
    Diagnostic::new(
        Code::UnknownComponent,
        format!("the component `{}` is not {place}", name.value),
    )
    .at(name.span, "sets nothing")
    .help("take this away, or let the component be there")
}

/// Where a list of environments stands that has not this one. Nothing where a name of it is none.
fn elsewhere(stack: &Stack, environments: Option<&[Spanned<Text>]>, name: &Text) -> Option<Span> {
    let list = environments?;
    let exists = |name: &Spanned<Text>| {
        stack
            .environments
            .iter()
            .any(|known| known.name.value == name.value)
    };
    let others = list.iter().all(|other| exists(other) && other.value != *name);
    list.first().filter(|_| others).map(|first| first.span)
}

/// Where a component says that it is for nobody of a tier.
fn of_other_tiers(stack: &Stack, component: &Component, tier: &Spanned<Tier>) -> Option<Span> {
    match &component.tenants {
        Tenants::Platform => Some(component.name.span),
        Tenants::All(_) => None,
        Tenants::Named(names) => {
            let is_other =
                |name: &Spanned<Text>| stack.tenant(&name.value).is_some_and(|one| one.tier != *tier);
            names
                .first()
                .filter(|_| names.iter().all(is_other))
                .map(|first| first.span)
        }
        Tenants::Tiers(tiers) => tiers
            .first()
            .filter(|_| !tiers.contains(tier))
            .map(|first| first.span),
    }
}

/// Where a component says that it is for others than a tenant.
fn of_others(stack: &Stack, component: &Component, tenant: &Tenant) -> Option<Span> {
    match &component.tenants {
        Tenants::Platform => Some(component.name.span),
        Tenants::All(_) => None,
        Tenants::Named(names) => {
            let exists =
                |name: &Spanned<Text>| stack.tenants.iter().any(|known| known.name.value == name.value);
            let others = names
                .iter()
                .all(|name| exists(name) && name.value != tenant.name.value);
            names.first().filter(|_| others).map(|first| first.span)
        }
        Tenants::Tiers(tiers) => {
            let others = tiers.iter().all(|tier| tier.value != tenant.tier.value);
            tiers.first().filter(|_| others).map(|first| first.span)
        }
    }
}
