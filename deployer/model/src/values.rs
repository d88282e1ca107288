//! Late values: the known attributes that bindings wait for.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, CloudFormationStack, Object, Part, Segment, Source, Text, Value};

/// The attributes of artifacts that are known so far.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Values {
    known: BTreeMap<(ArtifactId, Vec<Segment>), Value>,
}

/// A value that is known, or known after apply.
#[derive(Clone, PartialEq, Debug)]
pub enum Late<T> {
    /// It is known.
    Known(T),
    /// It is known when another artifact is ready. Contains the display name of its source, `finance/lake/role.arn`.
    Later(Text),
}

/// An object's manifest with all known bindings filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct Filled {
    /// The manifest; unknown values are placeholders.
    pub manifest: Value,
    /// The fields that contain placeholders, with the display names of their sources.
    pub later: Vec<(Vec<Segment>, Text)>,
}

impl Values {
    /// Records the value of an attribute.
    pub fn learn(&mut self, source: &Source, value: Value) {
        self.known
            .insert((source.artifact.clone(), source.attribute.clone()), value);
    }

    /// Returns the value of an attribute.
    pub fn get(&self, source: &Source) -> Option<&Value> {
        self.known
            .get(&(source.artifact.clone(), source.attribute.clone()))
    }

    /// Joins parts. A single late part keeps its type; several parts make a string.
    pub fn join(&self, parts: &[Part]) -> Late<Value> {
        match parts {
            [Part::Late(source)] => self.get(source).map_or_else(
                || Late::Later(source.shown.clone()),
                |value| Late::Known(value.clone()),
            ),
            parts => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(piece) => text.push_str(piece),
                        Part::Late(source) => match self.get(source) {
                            Some(Value::String(piece)) => text.push_str(piece),
                            Some(other) => text.push_str(&other.to_string()),
                            None => return Late::Later(source.shown.clone()),
                        },
                    }
                }
                Late::Known(text.into())
            }
        }
    }

    /// Returns an object's manifest with the known values filled in.
    pub fn fill(&self, object: &Object) -> Filled {
        let mut manifest = object.manifest.clone();
        let mut later = Vec::new();
        for binding in &object.bindings {
            match self.join(&binding.parts) {
                Late::Known(value) => {
                    if let Some(place) = at_path_mut(&mut manifest, &binding.path) {
                        *place = value;
                    }
                }
                Late::Later(shown) => later.push((binding.path.clone(), shown)),
            }
        }
        Filled { manifest, later }
    }

    /// Returns the values of a CloudFormation stack's parameters, which are strings.
    pub fn parameters(&self, stack: &CloudFormationStack) -> BTreeMap<Text, Late<Text>> {
        stack
            .parameters
            .iter()
            .map(|(name, parts)| {
                let value = match self.join(parts) {
                    Late::Known(value) => Late::Known(parameter_text(&value)),
                    Late::Later(shown) => Late::Later(shown),
                };
                (name.clone(), value)
            })
            .collect()
    }
}

impl<T> Late<T> {
    /// Returns the value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Late::Known(value) => Some(value),
            Late::Later(_) => None,
        }
    }
}

/// Returns the value at a path.
pub fn at_path<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(i) => value.as_list().and_then(|list| list.get(*i)),
    })
}

/// Returns a mutable reference to the value at a path.
pub fn at_path_mut<'a>(value: &'a mut Value, path: &[Segment]) -> Option<&'a mut Value> {
    path.iter()
        .try_fold(value, |value, segment| match (value, segment) {
            (Value::Map(map), Segment::Key(key)) => map.get_mut(key),
            (Value::List(list), Segment::Index(i)) => list.get_mut(*i),
            _ => None,
        })
}

/// Returns the sources of an artifact's late values.
pub fn sources(artifact: &terrace_artifact::Artifact) -> Vec<&Source> {
    let parts: Vec<&Part> = match &artifact.body {
        terrace_artifact::Body::Object(object) => object.bindings.iter().flat_map(|b| &b.parts).collect(),
        terrace_artifact::Body::Stack(stack) => stack.parameters.values().flatten().collect(),
    };
    parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Late(source) => Some(source),
            Part::Text(_) => None,
        })
        .collect()
}

/// Writes a value as a parameter of CloudFormation, which passes a list as a string with commas.
fn parameter_text(value: &Value) -> Text {
    match value {
        Value::String(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(parameter_text).collect();
            items.join(",").into()
        }
        other => other.to_string().into(),
    }
}
