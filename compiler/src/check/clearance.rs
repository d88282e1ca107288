//! What the platform's components may do with the data of tenants.
//!
//! A module for a tenant is held against the tenant's data where the component is resolved. A component of the platform has no tenant: what
//! it gets to see are the data of those that use it, and of those that it uses.

use std::collections::BTreeSet;

use crate::connect::{Edge, Graph};
use crate::diagnostic::Diagnostics;
use crate::resolve::{UseKind, below_clearance};

/// Holds the modules of the platform's components against the data of tenants on the other side of an edge.
pub(crate) fn check(graph: &Graph<'_>, edges: &[Edge], diagnostics: &mut Diagnostics) {
    let mut told = BTreeSet::new();
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
                && told.insert((platform, &of.name.value))
            {
                let used = match &component.recipe {
                    crate::document::Recipe::Module { module, .. } => module.span,
                    crate::document::Recipe::Own(_) => component.name.span,
                };
                let who = &of.name.value;
                diagnostics.push(
                    diagnostic
                        .at(
                            edge.span,
                            format!("connects `{}` with the data of `{who}`", component.name.value),
                        )
                        .also(used, "the module is used here"),
                );
            }
        }
    }
}
