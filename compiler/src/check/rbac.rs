//! Rules of Roles and ClusterRoles that amount to more than they say.

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::term::Term;

/// What a rule allows beyond its words.
pub(super) struct Reach {
    /// The key and the item of the rule that say so.
    key: &'static str,
    item: usize,
    message: String,
    help: &'static str,
}

/// Subresources that run or read something in pods and nodes. Each call is a `create` or a `get`.
const INTO_PODS: [&str; 7] = [
    "pods/*",
    "pods/attach",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
];

/// Objects through which whoever changes them changes the cluster itself.
const OF_THE_CLUSTER: [&str; 6] = [
    "apiservices",
    "certificatesigningrequests/approval",
    "customresourcedefinitions",
    "mutatingwebhookconfigurations",
    "persistentvolumes",
    "validatingwebhookconfigurations",
];

/// Objects that isolate a tenant, and those that let somebody into its namespace.
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

    /// The first of these verbs, or `*`.
    fn verb(&self, wanted: &[&str]) -> Option<usize> {
        self.verbs
            .iter()
            .position(|verb| *verb == "*" || wanted.contains(verb))
    }

    /// The first of these resources, or `*`.
    fn resource(&self, wanted: &[&str]) -> Option<usize> {
        self.resources
            .iter()
            .position(|resource| *resource == "*" || wanted.iter().any(|wanted| covers(resource, wanted)))
    }
}

/// True when a resource of a rule is this one, or its subresource of every resource: `*/exec`.
fn covers(resource: &str, wanted: &str) -> bool {
    let of_all = || resource.strip_prefix('*').filter(|rest| !rest.is_empty());
    resource == wanted || of_all().is_some_and(|rest| wanted.ends_with(rest))
}

/// What a rule allows beyond its words; `tenant`: also what lets a tenant change its own isolation. One rule gives one finding, the
/// most dangerous first.
pub(super) fn reach(rule: &Term, tenant: bool) -> Option<Reach> {
    let rule = Rule::new(rule);
    everything(&rule)
        .or_else(|| escalates(&rule))
        .or_else(|| into_pods(&rule))
        .or_else(|| changes(&rule, &OF_THE_CLUSTER, "can change the cluster for everybody"))
        .or_else(|| {
            let found = changes(&rule, &ISOLATION, "can change what isolates the tenant");
            found.filter(|_| tenant)
        })
}

fn everything(rule: &Rule<'_>) -> Option<Reach> {
    let item = rule.resources.iter().position(|resource| *resource == "*")?;
    let message = match rule.groups.contains(&"*") {
        true => {
            "`*` in all API groups is every resource of the cluster, Secrets and Roles among them".to_owned()
        }
        false => "`*` is every resource of the API group, those of the future too".to_owned(),
    };
    Some(Reach {
        key: "resources",
        item,
        message,
        help: "list the resources that are needed",
    })
}

/// Permissions that give others.
fn escalates(rule: &Rule<'_>) -> Option<Reach> {
    const CASES: [(&[&str], &[&str], &str, &str); 5] = [
        (
            &["escalate"],
            &["clusterroles", "roles"],
            "can give itself every permission",
            "take `escalate` away: a role can then be given no more than its author has",
        ),
        (
            &["bind"],
            &["clusterroles", "roles"],
            "can give itself the permissions of every role",
            "name the roles that may be bound: `resourceNames: […]`",
        ),
        (
            &["impersonate"],
            &["groups", "serviceaccounts", "uids", "userextras", "users"],
            "can act as any other user",
            "name who may be impersonated: `resourceNames: […]`",
        ),
        (
            &["create"],
            &["serviceaccounts/token"],
            "can act as every account of the namespace",
            "name the accounts whose tokens are needed: `resourceNames: […]`",
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
        // A named role that may be bound, or a named account, is a decision.
        let decided = rule.named && verbs[0] != "escalate";
        (!decided).then(|| Reach {
            key: "verbs",
            item,
            message: format!("`{}` on `{resource}`: its holder {what}", rule.verbs[item]),
            help,
        })
    })
}

/// All verbs where only two mean anything: nobody has thought about what they open.
fn into_pods(rule: &Rule<'_>) -> Option<Reach> {
    let resource = rule.resources[rule.resource(&INTO_PODS)?];
    let item = rule
        .verbs
        .iter()
        .position(|verb| !matches!(*verb, "create" | "get"))?;
    Some(Reach {
        key: "verbs",
        item,
        message: format!(
            "`{}` on `{resource}`: its holder can act with the permissions of every pod of the namespace",
            rule.verbs[item]
        ),
        help: "allow `create` and `get`, and only where something has to run in other pods: no other verb has a meaning there",
    })
}

fn changes(rule: &Rule<'_>, resources: &[&str], what: &str) -> Option<Reach> {
    let item = rule.verb(&WRITES)?;
    let resource = rule.resources[rule.resource(resources)?];
    Some(Reach {
        key: "verbs",
        item,
        message: format!("`{}` on `{resource}`: its holder {what}", rule.verbs[item]),
        help: "allow `get`, `list` and `watch`, and leave changes to the platform",
    })
}

/// Reports the rules of a Role or ClusterRole that amount to more than they say: an error in a component of a tenant, and a warning in
/// the platform's.
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
