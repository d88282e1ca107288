//! Checks the clearance of the modules of platform components for the data of tenants.
//!
//! For a component of a tenant, the clearance is checked during resolution. A component of the platform has no tenant. It processes the data
//! of the tenants that it is connected with, in either direction.

use std::collections::BTreeSet;

use terrace_graph::connect::{Edge, Graph};
use terrace_graph::resolve::{UseKind, below_clearance};
use terrace_syntax::diagnostic::Diagnostics;

/// Reports modules of platform components without clearance for the data of a tenant on the other side of an edge.
pub fn check(graph: &Graph<'_>, edges: &[Edge], diagnostics: &mut Diagnostics) {
    let mut reported = BTreeSet::new();
    for edge in edges {
        let instances = [edge.from, edge.to].map(|at| graph.resources[at].instance);
        for [platform, tenant] in [instances, [instances[1], instances[0]]] {
            let UseKind::Component {
                component,
                module: Some(module),
                ..
            } = &graph.uses[platform].kind
            else {
                continue;
            };
            let (None, Some(of)) = (graph.uses[platform].tenant, graph.uses[tenant].tenant) else {
                continue;
            };
            if let Some(diagnostic) = below_clearance(module, of)
                && reported.insert((platform, &of.name.value))
            {
                let used = match &component.recipe {
                    terrace_language::document::ComponentSource::Module { module, .. } => module.span,
                    terrace_language::document::ComponentSource::Own(_) => component.name.span,
                };
                let who = &of.name.value;
                diagnostics.push(
                    diagnostic
                        .at(
                            edge.span,
                            format!(
                                "connects `{}` with the data of tenant `{who}`",
                                component.name.value
                            ),
                        )
                        .also(used, "the module is used here"),
                );
            }
        }
    }
}
