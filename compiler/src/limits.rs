//! What CloudFormation takes in one stack. A compiler has no memory, so a component that outgrows a stack has to have said how it divides.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::Text;

use crate::code::Code;
use crate::connect::Graph;
use crate::connect::lower::{Lowered, is_object};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::emit::Outputs;
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
            let exact = members.map(|(at, resource)| length(resource, &lowered[at], size));
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
fn length(resource: &Resource, lowered: &Lowered, of_term: fn(&Term) -> usize) -> usize {
    let attributes = lowered.attributes.iter().map(|(_, term)| of_term(term));
    AROUND + of_term(lowered.body(resource)) + attributes.sum::<usize>()
}

/// A length that a term as compact JSON does not have more of: as if every character were escaped.
fn at_most(term: &Term) -> usize {
    match term {
        Term::String(text) => 2 * text.len() + 2,
        Term::List(items) => items.iter().map(|item| at_most(item) + 1).sum::<usize>() + 2,
        Term::Map(entries) => {
            let entry = |(key, value): &(Text, Term)| 2 * key.len() + at_most(value) + 4;
            entries.iter().map(entry).sum::<usize>() + 2
        }
        other => size(other),
    }
}

/// The length of a term as compact JSON.
fn size(term: &Term) -> usize {
    match term {
        Term::String(text) => text_size(text),
        Term::List(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Term::Map(entries) => {
            let entry = |(key, value): &(Text, Term)| text_size(key) + size(value) + 2;
            entries.iter().map(entry).sum::<usize>() + 2
        }
        Term::Bool(_) => 5,
        Term::Null | Term::Omit => 4,
        other => other.shown().len(),
    }
}

fn text_size(text: &str) -> usize {
    let escaped = text
        .bytes()
        .filter(|byte| matches!(byte, b'"' | b'\\' | b'\n'))
        .count();
    text.len() + escaped + 2
}
