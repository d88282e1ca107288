//! Predicts the result of a server-side apply without the server: for plans without the permission for a dry run, and for
//! replacements, which a dry run rejects.

use terrace_artifact::{Map, Segment, Value};
use terrace_deployer_model::diff::objects::ObjectShapes;
use terrace_deployer_model::diff::{ListShape, Shapes as _, identities};
use terrace_deployer_model::plan::Field;

use super::ownership::{fields_of_item, merge_keys, our_entry};

/// Predicts the object after an apply of `wanted`: Terrace's fields and those of other managers, without the fields that Terrace
/// no longer sets.
pub(crate) fn predicted(wanted: &Value, live: &Value, manager: &str) -> Value {
    let fields = our_entry(live, manager)
        .and_then(|entry| entry.get("fieldsV1"))
        .and_then(Value::as_map);
    let mut prediction = Prediction {
        shapes: ObjectShapes::of(wanted),
        path: Vec::new(),
    };
    prediction.merged(wanted, live, fields)
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

struct Prediction {
    shapes: ObjectShapes,
    path: Vec<Segment>,
}

impl Prediction {
    /// Merges a value into the live one. `fields` are the fields that Terrace manages in it.
    fn merged(&mut self, wanted: &Value, live: &Value, fields: Option<&Map>) -> Value {
        match (wanted, live) {
            (Value::Map(wanted), Value::Map(live)) if !self.is_written_whole(fields) => {
                self.merged_map(wanted, live, fields).into()
            }
            (Value::List(wanted), Value::List(live)) => Value::List(self.merged_list(wanted, live, fields)),
            (wanted, _) => wanted.clone(),
        }
    }

    fn merged_map(&mut self, wanted: &Map, live: &Map, fields: Option<&Map>) -> Map {
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
            self.path.push(Segment::Key(key.clone()));
            let value = match live.get(key) {
                Some(live) => self.merged(value, live, below),
                None => value.clone(),
            };
            self.path.pop();
            out.insert(key.clone(), value);
        }
        out
    }

    fn merged_list(&mut self, wanted: &[Value], live: &[Value], fields: Option<&Map>) -> Vec<Value> {
        let applied = fields.and_then(merge_keys);
        let shape = self.shapes.list(&self.path);
        // Other managers' items remain in a list with merge keys. The server replaces all other lists as a whole.
        let has_merge_keys = match fields {
            Some(_) => applied.is_some(),
            None => matches!(shape, ListShape::Keyed { .. }),
        };
        let keys = match shape {
            ListShape::Keyed { keys, .. } => keys,
            shape => applied.or(shape.keys()).unwrap_or_default(),
        };
        let ids = identities(wanted, &keys).zip(identities(live, &keys));
        let Some((ids, others)) = ids.filter(|_| !wanted.is_empty()) else {
            let is_template =
                matches!(self.path.last(), Some(Segment::Key(key)) if key == "volumeClaimTemplates");
            if is_template && wanted.len() == live.len() {
                let templates = wanted.iter().zip(live);
                return templates.map(|(wanted, live)| template(wanted, live)).collect();
            }
            return wanted.to_vec();
        };
        let below = |item: &Value| fields_of_item(fields?, item, &keys);
        let mut out = Vec::new();
        for (at, (item, id)) in wanted.iter().zip(&ids).enumerate() {
            let twin = others.iter().position(|other| other == id).map(|at| &live[at]);
            self.path.push(Segment::Index(at));
            out.push(match twin {
                Some(twin) => self.merged(item, twin, below(twin)),
                None => item.clone(),
            });
            self.path.pop();
        }
        if has_merge_keys {
            let remaining = live.iter().zip(&others);
            let remaining = remaining.filter(|(item, id)| !ids.contains(id) && below(item).is_none());
            out.extend(remaining.map(|(item, _)| item.clone()));
        }
        out
    }

    /// Returns whether the map at the path is managed as a whole: the Apply entry names the map, but none of its keys.
    fn is_written_whole(&self, fields: Option<&Map>) -> bool {
        !self.path.is_empty() && fields.is_some_and(Map::is_empty)
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

    #[test]
    fn replaces_lists_without_merge_keys_as_a_whole() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let kind = r#""apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding""#;
        let live = value(&format!(
            r#"{{{kind},"subjects":[{{"kind":"User","name":"a","apiGroup":"rbac.authorization.k8s.io"}},{{"kind":"User","name":"b"}}]}}"#
        ));
        let wanted = value(&format!(
            r#"{{{kind},"subjects":[{{"kind":"User","name":"a"}}]}}"#
        ));
        // The server fills in the group again.
        assert_eq!(
            predicted(&wanted, &live, "m").get("subjects"),
            Some(&value(
                r#"[{"kind":"User","name":"a","apiGroup":"rbac.authorization.k8s.io"}]"#
            ))
        );
    }

    #[test]
    fn keeps_items_of_other_managers_by_the_merge_keys_of_the_catalog() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let service = |ports: &str| {
            value(&format!(
                r#"{{"apiVersion":"v1","kind":"Service","spec":{{"ports":{ports}}}}}"#
            ))
        };
        let live = service(r#"[{"port":53,"protocol":"TCP","targetPort":53},{"port":53,"protocol":"UDP"}]"#);
        assert_eq!(
            predicted(&service(r#"[{"port":53,"name":"dns"}]"#), &live, "m").get("spec"),
            service(
                r#"[{"port":53,"protocol":"TCP","targetPort":53,"name":"dns"},{"port":53,"protocol":"UDP"}]"#
            )
            .get("spec")
        );
    }
}
