//! Checks rules whose id states a retention but which never delete the objects.

use terrace_syntax::code::Code;

use super::{Rule, overlap, transitions};
use crate::{Finding, Subject};

/// Words in the id of a rule that keeps or moves objects. A number in such an id is the time of the transition.
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

/// Words in the id of a rule that limits how long objects are kept.
const KEEPING: [&str; 7] = [
    "delete",
    "expire",
    "expires",
    "keep",
    "retain",
    "retention",
    "ttl",
];

/// Words next to `raw` in the id of a rule for all raw data: `RawDataLifecycle`.
const ZONE: [&str; 4] = ["data", "lifecycle", "retention", "zone"];

/// Words without meaning. If the id has no others, the name of the bucket is used.
const NOTHING: [&str; 6] = ["bucket", "default", "id", "lifecycle", "main", "rule"];

/// Reports a rule whose id states a retention, or names raw data, but which moves objects to an archive and never deletes them.
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
                "`{id}` indicates a retention of {promised} days, but objects move to {} after {} days and never expire",
                to.class, to.days
            );
            findings.push(to.finding(rule, Code::RetentionConflict, message).help(format!(
                "expire objects after {promised} days, or change the id of the rule"
            )));
        } else if promised.is_none()
            && is(&["raw"])
            && is(&ZONE)
            && matches!(last.class, "GLACIER" | "DEEP_ARCHIVE")
        {
            let message = format!(
                "`{id}` moves raw data to {} after {} days, but no rule deletes it",
                last.class, last.days
            );
            findings.push(
                last.finding(rule, Code::RetentionConflict, message)
                    .help(format!(
                        "to delete raw data after {} days, write `ExpirationInDays: {}` instead of the transition",
                        last.days, last.days
                    ))
                    .help("to keep it permanently, use an id with the word `Archive`, such as `RawDataArchive`"),
            );
        }
    }
}

/// Returns the time in a name, in days: `90d`, `90-days`, `7Years`.
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

/// Returns the words of a name in lower case: `RawRetention90Days` and `raw-retention-90-days` have the same.
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
    fn parses_a_time_in_every_spelling() {
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
