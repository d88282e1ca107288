//! What the name of a rule promises: a retention, and nothing that expires.

use super::{Rule, overlap, transitions};
use crate::check::{Finding, Subject};
use crate::code::Code;

/// Words of a rule that says it keeps or moves objects; then the number is when it does.
const MOVING: [&str; 14] = [
    "after",
    "archive",
    "archived",
    "cold",
    "deep",
    "forever",
    "glacier",
    "ia",
    "indefinite",
    "indefinitely",
    "move",
    "tier",
    "tiering",
    "transition",
];

/// Words of a rule that says how long objects are there.
const KEEPING: [&str; 7] = [
    "delete",
    "expire",
    "expires",
    "keep",
    "retain",
    "retention",
    "ttl",
];

/// Words beside `raw` in the name of a rule for all raw data: `RawDataLifecycle`.
const ZONE: [&str; 4] = ["data", "lifecycle", "retention", "zone"];

/// Words of an id that says nothing: then the bucket's name says what the rule is about.
const NOTHING: [&str; 6] = ["bucket", "default", "id", "lifecycle", "main", "rule"];

/// A rule called a retention, or that of raw data, which ends in an archive keeps everything for ever.
pub(super) fn check(subject: &Subject<'_>, rules: &[Rule<'_>], findings: &mut Vec<Finding>) {
    for rule in rules.iter().filter(|rule| rule.enabled()) {
        let says_nothing = |word: &String| word.len() < 3 || NOTHING.contains(&word.as_str());
        let whole = !rule.has("Prefix") && !rule.has("TagFilters");
        let id = match rule.id() {
            id if whole && words(id).iter().all(says_nothing) => subject.resource.address.resource.as_str(),
            id => id,
        };
        let words = words(id);
        let is = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let moves = transitions::moves(rule);
        let Some(last) = moves.iter().max_by_key(|to| to.days) else {
            continue;
        };
        let expires = |other: &Rule<'_>| {
            other.enabled() && other.expires() && overlap::covers(other, rule) != Some(false)
        };
        if is(&MOVING) || rules.iter().any(expires) {
            continue;
        }
        let promised = promised(&words);
        let broken = promised.and_then(|promised| {
            let late = moves.iter().find(|to| to.days >= promised);
            Some((promised, late.or(is(&KEEPING).then_some(last))?))
        });
        if let Some((promised, to)) = broken {
            let message = format!(
                "`{id}` promises {promised} days, and after {} days objects move to {} and stay",
                to.days, to.class
            );
            findings.push(to.finding(rule, Code::RetentionConflict, message).help(format!(
                "let them expire after {promised} days, or name the rule for what it does"
            )));
        } else if promised.is_none()
            && is(&["raw"])
            && is(&ZONE)
            && matches!(last.class, "GLACIER" | "DEEP_ARCHIVE")
        {
            let message = format!(
                "`{id}` moves raw data to {} after {} days, and nothing ever deletes them",
                last.class, last.days
            );
            findings.push(
                last.finding(rule, Code::RetentionConflict, message)
                    .help(format!(
                        "where raw data are kept for {} days, write `ExpirationInDays: {}` instead of the transition",
                        last.days, last.days
                    ))
                    .help("where they are kept for good, say so in the id: `RawDataArchive`"),
            );
        }
    }
}

/// The time in a name, in days: `90d`, `90-days`, `7Years`.
fn promised(words: &[String]) -> Option<i64> {
    words.windows(2).rev().find_map(|pair| {
        let [number, unit] = pair else { return None };
        let days = match unit.as_str() {
            "d" | "day" | "days" => 1,
            "w" | "week" | "weeks" => 7,
            "month" | "months" => 30,
            "y" | "year" | "years" => 365,
            _ => return None,
        };
        number.parse::<i64>().ok()?.checked_mul(days)
    })
}

/// The words of a name in lower case: `RawRetention90Days` and `raw-retention-90-days` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for letter in name.chars() {
        let starts = !before.is_alphanumeric()
            || before.is_numeric() != letter.is_numeric()
            || (before.is_lowercase() && letter.is_uppercase());
        if letter.is_alphanumeric() {
            match words.last_mut().filter(|_| !starts) {
                Some(word) => word.extend(letter.to_lowercase()),
                None => words.push(letter.to_lowercase().collect()),
            }
        }
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{promised, words};

    #[test]
    fn a_time_is_read_in_every_spelling() {
        for (name, days) in [
            ("raw-retention-90d", Some(90)),
            ("raw-retention-90-days", Some(90)),
            ("RawRetention90Days", Some(90)),
            ("raw_90D_retention", Some(90)),
            ("curated 7 years", Some(2555)),
            ("RawDataLifecycle", None),
            ("rule90", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(promised(&words(name)), days, "{name}");
        }
    }
}
