//! Tests of the diagnostics of lowering.

use expect_test::expect;

use super::lowering::*;

#[test]
fn rejects_unknown_names() {
    check_diagnostics(
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
              --> 70: `rwa` 
              help: did you mean `raw`?
            unknown-reference: no component or resource is named `validate-inptu`
              --> 72: `validate-inptu` 
            wrong-target: `operations` is not a Lambda function
              --> 73: `operations` expected a Lambda function
              ... 37: `operations` `operations` declared here
              note: it contains `AWS::KMS::Key` and `AWS::SNS::Topic`
            unknown-reference: component `sales-etl` has no resource `jbo`
              --> 74: `sales-etl.jbo` expected a Glue job
              note: the only candidate is `job`
            unknown-step: no step is named `reprot`
              --> 75: `reprot` 
              note: the steps are `a`, `b`, `c`, `d`, `e`, `f_g`, `FG` and `h`
            unproduced-value: the result of `e` might not exist here
              --> 75: `steps.e.x` not every path to this step produces it
              ... 76: `e` produces the result
              note: no step produces a result on every path to this step
            unproduced-value: not every trigger provides `input.mode`
              --> 75: `input.mode` the execution fails here without it
              ... 70: `object_created` provides `bucketName` and `inputPath`
              help: add it to the `input` of the trigger: `input: {mode: …}`
            undefined: `item` is not available here
              --> 75: `item.x` only available inside a `map`
            undefined: `execution` has no key `di`
              --> 75: `di` expected one of `id`, `name`, `start_time`, `role`
              help: did you mean `id`?
            missing-field: a message to a FIFO queue requires a `group`
              --> 76: `sqs` is a FIFO queue
            unproduced-value: not every trigger provides `input.mode`
              --> 77: `input.mode` the execution fails here without it
              ... 70: `object_created` provides `bucketName` and `inputPath`
              help: add it to the `input` of the trigger: `input: {mode: …}`
            unknown-step: no step is named `nowhere`
              --> 77: `nowhere` 
              note: the other steps of this list are `a`, `b`, `c`, `d`, `e`, `FG` and `h`
            unproduced-value: not every trigger provides `input.mode`
              --> 77: `input.mode` the execution fails here without it
              ... 70: `object_created` provides `bucketName` and `inputPath`
              help: add it to the `input` of the trigger: `input: {mode: …}`
            duplicate-name: duplicate step `FG`
              --> 78: `FG` also becomes the state `FG`
              ... 77: `f_g` first occurrence
              help: rename one of them: step names must be unique in the whole pipeline
        "#]],
    );
}

#[test]
fn rejects_values_that_may_not_exist() {
    check_diagnostics(
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
            unproduced-value: not every trigger provides `input.mode`
              --> 74: `input.mode` the execution fails here without it
              ... 70: `object_created` provides `bucketName` and `inputPath`
              note: every trigger provides `inputPath`
              help: add it to the `input` of the trigger: `input: {mode: …}`
            unproduced-value: the result of `left` might not exist here
              --> 78: `steps.left.x` not every path to this step produces it
              ... 77: `left` produces the result
              help: read the result of a branch as `steps.both.left`
            unproduced-value: the result of `maybe` might not exist here
              --> 79: `steps.maybe.x` not every path to this step produces it
              ... 74: `maybe` produces the result
              note: the available results are those of `both`
            unproduced-value: the result of `left` might not exist here
              --> 79: `steps.left.x` not every path to this step produces it
              ... 77: `left` produces the result
              help: read the result of a branch as `steps.both.left`
            unproduced-value: step `both` has no result `centre`
              --> 79: `steps.both.centre` 
              note: its results are `left` and `right`
            unproduced-value: no trigger provides `input.outputPath`
              --> 79: `input.outputPath` the execution fails here without it
              ... 69: `schedule` provides `inputPath` and `mode`
              ... 70: `object_created` provides `bucketName` and `inputPath`
              note: every trigger provides `inputPath`
              help: add it to the `input` of the trigger: `input: {outputPath: …}`
            unproduced-value: no trigger provides `input.inputPth`
              --> 79: `input.inputPth` the execution fails here without it
              ... 69: `schedule` provides `inputPath` and `mode`
              ... 70: `object_created` provides `bucketName` and `inputPath`
              note: every trigger provides `inputPath`
              help: did you mean `inputPath`?
            unproduced-value: step `tell` drops its result
              --> 81: `steps.tell.MessageId` 
              ... 80: `tell` declared here
            unproduced-value: step `choose` has no result
              --> 81: `steps.choose.x` 
              ... 72: `choose` declared here
            undefined: `error` is not available here
              --> 81: `error.cause` only available in `on_failure` and in the steps of a `catch`
            undefined: `event` is not available here
              --> 81: `event.x` only available in the `input` of a trigger
        "#]],
    );
}

#[test]
fn rejects_expressions_that_run_time_cannot_compute() {
    check_diagnostics(
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
            not-at-run-time: `upper` cannot be used with a run-time value
              --> 69: `input.x | upper` 
              help: use one of `json`, `length`, `unique`, `first`, `contains`, `split`, `sha256`, `string`, or compute the value in a Lambda step
            not-at-run-time: `*` cannot be used with a run-time value
              --> 69: `input.x * 2` 
              help: use `~`, `+`, a key or an index, or compute the value in a Lambda step
            not-at-run-time: `if` cannot be used with a run-time value
              --> 69: `input.x if input.y else 'z'` 
              help: use a `choice` step, or `when`
            not-at-run-time: `==` cannot be used with a run-time value
              --> 69: `input.x == 1` 
              help: use `~`, `+`, a key or an index, or compute the value in a Lambda step
            not-at-run-time: two run-time values cannot be compared in this version
              --> 70: `input.x == input.y` 
              help: compare with a value that is known at compile time, or use a Lambda step
            wrong-type: a condition must be an expression
              --> 71: `"yes"` not in `{{ }}`
              help: write an expression such as `"{{ input.mode == 'full' }}"`
            not-at-run-time: the target of a step must be known at compile time
              --> 72: `"{{ input.function }}"` known only at run time
              note: the role of the pipeline has permissions only for targets that are known at compile time
            not-at-run-time: a pipeline cannot contain a secret
              --> 73: `"{{ secret('db').password }}"` visible to everyone who can read the definition or an execution
              help: read the secret in the task itself
            undefined: `tenant` has no key `nmae`
              --> 73: `nmae` 
              help: did you mean `name`?
            not-in-this-version: in pipelines, `$merge` is not supported in this version
              --> 74: `$merge` 
              help: write the value as an expression: `key: "{{ input.x }}"`
        "#]],
    );
}

#[test]
fn rejects_wrong_timeouts_and_catch_order() {
    check_diagnostics(
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
            timeout-order: the timeout of the step (2h) is longer than the timeout of the pipeline (1h)
              --> 70: `2h` 
              ... 68: `1h` timeout of the pipeline
            timeout-order: the heartbeat (5m) is not shorter than the timeout (5m)
              --> 71: `5m` the step times out first
            catch-order: a rule after `States.ALL` is never reached
              --> 72: `retry` only the first matching rule applies
              help: put the rule with `States.ALL` last
            invalid-state: `max_delay` must be longer than `interval`
              --> 72: `10s` not longer than the first delay
            catch-order: `States.ALL` must be the only error of its rule
              --> 73: `catch` `States.ALL` already matches every error
            catch-order: a rule after `States.ALL` is never reached
              --> 73: `catch` only the first matching rule applies
              help: put the rule with `States.ALL` last
        "#]],
    );
    check_diagnostics(
        r#"
type: EXPRESS
timeout: 10m
steps:
  - a: {glue: sales-etl}
  - b: {map: {items: "{{ input.x }}", steps: [{c: {wait: 5s}}], distributed: true}}
"#,
        expect![[r#"
            timeout-order: the timeout of an `EXPRESS` pipeline is too long
              --> 69: `10m` the maximum is 5 minutes
            invalid-state: an `EXPRESS` pipeline cannot wait for a job
              --> 71: `glue` waits for the end of the job
              help: set `wait: false`, or make the pipeline `STANDARD`
            invalid-state: an `EXPRESS` pipeline cannot have a distributed map
              --> 72: `b` each item would start its own execution
        "#]],
    );
    check_diagnostics(
        r#"
steps:
  - a: {lambda: report}
  - b: {choice: [{when: "{{ steps.a.x == 1 }}", goto: a}], default: {goto: a}}
"#,
        expect![[r#"
            no-terminal-state: the pipeline never ends after this step
              --> 69: `a` leads to an endless loop
              help: let one of the following steps continue to a step outside the loop
        "#]],
    );
}

#[test]
fn checks_the_arguments_of_jobs() {
    check_diagnostics(
        r#"
steps:
  - a: {glue: sales-quality, arguments: {--input-path: x, --OUTPUT_PAHT: y}}
  - b: {glue: sales-quality}
"#,
        expect![[r#"
            argument-mismatch: the job reads the argument `--INPUT_PATH`, not `--input-path`
              --> 69: `--input-path` not read by the job
              ... 24: `job` job declared here
              note: Terrace reads the names from `getResolvedOptions` in `quality.py`
              help: write `--INPUT_PATH`
            argument-mismatch: the job does not read the argument `--OUTPUT_PAHT`
              --> 69: `--OUTPUT_PAHT` not read by the job
              ... 24: `job` job declared here
              note: Terrace reads the names from `getResolvedOptions` in `quality.py`
              help: did you mean `--OUTPUT_PATH`?
            argument-mismatch: the job requires `--INPUT_PATH` and `--OUTPUT_PATH`
              --> 70: `sales-quality` arguments of this step
              ... 24: `job` job declared here
              note: Terrace reads the names from `getResolvedOptions` in `quality.py`
              help: add `--INPUT_PATH` and `--OUTPUT_PATH` to the arguments, or to the `DefaultArguments` of the job
        "#]],
    );
}

#[test]
fn rejects_triggers_that_never_fire_or_loop() {
    check_diagnostics(
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
            dead-trigger: bucket `finance/work/results` does not send events to EventBridge
              --> 58: `results` requires `EventBridgeEnabled: true`
              ... 69: `work.results` this trigger waits for its events
              note: without these events, the trigger never fires
              help: add `NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}`
            duplicate-name: duplicate trigger `again`
              --> 71: `schedule` second occurrence
              ... 70: `object_created` first occurrence
            invalid-schedule: the unit after 1 must be `hour`
              --> 72: `rate(1 hours)` EventBridge rejects this schedule
              help: write `rate(1 hour)`
            not-at-run-time: a schedule with a time zone or `at(…)` has no event
              --> 72: `event.time` 
              help: read `execution.start_time` in a step instead
            invalid-value: `steps` is not a valid name of an input
              --> 72: `steps` reserved for the pipeline
            invalid-pattern: `a` of the pattern must be a list: write `a: [b]`
              --> 73: `event` EventBridge rejects this pattern
            not-at-run-time: the input of a trigger cannot compute a value
              --> 73: `event.a | upper` 
              help: read a path such as `event.detail.object.key`, and compute the value in a `pass` step
        "#]],
    );
}
