//! Tests of rules, schedules and jobs that are written by hand.

use expect_test::expect;

use super::definitions::*;

#[test]
fn checks_rules_and_schedules() {
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
            invalid-schedule: a cron schedule must have 6 fields, found 5
              --> 8: `one` EventBridge rejects this schedule
              help: add the year as the last field: `cron(0 2 * * ? *)`
            dead-trigger: rule `platform/hand/one` has no permission to start `platform/hand/machine`
              --> 8: `one` the target has no `RoleArn`
              help: add the ARN of a role that `events.amazonaws.com` can assume and that allows `states:StartExecution`
            invalid-pattern: `<kye>` of the input template is not in `InputPathsMap`
              --> 13: `two` EventBridge rejects this template
              help: did you mean `key`?
            invalid-pattern: `source` of the pattern must be a list: write `source: [aws.s3]`
              --> 13: `two` EventBridge rejects this pattern
            invalid-pattern: a target cannot have `Input` and `InputTransformer` together
              --> 13: `two` 
            invalid-pattern: an event has no field `detail-typ` (did you mean `detail-type`?)
              --> 13: `two` EventBridge rejects this pattern
            invalid-pattern: the list `b` of the pattern is empty and matches nothing
              --> 13: `two` EventBridge rejects this pattern
            invalid-schedule: the unit after 1 must be `hour`
              --> 23: `three` EventBridge rejects this schedule
              help: write `rate(1 hour)`
            invalid-schedule: a rule cannot use `at(…)`
              --> 24: `four` EventBridge rejects this schedule
              help: use `AWS::Scheduler::Schedule`
        "#]],
    );
}

#[test]
fn checks_arguments_and_timeouts_of_jobs() {
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
            timeout-order: the job of state `A` can run for 10m, longer than the timeout of the state (5m)
              --> 9: `machine` times out while the job continues
              note: `platform/hand/job` has `Timeout: 10` (minutes)
              help: set the timeout of the job to 5 minutes or less
        "#]],
    );
    check(
        &yaml(declared, "{--input-path: a, --DYA: b}"),
        expect![[r#"
            argument-mismatch: in state `A`, the job does not read the argument `--DYA`
              --> 9: `machine` not read by the job
              note: Terrace reads the names from the arguments that `platform/hand/job` declares
              help: did you mean `--DAY`?
            argument-mismatch: in state `A`, the job reads the argument `--INPUT_PATH`, not `--input-path`
              --> 9: `machine` not read by the job
              note: Terrace reads the names from the arguments that `platform/hand/job` declares
              help: write `--INPUT_PATH`
            timeout-order: the job of state `A` can run for 10m, longer than the timeout of the state (5m)
              --> 9: `machine` times out while the job continues
              note: `platform/hand/job` has `Timeout: 10` (minutes)
              help: set the timeout of the job to 5 minutes or less
        "#]],
    );
    check(
        &yaml("{}", "{--output-path: a, --other: b}"),
        expect![[r#"
            argument-mismatch: in state `A`, the job reads the argument `--OUTPUT_PATH`, not `--output-path`
              --> 9: `machine` not read by the job
              note: Terrace reads the names from the default arguments of `platform/hand/job`
              help: write `--OUTPUT_PATH`
            timeout-order: the job of state `A` can run for 10m, longer than the timeout of the state (5m)
              --> 9: `machine` times out while the job continues
              note: `platform/hand/job` has `Timeout: 10` (minutes)
              help: set the timeout of the job to 5 minutes or less
        "#]],
    );
}

#[test]
fn rejects_unreadable_definitions() {
    let yaml = |key: &str, value: &str| {
        format!(
            "kind: Component\nname: hand\nresources:\n  machine:\n    type: AWS::StepFunctions::StateMachine\n    properties:\n      {key}: {value}\n"
        )
    };
    check(
        &yaml("DefinitionString", "'{\"StartAt\": '"),
        expect![[r#"
            invalid-state: the definition of `platform/hand/machine` is not valid JSON: EOF while parsing a value at line 1 column 12
              --> 4: `machine` expected a JSON object with `StartAt` and `States`
        "#]],
    );
    check(
        &yaml("DefinitionString", "'[]'"),
        expect![[r#"
            invalid-state: the definition of `platform/hand/machine` is not a JSON object
              --> 4: `machine` expected a JSON object with `StartAt` and `States`
        "#]],
    );
    check(
        &yaml(
            "DefinitionSubstitutions",
            "{Topic: t}\n      DefinitionString: '{\"StartAt\": \"A\", \"States\": {\"A\": {\"Type\": \"Pass\", \"Result\": \"${Topc} ${Topic}\", \"End\": true}}}'",
        ),
        expect![[r#"
            invalid-state: `${Topc}` has no substitution
              --> 4: `machine` 
              help: did you mean `Topic`?
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
