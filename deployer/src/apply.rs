//! How a plan is applied: under the lock, after everything it rests on was looked at again, each step as soon as all
//! it comes after have settled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use terrace_artifact::{Address, ArtifactId, Bundle, Text};
use tokio::sync::watch;

use crate::access::{Access, timestamp};
use crate::backend::{Intent, Live};
use crate::claims::{Holding, are_settled, examine, read_again};
use crate::error::{Error, Moved, Refusal};
use crate::event::{Event, StepName};
use crate::failure::Failure;
use crate::home::{Held, Holder, Home, certainly_held};
use crate::journal::{self, Journal};
use crate::ledger::{History, Release, Status, kinds, store_bundle};
use crate::loss::at_stake;
use crate::ownership::Identities;
use crate::plan::{Action, FORMAT, Plan, Purpose, Stage};
use crate::planning::{backend_of, contents, in_the_way, index, previous};
use crate::run::Run;
use crate::targets::{Known, Targets, declared, fail};

mod standing;

use standing::{bundle_after, standing_after, targets_after};

/// What a plan is applied with.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Addresses whose data the user agrees to lose.
    pub approved: BTreeSet<Address>,
    /// How long one artifact may take to settle; where absent, ten minutes for an object and an hour for a
    /// CloudFormation stack.
    pub timeout: Option<Duration>,
    /// Asks an apply to stop.
    pub cancel: Cancel,
}

/// Whether an apply was asked to stop.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

/// Asks an apply to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

impl Cancel {
    /// The two ends. When the one that asks is dropped, the other will never be asked.
    pub fn channel() -> (Canceller, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Canceller(sender), Cancel(receiver))
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked to stop.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Canceller {
    /// Stops the apply: what was asked for is not waited for, nothing new begins.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// What an apply did.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The release's id; absent when there was nothing to do.
    pub release: Option<Text>,
    /// How each step that changes something ended.
    pub steps: Vec<(StepName, Outcome)>,
    /// What a reader should know beside the steps.
    pub notes: Vec<String>,
    /// That the lock was lost meanwhile: nothing was written from then on, and the end of this release is recorded nowhere.
    pub lost_lock: Option<Failure>,
    /// The resources that a destroy did not delete because this environment does not own them ([`Plan::leaves`]).
    pub leaves: Vec<String>,
    /// The number of artifacts of each kind that the environment has in each target after the apply. It includes the artifacts
    /// that the plan did not select.
    pub standing: BTreeMap<Text, BTreeMap<Text, usize>>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a step ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Written and settled.
    Done,
    /// Written, but not known to have settled.
    Unsettled(Failure),
    /// Not done.
    Failed(Failure),
    /// Not begun, and why.
    Skipped(String),
}

impl Report {
    /// Whether every step is done, and was done under the lock.
    pub fn is_complete(&self) -> bool {
        self.lost_lock.is_none() && self.steps.iter().all(|(_, outcome)| *outcome == Outcome::Done)
    }
}

impl fmt::Display for Report {
    /// What is done and what is not, for a reader.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.steps.iter().filter(|(_, outcome)| *outcome == Outcome::Done);
        write!(f, "{} of {} steps done", done.count(), self.steps.len())?;
        for (step, outcome) in &self.steps {
            match outcome {
                Outcome::Done => {}
                Outcome::Unsettled(failure) => write!(f, "\n\nnot settled: {step}\n{failure}")?,
                Outcome::Failed(failure) => write!(f, "\n\nfailed: {step}\n{failure}")?,
                Outcome::Skipped(_) => {}
            }
        }
        let skipped = |(step, outcome): &(StepName, Outcome)| match outcome {
            Outcome::Skipped(why) => Some(format!("{step}: {why}")),
            _ => None,
        };
        let skipped: Vec<String> = self.steps.iter().filter_map(skipped).collect();
        if !skipped.is_empty() {
            f.write_str("\n\nnot begun:")?;
            for line in skipped {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(lost) = &self.lost_lock {
            write!(f, "\n\n{lost}")?;
        }
        for note in &self.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

/// Applies a plan: exactly this, or nothing, where something it rests on has moved.
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
    let holder = Holder {
        who: access.who.clone(),
        run: access.run.clone(),
        since: timestamp((access.now)()).into(),
    };
    let waiting = |other: &Holder, left: Duration| {
        let holder = format!("{} since {}", other.who, other.since).into();
        events(Event::WaitingForLock { holder, left });
    };
    let held = tokio::select! {
        held = targets.home.lock(&holder, &waiting) => held?,
        () = options.cancel.cancelled() => {
            return Err(Failure::new(crate::FailureKind::Cancelled, "nothing was done").into());
        }
    };
    let applied = apply_locked(plan, access, options, targets, &*held, &events, begun).await;
    let released = held.release().await;
    let mut report = applied?;
    if let Err(failure) = released {
        report.notes.push(format!(
            "the lock was not given back, and is free in a moment: {failure}"
        ));
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
    held: &dyn Held,
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
        // What is in the ledger now may be another apply's. Ours has begun there, and has no end.
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
            "what stands now is not recorded, and has to prove itself by its marks: {failure}"
        )),
    }
    release.error = failed
        .as_ref()
        .map(ToString::to_string)
        .or_else(|| first_error(&report));
    if let Err(failure) = history.append(home, &release).await {
        if failure.kind == crate::FailureKind::Stale {
            // Another apply has recorded something in our time: the lock was not ours to the end.
            report.lost_lock = Some(failure);
            return Err(Error::Partly(Box::new(report)));
        }
        report
            .notes
            .push(format!("the end of this release is not in the ledger: {failure}"));
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

/// What can be said against a plan without asking anybody.
pub(crate) fn check(plan: &Plan, options: &ApplyOptions) -> Result<(), Refusal> {
    if plan.format != FORMAT {
        let why = format!(
            "it is of format `{}`, and this program knows `{FORMAT}`",
            plan.format
        );
        return Err(Refusal::NotAPlan(why));
    }
    if plan.bundle.digest() != plan.digest {
        return Err(Refusal::NotAPlan(
            "its bundle is not the one it was made for".to_owned(),
        ));
    }
    plan.allowed(&options.approved)
}

fn same_targets(plan: &Plan, targets: &Targets) -> Result<(), Error> {
    for (name, planned) in &plan.targets {
        let now = targets.identities.get(name);
        if now.is_none_or(|now| now.kind != planned.kind || now.id != planned.id) {
            let now = now.map_or("nothing", |now| &now.shown);
            let message = format!("the plan was made for {}, and `{name}` is {now}", planned.shown);
            return Err(Failure::new(crate::FailureKind::WrongTarget, message).into());
        }
    }
    Ok(())
}

/// Whether the last release needs an end although nothing changes: it was killed, or was for another bundle.
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

/// How long what is to be put right may be busy with something else.
const RESTORED: Duration = Duration::from_secs(3600);

/// Puts right what earlier applies left open, before anything else is looked at.
async fn restore(
    home: &dyn Home,
    targets: &Targets,
    held: &dyn Held,
    options: &ApplyOptions,
    events: &(impl Fn(Event) + Send + Sync),
) -> Result<(), Failure> {
    for (key, note) in journal::left(home).await? {
        // Of a target that is not named any more nothing may be left; whatever else says so has said it by now.
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
                let message = format!("not put right after {} seconds: {}", limit.as_secs(), note.what);
                return Err(Failure::new(crate::FailureKind::TimedOut, message));
            }
            () = options.cancel.cancelled() => {
                return Err(Failure::new(crate::FailureKind::Cancelled, "nothing was done"));
            }
        }
        home.delete(&key).await?;
    }
    Ok(())
}

/// What is not as it was when the plan was made.
fn moved(plan: &Plan, live: &BTreeMap<ArtifactId, Live>) -> Vec<Moved> {
    let absent = crate::backend::Basis::absent();
    let mut lines = Vec::new();
    // A second step rests on what the first one leaves.
    for step in plan.steps.iter().filter(|step| step.stage != Some(Stage::Second)) {
        let now = live.get(&step.artifact).map_or(&absent, |live| &live.basis);
        let moved = |what: String| Moved {
            artifact: step.artifact.clone(),
            shown: if plan.targets.len() > 1 {
                format!("{} in {}", step.subject, step.target)
            } else {
                step.subject.to_string()
            },
            what,
        };
        lines.extend(step.basis.moved(now).into_iter().map(moved));
        // What has come into it since was not agreed to.
        if matches!(step.change.action, Action::Delete | Action::Replace) {
            let holds = live
                .get(&step.artifact)
                .into_iter()
                .flat_map(|live| at_stake(live, step.change.action));
            let more = holds.filter(|address| !step.change.approvals().any(|known| known == *address));
            lines.extend(more.map(|address| moved(format!("data goes with it now (`{address}`)"))));
        }
    }
    lines
}

/// What came into containers that the plan deletes since it was made: that was not agreed to.
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
            what: format!("it contains {content} now"),
        }));
    }
    Ok(lines)
}

/// Asks every target whether it would let us do all of this. A release that was sure to stop for want of a right is not
/// even begun.
async fn check_rights(
    plan: &Plan,
    wanted: &Bundle,
    targets: &Targets,
    live: &BTreeMap<ArtifactId, Live>,
    release: &str,
) -> Result<(), Error> {
    let mut failures = Vec::new();
    for (target, backend) in &targets.backends {
        let writes = artifacts(plan, target, |action| !takes_away(action));
        // What is replaced is deleted first.
        let deletes = artifacts(plan, target, |action| {
            matches!(action, Action::Delete | Action::Replace)
        });
        let releases = artifacts(plan, target, |action| action == Action::Release);
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
            writes: &artifacts(plan, target, |action| !takes_away(action)),
            deletes: &artifacts(plan, target, |action| action == Action::Delete),
            releases: &artifacts(plan, target, |action| action == Action::Release),
            release,
        };
        backend_of(targets, target)?.begin(&intent).await?;
    }
    Ok(())
}

/// What a plan does such things to in a target.
fn artifacts(plan: &Plan, target: &Text, does: impl Fn(Action) -> bool) -> BTreeSet<ArtifactId> {
    let steps = plan.changes().filter(|step| step.target == *target);
    let steps = steps.filter(|step| does(step.change.action));
    steps.map(|step| step.artifact.clone()).collect()
}

fn takes_away(action: Action) -> bool {
    matches!(action, Action::Delete | Action::Release)
}
