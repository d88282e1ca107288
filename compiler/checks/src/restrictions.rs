//! Finds fields that restrict access, permissions or deletions and that became empty.
//!
//! The target treats an empty field like an absent one, and then applies the rule without the restriction. The author of a list that a loop
//! fills expects the opposite: that a list without items allows nothing.

use terrace_artifact::{Segment, show_path};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// A field whose absence widens the effect of the object that contains it.
struct Restriction {
    /// The CloudFormation type, or the kind of a Kubernetes object.
    of: &'static str,
    /// The keys of the path. `*` is an item of a list.
    path: &'static [&'static str],
    /// The effect of the object without the field.
    otherwise: &'static str,
    /// Whether people write the empty field to select everything, such as `podSelector: {}`.
    selects_all: bool,
}

const fn restriction(
    of: &'static str,
    path: &'static [&'static str],
    otherwise: &'static str,
) -> Restriction {
    Restriction {
        of,
        path,
        otherwise,
        selects_all: false,
    }
}

const fn selector(of: &'static str, path: &'static [&'static str], otherwise: &'static str) -> Restriction {
    Restriction {
        selects_all: true,
        ..restriction(of, path, otherwise)
    }
}

const EVERY_POD: &str = "the peer matches every Pod of its namespaces";
const NO_NAMES: &str = "the rule applies to every object of its resources";
const WHOLE_BUCKET: &str = "the rule applies to every object of the bucket";

/// Sources: the field descriptions of the Kubernetes API reference ("if this field is empty or missing, this rule matches all sources"; for
/// `resourceNames`, "an empty set means that everything is allowed"), and the CloudFormation template reference of each type.
const RESTRICTIONS: [Restriction; 15] = [
    restriction(
        "NetworkPolicy",
        &["spec", "ingress", "*", "from"],
        "the rule allows every source",
    ),
    restriction(
        "NetworkPolicy",
        &["spec", "ingress", "*", "ports"],
        "the rule allows every port",
    ),
    restriction(
        "NetworkPolicy",
        &["spec", "egress", "*", "to"],
        "the rule allows every destination",
    ),
    restriction(
        "NetworkPolicy",
        &["spec", "egress", "*", "ports"],
        "the rule allows every port",
    ),
    selector(
        "NetworkPolicy",
        &["spec", "podSelector"],
        "the policy applies to every Pod of its namespace",
    ),
    selector(
        "NetworkPolicy",
        &["spec", "ingress", "*", "from", "*", "podSelector"],
        EVERY_POD,
    ),
    selector(
        "NetworkPolicy",
        &["spec", "egress", "*", "to", "*", "podSelector"],
        EVERY_POD,
    ),
    restriction("Role", &["rules", "*", "resourceNames"], NO_NAMES),
    restriction("ClusterRole", &["rules", "*", "resourceNames"], NO_NAMES),
    restriction(
        "Service",
        &["spec", "loadBalancerSourceRanges"],
        "the load balancer accepts connections from every address",
    ),
    restriction("ResourceQuota", &["spec", "hard"], "the quota limits nothing"),
    restriction(
        "AWS::EC2::SecurityGroup",
        &["SecurityGroupEgress"],
        "the security group allows all outbound traffic",
    ),
    restriction(
        "AWS::EKS::Cluster",
        &["ResourcesVpcConfig", "PublicAccessCidrs"],
        "the API endpoint accepts connections from every address",
    ),
    restriction(
        "AWS::S3::Bucket",
        &["LifecycleConfiguration", "Rules", "*", "TagFilters"],
        WHOLE_BUCKET,
    ),
    restriction(
        "AWS::S3::Bucket",
        &["IntelligentTieringConfigurations", "*", "TagFilters"],
        WHOLE_BUCKET,
    ),
];

/// The keys of a selector of Kubernetes. A selector without one of them matches more.
const OF_SELECTORS: [&str; 2] = ["matchExpressions", "matchLabels"];

/// The key of a policy statement that limits when the statement applies.
const CONDITION: &str = "Condition";

/// Reports restrictions that are empty, and restrictions that are omitted because all their entries are.
pub(super) fn empty(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let kind = &subject.resource.kind;
    let Some(name) = kind.cloudformation().or(kind.kubernetes()) else {
        return;
    };
    let rows = || RESTRICTIONS.iter().filter(|row| row.of == name);
    for row in rows().filter(|row| !row.selects_all) {
        find_empty(subject.body, row.path, &mut Vec::new(), &mut |path| {
            findings.push(finding(path, row.otherwise));
        });
    }
    let has_conditions =
        kind.cloudformation().is_some() && subject.graph.has_key(subject.resource, CONDITION);
    if !has_conditions && rows().next().is_none() {
        return;
    }
    let emptied = subject.graph.emptied(subject.resource);
    for path in emptied.iter().filter(|path| is_absent(subject.body, path)) {
        let of_selector =
            |key: &Segment| matches!(key, Segment::Key(key) if OF_SELECTORS.contains(&key.as_str()));
        let otherwise = if name == "NetworkPolicy" && path.last().is_some_and(of_selector) {
            "the selector matches without it"
        } else if has_conditions && is_in_condition(subject.body, path) {
            "the statement applies without it"
        } else if let Some(row) = rows().find(|row| is_at(row.path, path)) {
            row.otherwise
        } else {
            continue;
        };
        findings.push(finding(path, otherwise));
    }
    if has_conditions {
        find_empty_conditions(subject.body, &mut Vec::new(), findings);
    }
}

fn finding(path: &[Segment], otherwise: &str) -> Finding {
    let key = match path.last() {
        Some(Segment::Key(key)) => key.as_str(),
        _ => "",
    };
    let message = format!("`{}` is empty, so {otherwise}", show_path(path));
    let in_list = path.iter().any(|segment| matches!(segment, Segment::Index(_)));
    let help = if in_list {
        format!(
            "omit the whole rule or statement with `$when` if it has no entries; if this effect is intended, remove `{key}`"
        )
    } else {
        format!("add an entry; if this effect is intended, remove `{key}`")
    };
    Finding::new(Code::EmptyRestriction, &[], message)
        .below(path.iter().cloned())
        .help(help)
}

/// Calls `see` with the path of each empty value at a path with `*` for items of lists.
fn find_empty(term: &Term, keys: &[&str], path: &mut Vec<Segment>, see: &mut dyn FnMut(&[Segment])) {
    let mut visit = |segment, value, rest| {
        path.push(segment);
        find_empty(value, rest, path, see);
        path.pop();
    };
    match keys {
        [] if is_empty(term) => see(path),
        [] => {}
        ["*", rest @ ..] => {
            for (at, item) in term.items().iter().enumerate() {
                visit(Segment::Index(at), item, rest);
            }
        }
        [key, rest @ ..] => {
            if let Some(value) = term.get(key) {
                visit(Segment::Key((*key).into()), value, rest);
            }
        }
    }
}

/// Reports the empty conditions of policy statements, at any depth.
fn find_empty_conditions(term: &Term, path: &mut Vec<Segment>, findings: &mut Vec<Finding>) {
    for (at, item) in term.items().iter().enumerate() {
        path.push(Segment::Index(at));
        find_empty_conditions(item, path, findings);
        path.pop();
    }
    for (key, value) in term.entries() {
        path.push(Segment::Key(key.clone()));
        if key == CONDITION && is_statement(term) && is_empty(value) {
            findings.push(finding(path, "the statement applies without it"));
        }
        find_empty_conditions(value, path, findings);
        path.pop();
    }
}

fn is_empty(term: &Term) -> bool {
    matches!(term, Term::List(items) if items.is_empty())
        || matches!(term, Term::Map(entries) if entries.is_empty())
}

fn is_statement(term: &Term) -> bool {
    term.get("Effect").is_some()
}

/// Returns whether a path matches keys with `*` for items of lists.
fn is_at(keys: &[&str], path: &[Segment]) -> bool {
    keys.len() == path.len()
        && keys.iter().zip(path).all(|(key, segment)| match segment {
            Segment::Key(name) => name == key,
            Segment::Index(_) => *key == "*",
        })
}

/// Returns whether a path is the condition of a policy statement, or below it.
fn is_in_condition(body: &Term, path: &[Segment]) -> bool {
    path.iter().enumerate().any(|(at, segment)| {
        matches!(segment, Segment::Key(key) if key == CONDITION)
            && body.at_path(&path[..at]).is_some_and(is_statement)
    })
}

/// Returns whether the value around a path exists and does not contain it. A patch can set a field that the body omits.
fn is_absent(body: &Term, path: &[Segment]) -> bool {
    let around = path.split_last().and_then(|(_, around)| body.at_path(around));
    around.is_some() && body.at_path(path).is_none()
}
