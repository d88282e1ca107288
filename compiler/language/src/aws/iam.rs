//! IAM policy documents: statements, trust policies, and ARNs.

use terrace_artifact::Text;
use terrace_syntax::source::Span;

use crate::value::term::{Reference, Term};

/// The actions of a state machine that delivers logs. None of these actions can be limited to a resource.
pub const DELIVER_LOGS: &[&str] = &[
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
];

/// The actions of a state machine that sends traces to X-Ray. None of these actions can be limited to a resource.
pub const TRACE: &[&str] = &[
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
];

/// The statements of a policy in the order in which they were added.
#[derive(Default)]
pub struct Policy {
    statements: Vec<Statement>,
}

struct Statement {
    sid: Text,
    actions: Vec<&'static str>,
    resources: Vec<Term>,
    conditions: Vec<Condition>,
}

/// One key in the condition of a statement. It is met if the key has one of the values.
#[derive(Clone, PartialEq)]
pub struct Condition {
    operator: &'static str,
    key: Text,
    values: Vec<Term>,
}

impl Condition {
    /// Creates a condition on one key.
    pub fn new(operator: &'static str, key: impl Into<Text>, values: Vec<Term>) -> Condition {
        Condition {
            operator,
            key: key.into(),
            values,
        }
    }

    /// Returns whether both conditions test the same key with the same operator.
    fn tests_the_same(&self, other: &Condition) -> bool {
        (self.operator, &self.key) == (other.operator, &other.key)
    }
}

impl Policy {
    /// Returns whether the policy has no statements.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Returns whether a statement allows an action on exactly this resource, without conditions.
    pub fn allows(&self, action: &str, resource: &Term) -> bool {
        self.statements.iter().any(|statement| {
            statement.conditions.is_empty()
                && statement.actions.contains(&action)
                && statement.resources.contains(resource)
        })
    }

    /// Allows actions on resources. Permissions with the same `sid` are merged into one statement.
    pub fn allow(
        &mut self,
        sid: impl Into<Text>,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = Term>,
    ) {
        self.allow_if(sid, actions, resources, Vec::new());
    }

    /// Allows actions on resources if all conditions are met. Permissions with the same `sid` and the same condition keys are merged into one
    /// statement, in which each key may have the values of either.
    pub fn allow_if(
        &mut self,
        sid: impl Into<Text>,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = Term>,
        conditions: Vec<Condition>,
    ) {
        let sid = sid.into();
        let same = |statement: &Statement| {
            let pairs = statement.conditions.iter().zip(&conditions);
            statement.sid == sid
                && statement.conditions.len() == conditions.len()
                && pairs.into_iter().all(|(known, new)| known.tests_the_same(new))
        };
        let at = match self.statements.iter().position(same) {
            Some(at) => at,
            None => {
                self.statements.push(Statement {
                    sid,
                    actions: Vec::new(),
                    resources: Vec::new(),
                    conditions: conditions.clone(),
                });
                self.statements.len() - 1
            }
        };
        let statement = &mut self.statements[at];
        add_missing(&mut statement.actions, actions.iter().copied());
        add_missing(&mut statement.resources, resources);
        for (known, new) in statement.conditions.iter_mut().zip(conditions) {
            add_missing(&mut known.values, new.values);
        }
    }

    /// Returns the statements.
    pub(crate) fn into_statements(self) -> Vec<Term> {
        let statements = self.statements.into_iter().map(|statement| {
            let mut entries: Vec<(Text, Term)> = vec![
                ("Sid".into(), statement.sid.into()),
                ("Effect".into(), "Allow".into()),
                (
                    "Action".into(),
                    one_or_more(statement.actions.into_iter().map(Term::from).collect()),
                ),
                ("Resource".into(), one_or_more(statement.resources)),
            ];
            if !statement.conditions.is_empty() {
                entries.push(("Condition".into(), condition(statement.conditions)));
            }
            Term::Map(entries.into())
        });
        statements.collect()
    }

    /// Returns the policy document.
    pub fn finish(self) -> Term {
        document(self.into_statements())
    }
}

fn add_missing<T: PartialEq>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// Returns the value of `Condition` in a statement.
pub fn condition(conditions: Vec<Condition>) -> Term {
    let mut operators = Term::Map(Vec::new().into());
    for Condition {
        operator,
        key,
        values,
    } in conditions
    {
        let mut keys = operators
            .get(operator)
            .cloned()
            .unwrap_or_else(|| Term::Map(Vec::new().into()));
        keys.set(key, one_or_more(values));
        operators.set(operator, keys);
    }
    operators
}

/// Returns a policy document with these statements.
pub fn document(statements: Vec<Term>) -> Term {
    Term::map([
        ("Version", Term::from("2012-10-17")),
        ("Statement", Term::List(statements)),
    ])
}

/// Returns a trust policy that allows a service to assume a role for resources of this account, under the conditions.
///
/// Without `aws:SourceAccount`, a resource in another account could make the service assume the role.
pub fn trust(service: &str, mut conditions: Vec<Condition>, span: Span) -> Term {
    let account = vec![pseudo("AWS::AccountId", span)];
    conditions.insert(0, Condition::new("StringEquals", "aws:SourceAccount", account));
    document(vec![Term::map([
        ("Effect", Term::from("Allow")),
        ("Principal", Term::map([("Service", service)])),
        ("Action", "sts:AssumeRole".into()),
        ("Condition", condition(conditions)),
    ])])
}

/// Allows to read and write the encrypted executions of a state machine. Its role and the roles that start it need this.
pub fn allow_executions(policy: &mut Policy, key: Term, machine: Term) {
    let of_machine = Condition::new(
        "StringEquals",
        "kms:EncryptionContext:aws:states:stateMachineArn",
        vec![machine],
    );
    let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    policy.allow_if("EncryptExecutions", &actions, [key], vec![of_machine]);
}

/// Allows a state machine that is encrypted with a key to deliver its logs.
pub fn allow_execution_logs(policy: &mut Policy, key: Term, span: Span) {
    let logs = Condition::new(
        "StringLike",
        "kms:EncryptionContext:SourceArn",
        vec![arn("logs", ["*".into()], span)],
    );
    policy.allow_if("EncryptLogs", &["kms:GenerateDataKey"], [key], vec![logs]);
}

/// Returns a single value as it is, and several as a list, as in IAM policies.
pub fn one_or_more(mut terms: Vec<Term>) -> Term {
    if terms.len() == 1 {
        terms.swap_remove(0)
    } else {
        Term::List(terms)
    }
}

/// Returns the values of a field in a policy that is a single value or a list.
pub fn values(term: Option<&Term>) -> &[Term] {
    match term {
        Some(Term::List(items)) => items,
        Some(other) => std::slice::from_ref(other),
        None => &[],
    }
}

/// Returns a pseudo parameter of CloudFormation, such as `AWS::Region`.
pub fn pseudo(name: &str, span: Span) -> Term {
    Reference {
        name: name.into(),
        key: None,
        path: Vec::new(),
        local: true,
        span,
    }
    .into()
}

/// Returns `arn:PARTITION:SERVICE:REGION:ACCOUNT:` followed by `rest`.
pub fn arn(service: &str, rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 6] = [
        "arn:".into(),
        pseudo("AWS::Partition", span),
        format!(":{service}:").into(),
        pseudo("AWS::Region", span),
        ":".into(),
        pseudo("AWS::AccountId", span),
    ];
    concat(parts.into_iter().chain([":".into()]).chain(rest))
}

/// Returns `arn:PARTITION:s3:::` followed by `rest`. ARNs of buckets contain neither region nor account.
pub fn s3_arn(rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 3] = ["arn:".into(), pseudo("AWS::Partition", span), ":s3:::".into()];
    concat(parts.into_iter().chain(rest))
}

/// Returns `arn:PARTITION:iam::ACCOUNT:` followed by `rest`. ARNs of roles and users contain no region.
pub fn iam_arn(account: Term, rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 5] = [
        "arn:".into(),
        pseudo("AWS::Partition", span),
        ":iam::".into(),
        account,
        ":".into(),
    ];
    concat(parts.into_iter().chain(rest))
}

/// Concatenates parts and joins adjacent strings.
pub fn concat(parts: impl IntoIterator<Item = Term>) -> Term {
    let mut out: Vec<Term> = Vec::new();
    for part in parts {
        let inner: Vec<Term> = match part {
            Term::Concat(inner) => inner.to_vec(),
            part => vec![part],
        };
        for part in inner {
            match (out.last_mut(), part) {
                (Some(Term::String(before)), Term::String(text)) => {
                    *before = format!("{before}{text}").into();
                }
                (_, part) => out.push(part),
            }
        }
    }
    match out.len() {
        1 => out.swap_remove(0),
        _ => Term::Concat(out.into()),
    }
}

/// Returns whether two patterns of actions have an action in common. A `*` in the middle matches everything from its place on.
pub fn overlap(one: &str, other: &str) -> bool {
    let open = |pattern: &str| {
        let lower = pattern.to_lowercase();
        match lower.split_once('*') {
            Some((start, _)) => (start.to_owned(), true),
            None => (lower, false),
        }
    };
    match (open(one), open(other)) {
        ((one, false), (other, false)) => one == other,
        ((one, true), (other, false)) => other.starts_with(&one),
        ((one, false), (other, true)) => one.starts_with(&other),
        ((one, true), (other, true)) => one.starts_with(&other) || other.starts_with(&one),
    }
}

/// Returns whether a statement allows a service to encrypt, apart from its conditions.
pub fn lets(statement: &Term, service: &str) -> bool {
    let allows = statement.get("Effect").and_then(Term::as_str) == Some("Allow");
    let principals = match statement.get("Principal") {
        Some(Term::String(all)) => all == "*",
        Some(principal) => values(principal.get("Service"))
            .iter()
            // Some services have a separate name in each region.
            .any(|named| named.as_str().is_none_or(|named| is_service(named, service))),
        None => false,
    };
    let encrypts = |action: &Term| {
        action.as_str().is_none_or(|action| {
            let action = action.to_lowercase();
            action == "*" || action == "kms:*" || action.starts_with("kms:generatedatakey")
        })
    };
    allows && principals && values(statement.get("Action")).iter().any(encrypts)
}

fn is_service(named: &str, service: &str) -> bool {
    named == service
        || named
            .strip_prefix(service)
            .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_overlap_where_they_have_an_action_in_common() {
        for (one, other, expected) in [
            ("s3:GetObject", "s3:GetObject*", true),
            ("s3:getobject", "s3:GetObject", true),
            ("s3:*", "s3:DeleteObjectVersion", true),
            ("*", "kms:Decrypt", true),
            ("s3:Get*", "s3:GetObject*", true),
            ("s3:GetObject*", "s3:Get*", true),
            ("s3:GetBucketLocation", "s3:GetObject*", false),
            ("s3:DeleteObject", "s3:DeleteObjectVersion", false),
            ("kms:Decrypt", "s3:*", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} and {other}");
        }
    }
}
