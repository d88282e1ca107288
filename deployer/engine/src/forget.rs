//! `terrace forget`: removes the records of a place, and leaves its resources unchanged.

use std::collections::BTreeMap;

use terrace_artifact::{Bundle, Class, Environment, Text};
use terrace_deployer_model::access::{Access, timestamp};
use terrace_deployer_model::claim::{Claims, Deployment, Place};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::plan::Purpose;
use terrace_deployer_model::state_store::{LockHolder, StateStore};

use crate::claims::{ClaimUpdate, NotTaken, leading_to, meant, recorded};
use crate::ledger::{History, Release, Status, store_bundle};
use crate::targets::Targets;

/// The places that `terrace forget` is about to forget.
pub struct Forgetting {
    /// The environment, or a placeholder for one that only `terrace.lock` still names.
    bundle: Bundle,
    /// The places to forget.
    places: BTreeMap<Text, Place>,
    /// The places that remain recorded.
    rest: Deployment,
    /// The targets that the environment names now, if they can be reached.
    targets: Option<Targets>,
    notes: Vec<String>,
}

/// The result of `terrace forget`.
#[derive(Clone, PartialEq, Debug)]
pub struct Forgotten {
    /// The remaining recorded places; absent if there are none.
    pub rest: Option<Deployment>,
    /// The ledger entry: its number, and the state store that contains it.
    pub release: Option<(Text, String)>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Forgetting {
    /// Reads the records of an environment, and selects the place that `target` names, or all places.
    ///
    /// `bundle` is absent if the stack no longer contains the environment.
    pub async fn look_up(
        bundle: Option<Bundle>,
        environment: &str,
        access: &Access,
        target: Option<&str>,
    ) -> Result<Forgetting, Error> {
        let locked = access
            .directory
            .lock
            .as_ref()
            .and_then(|lock| lock.environments.get(environment));
        let other = locked.filter(|locked| {
            bundle
                .as_ref()
                .is_none_or(|bundle| bundle.platform != locked.platform)
        });
        let (bundle, is_declared) = match (bundle, other) {
            (_, Some(locked)) => (unnamed(&locked.platform, environment), false),
            (Some(bundle), None) => (bundle, true),
            (None, None) => {
                let message =
                    format!("neither the stack nor `terrace.lock` contains an environment `{environment}`");
                return Err(Failure::new(FailureKind::Rejected, message).into());
            }
        };
        let mut notes = Vec::new();
        let targets = match is_declared {
            false => None,
            true => match Targets::connect(&bundle, access).await {
                Ok(targets) => Some(targets),
                Err(error) => {
                    notes.push(format!(
                        "cannot connect to the targets that the environment names now: {error}"
                    ));
                    None
                }
            },
        };
        let mut rest = recorded(targets.as_ref(), locked.map(|locked| &locked.deployment)).await?;
        let places = match target {
            None => std::mem::take(&mut rest.targets),
            Some(text) => {
                let (name, place) = meant(&rest, environment, text)?;
                let forgotten = BTreeMap::from([(name.clone(), place.clone())]);
                rest.targets.retain(|name, _| !forgotten.contains_key(name));
                forgotten
            }
        };
        if places.is_empty() {
            let message =
                format!("no place is recorded for environment `{environment}`; there is nothing to forget");
            return Err(Failure::new(FailureKind::Rejected, message).into());
        }
        Ok(Forgetting {
            bundle,
            places,
            rest,
            targets,
            notes,
        })
    }

    /// Returns the places to forget.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// Returns the platform that is deployed there.
    pub fn platform(&self) -> &Text {
        &self.bundle.platform
    }

    /// Returns the notes that the user should read before confirming.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a ledger entry, then removes the claims. A place that cannot be reached is skipped with a note.
    pub async fn forget(self, access: &Access) -> Result<Forgotten, Error> {
        let mut notes = Vec::new();
        let mut reached: BTreeMap<&Text, Targets> = BTreeMap::new();
        for (name, place) in &self.places {
            let leading = leading_to(&self.bundle, [(name, place)]);
            let connected = match leading {
                Ok(leading) => Targets::connect(&leading, access).await,
                Err(failure) => Err(failure.into()),
            };
            match connected {
                Ok(targets) => {
                    reached.insert(name, targets);
                }
                Err(error) => notes.push(format!(
                    "cannot connect to {place}, so its claim remains there: {error}"
                )),
            }
        }
        let stored = reached.get(&self.rest.store).or_else(|| reached.values().next());
        let kept = self.targets.as_ref().filter(|targets| !self.moves_home(targets));
        let Some(at) = kept.or(stored).or(self.targets.as_ref()) else {
            notes.push("cannot connect to any state store, so no ledger entry was written".to_owned());
            return Ok(self.done(None, notes));
        };
        let holder = LockHolder {
            who: access.who.clone(),
            run: access.run.clone(),
            since: timestamp((access.now)()).into(),
        };
        let held = at.home.lock(&holder, &|_, _| {}).await?;
        let outcome = self.forget_locked(at, &reached, access, &mut notes).await;
        let released = held.release().await;
        let release = outcome?;
        if let Err(failure) = released {
            notes.push(format!("the lock was not released and expires soon: {failure}"));
        }
        Ok(self.done(Some((release, at.home.shown())), notes))
    }

    /// Returns whether one of the places to forget contains the state store.
    fn moves_home(&self, targets: &Targets) -> bool {
        let now = targets.places.state_store();
        self.places
            .iter()
            .any(|(name, place)| *name == self.rest.store && !now.is_some_and(|now| now.is_same(place)))
    }

    async fn forget_locked(
        &self,
        at: &Targets,
        reached: &BTreeMap<&Text, Targets>,
        access: &Access,
        notes: &mut Vec<String>,
    ) -> Result<Text, Error> {
        let release = self.record(&at.home, access).await?;
        for targets in self.targets.iter().filter(|_| !self.rest.is_empty()) {
            let mut claims = self.claims(targets, access).await?;
            claims.only_own();
            claims.settle(&self.rest).await.map_err(NotTaken::error)?;
        }
        for (name, targets) in reached {
            let mut claims = self.claims(targets, access).await?;
            for other in claims.only_own() {
                notes.push(format!(
                    "the claim in {} belongs to {} and remains there",
                    self.places[*name], other.origin
                ));
            }
            claims.give_up().await?;
        }
        Ok(release)
    }

    /// Reads the claims of these targets under the lock.
    async fn claims<'a>(
        &'a self,
        targets: &'a Targets,
        access: &'a Access,
    ) -> Result<ClaimUpdate<'a>, Error> {
        let claims = Claims::read(&targets.stores)
            .await
            .map_err(|(_, failure)| failure)?;
        Ok(ClaimUpdate::of(
            targets,
            &self.bundle,
            &access.directory.origin,
            access,
            claims,
        ))
    }

    /// Writes the ledger entry.
    async fn record(&self, home: &dyn StateStore, access: &Access) -> Result<Text, Error> {
        let mut history = History::read_end(home).await?;
        let standing = history.standing(home).await?;
        let mut bundle = standing.unwrap_or_else(|| Bundle {
            artifacts: Vec::new(),
            ..self.bundle.clone()
        });
        bundle
            .artifacts
            .retain(|artifact| !self.places.contains_key(&artifact.target));
        bundle.targets.retain(|name, _| !self.places.contains_key(name));
        let last = history.last();
        let mut targets = last.map(|last| last.targets.clone()).unwrap_or_default();
        targets.retain(|name, _| !self.places.contains_key(name));
        // Without a recorded identity, forgotten resources are foreign. The user must adopt them to manage them again.
        let identities = history.identities(home).await?;
        let identities = identities.in_targets(|target| !self.places.contains_key(target));
        let release = Release {
            id: history.next_id(),
            who: access.who.clone(),
            began: timestamp((access.now)()).into(),
            ended: Some(timestamp((access.now)()).into()),
            environment: self.bundle.label().into(),
            purpose: Purpose::Destroy,
            origin: Some(access.directory.origin.recorded()),
            targets,
            forgotten: self.places.values().cloned().collect(),
            bundle: bundle.digest(),
            stored: Some(store_bundle(home, &bundle).await?),
            status: last.map_or(Status::Deployed, |last| last.status),
            error: None,
            approvals: Vec::new(),
            only: Vec::new(),
            kinds: last.and_then(|last| last.kinds.clone()),
            identities: Some(identities.store(home).await?),
            terrace: access.version.clone(),
        };
        history.append(home, &release).await?;
        Ok(release.id)
    }

    fn done(&self, release: Option<(Text, String)>, notes: Vec<String>) -> Forgotten {
        Forgotten {
            rest: (!self.rest.targets.is_empty()).then(|| self.rest.clone()),
            release,
            notes,
        }
    }
}

/// Creates a placeholder for an environment that the stack no longer contains.
fn unnamed(platform: &Text, environment: &str) -> Bundle {
    Bundle {
        platform: platform.clone(),
        environment: Environment {
            name: environment.into(),
            class: Class::Development,
            places: BTreeMap::new(),
        },
        targets: BTreeMap::new(),
        artifacts: Vec::new(),
        assets: BTreeMap::new(),
        set: Vec::new(),
    }
}
