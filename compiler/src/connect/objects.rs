//! Names by which Kubernetes objects refer to each other: what comes first, and what nobody creates.

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::Text;

use super::grants::pod_spec;
use super::{Edge, Graph};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::resource::Resource;
use crate::term::Term;

/// Namespaces that every cluster has.
const EXISTING: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Objects by cluster, kind, namespace (empty for those of the whole cluster) and name.
pub(crate) type Objects<'a> = HashMap<(Option<&'a Text>, &'a str, &'a str, &'a str), usize>;

/// A name that an object says, and what it names.
struct Mention<'a> {
    kind: &'a str,
    name: &'a str,
    /// Whether the object works without it.
    optional: bool,
    path: &'static str,
}

impl Graph<'_> {
    /// The objects of the environment, by name.
    pub(crate) fn objects(&self) -> Objects<'_> {
        let mut objects = Objects::with_capacity(self.resources.len());
        for (at, resource) in self.resources.iter().enumerate() {
            let Some(kind) = resource.kind.kubernetes() else {
                continue;
            };
            let metadata = |key: &str| {
                resource
                    .body
                    .at(&["metadata", key])
                    .and_then(Term::as_str)
                    .unwrap_or_default()
            };
            let cluster = self.instances[resource.instance].cluster.as_ref();
            objects
                .entry((cluster, kind, metadata("namespace"), metadata("name")))
                .or_insert(at);
        }
        objects
    }

    /// What comes before an object because it names it. A name that nothing has is reported.
    pub(crate) fn mentioned(
        &self,
        at: usize,
        objects: &Objects<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Edge> {
        let resource = &self.resources[at];
        let cluster = self.instances[resource.instance].cluster.as_ref();
        let namespace = resource
            .body
            .at(&["metadata", "namespace"])
            .and_then(Term::as_str)
            .unwrap_or_default();
        let mut edges = Vec::new();
        let mut edge = |to: usize| {
            if to != at {
                edges.push(Edge {
                    from: at,
                    to,
                    span: resource.declared,
                });
            }
        };
        if !namespace.is_empty() {
            match objects.get(&(cluster, "Namespace", "", namespace)) {
                Some(to) => edge(*to),
                None if EXISTING.contains(&namespace) => {}
                None => self.dangling(
                    resource,
                    "Namespace",
                    namespace,
                    "metadata.namespace",
                    diagnostics,
                ),
            }
        }
        for mention in mentions(resource) {
            match objects.get(&(cluster, mention.kind, namespace, mention.name)) {
                Some(to) => edge(*to),
                None if mention.optional => {}
                None => self.dangling(resource, mention.kind, mention.name, mention.path, diagnostics),
            }
        }
        edges
    }

    fn dangling(
        &self,
        resource: &Resource,
        kind: &str,
        name: &str,
        path: &str,
        diagnostics: &mut Diagnostics,
    ) {
        let message = format!("nothing creates the {kind} `{}`", shown(name));
        let diagnostic = Diagnostic::new(Code::DanglingReference, message).at(
            resource.declared,
            format!("`{}` names it in `{path}`", resource.address),
        );
        let diagnostic = match kind {
            "Namespace" => diagnostic
                .help("add a component with `module: tenant`, or a resource of `type: v1/Namespace`"),
            kind => diagnostic.help(format!(
                "add a resource that is the {kind}, or refer to one: `ref('NAME').name`"
            )),
        };
        diagnostics.push(self.located(resource, diagnostic));
    }

    /// A diagnostic about a resource of a module, with the component that led there.
    pub(crate) fn located(&self, resource: &Resource, diagnostic: Diagnostic) -> Diagnostic {
        match &self.uses[resource.instance].kind {
            crate::resolve::UseKind::Component {
                component, module, ..
            } => crate::expand::through(diagnostic, component, *module),
            crate::resolve::UseKind::Pipeline(_) => diagnostic,
        }
    }
}

fn mentions(resource: &Resource) -> Vec<Mention<'_>> {
    let mut out = Vec::new();
    let body = &resource.body;
    match resource.kind.kubernetes().unwrap_or_default() {
        "RoleBinding" => {
            let role = body.at(&["roleRef", "name"]).and_then(Term::as_str);
            let is_role = body.at(&["roleRef", "kind"]).and_then(Term::as_str) == Some("Role");
            out.extend(
                role.filter(|_| is_role)
                    .map(|name| mention("Role", name, "roleRef.name")),
            );
            let own = body.at(&["metadata", "namespace"]);
            for subject in body.get("subjects").map_or(&[][..], Term::items) {
                let account = subject.get("kind").and_then(Term::as_str) == Some("ServiceAccount");
                if let Some(name) = subject.get("name").and_then(Term::as_str)
                    && account
                    && subject.get("namespace") == own
                    && name != "default"
                {
                    out.push(mention("ServiceAccount", name, "subjects"));
                }
            }
        }
        "HorizontalPodAutoscaler" => {
            let target = body.at(&["spec", "scaleTargetRef"]);
            let word = |key: &str| target.and_then(|target| target.get(key)).and_then(Term::as_str);
            if let (Some(kind @ ("Deployment" | "StatefulSet")), Some(name)) = (word("kind"), word("name")) {
                out.push(mention(kind, name, "spec.scaleTargetRef"));
            }
        }
        "StatefulSet" => {
            let service = body.at(&["spec", "serviceName"]).and_then(Term::as_str);
            out.extend(service.map(|name| mention("Service", name, "spec.serviceName")));
        }
        _ => {}
    }
    if let Some(pod) = pod_spec(body) {
        pod_mentions(pod, &mut out);
    }
    out
}

fn mention<'a>(kind: &'a str, name: &'a str, path: &'static str) -> Mention<'a> {
    Mention {
        kind,
        name,
        optional: false,
        path,
    }
}

fn pod_mentions<'a>(pod: &'a Term, out: &mut Vec<Mention<'a>>) {
    let name_of = |term: Option<&'a Term>, key: &str| term.and_then(|t| t.get(key)).and_then(Term::as_str);
    let optional = |term: Option<&Term>| {
        term.and_then(|t| t.get("optional"))
            .and_then(Term::as_bool)
            .unwrap_or(false)
    };
    if let Some(name) = pod
        .get("serviceAccountName")
        .and_then(Term::as_str)
        .filter(|name| *name != "default")
    {
        out.push(mention("ServiceAccount", name, "serviceAccountName"));
    }
    // Secrets are made by others (an operator, a person): they come first where they are here, and are not missed.
    let mut secret = |name: Option<&'a str>| {
        out.extend(name.map(|name| Mention {
            kind: "Secret",
            name,
            optional: true,
            path: "secret",
        }));
    };
    for volume in pod.get("volumes").map_or(&[][..], Term::items) {
        secret(name_of(volume.get("secret"), "secretName"));
    }
    let containers = ["initContainers", "containers"].into_iter();
    let containers: Vec<&Term> = containers
        .flat_map(|key| pod.get(key).map_or(&[][..], Term::items))
        .collect();
    for container in &containers {
        for variable in container.get("env").map_or(&[][..], Term::items) {
            secret(name_of(variable.at(&["valueFrom", "secretKeyRef"]), "name"));
        }
        for source in container.get("envFrom").map_or(&[][..], Term::items) {
            secret(name_of(source.get("secretRef"), "name"));
        }
    }
    let mut config_map = |term: Option<&'a Term>, path: &'static str| {
        if let Some(name) = name_of(term, "name") {
            out.push(Mention {
                kind: "ConfigMap",
                name,
                optional: optional(term) || name == "kube-root-ca.crt",
                path,
            });
        }
    };
    for container in &containers {
        for variable in container.get("env").map_or(&[][..], Term::items) {
            config_map(variable.at(&["valueFrom", "configMapKeyRef"]), "env");
        }
        for source in container.get("envFrom").map_or(&[][..], Term::items) {
            config_map(source.get("configMapRef"), "envFrom");
        }
    }
    for volume in pod.get("volumes").map_or(&[][..], Term::items) {
        config_map(volume.get("configMap"), "volumes");
    }
    for volume in pod.get("volumes").map_or(&[][..], Term::items) {
        if let Some(name) = name_of(volume.get("persistentVolumeClaim"), "claimName") {
            out.push(mention("PersistentVolumeClaim", name, "volumes"));
        }
    }
}
