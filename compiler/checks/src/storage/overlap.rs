//! Checks lifecycle rules of one bucket that apply to the same objects.

use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Rule, transitions};
use crate::Finding;

/// The objects that a rule applies to. Only filters that are known at compile time can be compared.
struct Scope<'a> {
    prefix: &'a str,
    tags: &'a [Term],
    sizes: [Option<i64>; 2],
}

impl<'a> Scope<'a> {
    fn of(rule: &Rule<'a>) -> Option<Scope<'a>> {
        let prefix = match rule.at(&["Prefix"]) {
            Some(prefix) => prefix.as_str()?,
            None => "",
        };
        let size = |key: &str| match rule.at(&[key]) {
            Some(_) => rule.days(&[key]).map(Some),
            None => Some(None),
        };
        Some(Scope {
            prefix,
            tags: rule.at(&["TagFilters"]).map_or(&[][..], Term::items),
            sizes: [size("ObjectSizeGreaterThan")?, size("ObjectSizeLessThan")?],
        })
    }

    /// Returns whether this scope includes all objects of the other.
    fn covers(&self, other: &Scope<'_>) -> bool {
        let sizes = self.sizes.iter().zip(&other.sizes);
        other.prefix.starts_with(self.prefix)
            && self.tags.iter().all(|tag| other.tags.contains(tag))
            && sizes
                .into_iter()
                .all(|(own, other)| own.is_none() || own == other)
    }
}

/// Returns whether one rule applies to all objects of another, or `None` if a filter is known only after apply.
pub(super) fn covers(rule: &Rule<'_>, other: &Rule<'_>) -> Option<bool> {
    Some(Scope::of(rule)?.covers(&Scope::of(other)?))
}

/// Reports a rule without effect, because another rule deletes its objects earlier.
pub(super) fn check(rules: &[Rule<'_>], findings: &mut Vec<Finding>) {
    let enabled: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.enabled()).collect();
    for first in &enabled {
        let Some(expires) = first.days(&["ExpirationInDays"]) else {
            continue;
        };
        for second in &enabled {
            if first.index == second.index || covers(first, second) != Some(true) {
                continue;
            }
            let moves = transitions::moves(second);
            let finding = if let Some(late) = moves.iter().find(|to| to.days >= expires) {
                let message = format!(
                    "objects move to {} after {} days, but {} expires them after {expires} days",
                    late.class,
                    late.days,
                    named(first)
                );
                late.finding(second, Code::RetentionConflict, message)
            } else if let Some(later) = second
                .days(&["ExpirationInDays"])
                .filter(|later| *later > expires)
            {
                let message = format!(
                    "objects are kept for {later} days, but {} expires them after {expires} days",
                    named(first)
                );
                second.finding(Code::RetentionConflict, &["ExpirationInDays"], message)
            } else {
                continue;
            };
            findings.push(finding.help("use prefixes that do not overlap, or the same time in both rules: the earlier expiration applies"));
        }
    }
}

/// Reports expirations in a versioned bucket, where an expired object stays as a noncurrent version.
pub(super) fn noncurrent(rules: &[Rule<'_>], findings: &mut Vec<Finding>) {
    let enabled = || rules.iter().filter(|rule| rule.enabled());
    for rule in enabled().filter(|rule| rule.expires()) {
        let removed = enabled().any(|other| other.expires_noncurrent() && covers(other, rule) != Some(false));
        if !removed {
            let key = ["ExpirationInDays", "ExpirationDate"]
                .into_iter()
                .find(|key| rule.has(key))
                .unwrap_or_default();
            let message = "expired objects remain as noncurrent versions, because the bucket is versioned";
            findings.push(
                rule.finding(Code::KeptAfterExpiration, &[key], message)
                    .help("add `NoncurrentVersionExpiration: {NoncurrentDays: 30}` to the rule"),
            );
        }
    }
}

fn named(rule: &Rule<'_>) -> String {
    match rule.id() {
        "" => format!("rule {} of the bucket", rule.index + 1),
        id => format!("`{id}`"),
    }
}
