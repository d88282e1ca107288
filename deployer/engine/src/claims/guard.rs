//! Compares a plan with the claims, `terrace.lock` and the ledger. A plan is refused if another directory deploys the
//! environment, or if resources would be left behind.

use std::collections::BTreeSet;
use std::path::Path;

use terrace_artifact::{Bundle, Location, Target, Text};
use terrace_deployer_model::claim::Left;
use terrace_deployer_model::claim::{
    Claim, Claims, Deployment, LostTargets, OtherOrigin, Place, StackOrigin,
};
use terrace_deployer_model::error::Refusal;
use terrace_deployer_model::lockfile::{LockedEnvironment, Lockfile};
use terrace_deployer_model::plan::Plan;

use crate::targets::Targets;

/// The lock file as the source of a record, for messages.
const LOCK_SOURCE: &str = "`terrace.lock`";

/// The environment of a plan, to be compared with the records of its last deployment.
pub(crate) struct Guard<'a> {
    /// The planned bundle.
    pub(crate) bundle: &'a Bundle,
    /// The places that the environment names now.
    pub(crate) now: &'a Deployment,
    /// The directory that the plan is made from.
    pub(crate) origin: &'a StackOrigin,
    /// Whether the user accepts that the environment moves to this origin.
    pub(crate) accept_origin: bool,
    /// The stack's directory, as the user named it.
    pub(crate) folder: &'a Path,
}

/// The records of where the environment is deployed.
pub(crate) struct Remembered<'a> {
    /// The claims in the targets that the environment names now.
    pub(crate) claims: Option<&'a Claims>,
    /// Claims that were found in other regions of an account, which the environment does not name.
    pub(crate) elsewhere: &'a [Claim],
    /// The contents of `terrace.lock`.
    pub(crate) lock: Option<&'a Lockfile>,
    /// The names of the stack's environments; empty if its documents were not read.
    pub(crate) environments: &'a BTreeSet<Text>,
    /// The last release, for environments that were deployed before claims existed.
    pub(crate) ledger: Option<(Option<StackOrigin>, Deployment)>,
}

impl<'a> Guard<'a> {
    /// Prepares the comparison for a plan and its targets.
    pub(crate) fn of(targets: &'a Targets, plan: &'a Plan) -> Guard<'a> {
        Guard {
            bundle: &plan.bundle,
            now: &targets.places,
            origin: &plan.origin,
            accept_origin: plan.accept_origin,
            folder: &plan.folder,
        }
    }

    /// Refuses the plan, or returns notes for its reader.
    pub(crate) fn check(&self, known: &Remembered<'_>) -> Result<Vec<String>, Refusal> {
        let mut notes = self.origin(known)?;
        notes.extend(self.places(known)?);
        notes.extend(self.other_records(known)?);
        Ok(notes)
    }

    /// Refuses a plan from a directory that does not own the environment.
    pub(crate) fn origin(&self, known: &Remembered<'_>) -> Result<Vec<String>, Refusal> {
        let found = known.claims.into_iter().flat_map(|claims| &claims.found);
        let here = found.map(|(target, found)| (Some(target), &found.claim));
        let mut claims = here.chain(known.elsewhere.iter().map(|claim| (None, claim)));
        let other = claims.find(|(target, claim)| !self.is_ours(*target, claim));
        let ledger = known.ledger.as_ref().filter(|_| !known.has_claims());
        let refusal = match (other, ledger) {
            (Some((target, claim)), _) => self.other_origin(target, claim),
            (None, Some((Some(origin), deployment))) if !origin.is_same(self.origin) => OtherOrigin {
                by: None,
                ..self.refusal(origin, deployment)
            },
            _ => return Ok(Vec::new()),
        };
        if !self.accept_origin {
            return Err(Refusal::OtherOrigin(Box::new(refusal)));
        }
        Ok(vec![format!(
            "environment `{}` was deployed from {}; apply records {} as its new origin",
            self.bundle.environment.name, refusal.recorded, refusal.now
        )])
    }

    fn is_ours(&self, target: Option<&Text>, claim: &Claim) -> bool {
        claim.origin.is_same(self.origin) || target.is_some_and(|target| self.travels(target, claim))
    }

    /// Returns whether the claim is in a directory below the stack's own. A user who moves or copies the stack moves the claim
    /// with it, and no other stack names that directory by a relative path.
    fn travels(&self, target: &Text, claim: &Claim) -> bool {
        let Some(Target::Directory { path }) = self.bundle.targets.get(target) else {
            return false;
        };
        let below = Path::new(path.as_str()).components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        let mut recorded = claim.deployment.targets.values();
        below && recorded.any(|place| place.kind == "directory" && place.id == *path)
    }

    /// Builds the refusal for a claim that was found in a target.
    pub(crate) fn other_origin(&self, target: Option<&Text>, claim: &Claim) -> OtherOrigin {
        let shared = target.and_then(|target| {
            let place = self.now.targets.get(target)?;
            Some((
                place.shown.clone(),
                self.bundle.environment.places.get(target).cloned(),
            ))
        });
        OtherOrigin {
            by: Some((claim.who.clone(), claim.written.clone())),
            shared,
            ..self.refusal(&claim.origin, &claim.deployment)
        }
    }

    fn refusal(&self, recorded: &StackOrigin, deployment: &Deployment) -> OtherOrigin {
        OtherOrigin {
            platform: self.bundle.platform.clone(),
            environment: self.bundle.environment.name.clone(),
            recorded: recorded.clone(),
            now: self.origin.clone(),
            by: None,
            shared: None,
            deployed: deployment.targets.values().cloned().collect(),
            folder: self.folder.to_owned(),
        }
    }

    /// Refuses a plan that leaves resources behind in places that the environment named before.
    fn places(&self, known: &Remembered<'_>) -> Result<Vec<String>, Refusal> {
        let (records, notes) = self.records(known);
        let mut left: Vec<Left> = Vec::new();
        for (source, deployment) in records {
            for (name, place) in deployment.left_behind(self.now) {
                if left.iter().any(|known| known.place.is_same(place)) {
                    continue;
                }
                left.push(self.left(name, place, &deployment, &source));
            }
        }
        if left.is_empty() {
            return Ok(notes);
        }
        Err(Refusal::LostTargets(Box::new(LostTargets {
            environment: self.bundle.environment.name.clone(),
            renamed_from: None,
            left,
            named: self.named(),
            folder: self.folder.to_owned(),
        })))
    }

    /// Returns the records that count, with their names. A claim in a target of the environment overrules every other
    /// record, because each apply, destroy and forget updates it.
    fn records(&self, known: &Remembered<'_>) -> (Vec<(String, Deployment)>, Vec<String>) {
        let locked = known
            .locked(self.bundle)
            .filter(|locked| locked.platform == self.bundle.platform);
        let latest = known.claims.and_then(Claims::latest);
        if let Some((target, claim)) = latest {
            let place = self
                .now
                .targets
                .get(target)
                .map_or(target.as_str(), |place| place.shown.as_str());
            let source = format!("the claim in {place}");
            let notes = locked.map(|locked| contradicted(&locked.deployment, &claim.deployment, &source));
            return (
                vec![(source, claim.deployment.clone())],
                notes.into_iter().flatten().collect(),
            );
        }
        let mut records = Vec::new();
        for claim in known.elsewhere {
            let place = claim
                .deployment
                .state_store()
                .map_or("another region", |place| place.shown.as_str());
            records.push((format!("the claim in {place}"), claim.deployment.clone()));
        }
        let mut notes = Vec::new();
        match locked {
            Some(locked) if locked.is_of(self.origin) || self.accept_origin => {
                records.push((LOCK_SOURCE.to_owned(), locked.deployment.clone()));
            }
            Some(locked) => notes.push(format!(
                "`terrace.lock` was written for {}, but this directory is {}: Terrace ignores the file, and the next \
                 apply replaces it; if this directory was moved, add `--accept-origin`",
                locked.origin.as_deref().unwrap_or("another directory"),
                self.origin
            )),
            None => {}
        }
        if let Some((_, deployment)) = &known.ledger {
            records.push(("the ledger".to_owned(), deployment.clone()));
        }
        (records, notes)
    }

    /// Returns the places of the environment whose lines are known.
    fn named(&self) -> Vec<(Text, Location)> {
        let lines = self.bundle.environment.places.iter();
        let named = lines.filter_map(|(target, location)| {
            let place = self.now.targets.get(target)?;
            Some((place.shown.clone(), location.clone()))
        });
        named.collect()
    }

    /// Describes a place that would be left behind, as `source` records it under `name`.
    fn left(&self, name: &Text, place: &Place, recorded: &Deployment, source: &str) -> Left {
        Left {
            argument: self.argument(place, recorded),
            has_history: *name == recorded.store,
            place: place.clone(),
            source: source.to_owned(),
        }
    }

    /// Returns the argument that names a place in a command. A cluster is named by its context, unless the context now
    /// selects another cluster.
    fn argument(&self, place: &Place, recorded: &Deployment) -> Text {
        let Some(context) = &place.context else {
            return place.id.clone();
        };
        let others = self.now.targets.values().chain(recorded.targets.values());
        let mut others = others.filter(|other| !other.is_same(place));
        if others.any(|other| other.context.as_ref() == Some(context)) {
            place.id.clone()
        } else {
            context.clone()
        }
    }

    /// Reports the environments of `terrace.lock` that the stack no longer contains. If one of them is deployed to a place
    /// of this environment, and this environment has no claim, it was most likely renamed: the plan is refused.
    fn other_records(&self, known: &Remembered<'_>) -> Result<Vec<String>, Refusal> {
        let Some(lock) = known.lock else {
            return Ok(Vec::new());
        };
        let mut notes = Vec::new();
        for (name, recorded) in &lock.environments {
            let is_this = *name == self.bundle.environment.name;
            let renamed = is_this && recorded.platform != self.bundle.platform;
            let gone = !is_this && !known.environments.is_empty() && !known.environments.contains(name);
            if !(renamed || gone) || !recorded.is_of(self.origin) {
                continue;
            }
            let mut places = recorded.deployment.targets.values();
            let shares_place = places.any(|place| self.now.has(place));
            if known.has_claims() || !(renamed || shares_place) {
                notes.push(format!(
                    "environment `{name}` of platform `{}` is deployed to {} (recorded in `terrace.lock`), but this \
                     stack no longer contains it; to remove the record, run `terrace forget {} -e {name}`",
                    recorded.platform,
                    listed(recorded.deployment.targets.values().map(|place| place.shown.as_str())),
                    self.folder.display(),
                ));
                continue;
            }
            let deployment = &recorded.deployment;
            let left = deployment
                .targets
                .iter()
                .map(|(target, place)| self.left(target, place, deployment, LOCK_SOURCE));
            return Err(Refusal::LostTargets(Box::new(LostTargets {
                environment: self.bundle.environment.name.clone(),
                renamed_from: Some((recorded.platform.clone(), name.clone())),
                left: left.collect(),
                named: Vec::new(),
                folder: self.folder.to_owned(),
            })));
        }
        Ok(notes)
    }
}

impl Remembered<'_> {
    fn has_claims(&self) -> bool {
        self.claims.is_some_and(|claims| !claims.found.is_empty())
    }

    fn locked(&self, bundle: &Bundle) -> Option<&LockedEnvironment> {
        self.lock?.environments.get(&bundle.environment.name)
    }
}

/// Returns a note if `terrace.lock` names places that the live claims do not name.
fn contradicted(locked: &Deployment, live: &Deployment, source: &str) -> Option<String> {
    let places = locked.targets.values();
    let unclaimed: Vec<&str> = places
        .filter(|place| !place.components.is_empty() && !live.has(place))
        .map(|place| place.shown.as_str())
        .collect();
    (!unclaimed.is_empty()).then(|| {
        format!(
            "`terrace.lock` names {}, but {source} does not: Terrace uses the claim, and the next apply corrects the file",
            listed(unclaimed)
        )
    })
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}
