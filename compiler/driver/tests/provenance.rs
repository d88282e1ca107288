//! The provenance of a field: the line that declares it, and all sources of its inputs' values.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use terrace_artifact::Segment;
use terrace_compiler::source::MemorySources;
use terrace_compiler::{Request, compile_with};

const STACK: &str = r#"
kind: Platform
name: acme
owner: data@acme.example
tiers:
  enterprise: {inputs: {web: {replicas: 5}}}
---
kind: Environment
name: production
class: production
kubernetes: {context: acme}
overrides:
  web: {replicas: 7}
  tenants:
    finance:
      web: {replicas: 8, labels: {team: ledger}}
---
kind: Tenant
name: finance
tier: enterprise
overrides:
  web: {replicas: 6}
---
kind: Component
name: tenant
module: tenant
tenants: all
---
kind: Component
name: web
module: web
tenants: all
inputs: {replicas: 4, labels: {team: money, shift: night}}
patches:
  deployment: {spec: {minReadySeconds: {$add: 30}}}
---
kind: Module
name: web
version: 1.0.0
summary: A server for the web.
inputs:
  replicas: {type: integer, default: 1}
  labels: {type: object, additionalProperties: true, default: {shift: day}}
  probe:
    type: object
    default: {}
    properties:
      period: {type: duration, default: 10s}
resources:
  deployment:
    type: apps/v1/Deployment
    metadata: {labels: "{{ inputs.labels }}"}
    spec:
      replicas: "{{ inputs.replicas }}"
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          containers:
            - name: web
              image: registry.acme.example/web:1.0.0
              resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}
              securityContext:
                allowPrivilegeEscalation: false
                capabilities: {drop: [ALL]}
                runAsNonRoot: true
                seccompProfile: {type: RuntimeDefault}
              livenessProbe:
                httpGet: {path: /, port: 80}
                periodSeconds: "{{ inputs.probe.period | seconds }}"
"#;

/// Describes the provenance of a field of the deployment.
fn provenance_of(field: &[&str], set: &[&str]) -> String {
    let sources = MemorySources::new([("stack.yaml".to_owned(), STACK.to_owned())]);
    let request = Request {
        set: set.iter().map(|text| (*text).to_owned()).collect(),
        ..Request::default()
    };
    let address = "finance/web/deployment".parse().expect("an address");
    let field: Vec<Segment> = field
        .iter()
        .map(|step| match step.parse() {
            Ok(index) => Segment::Index(index),
            Err(_) => Segment::Key((*step).into()),
        })
        .collect();
    let (compiled, provenance) = compile_with(&sources, &request, &|_| {}, |emissions| {
        emissions[0].provenance(&address, &field)
    });
    let messages: Vec<&str> = compiled.diagnostics.iter().map(|d| d.message.as_str()).collect();
    let Some(Some(provenance)) = provenance else {
        assert!(!compiled.has_errors(), "{messages:#?}");
        return "no line\n".to_owned();
    };
    let line = |span| compiled.files.location(span).line;
    let mut description = format!("line {}", line(provenance.place));
    if provenance.patched {
        description.push_str(", patched");
    }
    if let Some(written) = provenance.written {
        let _ = write!(description, ": {}", compiled.files.text(written));
    }
    for input in &provenance.inputs {
        let _ = write!(description, "\n{}", input.path.join("."));
        for setting in &input.settings {
            let _ = write!(
                description,
                "\n  {}, {}, line {}",
                setting.value,
                setting.by,
                line(setting.place)
            );
        }
    }
    description + "\n"
}

#[track_caller]
fn check(field: &[&str], want: Expect) {
    want.assert_eq(&provenance_of(field, &[]));
}

#[test]
fn lists_all_sources_of_a_value_starting_with_the_effective_one() {
    expect![[r#"
        line 54: "{{ inputs.replicas }}"
        replicas
          9, `--set`, line 1
          8, environment `production` for `finance`, line 16
          7, environment `production`, line 13
          6, tenant `finance`, line 22
          4, component `web`, line 33
          5, tier `enterprise`, line 6
          1, the module's default, line 42
    "#]]
    .assert_eq(&provenance_of(&["spec", "replicas"], &["web.replicas=9"]));
}

#[test]
fn explains_a_value_inside_an_object_input() {
    check(
        &["metadata", "labels", "team"],
        expect![[r#"
            line 52: "{{ inputs.labels }}"
            labels
              {"team":"ledger"}, environment `production` for `finance`, line 16
              {"team":"money","shift":"night"}, component `web`, line 33
              {"shift":"day"}, the module's default, line 43
        "#]],
    );
}

#[test]
fn explains_a_default_inside_an_object_input() {
    let field = [
        "spec",
        "template",
        "spec",
        "containers",
        "0",
        "livenessProbe",
        "periodSeconds",
    ];
    check(
        &field,
        expect![[r#"
            line 70: "{{ inputs.probe.period | seconds }}"
            probe.period
              "10s", the module's default, line 48
        "#]],
    );
}

#[test]
fn explains_patches_and_literals() {
    check(
        &["spec", "minReadySeconds"],
        expect![[r#"
            line 35, patched: {$add: 30}
        "#]],
    );
    check(
        &["spec", "selector", "matchLabels", "app"],
        expect![[r#"
            line 55: web
        "#]],
    );
}

#[test]
fn a_map_has_a_line_but_no_text() {
    check(
        &["spec", "template", "spec", "containers", "0"],
        expect![[r#"
            line 59
            probe.period
              "10s", the module's default, line 48
        "#]],
    );
}

#[test]
fn fields_that_the_compiler_adds_have_no_line() {
    check(
        &["metadata", "namespace"],
        expect![[r#"
            no line
        "#]],
    );
    check(
        &["metadata", "annotations", "terrace.dev/address"],
        expect![[r#"
            no line
        "#]],
    );
}
