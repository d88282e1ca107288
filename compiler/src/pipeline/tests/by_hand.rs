//! Rules, schedules and jobs that somebody wrote by hand.

use expect_test::expect;

use super::definitions::*;

#[test]
fn rules_and_schedules() {
    check(
        r#"
kind: Component
name: hand
resources:
  machine:
    type: AWS::StepFunctions::StateMachine
    properties: {Definition: {StartAt: A, States: {A: {Type: Succeed}}}}
  one:
    type: AWS::Events::Rule
    properties:
      ScheduleExpression: cron(0 2 * * *)
      Targets: [{Id: a, Arn: "{{ ref('machine').arn }}"}]
  two:
    type: AWS::Events::Rule
    properties:
      EventPattern: {source: aws.s3, detail-typ: [x], detail: {a: {b: []}}}
      Targets:
        - Id: a
          Arn: "{{ ref('machine').arn }}"
          RoleArn: r
          Input: "{}"
          InputTransformer: {InputPathsMap: {key: $.detail.key}, InputTemplate: '{"a": <kye>}'}
  three: {type: AWS::Scheduler::Schedule, properties: {ScheduleExpression: rate(1 hours)}}
  four: {type: AWS::Events::Rule, properties: {ScheduleExpression: "at(2027-01-01T00:00:00)"}}
"#,
        expect![[r#"
            invalid-schedule: a cron schedule has 6 fields, this one 5
              --> 8: `one` EventBridge refuses this
              help: the last field is the year: `cron(0 2 * * ? *)`
            dead-trigger: the rule `platform/hand/one` may not start `platform/hand/machine`
              --> 8: `one` the target has no `RoleArn`
              help: give it a role that `events.amazonaws.com` may assume, with `states:StartExecution`
            invalid-pattern: `<kye>` in the input template has no path in `InputPathsMap`
              --> 13: `two` EventBridge refuses this
              help: `key` exists
            invalid-pattern: `source` of the pattern is not a list: write `source: [aws.s3]`
              --> 13: `two` EventBridge refuses this pattern
            invalid-pattern: a target has one of `Input` and `InputTransformer`, not several
              --> 13: `two` here
            invalid-pattern: an event has no field `detail-typ`; `detail-type` exists
              --> 13: `two` EventBridge refuses this pattern
            invalid-pattern: the list of `b` is empty: nothing matches it
              --> 13: `two` EventBridge refuses this pattern
            invalid-schedule: after 1 the unit is `hour`
              --> 23: `three` EventBridge Scheduler refuses this
              help: write `rate(1 hour)`
            invalid-schedule: a rule has no `at(…)`
              --> 24: `four` EventBridge refuses this
              help: use `AWS::Scheduler::Schedule`
        "#]],
    );
}

#[test]
fn jobs_and_their_arguments() {
    let yaml = |metadata: &str, arguments: &str| {
        format!(
            r#"
kind: Component
name: hand
resources:
  job:
    type: AWS::Glue::Job
    metadata: {metadata}
    properties: {{Timeout: 10, DefaultArguments: {{--job-language: python, --OUTPUT_PATH: x}}}}
  machine:
    type: AWS::StepFunctions::StateMachine
    properties:
      Definition:
        StartAt: A
        States:
          A:
            Type: Task
            Resource: arn:aws:states:::glue:startJobRun.sync
            TimeoutSeconds: 300
            Parameters: {{JobName: "{{{{ ref('job').name }}}}", Arguments: {arguments}}}
            Catch: [{{ErrorEquals: [States.ALL], ResultPath: $.e, Next: Z}}]
            End: true
          Z: {{Type: Fail}}
"#
        )
    };
    let declared = "{ScriptArguments: [INPUT_PATH, OUTPUT_PATH, DAY]}";
    check(
        &yaml(declared, "{--INPUT_PATH: a, --DAY: b, --enable-metrics: ''}"),
        expect![[r#"
        timeout-order: the job of the state `A` may run for 10m, longer than the timeout of the state, 5m
          --> 9: `machine` the machine gives up while the job goes on
          note: `platform/hand/job` has `Timeout: 10` (minutes)
          help: give the job a timeout of 5 minutes or less
    "#]],
    );
    check(
        &yaml(declared, "{--input-path: a, --DYA: b}"),
        expect![[r#"
            argument-mismatch: in the state `A`, the argument `--input-path` is not the `--INPUT_PATH` that the job reads
              --> 9: `machine` the job does not know this name
              note: known from the arguments that `platform/hand/job` declares
              help: write `--INPUT_PATH`
            argument-mismatch: in the state `A`, the job does not read the argument `--DYA`
              --> 9: `machine` the job does not know this name
              note: known from the arguments that `platform/hand/job` declares
              help: `--DAY` exists
            timeout-order: the job of the state `A` may run for 10m, longer than the timeout of the state, 5m
              --> 9: `machine` the machine gives up while the job goes on
              note: `platform/hand/job` has `Timeout: 10` (minutes)
              help: give the job a timeout of 5 minutes or less
        "#]],
    );
    check(
        &yaml("{}", "{--output-path: a, --other: b}"),
        expect![[r#"
            argument-mismatch: in the state `A`, the argument `--output-path` is not the `--OUTPUT_PATH` that the job reads
              --> 9: `machine` the job does not know this name
              note: known from the default arguments of `platform/hand/job`
              help: write `--OUTPUT_PATH`
            timeout-order: the job of the state `A` may run for 10m, longer than the timeout of the state, 5m
              --> 9: `machine` the machine gives up while the job goes on
              note: `platform/hand/job` has `Timeout: 10` (minutes)
              help: give the job a timeout of 5 minutes or less
        "#]],
    );
}

#[test]
fn definitions_that_cannot_be_read() {
    let yaml = |key: &str, value: &str| {
        format!(
            "kind: Component\nname: hand\nresources:\n  machine:\n    type: AWS::StepFunctions::StateMachine\n    properties:\n      {key}: {value}\n"
        )
    };
    check(
        &yaml("DefinitionString", "'{\"StartAt\": '"),
        expect![[r#"
        invalid-state: the definition of `platform/hand/machine` is not JSON: EOF while parsing a value at line 1 column 12
          --> 4: `machine` it has to be a JSON object with `StartAt` and `States`
    "#]],
    );
    check(
        &yaml("DefinitionString", "'[]'"),
        expect![[r#"
        invalid-state: the definition of `platform/hand/machine` is not an object
          --> 4: `machine` it has to be a JSON object with `StartAt` and `States`
    "#]],
    );
    check(
        &yaml(
            "DefinitionSubstitutions",
            "{Topic: t}\n      DefinitionString: '{\"StartAt\": \"A\", \"States\": {\"A\": {\"Type\": \"Pass\", \"Result\": \"${Topc} ${Topic}\", \"End\": true}}}'",
        ),
        expect![[r#"
            invalid-state: nothing is put in place of `${Topc}`
              --> 4: `machine` 
              help: `Topic` exists
              help: add `Topc` to `DefinitionSubstitutions`
        "#]],
    );
    check(
        &yaml(
            "DefinitionString",
            "{'Fn::Sub': '{\"StartAt\": \"A\", \"States\": {\"A\": {\"Type\": \"Pass\", \"Result\": \"${AWS::Region}\", \"End\": true}}}'}",
        ),
        expect![""],
    );
}
