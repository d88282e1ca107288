//! The deployer: changes live systems to match a [`Bundle`]. The only asynchronous code of Terrace.
//!
//! This crate puts the parts together. [`terrace_deployer_model`] contains the data and the traits,
//! [`terrace_deployer_engine`] plans and applies, and each backend has a crate of its own.

#![warn(missing_docs)]

use futures::future::BoxFuture;
use terrace_artifact::{Bundle, Target};

pub use terrace_deployer_engine::{
    ApplyOptions, Connection, Forgetting, Forgotten, History, PlanOptions, Release, Status, apply,
    destroy_plan, history, plan, render, render_approved, totals,
};
pub use terrace_deployer_model::access::{Access, AwsAccess, StackDirectory, timestamp};
pub use terrace_deployer_model::approval::{Approval, ApprovalKind};
pub use terrace_deployer_model::backend::{Connected, PreviewOptions};
pub use terrace_deployer_model::cancel::{Cancel, Canceller};
pub use terrace_deployer_model::claim::{Claim, Deployment, LostTargets, OtherOrigin, Place, StackOrigin};
pub use terrace_deployer_model::error::{Error, Moved, Refusal};
pub use terrace_deployer_model::event::{Event, StepName};
pub use terrace_deployer_model::failure::{Concern, Detail, Failure, FailureKind};
pub use terrace_deployer_model::live::{ADDRESS, ADOPTED, HOLDS_DATA, Identity, LABEL};
pub use terrace_deployer_model::lockfile::{LOCKFILE, LockedEnvironment, Lockfile};
pub use terrace_deployer_model::plan::{
    Action, Change, Content, Field, MASKED, MemberChange, PLAN_SCHEMA, Plan, Purpose, Risk, Stage, Step,
};
pub use terrace_deployer_model::report::{Outcome, Report};
pub use terrace_deployer_model::subject::Subject;

/// Connects to a target: the value of [`Access::connect`]. This is the only function that knows all backends.
pub fn connect<'a>(
    target: &'a Target,
    access: &'a Access,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    match target {
        Target::Directory { path } => terrace_deployer_directory::connect(access, path, label),
        Target::Kubernetes { context, id, .. } => {
            terrace_deployer_kubernetes::connect(access, context, id.as_ref(), label)
        }
        Target::Aws {
            account,
            region,
            profile,
        } => terrace_deployer_cloudformation::connect(access, account, region, profile.as_ref(), label),
    }
}

/// Creates the shared resources of each account of a bundle: the bucket for templates, assets and the ledger. Returns a
/// line for each setting that it created or found.
pub async fn bootstrap(bundle: &Bundle, access: &Access) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for target in bundle.targets.values() {
        if let Target::Aws {
            account,
            region,
            profile,
        } = target
        {
            let environment = &bundle.environment.name;
            let created = terrace_deployer_cloudformation::bootstrap(
                access,
                account,
                region,
                profile.as_ref(),
                environment,
            );
            lines.extend(created.await?);
        }
    }
    Ok(lines)
}
