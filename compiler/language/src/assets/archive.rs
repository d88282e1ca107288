//! Zip archives whose bytes depend only on the names, modes and contents of their entries: sorted by path, with one date, one compression and two
//! modes.
//!
//! The format is written without a library, because the bytes must never change. A library with new defaults would make every deployed function
//! look changed. Links are stored in the form of Info-ZIP, which AWS Lambda unpacks.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use rayon::prelude::*;

/// The content at a path of an archive.
pub(super) enum Content {
    File {
        bytes: Arc<[u8]>,
        executable: bool,
    },
    /// A symbolic link with its target.
    Link(String),
    Directory,
}

impl Content {
    /// Returns the unpacked size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Content::File { bytes, .. } => bytes,
            Content::Link(target) => target.as_bytes(),
            Content::Directory => &[],
        }
    }

    /// Returns the type and mode on Unix. All entries are readable for all users, because Lambda rejects files that it cannot read.
    fn mode(&self) -> u32 {
        match self {
            Content::File {
                executable: false, ..
            } => 0o100_644,
            Content::File { executable: true, .. } => 0o100_755,
            Content::Link(_) => 0o120_777,
            Content::Directory => 0o040_755,
        }
    }
}

/// The signatures of a file, of its entry in the directory at the end, and of the end record.
const FILE: &[u8] = b"PK\x03\x04";
const LISTED: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// The length of the end record without a comment, in bytes.
const END_LENGTH: usize = 22;

/// One entry, compressed.
struct Entry<'e> {
    name: String,
    content: &'e Content,
    /// 0: stored, 8: deflated.
    method: u16,
    data: Vec<u8>,
    checksum: u32,
}

/// Returns the archive of at most 65,535 entries with less than 4 GiB in total.
pub(super) fn write(entries: &BTreeMap<String, Content>) -> Vec<u8> {
    // A directory with entries is implied by them.
    let holds = |path: &str| {
        let below = format!("{path}/");
        entries
            .range(below.clone()..)
            .next()
            .is_some_and(|(next, _)| next.starts_with(&below))
    };
    let listed = entries
        .par_iter()
        .filter(|(path, content)| !(matches!(content, Content::Directory) && holds(path)));
    let compressed: Vec<Entry<'_>> = listed.map(|(path, content)| compress(path, content)).collect();
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for entry in &compressed {
        let offset = size(out.len());
        let header = header(entry);
        out.extend_from_slice(FILE);
        out.extend_from_slice(&header);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&entry.data);
        list.extend_from_slice(LISTED);
        // "Made on Unix", so that the mode is used.
        list.extend_from_slice(&0x0314u16.to_le_bytes());
        list.extend_from_slice(&header);
        list.extend_from_slice(&[0; 6]);
        list.extend_from_slice(&(entry.content.mode() << 16).to_le_bytes());
        list.extend_from_slice(&offset.to_le_bytes());
        list.extend_from_slice(entry.name.as_bytes());
    }
    let (start, length) = (size(out.len()), size(list.len()));
    let count = u16::try_from(compressed.len()).unwrap_or(u16::MAX).to_le_bytes();
    out.extend_from_slice(&list);
    out.extend_from_slice(END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

fn compress<'e>(path: &str, content: &'e Content) -> Entry<'e> {
    let bytes = content.bytes();
    let mut checksum = flate2::Crc::new();
    checksum.update(bytes);
    let (method, data) = match content {
        Content::File { .. } => {
            let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            // Writing to memory cannot fail.
            let _ = deflate.write_all(bytes);
            (8, deflate.finish().unwrap_or_default())
        }
        Content::Link(_) | Content::Directory => (0, bytes.to_vec()),
    };
    let slash = if matches!(content, Content::Directory) {
        "/"
    } else {
        ""
    };
    Entry {
        name: format!("{path}{slash}"),
        content,
        method,
        data,
        checksum: checksum.sum(),
    }
}

/// Returns the header that an entry and its directory record share: version 2.0, names in UTF-8, the earliest possible date.
fn header(entry: &Entry<'_>) -> Vec<u8> {
    let mut header = Vec::with_capacity(26);
    for field in [20, 0x0800, entry.method, 0, 0x0021] {
        header.extend_from_slice(&u16::to_le_bytes(field));
    }
    for field in [
        entry.checksum,
        size(entry.data.len()),
        size(entry.content.bytes().len()),
    ] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    let length = u16::try_from(entry.name.len()).unwrap_or(u16::MAX);
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(&[0; 2]);
    header
}

/// Converts a size. [`super::LARGEST`] is far below the maximum.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Returns the unpacked size of a zip archive from its directory, or `None` if the bytes are not a zip archive.
pub(super) fn unpacked(bytes: &[u8]) -> Option<u64> {
    // A comment of up to 64 KiB may follow the end.
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let end = (first..=last).rev().find(|at| bytes[*at..].starts_with(END))?;
    let number = |at: usize, length: usize| -> Option<u64> {
        let field = bytes.get(at..at + length)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    };
    let count = number(end + 10, 2)?;
    let mut at = usize::try_from(number(end + 16, 4)?).ok()?;
    let mut total = 0u64;
    for _ in 0..count {
        if !bytes.get(at..)?.starts_with(LISTED) {
            return None;
        }
        total += number(at + 24, 4)?;
        let names = number(at + 28, 2)? + number(at + 30, 2)? + number(at + 32, 2)?;
        at += 46 + usize::try_from(names).ok()?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_unpacked_size_of_an_archive() {
        let file = |text: &str| Content::File {
            bytes: text.as_bytes().into(),
            executable: false,
        };
        let entries = [
            ("a.py", file(&"x = 1\n".repeat(1000))),
            ("b", Content::Link("a.py".to_owned())),
            ("c", Content::Directory),
        ];
        let entries = entries.map(|(path, content)| (path.to_owned(), content));
        let archive = write(&entries.into());
        assert_eq!(unpacked(&archive), Some(6004));
        assert_eq!(unpacked(b"print(1)"), None);
        assert_eq!(unpacked(&archive[..archive.len() - 1]), None);
        let mut commented = archive;
        commented.extend_from_slice(b"made by a build");
        assert_eq!(unpacked(&commented), Some(6004));
    }
}
