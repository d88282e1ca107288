//! Checks the policies of resources and the trust policies of roles: the principals that they allow, and their size.

use terrace_artifact::{Segment, Text};
use terrace_language::aws::iam::values;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// The properties with resource policies. The policy of an endpoint is not in the list, because it only restricts access.
const POLICIES: [(&str, &[&str]); 17] = [
    ("AWS::Backup::BackupVault", &["AccessPolicy"]),
    ("AWS::DynamoDB::Table", &["ResourcePolicy", "PolicyDocument"]),
    ("AWS::ECR::Repository", &["RepositoryPolicyText"]),
    ("AWS::Events::EventBusPolicy", &["Statement"]),
    ("AWS::IAM::Role", &["AssumeRolePolicyDocument"]),
    (KEY, &["KeyPolicy"]),
    ("AWS::Kinesis::ResourcePolicy", &["ResourcePolicy"]),
    ("AWS::KMS::ReplicaKey", &["KeyPolicy"]),
    ("AWS::OpenSearchService::Domain", &["AccessPolicies"]),
    ("AWS::S3::AccessPoint", &["Policy"]),
    ("AWS::S3::BucketPolicy", &["PolicyDocument"]),
    ("AWS::S3Tables::TableBucketPolicy", &["ResourcePolicy"]),
    ("AWS::SNS::TopicInlinePolicy", &["PolicyDocument"]),
    ("AWS::SNS::TopicPolicy", &["PolicyDocument"]),
    ("AWS::SQS::QueueInlinePolicy", &["PolicyDocument"]),
    ("AWS::SQS::QueuePolicy", &["PolicyDocument"]),
    ("AWS::SecretsManager::ResourcePolicy", &["ResourcePolicy"]),
];

const KEY: &str = "AWS::KMS::Key";

/// Condition keys that identify the caller, or the principal that a service acts for. In lower case; a `/` at the end matches every tag.
/// Source: the IAM user guide, "AWS global condition context keys".
const WHO: [&str; 19] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:principaltag/",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "aws:username",
    "kms:calleraccount",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];

/// Condition keys that only state that a principal is in the account.
const WHOLE_ACCOUNT: [&str; 2] = ["aws:principalaccount", "kms:calleraccount"];

/// Operators that are false if the key is absent. `…IfExists`, `ForAllValues:…` and negations are true then.
const OPERATORS: [&str; 6] = [
    "arnequals",
    "arnlike",
    "ipaddress",
    "stringequals",
    "stringequalsignorecase",
    "stringlike",
];

/// Reports policies that allow every principal.
pub(super) fn open(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let type_name = subject.resource.kind.cloudformation().unwrap_or_default();
    let Some((_, place)) = POLICIES.iter().find(|(name, _)| *name == type_name) else {
        return;
    };
    let Some(document) = subject.body.at(place) else {
        return;
    };
    // The policy of an event bus is one statement without a document around it.
    let (statements, inside) = match document.get("Statement") {
        Some(statements) => (statements, &["Statement"][..]),
        None => (document, &[][..]),
    };
    for (at, statement) in values(Some(statements)).iter().enumerate() {
        let Some(Opening { key, message, help }) = opens(statement, type_name) else {
            continue;
        };
        let path = place.iter().chain(inside).map(|key| Segment::Key((*key).into()));
        let index = matches!(statements, Term::List(_)).then_some(Segment::Index(at));
        let path = path.chain(index).chain([Segment::Key(key.into())]);
        findings.push(
            Finding::new(Code::OpenPolicy, &[], message)
                .below(path.collect::<Vec<_>>())
                .help(help),
        );
    }
}

/// A statement that allows too many principals.
struct Opening {
    /// The key of the statement with the problem.
    key: &'static str,
    message: &'static str,
    help: &'static str,
}

fn opens(statement: &Term, type_name: &str) -> Option<Opening> {
    const NAME: &str = "name the principals, or add a condition on `aws:PrincipalArn`, `aws:PrincipalOrgID` or `aws:SourceAccount`";
    if statement.get("Effect").and_then(Term::as_str) != Some("Allow") {
        return None;
    }
    let condition = statement.get("Condition");
    if statement.get("NotPrincipal").is_some() {
        return Some(Opening {
            key: "NotPrincipal",
            message: "`NotPrincipal` allows every principal that it does not name, from any account",
            help: NAME,
        });
    }
    let principal = statement.get("Principal")?;
    let is_everyone = |term: &Term| term.as_str() == Some("*");
    if is_everyone(principal) || values(principal.get("AWS")).iter().any(is_everyone) {
        let (message, help) = if !says(condition, is_who) {
            ("this statement allows every principal, from any account", NAME)
        } else if type_name == KEY && !says(condition, |key| is_who(key) && !WHOLE_ACCOUNT.contains(&key)) {
            (
                "every principal of the account may use this key, even without permission in IAM",
                "name the principals, or set `granted_only: true` to allow only the roles that have grants",
            )
        } else {
            return None;
        };
        return Some(Opening {
            key: "Principal",
            message,
            help,
        });
    }
    let by_token = values(statement.get("Action"))
        .iter()
        .any(|action| action.as_str() == Some("sts:AssumeRoleWithWebIdentity"));
    // `sub` is the identity at the provider. Cognito uses `amr` for authenticated identities.
    let says_who = |key: &str| key.ends_with(":sub") || key.ends_with(":amr");
    (by_token && principal.get("Federated").is_some() && !says(condition, says_who)).then_some(Opening {
        key: "Principal",
        message: "every identity of this web identity provider may assume the role",
        help: "add a condition on the subject claim of the provider, such as `token.actions.githubusercontent.com:sub`",
    })
}

fn is_who(key: &str) -> bool {
    WHO.iter()
        .any(|who| *who == key || who.ends_with('/') && key.starts_with(who))
}

/// Returns whether a condition requires a value of one of these keys.
fn says(condition: Option<&Term>, is_meant: impl Fn(&str) -> bool) -> bool {
    let operators = condition.map_or(&[][..], Term::entries);
    operators.iter().any(|(operator, tests)| {
        let operator = operator.to_lowercase();
        let plain = operator.strip_prefix("foranyvalue:").unwrap_or(&operator);
        let demands = |(key, wanted): &(Text, Term)| {
            is_meant(&key.to_lowercase()) && !values(Some(wanted)).iter().any(is_anything)
        };
        OPERATORS.contains(&plain) && tests.entries().iter().any(demands)
    })
}

/// Returns whether a value of a condition is a pattern that matches every principal.
fn is_anything(value: &Term) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    let mut parts = text.split(':').skip(4);
    matches!(text, "*" | "0.0.0.0/0" | "::/0")
        || (text.starts_with("arn:")
            && parts.next() == Some("*")
            && parts
                .next()
                .is_some_and(|rest| rest.trim_start_matches(char::is_alphabetic) == "/*" || rest == "*"))
}

/// Reports a permission of a function that names neither an account nor a source.
pub(super) fn permission(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let bounds = ["SourceAccount", "SourceArn", "PrincipalOrgID", "EventSourceToken"];
    let is_everyone = subject.body.get("Principal").and_then(Term::as_str) == Some("*");
    if is_everyone && bounds.iter().all(|key| subject.body.get(key).is_none()) {
        let message = "every principal, from any account, may invoke this function";
        findings.push(
            Finding::new(Code::OpenPolicy, &["Principal"], message)
                .help("name the service or the account, or add `SourceAccount` or `PrincipalOrgID`"),
        );
    }
}

/// The maximum size of policies, in bytes without white space. Sources: the quotas of each service.
const LONGEST: [(&str, &[&str], usize); 7] = [
    ("AWS::S3::BucketPolicy", &["PolicyDocument"], 20_480),
    (KEY, &["KeyPolicy"], 32_768),
    ("AWS::IAM::ManagedPolicy", &["PolicyDocument"], 6_144),
    ("AWS::IAM::Role", &["AssumeRolePolicyDocument"], 4_096),
    ("AWS::SNS::TopicPolicy", &["PolicyDocument"], 30_720),
    ("AWS::SQS::QueuePolicy", &["PolicyDocument"], 8_192),
    ("AWS::SecretsManager::ResourcePolicy", &["ResourcePolicy"], 20_480),
];

/// The maximum size of all inline policies of a role together.
const LONGEST_INLINE: usize = 10_240;

/// Reports policies that are too large. AWS rejects them only after it has deployed a part of the stack.
pub(super) fn length(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let type_name = subject.resource.kind.cloudformation().unwrap_or_default();
    let found = LONGEST.iter().find(|(name, ..)| *name == type_name);
    if let Some((_, place, longest)) = found
        && let Some(document) = subject.body.at(place)
    {
        let length = length_of(document);
        if length > *longest {
            findings.push(too_long(subject, place, length, *longest));
        }
    }
    let inline = inline_length(subject.body);
    if type_name == "AWS::IAM::Role" && inline > LONGEST_INLINE {
        findings.push(too_long(subject, &["Policies"], inline, LONGEST_INLINE));
    }
    if type_name == "AWS::IAM::Policy"
        && let Some(document) = subject.body.get("PolicyDocument")
    {
        let roles = values(subject.resource.body.get("Roles")).iter();
        let of_roles = roles.filter_map(|role| match role {
            Term::Reference(reference) => subject.graph.follow(subject.resource.instance, reference),
            _ => None,
        });
        let beside = of_roles.map(|at| inline_length(subject.lowered(at))).max();
        let length = length_of(document) + beside.unwrap_or(0);
        if length > LONGEST_INLINE {
            findings.push(too_long(subject, &["PolicyDocument"], length, LONGEST_INLINE));
        }
    }
}

fn too_long(subject: &Subject<'_>, path: &[&str], length: usize, longest: usize) -> Finding {
    let address = &subject.resource.address;
    let message =
        format!("the policy of `{address}` has at least {length} bytes, but AWS accepts at most {longest}");
    Finding::new(Code::PolicyTooLarge, path, message)
        .help("match several principals or resources with one pattern, or divide the statements among several roles, buckets or keys")
}

fn inline_length(role: &Term) -> usize {
    let policies = role.get("Policies").map_or(&[][..], Term::items);
    policies
        .iter()
        .filter_map(|policy| Some(length_of(policy.get("PolicyDocument")?)))
        .sum()
}

/// Returns the minimum length of a value as JSON. Values that are known after apply count with their minimum length.
fn length_of(term: &Term) -> usize {
    // The shortest ARNs of roles and buckets are about this long.
    const UNKNOWN: usize = 20;
    match term {
        Term::Map(_) => match term.entries() {
            [(key, Term::String(text))] if key == "Fn::Sub" => substituted(text, UNKNOWN) + 2,
            [(key, _)] if key == "Ref" || key.starts_with("Fn::") => UNKNOWN + 2,
            entries => {
                let pairs = entries
                    .iter()
                    .map(|(key, value)| key.len() + 3 + length_of(value));
                pairs.sum::<usize>() + entries.len().saturating_sub(1) + 2
            }
        },
        Term::List(items) => items.iter().map(length_of).sum::<usize>() + items.len().saturating_sub(1) + 2,
        Term::String(text) => text.len() + 2,
        _ => 4,
    }
}

/// Returns the length of a string with its variables substituted.
fn substituted(text: &str, unknown: usize) -> usize {
    let mut length = 0;
    for (at, part) in text.split("${").enumerate() {
        let (variable, rest) = match (at, part.split_once('}')) {
            (1.., Some((variable, rest))) => (variable, rest),
            _ => ("", part),
        };
        length += rest.len();
        length += match variable {
            "" => 0,
            "AWS::AccountId" => 12,
            "AWS::Partition" => "aws".len(),
            "AWS::Region" => "eu-west-1".len(),
            _ => unknown,
        };
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_a_property_of_its_type() {
        let long = LONGEST.iter().map(|(name, place, _)| (*name, *place));
        for (type_name, place) in POLICIES.into_iter().chain(long) {
            let found = terrace_catalog::cloudformation(type_name)
                .is_some_and(|known| known.properties().any(|name| name == place[0]));
            assert!(found, "{type_name} has no {place:?}");
        }
    }

    #[test]
    fn counts_the_exact_length_of_known_values() {
        let of = |text: &str| length_of(&Term::map([("Fn::Sub", text)]));
        assert_eq!(
            of("arn:${AWS::Partition}:iam::${AWS::AccountId}:role/etl"),
            "\"arn:aws:iam::111122223333:role/etl\"".len()
        );
        let statement = Term::map([("Action", Term::list(["s3:GetObject", "s3:PutObject"]))]);
        assert_eq!(
            length_of(&statement),
            r#"{"Action":["s3:GetObject","s3:PutObject"]}"#.len()
        );
    }

    #[test]
    fn recognizes_patterns_that_match_every_principal() {
        for (text, expected) in [
            ("*", true),
            ("arn:aws:iam::*:role/*", true),
            ("arn:aws:iam::*:*", true),
            ("arn:aws:iam::*:role/etl-*", false),
            ("arn:aws:iam::111122223333:role/*", false),
            ("arn:aws:s3:::raw", false),
            ("10.0.0.0/8", false),
        ] {
            assert_eq!(is_anything(&Term::from(text)), expected, "{text}");
        }
    }
}
