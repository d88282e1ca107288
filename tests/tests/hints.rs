//! Suggestions for users who run the program in the wrong directory, or misspell a name.

use expect_test::{Expect, expect};
use terrace_tests::{Scratch, Terrace};

const PLATFORM: &str = "{kind: Platform, name: shop}\n";

const MODULE: &str = "\
kind: Module
name: page
version: 1.0.0
summary: a page
resources:
  page: {type: v1/ConfigMap, data: {text: hello}}
";

#[track_caller]
fn check(terrace: &Terrace, arguments: &[&str], expected: Expect) {
    let run = terrace.run(arguments).expect(1);
    assert_eq!(run.stdout, "", "{arguments:?}");
    expected.assert_eq(&run.stderr);
}

#[test]
fn lists_the_stacks_of_a_parent_directory() {
    let scratch = Scratch::new("stacks");
    for stack in ["stacks/one", "stacks/two"] {
        scratch.write(&format!("{stack}/platform.yaml"), PLATFORM);
        // Problems inside these stacks are not reported.
        scratch.write(&format!("{stack}/tenant.yaml"), "kind: Tennant\n");
    }
    let terrace = Terrace::in_directory(scratch.path());
    check(
        &terrace,
        &["plan", "-e", "development"],
        expect![[r#"
            error[no-platform]: this directory is not a stack, and contains 2 stacks
             |
             = help: name the directory of one stack: `stacks/one` or `stacks/two`

            1 error; for details, run `terrace explain no-platform`
        "#]],
    );
}

#[test]
fn suggests_the_directory_of_the_whole_stack() {
    let scratch = Scratch::new("part");
    scratch.write("shop/platform.yaml", PLATFORM);
    scratch.write(
        "shop/tenants/finance.yaml",
        "{kind: Tenant, name: finance, tier: basic}\n",
    );
    let inside = Terrace::in_directory(&scratch.path().join("shop/tenants"));
    check(
        &inside,
        &["validate"],
        expect![[r#"
            error[no-platform]: this directory has no document of kind `Platform`
             |
             = help: add one, such as `{kind: Platform, name: acme}`, or create a stack with `terrace init DIR`

            1 error; for details, run `terrace explain no-platform`
            help: the directory is part of a stack; pass the directory of the stack: `..`
        "#]],
    );
    let outside = Terrace::in_directory(scratch.path());
    let run = outside.run(&["validate", "shop/tenants"]).expect(1);
    assert!(
        run.stderr.ends_with("pass the directory of the stack: `shop`\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn suggests_test_for_the_directory_of_a_module() {
    let scratch = Scratch::new("no-stack");
    scratch.write("page/module.yaml", MODULE);
    scratch.write("page/tests/defaults.yaml", "");
    check(
        &Terrace::in_directory(scratch.path()),
        &["validate", "page"],
        expect![[r#"
            error: `page` is the directory of a module, not of a stack
            help: to run the test cases of the module:
                terrace test page
        "#]],
    );
}

#[test]
fn refuses_to_apply_a_file_that_is_not_a_plan() {
    let scratch = Scratch::new("no-plan");
    scratch.write("platform.yaml", PLATFORM);
    let terrace = Terrace::in_directory(scratch.path());
    check(
        &terrace,
        &["apply", "platform.yaml"],
        expect![[r#"
        error: `platform.yaml` is not a saved plan: key must be a string at line 1 column 2
        help: to create a saved plan:
            terrace plan -e ENV --save FILE
        help: to apply a stack, pass its directory:
            terrace apply STACK -e ENV
    "#]],
    );
    check(
        &terrace,
        &["apply", "plan.json"],
        expect![[r#"
        error: file `plan.json` does not exist
        help: to create a saved plan:
            terrace plan -e ENV --save FILE
    "#]],
    );
}

#[test]
fn explain_accepts_a_code_with_its_severity() {
    let terrace = Terrace::in_directory(&std::env::temp_dir());
    let page = terrace.run(&["explain", "unknown-tier"]).expect(0).stdout;
    assert_eq!(
        terrace.run(&["explain", "error[unknown-tier]"]).expect(0).stdout,
        page
    );
    check(
        &terrace,
        &["explain", "web", "-e", "development"],
        expect![[r#"
            error: `web` is not a diagnostic code or an address
            help: for a component, include its tenant: `finance/web` or `platform/web`
        "#]],
    );
}

#[test]
fn prints_the_schema_of_a_plan() {
    let terrace = Terrace::in_directory(&std::env::temp_dir());
    let schema = terrace.run(&["schema", "plan"]).expect(0).json();
    assert!(schema["properties"]["steps"].is_object());
}

/// The resource that uses a passed-on value is known; a computed name is attributed to the component.
#[test]
fn draws_a_component_with_its_connections() {
    let scratch = Scratch::new("drawn");
    scratch.write(
        "stack.yaml",
        "{kind: Platform, name: shop}
---
{kind: Environment, name: production, class: production, aws: {account: '111122223333', region: eu-west-1}}
---
kind: Component
name: events
resources:
  topic: {type: AWS::SNS::Topic}
  feed: {type: AWS::SNS::Topic}
outputs: {topic: \"{{ ref('topic').ref }}\"}
---
kind: Component
name: intake
resources:
  queue: {type: AWS::SQS::Queue, properties: {QueueName: \"{{ name }}\"}}
outputs: {queue: \"{{ ref('queue').name }}\"}
---
kind: Component
name: reader
resources:
  rule:
    type: AWS::Events::Rule
    properties: {Name: \"{{ name }}\", ScheduleExpression: rate(1 hour), Targets: [{Id: topic, Arn: \"{{ ref('events').topic }}\"}]}
  log: {type: AWS::Logs::LogGroup, properties: {LogGroupName: \"{{ name }}-{{ ref('intake').queue }}\"}}
",
    );
    let terrace = Terrace::in_directory(scratch.path());
    let draw = ["graph", "-e", "production", "--component", "platform/reader"];
    expect![[r#"
        ---
        title: shop production platform/reader
        ---
        flowchart LR
          subgraph g0["platform/reader"]
            n0["log<br/>AWS::Logs::LogGroup"]
            n1["rule<br/>AWS::Events::Rule"]
          end
          subgraph g1["connected components"]
            n2["platform/events"]
            n3["platform/intake"]
          end
          g0 --> n3
          n1 -->|"topic.ref"| n2
    "#]]
    .assert_eq(&terrace.run(&draw).expect(0).stdout);
    let dot = [&draw[..], &["--output", "dot"]].concat();
    expect![[r#"
        digraph "shop production platform/reader" {
          rankdir=LR
          node [shape=box]
          compound=true
          subgraph cluster_0 {
            label="platform/reader"
            n0 [label="log\nAWS::Logs::LogGroup"]
            n1 [label="rule\nAWS::Events::Rule"]
          }
          subgraph cluster_1 {
            label="connected components"
            n2 [label="platform/events"]
            n3 [label="platform/intake"]
          }
          n0 -> n3 [ltail=cluster_0]
          n1 -> n2 [label="topic.ref"]
        }
    "#]]
    .assert_eq(&terrace.run(&dot).expect(0).stdout);
    let other = ["graph", "-e", "production", "--component", "platform/events"];
    expect![[r#"
        ---
        title: shop production platform/events
        ---
        flowchart LR
          subgraph g0["platform/events"]
            n0["feed<br/>AWS::SNS::Topic"]
            n1["topic<br/>AWS::SNS::Topic"]
          end
          subgraph g1["connected components"]
            n2["platform/reader"]
          end
          n2 -->|"topic.ref"| n1
    "#]]
    .assert_eq(&terrace.run(&other).expect(0).stdout);
}
