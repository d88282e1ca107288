//! The CloudFormation backend: change sets, every write of it.

use futures::future::BoxFuture;
use terrace_artifact::Text;

use crate::access::Access;
use crate::backend::Backend;
use crate::failure::{Failure, FailureKind};
use crate::home::Home;

/// An account and region, as a backend and as a home.
pub(crate) struct Connected {
    /// For artifacts.
    pub(crate) backend: Box<dyn Backend>,
    /// For the ledger and the lock, in the bootstrap bucket.
    pub(crate) home: Box<dyn Home>,
}

/// Connects to an account and region. `label` is the bundle's ([`terrace_artifact::Bundle::label`]).
pub(crate) fn connect<'a>(
    access: &'a Access,
    account: &'a Text,
    region: &'a Text,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    let _ = (access, account, region, label);
    Box::pin(async {
        Err(Failure::new(
            FailureKind::Unsupported,
            "accounts are not in this version",
        ))
    })
}

/// Creates what an account needs once: the bucket for templates, assets and the ledger. Gives a line for each thing that
/// it did or found done.
pub(crate) fn bootstrap<'a>(
    access: &'a Access,
    account: &'a Text,
    region: &'a Text,
) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
    let _ = (access, account, region);
    Box::pin(async {
        Err(Failure::new(
            FailureKind::Unsupported,
            "accounts are not in this version",
        ))
    })
}
