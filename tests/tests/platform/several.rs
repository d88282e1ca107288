//! One environment with two clusters and two accounts, each with its own credentials.

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Cluster};
use terrace_tests::{Scratch, Terrace};

const PLATFORM: &str = r#"{kind: Platform, name: PLACE, owner: data@spread.example}
---
kind: Environment
name: live
class: development
kubernetes: {context: here}
clusters: {edge: {context: there}}
aws: {account: "FIRST", region: eu-west-1}
accounts: {archive: {account: "SECOND", region: eu-west-1, profile: archive}}
---
kind: Component
name: jobs
resources: {queue: {type: "AWS::SQS::Queue", holds_data: false, properties: {QueueName: "{{ name }}"}}}
outputs: {url: "{{ ref('queue').queue_url }}"}
---
kind: Component
name: kept
on: {account: archive}
resources: {queue: {type: "AWS::SQS::Queue", holds_data: false, properties: {QueueName: "{{ name }}"}}}
outputs: {url: "{{ ref('queue').queue_url }}"}
---
kind: Component
name: home
resources:
  place: {type: v1/Namespace, metadata: {name: PLACE}}
  settings: {type: v1/ConfigMap, metadata: {namespace: PLACE}, data: {jobs: "{{ ref('jobs').url }}", kept: "{{ ref('kept').url }}"}}
---
kind: Component
name: outpost
on: {cluster: edge}
resources:
  place: {type: v1/Namespace, metadata: {name: PLACE}}
  settings: {type: v1/ConfigMap, metadata: {namespace: PLACE}, data: {kept: "{{ ref('kept').url }}"}}
"#;

#[test]
fn deploys_each_component_to_its_own_target() {
    let (first_cluster, second_cluster) = (servers::kubernetes(), Cluster::start());
    let (first, second) = (servers::aws().account(), servers::aws().account());
    let place = format!("spread-{}", std::process::id());
    let stack = Scratch::new("spread");
    let platform = PLATFORM
        .replace("FIRST", first.id())
        .replace("SECOND", second.id())
        .replace("PLACE", &place);
    stack.write("platform.yaml", &platform);
    let kubeconfig = stack.path().join("kubeconfig");
    servers::write_kubeconfig(
        &kubeconfig,
        &[("here", first_cluster), ("there", &second_cluster)],
    );
    let keys = format!(
        "[archive]\naws_access_key_id = {}\naws_secret_access_key = test\n",
        second.id()
    );
    stack.write("credentials", &keys);
    let terrace = Terrace::in_directory(stack.path())
        .kubeconfig(&kubeconfig)
        .account(&first);

    let plan = ["plan", "-e", "live", "--detailed-exitcode"];
    let refused = terrace.run(&plan).expect(1).stderr;
    assert!(
        refused.contains(&format!(
            "no credentials were found for account `{}`",
            second.id()
        )) && refused.contains("--profile archive"),
        "{refused}"
    );
    let terrace = terrace.variable("AWS_SHARED_CREDENTIALS_FILE", stack.path().join("credentials"));
    let _ = terrace.run(&["bootstrap", "-e", "live"]).expect(0);
    let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    let _ = terrace.run(&plan).expect(0);

    // The endpoint has several host names, so only the account and the queue of a URL are compared.
    let path = |url: &Json| {
        let url = url.as_str().unwrap_or_default();
        url.splitn(4, '/').last().unwrap_or_default().to_owned()
    };
    let queue = |account: &servers::Account<'_>| {
        let found = account.call("sqs", "list_queues", json!({}));
        path(&found["QueueUrls"][0])
    };
    let jobs = format!("{}/{place}-live-platform-jobs", first.id());
    let kept = format!("{}/{place}-live-platform-kept", second.id());
    assert_eq!((queue(&first), queue(&second)), (jobs.clone(), kept.clone()));
    let settings = |cluster: &Cluster, name: &str| {
        let namespace = format!("--namespace={place}");
        let found = cluster.get(&["configmap", name, &namespace])?;
        let data = found["data"].as_object()?.values().map(path);
        Some(data.collect::<Vec<_>>())
    };
    assert_eq!(
        settings(first_cluster, "home-settings"),
        Some(vec![jobs, kept.clone()])
    );
    assert_eq!(settings(&second_cluster, "outpost-settings"), Some(vec![kept]));
    assert_eq!(settings(first_cluster, "outpost-settings"), None);

    let _ = terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
    assert_eq!(second_cluster.get(&["namespace", &place]), None);
    for account in [&first, &second] {
        let left = account.call("cloudformation", "describe_stacks", json!({}));
        assert_eq!(left["Stacks"], json!([]));
    }
}
