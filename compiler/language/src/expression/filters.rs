//! The filters of expressions.

mod apply;

use terrace_artifact::{Decimal, DecimalError, Digest};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, one_of, shown};
use terrace_syntax::source::Span;

use super::Failure;
use super::evaluate::{not_known_yet, wrong_type};
use super::functions::wrong_count;
use super::words::{pascal, slug, words};
use crate::value::term::Term;
use apply::{
    amount, as_json, contains, in_turn, in_units, int, item, join, length, map, replace, rounded, sorted,
    string, sum, text, unique, with_text,
};

/// The maximum length of a string that a filter produces, in bytes.
const LONGEST: usize = 4 << 20;

type Result<T> = std::result::Result<T, Box<Failure>>;

/// The result of a filter, or nothing for a value of a type that the filter does not accept.
type Applied = Option<Result<Term>>;

/// A filter. Its row in [`FILTERS`] is everything that the compiler knows about it.
#[derive(Debug)]
pub struct Filter {
    /// The name.
    pub name: &'static str,
    /// The result, for documentation and editors.
    pub description: &'static str,
    /// The number of arguments.
    arguments: usize,
    /// Whether the filter accepts a value that is known only after apply.
    accepts_late: bool,
    /// The values that the filter accepts, for messages.
    requires: &'static str,
    apply: fn(&Call<'_>) -> Applied,
}

/// The filters.
pub const FILTERS: [Filter; 43] = [
    Filter {
        name: "seconds",
        description: "the seconds of a duration, as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "a duration",
        apply: |call| in_units(call, 1),
    },
    Filter {
        name: "minutes",
        description: "the minutes of a duration, as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "a duration",
        apply: |call| in_units(call, 60),
    },
    Filter {
        name: "hours",
        description: "the hours of a duration, as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "a duration",
        apply: |call| in_units(call, 3600),
    },
    Filter {
        name: "days",
        description: "the days of a duration, as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "a duration",
        apply: |call| in_units(call, 86_400),
    },
    Filter {
        name: "weeks",
        description: "the weeks of a duration, as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "a duration",
        apply: |call| in_units(call, 604_800),
    },
    Filter {
        name: "bytes",
        description: "the bytes of a size, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, Ok),
    },
    Filter {
        name: "kibibytes",
        description: "the kibibytes of a size, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, |amount| amount.div(1024.into())),
    },
    Filter {
        name: "mebibytes",
        description: "the mebibytes of a size, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, |amount| amount.div((1 << 20).into())),
    },
    Filter {
        name: "gibibytes",
        description: "the gibibytes of a size, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, |amount| amount.div((1 << 30).into())),
    },
    Filter {
        name: "cores",
        description: "the cores of a quantity, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, Ok),
    },
    Filter {
        name: "millicores",
        description: "the millicores of a quantity, as a number",
        arguments: 0,
        accepts_late: false,
        requires: "a size or a quantity",
        apply: |call| amount(call, |amount| amount.mul(1000.into())),
    },
    Filter {
        name: "upper",
        description: "upper case",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| text.to_uppercase().into()),
    },
    Filter {
        name: "lower",
        description: "lower case",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| text.to_lowercase().into()),
    },
    Filter {
        name: "snake",
        description: "words joined by `_`",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| words(text).join("_").into()),
    },
    Filter {
        name: "kebab",
        description: "words joined by `-`",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| words(text).join("-").into()),
    },
    Filter {
        name: "pascal",
        description: "words joined, each with an upper-case first letter",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| pascal(text).into()),
    },
    Filter {
        name: "slug",
        description: "lower-case letters, digits and `-`, as in a DNS label",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| slug(text).into()),
    },
    Filter {
        name: "replace",
        description: "replace('a', 'b')",
        arguments: 2,
        accepts_late: false,
        requires: "a string",
        apply: replace,
    },
    Filter {
        name: "split",
        description: "split(','): a list",
        arguments: 1,
        accepts_late: false,
        requires: "a string",
        apply: |call| with_text(call, |text, by| Term::list(text.split(by))),
    },
    Filter {
        name: "join",
        description: "join(','): a list as a string",
        arguments: 1,
        accepts_late: true,
        requires: "a list",
        apply: join,
    },
    Filter {
        name: "trim",
        description: "a string without leading and trailing spaces",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| text.trim().into()),
    },
    Filter {
        name: "starts_with",
        description: "starts_with('a'): true or false",
        arguments: 1,
        accepts_late: false,
        requires: "a string",
        apply: |call| with_text(call, |text, start| text.starts_with(start).into()),
    },
    Filter {
        name: "ends_with",
        description: "ends_with('a'): true or false",
        arguments: 1,
        accepts_late: false,
        requires: "a string",
        apply: |call| with_text(call, |text, end| text.ends_with(end).into()),
    },
    Filter {
        name: "contains",
        description: "contains('a'): true or false, for a string or a list",
        arguments: 1,
        accepts_late: false,
        requires: "a string",
        apply: contains,
    },
    Filter {
        name: "length",
        description: "the length of a string, a list or a map",
        arguments: 0,
        accepts_late: true,
        requires: "a string, a list or a map",
        apply: length,
    },
    Filter {
        name: "keys",
        description: "the keys of a map, as a list",
        arguments: 0,
        accepts_late: true,
        requires: "a map",
        apply: |call| map(call, |entries| Term::list(entries.iter().map(|(key, _)| key))),
    },
    Filter {
        name: "values",
        description: "the values of a map, as a list",
        arguments: 0,
        accepts_late: true,
        requires: "a map",
        apply: |call| {
            map(call, |entries| {
                Term::list(entries.iter().map(|(_, term)| term.clone()))
            })
        },
    },
    Filter {
        name: "entries",
        description: "the keys and values of a map, in turn, as a list",
        arguments: 0,
        accepts_late: true,
        requires: "a map",
        apply: |call| map(call, in_turn),
    },
    Filter {
        name: "first",
        description: "the first item of a list",
        arguments: 0,
        accepts_late: true,
        requires: "a list",
        apply: |call| item(call, <[Term]>::first),
    },
    Filter {
        name: "last",
        description: "the last item of a list",
        arguments: 0,
        accepts_late: true,
        requires: "a list",
        apply: |call| item(call, <[Term]>::last),
    },
    Filter {
        name: "sort",
        description: "a sorted list",
        arguments: 0,
        accepts_late: false,
        requires: "a list",
        apply: |call| sorted(call, |sorted| Some(Term::List(sorted))),
    },
    Filter {
        name: "unique",
        description: "a list without duplicates",
        arguments: 0,
        accepts_late: false,
        requires: "a list",
        apply: unique,
    },
    Filter {
        name: "min",
        description: "the minimum of a list",
        arguments: 0,
        accepts_late: false,
        requires: "a list",
        apply: |call| sorted(call, |sorted| sorted.into_iter().next()),
    },
    Filter {
        name: "max",
        description: "the maximum of a list",
        arguments: 0,
        accepts_late: false,
        requires: "a list",
        apply: |call| sorted(call, |mut sorted| sorted.pop()),
    },
    Filter {
        name: "sum",
        description: "the sum of a list of numbers or quantities",
        arguments: 0,
        accepts_late: false,
        requires: "a list",
        apply: sum,
    },
    Filter {
        name: "default",
        description: "default(x): x if there is no value",
        arguments: 1,
        accepts_late: false,
        requires: "another value",
        apply: |_| None,
    },
    Filter {
        name: "string",
        description: "a value as a string",
        arguments: 0,
        accepts_late: false,
        requires: "a string, a number or a boolean",
        apply: string,
    },
    Filter {
        name: "int",
        description: "a string as an integer",
        arguments: 0,
        accepts_late: false,
        requires: "an integer",
        apply: int,
    },
    Filter {
        name: "round",
        description: "the nearest integer",
        arguments: 0,
        accepts_late: false,
        requires: "a number",
        apply: |call| rounded(call, |number| Ok(number.add(Decimal::new(5, 1)?)?.floor())),
    },
    Filter {
        name: "floor",
        description: "the largest integer that is not greater",
        arguments: 0,
        accepts_late: false,
        requires: "a number",
        apply: |call| rounded(call, |number| Ok(number.floor())),
    },
    Filter {
        name: "ceil",
        description: "the smallest integer that is not less",
        arguments: 0,
        accepts_late: false,
        requires: "a number",
        apply: |call| rounded(call, |number| Ok(number.ceil())),
    },
    Filter {
        name: "json",
        description: "a value as compact JSON",
        arguments: 0,
        accepts_late: true,
        requires: "a value",
        apply: as_json,
    },
    Filter {
        name: "sha256",
        description: "the SHA-256 digest of a string, in hexadecimal",
        arguments: 0,
        accepts_late: false,
        requires: "a string",
        apply: |call| text(call, |text| Digest::of_bytes(text.as_bytes()).as_str().into()),
    },
];

/// One use of a filter.
struct Call<'a> {
    name: &'static str,
    value: &'a Term,
    arguments: &'a [Term],
    span: Span,
}

impl Call<'_> {
    fn requires(&self, wants: &str) -> Box<Failure> {
        wrong_type(
            self.span,
            &format!("`{}` requires {wants}", self.name),
            self.value,
        )
    }

    /// Returns an argument that must be a string.
    fn argument(&self, at: usize) -> Result<&str> {
        let argument = &self.arguments[at];
        let message = || format!("`{}` requires a string", self.name);
        argument
            .as_str()
            .ok_or_else(|| wrong_type(self.span, &message(), argument))
    }

    fn number(&self, number: std::result::Result<Decimal, DecimalError>) -> Result<Decimal> {
        number.map_err(|error| {
            Failure::new(
                Code::ExpressionType,
                self.span,
                format!("the result is {error}"),
                "",
            )
        })
    }

    /// Rejects a result that is too long before it is produced. A few chained filters could otherwise exhaust the memory.
    fn bounded(&self, bytes: usize) -> Result<()> {
        if bytes <= LONGEST {
            return Ok(());
        }
        let message = format!("the result is longer than {} MiB", LONGEST >> 20);
        Err(Failure::new(Code::ExpressionType, self.span, message, ""))
    }
}

/// Reports a filter that does not exist. `place` is the span of the name, or of the whole expression if that is unknown.
pub(super) fn known(name: &str, place: Span) -> Result<()> {
    let names = || FILTERS.iter().map(|filter| filter.name);
    if names().any(|known| known == name) {
        return Ok(());
    }
    let message = format!("no filter is named `{}`", shown(name));
    let failure = Failure::new(Code::Undefined, place, message, "");
    let exact = (place.end - place.start) as usize == name.len();
    Err(match terrace_catalog::nearest(name, names()) {
        Some(_) if exact => failure.near(name, names()),
        Some(nearest) => failure.with_help(did_you_mean(nearest)),
        None => failure.with_help(format!("use {}", one_of(names()))),
    })
}

/// Applies a filter.
pub(super) fn filter(name: &str, value: &Term, arguments: &[Term], span: Span) -> Result<Term> {
    let Some(filter) = FILTERS.iter().find(|filter| filter.name == name) else {
        return Err(wrong_type(
            span,
            &format!("`{name}` requires another value"),
            value,
        ));
    };
    if arguments.len() != filter.arguments {
        return Err(wrong_count(name, filter.arguments, arguments.len(), span));
    }
    if value.is_late() && !filter.accepts_late {
        return Err(not_known_yet(name, span, value));
    }
    let call = Call {
        name: filter.name,
        value,
        arguments,
        span,
    };
    (filter.apply)(&call).unwrap_or_else(|| Err(call.requires(filter.requires)))
}
