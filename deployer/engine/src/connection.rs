//! Connections to the targets of a bundle, shared by all operations of one command.

use terrace_artifact::Bundle;
use terrace_deployer_model::access::Access;
use terrace_deployer_model::error::Error;
use terrace_deployer_model::event::Event;
use terrace_deployer_model::plan::{Plan, Purpose};
use terrace_deployer_model::report::Report;

use crate::apply::apply_over;
use crate::claims::{leading_to, meant, recorded};
use crate::ledger::History;
use crate::options::{ApplyOptions, PlanOptions};
use crate::planning::plan_over;
use crate::render::approves_nothing;
use crate::targets::Targets;

/// Connected targets. A command that plans and then applies uses one connection, so that the identity and the API
/// groups of a target, ledger entries, bundles, and templates of unchanged stacks are read only once.
pub struct Connection {
    targets: Targets,
}

impl Connection {
    /// Connects to every target of a bundle.
    pub async fn open(bundle: &Bundle, access: &Access) -> Result<Connection, Error> {
        let targets = Targets::connect(bundle, access).await?;
        Ok(Connection { targets })
    }

    /// Connects to a place that the environment of a bundle no longer names, and to its state store, to destroy the
    /// resources there. Returns an empty bundle for that place, too.
    pub async fn open_at(
        bundle: &Bundle,
        access: &Access,
        place: &str,
    ) -> Result<(Connection, Bundle), Error> {
        let environment = &bundle.environment.name;
        let locked = access
            .directory
            .lock
            .as_ref()
            .and_then(|lock| lock.environments.get(environment));
        let locked = locked
            .filter(|locked| locked.platform == bundle.platform)
            .map(|locked| &locked.deployment);
        // `terrace.lock` is enough to find the place, even if the systems that the environment names now do not exist
        // yet.
        let found = locked
            .filter(|locked| meant(locked, environment, place).is_ok())
            .cloned();
        let recorded = match found {
            Some(recorded) => recorded,
            None => recorded(Some(&Targets::connect(bundle, access).await?), locked).await?,
        };
        let (name, at) = meant(&recorded, environment, place)?;
        let store = recorded.targets.get_key_value(&recorded.store);
        let leading = leading_to(bundle, [(name, at)].into_iter().chain(store))?;
        let mut targets = Targets::connect(&leading, access).await?;
        targets.only(name);
        Ok((Connection { targets }, leading))
    }

    /// Plans to deploy a bundle, or to destroy its resources. Only reads (and requests dry runs, if the options allow
    /// it).
    pub async fn plan(
        &self,
        purpose: Purpose,
        bundle: &Bundle,
        access: &Access,
        options: &PlanOptions,
    ) -> Result<Plan, Error> {
        plan_over(&self.targets, purpose, bundle, access, options).await
    }

    /// Applies exactly this plan, or nothing if a fact that it depends on has changed.
    pub async fn apply(
        &self,
        plan: &Plan,
        access: &Access,
        options: &ApplyOptions,
        events: impl Fn(Event) + Send + Sync,
    ) -> Result<Report, Error> {
        apply_over(&self.targets, plan, access, options, events).await
    }
}

/// Plans to deploy a bundle, with a new connection.
pub async fn plan(bundle: &Bundle, access: &Access, options: &PlanOptions) -> Result<Plan, Error> {
    let connection = Connection::open(bundle, access).await?;
    connection.plan(Purpose::Apply, bundle, access, options).await
}

/// Plans to delete everything that this bundle's stack has in its environment, with a new connection.
pub async fn destroy_plan(bundle: &Bundle, access: &Access, options: &PlanOptions) -> Result<Plan, Error> {
    let connection = Connection::open(bundle, access).await?;
    connection.plan(Purpose::Destroy, bundle, access, options).await
}

/// Applies a plan, with a new connection.
pub async fn apply(
    plan: &Plan,
    access: &Access,
    options: &ApplyOptions,
    events: impl Fn(Event) + Send + Sync,
) -> Result<Report, Error> {
    for (address, meant) in plan.approved_for_nothing(&options.approved) {
        events(Event::ApprovesNothing {
            what: approves_nothing(address, meant.as_deref()),
        });
    }
    crate::apply::check(plan, options)?;
    let connection = Connection::open(&plan.bundle, access).await?;
    connection.apply(plan, access, options, events).await
}

/// Reads all releases of an environment, from first to last.
pub async fn history(bundle: &Bundle, access: &Access) -> Result<History, Error> {
    let targets = Targets::connect(bundle, access).await?;
    Ok(History::read(&targets.home).await?)
}
