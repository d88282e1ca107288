//! ARNs for permissions in the Glue catalog.

use terrace_language::aws::arn::glue_table_arns;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::source::Span;

use super::super::Graph;

/// Returns the ARNs for a permission on a Glue database (with all its tables) or on a table, or `None` for other types.
pub(super) fn arns(graph: &Graph<'_>, target: &Resource, span: Span) -> Option<Vec<Term>> {
    let (database, table) = match target.kind.cloudformation()? {
        "AWS::Glue::Database" => (name_of(target, span), "*".into()),
        "AWS::Glue::Table" => (database_of(graph, target, span)?, name_of(target, span)),
        _ => return None,
    };
    Some(glue_table_arns(database, table, span).into())
}

/// Returns the name of a database: a string, or the name of a resource of the platform.
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

/// Returns the name of a database or table, which is the value of `Ref`.
fn name_of(resource: &Resource, span: Span) -> Term {
    resource.attribute("ref", span)
}
