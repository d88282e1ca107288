//! The only YAML writer. It uses block style, and quotes strings so that YAML 1.1 readers (kubectl, PyYAML) and YAML 1.2
//! readers read the same values.

use std::fmt::Write as _;

use crate::Value;

/// Writes one document, without `---`.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::with_capacity(1024);
    write_document(value, &mut out);
    out
}

/// Writes several documents, separated by `---`.
pub fn write_documents<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut String) {
    for (i, value) in values.into_iter().enumerate() {
        if i > 0 {
            out.push_str("---\n");
        }
        write_document(value, out);
    }
}

fn write_document(value: &Value, out: &mut String) {
    match value {
        Value::Map(map) if !map.is_empty() => write_map(map, 0, false, out),
        Value::List(list) if !list.is_empty() => write_list(list, 0, out),
        scalar => {
            write_scalar(scalar, 0, out);
            out.push('\n');
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    const SPACES: &str = "                                                                ";
    let mut width = depth * 2;
    while width > 0 {
        let step = width.min(SPACES.len());
        out.push_str(&SPACES[..step]);
        width -= step;
    }
}

/// The maximum length of a key, in bytes, that is written without `?`. A reader rejects a key whose colon does not follow
/// within 1024 characters, escapes included, unless `?` precedes the key.
const LONGEST_KEY: usize = 100;

/// Writes a map at `depth`. Does not indent the first entry if its line is already `begun` (`- `).
fn write_map(map: &crate::Map, depth: usize, begun: bool, out: &mut String) {
    if !begun {
        indent(depth, out);
    }
    let write = |out: &mut String| write_entries(map, depth, out);
    match map.entries().known() {
        None => write(out),
        Some(known) => known.memo.yaml.add(depth, out, write),
    }
}

/// Writes the entries of a map. The caller has indented the first line.
fn write_entries(map: &crate::Map, depth: usize, out: &mut String) {
    for (i, (key, value)) in map.iter().enumerate() {
        if i > 0 {
            indent(depth, out);
        }
        if key.len() <= LONGEST_KEY {
            write_key(key, out);
        } else {
            out.push_str("? ");
            write_key(key, out);
            out.push('\n');
            indent(depth, out);
        }
        out.push(':');
        match value {
            Value::Map(map) if !map.is_empty() => {
                out.push('\n');
                write_map(map, depth + 1, false, out);
            }
            Value::List(list) if !list.is_empty() => {
                out.push('\n');
                // kubectl prints a list at the indentation of its key.
                write_list(list, depth, out);
            }
            scalar => {
                out.push(' ');
                write_scalar(scalar, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

fn write_list(list: &[Value], depth: usize, out: &mut String) {
    for value in list {
        indent(depth, out);
        out.push_str("- ");
        match value {
            Value::Map(map) if !map.is_empty() => write_map(map, depth + 1, true, out),
            Value::List(list) if !list.is_empty() => {
                // A list in a list is rare, and its compact form (`- - 1`) is hard to read.
                out.truncate(out.len() - 1);
                out.push('\n');
                write_list(list, depth + 1, out);
            }
            scalar => {
                write_scalar(scalar, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

fn write_key(key: &str, out: &mut String) {
    if is_plain(key) {
        out.push_str(key);
    } else {
        write_quoted(key, out);
    }
}

fn write_scalar(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) if is_block(text) => write_block(text, depth, out),
        Value::String(text) => write_quoted(text, out),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// Returns whether a text with line breaks can be written unchanged as a block scalar (`|`).
fn is_block(text: &str) -> bool {
    let inner = text.trim_end_matches('\n');
    inner.contains('\n') | (text.ends_with('\n') && !inner.is_empty())
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || is_printable(c))
        && inner.split('\n').all(|line| !line.ends_with([' ', '\t']))
}

fn write_block(text: &str, depth: usize, out: &mut String) {
    let inner = text.trim_end_matches('\n');
    out.push_str(match text.len() - inner.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in inner.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(depth.max(1), out);
            out.push_str(line);
        }
    }
    for _ in 1..text.len() - inner.len() {
        out.push('\n');
    }
}

/// Writes a quoted string: single quotes if the text needs no escapes, double quotes otherwise.
fn write_quoted(text: &str, out: &mut String) {
    if text.chars().all(is_printable) {
        out.push('\'');
        let mut pieces = text.split('\'');
        out.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            out.push_str("''");
            out.push_str(piece);
        }
        out.push('\'');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push('"');
}

/// Returns whether both versions of YAML allow a character unescaped on one line. Line separators are excluded, because
/// YAML 1.1 breaks lines there.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Returns whether a string is written without quotes. The rule is stricter than YAML's, so that it is safe in every reader.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let starts_well = first.is_ascii_alphabetic()
        || first.is_ascii_digit()
        || matches!(first, b'/' | b'_' | b'.' | b'(' | b'$' | b'^' | b'+')
        || (matches!(first, b'-') && bytes.len() > 1 && (bytes[1] == b'-' || bytes[1].is_ascii_alphabetic()));
    if !starts_well || matches!(last, b' ' | b':') {
        return false;
    }
    let misread = || text.contains(": ") || text.contains(" #");
    if !bytes.iter().all(|byte| PLAIN[usize::from(*byte)]) || (bytes.contains(&b' ') && misread()) {
        return false;
    }
    if bytes.starts_with(b"---") || bytes.starts_with(b"...") {
        return false;
    }
    !means_something_else(text)
}

/// The bytes that an unquoted string may contain. Commas and brackets are safe in block style, but not after the text is
/// pasted into a flow list.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte as usize] = !matches!(byte, b',' | b'[' | b']' | b'{' | b'}' | b'`');
        byte += 1;
    }
    plain
};

/// Returns whether a YAML 1.1 or 1.2 reader would read the unquoted text as something other than a string.
fn means_something_else(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "nan",
    ];
    let bytes = text.as_bytes();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if bytes.len() <= 6 && WORDS.iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return true;
    }
    let Some(&first) = unsigned.as_bytes().first() else {
        return true;
    };
    // kubectl ignores underscores after a sign, so it reads `+_1` as a number. It does not read `_1` as a number.
    let signed = unsigned.len() < text.len();
    if !(first.is_ascii_digit() || first == b'.' || (signed && first == b'_')) {
        return false;
    }
    // Numbers of both versions contain only these characters: 1_000, 0x1F, 0b10, 0o17, 1e3, 1.5, 12:30:45 (base 60). Dates are
    // similar: 2026-11-21T03:04:05Z. A name such as `10.0.0.0/24` or `3d-model` contains another character and stays unquoted.
    let numeric = |b: &u8| {
        b.is_ascii_hexdigit() || matches!(b, b'.' | b'_' | b'+' | b'-' | b':' | b'x' | b'X' | b'o' | b'O')
    };
    let date = |b: &u8| {
        b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b't' | b'Z' | b'z' | b' ' | b'.' | b'+')
    };
    unsigned.as_bytes().iter().all(numeric) || unsigned.as_bytes().iter().all(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Map;

    #[test]
    fn writes_block_style_with_minimal_quoting() {
        let json = r#"{"apiVersion": "v1", "data": {"NO": "NO", "n": "1", "text": "a\nb\n", "empty": "", "list": []},
            "list": [{"name": "x", "args": ["--a=b", "- b", "10.0.0.0/24", "2001:db8::/32", "*"]}, [1, [2]], {}]}"#;
        let yaml = to_yaml(&serde_json::from_str(json).unwrap());
        let want = "apiVersion: v1\ndata:\n  'NO': 'NO'\n  'n': '1'\n  text: |\n    a\n    b\n  empty: ''\n  list: []\nlist:\n- name: x\n  args:\n  - --a=b\n  - '- b'\n  - 10.0.0.0/24\n  - 2001:db8::/32\n  - '*'\n-\n  - 1\n  -\n    - 2\n- {}\n";
        assert_eq!(yaml, want);
    }

    #[test]
    fn quotes_words_that_yaml_1_1_reads_as_other_types() {
        for text in [
            "y",
            "Y",
            "yes",
            "NO",
            "on",
            "Off",
            "~",
            "null",
            "NULL",
            "true",
            "False",
            "=",
            "<<",
            "1",
            "1.10",
            "1_000",
            "012",
            "0o17",
            "0x1F",
            "0b1",
            "1e3",
            "1:30",
            "190:20:30",
            "2026-11-21",
            "2026-11-21T03:04:05Z",
            ".5",
            "+1",
            "+_1",
            "-1",
            ".inf",
            "-.inf",
            ".nan",
            " a",
            "a ",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "|a",
            ">a",
            "?",
            "-",
            "- a",
            "---",
            "...",
            "",
            "a:",
            "[a",
            "{a",
            "a,b",
            "é\u{85}",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
        for text in [
            "a",
            "a b",
            "arn:aws:s3:::x",
            "1.36.3-alpha",
            "a#b",
            "/path",
            "--flag",
            "3d-model",
            "cron(0 2 * * ? *)",
            "$.x",
        ] {
            assert!(is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn block_scalars_keep_their_final_newlines() {
        for (text, want) in [
            ("a\nb", "k: |-\n  a\n  b\n"),
            ("a\n", "k: |\n  a\n"),
            ("a\n\n", "k: |+\n  a\n\n"),
            ("a\n\nb\n", "k: |\n  a\n\n  b\n"),
            ("a \nb", "k: \"a \\nb\"\n"),
            (" a\nb", "k: \" a\\nb\"\n"),
            ("\n", "k: \"\\n\"\n"),
        ] {
            assert_eq!(to_yaml(&Value::Map(Map::from_iter([("k", text)]))), want);
        }
    }

    #[test]
    fn long_keys_use_explicit_key_syntax() {
        let key = "k".repeat(101);
        let yaml = to_yaml(&Value::List(vec![Value::Map(Map::from_iter([(
            key.as_str(),
            "v",
        )]))]));
        assert_eq!(yaml, format!("- ? {key}\n  : v\n"));
    }
}
