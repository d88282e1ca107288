//! The ledger: every release of an environment, append-only, each entry naming the digest of the one before.
//!
//! A release has two entries, one when it begins and one when it ends; an apply that was killed has only the first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, Bundle, Digest, Text};

use crate::backend::Identity;
use crate::failure::{Failure, FailureKind};
use crate::home::Home;
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
    /// Where it delivered.
    pub targets: BTreeMap<Text, Identity>,
    /// The digest of its bundle.
    pub bundle: Digest,
    /// How far it is.
    pub status: Status,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Addresses whose data the user agreed to lose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Address>,
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
        let mut history = History {
            next: 1,
            ..History::default()
        };
        for key in home.list("ledger/").await? {
            let Some(bytes) = home.read(&key).await? else {
                continue;
            };
            let entry: Entry = parse(&bytes, &key)?;
            let follows = entry.sequence == history.next && entry.previous == history.tip;
            if !follows && history.broken_at.is_none() {
                history.broken_at = Some(entry.sequence);
            }
            history.next = entry.sequence + 1;
            history.tip = Some(Digest::of_bytes(&bytes));
            match history
                .releases
                .iter_mut()
                .find(|release| release.id == entry.release.id)
            {
                Some(release) => *release = entry.release,
                None => history.releases.push(entry.release),
            }
        }
        Ok(history)
    }

    /// The last release.
    pub fn last(&self) -> Option<&Release> {
        self.releases.last()
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
    pub async fn standing(&self, home: &dyn Home) -> Result<Option<Bundle>, Failure> {
        let from = self
            .releases
            .iter()
            .rposition(|release| release.status == Status::Deployed);
        let mut standing: Option<Bundle> = None;
        for release in self.releases.iter().skip(from.unwrap_or(0)) {
            let Some(bundle) = read_bundle(home, &release.bundle).await? else {
                continue;
            };
            standing = Some(match standing {
                None => bundle,
                Some(before) => merge(before, bundle),
            });
        }
        Ok(standing)
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
        if !home.create(&key, &bytes).await? {
            let message = format!("`{key}` of {} exists already", home.shown());
            return Err(Failure::new(FailureKind::Stale, message)
                .hint("another apply has been recorded meanwhile, without the lock"));
        }
        self.next += 1;
        self.tip = Some(Digest::of_bytes(&bytes));
        match self.releases.iter_mut().find(|known| known.id == release.id) {
            Some(known) => *known = release.clone(),
            None => self.releases.push(release.clone()),
        }
        Ok(())
    }
}

/// Keeps a bundle by its digest.
pub(crate) async fn store_bundle(home: &dyn Home, bundle: &Bundle) -> Result<Digest, Failure> {
    let digest = bundle.digest();
    let bytes = serde_json::to_vec(bundle).map_err(|e| broken("a bundle", &e))?;
    // That it is there already is fine: it is the same.
    home.create(&bundle_key(&digest), &bytes).await?;
    Ok(digest)
}

/// A bundle by its digest.
pub(crate) async fn read_bundle(home: &dyn Home, digest: &Digest) -> Result<Option<Bundle>, Failure> {
    let key = bundle_key(digest);
    match home.read(&key).await? {
        Some(bytes) => Ok(Some(parse(&bytes, &key)?)),
        None => Ok(None),
    }
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

/// The artifacts of both; where both have one, the later's.
pub(crate) fn merge(before: Bundle, mut later: Bundle) -> Bundle {
    let only_before = before.artifacts.into_iter().filter(|artifact| {
        let known = later
            .artifacts
            .binary_search_by(|other| other.id.cmp(&artifact.id));
        known.is_err()
    });
    let only_before: Vec<_> = only_before.collect();
    later.artifacts.extend(only_before);
    later.artifacts.sort_by(|a, b| a.id.cmp(&b.id));
    for (name, target) in before.targets {
        later.targets.entry(name).or_insert(target);
    }
    later
}
