//! Atomic changes of files: a reader sees the complete old file or the complete new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use terrace_deployer_model::failure::{Failure, FailureKind};

use super::fault;

/// The prefix of the names of files that are not completely written yet.
const TEMPORARY: &str = ".terrace-";

/// Returns the path of a file in the directory. The manifest of a directory can be edited in a repository, so a path that
/// leads out of the directory is refused.
pub(super) fn place(folder: &Path, path: &str) -> Result<PathBuf, Failure> {
    let mut parts = Path::new(path).components();
    if path.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
        let message = format!(
            "`.terrace/manifest.json` contains the path `{path}`, which is not a file in `{}`",
            folder.display()
        );
        return Err(Failure::new(FailureKind::Broken, message).hint(
            "restore `.terrace/manifest.json` from version control, or move the directory away and apply again",
        ));
    }
    Ok(folder.join(path))
}

/// Deletes the temporary files that interrupted writes left in a directory. The caller holds the lock, so no other process
/// writes there.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // A temporary file that remains does no harm. The next apply tries again to delete it.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a temporary file in the directory of `path`, and returns its path.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    fault::step();
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!("{TEMPORARY}{}-{count}.{name}", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    Ok(temporary)
}

/// Writes or replaces a file. A reader, and the next apply after a crash, sees either the old or the new content.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    put(&temporary, path)
}

/// Replaces a file as [`replace`] does, and flushes its content to the disk, so that it survives a power failure.
pub(super) fn replace_for_good(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    File::open(&temporary)?.sync_all()?;
    put(&temporary, path)
}

fn put(temporary: &Path, path: &Path) -> io::Result<()> {
    fault::step();
    fs::rename(temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(temporary);
    })
}

/// Deletes a file, and the directories below `root` that this leaves empty.
pub(super) fn remove(path: &Path, root: &Path) -> io::Result<()> {
    fault::step();
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut folder = path.parent();
    while let Some(at) = folder {
        // Deletion fails if the directory contains other files, which must be retained.
        if at == root || fs::remove_dir(at).is_err() {
            break;
        }
        folder = at.parent();
    }
    Ok(())
}
