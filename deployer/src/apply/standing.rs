//! The state after an apply, for its report.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Text};

use super::{Outcome, takes_away};
use crate::backend::Live;
use crate::event::StepName;

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
        if takes_away(step.action) && *outcome == Outcome::Done {
            standing.remove(&step.artifact);
        } else if done && !takes_away(step.action) {
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
