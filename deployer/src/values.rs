//! Late values: what is known of the attributes that bindings wait for.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Object, Part, Segment, Source, Stack, Text, Value};

/// What is known so far of the attributes of artifacts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Values {
    known: BTreeMap<(ArtifactId, Vec<Segment>), Value>,
}

/// A value that is known, or known later.
#[derive(Clone, PartialEq, Debug)]
pub enum Late<T> {
    /// It is known.
    Known(T),
    /// It is known when another artifact has settled: where it comes from, as a reader is told, `finance/lake/role.arn`.
    Later(Text),
}

/// An object's manifest with all bindings filled that can be.
#[derive(Clone, PartialEq, Debug)]
pub struct Filled {
    /// The manifest; what is not known yet is still its stand-in.
    pub manifest: Value,
    /// Fields that are still stand-ins, and where their values come from.
    pub later: Vec<(Vec<Segment>, Text)>,
}

impl Values {
    /// Records the value of an attribute.
    pub fn learn(&mut self, source: &Source, value: Value) {
        self.known
            .insert((source.artifact.clone(), source.attribute.clone()), value);
    }

    /// The value of an attribute.
    pub fn get(&self, source: &Source) -> Option<&Value> {
        self.known
            .get(&(source.artifact.clone(), source.attribute.clone()))
    }

    /// Parts put together. A single late part keeps its type; several make a text.
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

    /// An object's manifest with what is known filled in.
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

    /// The values of a CloudFormation stack's parameters, which are texts.
    pub fn parameters(&self, stack: &Stack) -> BTreeMap<Text, Late<Text>> {
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
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Late::Known(value) => Some(value),
            Late::Later(_) => None,
        }
    }
}

/// The value at a path.
pub fn at_path<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(i) => value.as_list().and_then(|list| list.get(*i)),
    })
}

/// The value at a path, to change.
pub fn at_path_mut<'a>(value: &'a mut Value, path: &[Segment]) -> Option<&'a mut Value> {
    path.iter()
        .try_fold(value, |value, segment| match (value, segment) {
            (Value::Map(map), Segment::Key(key)) => map.get_mut(key),
            (Value::List(list), Segment::Index(i)) => list.get_mut(*i),
            _ => None,
        })
}

/// All sources that an artifact's late values come from.
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

/// CloudFormation's own way to pass a list is a text with commas.
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
