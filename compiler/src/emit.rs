//! Phase 7: artifacts. Everything that could be wrong has been said; nothing here can fail.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::{
    Artifact, ArtifactId, Asset, Binding, Body, Bundle, Digest, Environment, Map, Member, Object, Origin,
    Part, Segment, Source, Stack, Target, Text, Value,
};

use crate::connect::attribute::Attribute;
use crate::connect::lower::{Atom, Late, Lowered, is_object, logical_id, output_name};
use crate::connect::{Edge, Graph};
use crate::expression::filters::pascal;
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;

/// What a bundle is made of.
pub(crate) struct Emission<'a> {
    pub(crate) graph: Graph<'a>,
    pub(crate) platform: Text,
    pub(crate) environment: Environment,
    pub(crate) targets: Vec<(Text, Target)>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) set: Vec<Text>,
}

/// What the resources of a stack tell other stacks, by instance and part: the outputs by name.
pub(crate) type Outputs = BTreeMap<(usize, u32), BTreeMap<Text, Term>>;

/// A resource on its way out.
struct Finished {
    at: usize,
    lowered: Lowered,
    /// The body that it came with.
    own: Term,
}

impl Finished {
    fn value(&mut self) -> Value {
        let own = std::mem::take(&mut self.own);
        self.lowered.body.take().unwrap_or(own).into_value()
    }
}

/// What all artifacts share while they are made.
struct Context {
    /// Our label's value.
    label: Text,
    /// The artifact of each resource.
    ids: Vec<ArtifactId>,
    /// The artifacts that need others: the numbers of both (see [`Graph::artifact`]), in order.
    needs: Vec<(usize, usize)>,
    outputs: Outputs,
}

impl Emission<'_> {
    /// Makes the bundle.
    pub(crate) fn emit(mut self, lowered: Vec<Lowered>, outputs: Outputs) -> Bundle {
        let context = Context {
            label: format!("{}.{}", self.platform, self.environment.name).into(),
            ids: self.ids(),
            needs: self.needs(),
            outputs,
        };
        let mut by_instance: Vec<Vec<Finished>> = Vec::new();
        by_instance.resize_with(self.graph.instances.len(), Vec::new);
        for (at, lowered) in lowered.into_iter().enumerate() {
            let resource = &mut self.graph.resources[at];
            // Nobody reads the bodies any more: what stayed as it was is moved, not copied.
            let own = std::mem::take(&mut resource.body);
            by_instance[resource.instance].push(Finished { at, lowered, own });
        }
        let pieces: Vec<(Vec<Artifact>, BTreeMap<Digest, Asset>)> = by_instance
            .into_par_iter()
            .enumerate()
            .map(|(instance, resources)| self.instance(instance, resources, &context))
            .collect();
        let mut artifacts = Vec::new();
        let mut assets = BTreeMap::new();
        for (made, files) in pieces {
            artifacts.extend(made);
            assets.extend(files);
        }
        let artifacts = in_order(artifacts);
        Bundle {
            platform: self.platform,
            environment: self.environment,
            targets: self.targets.into_iter().collect(),
            artifacts,
            assets,
            set: self.set,
        }
    }

    /// The outputs of each instance's stack: those that its module declares, and those that others ask for.
    pub(crate) fn outputs(&self, lowered: &[Lowered]) -> Outputs {
        let mut outputs = Outputs::new();
        for (index, instance) in self.graph.instances.iter().enumerate() {
            // An output is told by the stack that has what it tells.
            let mut firsts: BTreeMap<u32, usize> = BTreeMap::new();
            let members = self.graph.resources_of(index);
            for (at, resource) in members.filter(|(_, resource)| !is_object(resource)) {
                firsts.entry(resource.part).or_insert(at);
                if instance.divided == 0 {
                    break;
                }
            }
            for (name, term) in &instance.outputs {
                let mut parts = firsts.iter();
                let told =
                    parts.find_map(|(part, first)| Some((*part, self.graph.lower_output(*first, term)?)));
                if let Some((part, value)) = told {
                    outputs
                        .entry((index, part))
                        .or_default()
                        .insert(pascal(name), value);
                }
            }
        }
        for late in lowered.iter().flat_map(asked) {
            let resource = &self.graph.resources[late.resource];
            if is_object(resource) {
                continue;
            }
            let value = intrinsic(resource, &late.attribute);
            let known = outputs.entry((resource.instance, resource.part)).or_default();
            if !known.values().any(|other| *other == value) {
                known.insert(output_name(resource, &late.attribute), value);
            }
        }
        outputs
    }

    /// Which artifact needs which, by number.
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

    /// What the artifact of a resource needs.
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
        let stacks: Vec<ArtifactId> = self
            .graph
            .instances
            .iter()
            .map(|instance| {
                ArtifactId::stack(instance.account.as_deref().unwrap_or_default(), &instance.name)
            })
            .collect();
        let part = |resource: &Resource| {
            let instance = &self.graph.instances[resource.instance];
            let name = instance.stack_name(resource.part);
            ArtifactId::stack(instance.account.as_deref().unwrap_or_default(), &name)
        };
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
            ResourceKind::CloudFormation(_) if resource.part > 0 => part(resource),
            ResourceKind::CloudFormation(_) => stacks[resource.instance].clone(),
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

    /// The part of a value that comes later.
    fn source(&self, late: &Late, context: &Context) -> Source {
        let resource = &self.graph.resources[late.resource];
        let attribute = match &late.attribute {
            Attribute::Field(path) => path.iter().map(|key| Segment::Key(key.clone())).collect(),
            attribute => {
                let value = intrinsic(resource, attribute);
                let known = context
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

    fn instance(
        &self,
        instance: usize,
        resources: Vec<Finished>,
        context: &Context,
    ) -> (Vec<Artifact>, BTreeMap<Digest, Asset>) {
        let mut artifacts = Vec::new();
        let mut assets = BTreeMap::new();
        let (objects, members): (Vec<_>, Vec<_>) = resources
            .into_iter()
            .partition(|one| is_object(&self.graph.resources[one.at]));
        for one in objects {
            artifacts.push(self.object(one, context));
        }
        let mut parts: BTreeMap<u32, Vec<Finished>> = BTreeMap::new();
        for one in members {
            parts
                .entry(self.graph.resources[one.at].part)
                .or_default()
                .push(one);
        }
        for (part, members) in parts {
            artifacts.push(self.stack(instance, part, members, context, &mut assets));
        }
        (artifacts, assets)
    }

    fn object(&self, mut one: Finished, context: &Context) -> Artifact {
        let at = one.at;
        let resource = &self.graph.resources[at];
        let mut manifest = one.value();
        let bindings = one
            .lowered
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

    /// Our label, the address, and the guard over data. The address is that of the names, which outlive a move.
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
        if resource.holds_data {
            put("annotations", "terrace.dev/holds-data", "true".into());
        }
    }

    fn stack(
        &self,
        index: usize,
        part: u32,
        members: Vec<Finished>,
        context: &Context,
        files: &mut BTreeMap<Digest, Asset>,
    ) -> Artifact {
        let instance = &self.graph.instances[index];
        let id = context.ids[members[0].at].clone();
        let needed = self.needed(members[0].at, context);
        let mut stack = Stack {
            name: instance.stack_name(part),
            component: instance.component.clone(),
            tenant: instance.tenant.clone(),
            origin: Origin {
                component: self.graph.files.location(instance.declared),
                resource: self.graph.files.location(instance.declared),
            },
            template: Value::Null,
            parameters: BTreeMap::new(),
            tags: self.tags(index, &context.label),
            members: BTreeMap::new(),
            part,
            termination_protection: self.environment.class.is_production(),
            policy: None,
            assets: BTreeSet::new(),
        };
        let mut parameters = Map::new();
        let mut resources = Map::with_capacity(members.len());
        let mut guarded = Vec::new();
        for one in members {
            let resource = &self.graph.resources[one.at];
            let logical = logical_id(resource);
            for (name, late) in &one.lowered.parameters {
                stack
                    .parameters
                    .insert(name.clone(), vec![Part::Late(self.source(late, context))]);
            }
            for path in &one.lowered.assets {
                if let Ok(packed) = self.graph.assets.packed(path) {
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
            resources.insert(logical, self.member(resource, one));
        }
        for name in stack.parameters.keys() {
            parameters.insert(name.clone(), Map::from_iter([("Type", "String")]));
        }
        if self.environment.class.is_production() && !guarded.is_empty() {
            stack.policy = Some(stack_policy(&guarded));
        }
        let mut template = Map::new();
        template.insert("AWSTemplateFormatVersion", "2010-09-09");
        let whose = if instance.tenant == "platform" {
            "the platform"
        } else {
            instance.tenant.as_str()
        };
        let which = match part {
            0 => String::new(),
            part => format!(", {part} of {}", instance.divided),
        };
        template.insert(
            "Description",
            format!(
                "{} of {whose} in {} {}{which}",
                instance.component, self.platform, self.environment.name
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
        template.insert("Resources", resources);
        if let Some(own) = context.outputs.get(&(index, part)) {
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
            format!("{}/{}", instance.tenant, instance.identity).into(),
        );
        tags
    }

    fn member(&self, resource: &Resource, mut one: Finished) -> Value {
        let properties = one.value();
        let attribute = |name: &str| {
            one.lowered
                .attributes
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, term)| term)
        };
        let mut out = Map::new();
        out.insert("Type", resource.kind.cloudformation().unwrap_or_default());
        let mut metadata = match attribute("Metadata").cloned().map(Term::into_value) {
            Some(Value::Map(map)) => map,
            _ => Map::new(),
        };
        if resource.holds_data {
            let mut address = resource.address.clone();
            address.component = self.graph.instances[resource.instance].identity.clone();
            let mut marks = Map::new();
            marks.insert("address", address.to_string());
            marks.insert("holds-data", true);
            metadata.insert("terrace", marks);
        }
        if !metadata.is_empty() {
            out.insert("Metadata", metadata);
        }
        for name in ["DeletionPolicy", "UpdateReplacePolicy"] {
            match attribute(name) {
                Some(term) => {
                    out.insert(name, term.clone().into_value());
                }
                // What holds data stays when its template goes: CloudFormation would delete it otherwise.
                None if resource.holds_data => {
                    out.insert(name, "Retain");
                }
                None => {}
            }
        }
        for name in ["CreationPolicy", "UpdatePolicy"] {
            if let Some(term) = attribute(name) {
                out.insert(name, term.clone().into_value());
            }
        }
        let after: BTreeSet<Text> = self.explicit_order(resource);
        if !after.is_empty() {
            out.insert(
                "DependsOn",
                after.into_iter().map(Value::from).collect::<Vec<_>>(),
            );
        }
        if properties.as_map().is_some_and(|map| !map.is_empty()) {
            out.insert("Properties", properties);
        }
        Value::Map(out)
    }

    /// The logical ids that a resource names in `depends_on`.
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

/// Artifacts in order of their ids: numbers are sorted, and each artifact is moved once.
fn in_order(artifacts: Vec<Artifact>) -> Vec<Artifact> {
    let mut order: Vec<usize> = (0..artifacts.len()).collect();
    order.par_sort_by(|a, b| artifacts[*a].id.cmp(&artifacts[*b].id));
    let mut artifacts: Vec<Option<Artifact>> = artifacts.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| artifacts[at].take()).collect()
}

/// What a resource's lowering asks of other resources.
fn asked(lowered: &Lowered) -> impl Iterator<Item = &Late> {
    let bound = lowered
        .bindings
        .iter()
        .flat_map(|(_, atoms)| atoms)
        .filter_map(|atom| match atom {
            Atom::Late(late) => Some(late),
            _ => None,
        });
    lowered.parameters.values().chain(bound)
}

fn intrinsic(resource: &Resource, attribute: &Attribute) -> Term {
    let id = Term::String(logical_id(resource));
    match attribute {
        Attribute::GetAtt(name) => Term::map([("Fn::GetAtt", Term::list([id, Term::from(name)]))]),
        _ => Term::map([("Ref", id)]),
    }
}

/// Updates may do everything but replace or delete what holds data.
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
