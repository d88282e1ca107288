//! Which changes of a live resource lose data although it stays: shorter retention, fewer backups, protection taken off,
//! columns that go.
//!
//! The table is `data/losses.tsv`: type or kind, path, rule, what happens, with tabs in between. A path has names with `/` in
//! between; `*KEY` stands for the items of a list, which belong together by that key (by their place where no key is given).
//!
//! | rule | loses data when |
//! |---|---|
//! | `shrinks` | the number gets smaller |
//! | `grows` | the number gets greater |
//! | `order A > B` | the value moves to the right; `*` stands for all others |
//! | `removed` | there is nothing any longer |
//! | `changed` | it is another value |
//! | `fewer KEY` | an item is gone |
//! | `more KEY` | an item has come |
//! | `deleted` | the resource is deleted, although it holds no data of its own |
//! | `columns NAME TYPE` | a column is gone, or has a narrower type |
//! | `s3-lifecycle`, `ecr-lifecycle`, `aoss-lifecycle` | something is deleted that no rule deleted so soon |
//! | `kafka` | a topic keeps records for a shorter time |
//! | `schema` | a field is gone from the schema of a custom resource |
//! | `unclear` | perhaps, whenever it changes: nobody can tell from the values |
//! | `harmless` | never |
//!
//! After the rule come `default=` (what holds where nothing is written; `forever`, or `?` where the service decides),
//! `forever=` (the number that stands for no limit), `unit=`, `as=` (`object`, `duration`, `quantity`) and
//! `if=PATH=VALUE`. Sources: the documentation of the property.

mod amount;
mod columns;
mod kafka;
mod lifecycle;
mod rule;

use std::fmt;
use std::sync::LazyLock;

use foldhash::HashMap;
use terrace_artifact::{Segment, Value, show_path};

use rule::{Kind, Rule, Walk};

static TABLE: &str = include_str!("../data/losses.tsv");

static LINES: LazyLock<HashMap<&'static str, Vec<Line>>> = LazyLock::new(|| {
    let mut lines: HashMap<&'static str, Vec<Line>> = HashMap::default();
    for line in TABLE.lines().filter_map(Line::read) {
        lines.entry(line.name).or_default().push(line);
    }
    lines
});

/// One way in which a change of a live resource loses data.
#[derive(Clone, PartialEq, Debug)]
pub struct Loss {
    /// Which property: of a CloudFormation resource below `Properties`, of a Kubernetes object from its root.
    pub path: Vec<Segment>,
    /// What holds now; the default where nothing is written, nothing where that is unknown or no limit.
    pub before: Option<Value>,
    /// What will hold.
    pub after: Option<Value>,
    /// What happens, as a clause: `older records are deleted`.
    pub what: String,
    /// Whether it is sure to happen. It is not where a value is known only after apply.
    pub certain: bool,
}

impl fmt::Display for Loss {
    /// `RetentionPeriodHours 168 → 24: older records are deleted`.
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
    /// `AWS::SQS::Queue`, `apps/StatefulSet`.
    pub name: &'static str,
    /// With `/` in between; empty for the whole resource.
    pub path: &'static str,
    /// The rule with its words.
    pub rule: &'static str,
    /// What happens.
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

/// Tells of a value that it is known only after apply.
pub type IsOpen<'a> = &'a dyn Fn(&Value) -> bool;

/// What a change of a CloudFormation resource loses, by its properties now and afterwards. `is_open` tells of a value that it
/// is known only after apply.
pub fn losses_of_type(resource_type: &str, before: &Value, after: &Value, is_open: IsOpen<'_>) -> Vec<Loss> {
    losses(resource_type, before, after, is_open)
}

/// What a change of a Kubernetes object loses, by the whole object now and afterwards.
pub fn losses_of_object(api_version: &str, kind: &str, before: &Value, after: &Value) -> Vec<Loss> {
    let group = api_version.split_once('/').map_or("core", |(group, _)| group);
    losses(&format!("{group}/{kind}"), before, after, &|_| false)
}

/// What is lost when a resource of this type or an object of this kind (`apps/StatefulSet`) is deleted although it holds no data
/// of its own: backups that it makes of others, a protection that it gives them.
pub fn loss_when_deleted(name: &str) -> Option<&'static str> {
    let lines = LINES.get(name)?;
    let line = lines
        .iter()
        .find(|line| matches!(line.parsed.kind, Kind::Deleted))?;
    Some(line.what)
}

/// All lines of the table in its order.
#[doc(hidden)]
pub fn loss_lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter_map(Line::read)
}

/// How many lines the table has, those that cannot be read among them.
#[doc(hidden)]
pub fn loss_line_count() -> usize {
    TABLE.lines().count()
}

fn losses(name: &str, before: &Value, after: &Value, is_open: IsOpen<'_>) -> Vec<Loss> {
    let Some(lines) = LINES.get(name) else {
        return Vec::new();
    };
    let mut found: Vec<Loss> = Vec::new();
    for line in lines {
        let mut walk = Walk {
            line,
            rule: &line.parsed,
            roots: (before, after),
            is_open,
            found: Vec::new(),
        };
        walk.run();
        for loss in walk.found {
            // What goes as a whole is not told again for each of its parts.
            if !found.iter().any(|known| loss.path.starts_with(&known.path)) {
                found.push(loss);
            }
        }
    }
    found
}
