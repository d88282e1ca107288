//! Lowers expressions with run-time values to paths, intrinsic functions and choice rules.
//!
//! Other expressions are evaluated at compile time. Only expressions that depend on `input`, `steps`, `item`, `error`,
//! `execution` or `event` are left to the state machine.

mod format;
pub(crate) mod names;
pub(crate) mod path;
pub(crate) mod substitute;

use terrace_artifact::{Text, to_json_compact};
use terrace_language::expression::{
    Expression, ExpressionKind, Failure, Operator, Scope, StringPart, Template,
};
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, listed};
use terrace_syntax::source::Span;

use crate::runtime::format::{Format, escaped, joined};
use crate::runtime::path::{PathStep, show};
use crate::runtime::substitute::Substitutions;

/// The names of run-time values.
pub(super) const NAMES: [&str; 6] = ["input", "steps", "item", "error", "execution", "event"];

/// A value in a state machine.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    /// Known at compile time, or inserted for a `${…}` during deployment.
    Known(Term),
    /// A path or a call of an intrinsic function, for a key that ends in `.$`.
    Late(String),
}

/// Resolves the names of run-time values in one position.
pub(super) trait Names {
    /// Returns the path of a value, from its name, the steps after it, and its span. `asked` is whether the expression only tests
    /// whether the value exists.
    fn path(
        &mut self,
        name: &str,
        steps: &[(PathStep, Span)],
        span: Span,
        asked: bool,
    ) -> Result<String, Box<Diagnostic>>;

    /// Returns the paths that exist because an enclosing condition tests them.
    fn guards(&mut self) -> &mut Vec<String>;
}

/// Translates the expressions of one position.
pub(super) struct Runtime<'a, 'n> {
    pub(super) scope: Scope<'a>,
    pub(super) names: &'n mut dyn Names,
    pub(super) substitutions: &'n mut Substitutions,
    /// Failures of the evaluation at compile time.
    pub(super) failures: Vec<Failure>,
    pub(super) problems: Vec<Diagnostic>,
}

/// The error of a translation whose problem was reported.
pub(super) struct Reported;

type Done<T> = Result<T, Reported>;

/// Returns whether an expression contains a run-time value.
pub(super) fn is_late(expression: &Expression) -> bool {
    if let ExpressionKind::Name(name) = &expression.kind {
        return NAMES.contains(&name.as_str());
    }
    let mut late = false;
    expression.children(&mut |child| late |= is_late(child));
    late
}

impl Runtime<'_, '_> {
    /// Returns the value of a scalar.
    pub(super) fn template(&mut self, template: &Template) -> Done<Value> {
        match template {
            Template::Plain(text) => Ok(Value::Known(Term::String(text.clone()))),
            Template::Whole(expression) => self.value(expression),
            Template::Text(pieces)
                if !pieces
                    .iter()
                    .any(|p| matches!(p, StringPart::Expression(e) if is_late(e))) =>
            {
                // Every piece is known at compile time, or is a reference.
                let mut parts = Vec::new();
                for piece in pieces {
                    parts.push(match piece {
                        StringPart::Text(text) => Term::String(text.clone()),
                        StringPart::Expression(expression) => self.known(expression)?,
                    });
                }
                Ok(Value::Known(joined(parts)))
            }
            Template::Text(pieces) => {
                let mut format = Format::default();
                let mut all = Ok(());
                for piece in pieces {
                    match piece {
                        StringPart::Text(text) => format.text(text),
                        // The other pieces are checked even if one fails.
                        StringPart::Expression(expression) => match self.value(expression) {
                            Ok(value) => all = all.and(self.push(&mut format, value, expression.span)),
                            Err(reported) => all = Err(reported),
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

    /// Returns the text for the definition, with `${…}` for values that are known during deployment.
    fn inline(&mut self, term: &Term, span: Span) -> Done<String> {
        match term {
            Term::List(_) | Term::Map(_) | Term::Null | Term::Omit => self.refuse(
                span,
                format!("a string cannot contain {}", term.kind()),
                "use a string or a number",
            ),
            Term::Secret(_) => self.secret(span),
            term => Ok(self.substitutions.inline(term)),
        }
    }

    fn secret<T>(&mut self, span: Span) -> Done<T> {
        self.say(secret_in_pipeline(span))
    }

    fn refuse<T>(&mut self, span: Span, message: String, help: &str) -> Done<T> {
        self.problems.push(
            Diagnostic::new(Code::NotAtRunTime, message)
                .at(span, "")
                .help(help),
        );
        Err(Reported)
    }

    /// Returns the value of an expression.
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
                        "only an integer can be subtracted at run time".into(),
                        RUN_TIME,
                    );
                };
                let arguments = [self.argument(left)?, (-number).to_string()];
                call("MathAdd", &arguments)
            }
            ExpressionKind::Filter(of, name, _, arguments) => self.filter(of, name, arguments, span),
            ExpressionKind::Call(name, _) => self.refuse(
                span,
                format!("`{name}` cannot be used with a run-time value"),
                RUN_TIME,
            ),
            ExpressionKind::If { .. } => self.refuse(
                span,
                "`if` cannot be used with a run-time value".into(),
                "use a `choice` step, or `when`",
            ),
            ExpressionKind::Binary(operator, ..) => {
                let symbol = operator.symbol();
                self.refuse(
                    span,
                    format!("`{symbol}` cannot be used with a run-time value"),
                    RUN_TIME,
                )
            }
            ExpressionKind::Not(_) | ExpressionKind::Defined(..) => self.refuse(
                span,
                "a run-time condition cannot be used as a value".into(),
                "use a `choice` step, or `when`",
            ),
            _ => self.refuse(
                span,
                "this expression cannot be evaluated at run time".into(),
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
                    format!("`{name}` cannot be used with a run-time value"),
                    "use one of `json`, `length`, `unique`, `first`, `contains`, `split`, `sha256`, `string`, or compute the value in a Lambda step",
                );
            }
        };
        Ok(Value::Late(text))
    }

    /// Returns a value as an argument of an intrinsic function.
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
        // The scope lives longer than the expression, which is parsed for this use only.
        match evaluate(&self.scope, expression) {
            Ok(term) => Ok(term),
            Err(failure) => {
                self.failures.push(*failure);
                Err(Reported)
            }
        }
    }

    fn say<T>(&mut self, problem: Diagnostic) -> Done<T> {
        self.problems.push(problem);
        Err(Reported)
    }

    /// Splits a plain path such as `steps.report.summary` into the name and the steps after it.
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

    /// Returns a condition: a known boolean, or a choice rule.
    pub(super) fn condition(&mut self, expression: &Expression, guards: &mut Vec<String>) -> Done<Condition> {
        if !is_late(expression) {
            let term = self.known(expression)?;
            return match term.as_bool() {
                Some(known) => Ok(Condition::Known(known)),
                None => self.refuse(
                    expression.span,
                    "a condition must be a boolean".into(),
                    "compare the value with another one",
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
                    // The right side is evaluated only if the left one is true.
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
                        "`is defined` requires a run-time value here".into(),
                        "write a path, as in `input.mode is defined`",
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
                    return Err(Reported);
                };
                if is_late(right) {
                    return self.refuse(
                        right.span,
                        "the list must be known at compile time".into(),
                        "write the list in the expression: `x in ['a', 'b']`",
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
                            "two run-time values cannot be compared in this version".into(),
                            "compare with a value that is known at compile time, or use a Lambda step",
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

    /// Returns the path that a choice rule compares.
    fn variable(&mut self, expression: &Expression) -> Done<String> {
        match self.value(expression)? {
            Value::Late(path) if path.starts_with('$') => Ok(path),
            _ => self.refuse(
                expression.span,
                "a condition cannot compute a value at run time".into(),
                "compute the value in a `pass` step before this one",
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
                    format!("`{symbol}` cannot be used in a run-time condition"),
                    "use a comparison such as `==`, `<`, `in` or `is defined`",
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
                    format!("a run-time value cannot be compared with {}", other.kind()),
                    "compare with a string, a number, true, false or null",
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

const RUN_TIME: &str = "use `~`, `+`, a key or an index, or compute the value in a Lambda step";

/// A translated condition.
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

/// Combines two conditions, without nesting equal operators.
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

/// Formats a path: `$.steps.report.Payload.summary`.
pub(super) fn path_text(root: &str, steps: impl IntoIterator<Item = PathStep>) -> String {
    show(root, &steps.into_iter().collect::<Vec<_>>())
}

/// Returns names as a list for a message, or `nothing` if there are none.
pub(super) fn among<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter().peekable();
    match names.peek() {
        Some(_) => listed(names),
        None => "nothing".to_owned(),
    }
}

/// Reports a secret in a pipeline.
pub(super) fn secret_in_pipeline(span: Span) -> Diagnostic {
    Diagnostic::new(Code::NotAtRunTime, "a pipeline cannot contain a secret")
        .at(
            span,
            "visible to everyone who can read the definition or an execution",
        )
        .help("read the secret in the task itself")
}
