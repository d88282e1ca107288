//! The functions of expressions.

use std::sync::Arc;

use terrace_artifact::{Quantity, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{one_of, shown};
use terrace_syntax::source::Span;

use super::Failure;
use super::evaluate::wrong_type;
use crate::aws::arn;
use crate::value::term::{AssetReference, Reference, SecretReference, Term};

type Result<T> = std::result::Result<T, Box<Failure>>;

/// A function. Its row in [`FUNCTIONS`] is everything that the compiler knows about it.
#[derive(Debug)]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// The call with its meaning, for documentation and editors.
    pub description: &'static str,
    /// The number of arguments that are required, and the number that are permitted.
    arguments: (usize, usize),
    call: fn(&Call<'_>) -> Result<Term>,
}

/// The functions.
pub const FUNCTIONS: [Function; 8] = [
    Function {
        name: "ref",
        description: "ref('name') or ref('name', 'key'): a resource or component, whose attributes follow: `.arn`",
        arguments: (1, 2),
        call: reference,
    },
    Function {
        name: "secret",
        description: "secret('name').key: a secret, by name",
        arguments: (1, 1),
        call: secret,
    },
    Function {
        name: "asset",
        description: "asset('path'): a file or directory of the stack, deployed with it, with `bucket`, `key`, `url` and `digest`",
        arguments: (1, 1),
        call: asset,
    },
    Function {
        name: "duration",
        description: "duration('30d'): a duration",
        arguments: (1, 1),
        call: duration,
    },
    Function {
        name: "size",
        description: "size('500Gi'): a number of bytes",
        arguments: (1, 1),
        call: size,
    },
    Function {
        name: "quantity",
        description: "quantity('500m'): a Kubernetes quantity",
        arguments: (1, 1),
        call: quantity,
    },
    Function {
        name: "arn",
        description: "arn('glue', 'job/x'): an ARN in this partition, region and account",
        arguments: (2, 2),
        call: arn,
    },
    Function {
        name: "range",
        description: "range(3): the list 0, 1, 2. The maximum is 1000 items",
        arguments: (1, 1),
        call: range,
    },
];

/// One call of a function.
struct Call<'a> {
    name: &'static str,
    arguments: &'a [Term],
    span: Span,
    /// Whether a reference can mean a resource of the same component.
    local: bool,
}

impl Call<'_> {
    /// Returns an argument that must be a string.
    fn text(&self, at: usize) -> Result<&Text> {
        match &self.arguments[at] {
            Term::String(text) => Ok(text),
            other => Err(self.wrong_type("a string", other)),
        }
    }

    fn wrong_type(&self, wants: &str, argument: &Term) -> Box<Failure> {
        wrong_type(self.span, &format!("`{}` requires {wants}", self.name), argument)
    }

    /// Reports a string that is not a value of a type.
    fn unreadable(&self, what: &str, examples: &str) -> Box<Failure> {
        let message = format!("`{}` is not {what}", shown(&self.arguments[0].shown()));
        let label = format!("expected a value such as {examples}");
        Failure::new(Code::WrongUnit, self.span, message, label)
    }
}

/// Calls a function. `local` states whether a reference can mean a resource of the same component.
pub(super) fn call(name: &str, arguments: &[Term], span: Span, local: bool) -> Result<Term> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        return Err(unknown(name, span));
    };
    let (least, most) = function.arguments;
    if !(least..=most).contains(&arguments.len()) {
        return Err(wrong_count(name, least, arguments.len(), span));
    }
    (function.call)(&Call {
        name: function.name,
        arguments,
        span,
        local,
    })
}

/// Reports a wrong number of arguments of a function or a filter.
pub(super) fn wrong_count(name: &str, wants: usize, has: usize, span: Span) -> Box<Failure> {
    let message = format!(
        "`{name}` takes {wants} argument{}, not {has}",
        if wants == 1 { "" } else { "s" }
    );
    Failure::new(Code::ExpressionType, span, message, "")
}

fn unknown(name: &str, span: Span) -> Box<Failure> {
    let names = || FUNCTIONS.iter().map(|function| function.name);
    let message = format!("no function is named `{}`", shown(name));
    let name_span = Span {
        end: span.start + u32::try_from(name.len()).unwrap_or(0),
        ..span
    };
    let name_span = if name_span.end <= span.end {
        name_span
    } else {
        span
    };
    let failure = Failure::new(Code::Undefined, name_span, message, "").near(name, names());
    match failure.nearest {
        Some(_) => failure,
        None => failure.with_help(format!("use {}", one_of(names()))),
    }
}

fn reference(call: &Call<'_>) -> Result<Term> {
    let key = match call.arguments.len() {
        2 => Some(call.text(1)?.clone()),
        _ => None,
    };
    Ok(Reference {
        name: call.text(0)?.clone(),
        key,
        path: Vec::new(),
        local: call.local,
        span: call.span,
    }
    .into())
}

fn secret(call: &Call<'_>) -> Result<Term> {
    Ok(Term::Secret(Arc::new(SecretReference {
        name: call.text(0)?.clone(),
        key: None,
        span: call.span,
    })))
}

fn asset(call: &Call<'_>) -> Result<Term> {
    Ok(Term::Asset(Arc::new(AssetReference {
        path: call.text(0)?.clone(),
        part: None,
        span: call.span,
    })))
}

fn duration(call: &Call<'_>) -> Result<Term> {
    let duration = call.text(0)?.parse().map(Term::Duration);
    duration.map_err(|()| call.unreadable("a duration", "`30s`, `24h` or `90d`"))
}

fn size(call: &Call<'_>) -> Result<Term> {
    let size = Quantity::size(call.text(0)?).map(Term::Quantity);
    size.ok_or_else(|| call.unreadable("a size", "`500Gi`, `10GB`"))
}

fn quantity(call: &Call<'_>) -> Result<Term> {
    if let [Term::Number(amount)] = call.arguments {
        return Ok(Term::Quantity(Quantity {
            amount: *amount,
            binary: false,
        }));
    }
    let quantity = call.text(0)?.parse().map(Term::Quantity);
    quantity.map_err(|()| call.unreadable("a quantity", "`500m`, `4Gi`"))
}

fn arn(call: &Call<'_>) -> Result<Term> {
    let service = call.text(0)?;
    let resource = match &call.arguments[1] {
        text @ (Term::String(_) | Term::Reference(_) | Term::Concat(_)) => [text.clone()],
        other => return Err(call.wrong_type("a string", other)),
    };
    // ARNs of IAM contain no region. ARNs of S3 contain neither a region nor an account.
    Ok(match service.as_str() {
        "s3" => arn::s3_arn(resource, call.span),
        "iam" => arn::iam_arn(arn::pseudo("AWS::AccountId", call.span), resource, call.span),
        service => arn::arn(service, resource, call.span),
    })
}

fn range(call: &Call<'_>) -> Result<Term> {
    match call.arguments[0].as_integer() {
        Some(count @ 0..=1000) => Ok(Term::List((0..count).map(Term::from).collect())),
        _ => Err(call.wrong_type("an integer from 0 to 1000", &call.arguments[0])),
    }
}
