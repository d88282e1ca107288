//! What the lowering of pipelines has to say about them.

use expect_test::expect;

use super::lowering::*;

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
              help: the steps beside it are `a`, `b`, `c`, `d`, `e`, `FG` and `h`
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
              --> 79: `steps.both.centre` no branch has it
              help: `both` gives `left` and `right`
            unproduced-value: no trigger gives `input.outputPath`
              --> 79: `input.outputPath` without it, the run fails here
              ... 69: `schedule` gives `inputPath` and `mode`
              ... 70: `object_created` gives `bucketName` and `inputPath`
              note: every trigger gives `inputPath`
              help: give it under the trigger's `input`: `input: {outputPath: …}`
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
              help: add them to the arguments, or give the job defaults
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
        "#]],
    );
}
