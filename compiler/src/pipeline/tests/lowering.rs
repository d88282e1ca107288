use expect_test::expect;

use super::*;

/// The pipeline of the seed, in our language.
const SALES: &str = r#"
kind: Pipeline
name: sales
tenant: finance
description: Data processing pipeline
triggers:
  - name: daily
    schedule: cron(0 2 * * ? *)
    input: {mode: scheduled, inputPath: daily-batch/}
  - object_created: {zone: raw, prefix: incoming/}
timeout: 4h
steps:
  - validate_input:
      lambda: validate-input
      retry: {on: [States.TaskFailed], interval: 30s, attempts: 3, backoff: 2.0}
  - check_data_quality:
      glue: sales-quality
      arguments: {--INPUT_PATH: "{{ input.inputPath }}", --OUTPUT_PATH: processed/}
  - process_data:
      parallel:
        - ETLProcessing: {glue: sales-etl}
        - data_profiling: {lambda: profiler}
  - generate_report: {lambda: report}
  - notify_completion: {sns: operations, message: "{{ steps.generate_report.reportSummary }}"}
on_failure: {sns: operations, message: Pipeline execution failed}
"#;

const QUALITY: (&str, &str) = (
    "quality.py",
    "args = getResolvedOptions(sys.argv, ['JOB_NAME', 'INPUT_PATH', 'OUTPUT_PATH'])\n",
);

fn sales() -> Outcome {
    compile(&format!("{PLATFORM}{SALES}"), &[QUALITY])
}

#[test]
fn the_seed_comes_out() {
    let outcome = sales();
    assert_eq!(outcome.said, "");
    let machine = body(&outcome, "state_machine");
    expect_test::expect_file!["./sales.json"].assert_eq(&machine);
    let mut all = String::new();
    for resource in &outcome.resources {
        if resource.address.resource != "state_machine" {
            let kind = resource.kind.cloudformation().unwrap_or_default();
            all.push_str(&format!("{} {kind}\n", resource.address));
            all.push_str(&terrace_artifact::to_yaml(&resource.body.clone().into_value()));
        }
    }
    expect_test::expect_file!["./sales.yaml"].assert_eq(&all);
}

/// The states of a pipeline, without what the platform adds to it.
#[track_caller]
fn states(pipeline: &str, want: expect_test::Expect) {
    let outcome = compile(
        &format!("{PLATFORM}kind: Pipeline\nname: p\ntenant: finance\n{pipeline}"),
        &[QUALITY],
    );
    assert_eq!(outcome.said, "");
    let mut definition = definition(&outcome);
    drop_retry(&mut definition);
    let states = definition.get("States").cloned().unwrap_or_default();
    want.assert_eq(&terrace_artifact::to_yaml(&states.into_value()));
}

/// `Retry` is in every task, and the same.
fn drop_retry(term: &mut Term) {
    match term {
        Term::Map(entries) => {
            entries.retain(|(key, _)| key != "Retry");
            entries.iter_mut().for_each(|(_, term)| drop_retry(term));
        }
        Term::List(items) => items.iter_mut().for_each(drop_retry),
        _ => {}
    }
}

#[track_caller]
fn said(pipeline: &str, want: expect_test::Expect) {
    let text = format!("{PLATFORM}kind: Pipeline\nname: p\ntenant: finance\n{pipeline}");
    want.assert_eq(&compile(&text, &[QUALITY]).said);
}

#[test]
fn choices_and_conditions() {
    states(
        r#"
triggers:
  - {schedule: rate(1 hour), input: {mode: full, count: 3}}
steps:
  - check: {lambda: validate-input}
  - decide:
      choice:
        - {when: "{{ input.mode == 'full' and steps.check.rows > 100 }}", steps: [{load_all: {glue: sales-etl}}]}
        - {when: "{{ not (input.mode in ['a', 'b']) or input.note is defined }}", goto: finish}
        - {when: "{{ environment.name == 'staging' }}", steps: [{never: {wait: 5s}}]}
      default: {steps: [{stop: {fail: {error: NoMode, cause: "unknown mode {{ input.mode }}"}}}]}
  - slow: {wait: 5m, when: "{{ input.note is defined and input.note != 'fast' }}"}
  - left_out: {wait: 5m, when: "{{ environment.name == 'development' }}"}
  - finish: {lambda: report, payload: {mode: "{{ input.mode }}", note: "for {{ tenant.name }}: {{ input.mode }}"}}
"#,
        expect![[r#"
            Check:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ValidateInputArn}'
                Payload.$: $
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.check
              Next: Decide
            Decide:
              Type: Choice
              Choices:
              - And:
                - Variable: $.mode
                  StringEquals: full
                - Variable: $.steps.check.Payload.rows
                  NumericGreaterThan: 100
                Next: LoadAll
              - Or:
                - Not:
                    Or:
                    - Variable: $.mode
                      StringEquals: a
                    - Variable: $.mode
                      StringEquals: b
                - Variable: $.note
                  IsPresent: true
                Next: Finish
              Default: Stop
            LoadAll:
              Type: Task
              Resource: arn:aws:states:::glue:startJobRun.sync
              Parameters:
                JobName: '${SalesEtlName}'
              ResultPath: $.steps.load_all
              Next: IfSlow
            Stop:
              Type: Fail
              Error: NoMode
              CausePath: 'States.Format(''unknown mode {}'', $.mode)'
            IfSlow:
              Type: Choice
              Choices:
              - And:
                - Variable: $.note
                  IsPresent: true
                - Not:
                    Variable: $.note
                    StringEquals: fast
                Next: Slow
              Default: Finish
            Slow:
              Type: Wait
              Seconds: 300
              Next: Finish
            Finish:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ReportArn}'
                Payload:
                  mode.$: $.mode
                  note.$: 'States.Format(''for finance: {}'', $.mode)'
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.finish
              End: true
        "#]],
    );
}

#[test]
fn a_goto_leads_to_where_a_step_begins() {
    states(
        r#"
steps:
  - a: {choice: [{when: "{{ input.x }}", goto: c}, {when: "{{ input.y }}", goto: d}]}
  - b: {wait: 5s}
  - c: {wait: 5s, when: "{{ input.z == null }}"}
  - d: {map: {items: [1, 2], steps: [{e: {pass: "{{ item + 1 }}"}}]}}
  - f: {sns: operations, message: "{{ steps.d }}", when: "{{ input.w is defined }}"}
"#,
        expect![[r#"
            A:
              Type: Choice
              Choices:
              - Variable: $.x
                BooleanEquals: true
                Next: IfC
              - Variable: $.y
                BooleanEquals: true
                Next: DItems
              Default: B
            B:
              Type: Wait
              Seconds: 5
              Next: IfC
            IfC:
              Type: Choice
              Choices:
              - Variable: $.z
                IsNull: true
                Next: C
              Default: DItems
            C:
              Type: Wait
              Seconds: 5
              Next: DItems
            DItems:
              Type: Pass
              Result:
              - 1
              - 2
              ResultPath: $.steps.d
              Next: D
            D:
              Type: Map
              ItemsPath: $.steps.d
              ItemSelector:
                item.$: $$.Map.Item.Value
              ItemProcessor:
                ProcessorConfig:
                  Mode: INLINE
                StartAt: E
                States:
                  E:
                    Type: Pass
                    Parameters:
                      value.$: 'States.MathAdd($.item, 1)'
                    ResultPath: $.steps.e
                    OutputPath: $.steps.e.value
                    End: true
              ResultPath: $.steps.d
              Next: IfF
            IfF:
              Type: Choice
              Choices:
              - Variable: $.w
                IsPresent: true
                Next: F
              Default: FSkipped
            FSkipped:
              Type: Succeed
            F:
              Type: Task
              Resource: arn:aws:states:::sns:publish
              Parameters:
                TopicArn: '${OperationsArn}'
                Message.$: $.steps.d
              ResultPath: $.steps.f
              End: true
        "#]],
    );
}

#[test]
fn branches_and_maps() {
    states(
        r#"
triggers:
  - {schedule: rate(1 hour), input: {day: today}}
steps:
  - list: {lambda: validate-input}
  - each:
      map:
        items: "{{ steps.list.files }}"
        max_concurrency: 5
        steps:
          - convert: {glue: sales-etl, arguments: {--file: "{{ item.name }}", --day: "{{ input.day }}"}}
          - measure: {lambda: profiler, payload: {file: "{{ item }}", all: "{{ steps.list.total }}"}}
  - both:
      parallel:
        - - one: {lambda: profiler}
          - two: {pass: {sum: "{{ steps.one.a + steps.one.b }}"}}
        - three: {glue: sales-etl}
  - report:
      lambda: report
      payload:
        measures: "{{ steps.each }}"
        two: "{{ steps.both.two.sum }}"
        run: "{{ steps.both.three.Id }}"
  - regions:
      map: {items: [north, south], steps: [{wait_a_little: {wait: 5s}}], distributed: true, tolerated_failures: 5}
"#,
        expect![[r#"
            List:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ValidateInputArn}'
                Payload.$: $
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.list
              Next: Each
            Each:
              Type: Map
              ItemsPath: $.steps.list.Payload.files
              ItemSelector:
                item.$: $$.Map.Item.Value
                day.$: $.day
                steps:
                  list.$: $.steps.list
              ItemProcessor:
                ProcessorConfig:
                  Mode: INLINE
                StartAt: Convert
                States:
                  Convert:
                    Type: Task
                    Resource: arn:aws:states:::glue:startJobRun.sync
                    Parameters:
                      JobName: '${SalesEtlName}'
                      Arguments:
                        --file.$: $.item.name
                        --day.$: $.day
                    ResultPath: $.steps.convert
                    Next: Measure
                  Measure:
                    Type: Task
                    Resource: arn:aws:states:::lambda:invoke
                    Parameters:
                      FunctionName: '${ProfilerArn}'
                      Payload:
                        file.$: $.item
                        all.$: $.steps.list.Payload.total
                    ResultSelector:
                      Payload.$: $.Payload
                    ResultPath: $.steps.measure
                    OutputPath: $.steps.measure.Payload
                    End: true
              MaxConcurrency: 5
              ResultPath: $.steps.each
              Next: Both
            Both:
              Type: Parallel
              Branches:
              - StartAt: One
                States:
                  One:
                    Type: Task
                    Resource: arn:aws:states:::lambda:invoke
                    Parameters:
                      FunctionName: '${ProfilerArn}'
                      Payload.$: $
                    ResultSelector:
                      Payload.$: $.Payload
                    ResultPath: $.steps.one
                    Next: Two
                  Two:
                    Type: Pass
                    Parameters:
                      sum.$: 'States.MathAdd($.steps.one.Payload.a, $.steps.one.Payload.b)'
                    ResultPath: $.steps.two
                    End: true
              - StartAt: Three
                States:
                  Three:
                    Type: Task
                    Resource: arn:aws:states:::glue:startJobRun.sync
                    Parameters:
                      JobName: '${SalesEtlName}'
                    ResultPath: $.steps.three
                    End: true
              ResultSelector:
                one.$: '$[0].steps.one'
                two.$: '$[0].steps.two'
                three.$: '$[1].steps.three'
              ResultPath: $.steps.both
              Next: Report
            Report:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ReportArn}'
                Payload:
                  measures.$: $.steps.each
                  two.$: $.steps.both.two.sum
                  run.$: $.steps.both.three.Id
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.report
              Next: RegionsItems
            RegionsItems:
              Type: Pass
              Result:
              - north
              - south
              ResultPath: $.steps.regions
              Next: Regions
            Regions:
              Type: Map
              ItemsPath: $.steps.regions
              ItemSelector:
                item.$: $$.Map.Item.Value
              ItemProcessor:
                ProcessorConfig:
                  Mode: DISTRIBUTED
                  ExecutionType: STANDARD
                StartAt: WaitALittle
                States:
                  WaitALittle:
                    Type: Wait
                    Seconds: 5
                    End: true
              ToleratedFailurePercentage: 5
              ResultSelector:
                done: true
              ResultPath: $.steps.regions
              End: true
        "#]],
    );
}

#[test]
fn failures() {
    states(
        r#"
steps:
  - load:
      lambda: validate-input
      retry: false
      catch:
        - {on: [NothingToDo], goto: done}
        - {on: [BadData], steps: [{tell: {sns: operations, message: {error: "{{ error.name }}", cause: "{{ error.cause }}"}}}]}
  - both:
      parallel:
        - inner: {lambda: profiler, catch: [{steps: [{mend: {lambda: report, payload: "{{ error }}"}}]}]}
        - other: {wait: 5s}
  - done: {succeed: {}}
on_failure:
  steps:
    - clean: {lambda: report, payload: {error: "{{ error }}"}}
    - shout: {sns: operations, message: "failed: {{ error.cause }}"}
"#,
        expect![[r#"
            Load:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ValidateInputArn}'
                Payload.$: $
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.load
              Catch:
              - ErrorEquals:
                - NothingToDo
                ResultPath: $.error
                Next: Done
              - ErrorEquals:
                - BadData
                ResultPath: $.error
                Next: Tell
              - ErrorEquals:
                - States.ALL
                ResultPath: $.error
                Next: Clean
              Next: Both
            Tell:
              Type: Task
              Resource: arn:aws:states:::sns:publish
              Parameters:
                TopicArn: '${OperationsArn}'
                Message:
                  error.$: $.error.Error
                  cause.$: $.error.Cause
              ResultPath: $.steps.tell
              Next: PipelineFailed
            Both:
              Type: Parallel
              Branches:
              - StartAt: Inner
                States:
                  Inner:
                    Type: Task
                    Resource: arn:aws:states:::lambda:invoke
                    Parameters:
                      FunctionName: '${ProfilerArn}'
                      Payload.$: $
                    ResultSelector:
                      Payload.$: $.Payload
                    ResultPath: $.steps.inner
                    Catch:
                    - ErrorEquals:
                      - States.ALL
                      ResultPath: $.error
                      Next: Mend
                    End: true
                  Mend:
                    Type: Task
                    Resource: arn:aws:states:::lambda:invoke
                    Parameters:
                      FunctionName: '${ReportArn}'
                      Payload.$: $.error
                    ResultSelector:
                      Payload.$: $.Payload
                    ResultPath: $.steps.mend
                    Next: InnerFailed
                  InnerFailed:
                    Type: Fail
                    ErrorPath: $.error.Error
                    CausePath: States.JsonToString($.error)
              - StartAt: Other
                States:
                  Other:
                    Type: Wait
                    Seconds: 5
                    End: true
              ResultSelector:
                done: true
              ResultPath: $.steps.both
              Catch:
              - ErrorEquals:
                - States.ALL
                ResultPath: $.error
                Next: Clean
              Next: Done
            Done:
              Type: Succeed
            Clean:
              Type: Task
              Resource: arn:aws:states:::lambda:invoke
              Parameters:
                FunctionName: '${ReportArn}'
                Payload:
                  error.$: $.error
              ResultSelector:
                Payload.$: $.Payload
              ResultPath: $.steps.clean
              Next: Shout
            Shout:
              Type: Task
              Resource: arn:aws:states:::sns:publish
              Parameters:
                TopicArn: '${OperationsArn}'
                Message.$: 'States.Format(''failed: {}'', $.error.Cause)'
              ResultPath: $.steps.shout
              Next: PipelineFailed
            PipelineFailed:
              Type: Fail
              ErrorPath: $.error.Error
              CausePath: States.JsonToString($.error)
        "#]],
    );
}

#[test]
fn every_service() {
    let outcome = compile(
        &format!(
            r#"{PLATFORM}
kind: Pipeline
name: other
tenant: finance
steps: [{{a: {{wait: 5s}}}}]
---
kind: Pipeline
name: p
tenant: finance
steps:
  - function: {{lambda: "{{{{ ref('report').arn }}}}", timeout: 5m, heartbeat: 1m}}
  - job: {{glue: sales-etl, wait: false, timeout: 10m}}
  - long_job: {{glue: sales-quality, timeout: 1h, arguments: {{--INPUT_PATH: a, --OUTPUT_PATH: b, --enable-metrics: true}}}}
  - message: {{sns: operations, message: {{a: 1, b: "{{{{ input.x }}}}"}}, subject: "for {{{{ input.x }}}}"}}
  - queue: {{sqs: work, message: "{{{{ execution.id }}}}", group: "{{{{ input.x }}}}"}}
  - nested: {{pipeline: other, input: {{a: "{{{{ input.x }}}}"}}}}
  - started: {{pipeline: other, wait: false}}
  - spark:
      emr_serverless: work
      role: work.spark
      entry_point: s3://code/main.py
      arguments: [--day, "{{{{ input.x }}}}"]
      spark: --conf spark.executor.cores=2
  - query: {{athena: work, query: "select '{{{{ input.x }}}}'", database: sales, parameters: ["{{{{ input.x }}}}", 5]}}
  - after: {{lambda: profiler, payload: {{id: "{{{{ steps.query.QueryExecution.QueryExecutionId }}}}", out: "{{{{ steps.nested.total }}}}"}}}}
"#
        ),
        &[QUALITY],
    );
    assert_eq!(outcome.said, "");
    let mut all = terrace_artifact::to_yaml(&definition_of(&outcome, "p").into_value());
    let role = outcome
        .resources
        .iter()
        .find(|r| r.address.component == "p" && r.address.resource == "role")
        .unwrap();
    let policy = role.body.get("Policies").cloned().unwrap_or_default();
    all.push_str(&terrace_artifact::to_yaml(&policy.into_value()));
    expect_test::expect_file!["./services.yaml"].assert_eq(&all);
}

fn definition_of(outcome: &Outcome, component: &str) -> Term {
    let machine = outcome
        .resources
        .iter()
        .find(|r| r.address.component == component && r.address.resource == "state_machine")
        .unwrap();
    let mut definition = machine.body.get("Definition").cloned().unwrap_or_default();
    drop_retry(&mut definition);
    definition
}

#[test]
fn triggers() {
    let outcome = compile(
        &format!(
            r#"{PLATFORM}
kind: Component
name: bus
resources: {{bus: {{type: "AWS::Events::EventBus", properties: {{Name: b}}}}}}
---
kind: Pipeline
name: p
tenant: finance
triggers:
  - {{name: berlin, schedule: cron(0 6 ? * MON-FRI *), timezone: Europe/Berlin, input: {{day: "{{{{ tenant.name }}}}"}}, enabled: false}}
  - {{name: once, schedule: "at(2027-01-01T00:00:00)"}}
  - name: finished
    event: {{source: [aws.glue], detail_type: [Glue Job State Change], detail: {{jobName: ["{{{{ ref('sales-etl').job }}}}"], state: [SUCCEEDED]}}, bus: bus}}
    input: {{job: "{{{{ event.detail.jobName }}}}", text: "run {{{{ event.detail.jobRunId }}}} of \"{{{{ tenant.name }}}}\""}}
  - {{name: any, event: {{source: [acme.orders]}}}}
  - {{name: part, event: {{source: [acme.stock]}}, input: "{{{{ event.detail }}}}"}}
  - {{object_created: {{bucket: 'lake.bucket["processed"]', prefix: a/, suffix: .csv}}}}
steps: [{{a: {{wait: 5s}}}}]
"#
        ),
        &[],
    );
    assert_eq!(outcome.said, "");
    let mut all = String::new();
    for resource in outcome
        .resources
        .iter()
        .filter(|r| r.address.resource.contains("trigger") || r.address.resource == "schedule_role")
    {
        all.push_str(&format!("{}\n", resource.address));
        all.push_str(&terrace_artifact::to_yaml(&resource.body.clone().into_value()));
    }
    expect_test::expect_file!["./triggers.yaml"].assert_eq(&all);
}

#[test]
fn names_that_lead_nowhere() {
    said(
        r#"
triggers:
  - {schedule: rate(1 hour), input: {mode: full}}
  - {object_created: {zone: rwa}}
steps:
  - a: {lambda: validate-inptu}
  - b: {lambda: operations}
  - c: {glue: sales-etl.jbo}
  - d: {sns: operations, message: "{{ steps.reprot.x }} {{ steps.e.x }} {{ input.mode }} {{ item.x }} {{ execution.di }}"}
  - e: {sqs: work, message: x}
  - f_g: {choice: [{when: "{{ input.mode == 'x' }}", goto: nowhere}, {when: "{{ input.mode == 'y' }}", goto: h}]}
  - FG: {wait: 5s}
  - h: {wait: 5s, when: "{{ tenant.name == 'other' }}"}
"#,
        expect![[r#"
            unknown-value: the lake has no zone `rwa`
              --> 70: `rwa` no such zone
              help: `raw` exists
            unknown-reference: nothing is named `validate-inptu`
              --> 72: `validate-inptu` refers to nothing
            wrong-target: `operations` is not a Lambda function
              --> 73: `operations` a Lambda function is expected here
              ... 37: `operations` `operations` is declared here
              note: it makes `AWS::KMS::Key` and `AWS::SNS::Topic`
            unknown-reference: `sales-etl` has no resource `jbo`
              --> 74: `sales-etl.jbo` a Glue job is expected here
              help: it has `job`
            unknown-step: no step is named `reprot`
              --> 75: `reprot` no such step
              help: the steps are `a`, `b`, `c`, `d`, `e`, `f_g`, `FG` and `h`
            unproduced-value: the result of `e` is not there on every way to this step
              --> 75: `steps.e.x` read here
              ... 76: `e` produced here
              help: here there is no result of any step yet
            unproduced-value: not every trigger gives `input.mode`
              --> 75: `input.mode` without it, the run fails here
              ... 70: `object_created` gives `bucketName` and `inputPath`
              help: give it under the trigger's `input`: `input: {mode: …}`
            undefined: nothing is named `item` here
              --> 75: `item.x` `item` exists inside a `map`
            undefined: `execution` has no `di`
              --> 75: `di` no such key
              help: `id` exists
              help: `execution` has `id`, `name`, `start_time`, `role`
            missing-field: a message to a FIFO queue needs a `group`
              --> 76: `sqs` the queue is FIFO
            unproduced-value: not every trigger gives `input.mode`
              --> 77: `input.mode` without it, the run fails here
              ... 70: `object_created` gives `bucketName` and `inputPath`
              help: give it under the trigger's `input`: `input: {mode: …}`
            unknown-step: no step is named `nowhere`
              --> 77: `nowhere` no such step
              help: the steps here are `a`, `b`, `c`, `d`, `e`, `f_g`, `FG` and `h`
            unproduced-value: not every trigger gives `input.mode`
              --> 77: `input.mode` without it, the run fails here
              ... 70: `object_created` gives `bucketName` and `inputPath`
              help: give it under the trigger's `input`: `input: {mode: …}`
            duplicate-name: two steps are named `FG`
              --> 78: `FG` becomes the state `FG` too
              ... 77: `f_g` the first is here
              help: steps have names of their own in the whole pipeline, across branches
        "#]],
    );
}

#[test]
fn values_that_are_not_there() {
    said(
        r#"
triggers:
  - {name: hourly, schedule: rate(1 hour), input: {mode: full, inputPath: a/}}
  - {object_created: {zone: raw}}
steps:
  - choose:
      choice:
        - {when: "{{ input.mode == 'full' }}", steps: [{maybe: {lambda: profiler}}]}
  - both:
      parallel:
        - {left: {lambda: profiler}}
        - {right: {lambda: report, payload: "{{ steps.left.x }}"}}
  - use: {lambda: report, payload: {a: "{{ steps.maybe.x }}", b: "{{ steps.left.x }}", c: "{{ steps.both.centre }}", d: "{{ input.outputPath }}", e: "{{ input.inputPth }}"}}
  - tell: {sns: operations, message: "{{ steps.use.x }}", result: omit}
  - last: {sns: operations, message: "{{ steps.tell.MessageId }} {{ steps.choose.x }} {{ error.cause }} {{ event.x }}"}
"#,
        expect![[r#"
            unproduced-value: not every trigger gives `input.mode`
              --> 74: `input.mode` without it, the run fails here
              ... 70: `object_created` gives `bucketName` and `inputPath`
              note: every trigger gives `inputPath`
              help: give it under the trigger's `input`: `input: {mode: …}`
            unproduced-value: the result of `left` is not there on every way to this step
              --> 78: `steps.left.x` read here
              ... 77: `left` produced here
              help: branches give their results together: `steps.both.left`
            unproduced-value: the result of `maybe` is not there on every way to this step
              --> 79: `steps.maybe.x` read here
              ... 74: `maybe` produced here
              help: here there are the results of `both`
            unproduced-value: the result of `left` is not there on every way to this step
              --> 79: `steps.left.x` read here
              ... 77: `left` produced here
              help: branches give their results together: `steps.both.left`
            unproduced-value: `both` does not give a result `centre`
              --> 79: `steps.both.centre` a branch may end without it
              help: `both` gives `left` and `right`
            unproduced-value: no trigger gives `input.outputPath`
              --> 79: `input.outputPath` without it, the run fails here
              ... 69: `schedule` gives `inputPath` and `mode`
              ... 70: `object_created` gives `bucketName` and `inputPath`
              note: every trigger gives `inputPath`
              help: `inputPath` exists
            unproduced-value: no trigger gives `input.inputPth`
              --> 79: `input.inputPth` without it, the run fails here
              ... 69: `schedule` gives `inputPath` and `mode`
              ... 70: `object_created` gives `bucketName` and `inputPath`
              note: every trigger gives `inputPath`
              help: `inputPath` exists
            unproduced-value: the step `tell` drops its result
              --> 81: `steps.tell.MessageId` there is nothing to read
              ... 80: `tell` this step
            unproduced-value: the step `choose` gives nothing
              --> 81: `steps.choose.x` there is nothing to read
              ... 72: `choose` this step
            undefined: nothing is named `error` here
              --> 81: `error.cause` `error` exists in `on_failure` and in the steps of a `catch`
            undefined: nothing is named `event` here
              --> 81: `event.x` `event` exists in the `input` of a trigger
        "#]],
    );
}

#[test]
fn what_cannot_be_computed_in_a_run() {
    said(
        r#"
steps:
  - a: {lambda: report, payload: {a: "{{ input.x | upper }}", b: "{{ input.x * 2 }}", c: "{{ input.x if input.y else 'z' }}", d: "{{ input.x == 1 }}"}}
  - b: {lambda: report, when: "{{ input.x == input.y }}"}
  - c: {lambda: report, when: "yes"}
  - d: {lambda: "{{ input.function }}"}
  - e: {lambda: report, payload: {a: "{{ secret('db').password }}", b: "{{ tenant.nmae }}"}}
  - f: {lambda: report, payload: {$merge: "{{ input }}"}}
"#,
        expect![[r#"
            not-at-run-time: `upper` cannot be used on a value of a run
              --> 69: `input.x | upper` here
              help: at run time there are `json`, `length`, `unique`, `first`, `contains`, `split`, `sha256`, `string`; a Lambda step can do the rest
            not-at-run-time: `*` cannot be computed when the pipeline runs
              --> 69: `input.x * 2` here
              help: at run time values can be joined (`~`), added (`+`), taken from lists and maps; a Lambda step can do the rest
            not-at-run-time: `if` cannot be decided inside a value of a run
              --> 69: `input.x if input.y else 'z'` here
              help: use a `choice` step, or `when`
            not-at-run-time: `==` cannot be computed when the pipeline runs
              --> 69: `input.x == 1` here
              help: at run time values can be joined (`~`), added (`+`), taken from lists and maps; a Lambda step can do the rest
            not-at-run-time: two values of a run cannot be compared in this version
              --> 70: `input.x == input.y` here
              help: compare with a value that is known when compiling, or let a Lambda step decide
            wrong-type: a condition is an expression
              --> 71: `"yes"` not an expression
              help: such as `when: "{{ input.mode == 'full' }}"`
            not-at-run-time: what a step calls has to be known when compiling
              --> 72: `"{{ input.function }}"` known only when the pipeline runs
              note: the role is allowed exactly what the steps call
            not-at-run-time: a secret cannot stand in a pipeline
              --> 73: `"{{ secret('db').password }}"` everybody who may look at the definition or at a run would see it
              help: let the task read the secret itself
            undefined: `tenant` has no `nmae`
              --> 73: `nmae` no such key
              help: `name` exists
            not-in-this-version: `$merge` in a pipeline is not in this version
              --> 74: `$merge` write the value as an expression: `key: "{{ input.x }}"`
        "#]],
    );
}

#[test]
fn times_and_order() {
    said(
        r#"
timeout: 1h
steps:
  - a: {lambda: report, timeout: 2h}
  - b: {lambda: report, timeout: 5m, heartbeat: 5m}
  - c: {lambda: report, retry: [{on: [States.ALL]}, {on: [X], interval: 30s, max_delay: 10s}]}
  - d: {lambda: report, catch: [{on: [States.ALL, X], goto: e}, {on: [X], goto: e}]}
  - e: {fail: stop}
  - f: {wait: 5s}
"#,
        expect![[r#"
            timeout-order: the step may take 2h, longer than the whole pipeline, 1h
              --> 70: `2h` longer than the pipeline's own timeout
              ... 68: `1h` the pipeline's
            timeout-order: the heartbeat, 5m, is not shorter than the timeout, 5m
              --> 71: `5m` a task is never silent for that long
            catch-order: a rule behind `States.ALL` is never reached
              --> 72: `retry` the first rule that fits counts
              help: put the rule with `States.ALL` last
            invalid-state: `max_delay` is not longer than `interval`
              --> 72: `10s` the first wait is longer already
            catch-order: `States.ALL` stands alone, and here beside other errors
              --> 73: `catch` it means every error already
            catch-order: a rule behind `States.ALL` is never reached
              --> 73: `catch` the first rule that fits counts
              help: put the rule with `States.ALL` last
        "#]],
    );
    said(
        r#"
type: EXPRESS
timeout: 10m
steps:
  - a: {glue: sales-etl}
  - b: {map: {items: "{{ input.x }}", steps: [{c: {wait: 5s}}], distributed: true}}
"#,
        expect![[r#"
            timeout-order: an `EXPRESS` pipeline runs for 5 minutes at most
              --> 69: `10m` longer than that
            invalid-state: an `EXPRESS` pipeline cannot wait for a job
              --> 71: `glue` waits until the job has ended
              help: say `wait: false`, or make the pipeline `STANDARD`
            invalid-state: an `EXPRESS` pipeline cannot distribute a map
              --> 72: `b` each item would get an execution of its own
        "#]],
    );
    said(
        r#"
steps:
  - a: {lambda: report}
  - b: {choice: [{when: "{{ steps.a.x == 1 }}", goto: a}], default: {goto: a}}
"#,
        expect![[r#"
            no-terminal-state: from this step nothing leads to an end
              --> 69: `a` goes round for ever
              help: one of the steps that follow has to lead out
        "#]],
    );
}

#[test]
fn jobs_get_the_arguments_they_read() {
    said(
        r#"
steps:
  - a: {glue: sales-quality, arguments: {--input-path: x, --OUTPUT_PAHT: y}}
  - b: {glue: sales-quality}
"#,
        expect![[r#"
            argument-mismatch: the argument `--input-path` is not the `--INPUT_PATH` that the job reads
              --> 69: `--input-path` the job does not know this name
              ... 24: `job` the job
              note: known from what `quality.py` asks `getResolvedOptions` for
              help: write `--INPUT_PATH`
            argument-mismatch: the job does not read the argument `--OUTPUT_PAHT`
              --> 69: `--OUTPUT_PAHT` the job does not know this name
              ... 24: `job` the job
              note: known from what `quality.py` asks `getResolvedOptions` for
              help: `--OUTPUT_PATH` exists
            argument-mismatch: the job is not given `--INPUT_PATH` and `--OUTPUT_PATH`
              --> 70: `sales-quality` these arguments
              ... 24: `job` the job
              note: known from what `quality.py` asks `getResolvedOptions` for
              help: add it to the arguments, or give the job a default
        "#]],
    );
}

#[test]
fn triggers_that_never_fire_or_fire_for_ever() {
    said(
        r#"
triggers:
  - {object_created: {bucket: work.results}}
  - {name: again, object_created: {zone: raw, prefix: in/}}
  - {name: again, schedule: cron(0 2 * * *)}
  - {schedule: rate(1 hours), timezone: Europe/Berlin, input: {a: "{{ event.time }}", steps: 1}}
  - {event: {source: [a], detail: {a: b}}, input: {a: "{{ event.a | upper }}"}}
steps:
  - a: {glue: sales-etl, arguments: {--output-path: "s3://{{ ref('lake', 'raw').name }}/in/done/"}}
"#,
        expect![[r#"
            dead-trigger: the bucket `finance/work/results` does not tell EventBridge of its objects
              --> 58: `results` no `EventBridgeEnabled: true` in this bucket
              ... 69: `work.results` this trigger waits for its objects
              note: S3 sends its events to EventBridge only where the bucket says so; the trigger would never fire
              help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
            duplicate-name: two triggers are named `again`
              --> 71: `schedule` needs a name of its own
              ... 70: `object_created` the first is here
            invalid-schedule: after 1 the unit is `hour`
              --> 72: `rate(1 hours)` EventBridge refuses this
              help: write `rate(1 hour)`
            not-at-run-time: a schedule with a time zone gives no event
              --> 72: `event.time` here
              help: leave the time zone out, or read `execution.start_time` in a step
            invalid-value: an input cannot be named `steps`
              --> 72: `steps` the pipeline keeps something of its own there
            invalid-pattern: `a` of the pattern is not a list: write `a: [b]`
              --> 73: `event` EventBridge refuses this pattern
            not-at-run-time: the input of a trigger reads the event, as it is
              --> 73: `event.a | upper` here
              help: such as `event.detail.object.key`; a `pass` step computes
            trigger-loop: the pipeline writes where new objects start it
              --> 75: `"s3://{{ ref('lake', 'raw').name }}/in/done/"` written here
              ... 70: `object_created` and every object there starts it again
              help: write under another prefix, or into another zone
        "#]],
    );
}
