//! The sources of text, and spans in it.

use std::fmt;
use std::sync::Arc;

use terrace_artifact::{Location, Text};

/// The input of the compiler, which does not access the file system itself.
///
/// Paths are relative to the stack directory, with `/` between their parts. `..` may lead out of it, as in a platform that
/// names `../../golden/acme`. An implementation may reject such paths.
pub trait Sources: Sync {
    /// Returns the bytes of a file.
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError>;
    /// Returns the sorted paths of all files below a directory, or [`SourceError::NotFound`] if it does not exist.
    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError>;
    /// Returns the entries directly in a directory, in order of name, without following links. An empty path is the
    /// stack directory. A path that does not exist or is not a directory is [`SourceError::NotFound`].
    ///
    /// The default implementation derives the entries from the paths. Their files are not executable.
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

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name. Invalid UTF-8 is replaced.
    pub name: String,
    /// Its kind.
    pub kind: EntryKind,
}

/// The kind of an entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// The target as the link contains it, relative to the directory of the link.
        target: String,
    },
    /// An entry that can be neither read nor deployed, as a noun: `a socket`.
    Other(&'static str),
}

impl EntryKind {
    /// Returns the kind as a noun for messages.
    pub fn shown(&self) -> &'static str {
        match self {
            EntryKind::File { .. } => "a file",
            EntryKind::Directory => "a directory",
            EntryKind::Link { .. } => "a symbolic link",
            EntryKind::Other(what) => what,
        }
    }
}

/// The reason why a source cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceError {
    /// The file or directory does not exist.
    NotFound,
    /// The file exists but cannot be read, with the message of the operating system.
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

/// A file, as its index in [`Files`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u32);

/// A value with its place. Equality ignores the place.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The place of the value, or of the key for a key.
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Spanned<T>) -> bool {
        self.value == other.value
    }
}

/// A place in a file: the bytes `start..end`.
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
    /// Returns the part of this span that `range` covers, in bytes from the start of the span.
    pub fn within(self, range: std::ops::Range<usize>) -> Span {
        let clamp =
            |offset: usize| (self.start + u32::try_from(offset).unwrap_or(u32::MAX / 2)).min(self.end);
        Span {
            file: self.file,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    /// Returns the empty span at the start.
    pub fn first(self) -> Span {
        Span {
            end: self.start,
            ..self
        }
    }
}

/// The files that spans refer to.
#[derive(Clone, Default, Debug)]
pub struct Files {
    files: Vec<SourceFile>,
}

/// The path and text of a file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, relative to the stack directory, or `module:NAME/…` for a built-in module.
    pub path: Text,
    /// Its text.
    pub text: Arc<str>,
    /// The starts of its lines. They make lookups fast, because every resource needs its location.
    line_starts: Vec<u32>,
    /// The number of characters before each [`STRIDE`]th byte, because a line may have megabytes and thousands of mistakes.
    characters: Vec<u32>,
}

/// The distance in bytes between precomputed character counts.
const STRIDE: usize = 4096;

impl SourceFile {
    /// Returns the number of characters between two bytes, where `from` is not after `to`.
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

/// Returns the number of characters that start in a part of a text.
fn characters(bytes: &[u8]) -> u32 {
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    u32::try_from(bytes.iter().filter(begins).count()).unwrap_or(u32::MAX)
}

impl Files {
    /// Adds a file. The loader rejects files that are too long for the offsets of a span.
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

    /// Returns the file with an id.
    #[inline]
    pub fn get(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Returns the text of a span.
    #[inline]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Returns the file, line and column of the start of a span.
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
    /// Creates sources from paths and texts.
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
