//! What may stand anywhere in an object: names of other tenants' namespaces, objects inside of objects, and ways into the node.

use terrace_artifact::{Segment, Text};

use super::{Finding, Owner, Subject};
use crate::check::pods::enforced_level;
use crate::code::Code;
use crate::connect::pod_spec;
use crate::term::Term;

/// Fields of a pod with which it shares something of its node.
const OF_THE_NODE: [&str; 4] = ["hostIPC", "hostNetwork", "hostPID", "privileged"];

/// Keys whose values are names of namespaces.
const NAMESPACES: [&str; 6] = [
    "Namespace",
    "kubernetes.io/metadata.name",
    "matchNames",
    "namespace",
    "namespaces",
    "targetNamespace",
];

struct Scan<'s, 'a> {
    subject: &'s Subject<'a>,
    tenant: &'s str,
    /// Fields of which something is reported already.
    told: &'s [Vec<Segment>],
    path: Vec<Segment>,
    /// True when nothing else keeps the object's pods out of their node.
    into_nodes: bool,
    findings: &'s mut Vec<Finding>,
}

/// Reads all of a resource of a tenant.
pub(super) fn scan(subject: &Subject<'_>, tenant: &str, told: &[Vec<Segment>], findings: &mut Vec<Finding>) {
    let object = subject.resource.kind.kubernetes().is_some();
    let refused = pod_spec(subject.body).is_some()
        && enforced_level(subject).is_some_and(|level| level != "privileged");
    let mut scan = Scan {
        subject,
        tenant,
        told,
        path: Vec::new(),
        into_nodes: object && !refused,
        findings,
    };
    scan.term(subject.body, "");
}

impl Scan<'_, '_> {
    fn term(&mut self, term: &Term, key: &str) {
        match term {
            Term::Map(entries) => {
                self.nested(term);
                for (name, value) in entries {
                    self.path.push(Segment::Key(name.clone()));
                    self.names(name, "");
                    self.field(name, value);
                    self.term(value, name);
                    self.path.pop();
                }
            }
            Term::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.path.push(Segment::Index(at));
                    self.term(item, key);
                    self.path.pop();
                }
            }
            Term::String(text) => self.names(text, key),
            _ => {}
        }
    }

    fn report(&mut self, message: String, help: &str) {
        let is_told = self
            .told
            .iter()
            .any(|told| !told.is_empty() && self.path.starts_with(told));
        if !is_told {
            let path = self.path.clone();
            let finding = Finding::new(Code::TenantIsolation, &[], message);
            self.findings.push(finding.below(path).help(help));
        }
    }

    /// Reports the namespace of another tenant in a text.
    fn names(&mut self, text: &str, key: &str) {
        let Some(other) = self.foreign(text, key) else {
            return;
        };
        let address = &self.subject.resource.address;
        let message = format!("`{address}` names a namespace of tenant `{other}`");
        self.report(
            message,
            "let a component of the platform bring the two tenants together",
        );
    }

    /// The other tenant whose namespace a text names.
    fn foreign(&self, text: &str, key: &str) -> Option<Text> {
        let graph = self.subject.graph;
        if NAMESPACES.contains(&key) {
            return match self.subject.owner(text) {
                Owner::Tenant(other) if other != self.tenant => Some(other.into()),
                _ => None,
            };
        }
        if !text.contains(crate::placement::TENANT_NAMESPACE) {
            return None;
        }
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let mut owners = words.filter_map(|word| graph.tenants.namespaces.get(word));
        owners.find(|owner| *owner != self.tenant).cloned()
    }

    /// Reports a field with which a pod reaches into its node, or goes before the pods of others.
    fn field(&mut self, key: &str, value: &Term) {
        if !self.into_nodes {
            return;
        }
        let shares = OF_THE_NODE.contains(&key) && value.as_bool() == Some(true);
        if shares || (key == "hostPath" && matches!(value, Term::Map(_))) {
            let message = format!(
                "`{key}` lets the pods of tenant `{}` reach everything on their node",
                self.tenant
            );
            self.report(
                message,
                "take it out, or move the workload to a component of the platform",
            );
        }
        let class = value.as_str().filter(|_| key == "priorityClassName");
        if let Some(class) = class.filter(|class| class.starts_with("system-")) {
            let message =
                format!("`{class}` is for the cluster itself: its pods evict those of every tenant");
            self.report(message, "name a PriorityClass of the platform");
        }
    }

    /// Reports a cluster-scoped object, or one of another namespace, inside of an object that others create objects from.
    fn nested(&mut self, term: &Term) {
        let word = |key: &str| term.get(key).and_then(Term::as_str);
        if self.path.is_empty() || term.get("metadata").is_none() {
            return;
        }
        let (Some(api_version), Some(kind)) = (word("apiVersion"), word("kind")) else {
            return;
        };
        let scoped = terrace_catalog::kubernetes(api_version, kind).is_some_and(|kind| !kind.namespaced());
        let namespace = term.at(&["metadata", "namespace"]).and_then(Term::as_str);
        if scoped {
            let message = format!(
                "{kind} is cluster-scoped: an object of tenant `{}` cannot contain it",
                self.tenant
            );
            self.report(
                message,
                "declare it in a component of the platform, which has no `tenants`",
            );
        } else if let Some(namespace) =
            namespace.filter(|namespace| !self.subject.is_own(self.tenant, namespace))
        {
            let clause = self.subject.owner(namespace).clause();
            let message = format!("the {kind} in this object goes to namespace `{namespace}`, {clause}");
            self.report(message, "leave `namespace` out");
        }
    }
}
