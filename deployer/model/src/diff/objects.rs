//! Compares Kubernetes objects. The catalog states the merge keys of their lists and the fields that are quantities.
//!
//! A directory and a cluster report the same change in the same way, because both compare with [`diff_objects`].

use terrace_artifact::{Map, Segment, Value};
use terrace_catalog::{Kind, ListType};

use super::{ListShape, MergeKey, Shapes, diff};
use crate::plan::{Field, MASKED};

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

/// Maps of independent entries. A user adds and removes one label, not the map of labels.
const ENTRIES: &[&str] = &["metadata", "labels", "annotations", "data", "stringData"];

/// Returns the fields in which `after` differs from `before`, without the status and the bookkeeping keys of the metadata.
/// Values of Secrets are masked.
pub fn diff_objects(before: &Value, after: &Value) -> Vec<Field> {
    let mut fields = diff(&desired(before), &desired(after), &ObjectShapes::of(after));
    if is_secret(before) || is_secret(after) {
        for field in fields.iter_mut().filter(|field| is_secret_path(&field.path)) {
            field.before = field.before.take().map(|_| MASKED.into());
            field.after = field.after.take().map(|_| MASKED.into());
        }
    }
    fields
}

/// Returns whether the object is a Secret, whose values must not be shown.
pub fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1")
}

/// Returns whether a field of a Secret may contain its values. `kubectl apply` copies them into an annotation.
fn is_secret_path(path: &[Segment]) -> bool {
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

/// Returns an object without the parts that only the server writes.
fn desired(object: &Value) -> Value {
    let entries = object.as_map().into_iter().flatten();
    let entries = entries.filter(|(key, _)| key != "status");
    let entries = entries.map(|(key, value)| match value.as_map() {
        Some(metadata) if key == "metadata" => (key.clone(), without_bookkeeping(metadata)),
        _ => (key.clone(), value.clone()),
    });
    Value::Map(entries.collect())
}

fn without_bookkeeping(metadata: &Map) -> Value {
    let rest = metadata
        .iter()
        .filter(|(key, _)| !BOOKKEEPING.contains(&key.as_str()));
    Value::Map(rest.cloned().collect())
}

fn key_of(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    }
}

/// The shapes of the objects of one kind, from the catalog.
pub struct ObjectShapes(Option<&'static Kind>);

impl ObjectShapes {
    /// Returns the shapes of the kind of an object. The catalog does not contain the kinds of all custom resources.
    pub fn of(object: &Value) -> ObjectShapes {
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
        ObjectShapes(terrace_catalog::kubernetes(text("apiVersion"), text("kind")))
    }

    /// Returns whether the API server itself serves the kind, as the catalog states.
    pub fn is_built_in(&self) -> bool {
        self.0.is_some_and(|kind| !kind.is_custom())
    }
}

impl Shapes for ObjectShapes {
    fn list(&self, path: &[Segment]) -> ListShape {
        match self.0.and_then(|kind| kind.field(path)).map(|field| field.list) {
            Some(ListType::Map(keys)) => ListShape::Keyed {
                keys: keys
                    .into_iter()
                    .map(|(key, default)| MergeKey {
                        key: key.into(),
                        default,
                    })
                    .collect(),
                // The order of init containers and of environment variables has an effect.
                is_ordered: true,
            },
            Some(ListType::Set) => ListShape::Set,
            Some(ListType::Atomic) | None => ListShape::Named,
        }
    }

    fn is_quantity(&self, path: &[Segment]) -> bool {
        self.0
            .and_then(|kind| kind.field(path))
            .is_some_and(|field| field.is_quantity)
    }

    fn is_reported_by_entry(&self, path: &[Segment]) -> bool {
        path.last()
            .and_then(key_of)
            .is_some_and(|key| ENTRIES.contains(&key))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::diff::show_fields;

    #[track_caller]
    fn check(before: &str, after: &str, expected: Expect) {
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        expected.assert_eq(&show_fields(&diff_objects(&value(before), &value(after))));
    }

    #[test]
    fn ignores_status_and_bookkeeping() {
        check(
            r#"{"metadata":{"generation":1,"labels":{"a":"b"}},"status":{"x":1}}"#,
            r#"{"metadata":{"generation":2}}"#,
            expect![[r#"
                metadata.labels.a: "b" -> -
            "#]],
        );
    }

    #[test]
    fn masks_the_values_of_secrets() {
        check(
            r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"aGk=","l":"eA=="}}"#,
            r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"b2g="},"type":"Opaque"}"#,
            expect![[r#"
                data.k: "(secret)" -> "(secret)"
                data.l: "(secret)" -> -
                type: - -> "Opaque"
            "#]],
        );
    }

    #[test]
    fn compares_list_items_by_the_merge_keys_of_the_kind() {
        let pod = |spec: &str| {
            format!(r#"{{"apiVersion": "v1", "kind": "Pod", "spec": {{"containers": [{spec}]}}}}"#)
        };
        // The protocol is a merge key, and the server fills it in.
        check(
            &pod(
                r#"{"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP"}]}"#,
            ),
            &pod(
                r#"{"name": "a", "ports": [{"containerPort": 1, "name": "x", "protocol": "TCP"}]}, {"name": "b"}"#,
            ),
            expect![[r#"
                spec.containers[0].ports[0].name: - -> "x"
                spec.containers[0].ports[1]: {"containerPort":1,"protocol":"UDP"} -> -
                spec.containers[1]: - -> {"name":"b"}
            "#]],
        );
        check(
            &pod(
                r#"{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]}"#,
            ),
            &pod(r#"{"name": "a", "volumeMounts": [{"name": "w", "mountPath": "/b"}]}"#),
            expect![[r#"
                spec.containers[0].volumeMounts[0].name: "v" -> "w"
                spec.containers[0].volumeMounts[0]: {"mountPath":"/a","name":"v"} -> -
            "#]],
        );
    }

    #[test]
    fn compares_quantities_by_value_only_in_built_in_kinds() {
        let limits = |api_version: &str, kind: &str, cpu: &str| {
            format!(
                r#"{{"apiVersion": "{api_version}", "kind": "{kind}", "spec": {{"hard": {{"requests.cpu": "{cpu}"}}}}}}"#
            )
        };
        check(
            &limits("v1", "ResourceQuota", "2"),
            &limits("v1", "ResourceQuota", "2000m"),
            expect![""],
        );
        check(
            &limits("example.com/v1", "Quota", "2"),
            &limits("example.com/v1", "Quota", "2000m"),
            expect![[r#"
                spec.hard["requests.cpu"]: "2" -> "2000m"
            "#]],
        );
    }

    #[test]
    fn compares_items_of_unknown_lists_by_name() {
        check(
            r#"{"apiVersion":"example.com/v1","kind":"Pool","spec":{"parts":[{"name":"a","size":1},{"name":"b"}]}}"#,
            r#"{"apiVersion":"example.com/v1","kind":"Pool","spec":{"parts":[{"name":"c"},{"name":"a","size":2}]}}"#,
            expect![[r#"
                spec.parts[0]: - -> {"name":"c"}
                spec.parts[1].size: 1 -> 2
                spec.parts[1]: {"name":"b"} -> -
            "#]],
        );
    }
}
