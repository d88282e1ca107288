//! Temporary directories for tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

use crate::tools;

/// A directory for one test, under `target/`. Dropping the value removes the directory, unless the test failed; then it stays
/// for inspection.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

/// Returns the directory that contains all scratch directories. Git stops its search for a repository here, so that a scratch
/// directory does not belong to the repository of Terrace.
pub(crate) fn directory() -> PathBuf {
    tools::root().join("target/scratch")
}

impl Scratch {
    /// Creates an empty directory.
    ///
    /// # Panics
    ///
    /// If the directory cannot be created.
    #[track_caller]
    pub fn new(name: &str) -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory().join(format!("{name}-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a directory under target/");
        Scratch { path }
    }

    /// Creates a directory with a copy of a directory of the repository, such as `stacks/quickstart`, that the test can change.
    ///
    /// # Panics
    ///
    /// If the directory does not exist.
    #[track_caller]
    pub fn copy_of(directory: &str) -> Scratch {
        let name = directory.rsplit('/').next().unwrap_or(directory);
        let scratch = Scratch::new(name);
        if let Err(error) = copy(&tools::root().join(directory), &scratch.path) {
            panic!("{directory}: {error}");
        }
        scratch
    }

    /// Adds a copy of a directory of the repository, under the same path.
    ///
    /// # Panics
    ///
    /// If the directory does not exist.
    #[track_caller]
    pub fn copy(&self, directory: &str) {
        if let Err(error) = copy(&tools::root().join(directory), &self.path.join(directory)) {
            panic!("{directory}: {error}");
        }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and creates its parent directories.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.path)).expect("a directory under target/");
        fs::write(path, text).expect("a file under target/");
    }

    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Replaces a text in a file, as a user's edit would.
    ///
    /// # Panics
    ///
    /// If the text does not occur exactly once.
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
