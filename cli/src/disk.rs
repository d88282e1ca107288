//! Reads the compiler's sources from a directory.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use terrace_compiler::source::{Entry, EntryKind, SourceError, Sources};

/// Directories that are never part of a stack.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// Maximum number of directory entries. A larger directory is probably not a stack, for example a home directory.
const MAXIMUM_ENTRIES: usize = 200_000;

/// Maximum size of a file in bytes. The compiler has a much lower limit for YAML files.
const LONGEST: u64 = 512 * 1024 * 1024;

/// The files below a directory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Reads files below `folder`. A path with `..` leads out of it; the compiler decides which of those it allows.
    pub(crate) fn new(folder: &Path) -> Disk {
        Disk {
            folder: folder.to_owned(),
        }
    }
}

impl Sources for Disk {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        let place = self.folder.join(path);
        // This check must precede `open`, which blocks on a named pipe until another process writes to it.
        let metadata = fs::metadata(&place).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(SourceError::Unreadable("not a regular file".to_owned()));
        }
        if metadata.len() > LONGEST {
            return Err(SourceError::Unreadable(format!(
                "{} bytes exceed the maximum of {LONGEST} bytes",
                metadata.len()
            )));
        }
        let mut file = File::open(&place).map_err(|error| unreadable(&error))?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
        file.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        let after = file.metadata().map_err(|error| unreadable(&error))?;
        if has_changed(&metadata, &after, bytes.len()) {
            return Err(SourceError::Unreadable(
                "the file changed during reading".to_owned(),
            ));
        }
        Ok(bytes.into())
    }

    fn entries(&self, directory: &str) -> Result<Vec<Entry>, SourceError> {
        let place = self.folder.join(directory);
        let mut entries = Vec::new();
        for entry in fs::read_dir(place).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            let name = entry.file_name();
            entries.push(Entry {
                kind: kind_of(&entry.path(), &name)?,
                name: name.to_string_lossy().into_owned(),
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let start = self.folder.join(folder);
        let mut walk = Walk::default();
        walk.folder(&start, folder.trim_end_matches('/'), &mut Vec::new())?;
        walk.paths.sort();
        Ok(walk.paths)
    }
}

/// Returns true if a file changed while it was read.
fn has_changed(before: &Metadata, after: &Metadata, read: usize) -> bool {
    let modified = |metadata: &Metadata| metadata.modified().ok();
    after.len() != before.len() || after.len() != read as u64 || modified(before) != modified(after)
}

/// Returns the kind of a directory entry. Does not follow symbolic links.
fn kind_of(place: &Path, name: &OsStr) -> Result<EntryKind, SourceError> {
    if name.to_str().is_none() {
        return Ok(EntryKind::Other("an entry whose name is not valid UTF-8"));
    }
    let metadata = fs::symlink_metadata(place).map_err(|error| unreadable(&error))?;
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_file() {
        EntryKind::File {
            executable: is_executable(&metadata),
            bytes: metadata.len(),
        }
    } else if kind.is_symlink() {
        let target = fs::read_link(place).map_err(|error| unreadable(&error))?;
        match target.into_os_string().into_string() {
            Ok(target) => EntryKind::Link { target },
            Err(_) => EntryKind::Other("a symbolic link whose target is not valid UTF-8"),
        }
    } else {
        EntryKind::Other(special(kind))
    })
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // Git records the owner's executable bit only.
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    false
}

/// Names a file type other than file, directory and symbolic link.
#[cfg(unix)]
fn special(kind: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_kind: fs::FileType) -> &'static str {
    "neither a file nor a directory"
}

/// A recursive walk through a directory.
#[derive(Default)]
struct Walk {
    paths: Vec<String>,
    entries: usize,
}

impl Walk {
    /// Adds the files below `folder`. `name` is its path relative to the start. `links` contains canonical paths for each followed
    /// symbolic link: the directory that contains the link, and its target. A link to one of these directories, or to a
    /// directory that contains one, would make the walk endless.
    fn folder(&mut self, folder: &Path, name: &str, links: &mut Vec<PathBuf>) -> Result<(), SourceError> {
        for entry in fs::read_dir(folder).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            self.entries += 1;
            if self.entries > MAXIMUM_ENTRIES {
                let message = format!(
                    "the directory has more than {MAXIMUM_ENTRIES} entries; is it the directory of a stack?"
                );
                return Err(SourceError::Unreadable(message));
            }
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            let path = if name.is_empty() {
                file_name.to_string()
            } else {
                format!("{name}/{file_name}")
            };
            let kind = entry.file_type().map_err(|error| unreadable(&error))?;
            if kind.is_symlink() {
                self.link(&entry.path(), path, folder, links)?;
            } else if kind.is_dir() {
                if !SKIPPED.contains(&&*file_name) {
                    self.folder(&entry.path(), &path, links)?;
                }
            } else {
                self.paths.push(path);
            }
        }
        Ok(())
    }

    fn link(
        &mut self,
        link: &Path,
        path: String,
        parent: &Path,
        links: &mut Vec<PathBuf>,
    ) -> Result<(), SourceError> {
        // A dangling link is listed like a file. Reading it reports the error.
        if !link.is_dir() {
            self.paths.push(path);
            return Ok(());
        }
        let real = |path: &Path| fs::canonicalize(path).map_err(|error| unreadable(&error));
        let target = real(link)?;
        let before = links.len();
        links.push(real(parent)?);
        if links.iter().any(|passed| passed.starts_with(&target)) {
            return Err(SourceError::Unreadable(format!(
                "symbolic link `{path}` points to a directory that contains it"
            )));
        }
        links.push(target);
        let walked = self.folder(link, &path, links);
        links.truncate(before);
        walked
    }
}

fn unreadable(error: &io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::NotFound,
        _ => SourceError::Unreadable(in_words(error)),
    }
}

/// Returns the message of an operating system error without its number, starting in lower case.
pub(crate) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// Returns the paths of all files below a directory, relative to it. A directory that does not exist has no files.
pub(crate) fn files_below(folder: &Path) -> Result<BTreeSet<String>, String> {
    match Disk::new(folder).list("") {
        Ok(paths) => Ok(paths.into_iter().collect()),
        Err(SourceError::NotFound) => Ok(BTreeSet::new()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("terrace-disk-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, path: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: 1\n").unwrap();
        }

        fn list(&self) -> Result<Vec<String>, SourceError> {
            Disk::new(&self.0).list("")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn lists_files_in_order_and_skips_excluded_directories() {
        let folder = Folder::new("order");
        for path in [
            "b.yaml",
            "a/c.yaml",
            ".git/config",
            "target/x.yaml",
            "a/node_modules/y.yaml",
        ] {
            folder.write(path);
        }
        assert_eq!(folder.list().unwrap(), ["a/c.yaml", "b.yaml"]);
        assert_eq!(Disk::new(&folder.0).list("a").unwrap(), ["a/c.yaml"]);
        assert_eq!(Disk::new(&folder.0).list("none"), Err(SourceError::NotFound));
        assert_eq!(&*Disk::new(&folder.0).read("a/c.yaml").unwrap(), b"a: 1\n");
        assert_eq!(Disk::new(&folder.0).read("d.yaml"), Err(SourceError::NotFound));
    }

    #[test]
    fn follows_symbolic_links_and_rejects_cycles() {
        let folder = Folder::new("links");
        folder.write("a/one.yaml");
        folder.write("c/two.yaml");
        symlink("../c", folder.0.join("a/b")).unwrap();
        assert_eq!(
            folder.list().unwrap(),
            ["a/b/two.yaml", "a/one.yaml", "c/two.yaml"]
        );
        symlink("../a", folder.0.join("c/d")).unwrap();
        assert!(matches!(folder.list(), Err(SourceError::Unreadable(why)) if why.contains("symbolic link")));
    }

    #[test]
    fn lists_entries_without_following_symbolic_links() {
        let folder = Folder::new("entries");
        for path in ["node_modules/x.js", ".env", "run"] {
            folder.write(path);
        }
        fs::set_permissions(folder.0.join("run"), fs::Permissions::from_mode(0o744)).unwrap();
        symlink("/etc", folder.0.join("etc")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.0.join("s")).unwrap();
        let entries = Disk::new(&folder.0).entries("").unwrap();
        let file = |executable| EntryKind::File { executable, bytes: 5 };
        let expected = [
            (".env", file(false)),
            (
                "etc",
                EntryKind::Link {
                    target: "/etc".to_owned(),
                },
            ),
            ("node_modules", EntryKind::Directory),
            ("run", file(true)),
            ("s", EntryKind::Other("a socket")),
        ];
        let expected = expected.map(|(name, kind)| Entry {
            name: name.to_owned(),
            kind,
        });
        assert_eq!(entries, expected);
        assert_eq!(Disk::new(&folder.0).entries("run"), Err(SourceError::NotFound));
        assert_eq!(Disk::new(&folder.0).entries("none"), Err(SourceError::NotFound));
    }

    #[test]
    fn detects_a_file_that_changes_during_reading() {
        let folder = Folder::new("changes");
        folder.write("a.yaml");
        let metadata = || fs::metadata(folder.0.join("a.yaml")).unwrap();
        let before = metadata();
        assert!(!has_changed(&before, &metadata(), 5));
        assert!(has_changed(&before, &metadata(), 4));
        let later = before.modified().unwrap() + std::time::Duration::from_secs(1);
        let file = File::options()
            .append(true)
            .open(folder.0.join("a.yaml"))
            .unwrap();
        file.set_modified(later).unwrap();
        assert!(has_changed(&before, &metadata(), 5));
    }

    #[test]
    fn does_not_wait_for_a_named_pipe() {
        let folder = Folder::new("pipe");
        let pipe = folder.0.join("a.yaml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let disk = Disk::new(&folder.0);
        assert!(matches!(disk.read("a.yaml"), Err(SourceError::Unreadable(_))));
        let kinds: Vec<EntryKind> = disk
            .entries("")
            .unwrap()
            .into_iter()
            .map(|entry| entry.kind)
            .collect();
        assert_eq!(kinds, [EntryKind::Other("a named pipe")]);
    }

    #[test]
    fn lists_a_dangling_link_that_cannot_be_read() {
        let folder = Folder::new("dangling");
        symlink("nowhere", folder.0.join("tenant.yaml")).unwrap();
        assert_eq!(folder.list().unwrap(), ["tenant.yaml"]);
        assert_eq!(
            Disk::new(&folder.0).read("tenant.yaml"),
            Err(SourceError::NotFound)
        );
    }
}
