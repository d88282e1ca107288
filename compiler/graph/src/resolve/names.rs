//! Checks the names in documents: references to environments, tenants and components, and the order of promotion.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Decimal, Owner, Quantity, Text};
use terrace_language::document::{
    ComponentInputs, ComponentSource, Environment, StackDocuments, Tenant, Tenants,
};
use terrace_language::expression::scope::lost_to_scale;
use terrace_language::expression::words::slug;
use terrace_language::load::unknown;
use terrace_language::value::dimension::Dimension;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Spanned;

use crate::resolve::cli_inputs::without_inputs;
use crate::resolve::placement::{check_label, check_names as check_targets, directory};

/// Reports names in documents that do not exist.
pub(super) fn check(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    let environments = || stack.environments.iter().map(|e| e.name.value.as_str());
    let tenants = || stack.tenants.iter().map(|t| t.name.value.as_str());
    let components = || stack.components.iter().map(|c| c.name.value.as_str());
    let check_environments = |names: Option<&[Spanned<Text>]>, diagnostics: &mut Diagnostics| {
        for name in names
            .into_iter()
            .flatten()
            .filter(|name| !environments().any(|e| e == name.value))
        {
            diagnostics.push(unknown(
                Code::UnknownEnvironment,
                "environment",
                &name.value,
                name.span,
                environments(),
            ));
        }
    };
    let check_tenant = |name: &Spanned<Text>, diagnostics: &mut Diagnostics| {
        if !tenants().any(|t| t == name.value) {
            diagnostics.push(unknown(
                Code::UnknownTenant,
                "tenant",
                &name.value,
                name.span,
                tenants(),
            ));
        }
    };
    for tenant in &stack.tenants {
        check_environments(tenant.environments.as_deref(), diagnostics);
        check_pool(tenant, diagnostics);
        if tenant.name.value == Owner::PLATFORM {
            diagnostics.push(
                Diagnostic::new(
                    Code::InvalidValue,
                    format!("a tenant cannot be named `{}`", Owner::PLATFORM),
                )
                .at(tenant.name.span, "reserved for the platform")
                .help("rename the tenant"),
            );
        }
    }
    for component in &stack.components {
        check_environments(component.environments.as_deref(), diagnostics);
        if let Tenants::Named(names) = &component.tenants {
            for name in names {
                check_tenant(name, diagnostics);
            }
        }
        if let Some(old) = &component.moved_from
            && let Some(other) = stack.components.iter().find(|c| c.name.value == old.value)
        {
            diagnostics.push(
                Diagnostic::new(
                    Code::InvalidMove,
                    format!("component `{}` still exists", old.value),
                )
                .at(old.span, "moved from this component")
                .also(other.name.span, "still declared here")
                .help("remove `moved_from`, or remove the component with the old name"),
            );
        }
    }
    for pipeline in &stack.pipelines {
        check_environments(pipeline.environments.as_deref(), diagnostics);
        if let Some(name) = &pipeline.tenant {
            check_tenant(name, diagnostics);
        }
    }
    let check_inputs = |list: &[ComponentInputs], diagnostics: &mut Diagnostics| {
        for inputs in list {
            let name = &inputs.component;
            match stack
                .components
                .iter()
                .find(|component| component.name.value == name.value)
            {
                None => {
                    diagnostics.push(unknown(
                        Code::UnknownComponent,
                        "component",
                        &name.value,
                        name.span,
                        components(),
                    ));
                }
                Some(component) if matches!(component.recipe, ComponentSource::Own(_)) => {
                    diagnostics.push(without_inputs(component, name.span));
                }
                Some(_) => {}
            }
        }
    };
    for (_, meaning) in &stack.platform.tiers {
        check_inputs(&meaning.inputs, diagnostics);
    }
    for tenant in &stack.tenants {
        check_inputs(&tenant.overrides, diagnostics);
    }
    check_one_slug(stack, diagnostics);
    check_directories(&stack.environments, diagnostics);
    check_amounts(stack, diagnostics);
    for environment in &stack.environments {
        check_targets(environment, diagnostics);
        check_label(&stack.platform, environment, diagnostics);
        check_inputs(&environment.overrides, diagnostics);
        check_environments(Some(environment.promotes_from.as_slice()), diagnostics);
        for (tenant, list) in &environment.tenant_overrides {
            check_tenant(tenant, diagnostics);
            check_inputs(list, diagnostics);
        }
    }
    check_promotion(&stack.environments, diagnostics);
    crate::resolve::unused_overrides::check(stack, diagnostics);
}

/// Reports a resource pool whose scale rounds one of its resources down to zero.
fn check_pool(tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let Some(pool) = &tenant.resource_pool else { return };
    if let Some((what, smallest)) = lost_to_scale(pool) {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidValue,
                format!(
                    "resource pool `{}` has no {what} with `scale_factor: {}`",
                    pool.kind.value, pool.scale_factor.value
                ),
            )
            .at(pool.scale_factor.span, "rounds down to zero")
            .help(format!("set `scale_factor` to at least {smallest}")),
        );
    }
}

/// Reports tenants with the same generated names: `a-b` and `a_b` have the same namespace.
fn check_one_slug(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    let mut known: BTreeMap<Text, &Spanned<Text>> = BTreeMap::new();
    for tenant in &stack.tenants {
        let name = &tenant.name;
        match known.entry(slug(&name.value)) {
            Entry::Vacant(place) => {
                place.insert(name);
            }
            // Duplicate names are reported elsewhere.
            Entry::Occupied(first) if first.get().value == name.value => {}
            Entry::Occupied(first) => diagnostics.push(
                Diagnostic::new(
                    Code::NameCollision,
                    format!(
                        "tenants `{}` and `{}` have the same namespace",
                        first.get().value,
                        name.value
                    ),
                )
                .at(name.span, format!("becomes `{}`", first.key()))
                .also(first.get().span, format!("becomes `{}`", first.key()))
                .note("generated names contain `-` in place of `_`")
                .help("rename one of them"),
            ),
        }
    }
}

/// Reports environments with the same output directory, because each would delete the files of the other.
fn check_directories(environments: &[Environment], diagnostics: &mut Diagnostics) {
    let mut known: BTreeMap<String, &Environment> = BTreeMap::new();
    for environment in environments {
        let Some(directory) = directory(environment) else {
            continue;
        };
        let parts = directory.split('/').filter(|part| !matches!(*part, "" | "."));
        let path: Vec<&str> = parts.collect();
        let place = |environment: &Environment| {
            environment
                .directory
                .as_ref()
                .map_or(environment.name.span, |path| path.span)
        };
        let first = known.insert(path.join("/"), environment);
        // Two documents of one name are another mistake, which is reported already.
        if let Some(first) = first.filter(|first| first.name.value != environment.name.value) {
            diagnostics.push(
                Diagnostic::new(
                    Code::EnvironmentCollision,
                    format!(
                        "environments `{}` and `{}` are written to the same directory",
                        first.name.value, environment.name.value
                    ),
                )
                .at(
                    place(environment),
                    format!("the directory of `{}`", environment.name.value),
                )
                .also(place(first), format!("the directory of `{}`", first.name.value))
                .help("give each environment its own `directory`"),
            );
        }
    }
}

/// Reports amounts that are never useful, in the quotas of tiers and tenants.
fn check_amounts(stack: &StackDocuments, diagnostics: &mut Diagnostics) {
    let mut check = |name: &str, dimension: Dimension, amount: &Spanned<Quantity>| {
        let zero = dimension != Dimension::Count && amount.value.amount == Decimal::ZERO;
        let (code, says, meant) = match dimension.check(amount.value) {
            Some(found) => (found.code, found.says, found.meant),
            None if zero => (Code::InvalidValue, "must not be zero".to_owned(), None),
            None => return,
        };
        let diagnostic = Diagnostic::new(code, format!("`{name}` {says}")).at(amount.span, "");
        diagnostics.push(match meant {
            Some(meant) => diagnostic.replace(amount.span, meant.clone(), format!("write `{meant}`")),
            None => diagnostic.help(format!("write an amount such as {}", dimension.examples())),
        });
    };
    for (_, meaning) in &stack.platform.tiers {
        for (name, amount) in &meaning.quota {
            check(&name.value, Dimension::of_resource(&name.value), amount);
        }
    }
    for tenant in &stack.tenants {
        if let Some(amount) = &tenant.storage_quota {
            check("storage_quota", Dimension::Storage, amount);
        }
    }
}

/// Reports environments that are promoted in a cycle.
fn check_promotion(environments: &[Environment], diagnostics: &mut Diagnostics) {
    let before = |environment: &Environment| {
        let from = environment.promotes_from.as_ref()?;
        environments.iter().find(|other| other.name.value == from.value)
    };
    let mut reported: BTreeSet<&Text> = BTreeSet::new();
    for start in environments {
        let mut path = vec![start];
        while let Some(next) = path.last().and_then(|last| before(last)) {
            if let Some(at) = path
                .iter()
                .position(|environment| environment.name.value == next.name.value)
            {
                let ring = &path[at..];
                if ring
                    .iter()
                    .any(|environment| reported.contains(&environment.name.value))
                {
                    break;
                }
                reported.extend(ring.iter().map(|environment| &environment.name.value));
                let names = ring.iter().chain(&ring[..1]);
                let names: Vec<&str> = names.map(|environment| environment.name.value.as_str()).collect();
                let mut places = ring
                    .iter()
                    .filter_map(|environment| Some((environment, environment.promotes_from.as_ref()?)));
                let label = |environment: &Environment, from: &Text| {
                    format!("`{}` is promoted from `{from}`", environment.name.value)
                };
                let Some((first, from)) = places.next() else { break };
                let message = format!("environments are promoted in a cycle: {}", names.join(" → "));
                let mut diagnostic =
                    Diagnostic::new(Code::DependencyCycle, message).at(from.span, label(first, &from.value));
                for (environment, from) in places {
                    diagnostic = diagnostic.also(from.span, label(environment, &from.value));
                }
                diagnostics.push(
                    diagnostic.help("remove `promotes_from` from the environment that is deployed first"),
                );
                break;
            }
            path.push(next);
        }
    }
}
