//! CloudFormation stacks: templates, parameters, tags and stack policies.

use std::collections::{BTreeMap, BTreeSet};

use terrace_artifact::{
    ArtifactId, Asset, Body, CloudFormationStack, Digest, Map, Member, Origin, Part, Text, Value,
};
use terrace_graph::lower::{Lowered, logical_id};
use terrace_language::resource::{Instance, Resource};
use terrace_language::targets::CloudFormation;
use terrace_language::value::term::Term;

use super::{Context, Emission, LoweredResource, TargetEmission, data_mark, take_body};

impl TargetEmission for CloudFormation {
    fn artifact_id(&self, target: &str, resource: &Resource, instance: &Instance) -> ArtifactId {
        ArtifactId::stack(target, &instance.stack_name(resource.partition))
    }

    fn body(
        &self,
        emission: &Emission<'_>,
        members: &mut [LoweredResource<'_>],
        context: &Context,
        assets: &mut BTreeMap<Digest, Asset>,
    ) -> Body {
        Body::Stack(emission.stack(members, context, assets))
    }
}

impl Emission<'_> {
    fn stack(
        &self,
        members: &mut [LoweredResource<'_>],
        context: &Context,
        files: &mut BTreeMap<Digest, Asset>,
    ) -> CloudFormationStack {
        let first = &self.graph.resources[members[0].0];
        let (index, partition) = (first.instance, first.partition);
        let instance = &self.graph.instances[index];
        let needed = self.needed(members[0].0, context);
        let mut stack = CloudFormationStack {
            name: instance.stack_name(partition),
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
            partition,
            termination_protection: self.header.environment.class.is_production(),
            policy: None,
            assets: BTreeSet::new(),
        };
        let mut parameters = Map::new();
        let mut resources = Vec::with_capacity(members.len());
        let mut guarded = Vec::new();
        for (at, lowered) in members {
            let resource = &self.graph.resources[*at];
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
        let which = match (partition, instance.partitions) {
            (Some(number), Some(count)) => format!(", {number} of {count}"),
            _ => String::new(),
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
        if let Some(own) = self.outputs.get(&(index, partition)) {
            let entry = |(name, term): (&Text, &Term)| {
                (
                    name.clone(),
                    Map::from_iter([("Value", term.clone().into_value())]),
                )
            };
            template.insert("Outputs", own.iter().map(entry).collect::<Map>());
        }
        stack.template = Value::Map(template);
        stack
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
        let properties = take_body(lowered);
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
            .filter(|(_, other)| {
                other.kind.cloudformation().is_some() && other.partition == resource.partition && named(other)
            })
            .map(|(_, other)| logical_id(other))
            .collect()
    }
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
