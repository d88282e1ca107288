//! What a state machine's role may do: exactly what its calls need, on exactly what they call.

use terrace_artifact::Text;

use crate::source::Span;
use crate::term::{Reference, Term};

/// Statements, one for each kind of call.
#[derive(Default)]
pub(super) struct Permissions {
    statements: Vec<Statement>,
}

struct Statement {
    sid: &'static str,
    actions: Vec<&'static str>,
    resources: Vec<Term>,
    condition: Option<Term>,
}

impl Permissions {
    /// Allows actions on resources; one statement for each `sid`.
    pub(super) fn allow(
        &mut self,
        sid: &'static str,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = Term>,
    ) {
        self.allow_if(sid, actions, resources, None);
    }

    /// Allows actions on resources under a condition that is the same for the whole statement.
    pub(super) fn allow_if(
        &mut self,
        sid: &'static str,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = Term>,
        condition: Option<Term>,
    ) {
        let at = match self
            .statements
            .iter()
            .position(|s| s.sid == sid && s.condition == condition)
        {
            Some(at) => at,
            None => {
                self.statements.push(Statement {
                    sid,
                    actions: Vec::new(),
                    resources: Vec::new(),
                    condition,
                });
                self.statements.len() - 1
            }
        };
        let statement = &mut self.statements[at];
        for action in actions {
            if !statement.actions.contains(action) {
                statement.actions.push(action);
            }
        }
        for resource in resources {
            if !statement.resources.contains(&resource) {
                statement.resources.push(resource);
            }
        }
    }

    /// The policy document.
    pub(super) fn finish(self) -> Term {
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
            entries.extend(
                statement
                    .condition
                    .map(|condition| ("Condition".into(), condition)),
            );
            Term::Map(entries.into())
        });
        policy(statements.collect())
    }
}

/// A policy document of these statements.
pub(super) fn policy(statements: Vec<Term>) -> Term {
    Term::map([
        ("Version", Term::from("2012-10-17")),
        ("Statement", Term::List(statements)),
    ])
}

/// A trust policy: which service may act as a role, and for what.
pub(super) fn trust(service: &str, condition: Option<Term>) -> Term {
    let mut statement: Vec<(Text, Term)> = vec![
        ("Effect".into(), "Allow".into()),
        ("Principal".into(), Term::map([("Service", service)])),
        ("Action".into(), "sts:AssumeRole".into()),
    ];
    statement.extend(condition.map(|condition| ("Condition".into(), condition)));
    policy(vec![Term::Map(statement.into())])
}

fn one_or_more(mut terms: Vec<Term>) -> Term {
    if terms.len() == 1 {
        terms.swap_remove(0)
    } else {
        Term::List(terms)
    }
}

/// A value of CloudFormation itself: `AWS::Region`.
pub(super) fn pseudo(name: &str, span: Span) -> Term {
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
pub(super) fn arn(service: &str, rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
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
pub(super) fn s3_arn(rest: impl IntoIterator<Item = Term>, span: Span) -> Term {
    let parts: [Term; 3] = ["arn:".into(), pseudo("AWS::Partition", span), ":s3:::".into()];
    concat(parts.into_iter().chain(rest))
}

/// Pieces of one text, with neighbours that are known joined.
pub(super) fn concat(parts: impl IntoIterator<Item = Term>) -> Term {
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
