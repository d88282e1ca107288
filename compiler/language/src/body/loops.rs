//! The iterations of loops: `for_each` of resources and checks, `$for_each` in bodies.

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::shown;

use crate::expression::{Expression, Failure, Scope};
use crate::value::term::Term;

/// Returns the iterations of a loop: the entries of a map, or the unique strings of a list as key and value.
pub fn turns(over: &Expression, scope: &Scope<'_>) -> Result<Vec<(Text, Term)>, Box<Failure>> {
    let value = scope.evaluate(over)?;
    let fail = |message: &str, label: String| {
        Err(Failure::new(Code::InvalidRepetition, over.span, message, label)
            .with_help("use a map or a list of unique strings, because the keys become names"))
    };
    match value.as_ref() {
        Term::Map(entries) => Ok(entries.to_vec()),
        Term::Null => Ok(Vec::new()),
        Term::List(items) => {
            let mut turns: Vec<(Text, Term)> = Vec::with_capacity(items.len());
            for item in items {
                let Term::String(key) = item else {
                    return fail(
                        "a loop over a list requires strings",
                        format!("contains {}", item.kind()),
                    );
                };
                if turns.iter().any(|(k, _)| k == key) {
                    return fail(
                        "a loop requires unique keys",
                        format!("contains `{}` twice", shown(key)),
                    );
                }
                turns.push((key.clone(), item.clone()));
            }
            Ok(turns)
        }
        other => fail(
            "a loop requires a map or a list of strings",
            format!("found {}", other.kind()),
        ),
    }
}

/// Returns the value of `each` in one iteration.
pub fn each_value(key: Text, value: Term) -> Term {
    Term::Map(vec![("key".into(), Term::String(key)), ("value".into(), value)].into())
}
