//! Finds dependency cycles and reports them with their path.

use std::collections::BTreeSet;

use terrace_language::expression::Failure;
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::Span;

use crate::resolve::UseKind;

use super::{Edge, Found, Graph};
use crate::lower::attributes::Attribute;

/// The maximum number of references that are followed to find a cycle. They start at a reference that was followed far already.
const LONGEST_RING: usize = 64;

impl Graph<'_> {
    /// Reports the cycles among resources and, if there are none, among artifacts: single objects and whole CloudFormation stacks.
    pub fn report_cycles(&self, edges: &[Edge], diagnostics: &mut Diagnostics) {
        // CloudFormation orders the resources of one stack, so only a cycle of resources is a problem there.
        let between = |node: &dyn Fn(usize) -> usize| {
            let pairs = edges.iter().map(|edge| (node(edge.from), node(edge.to), *edge));
            Needs::of(pairs.filter(|(from, to, _)| from != to).collect())
        };
        if !self.rings(&between(&|at| at), diagnostics) {
            self.rings(&between(&|at| self.artifact(at)), diagnostics);
        }
    }

    fn rings(&self, needs: &Needs, diagnostics: &mut Diagnostics) -> bool {
        let mut done = BTreeSet::new();
        let mut any = false;
        for start in needs.in_ring() {
            if let Some(ring) = ring(start, needs, &mut done) {
                any = true;
                self.report(&ring, diagnostics);
            }
        }
        any
    }

    fn report(&self, ring: &[Edge], diagnostics: &mut Diagnostics) {
        let address = |at: usize| self.resources[at].address.to_string();
        let mut path: Vec<String> = ring
            .iter()
            .map(|edge| format!("`{}`", address(edge.from)))
            .collect();
        path.push(path[0].clone());
        let mut diagnostic = Diagnostic::new(
            Code::DependencyCycle,
            format!("dependency cycle: {}", path.join(" → ")),
        );
        let label = |edge: &Edge| format!("`{}` needs `{}`", address(edge.from), address(edge.to));
        for (edge, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            if edge.to != next.from {
                diagnostic = diagnostic.note(format!(
                    "`{}` and `{}` are in one CloudFormation stack",
                    address(edge.to),
                    address(next.from)
                ));
            }
        }
        diagnostic = diagnostic.at(ring[0].span, label(&ring[0]));
        for edge in &ring[1..] {
            diagnostic = diagnostic.also(edge.span, label(edge));
        }
        let stacks: BTreeSet<usize> = ring
            .iter()
            .map(|edge| self.resources[edge.from].instance)
            .collect();
        let between_stacks = ring
            .iter()
            .zip(ring.iter().cycle().skip(1))
            .any(|(edge, next)| edge.to != next.from);
        diagnostics.push(match stacks.len() {
            1 if between_stacks => diagnostic
                .help("remove one of these references, or partition by a key that keeps the resources in one stack: the stacks of a component cannot depend on each other"),
            1 => diagnostic.help("remove one of these references"),
            _ if stacks.iter().any(|at| self.is_pipeline(*at)) => {
                diagnostic.help("remove one of these references")
            }
            _ => {
                let all = if ring.len() == 2 { "both resources" } else { "all resources" };
                diagnostic.help(format!(
                    "remove one of these references, or move {all} to one component"
                ))
            }
        });
    }

    fn is_pipeline(&self, instance: usize) -> bool {
        matches!(self.uses[instance].kind, UseKind::Pipeline(_))
    }

    /// Returns the failure for a reference that leads back to itself through outputs and values in bodies, with the path.
    pub(crate) fn ring_of_references(&self, from: usize, reference: &Reference) -> Box<Failure> {
        let mut path: Vec<Reference> = Vec::new();
        let mut next = self.reference_after(from, reference);
        while let Some((from, reference)) = next.filter(|_| path.len() < LONGEST_RING) {
            next = self.reference_after(from, &reference);
            path.push(reference);
        }
        let last = path.last().map(|last| last.span);
        let before = path.iter().rev().skip(1).position(|edge| Some(edge.span) == last);
        let mut ring = before.map_or_else(Vec::new, |back| path.split_off(path.len() - 1 - back));
        let first = (0..ring.len())
            .min_by_key(|at| ring[*at].span)
            .unwrap_or_default();
        ring.rotate_left(first);
        let shown = |edge: &Reference| format!("`{}`", Term::from(edge.clone()).shown());
        let mut names: Vec<String> = ring.iter().map(shown).collect();
        names.extend(names.first().cloned());
        let message = match names.is_empty() {
            true => "circular references".to_owned(),
            false => format!("circular references: {}", names.join(" → ")),
        };
        let place = ring.first().map_or(reference.span, |first| first.span);
        let mut failure = Failure::new(
            Code::DependencyCycle,
            place,
            message,
            "leads to the next reference",
        );
        for (at, edge) in ring.iter().enumerate().skip(1) {
            let label = match at + 1 == ring.len() {
                true => "leads back to the first reference",
                false => "leads to the next reference",
            };
            failure.also.push((edge.span, label.to_owned()));
        }
        failure.with_help("remove one of these references, or replace it with a literal value")
    }

    /// Returns the reference that another reference leads to, if any.
    fn reference_after(&self, from: usize, reference: &Reference) -> Option<(usize, Reference)> {
        let (context, term, rest) = match self.find(from, reference).ok()? {
            Found::Component(component) => {
                let (term, rest) = self.output(component, reference).ok()?;
                (component, term, rest)
            }
            Found::Resource(at) => {
                let resource = &self.resources[at];
                let known = self.attribute(resource, &reference.path, false, reference.span);
                let Attribute::Known(term) = known.ok()? else {
                    return None;
                };
                (resource.instance, term, &[][..])
            }
        };
        match term {
            Term::Reference(next) => {
                let mut next = next.as_ref().clone();
                next.path.extend(rest.iter().cloned());
                Some((context, next))
            }
            Term::Concat(parts) => parts.iter().find_map(|part| match part {
                Term::Reference(next) if !next.name.starts_with("AWS::") => {
                    Some((context, next.as_ref().clone()))
                }
                _ => None,
            }),
            _ => None,
        }
    }
}

/// The dependencies between nodes, each with the edge that is reported.
struct Needs(Vec<(usize, usize, Edge)>);

impl Needs {
    fn of(mut pairs: Vec<(usize, usize, Edge)>) -> Needs {
        pairs.sort_by_key(|(from, to, _)| (*from, *to));
        pairs.dedup_by_key(|(from, to, _)| (*from, *to));
        Needs(pairs)
    }

    /// Returns the dependencies of a node.
    fn of_node(&self, node: usize) -> &[(usize, usize, Edge)] {
        let start = self.0.partition_point(|(from, ..)| *from < node);
        let end = self.0[start..].partition_point(|(from, ..)| *from == node);
        &self.0[start..start + end]
    }

    /// Returns the nodes that are in a cycle or after one. The set is empty if there is an order.
    fn in_ring(&self) -> BTreeSet<usize> {
        let nodes = self.0.iter().map(|(from, to, _)| from.max(to) + 1).max();
        let mut before = vec![0u32; nodes.unwrap_or_default()];
        for (_, to, _) in &self.0 {
            before[*to] += 1;
        }
        let mut free: Vec<usize> = (0..before.len()).filter(|node| before[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for (_, to, _) in self.of_node(node) {
                before[*to] -= 1;
                if before[*to] == 0 {
                    free.push(*to);
                }
            }
        }
        (0..before.len()).filter(|node| before[*node] > 0).collect()
    }
}

/// Finds the first reachable cycle, as edges in order, starting with the one that is first in the files.
fn ring(start: usize, needs: &Needs, done: &mut BTreeSet<usize>) -> Option<Vec<Edge>> {
    if done.contains(&start) {
        return None;
    }
    // Depth first without recursion, because a chain can be as long as the number of resources.
    let mut path = vec![(start, needs.of_node(start).iter())];
    let mut taken: Vec<Edge> = Vec::new();
    while let Some((node, open)) = path.last_mut() {
        let Some((_, to, edge)) = open.next() else {
            done.insert(*node);
            path.pop();
            taken.pop();
            continue;
        };
        if let Some(at) = path.iter().position(|(seen, _)| seen == to) {
            let mut ring: Vec<Edge> = taken[at..].to_vec();
            ring.push(*edge);
            done.extend(path.iter().map(|(node, _)| *node));
            let first = ring
                .iter()
                .enumerate()
                .min_by_key(|(_, edge)| first_place(edge))
                .map_or(0, |(at, _)| at);
            ring.rotate_left(first);
            return Some(ring);
        }
        if !done.contains(to) {
            taken.push(*edge);
            path.push((*to, needs.of_node(*to).iter()));
        }
    }
    None
}

fn first_place(edge: &Edge) -> (Span, usize) {
    (edge.span, edge.from)
}
