//! The deployer: changes live systems to match a [`terrace_artifact::Bundle`]. The only asynchronous code of Terrace.

use futures::future::BoxFuture;
use terrace_artifact::Target;

mod access;
mod apply;
mod approval;
mod backend;
mod cancel;
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
mod options;
mod order;
mod ownership;
mod plan;
mod planning;
mod render;
mod report;
mod run;
mod selection;
mod shapes;
mod stages;
mod targets;
#[cfg(test)]
mod testing;
mod values;

pub use access::{Access, AwsAccess, Connect, StackDirectory, timestamp};
pub use approval::{Approval, ApprovalKind};
pub use backend::{
    ADDRESS, ADOPTED, Backend, Basis, Connected, Draft, Going, HOLDS_DATA, Identity, Intent, LABEL, Leaving,
    Live, Look, PreviewOptions, Ticket, Wanted, Write,
};
pub use cancel::{Cancel, Canceller};
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
pub use options::{ApplyOptions, PlanOptions};
pub use ownership::{Identities, Mark, Ownership, Proof, Recorded};
pub use plan::{
    Action, Change, Content, Field, MASKED, MemberChange, PLAN_SCHEMA, Plan, Purpose, Risk, Stage, Step,
    Subject, hide_secrets,
};
pub use render::{render, render_approved, totals};
pub use report::{Outcome, Report};
pub use values::{Filled, Late, Values, at_path, at_path_mut, sources};

/// Connects to a target: the value of [`Access::connect`]. This is the only function that knows all backends.
pub fn connect<'a>(
    target: &'a Target,
    access: &'a Access,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    match target {
        Target::Directory { path } => directory::connect(access, path, label),
        Target::Kubernetes { context, id, .. } => kubernetes::connect(access, context, id.as_ref(), label),
        Target::Aws {
            account,
            region,
            profile,
        } => cloudformation::connect(access, account, region, profile.as_ref(), label),
    }
}

/// Creates the shared resources of each account of a bundle: the bucket for templates, assets and the ledger. Returns a
/// line for each setting that it created or found.
pub async fn bootstrap(bundle: &terrace_artifact::Bundle, access: &Access) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for target in bundle.targets.values() {
        if let Target::Aws {
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
