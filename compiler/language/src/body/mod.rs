//! Trees with expressions at the leaves. A tree is parsed once for each module and expanded once for each use.
//!
//! Loops and conditions are keys of maps: `$for_each`, `$when`, `$merge`, `$value` and `$json`. `omit` is a
//! value.

mod constant;
mod keys;
mod loops;
mod sharing;
mod trace;

use terrace_artifact::{Segment, Text};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, one_of, shown};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Files, Span};

use crate::expression::{self, Expression, Failure, Scope, Template, Variables};
use crate::value::term::Term;

use constant::{Constant, is_static, without_nulls};
use keys::{is_control, put, put_own};
pub use loops::{each_value, turns};
pub use sharing::{Common, number};
pub use trace::{Leaf, Mark, Trace};

/// The maximum number of values in an expanded body.
const MOST_VALUES: usize = 250_000;

/// A tree with expressions in it.
#[derive(Clone, Debug)]
pub struct Body {
    kind: BodyKind,
    span: Span,
    /// The span of its key, or its own span if it has no key.
    key: Span,
    /// The number that equal trees share, if there can be equal trees.
    common: Option<u32>,
}

#[derive(Clone, Debug)]
enum BodyKind {
    /// A tree without expressions.
    Static(Box<Constant>),
    /// A scalar with an expression.
    Scalar(Template),
    List(Vec<Body>),
    Map(Box<MapBody>),
}

#[derive(Clone, Debug, Default)]
struct MapBody {
    for_each: Option<Expression>,
    /// The variable of the loop: `each`, or the value of `$as`.
    variable: Text,
    when: Option<Expression>,
    merge: Option<Body>,
    value: Option<Body>,
    /// A tree that becomes a JSON string.
    json: Option<Body>,
    entries: Vec<(Template, Body)>,
    /// Whether a key can occur twice, because keys are computed, merged or repeated.
    may_repeat: bool,
}

/// The state of an expansion.
pub struct Expansion<'t> {
    /// Whether `null` is kept. In inputs it has a meaning, in a resource it omits the key.
    pub keep_null: bool,
    /// Every failure of the expansion.
    pub failures: Vec<Box<Failure>>,
    /// Whether a list or map was omitted because all its entries were. A [`Trace`] has the paths.
    pub emptied: bool,
    /// The number of values so far, which limits nested loops.
    made: usize,
    /// The source of each leaf, if requested.
    pub trace: Option<&'t mut Trace>,
    /// The values of trees that occur several times.
    common: Option<&'t Common<'t>>,
}

impl Body {
    /// Parses a tree and reports its problems.
    pub fn read(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        Body::read_with(node, false, files, diagnostics)
    }

    /// Parses a patch, which can contain `$add`.
    pub(crate) fn read_patch(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        Body::read_with(node, true, files, diagnostics)
    }

    fn read_with(node: &Node, patch: bool, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        let (span, key) = (node.span, node.key);
        if is_static(node) {
            return Body {
                kind: BodyKind::Static(Box::new(Constant::new(node))),
                span,
                key,
                common: None,
            };
        }
        let kind = match &node.kind {
            NodeKind::List(items) => BodyKind::List(
                items
                    .iter()
                    .map(|item| Body::read_with(item, patch, files, diagnostics))
                    .collect(),
            ),
            NodeKind::Map(entries) => {
                BodyKind::Map(Box::new(MapBody::read(entries, patch, files, diagnostics)))
            }
            _ => BodyKind::Scalar(expression::template(node, files, diagnostics)),
        };
        Body {
            kind,
            span,
            key,
            common: None,
        }
    }

    /// Returns the span of the body.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the span of the value of a key, if this is a map that has it.
    pub fn value_span(&self, key: &str) -> Option<Span> {
        match &self.kind {
            BodyKind::Static(constant) => constant.node.get(key).map(|node| node.span),
            BodyKind::Map(map) => map.value.as_ref().map_or_else(
                || {
                    let named =
                        |template: &Template| matches!(template, Template::Plain(text) if text == key);
                    let found = map.entries.iter().find(|(template, _)| named(template));
                    found.map(|(_, body)| body.span)
                },
                |value| value.value_span(key),
            ),
            _ => None,
        }
    }

    /// Returns whether a map in the tree has a key, other than in a tree without expressions.
    pub fn has_key(&self, key: &str) -> bool {
        match &self.kind {
            BodyKind::Static(_) | BodyKind::Scalar(_) => false,
            BodyKind::List(items) => items.iter().any(|item| item.has_key(key)),
            BodyKind::Map(map) => {
                let is_key = |template: &Template| matches!(template, Template::Plain(text) if text == key);
                let mut bodies = map.merge.iter().chain(&map.value);
                map.entries
                    .iter()
                    .any(|(name, body)| is_key(name) || body.has_key(key))
                    || bodies.any(|body| body.has_key(key))
            }
        }
    }

    /// Calls `see` with every expression in it.
    pub fn expressions(&self, see: &mut impl FnMut(&Expression)) {
        match &self.kind {
            BodyKind::Static(_) => {}
            BodyKind::Scalar(template) => template.expressions().for_each(see),
            BodyKind::List(items) => items.iter().for_each(|item| item.expressions(see)),
            BodyKind::Map(map) => {
                map.for_each.iter().chain(&map.when).for_each(&mut *see);
                map.merge
                    .iter()
                    .chain(&map.value)
                    .chain(&map.json)
                    .for_each(|body| body.expressions(see));
                for (key, body) in &map.entries {
                    key.expressions().for_each(&mut *see);
                    body.expressions(see);
                }
            }
        }
    }

    /// Returns the value in a scope. Records failures in `expansion` and omits their values.
    pub fn expand(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        match (self.common, expansion.common) {
            (Some(number), Some(common)) if common.holds_in(number, scope) => {
                common.value(number, expansion, |expansion| self.evaluate(scope, expansion))
            }
            _ => self.evaluate(scope, expansion),
        }
    }

    fn evaluate(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> Term {
        let count = match &self.kind {
            BodyKind::Static(constant) => constant.count,
            _ => 1,
        };
        if !expansion.has_room(count, self.span) {
            return Term::Omit;
        }
        match &self.kind {
            BodyKind::Static(constant) => {
                if let Some(trace) = expansion.trace.as_deref_mut() {
                    trace.static_leaves(&constant.node);
                }
                match expansion.keep_null {
                    true => constant.term.clone(),
                    false => constant.without_nulls.clone(),
                }
            }
            BodyKind::Scalar(template) => {
                if let Some(trace) = expansion.trace.as_deref_mut() {
                    trace.leaf(self.span, template);
                }
                let value = template.evaluate(scope);
                if value
                    .as_ref()
                    .is_ok_and(|value| !expansion.has_room(count_of(value), self.span))
                {
                    return Term::Omit;
                }
                expansion.keep(value)
            }
            BodyKind::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    item.expand_into(scope, expansion, &mut out);
                }
                if out.is_empty() && !items.is_empty() && !expansion.keep_null {
                    expansion.empty()
                } else {
                    Term::List(out)
                }
            }
            BodyKind::Map(map) if map.json.is_some() => map.json_text(scope, expansion),
            BodyKind::Map(map) if map.value.is_some() => map.one_value(scope, expansion),
            BodyKind::Map(map) => {
                let mut out = Vec::with_capacity(map.entries.len());
                if !map.expand_entries(scope, expansion, &mut out) {
                    return Term::Omit;
                }
                if out.is_empty() && !expansion.keep_null {
                    expansion.empty()
                } else {
                    Term::Map(out.into())
                }
            }
        }
    }

    /// Expands an item of a list into none, one, or one for each iteration of its loop.
    pub fn expand_into(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>, out: &mut Vec<Term>) {
        let push = |expansion: &mut Expansion<'_>,
                    out: &mut Vec<Term>,
                    make: &mut dyn FnMut(&mut Expansion<'_>) -> Term| {
            if let Some(trace) = expansion.trace.as_deref_mut() {
                trace.path.push(Segment::Index(out.len()));
            }
            let term = make(expansion);
            let keeps = expansion.keeps(&term);
            if let Some(trace) = expansion.trace.as_deref_mut() {
                if !keeps {
                    trace.omit();
                }
                trace.path.pop();
            }
            if keeps {
                out.push(term);
            }
        };
        let BodyKind::Map(map) = &self.kind else {
            return push(expansion, out, &mut |expansion| self.expand(scope, expansion));
        };
        if map.json.is_some() && map.for_each.is_none() {
            return push(expansion, out, &mut |expansion| self.expand(scope, expansion));
        }
        map.each(scope, expansion, &mut |scope, expansion| {
            push(expansion, out, &mut |expansion| match &map.value {
                Some(value) => value.expand(scope, expansion),
                None => {
                    let mut entries = Vec::with_capacity(map.entries.len());
                    map.expand_once(scope, expansion, &mut entries);
                    if entries.is_empty() && !expansion.keep_null {
                        Term::Omit
                    } else {
                        Term::Map(entries.into())
                    }
                }
            });
        });
    }
}

impl MapBody {
    fn read(entries: &[(Text, Node)], patch: bool, files: &Files, diagnostics: &mut Diagnostics) -> MapBody {
        let body =
            |node: &Node, diagnostics: &mut Diagnostics| Body::read_with(node, patch, files, diagnostics);
        let mut map = MapBody {
            variable: "each".into(),
            ..MapBody::default()
        };
        for (key, node) in entries {
            match key.as_str() {
                "$for_each" => map.for_each = whole_expression(node, files, diagnostics),
                "$when" => map.when = whole_expression(node, files, diagnostics),
                "$merge" => map.merge = Some(body(node, diagnostics)),
                "$json" => map.json = Some(body(node, diagnostics)),
                "$value" => map.value = Some(body(node, diagnostics)),
                "$as" => map.variable = node.as_str().unwrap_or("each").into(),
                key if is_control(key) && !(patch && key == "$add") => {
                    const CONTROLS: [&str; 6] = ["$for_each", "$when", "$merge", "$value", "$as", "$json"];
                    diagnostics.push(
                        Diagnostic::new(Code::UnknownKey, format!("unknown key `{}`", shown(key)))
                            .at(node.key, format!("expected {}", one_of(CONTROLS)))
                            .nearest(node.key, key, CONTROLS),
                    );
                }
                key => {
                    let key_node = Node {
                        kind: NodeKind::String(key.into()),
                        span: node.key,
                        key: node.key,
                    };
                    let key = expression::template(&key_node, files, diagnostics);
                    map.entries.push((key, body(node, diagnostics)));
                }
            }
        }
        let computed = |(key, _): &(Template, Body)| !matches!(key, Template::Plain(_));
        map.check_alone(diagnostics);
        map.may_repeat = map.merge.is_some() || map.for_each.is_some() || map.entries.iter().any(computed);
        map
    }

    /// Calls `then` for each iteration of the loop whose condition holds.
    fn each(
        &self,
        scope: &Scope<'_>,
        expansion: &mut Expansion<'_>,
        then: &mut dyn FnMut(&Scope<'_>, &mut Expansion<'_>),
    ) {
        let Some(over) = &self.for_each else {
            if self.holds(scope, expansion) {
                then(scope, expansion);
            }
            return;
        };
        let turns = match turns(over, scope) {
            Ok(turns) => turns,
            Err(failure) => return expansion.failures.push(failure),
        };
        for (key, value) in turns {
            if !expansion.has_room(1, over.span) {
                return;
            }
            expansion.enter(&self.variable, over, &key);
            let each = each_value(key, value);
            let variables = Variables {
                name: &self.variable,
                value: &each,
                outer: scope.variables,
            };
            let scope = scope.within(&variables);
            if self.holds(&scope, expansion) {
                then(&scope, expansion);
            }
            expansion.leave();
        }
    }

    fn holds(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>) -> bool {
        self.when.as_ref().is_none_or(|when| match scope.condition(when) {
            Ok(holds) => holds,
            Err(failure) => {
                expansion.failures.push(failure);
                false
            }
        })
    }

    /// Expands all entries of a map that is a value. Returns whether there is a map.
    fn expand_entries(
        &self,
        scope: &Scope<'_>,
        expansion: &mut Expansion<'_>,
        out: &mut Vec<(Text, Term)>,
    ) -> bool {
        let mut any = self.for_each.is_some();
        self.each(scope, expansion, &mut |scope, expansion| {
            any = true;
            self.expand_once(scope, expansion, out);
        });
        any
    }

    fn expand_once(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>, out: &mut Vec<(Text, Term)>) {
        let before = out.len();
        if let Some(merge) = &self.merge {
            match merge.expand(scope, expansion) {
                Term::Map(entries) => {
                    for (key, term) in entries {
                        put(out, key, term);
                    }
                }
                Term::Omit | Term::Null => {}
                other => expansion.failures.push(Failure::new(
                    Code::ExpressionType,
                    merge.span,
                    "`$merge` must be a map",
                    format!("found {}", other.kind()),
                )),
            }
        }
        // In a loop that merges maps, later maps override earlier ones.
        let merged = if self.merge.is_some() {
            0..out.len()
        } else {
            before..before
        };
        for (key, body) in &self.entries {
            let key = match key.evaluate(scope) {
                Ok(Term::String(key)) => key,
                Ok(Term::Number(number)) => number.to_string().into(),
                Ok(other) => {
                    let label = format!("found {}", other.kind());
                    let failure =
                        Failure::new(Code::ExpressionType, body.span, "a key must be a string", label);
                    expansion.failures.push(failure);
                    continue;
                }
                Err(failure) => {
                    expansion.failures.push(failure);
                    continue;
                }
            };
            if let Some(trace) = expansion.trace.as_deref_mut() {
                trace.path.push(Segment::Key(key.clone()));
                trace.keys.push((trace.path.clone(), body.key));
            }
            let term = body.expand(scope, expansion);
            if let Some(trace) = expansion.trace.as_deref_mut() {
                trace.path.pop();
            }
            if expansion.keeps(&term) {
                if self.may_repeat {
                    let put = put_own(out, &merged, key, term, body.key);
                    expansion.failures.extend(put.err());
                } else {
                    out.push((key, term));
                }
            }
        }
    }
}

impl Expansion<'_> {
    /// Creates an expansion for resources, in which null omits a key.
    pub fn of_resource() -> Expansion<'static> {
        Expansion {
            keep_null: false,
            failures: Vec::new(),
            emptied: false,
            made: 0,
            trace: None,
            common: None,
        }
    }

    /// Makes the expansion evaluate equal trees once.
    pub fn sharing<'c>(self, common: &'c Common<'c>) -> Expansion<'c> {
        Expansion {
            trace: None,
            keep_null: self.keep_null,
            failures: self.failures,
            emptied: self.emptied,
            made: self.made,
            common: Some(common),
        }
    }

    /// Creates an expansion for inputs and outputs, which keeps null.
    pub fn of_values() -> Expansion<'static> {
        Expansion {
            keep_null: true,
            failures: Vec::new(),
            emptied: false,
            made: 0,
            trace: None,
            common: None,
        }
    }

    /// Returns whether a value is kept. A key or item without a value is omitted.
    fn keeps(&self, term: &Term) -> bool {
        match term {
            Term::Omit => false,
            Term::Null => self.keep_null,
            _ => true,
        }
    }

    /// Counts values and returns whether they are within the limit.
    fn has_room(&mut self, count: usize, span: Span) -> bool {
        let before = self.made;
        self.made = before.saturating_add(count);
        if self.made > MOST_VALUES && before <= MOST_VALUES {
            let message = format!("the expanded resource has more than {MOST_VALUES} values");
            let failure = Failure::new(Code::InvalidRepetition, span, message, "exceeds the maximum");
            self.failures
                .push(failure.with_help("split it into several resources"));
        }
        self.made <= MOST_VALUES
    }

    fn keep(&mut self, result: Result<Term, Box<Failure>>) -> Term {
        match result {
            Ok(term) if self.keep_null => term,
            Ok(term) => without_nulls(term),
            Err(failure) => {
                self.failures.push(failure);
                Term::Omit
            }
        }
    }
}

/// Parses a value that must be exactly one expression, such as `for_each` or `when`.
pub fn whole_expression(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Option<Expression> {
    match expression::template(node, files, diagnostics) {
        Template::Whole(expression) => Some(expression),
        _ => {
            if !diagnostics.has_errors_at(node.span) {
                let mut diagnostic = Diagnostic::new(Code::WrongType, "the value must be an expression")
                    .at(node.span, "not in `{{ }}`");
                if let Some(text) = node.as_str().filter(|text| !text.contains("{{")) {
                    diagnostic =
                        diagnostic.replace(node.span, format!("\"{{{{ {text} }}}}\""), "put it in `{{ }}`");
                }
                diagnostics.push(diagnostic);
            }
            None
        }
    }
}

/// Returns the number of values in a list or map. A scalar is counted with its body.
fn count_of(term: &Term) -> usize {
    match term {
        Term::List(items) => items.iter().map(|item| 1 + count_of(item)).sum(),
        Term::Map(entries) => entries.iter().map(|(_, value)| 1 + count_of(value)).sum(),
        _ => 0,
    }
}
