//! Renamed components.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Digest};

use crate::{report, run_on_platform};

/// A database with its reader, and a topic that another stack and a grant refer to.
const STACK: &str = r#"
{kind: Tenant, name: finance, tier: basic}
---
kind: Component
name: tenant
module: tenant
tenants: all
---
kind: Component
name: DATABASE
module: postgresql
tenants: all
FROM_STORE
inputs: {credentials: "{{ secret('db').password }}"}
---
kind: Component
name: web
module: workload
tenants: all
inputs: {image: registry.example.com/web, tag: 1.0.0}
---
kind: Component
name: TOPICS
tenants: all
FROM_ALERTS
resources: {topic: {type: 'AWS::SNS::Topic', properties: {TopicName: "{{ name }}"}}}
outputs: {arn: "{{ ref('topic').arn }}", topic: "{{ ref('topic') }}"}
---
kind: Component
name: reader
tenants: all
resources:
  role: {type: 'AWS::IAM::Role', properties: {AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: 'sts:AssumeRole'}]}}}
  page: {type: 'AWS::SSM::Parameter', properties: {Type: String, Value: "{{ ref('TOPICS').arn }}"}}
connects: [{from: "{{ ref('web').deployment }}", to: "{{ ref('DATABASE').server }}", port: 5432}]
grants: [{who: role, may: publish, on: "{{ ref('TOPICS').topic }}"}]
"#;

/// Compiles [`STACK`] with these names of the components, and returns the digest of each artifact. The components were named `store` and
/// `alerts` before if `moved` is true.
fn delivered(database: &str, topics: &str, moved: bool) -> BTreeMap<ArtifactId, Digest> {
    let from = |old: &str| {
        if moved {
            format!("moved_from: {old}")
        } else {
            String::new()
        }
    };
    let text = STACK
        .replace("DATABASE", database)
        .replace("TOPICS", topics)
        .replace("FROM_STORE", &from("store"))
        .replace("FROM_ALERTS", &from("alerts"));
    let compiled = run_on_platform(&text);
    assert_eq!(report(&compiled), "");
    let artifacts = compiled.bundles[0].artifacts.iter();
    artifacts
        .map(|artifact| (artifact.id.clone(), artifact.digest()))
        .collect()
}

#[test]
fn moved_components_and_their_users_stay_unchanged() {
    let before = delivered("store", "alerts", false);
    assert_eq!(delivered("warehouse", "pages", true), before);
    let anew = delivered("warehouse", "pages", false);
    let named =
        |all: &BTreeMap<ArtifactId, Digest>| all.keys().filter(|id| id.as_str().contains("store")).count();
    assert!((named(&before) > 7, named(&anew)) == (true, 0), "{anew:#?}");
}
