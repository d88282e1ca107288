//! The steps of a running apply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use terrace_artifact::{Artifact, ArtifactId, Bundle};
use terrace_deployer_model::backend::{Backend, PreviewOptions, Ticket, Write};
use terrace_deployer_model::event::{Event, StepName};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::journal::Journal;
use terrace_deployer_model::live::{Basis, Live};
use terrace_deployer_model::plan::{Action, Change, Plan, Stage, Step};
use terrace_deployer_model::report::Outcome;
use terrace_deployer_model::state_store::LockGuard;
use terrace_deployer_model::values::{Values, sources};
use tokio::sync::Semaphore;

use crate::options::ApplyOptions;
use crate::planning::{AskedFor, contents};
use crate::targets::Targets;

mod send;
mod settling;

/// A running apply.
pub(crate) struct Run<'a, E> {
    pub(crate) plan: &'a Plan,
    pub(crate) wanted: &'a Bundle,
    pub(crate) targets: &'a Targets,
    pub(crate) live: &'a BTreeMap<ArtifactId, Live>,
    pub(crate) options: &'a ApplyOptions,
    pub(crate) held: &'a dyn LockGuard,
    pub(crate) journal: &'a Journal<'a>,
    pub(crate) events: &'a E,
    /// Whether the last apply did not end well, so that even unchanged artifacts may not be ready.
    pub(crate) settle_all: bool,
    /// The physical identities of the live artifacts.
    pub(crate) standing: Mutex<Identities>,
}

/// The maximum number of concurrent requests, including looks.
const PARALLEL: usize = 16;
/// The maximum time that a system may be unreachable while a step waits for it.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_secs(90);

/// The state that all steps share.
struct Shared<'a> {
    values: Mutex<Values>,
    /// Ready artifacts that have a second step.
    settled: Mutex<BTreeMap<ArtifactId, Live>>,
    asked_for: AskedFor<'a>,
    /// Artifacts that must be ready before a step that changes something.
    awaited: BTreeSet<&'a ArtifactId>,
    permits: Semaphore,
}

enum StepResult {
    Done,
    Unsettled(Failure),
    Failed(Failure),
}

impl<'a, E: Fn(Event) + Send + Sync> Run<'a, E> {
    /// Returns the physical identities of the live artifacts, as far as the steps have reported them.
    pub(crate) fn identities(&self) -> Identities {
        self.standing().clone()
    }

    fn standing(&self) -> MutexGuard<'_, Identities> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs all steps, each as soon as the steps before it are complete. After a failure, continues with steps that do
    /// not depend on it. Deletes run after all other steps, and only if none of them failed.
    pub(crate) async fn steps(&self) -> Vec<(StepName, Outcome)> {
        let shared = Shared {
            values: Mutex::default(),
            settled: Mutex::default(),
            asked_for: AskedFor::of(self.wanted),
            awaited: self.plan.changes().flat_map(|step| &step.after).collect(),
            permits: Semaphore::new(PARALLEL),
        };
        let (deletions, changes): (Vec<&Step>, Vec<&Step>) =
            self.plan.steps.iter().partition(|step| step.runs_last());
        let mut change_outcomes = BTreeMap::new();
        self.group(&changes, &shared, &mut change_outcomes).await;
        let mut deletion_outcomes = BTreeMap::new();
        if change_outcomes.values().all(|outcome| *outcome == Outcome::Done) {
            self.group(&deletions, &shared, &mut deletion_outcomes).await;
        } else {
            let reason = "deletions run only after all other steps complete";
            self.skip(&deletions, reason, &mut deletion_outcomes);
        }
        let reported = self.plan.steps.iter().filter_map(|step| {
            let of_group = if step.runs_last() {
                &mut deletion_outcomes
            } else {
                &mut change_outcomes
            };
            let outcome = of_group.remove(&step.artifact)?;
            // An unchanged step is reported only if waiting for it failed.
            let quiet = matches!(outcome, Outcome::Done | Outcome::Skipped(_));
            (step.change.action != Action::Keep || !quiet).then(|| (name(step), outcome))
        });
        reported.collect()
    }

    async fn group(
        &self,
        steps: &[&'a Step],
        shared: &Shared<'a>,
        outcomes: &mut BTreeMap<ArtifactId, Outcome>,
    ) {
        let of_group: BTreeMap<&ArtifactId, &Step> =
            steps.iter().map(|step| (&step.artifact, *step)).collect();
        let mut missing: BTreeMap<&ArtifactId, usize> = BTreeMap::new();
        let mut dependents: BTreeMap<&ArtifactId, Vec<&'a Step>> = BTreeMap::new();
        let mut ready: Vec<&'a Step> = Vec::new();
        for step in steps {
            let before = step.after.iter().filter(|id| of_group.contains_key(id));
            let mut count = 0;
            for id in before {
                dependents.entry(id).or_default().push(step);
                count += 1;
            }
            missing.insert(&step.artifact, count);
            if count == 0 {
                ready.push(step);
            }
        }
        let mut running: FuturesUnordered<BoxFuture<'_, (&'a Step, StepResult)>> = FuturesUnordered::new();
        let mut reported = false;
        loop {
            if self.lost_lock().is_some() {
                ready.clear();
            }
            if self.options.cancel.is_cancelled() {
                ready.clear();
                if !reported {
                    (self.events)(Event::Stopping);
                    reported = true;
                }
            }
            for step in ready.drain(..) {
                running.push(Box::pin(async move { (step, self.step(step, shared).await) }));
            }
            if running.is_empty() {
                break;
            }
            let (step, ended) = tokio::select! {
                biased;
                () = self.options.cancel.cancelled(), if !reported => continue,
                Some(ended) = running.next() => ended,
                else => break,
            };
            let outcome = match ended {
                StepResult::Done => {
                    for dependent in dependents.remove(&step.artifact).unwrap_or_default() {
                        if let Some(count) = missing.get_mut(&dependent.artifact) {
                            *count -= 1;
                            if *count == 0 {
                                ready.push(dependent);
                            }
                        }
                    }
                    Outcome::Done
                }
                StepResult::Unsettled(failure) => Outcome::Unsettled(failure),
                StepResult::Failed(failure) => Outcome::Failed(failure),
            };
            outcomes.insert(step.artifact.clone(), outcome);
        }
        let cancelled = self.options.cancel.is_cancelled();
        let left: Vec<&Step> = steps
            .iter()
            .filter(|step| !outcomes.contains_key(&step.artifact))
            .copied()
            .collect();
        let reason = if cancelled {
            "the apply was stopped"
        } else if self.lost_lock().is_some() {
            "the lock was lost"
        } else {
            "a dependency did not complete"
        };
        self.skip(&left, reason, outcomes);
    }

    /// Returns the failure if the lock was lost. Then nothing more is written, and no step waits.
    fn lost_lock(&self) -> Option<Failure> {
        let checked = self.held.check().err();
        checked.filter(|failure| failure.kind == FailureKind::LockLost)
    }

    fn skip(&self, steps: &[&Step], reason: &str, outcomes: &mut BTreeMap<ArtifactId, Outcome>) {
        for step in steps {
            outcomes.insert(step.artifact.clone(), Outcome::Skipped(reason.to_owned()));
            if step.change.action != Action::Keep {
                (self.events)(Event::Skipped {
                    step: name(step),
                    why: reason.to_owned(),
                });
            }
        }
    }

    async fn step(&self, step: &'a Step, shared: &Shared<'a>) -> StepResult {
        let started = Instant::now();
        let changes = step.change.action != Action::Keep;
        if changes {
            (self.events)(Event::Started { step: name(step) });
        }
        let ended = match self.take(step, shared, started).await {
            Ok(()) => StepResult::Done,
            Err(ended) => ended,
        };
        let about = |failure: Failure| failure.about(step.addresses.first(), step.origin.as_ref());
        match ended {
            StepResult::Done => {
                if changes {
                    (self.events)(Event::Done {
                        step: name(step),
                        elapsed: started.elapsed(),
                    });
                }
                StepResult::Done
            }
            StepResult::Unsettled(failure) => {
                let failure = about(failure);
                (self.events)(Event::Unsettled {
                    step: name(step),
                    failure: failure.clone(),
                });
                StepResult::Unsettled(failure)
            }
            StepResult::Failed(failure) => {
                let failure = about(failure);
                (self.events)(Event::Failed {
                    step: name(step),
                    failure: failure.clone(),
                });
                StepResult::Failed(failure)
            }
        }
    }

    async fn take(&self, step: &'a Step, shared: &Shared<'a>, started: Instant) -> Result<(), StepResult> {
        let backend = self.targets.backend(&step.target).map_err(StepResult::Failed)?;
        let live = self.live.get(&step.artifact);
        let artifact = self.wanted.artifact(&step.artifact);
        let at = StepRunner {
            run: self,
            shared,
            step,
            backend,
            started,
        };
        let ended = at.take(artifact, live).await;
        if let Err(StepResult::Failed(_)) = &ended {
            at.restore().await;
        }
        ended
    }
}

/// A running step.
struct StepRunner<'r, 'a, E> {
    run: &'r Run<'a, E>,
    shared: &'r Shared<'a>,
    step: &'a Step,
    backend: &'r dyn Backend,
    started: Instant,
}

impl<E: Fn(Event) + Send + Sync> StepRunner<'_, '_, E> {
    async fn take(&self, artifact: Option<&Artifact>, live: Option<&Live>) -> Result<(), StepResult> {
        let broken = || {
            let message = "the plan changes an artifact that its bundle does not contain";
            StepResult::Failed(Failure::new(FailureKind::Broken, message))
        };
        match (&self.step.stage, artifact, live) {
            (None, ..) => self.take_with(artifact, live).await,
            (Some(Stage::First { keeps }), Some(artifact), Some(live)) => {
                let kept = self.backend.keeping(artifact, live, keeps).ok_or_else(broken)?;
                self.take_with(Some(&kept), Some(live)).await
            }
            (Some(Stage::Second), Some(_), Some(_)) => {
                let now = {
                    let settled = self.shared.settled.lock().unwrap_or_else(PoisonError::into_inner);
                    settled.get(&self.step.artifact).cloned()
                };
                self.take_with(artifact, now.as_ref().or(live)).await
            }
            (Some(_), ..) => Err(broken()),
        }
    }

    async fn take_with(&self, artifact: Option<&Artifact>, live: Option<&Live>) -> Result<(), StepResult> {
        match (self.step.change.action, artifact) {
            (Action::Keep, Some(artifact)) => {
                let needed = self.run.settle_all || self.shared.awaited.contains(&self.step.artifact);
                match live {
                    Some(live) if !needed => self.learn(live),
                    _ => {
                        let live = self.settle(Some(artifact), &self.unwritten(live)).await?;
                        self.learn(&live);
                    }
                }
                Ok(())
            }
            (Action::Delete, _) => self.delete(live).await,
            (Action::Retain, _) => self.release(live).await,
            (action, Some(artifact)) => {
                let mut live = live;
                let mut action = action;
                if action == Action::Replace {
                    self.delete(live).await?;
                    (live, action) = (None, Action::Create);
                }
                self.write(artifact, action, live).await
            }
            (_, None) => {
                let message = "the plan changes an artifact that its bundle does not contain";
                Err(StepResult::Failed(Failure::new(FailureKind::Broken, message)))
            }
        }
    }

    async fn write(
        &self,
        artifact: &Artifact,
        action: Action,
        live: Option<&Live>,
    ) -> Result<(), StepResult> {
        let values = self.values_for(artifact).map_err(StepResult::Failed)?;
        self.rests(artifact, live).await?;
        let change = self
            .now_known(artifact, live, &values)
            .await
            .map_err(StepResult::Failed)?;
        let ticket = match &change {
            Some(change) if change.action == Action::Keep => self.unwritten(live),
            change => {
                let write = Write {
                    artifact,
                    action,
                    live,
                    values: &values,
                    change: change.as_ref().unwrap_or(&self.step.change),
                    approved: &self.run.options.approved,
                    take_over: self.run.plan.take_over,
                    journal: self.run.journal,
                };
                let written = self.change(|| self.backend.write(write)).await;
                written.map_err(StepResult::Failed)?
            }
        };
        if let Some(identity) = self.backend.operation_id(&ticket) {
            let adopted = action == Action::Adopt || live.is_some_and(|live| live.ownership.is_adopted());
            let id = &self.step.artifact;
            self.run.standing().insert(id, &identity, adopted);
        }
        let live = self.settle(Some(artifact), &ticket).await?;
        self.run.standing().record(&live);
        self.learn(&live);
        self.close().await
    }

    /// Waits for an operation that was running when the plan was made, before the artifact is written. The write
    /// handles the result of that operation.
    async fn rests(&self, artifact: &Artifact, live: Option<&Live>) -> Result<(), StepResult> {
        if !self.step.basis.0.contains_key(Basis::IN_PROGRESS) {
            return Ok(());
        }
        match self.settle(Some(artifact), &self.unwritten(live)).await {
            Err(StepResult::Unsettled(failure)) if failure.kind == FailureKind::Cancelled => {
                let stopped = Failure::new(FailureKind::Cancelled, "the step was stopped before it started");
                Err(StepResult::Failed(stopped))
            }
            Err(StepResult::Unsettled(failure)) => Err(StepResult::Unsettled(failure)),
            _ => Ok(()),
        }
    }

    fn unwritten(&self, live: Option<&Live>) -> Ticket {
        live.map(|live| self.backend.unwritten(live)).unwrap_or_default()
    }

    async fn delete(&self, live: Option<&Live>) -> Result<(), StepResult> {
        let Some(live) = live else {
            return Ok(());
        };
        self.check_contents_are_approved().await?;
        let ticket = self
            .change(|| self.backend.delete(live, self.run.journal))
            .await
            .map_err(StepResult::Failed)?;
        self.settle(None, &ticket).await?;
        self.run.standing().remove(&live.id);
        self.close().await
    }

    async fn release(&self, live: Option<&Live>) -> Result<(), StepResult> {
        let Some(live) = live else {
            return Ok(());
        };
        let ticket = self
            .change(|| self.backend.release(live, self.run.journal))
            .await
            .map_err(StepResult::Failed)?;
        self.settle(None, &ticket).await?;
        self.run.standing().remove(&live.id);
        self.close().await
    }

    /// Checks a container again just before its deletion: objects that were added after the plan was made must not be
    /// deleted.
    async fn check_contents_are_approved(&self) -> Result<(), StepResult> {
        let run = self.run;
        let id = &self.step.artifact;
        let look = || -> BoxFuture<'_, _> {
            Box::pin(contents(run.targets, run.plan, run.wanted, run.live, Some(id)))
        };
        let mut contents_now = self.request(look).await.map_err(StepResult::Failed)?;
        let now = contents_now.remove(id).unwrap_or_default();
        let added: Vec<String> = self
            .step
            .change
            .unknown_contents(now)
            .map(|content| content.to_string())
            .collect();
        if added.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} was not deleted: it contains objects that were added after the plan was made: {}",
            self.step.subject,
            added.join(", ")
        );
        Err(StepResult::Failed(Failure::new(FailureKind::Stale, message)))
    }

    /// Clears the recovery record, because the step has ended.
    async fn close(&self) -> Result<(), StepResult> {
        let id = &self.step.artifact;
        if self.run.journal.about(id).is_some() {
            let struck = self.change(|| Box::pin(self.run.journal.strike(id))).await;
            struck.map_err(StepResult::Unsettled)?;
        }
        Ok(())
    }

    /// Restores the recorded settings after a failure. If that fails, too, the next apply does it.
    async fn restore(&self) {
        let Some(note) = self.run.journal.about(&self.step.artifact) else {
            return;
        };
        let restored = tokio::select! {
            restored = self.change(|| self.backend.restore(&note)) => restored,
            () = self.run.options.cancel.cancelled() => return,
        };
        if restored.is_ok() {
            let _ = self.close().await;
        }
    }

    /// Returns the late values of an artifact. Its dependencies are ready, so a value that is unknown now remains
    /// unknown.
    fn values_for(&self, artifact: &Artifact) -> Result<Values, Failure> {
        let known = self.shared.values.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = Values::default();
        for source in sources(artifact) {
            match known.get(source) {
                Some(value) => values.learn(source, value.clone()),
                None if !self.backend.fills_late_values() => {}
                None => {
                    let message = format!("the value of `{}` is not available", source.shown);
                    return Err(Failure::new(FailureKind::Rejected, message).hint(format!(
                        "check the reference: `{}` is ready, but does not provide this value",
                        source.artifact
                    )));
                }
            }
        }
        Ok(values)
    }

    /// Previews a change again if some of its values were unknown when it was planned. The change is made only if
    /// everything but these values is as planned.
    async fn now_known(
        &self,
        artifact: &Artifact,
        live: Option<&Live>,
        values: &Values,
    ) -> Result<Option<Change>, Failure> {
        let planned = &self.step.change;
        if live.is_none() || planned.action != Action::Update || !planned.waits_for_values() {
            return Ok(None);
        }
        let options = PreviewOptions {
            dry_run: planned.previewed,
            change_set: false,
            take_over: self.run.plan.take_over,
        };
        let now = self
            .request(|| self.backend.preview(artifact, live, values, &options))
            .await?;
        let replaced = |change: &Change| -> BTreeSet<_> {
            let replaced_members = change
                .members
                .iter()
                .filter(|member| member.action >= Action::Replace);
            replaced_members
                .map(|member| (member.logical_id.clone(), member.action))
                .collect()
        };
        let worse = !(now.action == Action::Keep || now.action == planned.action)
            || !now.takes_no_more_than(planned)
            || !replaced(&now).is_subset(&replaced(planned));
        if worse {
            let message = format!(
                "all values are known now, and this step would change more than the plan shows: {}",
                now.reason
            );
            return Err(Failure::new(FailureKind::Stale, message));
        }
        Ok(Some(now))
    }
}

fn name(step: &Step) -> StepName {
    StepName {
        artifact: step.artifact.clone(),
        subject: step.subject.clone(),
        action: step.change.action,
    }
}
