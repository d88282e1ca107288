//! The ledger: an append-only list of the releases of an environment. Each entry contains the digest of the previous
//! one.
//!
//! Bundles are stored under the digest of their bytes and verified before use. A user with write access to the store
//! therefore cannot change the recorded contents of a release.
//!
//! A release has two entries, one at its start and one at its end. An interrupted apply leaves only the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, ArtifactId, Body, Bundle, Digest, Text};
use terrace_deployer_model::claim::{Place, StackOrigin};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::live::Identity;
use terrace_deployer_model::plan::Purpose;
use terrace_deployer_model::state_store::StateStore;

/// One apply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The number within the environment, from 1.
    pub id: Text,
    /// The user.
    pub who: Text,
    /// The start time.
    pub began: Text,
    /// The end time; absent while it runs, or if it was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Text>,
    /// Platform and environment, `acme.production`.
    pub environment: Text,
    /// The purpose.
    pub purpose: Purpose,
    /// The directory that it was applied from; absent in releases of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<StackOrigin>,
    /// The targets.
    pub targets: BTreeMap<Text, Identity>,
    /// The places that `terrace forget` forgot. Their resources were not changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Place>,
    /// The digest of the contents of its bundle.
    pub bundle: Digest,
    /// The digest of the bytes under which its bundle is stored, in `bundles/`. Absent in releases of old versions,
    /// which stored bundles under the digest of their contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Digest>,
    /// The progress.
    pub status: Status,
    /// The error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Addresses whose loss the user approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Address>,
    /// The arguments of `--only`; empty for the whole bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Text>,
    /// The kinds of objects that may exist during and after the release, as `GROUP/KIND`: those it found and those it
    /// creates. The next plan reads no other kinds. Absent in releases of old versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<Text>>,
    /// The digest of the physical identities of all artifacts at its end, in `identities/`. Absent while it runs, and
    /// in releases of old versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Digest>,
    /// The version of the program.
    pub terrace: Text,
}

/// The progress of a release.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is running, or was interrupted.
    Deploying,
    /// Everything is ready.
    Deployed,
    /// It ended before all steps were complete.
    Failed,
}

/// All releases of an environment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// From first to last.
    pub releases: Vec<Release>,
    /// The number of the first entry that does not contain the digest of the previous one: the history was changed.
    pub broken_at: Option<u64>,
    next: u64,
    tip: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sequence: u64,
    /// The digest of the bytes of the previous entry; absent for the first.
    previous: Option<Digest>,
    release: Release,
}

impl History {
    /// Reads the whole ledger.
    pub async fn read(home: &dyn StateStore) -> Result<History, Failure> {
        let mut history = History::empty();
        for key in home.list("ledger/").await? {
            if let Some(bytes) = home.read(&key).await? {
                history.take(home, &key, &bytes)?;
            }
        }
        Ok(history)
    }

    /// Reads the entries that the next release needs: back to the last successful release. Ledgers grow, and every plan
    /// reads them.
    pub async fn read_end(home: &dyn StateStore) -> Result<History, Failure> {
        let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
        let mut succeeded = false;
        for key in home.list("ledger/").await?.into_iter().rev() {
            let Some(bytes) = home.read(&key).await? else {
                continue;
            };
            let entry: Entry = parse(home, &bytes, &key)?;
            entries.push((key, bytes));
            // Includes both entries of that release, so that the digest of the last one can be verified.
            match entry.release.status {
                Status::Deployed => succeeded = true,
                Status::Deploying if succeeded => break,
                Status::Deploying | Status::Failed => {}
            }
        }
        let mut history = History::empty();
        if let Some((key, bytes)) = entries.last() {
            let first: Entry = parse(home, bytes, key)?;
            (history.next, history.tip) = (first.sequence, first.previous);
        }
        for (key, bytes) in entries.iter().rev() {
            history.take(home, key, bytes)?;
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
    fn take(&mut self, home: &dyn StateStore, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let entry: Entry = parse(home, bytes, key)?;
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

    /// Returns the last release.
    pub fn last(&self) -> Option<&Release> {
        self.releases.last()
    }

    /// Returns the kinds of objects that may exist, if all releases recorded them.
    pub(crate) fn kinds(&self) -> Option<BTreeSet<Text>> {
        if self.releases.is_empty() || self.broken_at.is_some() {
            return None;
        }
        let each = self.releases.iter().map(|release| release.kinds.as_ref());
        let each: Option<Vec<&BTreeSet<Text>>> = each.collect();
        Some(each?.into_iter().flatten().cloned().collect())
    }

    /// Returns the id of the next release.
    pub fn next_id(&self) -> Text {
        let last = self
            .releases
            .iter()
            .filter_map(|release| release.id.parse::<u64>().ok());
        (last.max().unwrap_or(0) + 1).to_string().into()
    }

    /// Returns the artifacts that may exist: those of the last successful release, and of the releases after it.
    ///
    /// Returns `None` if the history was changed.
    pub async fn standing(&self, home: &dyn StateStore) -> Result<Option<Bundle>, Failure> {
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

    /// Returns the physical identities that the last ended release recorded. The changes of an interrupted apply since
    /// are not recorded; they are proven by the evidence of our writes.
    ///
    /// Returns no identities if the history was changed.
    pub async fn identities(&self, home: &dyn StateStore) -> Result<Identities, Failure> {
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

    /// Appends an entry with the current state of a release.
    pub async fn append(&mut self, home: &dyn StateStore, release: &Release) -> Result<(), Failure> {
        let entry = Entry {
            sequence: self.next,
            previous: self.tip.clone(),
            release: release.clone(),
        };
        let bytes = serde_json::to_vec(&entry).map_err(|e| not_encoded("release", &e))?;
        let key = format!("ledger/{:08}", self.next);
        // The answer to a first attempt may have been lost. Then the existing entry is identical.
        if !home.create(&key, &bytes).await? {
            let existing = home.read(&key).await?;
            if existing.as_ref() != Some(&bytes) {
                return Err(taken(home, &key, existing.as_deref()));
            }
        }
        self.next += 1;
        self.tip = Some(Digest::of_bytes(&bytes));
        self.know(release.clone());
        Ok(())
    }
}

/// Returns the failure of an entry that another apply wrote first. Names that apply, if the entry can be read.
fn taken(home: &dyn StateStore, key: &str, existing: Option<&[u8]>) -> Failure {
    let mut message = format!("ledger entry `{key}` in {} exists already", home.shown());
    if let Some(entry) = existing.and_then(|bytes| serde_json::from_slice::<Entry>(bytes).ok()) {
        let Release { id, who, began, .. } = entry.release;
        let _ = write!(
            message,
            ": {who} wrote it for release {id}, which began at {began}"
        );
    }
    Failure::new(FailureKind::Stale, message).hint("another apply wrote the entry without holding the lock")
}

/// Stores a bundle under the digest of its bytes and returns that digest.
pub(crate) async fn store_bundle(home: &dyn StateStore, bundle: &Bundle) -> Result<Digest, Failure> {
    let bytes = serde_json::to_vec(bundle).map_err(|e| not_encoded("bundle", &e))?;
    let digest = Digest::of_bytes(&bytes);
    // An existing value is fine: reading verifies it.
    home.create(&bundle_key(&digest), &bytes).await?;
    Ok(digest)
}

/// Reads and verifies the bundle of a release; `None` if it was deleted.
pub(crate) async fn read_bundle(home: &dyn StateStore, release: &Release) -> Result<Option<Bundle>, Failure> {
    let key = bundle_key(release.stored.as_ref().unwrap_or(&release.bundle));
    let Some(bytes) = home.read(&key).await? else {
        return Ok(None);
    };
    let is_genuine = |stored: &Digest| Digest::of_bytes(&bytes) == *stored;
    if !release.stored.as_ref().is_none_or(is_genuine) {
        return Err(tampered(home, &key));
    }
    let bundle: Bundle = parse(home, &bytes, &key)?;
    if bundle.digest() != release.bundle {
        return Err(tampered(home, &key));
    }
    Ok(Some(bundle))
}

fn tampered(home: &dyn StateStore, key: &str) -> Failure {
    let message = format!(
        "`{key}` in {} does not match its digest in the ledger: it was changed after the release",
        home.shown()
    );
    Failure::new(FailureKind::Tampered, message).hint(format!(
        "find out who changed it, then delete it to continue: only history is lost, and Terrace still recognizes its deployed \
         resources\n{}",
        home.delete_command(key)
    ))
}

fn bundle_key(digest: &Digest) -> String {
    format!("bundles/{digest}")
}

fn parse<T: serde::de::DeserializeOwned>(
    home: &dyn StateStore,
    bytes: &[u8],
    key: &str,
) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("`{key}` in {} cannot be read: {error}", home.shown());
        Failure::new(FailureKind::Broken, message).hint(format!(
            "delete it to continue: the ledger is a history, and the deployed resources do not depend on it\n{}",
            home.delete_command(key)
        ))
    })
}

fn not_encoded(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(
        FailureKind::Broken,
        format!("a {what} cannot be encoded as JSON: {error}"),
    )
}

/// Returns the kinds of objects among these artifacts, as `GROUP/KIND`.
pub(crate) fn kinds<'a>(ids: impl Iterator<Item = &'a ArtifactId>) -> BTreeSet<Text> {
    let kind = |id: &'a ArtifactId| {
        let (_, name) = id.as_str().split_once(':')?;
        let (group, rest) = name.split_once('/')?;
        let (kind, _) = rest.split_once('/')?;
        Some(format!("{group}/{kind}").into())
    };
    ids.filter_map(kind).collect()
}

/// Merges the artifacts of two bundles. The later bundle takes precedence. A CloudFormation stack keeps the additional
/// members of the earlier bundle, because an update may have been rolled back.
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
    use terrace_deployer_directory::DirectoryStateStore;

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

    /// Reading only the end gives the same information about the next release as reading everything.
    #[tokio::test]
    async fn reading_the_end_gives_the_same_next_release() {
        let folder = tempfile::tempdir().unwrap();
        let home = DirectoryStateStore {
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

        // An existing entry is never overwritten. An identical entry comes from an earlier attempt.
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

    #[tokio::test]
    async fn stores_identities_under_their_digest() {
        let folder = tempfile::tempdir().unwrap();
        let home = DirectoryStateStore {
            folder: folder.path().to_owned(),
        };
        let mut identities = Identities::default();
        identities.insert(&ArtifactId::stack("aws", "acme"), &"arn".into(), false);
        let digest = identities.store(&home).await.unwrap();
        assert_eq!(identities.store(&home).await.unwrap(), digest);
        assert_eq!(Identities::read(&home, &digest).await.unwrap(), Some(identities));
        let unknown = Digest::of_bytes(b"unknown");
        assert_eq!(Identities::read(&home, &unknown).await.unwrap(), None);
    }
}
