//! Waivers: a rule that may be broken for one resource, with a reason and a last day.

use std::collections::BTreeSet;

use terrace_artifact::{Address, Text};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Waiver;
use crate::module::{Check, Module, Recipe};
use crate::resolve::{Use, UseKind};
use crate::resource::{Instance, Resource};
use crate::source::Span;

/// The waivers that count in an environment.
pub(crate) struct Waivers<'a> {
    /// The platform's, for every resource.
    platform: &'a [Waiver],
    /// Those of each use, for its own resources.
    own: Vec<[&'a [Waiver]; 2]>,
    /// The names that modules give their checks.
    rules: BTreeSet<&'a str>,
    today: &'a str,
}

impl<'a> Waivers<'a> {
    /// Those of the platform, and those of components, modules and pipelines: they count for their own resources.
    pub(crate) fn new(
        uses: &[Use<'a>],
        platform: &'a [Waiver],
        modules: &'a [Module],
        today: &'a str,
    ) -> Waivers<'a> {
        let own = uses.iter().map(|one| -> [&'a [Waiver]; 2] {
            match &one.kind {
                UseKind::Component {
                    component, module, ..
                } => [
                    &component.waivers,
                    module.map_or(&[], |module| &module.document.waivers),
                ],
                UseKind::Pipeline(pipeline) => [&pipeline.waivers, &[]],
            }
        });
        let checks = modules.iter().flat_map(|module| &module.recipe.checks);
        let rules = checks.filter_map(|check| Some(check.rule.as_ref()?.value.as_str()));
        Waivers {
            platform,
            own: own.collect(),
            rules: rules.collect(),
            today,
        }
    }

    /// The waiver of a rule for a resource.
    pub(crate) fn of_resource(&self, resource: &Resource, code: Code) -> Option<&'a Waiver> {
        let address = &resource.address;
        let fits = |waived: &Address| {
            waived.resource == address.resource && (waived.key.is_none() || waived.key == address.key)
        };
        let (tenant, component) = (&address.tenant, &address.component);
        self.find(resource.instance, code.slug(), tenant, component, fits)
    }

    /// The waiver of what a module demands: for a resource of the component, and for one turn where the check is repeated.
    pub(crate) fn of_check(
        &self,
        check: &Check,
        key: Option<&Text>,
        recipe: &Recipe,
        instance: &Instance,
        index: usize,
    ) -> Option<&'a Waiver> {
        let rule = check.rule.as_ref()?;
        let fits = |waived: &Address| {
            let mut resources = recipe.resources.iter();
            resources.any(|template| template.name.value == waived.resource)
                && (waived.key.is_none() || waived.key.as_ref() == key)
        };
        self.find(index, &rule.value, &instance.tenant, &instance.component, fits)
    }

    fn find(
        &self,
        index: usize,
        rule: &str,
        tenant: &Text,
        component: &Text,
        fits: impl Fn(&Address) -> bool,
    ) -> Option<&'a Waiver> {
        let word = |pattern: &Text, name: &Text| pattern == "*" || pattern == name;
        let matches = |waiver: &&Waiver| {
            waiver.rule.value == rule
                && waiver.resource().is_some_and(|address| {
                    word(&address.tenant, tenant) && word(&address.component, component) && fits(&address)
                })
        };
        let own = self.own[index].into_iter().flatten();
        self.platform.iter().chain(own).find(matches)
    }

    /// What is still to be said where a waiver was found: nothing while it counts. A waiver that was needed is noted.
    pub(crate) fn hold(
        &self,
        waiver: Option<&Waiver>,
        used: &mut BTreeSet<Span>,
        diagnostic: impl FnOnce() -> Diagnostic,
    ) -> Option<Diagnostic> {
        let Some(waiver) = waiver else {
            return Some(diagnostic());
        };
        used.insert(waiver.rule.span);
        self.is_over(waiver)
            .then(|| diagnostic().also(waiver.expires.span, "its waiver counted until this day"))
    }

    fn is_over(&self, waiver: &Waiver) -> bool {
        !self.today.is_empty() && waiver.expires.value.as_str() < self.today
    }

    /// A waiver that waives nothing is said once, however many components carry it.
    pub(crate) fn unused(&self, used: &BTreeSet<Span>, diagnostics: &mut Diagnostics) {
        let own = self.own.iter().flatten().copied().flatten();
        for waiver in self.platform.iter().chain(own) {
            let (rule, span) = (&waiver.rule.value, waiver.rule.span);
            if Code::from_slug(rule).is_none() && !self.rules.contains(rule.as_str()) {
                let codes = Code::ALL.iter().map(|code| code.slug());
                diagnostics.push(
                    Diagnostic::new(Code::UnknownValue, format!("no rule is named `{rule}`"))
                        .at(span, "no such rule")
                        .nearest(span, rule, codes.chain(self.rules.iter().copied())),
                );
            } else if self.is_over(waiver) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::ExpiredWaiver,
                        format!("this waiver counted until {}", waiver.expires.value),
                    )
                    .at(waiver.expires.span, "is over"),
                );
            } else if !used.contains(&span) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnusedWaiver,
                        format!("nothing here breaks the rule `{rule}`"),
                    )
                    .at(span, format!("for `{}`", waiver.address.value))
                    .help("remove the waiver"),
                );
            }
        }
    }
}
