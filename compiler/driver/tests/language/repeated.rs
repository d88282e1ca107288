//! Repeated parts of a module are evaluated once. The results must not depend on that.

use super::{file, properties, report, run};

const TAGGED: &str = "
kind: Module
name: tagged
version: 1.0.0
summary: queues with tags
inputs:
  team: {type: string, default: a, description: who pays}
resources:
  first: {type: AWS::SQS::Queue, properties: {KmsMasterKeyId: alias/aws/sqs, Tags: [{Key: team, Value: \"{{ inputs.team }}\"}]}}
  each:
    for_each: \"{{ {'x': 'one', 'y': 'two'} }}\"
    type: AWS::SQS::Queue
    properties: {QueueName: \"{{ name }}-{{ each.key }}\", Tags: [{Key: team, Value: \"{{ inputs.team }}\"}, {Key: iteration, Value: \"{{ each.value }}\"}]}
  second: {type: AWS::SQS::Queue, properties: {KmsMasterKeyId: alias/aws/sqs, Tags: [{Key: team, Value: \"{{ inputs.team }}\"}]}}
---
";

#[test]
fn repeated_parts_are_equal_within_a_component_and_differ_between_components() {
    let components = "
{kind: Component, name: one, module: tagged}
---
{kind: Component, name: two, module: tagged, inputs: {team: b}, patches: {first: {Tags: {team: {Value: mine}}}}}
";
    let compiled = run(&format!("{TAGGED}{components}"), &[]);
    let tags = |component: &str, id: &str| {
        let path = format!("cloudformation/platform/{component}.json");
        let properties = properties(&compiled, &path, id);
        properties
            .split("\"Tags\":")
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    let team = |name: &str| format!("[{{\"Key\":\"team\",\"Value\":\"{name}\"}}]}}");
    assert_eq!(tags("one", "First"), team("a"));
    assert_eq!(tags("one", "Second"), team("a"));
    assert_eq!(tags("two", "First"), team("mine"));
    assert_eq!(tags("two", "Second"), team("b"));
    let iteration = |value: &str| {
        format!("[{{\"Key\":\"team\",\"Value\":\"b\"}},{{\"Key\":\"iteration\",\"Value\":\"{value}\"}}]}}")
    };
    assert_eq!(tags("two", "EachX"), iteration("one"));
    assert_eq!(tags("two", "EachY"), iteration("two"));
}

#[test]
fn reports_an_error_at_each_repetition() {
    let text = "
kind: Component
name: notices
resources:
  first: {type: v1/ConfigMap, data: {a: \"{{ 1 / 0 }}\"}}
  second: {type: v1/ConfigMap, data: {a: \"{{ 1 / 0 }}\"}}
";
    let compiled = run(text, &[]);
    let places = compiled.diagnostics.iter().filter_map(|d| d.primary.as_ref());
    let places: Vec<u32> = places.map(|label| label.span.start).collect();
    assert_eq!(places.len(), 2, "{}", report(&compiled));
    assert!(places[0] < places[1]);
}

#[test]
fn a_loop_variable_can_shadow_a_name() {
    let text = "
kind: Component
name: notices
resources:
  space: {type: v1/Namespace, metadata: {name: \"{{ namespace }}\"}}
  plain: {type: v1/ConfigMap, data: {a: {$json: {a: \"{{ name }}\", b: c}}}}
  looped:
    type: v1/ConfigMap
    data:
      $for_each: \"{{ ['x', 'y'] }}\"
      $as: name
      \"{{ name.key }}\": {$json: {a: \"{{ name }}\", b: c}}
";
    let compiled = run(text, &[]);
    let text = file(&compiled, "kubernetes/platform/notices.yaml");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("b\":\"c")).collect();
    let plain = "  a: '{\"a\":\"acme-development-platform-notices\",\"b\":\"c\"}'";
    let iteration = |key: &str, name: &str| {
        format!("  {key}: '{{\"a\":{{\"key\":\"{name}\",\"value\":\"{name}\"}},\"b\":\"c\"}}'")
    };
    let mut wanted = vec![iteration("x", "x"), iteration("'y'", "y"), plain.to_owned()];
    let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
    lines.sort();
    wanted.sort();
    assert_eq!(lines, wanted);
}
