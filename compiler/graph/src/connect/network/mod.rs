//! Converts connections to network policies on both sides, or to rules of security groups.
//!
//! A network policy allows connections. The first policy that selects a pod also isolates it: connections without a policy are then denied. A
//! connection therefore adds a policy only if the stack already isolates the pods, as the module `tenant` does. It never interrupts other
//! connections. It adds no policy to a namespace that the stack does not create.

mod addresses;
mod groups;
pub mod selector;
pub(crate) mod site;

use terrace_artifact::{Address, Text};
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed, shown};
use terrace_syntax::source::Span;

use super::grants::{named, pod_spec};
use super::{Found, Graph};
use crate::connect::network::addresses::range;
use crate::connect::network::groups::{group_rules, in_one_network};
use crate::connect::network::selector::Direction;
use crate::connect::network::site::Site;
use crate::expand::DeclaredEdge;

/// One end of a connection.
enum Peer {
    Pods(Pods),
    /// Addresses outside the cluster.
    Addresses(Text),
    /// A security group.
    Group(usize),
}

/// Pods that are one end of a connection.
struct Pods {
    namespace: Term,
    /// The labels that select them.
    selector: Term,
    /// All known labels of the pods.
    labels: Term,
    /// The name of the pods in names of policies.
    name: Text,
    /// The name of the pods in messages.
    shown: String,
}

/// Generates policies and rules for connections.
pub(super) fn lower(
    graph: &Graph<'_>,
    connects: &[DeclaredEdge],
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let mut made = Vec::new();
    if connects.is_empty() {
        return made;
    }
    let site = Site::new(graph);
    for connect in connects {
        let (Some(from), Some(to)) = (
            peer(graph, connect, "from", diagnostics),
            peer(graph, connect, "to", diagnostics),
        ) else {
            continue;
        };
        let port = connect.value.get("port").cloned().unwrap_or_default();
        let protocol = connect
            .value
            .get("protocol")
            .and_then(Term::as_str)
            .unwrap_or("TCP");
        match (&from, &to) {
            (Peer::Group(from), Peer::Group(to)) => {
                if !in_one_network(graph, connect, *from, *to, diagnostics) {
                    continue;
                }
                made.extend(group_rules(graph, connect, *from, *to, &port, protocol));
            }
            (Peer::Group(_), _) | (_, Peer::Group(_)) => {
                let other = if matches!(from, Peer::Group(_)) {
                    "to"
                } else {
                    "from"
                };
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidGrant,
                        "a security group can connect only to security groups",
                    )
                    .at(graph.word(connect, other), "not a security group")
                    .help("name a security group on both sides"),
                );
            }
            (Peer::Addresses(_), Peer::Addresses(_)) => diagnostics.push(
                Diagnostic::new(
                    Code::InvalidGrant,
                    "neither side of this connection is in the platform",
                )
                .at(connect.span, "both are addresses")
                .help("name a workload or a Service on one side"),
            ),
            _ => {
                let policies = policies(graph, &site, connect, [&from, &to], &port, protocol);
                if policies.is_empty() {
                    diagnostics.push(without_policy(graph, &site, connect, [&from, &to]));
                }
                made.extend(policies);
            }
        }
    }
    made
}

/// Reports a connection that has no effect, or that cannot have a policy.
fn without_policy(
    graph: &Graph<'_>,
    site: &Site<'_>,
    connect: &DeclaredEdge,
    sides: [&Peer; 2],
) -> Diagnostic {
    let cluster = graph.instances[connect.instance].cluster.as_ref();
    let pods = sides.into_iter().filter_map(|side| match side {
        Peer::Pods(pods) => Some(pods),
        _ => None,
    });
    let pods: Vec<&Pods> = pods.collect();
    match pods.iter().find(|pods| site.creates(cluster, &pods.namespace)) {
        Some(open) => Diagnostic::new(
            Code::IneffectiveConnection,
            format!("the connection has no effect: no NetworkPolicy isolates {}", open.shown),
        )
        .at(connect.span, "already allowed without a policy")
        .note(format!(
            "without isolation, the pods can open and accept every connection; a policy for this connection alone would deny all their \
             other connections in namespace `{}`, including DNS",
            open.namespace.shown()
        ))
        .help("isolate the namespace with the module `tenant` or a NetworkPolicy that denies by default, or remove the connection"),
        None => {
            let namespaces = pods.iter().map(|pods| pods.namespace.shown());
            Diagnostic::new(
                Code::InvalidGrant,
                "neither side of this connection is in a namespace that this stack creates",
            )
            .at(
                connect.span,
                format!("Terrace writes no NetworkPolicy to {}", listed(namespaces)),
            )
            .help("name a workload of the stack on one side, or ask the owner of the namespaces for a NetworkPolicy")
        }
    }
}

fn peer(graph: &Graph<'_>, connect: &DeclaredEdge, key: &str, diagnostics: &mut Diagnostics) -> Option<Peer> {
    let term = connect.value.get(key)?;
    if let Term::Map(_) = term {
        if let Some(cidr) = term.get("cidr").and_then(Term::as_str) {
            if range(cidr).is_none() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidGrant,
                        format!("`{}` is not a CIDR range", shown(cidr)),
                    )
                    .at(
                        graph.word(connect, key),
                        "expected an address, `/` and a prefix length",
                    )
                    .help("write a range such as `10.0.0.0/16`, or `203.0.113.7/32` for one address"),
                );
                return None;
            }
            return Some(Peer::Addresses(cidr.into()));
        }
        let namespace = term.get("namespace")?;
        let at = graph
            .resources_of(connect.instance)
            .next()
            .map_or(0, |(at, _)| at);
        let namespace = graph
            .known_text(at, connect.instance, namespace)
            .map_or_else(|| namespace.clone(), Term::from);
        let labels = term.get("labels").cloned();
        let labels = labels.unwrap_or(Term::Map(Vec::new().into()));
        // The labels of the pods distinguish several connections of one namespace.
        let mut name = slug(&namespace.shown()).to_string();
        for (_, value) in labels.entries() {
            name.push('-');
            name.push_str(&slug(&value.shown()));
        }
        return Some(Peer::Pods(Pods {
            shown: match labels.entries() {
                [] => format!("the pods of namespace `{}`", namespace.shown()),
                _ => format!("the selected pods of namespace `{}`", namespace.shown()),
            },
            namespace,
            selector: labels.clone(),
            labels,
            name: name.into(),
        }));
    }
    let reference = match term {
        Term::Reference(reference) => reference.as_ref().clone(),
        Term::String(name) => named(name, graph.word(connect, key)),
        other => {
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, format!("`{key}` must name a workload"))
                    .at(graph.word(connect, key), format!("found {}", other.kind())),
            );
            return None;
        }
    };
    let at = match graph.find(connect.instance, &reference) {
        Ok(Found::Resource(at)) => at,
        Ok(Found::Component(component)) => match graph.follow(connect.instance, &reference) {
            Some(at) => at,
            None => workload_of(
                graph,
                component,
                &reference,
                graph.word(connect, key),
                diagnostics,
            )?,
        },
        Err(failure) => {
            diagnostics.push(failure.diagnostic());
            return None;
        }
    };
    let resource = &graph.resources[at];
    let own = &graph.instances[connect.instance];
    let cluster = &graph.instances[resource.instance].cluster;
    if resource.kind.kubernetes().is_some() && *cluster != own.cluster {
        let shown = |cluster: &Option<Text>| match cluster {
            Some(name) => format!("in cluster `{name}`"),
            None => "in no cluster".to_owned(),
        };
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!(
                    "`{}` and this connection are in different clusters",
                    resource.address
                ),
            )
            .at(
                graph.word(connect, key),
                format!(
                    "{}, but `{}` is {}",
                    shown(cluster),
                    own.component,
                    shown(&own.cluster)
                ),
            )
            .help(
                "use `{cidr: …}` for pods in another cluster: a NetworkPolicy selects only pods in its cluster",
            ),
        );
        return None;
    }
    if resource.kind.cloudformation() == Some("AWS::EC2::SecurityGroup") {
        return Some(Peer::Group(at));
    }
    let template = |path: &[&str]| resource.body.at(path);
    let (selector, labels) = match resource.kind.kubernetes() {
        Some("Service") => (template(&["spec", "selector"]), None),
        Some("Pod") => (template(&["metadata", "labels"]), None),
        Some("CronJob") => (
            template(&["spec", "jobTemplate", "spec", "template", "metadata", "labels"]),
            None,
        ),
        Some("Job") => (template(&["spec", "template", "metadata", "labels"]), None),
        Some(_) if pod_spec(&resource.body).is_some() => (
            template(&["spec", "selector", "matchLabels"]),
            template(&["spec", "template", "metadata", "labels"]),
        ),
        _ => (None, None),
    };
    let Some(selector) = selector else {
        let kind = resource.kind.name();
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("`{}` has no pods to connect", resource.address),
            )
            .at(graph.word(connect, key), format!("has the type `{kind}`"))
            .help("connect workloads, Services, security groups, or `{cidr: …}`"),
        );
        return None;
    };
    let namespace = resource.body.at(&["metadata", "namespace"]);
    let known = namespace.and_then(|term| graph.known_text(at, resource.instance, term));
    let mut name = format!(
        "{}-{}",
        slug(graph.identity(resource)),
        slug(&resource.address.resource)
    );
    if let Some(key) = &resource.address.key {
        name.push('-');
        name.push_str(&slug(key));
    }
    Some(Peer::Pods(Pods {
        namespace: known
            .map(Term::from)
            .or_else(|| namespace.cloned())
            .unwrap_or_default(),
        labels: labels.unwrap_or(selector).clone(),
        selector: selector.clone(),
        name: name.into(),
        shown: format!("the pods of `{}`", resource.address),
    }))
}

/// Returns the workload of a component, if there is exactly one.
fn workload_of(
    graph: &Graph<'_>,
    component: usize,
    reference: &Reference,
    word: Span,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let is_workload = |resource: &Resource| {
        matches!(
            resource.kind.kubernetes(),
            Some("Deployment" | "StatefulSet" | "DaemonSet")
        )
    };
    let workloads: Vec<usize> = graph
        .resources_of(component)
        .filter(|(_, resource)| is_workload(resource))
        .map(|(at, _)| at)
        .collect();
    match workloads.as_slice() {
        [only] => Some(*only),
        several => {
            let message = match several.len() {
                0 => format!("component `{}` has no workload", shown(&reference.name)),
                count => format!("component `{}` has {count} workloads", shown(&reference.name)),
            };
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, message)
                    .at(word, "must have exactly one workload")
                    .help("name an output of the component that is a workload or a Service"),
            );
            None
        }
    }
}

/// Returns the policy for egress at the source and the one for ingress at the destination. Each is in the namespace of its pods, if the stack
/// creates that namespace and isolates the pods.
fn policies(
    graph: &Graph<'_>,
    site: &Site<'_>,
    connect: &DeclaredEdge,
    [from, to]: [&Peer; 2],
    port: &Term,
    protocol: &str,
) -> Vec<Resource> {
    let cluster = graph.instances[connect.instance].cluster.as_ref();
    let name_of = |peer: &Peer| match peer {
        Peer::Pods(pods) => pods.name.clone(),
        Peer::Addresses(cidr) => slug(cidr),
        Peer::Group(_) => Text::default(),
    };
    let base = format!("{}-to-{}-{}", name_of(from), name_of(to), slug(&port.shown()));
    let ports = Term::list([Term::map([
        ("protocol", Term::from(protocol)),
        ("port", port.clone()),
    ])]);
    let mut made = Vec::new();
    for (own, other, direction) in [(from, to, Direction::Egress), (to, from, Direction::Ingress)] {
        let Peer::Pods(pods) = own else { continue };
        if !site.creates(cluster, &pods.namespace)
            || !site.isolates(cluster, &pods.namespace, &pods.labels, direction)
        {
            continue;
        }
        let rule = Term::map([
            (direction.peers(), Term::list([selector(other, direction)])),
            ("ports", ports.clone()),
        ]);
        let spec = Term::map([
            ("podSelector", Term::map([("matchLabels", pods.selector.clone())])),
            ("policyTypes", Term::list([direction.policy_type()])),
            (direction.rules(), Term::list([rule])),
        ]);
        let name = format!("{base}-{}", direction.rules());
        made.push(policy(graph, connect, &name, &pods.namespace, spec));
    }
    made
}

/// Returns the peer for the rule of a policy.
fn selector(peer: &Peer, direction: Direction) -> Term {
    match peer {
        Peer::Pods(pods) => Term::map([
            (
                "namespaceSelector",
                Term::map([(
                    "matchLabels",
                    Term::map([("kubernetes.io/metadata.name", pods.namespace.clone())]),
                )]),
            ),
            ("podSelector", Term::map([("matchLabels", pods.selector.clone())])),
        ]),
        Peer::Addresses(cidr) => {
            let mut block = vec![("cidr".into(), Term::from(cidr))];
            let except = range(cidr).and_then(|range| range.instance_metadata());
            if let Some(except) = except.filter(|_| direction == Direction::Egress) {
                block.push(("except".into(), Term::list([except])));
            }
            Term::map([("ipBlock", Term::Map(block.into()))])
        }
        Peer::Group(_) => Term::Null,
    }
}

/// Returns the NetworkPolicy, with the connection as its declaration.
fn policy(graph: &Graph<'_>, connect: &DeclaredEdge, name: &str, namespace: &Term, spec: Term) -> Resource {
    let instance = &graph.instances[connect.instance];
    let names = &graph.uses[connect.instance].names;
    let labels = names.iter().find(|(name, _)| name == "labels");
    let metadata = Term::map([
        ("name", Term::from(name)),
        ("namespace", namespace.clone()),
        (
            "labels",
            labels.map_or(Term::Map(Vec::new().into()), |(_, labels)| labels.clone()),
        ),
    ]);
    let body = Term::map([
        ("apiVersion", Term::from("networking.k8s.io/v1")),
        ("kind", "NetworkPolicy".into()),
        ("metadata", metadata),
        ("spec", spec),
    ]);
    let address = Address {
        owner: instance.owner.clone(),
        component: instance.component.clone(),
        resource: name.replace('-', "_").into(),
        key: None,
    };
    let kind = ResourceKind::Kubernetes {
        api_version: "networking.k8s.io/v1".into(),
        kind: "NetworkPolicy".into(),
    };
    Resource::generated(address, kind, body, connect.span, connect.instance)
}
