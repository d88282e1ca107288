//! What a loop goes over: `for_each` of resources and checks, `$for_each` in bodies.

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::shown;
use crate::expression::{Expression, Failure, Scope};
use crate::term::Term;

/// The turns of a loop: a map's entries, or a list's unique strings, each standing for itself.
pub fn turns(over: &Expression, scope: &Scope<'_>) -> Result<Vec<(Text, Term)>, Box<Failure>> {
    let value = scope.evaluate(over)?;
    let fail = |message: &str, label: String| {
        Err(Failure::new(Code::InvalidRepetition, over.span, message, label)
            .with_help("repeat over a map, or over a list of unique texts: keys name what is made"))
    };
    match value.as_ref() {
        Term::Map(entries) => Ok(entries.to_vec()),
        Term::Null => Ok(Vec::new()),
        Term::List(items) => {
            let mut turns: Vec<(Text, Term)> = Vec::with_capacity(items.len());
            for item in items {
                let Term::String(key) = item else {
                    return fail("a loop over a list needs text", format!("it has {}", item.kind()));
                };
                if turns.iter().any(|(k, _)| k == key) {
                    return fail(
                        "a loop needs unique keys",
                        format!("`{}` is in it twice", shown(key)),
                    );
                }
                turns.push((key.clone(), item.clone()));
            }
            Ok(turns)
        }
        other => fail(
            "a loop needs a map or a list of texts",
            format!("this is {}", other.kind()),
        ),
    }
}

/// What `each` is in one turn.
pub fn each_value(key: Text, value: Term) -> Term {
    Term::Map(vec![("key".into(), Term::String(key)), ("value".into(), value)].into())
}
