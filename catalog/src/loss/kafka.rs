//! Compares the settings of Kafka topics and brokers: lines of `name=value`, optionally in base64.

use std::collections::BTreeMap;

use terrace_artifact::{Decimal, Segment, Text, Value};

use super::Loss;

/// The settings whose lower value deletes records sooner; `-1` means no limit.
const RETENTION: [&str; 8] = [
    "retention.ms",
    "retention.bytes",
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
    "log.retention.bytes",
    "delete.retention.ms",
    "log.cleaner.delete.retention.ms",
];

/// The settings that decide how old records are removed.
const CLEANUP: [&str; 2] = ["cleanup.policy", "log.cleanup.policy"];

/// Returns the losses of a change of settings, or `None` if the settings cannot be parsed.
pub(super) fn losses(before: Option<&Value>, after: Option<&Value>) -> Option<Vec<Loss>> {
    let (before, after) = (settings(before)?, settings(after)?);
    let mut found = Vec::new();
    let names = RETENTION.iter().chain(&CLEANUP);
    for name in names.filter(|name| before.get(**name) != after.get(**name)) {
        let (was, is) = (before.get(*name), after.get(*name));
        let lost = if CLEANUP.contains(name) {
            let deletes = |value: Option<&String>| value.is_none_or(|value| value.contains("delete"));
            Some(!deletes(was) && deletes(is))
        } else {
            is_less(is, was)
        };
        if lost == Some(false) {
            continue;
        }
        let value = |value: Option<&String>| value.map(|value| Value::from(value.as_str()));
        found.push(Loss {
            path: vec![Segment::Key(Text::from(*name))],
            before: value(was),
            after: value(is),
            what: "older records are deleted".to_owned(),
            certain: lost == Some(true),
        });
    }
    Some(found)
}

/// Returns whether one limit is lower than another, or `None` if the broker's default decides.
fn is_less(one: Option<&String>, other: Option<&String>) -> Option<bool> {
    let number = |text: &String| text.parse::<Decimal>().ok();
    let (one, other) = (number(one?)?, number(other?)?);
    Some(match (one.is_negative(), other.is_negative()) {
        (true, _) => false,
        (false, true) => true,
        (false, false) => one < other,
    })
}

fn settings(value: Option<&Value>) -> Option<BTreeMap<String, String>> {
    let text = match value {
        None | Some(Value::Null) => return Some(BTreeMap::new()),
        Some(value) => value.as_str()?,
    };
    let decoded = if text.contains(['=', '\n', '.']) && !looks_like_base64(text) {
        text.to_owned()
    } else {
        String::from_utf8(base64(text)?).ok()?
    };
    let lines = decoded.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

fn looks_like_base64(text: &str) -> bool {
    text.trim_end_matches('=')
        .bytes()
        .all(|byte| sextet(byte).is_some())
        && text.len().is_multiple_of(4)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text
        .trim_end_matches('=')
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
    {
        bits = bits << 6 | u32::from(sextet(byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
