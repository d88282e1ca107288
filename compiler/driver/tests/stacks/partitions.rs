//! Components that are split into several CloudFormation stacks.

use std::collections::BTreeSet;

use terrace_artifact::CloudFormationStack;
use terrace_compiler::Compiled;

use crate::{report, run_on_platform};

/// A partitioned component with a topic for each of NAMES and one key for all, and a component that reads a topic.
const TOPICS: &str = r#"
kind: Module
name: topics
version: 1.0.0
summary: topics
inputs: {names: {type: array, items: {type: string}}}
divides: {by: "{{ each.key }}", into: 3}
resources:
  key: {type: AWS::KMS::Key, properties: {KeyPolicy: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: 'kms:GenerateDataKey*', Resource: '*'}]}}}
  topic:
    for_each: "{{ inputs.names }}"
    type: AWS::SNS::Topic
    properties: {KmsMasterKeyId: "{{ ref('key').arn }}"}
  policy:
    for_each: "{{ inputs.names }}"
    type: AWS::SNS::TopicPolicy
    properties:
      Topics: ["{{ ref('topic', each.key).arn }}"]
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: 'sns:Publish', Resource: "{{ ref('topic', each.key).arn }}"}]}
outputs: {orders: "{{ ref('topic', 'orders').arn }}", key: "{{ ref('key').arn }}"}
---
{kind: Component, name: topics, module: topics, inputs: {names: [NAMES]}}
---
kind: Component
name: reader
resources:
  page: {type: AWS::SSM::Parameter, properties: {Type: String, Value: "{{ ref('topics').orders }}"}}
"#;

/// Compiles [`TOPICS`] with these names.
fn compile_topics(names: &[&str]) -> Compiled {
    run_on_platform(&TOPICS.replace("NAMES", &names.join(", ")))
}

/// Returns the CloudFormation stack of each resource in a bundle.
fn stacks(compiled: &Compiled) -> Vec<(String, String)> {
    assert_eq!(report(compiled), "");
    let stacks = compiled.bundles[0]
        .artifacts
        .iter()
        .filter_map(|artifact| artifact.stack());
    let members = |stack: &CloudFormationStack| {
        let name = stack.name.to_string();
        let addresses = stack.members.values().map(|member| member.address.to_string());
        addresses
            .map(|address| (address, name.clone()))
            .collect::<Vec<_>>()
    };
    stacks.flat_map(members).collect()
}

#[test]
fn a_resource_never_moves_between_partitions() {
    let names = ["orders", "customers", "returns", "prices", "stock", "visits"];
    let all = stacks(&compile_topics(&names));
    let used: BTreeSet<&str> = all.iter().map(|(_, stack)| stack.as_str()).collect();
    assert_eq!(
        used.into_iter().collect::<Vec<_>>(),
        [
            "acme-development-platform-reader",
            "acme-development-platform-topics",
            "acme-development-platform-topics-1",
            "acme-development-platform-topics-2",
            "acme-development-platform-topics-3",
        ]
    );
    for without in 1..names.len() {
        let mut fewer: Vec<&str> = names.to_vec();
        fewer.remove(without);
        fewer.reverse();
        for place in stacks(&compile_topics(&fewer)) {
            assert!(all.contains(&place), "{place:?} moved without {}", names[without]);
        }
    }
}

/// Returns a component with `count` topics whose ARNs are outputs, and a component that reads them all.
fn topics_and_reader(count: usize) -> String {
    let each = |line: &dyn Fn(usize) -> String, between: &str| {
        let lines: Vec<String> = (0..count).map(line).collect();
        lines.join(between)
    };
    let names = each(&|at| format!("'t{at}'"), ", ");
    let outputs = each(
        &|at| format!("t{at}: \"{{{{ ref('topic', 't{at}').arn }}}}\""),
        ", ",
    );
    let value = |at: usize| format!("{{Type: String, Value: \"{{{{ ref('topics').all.t{at} }}}}\"}}");
    let parameters = each(
        &|at| {
            format!(
                "  p{at}: {{type: AWS::SSM::Parameter, properties: {}}}",
                value(at)
            )
        },
        "\n",
    );
    format!(
        "
kind: Component
name: topics
resources: {{topic: {{type: AWS::SNS::Topic, for_each: \"{{{{ [{names}] }}}}\"}}}}
outputs: {{all: {{{outputs}}}}}
---
kind: Component
name: reader
resources:
{parameters}
"
    )
}

#[test]
fn rejects_a_stack_that_exceeds_cloudformation_limits() {
    let document = |length: usize| {
        let text = "x".repeat(length);
        format!(
            "
kind: Component
name: handbook
resources: {{page: {{type: AWS::SSM::Document, properties: {{Content: {{schemaVersion: '2.2', description: {text}}}}}}}}}
"
        )
    };
    for (text, want) in [
        (topics_and_reader(200), ""),
        (
            topics_and_reader(201),
            "stack-too-large: CloudFormation stack `acme-development-platform-topics` has 201 outputs <topics>\n\
             stack-too-large: CloudFormation stack `acme-development-platform-reader` has 201 parameters <reader>",
        ),
        (document(990_000), ""),
        (
            document(1_000_000),
            "stack-too-large: CloudFormation stack `acme-development-platform-handbook` has 1000114 bytes <handbook>",
        ),
    ] {
        assert_eq!(report(&run_on_platform(&text)), want);
    }
}
