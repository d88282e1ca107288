//! Checks the isolation of tenants: the objects of a tenant's component stay in the tenant's own namespaces, and do not have access to other
//! tenants, the platform or the nodes.
//!
//! The rules check objects after expansion, so it does not matter whether a module, a patch, a loop or a grant creates them. The components
//! of the platform are not restricted, except for a binding between two tenants.

mod arns;
mod bindings;
mod network;
mod scan;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use terrace_artifact::Text;
use terrace_graph::connect::Graph;
use terrace_graph::lower::Lowered;
use terrace_graph::resolve::UseKind;
use terrace_graph::targets::kubernetes::is_cluster_scoped;
use terrace_language::resource::Instance;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Prefixes of the names of namespaces that belong to the cluster itself.
const OF_THE_CLUSTER: [&str; 2] = ["kube-", "openshift-"];

/// The owner of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NamespaceOwner<'a> {
    /// A tenant, by name.
    Tenant(&'a str),
    /// The platform's own components.
    Platform,
    /// No tenant and no component of the stack.
    Others,
}

impl NamespaceOwner<'_> {
    /// Returns the owner as a relative clause for a message about a namespace.
    fn clause(self) -> String {
        match self {
            NamespaceOwner::Tenant(name) => format!("which belongs to tenant `{name}`"),
            NamespaceOwner::Platform => "which belongs to the platform".to_owned(),
            NamespaceOwner::Others => "which does not belong to the tenant".to_owned(),
        }
    }
}

/// A Namespace object of a tenant, and the labels that selectors see on it.
struct TenantNamespace<'a> {
    tenant: &'a str,
    labels: Term,
}

/// The facts about all tenants of an environment that the rules need.
pub(crate) struct Tenancy<'a> {
    /// The owner of each declared namespace, by cluster and name.
    declared: HashMap<(Option<&'a Text>, &'a str), NamespaceOwner<'a>>,
    /// The namespaces of tenants, by cluster.
    spaces: HashMap<Option<&'a Text>, Vec<TenantNamespace<'a>>>,
    /// The namespaces of the platform's components.
    platform: HashSet<&'a str>,
    /// The groups and users that may read the namespace of each tenant: the output `readers` of its components of the module `tenant`.
    readers: HashMap<&'a str, Vec<&'a str>>,
    /// The routes of each host name, by cluster and name: their places in the graph.
    hosts: HashMap<(Option<&'a Text>, &'a str), Vec<usize>>,
    /// The namespaces with a ResourceQuota that limits pods, by cluster and name.
    limited: HashSet<(Option<&'a Text>, &'a str)>,
    /// The names of the tenants' CloudFormation resources.
    names: arns::Names<'a>,
    /// ClusterRoles of the platform, by cluster and name: their place in the graph.
    cluster_roles: HashMap<(Option<&'a Text>, &'a str), usize>,
}

impl<'a> Tenancy<'a> {
    /// Collects the namespaces, readers and cluster roles of an environment.
    pub(crate) fn new(graph: &'a Graph<'a>, bodies: &'a [Lowered]) -> Tenancy<'a> {
        let mut tenancy = Tenancy {
            declared: HashMap::new(),
            spaces: HashMap::new(),
            platform: HashSet::new(),
            readers: HashMap::new(),
            hosts: HashMap::new(),
            limited: HashSet::new(),
            names: arns::Names::new(graph, bodies),
            cluster_roles: HashMap::new(),
        };
        for (at, resource) in graph.resources.iter().enumerate() {
            for (host, _) in network::hosts(resource.kind.kubernetes(), bodies[at].body(resource)) {
                let cluster = graph.instances[resource.instance].cluster.as_ref();
                tenancy.hosts.entry((cluster, host)).or_default().push(at);
            }
            let Some(kind @ ("Namespace" | "ClusterRole" | "ResourceQuota")) = resource.kind.kubernetes()
            else {
                continue;
            };
            let instance = &graph.instances[resource.instance];
            let body = bodies[at].body(resource);
            if kind == "ResourceQuota" {
                let namespace = body.at(&["metadata", "namespace"]).and_then(Term::as_str);
                let limited = namespace.filter(|_| limits_pods(body));
                tenancy
                    .limited
                    .extend(limited.map(|name| (instance.cluster.as_ref(), name)));
                continue;
            }
            let Some(name) = body.at(&["metadata", "name"]).and_then(Term::as_str) else {
                continue;
            };
            let cluster = instance.cluster.as_ref();
            let key = (cluster, name);
            match tenant_of(instance) {
                None if kind == "ClusterRole" => {
                    tenancy.cluster_roles.insert(key, at);
                }
                Some(tenant) if kind == "Namespace" => {
                    tenancy.declared.insert(key, NamespaceOwner::Tenant(tenant));
                    let labels = labels_of(body, name);
                    let spaces = tenancy.spaces.entry(cluster).or_default();
                    spaces.push(TenantNamespace { tenant, labels });
                }
                None => {
                    tenancy.declared.insert(key, NamespaceOwner::Platform);
                }
                Some(_) => {}
            }
        }
        for instance in &graph.instances {
            if tenant_of(instance).is_none() {
                tenancy.platform.insert(&instance.namespace);
            }
            let of_module = instance.module.as_deref() == Some("tenant");
            let readers = instance.outputs.iter().find(|(name, _)| name == "readers");
            if let (Some(tenant), Some((_, readers)), true) = (tenant_of(instance), readers, of_module) {
                let readers = readers.items().iter().filter_map(Term::as_str);
                tenancy.readers.entry(tenant).or_default().extend(readers);
            }
        }
        tenancy
    }
}

/// Returns the tenant of a component, or `None` for a component of the platform.
fn tenant_of(instance: &Instance) -> Option<&str> {
    instance.owner.tenant().map(Text::as_str)
}

/// Returns whether a ResourceQuota limits all pods of its namespace. A quota with a scope counts only some of them.
fn limits_pods(quota: &Term) -> bool {
    let spec = |key: &str| quota.at(&["spec", key]);
    let limit = |key: &&str| spec("hard").and_then(|hard| hard.get(key)).is_some();
    spec("scopes").is_none()
        && spec("scopeSelector").is_none()
        && ["pods", "cpu", "requests.cpu", "limits.cpu"].iter().any(limit)
}

/// Returns the labels of a Namespace, including the one that the server adds.
fn labels_of(body: &Term, name: &str) -> Term {
    let written = body.at(&["metadata", "labels"]).map_or(&[][..], Term::entries);
    let mut labels = written.to_vec();
    labels.push(("kubernetes.io/metadata.name".into(), Term::from(name)));
    Term::Map(labels.into())
}

impl<'a> Subject<'a> {
    fn instance(&self) -> &'a Instance {
        &self.graph.instances[self.resource.instance]
    }

    fn cluster(&self) -> Option<&'a Text> {
        self.instance().cluster.as_ref()
    }

    /// Returns the owner of a namespace in the cluster of the subject.
    fn owner(&self, namespace: &str) -> NamespaceOwner<'a> {
        let declared = self.tenancy.declared.get(&(self.cluster(), namespace));
        if let Some(tenant) = self.graph.tenants.namespaces.get(namespace) {
            return NamespaceOwner::Tenant(tenant);
        }
        if let Some(owner) = declared {
            return *owner;
        }
        match self.tenancy.platform.contains(namespace) {
            true => NamespaceOwner::Platform,
            false => NamespaceOwner::Others,
        }
    }

    /// Returns whether the tenant of the subject may have objects in a namespace.
    fn is_own(&self, tenant: &str, namespace: &str) -> bool {
        let declared = self.tenancy.declared.get(&(self.cluster(), namespace));
        self.instance().namespace == namespace || declared == Some(&NamespaceOwner::Tenant(tenant))
    }

    /// Returns whether the compiler generated the resource for a grant or a connection, so that no line declares its fields.
    fn is_made(&self) -> bool {
        match &self.graph.uses[self.resource.instance].kind {
            UseKind::Component { recipe, .. } => {
                let mut declared = recipe.resources.iter();
                !declared.any(|template| template.name.value == self.resource.address.resource)
            }
            UseKind::Pipeline(_) => true,
        }
    }
}

/// Checks an object against the rules for tenants.
pub(super) fn object(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let first = findings.len();
    let tenant = tenant_of(subject.instance());
    if let Some(tenant) = tenant {
        place(subject, tenant, findings);
        network::object(subject, tenant, findings);
    }
    bindings::binding(subject, tenant, findings);
    if let Some(tenant) = tenant {
        let reported: Vec<_> = findings[first..]
            .iter()
            .map(|finding| finding.path.clone())
            .collect();
        scan::scan(subject, tenant, &reported, findings);
    }
}

/// Finds what belongs to other tenants in a CloudFormation resource: their namespaces, such as in an association of a role with their
/// accounts, and in policies their resources.
pub(super) fn resource(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if let Some(tenant) = tenant_of(subject.instance()) {
        scan::scan(subject, tenant, &[], findings);
        arns::policy(subject, tenant, findings);
    }
}

/// Checks that an object is in a namespace of its tenant.
fn place(subject: &Subject<'_>, tenant: &str, findings: &mut Vec<Finding>) {
    let kind = subject.resource.kind.kubernetes().unwrap_or_default();
    let metadata = |key: &str| subject.body.at(&["metadata", key]).and_then(Term::as_str);
    let name = metadata("name").unwrap_or_default();
    let scoped = is_cluster_scoped(subject.resource);
    if kind == "Namespace" {
        namespace(subject, tenant, name, findings);
    } else if scoped {
        let message = format!("{kind} is cluster-scoped: a component of tenant `{tenant}` cannot create it");
        findings.push(
            Finding::new(Code::TenantIsolation, &["kind"], message)
                .help("declare it in a component of the platform (without `tenants`)"),
        );
    } else if let Some(namespace) = metadata("namespace").filter(|name| !subject.is_own(tenant, name)) {
        findings.push(elsewhere(subject, namespace));
    }
}

/// Checks that a tenant may create a namespace with this name.
///
/// The module `tenant` restricts the main namespace of the tenant. Any other namespace needs its own quota and Pod Security level. Without them,
/// the tenant could run pods there that the quota does not count and that Pod Security does not restrict.
fn namespace(subject: &Subject<'_>, tenant: &str, name: &str, findings: &mut Vec<Finding>) {
    let is_main = subject.instance().namespace == name;
    if is_named_after(subject.graph, name, tenant) {
        pod_security(subject, tenant, name, findings);
        if !is_main && !subject.tenancy.limited.contains(&(subject.cluster(), name)) {
            let message = format!(
                "no quota limits the pods of namespace `{name}`: the quota of tenant `{tenant}` is for another namespace"
            );
            findings.push(
                Finding::new(Code::TenantIsolation, &["metadata", "name"], message)
                    .help("add a ResourceQuota to the namespace that limits `pods`, `requests.cpu` and `requests.memory`"),
            );
        }
        return;
    }
    let message = format!("tenant `{tenant}` cannot create namespace `{name}`");
    findings.push(
        Finding::new(Code::TenantIsolation, &["metadata", "name"], message).help(
            "use `{{ namespace }}`, or a name that starts with it: the name must contain the name of the tenant",
        ),
    );
}

fn elsewhere(subject: &Subject<'_>, namespace: &str) -> Finding {
    let clause = subject.owner(namespace).clause();
    let address = &subject.resource.address;
    let message = match subject.is_made() {
        true => format!("this connection or grant needs `{address}` in namespace `{namespace}`, {clause}"),
        false => format!("`{address}` is in namespace `{namespace}`, {clause}"),
    };
    let finding = Finding::new(Code::TenantIsolation, &["metadata", "namespace"], message);
    match subject.is_made() {
        true => finding.help("declare the connection or grant in a component of the platform (without `tenants`)"),
        false => finding.help(
            "remove `namespace` to use the tenant's own namespace, or declare the object in a component of the platform (without `tenants`)",
        ),
    }
}

/// Reports a namespace with privileged pods, which have access to every tenant on their node.
fn pod_security(subject: &Subject<'_>, tenant: &str, name: &str, findings: &mut Vec<Finding>) {
    const LABEL: &str = "pod-security.kubernetes.io/enforce";
    let level = subject.body.at(&["metadata", "labels", LABEL]);
    let (path, message, help) = match level.and_then(Term::as_str) {
        Some("privileged") => (
            &["metadata", "labels", LABEL][..],
            format!("privileged pods of tenant `{tenant}` could reach every other tenant on their node"),
            "enforce `baseline` or `restricted`",
        ),
        None if subject.instance().namespace != name => (
            &["metadata", "name"][..],
            format!("namespace `{name}` of tenant `{tenant}` does not enforce a Pod Security Standard"),
            "add the label `pod-security.kubernetes.io/enforce: restricted`, or `baseline`",
        ),
        _ => return,
    };
    findings.push(Finding::new(Code::TenantIsolation, path, message).help(help));
}

/// Returns whether the name of a namespace contains the name of the tenant, and not the longer name of another tenant.
fn is_named_after(graph: &Graph<'_>, namespace: &str, tenant: &str) -> bool {
    if namespace == "default" || OF_THE_CLUSTER.iter().any(|prefix| namespace.starts_with(prefix)) {
        return false;
    }
    let words: Vec<&str> = namespace.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let mut longest: Option<(usize, bool)> = None;
    for start in 0..words.len() {
        for end in start + 1..=words.len() {
            let Some(found) = graph.tenants.slugs.get(words[start..end].join("-").as_str()) else {
                continue;
            };
            // If two names have the same length, the name of this tenant counts.
            longest = longest.max(Some((end - start, found == tenant)));
        }
    }
    longest.is_some_and(|(_, own)| own)
}
