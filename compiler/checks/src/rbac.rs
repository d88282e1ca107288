//! Checks the rules of Roles and ClusterRoles for permissions that give access to more than they name.

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Access that a rule gives beyond the resources that it names.
pub(super) struct Reach {
    /// The key and the item of the rule that give the access.
    key: &'static str,
    item: usize,
    message: String,
    help: &'static str,
}

/// Subresources that give access to the processes or the network of pods.
const INTO_PODS: [&str; 7] = [
    "pods/*",
    "pods/attach",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
];

/// Resources whose changes affect the whole cluster.
const OF_THE_CLUSTER: [&str; 6] = [
    "apiservices",
    "certificatesigningrequests/approval",
    "customresourcedefinitions",
    "mutatingwebhookconfigurations",
    "persistentvolumes",
    "validatingwebhookconfigurations",
];

/// Resources that isolate a tenant or give access to its namespace.
const ISOLATION: [&str; 5] = [
    "limitranges",
    "namespaces",
    "networkpolicies",
    "resourcequotas",
    "rolebindings",
];

const WRITES: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

struct Rule<'r> {
    groups: Vec<&'r str>,
    resources: Vec<&'r str>,
    verbs: Vec<&'r str>,
    named: bool,
}

impl<'r> Rule<'r> {
    fn new(rule: &'r Term) -> Rule<'r> {
        let words = |key: &str| {
            let items = rule.get(key).map_or(&[][..], Term::items);
            items
                .iter()
                .map(|item| item.as_str().unwrap_or_default())
                .collect()
        };
        Rule {
            groups: words("apiGroups"),
            resources: words("resources"),
            verbs: words("verbs"),
            named: rule
                .get("resourceNames")
                .is_some_and(|names| !names.items().is_empty()),
        }
    }

    /// Finds the first of these verbs, or `*`.
    fn verb(&self, wanted: &[&str]) -> Option<usize> {
        self.verbs
            .iter()
            .position(|verb| *verb == "*" || wanted.contains(verb))
    }

    /// Finds the first of these resources, or `*`.
    fn resource(&self, wanted: &[&str]) -> Option<usize> {
        self.resources
            .iter()
            .position(|resource| *resource == "*" || wanted.iter().any(|wanted| covers(resource, wanted)))
    }
}

/// Returns whether a resource of a rule is this one, or this subresource of every resource: `*/exec`.
fn covers(resource: &str, wanted: &str) -> bool {
    let of_all = || resource.strip_prefix('*').filter(|rest| !rest.is_empty());
    resource == wanted || of_all().is_some_and(|rest| wanted.ends_with(rest))
}

/// Returns the most dangerous access that a rule gives beyond the resources that it names. With `tenant`, this includes changes to the
/// isolation of the tenant.
pub(super) fn reach(rule: &Term, tenant: bool) -> Option<Reach> {
    let rule = Rule::new(rule);
    everything(&rule)
        .or_else(|| escalates(&rule))
        .or_else(|| into_pods(&rule))
        .or_else(|| changes(&rule, &OF_THE_CLUSTER, "can change the cluster for all users"))
        .or_else(|| {
            let found = changes(&rule, &ISOLATION, "can change the isolation of the tenant");
            found.filter(|_| tenant)
        })
}

fn everything(rule: &Rule<'_>) -> Option<Reach> {
    let item = rule.resources.iter().position(|resource| *resource == "*")?;
    let message = match rule.groups.contains(&"*") {
        true => "`*` in all API groups covers every type of resource, including Secrets and Roles".to_owned(),
        false => "`*` covers every resource of the API group, including future resources".to_owned(),
    };
    Some(Reach {
        key: "resources",
        item,
        message,
        help: "list the resources that the holder needs",
    })
}

/// Finds permissions that allow the holder to get further permissions.
fn escalates(rule: &Rule<'_>) -> Option<Reach> {
    const CASES: [(&[&str], &[&str], &str, &str); 5] = [
        (
            &["escalate"],
            &["clusterroles", "roles"],
            "can grant itself every permission",
            "remove `escalate`; without it, the holder can grant only the permissions that it has",
        ),
        (
            &["bind"],
            &["clusterroles", "roles"],
            "can grant itself the permissions of every role",
            "name the roles that the holder may bind: `resourceNames: […]`",
        ),
        (
            &["impersonate"],
            &["groups", "serviceaccounts", "uids", "userextras", "users"],
            "can act as another user, group or ServiceAccount",
            "name the users, groups or ServiceAccounts that the holder may impersonate: `resourceNames: […]`",
        ),
        (
            &["create"],
            &["serviceaccounts/token"],
            "can act as every ServiceAccount of the namespace",
            "name the ServiceAccounts whose tokens the holder needs: `resourceNames: […]`",
        ),
        (
            &["create", "get"],
            &["nodes/proxy"],
            "can run commands in every pod of the cluster",
            "read metrics with `nodes/metrics` instead",
        ),
    ];
    CASES.iter().find_map(|(verbs, resources, what, help)| {
        let item = rule.verb(verbs)?;
        let resource = rule.resources[rule.resource(resources)?];
        // With `resourceNames`, the author has chosen the roles or accounts.
        let decided = rule.named && verbs[0] != "escalate";
        (!decided).then(|| Reach {
            key: "verbs",
            item,
            message: format!("the holder of `{}` on `{resource}` {what}", rule.verbs[item]),
            help,
        })
    })
}

/// Finds other verbs than `create` and `get` on subresources that give access to pods: a sign of a list without review.
fn into_pods(rule: &Rule<'_>) -> Option<Reach> {
    let resource = rule.resources[rule.resource(&INTO_PODS)?];
    let item = rule
        .verbs
        .iter()
        .position(|verb| !matches!(*verb, "create" | "get"))?;
    let verb = rule.verbs[item];
    // The API server maps each call of these subresources to `create` or `get`.
    let only_connects = ["/attach", "/exec", "/portforward"]
        .iter()
        .any(|subresource| resource.ends_with(subresource));
    let message = match only_connects && verb != "*" {
        true => format!("`{verb}` on `{resource}` has no effect: access to a pod needs `create` or `get`"),
        false => format!("the holder of `{verb}` on `{resource}` has access to every pod of the namespace"),
    };
    Some(Reach {
        key: "verbs",
        item,
        message,
        help: "allow only `create` and `get`, and only for a process that must access other pods",
    })
}

fn changes(rule: &Rule<'_>, resources: &[&str], what: &str) -> Option<Reach> {
    let item = rule.verb(&WRITES)?;
    let resource = rule.resources[rule.resource(resources)?];
    Some(Reach {
        key: "verbs",
        item,
        message: format!("the holder of `{}` on `{resource}` {what}", rule.verbs[item]),
        help: "allow only `get`, `list` and `watch`",
    })
}

/// Reports the rules of a Role or ClusterRole that give access to more than they name: an error in a component of a tenant, a warning in a
/// component of the platform.
pub(super) fn role(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let tenant = subject.graph.uses[subject.resource.instance].tenant.is_some();
    let code = match tenant {
        true => Code::TenantIsolation,
        false => Code::WildcardPermission,
    };
    let rules = subject.body.get("rules").map_or(&[][..], Term::items);
    for (at, rule) in rules.iter().enumerate() {
        let Some(reach) = reach(rule, tenant) else {
            continue;
        };
        let path = [
            Segment::Index(at),
            Segment::Key(reach.key.into()),
            Segment::Index(reach.item),
        ];
        findings.push(
            Finding::new(code, &["rules"], reach.message)
                .below(path)
                .help(reach.help),
        );
    }
}
