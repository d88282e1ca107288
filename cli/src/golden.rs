//! Compares compiled output with golden files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use similar::{ChangeTag, TextDiff};

use crate::console::{Tone, painted};
use crate::disk::files_below;
use crate::folder;
use crate::problem::Problem;

/// The differences between two sets of files.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Golden files that the current output does not contain.
    pub(crate) missing: Vec<String>,
    /// Files of the current output that have no golden file.
    pub(crate) extra: Vec<String>,
    /// Files that differ, as (path, golden text, current text).
    pub(crate) different: Vec<(String, String, String)>,
    /// The number of files that are the same.
    pub(crate) same: usize,
    /// Whether the directory contains any golden file.
    pub(crate) begun: bool,
}

/// Compares files with the golden files below a directory. Ignores the files that `counts` rejects.
pub(crate) fn compare(
    folder: &Path,
    counts: &dyn Fn(&str) -> bool,
    now: &BTreeMap<String, String>,
) -> Result<Comparison, Problem> {
    let unreadable =
        |what: &Path, why: String| Problem::new(format!("`{}` cannot be read: {why}", what.display()));
    let mut accepted = files_below(folder).map_err(|why| unreadable(folder, why))?;
    accepted.retain(|path| counts(path));
    let mut comparison = Comparison {
        begun: !accepted.is_empty(),
        ..Comparison::default()
    };
    for path in &accepted {
        let Some(now) = now.get(path) else {
            comparison.missing.push(path.clone());
            continue;
        };
        let file = folder.join(path);
        let before = fs::read(&file).map_err(|error| unreadable(&file, error.to_string()))?;
        if before == now.as_bytes() {
            comparison.same += 1;
        } else {
            let before = String::from_utf8_lossy(&before).into_owned();
            comparison.different.push((path.clone(), before, now.clone()));
        }
    }
    comparison.extra = now
        .keys()
        .filter(|path| !accepted.contains(*path))
        .cloned()
        .collect();
    Ok(comparison)
}

/// Replaces the golden files with the current files.
pub(crate) fn accept(
    folder: &Path,
    comparison: &Comparison,
    now: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    folder::remove(folder, comparison.missing.iter().map(String::as_str))?;
    folder::write(folder, now)
}

impl Comparison {
    /// Returns true if no file differs.
    pub(crate) fn is_same(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }

    /// Summarizes the differences: `3 files differ, 1 file is new, 2 files are missing`.
    pub(crate) fn summary(&self) -> String {
        let part = |count: usize, singular: &str, plural: &str| match count {
            0 => None,
            1 => Some(format!("1 file {singular}")),
            count => Some(format!("{count} files {plural}")),
        };
        let parts = [
            part(self.different.len(), "differs", "differ"),
            part(self.extra.len(), "is new", "are new"),
            part(self.missing.len(), "is missing", "are missing"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Describes all differences. Files with the same change share one diff, followed by a list of their paths.
    pub(crate) fn describe(&self, shown: &str, color: bool) -> String {
        let mut out = String::new();
        let mut groups: Vec<(Vec<&str>, Vec<String>, String)> = Vec::new();
        for (path, before, now) in &self.different {
            let (essence, text) = difference(before, now, color);
            match groups.iter_mut().find(|(_, known, _)| *known == essence) {
                Some((paths, _, _)) => paths.push(path),
                None => groups.push((vec![path], essence, text)),
            }
        }
        for (paths, _, text) in groups {
            let first = paths.first().copied().unwrap_or_default();
            let _ = writeln!(
                out,
                "{}",
                painted(color, Tone::Strong, &format!("--- {shown}/{first}"))
            );
            let _ = writeln!(out, "{}", painted(color, Tone::Strong, "+++ current output"));
            out.push_str(&text);
            if let [_, rest @ ..] = paths.as_slice()
                && !rest.is_empty()
            {
                let _ = writeln!(out, "same change in {} more:", rest.len());
                list(&mut out, rest.iter().copied());
            }
            out.push('\n');
        }
        for (files, words) in [
            (&self.extra, "in the current output, but not in the golden files"),
            (
                &self.missing,
                "in the golden files, but not in the current output",
            ),
        ] {
            if !files.is_empty() {
                let _ = writeln!(out, "{words}:");
                list(&mut out, files.iter().map(|path| path.as_str()));
                out.push('\n');
            }
        }
        out
    }
}

/// Maximum number of listed names. The list ends with the count of the rest.
const LISTED: usize = 30;

fn list<'a>(out: &mut String, paths: impl ExactSizeIterator<Item = &'a str>) {
    let count = paths.len();
    for path in paths.take(LISTED) {
        let _ = writeln!(out, "  {path}");
    }
    if count > LISTED {
        let _ = writeln!(out, "  and {} more", count - LISTED);
    }
}

/// Returns the changed lines, which identify the same change in other files, and the unified diff.
fn difference(before: &str, now: &str, color: bool) -> (Vec<String>, String) {
    let diff = TextDiff::from_lines(before, now);
    let mut essence = Vec::new();
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        let _ = writeln!(
            text,
            "{}",
            painted(color, Tone::Quiet, &hunk.header().to_string())
        );
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            let (sign, tone) = match change.tag() {
                ChangeTag::Equal => {
                    let _ = writeln!(text, " {line}");
                    continue;
                }
                ChangeTag::Delete => ('-', Tone::Error),
                ChangeTag::Insert => ('+', Tone::Good),
            };
            let line = format!("{sign}{line}");
            let _ = writeln!(text, "{}", painted(color, tone, &line));
            if change.missing_newline() {
                let _ = writeln!(text, "\\ no newline at the end of the file");
            }
            essence.push(line);
        }
    }
    (essence, text)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
        files
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect()
    }

    #[test]
    fn reports_and_accepts_missing_extra_and_different_files() {
        let folder = std::env::temp_dir().join(format!("terrace-golden-{}", std::process::id()));
        let before = files([
            ("a/web.yaml", "kind: Deployment\nreplicas: 2\nname: web\n"),
            ("b/web.yaml", "kind: Deployment\nreplicas: 2\nname: api\n"),
            ("b/old/gone.yaml", "x: 1\n"),
            ("c.yaml", "same: true\n"),
        ]);
        let nothing = compare(&folder, &|_| true, &before).unwrap();
        assert!(!nothing.begun && !nothing.is_same());
        accept(&folder, &nothing, &before).unwrap();
        assert!(compare(&folder, &|_| true, &before).unwrap().is_same());

        let now = files([
            ("a/web.yaml", "kind: Deployment\nreplicas: 3\nname: web\n"),
            ("b/web.yaml", "kind: Deployment\nreplicas: 3\nname: api\n"),
            ("c.yaml", "same: true\n"),
            ("d.yaml", "new: true\n"),
        ]);
        let comparison = compare(&folder, &|_| true, &now).unwrap();
        assert_eq!(
            comparison.summary(),
            "2 files differ, 1 file is new, 1 file is missing"
        );
        assert_eq!(comparison.same, 1);
        expect![[r#"
            --- golden/a/web.yaml
            +++ current output
            @@ -1,3 +1,3 @@
             kind: Deployment
            -replicas: 2
            +replicas: 3
             name: web
            same change in 1 more:
              b/web.yaml

            in the current output, but not in the golden files:
              d.yaml

            in the golden files, but not in the current output:
              b/old/gone.yaml

        "#]]
        .assert_eq(&comparison.describe("golden", false));
        accept(&folder, &comparison, &now).unwrap();
        assert!(compare(&folder, &|_| true, &now).unwrap().is_same());
        assert!(!folder.join("b/old").exists(), "the empty directory still exists");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn reports_a_missing_final_newline() {
        let (_, text) = difference("a\n", "a", false);
        assert!(text.contains("no newline"), "{text}");
    }
}
