//! Overrides that reach nothing: their component is not in the environment, or not of the tenant.

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Component, ComponentInputs, Spanned, Tenant, Tenants};
use crate::load::Stack;
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
            if let Some(place) = of_others(stack, component, tenant) {
                let what = format!("one of the tenant `{}`", tenant.name.value);
                diagnostics.push(nothing(inputs, &what).also(place, "these have it"));
            }
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
