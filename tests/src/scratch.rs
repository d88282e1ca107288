//! Directories that are gone when the test is over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

use crate::tools;

/// A directory for one test, under `target/`. It is removed when this is dropped, unless the test failed: then it stays to
/// be looked at.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty one.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[track_caller]
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = tools::root().join(format!("target/scratch/{name}-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a directory under target/");
        Scratch { path }
    }

    /// One with a copy of a folder of the repository, such as `stacks/quickstart`, for the test to change.
    ///
    /// # Panics
    ///
    /// When there is no such folder.
    #[track_caller]
    pub fn copy_of(folder: &str) -> Scratch {
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let scratch = Scratch::new(name);
        if let Err(error) = copy(&tools::root().join(folder), &scratch.path) {
            panic!("{folder}: {error}");
        }
        scratch
    }

    /// Adds a copy of a folder of the repository, under the same path.
    ///
    /// # Panics
    ///
    /// When there is no such folder.
    #[track_caller]
    pub fn copy(&self, folder: &str) {
        if let Err(error) = copy(&tools::root().join(folder), &self.path.join(folder)) {
            panic!("{folder}: {error}");
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.path)).expect("a directory under target/");
        fs::write(path, text).expect("a file under target/");
    }

    /// The text of a file.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Replaces a text that occurs once in a file: what a user's edit does.
    ///
    /// # Panics
    ///
    /// When it occurs not at all, or more than once.
    #[track_caller]
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, to.join(name))?;
        } else if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
