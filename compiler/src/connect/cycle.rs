//! Resources that need each other, shown as the path that leads back.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Span;

use super::{Edge, Graph};

impl Graph<'_> {
    /// Reports each ring among artifacts: single objects, and CloudFormation stacks as a whole where several stacks are in it.
    pub(crate) fn report_cycles(&self, edges: &[Edge], diagnostics: &mut Diagnostics) {
        // Inside one stack CloudFormation orders resources: a ring there is one of resources. Between artifacts, one of artifacts.
        let resource = |at: usize| at;
        let artifact = |at: usize| match self.resources[at].kind.cloudformation() {
            // Objects keep their own number, stacks come after them.
            Some(_) => self.resources.len() + self.resources[at].instance,
            None => at,
        };
        if !self.rings(edges, &resource, diagnostics) {
            self.rings(edges, &artifact, diagnostics);
        }
    }

    fn rings(&self, edges: &[Edge], node: &dyn Fn(usize) -> usize, diagnostics: &mut Diagnostics) -> bool {
        let mut needs: BTreeMap<usize, BTreeMap<usize, Edge>> = BTreeMap::new();
        for edge in edges {
            let (from, to) = (node(edge.from), node(edge.to));
            if from != to {
                needs.entry(from).or_default().entry(to).or_insert(*edge);
            }
        }
        let mut done = BTreeSet::new();
        let mut any = false;
        for start in needs.keys() {
            if let Some(ring) = ring(*start, &needs, &mut done) {
                any = true;
                self.report(&ring, diagnostics);
            }
        }
        any
    }

    fn report(&self, ring: &[Edge], diagnostics: &mut Diagnostics) {
        let address = |at: usize| self.resources[at].address.to_string();
        let mut path: Vec<String> = ring.iter().map(|edge| address(edge.from)).collect();
        path.push(path[0].clone());
        let mut diagnostic = Diagnostic::new(
            Code::DependencyCycle,
            format!("resources need each other: {}", path.join(" → ")),
        );
        let label = |edge: &Edge| format!("`{}` needs `{}`", address(edge.from), address(edge.to));
        diagnostic = diagnostic.at(ring[0].span, label(&ring[0]));
        for edge in &ring[1..] {
            diagnostic = diagnostic.also(edge.span, label(edge));
        }
        let stacks: BTreeSet<usize> = ring
            .iter()
            .map(|edge| self.resources[edge.from].instance)
            .collect();
        diagnostics.push(match stacks.len() {
            1 => diagnostic.help("take one of these references away"),
            _ => {
                diagnostic.help("take one of these references away, or put both resources into one component")
            }
        });
    }
}

/// The first ring that can be reached, as its edges in order, beginning with the one written first.
fn ring(
    start: usize,
    needs: &BTreeMap<usize, BTreeMap<usize, Edge>>,
    done: &mut BTreeSet<usize>,
) -> Option<Vec<Edge>> {
    if done.contains(&start) {
        return None;
    }
    // Depth first, without recursion: a chain may be as long as the platform has resources.
    let mut path: Vec<(usize, Vec<Edge>)> = vec![(start, outgoing(start, needs))];
    let mut taken: Vec<Edge> = Vec::new();
    while let Some((node, open)) = path.last_mut() {
        let Some(edge) = open.pop() else {
            done.insert(*node);
            path.pop();
            taken.pop();
            continue;
        };
        let to = needs[node]
            .iter()
            .find(|(_, e)| **e == edge)
            .map_or(*node, |(to, _)| *to);
        if let Some(at) = path.iter().position(|(seen, _)| *seen == to) {
            let mut ring: Vec<Edge> = taken[at..].to_vec();
            ring.push(edge);
            done.extend(path.iter().map(|(node, _)| *node));
            let first = ring
                .iter()
                .enumerate()
                .min_by_key(|(_, edge)| first_place(edge))
                .map_or(0, |(at, _)| at);
            ring.rotate_left(first);
            return Some(ring);
        }
        if !done.contains(&to) {
            taken.push(edge);
            path.push((to, outgoing(to, needs)));
        }
    }
    None
}

fn first_place(edge: &Edge) -> (Span, usize) {
    (edge.span, edge.from)
}

fn outgoing(node: usize, needs: &BTreeMap<usize, BTreeMap<usize, Edge>>) -> Vec<Edge> {
    needs
        .get(&node)
        .into_iter()
        .flat_map(|edges| edges.values().rev().copied())
        .collect()
}
