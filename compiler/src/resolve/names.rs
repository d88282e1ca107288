//! Names in documents: of environments, tenants and components that have to be there, and of environments that come after others.

use std::collections::BTreeSet;

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{ComponentInputs, Environment, Recipe as Source, Spanned, Tenants};
use crate::load::{Stack, unknown};
use crate::placement::{check_label, check_names as check_targets};

/// Finds names in documents that name nothing.
pub(super) fn check(stack: &Stack, diagnostics: &mut Diagnostics) {
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
                Diagnostic::new(Code::InvalidMove, format!("`{}` still exists", old.value))
                    .at(old.span, "moved from here")
                    .also(other.name.span, "and this is still here")
                    .help("remove `moved_from`, or the component that has the old name"),
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
                Some(component) if matches!(component.recipe, Source::Own(_)) => diagnostics.push(
                    Diagnostic::new(
                        Code::UnknownInput,
                        format!("component `{}` has no inputs", name.value),
                    )
                    .at(name.span, "nothing to set")
                    .also(component.name.span, "its resources are its own"),
                ),
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
    crate::reach::check(stack, diagnostics);
}

/// Changes come from an environment to the next, and never back.
fn check_promotion(environments: &[Environment], diagnostics: &mut Diagnostics) {
    let before = |environment: &Environment| {
        let from = environment.promotes_from.as_ref()?;
        environments.iter().find(|other| other.name.value == from.value)
    };
    let mut told: BTreeSet<&Text> = BTreeSet::new();
    for start in environments {
        let mut path = vec![start];
        while let Some(next) = path.last().and_then(|last| before(last)) {
            if let Some(at) = path.iter().position(|one| one.name.value == next.name.value) {
                let ring = &path[at..];
                if ring.iter().any(|one| told.contains(&one.name.value)) {
                    break;
                }
                told.extend(ring.iter().map(|one| &one.name.value));
                let names = ring.iter().chain(&ring[..1]);
                let names: Vec<&str> = names.map(|one| one.name.value.as_str()).collect();
                let mut places = ring
                    .iter()
                    .filter_map(|one| Some((one, one.promotes_from.as_ref()?)));
                let label =
                    |one: &Environment, from: &Text| format!("`{}` comes after `{from}`", one.name.value);
                let Some((first, from)) = places.next() else { break };
                let message = format!("environments are promoted in a ring: {}", names.join(" → "));
                let mut diagnostic =
                    Diagnostic::new(Code::DependencyCycle, message).at(from.span, label(first, &from.value));
                for (one, from) in places {
                    diagnostic = diagnostic.also(from.span, label(one, &from.value));
                }
                diagnostics
                    .push(diagnostic.help("take one of them out: the first environment comes after none"));
                break;
            }
            path.push(next);
        }
    }
}
