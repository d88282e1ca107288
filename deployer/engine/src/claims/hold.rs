//! The claims of an environment during one apply.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{Address, ArtifactId, Bundle, Text};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::claim::{Claims, Deployment};
use terrace_deployer_model::error::{Error, Refusal};
use terrace_deployer_model::event::StepName;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::plan::{Action, Plan, Purpose};
use terrace_deployer_model::report::Outcome;

use super::take::{ClaimUpdate, NotTaken};
use super::{Guard, examine};
use crate::targets::Targets;

/// The claims of an environment while an apply holds its lock.
pub(crate) struct Holding<'a> {
    targets: &'a Targets,
    plan: &'a Plan,
    taking: ClaimUpdate<'a>,
    /// The recorded deployment, including places that this plan does not read.
    recorded: Deployment,
    live: &'a BTreeMap<ArtifactId, Live>,
    bundles: [Option<&'a Bundle>; 2],
}

/// Returns the recorded deployment if an apply of this plan, which changes nothing, would not change the claims either.
/// The inner value is absent if nothing is deployed.
pub(crate) fn are_settled(targets: &Targets, plan: &Plan) -> Option<Option<Deployment>> {
    let claims = &targets.claims;
    let Some((_, latest)) = claims.latest() else {
        return plan.steps.is_empty().then_some(None);
    };
    let recorded = &latest.deployment;
    let same = |name: &Text| match (recorded.targets.get(name), targets.places.targets.get(name)) {
        (Some(recorded), Some(now)) => recorded.is_same(now),
        _ => false,
    };
    let settled = plan.purpose == Purpose::Apply
        && recorded.store == targets.places.store
        && plan
            .steps
            .iter()
            .map(|step| &step.target)
            .chain([&recorded.store])
            .all(same)
        && ClaimUpdate::is_current(claims, &plan.origin, recorded);
    settled.then(|| Some(recorded.clone()))
}

/// Reads the claims again under the lock, and compares them with the plan.
pub(crate) async fn read_again(targets: &Targets, plan: &Plan, access: &Access) -> Result<Claims, Error> {
    let claims = Claims::read(&targets.stores)
        .await
        .map_err(|(_, failure)| failure)?;
    examine(targets, &claims, plan, access, None).await?;
    Ok(claims)
}

impl<'a> Holding<'a> {
    /// Prepares to write the claims. `bundles` are the desired and the last bundle, which name the components of artifacts.
    pub(crate) fn new(
        targets: &'a Targets,
        plan: &'a Plan,
        access: &'a Access,
        claims: Claims,
        live: &'a BTreeMap<ArtifactId, Live>,
        bundles: [Option<&'a Bundle>; 2],
    ) -> Holding<'a> {
        let latest = claims.latest().map(|(_, claim)| claim.deployment.clone());
        let recorded = match plan.at {
            None => targets.places.clone(),
            Some(_) => latest.unwrap_or_else(|| targets.places.clone()),
        };
        Holding {
            targets,
            plan,
            recorded,
            live,
            bundles,
            taking: ClaimUpdate::of(targets, &plan.bundle, &plan.origin, access, claims),
        }
    }

    /// Claims every place that holds resources of the environment or is about to. Runs before the first change.
    pub(crate) async fn begin(&mut self) -> Result<Deployment, Error> {
        let writes = self
            .plan
            .changes()
            .filter(|step| !matches!(step.change.action, Action::Delete | Action::Retain));
        let ids: BTreeSet<&ArtifactId> = self.ours().chain(writes.map(|step| &step.artifact)).collect();
        let deployment = self.with(ids);
        let written = self.taking.write(&deployment).await;
        written.map_err(|not_taken| self.not_taken(not_taken))?;
        Ok(deployment)
    }

    /// Records what is deployed after these steps. Returns nothing if nothing is deployed.
    pub(crate) async fn end(&mut self, steps: &[(StepName, Outcome)]) -> Result<Option<Deployment>, Error> {
        let mut ids: BTreeSet<&ArtifactId> = self.ours().collect();
        for (step, outcome) in steps {
            let is_removed = matches!(step.action, Action::Delete | Action::Retain);
            match outcome {
                Outcome::Done if is_removed => {
                    ids.remove(&step.artifact);
                }
                Outcome::Skipped(_) => {}
                // A failed write may have created a part of the resource.
                _ if !is_removed => {
                    ids.insert(&step.artifact);
                }
                _ => {}
            }
        }
        let mut deployment = self.with(ids);
        if let Some(at) = &self.plan.at {
            // The history in an emptied place has no further use.
            if deployment
                .targets
                .get(at)
                .is_some_and(|place| place.components.is_empty())
            {
                deployment.targets.remove(at);
            }
        }
        if self.plan.purpose == Purpose::Destroy && deployment.is_empty() {
            self.taking.give_up().await?;
            return Ok(None);
        }
        let settled = self.taking.settle(&deployment).await;
        settled.map_err(|not_taken| self.not_taken(not_taken))?;
        Ok(Some(deployment))
    }

    /// Returns the live artifacts that this environment owns.
    fn ours(&self) -> impl Iterator<Item = &'a ArtifactId> + use<'a> {
        let ours = self.live.values().filter(|live| live.ownership.is_ours());
        ours.map(|live| &live.id)
    }

    /// Returns the recorded deployment, with these artifacts in the places that this plan reads.
    fn with(&self, ids: BTreeSet<&ArtifactId>) -> Deployment {
        let mut deployment = self.recorded.clone();
        for name in self.targets.backends.keys() {
            if let Some(place) = deployment.targets.get_mut(name) {
                place.components.clear();
            }
        }
        for id in ids {
            if let Some(place) = deployment.targets.get_mut(id.target()) {
                place.count(&self.component(id));
            }
        }
        deployment
    }

    /// Returns the component of an artifact, as a bundle or the live object records it.
    fn component(&self, id: &ArtifactId) -> Text {
        let declared = self
            .bundles
            .iter()
            .flatten()
            .find_map(|bundle| bundle.artifact(id));
        let marked = || self.live.get(id).and_then(|live| live.addresses.first());
        match declared {
            Some(artifact) => artifact.component().1.clone(),
            None => marked().map_or(Address::UNRECORDED.into(), |address| address.component.clone()),
        }
    }

    /// Converts the failure to write a claim into the error of an apply.
    fn not_taken(&self, not_taken: NotTaken) -> Error {
        let lost = match not_taken {
            NotTaken::Failed(error) => return error,
            NotTaken::Lost(lost) => lost,
        };
        let guard = Guard::of(self.targets, self.plan);
        match &lost.found {
            Some(claim) if !claim.origin.is_same(&self.plan.origin) => {
                Refusal::OtherOrigin(Box::new(guard.other_origin(Some(&lost.target), claim))).into()
            }
            _ => NotTaken::Lost(lost).error(),
        }
    }
}
