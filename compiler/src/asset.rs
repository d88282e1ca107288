//! Files that templates name by digest: read through the sources, packed the same way every time.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use terrace_artifact::{Digest, Text};

use crate::source::{SourceError, Sources};

type Result<T> = std::result::Result<T, SourceError>;
/// A file that is packed when it is first asked for.
type Once = Arc<OnceLock<Result<Arc<Packed>>>>;

/// The files of a stack that templates name. Each is read and packed once in a compilation, however often it is named.
pub(crate) struct Assets<'a> {
    sources: &'a dyn Sources,
    packed: Mutex<BTreeMap<String, Once>>,
}

impl<'a> Assets<'a> {
    /// Those of these sources; nothing is read yet.
    pub(crate) fn new(sources: &'a dyn Sources) -> Assets<'a> {
        Assets {
            sources,
            packed: Mutex::default(),
        }
    }

    /// A file as it is, or a folder as a zip archive.
    pub(crate) fn packed(&self, path: &str) -> Result<Arc<Packed>> {
        // Whoever packs another file meanwhile does not wait for this one.
        let one = {
            let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
            packed.entry(path.to_owned()).or_default().clone()
        };
        one.get_or_init(|| read(self.sources, path).map(Arc::new)).clone()
    }

    /// The text of a file, where it is one.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = self.sources.read(path.trim_start_matches("./")).ok()?;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// A file or a folder, packed.
pub(crate) struct Packed {
    /// Its key in the bootstrap bucket.
    pub(crate) key: Text,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// Reads a file as it is, or a folder as a zip archive.
fn read(sources: &dyn Sources, path: &str) -> Result<Packed> {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    match sources.read(path) {
        Ok(bytes) => {
            let digest = Digest::of_bytes(&bytes);
            Ok(Packed {
                key: format!("assets/{digest}/{name}").into(),
                digest,
                bytes: bytes.to_vec(),
            })
        }
        Err(error) => {
            let files = sources.list(path).map_err(|_| error)?;
            let mut entries = Vec::with_capacity(files.len());
            for file in &files {
                let inner = file.strip_prefix(path).unwrap_or(file).trim_start_matches('/');
                if inner
                    .split('/')
                    .any(|part| part.starts_with('.') || part == "__pycache__")
                {
                    continue;
                }
                entries.push((inner.to_owned(), sources.read(file)?));
            }
            let bytes = zip(&entries).map_err(|error| SourceError::Unreadable(error.to_string()))?;
            let digest = Digest::of_bytes(&bytes);
            Ok(Packed {
                key: format!("assets/{digest}/{name}.zip").into(),
                digest,
                bytes,
            })
        }
    }
}

/// An archive whose bytes depend on its files' names and contents only: no times, one compression.
fn zip(entries: &[(String, std::sync::Arc<[u8]>)]) -> std::io::Result<Vec<u8>> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let count = u16::try_from(sorted.len()).map_err(|_| std::io::Error::other("more than 65,535 files"))?;
    for (name, bytes) in sorted {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        deflate.write_all(bytes)?;
        let packed = deflate.finish()?;
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size =
            |length: usize| u32::try_from(length).map_err(|_| std::io::Error::other("a file over 4 GiB"));
        let offset = size(out.len())?;
        // Version 2.0, UTF-8 names, deflate, and the earliest date the format knows.
        let mut common = Vec::new();
        for field in [20u16, 0x0800, 8, 0, 0x0021] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc.sum(), size(packed.len())?, size(bytes.len())?] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        let length = u16::try_from(name.len()).map_err(|_| std::io::Error::other("a name over 64 KiB"))?;
        common.extend_from_slice(&length.to_le_bytes());
        common.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02");
        // Made on Unix, readable by all: Lambda refuses files that it may not read.
        directory.extend_from_slice(&0x0314u16.to_le_bytes());
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&(0o100_644u32 << 16).to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let (start, length) = (out.len(), directory.len());
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for field in [length, start] {
        out.extend_from_slice(&u32::try_from(field).map_err(std::io::Error::other)?.to_le_bytes());
    }
    out.extend_from_slice(&0u16.to_le_bytes());
    Ok(out)
}
