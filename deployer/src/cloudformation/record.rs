//! A CloudFormation stack as AWS describes it, and as the engine carries it in [`crate::Live::value`].

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types;
use terrace_artifact::{Address, ArtifactId, Digest, Map, Stack, Text, Value};

use crate::backend::Basis;

use super::status::{Standing, standing};

/// The tag that says whose a stack is; its value is [`terrace_artifact::Bundle::label`].
pub(super) const STACK_TAG: &str = "terrace:stack";

/// What `DescribeStacks` says of a stack.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Record {
    /// Its ARN: another one means that the stack was deleted and created anew.
    pub(super) id: Text,
    pub(super) name: Text,
    pub(super) status: Text,
    pub(super) reason: Text,
    /// The name of the change set last executed. Absent where the last update was none of a change set.
    pub(super) change_set: Option<Text>,
    /// When it was last updated, or created.
    pub(super) updated: Text,
    pub(super) parameters: BTreeMap<Text, Text>,
    pub(super) tags: BTreeMap<Text, Text>,
    pub(super) outputs: BTreeMap<Text, Text>,
    /// Whether CloudFormation refuses to delete it.
    pub(super) protected: bool,
    /// Whether it is a resource of another stack, whose tags it then has.
    pub(super) nested: bool,
}

/// A stack with what had to be asked for separately.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Observed {
    pub(super) record: Record,
    /// Its template; null where there are no resources.
    pub(super) template: Value,
    /// Its stack policy, where one was asked for and found.
    pub(super) policy: Option<Value>,
    /// The addresses of its resources, as far as they are recorded with them or in the last bundle, by logical id.
    pub(super) addresses: BTreeMap<Text, Address>,
}

impl Record {
    pub(super) fn of(stack: &types::Stack) -> Record {
        let text = |text: Option<&str>| Text::from(text.unwrap_or_default());
        Record {
            id: text(stack.stack_id()),
            name: text(stack.stack_name()),
            status: text(stack.stack_status().map(|status| status.as_str())),
            reason: text(stack.stack_status_reason()),
            change_set: stack.change_set_id().and_then(change_set_of_arn),
            updated: stack
                .last_updated_time()
                .or(stack.creation_time())
                .map(|time| Text::from(time.to_string()))
                .unwrap_or_default(),
            parameters: stack
                .parameters()
                .iter()
                .map(|parameter| (text(parameter.parameter_key()), text(parameter.parameter_value())))
                .collect(),
            tags: stack
                .tags()
                .iter()
                .map(|tag| (text(tag.key()), text(tag.value())))
                .collect(),
            outputs: stack
                .outputs()
                .iter()
                .map(|output| (text(output.output_key()), text(output.output_value())))
                .collect(),
            protected: stack.enable_termination_protection().unwrap_or(false),
            nested: stack.parent_id().is_some(),
        }
    }

    /// What can be done with it. One that nobody observed has no status, and is not there.
    pub(super) fn standing(&self) -> Standing {
        standing(&self.status)
    }

    /// Whether it is as a change set of this name left it.
    pub(super) fn was_left_by(&self, change_set: &str) -> bool {
        matches!(&*self.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE")
            && self.change_set.as_deref() == Some(change_set)
    }
}

impl Observed {
    /// The facts that a plan rests on.
    pub(super) fn basis(&self) -> Basis {
        let record = &self.record;
        let mut facts = BTreeMap::new();
        facts.insert("stack id".into(), record.id.clone().into());
        if record.standing() == Standing::Busy {
            facts.insert(Basis::IN_PROGRESS.into(), record.status.clone().into());
            return Basis(facts);
        }
        facts.insert("status".into(), record.status.clone().into());
        facts.insert("last update".into(), record.updated.clone().into());
        if let Some(change_set) = &record.change_set {
            facts.insert("last change set".into(), change_set.clone().into());
        }
        facts.insert("parameters".into(), Value::Map(texts(&record.parameters)));
        facts.insert("termination protection".into(), record.protected.into());
        if let Some(policy) = &self.policy {
            facts.insert("stack policy".into(), Digest::of_value(policy).as_str().into());
        }
        Basis(facts)
    }

    /// As a value, for the engine to carry.
    pub(super) fn to_value(&self) -> Value {
        let record = &self.record;
        let mut map = Map::new();
        map.insert("id", record.id.clone());
        map.insert("name", record.name.clone());
        map.insert("status", record.status.clone());
        map.insert("reason", record.reason.clone());
        map.insert("change_set", record.change_set.clone());
        map.insert("updated", record.updated.clone());
        map.insert("parameters", texts(&record.parameters));
        map.insert("tags", texts(&record.tags));
        map.insert("outputs", texts(&record.outputs));
        map.insert("protected", record.protected);
        map.insert("template", self.template.clone());
        map.insert("policy", self.policy.clone());
        map.insert("addresses", addresses_to_value(&self.addresses));
        Value::Map(map)
    }

    /// Reads back what [`Observed::to_value`] wrote.
    pub(super) fn from_value(value: &Value) -> Observed {
        let text = |key: &str| Text::from(value.get(key).and_then(Value::as_str).unwrap_or_default());
        let texts = |key: &str| -> BTreeMap<Text, Text> {
            let map = value.get(key).and_then(Value::as_map);
            map.into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.into())))
                .collect()
        };
        Observed {
            record: Record {
                id: text("id"),
                name: text("name"),
                status: text("status"),
                reason: text("reason"),
                change_set: value.get("change_set").and_then(Value::as_str).map(Text::from),
                updated: text("updated"),
                parameters: texts("parameters"),
                tags: texts("tags"),
                outputs: texts("outputs"),
                protected: value.get("protected").and_then(Value::as_bool).unwrap_or(false),
                nested: false,
            },
            template: value.get("template").cloned().unwrap_or_default(),
            policy: value
                .get("policy")
                .filter(|policy| **policy != Value::Null)
                .cloned(),
            addresses: addresses_of(value.get("addresses")),
        }
    }
}

/// Addresses by logical id, as a value.
pub(super) fn addresses_to_value(addresses: &BTreeMap<Text, Address>) -> Map {
    let entries = addresses
        .iter()
        .map(|(id, address)| (id.clone(), address.to_string().into()));
    Map::from_distinct(entries.collect())
}

/// Reads back what [`addresses_to_value`] wrote.
pub(super) fn addresses_of(value: Option<&Value>) -> BTreeMap<Text, Address> {
    let map = value.and_then(Value::as_map).into_iter().flatten();
    map.filter_map(|(id, address)| Some((id.clone(), address.as_str()?.parse().ok()?)))
        .collect()
}

/// The name of the change set that brings about this template with these parameters and tags. It is how we know a stack
/// again without reading it: CloudFormation says which change set was executed last.
pub(super) fn change_set_name(
    template: &Value,
    parameters: &BTreeMap<Text, Text>,
    tags: &BTreeMap<Text, Text>,
) -> String {
    let mut map = Map::new();
    map.insert("template", template.clone());
    map.insert("parameters", texts(parameters));
    map.insert("tags", texts(tags));
    format!("terrace-{}", Digest::of_value(&Value::Map(map)))
}

/// The stack of an artifact's id, `TARGET:NAME`.
pub(super) fn stack_name(id: &ArtifactId) -> &str {
    id.as_str().split_once(':').map_or(id.as_str(), |(_, name)| name)
}

/// The tags a stack is to have: the bundle's, and ours.
pub(super) fn tags(stack: &Stack, label: &str) -> BTreeMap<Text, Text> {
    let mut tags = stack.tags.clone();
    tags.insert(STACK_TAG.into(), label.into());
    tags
}

fn texts(map: &BTreeMap<Text, Text>) -> Map {
    Map::from_distinct(
        map.iter()
            .map(|(k, v)| (k.clone(), Value::String(v.clone())))
            .collect(),
    )
}

/// `arn:aws:cloudformation:eu-west-1:111122223333:changeSet/NAME/UUID` has the name in its middle.
fn change_set_of_arn(arn: &str) -> Option<Text> {
    arn.split('/').nth(1).map(Text::from)
}
