//! Applies a plan under the lock. First checks again everything that the plan depends on, then runs each step as soon
//! as all steps before it are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use terrace_artifact::{ArtifactId, Bundle, Text};
use terrace_deployer_model::access::{Access, timestamp};
use terrace_deployer_model::backend::Intent;
use terrace_deployer_model::error::{Error, Moved, Refusal};
use terrace_deployer_model::event::Event;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::journal::{self, Journal};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::loss::at_stake;
use terrace_deployer_model::plan::{Action, FORMAT, Plan, Purpose, Stage};
use terrace_deployer_model::report::{Outcome, Report};
use terrace_deployer_model::state_store::{LockGuard, LockHolder, StateStore, certainly_held};

use crate::claims::{Holding, are_settled, examine, read_again};
use crate::ledger::{History, Release, Status, kinds, store_bundle};
use crate::options::ApplyOptions;
use crate::planning::{contents, in_the_way, index, previous};
use crate::run::Run;
use crate::targets::{Known, Targets, declared, fail};

mod standing;

use standing::{bundle_after, standing_after, targets_after};

/// Applies exactly this plan, or nothing if a fact that it depends on has changed.
pub(crate) async fn apply_over(
    targets: &Targets,
    plan: &Plan,
    access: &Access,
    options: &ApplyOptions,
    events: impl Fn(Event) + Send + Sync,
) -> Result<Report, Error> {
    let begun = Instant::now();
    check(plan, options)?;
    same_targets(plan, targets)?;
    examine(targets, &targets.claims, plan, access, None).await?;
    if plan.changes_nothing()
        && let Some(deployment) = are_settled(targets, plan)
        && !unfinished(plan, targets).await?
    {
        events(Event::Recorded { deployment });
        return Ok(Report {
            release: None,
            steps: Vec::new(),
            notes: Vec::new(),
            lost_lock: None,
            leaves: plan.leaves.clone(),
            standing: BTreeMap::new(),
            elapsed: begun.elapsed(),
        });
    }
    events(Event::Identified {
        targets: targets
            .identities
            .values()
            .map(|identity| identity.shown.clone())
            .collect(),
    });
    let holder = LockHolder {
        who: access.who.clone(),
        run: access.run.clone(),
        since: timestamp((access.now)()).into(),
    };
    let waiting = |other: &LockHolder, left: Duration| {
        let holder = format!("{} since {}", other.who, other.since).into();
        events(Event::WaitingForLock { holder, left });
    };
    let held = tokio::select! {
        held = targets.home.lock(&holder, &waiting) => held?,
        () = options.cancel.cancelled() => {
            return Err(stopped_early().into());
        }
    };
    let applied = apply_locked(plan, access, options, targets, &*held, &events, begun).await;
    let released = held.release().await;
    let mut report = applied?;
    if let Err(failure) = released {
        report
            .notes
            .push(format!("the lock was not released and expires soon: {failure}"));
    }
    if report.is_complete() {
        Ok(report)
    } else {
        Err(Error::Partly(Box::new(report)))
    }
}

async fn apply_locked(
    plan: &Plan,
    access: &Access,
    options: &ApplyOptions,
    targets: &Targets,
    held: &dyn LockGuard,
    events: &(impl Fn(Event) + Send + Sync),
    begun: Instant,
) -> Result<Report, Error> {
    let home = &targets.home;
    let claims = read_again(targets, plan, access).await?;
    let mut history = History::read_end(home).await?;
    let standing = history.standing(home).await?;
    let identities = targets.recorded_identities(&history).await?;
    let wanted = plan.wanted();
    let interrupted = history.last().is_some_and(|last| last.status != Status::Deployed);
    if interrupted {
        restore(home, targets, held, options, events).await?;
    }
    let left = bundle_after(plan, standing.as_ref(), &wanted);
    let previous = previous(plan, standing);
    let known = Known {
        previous: previous.as_ref(),
        kinds: history.kinds().filter(|_| plan.purpose == Purpose::Apply),
        notes: &[],
        identities: &identities,
    };
    let elsewhere = identities
        .clone()
        .in_targets(|target| plan.at.as_deref().is_some_and(|at| at != target));
    let live = index(targets.observe(&wanted, &known).await?);
    let live: BTreeMap<_, _> = live.into_iter().map(|(id, (_, live))| (id, live)).collect();
    let mut moved = moved(plan, &live);
    moved.extend(came_along(plan, targets, &wanted, &live).await?);
    if !moved.is_empty() {
        return Err(Refusal::Stale(moved).into());
    }
    let in_the_way = in_the_way(targets, plan, &wanted, &live).await?;
    if !in_the_way.is_empty() {
        return Err(Refusal::NotAllowed(in_the_way).into());
    }
    held.check()?;
    let id = history.next_id();
    check_rights(plan, &wanted, targets, &live, &id).await?;

    let bundles = [Some(&wanted), previous.as_ref()];
    let mut holding = Holding::new(targets, plan, access, claims, &live, bundles);
    let deployment = Some(holding.begin().await?);
    events(Event::Recorded { deployment });

    let lost = plan.approvals();
    let mut release = Release {
        id,
        who: access.who.clone(),
        began: timestamp((access.now)()).into(),
        ended: None,
        environment: plan.bundle.label().into(),
        purpose: plan.purpose,
        origin: Some(plan.origin.recorded()),
        targets: targets_after(plan, targets, &history),
        forgotten: Vec::new(),
        bundle: left.digest(),
        stored: Some(store_bundle(home, &left).await?),
        status: Status::Deploying,
        error: None,
        approvals: options
            .approved
            .iter()
            .filter(|address| lost.contains(address))
            .cloned()
            .collect(),
        only: plan.only.clone(),
        kinds: Some(kinds(
            live.keys()
                .chain(left.artifacts.iter().map(|artifact| &artifact.id)),
        )),
        identities: None,
        terrace: access.version.clone(),
    };
    history.append(home, &release).await?;
    events(Event::Begun {
        release: release.id.clone(),
        steps: plan.changes().count(),
    });

    let journal = Journal::new(home, held, &options.cancel, release.id.clone());
    let run = Run {
        plan,
        wanted: &wanted,
        targets,
        live: &live,
        options,
        held,
        journal: &journal,
        events,
        settle_all: interrupted,
        standing: Mutex::new(elsewhere.and(Identities::of(live.values()))),
    };
    let mut report = Report {
        release: Some(release.id.clone()),
        steps: Vec::new(),
        notes: Vec::new(),
        lost_lock: None,
        leaves: plan.leaves.clone(),
        standing: BTreeMap::new(),
        elapsed: Duration::ZERO,
    };
    let mut failed = None;
    match begin(plan, &wanted, targets, &live, &release.id).await {
        Ok(()) => report.steps = run.steps().await,
        Err(failure) => failed = Some(failure),
    }
    for (name, backend) in &targets.backends {
        if let Err(failure) = backend.finish().await {
            report.notes.push(format!("{name}: {failure}"));
            failed.get_or_insert(failure);
        }
    }
    report.elapsed = begun.elapsed();
    report.standing = standing_after(&live, &report.steps);
    report.lost_lock = certainly_held(held).await.err();
    if report.lost_lock.is_some() {
        // By now another apply may own the ledger. It contains the start of this release, and no end.
        return Err(Error::Partly(Box::new(report)));
    }

    match holding.end(&report.steps).await {
        Ok(deployment) => events(Event::Recorded { deployment }),
        Err(error) => report.notes.push(format!(
            "the claims of this environment could not be updated: {error}"
        )),
    }

    let ended_well = failed.is_none() && report.is_complete();
    release.status = if ended_well {
        Status::Deployed
    } else {
        Status::Failed
    };
    release.ended = Some(timestamp((access.now)()).into());
    match run.identities().store(home).await {
        Ok(digest) => release.identities = Some(digest),
        Err(failure) => report.notes.push(format!(
            "the identities of the live resources could not be recorded; the next apply must recognize the resources without this record: {failure}"
        )),
    }
    release.error = failed
        .as_ref()
        .map(ToString::to_string)
        .or_else(|| first_error(&report));
    if let Err(failure) = history.append(home, &release).await {
        if failure.kind == FailureKind::Stale {
            // Another apply wrote to the ledger during this apply, so the lock was lost.
            report.lost_lock = Some(failure);
            return Err(Error::Partly(Box::new(report)));
        }
        report.notes.push(format!(
            "the end of this release could not be recorded in the ledger: {failure}"
        ));
    }
    match failed {
        Some(failure) if report.steps.iter().all(|(_, outcome)| *outcome != Outcome::Done) => {
            Err(failure.into())
        }
        Some(_) => Err(Error::Partly(Box::new(report))),
        None => Ok(report),
    }
}

fn first_error(report: &Report) -> Option<String> {
    report.steps.iter().find_map(|(step, outcome)| match outcome {
        Outcome::Failed(failure) | Outcome::Unsettled(failure) => {
            Some(format!("{step}: {}", failure.message))
        }
        Outcome::Done | Outcome::Skipped(_) => None,
    })
}

/// Checks a plan without requests to any system.
pub(crate) fn check(plan: &Plan, options: &ApplyOptions) -> Result<(), Refusal> {
    if plan.format != FORMAT {
        let why = format!(
            "its format is `{}`, but this version of terrace reads `{FORMAT}`",
            plan.format
        );
        return Err(Refusal::NotAPlan(why));
    }
    if plan.bundle.digest() != plan.digest {
        let why = "its bundle does not match its digest, because the file was changed after it was saved";
        return Err(Refusal::NotAPlan(why.to_owned()));
    }
    plan.allowed(&options.approved)
}

fn same_targets(plan: &Plan, targets: &Targets) -> Result<(), Error> {
    for (name, planned) in &plan.targets {
        let now = targets.identities.get(name);
        if now.is_none_or(|now| now.kind != planned.kind || now.id != planned.id) {
            let (planned, now) = (&planned.shown, now.map_or("absent", |now| &now.shown));
            let message = format!("the plan was made for {planned}, but target `{name}` is now {now}");
            let failure = Failure::new(FailureKind::WrongTarget, message)
                .hint(format!("connect to {planned}, or make a new plan"));
            return Err(declared(failure, &plan.bundle, name).into());
        }
    }
    Ok(())
}

/// Returns whether the last release must be completed although the plan changes nothing: it was interrupted, or had a different
/// bundle.
async fn unfinished(plan: &Plan, targets: &Targets) -> Result<bool, Error> {
    let history = History::read_end(&targets.home).await?;
    Ok(match history.last() {
        None => !plan.wanted().artifacts.is_empty(),
        Some(last) => {
            last.status != Status::Deployed
                || plan.only.is_empty() && (last.bundle != plan.wanted().digest() || !last.only.is_empty())
        }
    })
}

/// Creates the failure of an apply that was stopped before its first step.
fn stopped_early() -> Failure {
    Failure::new(
        FailureKind::Cancelled,
        "the apply was stopped before its first step",
    )
}

/// The maximum time for a [`restore`] if no timeout is set.
const RESTORED: Duration = Duration::from_secs(3600);

/// Restores all steps that earlier applies left open, before anything else is read.
async fn restore(
    home: &dyn StateStore,
    targets: &Targets,
    held: &dyn LockGuard,
    options: &ApplyOptions,
    events: &(impl Fn(Event) + Send + Sync),
) -> Result<(), Failure> {
    for (key, note) in journal::left(home).await? {
        // Nothing can be left in a target that the environment no longer names; otherwise planning has reported it
        // before.
        let Some(backend) = targets.backends.get(&note.target) else {
            continue;
        };
        held.check()?;
        events(Event::Restoring {
            what: note.what.clone(),
        });
        let limit = options.timeout.unwrap_or(RESTORED);
        tokio::select! {
            restored = backend.restore(&note) => restored?,
            () = tokio::time::sleep(limit) => {
                let seconds = limit.as_secs();
                let message = format!("timed out after {seconds} seconds while restoring: {}", note.what);
                return Err(Failure::new(FailureKind::TimedOut, message));
            }
            () = options.cancel.cancelled() => {
                return Err(stopped_early());
            }
        }
        home.delete(&key).await?;
    }
    Ok(())
}

/// Finds the facts that have changed since the plan was made.
fn moved(plan: &Plan, live: &BTreeMap<ArtifactId, Live>) -> Vec<Moved> {
    let absent = terrace_deployer_model::live::Basis::absent();
    let mut lines = Vec::new();
    // A second step depends on the result of the first one.
    for step in plan.steps.iter().filter(|step| step.stage != Some(Stage::Second)) {
        let seen = live.get(&step.artifact);
        let now = seen.map_or(&absent, |live| &live.basis);
        let moved = |what: String| Moved {
            artifact: step.artifact.clone(),
            shown: if plan.targets.len() > 1 {
                format!("{} in {}", step.subject, step.target)
            } else {
                step.subject.to_string()
            },
            what,
            origin: step.origin.clone(),
        };
        lines.extend(step.basis.moved(now).into_iter().map(moved));
        // The user has not approved data that was added after the plan was made.
        if matches!(step.change.action, Action::Delete | Action::Replace) {
            let action = step.change.action;
            let holds = seen.into_iter().flat_map(|live| at_stake(live, action));
            let more = holds.filter(|address| !step.change.approvals().any(|known| known == *address));
            lines.extend(more.map(|address| moved(format!("it now holds data (`{address}`)"))));
        }
    }
    lines
}

/// Finds objects that were added to deleted containers after the plan was made, and that the user has not approved.
async fn came_along(
    plan: &Plan,
    targets: &Targets,
    wanted: &Bundle,
    live: &BTreeMap<ArtifactId, Live>,
) -> Result<Vec<Moved>, Error> {
    let mut found = contents(targets, plan, wanted, live, None).await?;
    let mut lines = Vec::new();
    for step in &plan.steps {
        let now = found.remove(&step.artifact).unwrap_or_default();
        lines.extend(step.change.unknown_contents(now).map(|content| Moved {
            artifact: step.artifact.clone(),
            shown: step.subject.to_string(),
            what: format!("it now contains {content}"),
            origin: step.origin.clone(),
        }));
    }
    Ok(lines)
}

/// Checks that every target permits all steps. A release that is certain to fail for missing permissions is not
/// started.
async fn check_rights(
    plan: &Plan,
    wanted: &Bundle,
    targets: &Targets,
    live: &BTreeMap<ArtifactId, Live>,
    release: &str,
) -> Result<(), Error> {
    let mut failures = Vec::new();
    for (target, backend) in &targets.backends {
        let writes = artifacts(plan, target, |action| !runs_last(action));
        // A replaced artifact is deleted first.
        let deletes = artifacts(plan, target, |action| {
            matches!(action, Action::Delete | Action::Replace)
        });
        let releases = artifacts(plan, target, |action| action == Action::Retain);
        let intent = Intent {
            target,
            bundle: wanted,
            live,
            writes: &writes,
            deletes: &deletes,
            releases: &releases,
            release,
        };
        let checked = backend.check(&intent).await;
        failures.extend(checked.map_err(|failure| declared(failure, wanted, target)).err());
    }
    fail(failures).map_or(Ok(()), Err)
}

async fn begin(
    plan: &Plan,
    wanted: &Bundle,
    targets: &Targets,
    live: &BTreeMap<ArtifactId, Live>,
    release: &str,
) -> Result<(), Failure> {
    for target in targets.backends.keys() {
        let intent = Intent {
            target,
            bundle: wanted,
            live,
            writes: &artifacts(plan, target, |action| !runs_last(action)),
            deletes: &artifacts(plan, target, |action| action == Action::Delete),
            releases: &artifacts(plan, target, |action| action == Action::Retain),
            release,
        };
        targets.backend(target)?.begin(&intent).await?;
    }
    Ok(())
}

/// Returns the artifacts of a target whose steps have such an action.
fn artifacts(plan: &Plan, target: &Text, does: impl Fn(Action) -> bool) -> BTreeSet<ArtifactId> {
    let steps = plan.changes().filter(|step| step.target == *target);
    let steps = steps.filter(|step| does(step.change.action));
    steps.map(|step| step.artifact.clone()).collect()
}

fn runs_last(action: Action) -> bool {
    matches!(action, Action::Delete | Action::Retain)
}
