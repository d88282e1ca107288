//! What modules demand of each other: `requires: {kms: ^1}` holds for the version that the stack really uses.

use std::collections::BTreeMap;

use semver::VersionReq;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Recipe as Source, Spanned};
use crate::module::Module;
use crate::resolve::{Use, UseKind};
use crate::source::Span;

/// Holds every use of a module against what it requires. A module that nobody uses is missed where it is referred to.
pub(crate) fn check(uses: &[Use<'_>], modules: &[Module], diagnostics: &mut Diagnostics) {
    let mut by_module: BTreeMap<(&str, &str), Vec<&Use<'_>>> = BTreeMap::new();
    for one in uses {
        if let Some(module) = &one.instance.module {
            let key = (one.instance.tenant.as_str(), module.as_str());
            by_module.entry(key).or_default().push(one);
        }
    }
    for one in uses {
        let UseKind::Component { recipe, .. } = &one.kind else {
            continue;
        };
        for (name, requirement) in &recipe.requires {
            // The same order as `ref` has: the tenant's own, then the platform's.
            let levels = [one.instance.tenant.as_str(), "platform"].into_iter();
            let mut found = levels.filter_map(|tenant| by_module.get(&(tenant, name.value.as_str())));
            for other in found.next().into_iter().flatten() {
                if !std::ptr::eq(*other, one) {
                    hold(one, other, requirement, modules, diagnostics);
                }
            }
        }
    }
}

fn hold(
    one: &Use<'_>,
    other: &Use<'_>,
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
    let who = match module_of(one) {
        Some(module) => format!("module `{}`", module.document.name.value),
        None => format!("component `{}`", one.instance.component),
    };
    let message = format!(
        "{who} requires `{name}` {}, and {version} is used",
        requirement.value
    );
    let diagnostic = Diagnostic::new(Code::UnmetRequirement, message)
        .at(place_of(one).unwrap_or(one.instance.declared), "used here")
        .also(requirement.span, "demanded here")
        .also(place, format!("{version} is used here"));
    let fits = modules.iter().any(|module| {
        module.document.name.value == *name && requirement.value.matches(&module.document.version.value)
    });
    diagnostics.push(match fits {
        true => {
            let wanted = format!("{name}@{}", requirement.value);
            diagnostic.replace(place, wanted.clone(), format!("`{wanted}` would do"))
        }
        false => diagnostic.help(format!(
            "no version of `{name}` here would do: use a version of the one that goes with the other"
        )),
    });
}

fn module_of<'a>(one: &Use<'a>) -> Option<&'a Module> {
    match &one.kind {
        UseKind::Component { module, .. } => *module,
        UseKind::Pipeline(_) => None,
    }
}

/// Where a component names its module.
fn place_of(one: &Use<'_>) -> Option<Span> {
    let UseKind::Component { component, .. } = &one.kind else {
        return None;
    };
    match &component.recipe {
        Source::Module { module, .. } => Some(module.span),
        Source::Own(_) => None,
    }
}
