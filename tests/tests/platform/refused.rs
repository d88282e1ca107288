//! Refusals of an apply and their messages.

use std::fs;

use serde_json::json;
use terrace_tests::servers;

use crate::small::Small;

/// Asserts that a text contains all of these.
#[track_caller]
fn assert_contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }
}

#[test]
fn a_saved_plan_is_applied_once_and_refused_if_it_is_stale() {
    let small = Small::applied();
    small.change();
    let terrace = small.terrace();
    let save = ["plan", "-e", "live", "--save", "plan.json", "--detailed-exitcode"];
    let _ = terrace.run(&save).expect(2);
    small.kubectl(&[
        "patch",
        "configmap",
        "home-settings",
        "--patch",
        r#"{"data": {"level": "mine"}}"#,
    ]);
    let refused = terrace.run(&["apply", "plan.json"]).expect(4);
    assert_contains(
        &refused.stderr,
        &[
            "ConfigMap",
            "home-settings",
            r#"`data.level` was "low" and is now "mine""#,
            "make a new plan",
        ],
    );
    let kept = small.object("configmap", "notes-text");
    assert!(kept.is_some(), "the refused apply deleted an object");

    let _ = terrace.run(&save).expect(2);
    let _ = terrace.run(&["apply", "plan.json"]).expect(0);
    small.assert_changed();
    small.assert_no_changes();
    let _ = terrace.run(&["apply", "plan.json"]).expect(4);
    small.destroy();
}

#[test]
fn deletes_data_only_with_approval() {
    let small = Small::applied();
    let store = "---\nkind: Component\nname: store\ntenants: all\nresources:\n  \
                 disk: {type: v1/PersistentVolumeClaim, spec: {accessModes: [ReadWriteOnce], \
                 resources: {requests: {storage: 1Gi}}}}\n";
    let without = small.stack.read("components.yaml");
    small.stack.write("components.yaml", &format!("{without}{store}"));
    let _ = small.apply();
    let claim = small
        .object("persistentvolumeclaim", "store-disk")
        .expect("the PersistentVolumeClaim exists");
    assert_eq!(claim["status"]["phase"], "Bound");

    small.stack.write("components.yaml", &without);
    let terrace = small.terrace();
    let refused = terrace.run(&["apply", "-e", "live", "--yes"]).expect(4);
    let address = format!(
        "{}/store/disk",
        small.namespace.trim_start_matches("data-tenant-")
    );
    let approve = format!("--approve '{address}'");
    assert_contains(&refused.stderr, &["would lose data", &approve]);
    assert!(small.object("persistentvolumeclaim", "store-disk").is_some());
    let _ = terrace
        .run(&["apply", "-e", "live", "--yes", "--approve", &address])
        .expect(0);
    assert_eq!(small.object("persistentvolumeclaim", "store-disk"), None);
    small.assert_no_changes();
    small.destroy();
}

#[test]
fn refuses_credentials_of_another_account() {
    let small = Small::new();
    let other = servers::aws().account();
    let refused = small
        .terrace()
        .account(&other)
        .run(&["apply", "-e", "live", "--yes"])
        .expect(4);
    assert_contains(
        &refused.stderr,
        &[other.id(), small.account.id(), "environment.yaml:5:"],
    );
    assert_eq!(small.object("configmap", "notes-text"), None);
    for account in [&other, &small.account] {
        let stacks = account.call("cloudformation", "describe_stacks", json!({}));
        assert_eq!(stacks["Stacks"], json!([]));
    }
}

#[test]
fn reports_the_line_of_a_target_that_does_not_answer() {
    let small = Small::new();
    let closed = "http://127.0.0.1:9"; // no process listens on this port
    let kubeconfig = small.stack.path().join("kubeconfig-of-closed");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: {closed:?}}}}}]\nusers: []\n\
         contexts: [{{name: here, context: {{cluster: a}}}}]\n"
    );
    fs::write(&kubeconfig, text).expect("the kubeconfig can be written");
    let plan = ["plan", "-e", "live"];
    let failed = small.terrace().kubeconfig(&kubeconfig).run(&plan).expect(1);
    assert_contains(
        &failed.stderr,
        &["cluster `here`", "refused", "environment.yaml:4:", "help: "],
    );
    let failed = small
        .terrace()
        .variable("AWS_ENDPOINT_URL", closed)
        .run(&plan)
        .expect(1);
    assert_contains(
        &failed.stderr,
        &["AWS does not respond", "refused", "environment.yaml:5:", "help: "],
    );
}
