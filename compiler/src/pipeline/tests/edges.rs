//! What is there and what is not, at the edges of maps, calls and other pipelines.

use expect_test::expect;

use super::lowering::*;

#[test]
fn a_map_gives_its_iterations_what_is_certainly_there() {
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
fn a_map_is_not_asked_what_it_cannot_know() {
    said(
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
            not-at-run-time: whether the step `maybe` has run cannot be asked in a map
              --> 76: `steps.maybe` each item is given the results that its steps read
              ... 70: `maybe` this step
              help: ask before the map, in its `when`
            unproduced-value: the result of `maybe` is not there on every way to this step
              --> 77: `steps.maybe.more` read here
              ... 70: `maybe` produced here
              help: here there are the results of `list`
            not-at-run-time: `input.x` cannot be asked for in a distributed map
              --> 84: `input.x` each item has an execution, and an input, of its own
              help: ask before the map, in its `when`
            missing-field: in a distributed map, a pipeline has to be given an `input`
              --> 85: `pipeline` without one, it would be given what the item's execution is given
              note: each item has an execution of its own
              help: say what it is given: `input: {item: "{{ item }}"}`
        "#]],
    );
}

#[test]
fn text_is_text() {
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
fn what_services_would_refuse() {
    said(
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
            missing-field: a message to a FIFO topic needs a `group`
              --> 69: `sns` the topic is FIFO
            invalid-state: the topic does not tell messages apart by itself
              --> 69: `letters.topic` every message would be refused: it has no deduplication id
              ... 84: `topic` the topic
              help: give it `ContentBasedDeduplication: true`
            invalid-state: the queue does not tell messages apart by itself
              --> 70: `letters.queue` every message would be refused: it has no deduplication id
              ... 85: `queue` the queue
              help: give it `ContentBasedDeduplication: true`
            invalid-state: only messages to FIFO topics have a `group`
              --> 71: `group` the topic is not FIFO
            invalid-value: `tomorrow` is not a time
              --> 72: `tomorrow` a day, a time, and `Z` or the distance to UTC
              help: write `2027-01-01T00:00:00Z`
            invalid-value: there is no time `2027-02-30T00:00:00Z`
              --> 73: `"2027-02-30T00:00:00Z"` a day, a time, and `Z` or the distance to UTC
              help: write `2027-01-01T00:00:00Z`
            unknown-value: no error is named `States.Taskfailed`
              --> 75: `States.Taskfailed` would never be met
              note: names that begin with `States.` are those of Step Functions itself
              help: `States.TaskFailed` exists
            invalid-state: `max_delay` has to be shorter than 366 days
              --> 75: `2y` Step Functions refuses this
            unknown-value: no error is named `States.TimeOut`
              --> 75: `States.TimeOut` would never be met
              note: names that begin with `States.` are those of Step Functions itself
              help: `States.Timeout` exists
            wrong-target: `arn:aws:sqs:eu-west-1:111122223333:q` is not a Lambda function
              --> 76: `"arn:aws:sqs:eu-west-1:111122223333:q"` a Lambda function is expected here
              note: its ARN is one of `sqs`, not of `lambda`
            wrong-target: `platform/operations/key` is not a Lambda function
              --> 77: `"{{ ref('operations').topic.arn }}"` a Lambda function is expected here
              ... 39: `key` this is meant
            not-at-run-time: what a query reads has to be known when compiling
              --> 78: `"{{ input.x }}"` known only when the pipeline runs
              note: the role is allowed exactly what the steps need
            duplicate-name: two steps leave a result `g`
              --> 79: `g` one would overwrite the other
              ... 75: `g` the first is here
              help: give it a name of its own
        "#]],
    );
}

#[test]
fn other_pipelines_end_in_time() {
    said(
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
            timeout-order: this pipeline waits for one that may take 8h, longer than it may take itself, 1h
              --> 70: `long` may still run when this one has timed out
              ... 80: `8h` may take 8h
              help: give one of the two another `timeout`, or the step one
            invalid-state: a run of an `EXPRESS` pipeline cannot be waited for
              --> 73: `fast` waits until it has ended
              ... 84: `fast` it is `EXPRESS`
              help: say `wait: false`, or make it `STANDARD`
            timeout-order: this pipeline waits for one that may take 2h, longer than it may take itself, 1h
              --> 75: `own` may still run when this one has timed out
              ... 92: `machine` may take 2h
              help: give one of the two another `timeout`, or the step one
        "#]],
    );
}

#[test]
fn an_event_of_a_silent_bucket_never_comes() {
    said(
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
            dead-trigger: the bucket `finance/silent/bucket` does not tell EventBridge of its objects
              --> 75: `bucket` no `EventBridgeEnabled: true` in this bucket
              ... 69: `event` this trigger waits for its objects
              note: S3 sends its events to EventBridge only where the bucket says so; the trigger would never fire
              help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
        "#]],
    );
}
