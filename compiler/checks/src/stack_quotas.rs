//! The quotas of CloudFormation stacks. The compiler keeps no state, so a component that outgrows one stack must declare how it is partitioned.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::{Partition, Text};
use terrace_graph::connect::Graph;
use terrace_graph::lower::Lowered;
use terrace_graph::lower::outputs::Outputs;
use terrace_graph::resolve::UseKind;
use terrace_language::resource::Resource;
use terrace_language::value::json_size::{at_most, size, text_size};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

/// The quotas of CloudFormation for one template.
const MOST_RESOURCES: usize = 500;
const MOST_OUTPUTS: usize = 200;
const MOST_PARAMETERS: usize = 200;
const LONGEST_TEMPLATE: usize = 1_000_000;
/// An estimate of the bytes of a resource in a template besides its properties: type, metadata, policies.
const PER_RESOURCE_OVERHEAD: usize = 60;

#[derive(Default)]
struct Measure<'a> {
    resources: usize,
    parameters: BTreeSet<&'a Text>,
    bytes: usize,
}

/// Reports CloudFormation stacks that exceed a quota.
pub fn check(graph: &Graph<'_>, lowered: &[Lowered], outputs: &Outputs, diagnostics: &mut Diagnostics) {
    let sizes: Vec<usize> = graph
        .resources
        .par_iter()
        .zip(lowered)
        .map(|(resource, lowered)| match resource.kind.cloudformation() {
            None => 0,
            Some(_) => length(resource, lowered, at_most),
        })
        .collect();
    let mut stacks: BTreeMap<(usize, Partition), Measure<'_>> = BTreeMap::new();
    for ((resource, lowered), size) in graph.resources.iter().zip(lowered).zip(sizes) {
        if resource.kind.cloudformation().is_none() {
            continue;
        }
        let measure = stacks.entry((resource.instance, resource.partition)).or_default();
        measure.resources += 1;
        measure.parameters.extend(lowered.parameters.keys());
        measure.bytes += size;
    }
    for ((instance, partition), mut measure) in stacks {
        // Most templates are far below the limit. Only one that may exceed it is measured exactly.
        if measure.bytes > LONGEST_TEMPLATE {
            let members = graph.resources_of(instance);
            let members = members.filter(|(_, resource)| {
                resource.kind.cloudformation().is_some() && resource.partition == partition
            });
            let exact = members.map(|(at, resource)| length(resource, &lowered[at], text_size));
            measure.bytes = exact.sum();
        }
        let output_count = outputs.get(&(instance, partition)).map_or(0, BTreeMap::len);
        let found = [
            (measure.resources, MOST_RESOURCES, "resources"),
            (output_count, MOST_OUTPUTS, "outputs"),
            (measure.parameters.len(), MOST_PARAMETERS, "parameters"),
            (measure.bytes, LONGEST_TEMPLATE, "bytes"),
        ];
        for (count, most, what) in found.into_iter().filter(|(count, most, _)| count > most) {
            diagnostics.push(too_large(graph, instance, partition, count, most, what));
        }
    }
}

fn too_large(
    graph: &Graph<'_>,
    index: usize,
    partition: Partition,
    count: usize,
    most: usize,
    what: &str,
) -> Diagnostic {
    let instance = &graph.instances[index];
    let name = instance.stack_name(partition);
    let diagnostic = Diagnostic::new(
        Code::StackTooLarge,
        format!("CloudFormation stack `{name}` has {count} {what}"),
    )
    .at(instance.declared, format!("the maximum is {most}"));
    match &graph.uses[index].kind {
        UseKind::Pipeline(_) => diagnostic.help("split the pipeline into several that start each other"),
        UseKind::Component {
            module: Some(module), ..
        } if instance.partitions.is_none() => diagnostic
            .also(module.document.name.span, "the module does not declare `divides`")
            .help("add `divides: {by: \"{{ each.key }}\", into: 8}` to the module, or split the component"),
        UseKind::Component { module: None, .. } => {
            diagnostic.help("split the component, or use a module that declares `divides`")
        }
        UseKind::Component { .. } if partition.is_none() => {
            diagnostic.help("use `for_each`, because only repeated resources are partitioned, or split the component")
        }
        UseKind::Component { .. } => {
            diagnostic.help("use a finer key in `by`; raise `into` only before the first deployment, because it moves resources")
        }
    }
}

/// Returns the length of a resource in a template, in bytes.
fn length(resource: &Resource, lowered: &Lowered, of_text: fn(&str) -> usize) -> usize {
    let attributes = lowered.attributes.iter().map(|(_, term)| size(term, of_text));
    PER_RESOURCE_OVERHEAD + size(lowered.body(resource), of_text) + attributes.sum::<usize>()
}
