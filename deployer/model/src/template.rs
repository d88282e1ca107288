//! Values of CloudFormation templates, in which intrinsic functions represent values that only CloudFormation knows.

use std::collections::BTreeMap;

use terrace_artifact::{Map, Text, Value, to_json_compact};

use crate::values::Late;

/// Marks a string that represents an intrinsic function, so that it differs from every literal string.
const INTRINSIC: char = '\u{f8ff}';
/// Marks a string that represents a value that is known only after apply.
const LATER: char = '\u{f8fe}';

/// Returns a value for comparison: with substituted parameters, and with each intrinsic function as a single string.
pub fn flat(value: &Value, parameters: &BTreeMap<Text, Late<Text>>) -> Value {
    match value {
        Value::List(list) => Value::List(list.iter().map(|item| flat(item, parameters)).collect()),
        Value::Map(map) => match intrinsic(map) {
            Some((name, argument)) => flat_intrinsic(name, argument, parameters),
            None => Value::Map(Map::from_distinct(
                map.iter()
                    .map(|(key, value)| (key.clone(), flat(value, parameters)))
                    .collect(),
            )),
        },
        value => value.clone(),
    }
}

/// Returns the form of a flat value that a plan shows, and the source of a value that is known only after apply.
pub fn shown(value: &Value) -> (Value, Option<Text>) {
    let mut later = None;
    let value = unmark(value, &mut later);
    (value, later)
}

/// Returns the references in a value: the path of each reference, the logical id, and the attribute (`None` for `Ref`).
pub fn references(value: &Value) -> Vec<(Vec<Text>, Text, Option<Text>)> {
    let mut found = Vec::new();
    collect(value, &mut Vec::new(), &mut found);
    found
}

fn collect(value: &Value, path: &mut Vec<Text>, found: &mut Vec<(Vec<Text>, Text, Option<Text>)>) {
    match value {
        Value::List(list) => {
            for item in list {
                // The paths of the catalog have `*` in place of the items of a list.
                path.push("*".into());
                collect(item, path, found);
                path.pop();
            }
        }
        Value::Map(map) => match intrinsic(map) {
            Some(("Ref", Value::String(id))) => found.push((path.clone(), id.clone(), None)),
            Some(("Fn::GetAtt", argument)) => {
                if let Some((id, attribute)) = get_att(argument) {
                    found.push((path.clone(), id, Some(attribute)));
                }
            }
            Some(("Fn::Sub", argument)) => {
                let (text, names) = sub(argument);
                for name in placeholders(text) {
                    if names.is_none_or(|names| names.get(name).is_none()) {
                        let (id, attribute) = match name.split_once('.') {
                            Some((id, attribute)) => (id, Some(attribute.into())),
                            None => (name, None),
                        };
                        found.push((path.clone(), id.into(), attribute));
                    }
                }
                for value in names.into_iter().flat_map(Map::values) {
                    collect(value, path, found);
                }
            }
            Some((_, argument)) => collect(argument, path, found),
            None => {
                for (key, value) in map {
                    path.push(key.clone());
                    collect(value, path, found);
                    path.pop();
                }
            }
        },
        _ => {}
    }
}

/// Returns whether a value of a flat template is known only after apply.
pub fn is_open(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.starts_with([INTRINSIC, LATER]))
}

fn intrinsic(map: &Map) -> Option<(&str, &Value)> {
    let (key, value) = map.iter().next()?;
    (map.len() == 1 && (key == "Ref" || key.starts_with("Fn::"))).then_some((key.as_str(), value))
}

fn flat_intrinsic(name: &str, argument: &Value, parameters: &BTreeMap<Text, Late<Text>>) -> Value {
    match (name, argument) {
        ("Ref", Value::String(id)) => match parameters.get(id) {
            Some(Late::Known(value)) => value.clone().into(),
            Some(Late::Later(shown)) => format!("{LATER}{shown}").into(),
            None => format!("{INTRINSIC}${{{id}}}").into(),
        },
        ("Fn::GetAtt", argument) => match get_att(argument) {
            Some((id, attribute)) => format!("{INTRINSIC}${{{id}.{attribute}}}").into(),
            None => opaque(name, argument, parameters),
        },
        ("Fn::Sub", argument) => match sub(argument) {
            (text, None) => flat_sub(text, parameters),
            _ => opaque(name, argument, parameters),
        },
        _ => opaque(name, argument, parameters),
    }
}

/// Substitutes the parameters in a string such as `arn:aws:s3:::${Bucket}/*`.
fn flat_sub(text: &str, parameters: &BTreeMap<Text, Late<Text>>) -> Value {
    let mut filled = text.to_owned();
    for name in placeholders(text) {
        match parameters.get(name) {
            Some(Late::Known(value)) => filled = filled.replace(&format!("${{{name}}}"), value),
            Some(Late::Later(shown)) => return format!("{LATER}{shown}").into(),
            None => {}
        }
    }
    if placeholders(&filled).next().is_some() {
        filled.insert(0, INTRINSIC);
    }
    filled.into()
}

/// Returns any other function as a string of JSON, with substituted parameters.
fn opaque(name: &str, argument: &Value, parameters: &BTreeMap<Text, Late<Text>>) -> Value {
    let argument = flat(argument, parameters);
    let (argument, later) = shown(&argument);
    if let Some(later) = later {
        return format!("{LATER}{later}").into();
    }
    let mut map = Map::new();
    map.insert(name, argument);
    format!("{INTRINSIC}{}", to_json_compact(&Value::Map(map))).into()
}

fn unmark(value: &Value, later: &mut Option<Text>) -> Value {
    match value {
        Value::String(text) => {
            if let Some(source) = text.strip_prefix(LATER) {
                later.get_or_insert_with(|| source.into());
                format!("${{{source}}}").into()
            } else {
                text.strip_prefix(INTRINSIC).unwrap_or(text).into()
            }
        }
        Value::List(list) => Value::List(list.iter().map(|item| unmark(item, later)).collect()),
        Value::Map(map) => Value::Map(Map::from_distinct(
            map.iter()
                .map(|(key, value)| (key.clone(), unmark(value, later)))
                .collect(),
        )),
        value => value.clone(),
    }
}

fn get_att(argument: &Value) -> Option<(Text, Text)> {
    match argument {
        Value::String(text) => text
            .split_once('.')
            .map(|(id, attribute)| (id.into(), attribute.into())),
        Value::List(parts) => {
            let (id, rest) = parts.split_first()?;
            let rest: Option<Vec<&str>> = rest.iter().map(Value::as_str).collect();
            Some((id.as_str()?.into(), rest?.join(".").into()))
        }
        _ => None,
    }
}

fn sub(argument: &Value) -> (&str, Option<&Map>) {
    match argument {
        Value::String(text) => (text, None),
        Value::List(parts) => (
            parts.first().and_then(Value::as_str).unwrap_or_default(),
            parts.get(1).and_then(Value::as_map),
        ),
        _ => ("", None),
    }
}

/// Returns the names in `${...}`, without literals such as `${!literal}`.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter(|rest| !rest.starts_with('!'))
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(json: &str, expect: &str) {
        let parameters = BTreeMap::from([
            ("Key".into(), Late::Known("arn:k".into())),
            ("Role".into(), Late::Later("finance/lake/role.arn".into())),
        ]);
        let (value, later) = shown(&flat(&value(json), &parameters));
        assert_eq!(format!("{value} {}", later.unwrap_or_default()).trim(), expect);
    }

    #[test]
    fn flattens_functions_and_substitutes_parameters() {
        check(r#"{"a": {"Ref": "Key"}}"#, r#"{"a":"arn:k"}"#);
        check(r#"{"Ref": "Bucket"}"#, r#""${Bucket}""#);
        check(r#"{"Fn::GetAtt": ["A", "B", "C"]}"#, r#""${A.B.C}""#);
        check(r#"{"Fn::GetAtt": "A.B"}"#, r#""${A.B}""#);
        check(r#"{"Fn::Sub": "${Key}/x"}"#, r#""arn:k/x""#);
        check(r#"{"Fn::Sub": "${Key}/${A.Arn}"}"#, r#""arn:k/${A.Arn}""#);
        check(
            r#"{"Fn::Sub": "${Role}/x"}"#,
            r#""${finance/lake/role.arn}" finance/lake/role.arn"#,
        );
        check(
            r#"[{"Ref": "Role"}]"#,
            r#"["${finance/lake/role.arn}"] finance/lake/role.arn"#,
        );
        check(
            r#"{"Fn::Join": ["-", ["a", {"Ref": "Key"}]]}"#,
            r#""{\"Fn::Join\":[\"-\",[\"a\",\"arn:k\"]]}""#,
        );
        // A reference differs from a literal string with the same spelling.
        let no_parameters = BTreeMap::new();
        assert_ne!(
            flat(&value(r#"{"Ref": "A"}"#), &no_parameters),
            flat(&value(r#""${A}""#), &no_parameters)
        );
    }

    #[test]
    fn finds_references_in_nested_values_and_functions() {
        let found = references(&value(
            r#"{"a": {"Ref": "A"}, "b": [{"c": {"Fn::GetAtt": ["B", "Arn"]}}], "d": {"Fn::Sub": "${C.X} ${!no} ${D}"},
                "e": {"Fn::Sub": ["${x}", {"x": {"Ref": "E"}}]}, "f": {"Fn::Join": ["", [{"Ref": "F"}]]}}"#,
        ));
        let shown: Vec<String> = found
            .iter()
            .map(|(path, id, attribute)| {
                format!("{}:{id}.{}", path.join("/"), attribute.as_deref().unwrap_or("-"))
            })
            .collect();
        assert_eq!(shown.join(" "), "a:A.- b/*/c:B.Arn d:C.X d:D.- e:E.- f/*/*:F.-");
    }
}
