//! Validates strings, numbers and booleans.

use terrace_artifact::{Decimal, Text, Value, View, is_quantity};

use super::{At, Checker, Dialect};
use crate::compare::{ComparableScalar, expected, is_base64, is_time};
use crate::nearest;
use crate::node::{Limits, Literal, Node, flags, types};
use crate::problem::ProblemKind;

impl Checker<'_> {
    pub(super) fn wrong_type(&mut self, node: &Node<'static>, found: &'static str, at: &At<'_>) {
        self.report(at, || ProblemKind::WrongType {
            expected: expected(node),
            found,
        });
    }

    pub(super) fn bool(&mut self, node: &Node<'static>, bool: bool, at: &At<'_>) {
        let text = if bool { "true" } else { "false" };
        if node.types == 0 || node.types & types::BOOL != 0 {
            if let Some(limits) = &node.limits {
                self.allowed(node, limits, &Value::Bool(bool), text, at);
            }
        } else if self.is_coerced(node) {
            self.text(node, text, at);
        } else {
            self.wrong_type(node, "a boolean", at);
        }
    }

    /// Returns whether a scalar is converted to a string. It is not if the property also accepts a map, because the string is
    /// then a JSON document.
    fn is_coerced(&self, node: &Node<'static>) -> bool {
        self.dialect == Dialect::CloudFormation && node.types & (types::STRING | types::MAP) == types::STRING
    }

    pub(super) fn number(&mut self, node: &Node<'static>, number: Decimal, at: &At<'_>) {
        let fits = node.types == 0
            || node.types & types::NUMBER != 0
            || (node.types & types::INTEGER != 0 && number.is_integer());
        if fits {
            self.amount(node, number, at);
        } else if node.is(flags::QUANTITY) {
            if number.is_negative() && node.types & types::STRING == 0 {
                self.wrong_type(node, "a number", at);
            }
        } else if self.is_coerced(node) {
            if node.limits.is_some() {
                self.text(node, &number.to_string(), at);
            }
        } else {
            self.wrong_type(node, View::<Value>::Number(number).kind(), at);
        }
    }

    pub(super) fn string(&mut self, node: &Node<'static>, text: &str, at: &At<'_>) {
        if node.types == 0 || node.types & types::STRING != 0 {
            return self.text(node, text, at);
        }
        if self.dialect == Dialect::CloudFormation {
            let scalar = text.trim();
            if node.types & types::BOOL != 0 && matches!(scalar, "true" | "false" | "True" | "False") {
                return;
            }
            if node.types & (types::INTEGER | types::NUMBER) != 0
                && let Ok(number) = scalar.parse::<Decimal>()
                && (node.types & types::NUMBER != 0 || number.is_integer())
            {
                return self.amount(node, number, at);
            }
        }
        self.wrong_type(node, "a string", at);
    }

    fn text(&mut self, node: &Node<'static>, text: &str, at: &At<'_>) {
        if node.is(flags::QUANTITY) {
            if !is_quantity(text) {
                self.report(at, || ProblemKind::Form {
                    expected: "a quantity such as 500m or 2Gi",
                });
            }
            return;
        }
        if node.is(flags::BASE64) && !is_base64(text) {
            return self.report(at, || ProblemKind::Form {
                expected: "a base64 string",
            });
        }
        if node.is(flags::TIME) && !is_time(text) {
            return self.report(at, || ProblemKind::Form {
                expected: "a time such as 2026-11-21T03:04:05Z",
            });
        }
        let Some(limits) = &node.limits else { return };
        if !limits.allowed.is_empty() {
            self.allowed(node, limits, &text, text, at);
        }
        if limits.min_length.is_some() || limits.max_length.is_some() {
            let (minimum, maximum) = (limits.min_length, limits.max_length);
            let length = if text.is_ascii() {
                text.len()
            } else {
                text.chars().count()
            } as u64;
            if minimum.is_some_and(|least| length < u64::from(least))
                || maximum.is_some_and(|most| length > u64::from(most))
            {
                self.report(at, || ProblemKind::Length { minimum, maximum });
            }
        }
        if self.dialect == Dialect::CloudFormation
            && (limits.minimum.is_some() || limits.maximum.is_some())
            && let Ok(number) = text.parse()
        {
            self.bounds(limits, number, at);
        }
        if let Some(pattern) = &limits.pattern
            && !pattern.matches(text)
        {
            self.report(at, || ProblemKind::Pattern {
                pattern: pattern.text().into(),
            });
        }
    }

    fn amount(&mut self, node: &Node<'static>, number: Decimal, at: &At<'_>) {
        if node.is(flags::INT32) && i32::try_from(number.as_integer().unwrap_or_default()).is_err() {
            let (minimum, maximum) = (i64::from(i32::MIN).into(), i64::from(i32::MAX).into());
            return self.report(at, || ProblemKind::Range {
                minimum: Some(minimum),
                maximum: Some(maximum),
            });
        }
        let Some(limits) = &node.limits else { return };
        if !limits.allowed.is_empty() {
            self.allowed(node, limits, &number, &number.to_string(), at);
        }
        self.bounds(limits, number, at);
        if let Some(of) = limits.multiple_of
            && number.div(of).is_ok_and(|times| !times.is_integer())
        {
            self.report(at, || ProblemKind::NotMultiple { of });
        }
    }

    fn bounds(&mut self, limits: &Limits<'static>, number: Decimal, at: &At<'_>) {
        if limits.minimum.is_some_and(|least| number < least)
            || limits.maximum.is_some_and(|most| number > most)
            || limits.below.is_some_and(|limit| number >= limit)
            || limits.above.is_some_and(|limit| number <= limit)
        {
            self.report(at, || ProblemKind::Range {
                minimum: limits.minimum.or(limits.above),
                maximum: limits.maximum.or(limits.below),
            });
        }
    }

    fn allowed(
        &mut self,
        node: &Node<'static>,
        limits: &Limits<'static>,
        scalar: &impl ComparableScalar,
        text: &str,
        at: &At<'_>,
    ) {
        let lenient = self.dialect == Dialect::CloudFormation;
        let fits = |literal: &Literal<'_>| {
            scalar.is(literal)
                || match literal {
                    Literal::String(other) if node.is(flags::IGNORE_CASE) => other.eq_ignore_ascii_case(text),
                    Literal::String(other) => lenient && *other == text,
                    Literal::Bool(other) => lenient && text == if *other { "true" } else { "false" },
                    Literal::Number(other) => lenient && text.parse::<Decimal>().is_ok_and(|n| n == *other),
                }
        };
        if !limits.allowed.is_empty() && !limits.allowed.iter().any(fits) {
            self.report(at, || {
                let names = limits.allowed.iter().filter_map(|literal| match literal {
                    Literal::String(name) => Some(*name),
                    _ => None,
                });
                ProblemKind::NotInEnum {
                    nearest: nearest(text, names).map(Text::from),
                    allowed: limits.allowed.iter().map(Literal::value).collect(),
                }
            });
        }
    }
}
