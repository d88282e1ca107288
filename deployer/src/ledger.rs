//! The ledger: every release of an environment, append-only, each entry naming the digest of the one before.
//!
//! Bundles are kept by the digest of their bytes, and verified before they are used: whoever may write to the store does not
//! decide what this environment believes it has delivered.
//!
//! A release has two entries, one when it begins and one when it ends; an apply that was killed has only the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, ArtifactId, Body, Bundle, Digest, Text};

use crate::backend::Identity;
use crate::claims::{Place, StackOrigin};
use crate::failure::{Failure, FailureKind};
use crate::home::Home;
use crate::ownership::Identities;
use crate::plan::Purpose;

/// One apply, as far as it is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// Its number within the environment, from 1.
    pub id: Text,
    /// Who.
    pub who: Text,
    /// When it began.
    pub began: Text,
    /// When it ended; absent while it runs, or when it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Text>,
    /// Platform and environment, `acme.production`.
    pub environment: Text,
    /// What it was for.
    pub purpose: Purpose,
    /// The directory that it was applied from; absent in releases of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<StackOrigin>,
    /// Where it delivered.
    pub targets: BTreeMap<Text, Identity>,
    /// The places that `terrace forget` forgot. Their resources were not changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Place>,
    /// The digest of what its bundle delivers.
    pub bundle: Digest,
    /// The digest of the bytes that its bundle is kept as, in `bundles/`. Absent where a program wrote this that kept bundles
    /// by the digest of what they deliver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Digest>,
    /// How far it is.
    pub status: Status,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Addresses whose data the user agreed to lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Address>,
    /// What it was limited to; empty when it was for the whole bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Text>,
    /// The kinds of objects that may be there while it runs and after it, as `GROUP/KIND`: those it found and those it
    /// brings. The next plan needs to look for no others. Absent where a program wrote this that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<Text>>,
    /// The digest of the physical identities of all that stood when it ended, in `identities/`. Absent while it runs, and
    /// where a program wrote this that did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Digest>,
    /// The version of the program.
    pub terrace: Text,
}

/// How far a release is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It runs, or was killed.
    Deploying,
    /// Everything settled.
    Deployed,
    /// It stopped part-way.
    Failed,
}

/// All releases of an environment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// From the first to the last.
    pub releases: Vec<Release>,
    /// The number of the first entry that does not name the one before it: somebody changed history.
    pub broken_at: Option<u64>,
    next: u64,
    tip: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sequence: u64,
    /// The digest of the bytes of the entry before; absent for the first.
    previous: Option<Digest>,
    release: Release,
}

impl History {
    /// Reads all of it.
    pub async fn read(home: &dyn Home) -> Result<History, Failure> {
        let mut history = History::empty();
        for key in home.list("ledger/").await? {
            if let Some(bytes) = home.read(&key).await? {
                history.take(&key, &bytes)?;
            }
        }
        Ok(history)
    }

    /// Reads as much of the end as the next release has to know: back to the last one that succeeded. Ledgers grow, and
    /// every plan asks for this.
    pub async fn read_end(home: &dyn Home) -> Result<History, Failure> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        let mut succeeded = false;
        for key in home.list("ledger/").await?.into_iter().rev() {
            let Some(bytes) = home.read(&key).await? else {
                continue;
            };
            let entry: Entry = parse(&bytes, &key)?;
            entries.push((key, bytes));
            // With both of its entries, so that there is something the last one has to follow from.
            match entry.release.status {
                Status::Deployed => succeeded = true,
                Status::Deploying if succeeded => break,
                Status::Deploying | Status::Failed => {}
            }
        }
        let mut history = History::empty();
        if let Some((key, bytes)) = entries.last() {
            let first: Entry = parse(bytes, key)?;
            (history.next, history.tip) = (first.sequence, first.previous);
        }
        for (key, bytes) in entries.iter().rev() {
            history.take(key, bytes)?;
        }
        Ok(history)
    }

    fn empty() -> History {
        History {
            next: 1,
            ..History::default()
        }
    }

    /// Adds the next entry.
    fn take(&mut self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let entry: Entry = parse(bytes, key)?;
        let follows = entry.sequence == self.next && entry.previous == self.tip;
        if !follows && self.broken_at.is_none() {
            self.broken_at = Some(entry.sequence);
        }
        self.next = entry.sequence + 1;
        self.tip = Some(Digest::of_bytes(bytes));
        self.know(entry.release);
        Ok(())
    }

    fn know(&mut self, release: Release) {
        match self.releases.iter_mut().find(|known| known.id == release.id) {
            Some(known) => *known = release,
            None => self.releases.push(release),
        }
    }

    /// The last release.
    pub fn last(&self) -> Option<&Release> {
        self.releases.last()
    }

    /// The kinds of objects that may be there, where all that was delivered is known to be in here.
    pub(crate) fn kinds(&self) -> Option<BTreeSet<Text>> {
        if self.releases.is_empty() || self.broken_at.is_some() {
            return None;
        }
        let each = self.releases.iter().map(|release| release.kinds.as_ref());
        let each: Option<Vec<&BTreeSet<Text>>> = each.collect();
        Some(each?.into_iter().flatten().cloned().collect())
    }

    /// The id of the next release.
    pub fn next_id(&self) -> Text {
        let last = self
            .releases
            .iter()
            .filter_map(|release| release.id.parse::<u64>().ok());
        (last.max().unwrap_or(0) + 1).to_string().into()
    }

    /// What may be there by what was delivered: the artifacts of the last release that succeeded, and of those that
    /// were tried after it.
    ///
    /// A history that somebody changed says nothing.
    pub async fn standing(&self, home: &dyn Home) -> Result<Option<Bundle>, Failure> {
        if self.broken_at.is_some() {
            return Ok(None);
        }
        let from = self
            .releases
            .iter()
            .rposition(|release| release.status == Status::Deployed);
        let mut standing: Option<Bundle> = None;
        for release in self.releases.iter().skip(from.unwrap_or(0)) {
            let Some(bundle) = read_bundle(home, release).await? else {
                continue;
            };
            standing = Some(match standing {
                None => bundle,
                Some(before) => merge(before, bundle),
            });
        }
        Ok(standing)
    }

    /// The physical identities of what stood when a release last ended. Of what a killed apply has done since, nothing is
    /// recorded: that proves itself by the evidence of our writes.
    ///
    /// A history that somebody changed proves nothing.
    pub async fn identities(&self, home: &dyn Home) -> Result<Identities, Failure> {
        if self.broken_at.is_some() {
            return Ok(Identities::default());
        }
        let mut ended = self.releases.iter().rev();
        let Some(digest) = ended.find_map(|release| release.identities.as_ref()) else {
            return Ok(Identities::default());
        };
        let ended_well = self
            .last()
            .is_some_and(|last| last.status == Status::Deployed && last.identities.as_ref() == Some(digest));
        let Some(identities) = Identities::read(home, digest).await? else {
            return Ok(Identities::default());
        };
        Ok(identities.complete(ended_well))
    }

    /// Writes what is known of a release now.
    pub async fn append(&mut self, home: &dyn Home, release: &Release) -> Result<(), Failure> {
        let entry = Entry {
            sequence: self.next,
            previous: self.tip.clone(),
            release: release.clone(),
        };
        let bytes = serde_json::to_vec(&entry).map_err(|e| broken("a release", &e))?;
        let key = format!("ledger/{:08}", self.next);
        // The answer to a first attempt may have been lost: then the entry that is there is this one.
        if !home.create(&key, &bytes).await? && home.read(&key).await?.as_ref() != Some(&bytes) {
            let message = format!("`{key}` of {} exists already", home.shown());
            return Err(Failure::new(FailureKind::Stale, message)
                .hint("another apply has been recorded meanwhile, without the lock"));
        }
        self.next += 1;
        self.tip = Some(Digest::of_bytes(&bytes));
        self.know(release.clone());
        Ok(())
    }
}

/// Keeps a bundle by the digest of its bytes, and gives that.
pub(crate) async fn store_bundle(home: &dyn Home, bundle: &Bundle) -> Result<Digest, Failure> {
    let bytes = serde_json::to_vec(bundle).map_err(|e| broken("a bundle", &e))?;
    let digest = Digest::of_bytes(&bytes);
    // That it is there already is fine: whoever reads it verifies it.
    home.create(&bundle_key(&digest), &bytes).await?;
    Ok(digest)
}

/// The bundle of a release, verified; nothing where somebody deleted it.
pub(crate) async fn read_bundle(home: &dyn Home, release: &Release) -> Result<Option<Bundle>, Failure> {
    let key = bundle_key(release.stored.as_ref().unwrap_or(&release.bundle));
    let Some(bytes) = home.read(&key).await? else {
        return Ok(None);
    };
    let is_genuine = |stored: &Digest| Digest::of_bytes(&bytes) == *stored;
    if !release.stored.as_ref().is_none_or(is_genuine) {
        return Err(tampered(home, &key));
    }
    let bundle: Bundle = parse(&bytes, &key)?;
    if bundle.digest() != release.bundle {
        return Err(tampered(home, &key));
    }
    Ok(Some(bundle))
}

fn tampered(home: &dyn Home, key: &str) -> Failure {
    let message = format!(
        "`{key}` in {} is not the bundle that the ledger names: somebody changed it",
        home.shown()
    );
    Failure::new(FailureKind::Tampered, message).hint(
        "find out who did. Without it, history is lost and nothing else: what is deployed proves itself; delete it to go on",
    )
}

fn bundle_key(digest: &Digest) -> String {
    format!("bundles/{digest}")
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], key: &str) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| broken(key, &error))
}

fn broken(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(
        FailureKind::Broken,
        format!("`{what}` of the ledger cannot be read: {error}"),
    )
    .hint("the ledger is history; what is deployed does not depend on it. Take the entry away to go on")
}

/// The kinds of objects among these artifacts, as `GROUP/KIND`.
pub(crate) fn kinds<'a>(ids: impl Iterator<Item = &'a ArtifactId>) -> BTreeSet<Text> {
    let kind = |id: &'a ArtifactId| {
        let (_, name) = id.as_str().split_once(':')?;
        let (group, rest) = name.split_once('/')?;
        let (kind, _) = rest.split_once('/')?;
        Some(format!("{group}/{kind}").into())
    };
    ids.filter_map(kind).collect()
}

/// The artifacts of both; where both have one, the later's. A CloudFormation stack keeps the members that the earlier one has
/// besides: an update may have failed, and taken itself back.
pub(crate) fn merge(before: Bundle, mut later: Bundle) -> Bundle {
    let mut only_before = Vec::new();
    for artifact in before.artifacts {
        let found = later
            .artifacts
            .binary_search_by(|other| other.id.cmp(&artifact.id));
        let Ok(at) = found else {
            only_before.push(artifact);
            continue;
        };
        if let (Body::Stack(stack), Body::Stack(before)) = (&mut later.artifacts[at].body, artifact.body) {
            for (logical_id, member) in before.members {
                stack.members.entry(logical_id).or_insert(member);
            }
        }
    }
    later.artifacts.extend(only_before);
    later.artifacts.sort_by(|a, b| a.id.cmp(&b.id));
    for (name, target) in before.targets {
        later.targets.entry(name).or_insert(target);
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::DirectoryHome;

    fn release(id: u32, status: Status) -> Release {
        Release {
            id: id.to_string().into(),
            who: "ana".into(),
            began: "2026-11-21T03:30:45Z".into(),
            ended: None,
            environment: "acme.development".into(),
            purpose: Purpose::Apply,
            origin: None,
            targets: BTreeMap::new(),
            forgotten: Vec::new(),
            bundle: Digest::of_bytes(b""),
            stored: None,
            status,
            error: None,
            approvals: Vec::new(),
            only: Vec::new(),
            kinds: None,
            identities: None,
            terrace: "0.1.0".into(),
        }
    }

    /// The end says the same about what comes next as all of it does.
    #[tokio::test]
    async fn the_end_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let home = DirectoryHome {
            folder: folder.path().to_owned(),
        };
        let mut written = History::read(&home).await.unwrap();
        assert_eq!(written, History::read_end(&home).await.unwrap());
        assert_eq!(written.next_id(), "1");
        for (id, end) in [
            (1, Some(Status::Deployed)),
            (2, Some(Status::Failed)),
            (3, Some(Status::Deployed)),
            (4, None),
            (5, Some(Status::Failed)),
        ] {
            written
                .append(&home, &release(id, Status::Deploying))
                .await
                .unwrap();
            if let Some(end) = end {
                written.append(&home, &release(id, end)).await.unwrap();
            }
            let all = History::read(&home).await.unwrap();
            assert_eq!(all, written);
            let end = History::read_end(&home).await.unwrap();
            assert_eq!(end.broken_at, None);
            assert_eq!((end.next, &end.tip, end.last()), (all.next, &all.tip, all.last()));
            assert_eq!(end.next_id(), all.next_id());
        }
        let end = History::read_end(&home).await.unwrap();
        let ids: Vec<_> = end.releases.iter().map(|release| release.id.as_str()).collect();
        assert_eq!(ids, ["3", "4", "5"]);

        // The entry is there already: it is never overwritten. Where it is the very same, a first attempt has written it.
        let mut late = History::read(&home).await.unwrap();
        let mut again = late.clone();
        let mine = release(6, Status::Deploying);
        written.append(&home, &mine).await.unwrap();
        again.append(&home, &mine).await.unwrap();
        assert_eq!(again, written);
        let other = Release {
            who: "ben".into(),
            ..mine
        };
        let failure = late.append(&home, &other).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Stale);
    }
}
