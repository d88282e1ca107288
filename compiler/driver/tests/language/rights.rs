//! Generated roles, and triggers that are disabled in a standby environment.

use super::{properties, run};

const SENDER: &str = "
kind: Component
name: a-component-with-quite-a-long-name
resources:
  queue: {type: AWS::SQS::Queue, properties: {KmsMasterKeyId: alias/aws/sqs}}
  SENDER:
    type: AWS::Lambda::Function
    properties: {Runtime: python3.13, Handler: index.main, Code: {ZipFile: 'def main(event, context): pass'}}
grants: [{who: SENDER, may: send, on: queue}]
";

#[test]
fn generated_roles_have_names_that_iam_accepts() {
    let name_for = |sender: &str, role: &str| {
        let compiled = run(&SENDER.replace("SENDER", sender), &[]);
        let path = "cloudformation/platform/a-component-with-quite-a-long-name.json";
        let properties: serde_json::Value = serde_json::from_str(&properties(&compiled, path, role)).unwrap();
        properties["RoleName"].as_str().expect("a name").to_owned()
    };
    assert_eq!(
        name_for("go", "GoRole"),
        "acme-development-platform-a-component-with-quite-a-long-name-go"
    );
    let (one, other) = (
        name_for("function_that_sends", "FunctionThatSendsRole"),
        name_for("function_that_sends_on", "FunctionThatSendsOnRole"),
    );
    assert_eq!(one.len(), 64);
    assert_ne!(one, other);
}

/// A pipeline with triggers by rule and by schedule, and a component that reads `environment.triggers`.
const TRIGGERED: &str = "
kind: Pipeline
name: nightly
triggers:
- {name: hourly, schedule: 'rate(1 hour)'}
- {name: by_night, schedule: 'cron(0 2 * * ? *)', timezone: Europe/Berlin}
- {name: never, schedule: 'rate(1 day)', enabled: false}
steps: [{done: {succeed: {}}}]
---
kind: Component
name: asked
resources:
  answer: {type: AWS::SSM::Parameter, properties: {Type: String, Value: \"{{ 'run' if environment.triggers else 'wait' }}\"}}
---
";

/// Returns the states of the triggers, and the value of `answer`, in an environment of a class with additional keys.
fn states(class: &str, more: &str) -> [String; 4] {
    let environment = format!(
        "{{kind: Environment, name: other, class: {class}, aws: {{account: '111122223333', region: eu-west-1}}{more}}}"
    );
    let mut compiled = run(&format!("{TRIGGERED}{environment}"), &[]);
    compiled
        .bundles
        .retain(|bundle| bundle.environment.name.as_str() == "other");
    let pipeline = "cloudformation/platform/nightly.json";
    let state = |path: &str, id: &str, key: &str| -> String {
        let properties: serde_json::Value =
            serde_json::from_str(&properties(&compiled, path, id)).expect("JSON");
        properties[key].as_str().unwrap_or("nothing").to_owned()
    };
    [
        state(pipeline, "HourlyTrigger", "State"),
        state(pipeline, "ByNightTrigger", "State"),
        state(pipeline, "NeverTrigger", "State"),
        state("cloudformation/platform/asked.json", "Answer", "Value"),
    ]
}

#[test]
fn triggers_of_a_standby_are_disabled_until_it_is_promoted() {
    let run = ["ENABLED", "ENABLED", "DISABLED", "run"];
    let wait = ["DISABLED", "DISABLED", "DISABLED", "wait"];
    assert_eq!(states("production", ""), run);
    assert_eq!(states("disaster_recovery", ""), wait);
    assert_eq!(states("disaster_recovery", ", triggers: enabled"), run);
    assert_eq!(states("production", ", triggers: disabled"), wait);
}

#[test]
fn entries_alternates_the_keys_and_values_of_a_map() {
    let text = "
kind: Component
name: asked
resources: {answer: {type: AWS::SSM::Parameter, properties: {Type: String, Value: \"{{ {'b': 'x', 'a': 'y'} | entries | join(',') }}\"}}}
";
    let answer = properties(&run(text, &[]), "cloudformation/platform/asked.json", "Answer");
    assert_eq!(answer, r#"{"Type":"String","Value":"b,x,a,y"}"#);
}
