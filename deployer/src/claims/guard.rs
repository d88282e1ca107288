//! Compares a plan with the claims and the ledger. A plan is refused if another directory deploys the environment.

use std::path::Path;

use terrace_artifact::{Bundle, Target, Text};

use super::{Claim, Claims, Deployment, OtherOrigin, StackOrigin};
use crate::error::Refusal;
use crate::plan::Plan;
use crate::targets::Targets;

/// The environment of a plan, to be compared with the records of its last deployment.
pub(crate) struct Guard<'a> {
    /// The planned bundle.
    pub(crate) bundle: &'a Bundle,
    /// The places that the environment names now.
    pub(crate) now: &'a Deployment,
    /// The directory that the plan is made from.
    pub(crate) origin: &'a StackOrigin,
    /// Whether the user accepts that the environment moves to this origin.
    pub(crate) accept_origin: bool,
    /// The stack's directory, as the user named it.
    pub(crate) folder: &'a Path,
}

/// The records of where the environment is deployed.
pub(crate) struct Remembered<'a> {
    /// The claims in the targets that the environment names now.
    pub(crate) claims: Option<&'a Claims>,
    /// Claims that were found in other regions of an account, which the environment does not name.
    pub(crate) elsewhere: &'a [Claim],
    /// The last release, for environments that were deployed before claims existed.
    pub(crate) ledger: Option<(Option<StackOrigin>, Deployment)>,
}

impl<'a> Guard<'a> {
    /// Prepares the comparison for a plan and its targets.
    pub(crate) fn of(targets: &'a Targets, plan: &'a Plan) -> Guard<'a> {
        Guard {
            bundle: &plan.bundle,
            now: &targets.places,
            origin: &plan.origin,
            accept_origin: plan.accept_origin,
            folder: &plan.folder,
        }
    }

    /// Refuses a plan from a directory that does not own the environment, or returns notes for the reader of the plan.
    pub(crate) fn origin(&self, known: &Remembered<'_>) -> Result<Vec<String>, Refusal> {
        let found = known.claims.into_iter().flat_map(|claims| &claims.found);
        let here = found.map(|(target, found)| (Some(target), &found.claim));
        let mut claims = here.chain(known.elsewhere.iter().map(|claim| (None, claim)));
        let other = claims.find(|(target, claim)| !self.is_ours(*target, claim));
        let ledger = known.ledger.as_ref().filter(|_| !known.has_claims());
        let refusal = match (other, ledger) {
            (Some((target, claim)), _) => self.other_origin(target, claim),
            (None, Some((Some(origin), deployment))) if !origin.is_same(self.origin) => OtherOrigin {
                by: None,
                ..self.refusal(origin, deployment)
            },
            _ => return Ok(Vec::new()),
        };
        if !self.accept_origin {
            return Err(Refusal::OtherOrigin(Box::new(refusal)));
        }
        Ok(vec![format!(
            "environment `{}` was deployed from {}; apply records {} as its new origin",
            self.bundle.environment.name, refusal.recorded, refusal.now
        )])
    }

    fn is_ours(&self, target: Option<&Text>, claim: &Claim) -> bool {
        claim.origin.is_same(self.origin) || target.is_some_and(|target| self.travels(target, claim))
    }

    /// Whether the claim is in a directory below the stack's own. A user who moves or copies the stack moves the claim
    /// with it, and no other stack names that directory by a relative path.
    fn travels(&self, target: &Text, claim: &Claim) -> bool {
        let Some(Target::Directory { path }) = self.bundle.targets.get(target) else {
            return false;
        };
        let below = Path::new(path.as_str()).components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        let mut recorded = claim.deployment.targets.values();
        below && recorded.any(|place| place.kind == "directory" && place.id == *path)
    }

    /// Builds the refusal for a claim that was found in a target.
    pub(crate) fn other_origin(&self, target: Option<&Text>, claim: &Claim) -> OtherOrigin {
        let shared = target.and_then(|target| {
            let place = self.now.targets.get(target)?;
            Some((
                place.shown.clone(),
                self.bundle.environment.places.get(target).cloned(),
            ))
        });
        OtherOrigin {
            by: Some((claim.who.clone(), claim.written.clone())),
            shared,
            ..self.refusal(&claim.origin, &claim.deployment)
        }
    }

    fn refusal(&self, recorded: &StackOrigin, deployment: &Deployment) -> OtherOrigin {
        OtherOrigin {
            platform: self.bundle.platform.clone(),
            environment: self.bundle.environment.name.clone(),
            recorded: recorded.clone(),
            now: self.origin.clone(),
            by: None,
            shared: None,
            deployed: deployment.targets.values().cloned().collect(),
            folder: self.folder.to_owned(),
        }
    }
}

impl Remembered<'_> {
    fn has_claims(&self) -> bool {
        self.claims.is_some_and(|claims| !claims.found.is_empty())
    }
}
