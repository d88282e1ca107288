//! What the Glue catalog asks for: a right on a table is one on the catalog, on its database and on the table itself.

use super::super::Graph;
use crate::iam::arn;
use crate::resource::Resource;
use crate::source::Span;
use crate::term::Term;

/// The ARNs behind a right on a Glue database (with all of its tables) or on a table; nothing for other types.
pub(super) fn arns(graph: &Graph<'_>, target: &Resource, span: Span) -> Option<Vec<Term>> {
    let (database, table) = match target.kind.cloudformation()? {
        "AWS::Glue::Database" => (name_of(target, span), "*".into()),
        "AWS::Glue::Table" => (database_of(graph, target, span)?, name_of(target, span)),
        _ => return None,
    };
    Some(of_tables(database, table, span).into())
}

/// The ARNs of the catalog, a database, and some of its tables.
pub(super) fn of_tables(database: Term, tables: Term, span: Span) -> [Term; 3] {
    [
        arn("glue", ["catalog".into()], span),
        arn("glue", ["database/".into(), database.clone()], span),
        arn("glue", ["table/".into(), database, "/".into(), tables], span),
    ]
}

/// The name of a database: text, or what a resource of the platform is named.
pub(super) fn database_named(graph: &Graph<'_>, from: &Resource, term: &Term, span: Span) -> Option<Term> {
    match term {
        Term::Reference(reference) => {
            let at = graph.follow(from.instance, reference)?;
            Some(name_of(&graph.resources[at], span))
        }
        name @ Term::String(_) => Some(name.clone()),
        _ => None,
    }
}

fn database_of(graph: &Graph<'_>, table: &Resource, span: Span) -> Option<Term> {
    database_named(graph, table, table.body.get("DatabaseName")?, span)
}

/// The name of a database or table, which is what `Ref` gives.
fn name_of(resource: &Resource, span: Span) -> Term {
    resource.attribute("ref", span)
}
