//! Checks that the symbolic links of an asset lead to files that are packed with it.

use std::collections::{BTreeMap, VecDeque};

use terrace_syntax::code::Code;

use super::super::Refusal;
use super::Found;

/// The maximum number of links in a chain.
const MOST: usize = 40;

/// Reports links that lead outside the asset, to a missing file, or to themselves.
pub(super) fn check(found: &BTreeMap<String, Found>, asset: &str, refusals: &mut Vec<Refusal>) {
    for (path, entry) in found {
        let Found::Link { target } = entry else {
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
enum Why {
    Absolute,
    Outside,
    Missing,
    Circle,
}

impl Why {
    fn shown(self, asset: &str) -> String {
        match self {
            Why::Absolute => "to an absolute path, which other machines might not have".to_owned(),
            Why::Outside => format!("that points outside the asset `{asset}`"),
            Why::Missing => "to a file that the archive does not contain".to_owned(),
            Why::Circle => "that points back to itself".to_owned(),
        }
    }
}

/// Follows the link at `path` through the entries of the asset.
fn follow(found: &BTreeMap<String, Found>, path: &str, target: &str) -> Result<(), Why> {
    let (above, _) = path.rsplit_once('/').unwrap_or(("", path));
    let mut here: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    let mut rest: VecDeque<&str> = target.split('/').collect();
    let mut links = 1;
    if target.starts_with('/') {
        return Err(Why::Absolute);
    }
    while let Some(part) = rest.pop_front() {
        match part {
            "" | "." => continue,
            ".." => {
                here.pop().ok_or(Why::Outside)?;
                continue;
            }
            part => here.push(part),
        }
        match found.get(&here.join("/")) {
            Some(Found::Link { target }) => {
                links += 1;
                if links > MOST {
                    return Err(Why::Circle);
                }
                if target.starts_with('/') {
                    return Err(Why::Absolute);
                }
                here.pop();
                for part in target.rsplit('/') {
                    rest.push_front(part);
                }
            }
            Some(Found::Directory) => {}
            Some(Found::File { .. }) if rest.iter().all(|part| matches!(*part, "" | ".")) => {}
            _ => return Err(Why::Missing),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Found> {
        let found = entries.iter().map(|(path, target)| {
            let found = match target {
                Some(target) => Found::Link {
                    target: (*target).to_owned(),
                },
                None if path.ends_with('/') => Found::Directory,
                None => Found::File { executable: false },
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
            if let Found::Link { target } = entry {
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
            ("l", "/etc/passwd", Why::Absolute),
            ("l", "../other", Why::Outside),
            ("a/l", "../../x", Why::Outside),
            ("l", "up/x", Why::Outside),
            ("l", "nowhere", Why::Missing),
            ("l", "a/x/y", Why::Missing),
            ("l", "ring", Why::Circle),
        ] {
            assert_eq!(follow(&found, path, target), Err(why), "{path} -> {target}");
        }
    }
}
