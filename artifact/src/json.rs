//! The only JSON writer.

use std::fmt::Write as _;

use crate::{Text, Value};

/// Writes JSON without spaces.
pub fn to_json_compact(value: &Value) -> String {
    let mut out = String::new();
    compact(value, &mut out);
    out
}

/// Writes JSON for readers: an indentation of two spaces, short lists of scalars on one line, a final newline.
pub fn to_json_pretty(value: &Value) -> String {
    let mut out = String::with_capacity(4096);
    pretty(value, 0, &mut out);
    out.push('\n');
    out
}

fn compact(value: &Value, out: &mut String) {
    match value {
        Value::List(items) => list(items, out, compact),
        Value::Map(entries) => map(entries, out, compact),
        value => scalar(value, out),
    }
}

/// Writes a list without spaces. `write` writes the items.
pub(crate) fn list(items: &[Value], out: &mut String, write: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// Writes a map without spaces, in the order of the entries. `write` writes the values.
pub(crate) fn map<'v>(
    entries: impl IntoIterator<Item = &'v (Text, Value)>,
    out: &mut String,
    write: impl Fn(&Value, &mut String),
) {
    out.push('{');
    for (i, (key, item)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        write(item, out);
    }
    out.push('}');
}

fn pretty(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::List(list) if list.is_empty() => out.push_str("[]"),
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        // A short intrinsic function is easier to read on one line.
        Value::Map(map) if is_short_function(map) => {
            for (key, item) in map {
                out.push('{');
                string(key, out);
                out.push_str(": ");
                pretty(item, depth, out);
                out.push('}');
            }
        }
        Value::List(list) if fits_on_a_line(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                scalar(item, out);
            }
            out.push(']');
        }
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                indent(depth + 1, out);
                pretty(item, depth + 1, out);
            }
            indent(depth, out);
            out.push(']');
        }
        Value::Map(map) => {
            let write = |out: &mut String| pretty_map(map, depth, out);
            match map.entries().known() {
                None => write(out),
                Some(known) => known.memo.json.add(depth, out, write),
            }
        }
        value => scalar(value, out),
    }
}

fn pretty_map(map: &crate::Map, depth: usize, out: &mut String) {
    out.push('{');
    for (i, (key, item)) in map.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        indent(depth + 1, out);
        string(key, out);
        out.push_str(": ");
        pretty(item, depth + 1, out);
    }
    indent(depth, out);
    out.push('}');
}

fn indent(depth: usize, out: &mut String) {
    const SPACES: &str = "\n                                ";
    out.push_str(&SPACES[..(1 + 2 * depth).min(SPACES.len())]);
    for _ in (SPACES.len() - 1) / 2..depth {
        out.push_str("  ");
    }
}

/// Returns whether a map is a short intrinsic function: `{"Ref": "Key"}`, `{"Fn::GetAtt": ["Key", "Arn"]}`, `{"Fn::Sub": "…"}`.
fn is_short_function(map: &crate::Map) -> bool {
    map.len() == 1
        && map.iter().all(|(key, value)| {
            (key == "Ref" || key.starts_with("Fn::"))
                && match value {
                    Value::String(_) => true,
                    Value::List(list) => fits_on_a_line(list),
                    _ => false,
                }
        })
}

/// Returns whether a list has at most two short scalars, such as `["Key", "Arn"]`. Only such lists read better on one line.
fn fits_on_a_line(list: &[Value]) -> bool {
    let mut width = 0;
    list.len() <= 2
        && list.iter().all(|item| match item {
            Value::String(s) => {
                width += s.len();
                width <= 60
            }
            Value::List(_) | Value::Map(_) => false,
            _ => true,
        })
}

pub(crate) fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(s) => string(s, out),
        Value::List(_) | Value::Map(_) => compact(value, out),
    }
}

/// The bytes that must be escaped in a string.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[0x7f] = true;
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

pub(crate) fn string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| ESCAPED[usize::from(byte)]) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_json_reads_the_same_value() {
        let text = "q\" b\\ n\n r\r t\t bell\u{7} del\u{7f} é 🦀 \u{2028}";
        let value = Value::List(vec![
            text.into(),
            Value::Null,
            5i64.into(),
            "0.25".parse::<crate::Decimal>().unwrap().into(),
        ]);
        for json in [to_json_compact(&value), to_json_pretty(&value)] {
            assert_eq!(Value::from_json(&serde_json::from_str(&json).unwrap()), value);
        }
    }
}
