//! Finds components and pipelines that are never deployed, and selections without effect.
//!
//! A component is deployed for each tenant that it selects, in each environment that the component and the tenant have in common. If there is
//! none, the compiler would ignore the component, which the author did not expect.

use terrace_artifact::Text;
use terrace_language::document::{Component, Environment, Pipeline, StackDocuments, Tenant, Tenants};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};
use terrace_syntax::source::Span;
use terrace_syntax::source::Spanned;

/// Returns whether a list of environments contains this one. An absent list contains all.
pub(crate) fn is_in(environments: Option<&[Spanned<Text>]>, environment: &Environment) -> bool {
    environments.is_none_or(|names| names.iter().any(|name| name.value == environment.name.value))
}

/// Returns whether a component is deployed to an environment.
pub(crate) fn is_there(stack: &StackDocuments, component: &Component, environment: &Environment) -> bool {
    let of_tenant = |tenant: &Tenant| {
        component.tenants.select(tenant) && is_in(tenant.environments.as_deref(), environment)
    };
    is_in(component.environments.as_deref(), environment)
        && (matches!(component.tenants, Tenants::Platform) || stack.tenants.iter().any(of_tenant))
}

/// Reports components and pipelines that are never deployed. Unknown names are reported elsewhere.
pub fn check(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    for component in &stack.components {
        if knows(stack, component.environments.as_deref()) {
            check_component(stack, component, diagnostics);
        }
    }
    for pipeline in &stack.pipelines {
        let tenant = pipeline
            .tenant
            .as_ref()
            .and_then(|name| stack.tenant(&name.value));
        if let Some(tenant) = tenant
            && knows(stack, pipeline.environments.as_deref())
            && knows(stack, tenant.environments.as_deref())
        {
            check_pipeline(stack, pipeline, tenant, diagnostics);
        }
    }
}

/// Returns whether the stack has every environment of a list.
fn knows(stack: &StackDocuments, environments: Option<&[Spanned<Text>]>) -> bool {
    let is_known = |name: &Spanned<Text>| stack.environments.iter().any(|known| known.name == *name);
    environments.into_iter().flatten().all(is_known)
}

fn check_component(stack: &StackDocuments, component: &Component, diagnostics: &mut Diagnostics) {
    let own = component.environments.as_deref();
    let selected: Vec<&Tenant> = stack
        .tenants
        .iter()
        .filter(|tenant| component.tenants.select(tenant))
        .collect();
    let name = &component.name.value;
    match &component.tenants {
        Tenants::Platform => return,
        Tenants::All(span) if stack.tenants.is_empty() => {
            diagnostics.push(without_tenants(
                format!("component `{name}` selects no tenant, because the stack has none"),
                *span,
            ));
            return;
        }
        Tenants::All(_) => {}
        Tenants::Tiers(tiers) => {
            for tier in tiers {
                if !selected.iter().any(|tenant| tenant.tier == *tier) {
                    let message = format!("no tenant has the tier `{}`", tier.value.as_str());
                    diagnostics.push(without_tenants(message, tier.span));
                }
            }
        }
        Tenants::Named(names) => {
            for name in names {
                if let Some(tenant) = stack.tenant(&name.value)
                    && knows(stack, tenant.environments.as_deref())
                    && !meets(stack, own, tenant)
                {
                    diagnostics.push(apart("component", &component.name, name.span, own, tenant));
                }
            }
        }
    }
    // Named tenants are reported above.
    let all_are_known = selected
        .iter()
        .all(|tenant| knows(stack, tenant.environments.as_deref()));
    if selected.is_empty() || !all_are_known {
        return;
    }
    if !selected.iter().any(|tenant| meets(stack, own, tenant)) {
        if let (Some(first), false) = (
            own.and_then(<[_]>::first),
            matches!(component.tenants, Tenants::Named(_)),
        ) {
            diagnostics.push(
                Diagnostic::new(
                    Code::NeverDeployed,
                    format!("component `{name}` is never deployed"),
                )
                .at(first.span, "none of its tenants is in these environments")
                .help("add an environment of one of its tenants"),
            );
        }
        return;
    }
    for environment in own.into_iter().flatten() {
        let is_here = |tenant: &&Tenant| {
            let environments = tenant.environments.as_ref();
            environments.is_none_or(|names| names.contains(environment))
        };
        if !selected.iter().any(is_here) {
            let message = format!(
                "component `{name}` selects no tenant in environment `{}`",
                environment.value
            );
            diagnostics.push(without_tenants(message, environment.span));
        }
    }
}

fn check_pipeline(
    stack: &StackDocuments,
    pipeline: &Pipeline,
    tenant: &Tenant,
    diagnostics: &mut Diagnostics,
) {
    let own = pipeline.environments.as_deref();
    if !meets(stack, own, tenant) {
        let span = pipeline
            .tenant
            .as_ref()
            .map_or(pipeline.name.span, |name| name.span);
        diagnostics.push(apart("pipeline", &pipeline.name, span, own, tenant));
        return;
    }
    for environment in own.into_iter().flatten() {
        if tenant
            .environments
            .as_ref()
            .is_some_and(|names| !names.contains(environment))
        {
            let message = format!(
                "pipeline `{}` is not deployed to `{}`, because tenant `{}` is not in this environment",
                pipeline.name.value, environment.value, tenant.name.value
            );
            diagnostics.push(without_tenants(message, environment.span));
        }
    }
}

/// Returns whether the two have an environment in common.
pub(crate) fn meets(stack: &StackDocuments, own: Option<&[Spanned<Text>]>, tenant: &Tenant) -> bool {
    let both = |environment: &Environment| {
        is_in(own, environment) && is_in(tenant.environments.as_deref(), environment)
    };
    stack.environments.is_empty() || stack.environments.iter().any(both)
}

/// Reports a component or pipeline without a common environment with one of its tenants.
fn apart(
    what: &str,
    name: &Spanned<Text>,
    place: Span,
    own: Option<&[Spanned<Text>]>,
    tenant: &Tenant,
) -> Diagnostic {
    let who = &tenant.name.value;
    let only = |names: &[Spanned<Text>]| listed(names.iter().map(|name| &name.value));
    let mut diagnostic = Diagnostic::new(
        Code::NeverDeployed,
        format!("{what} `{}` is never deployed for tenant `{who}`", name.value),
    )
    .at(place, "no environment in common");
    if let Some(names) = own
        && let Some(first) = names.first()
    {
        diagnostic = diagnostic.also(first.span, format!("`{}` is only in {}", name.value, only(names)));
    }
    if let Some(names) = &tenant.environments
        && let Some(first) = names.first()
    {
        diagnostic = diagnostic.also(first.span, format!("`{who}` is only in {}", only(names)));
    }
    diagnostic.help(format!(
        "add an environment that both `{who}` and this {what} have, or remove `{who}` from this {what}"
    ))
}

fn without_tenants(message: String, place: Span) -> Diagnostic {
    Diagnostic::new(Code::SelectsNobody, message).at(place, "selects no tenant")
}
