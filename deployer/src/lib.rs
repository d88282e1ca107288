//! The deployer: changes live systems to match a [`terrace_artifact::Bundle`]. The only asynchronous code of Terrace.

mod access;
mod apply;
mod approval;
mod backend;
mod claims;
mod clock;
mod cloudformation;
mod connection;
mod diff;
mod directory;
mod error;
mod event;
mod failure;
mod forget;
mod home;
mod journal;
mod kubernetes;
mod lease;
mod ledger;
mod lockfile;
mod loss;
mod order;
mod ownership;
mod plan;
mod planning;
mod render;
mod run;
mod selection;
mod shapes;
mod stages;
mod targets;
#[cfg(test)]
mod testing;
mod values;

pub use access::{Access, AwsAccess, StackDirectory, timestamp};
pub use apply::{ApplyOptions, Cancel, Canceller, Outcome, Report};
pub use approval::{Approval, ApprovalKind};
pub use backend::{
    ADDRESS, ADOPTED, Backend, Basis, Draft, Going, HOLDS_DATA, Identity, Intent, LABEL, Leaving, Live, Look,
    PreviewOptions, Ticket, Wanted, Write, origin_of,
};
pub use claims::{
    Claim, ClaimStore, Deployment, Elsewhere, LostTargets, OtherOrigin, Place, StackOrigin, Versioned,
};
pub use connection::{Connection, apply, destroy_plan, plan};
pub use diff::{ListShape, Plain, Shapes, diff, same_quantity};
pub use error::{Error, Moved, Refusal};
pub use event::{Event, StepName};
pub use failure::{Concern, Detail, Failure, FailureKind};
pub use forget::{Forgetting, Forgotten};
pub use home::{Held, Holder, Home, Waiting};
pub use journal::{Journal, Note};
pub use lease::{LeaseRecord, LeaseStore, take};
pub use ledger::{History, Release, Status};
pub use lockfile::{LOCKFILE, LockedEnvironment, Lockfile};
pub use ownership::{Identities, Mark, Ownership, Proof, Recorded};
pub use plan::{
    Action, Change, Content, Field, MASKED, MemberChange, PLAN_SCHEMA, Plan, Purpose, Risk, Stage, Step,
    Subject, hide_secrets,
};
pub use planning::PlanOptions;
pub use render::{render, render_approved, totals};
pub use values::{Filled, Late, Values, at_path, at_path_mut, sources};

/// Creates the shared resources of each account of a bundle: the bucket for templates, assets and the ledger. Returns a
/// line for each setting that it created or found.
pub async fn bootstrap(bundle: &terrace_artifact::Bundle, access: &Access) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for target in bundle.targets.values() {
        if let terrace_artifact::Target::Aws {
            account,
            region,
            profile,
        } = target
        {
            let environment = &bundle.environment.name;
            let created = cloudformation::bootstrap(access, account, region, profile.as_ref(), environment);
            lines.extend(created.await?);
        }
    }
    Ok(lines)
}

/// Reads all releases of an environment, from first to last.
pub async fn history(bundle: &terrace_artifact::Bundle, access: &Access) -> Result<History, Error> {
    let targets = targets::Targets::connect(bundle, access).await?;
    Ok(History::read(&targets.home).await?)
}
