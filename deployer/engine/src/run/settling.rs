//! Waits until the artifact of a step is ready, or deleted.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use terrace_artifact::Artifact;
use terrace_deployer_model::backend::{Observation, Ticket};
use terrace_deployer_model::event::Event;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::{Basis, Live};
use terrace_deployer_model::ownership::Ownership;

use super::{StepResult, StepRunner, UNREACHABLE_TIMEOUT, name};
use crate::stages::comes_back_to;

impl<E: Fn(Event) + Send + Sync> StepRunner<'_, '_, E> {
    /// Waits until the artifact is ready, or deleted.
    pub(super) async fn settle(
        &self,
        artifact: Option<&Artifact>,
        ticket: &Ticket,
    ) -> Result<Live, StepResult> {
        let timeout = self.run.options.timeout;
        let allowed = timeout.unwrap_or_else(|| self.backend.settle_timeout());
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        let mut reported: Option<(String, Instant)> = None;
        let mut unreachable_since: Option<Instant> = None;
        loop {
            let look = self
                .request(|| self.backend.look(&self.step.artifact, artifact, ticket))
                .await;
            let look = match look {
                // The system continues without us, so a short network failure does not end the wait.
                Err(failure)
                    if failure.may_pass()
                        && unreachable_since.get_or_insert_with(Instant::now).elapsed()
                            < UNREACHABLE_TIMEOUT =>
                {
                    Observation::Waiting(failure.message)
                }
                look => {
                    unreachable_since = None;
                    look.map_err(StepResult::Unsettled)?
                }
            };
            let why = match look {
                Observation::Settled(live) => return Ok(*live),
                Observation::Gone if artifact.is_none() => return Ok(self.gone()),
                Observation::Gone => {
                    let failure =
                        Failure::new(FailureKind::Stale, "it was deleted while Terrace waited for it");
                    return Err(StepResult::Failed(failure));
                }
                Observation::Failed(failure) => return Err(StepResult::Failed(failure)),
                Observation::Waiting(why) => why,
            };
            if let Some(lost) = self.run.lost_lock() {
                return Err(StepResult::Unsettled(lost.last_state(why)));
            }
            if began.elapsed() >= allowed {
                let what = if artifact.is_some() { "ready" } else { "deleted" };
                let seconds = allowed.as_secs();
                let plural = if seconds == 1 { "" } else { "s" };
                let message = format!("it was not {what} after {seconds} second{plural}");
                let failure = Failure::new(FailureKind::TimedOut, message).last_state(why);
                return Err(StepResult::Unsettled(failure));
            }
            let new = reported
                .as_ref()
                .is_none_or(|(before, at)| *before != why || at.elapsed().as_secs() >= 10);
            if new {
                (self.run.events)(Event::Waiting {
                    step: name(self.step),
                    why: why.clone(),
                    elapsed: self.started.elapsed(),
                });
                reported = Some((why.clone(), Instant::now()));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.run.options.cancel.cancelled() => {
                    let message = "the server accepted the change, but the apply stopped before it was complete";
                    return Err(StepResult::Unsettled(Failure::new(FailureKind::Cancelled, message).last_state(why)));
                }
            }
            pause = (pause * 3 / 2).min(Duration::from_secs(3));
        }
    }

    /// Records the values that other artifacts wait for.
    pub(super) fn learn(&self, live: &Live) {
        if comes_back_to(self.run.plan, self.step) {
            let mut settled = self.shared.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.insert(self.step.artifact.clone(), live.clone());
        }
        let mut values = self.shared.values.lock().unwrap_or_else(PoisonError::into_inner);
        for source in self.shared.asked_for.about(&self.step.artifact) {
            if let Some(value) = self.backend.attribute(&source.attribute, live, None) {
                values.learn(source, value);
            }
        }
    }

    /// Returns a placeholder for a deleted artifact.
    fn gone(&self) -> Live {
        Live {
            id: self.step.artifact.clone(),
            subject: self.step.subject.clone(),
            ownership: Ownership::MADE,
            identity: terrace_artifact::Text::default(),
            notes: Vec::new(),
            basis: Basis::absent(),
            addresses: Vec::new(),
            holds_data: Vec::new(),
            needs: BTreeSet::new(),
            value: terrace_artifact::Value::Null,
        }
    }
}
