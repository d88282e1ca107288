//! Checks lifecycle rules of buckets: rules that S3 rejects, and rules that do not do what they state. No other tool finds problems of order.

mod iceberg;
mod overlap;
mod promise;
mod transitions;

use terrace_artifact::Segment;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

const RULES: &[&str] = &["LifecycleConfiguration", "Rules"];
const MOST_RULES: usize = 1000;

/// Pairs of properties that exclude each other.
const EITHER: [(&str, &str); 3] = [
    ("Transition", "Transitions"),
    ("NoncurrentVersionTransition", "NoncurrentVersionTransitions"),
    ("NoncurrentVersionExpirationInDays", "NoncurrentVersionExpiration"),
];

/// Times that must be at least one day.
const POSITIVE: [&[&str]; 4] = [
    &["ExpirationInDays"],
    &["NoncurrentVersionExpirationInDays"],
    &["NoncurrentVersionExpiration", "NoncurrentDays"],
    &["AbortIncompleteMultipartUpload", "DaysAfterInitiation"],
];

/// A lifecycle rule with its index.
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

    /// Returns whether the rule expires objects.
    fn expires(&self) -> bool {
        self.has("ExpirationInDays") || self.has("ExpirationDate")
    }

    fn expires_noncurrent(&self) -> bool {
        self.has("NoncurrentVersionExpiration") || self.has("NoncurrentVersionExpirationInDays")
    }

    /// Returns whether the rule removes delete markers without noncurrent versions.
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
            "a bucket can have at most {MOST_RULES} lifecycle rules, but this one has {}",
            rules.len()
        );
        findings.push(
            Finding::new(Code::LifecycleOrder, RULES, message)
                .help("use one rule for all objects with the same lifecycle"),
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
            let message = "noncurrent versions exist only if versioning is enabled";
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

/// Checks the actions and times of one rule.
fn shape(rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    if !rule.body.entries().iter().any(|(key, _)| is_action(key)) {
        let message = "the lifecycle rule has no action";
        findings.push(rule.finding(Code::LifecycleOrder, &["Id"], message));
    }
    for (first, second) in EITHER {
        if rule.has(first) && rule.has(second) {
            let message = format!("a lifecycle rule cannot have both `{first}` and `{second}`");
            findings.push(
                rule.finding(Code::LifecycleOrder, &[first], message)
                    .help(format!("use only `{second}`")),
            );
        }
    }
    for path in POSITIVE {
        if let Some(days) = rule.days(path)
            && days < 1
        {
            let message = format!("`{}` must be at least 1, not {days}", path.join("."));
            findings.push(
                rule.finding(Code::LifecycleOrder, path, message)
                    .help("write `1` or more, or remove this key"),
            );
        }
    }
    if rule.has("ExpirationInDays") && rule.has("ExpirationDate") {
        let message = "a lifecycle rule cannot have both `ExpirationInDays` and `ExpirationDate`";
        findings.push(
            rule.finding(Code::LifecycleOrder, &["ExpirationDate"], message)
                .help("remove one of the two"),
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

/// Checks combinations of actions and filters that S3 rejects.
fn filters(rule: &Rule<'_>, findings: &mut Vec<Finding>) {
    if rule.removes_markers() {
        for key in ["ExpirationInDays", "ExpirationDate", "TagFilters"] {
            if rule.has(key) {
                let message = format!("`ExpiredObjectDeleteMarker` cannot be combined with `{key}`");
                findings.push(
                    rule.finding(Code::LifecycleOrder, &["ExpiredObjectDeleteMarker"], message)
                        .help("move it to a separate rule"),
                );
            }
        }
    }
    if rule.has("AbortIncompleteMultipartUpload") {
        for key in ["TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan"] {
            if rule.has(key) {
                let message = format!(
                    "`AbortIncompleteMultipartUpload` cannot be combined with `{key}`: an incomplete upload has neither tags nor a size"
                );
                findings.push(
                    rule.finding(Code::LifecycleOrder, &["AbortIncompleteMultipartUpload"], message)
                        .help("move it to a separate rule"),
                );
            }
        }
    }
}
