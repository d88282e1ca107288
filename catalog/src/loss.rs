//! The changes of a live resource that lose data although the resource stays: shorter retention, fewer backups, a removed
//! protection, dropped columns.
//!
//! The table is `data/losses.tsv`: type or kind, path, rule and consequence, separated by tabs. A path consists of names
//! separated by `/`. `*KEY` means the items of a list, which are matched by that key, or by their index if no key is given.
//!
//! | rule | loses data when |
//! |---|---|
//! | `shrinks` | the number decreases |
//! | `grows` | the number increases |
//! | `order A > B` | the value moves to the right in the list; `*` means all other values |
//! | `removed` | the value is removed |
//! | `changed` | the value changes |
//! | `fewer KEY` | an item is removed |
//! | `more KEY` | an item is added |
//! | `deleted` | the resource is deleted, although it has no data itself |
//! | `columns NAME TYPE` | a column is removed, or its type becomes narrower |
//! | `s3-lifecycle`, `ecr-lifecycle`, `aoss-lifecycle` | a rule deletes something that no earlier rule deleted as soon |
//! | `kafka` | a topic keeps records for a shorter time |
//! | `schema` | a field is removed from the schema of a custom resource |
//! | `unclear` | possibly at every change, because the values do not decide it |
//! | `harmless` | never |
//!
//! Options follow the rule: `default=` (the value if the property is absent; `forever`, or `?` if the service decides),
//! `forever=` (the number that means no limit), `unit=`, `as=` (`object`, `duration`, `quantity`) and `if=PATH=VALUE`.
//! Sources: the documentation of each property.

mod amount;
mod columns;
mod kafka;
mod lifecycle;
mod rule;

use std::fmt;
use std::sync::LazyLock;

use foldhash::HashMap;
use terrace_artifact::{Segment, Value, show_path};

use rule::{Rule, RuleApplication, RuleKind};

static TABLE: &str = include_str!("../data/losses.tsv");

static LINES: LazyLock<HashMap<&'static str, Vec<Line>>> = LazyLock::new(|| {
    let mut lines: HashMap<&'static str, Vec<Line>> = HashMap::default();
    for line in TABLE.lines().filter_map(Line::read) {
        lines.entry(line.name).or_default().push(line);
    }
    lines
});

/// A loss of data that a change of a live resource causes.
#[derive(Clone, PartialEq, Debug)]
pub struct Loss {
    /// The path of the property: below `Properties` for a CloudFormation resource, from the root for a Kubernetes object.
    pub path: Vec<Segment>,
    /// The current value, or the default if the property is absent. `None` if it is unknown or means no limit.
    pub before: Option<Value>,
    /// The value after the change, in the same form.
    pub after: Option<Value>,
    /// The consequence, as a clause: `older records are deleted`.
    pub what: String,
    /// Whether the loss is certain. It is not if a value is known only after apply.
    pub certain: bool,
}

impl fmt::Display for Loss {
    /// Formats the loss: `RetentionPeriodHours 168 → 24: older records are deleted`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = show_path(&self.path);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "`{path}` {before} → {after}: {}", self.what),
            (Some(before), None) => write!(f, "`{path}` {before} → nothing: {}", self.what),
            (None, Some(after)) => write!(f, "`{path}` nothing → {after}: {}", self.what),
            (None, None) => write!(f, "`{path}`: {}", self.what),
        }
    }
}

/// A line of the table.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Line {
    /// The type or kind: `AWS::SQS::Queue`, `apps/StatefulSet`.
    pub name: &'static str,
    /// The path, separated by `/`; empty for the whole resource.
    pub path: &'static str,
    /// The rule with its options.
    pub rule: &'static str,
    /// The consequence.
    pub what: &'static str,
    parsed: Rule,
}

impl Line {
    fn read(line: &'static str) -> Option<Line> {
        let mut columns = line.split('\t');
        let (name, path, rule) = (columns.next()?, columns.next()?, columns.next()?);
        Some(Line {
            name,
            path,
            rule,
            what: columns.next().unwrap_or_default(),
            parsed: Rule::read(rule)?,
        })
    }
}

/// A function that returns whether a value is known only after apply.
pub type IsKnownAfterApply<'a> = &'a dyn Fn(&Value) -> bool;

/// Returns the losses of a change of a CloudFormation resource, by its properties before and after. `is_open` returns
/// whether a value is known only after apply.
pub fn losses_of_type(
    resource_type: &str,
    before: &Value,
    after: &Value,
    is_open: IsKnownAfterApply<'_>,
) -> Vec<Loss> {
    losses(resource_type, before, after, is_open)
}

/// Returns the losses of a change of a Kubernetes object, by the complete object before and after.
pub fn losses_of_object(api_version: &str, kind: &str, before: &Value, after: &Value) -> Vec<Loss> {
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    losses(&format!("{group}/{kind}"), before, after, &|_| false)
}

/// Returns what is lost when a resource of this type or an object of this kind (`apps/StatefulSet`) is deleted although it
/// has no data itself: for example backups of other resources, or their protection.
pub fn loss_when_deleted(name: &str) -> Option<&'static str> {
    let lines = LINES.get(name)?;
    let line = lines
        .iter()
        .find(|line| matches!(line.parsed.kind, RuleKind::Deleted))?;
    Some(line.what)
}

/// Iterates over the lines of the table, in order.
#[doc(hidden)]
pub fn loss_lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter_map(Line::read)
}

/// Returns the number of lines in the table, including lines that cannot be parsed.
#[doc(hidden)]
pub fn loss_line_count() -> usize {
    TABLE.lines().count()
}

fn losses(name: &str, before: &Value, after: &Value, is_open: IsKnownAfterApply<'_>) -> Vec<Loss> {
    let Some(lines) = LINES.get(name) else {
        return Vec::new();
    };
    let mut found: Vec<Loss> = Vec::new();
    for line in lines {
        let mut walk = RuleApplication {
            line,
            rule: &line.parsed,
            roots: (before, after),
            is_open,
            found: Vec::new(),
        };
        walk.run();
        for loss in walk.found {
            // The loss of a whole value includes the losses of its parts.
            let is_included = |known: &Loss| known.certain && loss.path.starts_with(&known.path);
            if !found.iter().any(is_included) {
                found.push(loss);
            }
        }
    }
    found
}
