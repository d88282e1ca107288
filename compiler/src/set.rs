//! Inputs from the command line: `--set COMPONENT.INPUT=VALUE`.

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load::{Stack, unknown};
use crate::node::Node;
use crate::source::{Files, Span};

/// What `--set COMPONENT.INPUT=VALUE` says, as a layer; each its own file for messages.
pub(crate) fn parse_set(
    texts: &[String],
    stack: &Stack,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Vec<(Text, Node)> {
    let mut out = Vec::new();
    for text in texts {
        let fail = |message: String, span: Span| {
            Diagnostic::new(Code::InvalidSet, message)
                .at(span, "on the command line")
                .help("write `--set COMPONENT.INPUT=VALUE`")
        };
        let file = files.add("--set", text.as_str());
        let whole = Span {
            file,
            start: 0,
            end: u32::try_from(text.len()).unwrap_or(u32::MAX),
        };
        let Some((path, value)) = text.split_once('=') else {
            diagnostics.push(fail(format!("`{text}` sets nothing"), whole));
            continue;
        };
        let mut keys = path.split('.');
        let (Some(component), Some(_)) = (keys.next(), path.split('.').nth(1)) else {
            diagnostics.push(fail(
                format!("`{path}` names no input"),
                whole.within(0..path.len()),
            ));
            continue;
        };
        if !stack.components.iter().any(|c| c.name.value == component) {
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
        }
        let mut scratch = Files::default();
        let mut node = match crate::yaml::read("--set", value.as_bytes(), &mut scratch, diagnostics)
            .into_iter()
            .next()
        {
            Some(node) => node,
            None => Node {
                kind: crate::node::NodeKind::String(Text::default()),
                span: whole,
                key: whole,
            },
        };
        relocate(&mut node, whole.within(path.len() + 1..text.len()));
        for key in keys.collect::<Vec<_>>().into_iter().rev() {
            node.key = whole.within(0..path.len());
            node = Node {
                kind: crate::node::NodeKind::Map(vec![(key.into(), node)]),
                span: whole,
                key: whole,
            };
        }
        out.push((component.into(), node));
    }
    out
}

fn relocate(node: &mut Node, span: Span) {
    (node.span, node.key) = (span, span);
    match &mut node.kind {
        crate::node::NodeKind::List(items) => items.iter_mut().for_each(|item| relocate(item, span)),
        crate::node::NodeKind::Map(entries) => entries.iter_mut().for_each(|(_, item)| relocate(item, span)),
        _ => {}
    }
}
