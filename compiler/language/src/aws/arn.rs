//! ARNs as values: composed of strings, pseudo parameters of CloudFormation, and references.

use terrace_syntax::source::Span;

use crate::value::term::{Reference, Term};

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

/// Returns the ARNs of the Glue catalog, a database, and some of its tables. A permission on a table is required on all of them.
pub fn glue_table_arns(database: Term, tables: Term, span: Span) -> [Term; 3] {
    [
        arn("glue", ["catalog".into()], span),
        arn("glue", ["database/".into(), database.clone()], span),
        arn("glue", ["table/".into(), database, "/".into(), tables], span),
    ]
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
