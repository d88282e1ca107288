use expect_test::{Expect, expect};

use super::*;

#[track_caller]
pub(super) fn check(yaml: &str, expect: Expect) {
    expect.assert_eq(&compile(yaml, &[]).diagnostics);
}

/// Returns a document with a state machine of these states, next to the components of the platform.
pub(super) fn machine(definition: &str) -> String {
    let indented: String = definition
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    format!(
        "{PLATFORM}kind: Component\nname: hand\ntenants: [finance]\nresources:\n  machine:\n    type: AWS::StepFunctions::StateMachine\n    properties:\n      Definition:\n{indented}"
    )
}

/// A definition as a JSON string in the resources of a component.
#[test]
fn checks_a_definition_with_every_kind_of_mistake() {
    let yaml = r#"
kind: Component
name: seed
resources:
  validate: {type: AWS::Lambda::Function, properties: {}}
  profiling: {type: AWS::Lambda::Function, properties: {}}
  report: {type: AWS::Lambda::Function, properties: {}}
  notifications: {type: AWS::SNS::Topic, properties: {}}
  errors: {type: AWS::SNS::Topic, properties: {}}
  raw: {type: AWS::S3::Bucket, properties: {}}
  quality:
    type: AWS::Glue::Job
    properties: {Timeout: 480, Command: {Name: glueetl, ScriptLocation: "{{ asset('etl_script.py').url }}"}}
  etl:
    type: AWS::Glue::Job
    properties: {Timeout: 2880, Command: {Name: glueetl, ScriptLocation: "{{ asset('etl_script.py').url }}"}}
  machine:
    type: AWS::StepFunctions::StateMachine
    properties:
      DefinitionString: |
        {
          "Comment": "Data processing pipeline",
          "StartAt": "ValidateInput",
          "TimeoutSeconds": 14400,
          "States": {
            "ValidateInput": {
              "Type": "Task",
              "Resource": "{{ ref('validate').arn }}",
              "Next": "CheckDataQuality",
              "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 30, "MaxAttempts": 3, "BackoffRate": 2.0}],
              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "HandleFailure"}]
            },
            "CheckDataQuality": {
              "Type": "Task",
              "Resource": "arn:aws:states:::glue:startJobRun.sync",
              "Parameters": {
                "JobName": "{{ ref('quality').name }}",
                "Arguments": {"--input-path.$": "$.inputPath", "--output-path.$": "$.outputPath"}
              },
              "Next": "ProcessData"
            },
            "ProcessData": {
              "Type": "Parallel",
              "Branches": [
                {
                  "StartAt": "ETLProcessing",
                  "States": {
                    "ETLProcessing": {
                      "Type": "Task",
                      "Resource": "arn:aws:states:::glue:startJobRun.sync",
                      "Parameters": {"JobName": "{{ ref('etl').name }}"},
                      "End": true
                    }
                  }
                },
                {
                  "StartAt": "DataProfiling",
                  "States": {"DataProfiling": {"Type": "Task", "Resource": "{{ ref('profiling').arn }}", "End": true}}
                }
              ],
              "Next": "GenerateReport"
            },
            "GenerateReport": {"Type": "Task", "Resource": "{{ ref('report').arn }}", "Next": "NotifyCompletion"},
            "NotifyCompletion": {
              "Type": "Task",
              "Resource": "arn:aws:states:::sns:publish",
              "Parameters": {"TopicArn": "{{ ref('notifications').arn }}", "Message.$": "$.reportSummary"},
              "End": true
            },
            "HandleFailure": {
              "Type": "Task",
              "Resource": "arn:aws:states:::sns:publish",
              "Parameters": {"TopicArn": "{{ ref('errors').arn }}", "Message": "Pipeline execution failed"},
              "End": true
            }
          }
        }
  arrival:
    type: AWS::Events::Rule
    properties:
      EventPattern:
        source: [aws.s3]
        detail-type: [Object Created]
        detail: {bucket: {name: ["{{ ref('raw').name }}"]}, object: {key: [{prefix: incoming/}]}}
      Targets:
        - Id: pipeline
          Arn: "{{ ref('machine').arn }}"
          RoleArn: arn:aws:iam::111122223333:role/start
          InputTransformer:
            InputPathsMap: {key: $.detail.object.key, bucket: $.detail.bucket.name}
            InputTemplate: '{"inputPath": <key>, "bucketName": <bucket>}'
  daily:
    type: AWS::Events::Rule
    properties:
      ScheduleExpression: cron(0 2 * * ? *)
      Targets:
        - Id: pipeline
          Arn: "{{ ref('machine').arn }}"
          RoleArn: arn:aws:iam::111122223333:role/start
          Input: '{"mode": "scheduled", "inputPath": "daily-batch/"}'
"#;
    let script = (
        "etl_script.py",
        "args = getResolvedOptions(sys.argv, ['JOB_NAME', 'INPUT_PATH', 'OUTPUT_PATH'])\n",
    );
    expect![[r#"
        dead-trigger: bucket `platform/seed/raw` does not send events to EventBridge
          --> 10: `raw` requires `EventBridgeEnabled: true`
          ... 78: `arrival` this rule waits for its events
          note: without these events, the trigger never fires
          help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
        lost-context: `Catch` rule 1 of state `ValidateInput` has no `ResultPath`
          --> 17: `machine` the error replaces the input of the handler
          help: add `ResultPath: $.error`
        argument-mismatch: in state `CheckDataQuality`, the job reads the argument `--INPUT_PATH`, not `--input-path`
          --> 17: `machine` not read by the job
          note: Terrace reads the names from `getResolvedOptions` in `etl_script.py`
          help: write `--INPUT_PATH`
        argument-mismatch: in state `CheckDataQuality`, the job reads the argument `--OUTPUT_PATH`, not `--output-path`
          --> 17: `machine` not read by the job
          note: Terrace reads the names from `getResolvedOptions` in `etl_script.py`
          help: write `--OUTPUT_PATH`
        argument-mismatch: in state `ETLProcessing`, the job requires `--INPUT_PATH` and `--OUTPUT_PATH`
          --> 17: `machine` arguments of this state
          note: Terrace reads the names from `getResolvedOptions` in `etl_script.py`
          help: add `--INPUT_PATH` and `--OUTPUT_PATH` to the arguments, or to the `DefaultArguments` of the job
        missing-catch: state `CheckDataQuality` has no `Catch`
          --> 17: `machine` a failure ends the execution without notification
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        unproven-value: state `CheckDataQuality` reads `$.inputPath`, which might not exist
          --> 17: `machine` the result of `ValidateInput` replaced the input
          help: store the result of `ValidateInput` separately: `ResultPath: $.validate_input`
        unproduced-value: state `CheckDataQuality` reads `$.outputPath`, which might not exist
          --> 17: `machine` the result of `ValidateInput` replaced the input, which did not contain `$.outputPath`
          note: `platform/seed/arrival` provides `bucketName` and `inputPath`
          note: `platform/seed/daily` provides `inputPath` and `mode`
          help: if `ValidateInput` returns the value, store its result with `ResultPath: $.validate_input` and read it there, otherwise add it to every trigger
        direct-lambda: state `DataProfiling` invokes a Lambda function directly
          --> 17: `machine` the result of the function replaces the whole input
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        missing-catch: state `GenerateReport` has no `Catch`
          --> 17: `machine` a failure ends the execution without notification
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        direct-lambda: state `GenerateReport` invokes a Lambda function directly
          --> 17: `machine` the result of the function replaces the whole input
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        failure-ends-in-success: state `HandleFailure` runs only after a failure but ends the execution successfully
          --> 17: `machine` the execution succeeds here
          note: alarms for failed executions do not fire, and the caller continues
          help: continue from `HandleFailure` to a state of type `Fail`
        missing-catch: state `NotifyCompletion` has no `Catch`
          --> 17: `machine` a failure ends the execution without notification
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        unproduced-value: state `NotifyCompletion` reads `$.reportSummary`, which might not exist
          --> 17: `machine` the result of `GenerateReport` replaced the input, which did not contain `$.reportSummary`
          help: if `GenerateReport` returns the value, store its result with `ResultPath: $.generate_report` and read it there, otherwise add it to every trigger
        missing-catch: state `ProcessData` has no `Catch`
          --> 17: `machine` a failure ends the execution without notification
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        direct-lambda: state `ValidateInput` invokes a Lambda function directly
          --> 17: `machine` the result of the function replaces the whole input
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        timeout-order: the job of state `CheckDataQuality` can run for 8h, longer than the timeout of the state machine (4h)
          --> 17: `machine` times out while the job continues
          note: `platform/seed/quality` has `Timeout: 480` (minutes)
          help: set the timeout of the job to 240 minutes or less
        timeout-order: the job of state `ETLProcessing` can run for 2d, longer than the timeout of the state machine (4h)
          --> 17: `machine` times out while the job continues
          note: `platform/seed/etl` has `Timeout: 2880` (minutes)
          help: set the timeout of the job to 240 minutes or less
    "#]].assert_eq(&compile(yaml, &[script]).diagnostics);
}

#[test]
fn accepts_a_correct_state_machine() {
    check(
        &machine(
            r#"
StartAt: Decide
TimeoutSeconds: 3600
States:
  Decide:
    Type: Choice
    Choices:
      - {And: [{Variable: $.mode, IsPresent: true}, {Variable: $.mode, StringEquals: full}], Next: Each}
    Default: Call
  Each:
    Type: Map
    ItemsPath: $.items
    ItemProcessor:
      StartAt: One
      States:
        One: {Type: Task, Resource: "arn:aws:states:::aws-sdk:s3:headObject", Parameters: {Bucket: b, Key.$: $.key}, End: true}
    Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Failed}]
    Next: Done
  Call:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke.waitForTaskToken
    Parameters: {FunctionName: f, Payload: {token.$: $$.Task.Token, name.$: "States.Format('{}', $.name)"}}
    TimeoutSeconds: 600
    HeartbeatSeconds: 60
    Retry:
      - {ErrorEquals: [Lambda.TooManyRequestsException], IntervalSeconds: 1, MaxAttempts: 5, BackoffRate: 2, JitterStrategy: FULL}
      - {ErrorEquals: [States.ALL], MaxDelaySeconds: 20}
    Catch:
      - {ErrorEquals: [NothingToDo], ResultPath: $.error, Next: Done}
      - {ErrorEquals: [States.ALL], ResultPath: $.error, Next: Failed}
    Next: Later
  Later: {Type: Wait, Seconds: 5, Next: Done}
  Done: {Type: Succeed}
  Failed: {Type: Fail, ErrorPath: $.error.Error, CausePath: $.error.Cause}
"#,
        ),
        expect![""],
    );
}

#[test]
fn checks_targets_and_ends() {
    check(
        &machine(
            r#"
StartAt: Frist
States:
  First: {Type: Pass, Next: Secnd}
  Second: {Type: Pass, Next: Third}
  Third: {Type: Pass, Next: Second}
"#,
        ),
        expect![[r#"
            unknown-step: no state is named `Frist` here
              --> 68: `machine` 
              help: did you mean `First`?
            unknown-step: no state is named `Secnd` here
              --> 68: `machine` 
              help: did you mean `Second`?
        "#]],
    );
    check(
        &machine(
            r#"
StartAt: First
States:
  First: {Type: Pass, Next: Second}
  Second: {Type: Pass, Next: Third}
  Third: {Type: Pass, Next: Second}
  Alone: {Type: Pass, End: true}
  Both:
    Type: Parallel
    Branches:
      - {StartAt: In, States: {In: {Type: Pass, Next: First}}}
      - {StartAt: In, States: {In: {Type: Pass, End: true}}}
    End: true
"#,
        ),
        expect![[r#"
            duplicate-name: duplicate state `In`
              --> 68: `machine` 
              help: rename one of them: state names must be unique in the whole state machine
            unknown-step: no state is named `First` here
              --> 68: `machine` 
              note: `First` is in another branch, and a state can lead only to states of the same branch
            unreachable-state: state `Alone` is unreachable
              --> 68: `machine` never runs
              help: remove it, or name it in a `Next`, `Default`, `Choices` or `Catch`
            unreachable-state: state `Both` is unreachable
              --> 68: `machine` never runs
              help: remove it, or name it in a `Next`, `Default`, `Choices` or `Catch`
            no-terminal-state: the execution never ends after state `First`
              --> 68: `machine` 
              note: `First`, `Second` and `Third` lead only to each other
              help: add `End: true` to one of them, or let one of them continue to a state outside the loop
        "#]],
    );
}

#[test]
fn rejects_missing_and_unknown_fields_of_states() {
    check(
        &machine(
            r#"
StartAt: A
Timeout: 5
States:
  A: {Type: Pass, Next: B, End: true}
  B: {Type: Paralel, Next: C}
  C: {Type: Parallel, Branches: [], Next: D, Catch: [{ErrorEquals: [States.ALL], ResultPath: $.e, Next: Z}]}
  D: {Type: Choice, Choices: [{Variable: $.x, Next: E}, {Variable: $.x, StringEquals: a}], Next: E}
  E: {Type: Wait, Seconds: 5, Timestamp: "2027-01-01T00:00:00Z", Next: F}
  F: {Type: Map, Next: G, Catch: [{ErrorEquals: [States.ALL], ResultPath: $.e, Next: Z}]}
  G: {Type: Pass, Resutl: {a: 1}, Output: "{% 1 %}", Next: H}
  H: {Type: Pass, Parameters: {a.$: input.x, b.$: 5, c.$: States.Frmat($.x)}, Next: I}
  I: {Type: Task, Next: J, Catch: [{ErrorEquals: [States.ALL], ResultPath: $.e, Next: Z}]}
  J: {Type: Pass}
  Z: {Type: Fail, Next: A}
"#,
        ),
        expect![[r#"
            invalid-state: `Output` is a field of JSONata, but state `G` uses JSONPath
              --> 68: `machine` 
            invalid-state: `a.$` of state `H`: `input.x` is neither a path that starts with `$` nor an intrinsic function
              --> 68: `machine` 
              help: write a path such as `$.x`, or rename the key to `a` for a literal value
            invalid-state: `b.$` of state `H` must be a path, found an integer
              --> 68: `machine` 
              help: write a path such as `$.x`, or rename the key to `b` for a literal value
            invalid-state: `c.$` of state `H`: no intrinsic function is named `States.Frmat`
              --> 68: `machine` 
              help: write a path such as `$.x`, or rename the key to `c` for a literal value
            invalid-state: choice 1 of state `D` has no condition
              --> 68: `machine` 
            invalid-state: choice 2 of state `D` has no `Next`
              --> 68: `machine` 
            invalid-state: state `A` has both `Next` and `End`
              --> 68: `machine` 
            invalid-state: state `B` has the unknown type `Paralel`
              --> 68: `machine` 
              help: did you mean `Parallel`?
            invalid-state: state `C` has no branches
              --> 68: `machine` 
            unproduced-value: state `D` reads `$.x` from a list
              --> 68: `machine` `C` returns a list with one item for each branch
              help: read an item (`$[0]…`), or name the items with a `ResultSelector` in `C`
            invalid-state: state `E` requires exactly one of `Seconds`, `Timestamp`, `SecondsPath` and `TimestampPath`
              --> 68: `machine` 
            invalid-state: state `F` has no `ItemProcessor`
              --> 68: `machine` 
            invalid-state: state `I` has no `Resource`
              --> 68: `machine` 
            invalid-state: state `J` has neither `Next` nor `End: true`
              --> 68: `machine` 
            invalid-state: unknown field `Next` in a Choice state
              --> 68: `machine` 
              note: the valid names are `Type`, `Comment`, `QueryLanguage`, `Choices`, `Default`, `InputPath`, `OutputPath`, `Output` and `Assign`
            invalid-state: unknown field `Next` in a Fail state
              --> 68: `machine` 
              note: the valid names are `Type`, `Comment`, `QueryLanguage`, `Error`, `Cause`, `ErrorPath` and `CausePath`
            invalid-state: unknown field `Resutl` in a Pass state
              --> 68: `machine` 
              help: did you mean `Result`?
            invalid-state: unknown field `Timeout` in a state machine
              --> 68: `machine` 
              help: did you mean `TimeoutSeconds`?
        "#]],
    );
}

#[test]
fn checks_tasks() {
    check(
        &machine(
            r#"
StartAt: A
TimeoutSeconds: 60
States:
  A:
    Type: Task
    Resource: arn:aws:states:::glue:startJobRnu.sync
    TimeoutSeconds: 120
    HeartbeatSeconds: 120
    Catch: [{ErrorEquals: [States.ALL, Other], ResultPath: $.e, Next: Z}, {ErrorEquals: [Other], Next: Z}]
    Next: B
  B:
    Type: Task
    Resource: arn:aws:states:::sns:publish.sync
    Catch: [{ErrorEquals: [States.TaskFailed], ResultPath: $.e, Next: Z}]
    Next: C
  C:
    Type: Task
    Resource: arn:aws:states:::sqs:sendMessage.waitForTaskToken
    Parameters: {QueueUrl: q, MessageBody: x}
    Retry:
      - {ErrorEquals: [States.ALL], IntervalSeconds: 0, MaxAttempts: -1, BackoffRate: 0.5, JitterStrategy: SOME}
      - {ErrorEquals: [], IntervalSeconds: 30, MaxDelaySeconds: 30}
    Next: D
  D: {Type: Task, Resource: "arn:aws:lambda:eu-west-1:111122223333:function:f", Next: E}
  E: {Type: Task, Resource: "arn:aws:states:::aws-sdk:s3:getObject.sync", End: true}
  Z: {Type: Fail}
"#,
        ),
        expect![[r#"
            unknown-integration: Step Functions has no integration `aws-sdk:s3:getObject.sync`
              --> 68: `machine` 
              help: write an SDK call as `aws-sdk:SERVICE:ACTION`, optionally with `.waitForTaskToken`
            unknown-integration: Step Functions has no integration `glue:startJobRnu.sync`
              --> 68: `machine` 
              help: did you mean `glue:startJobRun`?
            unknown-integration: Step Functions has no integration `sns:publish.sync`
              --> 68: `machine` 
              help: use `sns:publish` or `sns:publish.waitForTaskToken`
            catch-order: `Catch` rule 1 of state `A` matches every error, so later rules are never reached
              --> 68: `machine` 
              help: put the rule with `States.ALL` last
            catch-order: `Catch` rule 1 of state `A`: `States.ALL` must be the only error of its rule
              --> 68: `machine` 
            lost-context: `Catch` rule 2 of state `A` has no `ResultPath`
              --> 68: `machine` the error replaces the input of the handler
              help: add `ResultPath: $.error`
            catch-order: `Retry` rule 1 of state `C` matches every error, so later rules are never reached
              --> 68: `machine` 
              help: put the rule with `States.ALL` last
            invalid-state: `Retry` rule 1 of state `C`: `BackoffRate` must be a number of at least 1
              --> 68: `machine` 
            invalid-state: `Retry` rule 1 of state `C`: `IntervalSeconds` must be an integer of at least 1
              --> 68: `machine` 
            invalid-state: `Retry` rule 1 of state `C`: `JitterStrategy` must be `FULL` or `NONE`, found `SOME`
              --> 68: `machine` 
            invalid-state: `Retry` rule 1 of state `C`: `MaxAttempts` must be an integer of at least 0
              --> 68: `machine` 
            invalid-state: `Retry` rule 2 of state `C` has no `ErrorEquals`
              --> 68: `machine` 
            invalid-state: `Retry` rule 2 of state `C`: `MaxDelaySeconds` (30) is not longer than `IntervalSeconds` (30)
              --> 68: `machine` 
            missing-catch: state `C` has no `Catch`
              --> 68: `machine` a failure ends the execution without notification
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            invalid-state: state `C` waits for a task token but does not pass `$$.Task.Token`
              --> 68: `machine` 
            invalid-state: state `C` waits for a task token without a timeout or heartbeat
              --> 68: `machine` 
            missing-catch: state `D` has no `Catch`
              --> 68: `machine` a failure ends the execution without notification
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            direct-lambda: state `D` invokes a Lambda function directly
              --> 68: `machine` the result of the function replaces the whole input
              help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
            missing-catch: state `E` has no `Catch`
              --> 68: `machine` a failure ends the execution without notification
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            missing-catch: the `Catch` of state `B` does not match every error
              --> 68: `machine` a failure ends the execution without notification
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            timeout-order: the heartbeat of state `A` (120 s) is not shorter than its timeout (120 s)
              --> 68: `machine` 
            timeout-order: the timeout of state `A` (120 s) is longer than the timeout of the state machine (60 s)
              --> 68: `machine` 
        "#]],
    );
}

#[test]
fn rejects_waiting_in_an_express_state_machine() {
    let yaml = machine(
        r#"
StartAt: A
TimeoutSeconds: 600
States:
  A: {Type: Task, Resource: "arn:aws:states:::glue:startJobRun.sync", Parameters: {JobName: j}, Next: B, Catch: &c [{ErrorEquals: [States.ALL], ResultPath: $.e, Next: Z}]}
  B:
    Type: Map
    ItemProcessor: {ProcessorConfig: {Mode: DISTRIBUTED, ExecutionType: EXPRESS}, StartAt: C, States: {C: {Type: Pass, End: true}}}
    Catch: *c
    End: true
  Z: {Type: Fail}
"#,
    )
    .replace("properties:\n      Definition", "properties:\n      StateMachineType: EXPRESS\n      Definition");
    check(
        &yaml,
        expect![[r#"
            invalid-state: state `A` waits for `glue:startJobRun.sync`, which an Express state machine cannot do
              --> 68: `machine` 
            invalid-state: state `B` is a distributed map, which an Express state machine cannot have
              --> 68: `machine` 
            timeout-order: the timeout of an Express state machine (600 s) is longer than 300 s
              --> 68: `machine` 
        "#]],
    );
}

#[test]
fn checks_that_values_exist_where_they_are_read() {
    check(
        &machine(
            r#"
StartAt: A
States:
  A: {Type: Pass, Result: {x: {y: 1}}, ResultPath: $.a, Next: B}
  B: {Type: Pass, Parameters: {v.$: $.a.x.y}, Next: C}
  C: {Type: Pass, Parameters: {v.$: $.a.x.y, w.$: $.v}, ResultPath: $.c, Next: D}
  D:
    Type: Parallel
    Branches:
      - {StartAt: L, States: {L: {Type: Pass, Parameters: {p.$: $.c.w, q.$: $.c.v.z}, End: true}}}
      - {StartAt: R, States: {R: {Type: Pass, Result: {r: 1}, End: true}}}
    Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]
    Next: E
  E: {Type: Pass, Parameters: {a.$: "$[0].p", b.$: "$[1].s", c.$: "$[2]", d.$: $.p}, Next: F}
  F: {Type: Choice, Choices: [{Variable: $.nothing, StringEquals: a, Next: G}], Default: G}
  G: {Type: Succeed}
  Z: {Type: Fail, ErrorPath: $.error.Error, CausePath: $.error.Why}
"#,
        ),
        expect![[r#"
            unproduced-value: state `C` reads `$.a.x.y`, but `$.a` might not exist
              --> 68: `machine` not every path to this state produces it
              note: every path produces `v`
            unproduced-value: state `E` reads `$.p` from a list
              --> 68: `machine` `D` returns a list with one item for each branch
              help: read an item (`$[0]…`), or name the items with a `ResultSelector` in `D`
            unproduced-value: state `E` reads `$[1].s`, which might not exist
              --> 68: `machine` not every path to this state produces it
              note: every path produces `r`
            unproduced-value: state `E` reads `$[2]` from a list
              --> 68: `machine` `D` returns a list with one item for each branch
              help: read an item (`$[0]…`), or name the items with a `ResultSelector` in `D`
            unproduced-value: state `F` reads `$.nothing`, which might not exist
              --> 68: `machine` not every path to this state produces it
              note: every path produces `a`, `b`, `c` and `d`
            unproduced-value: state `Z` reads `$.error.Why`, which might not exist
              --> 68: `machine` not every path to this state produces it
              note: every path produces `Cause` and `Error`
        "#]],
    );
}

#[test]
fn distinguishes_jsonata_and_jsonpath_fields() {
    check(
        &machine(
            r#"
StartAt: A
QueryLanguage: JSONata
States:
  A: {Type: Pass, Output: "{% $states.input %}", Next: B}
  B: {Type: Pass, Parameters: {a: 1}, Next: C}
  C: {Type: Choice, Choices: [{Condition: "{% true %}", Next: D}], Default: D}
  D: {Type: Pass, QueryLanguage: JSONPath, End: true}
"#,
        ),
        expect![[r#"
            invalid-state: `Parameters` is a field of JSONPath, but state `B` uses JSONata
              --> 68: `machine` 
            invalid-state: a JSONata state machine cannot have JSONPath states
              --> 68: `machine` 
        "#]],
    );
}
