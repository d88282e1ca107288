//! Objects that open a tenant's network, or take part in that of others.

use terrace_artifact::{Segment, Text};

use super::{Finding, Subject};
use crate::code::Code;
use crate::connect::selector::{Direction, selects, selects_all};
use crate::term::Term;

/// The label by which a policy names one namespace. What it names is found with all other names.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Ranges of all addresses.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Holds an object of a tenant against the rules of the network; most kinds have none.
pub(super) fn object(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    match subject.resource.kind.kubernetes().unwrap_or_default() {
        "NetworkPolicy" => policy(subject, tenant, findings),
        "Gateway" => gateway(subject, tenant, findings),
        "PodMonitor" | "Probe" | "ServiceMonitor" => monitor(subject, findings),
        "Service" => service(subject, findings),
        "PersistentVolumeClaim" => claim(subject, findings),
        _ => route(subject, tenant, findings),
    }
}

/// The host names that a route answers to, with their places; other kinds have none.
pub(super) fn hosts<'t>(kind: Option<&str>, body: &'t Term) -> Vec<(&'t str, Vec<Segment>)> {
    match kind.unwrap_or_default() {
        "GRPCRoute" | "HTTPRoute" | "TLSRoute" => {
            let names = body
                .at(&["spec", "hostnames"])
                .map_or(&[][..], Term::items)
                .iter();
            let place = |at: usize| vec![key("spec"), key("hostnames"), Segment::Index(at)];
            names
                .enumerate()
                .filter_map(|(at, host)| Some((host.as_str()?, place(at))))
                .collect()
        }
        "Ingress" => {
            let rules = body.at(&["spec", "rules"]).map_or(&[][..], Term::items).iter();
            let place = |at: usize| vec![key("spec"), key("rules"), Segment::Index(at), key("host")];
            rules
                .enumerate()
                .filter_map(|(at, rule)| Some((rule.get("host")?.as_str()?, place(at))))
                .collect()
        }
        "Route" => {
            let host = body.at(&["spec", "host"]).and_then(Term::as_str);
            host.map(|host| (host, vec![key("spec"), key("host")]))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A host name that somebody else's route answers to: a part of its requests would come here.
fn route(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    for (host, place) in hosts(subject.resource.kind.kubernetes(), subject.body) {
        let routes = subject.tenancy.hosts.get(&(subject.cluster(), host));
        let mut routes = routes
            .into_iter()
            .flatten()
            .map(|at| &subject.graph.resources[*at]);
        if let Some(other) = routes.find(|route| route.address.tenant != tenant) {
            let message = format!("`{host}` is the host name of `{}`, too", other.address);
            findings.push(
                Finding::new(Code::TenantIsolation, &[], message)
                    .below(place)
                    .help("give each tenant host names of its own, or let a component of the platform route their paths"),
            );
        }
    }
}

fn key(word: &str) -> Segment {
    Segment::Key(word.into())
}

fn policy(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let rules = subject
            .body
            .at(&["spec", direction.rules()])
            .map_or(&[][..], Term::items);
        for (at, rule) in rules.iter().enumerate() {
            let place = vec![key("spec"), key(direction.rules()), Segment::Index(at)];
            let peers = rule.get(direction.peers()).map_or(&[][..], Term::items);
            if peers.is_empty() && direction == Direction::Ingress {
                let message = "a rule without `from` lets everybody in, the pods of other tenants among them";
                findings.push(
                    Finding::new(Code::TenantIsolation, &[], message)
                        .below(place)
                        .help("name the namespaces or addresses that may connect: `from: […]`"),
                );
                continue;
            }
            for (index, peer) in peers.iter().enumerate() {
                let mut place = place.clone();
                place.extend([key(direction.peers()), Segment::Index(index)]);
                if let Some((path, message, help)) = open_peer(subject, tenant, direction, peer) {
                    place.extend(path.iter().copied().map(key));
                    findings.push(
                        Finding::new(Code::TenantIsolation, &[], message)
                            .below(place)
                            .help(help),
                    );
                }
            }
        }
    }
}

/// What a peer of a rule opens beyond the tenant: the field, what is wrong with it, and what to write instead.
fn open_peer(
    subject: &Subject<'_>,
    tenant: &str,
    direction: Direction,
    peer: &Term,
) -> Option<(&'static [&'static str], String, &'static str)> {
    if let Some(cidr) = peer.at(&["ipBlock", "cidr"]).and_then(Term::as_str) {
        let everywhere = direction == Direction::Ingress && EVERYWHERE.contains(&cidr);
        return everywhere.then(|| {
            (
                &["ipBlock", "cidr"][..],
                format!("`{cidr}` lets everybody in, the pods of other tenants among them"),
                "name the range of the clients, or the namespace of a gateway",
            )
        });
    }
    let selector = peer.get("namespaceSelector")?;
    if selector.at(&["matchLabels", NAME_LABEL]).is_some() {
        return None;
    }
    let path = &["namespaceSelector"][..];
    if let Some(other) = selected(subject, tenant, selector) {
        // Selecting every namespace is how policies allow DNS: what the other side closes stays closed.
        let by_purpose = direction == Direction::Egress && selects_all(selector);
        let message = format!("`namespaceSelector` also selects the namespaces of tenant `{other}`");
        return (!by_purpose).then_some((path, message, ONE));
    }
    let anyone = direction == Direction::Ingress && selects(selector, &Term::map([(NAME_LABEL, "\u{0}")]));
    let message = "`namespaceSelector` selects every namespace, those of other tenants among them";
    anyone.then(|| (path, message.to_owned(), ONE))
}

const ONE: &str = "select one namespace: `{matchLabels: {kubernetes.io/metadata.name: NAME}}`";

/// Another tenant whose namespaces a selector selects.
fn selected<'a>(subject: &Subject<'a>, tenant: &str, selector: &Term) -> Option<&'a str> {
    let spaces = subject.tenancy.spaces.get(&subject.cluster())?;
    let mut others = spaces.iter().filter(|space| space.tenant != tenant);
    Some(others.find(|space| selects(selector, &space.labels))?.tenant)
}

fn gateway(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    let listeners = subject
        .body
        .at(&["spec", "listeners"])
        .map_or(&[][..], Term::items);
    for (at, listener) in listeners.iter().enumerate() {
        let Some(allowed) = listener.at(&["allowedRoutes", "namespaces"]) else {
            continue;
        };
        let other = match allowed.get("from").and_then(Term::as_str) {
            Some("All") => true,
            Some("Selector") => allowed
                .get("selector")
                .is_some_and(|selector| selected(subject, tenant, selector).is_some()),
            _ => false,
        };
        if other {
            let message = "other tenants may attach routes to this gateway";
            findings.push(
                Finding::new(Code::TenantIsolation, &["spec", "listeners"], message)
                    .below([
                        Segment::Index(at),
                        key("allowedRoutes"),
                        key("namespaces"),
                        key("from"),
                    ])
                    .help("allow routes of the gateway's own namespace: `from: Same`"),
            );
        }
    }
}

fn monitor(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let path = ["spec", "namespaceSelector", "any"];
    if subject.body.at(&path).and_then(Term::as_bool) == Some(true) {
        let message = "`any` reads the metrics of every namespace, those of other tenants among them";
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message)
                .help("leave `namespaceSelector` out: then it is the monitor's own namespace"),
        );
    }
}

/// A Service that claims addresses receives what others send there.
fn service(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let path = ["spec", "externalIPs"];
    if subject
        .body
        .at(&path)
        .is_some_and(|addresses| !addresses.items().is_empty())
    {
        let message =
            "`externalIPs` takes over the traffic that any pod of the cluster sends to these addresses";
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message)
                .help("expose the Service with a Gateway, an Ingress or a load balancer of the platform"),
        );
    }
}

/// A claim that takes a volume by its name may take that of another tenant.
fn claim(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let path = ["spec", "volumeName"];
    let Some(name) = subject.body.at(&path).and_then(Term::as_str) else {
        return;
    };
    let own = |key: &str| subject.body.at(&["metadata", key]);
    let cluster: Option<&Text> = subject.cluster();
    let reserved = subject.graph.resources.iter().enumerate().any(|(at, resource)| {
        let body = subject.lowered(at);
        let claimed = |key: &str| body.at(&["spec", "claimRef", key]);
        resource.kind.kubernetes() == Some("PersistentVolume")
            && subject.graph.instances[resource.instance].cluster.as_ref() == cluster
            && body.at(&["metadata", "name"]).and_then(Term::as_str) == Some(name)
            && claimed("namespace") == own("namespace")
            && claimed("name") == own("name")
    });
    if !reserved {
        let message =
            format!("volume `{name}` is not reserved for this claim: it may hold the data of another tenant");
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message).help(
                "leave `volumeName` out, or declare the PersistentVolume in a component of the platform with a `claimRef` to this claim",
            ),
        );
    }
}
