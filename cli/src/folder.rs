//! Writes files below a folder, and takes away those that it wrote before and does not write any more.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::disk::in_words;
use crate::problem::Problem;

/// Writes every file, several at a time, with the folders that they are in.
pub(crate) fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), Problem> {
    files
        .par_iter()
        .try_for_each(|(path, text)| write_file(&folder.join(path), text))
}

/// Writes a file, with the folders that it is in. One that is there with the same bytes is left alone.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Problem> {
    let written = match path.parent().map(fs::create_dir) {
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)
        }
        // A folder that is new holds nothing that could be the same.
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

/// Takes files away, and the folders that are empty then. That one is gone already is fine.
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

/// Whether a path, from the folder that environments are rendered into, is one of a rendered file.
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
    Problem::new(format!(
        "`{}` cannot be written: {}",
        path.display(),
        in_words(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_below_an_environment() {
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
