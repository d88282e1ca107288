//! Checks that the symbolic links of an asset lead to files that are packed with it.

use std::collections::{BTreeMap, VecDeque};

use terrace_syntax::code::Code;

use super::super::Refusal;
use super::AssetEntry;

/// The maximum number of links in a chain.
const MOST: usize = 40;

/// Reports links that lead outside the asset, to a missing file, or to themselves.
pub(super) fn check(found: &BTreeMap<String, AssetEntry>, asset: &str, refusals: &mut Vec<Refusal>) {
    for (path, entry) in found {
        let AssetEntry::Link { target } = entry else {
            continue;
        };
        let Err(why) = follow(found, path, target) else {
            continue;
        };
        let message = format!("`{asset}/{path}` is a symbolic link {}", why.shown(asset));
        refusals.push(
            Refusal::new(
                Code::InvalidAsset,
                message,
                format!("the link points to `{target}`"),
            )
            .help(format!(
                "replace it with a copy, or exclude it with the line `/{path}` in `{asset}/.terraceignore`"
            )),
        );
    }
}

/// The reason why a link cannot be delivered.
#[derive(Clone, Copy, PartialEq, Debug)]
enum LinkProblem {
    Absolute,
    Outside,
    Missing,
    Circle,
}

impl LinkProblem {
    fn shown(self, asset: &str) -> String {
        match self {
            LinkProblem::Absolute => "to an absolute path, which other machines might not have".to_owned(),
            LinkProblem::Outside => format!("that points outside the asset `{asset}`"),
            LinkProblem::Missing => "to a file that the archive does not contain".to_owned(),
            LinkProblem::Circle => "that points back to itself".to_owned(),
        }
    }
}

/// Follows the link at `path` through the entries of the asset.
fn follow(found: &BTreeMap<String, AssetEntry>, path: &str, target: &str) -> Result<(), LinkProblem> {
    let (above, _) = path.rsplit_once('/').unwrap_or(("", path));
    let mut here: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest: VecDeque<&str> = target.split('/').collect();
    let mut links = 1;
    if target.starts_with('/') {
        return Err(LinkProblem::Absolute);
    }
    while let Some(part) = rest.pop_front() {
        match part {
            "" | "." => continue,
            ".." => {
                here.pop().ok_or(LinkProblem::Outside)?;
                continue;
            }
            part => here.push(part),
        }
        match found.get(&here.join("/")) {
            Some(AssetEntry::Link { target }) => {
                links += 1;
                if links > MOST {
                    return Err(LinkProblem::Circle);
                }
                if target.starts_with('/') {
                    return Err(LinkProblem::Absolute);
                }
                here.pop();
                for part in target.rsplit('/') {
                    rest.push_front(part);
                }
            }
            Some(AssetEntry::Directory) => {}
            Some(AssetEntry::File { .. }) if rest.iter().all(|part| matches!(*part, "" | ".")) => {}
            _ => return Err(LinkProblem::Missing),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, AssetEntry> {
        let found = entries.iter().map(|(path, target)| {
            let found = match target {
                Some(target) => AssetEntry::Link {
                    target: (*target).to_owned(),
                },
                None if path.ends_with('/') => AssetEntry::Directory,
                None => AssetEntry::File { executable: false },
            };
            (path.trim_end_matches('/').to_owned(), found)
        });
        found.collect()
    }

    #[test]
    fn accepts_links_to_packed_files() {
        let found = tree(&[
            ("lib/", None),
            ("lib/libx.so.1", None),
            ("lib/libx.so", Some("libx.so.1")),
            ("bin/", None),
            ("bin/lib", Some("../lib")),
            ("bin/so", Some("lib/libx.so")),
            ("here", Some(".")),
        ]);
        for (path, entry) in &found {
            if let AssetEntry::Link { target } = entry {
                assert_eq!(follow(&found, path, target), Ok(()), "{path}");
            }
        }
    }

    #[test]
    fn rejects_links_to_other_files() {
        let found = tree(&[
            ("a/", None),
            ("a/x", None),
            ("up", Some("..")),
            ("ring", Some("gnir")),
            ("gnir", Some("ring")),
        ]);
        for (path, target, why) in [
            ("l", "/etc/passwd", LinkProblem::Absolute),
            ("l", "../other", LinkProblem::Outside),
            ("a/l", "../../x", LinkProblem::Outside),
            ("l", "up/x", LinkProblem::Outside),
            ("l", "nowhere", LinkProblem::Missing),
            ("l", "a/x/y", LinkProblem::Missing),
            ("l", "ring", LinkProblem::Circle),
        ] {
            assert_eq!(follow(&found, path, target), Err(why), "{path} -> {target}");
        }
    }
}
