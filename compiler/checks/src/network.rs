//! Checks that network policies allow pods to resolve names.

use terrace_graph::connect::network::selector::{Direction, isolates};
use terrace_graph::connect::pod_spec;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// The ports of DNS: 53, and 5353 for the pods behind the Service of OpenShift.
const DNS_PORTS: [i64; 2] = [53, 5353];

/// Reports pods that may open connections, but cannot resolve names.
pub(super) fn names(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if pod_spec(subject.body).is_none() {
        return;
    }
    let Some(labels) = labels(subject) else { return };
    let selecting: Vec<&Term> = subject
        .beside()
        .filter(|(other, body)| {
            other.kind.kubernetes() == Some("NetworkPolicy") && isolates(body, Direction::Egress, labels)
        })
        .map(|(_, body)| body)
        .collect();
    let rules = || {
        selecting
            .iter()
            .flat_map(|policy| policy.at(&["spec", "egress"]).map_or(&[][..], Term::items))
    };
    // Pods without any allowed connection need no DNS.
    if rules().next().is_some() && !rules().any(allows_dns) {
        let message = format!(
            "the pods of `{}` cannot resolve names: no NetworkPolicy allows them to reach DNS",
            subject.resource.address
        );
        findings.push(
            Finding::new(Code::ClosedDns, &[], message)
                .help("allow egress to port 53, UDP and TCP, or use the module `tenant` for the namespace"),
        );
    }
}

fn allows_dns(rule: &Term) -> bool {
    let ports = rule.get("ports").map_or(&[][..], Term::items);
    let is_dns = |port: &Term| match port.get("port") {
        None => true,
        Some(number) => match (
            number.as_integer(),
            port.get("endPort").and_then(Term::as_integer),
        ) {
            (Some(first), Some(last)) => DNS_PORTS.iter().any(|dns| (first..=last).contains(dns)),
            (Some(number), None) => DNS_PORTS.contains(&number),
            // A named port: `dns`, `dns-tcp`.
            (None, _) => number.as_str().is_some_and(|name| name.starts_with("dns")),
        },
    };
    ports.is_empty() || ports.iter().any(is_dns)
}

/// Returns the labels of the pods of a workload.
fn labels<'a>(subject: &Subject<'a>) -> Option<&'a Term> {
    subject.body.at(match subject.resource.kind.kubernetes()? {
        "Pod" => &["metadata", "labels"][..],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "metadata", "labels"],
        _ => &["spec", "template", "metadata", "labels"],
    })
}
