//! A file of compressed chunks with an index of names. A chunk is unpacked only when one of its sections is used.
//!
//! ```text
//! u32 length of the packed index, the packed index
//! the packed chunks, concatenated
//! ```
//! The unpacked index has the packed length of each chunk, then for each name its chunk and its position in the chunk. An
//! unpacked chunk has its strings, then its sections. A section has the number of its nodes, the nodes, then data of the caller.

use std::io::{Read, Write};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::node::{Node, Reader, Strings, Writer};

/// An open embedded file.
#[derive(Debug)]
pub struct Store {
    entries: Vec<Entry>,
    chunks: Vec<Chunk>,
}

/// A name and the position of its section.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    chunk: u32,
    section: u32,
}

#[derive(Debug)]
struct Chunk {
    packed: &'static [u8],
    unpacked: OnceLock<(Strings, &'static [u8])>,
}

/// The nodes of one schema, or of several schemas that share them.
#[derive(Debug)]
pub struct Section {
    /// The nodes.
    pub nodes: Vec<Node<'static>>,
}

impl Store {
    /// Opens an embedded file and unpacks its index.
    pub fn open(bytes: &'static [u8]) -> Store {
        let (length, rest) = bytes.split_at(4);
        let length = length
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (index, mut rest) = rest.split_at(length);
        let (strings, index) = Reader::chunk(unpack(index));
        let mut reader = Reader::at(index, 0);
        let chunks = reader.list(|r| {
            let (packed, after) = rest.split_at(r.number() as usize);
            rest = after;
            Chunk {
                packed,
                unpacked: OnceLock::new(),
            }
        });
        let entries = reader.list(|r| Entry {
            name: r.string(&strings),
            chunk: r.number() as u32,
            section: r.number() as u32,
        });
        Store { entries, chunks }
    }

    /// Iterates over the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + '_ {
        self.entries.iter().map(|entry| entry.name)
    }

    /// Returns the name at an index.
    pub fn name(&self, index: usize) -> &'static str {
        self.entries[index].name
    }

    /// Returns the position of a name's section: its chunk and its offset. Names that share a section have the same position.
    pub fn section_of(&self, index: usize) -> (u32, u32) {
        (self.entries[index].chunk, self.entries[index].section)
    }

    /// Reads the section of the name at an index: its nodes, then the caller's data with `rest`.
    pub fn read<T>(&self, index: usize, rest: impl FnOnce(&mut Reader, &Strings) -> T) -> (Section, T) {
        let entry = &self.entries[index];
        let chunk = &self.chunks[entry.chunk as usize];
        let (strings, bytes) = chunk.unpacked.get_or_init(|| Reader::chunk(unpack(chunk.packed)));
        let mut reader = Reader::at(bytes, entry.section as usize);
        let nodes = reader.list(|r| r.node(strings));
        let rest = rest(&mut reader, strings);
        (Section { nodes }, rest)
    }
}

/// Unpacks bytes and leaks them, because the nodes borrow their strings until the program ends.
fn unpack(packed: &[u8]) -> &'static [u8] {
    let mut out = Vec::new();
    // `Packer` wrote the data, so unpacking cannot fail. A test reads every section.
    let _ = DeflateDecoder::new(packed).read_to_end(&mut out);
    out.leak()
}

/// A writer of such a file. It closes a chunk that reaches `limit` bytes.
#[derive(Debug)]
pub struct Packer {
    limit: usize,
    chunk: Writer,
    chunks: Vec<Vec<u8>>,
    entries: Vec<(String, usize, usize)>,
}

impl Packer {
    /// Creates a writer of chunks with about `limit` unpacked bytes.
    pub fn new(limit: usize) -> Packer {
        Packer {
            limit,
            chunk: Writer::default(),
            chunks: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds a section that all of `names` refer to.
    pub fn section(&mut self, names: &[String], nodes: &[Node<'_>], rest: impl FnOnce(&mut Writer)) {
        if self.chunk.position() > self.limit {
            self.close();
        }
        let (chunk, section) = (self.chunks.len(), self.chunk.position());
        self.chunk.list(nodes, |w, node| w.node(node));
        rest(&mut self.chunk);
        self.entries
            .extend(names.iter().map(|name| (name.clone(), chunk, section)));
    }

    /// Returns the bytes of the file.
    pub fn finish(mut self) -> Vec<u8> {
        self.close();
        self.entries.sort();
        let mut index = Writer::default();
        index.list(&self.chunks, |w, chunk| w.number(chunk.len() as u64));
        index.list(&self.entries, |w, (name, chunk, section)| {
            w.string(name);
            w.number(*chunk as u64);
            w.number(*section as u64);
        });
        let index = pack(&index.finish());
        let mut out = (index.len() as u32).to_le_bytes().to_vec();
        out.extend(index);
        out.extend(self.chunks.concat());
        out
    }

    fn close(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunks.push(pack(&chunk.finish()));
    }
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
