//! The behavior of filters.

use std::cmp::Ordering;

use terrace_artifact::{Decimal, DecimalError, Entries, Quantity};
use terrace_syntax::code::Code;

use super::{Applied, Call};
use crate::expression::Failure;
use crate::expression::evaluate::{compare, equal, wrong_type};
use crate::expression::json::json;
use crate::value::term::Term;

pub(super) fn in_units(call: &Call<'_>, seconds: i64) -> Applied {
    let Term::Duration(duration) = call.value else {
        return None;
    };
    if duration.seconds % seconds != 0 {
        let message = format!("{duration} is not a whole number of {}", call.name);
        return Some(Err(Failure::new(
            Code::WrongUnit,
            call.span,
            message,
            "would lose the remainder",
        )));
    }
    Some(Ok(Term::Number((duration.seconds / seconds).into())))
}

pub(super) fn amount(
    call: &Call<'_>,
    convert: impl FnOnce(Decimal) -> std::result::Result<Decimal, DecimalError>,
) -> Applied {
    let Term::Quantity(quantity) = call.value else {
        return None;
    };
    Some(call.number(convert(quantity.amount)).map(Term::Number))
}

pub(super) fn rounded(
    call: &Call<'_>,
    round: impl FnOnce(Decimal) -> std::result::Result<Decimal, DecimalError>,
) -> Applied {
    let Term::Number(number) = call.value else {
        return None;
    };
    Some(call.number(round(*number)).map(Term::Number))
}

pub(super) fn text(call: &Call<'_>, convert: impl FnOnce(&str) -> Term) -> Applied {
    Some(Ok(convert(call.value.as_str()?)))
}

/// Applies a filter whose argument is a string.
pub(super) fn with_text(call: &Call<'_>, apply: impl FnOnce(&str, &str) -> Term) -> Applied {
    let text = call.value.as_str()?;
    Some(call.argument(0).map(|argument| apply(text, argument)))
}

pub(super) fn contains(call: &Call<'_>) -> Applied {
    match call.value {
        Term::List(items) => {
            let found = items.iter().any(|item| equal(item, &call.arguments[0]));
            Some(Ok(found.into()))
        }
        _ => with_text(call, |text, part| text.contains(part).into()),
    }
}

pub(super) fn replace(call: &Call<'_>) -> Applied {
    let text = call.value.as_str()?;
    let replaced = || {
        let (from, to) = (call.argument(0)?, call.argument(1)?);
        let added = text.matches(from).count().saturating_mul(to.len());
        call.bounded(text.len().saturating_add(added))?;
        Ok(text.replace(from, to).into())
    };
    Some(replaced())
}

pub(super) fn length(call: &Call<'_>) -> Applied {
    let length = match call.value {
        Term::String(text) => text.chars().count(),
        Term::List(items) => items.len(),
        Term::Map(entries) => entries.len(),
        _ => return None,
    };
    Some(Ok((length as i64).into()))
}

pub(super) fn map(call: &Call<'_>, convert: impl FnOnce(&Entries<Term>) -> Term) -> Applied {
    match call.value {
        Term::Map(entries) => Some(Ok(convert(entries))),
        _ => None,
    }
}

pub(super) fn in_turn(entries: &Entries<Term>) -> Term {
    let pairs = entries.iter();
    Term::List(
        pairs
            .flat_map(|(key, term)| [Term::from(key), term.clone()])
            .collect(),
    )
}

pub(super) fn item(call: &Call<'_>, choose: impl FnOnce(&[Term]) -> Option<&Term>) -> Applied {
    let Term::List(items) = call.value else {
        return None;
    };
    let empty = || {
        let message = format!("`{}` requires a list that is not empty", call.name);
        Failure::new(Code::Undefined, call.span, message, "the list is empty")
    };
    Some(choose(items).cloned().ok_or_else(empty))
}

pub(super) fn join(call: &Call<'_>) -> Applied {
    let Term::List(items) = call.value else {
        return None;
    };
    let joined = || {
        let separator = call.argument(0)?;
        let separators = items.len().saturating_mul(separator.len());
        call.bounded(weight(call.value).saturating_add(separators))?;
        let mut parts: Vec<Term> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if at > 0 && !separator.is_empty() {
                parts.push(separator.into());
            }
            match item {
                Term::String(_) | Term::Reference(_) => parts.push(item.clone()),
                Term::Concat(inner) => parts.extend(inner.iter().cloned()),
                Term::Number(_) | Term::Quantity(_) => parts.push(item.shown().into()),
                other => return Err(wrong_type(call.span, "`join` requires a list of strings", other)),
            }
        }
        Ok(if parts.iter().all(|part| part.as_str().is_some()) {
            parts.iter().filter_map(Term::as_str).collect::<String>().into()
        } else {
            Term::Concat(parts.into())
        })
    };
    Some(joined())
}

/// Sorts a list and chooses from it.
pub(super) fn sorted(call: &Call<'_>, choose: impl FnOnce(Vec<Term>) -> Option<Term>) -> Applied {
    let Term::List(items) = call.value else {
        return None;
    };
    if !items.windows(2).all(|pair| compare(&pair[0], &pair[1]).is_some()) {
        let wants = "a list of one type: numbers, strings, durations or quantities";
        return Some(Err(call.requires(wants)));
    }
    let mut sorted = items.clone();
    sorted.sort_by(|a, b| compare(a, b).unwrap_or(Ordering::Equal));
    Some(choose(sorted).ok_or_else(|| call.requires("a list that is not empty")))
}

pub(super) fn unique(call: &Call<'_>) -> Applied {
    let Term::List(items) = call.value else {
        return None;
    };
    let mut unique: Vec<Term> = Vec::new();
    for item in items {
        if !unique.iter().any(|seen| equal(seen, item)) {
            unique.push(item.clone());
        }
    }
    Some(Ok(Term::List(unique)))
}

pub(super) fn sum(call: &Call<'_>) -> Applied {
    let Term::List(items) = call.value else {
        return None;
    };
    let total = || {
        let mut total = Decimal::ZERO;
        let mut quantity: Option<bool> = None;
        for item in items {
            let amount = match item {
                Term::Number(number) => *number,
                Term::Quantity(item) => {
                    quantity = Some(item.binary || quantity.unwrap_or(false));
                    item.amount
                }
                other => {
                    let message = "`sum` requires a list of numbers or quantities";
                    return Err(wrong_type(call.span, message, other));
                }
            };
            total = call.number(total.add(amount))?;
        }
        Ok(match quantity {
            Some(binary) => Term::Quantity(Quantity {
                amount: total,
                binary,
            }),
            None => Term::Number(total),
        })
    };
    Some(total())
}

pub(super) fn string(call: &Call<'_>) -> Applied {
    match call.value {
        Term::String(_) => Some(Ok(call.value.clone())),
        Term::Bool(_) | Term::Number(_) | Term::Quantity(_) | Term::Duration(_) => {
            Some(Ok(call.value.shown().into()))
        }
        _ => None,
    }
}

pub(super) fn int(call: &Call<'_>) -> Applied {
    match call.value {
        Term::String(text) => {
            let number = text.parse::<i64>().map(Term::from);
            Some(number.map_err(|_| call.requires("a string that contains an integer")))
        }
        Term::Number(number) if number.is_integer() => Some(Ok(call.value.clone())),
        _ => None,
    }
}

pub(super) fn as_json(call: &Call<'_>) -> Applied {
    let text = || {
        call.bounded(weight(call.value))?;
        let text = json(call.value);
        call.bounded(weight(&text))?;
        Ok(text)
    };
    Some(text())
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
