//! The differences between two values, field by field.
//!
//! Every backend compares with [`diff`]. [`objects`] and [`templates`] know the shapes of the values that it compares.

pub mod objects;
pub mod templates;

use std::collections::BTreeSet;

use terrace_artifact::{Map, Segment, Text, Value, same_quantity};

use crate::plan::Field;

/// Knowledge about the shape of the compared values.
pub trait Shapes {
    /// Returns how the list at a path is compared. Indices in the path are those of the later value.
    fn list(&self, path: &[Segment]) -> ListShape;

    /// Returns whether the scalar at a path is a Kubernetes quantity: `1` and `1000m` are the same there.
    fn is_quantity(&self, path: &[Segment]) -> bool {
        let _ = path;
        false
    }

    /// Returns whether a map at a path that only one of the values contains is reported by its entries. Otherwise, it is
    /// reported as one value.
    fn is_reported_by_entry(&self, path: &[Segment]) -> bool {
        let _ = path;
        false
    }
}

/// The comparison of a list.
#[derive(Clone, PartialEq, Debug)]
pub enum ListShape {
    /// Items at the same index belong together.
    Ordered,
    /// Items are maps. Items with equal values for these keys belong together, at any index.
    Keyed {
        /// The keys.
        keys: Vec<MergeKey>,
        /// Whether another order of the items is a change.
        is_ordered: bool,
    },
    /// A server replaces the list as a whole, and nothing identifies its items. Items that all have distinct names are
    /// compared by name, other items by index.
    Named,
    /// The order and the number of equal items do not matter.
    Set,
}

/// A key that identifies the items of a list, and the value that an item without the key has.
#[derive(Clone, PartialEq, Debug)]
pub struct MergeKey {
    /// The key.
    pub key: Text,
    /// The default of the server, such as `TCP` for `protocol`.
    pub default: Option<Value>,
}

impl ListShape {
    /// Returns the keys by which the items of the list are compared, if there are any.
    pub fn keys(self) -> Option<Vec<MergeKey>> {
        match self {
            ListShape::Keyed { keys, .. } => Some(keys),
            ListShape::Named => Some(vec![MergeKey::from("name")]),
            ListShape::Ordered | ListShape::Set => None,
        }
    }
}

impl From<&str> for MergeKey {
    fn from(key: &str) -> MergeKey {
        MergeKey {
            key: key.into(),
            default: None,
        }
    }
}

/// The identity of an item of a list: the values of its merge keys.
pub type ItemIdentity = Vec<Value>;

/// Returns the identity of an item, or `None` if the item is not a map or states none of the keys.
pub fn identity(item: &Value, keys: &[MergeKey]) -> Option<ItemIdentity> {
    let map = item.as_map()?;
    if keys.iter().all(|key| map.get(&key.key).is_none()) {
        return None;
    }
    let values = keys.iter().map(|key| {
        let stated = map.get(&key.key).or(key.default.as_ref());
        stated.cloned().unwrap_or_default()
    });
    Some(values.collect())
}

/// Returns the identity of each item, or `None` if an item has no identity or two items have the same one.
pub fn identities(list: &[Value], keys: &[MergeKey]) -> Option<Vec<ItemIdentity>> {
    let mut ids: Vec<ItemIdentity> = Vec::with_capacity(list.len());
    for item in list {
        let id = identity(item, keys)?;
        if ids.contains(&id) {
            return None;
        }
        ids.push(id);
    }
    Some(ids)
}

/// Finds the fields in which two values differ. The fields, and the keys in their values, are in order. The order in which the
/// compared values state their keys does not matter, because a server and a file state them in different orders.
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
            (Value::Map(old), Value::Map(new)) => self.maps(old, new),
            (Value::List(old), Value::List(new)) => self.lists(before, after, old, new),
            _ if self.shapes.is_quantity(&self.path) && same_quantity(before, after) => {}
            _ => self.push(Some(before), Some(after)),
        }
    }

    fn maps(&mut self, old: &Map, new: &Map) {
        let keys: BTreeSet<&Text> = old.keys().chain(new.keys()).collect();
        for key in keys {
            self.at(Segment::Key(key.clone()), |walk| {
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => walk.values(old, new),
                    (old, new) => walk.one_side(old, new),
                }
            });
        }
    }

    /// Reports a value that only one side contains.
    fn one_side(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match before.or(after) {
            Some(Value::Map(map)) if !map.is_empty() && self.shapes.is_reported_by_entry(&self.path) => {
                let keys: BTreeSet<&Text> = map.keys().collect();
                for key in keys {
                    let entry = |side: Option<&Value>| side.and_then(|side| side.get(key)).cloned();
                    self.at(Segment::Key(key.clone()), |walk| {
                        walk.one_side(entry(before).as_ref(), entry(after).as_ref());
                    });
                }
            }
            _ => self.push(before, after),
        }
    }

    fn lists(&mut self, before: &Value, after: &Value, old: &[Value], new: &[Value]) {
        let shape = self.shapes.list(&self.path);
        if shape == ListShape::Set {
            let items = |list: &[Value]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            if items(old) != items(new) {
                self.push(Some(before), Some(after));
            }
            return;
        }
        let is_ordered = !matches!(
            shape,
            ListShape::Keyed {
                is_ordered: false,
                ..
            }
        );
        let ids = shape
            .keys()
            .and_then(|keys| Some((identities(old, &keys)?, identities(new, &keys)?)));
        let Some((old_ids, new_ids)) = ids else {
            return self.ordered(before, after, old, new);
        };
        let kept = old_ids.iter().filter(|id| new_ids.contains(id));
        if is_ordered && !kept.eq(new_ids.iter().filter(|id| old_ids.contains(id))) {
            return self.push(Some(before), Some(after));
        }
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
        let path = self.path.clone();
        self.fields
            .push(Field::new(path, before.map(sorted), after.map(sorted)));
    }
}

/// Returns a value whose maps have their keys in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::List(list) => Value::List(list.iter().map(sorted).collect()),
        Value::Map(map) => {
            let mut entries: Vec<(Text, Value)> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(Map::from_distinct(entries))
        }
        value => value.clone(),
    }
}

/// Shows fields in tests, a line for each.
#[cfg(test)]
fn show_fields(fields: &[Field]) -> String {
    let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
    let line = |field: &Field| {
        let path = terrace_artifact::show_path(&field.path);
        format!("{path}: {} -> {}\n", show(&field.before), show(&field.after))
    };
    fields.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// The shapes of a Deployment: containers by name and in order, ports by two keys, quantities in resources.
    struct Pod;

    impl Shapes for Pod {
        fn list(&self, path: &[Segment]) -> ListShape {
            match path.last() {
                Some(Segment::Key(key)) if key == "containers" => keyed(&["name"], true),
                Some(Segment::Key(key)) if key == "ports" => keyed(&["containerPort", "protocol"], false),
                Some(Segment::Key(key)) if key == "finalizers" => ListShape::Set,
                _ => ListShape::Ordered,
            }
        }

        fn is_quantity(&self, path: &[Segment]) -> bool {
            path.iter().rev().nth(1) == Some(&Segment::Key("limits".into()))
        }
    }

    fn keyed(keys: &[&str], is_ordered: bool) -> ListShape {
        ListShape::Keyed {
            keys: keys.iter().map(|key| MergeKey::from(*key)).collect(),
            is_ordered,
        }
    }

    #[track_caller]
    fn check(before: &str, after: &str, want: Expect) {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        want.assert_eq(&show_fields(&diff(&value(before), &value(after), &Pod)));
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
                spec.paused: true -> -
                spec.replicas: 2 -> 3
                spec.template: - -> {"x":null}
            "#]],
        );
    }

    #[test]
    fn matches_keyed_items_at_any_index() {
        check(
            r#"{"containers": [{"name": "a", "image": "a:1"}, {"name": "c"}, {"name": "b", "image": "b:1"}]}"#,
            r#"{"containers": [{"name": "d"}, {"name": "a", "image": "a:2"}, {"name": "b", "image": "b:1"}]}"#,
            expect![[r#"
                containers[0]: - -> {"name":"d"}
                containers[1].image: "a:1" -> "a:2"
                containers[1]: {"name":"c"} -> -
            "#]],
        );
    }

    #[test]
    fn reports_another_order_only_if_it_has_an_effect() {
        check(
            r#"{"containers": [{"name": "a"}, {"name": "b"}], "ports": [{"containerPort": 1}, {"containerPort": 2}]}"#,
            r#"{"containers": [{"name": "b"}, {"name": "a"}], "ports": [{"containerPort": 2}, {"containerPort": 1}]}"#,
            expect![[r#"
                containers: [{"name":"a"},{"name":"b"}] -> [{"name":"b"},{"name":"a"}]
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
    fn ignores_the_order_of_sets() {
        check(
            r#"{"args": ["a", "b"], "finalizers": ["x", "y"]}"#,
            r#"{"args": ["a", "c"], "finalizers": ["y", "x"]}"#,
            expect![[r#"
                args[1]: "b" -> "c"
            "#]],
        );
    }

    #[test]
    fn compares_quantities_by_value_only_in_quantity_fields() {
        check(
            r#"{"limits": {"cpu": "1", "memory": "1Gi", "x": "1k"}, "env": "1000m"}"#,
            r#"{"limits": {"cpu": "1000m", "memory": "1024Mi", "x": "1Ki"}, "env": "1"}"#,
            expect![[r#"
                env: "1000m" -> "1"
                limits.x: "1k" -> "1Ki"
            "#]],
        );
    }

    #[test]
    fn an_item_added_in_front_does_not_change_the_others() {
        check(
            r#"{"rules": [{"a": 1}, {"b": 2}], "names": ["x", "y"]}"#,
            r#"{"rules": [{"c": 0}, {"a": 1}, {"b": 2}], "names": ["w", "x", "y"]}"#,
            expect![[r#"
                names: ["x","y"] -> ["w","x","y"]
                rules[0]: - -> {"c":0}
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
