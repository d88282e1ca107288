//! Writes files below a directory, and deletes files that an earlier run wrote and that are no longer produced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::disk::in_words;
use crate::problem::Problem;

/// Writes all files in parallel and creates their directories.
pub(crate) fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), Problem> {
    files
        .par_iter()
        .try_for_each(|(path, text)| write_file(&folder.join(path), text))
}

/// Writes a file and creates its directories. Does not touch a file that already has the same content.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Problem> {
    let written = match path.parent().map(fs::create_dir) {
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)
        }
        // A directory that was just created cannot contain the file, so only an existing directory needs the comparison.
        Some(Err(_)) if is_same(path, text) => return Ok(()),
        _ => Ok(()),
    };
    written
        .and_then(|()| fs::write(path, text))
        .map_err(|error| unwritable(path, &error))
}

fn is_same(path: &Path, text: &str) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == text.len() as u64)
        && fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

/// Deletes files and the directories that become empty. Ignores files that do not exist.
pub(crate) fn remove<'a>(folder: &Path, files: impl IntoIterator<Item = &'a str>) -> Result<(), Problem> {
    for file in files {
        let path = folder.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(&path, &error)),
            _ => {}
        }
        let mut above: PathBuf = file.into();
        while above.pop() && !above.as_os_str().is_empty() && fs::remove_dir(folder.join(&above)).is_ok() {}
    }
    Ok(())
}

/// Returns true if a path, relative to the output directory, belongs to a rendered file.
pub(crate) fn is_rendered(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let kinds = ["kubernetes", "cloudformation", "lifecycle", "step-functions"];
    parts.len() >= 4
        && parts.get(1).is_some_and(|kind| kinds.contains(kind))
        && parts
            .iter()
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\\'))
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("cannot write `{}`: {}", path.display(), in_words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_rendered_files_below_an_environment() {
        assert!(is_rendered("production/kubernetes/finance/web.yaml"));
        assert!(is_rendered("production/cloudformation/berlin/finance/lake.json"));
        for path in [
            "../../kubernetes/a/b.yaml",
            "production/src/a/b.yaml",
            "/etc/kubernetes/a/b",
            "production/kubernetes/../x",
            "kubernetes/a.yaml",
        ] {
            assert!(!is_rendered(path), "{path}");
        }
    }
}
