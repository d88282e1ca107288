//! Predicts the result of a server-side apply without the server: for plans without the permission for a dry run, and for
//! replacements, which a dry run rejects.

use terrace_artifact::{Map, Segment, Text, Value, same_quantity};
use terrace_deployer_model::plan::Field;

use super::difference::{identities, identity};
use super::ownership::our_entry;
use super::quantity::is_quantity_field;

/// Predicts the object after an apply of `wanted`: Terrace's fields and those of other managers, without the fields that Terrace
/// no longer sets.
pub(crate) fn predicted(wanted: &Value, live: &Value, manager: &str) -> Value {
    let api_version = wanted
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let fields = our_entry(live, manager)
        .and_then(|entry| entry.get("fieldsV1"))
        .and_then(Value::as_map);
    let mut path = Vec::new();
    merged(wanted, live, fields, api_version, &mut path)
}

/// Marks the fields that the catalog lists as immutable. Returns whether there are any.
pub(crate) fn mark_immutable(live: &Value, fields: &mut [Field]) -> bool {
    let text = |key| live.get(key).and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = terrace_catalog::kubernetes(text("apiVersion"), text("kind")) else {
        return false;
    };
    let frozen = live.get("immutable").and_then(Value::as_bool) == Some(true);
    let mut any = false;
    for field in fields {
        let top = match field.path.first() {
            Some(Segment::Key(key)) => key.as_str(),
            _ => "",
        };
        if kind.is_immutable(&field.path) || (frozen && kind.frozen_by_mark().contains(&top)) {
            field.forces_replacement = true;
            any = true;
        }
    }
    any
}

fn merged<'a>(
    wanted: &'a Value,
    live: &Value,
    fields: Option<&Map>,
    api_version: &str,
    path: &mut Vec<&'a str>,
) -> Value {
    match (wanted, live) {
        (Value::Map(wanted), Value::Map(live)) if !is_written_whole(fields, path) => {
            let mut out = live.clone();
            for key in fields
                .into_iter()
                .flat_map(Map::keys)
                .filter_map(|key| key.strip_prefix("f:"))
            {
                if wanted.get(key).is_none() {
                    out.remove(key);
                }
            }
            for (key, value) in wanted {
                let below = fields
                    .and_then(|fields| fields.get(&format!("f:{key}")))
                    .and_then(Value::as_map);
                path.push(key);
                let value = match live.get(key) {
                    Some(live) => merged(value, live, below, api_version, path),
                    None => value.clone(),
                };
                path.pop();
                out.insert(key.clone(), value);
            }
            Value::Map(out)
        }
        (Value::List(wanted), Value::List(live)) => {
            match (identities(wanted), identities(live)) {
                (Some(ids), Some(others)) if !wanted.is_empty() => {
                    let mut out = Vec::new();
                    path.push("*");
                    for (item, id) in wanted.iter().zip(&ids) {
                        let twin = others.iter().position(|other| other == id);
                        out.push(match twin {
                            Some(at) => merged(item, &live[at], item_fields(fields, id), api_version, path),
                            None => item.clone(),
                        });
                    }
                    path.pop();
                    // Items of other managers stay. Items that only Terrace managed are deleted.
                    let keyed = fields.is_none_or(|fields| fields.keys().any(|key| key.starts_with("k:")));
                    for (item, id) in live.iter().zip(&others) {
                        let ours = item_fields(fields, id).is_some();
                        if keyed && !ours && !ids.contains(id) {
                            out.push(item.clone());
                        }
                    }
                    Value::List(out)
                }
                _ if path.last() == Some(&"volumeClaimTemplates") && wanted.len() == live.len() => {
                    let templates = wanted.iter().zip(live);
                    Value::List(templates.map(|(wanted, live)| template(wanted, live)).collect())
                }
                _ => Value::List(wanted.clone()),
            }
        }
        (wanted, live) if is_quantity_field(api_version, path) && same_quantity(wanted, live) => live.clone(),
        (wanted, _) => wanted.clone(),
    }
}

/// Returns a volume claim template with the defaults that the server fills in.
fn template(wanted: &Value, live: &Value) -> Value {
    let filled = |wanted: &Value, live: &Value, keys: &[&str]| {
        let mut map = wanted.as_map().cloned().unwrap_or_default();
        for key in keys {
            if let (None, Some(default)) = (wanted.get(key), live.get(key)) {
                map.insert(*key, default.clone());
            }
        }
        map
    };
    let mut map = filled(wanted, live, &["apiVersion", "kind", "status"]);
    if let (Some(wanted), Some(live)) = (wanted.get("spec"), live.get("spec")) {
        map.insert("spec", filled(wanted, live, &["volumeMode"]));
    }
    map.into()
}

/// Returns whether a map is managed as a whole: the Apply entry names the map, but none of its keys.
fn is_written_whole(fields: Option<&Map>, path: &[&str]) -> bool {
    !path.is_empty() && fields.is_some_and(Map::is_empty)
}

fn item_fields<'f>(fields: Option<&'f Map>, id: &Text) -> Option<&'f Map> {
    fields?
        .iter()
        .find(|(key, _)| names_item(key, id))
        .and_then(|(_, value)| value.as_map())
}

fn names_item(key: &str, id: &Text) -> bool {
    let key = key
        .strip_prefix("k:")
        .and_then(|key| serde_json::from_str::<Value>(key).ok());
    key.and_then(|key| identity(&key))
        .is_some_and(|other| other == *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_fields_of_other_managers_and_removes_dropped_ones() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let live = value(
            r#"{"apiVersion":"v1","kind":"K","metadata":{"managedFields":[{"manager":"m","operation":"Apply","apiVersion":"v1",
            "fieldsV1":{"f:spec":{"f:a":{},"f:gone":{},"f:whole":{},"f:c":{"k:{\"name\":\"x\"}":{".":{},"f:name":{},"f:v":{}},
            "k:{\"name\":\"y\"}":{".":{},"f:name":{}}}}}}]},
            "spec":{"a":1,"gone":2,"other":3,"whole":{"old":1},"c":[{"name":"z"},{"name":"x","v":1,"more":1},{"name":"y"}]}}"#,
        );
        let wanted = value(
            r#"{"apiVersion":"v1","kind":"K","spec":{"a":2,"whole":{"new":1},"c":[{"name":"x"},{"name":"w"}]}}"#,
        );
        assert_eq!(
            predicted(&wanted, &live, "m").get("spec"),
            Some(&value(
                r#"{"a":2,"other":3,"whole":{"new":1},"c":[{"name":"x","more":1},{"name":"w"},{"name":"z"}]}"#
            ))
        );
    }
}
