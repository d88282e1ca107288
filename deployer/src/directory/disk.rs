//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::fault;
use crate::failure::{Failure, FailureKind};

/// What the names of files begin with that are not written whole yet.
const TEMPORARY: &str = ".terrace-";

/// The place of one of our files in a folder. A manifest travels with the folder, through repositories and other people's
/// hands: what it names outside of the folder is nothing of ours.
pub(super) fn place(folder: &Path, path: &str) -> Result<PathBuf, Failure> {
    let mut parts = Path::new(path).components();
    if path.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
        let message = format!("`{path}` is not a file in `{}`", folder.display());
        return Err(Failure::new(FailureKind::Broken, message).hint(
            "`.terrace/manifest.json` was changed: restore it from version control, or move the directory away and apply again",
        ));
    }
    Ok(folder.join(path))
}

/// Deletes what writes that were interrupted left in a folder. Nobody else writes there: the caller holds the lock.
pub(super) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // It is in nobody's way; the next apply tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file under another name in the same folder.
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

/// Writes or replaces a file: a reader, or a run after a crash, sees the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?;
    put(&temporary, path)
}

/// The same, for a file that is to survive the machine, too.
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

/// Deletes a file, and the folders that it leaves empty, up to `root`.
pub(super) fn remove(path: &Path, root: &Path) -> io::Result<()> {
    fault::step();
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut folder = path.parent();
    while let Some(at) = folder {
        // Somebody else's files in it make this fail, and that is what it should do.
        if at == root || fs::remove_dir(at).is_err() {
            break;
        }
        folder = at.parent();
    }
    Ok(())
}
