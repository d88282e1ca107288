//! Finds the file or directory that an asset's path names, and sees to it that it is one of the stack's own.

use std::collections::VecDeque;

use super::Refusal;
use crate::code::Code;
use crate::source::{Entry, EntryKind, SourceError, Sources};

/// How many symbolic links may lead to each other.
const MOST_LINKS: usize = 40;

/// What an asset's path names.
pub(super) struct Place<'p> {
    /// The parts of the path, as the stack names it.
    pub(super) asked: Vec<&'p str>,
    /// Where it is, from the stack's directory: links are followed.
    pub(super) path: String,
    /// The directory that it is delivered from: empty for the stack's own.
    pub(super) root: String,
    pub(super) kind: EntryKind,
}

/// The parts of a relative path, without `.`, and with `..` only at the beginning. Nothing for an absolute path.
pub(super) fn normalized(path: &str) -> Option<Vec<&str>> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// Finds what a path names. Links on the way are followed as long as they stay inside of the stack and of `roots`.
pub(super) fn find<'p>(sources: &dyn Sources, roots: &[String], path: &'p str) -> Result<Place<'p>, Refusal> {
    let Some(asked) = normalized(path) else {
        return Err(Refusal::new(
            Code::InvalidAsset,
            format!("the asset's path `{path}` is absolute"),
            "other machines do not have this path",
        )
        .help("write the path from the stack's directory"));
    };
    if asked.iter().all(|part| *part == "..") {
        return Err(Refusal::new(
            Code::InvalidAsset,
            format!("the asset `{path}` is the stack's directory, or one around it"),
            "this would deliver the stack itself",
        )
        .help("put what is delivered into a directory of its own, and name that"));
    }
    let mut parts: Vec<String> = Vec::new();
    let mut rest: VecDeque<String> = asked.iter().map(|part| (*part).to_owned()).collect();
    let mut kind = EntryKind::Directory;
    let mut links = 0;
    let root = root_of(roots, &asked.join("/")).ok_or_else(|| outside(path))?;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            match parts.last() {
                Some(last) if last != ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
            continue;
        }
        parts.push(part);
        // What is above a directory that the Platform names was given by the Platform, not by a link.
        let here = parts.join("/");
        if root.starts_with(&format!("{here}/")) || *root == here {
            continue;
        }
        kind = kind_of(sources, &parts).map_err(|error| super::unreadable(path, &error))?;
        if let EntryKind::Link { target } = &kind {
            links += 1;
            parts.pop();
            let leaves = target.starts_with('/') || links > MOST_LINKS;
            let next = target.split('/').filter(|part| !matches!(*part, "" | "."));
            for part in next.map(str::to_owned).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
            let whole = parts
                .iter()
                .chain(&rest)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("/");
            let inside = normalized(&whole).is_some_and(|parts| root_of(roots, &parts.join("/")).is_some());
            if leaves || !inside {
                return Err(leads_out(path, &here, target));
            }
        }
    }
    Ok(Place {
        path: parts.join("/"),
        root: root.to_owned(),
        asked,
        kind,
    })
}

/// The directory that assets of this path come from: the stack's own (empty), or one that the Platform names.
fn root_of<'r>(roots: &'r [String], path: &str) -> Option<&'r str> {
    if !path.starts_with("../") && path != ".." {
        return Some("");
    }
    let below = |root: &&String| path == root.as_str() || path.starts_with(&format!("{root}/"));
    roots.iter().find(below).map(String::as_str)
}

/// What is at a path, without following it where it is a link.
fn kind_of(sources: &dyn Sources, parts: &[String]) -> Result<EntryKind, SourceError> {
    let (name, above) = parts.split_last().ok_or(SourceError::NotFound)?;
    let entries = sources.entries(&above.join("/"))?;
    let found = entries.into_iter().find(|entry: &Entry| entry.name == *name);
    found.map(|entry| entry.kind).ok_or(SourceError::NotFound)
}

fn outside(path: &str) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("the asset `{path}` is outside of the stack"),
        "other machines may not have this path",
    )
    .help("move it into the stack's directory, or let the Platform name the directory that it is in: `assets: [../shared]`")
}

fn leads_out(path: &str, link: &str, target: &str) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("the asset `{path}` leads out of the stack"),
        format!("`{link}` is a symbolic link to `{target}`"),
    )
    .help("put a copy in the place of the link")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_in_one_way() {
        for (path, parts) in [
            ("src", "src"),
            ("./src//a/", "src/a"),
            ("src/../lib", "lib"),
            ("../shared/./x", "../shared/x"),
            ("a/../../b", "../b"),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(
                normalized(path).map(|parts| parts.join("/")).as_deref(),
                Some(parts),
                "{path}"
            );
        }
        assert_eq!(normalized("/etc"), None);
    }

    #[test]
    fn an_asset_belongs_to_the_stack_or_to_a_directory_that_is_named() {
        let roots = ["../shared".to_owned()];
        assert_eq!(root_of(&roots, "src"), Some(""));
        assert_eq!(root_of(&roots, "../shared/x"), Some("../shared"));
        assert_eq!(root_of(&roots, "../sharedness/x"), None);
        assert_eq!(root_of(&roots, ".."), None);
    }
}
