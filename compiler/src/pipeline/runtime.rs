//! Expressions that are computed while a pipeline runs: to paths, intrinsic functions and choice rules.
//!
//! What has a value at compile time has it here too; only what hangs on `input`, `steps`, `item`, `error`, `execution` or
//! `event` is left to the machine.

use terrace_artifact::{Text, to_json_compact};

use super::format::{Format, escaped, joined};
use super::path::{PathStep, show};
use super::substitute::Substitutions;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, listed};
use crate::expression::{Expression, ExpressionKind, Failure, Operator, Piece, Scope, Template};
use crate::source::Span;
use crate::term::Term;

/// The names that have a value only while the pipeline runs.
pub(super) const NAMES: [&str; 6] = ["input", "steps", "item", "error", "execution", "event"];

/// A value in a state machine.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// Known when compiling, or put in place of a `${…}` when deploying.
    Known(Term),
    /// A path, or a call of an intrinsic function: what a key that ends in `.$` holds.
    Late(String),
}

/// What names lead to where an expression stands.
pub(super) trait Names {
    /// The path of a value: the name, what follows it, and the place of all of it. `asked` is whether the expression only asks
    /// whether the value is there.
    fn path(
        &mut self,
        name: &str,
        steps: &[(PathStep, Span)],
        span: Span,
        asked: bool,
    ) -> Result<String, Box<Diagnostic>>;

    /// The paths that a condition has found to be there, as far as it holds.
    fn guards(&mut self) -> &mut Vec<String>;
}

/// Translates expressions of one place.
pub(super) struct Runtime<'a, 'n> {
    pub(super) scope: Scope<'a>,
    pub(super) names: &'n mut dyn Names,
    pub(super) substitutions: &'n mut Substitutions,
    /// Where compile-time failures go.
    pub(super) failures: Vec<Failure>,
    pub(super) problems: Vec<Diagnostic>,
}

/// Nothing: what is wrong has been said.
pub(super) struct Said;

type Done<T> = Result<T, Said>;

/// Whether any part of an expression has a value only at run time.
pub(super) fn is_late(expression: &Expression) -> bool {
    if let ExpressionKind::Name(name) = &expression.kind {
        return NAMES.contains(&name.as_str());
    }
    let mut late = false;
    expression.children(&mut |child| late |= is_late(child));
    late
}

impl Runtime<'_, '_> {
    /// The value of a scalar.
    pub(super) fn template(&mut self, template: &Template) -> Done<Value> {
        match template {
            Template::Plain(text) => Ok(Value::Known(Term::String(text.clone()))),
            Template::Whole(expression) => self.value(expression),
            Template::Text(pieces)
                if !pieces
                    .iter()
                    .any(|p| matches!(p, Piece::Expression(e) if is_late(e))) =>
            {
                // The pieces are known: text, or text with references in it.
                let mut parts = Vec::new();
                for piece in pieces {
                    parts.push(match piece {
                        Piece::Text(text) => Term::String(text.clone()),
                        Piece::Expression(expression) => self.known(expression)?,
                    });
                }
                Ok(Value::Known(joined(parts)))
            }
            Template::Text(pieces) => {
                let mut format = Format::default();
                let mut all = Ok(());
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => format.text(text),
                        // One piece that is wrong keeps no other from being looked at.
                        Piece::Expression(expression) => match self.value(expression) {
                            Ok(value) => all = all.and(self.push(&mut format, value, expression.span)),
                            Err(said) => all = Err(said),
                        },
                    }
                }
                all.map(|()| Value::Late(format.finish()))
            }
        }
    }

    fn push(&mut self, format: &mut Format, value: Value, span: Span) -> Done<()> {
        match value {
            Value::Late(text) => format.value(&text),
            Value::Known(term) => {
                let text = self.inline(&term, span)?;
                format.marked(&text);
            }
        }
        Ok(())
    }

    /// Text as it stands in the definition, with marks for what is known only when deploying.
    fn inline(&mut self, term: &Term, span: Span) -> Done<String> {
        match term {
            Term::List(_) | Term::Map(_) | Term::Null | Term::Omit => self.refuse(
                span,
                format!("text cannot hold {}", term.kind()),
                "only text and numbers can be put into text",
            ),
            Term::Secret(_) => self.secret(span),
            term => Ok(self.substitutions.inline(term)),
        }
    }

    fn secret<T>(&mut self, span: Span) -> Done<T> {
        self.refuse(
            span,
            "a secret cannot stand in a pipeline".into(),
            "everybody who may look at the definition or at a run would see it: let the task read it itself",
        )
    }

    fn refuse<T>(&mut self, span: Span, message: String, help: &str) -> Done<T> {
        self.problems.push(
            Diagnostic::new(Code::NotAtRunTime, message)
                .at(span, "here")
                .help(help),
        );
        Err(Said)
    }

    /// The value of an expression.
    pub(super) fn value(&mut self, expression: &Expression) -> Done<Value> {
        if !is_late(expression) {
            return self.known(expression).map(Value::Known);
        }
        let span = expression.span;
        if let Some((name, steps)) = self.path_of(expression) {
            return match self.names.path(&name, &steps, span, false) {
                Ok(path) => Ok(Value::Late(path)),
                Err(problem) => self.say(*problem),
            };
        }
        let call = |name: &str, arguments: &[String]| {
            Ok(Value::Late(format!("States.{name}({})", arguments.join(", "))))
        };
        match &expression.kind {
            ExpressionKind::Index(of, index) => {
                let arguments = [self.argument(of)?, self.argument(index)?];
                call("ArrayGetItem", &arguments)
            }
            ExpressionKind::List(items) => {
                let arguments = items
                    .iter()
                    .map(|item| self.argument(item))
                    .collect::<Done<Vec<_>>>()?;
                call("Array", &arguments)
            }
            ExpressionKind::Binary(Operator::Join, left, right) => {
                let mut format = Format::default();
                for side in [left, right] {
                    let value = self.value(side)?;
                    self.push(&mut format, value, side.span)?;
                }
                Ok(Value::Late(format.finish()))
            }
            ExpressionKind::Binary(Operator::Add, left, right) => {
                let arguments = [self.argument(left)?, self.argument(right)?];
                call("MathAdd", &arguments)
            }
            ExpressionKind::Binary(Operator::Subtract, left, right) if !is_late(right) => {
                let minus = self.known(right)?;
                let Some(number) = minus.as_integer() else {
                    return self.refuse(
                        right.span,
                        "only a whole number can be taken away at run time".into(),
                        RUN_TIME,
                    );
                };
                let arguments = [self.argument(left)?, (-number).to_string()];
                call("MathAdd", &arguments)
            }
            ExpressionKind::Filter(of, name, _, arguments) => self.filter(of, name, arguments, span),
            ExpressionKind::Call(name, _) => self.refuse(
                span,
                format!("`{name}` cannot be called with a value of a run"),
                RUN_TIME,
            ),
            ExpressionKind::If { .. } => self.refuse(
                span,
                "`if` cannot be decided inside a value of a run".into(),
                "use a `choice` step, or `when`",
            ),
            ExpressionKind::Binary(operator, ..) => {
                let symbol = operator.symbol();
                self.refuse(
                    span,
                    format!("`{symbol}` cannot be computed when the pipeline runs"),
                    RUN_TIME,
                )
            }
            ExpressionKind::Not(_) | ExpressionKind::Defined(..) => self.refuse(
                span,
                "a condition is no value when the pipeline runs".into(),
                "use a `choice` step, or `when`",
            ),
            _ => self.refuse(
                span,
                "this cannot be computed when the pipeline runs".into(),
                RUN_TIME,
            ),
        }
    }

    fn filter(&mut self, of: &Expression, name: &str, arguments: &[Expression], span: Span) -> Done<Value> {
        let with: Vec<String> = arguments.iter().map(|a| self.argument(a)).collect::<Done<_>>()?;
        let value = self.argument(of)?;
        let text = match (name, with.as_slice()) {
            ("json", []) => format!("States.JsonToString({value})"),
            ("length", []) => format!("States.ArrayLength({value})"),
            ("unique", []) => format!("States.ArrayUnique({value})"),
            ("first", []) => format!("States.ArrayGetItem({value}, 0)"),
            ("contains", [item]) => format!("States.ArrayContains({value}, {item})"),
            ("split", [separator]) => format!("States.StringSplit({value}, {separator})"),
            ("sha256", []) => format!("States.Hash({value}, 'SHA-256')"),
            ("string", []) => format!("States.Format('{{}}', {value})"),
            _ => {
                return self.refuse(
                    span,
                    format!("`{name}` cannot be used on a value of a run"),
                    "at run time there are `json`, `length`, `unique`, `first`, `contains`, `split`, `sha256`, `string`; a Lambda step can do the rest",
                );
            }
        };
        Ok(Value::Late(text))
    }

    /// A value as an argument of an intrinsic function.
    fn argument(&mut self, expression: &Expression) -> Done<String> {
        match self.value(expression)? {
            Value::Late(text) => Ok(text),
            Value::Known(Term::Null) => Ok("null".into()),
            Value::Known(term @ (Term::Bool(_) | Term::Number(_))) => Ok(to_json_compact(&term.into_value())),
            Value::Known(term) => {
                let text = self.inline(&term, expression.span)?;
                Ok(format!("'{}'", escaped(&text, false)))
            }
        }
    }

    fn known(&mut self, expression: &Expression) -> Done<Term> {
        // The scope lives longer than the expression, which is parsed for this one use.
        match evaluate(&self.scope, expression) {
            Ok(term) => Ok(term),
            Err(failure) => {
                self.failures.push(*failure);
                Err(Said)
            }
        }
    }

    fn say<T>(&mut self, problem: Diagnostic) -> Done<T> {
        self.problems.push(problem);
        Err(Said)
    }

    /// `steps.report.summary` as a name and what follows it, where it is as plain as that.
    fn path_of(&self, expression: &Expression) -> Option<(Text, Vec<(PathStep, Span)>)> {
        match &expression.kind {
            ExpressionKind::Name(name) if NAMES.contains(&name.as_str()) => Some((name.clone(), Vec::new())),
            ExpressionKind::Attribute(of, name) => {
                let (root, mut steps) = self.path_of(of)?;
                let length = u32::try_from(name.len()).unwrap_or(0);
                let span = Span {
                    start: expression.span.end.saturating_sub(length),
                    ..expression.span
                };
                steps.push((PathStep::Key(name.clone()), span));
                Some((root, steps))
            }
            ExpressionKind::Index(of, index) if !is_late(index) => {
                let (root, mut steps) = self.path_of(of)?;
                let step = match evaluate(&self.scope, index).ok()? {
                    Term::String(key) => PathStep::Key(key),
                    number => PathStep::Index(usize::try_from(number.as_integer()?).ok()?),
                };
                steps.push((step, index.span));
                Some((root, steps))
            }
            _ => None,
        }
    }

    /// A condition: known, or a choice rule.
    pub(super) fn condition(&mut self, expression: &Expression, guards: &mut Vec<String>) -> Done<Condition> {
        if !is_late(expression) {
            let term = self.known(expression)?;
            return match term.as_bool() {
                Some(known) => Ok(Condition::Known(known)),
                None => self.refuse(
                    expression.span,
                    "a condition has to be true or false".into(),
                    "compare it with something",
                ),
            };
        }
        let rule = |variable: String, operator: &str, value: Term| {
            Ok(Condition::Rule(Term::map([
                ("Variable", Term::from(variable)),
                (operator, value),
            ])))
        };
        match &expression.kind {
            ExpressionKind::Not(of) => Ok(match self.condition(of, &mut Vec::new())? {
                Condition::Known(known) => Condition::Known(!known),
                Condition::Rule(rule) => Condition::Rule(not(rule)),
            }),
            ExpressionKind::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
                let and = *operator == Operator::And;
                let mut own = Vec::new();
                let left = self.condition(left, &mut own)?;
                let before = self.names.guards().len();
                if and {
                    // The right side is looked at only where the left one is true.
                    self.names.guards().extend(own.iter().cloned());
                    guards.append(&mut own);
                }
                let right = self.condition(right, &mut own);
                self.names.guards().truncate(before);
                let right = right?;
                if and {
                    guards.append(&mut own);
                }
                Ok(combined(and, left, right))
            }
            ExpressionKind::Defined(of, wanted) => {
                let Some((name, steps)) = self.path_of(of) else {
                    return self.refuse(
                        of.span,
                        "only a value of a run can be asked for here".into(),
                        "such as `input.mode is defined`",
                    );
                };
                let path = match self.names.path(&name, &steps, of.span, true) {
                    Ok(path) => path,
                    Err(problem) => return self.say(*problem),
                };
                if *wanted {
                    guards.push(path.clone());
                }
                rule(path, "IsPresent", Term::Bool(*wanted))
            }
            ExpressionKind::Binary(Operator::In | Operator::NotIn, left, right) => {
                let ExpressionKind::Binary(operator, ..) = &expression.kind else {
                    return Err(Said);
                };
                if is_late(right) {
                    return self.refuse(
                        right.span,
                        "what is looked through has to be known when compiling".into(),
                        "write the list out: `x in ['a', 'b']`",
                    );
                }
                let variable = self.variable(left)?;
                let list = self.known(right)?;
                let mut any = Condition::Known(false);
                for item in list.items() {
                    let one = self.compare(&variable, Operator::Equal, item, right.span)?;
                    any = combined(false, any, Condition::Rule(one));
                }
                Ok(match (operator, any) {
                    (Operator::NotIn, Condition::Rule(rule)) => Condition::Rule(not(rule)),
                    (Operator::NotIn, Condition::Known(known)) => Condition::Known(!known),
                    (_, any) => any,
                })
            }
            ExpressionKind::Binary(operator, left, right) => {
                let (late, known, operator) = match (is_late(left), is_late(right)) {
                    (true, false) => (left, right, *operator),
                    (false, true) => (right, left, mirrored(*operator)),
                    _ => {
                        return self.refuse(
                            expression.span,
                            "two values of a run cannot be compared in this version".into(),
                            "compare with a value that is known when compiling, or let a Lambda step decide",
                        );
                    }
                };
                let variable = self.variable(late)?;
                let value = self.known(known)?;
                self.compare(&variable, operator, &value, expression.span)
                    .map(Condition::Rule)
            }
            _ => {
                let variable = self.variable(expression)?;
                rule(variable, "BooleanEquals", Term::Bool(true))
            }
        }
    }

    /// The path that a choice rule compares.
    fn variable(&mut self, expression: &Expression) -> Done<String> {
        match self.value(expression)? {
            Value::Late(path) if path.starts_with('$') => Ok(path),
            _ => self.refuse(
                expression.span,
                "a condition compares values as they are".into(),
                "compute it in a `pass` step before",
            ),
        }
    }

    fn compare(&mut self, variable: &str, operator: Operator, value: &Term, span: Span) -> Done<Term> {
        let suffix = match operator {
            Operator::Equal | Operator::NotEqual => "Equals",
            Operator::Less => "LessThan",
            Operator::LessOrEqual => "LessThanEquals",
            Operator::Greater => "GreaterThan",
            Operator::GreaterOrEqual => "GreaterThanEquals",
            other => {
                let symbol = other.symbol();
                return self.refuse(
                    span,
                    format!("`{symbol}` gives no condition at run time"),
                    "a condition compares: `==`, `<`, `in`, `is defined`",
                );
            }
        };
        let equality = suffix == "Equals";
        let (key, value) = match value {
            Term::Null if equality => ("IsNull".to_owned(), Term::Bool(true)),
            Term::Bool(known) if equality => ("BooleanEquals".to_owned(), Term::Bool(*known)),
            Term::Number(number) => (format!("Numeric{suffix}"), Term::Number(*number)),
            Term::String(text) => (format!("String{suffix}"), Term::String(text.clone())),
            Term::Reference(_) | Term::Concat(_) => {
                let text = self.substitutions.inline(value);
                (format!("String{suffix}"), Term::from(text))
            }
            other => {
                return self.refuse(
                    span,
                    format!("a value of a run cannot be compared with {}", other.kind()),
                    "compare with text, a number, true, false or null",
                );
            }
        };
        let rule = Term::Map(
            vec![
                ("Variable".into(), Term::from(variable.to_owned())),
                (key.into(), value),
            ]
            .into(),
        );
        Ok(if operator == Operator::NotEqual {
            not(rule)
        } else {
            rule
        })
    }
}

const RUN_TIME: &str = "at run time values can be joined (`~`), added (`+`), taken from lists and maps; a Lambda step can do the rest";

/// What a condition turns out to be.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Condition {
    Known(bool),
    Rule(Term),
}

fn evaluate(scope: &Scope<'_>, expression: &Expression) -> Result<Term, Box<Failure>> {
    let scope: Scope<'_> = *scope;
    scope.evaluate(expression).map(std::borrow::Cow::into_owned)
}

fn not(rule: Term) -> Term {
    match rule {
        Term::Map(entries) if entries.len() == 1 && entries[0].0 == "Not" => entries
            .into_iter()
            .next()
            .map(|(_, rule)| rule)
            .unwrap_or_default(),
        rule => Term::map([("Not", rule)]),
    }
}

/// Two conditions as one, flat where they are of one kind.
pub(super) fn combined(and: bool, left: Condition, right: Condition) -> Condition {
    match (left, right) {
        (Condition::Known(known), other) | (other, Condition::Known(known)) => {
            if known == and {
                other
            } else {
                Condition::Known(known)
            }
        }
        (Condition::Rule(left), Condition::Rule(right)) => {
            let key = if and { "And" } else { "Or" };
            let mut rules = Vec::new();
            for rule in [left, right] {
                match rule {
                    Term::Map(mut entries) if entries.len() == 1 && entries[0].0 == key => {
                        if let Some((_, Term::List(inner))) = entries.make_mut().pop() {
                            rules.extend(inner);
                        }
                    }
                    rule => rules.push(rule),
                }
            }
            Condition::Rule(Term::map([(key, Term::List(rules))]))
        }
    }
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        other => other,
    }
}

/// `$.steps.report.Payload.summary`.
pub(super) fn path_text(root: &str, steps: impl IntoIterator<Item = PathStep>) -> String {
    show(root, &steps.into_iter().collect::<Vec<_>>())
}

/// The names in a list, for a message.
pub(super) fn among<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names)
}
