//! Files and directories that templates refer to by digest. They are packed to the same bytes on every machine.
//!
//! A file is delivered unchanged. A directory is packed into a zip archive with its contents: see [`tree`] for excluded and rejected files, and
//! [`archive`] for the format.

mod archive;
mod leaks;
mod location;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use terrace_artifact::{Digest, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};
use terrace_syntax::source::Spanned;
use terrace_syntax::source::{EntryKind, SourceError, Sources, Span};

pub(crate) use leaks::Leak;

/// The maximum total size of the files of one asset, in bytes. They are kept in memory and sent in one request.
pub(crate) const LARGEST: u64 = 1 << 30;

/// The maximum number of problems that are reported for one asset.
const MOST_REPORTED: usize = 5;

/// The maximum number of excluded files that a message names.
const MOST_NAMED: usize = 8;

/// The assets of a stack. Each asset is read and packed once per compilation.
pub struct Assets<'a> {
    sources: &'a dyn Sources,
    /// Directories outside the stack's directory that may contain assets.
    roots: Vec<String>,
    known: Mutex<BTreeMap<String, Arc<AssetState>>>,
}

/// The state of one asset.
#[derive(Default)]
struct AssetState {
    /// The asset, packed on first use.
    packed: OnceLock<Result<Arc<Packed>, Refused>>,
    /// The first place that names it.
    named: Mutex<Option<Span>>,
}

/// The reasons why an asset cannot be delivered, at least one.
type Refused = Arc<[Refusal]>;

/// One reason why an asset cannot be delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    code: Code,
    message: String,
    /// The label of the place that names the asset.
    label: String,
    help: Vec<String>,
}

/// An asset, ready for delivery.
#[derive(Debug)]
pub struct Packed {
    /// The key in the bootstrap bucket.
    pub key: Text,
    /// The digest of the bytes. It depends only on the contents, names and modes of all files.
    pub digest: Digest,
    /// The delivered bytes.
    pub bytes: Vec<u8>,
    /// Whether the asset is a packed directory.
    pub directory: bool,
    /// The total size of the unpacked files in bytes, or `None` for a file that is not a zip archive.
    pub unpacked: Option<u64>,
    /// The excluded paths of the directory, each with the rule that excludes it.
    pub excluded: Vec<(String, String)>,
    /// Pairs of paths that differ only in case.
    pub alike: Vec<(String, String)>,
    /// Secrets in its files.
    pub leaks: Vec<Leak>,
}

impl<'a> Assets<'a> {
    /// Creates the assets of these sources. Nothing is read yet.
    pub fn new(sources: &'a dyn Sources, roots: &[Spanned<Text>]) -> Assets<'a> {
        let outside = roots.iter().filter_map(|root| location::normalized(&root.value));
        Assets {
            sources,
            roots: outside.map(|parts| parts.join("/")).collect(),
            known: Mutex::default(),
        }
    }

    /// Returns a file unchanged, or a directory as a zip archive. `span` is the place that names the asset.
    pub fn packed(&self, path: &str, span: Span) -> Result<Arc<Packed>, Refused> {
        let known = self.known(path);
        {
            let mut named = known.named.lock().unwrap_or_else(PoisonError::into_inner);
            *named = Some(named.map_or(span, |first| first.min(span)));
        }
        known.packed.get_or_init(|| self.pack(path).map(Arc::new)).clone()
    }

    /// Returns the content of an asset that is a text file.
    pub fn text(&self, path: &str) -> Option<String> {
        let known = self.known(path);
        let packed = known.packed.get_or_init(|| self.pack(path).map(Arc::new));
        let packed = packed.as_ref().ok().filter(|packed| packed.unpacked.is_none())?;
        String::from_utf8(packed.bytes.clone()).ok()
    }

    fn known(&self, path: &str) -> Arc<AssetState> {
        // `src`, `./src` and `src/` are one asset.
        let key = location::normalized(path).map_or_else(|| path.to_owned(), |parts| parts.join("/"));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock is released before packing, so that other assets can be packed in parallel.
        known.entry(key).or_default().clone()
    }

    fn pack(&self, path: &str) -> Result<Packed, Refused> {
        let one = |refusal: Refusal| Refused::from([refusal]);
        let place = location::find(self.sources, &self.roots, path).map_err(one)?;
        let name = place.asked.last().copied().unwrap_or_default();
        match &place.kind {
            EntryKind::Directory => tree::pack(self.sources, &place.path, &place.root, path)
                .map_err(Refused::from)
                .map(|tree| tree.packed(name)),
            EntryKind::File { bytes, .. } if *bytes > LARGEST => Err(one(too_large(path, *bytes))),
            EntryKind::File { .. } => match self.sources.read(&place.path) {
                Ok(bytes) => Ok(file(name, bytes.to_vec())),
                Err(error) => Err(one(unreadable(path, &error))),
            },
            EntryKind::Link { .. } | EntryKind::Other(_) => Err(one(special(path, &place.kind))),
        }
    }

    /// Reports the excluded files of each asset once.
    pub fn report_exclusions(&self, diagnostics: &mut Diagnostics) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, known) in known.iter() {
            let named = *known.named.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(span), Some(Ok(packed))) = (named, known.packed.get())
                && !packed.excluded.is_empty()
            {
                diagnostics.push(exclusions(path, &packed.excluded).at(span, "packed here"));
            }
        }
    }
}

/// Returns a file that is delivered unchanged.
fn file(name: &str, bytes: Vec<u8>) -> Packed {
    let digest = Digest::of_bytes(&bytes);
    Packed {
        key: format!("assets/{digest}/{name}").into(),
        digest,
        directory: false,
        unpacked: archive::unpacked(&bytes),
        excluded: Vec::new(),
        alike: Vec::new(),
        leaks: leaks::in_file(name, &bytes).into_iter().collect(),
        bytes,
    }
}

fn exclusions(path: &str, excluded: &[(String, String)]) -> Diagnostic {
    let names = excluded.iter().take(MOST_NAMED).map(|(name, _)| name);
    let more = excluded.len().saturating_sub(MOST_NAMED);
    let message = match more {
        0 => format!("the asset `{path}` excludes {}", listed(names)),
        _ => format!("the asset `{path}` excludes {} and {more} more", listed(names)),
    };
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, rule) in excluded.iter().take(MOST_NAMED) {
        by.entry(rule).or_default().push(name);
    }
    by.into_iter().fold(
        Diagnostic::new(Code::ExcludedFiles, message),
        |diagnostic, (rule, names)| diagnostic.note(format!("{}: {rule}", listed(names))),
    )
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>, label: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
            label: label.into(),
            help: Vec::new(),
        }
    }

    fn help(mut self, text: impl Into<String>) -> Refusal {
        self.help.push(text.into());
        self
    }

    /// Returns the diagnostic for the place that names the asset.
    pub fn diagnostic(&self, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.code, &self.message).at(span, &self.label);
        self.help.iter().fold(diagnostic, Diagnostic::help)
    }
}

/// Returns the first reasons, with the number of further ones.
fn most_reported(mut refusals: Vec<Refusal>) -> Vec<Refusal> {
    let more = refusals.len().saturating_sub(MOST_REPORTED);
    refusals.truncate(MOST_REPORTED);
    if let (Some(last), true) = (refusals.last_mut(), more > 0) {
        let problems = if more == 1 { "problem" } else { "problems" };
        last.help
            .push(format!("the asset has {more} more {problems} like this"));
    }
    refusals
}

fn unreadable(path: &str, error: &SourceError) -> Refusal {
    Refusal::new(
        Code::MissingAsset,
        format!("the asset `{path}` cannot be read"),
        error.to_string(),
    )
    .help("write the path relative to the directory of the stack")
}

fn too_large(path: &str, bytes: u64) -> Refusal {
    Refusal::new(
        Code::AssetTooLarge,
        format!("the asset `{path}` is larger than {} MiB", LARGEST >> 20),
        format!("its files are at least {} MiB in total", bytes >> 20),
    )
    .help("exclude files that are not needed at run time with `.terraceignore`, or store large files in a separate bucket")
}

fn special(path: &str, kind: &EntryKind) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("`{path}` is {}", kind.shown()),
        "only files and directories can be delivered",
    )
}
