//! Parses the rules of the table and applies them to the values before and after a change.

use terrace_artifact::{Decimal, Segment, Text, Value};

use super::amount::{Amount, Form, number};
use super::{IsKnownAfterApply, Line, Loss, columns, kafka, lifecycle};

/// A rule that decides whether a change of a property loses data.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) kind: RuleKind,
    /// The fields that must exist, or have these values, before or after the change.
    conditions: Vec<(&'static str, Option<&'static str>)>,
}

#[derive(Clone, Debug)]
pub(super) enum RuleKind {
    Shrinks(Number),
    Grows(Number),
    Order {
        values: Vec<&'static str>,
        default: &'static str,
    },
    Removed,
    Changed,
    Fewer(Option<&'static str>),
    More(Option<&'static str>),
    Deleted,
    Columns {
        name: &'static str,
        data_type: &'static str,
    },
    S3Lifecycle,
    EcrLifecycle,
    SearchLifecycle,
    Kafka,
    Schema,
    Unclear,
    Harmless,
}

/// The form of a number, and its default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    form: Form,
    /// The value if the property is absent.
    default: Default,
    /// The number that means no limit.
    forever: Option<Decimal>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Default {
    Value(&'static str),
    Unlimited,
    /// The service decides.
    Unknown,
}

impl Rule {
    pub(super) fn read(text: &'static str) -> Option<Rule> {
        let mut words = Vec::new();
        let (mut default, mut forever, mut form) = (Default::Unknown, None, Form::Number);
        let mut conditions = Vec::new();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("default", "?")) => {}
                Some(("default", "forever")) => default = Default::Unlimited,
                Some(("default", value)) => default = Default::Value(value),
                Some(("forever", value)) => forever = Some(value.parse().ok()?),
                Some(("unit", _)) => {}
                Some(("as", "object")) => form = Form::Object,
                Some(("as", "duration")) => form = Form::Duration,
                Some(("as", "quantity")) => form = Form::Quantity,
                Some(("if", rest)) => {
                    conditions.push(match rest.split_once('=') {
                        Some((path, value)) => (path, Some(value)),
                        None => (rest, None),
                    });
                }
                Some(_) => return None,
                None => words.push(word),
            }
        }
        let numbers = Number {
            form,
            default,
            forever,
        };
        let kind = match words.as_slice() {
            ["shrinks"] => RuleKind::Shrinks(numbers),
            ["grows"] => RuleKind::Grows(numbers),
            ["order", values @ ..] => RuleKind::Order {
                values: values.iter().copied().filter(|word| *word != ">").collect(),
                default: match default {
                    Default::Value(value) => value,
                    _ => "",
                },
            },
            ["removed"] => RuleKind::Removed,
            ["changed"] => RuleKind::Changed,
            ["fewer"] => RuleKind::Fewer(None),
            ["fewer", key] => RuleKind::Fewer(Some(key)),
            ["more"] => RuleKind::More(None),
            ["more", key] => RuleKind::More(Some(key)),
            ["deleted"] => RuleKind::Deleted,
            ["columns", name, data_type] => RuleKind::Columns { name, data_type },
            ["s3-lifecycle"] => RuleKind::S3Lifecycle,
            ["ecr-lifecycle"] => RuleKind::EcrLifecycle,
            ["aoss-lifecycle"] => RuleKind::SearchLifecycle,
            ["kafka"] => RuleKind::Kafka,
            ["schema"] => RuleKind::Schema,
            ["unclear"] => RuleKind::Unclear,
            ["harmless"] => RuleKind::Harmless,
            _ => return None,
        };
        Some(Rule { kind, conditions })
    }
}

/// The application of one line of the table to two values.
pub(super) struct RuleApplication<'a> {
    pub(super) line: &'a Line,
    pub(super) rule: &'a Rule,
    pub(super) roots: (&'a Value, &'a Value),
    pub(super) is_open: IsKnownAfterApply<'a>,
    pub(super) found: Vec<Loss>,
}

impl RuleApplication<'_> {
    pub(super) fn run(&mut self) {
        if matches!(self.rule.kind, RuleKind::Harmless | RuleKind::Deleted) || !self.applies() {
            return;
        }
        let steps: Vec<&'static str> = self.line.path.split('/').collect();
        let (before, after) = self.roots;
        self.descend(&steps, Some(before), Some(after), &mut Vec::new());
    }

    fn applies(&self) -> bool {
        self.rule.conditions.iter().all(|(path, wanted)| {
            let path: Vec<&str> = path.split('/').collect();
            let holds = |root: &Value| match (root.at(&path), wanted) {
                (None | Some(Value::Null), _) => false,
                (Some(Value::List(items)), None) => !items.is_empty(),
                (Some(_), None) => true,
                (Some(value), Some(wanted)) => word(value).as_deref() == Some(*wanted),
            };
            holds(self.roots.0) || holds(self.roots.1)
        })
    }

    fn descend(
        &mut self,
        steps: &[&'static str],
        before: Option<&Value>,
        after: Option<&Value>,
        path: &mut Vec<Segment>,
    ) {
        if before == after {
            return;
        }
        let Some((step, rest)) = steps.split_first() else {
            return self.compare(before, after, path);
        };
        if [before, after]
            .into_iter()
            .flatten()
            .any(|value| (self.is_open)(value))
        {
            return self.unknown(path, before, after);
        }
        match step.strip_prefix('*') {
            Some(key) => self.items(key, rest, before, after, path),
            None => {
                path.push(Segment::Key((*step).into()));
                let field = |value: Option<&Value>| value.and_then(|value| value.get(step)).cloned();
                self.descend(rest, field(before).as_ref(), field(after).as_ref(), path);
                path.pop();
            }
        }
    }

    /// Compares the items that are in both lists. An added item loses nothing, and another line of the table covers removed
    /// items.
    fn items(
        &mut self,
        key: &str,
        rest: &[&'static str],
        before: Option<&Value>,
        after: Option<&Value>,
        path: &mut Vec<Segment>,
    ) {
        let (Some(before), Some(after)) = (list(before), list(after)) else {
            return;
        };
        for (place, item) in after.iter().enumerate() {
            let twin = if key.is_empty() {
                before.get(place)
            } else {
                let same = |other: &&Value| other.get(key).is_some() && other.get(key) == item.get(key);
                before.iter().find(same)
            };
            if let Some(twin) = twin {
                path.push(Segment::Index(place));
                self.descend(rest, Some(twin), Some(item), path);
                path.pop();
            }
        }
    }

    fn compare(&mut self, before: Option<&Value>, after: Option<&Value>, path: &[Segment]) {
        let open = [before, after]
            .into_iter()
            .flatten()
            .any(|value| (self.is_open)(value));
        match &self.rule.kind {
            RuleKind::Removed => {
                if !is_nothing(before) && is_nothing(after) {
                    self.lost(path, before, None);
                }
            }
            _ if open => self.unknown(path, before, after),
            RuleKind::Shrinks(numbers) => self.numbers(*numbers, true, before, after, path),
            RuleKind::Grows(numbers) => self.numbers(*numbers, false, before, after, path),
            RuleKind::Order { values, default } => self.order(values, default, before, after, path),
            RuleKind::Changed => {
                if !is_nothing(before) && !is_nothing(after) {
                    self.lost(path, before, after);
                }
            }
            RuleKind::Fewer(key) => self.gone(*key, before, after, path, true),
            RuleKind::More(key) => self.gone(*key, after, before, path, false),
            RuleKind::Columns { name, data_type } => {
                let sides = (list(before).unwrap_or_default(), list(after).unwrap_or_default());
                for (place, was, is, what) in columns::losses(name, data_type, sides) {
                    self.told(path, Some(place), was, is, what);
                }
            }
            RuleKind::S3Lifecycle => {
                let lost = lifecycle::s3(before, after, self.is_open);
                self.extend(path, lost);
            }
            RuleKind::EcrLifecycle => self.text(lifecycle::ecr, before, after, path),
            RuleKind::SearchLifecycle => self.text(lifecycle::search, before, after, path),
            RuleKind::Kafka => match kafka::losses(before, after) {
                Some(lost) => self.extend(path, lost),
                None => self.unknown(path, before, after),
            },
            RuleKind::Schema => {
                for gone in columns::fields_gone(before, after) {
                    let what = "the field is dropped from every object when it is next written".to_owned();
                    let mut at = path.to_vec();
                    at.extend(gone);
                    self.found.push(Loss {
                        path: at,
                        before: None,
                        after: None,
                        what,
                        certain: true,
                    });
                }
            }
            RuleKind::Unclear => self.unknown(path, before, after),
            RuleKind::Deleted | RuleKind::Harmless => {}
        }
    }

    /// Compares strings that contain JSON.
    fn text(
        &mut self,
        compare: impl Fn(&Value, &Value) -> Vec<Loss>,
        before: Option<&Value>,
        after: Option<&Value>,
        path: &[Segment],
    ) {
        match (parsed(before), parsed(after)) {
            (Some(old), Some(new)) => {
                let lost = compare(&old, &new);
                self.extend(path, lost);
            }
            _ => self.unknown(path, before, after),
        }
    }

    fn numbers(
        &mut self,
        numbers: Number,
        shrinks: bool,
        before: Option<&Value>,
        after: Option<&Value>,
        path: &[Segment],
    ) {
        let (was, is) = (numbers.amount(before), numbers.amount(after));
        let lost = match (was, is) {
            (Some(was), Some(is)) if shrinks => is.is_less(was),
            (Some(was), Some(is)) => was.is_less(is),
            _ => None,
        };
        match lost {
            Some(true) => {
                let what = self.with_default(numbers.default, before, after);
                let (before, after) = (numbers.shown(before), numbers.shown(after));
                self.found.push(Loss {
                    path: path.to_vec(),
                    before,
                    after,
                    what,
                    certain: true,
                });
            }
            Some(false) => {}
            None => self.unknown(path, before, after),
        }
    }

    fn order(
        &mut self,
        values: &[&'static str],
        default: &'static str,
        before: Option<&Value>,
        after: Option<&Value>,
        path: &[Segment],
    ) {
        let rank = |value: Option<&Value>| {
            let text = match value {
                None | Some(Value::Null) => default.to_owned(),
                Some(value) => word(value)?,
            };
            let place = values.iter().position(|known| *known == text);
            place.or_else(|| values.iter().position(|known| *known == "*" && !text.is_empty()))
        };
        match (rank(before), rank(after)) {
            (Some(was), Some(is)) if is > was => {
                let of_default = if default.is_empty() {
                    Default::Unknown
                } else {
                    Default::Value(default)
                };
                let what = self.with_default(of_default, before, after);
                let shown = |value: Option<&Value>| value.cloned().unwrap_or_else(|| literal(default));
                self.found.push(Loss {
                    path: path.to_vec(),
                    before: Some(shown(before)),
                    after: Some(shown(after)),
                    what,
                    certain: true,
                });
            }
            (Some(_), Some(_)) => {}
            _ => self.unknown(path, before, after),
        }
    }

    /// Reports the items of the first list that are missing from the second.
    fn gone(
        &mut self,
        key: Option<&str>,
        has: Option<&Value>,
        lacks: Option<&Value>,
        path: &[Segment],
        fewer: bool,
    ) {
        let (has, lacks) = (list(has).unwrap_or_default(), list(lacks).unwrap_or_default());
        let named = |item: &Value| match key {
            Some(key) => item.get(key).cloned().unwrap_or_else(|| item.clone()),
            None => item.clone(),
        };
        let is_open = self.is_open;
        let open = |item: &Value| is_open(item) || is_open(&named(item));
        for (place, item) in has.iter().enumerate() {
            let name = named(item);
            if lacks.iter().any(|other| named(other) == name) {
                continue;
            }
            let mut at = path.to_vec();
            at.push(Segment::Index(place));
            let (before, after) = if fewer {
                (Some(name), None)
            } else {
                (None, Some(name))
            };
            self.found.push(Loss {
                path: at,
                before,
                after,
                what: self.line.what.to_owned(),
                // An item that is known only after apply may be the same.
                certain: !open(item) && !lacks.iter().any(open),
            });
        }
    }

    fn extend(&mut self, path: &[Segment], lost: Vec<Loss>) {
        for mut loss in lost {
            let mut at = path.to_vec();
            at.append(&mut loss.path);
            self.found.push(Loss { path: at, ..loss });
        }
    }

    fn told(
        &mut self,
        path: &[Segment],
        place: Option<usize>,
        before: Option<Value>,
        after: Option<Value>,
        what: String,
    ) {
        let mut at = path.to_vec();
        at.extend(place.map(Segment::Index));
        self.found.push(Loss {
            path: at,
            before,
            after,
            what,
            certain: true,
        });
    }

    fn lost(&mut self, path: &[Segment], before: Option<&Value>, after: Option<&Value>) {
        self.told(
            path,
            None,
            before.cloned(),
            after.cloned(),
            self.line.what.to_owned(),
        );
    }

    /// Reports a possible loss that only apply decides.
    fn unknown(&mut self, path: &[Segment], before: Option<&Value>, after: Option<&Value>) {
        self.found.push(Loss {
            path: path.to_vec(),
            before: before.cloned(),
            after: after.cloned(),
            what: self.line.what.to_owned(),
            certain: false,
        });
    }

    /// Returns the consequence, and states which of the values is the default.
    fn with_default(&self, default: Default, before: Option<&Value>, after: Option<&Value>) -> String {
        let what = self.line.what;
        let role = match (before, after) {
            (None, Some(_)) => "current value",
            (Some(_), None) => "new value",
            _ => return what.to_owned(),
        };
        match default {
            Default::Value(value) => format!("{what} ({value} is the default and the {role})"),
            Default::Unlimited => format!("{what} (there was no limit before)"),
            Default::Unknown => what.to_owned(),
        }
    }
}

impl Number {
    fn amount(&self, value: Option<&Value>) -> Option<Amount> {
        // A map without an amount leaves the amount at its default.
        let has_no_amount = |value: &&Value| match (self.form, *value) {
            (_, Value::Null) => true,
            (Form::Object, Value::Map(map)) => {
                map.values().all(|value| number(value).is_none())
                    && Amount::read(value, Form::Object).is_none()
            }
            _ => false,
        };
        let value = match (value.filter(|value| !has_no_amount(value)), self.default) {
            (Some(value), _) => value.clone(),
            (None, Default::Unlimited) => return Some(Amount::Unlimited),
            (None, Default::Unknown) => return None,
            (None, Default::Value(value)) => match self.form {
                // The table writes the default of an object as a duration or as a number.
                Form::Object => {
                    let value = Value::from(value);
                    return Amount::read(&value, Form::Duration)
                        .or_else(|| Amount::read(&value, Form::Number));
                }
                _ => value.into(),
            },
        };
        if self.forever.is_some() && number(&value) == self.forever {
            return Some(Amount::Unlimited);
        }
        Amount::read(&value, self.form)
    }

    fn shown(&self, value: Option<&Value>) -> Option<Value> {
        match (value, self.default) {
            (Some(value), _) => Some(value.clone()),
            (None, Default::Value(value)) => Some(literal(value)),
            (None, _) => None,
        }
    }
}

/// Converts a default to the value that a template would contain.
fn literal(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => text.parse().map_or_else(|_| text.into(), Value::Number),
    }
}

/// Converts a scalar to a string, because CloudFormation treats `true` and `"true"` alike.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::String(text) => Some(text.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_nothing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Map(map)) => map.is_empty(),
        Some(Value::List(items)) => items.is_empty(),
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

fn list(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_list)
}

/// Parses a value that can also be a string of JSON. An absent value is an empty map.
fn parsed(value: Option<&Value>) -> Option<Value> {
    match value {
        None | Some(Value::Null) => Some(Value::Map(terrace_artifact::Map::new())),
        Some(Value::String(text)) if text.trim().is_empty() => Some(Value::Map(terrace_artifact::Map::new())),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(value) => Some(value.clone()),
    }
}

/// Builds a path of keys and an optional index.
pub(super) fn path(keys: &[&str], index: Option<usize>, rest: &[&str]) -> Vec<Segment> {
    let key = |key: &&str| Segment::Key(Text::from(*key));
    let mut path: Vec<Segment> = keys.iter().map(key).collect();
    path.extend(index.map(Segment::Index));
    path.extend(rest.iter().map(key));
    path
}
