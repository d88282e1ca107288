//! An update in two stages: what others use is taken away only when they have stopped using it.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{ArtifactId, Bundle, Text, Value};

use crate::backend::{Leaving, Live, PreviewOptions};
use crate::failure::Failure;
use crate::plan::{Action, Change, Plan, Stage, Step};
use crate::planning::{backend_of, guard};
use crate::targets::Targets;
use crate::values::Values;

/// The second stage of an update.
pub(crate) struct Later {
    /// What the first stage keeps.
    keeps: BTreeSet<Text>,
    /// What is taken away in the end; nothing where somebody who uses it is left out by `--only`.
    change: Option<Change>,
    /// Who has to stop using it first.
    users: BTreeSet<ArtifactId>,
}

/// What a plan has found out so far.
pub(crate) struct Planned<'a> {
    pub(crate) targets: &'a Targets,
    pub(crate) wanted: &'a Bundle,
    pub(crate) live: &'a BTreeMap<ArtifactId, (Text, Live)>,
    pub(crate) removals: &'a BTreeMap<ArtifactId, Change>,
    pub(crate) values: &'a Values,
    pub(crate) options: &'a PreviewOptions,
}

impl Planned<'_> {
    /// Divides each update that takes away what others still use. What is left in `changes` is the first stage of it.
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
            let backend = backend_of(self.targets, target)?;
            let mut keeps = BTreeSet::new();
            let mut users = BTreeSet::new();
            let mut notes = Vec::new();
            let mut held = false;
            for leaving in backend.leaving(live, &changes[&id]) {
                let found = self.users_of(&id, &leaving, changes);
                if found.is_empty() {
                    continue;
                }
                notes.push(self.told(&leaving, &found));
                if !leaving.replaced {
                    held |= found.values().any(|user| *user == User::LeftOut);
                    keeps.insert(leaving.part);
                    users.extend(found.into_keys());
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
                    change: backend.rest(artifact, &kept, live, self.values).filter(|_| !held),
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

    /// Who has one of these values now and will not have it any more; and who has it and is left out of the plan.
    fn users_of(
        &self,
        id: &ArtifactId,
        leaving: &Leaving,
        changes: &BTreeMap<ArtifactId, Change>,
    ) -> BTreeMap<ArtifactId, User> {
        let others = self.live.iter().filter(|(other, _)| *other != id);
        let using = others.filter(|(_, (_, live))| {
            let mut values = leaving.values.iter();
            values.any(|value| mentions(&live.value, value))
        });
        let users = using.filter_map(|(other, (_, live))| {
            let user = match changes.get(other) {
                // It has the value, and keeps it: whoever wrote it there knows why.
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

    fn told(&self, leaving: &Leaving, users: &BTreeMap<ArtifactId, User>) -> String {
        let known = users.keys().filter_map(|id| self.live.get(id));
        let names: Vec<String> = known.map(|(_, live)| live.subject.to_string()).collect();
        let (names, what) = (names.join(", "), &leaving.shown);
        if leaving.replaced {
            return format!("the old `{what}` is deleted before {names} is updated");
        }
        match users.values().find(|user| **user == User::LeftOut) {
            Some(_) => format!("`{what}` stays: {names} uses it, and the plan leaves that out"),
            None => format!("`{what}` stays until {names} has stopped using it"),
        }
    }
}

/// What becomes of somebody who uses a thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Changes,
    Goes,
    LeftOut,
}

/// Adds the steps of the second stages, each after all who used what it takes away.
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
    let brings = steps.iter().filter(|step| !step.takes_away());
    let last = brings.map(|step| step.wave).max().unwrap_or(0);
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

impl Plan {
    /// Whether a step is the first stage of two that are both in the plan.
    pub(crate) fn comes_back_to(&self, step: &Step) -> bool {
        let mut others = self.steps.iter();
        step.stage.is_some()
            && others.any(|other| other.artifact == step.artifact && other.stage == Some(Stage::Second))
    }
}

/// Shorter values are in too many places to mean anything.
const TELLING: usize = 6;

/// Whether a text in a value has `needle` in it, not as a part of a longer name.
fn mentions(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => needle.len() >= TELLING && has_word(text, needle),
        Value::List(items) => items.iter().any(|item| mentions(item, needle)),
        Value::Map(map) => map.iter().any(|(_, item)| mentions(item, needle)),
        _ => false,
    }
}

fn has_word(text: &str, needle: &str) -> bool {
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    text.match_indices(needle).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + needle.len()..]);
        !goes_on(before.chars().next_back()) && !goes_on(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_found_in_a_longer_one() {
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
        assert!(!mentions(&"8443".into(), "8443"), "too short to tell");
    }
}
