//! Parses inputs from the command line: `--set COMPONENT.INPUT=VALUE`.

use terrace_artifact::Text;
use terrace_language::document::{Component, ComponentSource, Module, StackDocuments};
use terrace_language::load::unknown;
use terrace_language::module::inputs::{InputSchema, InputType, Others};
use terrace_language::module::layers::unknown_input;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::secrets::{is_secret, literal_secrets, typed_out};
use terrace_syntax::source::{Files, Span};

/// Parses `--set` arguments into a layer of inputs for each component. Each argument is its own file for messages.
pub fn parse_set(
    texts: &[String],
    stack: &StackDocuments,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Vec<(Text, Node)> {
    let mut out = Vec::new();
    for text in texts {
        let fail = |message: String, span: Span| {
            Diagnostic::new(Code::InvalidSet, message)
                .at(span, "")
                .help("write `--set COMPONENT.INPUT=VALUE`")
        };
        let file = files.add("--set", text.as_str());
        let whole = Span {
            file,
            start: 0,
            end: u32::try_from(text.len()).unwrap_or(u32::MAX),
        };
        let Some((path, value)) = text.split_once('=') else {
            diagnostics.push(fail(format!("missing `=` in `{text}`"), whole));
            continue;
        };
        // Checked before other problems, so that no message shows the secret.
        let place = whole.within(path.len() + 1..text.len());
        let mut keys = path.split('.');
        if is_secret(keys.clone().next_back().unwrap_or_default(), value) {
            diagnostics.push(typed_out(place));
            continue;
        }
        let (Some(component), Some(_)) = (keys.next(), path.split('.').nth(1)) else {
            diagnostics.push(fail(
                format!("missing input name in `{path}`"),
                whole.within(0..path.len()),
            ));
            continue;
        };
        let Some(found) = stack.components.iter().find(|c| c.name.value == component) else {
            let names = stack.components.iter().map(|c| c.name.value.as_str());
            let span = whole.within(0..component.len());
            diagnostics.push(unknown(
                Code::UnknownComponent,
                "component",
                component,
                span,
                names,
            ));
            continue;
        };
        let keys: Vec<&str> = keys.collect();
        let schema = match input(stack, found, &keys, whole.within(component.len() + 1..path.len())) {
            Ok(schema) => schema,
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                continue;
            }
        };
        let mut node = match schema.map(|schema| schema.kind) {
            // A string keeps the text of the argument: an image tag may be `9`, `007` or `true`, and braces are literal.
            Some(InputType::String) => Node {
                kind: NodeKind::Raw(value.into()),
                span: place,
                key: place,
            },
            _ => match read(value, place) {
                Ok(node) => node,
                Err(diagnostic) => {
                    diagnostics.push(*diagnostic);
                    continue;
                }
            },
        };
        let mut inside = Diagnostics::new();
        literal_secrets(&node, files, &mut inside);
        if inside.has_errors() {
            diagnostics.push(typed_out(place));
            continue;
        }
        for key in keys.into_iter().rev() {
            node.key = whole.within(0..path.len());
            node = Node {
                kind: NodeKind::Map(vec![(key.into(), node)]),
                span: whole,
                key: whole,
            };
        }
        out.push((component.into(), node));
    }
    out
}

/// Returns the schema of the value at a path, if the module declares one.
fn input<'a>(
    stack: &'a StackDocuments,
    component: &Component,
    keys: &[&str],
    span: Span,
) -> Result<Option<&'a InputSchema>, Box<Diagnostic>> {
    let [name, below @ ..] = keys else { return Ok(None) };
    let ComponentSource::Module { module: wanted, .. } = &component.recipe else {
        return Err(Box::new(without_inputs(component, span)));
    };
    let fits = |module: &&Module| {
        module.name.value == wanted.name.value && wanted.requirement.value.matches(&module.version.value)
    };
    let modules = stack.modules.iter().filter(fits);
    // An unknown module is reported for the component.
    let Some(module) = modules.max_by(|a, b| a.version.value.cmp(&b.version.value)) else {
        return Ok(None);
    };
    let Some(declared) = module.inputs.iter().find(|input| input.name.value == *name) else {
        let what = format!("module `{}`", module.name.value);
        let span = span.within(0..name.len());
        return Err(Box::new(unknown_input(&what, name, span, &module.inputs)));
    };
    Ok(below.iter().try_fold(&declared.schema, |schema, key| {
        let property = schema.properties.iter().find(|(name, _)| name.value == *key);
        match (property, &schema.others) {
            (Some((_, schema)), _) => Some(schema),
            (None, Others::Of(schema)) => Some(schema.as_ref()),
            (None, _) => None,
        }
    }))
}

/// Reports values for a component without a module.
pub(crate) fn without_inputs(component: &Component, span: Span) -> Diagnostic {
    let message = format!("component `{}` has no inputs", component.name.value);
    Diagnostic::new(Code::UnknownInput, message)
        .at(span, "")
        .also(component.name.span, "defines its resources itself")
        .help("remove the values, or move the resources to a module with inputs")
}

/// Parses a value that is not a string as YAML.
fn read(value: &str, place: Span) -> Result<Node, Box<Diagnostic>> {
    let (mut scratch, mut problems) = (Files::default(), Diagnostics::new());
    let nodes = terrace_syntax::yaml::read("--set", value.as_bytes(), &mut scratch, &mut problems);
    // The spans of these diagnostics are relative to the value.
    if let Some(first) = problems.into_sorted().into_iter().find(Diagnostic::is_error) {
        let diagnostic = Diagnostic::new(Code::InvalidSet, first.message);
        return Err(Box::new(diagnostic.at(place, "the value is parsed as YAML")));
    }
    let mut node = nodes.into_iter().next().unwrap_or(Node {
        kind: NodeKind::String(Text::default()),
        span: place,
        key: place,
    });
    relocate(&mut node, place);
    Ok(node)
}

/// Moves the spans of a separately parsed value to its place in the argument.
fn relocate(node: &mut Node, place: Span) {
    let moved = |span: Span| place.within(span.start as usize..span.end as usize);
    (node.span, node.key) = (moved(node.span), moved(node.key));
    match &mut node.kind {
        NodeKind::List(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        NodeKind::Map(entries) => entries.iter_mut().for_each(|(_, item)| relocate(item, place)),
        _ => {}
    }
}
