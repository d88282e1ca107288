//! The request to stop an apply.

use tokio::sync::watch;

/// The receiving end of a request to stop an apply.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

/// The sending end of a request to stop an apply.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

impl Cancel {
    /// Creates both ends. If the sender is dropped, the receiver never gets a request.
    pub fn channel() -> (Canceller, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Canceller(sender), Cancel(receiver))
    }

    /// Returns whether a stop was requested.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until a stop is requested.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Cancel {
    /// Creates a signal that is never sent.
    fn default() -> Cancel {
        Cancel::channel().1
    }
}

impl Canceller {
    /// Stops the apply: it no longer waits for running operations and starts no more steps.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}
