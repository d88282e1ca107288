//! Strings and values that YAML writers and readers are known to interpret differently.

use serde::Deserialize;
use terrace_artifact::{Decimal, Map, Value};

use crate::random::Random;

/// Returns strings that some reader misreads, truncates, joins or rejects if they are written carelessly.
///
/// The list is the same in every run.
pub fn strings() -> Vec<String> {
    let known: AwkwardFile = serde_json::from_str(include_str!("awkward.json")).expect("lists of strings");
    let mut strings = known.phrases;
    for word in &known.words {
        strings.push(word.clone());
        strings.push(word.to_uppercase());
        strings.push(word.to_lowercase());
        strings.push(capitalized(word));
        for sign in ["+", "-", " ", "~", "."] {
            strings.push(format!("{sign}{word}"));
        }
        for end in [" ", ":", ": ", " #", ",", "\n", "\t", "_", ".", "\u{a0}"] {
            strings.push(format!("{word}{end}"));
        }
    }
    for first in 0..=0x2ff_u32 {
        let Some(c) = char::from_u32(first) else { continue };
        for text in [
            format!("{c}"),
            format!("{c}a"),
            format!("a{c}"),
            format!("a{c}b"),
            format!("a {c} b"),
        ] {
            strings.push(text);
        }
    }
    for c in UNUSUAL {
        for text in [
            format!("{c}"),
            format!("{c}a"),
            format!("a{c}"),
            format!("a{c}b"),
            format!("a\n{c}\nb"),
            format!("{c} "),
        ] {
            strings.push(text);
        }
    }
    strings.push("long ".repeat(400));
    strings.push("x".repeat(5000));
    strings.push("a long line that a writer might fold: ".repeat(40) + "\n" + &"and another ".repeat(40));
    strings.extend(random_strings(4000));
    strings.sort_unstable();
    strings.dedup();
    strings
}

/// Returns every awkward string in every position of a document, and numbers, lists and maps in unusual shapes.
pub fn values() -> Vec<Value> {
    let strings = strings();
    let mut values = shapes();
    for text in &strings {
        let value = || Value::from(text.as_str());
        values.push(value());
        let list = || {
            Value::List(vec![
                value(),
                Value::List(vec![value(), value()]),
                map([("k", value())]),
            ])
        };
        let inner = map([(text.as_str(), list())]);
        values.push(map([
            ("before", value()),
            (text.as_str(), value()),
            ("deep", inner),
            ("after", value()),
        ]));
        values.push(Value::List(vec![map([
            (text.as_str(), value()),
            ("next", value()),
        ])]));
    }
    let everything = strings
        .iter()
        .map(|text| (text.into(), Value::from(text.as_str())));
    values.push(Value::Map(Map::from_distinct(everything.collect())));
    values.push(Value::List(
        strings.iter().map(|text| Value::from(text.as_str())).collect(),
    ));
    values
}

/// `awkward.json`.
#[derive(Deserialize)]
struct AwkwardFile {
    /// Words that YAML 1.1 or 1.2 reads as null, a boolean, a number, a date, a merge key, a default, or an indicator.
    words: Vec<String>,
    /// Strings of several lines, and strings that look like a document.
    phrases: Vec<String>,
}

/// Characters at the limits of what YAML allows.
const UNUSUAL: &[char] = &[
    '\u{2010}',
    '\u{2018}',
    '\u{201c}',
    '\u{2026}',
    '\u{2027}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202e}',
    '\u{2060}',
    '\u{200b}',
    '\u{200d}',
    '\u{3000}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{f8ff}',
    '\u{fdd0}',
    '\u{fefe}',
    '\u{feff}',
    '\u{ff00}',
    '\u{fffd}',
    '\u{fffe}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1f44d}',
    '\u{1fffe}',
    '\u{1ffff}',
    '\u{e0001}',
    '\u{10fffd}',
    '\u{10fffe}',
    '\u{10ffff}',
];

fn shapes() -> Vec<Value> {
    let empty_map = || Value::Map(Map::new());
    let empty_list = || Value::List(Vec::new());
    let list = |items: Vec<Value>| Value::List(items);
    let mut shapes = vec![
        Value::Null,
        true.into(),
        false.into(),
        empty_map(),
        empty_list(),
        list(vec![empty_list()]),
        list(vec![empty_map(), empty_list(), Value::Null, "".into()]),
        list(vec![list(vec![list(vec![list(vec![1.into()])])])]),
        list(vec![list(vec![empty_list()]), list(vec![empty_map()])]),
        list(vec![map([(
            "a",
            list(vec![list(vec![map([("b", empty_list())])])]),
        )])]),
        map([
            ("a", empty_map()),
            ("b", empty_list()),
            ("c", Value::Null),
            ("d", "".into()),
        ]),
        map([("", Value::Null), ("~", 1.into()), ("null", true.into())]),
        list(vec![
            map([("a\nb", "c\nd\n".into()), ("e", "f\n\n".into())]),
            "g\n".into(),
            "h\ni".into(),
        ]),
    ];
    for number in [
        "0",
        "-1",
        "1.5",
        "-0.25",
        "1e-9",
        "999999999999999999",
        "-999999999999999999",
        "0.000001",
        "1000000",
        "6.02e17",
    ] {
        let number = Value::Number(number.parse::<Decimal>().expect("a decimal"));
        shapes.push(number.clone());
        shapes.push(map([
            ("n", number.clone()),
            ("l", list(vec![number.clone(), list(vec![number])])),
        ]));
    }
    let mut deep = Value::from("no");
    for depth in 0..60 {
        deep = if depth % 3 == 0 {
            list(vec![deep, "on".into()])
        } else {
            map([("y", deep), ("z", "a\n b\n".into())])
        };
    }
    shapes.push(deep);
    shapes
}

/// Generates strings from pieces that matter to a reader: half of them from all pieces, half from those of numbers and
/// dates.
fn random_strings(count: usize) -> impl Iterator<Item = String> {
    const PIECES: &[&str] = &[
        " ",
        " ",
        "\n",
        "\n",
        "\t",
        ":",
        ": ",
        " #",
        "#",
        "-",
        "- ",
        "---",
        "...",
        "'",
        "\"",
        "\\",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "=",
        "<<",
        "~",
        "a",
        "b",
        "no",
        "0",
        "1",
        "7",
        "_",
        ".",
        "e",
        "x",
        "é",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\r",
        "\u{0}",
        "👍",
        "word",
        "two words",
        "+",
        "T",
        "Z",
    ];
    const NUMERIC: &[&str] = &[
        "+",
        "-",
        "_",
        ".",
        ":",
        "0",
        "1",
        "5",
        "60",
        "e",
        "E",
        "x",
        "o",
        "b",
        "f",
        "0x",
        "0o",
        "0b",
        "T",
        "Z",
        "2026-11-21",
        " ",
        "inf",
        "nan",
        "/",
    ];
    let mut random = Random::new(0);
    (0..count).map(move |number| {
        let pieces = if number % 2 == 0 { PIECES } else { NUMERIC };
        (0..1 + random.below(8)).map(|_| *random.of(pieces)).collect()
    })
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(Map::from_iter(entries))
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
