//! The targets of a bundle, connected.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use terrace_artifact::{Bundle, Origin, Target, Text};

use crate::access::Access;
use crate::backend::{Backend, Identity, Live, Wanted};
use crate::directory::{Directory, DirectoryHome};
use crate::error::Error;
use crate::failure::{Failure, FailureKind};
use crate::home::{Home, Remembering};
use crate::journal::Note;
use crate::ownership::Identities;
use crate::{cloudformation, kubernetes};

/// All targets of an environment, and its home.
pub(crate) struct Targets {
    pub(crate) backends: BTreeMap<Text, Box<dyn Backend>>,
    pub(crate) identities: BTreeMap<Text, Identity>,
    pub(crate) home: Remembering,
}

/// What is known before one looks.
pub(crate) struct Known<'a> {
    /// What may be there by name, although nobody wants it any more.
    pub(crate) previous: Option<&'a Bundle>,
    /// The kinds of objects that may be there; where absent, any.
    pub(crate) kinds: Option<BTreeSet<Text>>,
    /// What is put right before anything is done.
    pub(crate) notes: &'a [Note],
    /// The physical identities that were recorded.
    pub(crate) identities: &'a Identities,
}

impl Targets {
    /// Connects to every target, and asks each who it is: nothing is read or written where that is not as the
    /// environment says.
    pub(crate) async fn connect(bundle: &Bundle, access: &Access) -> Result<Targets, Error> {
        let label = bundle.label();
        let connecting = bundle.targets.iter().map(|(name, target)| {
            let label = &label;
            async move { (name, target, connect(target, access, label).await) }
        });
        let mut backends: BTreeMap<Text, Box<dyn Backend>> = BTreeMap::new();
        let mut homes: BTreeMap<(u8, &Text), Box<dyn Home>> = BTreeMap::new();
        let mut failures = Vec::new();
        for (name, target, connected) in join_all(connecting).await {
            match connected.map_err(|failure| declared(failure, bundle, name)) {
                Ok((backend, home)) => {
                    homes.insert((home_rank(name, target), name), home);
                    backends.insert(name.clone(), backend);
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
        let Some((_, home)) = homes.into_iter().next() else {
            let message = format!(
                "environment `{}` names nothing to deliver to",
                bundle.environment.name
            );
            return Err(Failure::new(FailureKind::Rejected, message)
                .hint("give it `kubernetes:`, `aws:` or `directory:`")
                .into());
        };
        Ok(Targets {
            backends,
            identities,
            home: Remembering::new(home),
        })
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

/// A failure to reach a target is about the line that names it.
pub(crate) fn declared(failure: Failure, bundle: &Bundle, target: &Text) -> Failure {
    let about_it = matches!(
        failure.kind,
        FailureKind::Unreachable
            | FailureKind::WrongTarget
            | FailureKind::NotBootstrapped
            | FailureKind::Denied { .. }
            | FailureKind::Broken
    );
    // What names the resources it is about, with their lines, says more.
    let about_it = about_it && failure.detail.concerns.is_empty();
    let place = bundle.environment.places.get(target).filter(|_| about_it);
    let origin = place.map(|place| Origin {
        component: place.clone(),
        resource: place.clone(),
    });
    failure.about(None, origin.as_ref())
}

/// The error of several failures. One that is a refusal (the target is another one, an account is not prepared) decides.
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

async fn connect(
    target: &Target,
    access: &Access,
    label: &str,
) -> Result<(Box<dyn Backend>, Box<dyn Home>), Failure> {
    match target {
        Target::Directory { path } => {
            let folder = access.folder.join(path.as_str());
            Ok((
                Box::new(Directory::new(folder.clone(), label.to_owned())),
                Box::new(DirectoryHome { folder }),
            ))
        }
        Target::Kubernetes {
            context,
            distribution,
            id,
        } => {
            let connected = kubernetes::connect(access, context, distribution, id.as_ref(), label).await?;
            Ok((connected.backend, connected.home))
        }
        Target::Aws {
            account,
            region,
            profile,
        } => {
            let connected = cloudformation::connect(access, account, region, profile.as_ref(), label).await?;
            Ok((connected.backend, connected.home))
        }
    }
}

/// Which target is the home: a cluster before an account before a folder; of several, the environment's own before
/// those that have names.
fn home_rank(name: &str, target: &Target) -> u8 {
    match target {
        Target::Kubernetes { .. } if name == "kubernetes" => 0,
        Target::Kubernetes { .. } => 1,
        Target::Aws { .. } if name == "aws" => 2,
        Target::Aws { .. } => 3,
        Target::Directory { .. } => 4,
    }
}
