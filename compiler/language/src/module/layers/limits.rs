//! Checks the limits of values: allowed values, minimum and maximum, length, pattern and unique items. Amounts have limits
//! even if the schema states none.

use std::cmp::Ordering;

use terrace_artifact::{Decimal, Quantity, Segment, Text, show_path};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Edit, Help, SECOND_OCCURRENCE, did_you_mean, one_of, shown};
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

use super::Check;
use crate::module::inputs::{InputSchema, InputType, Of};
use crate::value::dimension;
use crate::value::dimension::{Dimension, InvalidAmount};
use crate::value::term::Term;
use crate::value::unit::Duration;

impl Check<'_> {
    /// Checks a value against every limit of its schema.
    pub(super) fn limits(&mut self, schema: &InputSchema, value: &Term, path: &[Segment]) {
        let shown_path = || show_path(path);
        if let Some(allowed) = &schema.allowed {
            let allowed: Vec<Term> = allowed.iter().map(|node| same_type(schema.kind, node)).collect();
            if !allowed.contains(value) {
                let words: Vec<String> = allowed.iter().map(Term::shown).collect();
                let text = value.shown();
                let message = format!(
                    "{} is not a valid value for `{}`",
                    self.written(path, &text),
                    shown_path()
                );
                let literal = self.literal(path);
                let nearest =
                    terrace_catalog::nearest(&text, words.iter().map(String::as_str)).map(str::to_owned);
                let label = format!("expected {}", one_of(&words));
                let diagnostic = self.say(Code::UnknownValue, path, message, label);
                diagnostic.help.extend(nearest.map(|word| Help {
                    text: did_you_mean(&word),
                    edit: literal.map(|span| Edit { span, text: word }),
                }));
            }
        }
        self.senseless(schema, value, path);
        for (limit, words, outside) in [
            (&schema.minimum, "at least", Ordering::Less),
            (&schema.maximum, "at most", Ordering::Greater),
        ] {
            let Some(limit) = limit.as_ref().map(|node| same_type(schema.kind, node)) else {
                continue;
            };
            let (Some(value_amount), Some(limit_amount)) = (amount(value), amount(&limit)) else {
                continue;
            };
            if value_amount.cmp(&limit_amount) == outside {
                let message = format!("`{}` must be {words} {}", shown_path(), limit.shown());
                let label = format!("found {}", value.shown());
                self.say(Code::InvalidValue, path, message, label);
            }
        }
        let (length, unit) = match value {
            Term::String(text) => (text.chars().count(), "characters"),
            Term::List(items) => (items.len(), "items"),
            _ => return,
        };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if let Some(shortest) = schema
            .shortest
            .as_ref()
            .filter(|shortest| length < shortest.value)
        {
            let message = format!("`{}` must have at least {} {unit}", shown_path(), shortest.value);
            self.say(Code::InvalidValue, path, message, format!("has {length}"));
        }
        if let Some(longest) = schema.longest.as_ref().filter(|longest| length > longest.value) {
            let message = format!("`{}` must have at most {} {unit}", shown_path(), longest.value);
            self.say(Code::InvalidValue, path, message, format!("has {length}"));
        }
        if let (Some(pattern), Term::String(text)) = (&schema.pattern, value)
            && let Ok(regex) = regex_lite::Regex::new(&pattern.value)
            && !regex.is_match(text)
        {
            let message = format!(
                "`{}` does not match the pattern `{}`",
                shown_path(),
                pattern.value
            );
            let label = format!("found {}", self.written(path, text));
            let diagnostic = self.say(Code::InvalidValue, path, message, label);
            let described =
                |description: &Spanned<Text>| format!("the module describes it as: {}", description.value);
            diagnostic
                .notes
                .extend(schema.description.as_ref().map(described));
        }
        if let (true, Term::List(items)) = (schema.unique, value) {
            for (at, item) in items.iter().enumerate() {
                if items[..at].contains(item) {
                    let written = self.written(path, &item.shown());
                    let message = format!("duplicate item {written} in `{}`", shown_path());
                    let mut path = path.to_vec();
                    path.push(Segment::Index(at));
                    self.say(Code::InvalidValue, &path, message, SECOND_OCCURRENCE);
                }
            }
        }
    }

    /// Reports an amount that is never useful: negative, of another dimension, or so small or large that its unit must be
    /// wrong.
    fn senseless(&mut self, schema: &InputSchema, value: &Term, path: &[Segment]) {
        let Some(found) = senseless(schema, value, path) else {
            return;
        };
        let literal = self.literal(path);
        // The literal text, because `0.5Gi` is shown as `512Mi` otherwise.
        let written = literal.map_or_else(|| value.shown(), |span| self.files.text(span).to_owned());
        let message = format!("`{}` {}", show_path(path), found.says);
        let label = format!("found `{}`", shown(&written));
        let dimension = dimension_of(schema, path);
        let diagnostic = self.say(found.code, path, message, label);
        let meant = found.meant.zip(literal);
        diagnostic.help.push(match (meant, dimension) {
            (Some((text, span)), _) => Help {
                text: format!("write `{text}`"),
                edit: Some(Edit { span, text }),
            },
            (None, Some(dimension)) => Help {
                text: format!("write an amount such as {}", dimension.examples()),
                edit: None,
            },
            (None, None) => Help {
                text: match schema.kind {
                    InputType::Percent => "write a percentage from `0%` to `100%`".to_owned(),
                    kind => format!("write {} such as {}", super::article(kind), super::examples(kind)),
                },
                edit: None,
            },
        });
    }
}

/// Returns the dimension of an input, if it is known.
fn dimension_of(schema: &InputSchema, path: &[Segment]) -> Option<Dimension> {
    match (schema.kind, schema.of, path.last()) {
        (InputType::Size, ..) => Some(Dimension::Storage),
        (InputType::Quantity, Some(Of::Dimension(dimension)), _) => Some(dimension),
        (InputType::Quantity, Some(Of::Key), Some(Segment::Key(key))) => Some(Dimension::of_resource(key)),
        _ => None,
    }
}

/// Returns the problem of an amount that is never useful.
fn senseless(schema: &InputSchema, value: &Term, path: &[Segment]) -> Option<InvalidAmount> {
    const ALL: i64 = 100;
    let amount = amount(value)?;
    // An explicit minimum allows such an amount.
    let least = schema
        .minimum
        .as_ref()
        .and_then(|node| self::amount(&same_type(schema.kind, node)));
    let allowed = least.is_some_and(|least| amount >= least);
    let wrong = |says: String| {
        Some(InvalidAmount {
            code: Code::InvalidValue,
            says,
            meant: None,
        })
    };
    match (schema.kind, value) {
        (InputType::Percent, _) if schema.maximum.is_none() && amount > ALL.into() => {
            wrong("must be at most 100%".to_owned())
        }
        (InputType::Percent | InputType::Duration, _) if amount < Decimal::ZERO && !allowed => {
            Some(dimension::negative())
        }
        (InputType::Size | InputType::Quantity, Term::Quantity(quantity)) => {
            let dimension = dimension_of(schema, path);
            let Some(dimension) = dimension else {
                return (amount < Decimal::ZERO).then(dimension::negative);
            };
            // A quota or count of zero is useful, a container without memory is not.
            let nothing = dimension != Dimension::Count && schema.of != Some(Of::Key);
            match dimension.check(*quantity) {
                Some(found) if found.code == Code::WrongUnit && allowed => None,
                None if amount == Decimal::ZERO && nothing && !allowed => {
                    wrong("must not be zero".to_owned())
                }
                found => found,
            }
        }
        _ => None,
    }
}

/// Returns the number for comparisons with a value.
fn amount(term: &Term) -> Option<Decimal> {
    match term {
        Term::Number(number) => Some(*number),
        Term::Duration(duration) => Some(duration.seconds.into()),
        Term::Quantity(quantity) => Some(quantity.amount),
        _ => None,
    }
}

/// Parses a limit or an allowed value as the type of the input.
fn same_type(kind: InputType, node: &Node) -> Term {
    let term = Term::from_value(node.to_value());
    match (kind, &term) {
        (InputType::Duration, Term::String(text)) => {
            text.parse::<Duration>().map_or(term.clone(), Term::Duration)
        }
        (InputType::Size, Term::String(text)) => Quantity::size(text).map_or(term.clone(), Term::Quantity),
        (InputType::Quantity, Term::String(text)) => {
            text.parse::<Quantity>().map_or(term.clone(), Term::Quantity)
        }
        (InputType::Quantity, Term::Number(amount)) => Term::Quantity(Quantity {
            amount: *amount,
            binary: false,
        }),
        (InputType::Percent, Term::String(text)) => text
            .trim_end_matches('%')
            .parse::<Decimal>()
            .map_or(term.clone(), Term::Number),
        _ => term,
    }
}
