//! Compares the templates of CloudFormation stacks.
//!
//! A directory and an account report the same change in the same way, because both compare with [`diff_resources`] and
//! [`diff_values`].

use std::collections::BTreeMap;

use terrace_artifact::{Map, Segment, Text, Value};

use super::{ListShape, MergeKey, Shapes, diff};
use crate::plan::Field;
use crate::template::{flat, shown};
use crate::values::Late;

/// The differences between two resources of a template.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ResourceDiff {
    /// The changed properties, without `Properties` in their paths.
    pub properties: Vec<Field>,
    /// The changed attributes beside the properties, such as `DeletionPolicy`.
    pub attributes: Vec<Field>,
}

/// A resource and the values of the parameters that it refers to.
pub type Resource<'a> = (&'a Value, &'a BTreeMap<Text, Late<Text>>);

/// Returns the fields in which a resource differs from an earlier one. A parameter has its value, if that is known.
pub fn diff_resources(before: Resource<'_>, after: Resource<'_>) -> ResourceDiff {
    let mut found = ResourceDiff::default();
    for mut field in diff_values(&with_properties(before), &with_properties(after)) {
        if matches!(field.path.first(), Some(Segment::Key(key)) if key == "Properties") {
            field.path.remove(0);
            found.properties.push(field);
        } else {
            found.attributes.push(field);
        }
    }
    found
}

/// Returns the fields in which two flat values of a template differ, in the form that a plan shows.
pub fn diff_values(before: &Value, after: &Value) -> Vec<Field> {
    let fields = diff(before, after, &TemplateShapes);
    fields.into_iter().map(reveal).collect()
}

/// Returns a flat resource. A resource without properties gets an empty map of them, so that the comparison reports each
/// property by its own path.
pub fn with_properties((resource, parameters): Resource<'_>) -> Value {
    let mut flat = flat(resource, parameters);
    if let Some(map) = flat.as_map_mut()
        && map.get("Properties").is_none()
    {
        map.insert("Properties", Map::new());
    }
    flat
}

/// Converts the values of a field to the form that a plan shows.
fn reveal(field: Field) -> Field {
    let before = field.before.as_ref().map(|value| shown(value).0);
    let (after, known_after) = match &field.after {
        Some(value) => {
            let (value, later) = shown(value);
            (
                if later.is_some() && !matches!(value, Value::Map(_) | Value::List(_)) {
                    None
                } else {
                    Some(value)
                },
                later,
            )
        }
        None => (None, None),
    };
    Field {
        before,
        after,
        known_after,
        ..field
    }
}

/// The shapes of templates. The schemas of CloudFormation state no merge keys, but tags have the same form in all types.
struct TemplateShapes;

impl Shapes for TemplateShapes {
    fn list(&self, path: &[Segment]) -> ListShape {
        match path.last() {
            Some(Segment::Key(key)) if key == "Tags" => ListShape::Keyed {
                keys: vec![MergeKey::from("Key")],
                is_ordered: false,
            },
            _ => ListShape::Ordered,
        }
    }
}
