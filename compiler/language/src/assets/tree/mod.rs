//! Reads a directory that will be packed, without excluded files, and rejects files that cannot be delivered.
//!
//! Files keep their content and their executable bit. Links stay links and may lead only to packed files. Empty directories are kept. Excluded
//! files are on [a short list](excluded::ALWAYS) or in a `.terraceignore`, and are reported.

mod excluded;
mod links;

use std::collections::BTreeMap;

use rayon::prelude::*;
use terrace_artifact::Digest;
use terrace_syntax::code::Code;
use terrace_syntax::source::{Entry, EntryKind, SourceError, Sources};

use super::archive::{self, Content};
use super::{LARGEST, Leak, Packed, Refusal, leaks, most_reported, too_large, unreadable};
use excluded::Exclusions;

/// The maximum number of files of a zip archive without extensions.
const MOST_FILES: usize = 65_535;

/// The contents of a directory.
pub(super) struct Tree {
    entries: BTreeMap<String, Content>,
    excluded: Vec<(String, String)>,
    alike: Vec<(String, String)>,
    leaks: Vec<Leak>,
}

/// Reads the directory `base`, which the stack names `asset`. `root` is the directory of the stack that it belongs to: a
/// `.terraceignore` anywhere between the two counts.
pub(super) fn pack(sources: &dyn Sources, base: &str, root: &str, asset: &str) -> Result<Tree, Vec<Refusal>> {
    let mut walk = Walk {
        sources,
        base,
        asset,
        exclusions: Exclusions::default(),
        found: BTreeMap::new(),
        excluded: Vec::new(),
        alike: Vec::new(),
        refusals: Vec::new(),
        bytes: 0,
    };
    for directory in around(base, root) {
        walk.exclusions_of(&directory);
    }
    walk.directory("");
    links::check(&walk.found, asset, &mut walk.refusals);
    if !walk.refusals.is_empty() {
        return Err(most_reported(walk.refusals));
    }
    walk.read()
}

/// Returns the directories from `root` to the parent of `base`.
fn around(base: &str, root: &str) -> Vec<String> {
    let below = base.strip_prefix(root).unwrap_or(base).trim_start_matches('/');
    let ends = below.match_indices('/').map(|(at, _)| &below[..at]);
    let inner = ends.map(|inner| joined(root, inner));
    let all = std::iter::once(root.to_owned()).chain(inner);
    all.filter(|directory| directory != base).collect()
}

/// Joins two paths. Either may be empty.
fn joined(above: &str, below: &str) -> String {
    match (above, below) {
        ("", path) | (path, "") => path.to_owned(),
        (above, below) => format!("{above}/{below}"),
    }
}

/// An entry of the asset before it is read.
enum AssetEntry {
    File { executable: bool },
    Link { target: String },
    Directory,
}

struct Walk<'s> {
    sources: &'s dyn Sources,
    base: &'s str,
    asset: &'s str,
    exclusions: Exclusions,
    /// The entries by path relative to the directory of the asset.
    found: BTreeMap<String, AssetEntry>,
    excluded: Vec<(String, String)>,
    alike: Vec<(String, String)>,
    refusals: Vec<Refusal>,
    bytes: u64,
}

impl Walk<'_> {
    /// Adds the rules of the `.terraceignore` of a directory, if it has one.
    fn exclusions_of(&mut self, directory: &str) {
        let path = joined(directory, excluded::FILE);
        match self.sources.read(&path) {
            Ok(bytes) => self.exclusions.add(directory, &path, &bytes, &mut self.refusals),
            Err(SourceError::NotFound) => {}
            Err(error) => self.refusals.push(unreadable(&path, &error)),
        }
    }

    /// Adds the entries of a directory of the asset. Returns whether the directory is packed: one of its entries is, or it is empty.
    fn directory(&mut self, inner: &str) -> bool {
        let directory = joined(self.base, inner);
        let entries = match self.sources.entries(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                self.refusals.push(unreadable(&directory, &error));
                return true;
            }
        };
        if entries.iter().any(|entry| entry.name == excluded::FILE) {
            self.exclusions_of(&directory);
        }
        let empty = entries.is_empty();
        let mut packed = Vec::new();
        for entry in entries {
            let path = joined(inner, &entry.name);
            if self.is_excluded(&path, &entry) {
                continue;
            }
            let name = entry.name.clone();
            if self.entry(path, entry) {
                packed.push(name);
            }
        }
        self.find_alike(inner, &packed);
        self.exclusions.leave(&directory);
        empty || !packed.is_empty()
    }

    fn is_excluded(&mut self, path: &str, entry: &Entry) -> bool {
        let directory = entry.kind == EntryKind::Directory;
        let whole = joined(self.base, path);
        let Some(rule) = self.exclusions.of(&whole, directory) else {
            return false;
        };
        if entry.name != excluded::FILE {
            let slash = if directory { "/" } else { "" };
            self.excluded.push((format!("{path}{slash}"), rule));
        }
        true
    }

    /// Adds one entry. Returns whether it is packed.
    fn entry(&mut self, path: String, entry: Entry) -> bool {
        if self.found.len() >= MOST_FILES || self.bytes > LARGEST {
            return true;
        }
        let found = match entry.kind {
            EntryKind::Directory => {
                let packed = self.directory(&path);
                if packed {
                    self.found.insert(path, AssetEntry::Directory);
                }
                return packed;
            }
            EntryKind::File { executable, bytes } => {
                self.bytes += bytes;
                AssetEntry::File { executable }
            }
            EntryKind::Link { target } => AssetEntry::Link { target },
            EntryKind::Other(_) => {
                let refusal = super::special(&joined(self.asset, &path), &entry.kind);
                self.refusals.push(self.or_exclude(refusal, &path));
                return true;
            }
        };
        self.found.insert(path, found);
        if self.bytes > LARGEST {
            self.refusals.push(too_large(self.asset, self.bytes));
        } else if self.found.len() == MOST_FILES {
            self.refusals.push(Refusal::new(
                Code::AssetTooLarge,
                format!("the asset `{}` has more than {MOST_FILES} files", self.asset),
                "a zip archive cannot list more",
            ));
        }
        true
    }

    /// Adds a help with the line that excludes a path.
    fn or_exclude(&self, refusal: Refusal, path: &str) -> Refusal {
        refusal.help(format!(
            "remove it, or exclude it with the line `/{path}` in `{}`",
            joined(self.asset, excluded::FILE)
        ))
    }

    /// Collects names in a directory that are equal on file systems which ignore case.
    fn find_alike(&mut self, inner: &str, names: &[String]) {
        let mut seen: BTreeMap<String, &String> = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.insert(name.to_lowercase(), name) {
                self.alike.push((joined(inner, first), joined(inner, name)));
            }
        }
    }

    /// Reads the contents of the files.
    fn read(self) -> Result<Tree, Vec<Refusal>> {
        let (sources, base) = (self.sources, self.base);
        let content = |(path, found): (String, AssetEntry)| {
            let content = match found {
                AssetEntry::Directory => Content::Directory,
                AssetEntry::Link { target } => Content::Link(target),
                AssetEntry::File { executable } => {
                    let whole = joined(base, &path);
                    let bytes = sources.read(&whole).map_err(|error| unreadable(&whole, &error))?;
                    Content::File { bytes, executable }
                }
            };
            Ok((path, content))
        };
        let read: Vec<Result<(String, Content), Refusal>> = self.found.into_par_iter().map(content).collect();
        let (read, failed): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        let failed: Vec<Refusal> = failed.into_iter().filter_map(Result::err).collect();
        if !failed.is_empty() {
            return Err(most_reported(failed));
        }
        let entries: BTreeMap<String, Content> = read.into_iter().flatten().collect();
        let file = |(path, content): (&String, &Content)| match content {
            Content::File { bytes, .. } => leaks::in_file(path, bytes),
            _ => None,
        };
        let leaks = entries.par_iter().filter_map(file).collect();
        Ok(Tree {
            leaks,
            entries,
            excluded: self.excluded,
            alike: self.alike,
        })
    }
}

impl Tree {
    /// Packs the directory into a zip archive. `name` is the last part of its path.
    pub(super) fn packed(self, name: &str) -> Packed {
        let bytes = archive::write(&self.entries);
        let digest = Digest::of_bytes(&bytes);
        Packed {
            key: format!("assets/{digest}/{name}.zip").into(),
            digest,
            bytes,
            directory: true,
            unpacked: Some(self.entries.values().map(Content::len).sum()),
            excluded: self.excluded,
            alike: self.alike,
            leaks: self.leaks,
        }
    }
}

#[cfg(test)]
mod tests;
