//! A plan for a directory and a plan for a cluster report the same change of the same object in the same words.

use std::collections::BTreeMap;

use terrace_artifact::{Bundle, Target};
use terrace_deployer::{Access, Plan};
use terrace_tests::Scratch;
use terrace_tests::plans::write_fields;

use crate::support::{Stack, TARGET, show};
use terrace_tests::servers::Cluster;

const BEFORE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: $N, labels: {team: data}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $N, annotations: {note: old}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        env: [{name: MODE, value: slow}, {name: REGION, value: east}, {name: UNUSED, value: x}]
        resources: {limits: {cpu: '1', memory: 1Gi}}
      - name: proxy
        image: registry.example/proxy:1
        args: [--port, '80']
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $N}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80, protocol: TCP, targetPort: 80}
  - {name: dns, port: 53, protocol: TCP, targetPort: 53}
  - {name: dns-udp, port: 53, protocol: UDP, targetPort: 53}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota, namespace: $N}
spec: {hard: {requests.storage: 4Gi, secrets: '8', pods: '10'}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: $N}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: Group, name: readers, apiGroup: rbac.authorization.k8s.io}
- {kind: Group, name: writers, apiGroup: rbac.authorization.k8s.io}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: $N}
data: {color: blue, size: small}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: $N}
data: {token: b2xk}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.$N.example.com}
spec:
  group: $N.example.com
  scope: Namespaced
  names: {plural: pools, singular: pool, kind: Pool, listKind: PoolList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: $N.example.com/v1
kind: Pool
metadata: {name: one, namespace: $N}
spec: {cpu: '1', zones: [a, b], parts: [{name: head, size: 1}, {name: tail, size: 2}]}
";

const CHANGES: &[(&str, &str)] = &[
    ("labels: {team: data}", "labels: {owner: platform}"),
    (", annotations: {note: old}", ""),
    ("web:1", "web:2"),
    ("value: slow", "value: fast"),
    (", {name: UNUSED, value: x}", ""),
    ("[{name: MODE", "[{name: ADDED, value: y}, {name: MODE"),
    ("cpu: '1', memory: 1Gi", "cpu: '2', memory: 1Gi"),
    ("args: [--port, '80']", "args: [--port, '8080']"),
    ("  - {name: dns, port: 53, protocol: TCP, targetPort: 53}\n", ""),
    (
        "port: 53, protocol: UDP, targetPort: 53",
        "port: 53, protocol: UDP, targetPort: 5353",
    ),
    ("requests.storage: 4Gi", "requests.storage: 6Gi"),
    (", pods: '10'", ""),
    (
        "- {kind: Group, name: readers, apiGroup: rbac.authorization.k8s.io}\n",
        "",
    ),
    ("size: small}", "shape: round}"),
    ("token: b2xk", "token: bmV3"),
    ("cpu: '1', zones: [a, b]", "cpu: 1000m, zones: [a, c]"),
    (
        "{name: head, size: 1}",
        "{name: new, size: 3}, {name: head, size: 4}",
    ),
];

/// Describes each changed object: the reason of its change, and its fields.
fn described(plan: &Plan) -> BTreeMap<String, String> {
    let steps = plan.changes().map(|step| {
        let mut text = format!("{}: {}\n", step.change.action, step.change.reason);
        write_fields(&step.change.fields, "  ", &mut text);
        (step.subject.to_string(), text)
    });
    steps.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_a_cluster_report_the_same_changes() {
    // A separate cluster, because the stack defines a kind.
    let cluster = Cluster::start();
    let stack = Stack::in_cluster("same", &cluster);
    let scratch = Scratch::new("same-changes");
    let access = || Access {
        folder: scratch.path().to_owned(),
        ..stack.access()
    };
    let to_directory = |bundle: &Bundle| Bundle {
        targets: BTreeMap::from([(TARGET.into(), Target::Directory { path: "out".into() })]),
        ..bundle.clone()
    };
    let plan_directory = async |yaml: &str| {
        let bundle = to_directory(&stack.bundle(yaml));
        let options = terrace_deployer::PlanOptions::everything();
        let plan = terrace_deployer::plan(&bundle, &access(), &options).await;
        plan.unwrap_or_else(|error| panic!("{error}"))
    };
    stack.apply(BEFORE).await;
    let plan = plan_directory(BEFORE).await;
    let (options, _canceller) = stack.options();
    let applied = terrace_deployer::apply(&plan, &access(), &options, |_| {}).await;
    applied.unwrap_or_else(|error| panic!("{error}"));

    let after = CHANGES.iter().fold(BEFORE.to_owned(), |yaml, (from, to)| {
        assert!(yaml.contains(from), "{from}");
        yaml.replacen(from, to, 1)
    });
    let in_cluster = stack.plan(&after).await;
    let in_directory = described(&plan_directory(&after).await);
    assert_eq!(in_directory.len(), 8, "{in_directory:#?}");
    for (subject, expected) in &in_directory {
        let found = described(&in_cluster);
        assert_eq!(
            found.get(subject),
            Some(expected),
            "{subject}:\n{}",
            show(&in_cluster)
        );
    }
    assert_eq!(described(&in_cluster).len(), in_directory.len());
}
