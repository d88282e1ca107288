//! Waivers suppress the findings of a rule for one resource until an expiry date, with a reason.

use std::collections::BTreeSet;

use terrace_artifact::{Address, Owner, Text};
use terrace_language::document::Waiver;
use terrace_language::module::{Check, ComponentTemplate, Module};
use terrace_language::resource::{Instance, Resource};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Span;

use crate::resolve::{ComponentInstance, UseKind};

/// The waivers of an environment.
pub struct Waivers<'a> {
    /// The waivers of the platform, for every resource.
    platform: &'a [Waiver],
    /// The waivers of each use, for its own resources.
    own: Vec<[&'a [Waiver]; 2]>,
    /// The names that modules give their checks.
    rules: BTreeSet<&'a str>,
    today: &'a str,
}

impl<'a> Waivers<'a> {
    /// Collects the waivers of the platform, and those of components, modules and pipelines, which apply to their own resources.
    pub fn new(
        uses: &[ComponentInstance<'a>],
        platform: &'a [Waiver],
        modules: &'a [Module],
        today: &'a str,
    ) -> Waivers<'a> {
        let own = uses.iter().map(|instance| -> [&'a [Waiver]; 2] {
            match &instance.kind {
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

    /// Finds the waiver of a rule for a resource.
    pub fn of_resource(&self, resource: &Resource, code: Code) -> Option<&'a Waiver> {
        let address = &resource.address;
        let fits = |waived: &Address| {
            waived.resource == address.resource && (waived.key.is_none() || waived.key == address.key)
        };
        self.find(
            resource.instance,
            code.slug(),
            &address.owner,
            &address.component,
            fits,
        )
    }

    /// Finds the waiver of a check of a module, for a resource of the component, and for one iteration of a repeated check.
    pub(crate) fn of_check(
        &self,
        check: &Check,
        key: Option<&Text>,
        recipe: &ComponentTemplate,
        instance: &Instance,
        index: usize,
    ) -> Option<&'a Waiver> {
        let rule = check.rule.as_ref()?;
        let fits = |waived: &Address| {
            let mut resources = recipe.resources.iter();
            resources.any(|template| template.name.value == waived.resource)
                && (waived.key.is_none() || waived.key.as_ref() == key)
        };
        self.find(index, &rule.value, &instance.owner, &instance.component, fits)
    }

    fn find(
        &self,
        index: usize,
        rule: &str,
        owner: &Owner,
        component: &Text,
        fits: impl Fn(&Address) -> bool,
    ) -> Option<&'a Waiver> {
        let word = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let matches = |waiver: &&Waiver| {
            waiver.rule.value == rule
                && waiver.resource().is_some_and(|address| {
                    word(address.owner.as_str(), owner.as_str())
                        && word(&address.component, component)
                        && fits(&address)
                })
        };
        let own = self.own[index].into_iter().flatten();
        self.platform.iter().chain(own).find(matches)
    }

    /// Applies a waiver to a finding and marks it as used. Returns the diagnostic if there is no waiver or it has expired.
    pub fn hold(
        &self,
        waiver: Option<&Waiver>,
        used: &mut BTreeSet<Span>,
        diagnostic: impl FnOnce() -> Diagnostic,
    ) -> Option<Diagnostic> {
        let Some(waiver) = waiver else {
            return Some(diagnostic());
        };
        used.insert(waiver.rule.span);
        self.has_expired(waiver)
            .then(|| diagnostic().also(waiver.expires.span, "the waiver expired on this date"))
    }

    fn has_expired(&self, waiver: &Waiver) -> bool {
        !self.today.is_empty() && waiver.expires.value.as_str() < self.today
    }

    /// Reports expired waivers, waivers of unknown rules, and waivers without effect, each once.
    pub fn unused(&self, used: &BTreeSet<Span>, diagnostics: &mut Diagnostics) {
        let own = self.own.iter().flatten().copied().flatten();
        for waiver in self.platform.iter().chain(own) {
            let (rule, span) = (&waiver.rule.value, waiver.rule.span);
            if Code::from_slug(rule).is_none() && !self.rules.contains(rule.as_str()) {
                let codes = Code::ALL.iter().map(|code| code.slug());
                diagnostics.push(
                    Diagnostic::new(Code::UnknownValue, format!("no rule is named `{rule}`"))
                        .at(span, "")
                        .nearest(span, rule, codes.chain(self.rules.iter().copied())),
                );
            } else if self.has_expired(waiver) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::ExpiredWaiver,
                        format!("waiver expired on {}", waiver.expires.value),
                    )
                    .at(waiver.expires.span, "expiry date")
                    .help("fix the finding, or extend the waiver"),
                );
            } else if !used.contains(&span) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::UnusedWaiver,
                        format!("waiver for `{rule}` suppresses nothing"),
                    )
                    .at(span, format!("for `{}`", waiver.address.value))
                    .help("remove the waiver"),
                );
            }
        }
    }
}
