//! Detects a component that was probably renamed. One line in the component would keep its live resources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use terrace_artifact::{Location, Owner, Text};
use terrace_deployer::{Action, Plan};

use terrace_diagnostics::shown_path;

/// The changes of a plan to one component of one tenant.
#[derive(Default)]
struct ComponentChanges<'a> {
    created: BTreeSet<String>,
    deleted: BTreeSet<String>,
    others: bool,
    declared: Option<&'a Location>,
}

/// Returns a hint for each component that is deleted while another component with the same resources is created.
pub(crate) fn hints(plan: &Plan, stack: &Path) -> Vec<String> {
    let mut changes: BTreeMap<(&Owner, &Text), ComponentChanges<'_>> = BTreeMap::new();
    for step in &plan.steps {
        let change = changes.entry((&step.owner, &step.component)).or_default();
        // Names of resources that connections create contain the name of the component.
        let component = step.component.replace('-', "_");
        let names = step.addresses.iter().map(|address| {
            let name = address.resource.replace(&component, "*");
            format!("{} {name}{:?}", step.subject.kind, address.key)
        });
        match step.change.action {
            Action::Create => change.created.extend(names),
            Action::Delete => change.deleted.extend(names),
            _ => change.others = true,
        }
        if let Some(origin) = &step.origin {
            change.declared = Some(&origin.component);
        }
    }
    let mut lines = BTreeSet::new();
    for ((owner, old), before) in &changes {
        if before.others || !before.created.is_empty() || before.deleted.is_empty() {
            continue;
        }
        let candidates = changes.iter().filter(|((of, _), after)| {
            of == owner && !after.others && after.deleted.is_empty() && after.created == before.deleted
        });
        let candidates: Vec<_> = candidates.collect();
        if let [((_, new), after)] = candidates.as_slice() {
            let place = after.declared.map_or(String::new(), |at| {
                format!(" at {}:{}:{}", shown_path(stack, &at.file), at.line, at.column)
            });
            lines.insert(format!(
                "`{old}` is deleted, and `{new}`{place} is created with the same resources\n  \
                 if you renamed `{old}`, add this line to `{new}` to keep the live resources:\n    moved_from: {old}"
            ));
        }
    }
    lines.into_iter().collect()
}
