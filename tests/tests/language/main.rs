//! Compiles the examples of the language: the documents in `tests/language`, the language reference and the pages of the codes.

mod reference;

use std::path::Path;

use terrace_artifact::files;
use terrace_compiler::source::MemorySources;
use terrace_compiler::{Compiled, Request, compile};
use terrace_diagnostics::Drawing;
use terrace_tests::language::{Outcome, Stack, check};
use terrace_tests::tools;

/// The directory of the documents.
const DOCUMENTS: &str = "tests/language/";

#[test]
fn every_document_shows_the_results_of_its_examples() {
    let (mut documents, mut failures) = (0, Vec::new());
    for (path, _) in tools::tracked_files(&["md"]) {
        if path
            .strip_prefix(DOCUMENTS)
            .is_none_or(|name| name == "README.md")
        {
            continue;
        }
        documents += 1;
        if let Err(found) = check(&path, outcome) {
            failures.extend(found);
        }
    }
    assert!(documents > 0, "{DOCUMENTS} contains no documents");
    assert!(
        failures.is_empty(),
        "{} failures\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Compiles the files of a stack.
fn compiled(files: impl IntoIterator<Item = (String, String)>, set: Vec<String>) -> Compiled {
    let request = Request {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        today: "2026-11-21".to_owned(),
        set,
        ..Request::default()
    };
    compile(&MemorySources::new(files), &request)
}

/// Compiles an example. A file of one environment keeps its path; if there are several, the path begins with the environment.
fn outcome(stack: &Stack) -> Outcome {
    let compiled = compiled(stack.files.clone(), stack.set.clone());
    let mut emitted = Vec::new();
    for bundle in &compiled.bundles {
        for mut file in files(bundle) {
            if compiled.bundles.len() > 1 {
                file.path = format!("{}/{}", bundle.environment.name, file.path);
            }
            emitted.push(file);
        }
    }
    Outcome {
        diagnostics: Drawing::new(&compiled.files, Path::new(""), false).all(&compiled.diagnostics),
        files: emitted,
    }
}
