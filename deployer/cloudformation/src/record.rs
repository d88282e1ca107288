//! A CloudFormation stack as AWS describes it, and as the engine carries it in [`terrace_deployer_model::live::Live::value`].

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types;
use terrace_artifact::{Address, ArtifactId, CloudFormationStack, Digest, Map, Text, Value};
use terrace_deployer_model::live::Basis;
use terrace_deployer_model::values::Late;

use super::status::{StackState, state_of_status};

/// The tag that names the owner of a stack. Its value is [`terrace_artifact::Bundle::label`].
pub(super) const STACK_TAG: &str = "terrace:stack";
/// The tag of an adopted stack, which existed before Terrace managed it. Its value is `true`.
pub(super) const ADOPTED_TAG: &str = "terrace:adopted";

/// The description of a stack that `DescribeStacks` returns.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Record {
    /// The ARN. A different ARN means that the stack was deleted and created again.
    pub(super) id: Text,
    pub(super) name: Text,
    pub(super) status: Text,
    pub(super) reason: Text,
    /// The name of the last executed change set. Absent if the last update did not use a change set.
    pub(super) change_set: Option<Text>,
    /// The ARN of that change set.
    pub(super) change_set_id: Option<Text>,
    /// The time of the last update, or of the creation.
    pub(super) updated: Text,
    pub(super) parameters: BTreeMap<Text, Text>,
    pub(super) tags: BTreeMap<Text, Text>,
    pub(super) outputs: BTreeMap<Text, Text>,
    /// Whether termination protection is enabled.
    pub(super) protected: bool,
    /// Whether the stack is nested in another stack, from which it inherits its tags.
    pub(super) nested: bool,
}

/// A stack with the results of the separate requests for its template and policy.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Observed {
    pub(super) record: Record,
    /// The template. Null if the stack contains no resources.
    pub(super) template: Value,
    /// The stack policy, if it was requested and exists.
    pub(super) policy: Option<Value>,
    /// The addresses of the resources that are recorded in the template or in a bundle, by logical id.
    pub(super) addresses: BTreeMap<Text, Address>,
    /// The logical ids of resources that hold data: by type, by mark, or by the declaration of the last release.
    pub(super) holders: BTreeSet<Text>,
    /// The logical ids of resources that this environment did not create: no template of Terrace contains them, or the stack is
    /// foreign.
    pub(super) strangers: BTreeSet<Text>,
    /// `TENANT/COMPONENT`, or empty if it is unknown.
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

    /// Returns the operations that the status allows. A stack that was not observed has no status, and counts as deleted.
    pub(super) fn state(&self) -> StackState {
        state_of_status(&self.status)
    }

    /// Returns whether a change set of this name made the last successful change.
    pub(super) fn was_left_by(&self, change_set: &str) -> bool {
        matches!(&*self.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE")
            && self.change_set.as_deref() == Some(change_set)
    }

    /// Returns whether a change set of Terrace deployed this template, and the template, parameters and tags have not changed
    /// since.
    pub(super) fn has_what_we_wrote(&self, template: &Value) -> bool {
        let name = self.change_set.as_deref();
        name.is_some_and(|name| name == change_set_name(template, &self.parameters, &self.tags))
    }

    /// Returns whether the stack has the tag of an adopted stack.
    pub(super) fn is_tagged_adopted(&self) -> bool {
        self.tags.get(ADOPTED_TAG).is_some_and(|value| value == "true")
    }
}

impl Observed {
    /// Returns the facts on which a plan is based.
    pub(super) fn basis(&self) -> Basis {
        let record = &self.record;
        let mut facts = BTreeMap::new();
        facts.insert("stack id".into(), record.id.clone().into());
        if record.state() == StackState::Busy {
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

    /// Returns the values of the parameters.
    pub(super) fn parameters(&self) -> BTreeMap<Text, Late<Text>> {
        let known = self.record.parameters.iter();
        known
            .map(|(name, value)| (name.clone(), Late::Known(value.clone())))
            .collect()
    }

    /// Returns whether a resource holds data.
    pub(super) fn holds_data(&self, logical_id: &str) -> bool {
        self.holders.contains(logical_id)
    }

    /// Converts the stack to the value that the engine carries.
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

    /// Reads a value that [`Observed::to_value`] wrote.
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

/// Converts addresses by logical id to a value.
pub(super) fn addresses_to_value(addresses: &BTreeMap<Text, Address>) -> Map {
    let entries = addresses
        .iter()
        .map(|(id, address)| (id.clone(), address.to_string().into()));
    Map::from_distinct(entries.collect())
}

/// Reads a value that [`addresses_to_value`] wrote.
pub(super) fn addresses_of(value: Option<&Value>) -> BTreeMap<Text, Address> {
    let map = value.and_then(Value::as_map).into_iter().flatten();
    map.filter_map(|(id, address)| Some((id.clone(), address.as_str()?.parse().ok()?)))
        .collect()
}

/// Returns the name of the change set that deploys this template with these parameters and tags. `DescribeStacks` reports the
/// last executed change set, so Terrace recognizes the state of a stack without reading its template.
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

/// Returns the stack name of an artifact id, `TARGET:NAME`.
pub(super) fn stack_name(id: &ArtifactId) -> &str {
    id.as_str().split_once(':').map_or(id.as_str(), |(_, name)| name)
}

/// Returns the desired tags of a stack: the tags of the bundle, the tag of the owner, and the tag of an adopted stack.
pub(super) fn tags(stack: &CloudFormationStack, label: &str, adopted: bool) -> BTreeMap<Text, Text> {
    let mut tags = stack.tags.clone();
    tags.insert(STACK_TAG.into(), label.into());
    if adopted {
        tags.insert(ADOPTED_TAG.into(), "true".into());
    }
    tags
}

/// Returns whether a change set has a name of the form `terrace-DIGEST`. Only its content proves that Terrace created it.
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

/// Returns `NAME` of `arn:aws:cloudformation:eu-west-1:111122223333:changeSet/NAME/UUID`.
fn change_set_of_arn(arn: &str) -> Option<Text> {
    arn.split('/').nth(1).map(Text::from)
}
