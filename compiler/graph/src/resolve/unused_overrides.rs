//! Reports overrides without effect: their component is not in the environment, or not deployed for the tenant.

use terrace_artifact::Text;
use terrace_language::document::{
    Component, ComponentInputs, Environment, StackDocuments, Tenant, Tenants, Tier,
};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, those};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;
use terrace_syntax::source::Spanned;

use crate::resolve::presence;
use crate::resolve::presence::is_in;

/// Reports values for a component in environments and tenants that do not have it. Unknown names are reported elsewhere.
pub(crate) fn check(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    for environment in &stack.environments {
        let name = &environment.name.value;
        for (inputs, component) in known(stack, &environment.overrides) {
            if let Some(place) = excluded_environments_span(stack, component.environments.as_deref(), name) {
                diagnostics.push(
                    override_without_component(inputs, &format!("is not deployed to environment `{name}`"))
                        .also(place, "deployed only to these environments"),
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
            let absent = excluded_environments_span(stack, tenant.environments.as_deref(), name);
            for (inputs, component) in known(stack, list) {
                let who = &tenant.name.value;
                let problem = if let Some(place) = absent {
                    override_without_component(
                        inputs,
                        &format!("is not deployed for tenant `{who}` in environment `{name}`"),
                    )
                    .also(place, format!("`{who}` is only in these environments"))
                } else if let Some(place) = other_tenants_span(stack, component, tenant) {
                    override_without_component(inputs, &format!("is not deployed for tenant `{who}`"))
                        .also(place, selected_tenants(component))
                } else if let Some(place) =
                    excluded_environments_span(stack, component.environments.as_deref(), name)
                {
                    override_without_component(inputs, &format!("is not deployed to environment `{name}`"))
                        .also(place, "deployed only to these environments")
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
            if let Some(place) = other_tenants_span(stack, component, tenant) {
                let what = format!("is not deployed for tenant `{who}`");
                diagnostics
                    .push(override_without_component(inputs, &what).also(place, selected_tenants(component)));
            }
        }
    }
}

/// Reports values for a component that no tenant has there. Called only if all documents are valid, because a tenant with a
/// misspelled tier has no components.
pub fn check_tenants(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    for environment in &stack.environments {
        for (inputs, component) in known(stack, &environment.overrides) {
            if is_in(component.environments.as_deref(), environment)
                && !presence::is_there(stack, component, environment)
            {
                let what = format!("is not deployed to environment `{}`", environment.name.value);
                diagnostics.push(
                    override_without_component(inputs, &what)
                        .also(component.name.span, "none of its tenants is in the environment"),
                );
            }
        }
    }
    for tenant in &stack.tenants {
        for (inputs, component) in known(stack, &tenant.overrides) {
            if component.tenants.select(tenant)
                && !presence::meets(stack, component.environments.as_deref(), tenant)
            {
                let who = &tenant.name.value;
                let what = format!("is not deployed to any environment of tenant `{who}`");
                diagnostics.push(override_without_component(inputs, &what).also(
                    component.name.span,
                    format!("has no environment in common with `{who}`"),
                ));
            }
        }
    }
    for (tier, meaning) in &stack.platform.tiers {
        for (inputs, component) in known(stack, &meaning.inputs) {
            if let Some(place) = of_other_tiers(stack, component, tier) {
                let what = format!(
                    "is not deployed for any tenant with tier `{}`",
                    tier.value.as_str()
                );
                diagnostics
                    .push(override_without_component(inputs, &what).also(place, selected_tenants(component)));
            }
        }
    }
}

/// Reports values from the command line for components that are in none of the compiled environments.
pub fn check_set(
    stack: &StackDocuments,
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
            let names = environments.iter().map(|environment| &environment.name.value);
            let names = those("environment", "environments", names);
            diagnostics.push(
                Diagnostic::new(
                    Code::UnknownComponent,
                    format!("component `{name}` is not deployed to {names}"),
                )
                .at(
                    node.entries().first().map_or(node.key, |(_, value)| value.key),
                    "has no effect",
                )
                .also(component.name.span, "declared here"),
            );
        }
    }
}

/// Returns each override with its component.
fn known<'s>(
    stack: &'s StackDocuments,
    list: &'s [ComponentInputs],
) -> impl Iterator<Item = (&'s ComponentInputs, &'s Component)> {
    list.iter().filter_map(|inputs| {
        let mut components = stack.components.iter();
        let component = components.find(|component| component.name.value == inputs.component.value)?;
        Some((inputs, component))
    })
}

/// Reports an override for a component that does not exist where the override applies. `what` completes the message.
fn override_without_component(inputs: &ComponentInputs, what: &str) -> Diagnostic {
    let name = &inputs.component;
    Diagnostic::new(
        Code::UnknownComponent,
        format!("component `{}` {what}", name.value),
    )
    .at(name.span, "has no effect")
    .help("remove this override, or deploy the component there")
}

/// Returns the label for the place that excludes a tenant or a tier from a component.
fn selected_tenants(component: &Component) -> &'static str {
    match &component.tenants {
        Tenants::Platform => "a component of the platform, not of tenants",
        Tenants::Tiers(_) => "deployed only for tenants with these tiers",
        Tenants::All(_) | Tenants::Named(_) => "deployed only for these tenants",
    }
}

/// Returns the place of a list of environments that does not contain this one. Returns `None` if a name in the list is unknown.
fn excluded_environments_span(
    stack: &StackDocuments,
    environments: Option<&[Spanned<Text>]>,
    name: &Text,
) -> Option<Span> {
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

/// Returns the place that excludes all tenants of a tier from a component.
fn of_other_tiers(stack: &StackDocuments, component: &Component, tier: &Spanned<Tier>) -> Option<Span> {
    match &component.tenants {
        Tenants::Platform => Some(component.name.span),
        Tenants::All(_) => None,
        Tenants::Named(names) => {
            let is_other = |name: &Spanned<Text>| {
                stack
                    .tenant(&name.value)
                    .is_some_and(|tenant| tenant.tier != *tier)
            };
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

/// Returns the place that excludes a tenant from a component.
fn other_tenants_span(stack: &StackDocuments, component: &Component, tenant: &Tenant) -> Option<Span> {
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
