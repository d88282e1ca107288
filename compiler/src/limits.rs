//! What CloudFormation takes in one stack. A compiler has no memory, so a component that outgrows a stack has to have said how it divides.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::Text;

use crate::code::Code;
use crate::connect::Graph;
use crate::connect::lower::{Lowered, is_object};
use crate::connect::outputs::Outputs;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::resolve::UseKind;
use crate::resource::Resource;
use crate::term::Term;

/// The quotas of CloudFormation for one template.
const MOST_RESOURCES: usize = 500;
const MOST_OUTPUTS: usize = 200;
const MOST_PARAMETERS: usize = 200;
const LONGEST_TEMPLATE: usize = 1_000_000;
/// What a resource has in a template around its properties: type, metadata, policies.
const AROUND: usize = 60;

#[derive(Default)]
struct Measure<'a> {
    resources: usize,
    parameters: BTreeSet<&'a Text>,
    bytes: usize,
}

/// Holds every CloudFormation stack against the quotas.
pub(crate) fn check(
    graph: &Graph<'_>,
    lowered: &[Lowered],
    outputs: &Outputs,
    diagnostics: &mut Diagnostics,
) {
    let sizes: Vec<usize> = graph
        .resources
        .par_iter()
        .zip(lowered)
        .map(|(resource, lowered)| match is_object(resource) {
            true => 0,
            false => length(resource, lowered, at_most),
        })
        .collect();
    let mut stacks: BTreeMap<(usize, u32), Measure<'_>> = BTreeMap::new();
    for ((resource, lowered), size) in graph.resources.iter().zip(lowered).zip(sizes) {
        if is_object(resource) {
            continue;
        }
        let measure = stacks.entry((resource.instance, resource.part)).or_default();
        measure.resources += 1;
        measure.parameters.extend(lowered.parameters.keys());
        measure.bytes += size;
    }
    for ((instance, part), mut measure) in stacks {
        // Nearly all are far below: only one that may be too long is counted byte by byte.
        if measure.bytes > LONGEST_TEMPLATE {
            let members = graph.resources_of(instance);
            let members = members.filter(|(_, resource)| !is_object(resource) && resource.part == part);
            let exact = members.map(|(at, resource)| length(resource, &lowered[at], text_size));
            measure.bytes = exact.sum();
        }
        let told = outputs.get(&(instance, part)).map_or(0, BTreeMap::len);
        let found = [
            (measure.resources, MOST_RESOURCES, "resources"),
            (told, MOST_OUTPUTS, "outputs"),
            (measure.parameters.len(), MOST_PARAMETERS, "parameters"),
            (measure.bytes, LONGEST_TEMPLATE, "bytes"),
        ];
        for (count, most, what) in found.into_iter().filter(|(count, most, _)| count > most) {
            diagnostics.push(too_large(graph, instance, part, count, most, what));
        }
    }
}

fn too_large(
    graph: &Graph<'_>,
    index: usize,
    part: u32,
    count: usize,
    most: usize,
    what: &str,
) -> Diagnostic {
    let instance = &graph.instances[index];
    let name = instance.stack_name(part);
    let diagnostic = Diagnostic::new(
        Code::StackTooLarge,
        format!("the CloudFormation stack `{name}` has {count} {what}"),
    )
    .at(instance.declared, format!("of this; a stack may have {most}"));
    match &graph.uses[index].kind {
        UseKind::Pipeline(_) => diagnostic.help("make several pipelines of it, which start each other"),
        UseKind::Component {
            module: Some(module), ..
        } if instance.divided == 0 => diagnostic
            .also(module.document.name.span, "its module does not say how it divides")
            .help("say in the module how it divides: `divides: {by: \"{{ each.key }}\", into: 8}`, or make several components of it"),
        UseKind::Component { module: None, .. } => {
            diagnostic.help("make several components of it, or a module that says how it `divides`")
        }
        UseKind::Component { .. } if part == 0 => {
            diagnostic.help("only resources with `for_each` are divided: repeat what there is much of, or make several components of it")
        }
        UseKind::Component { .. } => {
            diagnostic.help("divide by a finer key; into more stacks only where nothing is deployed yet, for that moves resources")
        }
    }
}

/// The length of a resource in a template, with what stands beside its properties.
fn length(resource: &Resource, lowered: &Lowered, of_text: fn(&str) -> usize) -> usize {
    let attributes = lowered.attributes.iter().map(|(_, term)| size(term, of_text));
    AROUND + size(lowered.body(resource), of_text) + attributes.sum::<usize>()
}

/// The length of a term as compact JSON, with texts as long as `of_text` says.
fn size(term: &Term, of_text: fn(&str) -> usize) -> usize {
    match term {
        Term::String(text) => of_text(text),
        Term::List(items) => items.iter().map(|item| size(item, of_text) + 1).sum::<usize>() + 2,
        Term::Map(entries) => {
            let entry = |(key, value): &(Text, Term)| of_text(key) + size(value, of_text) + 2;
            entries.iter().map(entry).sum::<usize>() + 2
        }
        Term::Bool(_) => 5,
        Term::Null | Term::Omit => 4,
        other => other.shown().len(),
    }
}

/// A length that a text as JSON does not have more of: as if every character were a control character.
fn at_most(text: &str) -> usize {
    6 * text.len() + 2
}

/// The length of a text as JSON.
fn text_size(text: &str) -> usize {
    let byte = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(byte).sum::<usize>() + 2
}

/// Whether a term as compact JSON has more than so many bytes. Nearly none comes near: only what may have is written.
pub(crate) fn is_longer(term: &Term, most: usize) -> bool {
    size(term, at_most) > most && terrace_artifact::to_json_compact(&term.clone().into_value()).len() > most
}
