//! The requests of a step, with retries.

use std::time::Duration;

use futures::future::BoxFuture;
use terrace_deployer_model::event::Event;
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::state_store::certainly_held;

use super::{StepRunner, name};

/// The maximum number of attempts of a request.
const ATTEMPTS: u32 = 5;

impl<E: Fn(Event) + Send + Sync> StepRunner<'_, '_, E> {
    /// Sends a request that changes something, and retries temporary failures.
    pub(super) async fn change<'f, T>(
        &self,
        send: impl Fn() -> BoxFuture<'f, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.send(true, send).await
    }

    /// Sends a request that only reads, and retries temporary failures.
    pub(super) async fn request<'f, T>(
        &self,
        send: impl Fn() -> BoxFuture<'f, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.send(false, send).await
    }

    async fn send<'f, T>(
        &self,
        changes: bool,
        send: impl Fn() -> BoxFuture<'f, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut attempt = 0;
        loop {
            let outcome = {
                let _permit = self.shared.permits.acquire().await;
                if changes {
                    certainly_held(self.run.held).await?;
                }
                send().await
            };
            attempt += 1;
            match outcome {
                Err(failure) if failure.may_pass() && attempt < ATTEMPTS => {
                    let after = self.pause(attempt);
                    (self.run.events)(Event::Retrying {
                        step: name(self.step),
                        failure: failure.clone(),
                        after,
                    });
                    tokio::select! {
                        () = tokio::time::sleep(after) => {}
                        () = self.run.options.cancel.cancelled() => return Err(failure),
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Returns the pause before a retry. It doubles each time; a part depends on the artifact, so that steps do not
    /// retry at the same time.
    fn pause(&self, attempt: u32) -> Duration {
        let base = Duration::from_millis(250) * 2u32.pow(attempt);
        let spread = terrace_artifact::Digest::of_bytes(self.step.artifact.as_str().as_bytes());
        let spread = spread.as_str().bytes().take(4).map(u32::from).sum::<u32>() % 100;
        base + base * spread / 100
    }
}
