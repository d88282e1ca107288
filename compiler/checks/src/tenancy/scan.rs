//! Searches whole objects for names of other tenants' namespaces, objects inside objects, and access to the node.

use terrace_artifact::{Segment, Text};
use terrace_graph::connect::pod_spec;
use terrace_graph::resolve::placement::TENANT_NAMESPACE;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, NamespaceOwner, Subject};
use crate::pods::enforced_level;

/// Capabilities without access outside the container: those that the Pod Security Standard `baseline` allows.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The meaning of the value of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// A namespace or a list of namespaces.
    Namespace,
    /// A setting that may give access to the node or priority over other pods.
    Node,
    /// The version of an object.
    Version,
    Other,
}

impl Key {
    fn of(key: &str) -> Key {
        match key {
            "Namespace"
            | "kubernetes.io/metadata.name"
            | "matchNames"
            | "namespace"
            | "namespaces"
            | "targetNamespace" => Key::Namespace,
            "capabilities" | "hostIPC" | "hostNetwork" | "hostPID" | "hostPath" | "hostPort"
            | "priorityClassName" | "privileged" => Key::Node,
            "apiVersion" => Key::Version,
            _ => Key::Other,
        }
    }
}

struct Scan<'s, 'a> {
    subject: &'s Subject<'a>,
    tenant: &'s str,
    /// Fields that already have a finding.
    reported: &'s [Vec<Segment>],
    path: Vec<Segment>,
    /// Whether no other mechanism prevents the pods of the object from access to their node.
    into_nodes: bool,
    findings: &'s mut Vec<Finding>,
}

/// Searches a resource of a tenant.
pub(super) fn scan(
    subject: &Subject<'_>,
    tenant: &str,
    reported: &[Vec<Segment>],
    findings: &mut Vec<Finding>,
) {
    let object = subject.resource.kind.kubernetes().is_some();
    // Almost every resource is clean, and this check needs no paths.
    let clean = subject.body.entries().iter().all(|(key, value)| {
        // At the root, `apiVersion` is that of the resource itself.
        let kind = if key == "apiVersion" {
            Key::Other
        } else {
            Key::of(key)
        };
        is_clean(subject, tenant, value, kind, object)
    });
    if clean {
        return;
    }
    let refused = pod_spec(subject.body).is_some()
        && enforced_level(subject).is_some_and(|level| level != "privileged");
    let mut scan = Scan {
        subject,
        tenant,
        reported,
        path: Vec::new(),
        into_nodes: object && !refused,
        findings,
    };
    scan.term(subject.body, Key::Other);
}

/// Returns whether a term cannot contain a problem. `object` is true in a Kubernetes object.
fn is_clean(subject: &Subject<'_>, tenant: &str, term: &Term, key: Key, object: bool) -> bool {
    if object && matches!(key, Key::Node | Key::Version) {
        return false;
    }
    match term {
        Term::Map(entries) => entries.iter().all(|(name, value)| {
            foreign(subject, tenant, name, Key::Other).is_none()
                && is_clean(subject, tenant, value, Key::of(name), object)
        }),
        Term::List(items) => items
            .iter()
            .all(|item| is_clean(subject, tenant, item, key, object)),
        Term::String(text) => foreign(subject, tenant, text, key).is_none(),
        _ => true,
    }
}

/// Returns the other tenant whose namespace a string contains. `key` is the key of the string.
fn foreign(subject: &Subject<'_>, tenant: &str, text: &str, key: Key) -> Option<Text> {
    if key == Key::Namespace {
        let own = subject.instance().namespace == text;
        return match (!own).then(|| subject.owner(text))? {
            NamespaceOwner::Tenant(other) if other != tenant => Some(other.into()),
            _ => None,
        };
    }
    if text.len() < TENANT_NAMESPACE.len() || !text.contains(TENANT_NAMESPACE) {
        return None;
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let mut owners = words.filter_map(|word| subject.graph.tenants.namespaces.get(word));
    owners.find(|owner| *owner != tenant).cloned()
}

impl Scan<'_, '_> {
    fn term(&mut self, term: &Term, key: Key) {
        match term {
            Term::Map(entries) => {
                self.nested(term);
                for (name, value) in entries {
                    self.path.push(Segment::Key(name.clone()));
                    self.names(name, Key::Other);
                    self.field(name, value);
                    self.term(value, Key::of(name));
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
        let is_reported = self
            .reported
            .iter()
            .any(|path| !path.is_empty() && self.path.starts_with(path));
        if !is_reported {
            let path = self.path.clone();
            let finding = Finding::new(Code::TenantIsolation, &[], message);
            self.findings.push(finding.below(path).help(help));
        }
    }

    /// Reports the namespace of another tenant in a string.
    fn names(&mut self, text: &str, key: Key) {
        let Some(other) = foreign(self.subject, self.tenant, text, key) else {
            return;
        };
        let address = &self.subject.resource.address;
        let message = format!("`{address}` refers to a namespace of tenant `{other}`");
        self.report(
            message,
            "remove the reference, or declare this resource in a component of the platform (without `tenants`)",
        );
    }

    /// Reports a field that gives a pod access to its node or priority over other pods.
    fn field(&mut self, key: &str, value: &Term) {
        if !self.into_nodes {
            return;
        }
        let shares = matches!(key, "hostIPC" | "hostNetwork" | "hostPID" | "privileged");
        let shares = shares && value.as_bool() == Some(true);
        if shares || (key == "hostPath" && matches!(value, Term::Map(_))) {
            let message = format!(
                "`{key}` gives the pods of tenant `{}` access to everything on their node",
                self.tenant
            );
            self.report(
                message,
                "remove it, or move the workload to a component of the platform (without `tenants`)",
            );
        }
        if key == "hostPort" && value.as_integer().is_some_and(|port| port > 0) {
            let message = "`hostPort` occupies a port of the node, which other tenants might need";
            self.report(message.to_owned(), "expose the pods with a Service");
        }
        let added = value.get("add").filter(|_| key == "capabilities");
        let mut added = added.map_or(&[][..], Term::items).iter().filter_map(Term::as_str);
        if let Some(capability) = added.find(|capability| !CAPABILITIES.contains(capability)) {
            let message = format!(
                "the capability `{capability}` gives the pods of tenant `{}` access to their node",
                self.tenant
            );
            self.report(
                message,
                "remove it from `add`, or move the workload to a component of the platform (without `tenants`)",
            );
        }
        let class = value.as_str().filter(|_| key == "priorityClassName");
        if let Some(class) = class.filter(|class| class.starts_with("system-")) {
            let message = format!(
                "`{class}` is reserved for the cluster itself: its pods can evict the pods of every tenant"
            );
            self.report(message, "use a PriorityClass of the platform");
        }
    }

    /// Reports a cluster-scoped object, or an object for another namespace, inside an object that a controller creates objects from.
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
                "declare it in a component of the platform (without `tenants`)",
            );
        } else if let Some(namespace) =
            namespace.filter(|namespace| !self.subject.is_own(self.tenant, namespace))
        {
            let clause = self.subject.owner(namespace).clause();
            let message = format!("the {kind} in this object is for namespace `{namespace}`, {clause}");
            self.report(message, "remove `namespace`");
        }
    }
}
