//! The namespaces that a stack creates, and the network policies that it declares in them.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use terrace_artifact::Text;
use terrace_language::value::term::Term;

use super::selector::{Direction, isolates};
use crate::connect::Graph;

/// Namespaces by the name of their cluster's target.
pub(in crate::connect) type Namespaces = HashSet<(Option<Text>, Text)>;

impl Graph<'_> {
    /// Returns the namespaces that the stack creates.
    pub(in crate::connect) fn created_namespaces(&self) -> Namespaces {
        let mut namespaces = Namespaces::new();
        for (at, resource) in self.resources.iter().enumerate() {
            if resource.kind.kubernetes() == Some("Namespace") {
                let cluster = self.instances[resource.instance].cluster.clone();
                namespaces.extend(self.known_metadata(at, "name").map(|name| (cluster, name)));
            }
        }
        namespaces
    }

    /// Returns a name in the metadata of an object, if it is known at compile time.
    pub(in crate::connect) fn known_metadata(&self, at: usize, key: &str) -> Option<Text> {
        let resource = &self.resources[at];
        self.known_text(at, resource.instance, resource.body.at(&["metadata", key])?)
    }
}

/// The namespaces and network policies of the stack.
pub(in crate::connect) struct Site<'g> {
    namespaces: Namespaces,
    /// The bodies of network policies, by cluster and namespace.
    policies: HashMap<(Option<Text>, Text), Vec<&'g Term>>,
}

impl<'g> Site<'g> {
    /// Collects the namespaces and network policies that the resources declare.
    pub(in crate::connect) fn new(graph: &'g Graph<'_>) -> Site<'g> {
        let mut policies: HashMap<_, Vec<&Term>> = HashMap::new();
        for (at, resource) in graph.resources.iter().enumerate() {
            if resource.kind.kubernetes() == Some("NetworkPolicy")
                && let Some(namespace) = graph.known_metadata(at, "namespace")
            {
                let cluster = graph.instances[resource.instance].cluster.clone();
                policies
                    .entry((cluster, namespace))
                    .or_default()
                    .push(&resource.body);
            }
        }
        Site {
            namespaces: graph.created_namespaces(),
            policies,
        }
    }

    /// Returns whether the stack creates this namespace.
    pub(in crate::connect) fn creates(&self, cluster: Option<&Text>, namespace: &Term) -> bool {
        let key = namespace.as_str().map(|name| (cluster.cloned(), name.into()));
        key.is_some_and(|key| self.namespaces.contains(&key))
    }

    /// Returns whether a policy of the stack isolates pods with these labels in this direction.
    pub(in crate::connect) fn isolates(
        &self,
        cluster: Option<&Text>,
        namespace: &Term,
        labels: &Term,
        direction: Direction,
    ) -> bool {
        let key = namespace.as_str().map(|name| (cluster.cloned(), name.into()));
        let policies = key.and_then(|key| self.policies.get(&key));
        let mut policies = policies.into_iter().flatten();
        policies.any(|policy| isolates(policy, direction, labels))
    }
}
