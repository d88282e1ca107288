//! The differences between two values, field by field.

use std::collections::BTreeSet;

use terrace_artifact::{Segment, Text, Value, same_quantity};

use crate::plan::Field;

/// Knowledge about the shape of the compared values.
pub trait Shapes {
    /// Returns how the list at a path is compared. Indices in the path are those of the later value.
    fn list(&self, path: &[Segment]) -> ListShape;

    /// Returns whether the map at a path is replaced as a whole, never merged.
    fn is_atomic(&self, path: &[Segment]) -> bool {
        let _ = path;
        false
    }

    /// Returns whether the scalar at a path is a Kubernetes quantity: `1` and `1000m` are the same there.
    fn is_quantity(&self, path: &[Segment]) -> bool {
        let _ = path;
        false
    }
}

/// The comparison of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListShape {
    /// Items at the same index belong together.
    Ordered,
    /// Items are maps. Items with equal values for these keys belong together, at any index.
    Keyed(Vec<Text>),
    /// The order and the number of equal items do not matter.
    Set,
    /// The list is one value.
    Atomic,
}

/// No knowledge about shapes: every list is ordered.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Shapes for Plain {
    fn list(&self, _: &[Segment]) -> ListShape {
        ListShape::Ordered
    }
}

/// Finds the fields in which two values differ, in the order of the later value. The order of map keys does not matter.
pub fn diff(before: &Value, after: &Value, shapes: &dyn Shapes) -> Vec<Field> {
    let mut walk = Walk {
        shapes,
        path: Vec::new(),
        fields: Vec::new(),
    };
    walk.values(before, after);
    walk.fields
}

struct Walk<'a> {
    shapes: &'a dyn Shapes,
    path: Vec<Segment>,
    fields: Vec<Field>,
}

impl Walk<'_> {
    fn values(&mut self, before: &Value, after: &Value) {
        if before == after {
            return;
        }
        match (before, after) {
            (Value::Map(old), Value::Map(new)) if !self.shapes.is_atomic(&self.path) => {
                for (key, value) in new {
                    self.at(Segment::Key(key.clone()), |walk| match old.get(key) {
                        Some(old) => walk.values(old, value),
                        None => walk.push(None, Some(value)),
                    });
                }
                for (key, value) in old {
                    if new.get(key).is_none() {
                        self.at(Segment::Key(key.clone()), |walk| walk.push(Some(value), None));
                    }
                }
            }
            (Value::List(old), Value::List(new)) => self.lists(before, after, old, new),
            _ if self.shapes.is_quantity(&self.path) && same_quantity(before, after) => {}
            _ => self.push(Some(before), Some(after)),
        }
    }

    fn lists(&mut self, before: &Value, after: &Value, old: &[Value], new: &[Value]) {
        match self.shapes.list(&self.path) {
            ListShape::Atomic => self.push(Some(before), Some(after)),
            ListShape::Set => {
                let items = |list: &[Value]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                if items(old) != items(new) {
                    self.push(Some(before), Some(after));
                }
            }
            ListShape::Keyed(keys) => match (identities(old, &keys), identities(new, &keys)) {
                (Some(old_ids), Some(new_ids)) => {
                    for (i, (id, value)) in new_ids.iter().zip(new).enumerate() {
                        let twin = old_ids.iter().position(|old| old == id).map(|at| &old[at]);
                        self.at(Segment::Index(i), |walk| match twin {
                            Some(twin) => walk.values(twin, value),
                            None => walk.push(None, Some(value)),
                        });
                    }
                    for (i, (id, value)) in old_ids.iter().zip(old).enumerate() {
                        if !new_ids.contains(id) {
                            self.at(Segment::Index(i), |walk| walk.push(Some(value), None));
                        }
                    }
                }
                _ => self.ordered(before, after, old, new),
            },
            ListShape::Ordered => self.ordered(before, after, old, new),
        }
    }

    fn ordered(&mut self, before: &Value, after: &Value, old: &[Value], new: &[Value]) {
        // If items were added or removed, pairing the rest by index would report changes that do not exist.
        let scalars = |list: &[Value]| list.iter().all(|v| !matches!(v, Value::List(_) | Value::Map(_)));
        if old.len() != new.len() && scalars(old) && scalars(new) {
            return self.push(Some(before), Some(after));
        }
        let same_start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let rest = old.len().min(new.len()) - same_start;
        let same_end = old.iter().rev().zip(new.iter().rev()).take(rest);
        let same_end = same_end.take_while(|(old, new)| old == new).count();
        let (old_end, new_end) = (old.len() - same_end, new.len() - same_end);
        for i in same_start..old_end.max(new_end) {
            let old = old.get(i).filter(|_| i < old_end);
            let new = new.get(i).filter(|_| i < new_end);
            self.at(Segment::Index(i), |walk| match (old, new) {
                (Some(old), Some(new)) => walk.values(old, new),
                (old, new) => walk.push(old, new),
            });
        }
    }

    fn at(&mut self, segment: Segment, then: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        then(self);
        self.path.pop();
    }

    fn push(&mut self, before: Option<&Value>, after: Option<&Value>) {
        self.fields.push(Field {
            path: self.path.clone(),
            before: before.cloned(),
            after: after.cloned(),
            known_after: None,
            forces_replacement: false,
        });
    }
}

/// Returns the identity of each item, or `None` if an item is not a map, lacks all keys, or is a duplicate.
fn identities(list: &[Value], keys: &[Text]) -> Option<Vec<Vec<Value>>> {
    let mut ids: Vec<Vec<Value>> = Vec::with_capacity(list.len());
    for item in list {
        let map = item.as_map()?;
        let id: Vec<Value> = keys
            .iter()
            .map(|key| map.get(key).cloned().unwrap_or_default())
            .collect();
        if id.iter().all(|value| *value == Value::Null) || ids.contains(&id) {
            return None;
        }
        ids.push(id);
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use terrace_artifact::show_path;

    use super::*;

    /// The shapes of a Deployment: containers by name, arguments as one value, quantities in resources.
    struct Pod;

    impl Shapes for Pod {
        fn list(&self, path: &[Segment]) -> ListShape {
            match path.last() {
                Some(Segment::Key(key)) if key == "containers" => ListShape::Keyed(vec!["name".into()]),
                Some(Segment::Key(key)) if key == "ports" => {
                    ListShape::Keyed(vec!["containerPort".into(), "protocol".into()])
                }
                Some(Segment::Key(key)) if key == "args" => ListShape::Atomic,
                Some(Segment::Key(key)) if key == "finalizers" => ListShape::Set,
                _ => ListShape::Ordered,
            }
        }

        fn is_atomic(&self, path: &[Segment]) -> bool {
            path.last() == Some(&Segment::Key("selector".into()))
        }

        fn is_quantity(&self, path: &[Segment]) -> bool {
            path.iter().rev().nth(1) == Some(&Segment::Key("limits".into()))
        }
    }

    #[track_caller]
    fn check(before: &str, after: &str, want: Expect) {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        let mut out = String::new();
        for field in diff(&value(before), &value(after), &Pod) {
            let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
            let path = show_path(&field.path);
            let _ = writeln!(out, "{path}: {} -> {}", show(&field.before), show(&field.after));
        }
        want.assert_eq(&out);
    }

    #[test]
    fn ignores_the_order_of_keys() {
        check(
            r#"{"a": 1, "b": {"c": 2, "d": 3}}"#,
            r#"{"b": {"d": 3, "c": 2}, "a": 1.0}"#,
            expect![""],
        );
    }

    #[test]
    fn reports_added_and_removed_fields() {
        check(
            r#"{"spec": {"replicas": 2, "paused": true}}"#,
            r#"{"spec": {"replicas": 3, "template": {"x": null}}}"#,
            expect![[r#"
                spec.replicas: 2 -> 3
                spec.template: - -> {"x":null}
                spec.paused: true -> -
            "#]],
        );
    }

    #[test]
    fn matches_keyed_items_at_any_index() {
        check(
            r#"{"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}, {"name": "c"}]}"#,
            r#"{"containers": [{"name": "b", "image": "b:2"}, {"name": "d"}, {"name": "a", "image": "a:1"}]}"#,
            expect![[r#"
                containers[0].image: "b:1" -> "b:2"
                containers[1]: - -> {"name":"d"}
                containers[2]: {"name":"c"} -> -
            "#]],
        );
    }

    #[test]
    fn compares_items_with_duplicate_keys_by_index() {
        check(
            r#"{"containers": [{"name": "a", "image": "1"}, {"name": "a", "image": "2"}]}"#,
            r#"{"containers": [{"name": "a", "image": "1"}, {"name": "a", "image": "3"}]}"#,
            expect![[r#"
                containers[1].image: "2" -> "3"
            "#]],
        );
    }

    #[test]
    fn matches_items_by_two_keys() {
        check(
            r#"{"ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "UDP", "name": "x"}]}"#,
            r#"{"ports": [{"containerPort": 1, "protocol": "UDP", "name": "y"}, {"containerPort": 1, "protocol": "TCP"}]}"#,
            expect![[r#"
                ports[0].name: "x" -> "y"
            "#]],
        );
    }

    #[test]
    fn reports_atomic_values_as_a_whole() {
        check(
            r#"{"args": ["a", "b"], "selector": {"a": 1, "b": 2}, "finalizers": ["x", "y"]}"#,
            r#"{"args": ["a", "c"], "selector": {"a": 1, "b": 3}, "finalizers": ["y", "x"]}"#,
            expect![[r#"
                args: ["a","b"] -> ["a","c"]
                selector: {"a":1,"b":2} -> {"a":1,"b":3}
            "#]],
        );
    }

    #[test]
    fn compares_quantities_by_value_only_in_quantity_fields() {
        check(
            r#"{"limits": {"cpu": "1", "memory": "1Gi", "x": "1k"}, "env": "1000m"}"#,
            r#"{"limits": {"cpu": "1000m", "memory": "1024Mi", "x": "1Ki"}, "env": "1"}"#,
            expect![[r#"
                limits.x: "1k" -> "1Ki"
                env: "1000m" -> "1"
            "#]],
        );
    }

    #[test]
    fn an_item_added_in_front_does_not_change_the_others() {
        check(
            r#"{"rules": [{"a": 1}, {"b": 2}], "names": ["x", "y"]}"#,
            r#"{"rules": [{"c": 0}, {"a": 1}, {"b": 2}], "names": ["w", "x", "y"]}"#,
            expect![[r#"
                rules[0]: - -> {"c":0}
                names: ["x","y"] -> ["w","x","y"]
            "#]],
        );
        check(
            r#"{"rules": [{"a": 1}, {"b": 2}, {"c": 3}]}"#,
            r#"{"rules": [{"a": 1}, {"c": 3}]}"#,
            expect![[r#"
                rules[1]: {"b":2} -> -
            "#]],
        );
    }
}
