//! The difference between two states of an object, field by field, as a plan shows it.

use std::collections::BTreeSet;

use terrace_artifact::{Map, Segment, Text, Value};
use terrace_deployer_model::plan::{Field, MASKED};

/// Keys of `metadata` that record times, versions and managers. They are not part of the desired state.
const BOOKKEEPING: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// Returns the fields in which `after` differs from `before`, without the status and the bookkeeping keys of the metadata.
/// Values of Secrets are masked.
pub(crate) fn difference(before: &Value, after: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    let (empty, mut path) = (Map::new(), Vec::new());
    let top = |value: &Value| -> Map {
        let entries = value.as_map().unwrap_or(&empty).iter();
        entries
            .filter(|(key, _)| key != "status")
            .map(|(key, value)| (key.clone(), without_bookkeeping(key, value)))
            .collect()
    };
    maps(&top(before), &top(after), &mut path, &mut fields);
    if is_secret(before) || is_secret(after) {
        for field in &mut fields {
            if is_secret_path(&field.path) {
                field.before = field.before.take().map(|_| MASKED.into());
                field.after = field.after.take().map(|_| MASKED.into());
            }
        }
    }
    fields
}

/// Returns whether the object is a Secret, whose values must not be shown.
pub(crate) fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1")
}

/// Returns whether a field of a Secret may contain its values. `kubectl apply` copies them into an annotation.
pub(crate) fn is_secret_path(path: &[Segment]) -> bool {
    let keys: Vec<&str> = path.iter().map_while(key_of).collect();
    matches!(
        keys.as_slice(),
        ["data" | "stringData", ..]
            | [
                "metadata",
                "annotations",
                "kubectl.kubernetes.io/last-applied-configuration"
            ]
    )
}

/// Returns the key that identifies an item of a list, such as its name. Items with equal keys are compared with each other.
/// Returns nothing for an item without a known key.
pub(crate) fn identity(item: &Value) -> Option<Text> {
    const KEYS: &[&[&str]] = &[
        &["name"],
        &["containerPort", "protocol"],
        &["port", "protocol"],
        &["mountPath"],
        &["devicePath"],
        &["topologyKey", "whenUnsatisfiable"],
        &["ip"],
        &["key"],
        &["type"],
    ];
    let map = item.as_map()?;
    let keys = KEYS.iter().find(|keys| map.get(keys[0]).is_some())?;
    let parts: Vec<String> = keys
        .iter()
        .map(|key| match map.get(key) {
            Some(Value::String(text)) => text.to_string(),
            Some(other) => other.to_string(),
            None if *key == "protocol" => "TCP".to_owned(),
            None => String::new(),
        })
        .collect();
    Some(parts.join("/").into())
}

/// Returns the keys of all items, or nothing if an item has no key or two items have the same one.
pub(crate) fn identities(list: &[Value]) -> Option<Vec<Text>> {
    let all: Vec<Text> = list.iter().map(identity).collect::<Option<_>>()?;
    (all.iter().collect::<BTreeSet<_>>().len() == all.len()).then_some(all)
}

fn key_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    }
}

fn without_bookkeeping(key: &str, value: &Value) -> Value {
    match value.as_map() {
        Some(metadata) if key == "metadata" => {
            let rest = metadata
                .iter()
                .filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()));
            Value::Map(rest.cloned().collect())
        }
        _ => value.clone(),
    }
}

fn values(before: &Value, after: &Value, path: &mut Vec<Segment>, fields: &mut Vec<Field>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Map(before), Value::Map(after)) => maps(before, after, path, fields),
        (Value::List(before), Value::List(after)) => lists(before, after, path, fields),
        (before, after) => push(Some(before), Some(after), path, fields),
    }
}

fn maps(before: &Map, after: &Map, path: &mut Vec<Segment>, fields: &mut Vec<Field>) {
    for (key, old) in before {
        path.push(Segment::Key(key.clone()));
        match after.get(key) {
            Some(new) => values(old, new, path, fields),
            None => one_side(old, path, fields, |value| (Some(value), None)),
        }
        path.pop();
    }
    for (key, new) in after.iter().filter(|(key, _)| before.get(key).is_none()) {
        path.push(Segment::Key(key.clone()));
        one_side(new, path, fields, |value| (None, Some(value)));
        path.pop();
    }
}

/// Adds a value that exists on one side only. Labels, annotations and data are added entry by entry.
fn one_side(
    value: &Value,
    path: &mut Vec<Segment>,
    fields: &mut Vec<Field>,
    sides: fn(&Value) -> (Option<&Value>, Option<&Value>),
) {
    let by_entry = matches!(
        path.last().and_then(key_of),
        Some("labels" | "annotations" | "data" | "stringData" | "metadata")
    );
    match value {
        Value::Map(map) if by_entry && !map.is_empty() => {
            for (key, value) in map {
                path.push(Segment::Key(key.clone()));
                one_side(value, path, fields, sides);
                path.pop();
            }
        }
        value => {
            let (before, after) = sides(value);
            push(before, after, path, fields);
        }
    }
}

fn lists(before: &[Value], after: &[Value], path: &mut Vec<Segment>, fields: &mut Vec<Field>) {
    if let (Some(old), Some(new)) = (identities(before), identities(after)) {
        let (common_old, common_new): (Vec<_>, Vec<_>) = (
            old.iter().filter(|id| new.contains(id)).collect(),
            new.iter().filter(|id| old.contains(id)).collect(),
        );
        if common_old == common_new {
            for (at, id) in old.iter().enumerate() {
                match new.iter().position(|other| other == id) {
                    Some(now) => {
                        path.push(Segment::Index(now));
                        values(&before[at], &after[now], path, fields);
                    }
                    None => {
                        path.push(Segment::Index(at));
                        push(Some(&before[at]), None, path, fields);
                    }
                }
                path.pop();
            }
            for (now, _) in new.iter().enumerate().filter(|(_, id)| !old.contains(id)) {
                path.push(Segment::Index(now));
                push(None, Some(&after[now]), path, fields);
                path.pop();
            }
            return;
        }
    } else if before.len() == after.len() && before.iter().chain(after).all(|item| item.as_map().is_some()) {
        for (at, (old, new)) in before.iter().zip(after).enumerate() {
            path.push(Segment::Index(at));
            values(old, new, path, fields);
            path.pop();
        }
        return;
    }
    push(
        Some(&Value::List(before.to_vec())),
        Some(&Value::List(after.to_vec())),
        path,
        fields,
    );
}

fn push(before: Option<&Value>, after: Option<&Value>, path: &[Segment], fields: &mut Vec<Field>) {
    fields.push(Field {
        path: path.to_vec(),
        before: before.cloned(),
        after: after.cloned(),
        known_after: None,
        forces_replacement: false,
    });
}

#[cfg(test)]
mod tests {
    use terrace_artifact::show_path;

    use super::*;

    fn check(before: &str, after: &str, expected: &[&str]) {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        let fields: Vec<String> = difference(&value(before), &value(after))
            .iter()
            .map(|field| {
                format!(
                    "{}: {} -> {}",
                    show_path(&field.path),
                    show(&field.before),
                    show(&field.after)
                )
            })
            .collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn pairs_list_items_by_their_keys() {
        check(
            r#"{"spec":{"c":[{"name":"a","image":"1"},{"name":"b"}]}}"#,
            r#"{"spec":{"c":[{"name":"new"},{"name":"a","image":"2"}]}}"#,
            &[
                r#"spec.c[1].image: "1" -> "2""#,
                r#"spec.c[1]: {"name":"b"} -> -"#,
                r#"spec.c[0]: - -> {"name":"new"}"#,
            ],
        );
        check(
            r#"{"spec":{"c":[{"name":"a"},{"name":"b"}]}}"#,
            r#"{"spec":{"c":[{"name":"b"},{"name":"a"}]}}"#,
            &[r#"spec.c: [{"name":"a"},{"name":"b"}] -> [{"name":"b"},{"name":"a"}]"#],
        );
        check(
            r#"{"a":["x"]}"#,
            r#"{"a":["x","y"]}"#,
            &[r#"a: ["x"] -> ["x","y"]"#],
        );
    }

    #[test]
    fn ignores_status_and_bookkeeping() {
        check(
            r#"{"metadata":{"generation":1,"labels":{"a":"b"}},"status":{"x":1}}"#,
            r#"{"metadata":{"generation":2}}"#,
            &[r#"metadata.labels.a: "b" -> -"#],
        );
    }

    #[test]
    fn masks_the_values_of_secrets() {
        check(
            r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"aGk=","l":"eA=="}}"#,
            r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"b2g="},"type":"Opaque"}"#,
            &[
                r#"data.k: "(secret)" -> "(secret)""#,
                r#"data.l: "(secret)" -> -"#,
                r#"type: - -> "Opaque""#,
            ],
        );
    }
}
