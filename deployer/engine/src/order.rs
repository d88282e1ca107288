//! The order of steps: each after its dependencies; deletes last and in reverse order.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Artifact, ArtifactId, Bundle, Text};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::{Action, Change};

/// The positions of all steps.
pub(crate) struct Order {
    /// By artifact.
    pub(crate) waves: BTreeMap<ArtifactId, Position>,
}

/// The position of one step.
pub(crate) struct Position {
    /// The wave, from 1.
    pub(crate) wave: u32,
    /// The steps before this one.
    pub(crate) after: BTreeSet<ArtifactId>,
}

/// Orders the steps of wanted artifacts after their dependencies, and deletes before the deletes of their dependencies.
///
/// Deletes come last, because an artifact that is updated may use a deleted one until then.
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
    // A step that changes nothing does not need its own wave.
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
    for (edges, depths, offset, may_ring) in
        [(&needs, writes, 1, false), (&dependents, deletes, last + 1, true)]
    {
        for (id, depth) in &depths {
            // In a cycle of marks, one edge points to the same or a later wave; it is dropped.
            let earlier = edges[*id]
                .iter()
                .filter(|before| !may_ring || depths[**before] < *depth);
            let after = earlier.map(|id| (*id).clone()).collect();
            let wave = offset + depth;
            waves.insert((*id).clone(), Position { wave, after });
        }
    }
    Order { waves }
}

/// Returns for each node the greatest weight of a path to its predecessors. Edges that close a cycle are ignored (a
/// bundle contains none, but marks on live artifacts may be stale).
fn depths<'a>(
    before: &BTreeMap<&'a ArtifactId, BTreeSet<&'a ArtifactId>>,
    weight: impl Fn(&ArtifactId) -> u32,
) -> BTreeMap<&'a ArtifactId, u32> {
    let mut depths: BTreeMap<&ArtifactId, u32> = BTreeMap::new();
    let mut open: BTreeSet<&ArtifactId> = BTreeSet::new();
    for start in before.keys() {
        // Depth-first with an explicit list, because chains may be long.
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;
    use terrace_deployer_model::live::Basis;
    use terrace_deployer_model::ownership::Ownership;
    use terrace_tests::bundles::{bundle, needing, object};

    fn config(name: &str) -> Artifact {
        let address = format!("finance/web/{name}");
        object(&address, "v1", "ConfigMap", name, "{}")
    }

    #[track_caller]
    fn check(
        wanted: &[&Artifact],
        action: impl Fn(&ArtifactId) -> Action,
        previous: &[&Artifact],
        marks: &[(&Artifact, &Artifact)],
        want: Expect,
    ) {
        let owned = |artifacts: &[&Artifact]| bundle(artifacts.iter().map(|artifact| (*artifact).clone()));
        let (wanted, previous) = (owned(wanted), owned(previous));
        let gone = previous
            .artifacts
            .iter()
            .filter(|artifact| wanted.artifact(&artifact.id).is_none());
        let live = gone.map(|artifact| {
            let needs = marks.iter().filter(|(of, _)| of.id == artifact.id);
            let live = Live {
                id: artifact.id.clone(),
                subject: terrace_deployer_model::subject::Subject::of(artifact),
                ownership: Ownership::MADE,
                identity: terrace_artifact::Text::default(),
                notes: Vec::new(),
                basis: Basis::absent(),
                addresses: Vec::new(),
                holds_data: Vec::new(),
                needs: needs.map(|(_, need)| need.id.clone()).collect(),
                value: terrace_artifact::Value::Null,
            };
            (artifact.id.clone(), ("directory".into(), live))
        });
        let live: BTreeMap<_, _> = live.collect();
        let changes = wanted
            .artifacts
            .iter()
            .map(|a| (a.id.clone(), Change::of(action(&a.id), "")));
        let removals = live.keys().map(|id| (id.clone(), Change::of(Action::Delete, "")));
        let order = order(
            &wanted,
            Some(&previous),
            &live,
            &changes.collect(),
            &removals.collect(),
        );
        let mut lines: Vec<_> = order
            .waves
            .iter()
            .map(|(id, place)| (place.wave, id, place))
            .collect();
        lines.sort_by_key(|(wave, id, _)| (*wave, *id));
        let mut out = String::new();
        let short = |id: &ArtifactId| id.as_str().rsplit('/').next().unwrap().to_owned();
        for (wave, id, place) in lines {
            let after: Vec<_> = place.after.iter().map(short).collect();
            let _ = writeln!(out, "{wave} {} after {after:?}", short(id));
        }
        want.assert_eq(&out);
    }

    #[test]
    fn steps_come_after_their_dependencies() {
        let a = config("a");
        let b = needing(config("b"), &[&a]);
        let c = needing(config("c"), &[&a, &b]);
        let d = config("d");
        check(
            &[&c, &b, &a, &d],
            |_| Action::Create,
            &[],
            &[],
            expect![[r#"
                1 a after []
                1 d after []
                2 b after ["a"]
                3 c after ["a", "b"]
            "#]],
        );
    }

    #[test]
    fn unchanged_steps_do_not_add_waves() {
        let a = config("a");
        let b = needing(config("b"), &[&a]);
        let c = needing(config("c"), &[&b]);
        check(
            &[&a, &b, &c],
            |id| {
                if id.as_str().ends_with("/b") {
                    Action::Keep
                } else {
                    Action::Update
                }
            },
            &[],
            &[],
            expect![[r#"
                1 a after []
                2 b after ["a"]
                2 c after ["b"]
            "#]],
        );
    }

    #[test]
    fn deletes_come_last_and_in_reverse() {
        let a = config("a");
        let b = needing(config("b"), &[&a]);
        let c = needing(config("c"), &[&b]);
        let new = config("new");
        check(
            &[&new],
            |_| Action::Create,
            &[&a, &b, &c],
            &[],
            expect![[r#"
                1 new after []
                2 c after []
                3 b after ["c"]
                4 a after ["b"]
            "#]],
        );
    }

    #[test]
    fn a_cycle_of_marks_does_not_prevent_an_order() {
        let (a, b, c) = (config("a"), config("b"), config("c"));
        check(
            &[],
            |_| Action::Keep,
            &[&a, &b, &c],
            &[(&a, &b), (&b, &a), (&c, &a)],
            expect![[r#"
                1 b after []
                1 c after []
                2 a after ["b", "c"]
            "#]],
        );
    }
}
