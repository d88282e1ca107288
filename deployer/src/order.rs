//! In which order steps are taken: each after what it needs, deletes after everything else and in reverse.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Artifact, ArtifactId, Bundle, Text};

use crate::backend::Live;
use crate::plan::{Action, Change};

/// The place of every step.
pub(crate) struct Order {
    /// By artifact.
    pub(crate) waves: BTreeMap<ArtifactId, Place>,
}

/// The place of one step.
pub(crate) struct Place {
    /// From 1.
    pub(crate) wave: u32,
    /// The steps it comes after.
    pub(crate) after: BTreeSet<ArtifactId>,
}

/// Orders the steps for wanted artifacts by what they need, and those for unwanted ones by who needed them.
///
/// Deletes come after all else: what is updated may until then still use what is to go.
pub(crate) fn order(
    wanted: &Bundle,
    previous: Option<&Bundle>,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    changes: &BTreeMap<ArtifactId, Change>,
    removals: &BTreeMap<ArtifactId, Change>,
) -> Order {
    let needs: BTreeMap<&ArtifactId, BTreeSet<&ArtifactId>> = changes
        .keys()
        .filter_map(|id| {
            let artifact: &Artifact = wanted.artifact(id)?;
            let needs = artifact.needs.iter().filter(|id| changes.contains_key(*id));
            Some((id, needs.collect()))
        })
        .collect();
    // A step that changes nothing takes no wave of its own.
    let weight = |id: &ArtifactId| {
        u32::from(
            changes
                .get(id)
                .is_some_and(|change| change.action != Action::Keep),
        )
    };
    let writes = depths(&needs, weight);
    let last = writes
        .iter()
        .map(|(id, depth)| depth + weight(id))
        .max()
        .unwrap_or(0);

    let mut dependents: BTreeMap<&ArtifactId, BTreeSet<&ArtifactId>> =
        removals.keys().map(|id| (id, BTreeSet::new())).collect();
    for id in removals.keys() {
        let recorded = live.get(id).into_iter().flat_map(|(_, live)| &live.needs);
        let known = previous.and_then(|previous| previous.artifact(id));
        let known = known.into_iter().flat_map(|artifact| &artifact.needs);
        for need in recorded.chain(known).filter(|need| *need != id) {
            if let Some(dependents) = dependents.get_mut(need) {
                dependents.insert(id);
            }
        }
    }
    let deletes = depths(&dependents, |_| 1);

    let mut waves = BTreeMap::new();
    for (edges, depths, offset) in [(&needs, writes, 1), (&dependents, deletes, last + 1)] {
        for (id, depth) in &depths {
            // Where marks go round in a ring, one of its edges has no earlier wave to point to.
            let earlier = edges[*id]
                .iter()
                .filter(|before| depths[**before] < *depth || offset == 1);
            let after = earlier.map(|id| (*id).clone()).collect();
            let wave = offset + depth;
            waves.insert((*id).clone(), Place { wave, after });
        }
    }
    Order { waves }
}

/// For each node, the greatest weight of a path to what comes before it. Edges that close a ring (there are none in
/// a bundle; marks on live things may be stale) do not count.
fn depths<'a>(
    before: &BTreeMap<&'a ArtifactId, BTreeSet<&'a ArtifactId>>,
    weight: impl Fn(&ArtifactId) -> u32,
) -> BTreeMap<&'a ArtifactId, u32> {
    let mut depths: BTreeMap<&ArtifactId, u32> = BTreeMap::new();
    let mut open: BTreeSet<&ArtifactId> = BTreeSet::new();
    for start in before.keys() {
        // Depth-first with a list of our own: chains may be long.
        let mut stack = vec![(*start, false)];
        while let Some((id, left)) = stack.pop() {
            if left {
                let known = before[id].iter().filter_map(|b| Some(depths.get(b)? + weight(b)));
                let depth = known.max().unwrap_or(0);
                depths.insert(id, depth);
                open.remove(id);
            } else if !depths.contains_key(id) && open.insert(id) {
                stack.push((id, true));
                let next = before[id].iter().filter(|b| !open.contains(**b));
                stack.extend(next.map(|b| (*b, false)));
            }
        }
    }
    depths
}
