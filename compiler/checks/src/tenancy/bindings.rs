//! Checks the subjects and the role of bindings.

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::super::rbac;
use super::{Finding, NamespaceOwner, Subject};

/// Groups and users that include all users or all workloads of the cluster.
const EVERYBODY: [&str; 5] = [
    "system:anonymous",
    "system:authenticated",
    "system:masters",
    "system:serviceaccounts",
    "system:unauthenticated",
];

/// The prefix of the group of all ServiceAccounts of a namespace.
const ACCOUNTS_OF: &str = "system:serviceaccounts:";
/// The prefix of the user name of a ServiceAccount.
const ACCOUNT: &str = "system:serviceaccount:";

/// A subject of a binding.
#[derive(Clone, Copy)]
enum BindingSubject<'b> {
    /// A ServiceAccount, or all ServiceAccounts of a namespace.
    Accounts { namespace: &'b str },
    /// All users, or a part of the control plane.
    System(&'b str),
    /// A group or user of the identity provider.
    Person(&'b str),
}

fn bound_subject(subject: &Term) -> Option<BindingSubject<'_>> {
    let word = |key: &str| subject.get(key).and_then(Term::as_str);
    let name = word("name")?;
    if word("kind")? == "ServiceAccount" {
        let namespace = word("namespace")?;
        return Some(BindingSubject::Accounts { namespace });
    }
    if let Some(namespace) = name.strip_prefix(ACCOUNTS_OF) {
        return Some(BindingSubject::Accounts { namespace });
    }
    if let Some((namespace, _)) = name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':')) {
        return Some(BindingSubject::Accounts { namespace });
    }
    Some(match name.starts_with("system:") {
        true => BindingSubject::System(name),
        false => BindingSubject::Person(name),
    })
}

/// Checks a RoleBinding or ClusterRoleBinding. Other kinds have no rules.
pub(super) fn binding(subject: &Subject<'_>, tenant: Option<&str>, findings: &mut Vec<Finding>) {
    let Some(kind @ ("RoleBinding" | "ClusterRoleBinding")) = subject.resource.kind.kubernetes() else {
        return;
    };
    role(subject, tenant, findings);
    let own = subject.body.at(&["metadata", "namespace"]).and_then(Term::as_str);
    let subjects = subject.body.get("subjects").map_or(&[][..], Term::items);
    for (at, entry) in subjects.iter().enumerate() {
        let Some(bound_subject) = bound_subject(entry) else {
            continue;
        };
        let found = match (tenant, kind, own) {
            // The cluster-scoped object of a tenant is reported itself.
            (Some(_), "ClusterRoleBinding", _) => None,
            (Some(tenant), ..) => of_tenant(subject, tenant, bound_subject),
            (None, "ClusterRoleBinding", _) => cluster_wide(subject, bound_subject),
            (None, _, Some(own)) => between_tenants(subject, own, bound_subject),
            (None, _, None) => None,
        };
        let place = match bound_subject {
            BindingSubject::Accounts { .. }
                if entry.get("kind").and_then(Term::as_str) == Some("ServiceAccount") =>
            {
                "namespace"
            }
            _ => "name",
        };
        findings.extend(found.map(|finding| {
            finding.below([
                Segment::Key("subjects".into()),
                Segment::Index(at),
                Segment::Key(place.into()),
            ])
        }));
    }
}

/// Checks a subject in a binding of a tenant's component: only the tenant's own ServiceAccounts and its `readers` are allowed.
fn of_tenant(subject: &Subject<'_>, tenant: &str, bound_subject: BindingSubject<'_>) -> Option<Finding> {
    let finding = |message: String| Finding::new(Code::TenantIsolation, &[], message);
    match bound_subject {
        BindingSubject::Accounts { namespace } if subject.is_own(tenant, namespace) => None,
        BindingSubject::Accounts { namespace } => {
            let clause = subject.owner(namespace).clause();
            let message = format!(
                "tenant `{tenant}` binds a role to a ServiceAccount of namespace `{namespace}`, {clause}"
            );
            Some(finding(message).help("bind the role to a ServiceAccount of the tenant's own namespace, or declare the binding in a component of the platform (without `tenants`)"))
        }
        BindingSubject::System(name) => {
            let message =
                format!("tenant `{tenant}` binds a role to `{name}`, which has members outside the tenant");
            Some(
                finding(message)
                    .help("bind the role to ServiceAccounts of the tenant, or to groups in its `readers`"),
            )
        }
        BindingSubject::Person(name) => {
            let readers = subject.tenancy.readers.get(tenant);
            let known = readers.is_some_and(|readers| readers.contains(&name));
            (!known).then(|| {
                let message = format!("`{name}` is not one of the `readers` of tenant `{tenant}`");
                finding(message).help(
                    "add the group to the input `readers` of the tenant's component that uses the module `tenant`",
                )
            })
        }
    }
}

/// Checks a subject of a ClusterRoleBinding of the platform.
fn cluster_wide(subject: &Subject<'_>, bound_subject: BindingSubject<'_>) -> Option<Finding> {
    match bound_subject {
        BindingSubject::Accounts { namespace } => match subject.owner(namespace) {
            NamespaceOwner::Tenant(tenant) => {
                let message =
                    format!("a ServiceAccount of tenant `{tenant}` gets permissions in every namespace");
                let finding = Finding::new(Code::TenantIsolation, &[], message);
                Some(finding.help("use a RoleBinding in the namespace that the permissions are for"))
            }
            _ => None,
        },
        BindingSubject::System(name) if EVERYBODY.contains(&name) => Some(too_broad(name)),
        _ => None,
    }
}

/// Checks a subject of a RoleBinding of the platform in a namespace.
fn between_tenants(subject: &Subject<'_>, own: &str, bound_subject: BindingSubject<'_>) -> Option<Finding> {
    match (subject.owner(own), bound_subject) {
        (NamespaceOwner::Tenant(owner), BindingSubject::Accounts { namespace }) => {
            match subject.owner(namespace) {
                NamespaceOwner::Tenant(other) if other != owner => {
                    let message = format!(
                        "a ServiceAccount of tenant `{other}` gets permissions in a namespace of tenant `{owner}`"
                    );
                    let finding = Finding::new(Code::TenantIsolation, &[], message);
                    Some(finding.help(format!(
                        "bind ServiceAccounts of tenant `{owner}`, or of the platform"
                    )))
                }
                _ => None,
            }
        }
        (_, BindingSubject::System(name)) if EVERYBODY.contains(&name) => Some(too_broad(name)),
        _ => None,
    }
}

fn too_broad(name: &str) -> Finding {
    let message = format!("`{name}` includes principals that do not need these permissions");
    Finding::new(Code::WildcardPermission, &[], message)
        .help("bind the groups and ServiceAccounts that need them")
}

/// Checks the role of a binding.
fn role(subject: &Subject<'_>, tenant: Option<&str>, findings: &mut Vec<Finding>) {
    let word = |key: &str| subject.body.at(&["roleRef", key]).and_then(Term::as_str);
    let (Some("ClusterRole"), Some(name)) = (word("kind"), word("name")) else {
        return;
    };
    let in_namespace = subject.resource.kind.kubernetes() == Some("RoleBinding");
    let path = ["roleRef", "name"];
    match tenant {
        Some(tenant) if in_namespace => {
            let declared = subject.tenancy.cluster_roles.get(&(subject.cluster(), name));
            let reaches_out = |at: &usize| {
                let rules = subject.lowered(*at).get("rules").map_or(&[][..], Term::items);
                rules.iter().any(|rule| rbac::reach(rule, true).is_some())
            };
            let help = match declared {
                None if name == "view" => return,
                Some(at) if !reaches_out(at) => return,
                Some(_) => {
                    "remove the permissions beyond the tenant from the ClusterRole, or bind a Role without them"
                }
                None => {
                    "bind `view`, a ClusterRole that a component of the platform declares, or a Role of the tenant"
                }
            };
            let message = format!(
                "tenant `{tenant}` binds ClusterRole `{name}`, which may allow changes to the isolation of the tenant"
            );
            findings.push(Finding::new(Code::TenantIsolation, &path, message).help(help));
        }
        Some(_) => {}
        None if name == "cluster-admin" => {
            let place = if in_namespace {
                "the namespace"
            } else {
                "the cluster"
            };
            let message = format!("`cluster-admin` allows everything in {place}");
            findings.push(
                Finding::new(Code::WildcardPermission, &path, message)
                    .help("bind a role that has only the permissions that the subjects need"),
            );
        }
        None => {}
    }
}
