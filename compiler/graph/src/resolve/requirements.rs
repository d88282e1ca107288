//! Checks the requirements of modules: `requires: {kms: ^1}` must match the version that the stack uses.

use std::collections::BTreeMap;

use semver::VersionReq;
use terrace_artifact::{Owner, Text};
use terrace_language::document::ComponentSource;
use terrace_language::module::Module;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Span;
use terrace_syntax::source::Spanned;

use crate::resolve::{ComponentInstance, UseKind};

/// Reports unmet requirements of each use of a module.
pub(crate) fn check(uses: &[ComponentInstance<'_>], modules: &[Module], diagnostics: &mut Diagnostics) {
    let mut by_module: BTreeMap<(&Owner, &str), Vec<&ComponentInstance<'_>>> = BTreeMap::new();
    for component_instance in uses {
        if let Some(module) = &component_instance.instance.module {
            let key = (&component_instance.instance.owner, module.as_str());
            by_module.entry(key).or_default().push(component_instance);
        }
    }
    for component_instance in uses {
        let UseKind::Component { recipe, .. } = &component_instance.kind else {
            continue;
        };
        for (name, requirement) in &recipe.requires {
            // The order is the same as for `ref`: components of the tenant, then of the platform.
            let owner = &component_instance.instance.owner;
            let found = owner
                .scopes()
                .find_map(|scope| by_module.get(&(scope, name.value.as_str())));
            // A component with the name of the module may replace it.
            let is_replacement = |other: &ComponentInstance<'_>| {
                other.instance.component == name.value
                    && owner.scopes().any(|scope| *scope == other.instance.owner)
            };
            if found.is_none() && !uses.iter().any(is_replacement) {
                diagnostics.push(missing(component_instance, name, requirement));
            }
            for other in found.into_iter().flatten() {
                if !std::ptr::eq(*other, component_instance) {
                    check_version(component_instance, other, requirement, modules, diagnostics);
                }
            }
        }
    }
}

/// Reports a required module that neither the tenant nor the platform uses.
fn missing(
    component_instance: &ComponentInstance<'_>,
    name: &Spanned<Text>,
    requirement: &Spanned<VersionReq>,
) -> Diagnostic {
    let reason = match component_instance.tenant {
        Some(tenant) => format!(
            "no component of tenant `{}` or of the platform uses this module",
            tenant.name.value
        ),
        None => "no component of the platform uses this module".to_owned(),
    };
    let message = format!(
        "{} requires `{}@{}`, but {reason}",
        named(component_instance),
        name.value,
        requirement.value
    );
    Diagnostic::new(Code::UnmetRequirement, message)
        .at(
            place_of(component_instance).unwrap_or(component_instance.instance.declared),
            "used here",
        )
        .also(name.span, "required here")
        .help(format!(
            "add a component with `module: {}@{}`",
            name.value, requirement.value
        ))
}

/// Returns the module with the requirement, or the component, if it has its own resources.
fn named(component_instance: &ComponentInstance<'_>) -> String {
    match module_of(component_instance) {
        Some(module) => format!("module `{}`", module.document.name.value),
        None => format!("component `{}`", component_instance.instance.component),
    }
}

fn check_version(
    component_instance: &ComponentInstance<'_>,
    other: &ComponentInstance<'_>,
    requirement: &Spanned<VersionReq>,
    modules: &[Module],
    diagnostics: &mut Diagnostics,
) {
    let (Some(used), Some(place)) = (module_of(other), place_of(other)) else {
        return;
    };
    let (name, version) = (&used.document.name.value, &used.document.version.value);
    if requirement.value.matches(version) {
        return;
    }
    let message = format!(
        "{} requires `{name}@{}`, but version {version} is used",
        named(component_instance),
        requirement.value
    );
    let diagnostic = Diagnostic::new(Code::UnmetRequirement, message)
        .at(
            place_of(component_instance).unwrap_or(component_instance.instance.declared),
            "used here",
        )
        .also(requirement.span, "required here")
        .also(place, format!("version {version} is used here"));
    let fits = modules.iter().any(|module| {
        module.document.name.value == *name && requirement.value.matches(&module.document.version.value)
    });
    diagnostics.push(match fits {
        true => {
            let wanted = format!("{name}@{}", requirement.value);
            diagnostic.replace(place, wanted.clone(), format!("use `{wanted}`"))
        }
        false => diagnostic.help(format!(
            "no available version of `{name}` matches `{}`: use a version of {} that accepts {version}",
            requirement.value,
            named(component_instance)
        )),
    });
}

fn module_of<'a>(component_instance: &ComponentInstance<'a>) -> Option<&'a Module> {
    match &component_instance.kind {
        UseKind::Component { module, .. } => *module,
        UseKind::Pipeline(_) => None,
    }
}

/// Returns the place where a component names its module.
fn place_of(component_instance: &ComponentInstance<'_>) -> Option<Span> {
    let UseKind::Component { component, .. } = &component_instance.kind else {
        return None;
    };
    match &component.recipe {
        ComponentSource::Module { module, .. } => Some(module.span),
        ComponentSource::Own(_) => None,
    }
}
