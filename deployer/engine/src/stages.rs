//! Updates in two stages: a part that other artifacts use is removed only after they stop using it.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{ArtifactId, Bundle, Text, Value};
use terrace_deployer_model::backend::{PreviewOptions, RemovedPart};
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::loss::guard;
use terrace_deployer_model::plan::{Action, Change, Plan, Stage, Step};
use terrace_deployer_model::values::Values;

use crate::targets::Targets;

/// The second stage of an update.
pub(crate) struct Later {
    /// The parts that the first stage keeps.
    keeps: BTreeSet<Text>,
    /// The change of the second stage; `None` if `--only` excludes a user of a part.
    change: Option<Change>,
    /// The artifacts that must stop using the parts first.
    users: BTreeSet<ArtifactId>,
}

/// The plan so far.
pub(crate) struct Planned<'a> {
    pub(crate) targets: &'a Targets,
    pub(crate) wanted: &'a Bundle,
    pub(crate) live: &'a BTreeMap<ArtifactId, (Text, Live)>,
    pub(crate) removals: &'a BTreeMap<ArtifactId, Change>,
    pub(crate) values: &'a Values,
    pub(crate) options: &'a PreviewOptions,
}

impl Planned<'_> {
    /// Splits each update that removes parts that other artifacts still use. `changes` then contains the first stage.
    pub(crate) async fn divide(
        &self,
        changes: &mut BTreeMap<ArtifactId, Change>,
    ) -> Result<BTreeMap<ArtifactId, Later>, Failure> {
        let mut divided = BTreeMap::new();
        let updates = changes
            .iter()
            .filter(|(_, change)| change.action == Action::Update);
        for id in updates.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            let (Some(artifact), Some((target, live))) = (self.wanted.artifact(&id), self.live.get(&id))
            else {
                continue;
            };
            let backend = self.targets.backend(target)?;
            let mut keeps = BTreeSet::new();
            let mut users = BTreeSet::new();
            let mut notes = Vec::new();
            let mut has_excluded_user = false;
            for leaving in backend.leaving(live, &changes[&id]) {
                let users_of_part = self.users_of(&id, &leaving, changes);
                if users_of_part.is_empty() {
                    continue;
                }
                notes.push(self.note(&leaving, &users_of_part));
                if !leaving.replaced {
                    has_excluded_user |= users_of_part.values().any(|user| *user == User::LeftOut);
                    keeps.insert(leaving.part);
                    users.extend(users_of_part.into_keys());
                }
            }
            let kept = backend
                .keeping(artifact, live, &keeps)
                .filter(|_| !keeps.is_empty());
            if let Some(kept) = kept {
                let first = backend
                    .preview(&kept, Some(live), self.values, self.options)
                    .await?;
                let later = Later {
                    change: backend
                        .rest(artifact, &kept, live, self.values)
                        .filter(|_| !has_excluded_user),
                    keeps,
                    users,
                };
                changes.insert(id.clone(), first);
                divided.insert(id.clone(), later);
            }
            if let Some(change) = changes.get_mut(&id) {
                change.notes.extend(notes);
            }
        }
        Ok(divided)
    }

    /// Finds the artifacts that use one of these values and stop using it in this plan, and those that use it and are
    /// excluded from the plan.
    fn users_of(
        &self,
        id: &ArtifactId,
        leaving: &RemovedPart,
        changes: &BTreeMap<ArtifactId, Change>,
    ) -> BTreeMap<ArtifactId, User> {
        let others = self.live.iter().filter(|(other, _)| *other != id);
        let using = others.filter(|(_, (_, live))| {
            let mut values = leaving.values.iter();
            values.any(|value| mentions(&live.value, value))
        });
        let users = using.filter_map(|(other, (_, live))| {
            let user = match changes.get(other) {
                // It uses the value and keeps it, so the value was written there on purpose.
                Some(change) if change.action == Action::Keep => return None,
                Some(_) => User::Changes,
                None if self.removals.contains_key(other) => User::Goes,
                None if live.ownership.is_ours() => User::LeftOut,
                None => return None,
            };
            Some((other.clone(), user))
        });
        users.collect()
    }

    fn note(&self, leaving: &RemovedPart, users: &BTreeMap<ArtifactId, User>) -> String {
        let known = users.keys().filter_map(|id| self.live.get(id));
        let names: Vec<String> = known.map(|(_, live)| live.subject.to_string()).collect();
        let (names, what) = (names.join(", "), &leaving.shown);
        if leaving.replaced {
            return format!("the old `{what}` is deleted before {names} is updated");
        }
        match users.values().find(|user| **user == User::LeftOut) {
            Some(_) => format!("`{what}` is kept: it is used by {names}, which this plan does not include"),
            None => format!("`{what}` is kept until it is no longer used by {names}"),
        }
    }
}

/// The fate of an artifact that uses a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Changes,
    Goes,
    LeftOut,
}

/// Adds the steps of the second stages, each after all users of the removed parts.
pub(crate) fn add_later(
    steps: &mut Vec<Step>,
    mut divided: BTreeMap<ArtifactId, Later>,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
) {
    let waves: BTreeMap<ArtifactId, u32> = steps
        .iter()
        .map(|step| (step.artifact.clone(), step.wave))
        .collect();
    let first_steps = steps.iter().filter(|step| !step.runs_last());
    let last = first_steps.map(|step| step.wave).max().unwrap_or(0);
    let mut added = Vec::new();
    for step in steps.iter_mut() {
        let (Some(later), Some(artifact)) = (divided.remove(&step.artifact), wanted.artifact(&step.artifact))
        else {
            continue;
        };
        step.stage = Some(Stage::First { keeps: later.keeps });
        let Some(mut change) = later.change else { continue };
        guard(
            artifact,
            live.get(&step.artifact).map(|(_, live)| live),
            &mut change,
        );
        let after_users = later.users.iter().filter_map(|user| waves.get(user));
        let wave = after_users.copied().chain([last]).max().unwrap_or(last) + 1;
        added.push(Step {
            stage: Some(Stage::Second),
            awaits: None,
            wave,
            after: later.users,
            change,
            ..step.clone()
        });
    }
    steps.extend(added);
}

/// Returns whether a step is the first stage of two that are both in the plan.
pub(crate) fn comes_back_to(plan: &Plan, step: &Step) -> bool {
    let mut others = plan.steps.iter();
    step.stage.is_some()
        && others.any(|other| other.artifact == step.artifact && other.stage == Some(Stage::Second))
}

/// Shorter values occur in too many places to identify a part.
const TELLING: usize = 6;

/// Returns whether a string in a value contains `needle`, not as a part of a longer name.
fn mentions(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => needle.len() >= TELLING && has_word(text, needle),
        Value::List(items) => items.iter().any(|item| mentions(item, needle)),
        Value::Map(map) => map.iter().any(|(_, item)| mentions(item, needle)),
        _ => false,
    }
}

fn has_word(text: &str, needle: &str) -> bool {
    let is_name_char = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    text.match_indices(needle).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + needle.len()..]);
        !is_name_char(before.chars().next_back()) && !is_name_char(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_find_a_name_in_a_longer_one() {
        let arn = "arn:aws:sqs:eu-west-1:1:acme-jobs";
        for (text, found) in [
            ("acme-jobs", true),
            (arn, true),
            ("arn:aws:sqs:eu-west-1:1:acme-jobs/*", true),
            ("acme-jobs-two", false),
            ("the-acme-jobs", false),
            ("acme-jobs-two acme-jobs", true),
        ] {
            let value = Value::List(vec![text.into()]);
            assert_eq!(mentions(&value, "acme-jobs"), found, "{text}");
        }
        assert!(!mentions(&"8443".into(), "8443"), "a short value was found");
    }
}
