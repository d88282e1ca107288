//! The expression language: what stands between `{{` and `}}`.
//!
//! Small and pure: exact decimals, units, references as values, no loops, no assignment, no access to anything but the scope.
//! Text is parsed once per module and evaluated once per use. Why it is ours is in `docs/decisions/`.

mod evaluate;
pub(crate) mod filters;
pub(crate) mod json;
mod parse;
mod place;

use std::collections::BTreeSet;

use terrace_artifact::Text;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};
use crate::term::Term;

pub use evaluate::{Scope, Variables};
pub use filters::{FILTERS, FUNCTIONS};

/// An expression with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, PartialEq, Debug)]
pub enum ExpressionKind {
    /// A number, text, `true`, `false`, `null`.
    Literal(Term),
    /// A name of the scope.
    Name(Text),
    /// `a.b`
    Attribute(Box<Expression>, Text),
    /// `a[b]`
    Index(Box<Expression>, Box<Expression>),
    /// `f(a, b)`
    Call(Text, Vec<Expression>),
    /// `a | f(b)`, and where `f` stands
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
        /// `c`; `omit` where it is not there.
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
    /// `~`: texts, one after the other
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
    /// How it is written.
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

/// A scalar in which `{{ }}` has a meaning.
#[derive(Clone, PartialEq, Debug)]
pub enum Template {
    /// No expression in it.
    Plain(Text),
    /// One expression and nothing else: its value keeps its type.
    Whole(Expression),
    /// Text with expressions in it.
    Text(Vec<Piece>),
}

/// A piece of text with expressions.
#[derive(Clone, PartialEq, Debug)]
pub enum Piece {
    /// Text as it is.
    Text(Text),
    /// An expression whose value is put there.
    Expression(Expression),
}

/// What went wrong in an expression, and where.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// What kind of problem.
    pub code: Code,
    /// In words.
    pub message: String,
    /// Which part of the expression.
    pub span: Span,
    /// What this part is.
    pub label: String,
    /// What to do.
    pub help: Vec<String>,
    /// A name that was probably meant, in place of the span.
    pub nearest: Option<Text>,
    /// Other places that matter, and what they are.
    pub also: Vec<(Span, String)>,
}

impl Failure {
    pub(crate) fn new(
        code: Code,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Box<Failure> {
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

    pub(crate) fn with_help(mut self: Box<Failure>, help: impl Into<String>) -> Box<Failure> {
        self.help.push(help.into());
        self
    }

    pub(crate) fn near<'a>(
        mut self: Box<Failure>,
        word: &str,
        among: impl Iterator<Item = &'a str>,
    ) -> Box<Failure> {
        self.nearest = terrace_catalog::nearest(word, among).map(Into::into);
        self
    }

    /// The same as a diagnostic.
    pub fn diagnostic(self) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.code, self.message).at(self.span, self.label);
        for (span, label) in self.also {
            diagnostic = diagnostic.also(span, label);
        }
        if let Some(name) = self.nearest {
            let text = format!("`{name}` exists");
            diagnostic = diagnostic.replace(self.span, name, text);
        }
        self.help.into_iter().fold(diagnostic, Diagnostic::help)
    }
}

/// Reads a string node. Mistakes are reported, and plain text stands in for what could not be read.
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

/// Reads a text that is an expression without braces around it (`connects: to: "ref('x')"`).
pub fn bare(node: &Node, text: &str, files: &Files) -> Result<Expression, Box<Failure>> {
    parse::expression(text, content(node, text, files))
}

/// Where the content of a string node stands.
fn content<'f>(node: &Node, text: &str, files: &'f Files) -> place::Place<'f> {
    place::Place::of(text, node.span, files.text(node.span))
}

impl Template {
    /// The value in a scope.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Term, Box<Failure>> {
        match self {
            Template::Plain(text) => Ok(Term::String(text.clone())),
            Template::Whole(expression) => Ok(scope.evaluate(expression)?.into_owned()),
            Template::Text(pieces) => scope.text(pieces),
        }
    }

    /// The expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, pieces) = match self {
            Template::Plain(_) => (None, [].as_slice()),
            Template::Whole(expression) => (Some(expression), [].as_slice()),
            Template::Text(pieces) => (None, pieces.as_slice()),
        };
        whole
            .into_iter()
            .chain(pieces.iter().filter_map(|piece| match piece {
                Piece::Text(_) => None,
                Piece::Expression(expression) => Some(expression),
            }))
    }
}

/// Which inputs a set of expressions reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Those named: `inputs.replicas`.
    pub names: BTreeSet<Text>,
    /// What is read of names like `inputs` that are not that: `shards` of a misspelt `input.shards`.
    pub elsewhere: BTreeSet<Text>,
    /// Whether `inputs` is used whole, so that every input is read.
    pub all: bool,
}

impl Reads {
    /// Adds what an expression reads.
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
    /// Adds what it reads of a name, as the path below: `inputs.workers.maximum` is `[workers, maximum]` of `inputs`.
    pub fn paths_of(&self, name: &str, out: &mut Vec<Vec<Text>>) {
        match self.path_of(name) {
            Some(path) if !path.is_empty() => out.push(path),
            _ => self.children(&mut |child| child.paths_of(name, out)),
        }
    }

    /// The path below a name, where it is nothing else.
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
