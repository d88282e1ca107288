//! Properties of whole stacks that take several compilations or a generated stack. `tests/language` contains the tests of single stacks.

mod partitions;
mod pipelines;
mod renamed;

use terrace_artifact::File;
use terrace_compiler::source::MemorySources;
use terrace_compiler::{Compiled, Request, compile};

/// The documents of a platform with one environment.
const BASE: &str = "
{kind: Platform, name: acme}
---
{kind: Environment, name: development, class: development, directory: out}
---
";

/// Compiles a whole stack.
fn run(text: &str) -> Compiled {
    compile(&MemorySources::new([("stack.yaml", text)]), &Request::default())
}

/// Compiles documents, added to a platform with one environment.
fn run_on_platform(text: &str) -> Compiled {
    run(&format!("{BASE}{text}"))
}

/// Formats the diagnostics, one per line: `code: message <text of the span>`.
fn report(compiled: &Compiled) -> String {
    let lines = compiled.diagnostics.iter().map(|diagnostic| {
        let place = diagnostic.primary.as_ref();
        let text = place.map_or("", |label| compiled.files.text(label.span));
        format!("{}: {} <{text}>", diagnostic.code.slug(), diagnostic.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the files of the first bundle. Fails if there are diagnostics.
#[track_caller]
fn files(compiled: &Compiled) -> Vec<File> {
    assert_eq!(report(compiled), "");
    terrace_artifact::files(&compiled.bundles[0])
}
