//! Tests of the test servers themselves.

use std::time::{Duration, Instant};

use serde_json::json;
use terrace_tests::servers::{self, Cluster, Endpoint, Fault};

const QUEUE: &str =
    r#"{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "orders"}}}}"#;

#[test]
fn pods_run_unless_their_image_is_broken() {
    let cluster = servers::kubernetes();
    cluster.kubectl(&["create", "namespace", "servers-pods"]);
    for (name, image) in [
        ("good", "registry.example/web:1"),
        ("bad", "registry.example/web:broken"),
    ] {
        cluster.kubectl(&[
            "--namespace=servers-pods",
            "create",
            "deployment",
            name,
            &format!("--image={image}"),
        ]);
    }
    let rollout = [
        "--namespace=servers-pods",
        "rollout",
        "status",
        "deployment/good",
        "--timeout=30s",
    ];
    assert!(cluster.kubectl(&rollout).contains("successfully rolled out"));
    let reason = wait_for(|| {
        let pods = cluster.get(&["pods", "--namespace=servers-pods", "--selector=app=bad"])?;
        let reason = pods.pointer("/items/0/status/containerStatuses/0/state/waiting/reason")?;
        Some(reason.as_str()?.to_owned())
    });
    assert_eq!(reason, "ImagePullBackOff");
    assert_eq!(
        cluster.get(&["deployment", "none", "--namespace=servers-pods"]),
        None
    );
    cluster.kubectl(&["delete", "namespace", "servers-pods"]);
}

#[test]
fn the_limited_user_has_no_permissions() {
    let cluster = servers::kubernetes();
    let kubeconfig = format!("--kubeconfig={}", cluster.limited_kubeconfig().display());
    let output = cluster.run_kubectl(&[&kubeconfig, "get", "namespaces"], "");
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("\"limited\" cannot list resource \"namespaces\"")
    );
}

#[test]
fn a_kubeconfig_has_a_context_for_each_cluster() {
    let (shared, own) = (servers::kubernetes(), Cluster::start());
    let scratch = terrace_tests::Scratch::new("kubeconfig");
    let path = scratch.path().join("config");
    servers::write_kubeconfig(&path, &[("acme-staging", shared), ("acme-production", &own)]);
    let id = |context: &str| {
        let flags = [
            &format!("--kubeconfig={}", path.display()),
            &format!("--context={context}"),
        ];
        let output = shared.run_kubectl(
            &[
                flags[0],
                flags[1],
                "get",
                "namespace",
                "kube-system",
                "--output=jsonpath={.metadata.uid}",
            ],
            "",
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_ne!(id("acme-staging"), id("acme-production"));
}

#[test]
fn accounts_are_isolated() {
    let (first, second) = (servers::aws().account(), servers::aws().account());
    assert_ne!(first.id(), second.id());
    first.call("sqs", "create_queue", json!({"QueueName": "orders"}));
    assert_eq!((queues(&first), queues(&second)), (1, 0));
    let refused = second.try_call("sqs", "get_queue_url", json!({"QueueName": "orders"}));
    assert!(refused.is_err_and(|error| error.contains("NonExistentQueue")));
    assert_eq!(
        first.call("sts", "get_caller_identity", json!({}))["Account"],
        first.id()
    );
}

#[test]
fn a_failed_creation_is_rolled_back() {
    let account = servers::aws().account();
    account.fail(&Fault {
        operation: "create",
        logical_id: "Queue",
        reason: "no more queues",
        ..Fault::default()
    });
    account.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": "orders", "TemplateBody": QUEUE}),
    );
    assert_eq!(final_status(&account, "orders"), "ROLLBACK_COMPLETE");
    let events = account.call(
        "cloudformation",
        "describe_stack_events",
        json!({"StackName": "orders"}),
    );
    assert!(events.to_string().contains("no more queues"));
    // Other accounts have no such fault.
    let other = servers::aws().account();
    other.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": "orders", "TemplateBody": QUEUE}),
    );
    assert_eq!(final_status(&other, "orders"), "CREATE_COMPLETE");
}

#[test]
fn a_delay_makes_operations_visible_in_progress() {
    let account = servers::aws().account();
    account.delay(Duration::from_millis(700));
    account.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": "slow", "TemplateBody": QUEUE}),
    );
    let stacks = account.call("cloudformation", "describe_stacks", json!({"StackName": "slow"}));
    assert_eq!(stacks["Stacks"][0]["StackStatus"], "CREATE_IN_PROGRESS");
    assert_eq!(final_status(&account, "slow"), "CREATE_COMPLETE");
}

#[test]
fn a_separate_endpoint_can_be_reset() {
    let endpoint = Endpoint::start();
    let account = endpoint.account_named("111122223333");
    account.call("sqs", "create_queue", json!({"QueueName": "orders"}));
    endpoint.reset();
    assert_eq!(queues(&account), 0);
}

fn queues(account: &servers::Account<'_>) -> usize {
    account.call("sqs", "list_queues", json!({}))["QueueUrls"]
        .as_array()
        .map_or(0, Vec::len)
}

/// Returns the status of a CloudFormation stack after its operation has ended.
fn final_status(account: &servers::Account<'_>, stack: &str) -> String {
    wait_for(|| {
        let stacks = account.call("cloudformation", "describe_stacks", json!({"StackName": stack}));
        let status = stacks.pointer("/Stacks/0/StackStatus")?.as_str()?.to_owned();
        (!status.ends_with("_IN_PROGRESS")).then_some(status)
    })
}

#[track_caller]
fn wait_for<T>(ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no result after 30 seconds");
        std::thread::sleep(Duration::from_millis(50));
    }
}
