//! A component that is partitioned into several CloudFormation stacks.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::small::Small;

const COMPONENTS: &str = r#"kind: Module
name: topics
version: 1.0.0
summary: a topic for each name, and one for all
inputs: {names: {type: array, items: {type: string}}}
divides: {by: "{{ each.key }}", into: 3}
resources:
  all: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}-all"}}
  topic:
    for_each: "{{ inputs.names }}"
    type: AWS::SNS::Topic
    holds_data: false
    properties:
      TopicName: "{{ name }}-{{ each.key }}"
      Tags: [{Key: all, Value: "{{ ref('all').arn }}"}]
outputs: {orders: "{{ ref('topic', 'orders').arn }}"}
---
{kind: Component, name: topics, module: topics, tenants: all, inputs: {names: [NAMES]}}
---
kind: Component
name: home
tenants: all
resources:
  namespace: {type: v1/Namespace, metadata: {name: "{{ namespace }}"}}
  settings: {type: v1/ConfigMap, data: {orders: "{{ ref('topics').orders }}"}}
"#;

const NAMES: [&str; 6] = ["orders", "customers", "returns", "prices", "stock", "visits"];

impl Small {
    fn divided(&self, names: &[&str]) {
        let components = COMPONENTS.replace("NAMES", &names.join(", "));
        self.stack.write("components.yaml", &components);
    }

    /// Returns the stacks of the account with their status and the time of their last update.
    fn stacks(&self) -> BTreeMap<String, Json> {
        let all = self.account.call("cloudformation", "describe_stacks", json!({}));
        let stacks = all["Stacks"].as_array().into_iter().flatten();
        let tenant = format!("{}-", self.tenant());
        let end = |name: &str| name.rsplit_once(&tenant).map_or(name, |(_, end)| end).to_owned();
        stacks
            .map(|stack| {
                let name = stack["StackName"].as_str().unwrap_or_default();
                (end(name), json!([stack["StackStatus"], stack["LastUpdatedTime"]]))
            })
            .collect()
    }
}

#[test]
fn deploys_each_partition_and_updates_only_the_changed_one() {
    let small = Small::new();
    small.divided(&NAMES);
    let _ = small.apply();
    small.assert_no_changes();
    let before = small.stacks();
    let names: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(names, ["topics", "topics-1", "topics-2", "topics-3"]);
    let mut topics = [&NAMES[..], &["all"]].concat();
    topics.sort_unstable();
    let made: Vec<String> = topics.iter().map(|name| format!("topics-{name}")).collect();
    assert_eq!(small.topics(), made);

    // Attributes in one stack are passed to the other stacks, and to the cluster.
    let arn = |name: &str| {
        let all = small.account.call("sns", "list_topics", json!({}));
        let mut all = all["Topics"].as_array().into_iter().flatten();
        let named = |topic: &&Json| topic["TopicArn"].as_str().is_some_and(|arn| arn.ends_with(name));
        all.find(named).map(|topic| topic["TopicArn"].clone())
    };
    let (all, orders) = (arn("-topics-all"), arn("-topics-orders"));
    for name in NAMES {
        let of = json!({"ResourceArn": arn(&format!("-topics-{name}"))});
        let tags = small.account.call("sns", "list_tags_for_resource", of);
        let mut tags = tags["Tags"].as_array().into_iter().flatten();
        let tag = tags
            .find(|tag| tag["Key"] == "all")
            .map(|tag| tag["Value"].clone());
        assert_eq!(tag, all, "{name}");
    }
    let settings = small
        .object("configmap", "home-settings")
        .expect("the ConfigMap exists");
    assert_eq!(settings["data"]["orders"], orders.expect("the topic exists"));

    // With one name less, only the stack of that name is updated, and no other topic moves.
    small.divided(&NAMES[..5]);
    let plan = small
        .terrace()
        .run(&["plan", "-e", "live", "--output=json"])
        .expect(0);
    let steps = plan.json();
    let steps = steps["steps"].as_array().into_iter().flatten();
    let changes: Vec<&Json> = steps.filter(|step| step["action"] != "keep").collect();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0]["action"], "update");
    let _ = small.apply();
    small.assert_no_changes();
    let after = small.stacks();
    let written: Vec<&String> = after
        .iter()
        .filter(|(name, now)| before[*name] != **now)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(!small.topics().contains(&"topics-visits".to_owned()));
    assert_eq!(small.topics().len(), 6);
    small.destroy();
}
