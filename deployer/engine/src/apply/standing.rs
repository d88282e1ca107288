//! The state after an apply, for its report and its release.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Bundle, Text};
use terrace_deployer_model::event::StepName;
use terrace_deployer_model::live::{Identity, Live};
use terrace_deployer_model::plan::Plan;
use terrace_deployer_model::report::Outcome;

use super::runs_last;
use crate::ledger::History;
use crate::targets::Targets;

/// Counts the live artifacts of the environment after these steps, by target and kind.
pub(super) fn standing_after(
    live: &BTreeMap<ArtifactId, Live>,
    steps: &[(StepName, Outcome)],
) -> BTreeMap<Text, BTreeMap<Text, usize>> {
    let ours = live.values().filter(|live| live.ownership.is_ours());
    let mut standing: BTreeMap<&ArtifactId, &Text> =
        ours.map(|live| (&live.id, &live.subject.kind)).collect();
    for (step, outcome) in steps {
        let done = !matches!(outcome, Outcome::Failed(_) | Outcome::Skipped(_));
        if runs_last(step.action) && *outcome == Outcome::Done {
            standing.remove(&step.artifact);
        } else if done && !runs_last(step.action) {
            standing.insert(&step.artifact, &step.subject.kind);
        }
    }
    let mut counts: BTreeMap<Text, BTreeMap<Text, usize>> = BTreeMap::new();
    for (id, kind) in standing {
        *counts
            .entry(id.target().into())
            .or_default()
            .entry(kind.clone())
            .or_default() += 1;
    }
    counts
}

/// Returns the targets that a release records: those of the environment, or after `destroy --at` those that remain.
pub(super) fn targets_after(plan: &Plan, targets: &Targets, history: &History) -> BTreeMap<Text, Identity> {
    let (Some(at), Some(last)) = (&plan.at, history.last()) else {
        return targets.identities.clone();
    };
    let mut named = last.targets.clone();
    named.remove(at);
    named
}

/// Returns the bundle that is deployed after the release: the desired one, or after `destroy --at` what other places have.
pub(super) fn bundle_after(plan: &Plan, standing: Option<&Bundle>, wanted: &Bundle) -> Bundle {
    let (Some(at), Some(standing)) = (&plan.at, standing) else {
        return wanted.clone();
    };
    let mut left = standing.clone();
    left.artifacts.retain(|artifact| artifact.target != *at);
    left
}
