use expect_test::expect;

use super::*;

/// A complete pipeline.
pub(super) const SALES: &str = r#"
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

pub(super) const QUALITY: (&str, &str) = (
    "quality.py",
    "args = getResolvedOptions(sys.argv, ['JOB_NAME', 'INPUT_PATH', 'OUTPUT_PATH'])\n",
);

pub(super) fn sales() -> Outcome {
    compile(&format!("{PLATFORM}{SALES}"), &[QUALITY])
}

#[test]
fn lowers_a_complete_pipeline() {
    let outcome = sales();
    assert_eq!(outcome.diagnostics, "");
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

/// Returns the states of a pipeline, without the parts that every pipeline has.
#[track_caller]
pub(super) fn states(pipeline: &str, want: expect_test::Expect) {
    let outcome = compile(
        &format!("{PLATFORM}kind: Pipeline\nname: p\ntenant: finance\n{pipeline}"),
        &[QUALITY],
    );
    assert_eq!(outcome.diagnostics, "");
    let mut definition = definition(&outcome);
    drop_retry(&mut definition);
    let states = definition.get("States").cloned().unwrap_or_default();
    want.assert_eq(&terrace_artifact::to_yaml(&states.into_value()));
}

/// Removes `Retry`, which is the same in every task.
pub(super) fn drop_retry(term: &mut Term) {
    match term {
        Term::Map(entries) => {
            entries.make_mut().retain(|(key, _)| key != "Retry");
            entries
                .make_mut()
                .iter_mut()
                .for_each(|(_, term)| drop_retry(term));
        }
        Term::List(items) => items.iter_mut().for_each(drop_retry),
        _ => {}
    }
}

#[track_caller]
pub(super) fn check_diagnostics(pipeline: &str, want: expect_test::Expect) {
    let text = format!("{PLATFORM}kind: Pipeline\nname: p\ntenant: finance\n{pipeline}");
    want.assert_eq(&compile(&text, &[QUALITY]).diagnostics);
}

#[test]
fn lowers_choices_and_conditions() {
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
fn a_goto_leads_to_the_first_state_of_a_step() {
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
fn lowers_branches_and_maps() {
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
fn lowers_failure_handlers() {
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
