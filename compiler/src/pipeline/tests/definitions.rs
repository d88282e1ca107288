use expect_test::{Expect, expect};

use super::*;

#[track_caller]
pub(super) fn check(yaml: &str, expect: Expect) {
    expect.assert_eq(&compile(yaml, &[]).said);
}

/// A machine of these states beside the platform's components.
pub(super) fn machine(definition: &str) -> String {
    let indented: String = definition
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    format!(
        "{PLATFORM}kind: Component\nname: hand\ntenants: [finance]\nresources:\n  machine:\n    type: AWS::StepFunctions::StateMachine\n    properties:\n      Definition:\n{indented}"
    )
}

/// The seed as it is written there, as JSON text in a component's own resources.
#[test]
fn the_seeds_own_form() {
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
        dead-trigger: the bucket `platform/seed/raw` does not tell EventBridge of its objects
          --> 10: `raw` no `EventBridgeEnabled: true` in this bucket
          ... 78: `arrival` this rule waits for its objects
          note: S3 sends its events to EventBridge only where the bucket says so; the trigger would never fire
          help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
        lost-context: `Catch` 1 of `ValidateInput` has no `ResultPath`
          --> 17: `machine` the error replaces the input, and the handler cannot say what was being done
          help: add `ResultPath: $.error`
        argument-mismatch: in the state `CheckDataQuality`, the argument `--input-path` is not the `--INPUT_PATH` that the job reads
          --> 17: `machine` the job does not know this name
          note: known from what `etl_script.py` asks `getResolvedOptions` for
          help: write `--INPUT_PATH`
        argument-mismatch: in the state `CheckDataQuality`, the argument `--output-path` is not the `--OUTPUT_PATH` that the job reads
          --> 17: `machine` the job does not know this name
          note: known from what `etl_script.py` asks `getResolvedOptions` for
          help: write `--OUTPUT_PATH`
        argument-mismatch: in the state `ETLProcessing`, the job is not given `--INPUT_PATH` and `--OUTPUT_PATH`
          --> 17: `machine` the arguments of this state
          note: known from what `etl_script.py` asks `getResolvedOptions` for
          help: add them to the arguments, or give the job defaults
        direct-lambda: the Task `DataProfiling` names a Lambda function as its `Resource`
          --> 17: `machine` the function gets the whole state, and its result replaces it
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        direct-lambda: the Task `GenerateReport` names a Lambda function as its `Resource`
          --> 17: `machine` the function gets the whole state, and its result replaces it
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        direct-lambda: the Task `ValidateInput` names a Lambda function as its `Resource`
          --> 17: `machine` the function gets the whole state, and its result replaces it
          help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
        timeout-order: the job of the state `CheckDataQuality` may run for 8h, longer than the timeout of the machine, 4h
          --> 17: `machine` the machine gives up while the job goes on
          note: `platform/seed/quality` has `Timeout: 480` (minutes)
          help: give the job a timeout of 240 minutes or less
        timeout-order: the job of the state `ETLProcessing` may run for 2d, longer than the timeout of the machine, 4h
          --> 17: `machine` the machine gives up while the job goes on
          note: `platform/seed/etl` has `Timeout: 2880` (minutes)
          help: give the job a timeout of 240 minutes or less
        missing-catch: the state `CheckDataQuality` has no `Catch`
          --> 17: `machine` when it fails, the execution ends without a word
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        unproven-value: the state `CheckDataQuality` reads `$.inputPath`, and nothing says that it is there
          --> 17: `machine` the result of `ValidateInput` has replaced everything that was known
          help: keep the result of `ValidateInput` apart: `ResultPath: $.validate_input`
        unproduced-value: the state `CheckDataQuality` reads `$.outputPath`, and nothing is known to produce `$.outputPath`
          --> 17: `machine` the result of `ValidateInput` has replaced the input, and `$.outputPath` was not in it
          note: `platform/seed/arrival` gives `bucketName` and `inputPath`
          note: `platform/seed/daily` gives `inputPath` and `mode`
          help: if `ValidateInput` gives it, keep its result apart (`ResultPath: $.validate_input`) and read it there; if not, let every trigger give it
        missing-catch: the state `GenerateReport` has no `Catch`
          --> 17: `machine` when it fails, the execution ends without a word
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        failure-ends-in-success: the state `HandleFailure` is reached only after a failure, and ends the execution as succeeded
          --> 17: `machine` the execution succeeds here
          note: alarms on failed executions stay silent, and whoever started it goes on
          help: let `HandleFailure` lead to a state of type `Fail`
        missing-catch: the state `NotifyCompletion` has no `Catch`
          --> 17: `machine` when it fails, the execution ends without a word
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
        unproduced-value: the state `NotifyCompletion` reads `$.reportSummary`, and nothing is known to produce `$.reportSummary`
          --> 17: `machine` the result of `GenerateReport` has replaced the input, and `$.reportSummary` was not in it
          help: if `GenerateReport` gives it, keep its result apart (`ResultPath: $.generate_report`) and read it there; if not, let every trigger give it
        missing-catch: the state `ProcessData` has no `Catch`
          --> 17: `machine` when it fails, the execution ends without a word
          help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: HandleFailure}]`
    "#]].assert_eq(&compile(yaml, &[script]).said);
}

#[test]
fn a_machine_that_is_right() {
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
fn targets_and_ends() {
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
              help: `First` exists
            unknown-step: no state is named `Secnd` here
              --> 68: `machine` 
              help: `Second` exists
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
            no-terminal-state: from the state `First` nothing leads to an end
              --> 68: `machine` 
              note: `First`, `Second` and `Third` lead only to each other
              help: one of them has to have `End: true` or lead to a state that ends
            unknown-step: no state is named `First` here
              --> 68: `machine` 
              note: `First` is in another branch; states lead only to states beside them
            unreachable-state: nothing leads to the state `Alone`
              --> 68: `machine` never reached
              help: name it in a `Next`, `Default`, `Choices` or `Catch`, or take it out
            unreachable-state: nothing leads to the state `Both`
              --> 68: `machine` never reached
              help: name it in a `Next`, `Default`, `Choices` or `Catch`, or take it out
            duplicate-name: two states are named `In`
              --> 68: `machine` 
              help: names are unique in the whole machine, across branches
        "#]],
    );
}

#[test]
fn states_that_say_too_little_or_too_much() {
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
            invalid-state: `Output` belongs to JSONata, and the state `G` is JSONPath
              --> 68: `machine` 
            invalid-state: `a.$` of `H`: `input.x` is neither a path, which begins with `$`, nor an intrinsic function
              --> 68: `machine` 
              help: a key that ends in `.$` holds a path, such as `$.x`; without it, the text itself: `a`
            invalid-state: `b.$` holds a whole number, not a path
              --> 68: `machine` 
              help: a key that ends in `.$` holds a path, such as `$.x`; without it, the text itself: `b`
            invalid-state: `c.$` of `H`: no intrinsic function is named `States.Frmat`
              --> 68: `machine` 
              help: a key that ends in `.$` holds a path, such as `$.x`; without it, the text itself: `c`
            invalid-state: a Choice state has no field `Next`
              --> 68: `machine` 
              help: there is `Type`, `Comment`, `QueryLanguage`, `Choices`, `Default`, `InputPath`, `OutputPath`, `Output` and `Assign`
            invalid-state: a Fail state has no field `Next`
              --> 68: `machine` 
              help: there is `Type`, `Comment`, `QueryLanguage`, `Error`, `Cause`, `ErrorPath` and `CausePath`
            invalid-state: a Pass state has no field `Resutl`
              --> 68: `machine` 
              help: `Result` exists
            invalid-state: a state machine has no field `Timeout`
              --> 68: `machine` 
              help: `TimeoutSeconds` exists
            invalid-state: choice 1 of `D` says nothing to decide by
              --> 68: `machine` 
            invalid-state: choice 2 of `D` has no `Next`
              --> 68: `machine` 
            invalid-state: the Map `F` has no `ItemProcessor`
              --> 68: `machine` 
            invalid-state: the Parallel state `C` has no branches
              --> 68: `machine` 
            invalid-state: the Task `I` has no `Resource`
              --> 68: `machine` 
            invalid-state: the Wait `E` needs exactly one of `Seconds`, `Timestamp`, `SecondsPath` and `TimestampPath`
              --> 68: `machine` 
            invalid-state: the state `A` has both `Next` and `End`
              --> 68: `machine` 
            invalid-state: the state `B` is of the type `Paralel`, which does not exist
              --> 68: `machine` 
              help: `Parallel` exists
            unproduced-value: the state `D` reads `$.x` of a list
              --> 68: `machine` `C` gives a list of 0, one item for each branch
              help: read an item (`$[0]…`), or give the items names with a `ResultSelector` in `C`
            invalid-state: the state `J` has neither `Next` nor `End: true`
              --> 68: `machine` 
        "#]],
    );
}

#[test]
fn tasks() {
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
              help: an SDK call is `aws-sdk:SERVICE:ACTION`, alone or with `.waitForTaskToken`
            unknown-integration: Step Functions has no integration `glue:startJobRnu.sync`
              --> 68: `machine` 
              help: `glue:startJobRun` exists
            unknown-integration: Step Functions has no integration `sns:publish.sync`
              --> 68: `machine` 
              help: there is `sns:publish` and `sns:publish.waitForTaskToken`
            catch-order: `Catch` 1 of `A` catches everything, so that what follows it is never reached
              --> 68: `machine` 
              help: put the rule with `States.ALL` last
            catch-order: `Catch` 1 of `A`: `States.ALL` stands alone, and here beside other errors
              --> 68: `machine` 
            lost-context: `Catch` 2 of `A` has no `ResultPath`
              --> 68: `machine` the error replaces the input, and the handler cannot say what was being done
              help: add `ResultPath: $.error`
            catch-order: `Retry` 1 of `C` catches everything, so that what follows it is never reached
              --> 68: `machine` 
              help: put the rule with `States.ALL` last
            invalid-state: `Retry` 1 of `C`: `BackoffRate` is a number from 1
              --> 68: `machine` 
            invalid-state: `Retry` 1 of `C`: `IntervalSeconds` is a whole number from 1
              --> 68: `machine` 
            invalid-state: `Retry` 1 of `C`: `JitterStrategy` is `FULL` or `NONE`, not `SOME`
              --> 68: `machine` 
            invalid-state: `Retry` 1 of `C`: `MaxAttempts` is a whole number from 0
              --> 68: `machine` 
            invalid-state: `Retry` 2 of `C` names no errors: `ErrorEquals` is missing
              --> 68: `machine` 
            invalid-state: `Retry` 2 of `C`: `MaxDelaySeconds`, 30, is not longer than `IntervalSeconds`, 30
              --> 68: `machine` 
            invalid-state: the Task `C` waits for a token that it does not pass on: `$$.Task.Token`
              --> 68: `machine` 
            invalid-state: the Task `C` waits for a token without end: it has neither timeout nor heartbeat
              --> 68: `machine` 
            direct-lambda: the Task `D` names a Lambda function as its `Resource`
              --> 68: `machine` the function gets the whole state, and its result replaces it
              help: use `arn:aws:states:::lambda:invoke` with `Parameters: {FunctionName: …, Payload.$: $}`
            missing-catch: the `Catch` of the state `B` does not catch everything
              --> 68: `machine` when it fails, the execution ends without a word
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            timeout-order: the heartbeat of `A`, 120 s, is not shorter than its timeout, 120 s
              --> 68: `machine` 
            missing-catch: the state `C` has no `Catch`
              --> 68: `machine` when it fails, the execution ends without a word
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            missing-catch: the state `D` has no `Catch`
              --> 68: `machine` when it fails, the execution ends without a word
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            missing-catch: the state `E` has no `Catch`
              --> 68: `machine` when it fails, the execution ends without a word
              help: add `Catch: [{ErrorEquals: [States.ALL], ResultPath: $.error, Next: Z}]`
            timeout-order: the timeout of `A`, 120 s, is longer than the machine's, 60 s
              --> 68: `machine` 
        "#]],
    );
}

#[test]
fn an_express_machine_does_not_wait() {
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
        timeout-order: an Express machine runs for 300 s at most, not 600 s
          --> 68: `machine` 
        invalid-state: the Map `B` is distributed, which an Express machine cannot do
          --> 68: `machine` 
        invalid-state: the Task `A` waits for `glue:startJobRun.sync`, which an Express machine cannot do
          --> 68: `machine` 
    "#]],
    );
}

#[test]
fn the_flow_of_data() {
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
            unproduced-value: the state `C` reads `$.a.x.y`, and nothing produces `$.a`
              --> 68: `machine` not there on every way to this state
              help: on every way there is `v`
            unproduced-value: the state `E` reads `$.p` of a list
              --> 68: `machine` `D` gives a list of 2, one item for each branch
              help: read an item (`$[0]…`), or give the items names with a `ResultSelector` in `D`
            unproduced-value: the state `E` reads `$[1].s`, and nothing produces `$[1].s`
              --> 68: `machine` not there on every way to this state
              help: on every way there is `r`
            unproduced-value: the state `E` reads `$[2]` of a list
              --> 68: `machine` `D` gives a list of 2, one item for each branch
              help: read an item (`$[0]…`), or give the items names with a `ResultSelector` in `D`
            unproduced-value: the state `F` reads `$.nothing`, and nothing produces `$.nothing`
              --> 68: `machine` not there on every way to this state
              help: on every way there is `a`, `b`, `c` and `d`
            unproduced-value: the state `Z` reads `$.error.Why`, and nothing produces `$.error.Why`
              --> 68: `machine` not there on every way to this state
              help: on every way there is `Cause` and `Error`
        "#]],
    );
}

#[test]
fn jsonata_has_its_own_fields() {
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
            invalid-state: `Parameters` belongs to JSONPath, and the state `B` is JSONata
              --> 68: `machine` 
            invalid-state: a JSONata machine has no JSONPath states
              --> 68: `machine` 
        "#]],
    );
}
