//! Outputs of CloudFormation stacks.

use std::collections::BTreeMap;

use terrace_artifact::{Partition, Text};
use terrace_language::expression::words::pascal;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;

use crate::connect::Graph;
use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Late, Lowered, logical_id, output_name};

/// The outputs of CloudFormation stacks by name, for the instance and partition of each stack with outputs.
pub type Outputs = BTreeMap<(usize, Partition), BTreeMap<Text, Term>>;

impl Graph<'_> {
    /// Returns the outputs of the stacks: those that modules declare, and those that other artifacts need.
    pub fn outputs(&self, lowered: &[Lowered]) -> Outputs {
        let mut outputs = Outputs::new();
        for (index, instance) in self.instances.iter().enumerate() {
            // An output belongs to the stack with the resource that it refers to.
            let mut firsts: BTreeMap<Partition, usize> = BTreeMap::new();
            let members = self.resources_of(index);
            for (at, resource) in members.filter(|(_, resource)| !resource.kind.is_deployed_alone()) {
                firsts.entry(resource.partition).or_insert(at);
                if instance.partitions.is_none() {
                    break;
                }
            }
            for (name, term) in &instance.outputs {
                let mut partitions = firsts.iter();
                let found = partitions
                    .find_map(|(partition, first)| Some((*partition, self.lower_output(*first, term)?)));
                if let Some((partition, value)) = found {
                    outputs
                        .entry((index, partition))
                        .or_default()
                        .insert(pascal(name), value);
                }
            }
        }
        for late in lowered.iter().flat_map(late_values) {
            let resource = &self.resources[late.resource];
            if resource.kind.is_deployed_alone() {
                continue;
            }
            let value = intrinsic(resource, &late.attribute);
            let known = outputs
                .entry((resource.instance, resource.partition))
                .or_default();
            if !known.values().any(|other| *other == value) {
                known.insert(output_name(resource, &late.attribute), value);
            }
        }
        outputs
    }
}

/// Returns the values of other resources that a lowered resource needs.
fn late_values(lowered: &Lowered) -> impl Iterator<Item = &Late> {
    let bound = lowered
        .bindings
        .iter()
        .flat_map(|(_, atoms)| atoms)
        .filter_map(|atom| match atom {
            Atom::Late(late) => Some(late),
            _ => None,
        });
    lowered.parameters.values().chain(bound)
}

pub fn intrinsic(resource: &Resource, attribute: &Attribute) -> Term {
    let id = Term::String(logical_id(resource));
    match attribute {
        Attribute::GetAtt(name) => Term::map([("Fn::GetAtt", Term::list([id, Term::from(name)]))]),
        _ => Term::map([("Ref", id)]),
    }
}
