//! The targets of a bundle, connected.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use terrace_artifact::{Bundle, Origin, Target, Text};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::backend::{Backend, Wanted};
use terrace_deployer_model::claim::{self, Claims, Deployment, Elsewhere, Place, Stores};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::journal::Note;
use terrace_deployer_model::live::{Identity, Live};
use terrace_deployer_model::state_store::{CachingStateStore, StateStore};
use tokio::sync::OnceCell;

use crate::ledger::History;

/// All targets of an environment, and its state store.
pub(crate) struct Targets {
    pub(crate) backends: BTreeMap<Text, Box<dyn Backend>>,
    pub(crate) identities: BTreeMap<Text, Identity>,
    pub(crate) home: CachingStateStore,
    /// The storage of the environment's claims.
    pub(crate) stores: Stores,
    /// The claims at the time of connecting.
    pub(crate) claims: Claims,
    /// The places that the environment names, without components.
    pub(crate) places: Deployment,
    /// The only target of `destroy --at`, which the environment no longer names.
    pub(crate) at: Option<Text>,
    /// The claims in other regions; read once, and only if no target has a claim.
    elsewhere: OnceCell<Elsewhere>,
}

/// Knowledge from the state store before the targets are observed.
pub(crate) struct Known<'a> {
    /// The artifacts that may exist although they are no longer wanted.
    pub(crate) previous: Option<&'a Bundle>,
    /// The kinds of objects that may exist; if absent, any kind.
    pub(crate) kinds: Option<BTreeSet<Text>>,
    /// The recovery records that the apply restores first.
    pub(crate) notes: &'a [Note],
    /// The recorded physical identities.
    pub(crate) identities: &'a Identities,
}

impl Targets {
    /// Connects to every target and identifies it. Nothing is read or written if an identity differs from the
    /// environment's.
    pub(crate) async fn connect(bundle: &Bundle, access: &Access) -> Result<Targets, Error> {
        let label = bundle.label();
        let connecting = bundle.targets.iter().map(|(name, target)| {
            let label = &label;
            async move { (name, (access.connect)(target, access, label).await) }
        });
        let mut backends: BTreeMap<Text, Box<dyn Backend>> = BTreeMap::new();
        let mut homes: BTreeMap<Text, Box<dyn StateStore>> = BTreeMap::new();
        let mut stores = Stores::new();
        let mut failures = Vec::new();
        for (name, connected) in join_all(connecting).await {
            match connected.map_err(|failure| declared(failure, bundle, name)) {
                Ok(connected) => {
                    homes.insert(name.clone(), connected.home);
                    stores.insert(name.clone(), connected.claims);
                    backends.insert(name.clone(), connected.backend);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(error) = fail(failures) {
            return Err(error);
        }
        let asking = backends
            .iter()
            .map(|(name, backend)| (name.clone(), backend.identify()))
            .map(|(name, asked)| async move { (name, asked.await) });
        let mut identities = BTreeMap::new();
        let mut failures = Vec::new();
        for (name, identity) in join_all(asking).await {
            match identity.map_err(|failure| declared(failure, bundle, &name)) {
                Ok(identity) => {
                    identities.insert(name, identity);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(error) = fail(failures) {
            return Err(error);
        }
        let claims = Claims::read(&stores).await;
        let claims = claims.map_err(|(target, failure)| declared(failure, bundle, &target))?;
        let mut places = places(bundle, &identities);
        let Some(home) =
            home(bundle, &places, &claims).and_then(|name| Some((name.clone(), homes.remove(name)?)))
        else {
            let message = format!("environment `{}` has no target", bundle.environment.name);
            return Err(Failure::new(FailureKind::Rejected, message)
                .hint("add `kubernetes:`, `aws:` or `directory:` to the environment")
                .into());
        };
        places.store = home.0;
        Ok(Targets {
            backends,
            identities,
            home: CachingStateStore::new(home.1),
            stores,
            claims,
            places,
            at: None,
            elsewhere: OnceCell::new(),
        })
    }

    /// Returns the backend of a target.
    pub(crate) fn backend(&self, target: &str) -> Result<&dyn Backend, Failure> {
        let backend = self.backends.get(target).map(|backend| &**backend);
        backend.ok_or_else(|| {
            Failure::new(
                FailureKind::Broken,
                format!(
                    "the bundle contains artifacts for target `{target}`, but does not define that target"
                ),
            )
        })
    }

    /// Limits all commands to one target. The state store may be in another one.
    pub(crate) fn only(&mut self, name: &Text) {
        self.backends.retain(|target, _| target == name);
        self.at = Some(name.clone());
    }

    /// Returns the recorded physical identities, under the current names of their targets.
    pub(crate) async fn recorded_identities(&self, history: &History) -> Result<Identities, Failure> {
        let recorded = history.identities(&self.home).await?;
        let before = history.last().into_iter().flat_map(|last| &last.targets);
        let renamed = before.filter_map(|(name, identity)| {
            let is_same = |now: &Identity| now.kind == identity.kind && now.id == identity.id;
            if self.identities.get(name).is_some_and(is_same) {
                return None;
            }
            let (now, _) = self.identities.iter().find(|(_, now)| is_same(now))?;
            Some((name.clone(), now.clone()))
        });
        Ok(recorded.renamed(&renamed.collect()))
    }

    /// Finds claims in places that the environment does not name. They are not needed if a target has a claim, because a
    /// claim lists all places.
    pub(crate) async fn elsewhere(&self, claims: &Claims) -> &Elsewhere {
        static NOWHERE: Elsewhere = Elsewhere {
            claims: Vec::new(),
            failures: Vec::new(),
        };
        if claims.found.is_empty() {
            self.elsewhere
                .get_or_init(|| claim::elsewhere(&self.stores))
                .await
        } else {
            &NOWHERE
        }
    }

    /// Reads all targets.
    pub(crate) async fn observe(
        &self,
        bundle: &Bundle,
        known: &Known<'_>,
    ) -> Result<BTreeMap<Text, Vec<Live>>, Error> {
        let looking = self.backends.iter().map(|(target, backend)| async move {
            let wanted = Wanted {
                target,
                bundle,
                previous: known.previous,
                kinds: known.kinds.as_ref(),
                notes: known.notes,
                identities: known.identities,
            };
            let live = backend
                .observe(&wanted)
                .await
                .map_err(|failure| declared(failure, bundle, target))?;
            Ok::<_, Failure>((target.clone(), live))
        });
        let (mut observed, mut failures) = (BTreeMap::new(), Vec::new());
        for looked in join_all(looking).await {
            match looked {
                Ok((target, live)) => {
                    observed.insert(target, live);
                }
                Err(failure) => failures.push(failure),
            }
        }
        fail(failures).map_or(Ok(observed), Err)
    }
}

/// Adds the line that names the target to a failure to reach it.
pub(crate) fn declared(failure: Failure, bundle: &Bundle, target: &Text) -> Failure {
    let about_it = matches!(
        failure.kind,
        FailureKind::Unreachable
            | FailureKind::WrongTarget
            | FailureKind::NotBootstrapped
            | FailureKind::Denied { .. }
            | FailureKind::Broken
    );
    // A failure that lists its resources with their lines is more precise.
    let about_it = about_it && failure.detail.concerns.is_empty();
    let place = bundle.environment.places.get(target).filter(|_| about_it);
    let origin = place.map(|place| Origin {
        component: place.clone(),
        resource: place.clone(),
    });
    failure.about(None, origin.as_ref())
}

/// Combines failures into one error. A refusal (a wrong target, an account without bootstrap bucket) takes precedence.
pub(crate) fn fail(mut failures: Vec<Failure>) -> Option<Error> {
    let refusal = failures.iter().position(|failure| {
        matches!(
            failure.kind,
            FailureKind::WrongTarget | FailureKind::NotBootstrapped | FailureKind::Tampered
        )
    });
    match refusal {
        Some(at) => Some(failures.swap_remove(at).into()),
        None if failures.is_empty() => None,
        None => Some(Error::Failed(failures)),
    }
}

/// Returns the places of a bundle's identified targets. The state store is not determined yet.
fn places(bundle: &Bundle, identities: &BTreeMap<Text, Identity>) -> Deployment {
    let targets = bundle.targets.iter();
    let places = targets.filter_map(|(name, target)| {
        let identity = identities.get(name)?;
        Some((name.clone(), Place::of(target, identity)))
    });
    Deployment {
        store: Text::default(),
        targets: places.collect(),
    }
}

/// Returns the target with the state store. It stays the same while the environment names that target, so an environment
/// that adds a cluster to its account keeps its history and its lock.
fn home<'a>(bundle: &'a Bundle, places: &'a Deployment, claims: &Claims) -> Option<&'a Text> {
    let latest = claims
        .latest()
        .and_then(|(_, claim)| claim.deployment.state_store());
    let kept = latest.and_then(|store| places.targets.iter().find(|(_, place)| place.is_same(store)));
    let first = || {
        bundle
            .targets
            .iter()
            .min_by_key(|(name, target)| (home_rank(name, target), *name))
    };
    kept.map(|(name, _)| name)
        .or_else(|| first().map(|(name, _)| name))
}

/// Ranks the targets for the state store: a cluster before an account before a directory; unnamed targets of the
/// environment before named ones.
fn home_rank(name: &str, target: &Target) -> u8 {
    match target {
        Target::Kubernetes { .. } if name == "kubernetes" => 0,
        Target::Kubernetes { .. } => 1,
        Target::Aws { .. } if name == "aws" => 2,
        Target::Aws { .. } => 3,
        Target::Directory { .. } => 4,
    }
}
