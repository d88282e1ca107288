//! The Kubernetes backend: server-side apply, every write of it.

use futures::future::BoxFuture;
use terrace_artifact::Text;

use crate::access::Access;
use crate::backend::Backend;
use crate::failure::{Failure, FailureKind};
use crate::home::Home;

/// A cluster, as a backend and as a home.
pub(crate) struct Connected {
    /// For artifacts.
    pub(crate) backend: Box<dyn Backend>,
    /// For the ledger and the lock.
    pub(crate) home: Box<dyn Home>,
}

/// Connects to the cluster of a context. Nothing is asked of it yet but what connecting needs.
///
/// `label` is the bundle's ([`terrace_artifact::Bundle::label`]); the field manager and the names in the home follow
/// from it. `id` is the cluster's, where the environment states it.
pub(crate) fn connect<'a>(
    access: &'a Access,
    context: &'a Text,
    distribution: &'a Text,
    id: Option<&'a Text>,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    let _ = (access, context, distribution, id, label);
    Box::pin(async {
        Err(Failure::new(
            FailureKind::Unsupported,
            "clusters are not in this version",
        ))
    })
}
