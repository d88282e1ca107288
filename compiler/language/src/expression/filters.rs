//! The functions and filters of expressions.

use std::sync::Arc;

use terrace_artifact::{Decimal, Digest, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{did_you_mean, one_of, shown};
use terrace_syntax::source::Span;

use super::Failure;
use super::evaluate::{compare, equal, not_known_yet, wrong_type};
use super::json::json;
use crate::aws::iam;
use crate::value::term::{AssetReference, Reference, SecretReference, Term};
use crate::value::unit::Quantity;

/// The maximum length of a string that a filter produces, in bytes.
const LONGEST: usize = 4 << 20;

type Result<T> = std::result::Result<T, Box<Failure>>;

/// The names of the functions, with a description.
pub const FUNCTIONS: [(&str, &str); 8] = [
    (
        "ref",
        "ref('name') or ref('name', 'key'): a resource or component, whose attributes follow: `.arn`",
    ),
    ("secret", "secret('name').key: a secret, by name"),
    (
        "asset",
        "asset('path'): a file or directory of the stack, deployed with it, with `bucket`, `key`, `url` and `digest`",
    ),
    ("duration", "duration('30d'): a duration"),
    ("size", "size('500Gi'): a number of bytes"),
    ("quantity", "quantity('500m'): a Kubernetes quantity"),
    (
        "arn",
        "arn('glue', 'job/x'): an ARN in this partition, region and account",
    ),
    ("range", "range(3): the list 0, 1, 2. The maximum is 1000 items"),
];

/// The names of the filters, with a description.
pub const FILTERS: [(&str, &str); 43] = [
    ("seconds", "the seconds of a duration, as an integer"),
    ("minutes", "the minutes of a duration, as an integer"),
    ("hours", "the hours of a duration, as an integer"),
    ("days", "the days of a duration, as an integer"),
    ("weeks", "the weeks of a duration, as an integer"),
    ("bytes", "the bytes of a size, as a number"),
    ("kibibytes", "the kibibytes of a size, as a number"),
    ("mebibytes", "the mebibytes of a size, as a number"),
    ("gibibytes", "the gibibytes of a size, as a number"),
    ("cores", "the cores of a quantity, as a number"),
    ("millicores", "the millicores of a quantity, as a number"),
    ("upper", "upper case"),
    ("lower", "lower case"),
    ("snake", "words joined by `_`"),
    ("kebab", "words joined by `-`"),
    ("pascal", "words joined, each with an upper-case first letter"),
    ("slug", "lower-case letters, digits and `-`, as in a DNS label"),
    ("replace", "replace('a', 'b')"),
    ("split", "split(','): a list"),
    ("join", "join(','): a list as a string"),
    ("trim", "a string without leading and trailing spaces"),
    ("starts_with", "starts_with('a'): true or false"),
    ("ends_with", "ends_with('a'): true or false"),
    ("contains", "contains('a'): true or false, for a string or a list"),
    ("length", "the length of a string, a list or a map"),
    ("keys", "the keys of a map, as a list"),
    ("values", "the values of a map, as a list"),
    ("entries", "the keys and values of a map, in turn, as a list"),
    ("first", "the first item of a list"),
    ("last", "the last item of a list"),
    ("sort", "a sorted list"),
    ("unique", "a list without duplicates"),
    ("min", "the minimum of a list"),
    ("max", "the maximum of a list"),
    ("sum", "the sum of a list of numbers or quantities"),
    ("default", "default(x): x if there is no value"),
    ("string", "a value as a string"),
    ("int", "a string as an integer"),
    ("round", "the nearest integer"),
    ("floor", "the largest integer that is not greater"),
    ("ceil", "the smallest integer that is not less"),
    ("json", "a value as compact JSON"),
    ("sha256", "the SHA-256 digest of a string, in hexadecimal"),
];

pub(super) fn wrong_count(name: &str, wants: usize, has: usize, span: Span) -> Box<Failure> {
    let message = format!(
        "`{name}` takes {wants} argument{}, not {has}",
        if wants == 1 { "" } else { "s" }
    );
    Failure::new(Code::ExpressionType, span, message, "")
}

pub(super) fn call(name: &str, arguments: &[Term], span: Span, local: bool) -> Result<Term> {
    let text = |at: usize| match arguments.get(at) {
        Some(Term::String(text)) => Ok(text),
        Some(other) => Err(wrong_type(span, &format!("`{name}` requires a string"), other)),
        None => Err(wrong_count(name, at + 1, arguments.len(), span)),
    };
    let count = |wants: usize| {
        if arguments.len() == wants {
            Ok(())
        } else {
            Err(wrong_count(name, wants, arguments.len(), span))
        }
    };
    let unreadable = |what: &str, examples: &str| {
        let written = arguments.first().map(Term::shown).unwrap_or_default();
        let message = format!("`{}` is not {what}", shown(&written));
        Err(Failure::new(
            Code::WrongUnit,
            span,
            message,
            format!("expected a value such as {examples}"),
        ))
    };
    match name {
        "ref" => {
            if arguments.len() > 2 {
                return Err(wrong_count(name, 1, arguments.len(), span));
            }
            let key = if arguments.len() == 2 {
                Some(text(1)?.clone())
            } else {
                None
            };
            Ok(Reference {
                name: text(0)?.clone(),
                key,
                path: Vec::new(),
                local,
                span,
            }
            .into())
        }
        "secret" => {
            count(1)?;
            Ok(Term::Secret(Arc::new(SecretReference {
                name: text(0)?.clone(),
                key: None,
                span,
            })))
        }
        "asset" => {
            count(1)?;
            Ok(Term::Asset(Arc::new(AssetReference {
                path: text(0)?.clone(),
                part: None,
                span,
            })))
        }
        "duration" => {
            count(1)?;
            text(0)?
                .parse()
                .map(Term::Duration)
                .or_else(|()| unreadable("a duration", "`30s`, `24h` or `90d`"))
        }
        "size" => {
            count(1)?;
            Quantity::size(text(0)?)
                .map(Term::Quantity)
                .map_or_else(|| unreadable("a size", "`500Gi`, `10GB`"), Ok)
        }
        "quantity" => {
            count(1)?;
            match arguments {
                [Term::Number(amount)] => Ok(Term::Quantity(Quantity {
                    amount: *amount,
                    binary: false,
                })),
                _ => text(0)?
                    .parse()
                    .map(Term::Quantity)
                    .or_else(|()| unreadable("a quantity", "`500m`, `4Gi`")),
            }
        }
        "arn" => {
            count(2)?;
            let service = text(0)?;
            let resource = match &arguments[1] {
                text @ (Term::String(_) | Term::Reference(_) | Term::Concat(_)) => [text.clone()],
                other => return Err(wrong_type(span, "`arn` requires a string", other)),
            };
            // ARNs of IAM contain no region. ARNs of S3 contain neither a region nor an account.
            Ok(match service.as_str() {
                "s3" => iam::s3_arn(resource, span),
                "iam" => iam::iam_arn(iam::pseudo("AWS::AccountId", span), resource, span),
                service => iam::arn(service, resource, span),
            })
        }
        "range" => {
            count(1)?;
            match arguments[0].as_integer() {
                Some(count @ 0..=1000) => Ok(Term::List((0..count).map(Term::from).collect())),
                _ => Err(wrong_type(
                    span,
                    "`range` requires an integer from 0 to 1000",
                    &arguments[0],
                )),
            }
        }
        _ => {
            let names = || FUNCTIONS.iter().map(|(name, _)| *name);
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
            Err(match failure.nearest {
                Some(_) => failure,
                None => failure.with_help(format!("use {}", one_of(names()))),
            })
        }
    }
}

/// Reports a filter that does not exist. `place` is the span of the name, or of the whole expression if that is unknown.
pub(super) fn known(name: &str, place: Span) -> Result<()> {
    let names = || FILTERS.iter().map(|(name, _)| *name);
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

pub(super) fn filter(name: &str, value: &Term, arguments: &[Term], span: Span) -> Result<Term> {
    let wants = match name {
        "replace" => 2,
        "split" | "join" | "starts_with" | "ends_with" | "contains" | "default" => 1,
        _ => 0,
    };
    if arguments.len() != wants {
        return Err(wrong_count(name, wants, arguments.len(), span));
    }
    if value.is_late()
        && !matches!(
            name,
            "first" | "last" | "length" | "keys" | "values" | "entries" | "json" | "join"
        )
    {
        return Err(not_known_yet(name, span, value));
    }
    let mismatch = |wants: &str| wrong_type(span, &format!("`{name}` requires {wants}"), value);
    let argument = |at: usize| {
        arguments[at]
            .as_str()
            .ok_or_else(|| wrong_type(span, &format!("`{name}` requires a string"), &arguments[at]))
    };
    let number = |n: std::result::Result<Decimal, terrace_artifact::DecimalError>| {
        n.map(Term::Number)
            .map_err(|error| Failure::new(Code::ExpressionType, span, format!("the result is {error}"), ""))
    };
    match (name, value) {
        ("seconds" | "minutes" | "hours" | "days" | "weeks", Term::Duration(duration)) => {
            let unit = match name {
                "seconds" => 1,
                "minutes" => 60,
                "hours" => 3600,
                "days" => 86_400,
                _ => 604_800,
            };
            if duration.seconds % unit != 0 {
                let message = format!("{duration} is not a whole number of {name}");
                return Err(Failure::new(
                    Code::WrongUnit,
                    span,
                    message,
                    "would lose the remainder",
                ));
            }
            Ok(Term::Number((duration.seconds / unit).into()))
        }
        ("seconds" | "minutes" | "hours" | "days" | "weeks", _) => Err(mismatch("a duration")),
        (
            "bytes" | "kibibytes" | "mebibytes" | "gibibytes" | "cores" | "millicores",
            Term::Quantity(Quantity { amount, .. }),
        ) => match name {
            "kibibytes" => number(amount.div(1024.into())),
            "mebibytes" => number(amount.div((1 << 20).into())),
            "gibibytes" => number(amount.div((1 << 30).into())),
            "millicores" => number(amount.mul(1000.into())),
            _ => Ok(Term::Number(*amount)),
        },
        ("bytes" | "kibibytes" | "mebibytes" | "gibibytes" | "cores" | "millicores", _) => {
            Err(mismatch("a size or a quantity"))
        }
        ("upper", Term::String(text)) => Ok(text.to_uppercase().into()),
        ("lower", Term::String(text)) => Ok(text.to_lowercase().into()),
        ("snake", Term::String(text)) => Ok(words(text).join("_").into()),
        ("kebab", Term::String(text)) => Ok(words(text).join("-").into()),
        ("pascal", Term::String(text)) => Ok(pascal(text).into()),
        ("slug", Term::String(text)) => Ok(slug(text).into()),
        ("trim", Term::String(text)) => Ok(text.trim().into()),
        ("replace", Term::String(text)) => {
            let (from, to) = (argument(0)?, argument(1)?);
            bounded(
                text.len()
                    .saturating_add(text.matches(from).count().saturating_mul(to.len())),
                span,
            )?;
            Ok(text.replace(from, to).into())
        }
        ("split", Term::String(text)) => Ok(Term::list(text.split(argument(0)?))),
        ("starts_with", Term::String(text)) => Ok(text.starts_with(argument(0)?).into()),
        ("ends_with", Term::String(text)) => Ok(text.ends_with(argument(0)?).into()),
        ("contains", Term::String(text)) => Ok(text.contains(argument(0)?).into()),
        ("contains", Term::List(items)) => Ok(items.iter().any(|item| equal(item, &arguments[0])).into()),
        ("sha256", Term::String(text)) => Ok(Digest::of_bytes(text.as_bytes()).as_str().into()),
        (
            "upper" | "lower" | "snake" | "kebab" | "pascal" | "slug" | "trim" | "replace" | "split"
            | "starts_with" | "ends_with" | "contains" | "sha256",
            _,
        ) => Err(mismatch("a string")),
        ("length", Term::String(text)) => Ok((text.chars().count() as i64).into()),
        ("length", Term::List(items)) => Ok((items.len() as i64).into()),
        ("length", Term::Map(entries)) => Ok((entries.len() as i64).into()),
        ("keys", Term::Map(entries)) => Ok(Term::list(entries.iter().map(|(key, _)| key))),
        ("entries", Term::Map(entries)) => {
            let pairs = entries.iter();
            Ok(Term::List(
                pairs
                    .flat_map(|(key, term)| [Term::from(key), term.clone()])
                    .collect(),
            ))
        }
        ("values", Term::Map(entries)) => Ok(Term::list(entries.iter().map(|(_, term)| term.clone()))),
        ("first" | "last", Term::List(items)) => {
            let item = if name == "first" {
                items.first()
            } else {
                items.last()
            };
            item.cloned().ok_or_else(|| {
                Failure::new(
                    Code::Undefined,
                    span,
                    format!("`{name}` requires a list that is not empty"),
                    "the list is empty",
                )
            })
        }
        ("join", Term::List(items)) => {
            let separator = argument(0)?;
            bounded(
                weight(value).saturating_add(items.len().saturating_mul(separator.len())),
                span,
            )?;
            let mut parts: Vec<Term> = Vec::new();
            for (at, item) in items.iter().enumerate() {
                if at > 0 && !separator.is_empty() {
                    parts.push(separator.into());
                }
                match item {
                    Term::String(_) | Term::Reference(_) => parts.push(item.clone()),
                    Term::Concat(inner) => parts.extend(inner.iter().cloned()),
                    Term::Number(_) | Term::Quantity(_) => parts.push(item.shown().into()),
                    other => return Err(wrong_type(span, "`join` requires a list of strings", other)),
                }
            }
            Ok(if parts.iter().all(|part| part.as_str().is_some()) {
                parts.iter().filter_map(Term::as_str).collect::<String>().into()
            } else {
                Term::Concat(parts.into())
            })
        }
        ("sort" | "min" | "max", Term::List(items)) => {
            let mut sorted = items.clone();
            let comparable = items.windows(2).all(|pair| compare(&pair[0], &pair[1]).is_some());
            if !comparable {
                return Err(mismatch(
                    "a list of one type: numbers, strings, durations or quantities",
                ));
            }
            sorted.sort_by(|a, b| compare(a, b).unwrap_or(std::cmp::Ordering::Equal));
            match name {
                "sort" => Ok(Term::List(sorted)),
                "min" => sorted
                    .into_iter()
                    .next()
                    .ok_or_else(|| mismatch("a list that is not empty")),
                _ => sorted.pop().ok_or_else(|| mismatch("a list that is not empty")),
            }
        }
        ("unique", Term::List(items)) => {
            let mut unique: Vec<Term> = Vec::new();
            for item in items {
                if !unique.iter().any(|seen| equal(seen, item)) {
                    unique.push(item.clone());
                }
            }
            Ok(Term::List(unique))
        }
        ("sum", Term::List(items)) => {
            let mut total = Decimal::ZERO;
            let mut quantity: Option<bool> = None;
            for item in items {
                let amount = match item {
                    Term::Number(n) => *n,
                    Term::Quantity(q) => {
                        quantity = Some(q.binary || quantity.unwrap_or(false));
                        q.amount
                    }
                    other => {
                        return Err(wrong_type(
                            span,
                            "`sum` requires a list of numbers or quantities",
                            other,
                        ));
                    }
                };
                total = match number(total.add(amount))? {
                    Term::Number(n) => n,
                    _ => total,
                };
            }
            Ok(match quantity {
                Some(binary) => Term::Quantity(Quantity {
                    amount: total,
                    binary,
                }),
                None => Term::Number(total),
            })
        }
        ("first" | "last" | "join" | "sort" | "unique" | "min" | "max" | "sum", _) => Err(mismatch("a list")),
        ("length", _) => Err(mismatch("a string, a list or a map")),
        ("keys" | "values" | "entries", _) => Err(mismatch("a map")),
        ("string", Term::String(_)) => Ok(value.clone()),
        ("string", Term::Bool(_) | Term::Number(_) | Term::Quantity(_) | Term::Duration(_)) => {
            Ok(value.shown().into())
        }
        ("string", _) => Err(mismatch("a string, a number or a boolean")),
        ("int", Term::String(text)) => match text.parse::<i64>() {
            Ok(n) => Ok(n.into()),
            Err(_) => Err(mismatch("a string that contains an integer")),
        },
        ("int", Term::Number(n)) if n.is_integer() => Ok(value.clone()),
        ("int", _) => Err(mismatch("an integer")),
        ("floor", Term::Number(n)) => Ok(n.floor().into()),
        ("ceil", Term::Number(n)) => Ok(n.ceil().into()),
        ("round", Term::Number(n)) => {
            let half = Decimal::new(5, 1)
                .and_then(|half| n.add(half))
                .map(Decimal::floor);
            number(half)
        }
        ("floor" | "ceil" | "round", _) => Err(mismatch("a number")),
        ("json", value) => {
            bounded(weight(value), span)?;
            let text = json(value);
            bounded(weight(&text), span)?;
            Ok(text)
        }
        _ => Err(mismatch("another value")),
    }
}

/// Rejects a result that is too long before it is produced. A few chained filters could otherwise exhaust the memory.
fn bounded(bytes: usize, span: Span) -> Result<()> {
    if bytes <= LONGEST {
        return Ok(());
    }
    let message = format!("the result is longer than {} MiB", LONGEST >> 20);
    Err(Failure::new(Code::ExpressionType, span, message, ""))
}

/// Estimates the bytes of a value as a string.
fn weight(value: &Term) -> usize {
    match value {
        Term::String(text) => text.len(),
        Term::List(items) => items.iter().map(weight).sum::<usize>() + items.len(),
        Term::Concat(parts) => parts.iter().map(weight).sum(),
        Term::Map(entries) => entries
            .iter()
            .map(|(key, value)| key.len() + weight(value) + 4)
            .sum(),
        _ => 8,
    }
}

/// Returns the words of a name in lower case: `RawBucket`, `raw_bucket` and `raw-bucket` have the same words.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous_lower = false;
    let mut begin = true;
    for c in text.chars() {
        if !c.is_alphanumeric() {
            begin = true;
            continue;
        }
        if begin || (c.is_uppercase() && previous_lower) {
            words.push(String::new());
        }
        begin = false;
        previous_lower = c.is_lowercase() || c.is_numeric();
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// Returns a name as a logical id: `raw_bucket` becomes `RawBucket`.
pub fn pascal(text: &str) -> Text {
    let mut out = String::with_capacity(text.len());
    let mut capital = true;
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.push(c.to_ascii_uppercase());
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Returns a name with only lower-case letters, digits and `-`, which DNS labels and bucket names allow.
pub fn slug(text: &str) -> Text {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.trim_end_matches('-').into()
}
