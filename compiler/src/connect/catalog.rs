//! What the Glue catalog asks for: a right on a table is one on the catalog, on its database and on the table itself.

use terrace_artifact::Text;

use super::Graph;
use crate::resource::Resource;
use crate::source::Span;
use crate::term::{Reference, Term};

/// The ARNs behind a right on a Glue database (with all of its tables) or on a table; nothing for other types.
pub(super) fn arns(graph: &Graph<'_>, target: &Resource, span: Span) -> Option<Vec<Term>> {
    let (database, table) = match target.kind.cloudformation()? {
        "AWS::Glue::Database" => (name_of(target, span), "*".into()),
        "AWS::Glue::Table" => (database_of(graph, target, span)?, name_of(target, span)),
        _ => return None,
    };
    let table = [":table/".into(), database.clone(), "/".into(), table];
    Some(vec![
        arn([":catalog".into()], span),
        arn([":database/".into(), database], span),
        arn(table, span),
    ])
}

/// The name of a table's database: text, or what a resource of the platform is named.
fn database_of(graph: &Graph<'_>, table: &Resource, span: Span) -> Option<Term> {
    match table.body.get("DatabaseName")? {
        Term::Reference(reference) => {
            let at = graph.follow(table.instance, reference)?;
            Some(name_of(&graph.resources[at], span))
        }
        name @ Term::String(_) => Some(name.clone()),
        _ => None,
    }
}

/// The name of a database or table, which is what `Ref` gives.
fn name_of(resource: &Resource, span: Span) -> Term {
    reference(resource.address.to_string().into(), vec!["ref".into()], span)
}

fn arn<const N: usize>(last: [Term; N], span: Span) -> Term {
    let pseudo = |name: &str| reference(name.into(), Vec::new(), span);
    let mut parts = vec![
        "arn:".into(),
        pseudo("AWS::Partition"),
        ":glue:".into(),
        pseudo("AWS::Region"),
        ":".into(),
        pseudo("AWS::AccountId"),
    ];
    parts.extend(last);
    Term::Concat(parts.into())
}

fn reference(name: Text, path: Vec<Text>, span: Span) -> Term {
    Reference {
        local: !name.contains('/'),
        name,
        key: None,
        path,
        span,
    }
    .into()
}
