//! Checks that the names of CloudFormation stacks are unique in their account and not too long.

use std::collections::BTreeMap;

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};

use crate::connect::Graph;

/// The maximum length of the name of a CloudFormation stack.
const LONGEST_STACK: usize = 128;

/// Reports stacks of two components with the same name, and names that are too long.
pub(super) fn check(graph: &Graph<'_>, diagnostics: &mut Diagnostics) {
    let mut stacks: BTreeMap<(&Text, Text), usize> = BTreeMap::new();
    let mut stack_before = None;
    for (at, resource) in graph.resources.iter().enumerate() {
        let instance = &graph.instances[resource.instance];
        let (Some(_), Some(account)) = (resource.kind.cloudformation(), &instance.account) else {
            continue;
        };
        // The resources of one stack are adjacent, so its name is composed once.
        let stack = Some((resource.instance, resource.partition));
        if stack != stack_before {
            stack_before = stack;
            let stack = stacks
                .entry((account, instance.stack_name(resource.partition)))
                .or_insert(at);
            if graph.resources[*stack].instance != resource.instance {
                diagnostics.push(same_name(graph, *stack, at));
                *stack = at;
            }
        }
    }
    for ((_, name), at) in stacks {
        if name.len() > LONGEST_STACK {
            diagnostics.push(
                Diagnostic::new(
                    Code::NameTooLong,
                    format!("the name of the CloudFormation stack is {} characters long", name.len()),
                )
                .at(graph.instances[graph.resources[at].instance].declared, "stack of this component")
                .note(format!("`{name}` contains the names of the platform, environment, tenant and component; the maximum is {LONGEST_STACK} characters")),
            );
        }
    }
}

/// Reports two components whose stacks have the same name: `a-b` of the tenant `c`, and `b` of `c-a`.
fn same_name(graph: &Graph<'_>, first: usize, second: usize) -> Diagnostic {
    let instance = |at: usize| &graph.instances[graph.resources[at].instance];
    let (other, one) = (instance(first), instance(second));
    let name = one.stack_name(graph.resources[second].partition);
    Diagnostic::new(
        Code::NameCollision,
        format!(
            "the CloudFormation stacks of `{}/{}` and `{}/{}` resolve to the same name",
            other.owner, other.component, one.owner, one.component
        ),
    )
    .at(one.declared, format!("its stack is `{}`", shown(&name)))
    .also(other.declared, "has a stack with the same name")
    .help("rename one of the two")
}
