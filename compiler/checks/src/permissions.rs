//! Checks policies and roles for wildcards.

use terrace_artifact::Segment;
use terrace_language::aws::iam;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

pub(super) fn policy(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let own = subject
        .body
        .get("PolicyDocument")
        .map(|document| (document, vec!["PolicyDocument".into()]));
    let inline = subject
        .body
        .get("Policies")
        .map_or(&[][..], Term::items)
        .iter()
        .enumerate()
        .filter_map(|(at, policy)| {
            let path = vec![
                Segment::Key("Policies".into()),
                Segment::Index(at),
                Segment::Key("PolicyDocument".into()),
            ];
            Some((policy.get("PolicyDocument")?, path))
        });
    let own = own.map(|(document, path): (&Term, Vec<terrace_artifact::Text>)| {
        (document, path.into_iter().map(Segment::Key).collect())
    });
    for (document, path) in own.into_iter().chain(inline) {
        for (index, statement) in document
            .get("Statement")
            .map_or(&[][..], Term::items)
            .iter()
            .enumerate()
        {
            if !iam::allows(statement) {
                continue;
            }
            let actions = match statement.get("Action") {
                Some(Term::List(items)) => items.iter().filter_map(Term::as_str).collect(),
                Some(term) => term.as_str().into_iter().collect::<Vec<_>>(),
                None => Vec::new(),
            };
            for action in actions
                .into_iter()
                .filter(|action| *action == "*" || action.ends_with(":*"))
            {
                let finding = Finding::new(
                    Code::WildcardPermission,
                    &[],
                    match action {
                        "*" => "`*` allows every action of every service".to_owned(),
                        _ => format!("`{action}` allows every action of the service"),
                    },
                );
                let rest = [
                    Segment::Key("Statement".into()),
                    Segment::Index(index),
                    Segment::Key("Action".into()),
                ];
                findings.push(
                    finding
                        .below(path.clone())
                        .below(rest)
                        .help("list the actions that are needed, or declare them in `grants`"),
                );
            }
        }
    }
}

/// The last parts of the ARNs of AWS managed policies that allow everything or nearly everything, each with what it allows. Source: the
/// IAM user guide, "AWS managed policies for job functions", and the documents of the policies.
const ADMINISTRATION: [(&str, &str); 3] = [
    (
        ":policy/AdministratorAccess",
        "allows every action on every resource",
    ),
    (
        ":policy/IAMFullAccess",
        "allows the role to grant itself every permission",
    ),
    (
        ":policy/PowerUserAccess",
        "allows nearly every action on every resource",
    ),
];

/// Reports managed policies of AWS that allow everything or nearly everything.
pub(super) fn managed(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let attached = subject.body.get("ManagedPolicyArns").map_or(&[][..], Term::items);
    for (index, policy) in attached.iter().enumerate() {
        let Some(arn) = policy.as_str().or_else(|| policy.get("Fn::Sub")?.as_str()) else {
            continue;
        };
        let Some((end, allows)) = ADMINISTRATION.iter().find(|(end, _)| arn.ends_with(end)) else {
            continue;
        };
        let name = end.trim_start_matches(":policy/");
        let message = format!("`{name}` {allows}");
        findings.push(
            Finding::new(Code::WildcardPermission, &[], message)
                .below([Segment::Key("ManagedPolicyArns".into()), Segment::Index(index)])
                .help("list the actions that are needed, or declare them in `grants`"),
        );
    }
}

pub(super) fn role(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for (index, rule) in subject
        .body
        .get("rules")
        .map_or(&[][..], Term::items)
        .iter()
        .enumerate()
    {
        let items = |key: &str| {
            rule.get(key)
                .map_or(&[][..], Term::items)
                .iter()
                .filter_map(Term::as_str)
        };
        let verbs_all = items("verbs").position(|verb| verb == "*");
        let secrets =
            items("resources").any(|r| r == "secrets" || r == "*") && rule.get("resourceNames").is_none();
        let listed = items("verbs").position(|verb| matches!(verb, "list" | "watch"));
        let verb = |at: usize| {
            [
                Segment::Index(index),
                Segment::Key("verbs".into()),
                Segment::Index(at),
            ]
        };
        if let Some(at) = verbs_all {
            let message = "`*` allows every verb, including future verbs";
            findings.push(
                Finding::new(Code::WildcardPermission, &["rules"], message)
                    .below(verb(at))
                    .help("list the verbs: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`"),
            );
        } else if let Some(at) = listed.filter(|_| secrets) {
            let message = "a principal that may list Secrets can read all of them";
            findings.push(
                Finding::new(Code::WildcardPermission, &["rules"], message)
                    .below(verb(at))
                    .help("allow `get` on named Secrets: `resourceNames: […]`"),
            );
        }
    }
}
