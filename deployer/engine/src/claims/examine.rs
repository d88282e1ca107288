//! Collects the records of where an environment is deployed, and compares a plan with them.

use terrace_artifact::Bundle;
use terrace_deployer_model::access::Access;
use terrace_deployer_model::claim::{Claims, Deployment, Place, StackOrigin};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::plan::Plan;

use super::{Guard, Remembered};
use crate::ledger::History;
use crate::targets::Targets;

/// The origin and the places of the last release in the ledger.
pub(crate) struct LedgerSays {
    origin: Option<StackOrigin>,
    deployment: Deployment,
}

impl LedgerSays {
    /// Returns the places of the last release.
    pub(crate) fn deployment(self) -> Deployment {
        self.deployment
    }

    /// Reads the last release, whose bundle is `bundle`. Only an environment without claims needs it: one that was deployed
    /// before claims existed, or whose claims were deleted.
    pub(crate) fn of(history: &History, bundle: Option<&Bundle>) -> Option<LedgerSays> {
        let (last, bundle) = (history.last()?, bundle?);
        let mut deployment = Deployment::default();
        for (name, identity) in &last.targets {
            if let Some(target) = bundle.targets.get(name) {
                deployment
                    .targets
                    .insert(name.clone(), Place::of(target, identity));
            }
        }
        for artifact in &bundle.artifacts {
            deployment.count(artifact);
        }
        deployment.targets.retain(|_, place| !place.components.is_empty());
        (!deployment.targets.is_empty()).then(|| LedgerSays {
            origin: last.origin.clone(),
            deployment,
        })
    }
}

/// Refuses a plan from a directory that does not own the environment, and a plan that leaves resources behind. Returns
/// notes for the reader of the plan.
pub(crate) async fn examine(
    targets: &Targets,
    claims: &Claims,
    plan: &Plan,
    access: &Access,
    ledger: Option<LedgerSays>,
) -> Result<Vec<String>, Error> {
    let elsewhere = targets.elsewhere(claims).await;
    let guard = Guard::of(targets, plan);
    let remembered = Remembered {
        claims: Some(claims),
        elsewhere: &elsewhere.claims,
        lock: access.directory.lock.as_ref(),
        environments: &access.directory.environments,
        ledger: ledger.map(|ledger| (ledger.origin, ledger.deployment)),
    };
    // `destroy --at` deletes what would be left behind, so only the origin counts.
    let mut notes = match &plan.at {
        Some(_) => guard.origin(&remembered)?,
        None => guard.check(&remembered)?,
    };
    for failure in claims.denied.values() {
        notes.push(format!(
            "cannot check whether another directory deploys this environment: {}; apply requires this permission{}",
            failure.message,
            rule(failure)
        ));
    }
    for failure in &elsewhere.failures {
        notes.push(format!(
            "cannot check whether this environment is deployed in another region: {}{}",
            failure.message,
            rule(failure)
        ));
    }
    Ok(notes)
}

/// Formats the rule that would grant the missing permission, or returns an empty string.
fn rule(failure: &Failure) -> String {
    match &failure.kind {
        FailureKind::Denied { rule: Some(rule), .. } => format!(":\n  {}", rule.replace('\n', "\n  ")),
        _ => String::new(),
    }
}
