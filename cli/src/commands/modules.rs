//! `terrace modules`: the modules that are in the program.

use std::fmt::Write as _;

use terrace_artifact::to_json_compact;
use terrace_compiler::diagnostic::Diagnostics;
use terrace_compiler::document::{Document, Module};
use terrace_compiler::library;
use terrace_compiler::node::Node;
use terrace_compiler::source::Files;
use terrace_compiler::validate::Kind;
use terrace_compiler::yaml;

use crate::arguments::Modules;
use crate::console::Console;
use crate::problem::{Problem, Status};

pub(crate) fn run(command: &Modules, console: &Console) -> Result<Status, Problem> {
    match command {
        Modules::List => list(console),
        Modules::Show { name, source: true } => source(name).and_then(|text| {
            console.data(text)?;
            Ok(Status::Done)
        }),
        Modules::Show { name, source: false } => show(name, console),
    }
}

fn list(console: &Console) -> Result<Status, Problem> {
    let modules: Vec<Module> = library::MODULES
        .iter()
        .filter_map(|(name, text)| read(name, text))
        .collect();
    let widest = modules
        .iter()
        .map(|module| module.name.value.len())
        .max()
        .unwrap_or_default();
    let mut page = String::new();
    for module in &modules {
        let (name, version, summary) = (&module.name.value, &module.version.value, &module.summary.value);
        let _ = writeln!(page, "{name:widest$}  {version}  {summary}");
    }
    console.data(&page)?;
    Ok(Status::Done)
}

fn show(name: &str, console: &Console) -> Result<Status, Problem> {
    let module = read(name, source(name)?).ok_or_else(|| {
        Problem::new(format!(
            "the module `{name}` of this program cannot be read; please report it"
        ))
    })?;
    console.data(&page(&module))?;
    Ok(Status::Done)
}

fn source(name: &str) -> Result<&'static str, Problem> {
    library::text(name).ok_or_else(|| {
        let problem = Problem::new(format!("no module of the program is named `{name}`"));
        match terrace_catalog::nearest(name, library::MODULES.iter().map(|(name, _)| *name)) {
            Some(nearest) => problem.help(format!("`{nearest}` exists")),
            None => problem.help("to see them all:\n  terrace modules list"),
        }
    })
}

fn read(name: &str, text: &str) -> Option<Module> {
    let path = format!("module:{name}/module.yaml");
    let nodes = yaml::read(
        &path,
        text.as_bytes(),
        &mut Files::default(),
        &mut Diagnostics::new(),
    );
    let node = nodes.into_iter().next()?;
    match Document::decode(Kind::Module, node) {
        Document::Module(module) => Some(module),
        _ => None,
    }
}

/// A page of Markdown: what one needs to use it.
fn page(module: &Module) -> String {
    let mut page = format!(
        "# {} {}\n\n{}\n",
        module.name.value, module.version.value, module.summary.value
    );
    let _ = write!(
        page,
        "\n```yaml\nkind: Component\nname: {0}\nmodule: {0}@^{1}\n```\n",
        module.name.value, module.version.value.major
    );
    if !module.body.requires.is_empty() {
        page.push_str("\n## needs beside it\n\n");
        for (name, requirement) in &module.body.requires {
            let _ = writeln!(page, "- `{}@{}`", name.value, requirement.value);
        }
    }
    let inputs = module.node.get("inputs").map(Node::entries).unwrap_or_default();
    if !inputs.is_empty() {
        page.push_str("\n## inputs\n\n");
        for (name, schema) in inputs {
            let _ = writeln!(page, "- `{name}`: {}", input(schema));
        }
    }
    if !module.body.outputs.is_empty() {
        page.push_str("\n## outputs\n\n");
        for (name, _) in &module.body.outputs {
            let _ = writeln!(page, "- `{}`", name.value);
        }
    }
    if !module.body.resources.is_empty() {
        page.push_str("\n## resources\n\n");
        for (name, node) in &module.body.resources {
            let kind = node.get("type").and_then(Node::as_str).unwrap_or_default();
            let _ = writeln!(page, "- `{}`: {kind}", name.value);
        }
    }
    page
}

/// `integer, 1 to 50, default 2: how many`.
fn input(schema: &Node) -> String {
    let text = |key: &str| schema.get(key).map(|node| to_json_compact(&node.to_value()));
    let mut line = schema
        .get("type")
        .and_then(Node::as_str)
        .unwrap_or("any")
        .to_owned();
    let bare = |value: String| value.trim_matches('"').to_owned();
    match (text("minimum").map(bare), text("maximum").map(bare)) {
        (Some(low), Some(high)) => line.push_str(&format!(", {low} to {high}")),
        (Some(low), None) => line.push_str(&format!(", at least {low}")),
        (None, Some(high)) => line.push_str(&format!(", at most {high}")),
        (None, None) => {}
    }
    if let Some(words) = schema.get("enum") {
        let words: Vec<String> = words
            .items()
            .iter()
            .map(|word| to_json_compact(&word.to_value()))
            .collect();
        line.push_str(&format!(", one of {}", words.join(", ")));
    }
    match text("default") {
        None => line.push_str(", required"),
        Some(default) if default == "null" => line.push_str(", optional"),
        Some(default) => line.push_str(&format!(", default {default}")),
    }
    if let Some(description) = schema.get("description").and_then(Node::as_str) {
        line.push_str(&format!(": {}", description.trim()));
    }
    line
}
