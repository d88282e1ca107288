//! What goes along with a container that is deleted: looked up only when one is, and told by name.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{ArtifactId, Text};

use crate::backend::{Going, Live};
use crate::error::Error;
use crate::failure::{Failure, FailureKind};
use crate::plan::{Action, Content, Plan, Step};
use crate::targets::Targets;

/// Whether a step deletes what is there.
fn deletes(step: &Step) -> bool {
    matches!(step.change.action, Action::Delete | Action::Replace)
}

/// Adds to each step that deletes a container what goes along with it. What nobody may look into is refused.
pub(super) async fn take_along(
    targets: &Targets,
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
    let mut found = match contents(targets, plan, &live, None).await {
        Ok(found) => found,
        Err(failure) if matches!(failure.kind, FailureKind::Denied { .. }) => {
            plan.refusals.push(failure);
            return Ok(());
        }
        Err(failure) => return Err(failure.into()),
    };
    for step in &mut plan.steps {
        let contents = found.remove(&step.artifact).unwrap_or_default();
        let container = live.get(&step.artifact).map(|live| live.addresses.clone());
        step.change.take_along(contents, &container.unwrap_or_default());
    }
    Ok(())
}

/// What goes along with the containers that a plan deletes: with all of them, or with one.
pub(crate) async fn contents(
    targets: &Targets,
    plan: &Plan,
    live: &BTreeMap<ArtifactId, Live>,
    only: Option<&ArtifactId>,
) -> Result<BTreeMap<ArtifactId, Vec<Content>>, Failure> {
    let mut found = BTreeMap::new();
    for (target, backend) in &targets.backends {
        let steps = plan
            .steps
            .iter()
            .filter(|step| step.target == *target && deletes(step));
        let deleted: BTreeSet<ArtifactId> = steps.map(|step| step.artifact.clone()).collect();
        let among = match only {
            None => deleted.clone(),
            Some(id) => deleted.get(id).into_iter().cloned().collect(),
        };
        if among.is_empty() {
            continue;
        }
        let going = Going {
            target,
            deleted: &deleted,
            among: &among,
            live,
        };
        found.extend(backend.contents(&going).await?);
    }
    Ok(found)
}
