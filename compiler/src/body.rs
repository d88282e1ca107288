//! Trees with expressions at the leaves: read once per module, expanded once per use.
//!
//! Loops, conditions and omission are structure: `$for_each`, `$when`, `$merge`, `$value` and `$json` are keys of maps, `omit` is a
//! value.

mod common;
mod keys;
mod trace;
mod turns;

use terrace_artifact::{Segment, Text};

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::expression::{self, Expression, Failure, Scope, Template, Variables};
use crate::node::{Node, NodeKind};
use crate::source::{Files, Span};
use crate::term::Term;

pub use common::{Common, number};
use keys::{is_control, put, put_own};
pub use trace::{Leaf, Mark, Trace};
pub use turns::{each_value, turns};

/// How many values one body may come to.
const MOST_VALUES: usize = 250_000;

/// A tree with expressions in it.
#[derive(Clone, Debug)]
pub struct Body {
    kind: BodyKind,
    span: Span,
    /// The key it is the value of; its own place otherwise.
    key: Span,
    /// The number that it shares with the trees that say the same, where there may be some.
    common: Option<u32>,
}

#[derive(Clone, Debug)]
enum BodyKind {
    /// Nothing to evaluate below here.
    Static(Box<Constant>),
    /// A scalar with an expression.
    Scalar(Template),
    List(Vec<Body>),
    Map(Box<MapBody>),
}

/// A tree without expressions. Its maps are shared by whatever it becomes part of.
#[derive(Clone, Debug)]
struct Constant {
    node: Node,
    term: Term,
    /// The same without what is null, for resources.
    without_nulls: Term,
    /// How many values there are.
    count: usize,
}

#[derive(Clone, Debug, Default)]
struct MapBody {
    for_each: Option<Expression>,
    /// What the loop's name is: `each`, or what `$as` says.
    variable: Text,
    when: Option<Expression>,
    merge: Option<Body>,
    value: Option<Body>,
    /// A tree that becomes JSON text.
    json: Option<Body>,
    entries: Vec<(Template, Body)>,
    /// Whether a key may come twice: where keys are computed, merged or repeated.
    may_repeat: bool,
}

/// How a body is expanded.
pub struct Expansion<'t> {
    /// Whether `null` stays: in inputs it means something, in a resource it is a key left out.
    pub keep_null: bool,
    /// What went wrong, everything in one pass.
    pub failures: Vec<Box<Failure>>,
    /// How many values were made: loops in loops have an end.
    made: usize,
    /// Where each leaf came from, when somebody asks.
    pub trace: Option<&'t mut Trace>,
    /// What the trees that are said several times came to.
    common: Option<&'t Common<'t>>,
}

impl Body {
    /// Reads a tree. What is wrong in it is reported.
    pub fn read(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        Body::read_with(node, false, files, diagnostics)
    }

    /// Reads a patch, in which `$add` is a key that patching understands.
    pub(crate) fn read_patch(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        Body::read_with(node, true, files, diagnostics)
    }

    fn read_with(node: &Node, patch: bool, files: &Files, diagnostics: &mut Diagnostics) -> Body {
        let (span, key) = (node.span, node.key);
        if is_static(node) {
            let term = Term::from_value(node.to_value());
            let constant = Constant {
                node: node.clone(),
                without_nulls: without_nulls(term.clone()).into_shared(),
                term: term.into_shared(),
                count: node.count(usize::MAX),
            };
            return Body {
                kind: BodyKind::Static(Box::new(constant)),
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

    /// Where it was written.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where the value of a key was written, where this is a map that says it.
    pub(crate) fn value_span(&self, key: &str) -> Option<Span> {
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

    /// The value in a scope. What fails is left out and noted in `expansion`.
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
                    Term::Omit
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
                    Term::Omit
                } else {
                    Term::Map(out.into())
                }
            }
        }
    }

    /// One item of a list: none, one, or as many as its loop has.
    pub(crate) fn expand_into(&self, scope: &Scope<'_>, expansion: &mut Expansion<'_>, out: &mut Vec<Term>) {
        let push = |expansion: &mut Expansion<'_>,
                    out: &mut Vec<Term>,
                    make: &mut dyn FnMut(&mut Expansion<'_>) -> Term| {
            if let Some(trace) = expansion.trace.as_deref_mut() {
                trace.path.push(Segment::Index(out.len()));
            }
            let term = make(expansion);
            if let Some(trace) = expansion.trace.as_deref_mut() {
                trace.path.pop();
            }
            if expansion.keeps(&term) {
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
                        Diagnostic::new(
                            Code::UnknownKey,
                            format!("`{}` means nothing in a body", shown(key)),
                        )
                        .at(node.key, "not a key of the language")
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

    /// Runs `then` once for each turn of the loop, where the condition holds.
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

    /// All entries of a map that stands as a value. Says whether there is a map at all.
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
                    "`$merge` takes a map",
                    format!("this is {}", other.kind()),
                )),
            }
        }
        // A loop over maps to merge lets later ones count.
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
                    let label = format!("this is {}", other.kind());
                    let failure =
                        Failure::new(Code::ExpressionType, body.span, "a key has to be text", label);
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
    /// For resources: null is a key left out.
    pub fn of_resource() -> Expansion<'static> {
        Expansion {
            keep_null: false,
            failures: Vec::new(),
            made: 0,
            trace: None,
            common: None,
        }
    }

    /// The same, evaluating only once what is said several times.
    pub(crate) fn sharing<'c>(self, common: &'c Common<'c>) -> Expansion<'c> {
        Expansion {
            trace: None,
            keep_null: self.keep_null,
            failures: self.failures,
            made: self.made,
            common: Some(common),
        }
    }

    /// For inputs and outputs: null stays.
    pub fn of_values() -> Expansion<'static> {
        Expansion {
            keep_null: true,
            failures: Vec::new(),
            made: 0,
            trace: None,
            common: None,
        }
    }

    /// Whether a value stands where it was made: a key or an item without one is left out.
    fn keeps(&self, term: &Term) -> bool {
        match term {
            Term::Omit => false,
            Term::Null => self.keep_null,
            _ => true,
        }
    }

    /// Counts values that are about to be made, and says whether there may be so many.
    fn has_room(&mut self, count: usize, span: Span) -> bool {
        let before = self.made;
        self.made = before.saturating_add(count);
        if self.made > MOST_VALUES && before <= MOST_VALUES {
            let message = format!("this comes to more than {MOST_VALUES} values");
            let failure = Failure::new(Code::InvalidRepetition, span, message, "too many with this one");
            self.failures
                .push(failure.with_help("make several resources of it"));
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

/// An expression that stands alone, as `for_each` and `when` want it.
pub fn whole_expression(node: &Node, files: &Files, diagnostics: &mut Diagnostics) -> Option<Expression> {
    match expression::template(node, files, diagnostics) {
        Template::Whole(expression) => Some(expression),
        _ => {
            if !diagnostics.has_errors_at(node.span) {
                let mut diagnostic = Diagnostic::new(Code::WrongType, "an expression has to stand here")
                    .at(node.span, "not an expression in `{{ }}`");
                if let Some(text) = node.as_str().filter(|text| !text.contains("{{")) {
                    diagnostic =
                        diagnostic.replace(node.span, format!("\"{{{{ {text} }}}}\""), "put it in braces");
                }
                diagnostics.push(diagnostic);
            }
            None
        }
    }
}

/// The values of a list or map; a scalar is counted where it stands.
fn count_of(term: &Term) -> usize {
    match term {
        Term::List(items) => items.iter().map(|item| 1 + count_of(item)).sum(),
        Term::Map(entries) => entries.iter().map(|(_, value)| 1 + count_of(value)).sum(),
        _ => 0,
    }
}

fn is_static(node: &Node) -> bool {
    match &node.kind {
        NodeKind::String(text) => !text.contains("{{"),
        NodeKind::List(items) => items.iter().all(is_static),
        NodeKind::Map(entries) => entries
            .iter()
            .all(|(key, node)| !key.contains("{{") && !is_control(key) && is_static(node)),
        _ => true,
    }
}

fn without_nulls(term: Term) -> Term {
    match term {
        Term::Map(entries) if entries.iter().any(|(_, term)| holds_null(term)) => Term::Map(
            entries
                .into_iter()
                .filter(|(_, term)| !matches!(term, Term::Null | Term::Omit))
                .map(|(key, term)| (key, without_nulls(term)))
                .collect(),
        ),
        Term::List(items) if items.iter().any(holds_null) => Term::List(
            items
                .into_iter()
                .filter(|t| !matches!(t, Term::Null | Term::Omit))
                .map(without_nulls)
                .collect(),
        ),
        term => term,
    }
}

fn holds_null(term: &Term) -> bool {
    match term {
        Term::Null | Term::Omit => true,
        Term::List(items) => items.iter().any(holds_null),
        Term::Map(entries) => entries.iter().any(|(_, term)| holds_null(term)),
        _ => false,
    }
}
