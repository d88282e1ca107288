//! Kubernetes objects, with the labels and annotations of Terrace.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Asset, Binding, Body, Digest, Map, Object, Part, Text, Value};
use terrace_graph::lower::{Atom, Lowered};
use terrace_language::resource::{Instance, Resource};
use terrace_language::targets::Kubernetes;
use terrace_language::value::term::Term;

use super::{Context, Emission, LoweredResource, TargetEmission, data_mark, take_body};

impl TargetEmission for Kubernetes {
    fn artifact_id(&self, target: &str, resource: &Resource, _instance: &Instance) -> ArtifactId {
        let (api_version, kind) = type_of(resource);
        let metadata = |key: &str| resource.body.at(&["metadata", key]).and_then(Term::as_str);
        let name = metadata("name").unwrap_or_default();
        ArtifactId::object(target, &api_version, &kind, metadata("namespace"), name)
    }

    fn body(
        &self,
        emission: &Emission<'_>,
        members: &mut [LoweredResource<'_>],
        context: &Context,
        _assets: &mut BTreeMap<Digest, Asset>,
    ) -> Body {
        let (at, lowered) = &mut members[0];
        Body::Object(emission.object(*at, lowered, context))
    }
}

/// Returns the API version and the kind of an object.
fn type_of(resource: &Resource) -> (Text, Text) {
    let found = resource.kind.group_version_kind();
    found.map_or_else(Default::default, |(api_version, kind)| {
        (api_version.clone(), kind.clone())
    })
}

impl Emission<'_> {
    fn object(&self, at: usize, lowered: &mut Lowered, context: &Context) -> Object {
        let resource = &self.graph.resources[at];
        let mut manifest = take_body(lowered);
        let bindings = lowered
            .bindings
            .iter()
            .map(|(path, atoms)| Binding {
                path: path.clone(),
                parts: atoms
                    .iter()
                    .map(|atom| match atom {
                        Atom::Late(late) => Part::Late(self.source(late, context)),
                        Atom::Text(text) => Part::Text(text.clone()),
                        _ => Part::Text(Text::default()),
                    })
                    .collect(),
            })
            .collect();
        self.mark(resource, &mut manifest, &context.label);
        let (api_version, kind) = type_of(resource);
        let metadata = |key: &str| {
            manifest
                .at(&["metadata", key])
                .and_then(Value::as_str)
                .map(Text::from)
        };
        Object {
            address: resource.address.clone(),
            origin: self.origin(resource),
            api_version,
            kind,
            namespace: metadata("namespace"),
            name: metadata("name").unwrap_or_default(),
            bindings,
            holds_data: resource.holds_data,
            manifest,
        }
    }

    /// Adds the labels and annotations of Terrace: stack, address, and the mark for data. The address has the name of the component that does not
    /// change with `moved_from`.
    fn mark(&self, resource: &Resource, manifest: &mut Value, label: &Text) {
        let instance = &self.graph.instances[resource.instance];
        let mut address = resource.address.clone();
        address.component = instance.identity.clone();
        let Some(metadata) = manifest
            .as_map_mut()
            .and_then(|m| m.get_mut("metadata"))
            .and_then(Value::as_map_mut)
        else {
            return;
        };
        let mut put = |field: &str, key: &str, value: Text| {
            if metadata.get(field).and_then(Value::as_map).is_none() {
                metadata.insert(field, Map::new());
            }
            if let Some(map) = metadata.get_mut(field).and_then(Value::as_map_mut) {
                map.insert(key, value);
            }
        };
        put("labels", "terrace.dev/stack", label.clone());
        put("annotations", "terrace.dev/address", address.to_string().into());
        if let Some(mark) = data_mark(resource) {
            put("annotations", "terrace.dev/holds-data", mark.to_string().into());
        }
    }
}
