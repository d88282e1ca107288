//! Renamed components.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Digest};

use crate::{report, run};

/// Compiles a database with its reader, and a topic that another stack and a grant refer to, under the given names. Returns
/// the digest of each artifact.
fn delivered(database: &str, topics: &str, moved: bool) -> BTreeMap<ArtifactId, Digest> {
    let from = |old: &str| match moved {
        true => format!("moved_from: {old}"),
        false => String::new(),
    };
    let text = format!(
        "
{{kind: Tenant, name: finance, tier: basic}}
---
kind: Component
name: tenant
module: tenant
tenants: all
---
kind: Component
name: {database}
module: postgresql
tenants: all
{}
inputs: {{credentials: \"{{{{ secret('db').password }}}}\"}}
---
kind: Component
name: web
module: workload
tenants: all
inputs: {{image: registry.example.com/web, tag: 1.0.0}}
---
kind: Component
name: {topics}
tenants: all
{}
resources: {{topic: {{type: 'AWS::SNS::Topic', properties: {{TopicName: \"{{{{ name }}}}\"}}}}}}
outputs: {{arn: \"{{{{ ref('topic').arn }}}}\", topic: \"{{{{ ref('topic') }}}}\"}}
---
kind: Component
name: reader
tenants: all
resources:
  role: {{type: 'AWS::IAM::Role', properties: {{AssumeRolePolicyDocument: {{Version: '2012-10-17', Statement: [{{Effect: Allow, Principal: {{Service: glue.amazonaws.com}}, Action: 'sts:AssumeRole'}}]}}}}}}
  page: {{type: 'AWS::SSM::Parameter', properties: {{Type: String, Value: \"{{{{ ref('{topics}').arn }}}}\"}}}}
connects: [{{from: \"{{{{ ref('web').deployment }}}}\", to: \"{{{{ ref('{database}').server }}}}\", port: 5432}}]
grants: [{{who: role, may: publish, on: \"{{{{ ref('{topics}').topic }}}}\"}}]
",
        from("store"),
        from("alerts"),
    );
    let compiled = run(&text, &[]);
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
