//! Converts grants of workloads on Kubernetes objects to RBAC for the named objects only.

use terrace_artifact::{Address, Text};
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, listed};

use crate::connect::Graph;
use crate::connect::grants::pod_spec;
use crate::connect::network::site::Namespaces;
use crate::expand::DeclaredEdge;
use crate::lower::logical_id;

/// The verbs of the Kubernetes API that each verb of a grant allows on an object.
const VERBS: [(&str, &[&str]); 4] = [
    ("read", &["get", "watch"]),
    ("write", &["get", "patch", "update"]),
    ("read_write", &["get", "patch", "update", "watch"]),
    ("admin", &["delete", "get", "patch", "update", "watch"]),
];

const API_GROUP: &str = "rbac.authorization.k8s.io";
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";

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
    let grant = ObjectGrant {
        graph,
        grant,
        workload: &graph.resources[who],
        on,
        target: &graph.resources[on],
        may,
    };
    grant.lower(namespaces, diagnostics).unwrap_or_else(|diagnostic| {
        diagnostics.push(*diagnostic);
        Vec::new()
    })
}

/// A grant of a workload on a Kubernetes object.
struct ObjectGrant<'g> {
    graph: &'g Graph<'g>,
    grant: &'g DeclaredEdge,
    workload: &'g Resource,
    /// The index of the object.
    on: usize,
    target: &'g Resource,
    may: &'g str,
}

impl ObjectGrant<'_> {
    fn lower(
        &self,
        namespaces: &Namespaces,
        diagnostics: &mut Diagnostics,
    ) -> Result<Vec<Resource>, Box<Diagnostic>> {
        let (api_version, kind) = self.object_kind()?;
        self.check_cluster()?;
        let namespace = self.namespace(namespaces, kind)?;
        if self.grant.value.get("prefix").is_some() {
            let message = format!("`prefix` is not supported for `{}`", self.target.address);
            diagnostics.push(
                self.refused("prefix", message, "only buckets support `prefix`")
                    .help("remove `prefix`"),
            );
        }
        let verbs = self.verbs(kind)?;
        let account = self.service_account()?;
        let metadata = |resource: &Resource, key: &str| {
            resource.body.at(&["metadata", key]).cloned().unwrap_or_default()
        };
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let plural = terrace_catalog::kubernetes(api_version, kind)
            .map_or_else(|| kind.to_lowercase(), |known| known.plural().to_owned());
        let rule = Term::map([
            ("apiGroups", Term::list([group])),
            ("resources", Term::list([plural])),
            ("resourceNames", Term::list([metadata(self.target, "name")])),
            ("verbs", Term::list(verbs.iter().copied())),
        ]);
        let reference = Term::map([
            ("apiGroup", Term::from(API_GROUP)),
            ("kind", "Role".into()),
            ("name", self.name().into()),
        ]);
        let subject = Term::map([
            ("kind", Term::from("ServiceAccount")),
            ("name", account),
            ("namespace", metadata(self.workload, "namespace")),
        ]);
        let binding = vec![("roleRef", reference), ("subjects", Term::list([subject]))];
        Ok(vec![
            self.object("role", "Role", &namespace, vec![("rules", Term::list([rule]))]),
            self.object("binding", "RoleBinding", &namespace, binding),
        ])
    }

    /// Returns the name of the Role and of the RoleBinding.
    fn name(&self) -> String {
        format!(
            "{}-{}-{}-{}",
            slug(self.graph.identity(self.workload)),
            slug(&self.workload.address.resource),
            slug(self.may),
            slug(&logical_id(self.target))
        )
    }

    /// Creates the Role or the RoleBinding.
    fn object(&self, suffix: &str, kind: &str, namespace: &Text, fields: Vec<(&str, Term)>) -> Resource {
        let (workload, target) = (self.workload, self.target);
        let metadata = Term::map([
            ("name", Term::from(self.name())),
            ("namespace", Term::from(namespace)),
        ]);
        let mut body = vec![
            ("apiVersion".into(), Term::from(API_VERSION)),
            ("kind".into(), Term::from(kind)),
            ("metadata".into(), metadata),
        ];
        body.extend(fields.into_iter().map(|(key, term)| (key.into(), term)));
        let address = Address {
            resource: format!(
                "{}_{}_{}_{suffix}",
                workload.address.resource, self.may, target.address.resource
            )
            .into(),
            key: target.address.key.clone(),
            ..workload.address.clone()
        };
        let kind = ResourceKind::Kubernetes {
            api_version: API_VERSION.into(),
            kind: kind.into(),
        };
        Resource::generated(
            address,
            kind,
            Term::Map(body.into()),
            self.grant.span,
            workload.instance,
        )
    }

    /// Reports a value of the grant.
    fn refused(&self, field: &str, message: String, label: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Code::InvalidGrant, message).at(self.graph.word(self.grant, field), label)
    }

    /// Returns the version and kind of the object. RBAC does not apply to resources of AWS.
    fn object_kind(&self) -> Result<(&Text, &Text), Box<Diagnostic>> {
        self.target.kind.group_version_kind().ok_or_else(|| {
            let message = format!(
                "permissions on `{}` cannot be granted to a Kubernetes workload",
                self.target.address
            );
            Box::new(
                self.refused("on", message, "a workload uses AWS through an IAM role")
                    .help("create a role with the module `identity`, and grant to that role"),
            )
        })
    }

    /// Checks that the workload and the object are in one cluster.
    fn check_cluster(&self) -> Result<(), Box<Diagnostic>> {
        let cluster = |resource: &Resource| self.graph.instances[resource.instance].cluster.as_ref();
        if cluster(self.workload) == cluster(self.target) {
            return Ok(());
        }
        let message = format!(
            "`{}` and `{}` are in different clusters",
            self.workload.address, self.target.address
        );
        Err(Box::new(
            self.refused("on", message, "permissions are limited to one cluster")
                .help("set `on` of both components to the same cluster"),
        ))
    }

    /// Returns the namespace for the Role: that of the object, which the stack must create.
    fn namespace(&self, namespaces: &Namespaces, kind: &str) -> Result<Text, Box<Diagnostic>> {
        let (graph, target) = (self.graph, self.target);
        let Some(namespace) = target.body.at(&["metadata", "namespace"]) else {
            let message = format!(
                "permissions on `{}` cannot be granted: it is cluster-scoped",
                target.address
            );
            return Err(Box::new(
                self.refused("on", message, format!("{kind} has no namespace"))
                    .help("declare the ClusterRole and its binding as resources of the platform"),
            ));
        };
        let known = graph.known_metadata(self.on, "namespace");
        let cluster = &graph.instances[target.instance].cluster;
        if let Some(name) = &known
            && namespaces.contains(&(cluster.clone(), name.clone()))
        {
            return Ok(name.clone());
        }
        let shown = known.map_or_else(|| namespace.shown(), |name| name.to_string());
        let message = format!(
            "`{}` is in namespace `{shown}`, which this stack does not create",
            target.address
        );
        Err(Box::new(
            self.refused(
                "on",
                message,
                "a grant creates a Role and a RoleBinding in the namespace of the object",
            )
            .also(target.declared, "declared here")
            .help("move the object to a namespace of the stack, or ask the owner of that namespace for the Role"),
        ))
    }

    /// Returns the verbs of the Kubernetes API.
    fn verbs(&self, kind: &str) -> Result<&'static [&'static str], Box<Diagnostic>> {
        if let Some((_, verbs)) = VERBS.iter().find(|(verb, _)| *verb == self.may) {
            return Ok(verbs);
        }
        let message = format!("`{}` is not a valid permission on `{kind}`", self.may);
        let valid = VERBS.map(|(verb, _)| verb);
        let place = self.graph.word(self.grant, "may");
        Err(Box::new(
            self.refused("may", message, format!("on `{}`", self.target.address))
                .nearest(place, self.may, valid)
                .note(format!("the valid permissions are {}", listed(valid))),
        ))
    }

    /// Returns the name of the ServiceAccount of the workload.
    fn service_account(&self) -> Result<Term, Box<Diagnostic>> {
        let workload = self.workload;
        let account = match workload.kind.kubernetes() {
            Some("ServiceAccount") => workload.body.at(&["metadata", "name"]),
            _ => pod_spec(&workload.body).and_then(|pod| pod.get("serviceAccountName")),
        };
        account.cloned().ok_or_else(|| {
            let message = format!("`{}` has no ServiceAccount", workload.address);
            Box::new(
                self.refused("who", message, "requires a ServiceAccount")
                    .also(workload.declared, "has no `serviceAccountName`")
                    .help("add a ServiceAccount for the workload, and set `serviceAccountName`"),
            )
        })
    }
}
