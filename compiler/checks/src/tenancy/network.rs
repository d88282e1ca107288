//! Checks objects that open the network of a tenant, or intercept traffic of others.

use terrace_artifact::{Segment, Text};
use terrace_graph::connect::network::selector::{Direction, selects, selects_all};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// The label for the name of a namespace. Names of other tenants' namespaces are found by the scan.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Ranges of all addresses.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Checks an object of a tenant against the rules for networks. Most kinds have no rules.
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

/// Returns the host names of a route with their paths.
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

/// Reports a host name that a route of another owner has, too. This route would get a part of its requests.
fn route(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    for (host, place) in hosts(subject.resource.kind.kubernetes(), subject.body) {
        let routes = subject.tenancy.hosts.get(&(subject.cluster(), host));
        let mut routes = routes
            .into_iter()
            .flatten()
            .map(|at| &subject.graph.resources[*at]);
        if let Some(other) = routes.find(|route| route.address.owner.as_str() != tenant) {
            let message = format!("`{host}` is also a host name of `{}`", other.address);
            findings.push(
                Finding::new(Code::TenantIsolation, &[], message)
                    .below(place)
                    .help("use a different host name for each tenant, or route the paths in a component of the platform (without `tenants`)"),
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
                let message = "a rule without `from` allows all sources, including the pods of other tenants";
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

/// Returns the field, the message and the help for a peer that allows more than the tenant.
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
                format!("`{cidr}` allows all sources, including the pods of other tenants"),
                "name the CIDR range of the clients, or select the namespace of a gateway",
            )
        });
    }
    let selector = peer.get("namespaceSelector")?;
    if selector.at(&["matchLabels", NAME_LABEL]).is_some() {
        return None;
    }
    let path = &["namespaceSelector"][..];
    if let Some(other) = selected(subject, tenant, selector) {
        // Policies select every namespace to allow DNS. The ingress policies of the other side still apply.
        let by_purpose = direction == Direction::Egress && selects_all(selector);
        let message = format!("`namespaceSelector` also selects the namespaces of tenant `{other}`");
        return (!by_purpose).then_some((path, message, SELECT_ONE));
    }
    let anyone = direction == Direction::Ingress && selects(selector, &Term::map([(NAME_LABEL, "\u{0}")]));
    let message = "`namespaceSelector` selects every namespace, including those of other tenants";
    anyone.then(|| (path, message.to_owned(), SELECT_ONE))
}

const SELECT_ONE: &str = "select one namespace: `{matchLabels: {kubernetes.io/metadata.name: NAME}}`";

/// Returns another tenant whose namespaces a selector selects.
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
            let message = "other tenants can attach routes to this gateway";
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
        let message = "`any` reads the metrics of every namespace, including those of other tenants";
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message)
                .help("remove `namespaceSelector` to select only the monitor's own namespace"),
        );
    }
}

/// Reports a Service with external IPs, because it receives the traffic of other pods to these addresses.
fn service(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let path = ["spec", "externalIPs"];
    if subject
        .body
        .at(&path)
        .is_some_and(|addresses| !addresses.items().is_empty())
    {
        let message =
            "`externalIPs` intercepts the traffic that any pod of the cluster sends to these addresses";
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message)
                .help("expose the Service with a Gateway, an Ingress or a load balancer of the platform"),
        );
    }
}

/// Reports a PersistentVolumeClaim with a volume that may belong to another tenant.
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
        let message = format!(
            "PersistentVolume `{name}` is not reserved for this PersistentVolumeClaim, so it can contain the data of another tenant"
        );
        findings.push(
            Finding::new(Code::TenantIsolation, &path, message).help(
                "remove `volumeName`, or declare the PersistentVolume in a component of the platform (without `tenants`), with a `claimRef` to this PersistentVolumeClaim",
            ),
        );
    }
}
