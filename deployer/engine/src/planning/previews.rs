//! Previews of all wanted artifacts, and the values that they make known.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use terrace_artifact::{Artifact, ArtifactId, Bundle, Source, Text};
use terrace_deployer_model::backend::PreviewOptions;
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::{Action, Change};
use terrace_deployer_model::values::{Values, sources};

use super::adoption::Adoption;
use crate::selection::Selection;
use crate::targets::{Targets, fail};

/// The result of all previews.
pub(super) struct Previewed {
    /// The changes by artifact; refused artifacts have none.
    pub(super) changes: BTreeMap<ArtifactId, Change>,
    pub(super) values: Values,
    /// The artifacts that may not be changed.
    pub(super) refusals: Vec<Failure>,
}

/// The maximum number of concurrent requests.
pub(super) const PARALLEL: usize = 16;

/// Previews every selected artifact: first those that need no late values, then those whose sources have been
/// previewed.
pub(super) async fn preview(
    targets: &Targets,
    bundle: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    selection: &Selection<'_>,
    adoption: &Adoption<'_>,
    options: &PreviewOptions,
) -> Result<Previewed, Error> {
    let asked_for = AskedFor::of(bundle);
    let mut values = Values::default();
    let mut changes: BTreeMap<ArtifactId, Change> = BTreeMap::new();
    let (mut failures, mut refusals) = (Vec::new(), Vec::new());
    let mut open: Vec<&Artifact> = Vec::new();
    for artifact in &bundle.artifacts {
        if selection.wanted.contains(&artifact.id) {
            match adoption.refusal(targets, artifact, live.get(&artifact.id)) {
                Some(refusal) => refusals.push(refusal),
                None => open.push(artifact),
            }
        } else if let Some((target, live)) = live.get(&artifact.id) {
            asked_for.learn(targets, target, live, None, &mut values);
        }
    }
    let selected: BTreeSet<&ArtifactId> = open.iter().map(|artifact| &artifact.id).collect();
    let mut asked: BTreeSet<&ArtifactId> = BTreeSet::new();
    while !open.is_empty() {
        let (ready, later): (Vec<&Artifact>, Vec<&Artifact>) = open.iter().partition(|artifact| {
            let mut waits_for = sources(artifact).into_iter().map(|source| &source.artifact);
            waits_for.all(|id| asked.contains(id) || !selected.contains(id))
        });
        if ready.is_empty() {
            let names: Vec<_> = later.iter().map(|artifact| artifact.id.as_str()).collect();
            let message = format!(
                "these artifacts depend on each other's values: {}",
                names.join(", ")
            );
            return Err(Failure::new(FailureKind::Broken, message).into());
        }
        let requests = ready.iter().map(|artifact| {
            let live = live.get(&artifact.id).map(|(_, live)| live);
            let values = &values;
            async move {
                let change = preview_one(targets, bundle, artifact, live, values, options).await;
                (*artifact, change)
            }
        });
        let answers: Vec<_> = stream::iter(requests).buffer_unordered(PARALLEL).collect().await;
        for (artifact, answer) in answers {
            asked.insert(&artifact.id);
            match answer {
                Ok(mut change) => {
                    if let Some((target, live)) = live.get(&artifact.id) {
                        change.notes.extend(live.notes.iter().cloned());
                        let pending = Some(&change).filter(|change| change.action != Action::Keep);
                        asked_for.learn(targets, target, live, pending, &mut values);
                    }
                    changes.insert(artifact.id.clone(), change);
                }
                Err(failure) => {
                    let address = artifact.addresses().into_iter().next();
                    let failure = failure.about(address.as_ref(), Some(artifact.origin()));
                    match failure.kind {
                        FailureKind::NotOurs { .. } | FailureKind::Protected => refusals.push(failure),
                        _ => failures.push(failure),
                    }
                }
            }
        }
        open = later;
    }
    // Sorted, because the answers come in any order.
    for list in [&mut failures, &mut refusals] {
        list.sort_by(|a, b| (&a.detail.address, &a.message).cmp(&(&b.detail.address, &b.message)));
        list.dedup();
    }
    if !failures.is_empty() {
        failures.append(&mut refusals);
    }
    if let Some(error) = fail(failures) {
        return Err(error);
    }
    Ok(Previewed {
        changes,
        values,
        refusals,
    })
}

async fn preview_one(
    targets: &Targets,
    bundle: &Bundle,
    artifact: &Artifact,
    live: Option<&Live>,
    values: &Values,
    options: &PreviewOptions,
) -> Result<Change, Failure> {
    let backend = targets.backend(&artifact.target)?;
    if backend.fills_late_values() {
        let never = sources(artifact).into_iter().find(|source| {
            let target = bundle.artifact(&source.artifact).map(|artifact| &artifact.target);
            let backend = target.and_then(|target| targets.backends.get(target));
            !backend.is_some_and(|backend| backend.fills_late_values())
        });
        if let Some(source) = never {
            let message = format!(
                "`{}` cannot be resolved: its source is rendered to a directory and has no live value",
                source.shown
            );
            return Err(Failure::new(FailureKind::Rejected, message)
                .hint("deploy both to live systems, or both to a directory"));
        }
    }
    backend.preview(artifact, live, values, options).await
}

/// The attributes that bindings need, by the artifact that provides them.
pub(crate) struct AskedFor<'a>(BTreeMap<&'a ArtifactId, BTreeSet<&'a Source>>);

impl<'a> AskedFor<'a> {
    pub(crate) fn of(bundle: &'a Bundle) -> AskedFor<'a> {
        let mut by_artifact: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for source in bundle.artifacts.iter().flat_map(sources) {
            by_artifact.entry(&source.artifact).or_default().insert(source);
        }
        AskedFor(by_artifact)
    }

    /// Returns the attributes that are needed from an artifact.
    pub(crate) fn about(&self, id: &ArtifactId) -> impl Iterator<Item = &'a Source> {
        self.0.get(id).into_iter().flatten().copied()
    }

    /// Records the needed attributes of an artifact, as far as they are known.
    pub(super) fn learn(
        &self,
        targets: &Targets,
        target: &Text,
        live: &Live,
        change: Option<&Change>,
        values: &mut Values,
    ) {
        let Some(backend) = targets.backends.get(target) else {
            return;
        };
        for source in self.about(&live.id) {
            if let Some(value) = backend.attribute(&source.attribute, live, change) {
                values.learn(source, value);
            }
        }
    }
}
