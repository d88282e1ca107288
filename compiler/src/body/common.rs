//! Trees that a module says several times — its labels, its tags — and that mean the same wherever they stand: each is evaluated once
//! for a component, and whatever has it shares it.

use std::cell::RefCell;
use std::fmt::Write as _;

use foldhash::{HashMap, HashMapExt};

use super::{Body, BodyKind, Expansion, MapBody};
use crate::expression::{Expression, ExpressionKind, Piece, Scope, Template};
use crate::source::Files;
use crate::term::Term;

/// The names that mean the same everywhere in a component, unless a loop takes one for itself.
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

/// How many levels a tree has that is looked for again: what is larger is hardly ever said twice.
const MOST_LEVELS: usize = 3;

/// What the trees that are said several times came to in one component.
pub struct Common<'r> {
    /// By number, whether there are several.
    repeated: &'r [bool],
    values: RefCell<Vec<Option<Term>>>,
}

impl<'r> Common<'r> {
    /// Nothing is evaluated yet. Takes what [`number`] has found.
    pub fn new(repeated: &'r [bool]) -> Common<'r> {
        Common {
            repeated,
            values: RefCell::new(vec![None; repeated.len()]),
        }
    }

    /// Whether the trees of a number are one in a scope.
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

    /// What the trees of a number come to.
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
        let value = evaluate(expansion);
        // What fails, or refers to something, has a place in each of the trees.
        if expansion.failures.len() > failures || !value.is_finished() {
            return value;
        }
        let value = value.into_shared();
        self.values.borrow_mut()[at] = Some(value.clone());
        value
    }
}

/// Numbers the trees of a module, those that say the same alike. Gives, for each number, whether there are several.
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
    /// By what a tree says.
    numbers: HashMap<String, u32>,
    repeated: Vec<bool>,
}

/// What a tree says, written so that two trees say the same exactly where they are written the same; and its levels.
type Said = Option<(String, usize)>;

impl Numbers<'_> {
    fn add(&mut self, body: &mut Body) -> Said {
        let (said, levels) = match &mut body.kind {
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
                let said = self.all("{", entries);
                said.filter(|_| plain)?
            }
        };
        let next = u32::try_from(self.repeated.len()).ok()?;
        let number = *self.numbers.entry(said.clone()).or_insert(next);
        match self.repeated.get_mut(number as usize) {
            Some(repeated) => *repeated = true,
            None => self.repeated.push(false),
        }
        body.common = Some(number);
        Some((said, levels))
    }

    /// What the items of a list or a map say together. All are looked at, whatever comes of it.
    fn all<'b>(
        &mut self,
        begin: &str,
        items: impl Iterator<Item = (Option<&'b Template>, &'b mut Body)>,
    ) -> Said {
        let mut all = Some((begin.to_owned(), 1));
        for (key, body) in items {
            let value = self.add(body);
            all = all.zip(value).and_then(|((mut said, levels), (value, below))| {
                if let Some(key) = key {
                    let key = self.scalar(key)?;
                    let _ = write!(said, "{}:{key}", key.len());
                }
                let _ = write!(said, "{}:{value}", value.len());
                let levels = levels.max(below + 1);
                (levels <= MOST_LEVELS).then_some((said, levels))
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
                let mut said = String::new();
                for piece in pieces {
                    let (mark, text) = match piece {
                        Piece::Text(text) => ('\'', text.as_str()),
                        Piece::Expression(inner) => ('=', expression(inner)?),
                    };
                    let _ = write!(said, "{}:{mark}{text}", text.len());
                }
                Some(said)
            }
        }
    }
}

/// Whether a map is what its entries say and nothing else.
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

/// Whether an expression has the same value wherever it stands in a component.
fn means_the_same(expression: &Expression) -> bool {
    let mut same = match &expression.kind {
        ExpressionKind::Name(name) => NAMES.contains(&name.as_str()),
        ExpressionKind::Call(function, _) => !matches!(function.as_str(), "ref" | "secret" | "asset"),
        _ => true,
    };
    expression.children(&mut |child| same &= means_the_same(child));
    same
}
