//! The storage of claims: one value in each target, written only if it has not changed since it was read.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, join_all};
use terrace_artifact::Text;

use super::{Claim, FORMAT};
use crate::failure::{Failure, FailureKind};

/// The bytes of a claim, with their version.
pub type Versioned = (Vec<u8>, Text);

/// The place of one environment's claim in one target.
pub trait ClaimStore: Send + Sync {
    /// Returns the location for messages, such as `Secret terrace-system/acme.production.claim of cluster acme-prod`.
    fn shown(&self) -> String;

    /// Returns the shell command that deletes the claim, for a user who repairs it by hand.
    fn delete_command(&self) -> String;

    /// Reads the claim's bytes and their version. Returns nothing if there is no claim.
    fn read(&self) -> BoxFuture<'_, Result<Option<Versioned>, Failure>>;

    /// Writes the claim if its version is `expected`, or creates it if `expected` is absent. Returns the new version.
    /// Returns nothing, and changes nothing, if the condition does not hold.
    fn write<'a>(
        &'a self,
        bytes: &'a [u8],
        expected: Option<&'a Text>,
    ) -> BoxFuture<'a, Result<Option<Text>, Failure>>;

    /// Deletes the claim if its version is `expected`, and does nothing otherwise.
    fn remove<'a>(&'a self, expected: &'a Text) -> BoxFuture<'a, Result<(), Failure>>;

    /// Finds claims of the same environment in places that it does not name: the other regions of the account.
    fn elsewhere(&self) -> BoxFuture<'_, Elsewhere> {
        Box::pin(async { Elsewhere::default() })
    }
}

/// The claims of an environment in places that it does not name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Elsewhere {
    /// Claims of the same environment.
    pub claims: Vec<Claim>,
    /// The places that could not be read.
    pub failures: Vec<Failure>,
}

/// The claims that were found in the targets of an environment.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// By the target's name.
    pub found: BTreeMap<Text, Found>,
    /// The targets whose claims the user may not read.
    pub denied: BTreeMap<Text, Failure>,
}

/// A claim as it was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The claim.
    pub claim: Claim,
    /// The version that the store gave it.
    pub version: Text,
}

/// The claim stores of an environment, by the target's name.
pub type Stores = BTreeMap<Text, Box<dyn ClaimStore>>;

/// Finds the claims in the neighborhood of every target.
pub async fn elsewhere(stores: &Stores) -> Elsewhere {
    let mut all = Elsewhere::default();
    for found in join_all(stores.values().map(|store| store.elsewhere())).await {
        all.claims.extend(found.claims);
        all.failures.extend(found.failures);
    }
    all
}

impl Claims {
    /// Reads all claims concurrently. A missing permission is not a failure: the plan reports it. A failure is returned
    /// with the name of its target.
    pub async fn read(stores: &Stores) -> Result<Claims, (Text, Failure)> {
        let reading = stores
            .iter()
            .map(|(target, store)| async move { (target, read(&**store).await) });
        let mut claims = Claims::default();
        for (target, found) in join_all(reading).await {
            match found {
                Ok(Some(found)) => {
                    claims.found.insert(target.clone(), found);
                }
                Ok(None) => {}
                Err(failure) if matches!(failure.kind, FailureKind::Denied { .. }) => {
                    claims.denied.insert(target.clone(), failure);
                }
                Err(failure) => return Err((target.clone(), failure)),
            }
        }
        Ok(claims)
    }

    /// Returns the claim that was written last, with its target. Claims differ if a process was killed between two writes.
    pub fn latest(&self) -> Option<(&Text, &Claim)> {
        let claims = self.found.iter().map(|(target, found)| (target, &found.claim));
        claims.max_by_key(|(_, claim)| claim.serial)
    }
}

/// Reads a claim.
pub async fn read(store: &dyn ClaimStore) -> Result<Option<Found>, Failure> {
    let Some((bytes, version)) = store.read().await? else {
        return Ok(None);
    };
    let claim: Claim = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the claim in {} is not a valid record: {error}", store.shown());
        Failure::new(FailureKind::Broken, message).hint(format!(
            "restore it, or delete it if this directory deploys the environment: the next apply writes it again\n{}",
            store.delete_command()
        ))
    })?;
    if claim.format != FORMAT {
        let message = format!(
            "the claim in {} cannot be read: its format is `{}`, and this version of terrace reads `{FORMAT}`",
            store.shown(),
            claim.format
        );
        return Err(Failure::new(FailureKind::Broken, message)
            .hint("use the version of terrace that the last apply used, or a newer one"));
    }
    Ok(Some(Found { claim, version }))
}

/// Writes a claim. Returns its version, or nothing if another process wrote it since it was read.
pub async fn write(
    store: &dyn ClaimStore,
    claim: &Claim,
    expected: Option<&Text>,
) -> Result<Option<Text>, Failure> {
    let bytes = serde_json::to_vec_pretty(claim).map_err(|error| {
        Failure::new(
            FailureKind::Broken,
            format!("the claim of the environment cannot be encoded as JSON: {error}"),
        )
    })?;
    if let Some(version) = store.write(&bytes, expected).await? {
        return Ok(Some(version));
    }
    // If the response to a first attempt was lost, the target already holds these bytes.
    let stored = store.read().await?;
    Ok(stored
        .filter(|(stored, _)| *stored == bytes)
        .map(|(_, version)| version))
}
