//! Checks the transitions of one rule: their order, the minimum time in each class, and the expiration after the last.

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Rule, days};
use crate::Finding;

/// A storage class.
struct StorageClass {
    name: &'static str,
    /// The minimum age in days of an object that moves to the class.
    earliest: i64,
    /// The minimum number of days that AWS bills for an object in the class.
    billed: i64,
}

/// The classes from warm to cold. Objects can move only to colder classes.
const CLASSES: [StorageClass; 7] = [
    class("STANDARD_IA", 30, 30),
    class("INTELLIGENT_TIERING", 0, 0),
    class("ONEZONE_IA", 30, 30),
    class("GLACIER_IR", 0, 90),
    class("GLACIER", 0, 90),
    class("DEEP_ARCHIVE", 0, 180),
    class("STANDARD", 0, 0),
];

const fn class(name: &'static str, earliest: i64, billed: i64) -> StorageClass {
    StorageClass {
        name,
        earliest,
        billed,
    }
}

/// Objects or their noncurrent versions, with the properties for them.
struct StorageKind {
    things: &'static str,
    plural: &'static str,
    singular: &'static str,
    expirations: &'static [&'static [&'static str]],
}

const CURRENT: StorageKind = StorageKind {
    things: "objects",
    plural: "Transitions",
    singular: "Transition",
    expirations: &[&["ExpirationInDays"]],
};

const NONCURRENT: StorageKind = StorageKind {
    things: "noncurrent versions",
    plural: "NoncurrentVersionTransitions",
    singular: "NoncurrentVersionTransition",
    expirations: &[
        &["NoncurrentVersionExpiration", "NoncurrentDays"],
        &["NoncurrentVersionExpirationInDays"],
    ],
};

/// A transition with its path in the rule.
struct LocatedTransition<'a> {
    path: Vec<Segment>,
    body: &'a Term,
}

impl<'a> LocatedTransition<'a> {
    fn get(&self, key: &str) -> Option<&'a Term> {
        self.body.get(key).filter(|term| **term != Term::Null)
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn finding(&self, rule: &Rule<'_>, key: &str, message: impl Into<String>) -> Finding {
        rule.finding(Code::LifecycleOrder, &[], message)
            .below(self.path.iter().cloned())
            .below([Segment::Key(key.into())])
    }
}

fn written<'a>(rule: &Rule<'a>, kind: &StorageKind) -> Vec<LocatedTransition<'a>> {
    let list = rule.at(&[kind.plural]).map_or(&[][..], Term::items);
    let list = list.iter().enumerate().map(|(index, body)| LocatedTransition {
        path: vec![Segment::Key(kind.plural.into()), Segment::Index(index)],
        body,
    });
    let single = rule.at(&[kind.singular]).map(|body| LocatedTransition {
        path: vec![Segment::Key(kind.singular.into())],
        body,
    });
    list.chain(single).collect()
}

/// A transition after a number of days.
pub(super) struct Move<'a> {
    written: LocatedTransition<'a>,
    pub(super) class: &'a str,
    pub(super) days: i64,
}

impl Move<'_> {
    pub(super) fn finding(&self, rule: &Rule<'_>, code: Code, message: String) -> Finding {
        rule.finding(code, &[], message)
            .below(self.written.path.iter().cloned())
            .below([Segment::Key("TransitionInDays".into())])
    }
}

/// Returns the transitions of objects that are in days.
pub(super) fn moves<'a>(rule: &Rule<'a>) -> Vec<Move<'a>> {
    moves_of(rule, &CURRENT)
}

fn moves_of<'a>(rule: &Rule<'a>, kind: &StorageKind) -> Vec<Move<'a>> {
    let written = written(rule, kind).into_iter();
    written
        .filter_map(|written| {
            let class = written.get("StorageClass")?.as_str()?;
            let days = days(written.get("TransitionInDays")?)?;
            Some(Move { written, class, days })
        })
        .collect()
}

pub(super) fn check(rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    for written in written(rule, &CURRENT) {
        let (message, help) = match (written.has("TransitionInDays"), written.has("TransitionDate")) {
            (true, true) => (
                "a transition cannot have both `TransitionInDays` and `TransitionDate`",
                "remove one of the two",
            ),
            (false, false) if written.has("StorageClass") => (
                "the transition has neither `TransitionInDays` nor `TransitionDate`",
                "add `TransitionInDays`",
            ),
            _ => continue,
        };
        findings.push(written.finding(rule, "StorageClass", message).help(help));
    }
    for kind in [&CURRENT, &NONCURRENT] {
        let mut moves = moves_of(rule, kind);
        twice(rule, kind, findings);
        moves.sort_by_key(|to| rank(to.class));
        order(rule, kind, &moves, findings);
        expiration(rule, kind, &moves, findings);
    }
}

/// Reports a rule with one time in days and another as a date, at the first date.
pub(super) fn mixed_units(rule: &Rule<'_>) -> Option<Finding> {
    let message = "a lifecycle rule cannot mix days and dates";
    let mut written = written(rule, &CURRENT);
    // A transition with both is reported separately.
    written.retain(|transition| !(transition.has("TransitionInDays") && transition.has("TransitionDate")));
    let has = |key: &str| written.iter().find(|transition| transition.has(key));
    if !rule.has("ExpirationInDays") && has("TransitionInDays").is_none() {
        return None;
    }
    let finding = match has("TransitionDate") {
        Some(dated) => dated.finding(rule, "TransitionDate", message),
        None if rule.has("ExpirationDate") => {
            rule.finding(Code::LifecycleOrder, &["ExpirationDate"], message)
        }
        None => return None,
    };
    Some(finding.help("write all times of the rule in days, or split it into two rules"))
}

/// Reports a class that two transitions lead to.
fn twice(rule: &Rule<'_>, kind: &StorageKind, findings: &mut Vec<Finding>) {
    let mut seen: Vec<&str> = Vec::new();
    for written in written(rule, kind) {
        let Some(class) = written.get("StorageClass").and_then(Term::as_str) else {
            continue;
        };
        if seen.contains(&class) {
            let message = format!("two transitions of this rule have the storage class {class}");
            findings.push(
                written
                    .finding(rule, "StorageClass", message)
                    .help("remove one of the two"),
            );
        }
        seen.push(class);
    }
}

/// Checks that objects move from warm to cold classes over time. `moves` are in the order of their classes.
fn order(rule: &Rule<'_>, kind: &StorageKind, moves: &[Move<'_>], findings: &mut Vec<Finding>) {
    let things = kind.things;
    for to in moves {
        let earliest = known(to.class).map_or(0, |class| class.earliest);
        if to.days < earliest {
            let message = format!(
                "{things} can move to {} after {earliest} days or more, not after {}",
                to.class, to.days
            );
            findings.push(
                to.finding(rule, Code::LifecycleOrder, message)
                    .help(format!("write {earliest} or more")),
            );
        }
    }
    for pair in moves.windows(2) {
        let [warm, cold] = pair else { continue };
        if warm.class == cold.class {
            continue;
        }
        if warm.class == "ONEZONE_IA" && cold.class == "GLACIER_IR" {
            let message = format!("{things} cannot move from ONEZONE_IA to GLACIER_IR");
            findings.push(
                cold.finding(rule, Code::LifecycleOrder, message)
                    .help("move them to GLACIER instead, or remove ONEZONE_IA"),
            );
        }
        let rest = if warm.class.ends_with("_IA") { 30 } else { 1 };
        if cold.days >= warm.days.saturating_add(rest) {
            continue;
        }
        let message = if cold.days < warm.days {
            format!(
                "{things} move to {} after {} days, but to the warmer class {} only after {}",
                cold.class, cold.days, warm.class, warm.days
            )
        } else {
            format!(
                "{things} move from {} to {} after only {} days",
                warm.class,
                cold.class,
                cold.days - warm.days
            )
        };
        let help = match rest {
            1 => format!("move to {} later than to {}", cold.class, warm.class),
            rest => format!(
                "move to {} after {} days or more: {things} must stay in {} for {rest} days",
                cold.class,
                warm.days.saturating_add(rest),
                warm.class
            ),
        };
        findings.push(cold.finding(rule, Code::LifecycleOrder, message).help(help));
    }
}

/// Checks that the expiration is after the last transition and after the minimum number of billed days.
fn expiration(rule: &Rule<'_>, kind: &StorageKind, moves: &[Move<'_>], findings: &mut Vec<Finding>) {
    let things = kind.things;
    let Some(last) = moves.iter().max_by_key(|to| to.days) else {
        return;
    };
    for path in kind.expirations {
        let Some(expires) = rule.days(path) else { continue };
        if expires <= last.days {
            let message = format!(
                "{things} expire after {expires} days, but move to {} after {} days",
                last.class, last.days
            );
            let help = format!(
                "keep {things} for more than {} days, or do not move them to {}",
                last.days, last.class
            );
            findings.push(rule.finding(Code::RetentionConflict, path, message).help(help));
            continue;
        }
        let billed = known(last.class).map_or(0, |class| class.billed);
        let stays = expires - last.days;
        if stays < billed {
            let message = format!(
                "{things} expire after {stays} days in {}, but AWS bills at least {billed} days",
                last.class
            );
            let help = format!(
                "keep {things} for {} days or more, or do not move them to {}",
                last.days.saturating_add(billed),
                last.class
            );
            findings.push(rule.finding(Code::KeptAfterExpiration, path, message).help(help));
        }
    }
}

fn rank(name: &str) -> Option<usize> {
    CLASSES.iter().position(|class| class.name == name)
}

fn known(name: &str) -> Option<&'static StorageClass> {
    CLASSES.iter().find(|class| class.name == name)
}
