//! The origin of a stack's directory, read from git's files without running git.

use std::fs;
use std::path::{Path, PathBuf};

use gix::discover::upwards;
use gix::remote::Direction;
use terrace_deployer::StackOrigin;

use crate::console::{host, variable};
use crate::problem::Problem;

mod remote;

/// The variable that states the origin if git cannot: in a container without `.git`, or in a fork that deploys for its
/// parent.
pub(crate) const VARIABLE: &str = "TERRACE_ORIGIN";

/// Returns the origin of a stack's directory.
///
/// Every checkout of a repository has the same origin: symbolic links are resolved first, and a remote of the enclosing
/// repository identifies it. The remote `origin` is preferred. Terrace executes nothing in git's files, so the owner of
/// the files does not matter.
pub(crate) fn of(folder: &Path) -> Result<StackOrigin, Problem> {
    if let Some(stated) = variable(VARIABLE) {
        return stated_origin(&stated);
    }
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Ok(in_repository(&folder).unwrap_or_else(|| StackOrigin {
        place: Some(place(&folder)),
        ..StackOrigin::default()
    }))
}

/// Parses an origin such as `github.com/acme/platform//stacks/lake`. The repository can also be given as a URL.
fn stated_origin(text: &str) -> Result<StackOrigin, Problem> {
    // The `//` after the scheme of a URL is not the separator.
    let from = text.find("://").map_or(0, |at| at + 3);
    let (repository, path) = match text[from..].find("//") {
        Some(at) => (&text[..from + at], &text[from + at + 2..]),
        None => (text, ""),
    };
    let url = if from == 0 && !repository.contains(':') {
        format!("https://{repository}")
    } else {
        repository.to_owned()
    };
    let repository = gix::url::parse(url.as_str())
        .ok()
        .and_then(|url| remote::name(&url));
    let repository = repository.ok_or_else(|| {
        Problem::new(format!("the value of `{VARIABLE}` is not a repository"))
            .help("write `HOST/REPOSITORY//DIRECTORY`, such as `github.com/acme/platform//stacks/lake`")
    })?;
    Ok(StackOrigin::in_repository(repository, path.trim_matches('/')))
}

/// Returns the origin of a directory in a repository with a working tree.
fn in_repository(folder: &Path) -> Option<StackOrigin> {
    let options = upwards::Options {
        trust: upwards::TrustPolicy::Assume(gix::sec::Trust::Full),
        // A ceiling that is not above this directory does not matter, as for git itself.
        match_ceiling_dir_or_error: false,
        ..upwards::Options::default()
    };
    let options = options.apply_environment();
    let repository =
        gix::ThreadSafeRepository::discover_opts(folder, options, gix::sec::trust::Mapping::default());
    let repository = repository.ok()?.to_thread_local();
    let top = fs::canonicalize(repository.workdir()?).ok()?;
    let inside: Vec<String> = folder
        .strip_prefix(&top)
        .ok()?
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let remote = remote_of(&repository);
    Some(StackOrigin {
        root: if remote.is_none() {
            first_commit(&repository).map(Into::into)
        } else {
            None
        },
        repository: remote.map(Into::into),
        path: inside.join("/").into(),
        place: Some(place(folder)),
    })
}

/// Returns the name of the repository's remote: `origin`, or the first one by name that is not a local path.
fn remote_of(repository: &gix::Repository) -> Option<String> {
    let mut names: Vec<String> = repository
        .remote_names()
        .iter()
        .map(|name| name.to_string())
        .collect();
    names.sort_by_key(|name| (name != "origin", name.clone()));
    names.iter().find_map(|name| {
        let remote = repository.try_find_remote(name.as_str())?.ok()?;
        remote::name(remote.url(Direction::Fetch)?)
    })
}

/// Returns the root commit of the first parents of `HEAD`. A shallow clone does not have it.
fn first_commit(repository: &gix::Repository) -> Option<String> {
    let head = repository.head_id().ok()?;
    let mut last = None;
    for commit in head.ancestors().first_parent_only().all().ok()? {
        last = Some(commit.ok()?.id);
    }
    let last = last?;
    let cut_off = repository.shallow_commits().ok()?;
    let is_cut_off = cut_off.is_some_and(|commits| commits.contains(&last));
    (!is_cut_off).then(|| last.to_string())
}

/// Returns host and path, such as `laptop:/srv/lake`.
fn place(folder: &Path) -> terrace_artifact::Text {
    let absolute: PathBuf = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    format!("{}:{}", host().unwrap_or_default(), absolute.display()).into()
}

#[cfg(test)]
mod tests;
