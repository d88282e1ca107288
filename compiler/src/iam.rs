//! Policy documents of IAM: statements, trust policies, and the ARNs that both name.

use terrace_artifact::Text;

use crate::source::Span;
use crate::term::{Reference, Term};

/// What a state machine needs to deliver its logs. None of these actions can be limited to a resource.
pub(crate) const DELIVER_LOGS: &[&str] = &[
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
];

/// What a state machine needs to send traces to X-Ray. None of these actions can be limited to a resource.
pub(crate) const TRACE: &[&str] = &[
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
];

/// The statements of one policy, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

struct Statement {
    sid: Text,
    actions: Vec<&'static str>,
    resources: Vec<Term>,
    conditions: Vec<Condition>,
}

/// One key of a statement's condition: it holds where the key has one of the values.
#[derive(Clone, PartialEq)]
pub(crate) struct Condition {
    operator: &'static str,
    key: Text,
    values: Vec<Term>,
}

impl Condition {
    /// A condition of one key.
    pub(crate) fn new(operator: &'static str, key: impl Into<Text>, values: Vec<Term>) -> Condition {
        Condition {
            operator,
            key: key.into(),
            values,
        }
    }

    /// Whether both test the same key in the same way.
    fn tests_the_same(&self, other: &Condition) -> bool {
        (self.operator, &self.key) == (other.operator, &other.key)
    }
}

impl Policy {
    /// Whether nothing is allowed.
    pub(crate) fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Whether a statement allows an action on exactly this resource, without conditions.
    pub(crate) fn allows(&self, action: &str, resource: &Term) -> bool {
        self.statements.iter().any(|statement| {
            statement.conditions.is_empty()
                && statement.actions.contains(&action)
                && statement.resources.contains(resource)
        })
    }

    /// Allows actions on resources. What has the same `sid` becomes one statement.
    pub(crate) fn allow(
        &mut self,
        sid: impl Into<Text>,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = Term>,
    ) {
        self.allow_if(sid, actions, resources, Vec::new());
    }

    /// Allows actions on resources under conditions, all of which have to hold. What has the same `sid` and tests the same keys
    /// becomes one statement, in which each key may have the values of either.
    pub(crate) fn allow_if(
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
                && pairs.into_iter().all(|(one, other)| one.tests_the_same(other))
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

    /// The statements.
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

    /// The policy document.
    pub(crate) fn finish(self) -> Term {
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

/// The value of a statement's `Condition`.
pub(crate) fn condition(conditions: Vec<Condition>) -> Term {
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

/// A policy document of these statements.
pub(crate) fn document(statements: Vec<Term>) -> Term {
    Term::map([
        ("Version", Term::from("2012-10-17")),
        ("Statement", Term::List(statements)),
    ])
}

/// A trust policy: a service may act as a role for what is in this account, and under the conditions.
///
/// Without `aws:SourceAccount`, the service could be made to act as the role for something in an account of others.
pub(crate) fn trust(service: &str, mut conditions: Vec<Condition>, span: Span) -> Term {
    let account = vec![pseudo("AWS::AccountId", span)];
    conditions.insert(0, Condition::new("StringEquals", "aws:SourceAccount", account));
    document(vec![Term::map([
        ("Effect", Term::from("Allow")),
        ("Principal", Term::map([("Service", service)])),
        ("Action", "sts:AssumeRole".into()),
        ("Condition", condition(conditions)),
    ])])
}

/// Allows reading and writing the executions of a state machine that is encrypted with a key: to its own role, and to what starts it.
pub(crate) fn allow_executions(policy: &mut Policy, key: Term, machine: Term) {
    let of_machine = Condition::new(
        "StringEquals",
        "kms:EncryptionContext:aws:states:stateMachineArn",
        vec![machine],
    );
    let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    policy.allow_if("EncryptExecutions", &actions, [key], vec![of_machine]);
}

/// Allows a state machine that is encrypted with a key to deliver its logs.
pub(crate) fn allow_execution_logs(policy: &mut Policy, key: Term, span: Span) {
    let logs = Condition::new(
        "StringLike",
        "kms:EncryptionContext:SourceArn",
        vec![arn("logs", ["*".into()], span)],
    );
    policy.allow_if("EncryptLogs", &["kms:GenerateDataKey"], [key], vec![logs]);
}

/// What policies write as one value or as a list of them.
pub(crate) fn one_or_more(mut terms: Vec<Term>) -> Term {
    if terms.len() == 1 {
        terms.swap_remove(0)
    } else {
        Term::List(terms)
    }
}

/// The values that a policy gives, as one or as a list of them.
pub(crate) fn values(term: Option<&Term>) -> &[Term] {
    match term {
        Some(Term::List(items)) => items,
        Some(other) => std::slice::from_ref(other),
        None => &[],
    }
}

/// A value of CloudFormation itself: `AWS::Region`.
pub(crate) fn pseudo(name: &str, span: Span) -> Term {
    Reference {
        name: name.into(),
        key: None,
        path: Vec::new(),
        local: true,
        span,
    }
    .into()
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:` and what follows.
pub(crate) fn arn(service: &str, rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
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

/// `arn:PARTITION:s3:::` and what follows: buckets are in no region and no account.
pub(crate) fn s3_arn(rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 3] = ["arn:".into(), pseudo("AWS::Partition", span), ":s3:::".into()];
    concat(parts.into_iter().chain(rest))
}

/// `arn:PARTITION:iam::ACCOUNT:` and what follows: roles and users are in no region.
pub(crate) fn iam_arn(account: Term, rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 5] = [
        "arn:".into(),
        pseudo("AWS::Partition", span),
        ":iam::".into(),
        account,
        ":".into(),
    ];
    concat(parts.into_iter().chain(rest))
}

/// Pieces of one text, with neighbours that are known joined.
pub(crate) fn concat(parts: impl IntoIterator<Item = Term>) -> Term {
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

/// Whether two patterns of actions have an action in common. A `*` in the middle counts as one at its place and all that follows.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
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
