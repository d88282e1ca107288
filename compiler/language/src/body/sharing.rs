//! Shares equal trees of a module, such as labels and tags, that have the same value everywhere. Each is evaluated once
//! for a component.

use std::cell::RefCell;
use std::fmt::Write as _;

use foldhash::{HashMap, HashMapExt};
use terrace_syntax::source::Files;

use super::{Body, BodyKind, Expansion, MapBody};
use crate::expression::{Expression, ExpressionKind, Scope, StringPart, Template};
use crate::value::term::Term;

/// The names with the same value everywhere in a component, unless a loop uses one as its variable.
const NAMES: [&str; 10] = [
    "platform",
    "environment",
    "tenant",
    "component",
    "module",
    "inputs",
    "name",
    "namespace",
    "selector",
    "labels",
];

/// The maximum number of levels of a shared tree. Larger trees rarely occur twice.
const MOST_LEVELS: usize = 3;

/// The values of repeated trees in one component.
pub struct Common<'r> {
    /// Whether the trees of each number occur several times.
    repeated: &'r [bool],
    values: RefCell<Vec<Option<Term>>>,
}

impl<'r> Common<'r> {
    /// Creates an empty cache from the result of [`number`].
    pub fn new(repeated: &'r [bool]) -> Common<'r> {
        Common {
            repeated,
            values: RefCell::new(vec![None; repeated.len()]),
        }
    }

    /// Returns whether the trees of a number have the same value in a scope.
    pub(super) fn holds_in(&self, number: u32, scope: &Scope<'_>) -> bool {
        let mut variables = scope.variables;
        while let Some(variable) = variables {
            if NAMES.contains(&variable.name) {
                return false;
            }
            variables = variable.outer;
        }
        self.repeated.get(number as usize).is_some_and(|several| *several)
    }

    /// Returns the value of the trees of a number.
    pub(super) fn value(
        &self,
        number: u32,
        expansion: &mut Expansion<'_>,
        evaluate: impl FnOnce(&mut Expansion<'_>) -> Term,
    ) -> Term {
        let at = number as usize;
        if let Some(known) = &self.values.borrow()[at] {
            return known.clone();
        }
        let failures = expansion.failures.len();
        let emptied = std::mem::take(&mut expansion.emptied);
        let value = evaluate(expansion);
        // A failure or a reference has a different place in each of the trees, and each resource records that a part of it was emptied.
        if expansion.failures.len() > failures || expansion.emptied || !value.is_finished() {
            return value;
        }
        expansion.emptied = emptied;
        let value = value.into_shared();
        self.values.borrow_mut()[at] = Some(value.clone());
        value
    }
}

/// Gives equal trees of a module the same number. Returns for each number whether several trees have it.
pub fn number<'b>(bodies: impl IntoIterator<Item = &'b mut Body>, files: &Files) -> Vec<bool> {
    let mut numbers = Numbers {
        files,
        numbers: HashMap::new(),
        repeated: Vec::new(),
    };
    for body in bodies {
        numbers.add(body);
    }
    numbers.repeated
}

struct Numbers<'f> {
    files: &'f Files,
    /// The numbers by the text of a tree.
    numbers: HashMap<String, u32>,
    repeated: Vec<bool>,
}

/// A text that is equal for equal trees, and the number of levels of the tree.
type TreeText = Option<(String, usize)>;

impl Numbers<'_> {
    fn add(&mut self, body: &mut Body) -> TreeText {
        let (content, levels) = match &mut body.kind {
            BodyKind::Static(constant) => return Some((constant.term.clone().into_value().to_string(), 0)),
            BodyKind::Scalar(template) => return Some((self.scalar(template)?, 0)),
            BodyKind::List(items) => self.all("[", items.iter_mut().map(|item| (None, item)))?,
            BodyKind::Map(map) => {
                let plain = is_plain(map);
                let controlled = [&mut map.merge, &mut map.value, &mut map.json];
                for inner in controlled.into_iter().flatten() {
                    self.add(inner);
                }
                let entries = map.entries.iter_mut().map(|(key, value)| (Some(&*key), value));
                let content = self.all("{", entries);
                content.filter(|_| plain)?
            }
        };
        let next = u32::try_from(self.repeated.len()).ok()?;
        let number = *self.numbers.entry(content.clone()).or_insert(next);
        match self.repeated.get_mut(number as usize) {
            Some(repeated) => *repeated = true,
            None => self.repeated.push(false),
        }
        body.common = Some(number);
        Some((content, levels))
    }

    /// Combines the text of all items of a list or a map. Visits every item, even if the result is already known to be `None`.
    fn all<'b>(
        &mut self,
        begin: &str,
        items: impl Iterator<Item = (Option<&'b Template>, &'b mut Body)>,
    ) -> TreeText {
        let mut all = Some((begin.to_owned(), 1));
        for (key, body) in items {
            let value = self.add(body);
            all = all
                .zip(value)
                .and_then(|((mut content, levels), (value, below))| {
                    if let Some(key) = key {
                        let key = self.scalar(key)?;
                        let _ = write!(content, "{}:{key}", key.len());
                    }
                    let _ = write!(content, "{}:{value}", value.len());
                    let levels = levels.max(below + 1);
                    (levels <= MOST_LEVELS).then_some((content, levels))
                });
        }
        all
    }

    fn scalar(&self, template: &Template) -> Option<String> {
        let expression = |expression: &Expression| {
            let means_the_same = means_the_same(expression);
            means_the_same.then(|| self.files.text(expression.span))
        };
        match template {
            Template::Plain(text) => Some(format!("'{text}")),
            Template::Whole(whole) => Some(format!("={}", expression(whole)?)),
            Template::Text(pieces) => {
                let mut content = String::new();
                for piece in pieces {
                    let (mark, text) = match piece {
                        StringPart::Text(text) => ('\'', text.as_str()),
                        StringPart::Expression(inner) => ('=', expression(inner)?),
                    };
                    let _ = write!(content, "{}:{mark}{text}", text.len());
                }
                Some(content)
            }
        }
    }
}

/// Returns whether a map has only entries, without keys of the language.
fn is_plain(map: &MapBody) -> bool {
    let MapBody {
        for_each: None,
        when: None,
        merge: None,
        value: None,
        json: None,
        ..
    } = map
    else {
        return false;
    };
    true
}

/// Returns whether an expression has the same value everywhere in a component.
fn means_the_same(expression: &Expression) -> bool {
    let mut same = match &expression.kind {
        ExpressionKind::Name(name) => NAMES.contains(&name.as_str()),
        ExpressionKind::Call(function, _) => !matches!(function.as_str(), "ref" | "secret" | "asset"),
        _ => true,
    };
    expression.children(&mut |child| same &= means_the_same(child));
    same
}
