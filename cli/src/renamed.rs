//! Notices a component that seems to have been renamed: one line in it would keep what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use terrace_artifact::{Location, Text};
use terrace_deployer::{Action, Plan};

use crate::diagnostics::shown_path;

/// What a plan does with one component of one tenant.
#[derive(Default)]
struct Fate<'a> {
    created: BTreeSet<String>,
    deleted: BTreeSet<String>,
    others: bool,
    declared: Option<&'a Location>,
}

/// A line for each component that goes while one with the same resources comes.
pub(crate) fn hints(plan: &Plan, stack: &Path) -> Vec<String> {
    let mut fates: BTreeMap<(&Text, &Text), Fate<'_>> = BTreeMap::new();
    for step in &plan.steps {
        let fate = fates.entry((&step.tenant, &step.component)).or_default();
        // What connections make is named after the component.
        let own = step.component.replace('-', "_");
        let names = step.addresses.iter().map(|address| {
            let name = address.resource.replace(&own, "*");
            format!("{} {name}{:?}", step.subject.kind, address.key)
        });
        match step.change.action {
            Action::Create => fate.created.extend(names),
            Action::Delete => fate.deleted.extend(names),
            _ => fate.others = true,
        }
        if let Some(origin) = &step.origin {
            fate.declared = Some(&origin.component);
        }
    }
    let mut lines = BTreeSet::new();
    for ((tenant, gone), before) in &fates {
        if before.others || !before.created.is_empty() || before.deleted.is_empty() {
            continue;
        }
        let like = fates.iter().filter(|((of, _), after)| {
            of == tenant && !after.others && after.deleted.is_empty() && after.created == before.deleted
        });
        let like: Vec<_> = like.collect();
        if let [((_, come), after)] = like.as_slice() {
            let place = after.declared.map_or(String::new(), |at| {
                format!(" at {}:{}:{}", shown_path(stack, &at.file), at.line, at.column)
            });
            lines.insert(format!(
                "`{gone}` is deleted, and `{come}`{place} is created with the same resources\n  \
                 if you renamed `{gone}`, add this line to `{come}` to keep the live resources:\n    moved_from: {gone}"
            ));
        }
    }
    lines.into_iter().collect()
}
