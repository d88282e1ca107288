//! What a schema says of values beside their type: the only ones, the smallest and the largest, how long and of what form they
//! are. Amounts have bounds even where a schema says nothing.

use std::cmp::Ordering;

use terrace_artifact::{Decimal, Segment, show_path};

use super::Check;
use crate::code::Code;
use crate::diagnostic::{Edit, Help, shown, those};
use crate::dimension::{self, Dimension, Senseless};
use crate::input::{InputSchema, InputType, Of};
use crate::node::Node;
use crate::term::Term;
use crate::unit::{Duration, Quantity};

impl Check<'_> {
    /// Holds a value against everything that its schema says beside the type.
    pub(super) fn limits(&mut self, schema: &InputSchema, value: &Term, path: &[Segment]) {
        let shown_path = || show_path(path);
        if let Some(allowed) = &schema.allowed {
            let allowed: Vec<Term> = allowed.iter().map(|node| same_type(schema.kind, node)).collect();
            if !allowed.contains(value) {
                let words: Vec<String> = allowed.iter().map(Term::shown).collect();
                let text = value.shown();
                let message = format!(
                    "{} is not a value of `{}`",
                    self.written(path, &text),
                    shown_path()
                );
                let literal = self.literal(path);
                let nearest =
                    terrace_catalog::nearest(&text, words.iter().map(String::as_str)).map(str::to_owned);
                let diagnostic = self.say(Code::UnknownValue, path, message, "not among the values");
                diagnostic.help.push(match nearest {
                    Some(word) => Help {
                        text: format!("`{word}` exists"),
                        edit: literal.map(|span| Edit { span, text: word }),
                    },
                    None => Help {
                        text: those("the value is", "the values are", words),
                        edit: None,
                    },
                });
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
                let message = format!("`{}` has to be {words} {}", shown_path(), limit.shown());
                let label = format!("this is {}", value.shown());
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
            let message = format!(
                "`{}` has to have at least {} {unit}",
                shown_path(),
                shortest.value
            );
            self.say(Code::InvalidValue, path, message, format!("this has {length}"));
        }
        if let Some(longest) = schema.longest.as_ref().filter(|longest| length > longest.value) {
            let message = format!("`{}` has to have at most {} {unit}", shown_path(), longest.value);
            self.say(Code::InvalidValue, path, message, format!("this has {length}"));
        }
        if let (Some(pattern), Term::String(text)) = (&schema.pattern, value)
            && let Ok(regex) = regex_lite::Regex::new(&pattern.value)
            && !regex.is_match(text)
        {
            let message = format!("`{}` has another form than `{}`", shown_path(), pattern.value);
            let label = format!("{} does not match", self.written(path, text));
            let diagnostic = self.say(Code::InvalidValue, path, message, label);
            diagnostic
                .help
                .extend(schema.description.as_ref().map(|description| Help {
                    text: format!("the module says of it: {}", description.value),
                    edit: None,
                }));
        }
        if let (true, Term::List(items)) = (schema.unique, value) {
            for (at, item) in items.iter().enumerate() {
                if items[..at].contains(item) {
                    let written = self.written(path, &item.shown());
                    let message = format!("{written} is in `{}` twice", shown_path());
                    let mut path = path.to_vec();
                    path.push(Segment::Index(at));
                    self.say(Code::InvalidValue, &path, message, "the second time");
                }
            }
        }
    }

    /// Reports an amount that makes no sense: below zero, of something else than the input is of, so small or so large that
    /// the unit is wrong.
    fn senseless(&mut self, schema: &InputSchema, value: &Term, path: &[Segment]) {
        let Some(found) = senseless(schema, value, path) else {
            return;
        };
        let literal = self.literal(path);
        // As it is written: `0.5Gi` is `512Mi` otherwise.
        let written = literal.map_or_else(|| value.shown(), |span| self.files.text(span).to_owned());
        let message = format!("`{}` {}", show_path(path), found.says);
        let label = format!("this is `{}`", shown(&written));
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

/// What amounts of an input are of, where that is known.
fn dimension_of(schema: &InputSchema, path: &[Segment]) -> Option<Dimension> {
    match (schema.kind, schema.of, path.last()) {
        (InputType::Size, ..) => Some(Dimension::Storage),
        (InputType::Quantity, Some(Of::Dimension(dimension)), _) => Some(dimension),
        (InputType::Quantity, Some(Of::Key), Some(Segment::Key(key))) => Some(Dimension::of_resource(key)),
        _ => None,
    }
}

/// What is wrong with an amount whatever else the schema says.
fn senseless(schema: &InputSchema, value: &Term, path: &[Segment]) -> Option<Senseless> {
    const ALL: i64 = 100;
    let amount = amount(value)?;
    // Who states the smallest value means it, and a default is the module's own.
    let least = schema
        .minimum
        .as_ref()
        .and_then(|node| self::amount(&same_type(schema.kind, node)));
    let allowed = least.is_some_and(|least| amount >= least);
    let wrong = |says: String| {
        Some(Senseless {
            code: Code::InvalidValue,
            says,
            meant: None,
        })
    };
    match (schema.kind, value) {
        (InputType::Percent, _) if schema.maximum.is_none() && amount > ALL.into() => {
            wrong("is more than 100 %".to_owned())
        }
        (InputType::Percent | InputType::Duration, _) if amount < Decimal::ZERO && !allowed => {
            Some(dimension::negative())
        }
        (InputType::Size | InputType::Quantity, Term::Quantity(quantity)) => {
            let dimension = dimension_of(schema, path);
            let Some(dimension) = dimension else {
                return (amount < Decimal::ZERO).then(dimension::negative);
            };
            // A quota of nothing and a count of nothing mean something; a container without memory does not.
            let nothing = dimension != Dimension::Count && schema.of != Some(Of::Key);
            match dimension.check(*quantity) {
                Some(found) if found.code == Code::WrongUnit && allowed => None,
                None if amount == Decimal::ZERO && nothing && !allowed => wrong("is zero".to_owned()),
                found => found,
            }
        }
        _ => None,
    }
}

/// The number that a value is compared by.
fn amount(term: &Term) -> Option<Decimal> {
    match term {
        Term::Number(number) => Some(*number),
        Term::Duration(duration) => Some(duration.seconds.into()),
        Term::Quantity(quantity) => Some(quantity.amount),
        _ => None,
    }
}

/// A limit or an allowed value, read as the type it limits.
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
