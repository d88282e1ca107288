//! Converts grants of workloads on Kubernetes objects to RBAC for the named objects only.

use terrace_artifact::{Address, Text};
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};

use crate::connect::Graph;
use crate::connect::grants::pod_spec;
use crate::connect::network::site::Namespaces;
use crate::expand::DeclaredEdge;

/// Returns a Role for the named object, and a RoleBinding for the ServiceAccount of the workload.
pub(in crate::connect) fn rbac_for_grant(
    graph: &Graph<'_>,
    namespaces: &Namespaces,
    grant: &DeclaredEdge,
    who: usize,
    on: usize,
    may: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<Resource> {
    let (workload, target) = (&graph.resources[who], &graph.resources[on]);
    let ResourceKind::Kubernetes { api_version, kind } = &target.kind else {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!(
                    "permissions on `{}` cannot be granted to a Kubernetes workload",
                    target.address
                ),
            )
            .at(graph.word(grant, "on"), "a workload uses AWS through an IAM role")
            .help("create a role with the module `identity`, and grant to that role"),
        );
        return Vec::new();
    };
    let cluster = |resource: &Resource| graph.instances[resource.instance].cluster.as_ref();
    if cluster(workload) != cluster(target) {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!(
                    "`{}` and `{}` are in different clusters",
                    workload.address, target.address
                ),
            )
            .at(graph.word(grant, "on"), "permissions are limited to one cluster")
            .help("set `on` of both components to the same cluster"),
        );
        return Vec::new();
    }
    let Some(namespace) = role_namespace(graph, namespaces, grant, on, kind, diagnostics) else {
        return Vec::new();
    };
    if grant.value.get("prefix").is_some() {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("`prefix` is not supported for `{}`", target.address),
            )
            .at(graph.word(grant, "prefix"), "only buckets support `prefix`")
            .help("remove `prefix`"),
        );
    }
    let verbs: &[&str] = match may {
        "read" => &["get", "watch"],
        "write" => &["get", "patch", "update"],
        "read_write" => &["get", "patch", "update", "watch"],
        "admin" => &["delete", "get", "patch", "update", "watch"],
        other => {
            diagnostics.push(
                Diagnostic::new(
                    Code::InvalidGrant,
                    format!("`{other}` is not a valid permission on `{kind}`"),
                )
                .at(graph.word(grant, "may"), format!("on `{}`", target.address))
                .nearest(
                    graph.word(grant, "may"),
                    other,
                    ["read", "write", "read_write", "admin"],
                )
                .note("the valid permissions are `read`, `write`, `read_write` and `admin`"),
            );
            return Vec::new();
        }
    };
    let pod = pod_spec(&workload.body);
    let account = match workload.kind.kubernetes() {
        Some("ServiceAccount") => workload.body.at(&["metadata", "name"]).cloned(),
        _ => pod.and_then(|pod| pod.get("serviceAccountName")).cloned(),
    };
    let Some(account) = account else {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!("`{}` has no ServiceAccount", workload.address),
            )
            .at(graph.word(grant, "who"), "requires a ServiceAccount")
            .also(workload.declared, "has no `serviceAccountName`")
            .help("add a ServiceAccount for the workload, and set `serviceAccountName`"),
        );
        return Vec::new();
    };
    let metadata = |key: &str| target.body.at(&["metadata", key]).cloned().unwrap_or_default();
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let plural = terrace_catalog::kubernetes(api_version, kind)
        .map_or_else(|| kind.to_lowercase(), |k| k.plural().to_owned());
    let base = format!(
        "{}-{}-{}-{}",
        slug(graph.identity(workload)),
        slug(&workload.address.resource),
        slug(may),
        slug(&crate::lower::logical_id(target))
    );
    let own_namespace = workload
        .body
        .at(&["metadata", "namespace"])
        .cloned()
        .unwrap_or_default();
    let make = |suffix: &str, kind: &str, rest: Vec<(&str, Term)>| {
        let mut body = vec![
            ("apiVersion".into(), Term::from("rbac.authorization.k8s.io/v1")),
            ("kind".into(), Term::from(kind)),
            (
                "metadata".into(),
                Term::map([
                    ("name", Term::from(base.clone())),
                    ("namespace", Term::from(&namespace)),
                ]),
            ),
        ];
        body.extend(rest.into_iter().map(|(key, term)| (key.into(), term)));
        Resource {
            address: Address {
                resource: format!(
                    "{}_{may}_{}_{suffix}",
                    workload.address.resource, target.address.resource
                )
                .into(),
                key: target.address.key.clone(),
                ..workload.address.clone()
            },
            kind: ResourceKind::Kubernetes {
                api_version: "rbac.authorization.k8s.io/v1".into(),
                kind: kind.into(),
            },
            body: Term::Map(body.into()),
            depends_on: Vec::new(),
            attributes: Vec::new(),
            holds_data: false,
            granted_only: false,
            part: 0,
            declared: grant.span,
            instance: workload.instance,
        }
    };
    let rule = Term::map([
        ("apiGroups", Term::list([group])),
        ("resources", Term::list([plural])),
        ("resourceNames", Term::list([metadata("name")])),
        ("verbs", Term::list(verbs.iter().copied())),
    ]);
    let reference = Term::map([
        ("apiGroup", Term::from("rbac.authorization.k8s.io")),
        ("kind", "Role".into()),
        ("name", base.as_str().into()),
    ]);
    let subject = Term::map([
        ("kind", Term::from("ServiceAccount")),
        ("name", account),
        ("namespace", own_namespace),
    ]);
    vec![
        make("role", "Role", vec![("rules", Term::list([rule]))]),
        make(
            "binding",
            "RoleBinding",
            vec![("roleRef", reference), ("subjects", Term::list([subject]))],
        ),
    ]
}

/// Returns the namespace for the Role: that of the object, which the stack must create. Reports the reason if there is none.
fn role_namespace(
    graph: &Graph<'_>,
    namespaces: &Namespaces,
    grant: &DeclaredEdge,
    on: usize,
    kind: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Text> {
    let target = &graph.resources[on];
    let Some(namespace) = target.body.at(&["metadata", "namespace"]) else {
        diagnostics.push(
            Diagnostic::new(
                Code::InvalidGrant,
                format!(
                    "permissions on `{}` cannot be granted: it is cluster-scoped",
                    target.address
                ),
            )
            .at(graph.word(grant, "on"), format!("{kind} has no namespace"))
            .help("declare the ClusterRole and its binding as resources of the platform"),
        );
        return None;
    };
    let known = graph.known_metadata(on, "namespace");
    let cluster = &graph.instances[target.instance].cluster;
    if let Some(name) = &known
        && namespaces.contains(&(cluster.clone(), name.clone()))
    {
        return known;
    }
    let shown = known.map_or_else(|| namespace.shown(), |name| name.to_string());
    diagnostics.push(
        Diagnostic::new(
            Code::InvalidGrant,
            format!(
                "`{}` is in namespace `{shown}`, which this stack does not create",
                target.address
            ),
        )
        .at(
            graph.word(grant, "on"),
            "a grant creates a Role and a RoleBinding in the namespace of the object",
        )
        .also(target.declared, "declared here")
        .help("move the object to a namespace of the stack, or ask the owner of that namespace for the Role"),
    );
    None
}
