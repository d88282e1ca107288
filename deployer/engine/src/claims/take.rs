//! Writes claims: before the first change of an apply, and after its last one.

use terrace_artifact::{Bundle, Text};
use terrace_deployer_model::access::{Access, timestamp};
use terrace_deployer_model::claim::{
    Claim, Claims, Deployment, FORMAT, Found, StackOrigin, Stores, read_claim, write_claim,
};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};

use crate::targets::Targets;

/// The claims of an environment, to be written by a process that holds its lock.
///
/// The lock belongs to one state store. Another directory that deploys an environment of the same name may use another
/// state store and another lock. Every write is therefore conditional on the version that was read.
pub(crate) struct ClaimUpdate<'a> {
    stores: &'a Stores,
    claims: Claims,
    platform: &'a Text,
    environment: &'a Text,
    origin: StackOrigin,
    who: &'a Text,
    written: Text,
}

/// A claim that another process wrote after this one read it.
pub(crate) struct Lost {
    /// The target with the claim.
    pub(crate) target: Text,
    /// The claim that the target has now.
    pub(crate) found: Option<Claim>,
}

/// The reason why a claim was not written.
pub(crate) enum NotTaken {
    /// Another process wrote the claim first.
    Lost(Box<Lost>),
    /// The claim could not be read or written.
    Failed(Error),
}

impl NotTaken {
    /// Converts the reason into an error, for commands that treat both reasons alike.
    pub(crate) fn error(self) -> Error {
        match self {
            NotTaken::Failed(error) => error,
            NotTaken::Lost(lost) => {
                let by = lost.found.as_ref().map_or(String::new(), |claim| {
                    format!(": {} wrote it at {}", claim.who, claim.written)
                });
                let message = format!(
                    "another process changed the claim in target `{}`{by}",
                    lost.target
                );
                Failure::new(FailureKind::Stale, message).into()
            }
        }
    }
}

impl From<Failure> for NotTaken {
    fn from(failure: Failure) -> NotTaken {
        NotTaken::Failed(failure.into())
    }
}

impl<'a> ClaimUpdate<'a> {
    /// Prepares to write the claims of a bundle's environment.
    pub(crate) fn of(
        targets: &'a Targets,
        bundle: &'a Bundle,
        origin: &StackOrigin,
        access: &'a Access,
        claims: Claims,
    ) -> ClaimUpdate<'a> {
        ClaimUpdate {
            stores: &targets.stores,
            claims,
            platform: &bundle.platform,
            environment: &bundle.environment.name,
            origin: origin.clone(),
            who: &access.who,
            written: timestamp((access.now)()).into(),
        }
    }

    /// Returns whether every target of this deployment has a claim that records it.
    pub(crate) fn is_current(claims: &Claims, origin: &StackOrigin, deployment: &Deployment) -> bool {
        let mut holders = deployment.holders();
        holders.all(|(target, _)| {
            claims
                .found
                .get(target)
                .is_some_and(|found| records(found, origin, deployment))
        })
    }

    /// Writes the claim in every target that holds resources of this deployment or the state store. If another process
    /// wrote one of them first, the claims that this call created are removed again.
    pub(crate) async fn write(&mut self, deployment: &Deployment) -> Result<(), NotTaken> {
        let serial = self.claims.latest().map_or(0, |(_, latest)| latest.serial) + 1;
        let claim = Claim {
            format: FORMAT.into(),
            serial,
            platform: self.platform.clone(),
            environment: self.environment.clone(),
            origin: self.origin.recorded(),
            deployment: deployment.clone(),
            who: self.who.clone(),
            written: self.written.clone(),
        };
        // All processes use the same order, so that one of two concurrent applies is first in every target.
        let holders = deployment.holders();
        let mut connected: Vec<_> = holders
            .filter(|(target, _)| self.stores.contains_key(*target))
            .collect();
        connected.sort_by_key(|(_, place)| (&place.kind, &place.id));
        let mut begun: Vec<Text> = Vec::new();
        for (target, _) in connected {
            let found = self.claims.found.get(target);
            if found.is_some_and(|found| records(found, &self.origin, deployment)) {
                continue;
            }
            match self.write_one(target, &claim).await {
                Ok(true) => begun.push(target.clone()),
                Ok(false) => {}
                Err(not_taken) => {
                    self.take_back(&begun).await;
                    return Err(not_taken);
                }
            }
        }
        Ok(())
    }

    /// Writes one claim. Returns whether the target had none before.
    async fn write_one(&mut self, target: &Text, claim: &Claim) -> Result<bool, NotTaken> {
        if let Some(denied) = self.claims.denied.get(target) {
            return Err(denied.clone().into());
        }
        let Some(at) = self.stores.get(target) else {
            let message = format!("target `{target}` cannot store the claim of an environment");
            return Err(Failure::new(FailureKind::Broken, message).into());
        };
        let before = self.claims.found.get(target).map(|found| found.version.clone());
        match write_claim(&**at, claim, before.as_ref()).await? {
            Some(version) => {
                let found = Found {
                    claim: claim.clone(),
                    version,
                };
                self.claims.found.insert(target.clone(), found);
                Ok(before.is_none())
            }
            None => {
                let found = read_claim(&**at).await?.map(|found| found.claim);
                Err(NotTaken::Lost(Box::new(Lost {
                    target: target.clone(),
                    found,
                })))
            }
        }
    }

    /// Removes claims, as far as possible. A claim that remains belongs to this directory and describes an empty place.
    async fn take_back(&mut self, targets: &[Text]) {
        for target in targets {
            let _ = self.remove(target).await;
        }
    }

    /// Records what is deployed after an apply, and removes the claim from every target that is now empty.
    pub(crate) async fn settle(&mut self, deployment: &Deployment) -> Result<(), NotTaken> {
        self.write(deployment).await?;
        let holders: Vec<&Text> = deployment.holders().map(|(target, _)| target).collect();
        let idle: Vec<Text> = self
            .claims
            .found
            .keys()
            .filter(|target| !holders.contains(target))
            .cloned()
            .collect();
        for target in idle {
            self.remove(&target).await?;
        }
        Ok(())
    }

    /// Drops the claims of other directories from this set, and returns them. They stay in their targets.
    pub(crate) fn only_own(&mut self) -> Vec<Claim> {
        let (own, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.claims.found)
            .into_iter()
            .partition(|(_, found)| found.claim.origin.is_same(&self.origin));
        self.claims.found = own.into_iter().collect();
        others.into_iter().map(|(_, found)| found.claim).collect()
    }

    /// Removes every claim.
    pub(crate) async fn give_up(&mut self) -> Result<(), Failure> {
        for target in self.claims.found.keys().cloned().collect::<Vec<_>>() {
            self.remove(&target).await?;
        }
        Ok(())
    }

    /// Removes the claim in one target.
    pub(crate) async fn remove(&mut self, target: &Text) -> Result<(), Failure> {
        if let (Some(found), Some(at)) = (self.claims.found.get(target), self.stores.get(target)) {
            at.remove(&found.version).await?;
            self.claims.found.remove(target);
        }
        Ok(())
    }
}

/// Returns whether a claim records this origin and this deployment.
fn records(found: &Found, origin: &StackOrigin, deployment: &Deployment) -> bool {
    found.claim.deployment == *deployment && found.claim.origin == origin.recorded()
}
