//! Tests of every service that a step can call, and of every trigger.

use super::lowering::*;
use super::*;

#[test]
fn lowers_every_service() {
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
    assert_eq!(outcome.diagnostics, "");
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
fn lowers_triggers() {
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
    assert_eq!(outcome.diagnostics, "");
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
