//! `terrace modules`: lists and describes the built-in modules.

use std::fmt::Write as _;

use terrace_artifact::{Text, to_json_compact, to_yaml};
use terrace_compiler::diagnostic::Diagnostics;
use terrace_compiler::document::{Document, DocumentKind, Module};
use terrace_compiler::library;
use terrace_compiler::node::Node;
use terrace_compiler::source::Files;
use terrace_compiler::yaml;

use crate::arguments::Modules;
use crate::console::Console;
use crate::problem::{Problem, Status};

/// Maximum length of a default on the line of its input. A longer default is shown below.
const LONG: usize = 60;

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
            "built-in module `{name}` is invalid; please report this as a bug"
        ))
    })?;
    console.data(&page(&module))?;
    Ok(Status::Done)
}

fn source(name: &str) -> Result<&'static str, Problem> {
    library::text(name).ok_or_else(|| {
        let problem = Problem::new(format!("built-in module `{name}` does not exist"));
        match terrace_catalog::nearest(name, library::MODULES.iter().map(|(name, _)| *name)) {
            Some(nearest) => problem.help(format!("did you mean `{nearest}`?")),
            None => problem.help("to list all modules:\n  terrace modules list"),
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
    match Document::decode(DocumentKind::Module, node) {
        Document::Module(module) => Some(module),
        _ => None,
    }
}

/// Formats the description of a module as Markdown.
fn page(module: &Module) -> String {
    let mut page = format!(
        "# {} {}\n\n{}\n",
        module.name.value, module.version.value, module.summary.value
    );
    let inputs = module.node.get("inputs").map(Node::entries).unwrap_or_default();
    let _ = write!(
        page,
        "\n```yaml\nkind: Component\nname: {0}\nmodule: {0}@^{1}\n{2}```\n",
        module.name.value,
        module.version.value.major,
        required_inputs(inputs)
    );
    if !module.body.requires.is_empty() {
        page.push_str("\n## Required modules\n\n");
        for (name, requirement) in &module.body.requires {
            let _ = writeln!(page, "- `{}@{}`", name.value, requirement.value);
        }
    }
    if !inputs.is_empty() {
        page.push_str("\n## Inputs\n\n");
        for (name, schema) in inputs {
            input(name, schema, schema.get("default").is_none(), 0, &mut page);
        }
    }
    if !module.body.outputs.is_empty() {
        page.push_str("\n## Outputs\n\n");
        for (name, _) in &module.body.outputs {
            let _ = writeln!(page, "- `{}`", name.value);
        }
    }
    if !module.body.resources.is_empty() {
        page.push_str("\n## Resources\n\n");
        for (name, node) in &module.body.resources {
            let kind = node.get("type").and_then(Node::as_str).unwrap_or_default();
            let _ = writeln!(page, "- `{}`: {kind}", name.value);
        }
    }
    page
}

/// Returns the required inputs in the form that a component uses: `image: IMAGE`.
fn required_inputs(inputs: &[(Text, Node)]) -> String {
    let mut lines = String::new();
    for (name, schema) in inputs
        .iter()
        .filter(|(_, schema)| schema.get("default").is_none())
    {
        let value = match schema.get("type").and_then(Node::as_str) {
            Some("secret") => "\"{{ secret('NAME').KEY }}\"".to_owned(),
            _ => name.to_uppercase(),
        };
        let _ = writeln!(lines, "  {name}: {value}");
    }
    if !lines.is_empty() {
        lines.insert_str(0, "inputs:\n");
    }
    lines
}

/// Writes an input, such as `- `replicas`: integer, 1 to 50, default 2: number of pods`, with its fields below it.
fn input(name: &str, schema: &Node, required: bool, depth: usize, page: &mut String) {
    let indent = "  ".repeat(depth);
    let mut line = type_of(schema);
    let each = ["additionalProperties", "items"]
        .iter()
        .find_map(|key| schema.get(key));
    let fields = |schema: &Node| schema.get("properties").is_some();
    if let Some(each) = each.filter(|each| !fields(each) && each.get("type").is_some()) {
        let _ = write!(line, " of {}", type_of(each));
    }
    let default = schema.get("default").map(Node::to_value);
    let shown = default.as_ref().map(to_json_compact);
    let long = shown.as_ref().is_some_and(|shown| shown.len() > LONG);
    match shown.as_deref() {
        None if required => line.push_str(", required"),
        None | Some("null") => line.push_str(", optional"),
        Some(_) if long => line.push_str(", default below"),
        Some(default) => {
            let _ = write!(line, ", default {default}");
        }
    }
    if let Some(description) = schema.get("description").and_then(Node::as_str) {
        let _ = write!(line, ": {}", description.trim());
    }
    let each = each.filter(|each| fields(each));
    if each.is_some() {
        line.push_str("; each item has these fields:");
    }
    let _ = writeln!(page, "{indent}- `{name}`: {line}");
    let object = each.unwrap_or(schema);
    let required_names = object.get("required").map(Node::items).unwrap_or_default();
    for (name, schema) in object.get("properties").map(Node::entries).unwrap_or_default() {
        let required = required_names
            .iter()
            .any(|required| required.as_str() == Some(name.as_str()));
        input(name, schema, required, depth + 1, page);
    }
    if let Some(default) = default.filter(|_| long) {
        let _ = writeln!(page, "\n{indent}  ```yaml");
        for line in to_yaml(&default).lines() {
            let _ = writeln!(page, "{indent}  {line}");
        }
        let _ = writeln!(page, "{indent}  ```\n");
    }
}

/// Describes the values of a schema: `integer, 1 to 50`.
fn type_of(schema: &Node) -> String {
    let text = |key: &str| {
        let value = schema.get(key).map(|node| to_json_compact(&node.to_value()));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let mut line = text("type").unwrap_or_else(|| "any".to_owned());
    match (text("minimum"), text("maximum")) {
        (Some(low), Some(high)) => {
            let _ = write!(line, ", {low} to {high}");
        }
        (Some(low), None) => {
            let _ = write!(line, ", at least {low}");
        }
        (None, Some(high)) => {
            let _ = write!(line, ", at most {high}");
        }
        (None, None) => {}
    }
    if let Some(words) = schema.get("enum") {
        let words = words.items().iter().map(|word| to_json_compact(&word.to_value()));
        let words: Vec<String> = words
            .map(|word| format!("`{}`", word.trim_matches('"')))
            .collect();
        let _ = write!(line, ", one of {}", words.join(", "));
    }
    line
}
