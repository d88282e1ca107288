//! Files and directories that templates name by digest: read through the sources, packed the same way on every machine.
//!
//! A file is delivered as it is. A directory becomes a zip archive that holds exactly what the directory holds: see [`tree`] for
//! what is left out and what is refused, [`archive`] for the bytes.

mod archive;
mod leaks;
mod place;
mod tree;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use terrace_artifact::{Digest, Text};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, listed};
use crate::document::Spanned;
use crate::source::{EntryKind, SourceError, Sources, Span};

pub(crate) use leaks::Leak;

/// The most bytes that the files of one asset may have together. They are held in memory, and sent in one request.
pub(crate) const LARGEST: u64 = 1 << 30;

/// How many problems of one asset are reported.
const MOST_REPORTED: usize = 5;

/// How many files that are left out are named.
const MOST_NAMED: usize = 8;

/// The assets of a stack. Each is read and packed once in a compilation, however often it is named.
pub(crate) struct Assets<'a> {
    sources: &'a dyn Sources,
    /// Directories outside of the stack's that assets may come from.
    roots: Vec<String>,
    known: Mutex<BTreeMap<String, Arc<Known>>>,
}

/// What is known of one asset.
#[derive(Default)]
struct Known {
    /// The asset, packed when it is first asked for.
    packed: OnceLock<Result<Arc<Packed>, Refused>>,
    /// The first place that names it.
    named: Mutex<Option<Span>>,
}

/// Why an asset cannot be delivered: at least one reason.
type Refused = Arc<[Refusal]>;

/// One reason why an asset cannot be delivered as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
    /// What the place that names the asset is.
    label: String,
    help: Vec<String>,
}

/// An asset, ready for delivery.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Its key in the bootstrap bucket.
    pub(crate) key: Text,
    /// The digest of the bytes: of the content, the names and the modes of all files, and of nothing else.
    pub(crate) digest: Digest,
    /// What is delivered.
    pub(crate) bytes: Vec<u8>,
    /// Whether it is a directory that was packed.
    pub(crate) directory: bool,
    /// How many bytes its files have together. Nothing where it is a file that is no zip archive.
    pub(crate) unpacked: Option<u64>,
    /// What its directory has and the archive has not: paths, each with who leaves it out.
    pub(crate) excluded: Vec<(String, String)>,
    /// Paths that differ only in upper and lower case.
    pub(crate) alike: Vec<(String, String)>,
    /// Secrets in its files.
    pub(crate) leaks: Vec<Leak>,
}

impl<'a> Assets<'a> {
    /// Those of these sources; nothing is read yet.
    pub(crate) fn new(sources: &'a dyn Sources, roots: &[Spanned<Text>]) -> Assets<'a> {
        let outside = roots.iter().filter_map(|root| place::normalized(&root.value));
        Assets {
            sources,
            roots: outside.map(|parts| parts.join("/")).collect(),
            known: Mutex::default(),
        }
    }

    /// A file as it is, or a directory as a zip archive. `span` is what names it.
    pub(crate) fn packed(&self, path: &str, span: Span) -> Result<Arc<Packed>, Refused> {
        let known = self.known(path);
        {
            let mut named = known.named.lock().unwrap_or_else(PoisonError::into_inner);
            *named = Some(named.map_or(span, |first| first.min(span)));
        }
        known.packed.get_or_init(|| self.pack(path).map(Arc::new)).clone()
    }

    /// The text of an asset that is a file of text.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let known = self.known(path);
        let packed = known.packed.get_or_init(|| self.pack(path).map(Arc::new));
        let packed = packed.as_ref().ok().filter(|packed| packed.unpacked.is_none())?;
        String::from_utf8(packed.bytes.clone()).ok()
    }

    fn known(&self, path: &str) -> Arc<Known> {
        // `src`, `./src` and `src/` are one asset.
        let key = place::normalized(path).map_or_else(|| path.to_owned(), |parts| parts.join("/"));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever packs another asset meanwhile does not wait for this one.
        known.entry(key).or_default().clone()
    }

    fn pack(&self, path: &str) -> Result<Packed, Refused> {
        let one = |refusal: Refusal| Refused::from([refusal]);
        let place = place::find(self.sources, &self.roots, path).map_err(one)?;
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

    /// Says once of each asset what its archive leaves out.
    pub(crate) fn report_exclusions(&self, diagnostics: &mut Diagnostics) {
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

/// A file that is delivered as it is.
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
        0 => format!("the asset `{path}` leaves out {}", listed(names)),
        _ => format!("the asset `{path}` leaves out {} and {more} more", listed(names)),
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

    /// The same of an asset that is named at `span`.
    pub(crate) fn diagnostic(&self, span: Span) -> Diagnostic {
        let diagnostic = Diagnostic::new(self.code, &self.message).at(span, &self.label);
        self.help.iter().fold(diagnostic, Diagnostic::help)
    }
}

/// Reasons as they are reported: the first few, and how many more there are.
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
    .help("the path is looked for from the stack's directory")
}

fn too_large(path: &str, bytes: u64) -> Refusal {
    Refusal::new(
        Code::AssetTooLarge,
        format!("the asset `{path}` has more than {} MiB", LARGEST >> 20),
        format!("its files have {} MiB together, so far", bytes >> 20),
    )
    .help("leave out what is not needed at run time with `.terraceignore`, or bring large files into a bucket of their own")
}

fn special(path: &str, kind: &EntryKind) -> Refusal {
    Refusal::new(
        Code::InvalidAsset,
        format!("`{path}` is {}", kind.shown()),
        "only files and directories can be delivered",
    )
}
