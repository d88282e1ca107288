//! The objects that are deleted along with a container. They are listed only if a plan deletes a container.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{ArtifactId, Bundle, Text};
use terrace_deployer_model::backend::PlannedDeletions;
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::{Action, Content, Plan, Step};

use crate::targets::Targets;

/// Returns whether a step deletes a live artifact.
fn deletes(step: &Step) -> bool {
    matches!(step.change.action, Action::Delete | Action::Replace)
}

/// Adds to each step that deletes a container the objects that are deleted along with it. A deletion is refused if
/// permissions to list the contents are missing.
pub(super) async fn delete_contents(
    targets: &Targets,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, (Text, Live)>,
    plan: &mut Plan,
) -> Result<(), Error> {
    if !plan.steps.iter().any(deletes) {
        return Ok(());
    }
    let live: BTreeMap<ArtifactId, Live> = live
        .iter()
        .map(|(id, (_, live))| (id.clone(), live.clone()))
        .collect();
    match in_the_way(targets, plan, wanted, &live).await {
        Ok(failures) => plan.refusals.extend(failures),
        Err(failure) => plan.refusals.push(denied(failure)?),
    }
    let mut found = match contents(targets, plan, wanted, &live, None).await {
        Ok(found) => found,
        Err(failure) => {
            plan.refusals.push(denied(failure)?);
            return Ok(());
        }
    };
    for step in &mut plan.steps {
        let contents = found.remove(&step.artifact).unwrap_or_default();
        // A CloudFormation stack does not have its own address: only its contents require approval.
        let container = live
            .get(&step.artifact)
            .filter(|_| step.change.members.is_empty());
        let container = container.map(|live| live.addresses.clone());
        step.change
            .delete_contents(contents, &container.unwrap_or_default());
    }
    Ok(())
}

/// Returns a missing permission as a refusal; any other failure ends the plan.
fn denied(failure: Failure) -> Result<Failure, Error> {
    match failure.kind {
        FailureKind::Denied { .. } => Ok(failure),
        _ => Err(failure.into()),
    }
}

/// Returns the objects that are deleted along with all containers that a plan deletes, or with one of them.
pub(crate) async fn contents(
    targets: &Targets,
    plan: &Plan,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, Live>,
    only: Option<&ArtifactId>,
) -> Result<BTreeMap<ArtifactId, Vec<Content>>, Failure> {
    let mut found = BTreeMap::new();
    for (target, deleted) in deleted(plan) {
        let among = match only {
            None => deleted.clone(),
            Some(id) => deleted.get(id).into_iter().cloned().collect(),
        };
        if !among.is_empty() {
            let going = PlannedDeletions {
                target,
                deleted: &deleted,
                among: &among,
                live,
                wanted,
            };
            found.extend(targets.backend(target)?.contents(&going).await?);
        }
    }
    Ok(found)
}

/// Finds deletions of a plan that would never complete.
pub(crate) async fn in_the_way(
    targets: &Targets,
    plan: &Plan,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, Live>,
) -> Result<Vec<Failure>, Failure> {
    let mut failures = Vec::new();
    for (target, deleted) in deleted(plan) {
        let going = PlannedDeletions {
            target,
            deleted: &deleted,
            among: &deleted,
            live,
            wanted,
        };
        failures.extend(targets.backend(target)?.in_the_way(&going).await?);
    }
    Ok(failures)
}

/// Returns the artifacts that a plan deletes or replaces, by target.
fn deleted(plan: &Plan) -> BTreeMap<&Text, BTreeSet<ArtifactId>> {
    let mut deleted: BTreeMap<&Text, BTreeSet<ArtifactId>> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| deletes(step)) {
        deleted
            .entry(&step.target)
            .or_default()
            .insert(step.artifact.clone());
    }
    deleted
}
