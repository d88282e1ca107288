//! Evaluates expressions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use terrace_artifact::{Decimal, DecimalError, Quantity, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{one_of, shown};
use terrace_syntax::source::Span;

use super::{Expression, ExpressionKind, Failure, Operator, StringPart};
use super::{filters, functions};
use crate::value::term::Term;
use crate::value::unit::Duration;

type Evaluated<'a> = Result<Cow<'a, Term>, Box<Failure>>;

/// The names that an expression can use.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The names of a component: `platform`, `tenant`, `inputs` and so on.
    pub names: &'a [(Text, Term)],
    /// The names that loops add, innermost first.
    pub variables: Option<&'a Variables<'a>>,
    /// Whether `ref` finds the resources of the module. It does not in the inputs of a stack.
    pub local: bool,
}

/// A name that a loop adds to the scope.
pub struct Variables<'a> {
    /// The variable: `each`, or the value of `$as`.
    pub name: &'a str,
    /// A map of `key` and `value`.
    pub value: &'a Term,
    /// The names around it.
    pub outer: Option<&'a Variables<'a>>,
}

impl<'a> Scope<'a> {
    /// Returns the scope inside a loop.
    pub fn within<'b>(&self, variables: &'b Variables<'b>) -> Scope<'b>
    where
        'a: 'b,
    {
        Scope {
            variables: Some(variables),
            ..*self
        }
    }

    fn name(&self, name: &str) -> Option<&'a Term> {
        let mut variables = self.variables;
        while let Some(variable) = variables {
            if variable.name == name {
                return Some(variable.value);
            }
            variables = variable.outer;
        }
        self.names.iter().find(|(n, _)| n == name).map(|(_, term)| term)
    }

    fn all_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = self.names.iter().map(|(name, _)| name.as_str()).collect();
        let mut variables = self.variables;
        while let Some(variable) = variables {
            names.push(variable.name);
            variables = variable.outer;
        }
        names
    }

    /// Returns the value of an expression.
    pub fn evaluate(&self, expression: &'a Expression) -> Evaluated<'a> {
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::Literal(term) => Ok(Cow::Borrowed(term)),
            ExpressionKind::Name(name) => match self.name(name) {
                Some(term) => Ok(Cow::Borrowed(term)),
                None => Err(self.undefined(name, span)),
            },
            ExpressionKind::Attribute(of, name) => self.attribute(of, name, span),
            ExpressionKind::Index(of, index) => self.index(of, index, span),
            ExpressionKind::Call(name, arguments) => {
                let arguments = self.arguments(arguments)?;
                functions::call(name, &arguments, span, self.local).map(Cow::Owned)
            }
            ExpressionKind::Filter(of, name, _, arguments) if name == "default" => {
                match self.evaluate(of) {
                    Ok(value) if *value != Term::Null => return Ok(value),
                    Err(failure) if failure.code != Code::Undefined => return Err(failure),
                    _ => {}
                }
                match arguments.as_slice() {
                    [fallback] => self.evaluate(fallback),
                    _ => Err(functions::wrong_count("default", 1, arguments.len(), span)),
                }
            }
            ExpressionKind::Filter(of, name, place, arguments) => {
                filters::known(name, *place)?;
                let value = self.evaluate(of)?;
                let arguments = self.arguments(arguments)?;
                filters::filter(name, &value, &arguments, span).map(Cow::Owned)
            }
            ExpressionKind::Not(of) => Ok(Cow::Owned(Term::Bool(!self.condition(of)?))),
            ExpressionKind::Negative(of) => {
                let value = self.evaluate(of)?;
                let negative = value.as_number().and_then(|n| Decimal::ZERO.sub(n).ok());
                match negative {
                    Some(number) => Ok(Cow::Owned(Term::Number(number))),
                    None => Err(wrong_type(of.span, "`-` requires a number", &value)),
                }
            }
            ExpressionKind::Binary(operator, left, right) => self.binary(*operator, left, right, span),
            ExpressionKind::If {
                condition,
                then,
                otherwise,
            } => {
                if self.condition(condition)? {
                    self.evaluate(then)
                } else {
                    otherwise
                        .as_ref()
                        .map_or(Ok(Cow::Owned(Term::Omit)), |otherwise| self.evaluate(otherwise))
                }
            }
            ExpressionKind::List(items) => Ok(Cow::Owned(Term::List(self.arguments(items)?))),
            ExpressionKind::Map(entries) => {
                let entry = |(key, value): &'a (Text, Expression)| {
                    self.evaluate(value)
                        .map(|value| (key.clone(), value.into_owned()))
                };
                Ok(Cow::Owned(Term::Map(
                    entries.iter().map(entry).collect::<Result<_, _>>()?,
                )))
            }
            ExpressionKind::Defined(of, wanted) => match self.evaluate(of) {
                Ok(value) => Ok(Cow::Owned(Term::Bool((*value != Term::Null) == *wanted))),
                Err(failure) if failure.code == Code::Undefined => Ok(Cow::Owned(Term::Bool(!wanted))),
                Err(failure) => Err(failure),
            },
        }
    }

    /// Returns the value of a condition.
    pub fn condition(&self, expression: &'a Expression) -> Result<bool, Box<Failure>> {
        let value = self.evaluate(expression)?;
        value.as_bool().ok_or_else(|| {
            let failure = wrong_type(expression.span, "a condition must be a boolean", &value);
            match *value {
                Term::List(_) | Term::Map(_) | Term::String(_) => {
                    failure.with_help("to test whether it is empty, add `| length > 0`")
                }
                Term::Null => failure.with_help("to test whether it has a value, add `is defined`"),
                _ => failure,
            }
        })
    }

    /// Returns a string with the values of its expressions: strings, numbers and references.
    pub fn text(&self, pieces: &'a [StringPart]) -> Result<Term, Box<Failure>> {
        let mut parts: Vec<Term> = Vec::with_capacity(pieces.len());
        let mut known = String::new();
        for piece in pieces {
            let value = match piece {
                StringPart::Text(text) => {
                    known.push_str(text);
                    continue;
                }
                StringPart::Expression(expression) => (self.evaluate(expression)?, expression.span),
            };
            push_text(value.0.as_ref(), value.1, &mut known, &mut parts)?;
        }
        Ok(finish_text(known, parts))
    }

    fn arguments(&self, expressions: &'a [Expression]) -> Result<Vec<Term>, Box<Failure>> {
        expressions
            .iter()
            .map(|e| self.evaluate(e).map(Cow::into_owned))
            .collect()
    }

    fn undefined(&self, name: &str, span: Span) -> Box<Failure> {
        let names = self.all_names();
        let message = format!("unknown name `{}`", shown(name));
        let mut failure = Failure::new(Code::Undefined, span, message, "").near(name, names.iter().copied());
        if failure.nearest.is_some() {
            return failure;
        }
        if name == "each" {
            return failure.with_help("use `each` only inside `for_each` or `$for_each`");
        }
        failure.label = format!("expected {}", one_of(names));
        failure
    }

    fn attribute(&self, of: &'a Expression, name: &'a Text, span: Span) -> Evaluated<'a> {
        match self.evaluate(of)? {
            Cow::Borrowed(Term::Map(entries)) => match entries.iter().find(|(key, _)| key == name) {
                Some((_, term)) => Ok(Cow::Borrowed(term)),
                None => Err(self.no_attribute(of, name, entries, span)),
            },
            Cow::Owned(Term::Map(entries)) => match entries.iter().position(|(key, _)| key == name) {
                Some(at) => Ok(Cow::Owned(
                    entries
                        .into_iter()
                        .nth(at)
                        .map(|(_, term)| term)
                        .unwrap_or_default(),
                )),
                None => Err(self.no_attribute(of, name, &entries, span)),
            },
            value => take(&value, name, span, of).map(Cow::Owned),
        }
    }

    fn no_attribute(
        &self,
        of: &Expression,
        name: &str,
        entries: &[(Text, Term)],
        span: Span,
    ) -> Box<Failure> {
        let what = match &of.kind {
            ExpressionKind::Name(owner) => format!("`{owner}`"),
            ExpressionKind::Attribute(_, owner) => format!("`{owner}`"),
            _ => "this".to_owned(),
        };
        let message = format!("{what} has no key `{}`", shown(name));
        let name_span = Span {
            start: span.end.saturating_sub(u32::try_from(name.len()).unwrap_or(0)),
            ..span
        };
        let name_span = if of.span == span { span } else { name_span };
        let keys = || entries.iter().map(|(key, _)| key.as_str());
        let mut failure = Failure::new(Code::Undefined, name_span, message, "").near(name, keys());
        failure.label = match entries.len() {
            _ if failure.nearest.is_some() => String::new(),
            0 => format!("{what} is empty"),
            1..=16 => format!("expected {}", one_of(keys())),
            _ => String::new(),
        };
        failure
    }

    fn index(&self, of: &'a Expression, index: &'a Expression, span: Span) -> Evaluated<'a> {
        let value = self.evaluate(of)?;
        let index_value = self.evaluate(index)?;
        match (value.as_ref(), index_value.as_ref()) {
            (Term::Map(entries), Term::String(key)) => match entries.iter().find(|(k, _)| k == key) {
                Some((_, term)) => Ok(Cow::Owned(term.clone())),
                None => Err(self.no_attribute(of, key, entries, index.span)),
            },
            (Term::List(items), Term::Number(number)) => {
                let length = items.len();
                let at = number.as_integer().and_then(|n| usize::try_from(n).ok());
                at.and_then(|at| items.get(at))
                    .cloned()
                    .map(Cow::Owned)
                    .ok_or_else(|| {
                        let message = format!("the list has {length} items, but no item {number}");
                        Failure::new(Code::Undefined, index.span, message, "the first item is 0")
                    })
            }
            (Term::Reference(reference), Term::String(key))
                if reference.path.is_empty() && reference.key.is_none() =>
            {
                let mut reference = reference.as_ref().clone();
                reference.key = Some(key.clone());
                Ok(Cow::Owned(Term::Reference(Arc::new(reference))))
            }
            (Term::Reference(_) | Term::Secret(_), Term::String(key)) => {
                take(&value, key, span, of).map(Cow::Owned)
            }
            (value, _) => Err(wrong_type(
                span,
                "an index requires a map and a string, or a list and a number",
                value,
            )),
        }
    }

    fn binary(
        &self,
        operator: Operator,
        left: &'a Expression,
        right: &'a Expression,
        span: Span,
    ) -> Evaluated<'a> {
        match operator {
            Operator::And => {
                return Ok(Cow::Owned(Term::Bool(
                    self.condition(left)? && self.condition(right)?,
                )));
            }
            Operator::Or => {
                return Ok(Cow::Owned(Term::Bool(
                    self.condition(left)? || self.condition(right)?,
                )));
            }
            _ => {}
        }
        let (a, b) = (self.evaluate(left)?, self.evaluate(right)?);
        if operator == Operator::Join {
            let (mut known, mut parts) = (String::new(), Vec::new());
            push_text(&a, left.span, &mut known, &mut parts)?;
            push_text(&b, right.span, &mut known, &mut parts)?;
            return Ok(Cow::Owned(finish_text(known, parts)));
        }
        for (value, span) in [(&a, left.span), (&b, right.span)] {
            if value.is_late() && !matches!(operator, Operator::In | Operator::NotIn) {
                return Err(not_known_yet(operator.symbol(), span, value)
                    .with_help("use the value as a whole, or inside a string"));
            }
        }
        let result = match operator {
            Operator::Equal => Some(Term::Bool(equal(&a, &b))),
            Operator::NotEqual => Some(Term::Bool(!equal(&a, &b))),
            Operator::Less => compare(&a, &b).map(|o| Term::Bool(o == Ordering::Less)),
            Operator::LessOrEqual => compare(&a, &b).map(|o| Term::Bool(o != Ordering::Greater)),
            Operator::Greater => compare(&a, &b).map(|o| Term::Bool(o == Ordering::Greater)),
            Operator::GreaterOrEqual => compare(&a, &b).map(|o| Term::Bool(o != Ordering::Less)),
            Operator::In => contains(&b, &a).map(Term::Bool),
            Operator::NotIn => contains(&b, &a).map(|found| Term::Bool(!found)),
            _ => match arithmetic(operator, &a, &b) {
                Some(Ok(term)) => Some(term),
                Some(Err(error)) => {
                    let failure =
                        Failure::new(Code::ExpressionType, span, format!("the result is {error}"), "");
                    return Err(match (operator, error) {
                        (Operator::Divide, DecimalError::Range) => {
                            failure.with_help("use `//` for an integer quotient")
                        }
                        _ => failure,
                    });
                }
                None => None,
            },
        };
        result.map(Cow::Owned).ok_or_else(|| {
            let message = format!(
                "cannot use `{}` between {} and {}",
                operator.symbol(),
                a.kind(),
                b.kind()
            );
            let failure = Failure::new(Code::ExpressionType, span, message, "");
            match (operator, a.as_ref(), b.as_ref()) {
                (Operator::Add, Term::String(_), _) | (Operator::Add, _, Term::String(_)) => {
                    failure.with_help("use `~` to join strings")
                }
                (_, Term::Duration(_), Term::Number(_)) | (_, Term::Number(_), Term::Duration(_)) => failure
                    .with_help("use a duration for both, such as `duration('30d')`, or a number for both with `| days`"),
                _ => failure,
            }
        })
    }
}

/// Returns an attribute of a value that is not a map.
fn take(value: &Term, name: &Text, span: Span, of: &Expression) -> Result<Term, Box<Failure>> {
    Ok(match value {
        Term::Reference(reference) => {
            let mut reference = reference.as_ref().clone();
            reference.path.push(name.clone());
            reference.span = span;
            Term::Reference(Arc::new(reference))
        }
        Term::Secret(secret) if secret.key.is_none() => {
            let mut secret = secret.as_ref().clone();
            secret.key = Some(name.clone());
            Term::Secret(Arc::new(secret))
        }
        Term::Asset(asset) if asset.part.is_none() => {
            const PARTS: [&str; 4] = ["bucket", "key", "url", "digest"];
            if !PARTS.contains(&name.as_str()) {
                let message = format!("an asset has no key `{}`", shown(name));
                let label = format!("expected {}", one_of(PARTS));
                let failure = Failure::new(Code::Undefined, span, message, label);
                return Err(failure.near(name, PARTS.into_iter()));
            }
            let mut asset = asset.as_ref().clone();
            asset.part = Some(name.clone());
            Term::Asset(Arc::new(asset))
        }
        Term::Null => {
            let what = match &of.kind {
                ExpressionKind::Name(name) | ExpressionKind::Attribute(_, name) => format!("`{name}` is"),
                _ => "this is".to_owned(),
            };
            let failure = Failure::new(Code::Undefined, of.span, format!("{what} null"), "");
            return Err(match &of.kind {
                ExpressionKind::Name(name) if name == "tenant" => failure.with_help(
                    "set `tenants` in the component, because a component of the platform has no tenant",
                ),
                _ => failure,
            });
        }
        value => return Err(wrong_type(of.span, &format!("`.{name}` requires a map"), value)),
    })
}

/// Reports an operation on a value that is known only after the references are resolved.
pub(super) fn not_known_yet(operation: &str, span: Span, value: &Term) -> Box<Failure> {
    let message = format!("`{operation}` requires a value that is known at compile time");
    Failure::new(
        Code::ExpressionType,
        span,
        message,
        format!("found {}", value.kind()),
    )
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type(span: Span, message: &str, value: &Term) -> Box<Failure> {
    Failure::new(
        Code::ExpressionType,
        span,
        message,
        format!("found {}", value.kind()),
    )
}

fn push_text(
    value: &Term,
    span: Span,
    known: &mut String,
    parts: &mut Vec<Term>,
) -> Result<(), Box<Failure>> {
    use std::fmt::Write as _;
    match value {
        Term::String(text) => known.push_str(text),
        Term::Number(number) => {
            let _ = write!(known, "{number}");
        }
        Term::Quantity(quantity) => {
            let _ = write!(known, "{quantity}");
        }
        Term::Reference(_) | Term::Secret(_) | Term::Asset(_) => {
            if !known.is_empty() {
                parts.push(Term::String(std::mem::take(known).into()));
            }
            parts.push(value.clone());
        }
        Term::Concat(inner) => {
            for part in inner.iter() {
                push_text(part, span, known, parts)?;
            }
        }
        value => {
            let failure = wrong_type(span, "only strings and numbers can be part of a string", value);
            return Err(match value {
                Term::Duration(_) => failure.with_help("convert it to a number with `| hours` or `| days`"),
                Term::Bool(_) => failure.with_help("convert it with `| string`"),
                Term::List(_) => failure.with_help("convert it with `| join(',')`"),
                Term::Map(_) => failure.with_help("convert it with `| json`"),
                Term::Null => failure.with_help("set a value for null with `| default('…')`"),
                _ => failure,
            });
        }
    }
    Ok(())
}

fn finish_text(known: String, mut parts: Vec<Term>) -> Term {
    if parts.is_empty() {
        return Term::String(known.into());
    }
    if !known.is_empty() {
        parts.push(Term::String(known.into()));
    }
    if parts.len() == 1 {
        parts.swap_remove(0)
    } else {
        Term::Concat(parts.into())
    }
}

pub(super) fn equal(a: &Term, b: &Term) -> bool {
    match (a, b) {
        (Term::Quantity(quantity), Term::Number(number))
        | (Term::Number(number), Term::Quantity(quantity)) => quantity.amount == *number,
        _ => a == b,
    }
}

pub(super) fn compare(a: &Term, b: &Term) -> Option<Ordering> {
    Some(match (a, b) {
        (Term::Number(a), Term::Number(b)) => a.cmp(b),
        (Term::String(a), Term::String(b)) => a.cmp(b),
        (Term::Duration(a), Term::Duration(b)) => a.cmp(b),
        (Term::Quantity(a), Term::Quantity(b)) => a.amount.cmp(&b.amount),
        (Term::Quantity(a), Term::Number(b)) => a.amount.cmp(b),
        (Term::Number(a), Term::Quantity(b)) => a.cmp(&b.amount),
        _ => return None,
    })
}

fn contains(whole: &Term, part: &Term) -> Option<bool> {
    Some(match (whole, part) {
        (Term::List(items), part) => items.iter().any(|item| equal(item, part)),
        (Term::Map(entries), Term::String(key)) => entries.iter().any(|(k, _)| k == key),
        (Term::String(whole), Term::String(part)) => whole.contains(part.as_str()),
        _ => return None,
    })
}

fn arithmetic(operator: Operator, a: &Term, b: &Term) -> Option<Result<Term, DecimalError>> {
    let whole_seconds = |seconds: Result<Decimal, DecimalError>| -> Result<Term, DecimalError> {
        let seconds = seconds?.as_integer().ok_or(DecimalError::Range)?;
        Ok(Term::Duration(Duration { seconds }))
    };
    let quantity = |amount: Result<Decimal, DecimalError>, binary| {
        Ok(Term::Quantity(Quantity {
            amount: amount?,
            binary,
        }))
    };
    let product = |amount: Result<Decimal, DecimalError>, binary| {
        Ok(Term::Quantity(
            Quantity {
                amount: amount?,
                binary,
            }
            .rounded(),
        ))
    };
    Some(match (operator, a, b) {
        (Operator::Add, Term::Number(a), Term::Number(b)) => a.add(*b).map(Term::Number),
        (Operator::Subtract, Term::Number(a), Term::Number(b)) => a.sub(*b).map(Term::Number),
        (Operator::Multiply, Term::Number(a), Term::Number(b)) => a.mul(*b).map(Term::Number),
        (Operator::Divide, Term::Number(a), Term::Number(b)) => a.div(*b).map(Term::Number),
        (Operator::DivideFloor, Term::Number(a), Term::Number(b)) => a.div_floor(*b).map(Term::Number),
        (Operator::Remainder, Term::Number(a), Term::Number(b)) => a.rem_floor(*b).map(Term::Number),
        (Operator::Add, Term::List(a), Term::List(b)) => Ok(Term::List(a.iter().chain(b).cloned().collect())),
        (Operator::Add, Term::Duration(a), Term::Duration(b)) => {
            whole_seconds(Decimal::from(a.seconds).add(b.seconds.into()))
        }
        (Operator::Subtract, Term::Duration(a), Term::Duration(b)) => {
            whole_seconds(Decimal::from(a.seconds).sub(b.seconds.into()))
        }
        (Operator::Multiply, Term::Duration(a), Term::Number(b))
        | (Operator::Multiply, Term::Number(b), Term::Duration(a)) => {
            whole_seconds(Decimal::from(a.seconds).mul(*b).map(Decimal::floor))
        }
        (Operator::Divide, Term::Duration(a), Term::Number(b)) => {
            whole_seconds(Decimal::from(a.seconds).div_floor(*b))
        }
        (Operator::Divide, Term::Duration(a), Term::Duration(b)) => {
            Decimal::from(a.seconds).div(b.seconds.into()).map(Term::Number)
        }
        (Operator::Add, Term::Quantity(a), Term::Quantity(b)) => {
            quantity(a.amount.add(b.amount), a.binary || b.binary)
        }
        (Operator::Subtract, Term::Quantity(a), Term::Quantity(b)) => {
            quantity(a.amount.sub(b.amount), a.binary || b.binary)
        }
        (Operator::Multiply, Term::Quantity(a), Term::Number(b))
        | (Operator::Multiply, Term::Number(b), Term::Quantity(a)) => product(a.amount.mul(*b), a.binary),
        // A third of 3 Gi has no finite decimal form. The result is rounded anyway, so an exact quotient is not required.
        (Operator::Divide, Term::Quantity(a), Term::Number(b)) => {
            let fine = Decimal::new(1, 4).and_then(|step| step.mul(*b));
            let amount = fine
                .and_then(|step| a.amount.div_floor(step))
                .and_then(|n| Decimal::new(1, 4)?.mul(n));
            product(amount, a.binary)
        }
        (Operator::Divide, Term::Quantity(a), Term::Quantity(b)) => a.amount.div(b.amount).map(Term::Number),
        _ => return None,
    })
}
