//! Tests of values at the boundaries of maps, calls and nested pipelines.

use expect_test::expect;

use super::lowering::*;

#[test]
fn a_map_passes_only_values_that_always_exist() {
    states(
        r#"
triggers:
  - {name: day, schedule: rate(1 day), input: {mode: full, list: []}}
  - {name: week, schedule: rate(7 days), input: {mode: full, list: [], careful: true}}
steps:
  - each:
      map:
        items: "{{ input.list }}"
        steps:
          - load: {lambda: report, payload: {mode: "{{ input.mode }}"}, catch: [{on: [Bad], steps: [{say: {sns: operations, message: "{{ error.cause }}"}}]}]}
          - slow: {pass: {careful: "{{ input.careful }}"}, when: "{{ input.careful is defined and input.mode is defined }}"}
  - careful:
      map: {items: "{{ input.list }}", steps: [{check: {pass: {careful: "{{ input.careful }}"}}}]}
      when: "{{ input.careful is defined }}"
on_failure:
  steps: [{tell: {map: {items: [a], steps: [{tell_one: {sns: operations, message: "{{ item }} {{ error.name }}"}}]}}}]
"#,
        expect![[r#"
            Each:
              Type: Map
              ItemsPath: $.list
              ItemSelector:
                item.$: $$.Map.Item.Value
                mode.$: $.mode
              ItemProcessor:
                ProcessorConfig:
                  Mode: INLINE
                StartAt: Load
                States:
                  Load:
                    Type: Task
                    Resource: arn:aws:states:::lambda:invoke
                    Parameters:
                      FunctionName: '${ReportArn}'
                      Payload:
                        mode.$: $.mode
                    ResultSelector:
                      Payload.$: $.Payload
                    ResultPath: $.steps.load
                    Catch:
                    - ErrorEquals:
                      - Bad
                      ResultPath: $.error
                      Next: Say
                    Next: IfSlow
                  Say:
                    Type: Task
                    Resource: arn:aws:states:::sns:publish
                    Parameters:
                      TopicArn: '${OperationsArn}'
                      Message.$: $.error.Cause
                    ResultPath: $.steps.say
                    Next: LoadFailed
                  LoadFailed:
                    Type: Fail
                    ErrorPath: $.error.Error
                    CausePath: States.JsonToString($.error)
                  IfSlow:
                    Type: Choice
                    Choices:
                    - And:
                      - Variable: $$.Execution.Input.careful
                        IsPresent: true
                      - Variable: $.mode
                        IsPresent: true
                      Next: Slow
                    Default: SlowSkipped
                  SlowSkipped:
                    Type: Succeed
                  Slow:
                    Type: Pass
                    Parameters:
                      careful.$: $$.Execution.Input.careful
                    ResultPath: $.steps.slow
                    End: true
              ResultSelector:
                done: true
              ResultPath: $.steps.each
              Catch:
              - ErrorEquals:
                - States.ALL
                ResultPath: $.error
                Next: TellItems
              Next: IfCareful
            IfCareful:
              Type: Choice
              Choices:
              - Variable: $.careful
                IsPresent: true
                Next: Careful
              Default: CarefulSkipped
            CarefulSkipped:
              Type: Succeed
            Careful:
              Type: Map
              ItemsPath: $.list
              ItemSelector:
                item.$: $$.Map.Item.Value
                careful.$: $.careful
              ItemProcessor:
                ProcessorConfig:
                  Mode: INLINE
                StartAt: Check
                States:
                  Check:
                    Type: Pass
                    Parameters:
                      careful.$: $.careful
                    ResultPath: $.steps.check
                    OutputPath: $.steps.check
                    End: true
              ResultPath: $.steps.careful
              Catch:
              - ErrorEquals:
                - States.ALL
                ResultPath: $.error
                Next: TellItems
              End: true
            TellItems:
              Type: Pass
              Result:
              - a
              ResultPath: $.steps.tell
              Next: Tell
            Tell:
              Type: Map
              ItemsPath: $.steps.tell
              ItemSelector:
                item.$: $$.Map.Item.Value
                error.$: $.error
              ItemProcessor:
                ProcessorConfig:
                  Mode: INLINE
                StartAt: TellOne
                States:
                  TellOne:
                    Type: Task
                    Resource: arn:aws:states:::sns:publish
                    Parameters:
                      TopicArn: '${OperationsArn}'
                      Message.$: 'States.Format(''{} {}'', $.item, $.error.Error)'
                    ResultPath: $.steps.tell_one
                    OutputPath: $.steps.tell_one
                    End: true
              ResultPath: $.steps.tell
              Next: PipelineFailed
            PipelineFailed:
              Type: Fail
              ErrorPath: $.error.Error
              CausePath: States.JsonToString($.error)
        "#]],
    );
}

#[test]
fn rejects_existence_tests_inside_a_map() {
    check_diagnostics(
        r#"
triggers: [{schedule: rate(1 day), input: {list: []}}, {name: b, schedule: rate(2 days), input: {list: [], x: 1}}]
steps:
  - maybe: {lambda: report, when: "{{ input.x is defined }}"}
  - list: {lambda: report}
  - each:
      map:
        items: "{{ input.list }}"
        steps:
          - a: {wait: 1s, when: "{{ steps.maybe is defined }}"}
          - b: {wait: 1s, when: "{{ steps.list.more is defined and steps.maybe.more is defined }}"}
          - c: {pass: {x: "{{ steps.list.rows }}"}}
  - apart:
      map:
        items: "{{ input.list }}"
        distributed: true
        steps:
          - d: {wait: 1s, when: "{{ input.x is defined }}"}
          - e: {pipeline: other}
---
kind: Pipeline
name: other
tenant: finance
timeout: 1h
steps: [{x: {wait: 1s}}]
"#,
        expect![[r#"
            not-at-run-time: a map cannot test whether step `maybe` has run
              --> 76: `steps.maybe` each item gets only the results that its steps read
              ... 70: `maybe` declared here
              help: test it in the `when` of the map
            unproduced-value: the result of `maybe` might not exist here
              --> 77: `steps.maybe.more` not every path to this step produces it
              ... 70: `maybe` produces the result
              note: the available results are those of `list`
            not-at-run-time: `input.x` cannot be tested in a distributed map
              --> 84: `input.x` each item has its own execution and input
              help: test it in the `when` of the map
            missing-field: a pipeline step in a distributed map requires an `input`
              --> 85: `pipeline` would get the input of the item's execution
              note: each item of a distributed map has its own execution
              help: add an `input`, such as `input: {item: "{{ item }}"}`
        "#]],
    );
}

#[test]
fn escapes_literal_text() {
    states(
        r#"
steps:
  - query: {athena: work, query: "select ?", parameters: [2024, true, x]}
  - spark: {emr_serverless: work, role: work.spark, entry_point: s3://code/main.py, arguments: [1, false, "{{ input.x }}"]}
  - say: {sns: operations, message: "${Name} and {braces} of '{{ input.x }}' at {{ ref('work.queue').name }}"}
  - stop: {fail: {error: "{{ input.kind }}", cause: "{{ input.why }}"}}
"#,
        expect![[r#"
            Query:
              Type: Task
              Resource: arn:aws:states:::athena:startQueryExecution.sync
              Parameters:
                QueryString: select ?
                WorkGroup: '${WorkQueriesName}'
                ExecutionParameters:
                - '2024'
                - 'true'
                - x
              ResultPath: $.steps.query
              Next: Spark
            Spark:
              Type: Task
              Resource: arn:aws:states:::emr-serverless:startJobRun.sync
              Parameters:
                ApplicationId: '${WorkApplicationId}'
                ExecutionRoleArn: '${WorkSparkArn}'
                JobDriver:
                  SparkSubmit:
                    EntryPoint: s3://code/main.py
                    EntryPointArguments.$: 'States.Array(''1'', ''false'', $.x)'
              ResultPath: $.steps.spark
              Next: Say
            Say:
              Type: Task
              Resource: arn:aws:states:::sns:publish
              Parameters:
                TopicArn: '${OperationsArn}'
                Message.$: 'States.Format(''$\{Name\} and \{braces\} of \''{}\'' at ${WorkQueueName}'', $.x)'
              ResultPath: $.steps.say
              Next: Stop
            Stop:
              Type: Fail
              ErrorPath: $.kind
              CausePath: $.why
        "#]],
    );
}

#[test]
fn rejects_calls_that_services_reject() {
    check_diagnostics(
        r#"
steps:
  - a: {sns: letters.topic, message: x}
  - b: {sqs: letters.queue, message: x, group: g}
  - c: {sns: operations, message: x, group: g}
  - d: {wait: {until: tomorrow}}
  - e: {wait: {until: "2027-02-30T00:00:00Z"}}
  - f: {wait: {until: "2027-02-28T00:00:00.5+01:00"}}
  - g: {lambda: report, retry: {on: [States.Taskfailed], max_delay: 2y}, catch: [{on: [States.TimeOut, Mine, States.Http.StatusCode.404], goto: f}]}
  - h: {lambda: "arn:aws:sqs:eu-west-1:111122223333:q"}
  - i: {lambda: "{{ ref('operations').topic.arn }}"}
  - j: {athena: work, query: "select 1", database: "{{ input.x }}"}
  - k: {lambda: report, result: g}
---
kind: Component
name: letters
resources:
  topic: {type: AWS::SNS::Topic, properties: {FifoTopic: true}}
  queue: {type: AWS::SQS::Queue, properties: {FifoQueue: true}}
"#,
        expect![[r#"
            missing-field: a message to a FIFO topic requires a `group`
              --> 69: `sns` is a FIFO topic
            invalid-state: the FIFO topic has no content-based deduplication
              --> 69: `letters.topic` AWS would reject every message, because it has no deduplication ID
              ... 84: `topic` topic declared here
              help: add `ContentBasedDeduplication: true` to it
            invalid-state: the FIFO queue has no content-based deduplication
              --> 70: `letters.queue` AWS would reject every message, because it has no deduplication ID
              ... 85: `queue` queue declared here
              help: add `ContentBasedDeduplication: true` to it
            invalid-state: `group` is valid only for a FIFO topic
              --> 71: `group` the topic is not FIFO
            invalid-value: `tomorrow` is not a valid time
              --> 72: `tomorrow` expected a date, a time, and `Z` or a UTC offset
              help: write `2027-01-01T00:00:00Z`
            invalid-value: the time `2027-02-30T00:00:00Z` does not exist
              --> 73: `"2027-02-30T00:00:00Z"` expected a date, a time, and `Z` or a UTC offset
              help: write `2027-01-01T00:00:00Z`
            unknown-value: no error is named `States.Taskfailed`
              --> 75: `States.Taskfailed` never raised
              note: only Step Functions defines errors that start with `States.`
              help: did you mean `States.TaskFailed`?
            invalid-state: `max_delay` must be shorter than 366 days
              --> 75: `2y` 
            unknown-value: no error is named `States.TimeOut`
              --> 75: `States.TimeOut` never raised
              note: only Step Functions defines errors that start with `States.`
              help: did you mean `States.Timeout`?
            wrong-target: `arn:aws:sqs:eu-west-1:111122223333:q` is not a Lambda function
              --> 76: `"arn:aws:sqs:eu-west-1:111122223333:q"` expected a Lambda function
              note: the ARN belongs to `sqs`, not to `lambda`
            wrong-target: `platform/operations/key` is not a Lambda function
              --> 77: `"{{ ref('operations').topic.arn }}"` expected a Lambda function
              ... 39: `key` declared here
            not-at-run-time: the catalog and database of a query must be known at compile time
              --> 78: `"{{ input.x }}"` known only at run time
              note: the role of the pipeline has permissions only for targets that are known at compile time
            duplicate-name: duplicate result `g`
              --> 79: `g` would overwrite the first result
              ... 75: `g` first occurrence
              help: rename one of the results
        "#]],
    );
}

#[test]
fn checks_timeouts_of_nested_pipelines() {
    check_diagnostics(
        r#"
timeout: 1h
steps:
  - a: {pipeline: long}
  - b: {pipeline: long, timeout: 30m}
  - c: {pipeline: long, wait: false}
  - d: {pipeline: fast}
  - e: {pipeline: fast, wait: false}
  - f: {pipeline: own}
---
kind: Pipeline
name: long
tenant: finance
timeout: 8h
steps: [{x: {wait: 1s}}]
---
kind: Pipeline
name: fast
tenant: finance
type: EXPRESS
steps: [{y: {wait: 1s}}]
---
kind: Component
name: own
resources:
  machine:
    type: AWS::StepFunctions::StateMachine
    properties: {Definition: {StartAt: A, TimeoutSeconds: 7200, States: {A: {Type: Succeed}}}}
"#,
        expect![[r#"
            timeout-order: the pipeline waits for another pipeline with a longer timeout (8h) than its own (1h)
              --> 70: `long` might still be running when this pipeline times out
              ... 80: `8h` timeout of 8h
              help: change one of the timeouts, or set a `timeout` on the step
            invalid-state: a step cannot wait for an `EXPRESS` pipeline
              --> 73: `fast` waits for this pipeline
              ... 84: `fast` an `EXPRESS` pipeline
              help: set `wait: false`, or make the other pipeline `STANDARD`
            timeout-order: the pipeline waits for another pipeline with a longer timeout (2h) than its own (1h)
              --> 75: `own` might still be running when this pipeline times out
              ... 92: `machine` timeout of 2h
              help: change one of the timeouts, or set a `timeout` on the step
        "#]],
    );
}

#[test]
fn rejects_a_trigger_on_a_bucket_without_events() {
    check_diagnostics(
        r#"
triggers:
  - {event: {source: [aws.s3], detail_type: [Object Created], detail: {bucket: {name: ["{{ ref('silent').bucket }}"]}}}}
steps: [{a: {wait: 1s}}]
---
kind: Component
name: silent
tenants: [finance]
resources: {bucket: {type: AWS::S3::Bucket, properties: {}}}
"#,
        expect![[r#"
            dead-trigger: bucket `finance/silent/bucket` does not send events to EventBridge
              --> 75: `bucket` requires `EventBridgeEnabled: true`
              ... 69: `event` this trigger waits for its events
              note: without these events, the trigger never fires
              help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
        "#]],
    );
}
