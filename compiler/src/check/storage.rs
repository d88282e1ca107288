//! Lifecycle rules of buckets: what S3 refuses, and what does not do what it says. No other tool finds the ones about order.

mod iceberg;
mod overlap;
mod promise;
mod transitions;

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::term::Term;

const RULES: &[&str] = &["LifecycleConfiguration", "Rules"];
const MOST_RULES: usize = 1000;

/// Properties of which a rule has one or the other.
const EITHER: [(&str, &str); 3] = [
    ("Transition", "Transitions"),
    ("NoncurrentVersionTransition", "NoncurrentVersionTransitions"),
    ("NoncurrentVersionExpirationInDays", "NoncurrentVersionExpiration"),
];

/// Times that are a day at least.
const POSITIVE: [&[&str]; 4] = [
    &["ExpirationInDays"],
    &["NoncurrentVersionExpirationInDays"],
    &["NoncurrentVersionExpiration", "NoncurrentDays"],
    &["AbortIncompleteMultipartUpload", "DaysAfterInitiation"],
];

/// A lifecycle rule, and which it is.
struct Rule<'a> {
    index: usize,
    body: &'a Term,
}

impl<'a> Rule<'a> {
    fn at(&self, path: &[&str]) -> Option<&'a Term> {
        self.body.at(path).filter(|term| **term != Term::Null)
    }

    fn has(&self, key: &str) -> bool {
        self.at(&[key]).is_some()
    }

    fn id(&self) -> &'a str {
        self.at(&["Id"]).and_then(Term::as_str).unwrap_or_default()
    }

    fn enabled(&self) -> bool {
        self.at(&["Status"]).and_then(Term::as_str) != Some("Disabled")
    }

    /// Whether objects expire, at any time.
    fn expires(&self) -> bool {
        self.has("ExpirationInDays") || self.has("ExpirationDate")
    }

    fn expires_noncurrent(&self) -> bool {
        self.has("NoncurrentVersionExpiration") || self.has("NoncurrentVersionExpirationInDays")
    }

    /// Whether it removes the delete markers that nothing is left under.
    fn removes_markers(&self) -> bool {
        self.at(&["ExpiredObjectDeleteMarker"])
            .is_some_and(|marker| marker.as_bool() != Some(false))
    }

    fn days(&self, path: &[&str]) -> Option<i64> {
        days(self.at(path)?)
    }

    fn finding(&self, code: Code, path: &[&str], message: impl Into<String>) -> Finding {
        let path = path.iter().map(|key| Segment::Key((*key).into()));
        Finding::new(code, RULES, message)
            .below([Segment::Index(self.index)])
            .below(path)
    }
}

fn days(term: &Term) -> Option<i64> {
    match term {
        Term::String(text) => text.parse().ok(),
        term => term.as_integer(),
    }
}

pub(super) fn bucket(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(rules) = subject.body.at(RULES) else {
        return;
    };
    let rules: Vec<Rule<'_>> = rules
        .items()
        .iter()
        .enumerate()
        .map(|(index, body)| Rule { index, body })
        .collect();
    if rules.len() > MOST_RULES {
        let message = format!(
            "a bucket has {MOST_RULES} lifecycle rules at most, and this one has {}",
            rules.len()
        );
        findings.push(
            Finding::new(Code::LifecycleOrder, RULES, message).help("give one rule to what is treated alike"),
        );
        return;
    }
    let versioned = subject
        .body
        .at(&["VersioningConfiguration", "Status"])
        .and_then(Term::as_str)
        == Some("Enabled");
    let mut ids: Vec<&str> = Vec::new();
    for rule in &rules {
        if rule.has("Id") && ids.contains(&rule.id()) {
            let message = format!("two lifecycle rules have the id `{}`", rule.id());
            findings.push(rule.finding(Code::LifecycleOrder, &["Id"], message));
        }
        ids.push(rule.id());
        if !versioned
            && let Some((key, _)) = rule
                .body
                .entries()
                .iter()
                .find(|(key, _)| key.starts_with("NoncurrentVersion"))
        {
            let message = "noncurrent versions exist only where versioning is enabled";
            findings.push(rule.finding(Code::LifecycleOrder, &[key], message));
        }
        shape(rule, findings);
        filters(rule, findings);
        transitions::check(rule, findings);
    }
    overlap::check(&rules, findings);
    if versioned {
        overlap::noncurrent(&rules, findings);
    }
    promise::check(subject, &rules, findings);
    iceberg::check(subject, &rules, findings);
}

/// What a rule is made of: actions that go together, and times that are one.
fn shape(rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    if !rule.body.entries().iter().any(|(key, _)| is_action(key)) {
        let message = "this lifecycle rule does nothing: it has no action";
        findings.push(rule.finding(Code::LifecycleOrder, &["Id"], message));
    }
    for (one, other) in EITHER {
        if rule.has(one) && rule.has(other) {
            let message = format!("a lifecycle rule has `{one}` or `{other}`, not both");
            findings.push(
                rule.finding(Code::LifecycleOrder, &[one], message)
                    .help(format!("write all of it in `{other}`")),
            );
        }
    }
    for path in POSITIVE {
        if let Some(days) = rule.days(path)
            && days < 1
        {
            let message = format!("`{}` is 1 at least, not {days}", path.join("."));
            findings.push(
                rule.finding(Code::LifecycleOrder, path, message)
                    .help("write 1 or more, or take it out"),
            );
        }
    }
    if rule.has("ExpirationInDays") && rule.has("ExpirationDate") {
        let message = "objects expire after days or on a date, not both";
        findings.push(
            rule.finding(Code::LifecycleOrder, &["ExpirationDate"], message)
                .help("take out `ExpirationInDays` or `ExpirationDate`"),
        );
    } else {
        findings.extend(transitions::mixed_units(rule));
    }
}

fn is_action(key: &str) -> bool {
    matches!(
        key,
        "ExpirationInDays"
            | "ExpirationDate"
            | "ExpiredObjectDeleteMarker"
            | "AbortIncompleteMultipartUpload"
    ) || key.starts_with("Transition")
        || key.starts_with("NoncurrentVersion")
}

/// Actions that do not go with some filters, or with each other.
fn filters(rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    if rule.removes_markers() {
        for key in ["ExpirationInDays", "ExpirationDate", "TagFilters"] {
            if rule.has(key) {
                let message = format!("`ExpiredObjectDeleteMarker` does not go with `{key}`");
                findings.push(
                    rule.finding(Code::LifecycleOrder, &["ExpiredObjectDeleteMarker"], message)
                        .help("put it into a rule of its own"),
                );
            }
        }
    }
    if rule.has("AbortIncompleteMultipartUpload") {
        for key in ["TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan"] {
            if rule.has(key) {
                let message = format!(
                    "`AbortIncompleteMultipartUpload` does not go with `{key}`: an upload that never ended has neither tags nor a size"
                );
                findings.push(
                    rule.finding(Code::LifecycleOrder, &["AbortIncompleteMultipartUpload"], message)
                        .help("put it into a rule of its own"),
                );
            }
        }
    }
}
