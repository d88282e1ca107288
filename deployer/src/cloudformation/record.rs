//! A CloudFormation stack as AWS describes it, and as the engine carries it in [`crate::Live::value`].

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types;
use terrace_artifact::{Address, ArtifactId, Digest, Map, Stack, Text, Value};

use crate::backend::Basis;
use crate::values::Late;

use super::status::{Standing, standing};

/// The tag that says whose a stack is; its value is [`terrace_artifact::Bundle::label`].
pub(super) const STACK_TAG: &str = "terrace:stack";
/// The tag of a stack that existed before it was adopted; its value is `true`.
pub(super) const ADOPTED_TAG: &str = "terrace:adopted";

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
    /// The ARN of that change set.
    pub(super) change_set_id: Option<Text>,
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
    /// The logical ids of resources that hold data, by type, by mark, and by what the last release said.
    pub(super) holders: BTreeSet<Text>,
    /// The logical ids of resources that somebody else created: no template of ours has had them, or the stack is not ours.
    pub(super) strangers: BTreeSet<Text>,
    /// `TENANT/COMPONENT`, as far as it is known.
    pub(super) component: Text,
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
            change_set_id: stack.change_set_id().map(Text::from),
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

    /// Whether the stack has this template by a change set of ours: nobody has changed its template, parameters or tags
    /// since.
    pub(super) fn has_what_we_wrote(&self, template: &Value) -> bool {
        let name = self.change_set.as_deref();
        name.is_some_and(|name| name == change_set_name(template, &self.parameters, &self.tags))
    }

    /// Whether the stack itself says that it was adopted.
    pub(super) fn is_tagged_adopted(&self) -> bool {
        self.tags.get(ADOPTED_TAG).is_some_and(|value| value == "true")
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

    /// The values of its parameters.
    pub(super) fn parameters(&self) -> BTreeMap<Text, Late<Text>> {
        let known = self.record.parameters.iter();
        known
            .map(|(name, value)| (name.clone(), Late::Known(value.clone())))
            .collect()
    }

    /// Whether a resource holds data.
    pub(super) fn holds_data(&self, logical_id: &str) -> bool {
        self.holders.contains(logical_id)
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
        map.insert("holders", list(&self.holders));
        map.insert("strangers", list(&self.strangers));
        map.insert("component", self.component.clone());
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
        let set = |key: &str| -> BTreeSet<Text> {
            let list = value.get(key).and_then(Value::as_list);
            let texts = list.into_iter().flatten().filter_map(Value::as_str);
            texts.map(Text::from).collect()
        };
        Observed {
            record: Record {
                id: text("id"),
                name: text("name"),
                status: text("status"),
                reason: text("reason"),
                change_set: value.get("change_set").and_then(Value::as_str).map(Text::from),
                change_set_id: None,
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
            holders: set("holders"),
            strangers: set("strangers"),
            component: text("component"),
        }
    }
}

fn list(set: &BTreeSet<Text>) -> Vec<Value> {
    set.iter().cloned().map(Value::String).collect()
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
    format!("{CHANGE_SET_PREFIX}{}", Digest::of_value(&Value::Map(map)))
}

/// The stack of an artifact's id, `TARGET:NAME`.
pub(super) fn stack_name(id: &ArtifactId) -> &str {
    id.as_str().split_once(':').map_or(id.as_str(), |(_, name)| name)
}

/// The tags a stack is to have: the bundle's, and ours. One that is adopted remembers it.
pub(super) fn tags(stack: &Stack, label: &str, adopted: bool) -> BTreeMap<Text, Text> {
    let mut tags = stack.tags.clone();
    tags.insert(STACK_TAG.into(), label.into());
    if adopted {
        tags.insert(ADOPTED_TAG.into(), "true".into());
    }
    tags
}

/// Whether a change set may be one of ours, by its name: `terrace-DIGEST`. Its content has to bear that out.
pub(super) fn may_be_ours(change_set: &str) -> bool {
    let digest = change_set.strip_prefix(CHANGE_SET_PREFIX);
    digest.is_some_and(|digest| Digest::try_from(Text::from(digest)).is_ok())
}

const CHANGE_SET_PREFIX: &str = "terrace-";

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
