//! Tests with repositories that git creates.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const REMOTE: &str = "https://github.com/acme/platform.git";

/// A temporary directory outside any repository.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "terrace-origin-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Directory(fs::canonicalize(path).unwrap())
    }

    /// Creates a repository with a stack in `stacks/lake` and one commit.
    fn with_repository() -> (Directory, PathBuf) {
        let directory = Directory::new();
        let repository = directory.0.join("platform");
        fs::create_dir_all(repository.join("stacks/lake")).unwrap();
        fs::write(repository.join("stacks/lake/platform.yaml"), "").unwrap();
        git(
            &directory.0,
            &["init", "--quiet", "--initial-branch=main", "platform"],
        );
        commit(&repository);
        (directory, repository)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    let identity = [
        "-c",
        "user.name=ana",
        "-c",
        "user.email=ana@acme.example",
        "-c",
        "protocol.file.allow=always",
    ];
    let output = command
        .current_dir(folder)
        .args(identity)
        .args(arguments)
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn commit(repository: &Path) {
    git(repository, &["add", "."]);
    git(
        repository,
        &["commit", "--quiet", "--allow-empty", "--message=one"],
    );
}

fn origin(folder: &Path) -> StackOrigin {
    of(folder).unwrap_or_else(|problem| panic!("{problem:?}"))
}

#[test]
fn finds_the_repository_of_worktrees_shallow_clones_and_links() {
    let (directory, repository) = Directory::with_repository();
    commit(&repository);
    let stack = |checkout: &str| origin(&directory.0.join(checkout).join("stacks/lake"));
    git(
        &directory.0,
        &[
            "clone",
            "--quiet",
            "--depth=1",
            "--no-local",
            "platform",
            "shallow",
        ],
    );
    let without_history = stack("shallow");
    assert_eq!((without_history.repository, without_history.root), (None, None));

    for checkout in ["platform", "shallow"] {
        let at = directory.0.join(checkout);
        if checkout == "platform" {
            git(&at, &["remote", "add", "origin", REMOTE]);
        } else {
            git(
                &at,
                &["remote", "set-url", "origin", "git@github.com:acme/platform"],
            );
        }
    }
    git(&repository, &["worktree", "add", "--quiet", "../worktree"]);
    symlink(repository.join("stacks/lake"), directory.0.join("link")).unwrap();
    let expected = origin(&repository.join("stacks/lake"));
    assert_eq!(expected.to_string(), "github.com/acme/platform//stacks/lake");
    for checkout in ["shallow", "worktree"] {
        assert!(expected.recorded().is_same(&stack(checkout)), "{checkout}");
    }
    assert_eq!(origin(&directory.0.join("link")), expected);
    assert_eq!(origin(&repository).to_string(), "github.com/acme/platform");
}

#[test]
fn identifies_a_repository_without_a_remote_by_its_first_commit() {
    let (directory, repository) = Directory::with_repository();
    let before = origin(&repository.join("stacks/lake"));
    assert_eq!(before.root.as_ref().map(|root| root.len()), Some(40));
    commit(&repository);
    git(&directory.0, &["clone", "--quiet", "platform", "clone"]);
    let moved = directory.0.join("moved");
    fs::rename(&repository, &moved).unwrap();
    for checkout in ["moved", "clone"] {
        let now = origin(&directory.0.join(checkout).join("stacks/lake"));
        assert_eq!(now.root, before.root);
        assert!(before.recorded().is_same(&now), "{checkout}: {now}");
    }
    let (_other, repository) = Directory::with_repository();
    git(&repository, &["commit", "--quiet", "--amend", "--message=other"]);
    assert!(
        !before
            .recorded()
            .is_same(&origin(&repository.join("stacks/lake")))
    );
}

#[test]
fn identifies_a_directory_without_a_repository_or_a_commit_by_its_path() {
    let directory = Directory::new();
    let bare = origin(&directory.0);
    assert_eq!((&bare.repository, &bare.root), (&None, &None));
    assert!(
        bare.to_string().ends_with(&directory.0.display().to_string()),
        "{bare}"
    );
    git(&directory.0, &["init", "--quiet"]);
    let begun = origin(&directory.0);
    assert_eq!(begun.root, None);
    assert!(bare.recorded().is_same(&begun));
    git(&directory.0, &["remote", "add", "origin", REMOTE]);
    assert!(begun.recorded().is_same(&origin(&directory.0)));
}

#[test]
fn prefers_the_remote_origin_and_ignores_local_paths() {
    let (directory, repository) = Directory::with_repository();
    git(&repository, &["remote", "add", "backup", "/srv/git/platform"]);
    assert_eq!(origin(&repository).repository, None);
    git(
        &repository,
        &["remote", "add", "zulu", "https://github.com/zulu/platform"],
    );
    git(
        &repository,
        &["remote", "add", "acme", "https://github.com/alpha/platform"],
    );
    assert_eq!(origin(&repository).to_string(), "github.com/alpha/platform");
    git(&repository, &["remote", "add", "origin", REMOTE]);
    assert_eq!(origin(&repository).to_string(), "github.com/acme/platform");

    // A submodule is a separate repository. `insteadOf` is replaced before the name is derived.
    let around = directory.0.join("around");
    git(&directory.0, &["init", "--quiet", "around"]);
    let url = repository.display().to_string();
    git(&around, &["submodule", "--quiet", "add", &url, "vendored"]);
    let inner = around.join("vendored");
    git(&inner, &["remote", "set-url", "origin", "gh:acme/platform"]);
    git(&inner, &["config", "url.git@github.com:.insteadOf", "gh:"]);
    assert_eq!(
        origin(&inner.join("stacks/lake")).to_string(),
        "github.com/acme/platform//stacks/lake"
    );
}

#[test]
fn parses_a_stated_origin_in_the_shown_form() {
    for (stated, shown) in [
        ("github.com/acme/platform", "github.com/acme/platform"),
        (
            "github.com/acme/platform//stacks/lake/",
            "github.com/acme/platform//stacks/lake",
        ),
        (
            "https://ana:hunter2@github.com/acme/platform.git//stacks/lake",
            "github.com/acme/platform//stacks/lake",
        ),
        (
            "git@github.com:acme/platform//stacks/lake",
            "github.com/acme/platform//stacks/lake",
        ),
    ] {
        let origin = stated_origin(stated).unwrap_or_else(|problem| panic!("{stated}: {problem:?}"));
        assert_eq!(origin.to_string(), shown);
    }
    for stated in ["platform", "/srv/git/platform", "//stacks/lake", "https://"] {
        assert!(stated_origin(stated).is_err(), "{stated}");
    }
}
