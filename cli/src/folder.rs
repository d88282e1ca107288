//! Writes files below a folder, and takes away those that it wrote before and does not write any more.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::disk::in_words;
use crate::problem::Problem;

/// Writes every file, at the same time, each as `text` renders it. One that is there with the same bytes is left alone.
pub(crate) fn write<T: Sync>(
    folder: &Path,
    files: &BTreeMap<String, T>,
    text: impl Fn(&T) -> Cow<'_, str> + Sync,
) -> Result<(), Problem> {
    let folders: BTreeSet<&str> = files
        .keys()
        .map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder))
        .collect();
    folders.par_iter().try_for_each(|below| {
        let path = folder.join(below);
        fs::create_dir_all(&path).map_err(|error| unwritable(&path, &error))
    })?;
    files.par_iter().try_for_each(|(path, file)| {
        let (path, text) = (folder.join(path), text(file));
        let same = fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() == text.len() as u64)
            && fs::read(&path).is_ok_and(|found| found == text.as_bytes());
        if same {
            return Ok(());
        }
        fs::write(&path, text.as_bytes()).map_err(|error| unwritable(&path, &error))
    })
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

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!(
        "`{}` cannot be written: {}",
        path.display(),
        in_words(error)
    ))
}
