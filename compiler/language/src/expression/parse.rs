//! Parses expressions by recursive descent over the precedence of operators.

use std::collections::BTreeSet;

use terrace_artifact::{Decimal, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::SECOND_OCCURRENCE;

use super::place::ExpressionSpan;
use super::{Expression, ExpressionKind, Failure, Operator, StringPart, Template};
use crate::value::term::Term;

/// The maximum depth of nesting in the text of an expression, so that none can exhaust the stack.
const DEEPEST: usize = 48;
/// The maximum depth of nested operations. Chained operations are nested too: `a + b + c` is `(a + b) + c`.
const HIGHEST: usize = 256;

type Parsed<T> = Result<T, Box<Failure>>;

pub(super) fn template(text: &str, place: ExpressionSpan<'_>) -> Parsed<Template> {
    let mut pieces = Vec::new();
    let (mut at, mut looked) = (0, 0);
    while let Some(open) = text[at..].find("{{").map(|found| at + found) {
        if open > at {
            pieces.push(StringPart::Text(text[at..open].into()));
        }
        let close = end_of_expression(text, open + 2).ok_or_else(|| {
            Failure::new(
                Code::ExpressionSyntax,
                place.of_piece("{{", open, &mut looked).span(open..open + 2),
                "the expression is not closed",
                "missing `}}`",
            )
            .with_help("close it with `}}`, or write `!raw` before the string if the braces are literal")
        })?;
        let mut parser = Parser {
            text,
            at: open + 2,
            end: close,
            place: place.of_piece(&text[open..close + 2], open, &mut looked),
            depth: 0,
            height: 0,
        };
        pieces.push(StringPart::Expression(parser.whole()?));
        at = close + 2;
    }
    if at < text.len() {
        pieces.push(StringPart::Text(text[at..].into()));
    }
    Ok(match pieces.as_mut_slice() {
        [StringPart::Expression(_)] => match pieces.pop() {
            Some(StringPart::Expression(expression)) => Template::Whole(expression),
            _ => Template::Plain(text.into()),
        },
        _ => Template::Text(pieces),
    })
}

pub(super) fn expression(text: &str, place: ExpressionSpan<'_>) -> Parsed<Expression> {
    Parser {
        text,
        at: 0,
        end: text.len(),
        place,
        depth: 0,
        height: 0,
    }
    .whole()
}

/// Returns the offset of the `}}` that closes an expression, outside quotes and maps.
fn end_of_expression(text: &str, from: usize) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0usize);
    let mut characters = text[from..].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') if text[from + at..].starts_with("}}") => return Some(from + at),
            _ => {}
        }
    }
    None
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    place: ExpressionSpan<'a>,
    /// The depth of the parser in the text.
    depth: usize,
    /// The height of the last parsed expression. A name has height 1.
    height: usize,
}

impl Parser<'_> {
    fn whole(&mut self) -> Parsed<Expression> {
        let expression = self.expression()?;
        self.space();
        if self.at < self.end {
            return Err(self.unexpected());
        }
        Ok(expression)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..self.end]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&mut self) -> Option<char> {
        self.space();
        self.rest().chars().next()
    }

    fn unexpected(&mut self) -> Box<Failure> {
        self.space();
        let token = match self.rest().chars().next() {
            None => {
                let span = self.place.span(self.end.saturating_sub(1)..self.end);
                return Failure::new(Code::ExpressionSyntax, span, "unexpected end of expression", "");
            }
            Some(c) if is_word(c) => self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len()),
            Some(c) => c.len_utf8(),
        };
        let token = &self.rest()[..token];
        let span = self.place.span(self.at..self.at + token.len());
        let failure = Failure::new(
            Code::ExpressionSyntax,
            span,
            format!("unexpected `{token}` in an expression"),
            "",
        );
        match token {
            "=" => failure.with_help("write `==` to compare"),
            "&" => failure.with_help("write `and`"),
            "!" => failure.with_help("write `not`"),
            "?" => failure.with_help("write `A if CONDITION else B`"),
            // Prometheus, Go templates and Helm use braces as well.
            "$" | "." => failure.with_help("write `!raw` before the string if the braces are literal: `!raw \"{{ $labels.pod }}\"`"),
            ":" => failure.with_help("refer to a secret with `{{ secret('NAME').KEY }}`, or write `!raw` before a string that contains `{{resolve:…}}`"),
            _ => failure,
        }
    }

    /// Consumes a symbol if it comes next.
    fn eat(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Consumes a whole word if it comes next.
    fn eat_word(&mut self, word: &str) -> bool {
        self.space();
        let found = self
            .rest()
            .strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) {
            return Ok(());
        }
        let failure = self.unexpected();
        Err(failure.with_help(format!("write `{symbol}` here")))
    }

    fn make(&self, kind: ExpressionKind, start: usize) -> Expression {
        let end = start + self.text[start..self.at].trim_end().len();
        Expression {
            kind,
            span: self.place.span(start..end),
        }
    }

    /// Increases the depth in the text by one. The caller decreases it again.
    fn descend(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.too_deep());
        }
        Ok(())
    }

    /// Sets the height of an operation from the height of its highest operand.
    fn rise(&mut self, highest: usize) -> Parsed<()> {
        self.height = highest + 1;
        if self.height > HIGHEST {
            return Err(self.too_deep());
        }
        Ok(())
    }

    fn too_deep(&self) -> Box<Failure> {
        let span = self.place.span(self.at..self.at);
        Failure::new(
            Code::ExpressionSyntax,
            span,
            "the expression is nested too deeply",
            "",
        )
        .with_help("split it into several expressions")
    }

    fn expression(&mut self) -> Parsed<Expression> {
        self.descend()?;
        let start = self.start();
        let then = self.binary(0)?;
        let result = if self.eat_word("if") {
            let mut height = self.height;
            let condition = self.binary(0)?;
            height = height.max(self.height);
            let otherwise = if self.eat_word("else") {
                let otherwise = self.expression()?;
                height = height.max(self.height);
                Some(Box::new(otherwise))
            } else {
                None
            };
            self.rise(height)?;
            let kind = ExpressionKind::If {
                condition: Box::new(condition),
                then: Box::new(then),
                otherwise,
            };
            self.make(kind, start)
        } else {
            then
        };
        self.depth -= 1;
        Ok(result)
    }

    fn start(&mut self) -> usize {
        self.space();
        self.at
    }

    /// Consumes an operator of a precedence level. Level 0 binds loosest.
    fn operator(&mut self, level: usize) -> Option<Operator> {
        let symbols: &[(&str, Operator)] = match level {
            0 => return self.eat_word("or").then_some(Operator::Or),
            1 => return self.eat_word("and").then_some(Operator::And),
            2 => {
                if self.eat_word("in") {
                    return Some(Operator::In);
                }
                let before = self.at;
                if self.eat_word("not") {
                    if self.eat_word("in") {
                        return Some(Operator::NotIn);
                    }
                    self.at = before;
                }
                &[
                    ("==", Operator::Equal),
                    ("!=", Operator::NotEqual),
                    ("<=", Operator::LessOrEqual),
                    (">=", Operator::GreaterOrEqual),
                    ("<", Operator::Less),
                    (">", Operator::Greater),
                ]
            }
            3 => &[
                ("+", Operator::Add),
                ("-", Operator::Subtract),
                ("~", Operator::Join),
            ],
            _ => &[
                ("*", Operator::Multiply),
                ("//", Operator::DivideFloor),
                ("/", Operator::Divide),
                ("%", Operator::Remainder),
            ],
        };
        symbols
            .iter()
            .find(|(symbol, _)| self.eat(symbol))
            .map(|(_, operator)| *operator)
    }

    fn binary(&mut self, level: usize) -> Parsed<Expression> {
        if level == 5 {
            return self.unary();
        }
        let start = self.start();
        let mut left = if level == 2 && self.eat_word("not") {
            self.descend()?;
            let of = self.binary(2)?;
            self.depth -= 1;
            self.rise(self.height)?;
            self.make(ExpressionKind::Not(Box::new(of)), start)
        } else {
            self.binary(level + 1)?
        };
        loop {
            if level == 2 && self.eat_word("is") {
                let negative = self.eat_word("not");
                if !self.eat_word("defined") {
                    return Err(self
                        .unexpected()
                        .with_help("write `is defined`, which is the only test"));
                }
                self.rise(self.height)?;
                left = self.make(ExpressionKind::Defined(Box::new(left), !negative), start);
                continue;
            }
            let Some(operator) = self.operator(level) else {
                return Ok(left);
            };
            let height = self.height;
            let right = self.binary(level + 1)?;
            self.rise(height.max(self.height))?;
            left = self.make(
                ExpressionKind::Binary(operator, Box::new(left), Box::new(right)),
                start,
            );
        }
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let start = self.start();
        if self.eat("-") {
            self.descend()?;
            let of = self.unary()?;
            self.depth -= 1;
            self.rise(self.height)?;
            return Ok(self.make(ExpressionKind::Negative(Box::new(of)), start));
        }
        let mut expression = self.atom()?;
        loop {
            let height = self.height;
            if self.eat(".") {
                let name = self.word()?;
                self.rise(height)?;
                expression = self.make(ExpressionKind::Attribute(Box::new(expression), name), start);
            } else if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                self.rise(height.max(self.height))?;
                expression = self.make(
                    ExpressionKind::Index(Box::new(expression), Box::new(index)),
                    start,
                );
            } else if self.rest().trim_start().starts_with('|') {
                self.eat("|");
                self.space();
                let from = self.at;
                let name = self.word()?;
                let place = self.place.span(from..self.at);
                let arguments = if self.eat("(") {
                    self.arguments(")")?
                } else {
                    Vec::new()
                };
                self.rise(height.max(self.height))?;
                expression = self.make(
                    ExpressionKind::Filter(Box::new(expression), name, place, arguments),
                    start,
                );
            } else {
                return Ok(expression);
            }
        }
    }

    fn word(&mut self) -> Parsed<Text> {
        self.space();
        let length = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(self.unexpected().with_help("write a name here"));
        }
        let word = self.rest()[..length].into();
        self.at += length;
        Ok(word)
    }

    /// Parses expressions up to a bracket. Their height is that of the highest.
    fn arguments(&mut self, close: &str) -> Parsed<Vec<Expression>> {
        let mut arguments = Vec::new();
        let mut height = 0;
        while !self.eat(close) {
            if !arguments.is_empty() {
                self.expect(",")?;
                if self.eat(close) {
                    break;
                }
            }
            arguments.push(self.expression()?);
            height = height.max(self.height);
        }
        self.height = height;
        Ok(arguments)
    }

    fn atom(&mut self) -> Parsed<Expression> {
        let start = self.start();
        self.height = 1;
        match self.peek() {
            Some('(') => {
                self.eat("(");
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some('[') => {
                self.eat("[");
                let items = self.arguments("]")?;
                self.rise(self.height)?;
                Ok(self.make(ExpressionKind::List(items), start))
            }
            Some('{') => {
                self.eat("{");
                let entries = self.entries()?;
                self.rise(self.height)?;
                Ok(self.make(ExpressionKind::Map(entries), start))
            }
            Some(quote @ ('\'' | '"')) => {
                let text = self.quoted(quote)?;
                Ok(self.make(ExpressionKind::Literal(Term::String(text)), start))
            }
            Some(c) if c.is_ascii_digit() => self.number(start),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let word = self.word()?;
                let literal = match word.as_str() {
                    "true" | "True" => Some(Term::Bool(true)),
                    "false" | "False" => Some(Term::Bool(false)),
                    "null" | "none" | "None" => Some(Term::Null),
                    "omit" => Some(Term::Omit),
                    "if" | "else" | "and" | "or" | "in" | "is" | "not" => {
                        self.at = start;
                        return Err(self.unexpected());
                    }
                    _ => None,
                };
                let kind = match literal {
                    Some(term) => ExpressionKind::Literal(term),
                    None if self.rest().starts_with('(') => {
                        self.eat("(");
                        let arguments = self.arguments(")")?;
                        self.rise(self.height)?;
                        ExpressionKind::Call(word, arguments)
                    }
                    None => ExpressionKind::Name(word),
                };
                Ok(self.make(kind, start))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn number(&mut self, start: usize) -> Parsed<Expression> {
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let fraction = match rest[digits..].strip_prefix('.') {
            Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => {
                1 + after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())
            }
            _ => 0,
        };
        self.at += digits + fraction;
        let span = self.place.span(start..self.at);
        if self.rest().starts_with(is_word) {
            let failure = self.unexpected();
            return Err(failure
                .with_help("write a size or a duration with a function: `size('4Gi')`, `duration('30d')`"));
        }
        let number = self.text[start..self.at].parse::<Decimal>();
        let number = number.map_err(|_| {
            Failure::new(
                Code::NumberTooLong,
                span,
                "the number has too many digits",
                "the maximum is 18 digits",
            )
        })?;
        Ok(self.make(ExpressionKind::Literal(Term::Number(number)), start))
    }

    fn entries(&mut self) -> Parsed<Vec<(Text, Expression)>> {
        let mut entries: Vec<(Text, Expression)> = Vec::new();
        let mut keys = BTreeSet::new();
        let mut height = 0;
        while !self.eat("}") {
            if !entries.is_empty() {
                self.expect(",")?;
                if self.eat("}") {
                    break;
                }
            }
            let key = match self.peek() {
                Some(quote @ ('\'' | '"')) => self.quoted(quote)?,
                _ => self.word()?,
            };
            self.expect(":")?;
            let value = self.expression()?;
            if !keys.insert(key.clone()) {
                let message = format!("duplicate key `{key}`");
                return Err(Failure::new(
                    Code::DuplicateKey,
                    value.span,
                    message,
                    SECOND_OCCURRENCE,
                ));
            }
            entries.push((key, value));
            height = height.max(self.height);
        }
        self.height = height;
        Ok(entries)
    }

    fn quoted(&mut self, quote: char) -> Parsed<Text> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest()[1..].char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                c if c == quote => {
                    self.at = start + 1 + at + 1;
                    return Ok(text.into());
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c)) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        let span = self.place.span(start..self.end);
        Err(Failure::new(
            Code::ExpressionSyntax,
            span,
            "the string is not closed",
            format!("missing `{quote}`"),
        ))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
