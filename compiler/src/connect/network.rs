//! Stated connections become network policies on both sides, or rules of security groups.

use core::net::IpAddr;

use terrace_artifact::{Address, Text};

use super::grants::{named, pod_spec};
use super::{Found, Graph};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::expand::Stated;
use crate::expression::filters::slug;
use crate::resource::{Resource, ResourceKind};
use crate::source::Span;
use crate::term::{Reference, Term};

/// One end of a connection.
enum Peer {
    /// Pods: their namespace, their labels, and a name for messages and policies.
    Pods {
        namespace: Term,
        labels: Term,
        name: Text,
    },
    /// Addresses outside the cluster.
    Addresses(Text),
    /// A security group.
    Group(usize),
}

/// Makes policies and rules of what was stated.
pub(super) fn lower(
    graph: &mut Graph<'_>,
    connects: &[Stated],
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let mut made = Vec::new();
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
                    Diagnostic::new(Code::InvalidGrant, "a security group connects to security groups")
                        .at(graph.word(connect, other), "this is none")
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
            _ => made.extend(policies(graph, connect, &from, &to, &port, protocol)),
        }
    }
    made
}

fn peer(graph: &Graph<'_>, connect: &Stated, key: &str, diagnostics: &mut Diagnostics) -> Option<Peer> {
    let term = connect.value.get(key)?;
    if let Term::Map(_) = term {
        if let Some(cidr) = term.get("cidr").and_then(Term::as_str) {
            if !is_range(cidr) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::InvalidGrant,
                        format!("`{}` is no range of addresses", shown(cidr)),
                    )
                    .at(
                        graph.word(connect, key),
                        "an address, `/`, and how many of its bits count",
                    )
                    .help("write it like `10.0.0.0/16`, or `203.0.113.7/32` for one address"),
                );
                return None;
            }
            return Some(Peer::Addresses(cidr.into()));
        }
        let namespace = term.get("namespace")?.clone();
        let labels = term
            .get("labels")
            .cloned()
            .unwrap_or(Term::Map(Vec::new().into()));
        let name = slug(&namespace.shown());
        return Some(Peer::Pods {
            namespace,
            labels,
            name,
        });
    }
    let reference = match term {
        Term::Reference(reference) => reference.as_ref().clone(),
        Term::String(name) => named(name, graph.word(connect, key)),
        other => {
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, format!("`{key}` has to name a workload"))
                    .at(graph.word(connect, key), format!("this is {}", other.kind())),
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
            Some(name) => format!("in `{name}`"),
            None => "in none".to_owned(),
        };
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!(
                    "`{}` is in another cluster than this connection",
                    resource.address
                ),
            )
            .at(
                graph.word(connect, key),
                format!(
                    "{}, and `{}` {}",
                    shown(cluster),
                    own.component,
                    shown(&own.cluster)
                ),
            )
            .help(
                "a network policy knows the pods of its own cluster: say `{cidr: …}` for what is in another",
            ),
        );
        return None;
    }
    if resource.kind.cloudformation() == Some("AWS::EC2::SecurityGroup") {
        return Some(Peer::Group(at));
    }
    let labels = match resource.kind.kubernetes() {
        Some("Service") => resource.body.at(&["spec", "selector"]),
        Some("Pod") => resource.body.at(&["metadata", "labels"]),
        Some("CronJob") => {
            resource
                .body
                .at(&["spec", "jobTemplate", "spec", "template", "metadata", "labels"])
        }
        Some("Job") => resource.body.at(&["spec", "template", "metadata", "labels"]),
        Some(_) if pod_spec(&resource.body).is_some() => {
            resource.body.at(&["spec", "selector", "matchLabels"])
        }
        _ => None,
    };
    let Some(labels) = labels.cloned() else {
        let kind = resource
            .kind
            .kubernetes()
            .or(resource.kind.cloudformation())
            .unwrap_or_default();
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("`{}` has no network of its own", resource.address),
            )
            .at(graph.word(connect, key), format!("this is of the type `{kind}`"))
            .help("connect workloads, Services, security groups, or `{cidr: …}`"),
        );
        return None;
    };
    let namespace = resource
        .body
        .at(&["metadata", "namespace"])
        .cloned()
        .unwrap_or_default();
    let name = format!(
        "{}-{}",
        slug(graph.identity(resource)),
        slug(&resource.address.resource)
    )
    .into();
    Some(Peer::Pods {
        namespace,
        labels,
        name,
    })
}

/// Whether two security groups are in one account and region.
fn in_one_network(
    graph: &Graph<'_>,
    connect: &Stated,
    from: usize,
    to: usize,
    diagnostics: &mut Diagnostics,
) -> bool {
    let place = |at: usize| &graph.places[graph.resources[at].instance];
    if place(from) == place(to) {
        return true;
    }
    diagnostics.push(
        Diagnostic::new(
            Code::InvalidGrant,
            format!(
                "`{}` is in another account or region than `{}`",
                graph.resources[to].address, graph.resources[from].address
            ),
        )
        .at(
            graph.word(connect, "to"),
            "a rule names groups of its own network",
        )
        .help("place the two together, with `on`, or write the rules as resources"),
    );
    false
}

/// Whether a text is a range of addresses: `10.0.0.0/16`, `fd00::/8`.
fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// The one workload of a component.
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
        [one] => Some(*one),
        several => {
            let message = match several.len() {
                0 => format!("component `{}` has no workload", shown(&reference.name)),
                count => format!("component `{}` has {count} workloads", shown(&reference.name)),
            };
            diagnostics.push(
                Diagnostic::new(Code::InvalidGrant, message)
                    .at(word, "which pods are meant?")
                    .help("name an output of the component that is a workload or a Service"),
            );
            None
        }
    }
}

/// Egress where the connection begins, ingress where it ends: each in its own namespace.
fn policies(
    graph: &Graph<'_>,
    connect: &Stated,
    from: &Peer,
    to: &Peer,
    port: &Term,
    protocol: &str,
) -> Vec<Resource> {
    let instance = &graph.instances[connect.instance];
    let name_of = |peer: &Peer| match peer {
        Peer::Pods { name, .. } => name.clone(),
        Peer::Addresses(cidr) => slug(cidr),
        Peer::Group(_) => Text::default(),
    };
    let base = format!("{}-to-{}-{}", name_of(from), name_of(to), slug(&port.shown()));
    let ports = Term::list([Term::map([
        ("protocol", Term::from(protocol)),
        ("port", port.clone()),
    ])]);
    let selector = |peer: &Peer| match peer {
        Peer::Pods {
            namespace, labels, ..
        } => Term::map([
            (
                "namespaceSelector",
                Term::map([(
                    "matchLabels",
                    Term::map([("kubernetes.io/metadata.name", namespace.clone())]),
                )]),
            ),
            ("podSelector", Term::map([("matchLabels", labels.clone())])),
        ]),
        Peer::Addresses(cidr) => Term::map([("ipBlock", Term::map([("cidr", Term::from(cidr))]))]),
        Peer::Group(_) => Term::Null,
    };
    let mut made = Vec::new();
    for (own, other, direction, field, side) in [
        (from, to, "Egress", "egress", "to"),
        (to, from, "Ingress", "ingress", "from"),
    ] {
        let Peer::Pods {
            namespace, labels, ..
        } = own
        else {
            continue;
        };
        let rule = Term::map([(side, Term::list([selector(other)])), ("ports", ports.clone())]);
        let spec = Term::map([
            ("podSelector", Term::map([("matchLabels", labels.clone())])),
            ("policyTypes", Term::list([direction])),
            (field, Term::list([rule])),
        ]);
        let name = format!("{base}-{field}");
        let labels = graph.uses[connect.instance]
            .names
            .iter()
            .find(|(name, _)| name == "labels");
        let metadata = Term::map([
            ("name", Term::from(name.as_str())),
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
        made.push(Resource {
            address: Address {
                tenant: instance.tenant.clone(),
                component: instance.component.clone(),
                resource: name.replace('-', "_").into(),
                key: None,
            },
            kind: ResourceKind::Kubernetes {
                api_version: "networking.k8s.io/v1".into(),
                kind: "NetworkPolicy".into(),
            },
            body,
            depends_on: Vec::new(),
            attributes: Vec::new(),
            holds_data: false,
            part: 0,
            declared: connect.span,
            instance: connect.instance,
        });
    }
    made
}

/// Separate rules instead of rules in the groups: two groups that name each other could never be created.
fn group_rules(
    graph: &Graph<'_>,
    connect: &Stated,
    from: usize,
    to: usize,
    port: &Term,
    protocol: &str,
) -> Vec<Resource> {
    let group = |at: usize| -> Term {
        let name = graph.resources[at].address.to_string().into();
        Reference {
            name,
            key: None,
            path: vec!["group_id".into()],
            local: false,
            span: connect.span,
        }
        .into()
    };
    let rule = |kind: &str, own: usize, other: usize, other_key: &str| {
        let (source, target) = (
            &graph.resources[from].address.resource,
            &graph.resources[to].address.resource,
        );
        let body = Term::map([
            ("GroupId", group(own)),
            (other_key, group(other)),
            ("IpProtocol", protocol.to_lowercase().into()),
            ("FromPort", port.clone()),
            ("ToPort", port.clone()),
            ("Description", format!("{source} to {target}").into()),
        ]);
        let owner = &graph.resources[own];
        let direction = kind.trim_start_matches("AWS::EC2::SecurityGroup").to_lowercase();
        Resource {
            address: Address {
                resource: format!("{source}_to_{target}_{}_{direction}", slug(&port.shown())).into(),
                key: None,
                ..owner.address.clone()
            },
            kind: ResourceKind::CloudFormation(kind.into()),
            body,
            depends_on: Vec::new(),
            attributes: Vec::new(),
            holds_data: false,
            part: owner.part,
            declared: connect.span,
            instance: owner.instance,
        }
    };
    vec![
        rule(
            "AWS::EC2::SecurityGroupEgress",
            from,
            to,
            "DestinationSecurityGroupId",
        ),
        rule(
            "AWS::EC2::SecurityGroupIngress",
            to,
            from,
            "SourceSecurityGroupId",
        ),
    ]
}
