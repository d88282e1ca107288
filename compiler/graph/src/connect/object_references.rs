//! Finds names by which Kubernetes objects refer to each other, for the order of objects and for dangling references.

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::{Segment, Text};
use terrace_language::body::Mark;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::source::Span;

use super::grants::pod_spec;
use super::{Edge, Graph};
use crate::lower::check_bodies::patched;

/// Namespaces that every cluster has.
const EXISTING: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Objects by cluster, kind, namespace (empty for cluster-scoped objects) and name.
pub(crate) type Objects<'a> = HashMap<(Option<&'a Text>, &'a str, &'a str, &'a str), usize>;

/// A name in an object that refers to another object.
pub(super) struct Mention<'a> {
    kind: &'a str,
    name: &'a str,
    /// Whether the object works without the other object.
    optional: bool,
    /// The keys at the end of the path of the field, and the name of the field for messages.
    field: &'static [&'static str],
    path: &'static str,
}

impl Mention<'_> {
    /// Returns group, version and kind in the form of `type`.
    fn type_of(&self) -> String {
        let version = match self.kind {
            "Deployment" | "StatefulSet" => "apps/v1",
            "Role" => "rbac.authorization.k8s.io/v1",
            _ => "v1",
        };
        format!("{version}/{}", self.kind)
    }

    /// Returns whether the name refers to an object of this kind and name.
    pub(super) fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }
}

impl Graph<'_> {
    /// Returns the objects of the environment by name.
    pub fn objects(&self) -> Objects<'_> {
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

    /// Returns the dependencies of an object on objects that it names. Reports names of objects that do not exist. A resource of another
    /// language names no objects.
    pub fn mentioned(&self, at: usize, objects: &Objects<'_>, diagnostics: &mut Diagnostics) -> Vec<Edge> {
        let resource = &self.resources[at];
        if resource.kind.kubernetes().is_none() {
            return Vec::new();
        }
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
                None if self.exists(resource.instance, "Namespace", namespace) => {}
                None => {
                    let field = &["metadata", "namespace"];
                    let mention = mention("Namespace", namespace, field, "metadata.namespace");
                    self.dangling(resource, &mention, diagnostics);
                }
            }
        }
        for mention in mentions(resource) {
            match objects.get(&(cluster, mention.kind, namespace, mention.name)) {
                Some(to) => edge(*to),
                None if mention.optional => {}
                None if self.exists(resource.instance, mention.kind, mention.name) => {}
                None => self.dangling(resource, &mention, diagnostics),
            }
        }
        edges
    }

    fn dangling(&self, resource: &Resource, mention: &Mention<'_>, diagnostics: &mut Diagnostics) {
        let message = format!(
            "no resource creates the {} `{}`",
            mention.kind,
            shown(mention.name)
        );
        let label = format!("`{}` refers to it in `{}`", resource.address, mention.path);
        let mut path = Vec::new();
        let written = names_at(&resource.body, mention, &mut path)
            .then(|| self.written(resource, &path))
            .flatten();
        let diagnostic = Diagnostic::new(Code::DanglingReference, message);
        let diagnostic = match written {
            Some(span) => self.located(resource, diagnostic.at(span, label)),
            None => self.located(resource, diagnostic.at(resource.declared, label)),
        };
        let diagnostic = match mention.kind {
            "Namespace" => diagnostic
                .help("add a component with `module: tenant`, or a resource of `type: v1/Namespace`"),
            kind => diagnostic.help(format!(
                "add the {kind} as a resource, or refer to an existing resource: `ref('NAME').name`"
            )),
        };
        diagnostics.push(diagnostic.help(format!(
            "if the object exists outside the stack, declare it in the component: `existing: [{{type: {}, name: {}}}]`",
            mention.type_of(),
            shown(mention.name)
        )));
    }

    /// Returns the place of the value at a path of a body: in the body, or of an input that it reads.
    fn written(&self, resource: &Resource, path: &[Segment]) -> Option<Span> {
        let component_instance = &self.uses[resource.instance];
        if let Some(node) = patched(component_instance, resource, path) {
            return Some(node.span);
        }
        let trace = crate::expand::trace(component_instance, &resource.address, self.files)?;
        match trace.mark(path)? {
            Mark::Leaf(leaf) => {
                let input = self.input_span(resource.instance, leaf, path);
                Some(input.unwrap_or(leaf.span))
            }
            Mark::Key(_) => None,
        }
    }

    /// Adds the component that uses the module to a diagnostic about a resource.
    pub fn located(&self, resource: &Resource, diagnostic: Diagnostic) -> Diagnostic {
        match &self.uses[resource.instance].kind {
            crate::resolve::UseKind::Component {
                component, module, ..
            } => crate::provenance::with_module_trace(diagnostic, component, *module),
            crate::resolve::UseKind::Pipeline(_) => diagnostic,
        }
    }
}

/// Finds the path of the first field with a name whose path ends like the field of the mention.
fn names_at(term: &Term, mention: &Mention<'_>, path: &mut Vec<Segment>) -> bool {
    let ends = |path: &[Segment]| {
        let keys = path.iter().rev().filter_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        });
        keys.take(mention.field.len())
            .eq(mention.field.iter().rev().copied())
    };
    match term {
        Term::Map(entries) => entries.iter().any(|(key, term)| {
            path.push(Segment::Key(key.clone()));
            let found = names_at(term, mention, path);
            if !found {
                path.pop();
            }
            found
        }),
        Term::List(items) => items.iter().enumerate().any(|(at, term)| {
            path.push(Segment::Index(at));
            let found = names_at(term, mention, path);
            if !found {
                path.pop();
            }
            found
        }),
        term => term.as_str() == Some(mention.name) && ends(path),
    }
}

/// Returns the names in an object that refer to others, except its namespace.
pub(super) fn mentions(resource: &Resource) -> Vec<Mention<'_>> {
    let mut out = Vec::new();
    let body = &resource.body;
    match resource.kind.kubernetes().unwrap_or_default() {
        "RoleBinding" => {
            let role = body.at(&["roleRef", "name"]).and_then(Term::as_str);
            let is_role = body.at(&["roleRef", "kind"]).and_then(Term::as_str) == Some("Role");
            out.extend(
                role.filter(|_| is_role)
                    .map(|name| mention("Role", name, &["roleRef", "name"], "roleRef.name")),
            );
            let own = body.at(&["metadata", "namespace"]);
            for subject in body.get("subjects").map_or(&[][..], Term::items) {
                let account = subject.get("kind").and_then(Term::as_str) == Some("ServiceAccount");
                if let Some(name) = subject.get("name").and_then(Term::as_str)
                    && account
                    && subject.get("namespace") == own
                    && name != "default"
                {
                    out.push(mention("ServiceAccount", name, &["subjects", "name"], "subjects"));
                }
            }
        }
        "HorizontalPodAutoscaler" => {
            let target = body.at(&["spec", "scaleTargetRef"]);
            let word = |key: &str| target.and_then(|target| target.get(key)).and_then(Term::as_str);
            if let (Some(kind @ ("Deployment" | "StatefulSet")), Some(name)) = (word("kind"), word("name")) {
                out.push(mention(
                    kind,
                    name,
                    &["scaleTargetRef", "name"],
                    "spec.scaleTargetRef",
                ));
            }
        }
        "StatefulSet" => {
            let service = body.at(&["spec", "serviceName"]).and_then(Term::as_str);
            out.extend(service.map(|name| mention("Service", name, &["serviceName"], "spec.serviceName")));
        }
        "SparkApplication" => {
            for part in ["driver", "executor"] {
                let account = body.at(&["spec", part, "serviceAccount"]).and_then(Term::as_str);
                let account = account.filter(|name| *name != "default");
                out.extend(
                    account
                        .map(|name| mention("ServiceAccount", name, &["serviceAccount"], "serviceAccount")),
                );
            }
        }
        _ => {}
    }
    if let Some(pod) = pod_spec(body) {
        pod_mentions(pod, &mut out);
    }
    out
}

fn mention<'a>(
    kind: &'a str,
    name: &'a str,
    field: &'static [&'static str],
    path: &'static str,
) -> Mention<'a> {
    Mention {
        kind,
        name,
        optional: false,
        field,
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
        out.push(mention(
            "ServiceAccount",
            name,
            &["serviceAccountName"],
            "serviceAccountName",
        ));
    }
    // Operators or users create Secrets outside the stack. A Secret of the stack comes first, and a missing one is not reported.
    let mut secret = |name: Option<&'a str>| {
        out.extend(name.map(|name| Mention {
            kind: "Secret",
            name,
            optional: true,
            field: &[],
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
    let mut config_map = |term: Option<&'a Term>, field: &'static [&'static str], path: &'static str| {
        if let Some(name) = name_of(term, "name") {
            out.push(Mention {
                kind: "ConfigMap",
                name,
                optional: optional(term) || name == "kube-root-ca.crt",
                field,
                path,
            });
        }
    };
    for container in &containers {
        for variable in container.get("env").map_or(&[][..], Term::items) {
            let source = variable.at(&["valueFrom", "configMapKeyRef"]);
            config_map(source, &["configMapKeyRef", "name"], "env");
        }
        for source in container.get("envFrom").map_or(&[][..], Term::items) {
            config_map(source.get("configMapRef"), &["configMapRef", "name"], "envFrom");
        }
    }
    for volume in pod.get("volumes").map_or(&[][..], Term::items) {
        config_map(volume.get("configMap"), &["configMap", "name"], "volumes");
    }
    for volume in pod.get("volumes").map_or(&[][..], Term::items) {
        if let Some(name) = name_of(volume.get("persistentVolumeClaim"), "claimName") {
            let field = &["persistentVolumeClaim", "claimName"];
            out.push(mention("PersistentVolumeClaim", name, field, "volumes"));
        }
    }
}
