//! Lifecycle rules of buckets: their order, and what they promise. S3's own rules; no other tool finds the ones about order.

use terrace_artifact::Segment;

use super::{Finding, Subject};
use crate::code::Code;
use crate::term::Term;

/// Classes from warm to cold: objects only move down. The number is the least days since creation.
const CLASSES: [(&str, i64); 7] = [
    ("STANDARD_IA", 30),
    ("INTELLIGENT_TIERING", 0),
    ("ONEZONE_IA", 30),
    ("GLACIER_IR", 0),
    ("GLACIER", 0),
    ("DEEP_ARCHIVE", 0),
    ("STANDARD", 0),
];

pub(super) fn bucket(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(rules) = subject.body.at(&["LifecycleConfiguration", "Rules"]) else {
        return;
    };
    let versioned = subject
        .body
        .at(&["VersioningConfiguration", "Status"])
        .and_then(Term::as_str)
        == Some("Enabled");
    let mut ids: Vec<&str> = Vec::new();
    for (index, rule) in rules.items().iter().enumerate() {
        let at = |key: &str| [Segment::Index(index), Segment::Key(key.into())];
        let mut find = |code: Code, key: &str, message: String| {
            findings.push(Finding::new(code, &["LifecycleConfiguration", "Rules"], message).below(at(key)));
        };
        if let Some(id) = rule.get("Id").and_then(Term::as_str) {
            if ids.contains(&id) {
                find(
                    Code::LifecycleOrder,
                    "Id",
                    format!("two lifecycle rules have the id `{id}`"),
                );
            }
            ids.push(id);
        }
        if !rule.entries().iter().any(|(key, _)| is_action(key)) {
            find(
                Code::LifecycleOrder,
                "Id",
                "this lifecycle rule does nothing: it has no action".to_owned(),
            );
        }
        if !versioned
            && rule
                .entries()
                .iter()
                .any(|(key, _)| key.starts_with("NoncurrentVersion"))
        {
            let message = "noncurrent versions exist only where versioning is enabled".to_owned();
            find(Code::LifecycleOrder, "NoncurrentVersionExpiration", message);
        }
        transitions(rule, index, findings);
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

fn transitions(rule: &Term, index: usize, findings: &mut Vec<Finding>) {
    let list: Vec<(usize, &str, i64)> = rule
        .get("Transitions")
        .map_or(&[][..], Term::items)
        .iter()
        .enumerate()
        .filter_map(|(at, t)| {
            Some((
                at,
                t.get("StorageClass")?.as_str()?,
                days(t.get("TransitionInDays"))?,
            ))
        })
        .collect();
    let mut find = |code: Code, at: Option<usize>, message: String, help: String| {
        let finding =
            Finding::new(code, &["LifecycleConfiguration", "Rules"], message).below([Segment::Index(index)]);
        let path: Vec<Segment> = match at {
            Some(at) => vec!["Transitions".into(), at.to_string()]
                .into_iter()
                .map(|part: String| part.parse().map_or(Segment::Key(part.into()), Segment::Index))
                .chain([Segment::Key("TransitionInDays".into())])
                .collect(),
            None => vec![Segment::Key("ExpirationInDays".into())],
        };
        findings.push(finding.below(path).help(help));
    };
    let rank = |class: &str| CLASSES.iter().position(|(name, _)| *name == class);
    for (at, class, day) in &list {
        let least = CLASSES
            .iter()
            .find(|(name, _)| name == class)
            .map_or(0, |(_, least)| *least);
        if *day < least {
            let message = format!("objects cannot move to {class} after {day} days: {least} is the earliest");
            find(
                Code::LifecycleOrder,
                Some(*at),
                message,
                format!("write {least} or more"),
            );
        }
    }
    let mut sorted = list.clone();
    sorted.sort_by_key(|(_, class, _)| rank(class));
    for pair in sorted.windows(2) {
        let [(_, warm, warm_day), (at, cold, cold_day)] = pair else {
            continue;
        };
        let rest = if warm.ends_with("_IA") { 30 } else { 1 };
        if *cold_day < warm_day + rest {
            let message = if cold_day < warm_day {
                format!(
                    "objects move to {cold} after {cold_day} days, and to {warm}, which is warmer, after {warm_day}"
                )
            } else {
                let stay = cold_day - warm_day;
                format!("objects move to {warm} after {warm_day} days, and {stay} days later on to {cold}")
            };
            let help = match rest {
                1 => format!("move to {cold} later than to {warm}"),
                rest => format!(
                    "objects rest {rest} days in {warm}: move to {cold} after {} days or more",
                    warm_day + rest
                ),
            };
            find(Code::LifecycleOrder, Some(*at), message, help);
        }
    }
    if let (Some(expires), Some((_, class, last))) = (
        days(rule.get("ExpirationInDays")),
        list.iter().max_by_key(|(_, _, day)| *day),
    ) && expires <= *last
    {
        let message = format!("objects expire after {expires} days, and are to move to {class} after {last}");
        let help = format!("keep them for more than {last} days, or do not move them to {class}");
        find(Code::RetentionConflict, None, message, help);
    }
    // A rule called a retention that ends in an archive keeps everything for ever.
    let id = rule.get("Id").and_then(Term::as_str).unwrap_or_default();
    let promised = id
        .rsplit(['-', '_', ' '])
        .find_map(|word| word.strip_suffix('d')?.parse::<i64>().ok());
    if let (Some(promised), None) = (promised, rule.get("ExpirationInDays"))
        && let Some((at, class, day)) = list.iter().find(|(_, _, day)| *day >= promised)
    {
        let message =
            format!("`{id}` promises {promised} days, and after {day} days objects move to {class} and stay");
        find(
            Code::RetentionConflict,
            Some(*at),
            message,
            format!("let them expire after {promised} days, or name the rule for what it does"),
        );
    }
}

fn days(term: Option<&Term>) -> Option<i64> {
    match term? {
        Term::String(text) => text.parse().ok(),
        term => term.as_integer(),
    }
}
