//! Emits artifacts. All problems were reported before, so this phase cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::{
    Address, Artifact, ArtifactId, Asset, Binding, Body, Bundle, CloudFormationStack, Digest, Environment,
    Map, Member, Object, Origin, Part, Segment, Source, Target, Text, Value,
};
use terrace_graph::connect::{Edge, Graph};
use terrace_graph::lower::attributes::Attribute;
use terrace_graph::lower::outputs::{Outputs, intrinsic};
use terrace_graph::lower::{Atom, Late, Lowered, is_object, logical_id, output_name};
use terrace_graph::provenance::Provenance;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::Term;

/// A valid environment whose artifacts have not been generated yet.
///
/// The artifacts together need more memory than their sources. A caller that only passes them on should take them
/// [component by component](Emission::each).
pub struct Emission<'a> {
    graph: Graph<'a>,
    header: Header,
    edges: Vec<Edge>,
    /// The lowered resources. They get their bodies when the artifacts are generated.
    lowered: Vec<Lowered>,
    outputs: Outputs,
}

/// The parts of a bundle other than its artifacts.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) platform: Text,
    pub(crate) environment: Environment,
    pub(crate) targets: BTreeMap<Text, Target>,
    pub(crate) set: Vec<Text>,
}

/// The artifacts of one component.
#[derive(Debug)]
pub struct ComponentArtifacts {
    /// The objects and stacks, without order.
    pub artifacts: Vec<Artifact>,
    /// The files that the artifacts name.
    pub assets: BTreeMap<Digest, Asset>,
}

/// Data that all artifacts share while they are generated.
struct Context {
    /// The value of the label `terrace.dev/stack`.
    label: Text,
    /// The artifact of each resource.
    ids: Vec<ArtifactId>,
    /// The dependencies between artifacts, as pairs of numbers (see [`Graph::artifact`]), in order.
    needs: Vec<(usize, usize)>,
}

/// The index of a resource, and its lowered form.
type LoweredResource<'l> = (usize, &'l mut Lowered);

impl<'a> Emission<'a> {
    pub(crate) fn new(
        graph: Graph<'a>,
        header: Header,
        edges: Vec<Edge>,
        lowered: Vec<Lowered>,
        outputs: Outputs,
    ) -> Emission<'a> {
        Emission {
            graph,
            header,
            edges,
            lowered,
            outputs,
        }
    }

    /// Returns the graph of resources.
    pub(crate) fn graph(&self) -> &Graph<'a> {
        &self.graph
    }

    /// Returns the body of a resource as its target gets it.
    pub(crate) fn body(&self, at: usize) -> &Term {
        self.lowered[at].body(&self.graph.resources[at])
    }

    /// Returns the environment.
    pub fn environment(&self) -> &Environment {
        &self.header.environment
    }

    /// Returns the targets of the artifacts by name.
    pub fn targets(&self) -> &BTreeMap<Text, Target> {
        &self.header.targets
    }

    /// Returns the origin of a field of a resource, or `None` if the compiler generates the field.
    pub fn provenance(&self, address: &Address, field: &[Segment]) -> Option<Provenance> {
        self.graph.provenance(address, field)
    }

    /// Generates the bundle.
    pub fn into_bundle(mut self) -> Bundle {
        let header = self.header.clone();
        let mut artifacts = Vec::new();
        let mut assets = BTreeMap::new();
        for piece in self.each(|piece| piece) {
            artifacts.extend(piece.artifacts);
            assets.extend(piece.assets);
        }
        Bundle {
            platform: header.platform,
            environment: header.environment,
            targets: header.targets,
            artifacts: in_order(artifacts),
            assets,
            set: header.set,
        }
    }

    /// Generates the artifacts of each component and passes them to `take`, in parallel and without order. Returns the results in order of tenant
    /// and component. A second call generates empty artifacts, because the bodies are moved.
    pub fn each<T: Send>(&mut self, take: impl Fn(ComponentArtifacts) -> T + Sync) -> Vec<T> {
        let context = Context {
            label: format!("{}.{}", self.header.platform, self.header.environment.name).into(),
            ids: self.ids(),
            needs: self.needs(),
        };
        let mut lowered = std::mem::take(&mut self.lowered);
        for (resource, lowered) in self.graph.resources.iter_mut().zip(&mut lowered) {
            // The bodies are not needed after this point, so unchanged ones are moved, not copied.
            lowered
                .body
                .get_or_insert_with(|| std::mem::take(&mut resource.body));
        }
        let mut components: Vec<Vec<LoweredResource<'_>>> = Vec::new();
        components.resize_with(self.graph.instances.len(), Vec::new);
        for (at, lowered) in lowered.iter_mut().enumerate() {
            components[self.graph.resources[at].instance].push((at, lowered));
        }
        let piece = |(instance, resources)| take(self.component(instance, resources, &context));
        components.into_par_iter().enumerate().map(piece).collect()
    }

    /// Returns the dependencies between artifacts by number.
    fn needs(&self) -> Vec<(usize, usize)> {
        let pairs = self
            .edges
            .iter()
            .map(|edge| (self.graph.artifact(edge.from), self.graph.artifact(edge.to)));
        let mut needs: Vec<_> = pairs.filter(|(from, to)| from != to).collect();
        needs.par_sort_unstable();
        needs.dedup();
        needs
    }

    /// Returns the artifacts that the artifact of a resource depends on.
    fn needed(&self, at: usize, context: &Context) -> BTreeSet<ArtifactId> {
        let artifact = self.graph.artifact(at);
        let start = context.needs.partition_point(|(from, _)| *from < artifact);
        context.needs[start..]
            .iter()
            .take_while(|(from, _)| *from == artifact)
            .map(|(_, to)| context.ids[self.graph.resource_of(*to)].clone())
            .collect()
    }

    fn target(&self, resource: &Resource) -> Text {
        let instance = &self.graph.instances[resource.instance];
        let target = if is_object(resource) {
            &instance.cluster
        } else {
            &instance.account
        };
        target.clone().unwrap_or_default()
    }

    fn ids(&self) -> Vec<ArtifactId> {
        let id = |resource: &Resource| match &resource.kind {
            ResourceKind::Kubernetes { api_version, kind } => {
                let metadata = |key: &str| resource.body.at(&["metadata", key]).and_then(Term::as_str);
                let name = metadata("name").unwrap_or_default();
                ArtifactId::object(
                    &self.target(resource),
                    api_version,
                    kind,
                    metadata("namespace"),
                    name,
                )
            }
            ResourceKind::CloudFormation(_) => {
                let instance = &self.graph.instances[resource.instance];
                ArtifactId::stack(&self.target(resource), &instance.stack_name(resource.part))
            }
        };
        self.graph.resources.par_iter().map(id).collect()
    }

    fn origin(&self, resource: &Resource) -> Origin {
        let instance = &self.graph.instances[resource.instance];
        Origin {
            component: self.graph.files.location(instance.declared),
            resource: self.graph.files.location(resource.declared),
        }
    }

    /// Returns the source of a late value.
    fn source(&self, late: &Late, context: &Context) -> Source {
        let resource = &self.graph.resources[late.resource];
        let attribute = match &late.attribute {
            Attribute::Field(path) => path.iter().map(|key| Segment::Key(key.clone())).collect(),
            attribute => {
                let value = intrinsic(resource, attribute);
                let known = self
                    .outputs
                    .get(&(resource.instance, resource.part))
                    .and_then(|outputs| {
                        outputs
                            .iter()
                            .find(|(_, other)| **other == value)
                            .map(|(name, _)| name.clone())
                    });
                vec![Segment::Key(
                    known.unwrap_or_else(|| output_name(resource, attribute)),
                )]
            }
        };
        Source {
            artifact: context.ids[late.resource].clone(),
            attribute,
            shown: late.shown.clone(),
        }
    }

    fn component(
        &self,
        instance: usize,
        resources: Vec<LoweredResource<'_>>,
        context: &Context,
    ) -> ComponentArtifacts {
        let mut piece = ComponentArtifacts {
            artifacts: Vec::new(),
            assets: BTreeMap::new(),
        };
        let mut stacks: BTreeMap<u32, Vec<LoweredResource<'_>>> = BTreeMap::new();
        for (at, lowered) in resources {
            let resource = &self.graph.resources[at];
            if is_object(resource) {
                piece.artifacts.push(self.object(at, lowered, context));
            } else {
                stacks.entry(resource.part).or_default().push((at, lowered));
            }
        }
        for (part, members) in stacks {
            let stack = self.stack(instance, part, members, context, &mut piece.assets);
            piece.artifacts.push(stack);
        }
        piece
    }

    fn object(&self, at: usize, lowered: &mut Lowered, context: &Context) -> Artifact {
        let resource = &self.graph.resources[at];
        let mut manifest = value(lowered);
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
        let (api_version, kind) = match &resource.kind {
            ResourceKind::Kubernetes { api_version, kind } => (api_version.clone(), kind.clone()),
            ResourceKind::CloudFormation(_) => Default::default(),
        };
        let metadata = |key: &str| {
            manifest
                .at(&["metadata", key])
                .and_then(Value::as_str)
                .map(Text::from)
        };
        Artifact {
            target: self.target(resource),
            needs: self.needed(at, context),
            id: context.ids[at].clone(),
            body: Body::Object(Object {
                address: resource.address.clone(),
                origin: self.origin(resource),
                api_version,
                kind,
                namespace: metadata("namespace"),
                name: metadata("name").unwrap_or_default(),
                bindings,
                holds_data: resource.holds_data,
                manifest,
            }),
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

    fn stack(
        &self,
        index: usize,
        part: u32,
        members: Vec<LoweredResource<'_>>,
        context: &Context,
        files: &mut BTreeMap<Digest, Asset>,
    ) -> Artifact {
        let instance = &self.graph.instances[index];
        let id = context.ids[members[0].0].clone();
        let needed = self.needed(members[0].0, context);
        let mut stack = CloudFormationStack {
            name: instance.stack_name(part),
            component: instance.component.clone(),
            owner: instance.owner.clone(),
            origin: Origin {
                component: self.graph.files.location(instance.declared),
                resource: self.graph.files.location(instance.declared),
            },
            template: Value::Null,
            parameters: BTreeMap::new(),
            tags: self.tags(index, &context.label),
            members: BTreeMap::new(),
            part,
            termination_protection: self.header.environment.class.is_production(),
            policy: None,
            assets: BTreeSet::new(),
        };
        let mut parameters = Map::new();
        let mut resources = Vec::with_capacity(members.len());
        let mut guarded = Vec::new();
        for (at, lowered) in members {
            let resource = &self.graph.resources[at];
            let logical = logical_id(resource);
            for (name, late) in &lowered.parameters {
                stack
                    .parameters
                    .insert(name.clone(), vec![Part::Late(self.source(late, context))]);
            }
            for (path, span) in &lowered.assets {
                if let Ok(packed) = self.graph.assets.packed(path, *span) {
                    stack.assets.insert(packed.digest.clone());
                    files.insert(
                        packed.digest.clone(),
                        Asset {
                            key: packed.key.clone(),
                            bytes: packed.bytes.clone(),
                        },
                    );
                }
            }
            if resource.holds_data {
                guarded.push(logical.clone());
            }
            stack.members.insert(
                logical.clone(),
                Member {
                    address: resource.address.clone(),
                    origin: self.origin(resource),
                    resource_type: resource.kind.cloudformation().unwrap_or_default().into(),
                    holds_data: resource.holds_data,
                },
            );
            resources.push((logical, self.member(resource, lowered)));
        }
        for name in stack.parameters.keys() {
            parameters.insert(name.clone(), Map::from_iter([("Type", "String")]));
        }
        if self.header.environment.class.is_production() && !guarded.is_empty() {
            stack.policy = Some(stack_policy(&guarded));
        }
        let mut template = Map::new();
        template.insert("AWSTemplateFormatVersion", "2010-09-09");
        let whose = instance.owner.tenant().map_or("the platform", Text::as_str);
        let which = match part {
            0 => String::new(),
            part => format!(", {part} of {}", instance.divided),
        };
        template.insert(
            "Description",
            format!(
                "{} of {whose} in {} {}{which}",
                instance.identity, self.header.platform, self.header.environment.name
            ),
        );
        if !needed.is_empty() {
            let ids: Vec<Value> = needed.iter().map(|id| Value::from(id.as_str())).collect();
            template.insert(
                "Metadata",
                Map::from_iter([("terrace", Map::from_iter([("needs", ids)]))]),
            );
        }
        if !parameters.is_empty() {
            template.insert("Parameters", parameters);
        }
        template.insert("Resources", Map::from_distinct(resources));
        if let Some(own) = self.outputs.get(&(index, part)) {
            let entry = |(name, term): (&Text, &Term)| {
                (
                    name.clone(),
                    Map::from_iter([("Value", term.clone().into_value())]),
                )
            };
            template.insert("Outputs", own.iter().map(entry).collect::<Map>());
        }
        stack.template = Value::Map(template);
        Artifact {
            target: instance.account.clone().unwrap_or_default(),
            needs: needed,
            id,
            body: Body::Stack(stack),
        }
    }

    fn tags(&self, index: usize, label: &Text) -> BTreeMap<Text, Text> {
        let instance = &self.graph.instances[index];
        let mut tags: BTreeMap<Text, Text> = BTreeMap::new();
        tags.insert("terrace:stack".into(), label.clone());
        tags.insert(
            "terrace:component".into(),
            format!("{}/{}", instance.owner, instance.identity).into(),
        );
        tags
    }

    fn member(&self, resource: &Resource, lowered: &mut Lowered) -> Value {
        let properties = value(lowered);
        let attribute = |name: &str| {
            let mut attributes = lowered.attributes.iter();
            attributes.find(|(key, _)| key == name).map(|(_, term)| term)
        };
        let mut out: Vec<(Text, Value)> = Vec::with_capacity(4);
        let mut put = |key: &'static str, value: Value| out.push((Text::new_static(key), value));
        put("Type", resource.kind.cloudformation().unwrap_or_default().into());
        let mut metadata = match attribute("Metadata").cloned().map(Term::into_value) {
            Some(Value::Map(map)) => map,
            _ => Map::new(),
        };
        if let Some(mark) = data_mark(resource) {
            let mut address = resource.address.clone();
            address.component = self.graph.instances[resource.instance].identity.clone();
            let mut marks = Map::new();
            marks.insert("address", address.to_string());
            marks.insert("holds-data", mark);
            metadata.insert("terrace", marks);
        }
        if !metadata.is_empty() {
            put("Metadata", metadata.into());
        }
        for name in ["DeletionPolicy", "UpdateReplacePolicy"] {
            match attribute(name) {
                Some(term) => put(name, term.clone().into_value()),
                // A resource with data is retained when it is removed from the template. CloudFormation would delete it by default.
                None if resource.holds_data => put(name, "Retain".into()),
                None => {}
            }
        }
        for name in ["CreationPolicy", "UpdatePolicy"] {
            if let Some(term) = attribute(name) {
                put(name, term.clone().into_value());
            }
        }
        let after: BTreeSet<Text> = self.explicit_order(resource);
        if !after.is_empty() {
            put(
                "DependsOn",
                Value::List(after.into_iter().map(Value::from).collect()),
            );
        }
        if properties.as_map().is_some_and(|map| !map.is_empty()) {
            put("Properties", properties);
        }
        Value::Map(Map::from_distinct(out))
    }

    /// Returns the logical IDs that a resource names in `depends_on`.
    fn explicit_order(&self, resource: &Resource) -> BTreeSet<Text> {
        if resource.depends_on.is_empty() {
            return BTreeSet::new();
        }
        let named = |other: &Resource| {
            resource
                .depends_on
                .iter()
                .any(|(name, _)| *name == other.address.resource)
        };
        self.graph
            .resources_of(resource.instance)
            .filter(|(_, other)| !is_object(other) && other.part == resource.part && named(other))
            .map(|(_, other)| logical_id(other))
            .collect()
    }
}

/// Sorts artifacts by ID. The indices are sorted first, so that each artifact is moved once.
fn in_order(artifacts: Vec<Artifact>) -> Vec<Artifact> {
    let mut order: Vec<usize> = (0..artifacts.len()).collect();
    order.par_sort_by(|a, b| artifacts[*a].id.cmp(&artifacts[*b].id));
    let mut artifacts: Vec<Option<Artifact>> = artifacts.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| artifacts[at].take()).collect()
}

/// Returns the body of a resource as the target gets it.
fn value(lowered: &mut Lowered) -> Value {
    lowered.body.take().unwrap_or_default().into_value()
}

/// Returns a stack policy that denies updates which replace or delete resources with data.
fn stack_policy(guarded: &[Text]) -> Value {
    let resources: Vec<Value> = guarded
        .iter()
        .map(|id| format!("LogicalResourceId/{id}").into())
        .collect();
    let statement = |effect: &str, action: Value, resource: Value| {
        Value::Map(Map::from_iter([
            ("Effect", Value::from(effect)),
            ("Action", action),
            ("Principal", "*".into()),
            ("Resource", resource),
        ]))
    };
    let actions: Vec<Value> = vec!["Update:Replace".into(), "Update:Delete".into()];
    Value::Map(Map::from_iter([(
        "Statement",
        vec![
            statement("Deny", actions.into(), resources.into()),
            statement("Allow", "Update:*".into(), "*".into()),
        ],
    )]))
}

/// Returns the mark of a resource: `true` if it holds data, `false` if its module declares that it holds none although its type does.
/// The deployer accepts `false` only if the previous release contained the same mark.
fn data_mark(resource: &Resource) -> Option<bool> {
    (resource.holds_data || resource.kind.holds_data(&resource.body)).then_some(resource.holds_data)
}
