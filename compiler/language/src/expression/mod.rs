//! The expression language between `{{` and `}}`.
//!
//! It is small and pure: exact decimals, units, references as values, no loops, no assignment, no access outside the scope.
//! An expression is parsed once for each module and evaluated once for each use. `docs/decisions/` explains why Terrace has its own language.

mod evaluate;
mod filters;
mod functions;
pub(crate) mod json;
mod parse;
mod place;
pub mod scope;
pub mod words;

use std::collections::BTreeSet;

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Files, Span};

use crate::value::term::Term;

pub use evaluate::{Scope, Variables};
pub use filters::{FILTERS, Filter};
pub use functions::{FUNCTIONS, Function};

/// An expression with its span.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    /// The kind of the expression.
    pub kind: ExpressionKind,
    /// The span of the expression.
    pub span: Span,
}

/// The kind of an expression.
#[derive(Clone, PartialEq, Debug)]
pub enum ExpressionKind {
    /// A number, a string, `true`, `false` or `null`.
    Literal(Term),
    /// A name of the scope.
    Name(Text),
    /// `a.b`
    Attribute(Box<Expression>, Text),
    /// `a[b]`
    Index(Box<Expression>, Box<Expression>),
    /// `f(a, b)`
    Call(Text, Vec<Expression>),
    /// `a | f(b)`, with the span of `f`
    Filter(Box<Expression>, Text, Span, Vec<Expression>),
    /// `not a`
    Not(Box<Expression>),
    /// `-a`
    Negative(Box<Expression>),
    /// `a + b`
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `a if b else c`
    If {
        /// `b`
        condition: Box<Expression>,
        /// `a`
        then: Box<Expression>,
        /// `c`. If it is absent, the value is `omit`.
        otherwise: Option<Box<Expression>>,
    },
    /// `[a, b]`
    List(Vec<Expression>),
    /// `{k: v}`
    Map(Vec<(Text, Expression)>),
    /// `a is defined`, and its opposite.
    Defined(Box<Expression>, bool),
}

/// An operator between two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `~`: concatenates strings
    Join,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    DivideFloor,
    /// `%`
    Remainder,
}

impl Operator {
    /// Returns the symbol of the operator.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Or => "or",
            Operator::And => "and",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
            Operator::NotIn => "not in",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Join => "~",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::DivideFloor => "//",
            Operator::Remainder => "%",
        }
    }
}

/// A string that can contain expressions.
#[derive(Clone, PartialEq, Debug)]
pub enum Template {
    /// A string without expressions.
    Plain(Text),
    /// Exactly one expression, whose value keeps its type.
    Whole(Expression),
    /// A string with expressions.
    Text(Vec<StringPart>),
}

/// A part of a string with expressions.
#[derive(Clone, PartialEq, Debug)]
pub enum StringPart {
    /// Literal text.
    Text(Text),
    /// An expression whose value is inserted.
    Expression(Expression),
}

/// An error in an expression, with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// The kind of problem.
    pub code: Code,
    /// The message.
    pub message: String,
    /// The part of the expression.
    pub span: Span,
    /// A fact about this part. May be empty.
    pub label: String,
    /// Suggestions.
    pub help: Vec<String>,
    /// The most similar name, which replaces the span.
    pub nearest: Option<Text>,
    /// Other places, with a fact about each.
    pub also: Vec<(Span, String)>,
}

impl Failure {
    pub fn new(code: Code, span: Span, message: impl Into<String>, label: impl Into<String>) -> Box<Failure> {
        let (message, label) = (message.into(), label.into());
        Box::new(Failure {
            code,
            message,
            span,
            label,
            help: Vec::new(),
            nearest: None,
            also: Vec::new(),
        })
    }

    pub fn with_help(mut self: Box<Failure>, help: impl Into<String>) -> Box<Failure> {
        self.help.push(help.into());
        self
    }

    pub fn near<'a>(
        mut self: Box<Failure>,
        word: &str,
        among: impl Iterator<Item = &'a str>,
    ) -> Box<Failure> {
        self.nearest = terrace_catalog::nearest(word, among).map(Into::into);
        self
    }

    /// Converts the failure to a diagnostic.
    pub fn diagnostic(self) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.code, self.message).at(self.span, self.label);
        for (span, label) in self.also {
            diagnostic = diagnostic.also(span, label);
        }
        if let Some(name) = self.nearest {
            let text = did_you_mean(&name);
            diagnostic = diagnostic.replace(self.span, name, text);
        }
        self.help.into_iter().fold(diagnostic, Diagnostic::help)
    }
}

/// Parses a string node. Reports syntax errors and returns literal text for an invalid expression.
pub fn template(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Template {
    match &node.kind {
        NodeKind::String(text) if text.contains("{{") => {
            match parse::template(text, content(node, text, files)) {
                Ok(template) => template,
                Err(failure) => {
                    diagnostics.push(failure.diagnostic());
                    Template::Plain(text.clone())
                }
            }
        }
        NodeKind::String(text) | NodeKind::Raw(text) => Template::Plain(text.clone()),
        _ => Template::Plain(Text::default()),
    }
}

/// Parses an expression without braces, such as `connects: to: "ref('x')"`.
pub fn bare(node: &Node, text: &str, files: &Files) -> Result<Expression, Box<Failure>> {
    parse::expression(text, content(node, text, files))
}

/// Returns the place of the content of a string node.
fn content<'f>(node: &Node, text: &str, files: &'f Files) -> place::ExpressionSpan<'f> {
    place::ExpressionSpan::of(text, node.span, files.text(node.span))
}

impl Template {
    /// Returns the value in a scope.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Term, Box<Failure>> {
        match self {
            Template::Plain(text) => Ok(Term::String(text.clone())),
            Template::Whole(expression) => Ok(scope.evaluate(expression)?.into_owned()),
            Template::Text(pieces) => scope.text(pieces),
        }
    }

    /// Returns the expressions of the template.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, pieces) = match self {
            Template::Plain(_) => (None, [].as_slice()),
            Template::Whole(expression) => (Some(expression), [].as_slice()),
            Template::Text(pieces) => (None, pieces.as_slice()),
        };
        whole
            .into_iter()
            .chain(pieces.iter().filter_map(|piece| match piece {
                StringPart::Text(_) => None,
                StringPart::Expression(expression) => Some(expression),
            }))
    }
}

/// The inputs that a set of expressions reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Inputs that are read by name: `inputs.replicas`.
    pub names: BTreeSet<Text>,
    /// Names that are read from a misspelled `inputs`: `shards` of `input.shards`.
    pub elsewhere: BTreeSet<Text>,
    /// Whether `inputs` is used as a whole, which reads every input.
    pub all: bool,
}

impl Reads {
    /// Adds the inputs that an expression reads.
    pub fn add(&mut self, expression: &Expression) {
        let is_inputs = |e: &Expression| matches!(&e.kind, ExpressionKind::Name(name) if name == "inputs");
        let is_nearly_inputs = |e: &Expression| matches!(&e.kind, ExpressionKind::Name(name) if terrace_catalog::nearest(name, ["inputs"].into_iter()).is_some());
        match &expression.kind {
            ExpressionKind::Attribute(of, name) if is_inputs(of) => {
                self.names.insert(name.clone());
            }
            ExpressionKind::Attribute(of, name) if is_nearly_inputs(of) => {
                self.elsewhere.insert(name.clone());
            }
            ExpressionKind::Index(of, index) if is_inputs(of) => match &index.kind {
                ExpressionKind::Literal(Term::String(name)) => {
                    self.names.insert(name.clone());
                }
                _ => self.all = true,
            },
            ExpressionKind::Name(name) => self.all |= name == "inputs",
            _ => expression.children(&mut |child| self.add(child)),
        }
    }
}

impl Expression {
    /// Adds the paths that the expression reads below a name: `inputs.workers.maximum` is `[workers, maximum]` of `inputs`.
    pub fn paths_of(&self, name: &str, out: &mut Vec<Vec<Text>>) {
        match self.path_of(name) {
            Some(path) if !path.is_empty() => out.push(path),
            _ => self.children(&mut |child| child.paths_of(name, out)),
        }
    }

    /// Returns the path below a name, if the expression is only such a path.
    pub fn path_of(&self, root: &str) -> Option<Vec<Text>> {
        match &self.kind {
            ExpressionKind::Name(name) if name == root => Some(Vec::new()),
            ExpressionKind::Attribute(of, name) => {
                let mut path = of.path_of(root)?;
                path.push(name.clone());
                Some(path)
            }
            ExpressionKind::Index(of, index) => {
                let mut path = of.path_of(root)?;
                if let ExpressionKind::Literal(Term::String(name)) = &index.kind {
                    path.push(name.clone());
                }
                Some(path)
            }
            _ => None,
        }
    }

    /// Calls `see` with each expression directly below this one, in the order in which they are written.
    pub fn children(&self, see: &mut impl FnMut(&Expression)) {
        match &self.kind {
            ExpressionKind::Literal(_) | ExpressionKind::Name(_) => {}
            ExpressionKind::Attribute(of, _)
            | ExpressionKind::Not(of)
            | ExpressionKind::Negative(of)
            | ExpressionKind::Defined(of, _) => see(of),
            ExpressionKind::Index(a, b) | ExpressionKind::Binary(_, a, b) => {
                see(a);
                see(b);
            }
            ExpressionKind::Call(_, arguments) | ExpressionKind::List(arguments) => {
                arguments.iter().for_each(see);
            }
            ExpressionKind::Filter(of, _, _, arguments) => {
                see(of);
                arguments.iter().for_each(see);
            }
            ExpressionKind::If {
                condition,
                then,
                otherwise,
            } => {
                see(then);
                see(condition);
                if let Some(otherwise) = otherwise {
                    see(otherwise);
                }
            }
            ExpressionKind::Map(entries) => entries.iter().for_each(|(_, value)| see(value)),
        }
    }
}

#[cfg(test)]
mod tests;
