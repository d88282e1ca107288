//! The proxy that lets a test kill a program at a given call.

use std::process::{Child, Command, Stdio};

use serde_json::json;
use terrace_tests::proxy::{Calls, Proxy};
use terrace_tests::tools::{Tool, root};
use terrace_tests::{Scratch, servers};

#[test]
fn the_last_call_takes_effect_but_is_not_answered() {
    let cluster = servers::kubernetes();
    let scratch = Scratch::new("proxy");
    let config = scratch.path().join("config");

    let calls = Calls::counted();
    let proxy = Proxy::of_cluster(cluster, &calls);
    proxy.write_kubeconfig(&config, "proxied");
    let mut child = kubectl(&config, "proxy-answered");
    assert!(child.wait().is_ok_and(|status| status.success()));
    let made = calls.made();
    let create = made
        .iter()
        .position(|call| call.starts_with("POST /api/v1/namespaces"))
        .expect("a create");

    let calls = Calls::cut_at(create + 1);
    let proxy = Proxy::of_cluster(cluster, &calls);
    proxy.write_kubeconfig(&config, "proxied");
    let mut child = kubectl(&config, "proxy-cut");
    assert!(
        calls.wait(&mut child),
        "the program ended before its call {}",
        create + 1
    );
    assert!(
        child.try_wait().is_ok_and(|status| status.is_none()),
        "the last call was answered"
    );
    child.kill().expect("the program is running");
    let _ = child.wait();
    assert!(
        cluster.get(&["namespace", "proxy-cut"]).is_some(),
        "the last call had no effect"
    );
    assert_eq!(calls.made().len(), create + 1);
    cluster.kubectl(&["delete", "namespace", "proxy-cut", "proxy-answered"]);
}

#[test]
fn detects_a_program_that_ends_before_the_given_call() {
    let endpoint = servers::aws();
    let account = endpoint.account();
    let calls = Calls::cut_at(9);
    let proxy = Proxy::of_endpoint(endpoint, &calls);
    let mut question =
        json!({"service": "sqs", "operation": "create_queue", "parameters": {"QueueName": "q"}});
    question["endpoint"] = proxy.url().into();
    question["account"] = account.id().into();
    question["region"] = account.region().into();
    let scratch = Scratch::new("proxy");
    scratch.write("question", &format!("{question}\n"));
    let question = std::fs::File::open(scratch.path().join("question")).expect("the question");
    let mut command = Command::new(Tool::Python.path());
    command
        .args(["-m", "client"])
        .current_dir(root().join("tests/aws"))
        .stdin(question)
        .stdout(Stdio::null());
    let mut child = command.spawn().expect("python starts");
    assert!(!calls.wait(&mut child), "the program made nine calls");
    assert_eq!(calls.made().len(), 1);
    assert!(
        account
            .try_call("sqs", "get_queue_url", json!({"QueueName": "q"}))
            .is_ok()
    );
}

fn kubectl(config: &std::path::Path, namespace: &str) -> Child {
    let mut command = Command::new(Tool::Kubernetes.path());
    command
        .arg("kubectl")
        .arg("--kubeconfig")
        .arg(config)
        .args(["create", "namespace", namespace]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kubectl starts")
}
