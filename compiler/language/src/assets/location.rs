//! Finds the file or directory of an asset's path, and checks that it is inside the stack or a directory that the Platform lists.

use std::collections::VecDeque;

use terrace_syntax::code::Code;
use terrace_syntax::source::{Entry, EntryKind, SourceError, Sources};

use super::Refusal;

/// The maximum number of symbolic links in a chain.
const MOST_LINKS: usize = 40;

/// The location of an asset.
pub(super) struct AssetLocation<'p> {
    /// The parts of the path in the stack.
    pub(super) asked: Vec<&'p str>,
    /// The path relative to the stack's directory, with links resolved.
    pub(super) path: String,
    /// The directory that contains the asset: empty for that of the stack.
    pub(super) root: String,
    pub(super) kind: EntryKind,
}

/// Returns the parts of a relative path, without `.`, and with `..` only at the beginning. Returns `None` for an absolute path.
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

/// Finds the location of a path. Follows links as long as they stay inside the stack and `roots`.
pub(super) fn find<'p>(
    sources: &dyn Sources,
    roots: &[String],
    path: &'p str,
) -> Result<AssetLocation<'p>, Refusal> {
    let Some(asked) = normalized(path) else {
        return Err(Refusal::new(
            Code::InvalidAsset,
            format!("the path of the asset `{path}` is absolute"),
            "other machines might not have this path",
        )
        .help("write the path relative to the directory of the stack"));
    };
    if asked.iter().all(|part| *part == "..") {
        return Err(Refusal::new(
            Code::InvalidAsset,
            format!("the asset `{path}` is the directory of the stack or a parent of it"),
            "would contain the stack itself",
        )
        .help("move the files to a separate directory, and name that directory"));
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
        // The parents of a directory that the Platform lists come from the Platform, not from a link.
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
    Ok(AssetLocation {
        path: parts.join("/"),
        root: root.to_owned(),
        asked,
        kind,
    })
}

/// Returns the directory that contains a path: that of the stack (empty), or one that the Platform lists.
fn root_of<'r>(roots: &'r [String], path: &str) -> Option<&'r str> {
    if !path.starts_with("../") && path != ".." {
        return Some("");
    }
    let below = |root: &&String| path == root.as_str() || path.starts_with(&format!("{root}/"));
    roots.iter().find(below).map(String::as_str)
}

/// Returns the kind of a path without following a link.
fn kind_of(sources: &dyn Sources, parts: &[String]) -> Result<EntryKind, SourceError> {
    let (name, above) = parts.split_last().ok_or(SourceError::NotFound)?;
    let entries = sources.entries(&above.join("/"))?;
    let found = entries.into_iter().find(|entry: &Entry| entry.name == *name);
    found.map(|entry| entry.kind).ok_or(SourceError::NotFound)
}

fn outside(path: &str) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("the asset `{path}` is outside the directory of the stack"),
        "other machines might not have this path",
    )
    .help("move it into the directory of the stack, or list its directory in the Platform: `assets: [../shared]`")
}

fn leads_out(path: &str, link: &str, target: &str) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("the asset `{path}` points outside the directory of the stack"),
        format!("`{link}` is a symbolic link to `{target}`"),
    )
    .help("replace the link with a copy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_paths() {
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
    fn an_asset_is_in_the_stack_or_in_a_listed_directory() {
        let roots = ["../shared".to_owned()];
        assert_eq!(root_of(&roots, "src"), Some(""));
        assert_eq!(root_of(&roots, "../shared/x"), Some("../shared"));
        assert_eq!(root_of(&roots, "../sharedness/x"), None);
        assert_eq!(root_of(&roots, ".."), None);
    }
}
