//! Loads a stack: reads every document and validates it against its schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;
use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, one_of};
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;
use terrace_syntax::source::{FileId, Files, SourceError, Sources, Span};
use terrace_syntax::yaml;

use crate::document::{
    Component, ComponentSource, Document, Module, Platform, SortedDocuments, StackDocuments,
};
use crate::module::library;
use crate::validate;

/// The documents of some files.
#[derive(Default)]
pub struct Read {
    /// The documents that have a kind and a name. A document may be invalid, which was reported. It is kept only to find
    /// further errors.
    pub documents: Vec<Document>,
    /// Whether other documents could not be read.
    pub(crate) lost: bool,
}

impl Read {
    /// Wraps documents that were all read.
    pub fn of(documents: Vec<Document>) -> Read {
        Read {
            documents,
            lost: false,
        }
    }

    fn extend(&mut self, other: Read) {
        self.documents.extend(other.documents);
        self.lost |= other.lost;
    }
}

/// Reads a stack. Returns `None` if it has no Platform.
pub fn load(
    sources: &dyn Sources,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Option<StackDocuments> {
    let paths = match sources.list("") {
        Ok(paths) => stack_paths(paths),
        Err(error) => {
            diagnostics.push(Diagnostic::new(
                Code::Unreadable,
                format!("cannot read the directory of the stack: {error}"),
            ));
            return None;
        }
    };
    let mut all = read(sources, &paths, files, diagnostics);
    if let Some(several) = several_stacks(&all.documents, files) {
        // Other problems are in stacks that the user did not name.
        *diagnostics = Diagnostics::new();
        diagnostics.push(several);
        return None;
    }
    let folders: Vec<Spanned<Text>> = all
        .documents
        .iter()
        .filter_map(|document| match document {
            Document::Platform(platform) => Some(platform.modules.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let mut seen: BTreeSet<String> = paths.into_iter().collect();
    for folder in folders {
        if diagnostics.has_errors_at(folder.span) {
            continue;
        }
        let below = folder.value.trim_start_matches("./").trim_end_matches('/');
        match sources.list(below) {
            Ok(paths) => {
                let modules = |path: &String| path.ends_with("/module.yaml") && !path.contains("/tests/");
                let paths: Vec<String> = paths
                    .into_iter()
                    .filter(modules)
                    .filter(|path| seen.insert(path.clone()))
                    .collect();
                all.extend(read(sources, &paths, files, diagnostics));
            }
            Err(error) => {
                all.lost = true;
                diagnostics.push(
                    Diagnostic::new(
                        Code::Unreadable,
                        format!("cannot read the modules in `{}`", folder.value),
                    )
                    .at(folder.span, error.to_string())
                    .note("the path is relative to the directory of the stack"),
                );
            }
        }
    }
    assemble(all, files, diagnostics)
}

/// Reports a directory that is not a stack and contains several: each has its Platform in its own directory.
fn several_stacks(documents: &[Document], files: &Files) -> Option<Diagnostic> {
    const NAMED: usize = 5;
    let platforms = documents.iter().filter_map(|document| match document {
        Document::Platform(platform) => Some(platform.name.span),
        _ => None,
    });
    let folder = |span: Span| {
        let path = &files.get(span.file).path;
        let (folder, _) = path.rsplit_once('/')?;
        Some((folder.matches('/').count(), folder.to_owned()))
    };
    // A Platform in the directory itself makes it a stack.
    let folders: BTreeSet<(usize, String)> = platforms.map(folder).collect::<Option<_>>()?;
    let mut names: Vec<String> = folders
        .into_iter()
        .map(|(_, folder)| format!("`{folder}`"))
        .collect();
    let count = names.len();
    if count < 2 {
        return None;
    }
    let last = if count > NAMED {
        names.truncate(NAMED);
        format!("{} others", count - NAMED)
    } else {
        names.pop()?
    };
    Some(
        Diagnostic::new(
            Code::NoPlatform,
            format!("this directory is not a stack, and contains {count} stacks"),
        )
        .help(format!(
            "name the directory of one stack: {} or {last}",
            names.join(", ")
        )),
    )
}

/// Returns the YAML files of a stack, without hidden files, output, golden files and the files of a module directory.
fn stack_paths(paths: Vec<String>) -> Vec<String> {
    let folder = |path: &str| {
        path.rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"))
    };
    let foreign: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let module = path.ends_with("/module.yaml").then(|| folder(path));
            // Terrace writes this file to its output directories.
            module.or_else(|| path.strip_suffix(".terrace/manifest.json").map(str::to_owned))
        })
        .filter(|folder| !folder.is_empty())
        .collect();
    let mut paths: Vec<String> = paths
        .into_iter()
        .filter(|path| path.ends_with(".yaml") || path.ends_with(".yml"))
        .filter(|path| path.split('/').all(|part| !part.starts_with('.')))
        .filter(|path| !path.starts_with("golden/") && !path.starts_with("out/"))
        .filter(|path| {
            path.ends_with("/module.yaml") || !foreign.iter().any(|folder| path.starts_with(folder.as_str()))
        })
        .collect();
    paths.sort();
    paths
}

fn read(sources: &dyn Sources, paths: &[String], files: &mut Files, diagnostics: &mut Diagnostics) -> Read {
    let mut all = Read::default();
    let contents: Vec<Result<Arc<[u8]>, SourceError>> =
        paths.par_iter().map(|path| sources.read(path)).collect();
    let mut opened = Vec::new();
    for (path, bytes) in paths.iter().zip(contents) {
        match bytes {
            Ok(bytes) => {
                let file = yaml::open(path, &bytes, files, diagnostics);
                all.lost |= file.is_none();
                opened.extend(file);
            }
            Err(error) => {
                all.lost = true;
                diagnostics.push(Diagnostic::new(
                    Code::Unreadable,
                    format!("cannot read `{path}`: {error}"),
                ));
            }
        }
    }
    let results: Vec<(Read, Diagnostics)> = opened
        .par_iter()
        .map(|file| {
            let mut diagnostics = Diagnostics::new();
            (documents_of(*file, files, &mut diagnostics), diagnostics)
        })
        .collect();
    for (documents, found) in results {
        all.extend(documents);
        diagnostics.append(found);
    }
    all
}

pub fn documents_of(file: FileId, files: &Files, diagnostics: &mut Diagnostics) -> Read {
    let mut unread = Diagnostics::new();
    let nodes = yaml::parse(file, files, &mut unread);
    let readable = !unread.has_errors();
    diagnostics.append(unread);
    let mut read = Read {
        documents: Vec::new(),
        lost: !readable,
    };
    for node in nodes
        .into_iter()
        .filter(|node| !node.is_null() && !is_foreign(node))
    {
        // A document with a syntax error may have lost its entries.
        if !readable && node.entries().is_empty() {
            continue;
        }
        terrace_syntax::secrets::literal_secrets(&node, files, diagnostics);
        validate::validate(&node, files, diagnostics);
        let named = node.get("name").is_some_and(|name| name.as_str().is_some());
        match validate::kind(&node).filter(|_| readable && named) {
            Some(kind) => read.documents.push(Document::decode(kind, node)),
            None => read.lost = true,
        }
    }
    read
}

/// Returns whether a document is a Kubernetes manifest, which has its own `apiVersion`.
fn is_foreign(node: &Node) -> bool {
    let version = node.get("apiVersion").and_then(Node::as_str);
    version.is_some_and(|version| !version.starts_with("terrace"))
}

pub fn assemble(read: Read, files: &mut Files, diagnostics: &mut Diagnostics) -> Option<StackDocuments> {
    let mut documents = SortedDocuments::sort(read.documents, diagnostics);
    let platform = only_platform(std::mem::take(&mut documents.platform), diagnostics)?;
    for name in used_modules(&documents.components, &documents.modules) {
        let Some(text) = library::text(&name) else {
            continue;
        };
        let path = format!("module:{name}/module.yaml");
        let Some(file) = yaml::open(&path, text.as_bytes(), files, diagnostics) else {
            continue;
        };
        for document in documents_of(file, files, diagnostics).documents {
            if let Document::Module(module) = document {
                documents.modules.push(module);
            }
        }
    }
    Some(documents.into_stack(platform, read.lost))
}

/// Returns the platform of a stack, the first if there are several. Reports a stack that does not have exactly one.
fn only_platform(platforms: Vec<Platform>, diagnostics: &mut Diagnostics) -> Option<Platform> {
    if let [first, second, ..] = platforms.as_slice() {
        let message = "the stack has more than one `Platform` document";
        diagnostics
            .push(Diagnostic::new(Code::NoPlatform, message).repeats(second.name.span, first.name.span));
    }
    let platform = platforms.into_iter().next();
    // An invalid Platform was reported already.
    if platform.is_none() && !diagnostics.has_errors() {
        diagnostics.push(
            Diagnostic::new(
                Code::NoPlatform,
                "this directory has no document of kind `Platform`",
            )
            .help(
                "add one, such as `{kind: Platform, name: acme}`, or create a stack with `terrace init DIR`",
            ),
        );
    }
    platform
}

/// Returns the built-in modules that components use. A misspelled name counts as the most similar one, so that the inputs of
/// the component are checked as well.
fn used_modules(components: &[Component], own: &[Module]) -> BTreeSet<Text> {
    let names = || library::MODULES.iter().map(|(name, _)| *name);
    components
        .iter()
        .filter_map(|component| match &component.recipe {
            ComponentSource::Module { module, .. } => Some(module.name.value.clone()),
            ComponentSource::Own(_) => None,
        })
        .filter(|name| !own.iter().any(|module| module.name.value == *name))
        .filter_map(|name| match library::text(&name) {
            Some(_) => Some(name),
            None => terrace_catalog::nearest(&name, names()).map(Text::from),
        })
        .collect()
}

/// Reports a name that does not exist, and suggests a similar one or lists the names that exist.
pub fn unknown<'a>(
    code: Code,
    what: &str,
    name: &str,
    span: Span,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        code,
        format!("no {what} is named `{}`", terrace_syntax::diagnostic::shown(name)),
    )
    .at(span, "")
    .nearest(span, name, known.clone());
    if !diagnostic.help.is_empty() {
        return diagnostic;
    }
    match known.clone().count() {
        0 => diagnostic.note(format!("this stack has no {what}s")),
        1..=12 => diagnostic.at(span, format!("expected {}", one_of(known))),
        _ => diagnostic,
    }
}
