//! Where text comes from, and how places in it are named.

use std::fmt;
use std::sync::Arc;

use terrace_artifact::{Location, Text};

/// Gives the compiler its input. The compiler touches no file system of its own.
///
/// Paths are relative to the stack's folder, with `/` between their parts; `..` may lead out of it (a platform that
/// names `../../golden/acme`), and it is the implementation's right to refuse that.
pub trait Sources: Sync {
    /// The bytes of a file.
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError>;
    /// The paths of all files below a folder, in order. A folder that does not exist is [`SourceError::NotFound`].
    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError>;
    /// All that is directly in a directory, in order of name: nothing is left out, and no link is followed. An empty path is the
    /// stack's directory. One that does not exist, or is no directory, is [`SourceError::NotFound`].
    ///
    /// Where sources have nothing but paths, these are all of files that cannot be executed.
    fn entries(&self, directory: &str) -> Result<Vec<Entry>, SourceError> {
        let paths = self.list(directory)?;
        let below = |path: &String| -> Option<(String, EntryKind)> {
            let rest = match directory {
                "" => path.as_str(),
                _ => path.strip_prefix(directory)?.strip_prefix('/')?,
            };
            Some(match rest.split_once('/') {
                Some((name, _)) => (name.to_owned(), EntryKind::Directory),
                None => {
                    let bytes = self.read(path).map_or(0, |bytes| bytes.len() as u64);
                    let file = EntryKind::File {
                        executable: false,
                        bytes,
                    };
                    (rest.to_owned(), file)
                }
            })
        };
        let entries: std::collections::BTreeMap<String, EntryKind> = paths.iter().filter_map(below).collect();
        let entries = entries.into_iter().map(|(name, kind)| Entry { name, kind });
        Ok(entries.collect())
    }
}

/// Something in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name; of one that is not UTF-8, as near as can be.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What something in a directory is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its length.
        bytes: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it leads, as it was made: relative to the directory that it is in.
        target: String,
    },
    /// What can be neither read nor delivered, in words: `a socket`.
    Other(&'static str),
}

impl EntryKind {
    /// What it is, in words.
    pub(crate) fn shown(&self) -> &'static str {
        match self {
            EntryKind::File { .. } => "a file",
            EntryKind::Directory => "a directory",
            EntryKind::Link { .. } => "a symbolic link",
            EntryKind::Other(what) => what,
        }
    }
}

/// Why a source could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceError {
    /// There is no such file or folder.
    NotFound,
    /// It is there and cannot be read; in the operating system's words.
    Unreadable(String),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::NotFound => f.write_str("no such file"),
            SourceError::Unreadable(why) => f.write_str(why),
        }
    }
}

/// A file that was read, by its place in [`Files`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub(crate) u32);

/// A place in a file: bytes `start..end`, the end excluded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The part of this span that `range` (bytes, from its start) covers.
    pub fn within(self, range: std::ops::Range<usize>) -> Span {
        let clamp =
            |offset: usize| (self.start + u32::try_from(offset).unwrap_or(u32::MAX / 2)).min(self.end);
        Span {
            file: self.file,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    /// The empty span at the start.
    pub fn first(self) -> Span {
        Span {
            end: self.start,
            ..self
        }
    }
}

/// The files that were read: what a span is resolved against.
#[derive(Clone, Default, Debug)]
pub struct Files {
    files: Vec<SourceFile>,
}

/// One file that was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, relative to the stack's folder; `module:NAME/…` for the modules in the program.
    pub path: Text,
    /// Its text.
    pub text: Arc<str>,
    /// Where its lines begin. Every resource asks for its place: walking the text each time would be most of the work.
    line_starts: Vec<u32>,
    /// How many characters there are before each [`STRIDE`]th byte: a line may have megabytes and thousands of mistakes.
    characters: Vec<u32>,
}

/// How many bytes apart characters are counted in advance.
const STRIDE: usize = 4096;

impl SourceFile {
    /// The number of characters between two bytes, the second of which is not before the first.
    fn characters_between(&self, from: usize, to: usize) -> u32 {
        let bytes = self.text.as_bytes();
        let to = to.min(bytes.len());
        let from = from.min(to);
        if to - from <= STRIDE {
            return characters(&bytes[from..to]);
        }
        let before = |at: usize| {
            let known = at / STRIDE;
            self.characters[known] + characters(&bytes[known * STRIDE..at])
        };
        before(to) - before(from)
    }
}

/// The number of characters that begin in a part of a text.
fn characters(bytes: &[u8]) -> u32 {
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    u32::try_from(bytes.iter().filter(begins).count()).unwrap_or(u32::MAX)
}

impl Files {
    /// Adds a file. Text beyond 4 GiB is refused by the loader long before this.
    pub fn add(&mut self, path: impl Into<Text>, text: impl Into<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = text.into();
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(breaks.map(|(at, _)| offset(at + 1)));
        let line_starts = line_starts.collect();
        let pieces = text.as_bytes().chunks_exact(STRIDE).scan(0, |before, piece| {
            *before += characters(piece);
            Some(*before)
        });
        let characters = std::iter::once(0).chain(pieces).collect();
        self.files.push(SourceFile {
            path: path.into(),
            text,
            line_starts,
            characters,
        });
        id
    }

    /// The file of an id.
    pub fn get(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Where something in a text looks like a secret: nobody who shows lines of a file shows that.
    pub fn secrets_in(text: &str) -> Vec<std::ops::Range<usize>> {
        crate::check::secrets_in(text)
    }

    /// The text a span covers.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The place where a span begins, as people name it.
    pub fn location(&self, span: Span) -> Location {
        let file = self.get(span.file);
        let line = file
            .line_starts
            .partition_point(|start| *start <= span.start)
            .max(1);
        let line_start = file.line_starts[line - 1] as usize;
        Location {
            file: file.path.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: file.characters_between(line_start, span.start as usize) + 1,
        }
    }
}

/// Sources held in memory, for tests.
#[derive(Clone, Default, Debug)]
pub struct MemorySources(std::collections::BTreeMap<String, Arc<[u8]>>);

impl MemorySources {
    /// Sources of these paths and texts.
    pub fn new<P: Into<String>, T: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, T)>) -> MemorySources {
        MemorySources(
            files
                .into_iter()
                .map(|(path, text)| (path.into(), text.as_ref().into()))
                .collect(),
        )
    }
}

impl Sources for MemorySources {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        self.0.get(path).cloned().ok_or(SourceError::NotFound)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let prefix = if folder.is_empty() || folder == "." {
            String::new()
        } else {
            format!("{folder}/")
        };
        let paths: Vec<_> = self
            .0
            .keys()
            .filter(|path| path.starts_with(&prefix))
            .cloned()
            .collect();
        if paths.is_empty() && !prefix.is_empty() {
            Err(SourceError::NotFound)
        } else {
            Ok(paths)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_on_lines_of_any_length() {
        let long = "grün, ".repeat(5000);
        let text = format!("a: 1\n{long}x\nschön: y");
        let mut files = Files::default();
        let file = files.add("a.yaml", text.as_str());
        let place = |wanted: &str| {
            let start = u32::try_from(text.find(wanted).expect("it is there")).expect("it is short");
            let at = files.location(Span {
                file,
                start,
                end: start,
            });
            (at.line, at.column)
        };
        assert_eq!(place("a:"), (1, 1));
        assert_eq!(place("grün"), (2, 1));
        assert_eq!(place("x\n"), (2, 30_001));
        assert_eq!(place(": y"), (3, 6));
        let end = u32::try_from(text.len()).expect("it is short");
        let at = files.location(Span {
            file,
            start: end,
            end,
        });
        assert_eq!((at.line, at.column), (3, 9));
    }
}
