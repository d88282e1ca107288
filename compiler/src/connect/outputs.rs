//! What stacks tell other stacks.

use std::collections::BTreeMap;

use terrace_artifact::Text;

use super::Graph;
use super::attribute::Attribute;
use super::lower::{Atom, Late, Lowered, is_object, logical_id, output_name};
use crate::expression::filters::pascal;
use crate::resource::Resource;
use crate::term::Term;

/// The outputs of CloudFormation stacks by name, for each stack that has some: its instance and part.
pub(crate) type Outputs = BTreeMap<(usize, u32), BTreeMap<Text, Term>>;

impl Graph<'_> {
    /// The outputs of each instance's stack: those that its module declares, and those that others ask for.
    pub(crate) fn outputs(&self, lowered: &[Lowered]) -> Outputs {
        let mut outputs = Outputs::new();
        for (index, instance) in self.instances.iter().enumerate() {
            // An output is told by the stack that has what it tells.
            let mut firsts: BTreeMap<u32, usize> = BTreeMap::new();
            let members = self.resources_of(index);
            for (at, resource) in members.filter(|(_, resource)| !is_object(resource)) {
                firsts.entry(resource.part).or_insert(at);
                if instance.divided == 0 {
                    break;
                }
            }
            for (name, term) in &instance.outputs {
                let mut parts = firsts.iter();
                let told = parts.find_map(|(part, first)| Some((*part, self.lower_output(*first, term)?)));
                if let Some((part, value)) = told {
                    outputs
                        .entry((index, part))
                        .or_default()
                        .insert(pascal(name), value);
                }
            }
        }
        for late in lowered.iter().flat_map(asked) {
            let resource = &self.resources[late.resource];
            if is_object(resource) {
                continue;
            }
            let value = intrinsic(resource, &late.attribute);
            let known = outputs.entry((resource.instance, resource.part)).or_default();
            if !known.values().any(|other| *other == value) {
                known.insert(output_name(resource, &late.attribute), value);
            }
        }
        outputs
    }
}

/// What a resource's lowering asks of other resources.
fn asked(lowered: &Lowered) -> impl Iterator<Item = &Late> {
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

pub(crate) fn intrinsic(resource: &Resource, attribute: &Attribute) -> Term {
    let id = Term::String(logical_id(resource));
    match attribute {
        Attribute::GetAtt(name) => Term::map([("Fn::GetAtt", Term::list([id, Term::from(name)]))]),
        _ => Term::map([("Ref", id)]),
    }
}
