//! Builds and reads IAM policy documents. Every statement and every trust policy that Terrace generates is built here.

mod read;

use std::borrow::Borrow;

use terrace_artifact::Text;
use terrace_syntax::source::Span;

use crate::aws::arn::{arn, pseudo};
use crate::value::term::Term;

pub use read::{allows, lets_encrypt, overlap, statements, values};

/// A statement of a policy document.
pub struct Statement {
    effect: &'static str,
    actions: Vec<&'static str>,
    sid: Option<Text>,
    principal: Option<Term>,
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

/// The principal of a statement in the policy of a resource or in a trust policy.
pub enum Principal {
    /// Every principal, authenticated or not.
    Everyone,
    /// A service of AWS, such as `events.amazonaws.com`.
    Service(&'static str),
    /// An account, role or user, by its ARN.
    Arn(Term),
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

impl Statement {
    /// Creates a statement that allows actions.
    pub fn allow(actions: impl IntoIterator<Item: Borrow<&'static str>>) -> Statement {
        Statement::new("Allow", actions)
    }

    /// Creates a statement that denies actions.
    pub fn deny(actions: impl IntoIterator<Item: Borrow<&'static str>>) -> Statement {
        Statement::new("Deny", actions)
    }

    fn new(effect: &'static str, actions: impl IntoIterator<Item: Borrow<&'static str>>) -> Statement {
        Statement {
            effect,
            actions: actions.into_iter().map(|action| *action.borrow()).collect(),
            sid: None,
            principal: None,
            resources: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// Sets the ID, which must be unique in the document.
    pub fn sid(mut self, sid: impl Into<Text>) -> Statement {
        self.sid = Some(sid.into());
        self
    }

    /// Sets the principal. The policy of a role or user has none.
    pub fn principal(mut self, principal: Principal) -> Statement {
        self.principal = Some(match principal {
            Principal::Everyone => "*".into(),
            Principal::Service(service) => Term::map([("Service", service)]),
            Principal::Arn(arn) => Term::map([("AWS", arn)]),
        });
        self
    }

    /// Sets the resources. A trust policy has none.
    pub fn resources(mut self, resources: Vec<Term>) -> Statement {
        self.resources = resources;
        self
    }

    /// Sets the conditions, all of which must be met.
    pub fn conditions(mut self, conditions: Vec<Condition>) -> Statement {
        self.conditions = conditions;
        self
    }

    /// Returns whether the statement has this ID and tests the same condition keys.
    fn merges_with(&self, sid: &Text, conditions: &[Condition]) -> bool {
        let mut pairs = self.conditions.iter().zip(conditions);
        self.sid.as_ref() == Some(sid)
            && self.conditions.len() == conditions.len()
            && pairs.all(|(known, new)| known.tests_the_same(new))
    }

    fn into_term(self) -> Term {
        let mut entries: Vec<(Text, Term)> = Vec::with_capacity(6);
        entries.extend(self.sid.map(|sid| ("Sid".into(), sid.into())));
        entries.push(("Effect".into(), self.effect.into()));
        entries.extend(self.principal.map(|principal| ("Principal".into(), principal)));
        let actions = self.actions.into_iter().map(Term::from).collect();
        entries.push(("Action".into(), one_or_more(actions)));
        if !self.resources.is_empty() {
            entries.push(("Resource".into(), one_or_more(self.resources)));
        }
        if !self.conditions.is_empty() {
            entries.push(("Condition".into(), condition_block(self.conditions)));
        }
        Term::Map(entries.into())
    }
}

/// The policy of a role: statements in the order in which they were added.
#[derive(Default)]
pub struct Policy {
    statements: Vec<Statement>,
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
        actions: impl IntoIterator<Item: Borrow<&'static str>>,
        resources: impl IntoIterator<Item = Term>,
    ) {
        self.allow_if(sid, actions, resources, Vec::new());
    }

    /// Allows actions on resources if all conditions are met. Permissions with the same `sid` and the same condition keys are merged into one
    /// statement, in which each key may have the values of either.
    pub fn allow_if(
        &mut self,
        sid: impl Into<Text>,
        actions: impl IntoIterator<Item: Borrow<&'static str>>,
        resources: impl IntoIterator<Item = Term>,
        conditions: Vec<Condition>,
    ) {
        let sid = sid.into();
        let known = self
            .statements
            .iter()
            .position(|statement| statement.merges_with(&sid, &conditions));
        let at = known.unwrap_or_else(|| {
            let none: [&str; 0] = [];
            let statement = Statement::allow(none).sid(sid).conditions(conditions.clone());
            self.statements.push(statement);
            self.statements.len() - 1
        });
        let statement = &mut self.statements[at];
        let actions = actions.into_iter().map(|action| *action.borrow());
        add_missing(&mut statement.actions, actions);
        add_missing(&mut statement.resources, resources);
        for (known, new) in statement.conditions.iter_mut().zip(conditions) {
            add_missing(&mut known.values, new.values);
        }
    }

    /// Sorts the actions of each statement, because a permission can consist of several lists.
    pub fn sort_actions(&mut self) {
        for statement in &mut self.statements {
            statement.actions.sort_unstable();
        }
    }

    /// Returns the policy document.
    pub fn finish(self) -> Term {
        document(self.statements)
    }

    /// Returns the policy as an entry of `Policies` of a role.
    pub fn into_inline(self, name: &str) -> Term {
        Term::map([
            ("PolicyName", Term::from(name)),
            ("PolicyDocument", self.finish()),
        ])
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
fn condition_block(conditions: Vec<Condition>) -> Term {
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

/// Returns a single value as it is, and several as a list, as in IAM policies.
fn one_or_more(mut terms: Vec<Term>) -> Term {
    if terms.len() == 1 {
        terms.swap_remove(0)
    } else {
        Term::List(terms)
    }
}

/// Returns a policy document with these statements.
pub fn document(statements: impl IntoIterator<Item = Statement>) -> Term {
    let statements = statements.into_iter().map(Statement::into_term).collect();
    Term::map([
        ("Version", Term::from("2012-10-17")),
        ("Statement", Term::List(statements)),
    ])
}

/// Adds statements to a policy document that a user wrote. Returns `None` if it has no statements that can be extended.
pub fn add_statements(document: &mut Term, more: Vec<Statement>) -> Option<()> {
    let mut statements = match document.get("Statement")? {
        Term::List(known) => known.clone(),
        single @ Term::Map(_) => vec![single.clone()],
        _ => return None,
    };
    statements.extend(more.into_iter().map(Statement::into_term));
    document.set("Statement", Term::List(statements));
    Some(())
}

/// Returns a trust policy that allows a service to assume a role for resources of this account, under the conditions.
///
/// Without `aws:SourceAccount`, a resource in another account could make the service assume the role.
pub fn trust(service: &'static str, mut conditions: Vec<Condition>, span: Span) -> Term {
    let account = vec![pseudo("AWS::AccountId", span)];
    conditions.insert(0, Condition::new("StringEquals", "aws:SourceAccount", account));
    let statement = Statement::allow(["sts:AssumeRole"])
        .principal(Principal::Service(service))
        .conditions(conditions);
    document([statement])
}

/// Returns the body of a role with one inline policy.
pub fn role(trust: Term, policy_name: &str, policy: Policy) -> Term {
    Term::map([
        ("AssumeRolePolicyDocument", trust),
        ("Policies", Term::List(vec![policy.into_inline(policy_name)])),
    ])
}

/// Allows to read and write the encrypted executions of a state machine. Its role and the roles that start it need this.
pub fn allow_executions(policy: &mut Policy, key: Term, machine: Term) {
    let of_machine = Condition::new(
        "StringEquals",
        "kms:EncryptionContext:aws:states:stateMachineArn",
        vec![machine],
    );
    let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    policy.allow_if("EncryptExecutions", actions, [key], vec![of_machine]);
}

/// Allows a state machine that is encrypted with a key to deliver its logs.
pub fn allow_execution_logs(policy: &mut Policy, key: Term, span: Span) {
    let logs = Condition::new(
        "StringLike",
        "kms:EncryptionContext:SourceArn",
        vec![arn("logs", ["*".into()], span)],
    );
    policy.allow_if("EncryptLogs", ["kms:GenerateDataKey"], [key], vec![logs]);
}
