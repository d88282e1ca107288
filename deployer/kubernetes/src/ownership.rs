//! Evaluates `metadata.managedFields`: the managers of fields, and whether Terrace's fields are exactly those of a manifest.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use terrace_artifact::{Map, Segment, Value, same_quantity};
use terrace_deployer_model::diff::objects::ObjectShapes;
use terrace_deployer_model::diff::{MergeKey, Shapes as _};

/// The maximum time by which the creation timestamp may be later than the entry of the apply that created the object. The server
/// calls admission webhooks between the two.
const LONGEST_CREATE: SignedDuration = SignedDuration::from_secs(60);

/// Returns the field manager of an environment. Each environment has its own, so that two environments that set one field
/// conflict instead of overwriting each other.
pub(crate) fn manager(platform: &str, environment: &str) -> String {
    format!("terrace/{platform}/{environment}")
}

/// Returns the Apply entry of a manager, if it is the manager's only entry.
pub(crate) fn our_entry<'a>(live: &'a Value, manager: &str) -> Option<&'a Value> {
    let mut ours =
        entries(live).filter(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager));
    let entry = ours.next()?;
    (ours.next().is_none() && is_apply(entry)).then_some(entry)
}

/// Returns whether a manager is a tool that a user runs by hand, as far as the object shows. A change by `kubectl edit`, `patch` or
/// `scale` is drift, which apply reverts. An update by a controller, or an apply by any manager, is a conflict, because that
/// manager would set the field again.
pub(crate) fn is_by_hand(live: &Value, manager: &str) -> bool {
    let tool = ["kubectl", "oc", "k9s", "Mozilla"].iter().any(|tool| {
        manager
            .strip_prefix(tool)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    let declares = manager.ends_with("-apply");
    // The server uses this name for the existing fields when an object without managedFields is applied. A user cleared them.
    if manager == "before-first-apply" {
        return true;
    }
    tool && !declares
        && entries(live)
            .filter(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager))
            .all(|entry| !is_apply(entry))
}

/// Returns whether a manager has applied this object. A copied label does not prove that.
pub(crate) fn applied_by(live: &Value, manager: &str) -> bool {
    entries(live)
        .any(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager) && is_apply(entry))
}

/// Returns whether the managedFields of an object prove that a manager applied exactly this object. An entry that is older than the object
/// was restored with it from a backup: the server sets `creationTimestamp` itself, and a restored object gets a new one.
pub(crate) fn proven_by(live: &Value, manager: &str) -> bool {
    let time = |value: Option<&Value>| value?.as_str()?.parse::<Timestamp>().ok();
    let created = time(live.at(&["metadata", "creationTimestamp"]));
    entries(live)
        .filter(|entry| entry.get("manager").and_then(Value::as_str) == Some(manager) && is_apply(entry))
        .any(|entry| match (time(entry.get("time")), created) {
            (Some(written), Some(created)) => created.duration_since(written) <= LONGEST_CREATE,
            _ => true,
        })
}

/// Returns the entries of an object's managedFields without those of a manager. The server treats an empty list as "unchanged",
/// and a list with one empty entry as "no entries".
pub(crate) fn without_entry(live: &Value, manager: &str) -> Value {
    let others = entries(live).filter(|entry| entry.get("manager").and_then(Value::as_str) != Some(manager));
    let mut others: Vec<Value> = others.cloned().collect();
    if others.is_empty() {
        others.push(Map::new().into());
    }
    Value::List(others)
}

/// Returns whether applying `object` certainly changes nothing: neither a value nor the manager of a field.
///
/// `false` means that a dry run must decide, so every doubt yields `false`.
pub(crate) fn surely_unchanged(object: &Value, live: &Value, manager: &str) -> bool {
    let Some(entry) = our_entry(live, manager) else {
        return false;
    };
    let api_version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if entry.get("apiVersion").and_then(Value::as_str) != Some(api_version)
        || entry.get("subresource").is_some_and(|s| s.as_str() != Some(""))
        || live.get("apiVersion").and_then(Value::as_str) != Some(api_version)
    {
        return false;
    }
    let (Some(wanted), Some(live), Some(fields)) = (
        object.as_map(),
        live.as_map(),
        entry.get("fieldsV1").and_then(Value::as_map),
    ) else {
        return false;
    };
    let mut comparison = Comparison {
        shapes: ObjectShapes::of(object),
        path: Vec::new(),
    };
    comparison.map(&without_identity(wanted), live, fields)
}

/// Removes the fields that identify an object. A manager cannot own them.
fn without_identity(wanted: &Map) -> Map {
    wanted
        .iter()
        .filter(|(key, _)| key != "apiVersion" && key != "kind")
        .filter_map(|(key, value)| match (key.as_str(), value.as_map()) {
            ("metadata", Some(metadata)) => {
                let rest: Map = metadata
                    .iter()
                    .filter(|(key, _)| key != "name" && key != "namespace")
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                (!rest.is_empty()).then_some((key.clone(), Value::Map(rest)))
            }
            _ => Some((key.clone(), value.clone())),
        })
        .collect()
}

fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    live.at(&["metadata", "managedFields"])
        .and_then(Value::as_list)
        .unwrap_or_default()
        .iter()
}

fn is_apply(entry: &Value) -> bool {
    entry.get("operation").and_then(Value::as_str) == Some("Apply")
}

/// A comparison of a manifest with a live object. `path` holds keys from the root; items of lists appear as `*`.
struct Comparison<'a> {
    shapes: ObjectShapes,
    path: Vec<&'a str>,
}

impl<'a> Comparison<'a> {
    /// Returns the path for the catalog, in which all items of a list have the same shape.
    fn segments(&self) -> Vec<Segment> {
        let segment = |key: &&str| match *key {
            "*" => Segment::Index(0),
            key => Segment::Key(key.into()),
        };
        self.path.iter().map(segment).collect()
    }

    fn map(&mut self, wanted: &'a Map, live: &Map, fields: &Map) -> bool
    where
        Self: 'a,
    {
        let owned = fields.keys().filter(|key| *key != ".").count();
        owned == wanted.len()
            && wanted.iter().all(|(key, value)| {
                let Some(fields) = fields.get(&format!("f:{key}")).and_then(Value::as_map) else {
                    return false;
                };
                self.path.push(key);
                let same = self.value(value, live.get(key), fields);
                self.path.pop();
                same
            })
    }

    fn value(&mut self, wanted: &'a Value, live: Option<&Value>, fields: &Map) -> bool {
        let Some(live) = live else {
            // The server does not store some empty lists and maps.
            return fields.is_empty() && is_empty(wanted);
        };
        match (wanted, live) {
            (Value::Map(wanted), Value::Map(live)) if has_children(fields, "f:") => {
                self.map(wanted, live, fields)
            }
            (Value::List(wanted), Value::List(live)) if has_children(fields, "k:") => {
                self.keyed_list(wanted, live, fields)
            }
            (Value::List(wanted), Value::List(live)) if has_children(fields, "v:") => {
                is_set(wanted, live, fields)
            }
            // A leaf is a scalar, an empty value, or a list or map that is written as a whole.
            (wanted, live) => !has_own_children(fields) && self.whole(wanted, live),
        }
    }

    /// Compares a list whose items have merge keys. The live list may have items of other managers between Terrace's items, which
    /// must be in the order of the manifest.
    fn keyed_list(&mut self, wanted: &'a [Value], live: &[Value], fields: &Map) -> bool {
        let owned: Vec<(Map, &Map)> = fields
            .iter()
            .filter_map(|(key, fields)| Some((item_key(key)?, fields.as_map()?)))
            .collect();
        if owned.len() != wanted.len() || fields.keys().filter(|key| *key != ".").count() != wanted.len() {
            return false;
        }
        let merge_keys = self.shapes.list(&self.segments()).keys().unwrap_or_default();
        let mut taken = vec![false; owned.len()];
        let mut from = 0;
        self.path.push("*");
        let same = wanted.iter().all(|item| {
            let Some(at) = owned.iter().position(|(key, _)| is_item(item, key, &merge_keys)) else {
                return false;
            };
            if std::mem::replace(&mut taken[at], true) {
                return false;
            }
            let (key, fields) = &owned[at];
            let Some(offset) = live[from..]
                .iter()
                .position(|item| is_item(item, key, &merge_keys))
            else {
                return false;
            };
            from += offset + 1;
            self.value(item, Some(&live[from - 1]), fields)
        });
        self.path.pop();
        same
    }

    /// Compares a value that Terrace manages as a whole. Values that the server is known to fill in may be added.
    fn whole(&mut self, wanted: &'a Value, live: &Value) -> bool {
        match (wanted, live) {
            (Value::Map(wanted), Value::Map(live)) => {
                wanted.iter().all(|(key, value)| {
                    self.path.push(key);
                    let same = live.get(key).is_some_and(|live| self.whole(value, live));
                    self.path.pop();
                    same
                }) && live
                    .iter()
                    .filter(|(key, _)| wanted.get(key).is_none())
                    .all(|(key, value)| self.is_default(key, value))
            }
            (Value::List(wanted), Value::List(live)) => {
                self.path.push("*");
                let same = wanted.len() == live.len()
                    && wanted
                        .iter()
                        .zip(live)
                        .all(|(wanted, live)| self.whole(wanted, live));
                self.path.pop();
                same
            }
            (Value::Null, _) => false,
            (wanted, live) => {
                wanted == live || (self.shapes.is_quantity(&self.segments()) && same_quantity(wanted, live))
            }
        }
    }

    /// Returns whether the server fills in `key: value` at this path. This concerns only lists and maps that are written as a whole.
    /// Elsewhere, Terrace does not manage the defaults, and the comparison ignores them.
    fn is_default(&self, key: &str, value: &Value) -> bool {
        if !self.shapes.is_built_in() {
            return false;
        }
        let text = value.as_str();
        match (self.path.as_slice(), key) {
            ([.., "fieldRef"], "apiVersion") => text == Some("v1"),
            ([.., "resourceFieldRef"], "divisor") => text == Some("0"),
            (["spec", "ingress" | "egress", "*", "ports", "*"], "protocol") => text == Some("TCP"),
            (["subjects", "*"], "apiGroup") => {
                matches!(text, Some("" | "rbac.authorization.k8s.io"))
            }
            (["roleRef"], "apiGroup") => text == Some("rbac.authorization.k8s.io"),
            ([.., "sources", "*", "serviceAccountToken"], "expirationSeconds") => {
                value.as_integer() == Some(3600)
            }
            (["spec", "volumeClaimTemplates", "*"], "apiVersion") => text == Some("v1"),
            (["spec", "volumeClaimTemplates", "*"], "kind") => text == Some("PersistentVolumeClaim"),
            (["spec", "volumeClaimTemplates", "*", "spec"], "volumeMode") => text == Some("Filesystem"),
            (["spec", "volumeClaimTemplates", "*"], "status") => {
                value.as_map().is_some_and(|status| status.len() == 1)
                    && value.get("phase").and_then(Value::as_str) == Some("Pending")
            }
            (["webhooks", "*", "rules", "*"], "scope") => text == Some("*"),
            _ => false,
        }
    }
}

/// Returns the merge keys of a list whose items a manager has applied, as `fields` of its managedFields entry names them. The server
/// states every key of an item there.
pub(crate) fn merge_keys(fields: &Map) -> Option<Vec<MergeKey>> {
    let key = fields.keys().find_map(|key| item_key(key))?;
    Some(key.keys().map(|key| MergeKey::from(key.as_str())).collect())
}

/// Returns the fields of an item that a manager has applied, from the `fields` of its list.
pub(crate) fn fields_of_item<'f>(fields: &'f Map, item: &Value, keys: &[MergeKey]) -> Option<&'f Map> {
    let mut entries = fields.iter();
    let (_, fields) = entries.find(|(key, _)| item_key(key).is_some_and(|key| is_item(item, &key, keys)))?;
    fields.as_map()
}

/// Reads the merge keys of an item from their spelling in managedFields: `k:{"name":"web"}`.
fn item_key(key: &str) -> Option<Map> {
    serde_json::from_str(key.strip_prefix("k:")?).ok()
}

/// Returns whether an item has the merge key of a managedFields entry. A key that the item does not state has its default.
fn is_item(item: &Value, key: &Map, merge_keys: &[MergeKey]) -> bool {
    key.iter().all(|(name, value)| {
        let default = merge_keys.iter().find(|key| key.key == *name);
        let default = default.and_then(|key| key.default.as_ref());
        item.get(name).or(default) == Some(value)
    })
}

/// Compares a list that is a set of scalars. The items must be in the order of the manifest.
fn is_set(wanted: &[Value], live: &[Value], fields: &Map) -> bool {
    let owned: Vec<Value> = fields
        .keys()
        .filter_map(|key| serde_json::from_str(key.strip_prefix("v:")?).ok())
        .collect();
    let mut from = 0;
    owned.len() == wanted.len()
        && wanted.iter().all(|item| {
            let at = live[from..].iter().position(|live| live == item);
            from += at.map_or(0, |at| at + 1);
            at.is_some() && owned.contains(item)
        })
}

fn has_children(fields: &Map, prefix: &str) -> bool {
    fields.keys().any(|key| key.starts_with(prefix))
}

fn has_own_children(fields: &Map) -> bool {
    fields.keys().any(|key| key != ".")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGER: &str = "terrace/acme/testing";

    /// Creates a live object with `spec`, and with an Apply entry that has these fields of it.
    fn live(api_version: &str, spec: &str, fields: &str) -> Value {
        let entry = format!(
            r#"{{"manager":"{MANAGER}","operation":"Apply","apiVersion":"{api_version}","fieldsV1":{{"f:spec":{fields}}}}}"#
        );
        value(&format!(
            r#"{{"apiVersion":"{api_version}","kind":"K","metadata":{{"name":"n","managedFields":[{entry}]}},"spec":{spec}}}"#
        ))
    }

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    const SERVICE: (&str, &str) = ("v1", "Service");
    const QUOTA: (&str, &str) = ("v1", "ResourceQuota");
    const CUSTOM: (&str, &str) = ("example.com/v1", "Widget");

    #[track_caller]
    fn check((api_version, kind): (&str, &str), wanted: &str, has: &str, fields: &str, unchanged: bool) {
        let wanted = value(&format!(
            r#"{{"apiVersion":"{api_version}","kind":"{kind}","metadata":{{"name":"n"}},"spec":{wanted}}}"#
        ));
        assert_eq!(
            surely_unchanged(&wanted, &live(api_version, has, fields), MANAGER),
            unchanged
        );
    }

    #[test]
    fn requires_equal_values_and_equal_fields() {
        let fields = r#"{"f:a":{},"f:b":{}}"#;
        check(
            SERVICE,
            r#"{"a":1,"b":"x"}"#,
            r#"{"a":1,"b":"x","c":true}"#,
            fields,
            true,
        );
        check(SERVICE, r#"{"a":2,"b":"x"}"#, r#"{"a":1,"b":"x"}"#, fields, false);
        // A field that the manifest no longer sets, and a field that has the desired value but another manager.
        check(SERVICE, r#"{"a":1}"#, r#"{"a":1,"b":"x"}"#, fields, false);
        check(
            SERVICE,
            r#"{"a":1,"b":"x","c":true}"#,
            r#"{"a":1,"b":"x","c":true}"#,
            fields,
            false,
        );
        check(SERVICE, r#"{"a":1,"b":null}"#, r#"{"a":1}"#, fields, false);
    }

    #[test]
    fn compares_keyed_lists_in_order_with_default_keys() {
        let fields = r#"{"f:ports":{"k:{\"port\":53,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},
            "k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}}}"#;
        let has = r#"{"ports":[{"port":53,"protocol":"TCP"},{"port":80,"protocol":"TCP"},{"port":53,"protocol":"UDP"}]}"#;
        check(
            SERVICE,
            r#"{"ports":[{"port":53},{"port":53,"protocol":"UDP"}]}"#,
            has,
            fields,
            true,
        );
        check(
            SERVICE,
            r#"{"ports":[{"port":53,"protocol":"UDP"},{"port":53}]}"#,
            has,
            fields,
            false,
        );
        check(
            SERVICE,
            r#"{"ports":[{"port":53},{"port":53}]}"#,
            has,
            fields,
            false,
        );
        check(
            SERVICE,
            r#"{"ports":[{"port":53},{"port":54,"protocol":"UDP"}]}"#,
            has,
            fields,
            false,
        );
        // Only built-in kinds have this default.
        check(
            CUSTOM,
            r#"{"ports":[{"port":53},{"port":53,"protocol":"UDP"}]}"#,
            has,
            fields,
            false,
        );
    }

    #[test]
    fn requires_equality_of_values_that_are_written_as_a_whole() {
        let fields = r#"{"f:selector":{},"f:names":{}}"#;
        let has = r#"{"selector":{"a":"b"},"names":["x","y"]}"#;
        check(
            SERVICE,
            r#"{"selector":{"a":"b"},"names":["x","y"]}"#,
            has,
            fields,
            true,
        );
        check(
            SERVICE,
            r#"{"selector":{},"names":["x","y"]}"#,
            has,
            fields,
            false,
        );
        check(
            SERVICE,
            r#"{"selector":{"a":"b"},"names":["y","x"]}"#,
            has,
            fields,
            false,
        );
        check(
            SERVICE,
            r#"{"selector":{"a":"b"},"names":["x"]}"#,
            has,
            fields,
            false,
        );
    }

    #[test]
    fn compares_sets_in_order() {
        let fields = r#"{"f:s":{"v:\"x\"":{},"v:\"y\"":{}}}"#;
        check(
            SERVICE,
            r#"{"s":["x","y"]}"#,
            r#"{"s":["x","other","y"]}"#,
            fields,
            true,
        );
        check(SERVICE, r#"{"s":["y","x"]}"#, r#"{"s":["x","y"]}"#, fields, false);
        check(SERVICE, r#"{"s":["x"]}"#, r#"{"s":["x","y"]}"#, fields, false);
    }

    #[test]
    fn compares_quantities_by_value_in_built_in_kinds() {
        let fields = r#"{"f:hard":{"f:requests.cpu":{}}}"#;
        check(
            QUOTA,
            r#"{"hard":{"requests.cpu":"2000m"}}"#,
            r#"{"hard":{"requests.cpu":"2"}}"#,
            fields,
            true,
        );
        check(
            QUOTA,
            r#"{"hard":{"requests.cpu":"2001m"}}"#,
            r#"{"hard":{"requests.cpu":"2"}}"#,
            fields,
            false,
        );
        check(
            CUSTOM,
            r#"{"hard":{"requests.cpu":"2000m"}}"#,
            r#"{"hard":{"requests.cpu":"2"}}"#,
            fields,
            false,
        );
    }

    #[test]
    fn requires_a_single_entry_at_the_version_of_the_manifest() {
        let wanted = value(r#"{"apiVersion":"v1","kind":"K","metadata":{"name":"n"},"spec":{"a":1}}"#);
        let right = live("v1", r#"{"a":1}"#, r#"{"f:a":{}}"#);
        assert!(surely_unchanged(&wanted, &right, MANAGER));
        assert!(!surely_unchanged(&wanted, &right, "terrace/acme/production"));
        assert!(!surely_unchanged(
            &wanted,
            &live("v2", r#"{"a":1}"#, r#"{"f:a":{}}"#),
            MANAGER
        ));
        let mut twice = right.clone();
        let metadata = twice
            .as_map_mut()
            .and_then(|map| map.get_mut("metadata"))
            .and_then(Value::as_map_mut);
        let Some(Value::List(entries)) = metadata.and_then(|map| map.get_mut("managedFields")) else {
            panic!()
        };
        entries.push(value(&format!(
            r#"{{"manager":"{MANAGER}","operation":"Update"}}"#
        )));
        assert!(!surely_unchanged(&wanted, &twice, MANAGER));
    }

    #[test]
    fn distinguishes_users_from_controllers() {
        let object = value(
            r#"{"metadata":{"managedFields":[{"manager":"kubectl","operation":"Apply"},{"manager":"kubectl-edit","operation":"Update"}]}}"#,
        );
        for (manager, by_hand) in [
            ("kubectl-edit", true),
            ("kubectl", false),
            ("kubectl-client-side-apply", false),
            ("kube-controller-manager", false),
            ("kubectlish", false),
        ] {
            assert_eq!(is_by_hand(&object, manager), by_hand, "{manager}");
        }
    }

    #[test]
    fn an_entry_older_than_its_object_is_not_a_proof() {
        let object = |created: &str, written: &str| {
            value(&format!(
                r#"{{"metadata": {{"creationTimestamp": "{created}", "managedFields": [
                    {{"manager": "terrace/a/b", "operation": "Apply", "time": "{written}"}}]}}}}"#
            ))
        };
        for (created, written, proven) in [
            ("2026-11-29T10:00:00Z", "2026-11-29T10:00:00Z", true),
            ("2026-11-29T10:00:00Z", "2026-12-01T10:00:00Z", true),
            ("2026-11-29T10:00:30Z", "2026-11-29T10:00:00Z", true),
            ("2026-11-29T11:00:00Z", "2026-11-29T10:00:00Z", false),
        ] {
            let object = object(created, written);
            assert_eq!(proven_by(&object, "terrace/a/b"), proven, "{created} {written}");
            assert!(!proven_by(&object, "terrace/a/c"));
        }
    }
}
