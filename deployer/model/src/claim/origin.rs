//! The directory that an environment is deployed from, under a name that every checkout of it shares.

use std::fmt;

use serde::{Deserialize, Serialize};
use terrace_artifact::Text;

/// The directory that a stack is deployed from.
///
/// The remote identifies a repository: moved checkouts, clones in CI, worktrees, `ssh` and `https` agree on it. A
/// repository without a remote is identified by its first commit, and a directory outside any repository by its host
/// and path.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StackOrigin {
    /// Host and path of the repository's remote, such as `github.com/acme/platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Text>,
    /// The first commit of a repository without a remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Text>,
    /// The stack's directory in the repository, with `/` between its parts; empty for the top directory, and where there
    /// is no repository.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub path: Text,
    /// Host and absolute directory, such as `laptop:/srv/platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Text>,
}

impl StackOrigin {
    /// Creates the origin of a directory in a repository. It is displayed as `REPOSITORY//PATH`.
    pub fn in_repository(repository: impl Into<Text>, path: impl Into<Text>) -> StackOrigin {
        StackOrigin {
            repository: Some(repository.into()),
            path: path.into(),
            ..StackOrigin::default()
        }
    }

    /// Returns the origin to record. If a remote identifies the repository, the record contains nothing about one machine.
    #[must_use]
    pub fn recorded(&self) -> StackOrigin {
        match &self.repository {
            Some(repository) => StackOrigin::in_repository(repository.clone(), self.path.clone()),
            None => self.clone(),
        }
    }

    /// Returns whether `now` is the directory that this origin was recorded for.
    ///
    /// A repository that received its remote later, and a directory that became a repository later, are recognized by
    /// their host and path.
    pub fn is_same(&self, now: &StackOrigin) -> bool {
        match (&self.repository, &now.repository) {
            // Some servers ignore case. Two repositories of one team that differ only in case are unlikely.
            (Some(recorded), Some(found)) => recorded.eq_ignore_ascii_case(found) && self.path == now.path,
            (Some(_), None) => false,
            (None, _) => {
                let same_history = self.root.is_some() && self.root == now.root && self.path == now.path;
                same_history || self.place == now.place
            }
        }
    }
}

impl fmt::Display for StackOrigin {
    /// Writes `github.com/acme/platform//stacks/lake`, `laptop:/srv/lake`, or `laptop:/srv/lake (first commit 1a2b3c4d)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repository, &self.place) {
            (Some(repository), _) => f.write_str(repository)?,
            (None, Some(place)) => f.write_str(place)?,
            (None, None) => f.write_str("an unknown directory")?,
        }
        if self.repository.is_some() && !self.path.is_empty() {
            write!(f, "//{}", self.path)?;
        }
        match &self.root {
            Some(root) if self.repository.is_none() => {
                let short: String = root.chars().take(8).collect();
                write!(f, " (first commit {short})")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(root: Option<&str>, path: &str, place: &str) -> StackOrigin {
        StackOrigin {
            root: root.map(Into::into),
            path: path.into(),
            place: Some(place.into()),
            ..StackOrigin::default()
        }
    }

    fn cloned(repository: &str, path: &str, place: &str) -> StackOrigin {
        StackOrigin {
            place: Some(place.into()),
            ..StackOrigin::in_repository(repository, path)
        }
    }

    #[test]
    fn recognizes_a_repository_with_a_remote_in_every_checkout() {
        let laptop = cloned("github.com/acme/platform", "stacks/lake", "laptop:/srv/lake");
        let runner = cloned("github.com/Acme/Platform", "stacks/lake", "runner:/builds/17");
        assert!(laptop.recorded().is_same(&runner));
        assert_eq!(laptop.recorded().place, None);
        assert_eq!(laptop.to_string(), "github.com/acme/platform//stacks/lake");
    }

    #[test]
    fn distinguishes_repositories_and_directories() {
        let here = cloned("github.com/acme/platform", "stacks/lake", "laptop:/lake");
        let fork = cloned("github.com/ben/platform", "stacks/lake", "laptop:/lake");
        let other_stack = cloned("github.com/acme/platform", "stacks/orders", "laptop:/orders");
        let no_repository = local(None, "", "laptop:/lake");
        for other in [fork, other_stack, no_repository] {
            assert!(!here.recorded().is_same(&other), "{other}");
        }
    }

    #[test]
    fn recognizes_a_moved_repository_by_its_first_commit() {
        let before = local(Some("1a2b3c4d5e"), "lake", "laptop:/srv/a/lake");
        let moved = local(Some("1a2b3c4d5e"), "lake", "laptop:/srv/b/lake");
        let other = local(Some("ffffffffff"), "lake", "laptop:/srv/c/lake");
        let other_stack = local(Some("1a2b3c4d5e"), "orders", "laptop:/srv/a/orders");
        assert!(before.recorded().is_same(&moved));
        assert!(!before.recorded().is_same(&other));
        assert!(!before.recorded().is_same(&other_stack));
        assert_eq!(before.to_string(), "laptop:/srv/a/lake (first commit 1a2b3c4d)");
    }

    #[test]
    fn recognizes_a_directory_that_became_a_repository() {
        let bare = local(None, "", "laptop:/lake");
        let committed = local(Some("1a2b3c4d5e"), "", "laptop:/lake");
        let pushed = cloned("github.com/acme/lake", "", "laptop:/lake");
        assert!(bare.recorded().is_same(&committed));
        assert!(bare.recorded().is_same(&pushed));
        assert!(committed.recorded().is_same(&pushed));
        assert!(
            !committed
                .recorded()
                .is_same(&cloned("github.com/acme/lake", "", "runner:/lake"))
        );
    }
}
