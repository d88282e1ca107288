//! Foreign objects: refused, adopted by name, and retained when they leave the stack.

use terrace_deployer::{Action, Error, Outcome};

use crate::documents::{NAMESPACE, SETTINGS, in_namespace};
use crate::support::{Stack, address, show};

/// Returns an object without the field that every write changes.
fn object(stack: &Stack<'_>, kind: &str, name: &str) -> serde_json::Value {
    let namespace = format!("--namespace={}", stack.name);
    let mut object = stack
        .cluster
        .get(&[kind, name, &namespace, "--show-managed-fields"])
        .unwrap_or_else(|| panic!("{kind} {name} does not exist"));
    object["metadata"]["resourceVersion"] = serde_json::Value::Null;
    object
}

/// Without `--adopt`, plan, apply and destroy do not change objects that existed before.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_manage_foreign_objects() {
    let stack = Stack::new("theirs");
    stack.kubectl("create namespace $N");
    stack.kubectl(
        "create configmap settings --namespace=$N --from-literal=color=blue --from-literal=shape=round",
    );
    let before = object(&stack, "configmap", "settings");
    let yaml = in_namespace([SETTINGS]);
    let refusal = stack.refusal(&yaml).await;
    assert_eq!(
        refusal,
        "platform/theirs/configmap-settings: ConfigMap theirs/settings exists already and is managed by `kubectl-create`
  declared at components.yaml:1:3, defined at components.yaml:7:3
  help: to manage it in this environment from now on, adopt it: --adopt 'platform/theirs/configmap-settings'
    to leave it unchanged, rename the resource in the stack or remove it from the stack

platform/theirs/namespace-theirs: Namespace theirs exists already and is managed by `kubectl-create`
  declared at components.yaml:1:3, defined at components.yaml:7:3
  help: to manage it in this environment from now on, adopt it: --adopt 'platform/theirs/namespace-theirs'
    to leave it unchanged, rename the resource in the stack or remove it from the stack"
    );
    // Neither a copied label nor our annotations prove ownership.
    stack.kubectl("label configmap settings --namespace=$N terrace.dev/stack=theirs.testing");
    stack.kubectl(
        "annotate configmap settings --namespace=$N terrace.dev/address=platform/theirs/configmap-settings",
    );
    // Entries of managedFields from the same second have no order, so either manager may be named.
    let creator = |text: &str| text.replace("kubectl-annotate", "kubectl-create");
    assert_eq!(creator(&stack.refusal(&yaml).await), refusal);
    let plan = stack.plan("").await;
    assert!(plan.is_empty(), "{}", show(&plan));
    let plan = stack.destroy_plan(&yaml).await;
    assert!(plan.is_empty(), "{}", show(&plan));
    let leaves: Vec<String> = plan.leaves.iter().map(|line| creator(line)).collect();
    assert_eq!(
        leaves,
        [
            "ConfigMap theirs/settings is not deleted: it is managed by `kubectl-create`, not by this environment",
            "Namespace theirs is not deleted: it is managed by `kubectl-create`, not by this environment",
        ]
    );
    let report = stack
        .try_apply_plan(&plan)
        .await
        .expect("a plan without changes is applied");
    assert_eq!(report.leaves, plan.leaves);
    let after = object(&stack, "configmap", "settings");
    assert_eq!(after["data"], before["data"]);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

/// An adopted object is changed as planned, and remains when it leaves the stack.
#[tokio::test(flavor = "multi_thread")]
async fn adopts_objects_by_name_and_retains_them() {
    let mut stack = Stack::new("adopted");
    stack.kubectl("create namespace $N");
    stack
        .kubectl("create configmap settings --namespace=$N --from-literal=color=red --from-literal=size=big");
    let yaml = in_namespace([SETTINGS]);
    stack.adopt = vec!["platform/adopted".into()];
    let plan = stack.plan(&yaml).await;
    assert_eq!(
        show(&plan),
        r#"adopt Namespace adopted: it exists and is managed by `kubectl-create`; this environment manages it from now on
  metadata.annotations["terrace.dev/address"]: - -> "platform/adopted/namespace-adopted"
  metadata.annotations["terrace.dev/adopted"]: - -> "true"
  metadata.labels["terrace.dev/stack"]: - -> "adopted.testing"
adopt ConfigMap settings: it exists and is managed by `kubectl-create`; this environment manages it from now on
  data.color: "red" -> "blue"
  data.shape: - -> "round"
  metadata.annotations["terrace.dev/address"]: - -> "platform/adopted/configmap-settings"
  metadata.annotations["terrace.dev/adopted"]: - -> "true"
  metadata.labels["terrace.dev/stack"]: - -> "adopted.testing"
  note: Terrace takes ownership of `data.color` from `kubectl-create`
"#
    );
    stack.try_apply_plan(&plan).await.expect("adopted");
    stack.adopt.clear();
    assert!(
        stack.plan(&yaml).await.is_empty(),
        "{}",
        show(&stack.plan(&yaml).await)
    );
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data"),
        r#"{"color":"blue","shape":"round","size":"big"}"#
    );
    stack.apply(&yaml.replace("round", "square")).await;

    // When the whole stack is removed, adopted objects remain with their values and without our marks.
    let plan = stack.plan("").await;
    assert_eq!(
        plan.changes().map(|step| step.change.action).collect::<Vec<_>>(),
        [Action::Retain, Action::Retain],
        "{}",
        show(&plan)
    );
    stack.apply("").await;
    let released = object(&stack, "configmap", "settings");
    assert_eq!(
        released["data"],
        serde_json::json!({"color": "blue", "shape": "square", "size": "big"})
    );
    let metadata = released["metadata"].to_string();
    assert!(!metadata.contains("terrace"), "{metadata}");
    assert!(stack.cluster.get(&["namespace", "adopted"]).is_some());
    // The object is foreign again.
    assert!(
        stack
            .refusal(&yaml)
            .await
            .contains("ConfigMap adopted/settings exists already")
    );
}

/// A destroy also retains adopted objects, and deletes one only with approval.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_adopted_objects_only_with_approval() {
    let mut stack = Stack::new("approvable");
    stack.apply(NAMESPACE).await;
    for name in ["settings", "other"] {
        stack.kubectl(&format!(
            "create configmap {name} --namespace=$N --from-literal=color=blue"
        ));
    }
    let other = SETTINGS.replace("name: settings", "name: other");
    let yaml = in_namespace([SETTINGS, &other]);
    stack.adopt = vec!["platform/approvable".into()];
    stack.apply(&yaml).await;
    stack.adopt.clear();
    // Without the state store, the objects themselves still record the adoption.
    stack.kubectl("delete secrets --namespace=terrace-system --selector=terrace.dev/home=approvable.testing");
    stack.approved = vec![address("platform/approvable/configmap-settings")];
    let plan = stack.plan(NAMESPACE).await;
    let actions = |action| {
        let steps = plan.changes().filter(move |step| step.change.action == action);
        steps
            .map(|step| step.subject.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (actions(Action::Delete), actions(Action::Retain)),
        (vec!["settings".into()], vec!["other".into()])
    );
    stack.approved.clear();
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("--approve 'platform/approvable/configmap-settings'"),
        "{refusal}"
    );
    stack.approved = vec![address("platform/approvable/configmap-settings")];
    stack.try_apply_plan(&plan).await.expect("approved");
    assert!(
        stack
            .cluster
            .get(&["configmap", "settings", "--namespace=approvable"])
            .is_none()
    );
    assert!(
        stack
            .cluster
            .get(&["configmap", "other", "--namespace=approvable"])
            .is_some()
    );

    // A retained object prevents the deletion of its namespace.
    stack.adopt = vec!["platform/approvable".into()];
    stack.apply(&in_namespace([&*other])).await;
    stack.adopt.clear();
    let plan = stack.destroy_plan(&in_namespace([&*other])).await;
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal
            .contains("ConfigMap other (retained by this plan): deleted together with Namespace approvable"),
        "{refusal}"
    );
}

/// An object that another user creates between a plan and its apply is not taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_does_not_take_over_a_foreign_object() {
    let stack = Stack::new("raced");
    stack.apply(NAMESPACE).await;
    let plan = stack.plan(&in_namespace([SETTINGS])).await;
    stack.kubectl("create configmap settings --namespace=$N --from-literal=color=theirs");
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("ConfigMap raced/settings: it exists now"),
        "{refusal}"
    );
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.color"),
        "theirs"
    );
}

/// The same after the apply has observed the live state.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_does_not_take_over_an_object_created_during_the_apply() {
    let stack = Stack::new("racing");
    stack.apply(NAMESPACE).await;
    let first = SETTINGS.replace("name: settings", "name: first");
    let mut bundle = stack.bundle(&in_namespace([&*first, SETTINGS]));
    let ids: Vec<_> = bundle
        .artifacts
        .iter()
        .map(|artifact| artifact.id.clone())
        .collect();
    for artifact in &mut bundle.artifacts {
        if artifact.id.as_str().ends_with("settings") {
            artifact
                .needs
                .extend(ids.iter().filter(|id| id.as_str().ends_with("first")).cloned());
        }
    }
    let plan = stack.plan_of(&bundle).await;
    // As soon as the first object exists, another user creates the second.
    let create = "create configmap settings --namespace=$N --from-literal=color=theirs";
    let result = stack.apply_and_then(&plan, "first", create).await;
    let Err(Error::Partly(report)) = result else {
        panic!("the apply did not fail after its first step: {result:?}");
    };
    assert_eq!(report.steps.len(), 2);
    let failures: Vec<String> = report
        .steps
        .iter()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::Failed(failure) => Some(failure.to_string()),
            _ => None,
        })
        .collect();
    assert!(
        failures.len() == 1
            && failures[0].contains("ConfigMap racing/settings exists already and is managed by `kubectl-create`; it was created after the plan was made")
            && failures[0].contains("--adopt 'platform/racing/configmap-settings'"),
        "{failures:?}"
    );
    let theirs = object(&stack, "configmap", "settings");
    assert!(!theirs["metadata"].to_string().contains("terrace"), "{theirs}");
    assert_eq!(theirs["data"], serde_json::json!({"color": "theirs"}));
    // The next plan refuses it as well.
    assert!(stack.plan_of(&bundle).await.refusals.len() == 1);
}

/// An object that was deleted and created again is foreign, although it looks the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_of_our_object_is_foreign() {
    let stack = Stack::new("anew");
    let yaml = in_namespace([SETTINGS]);
    stack.apply(&yaml).await;
    // A backup tool restores our entry of managedFields as well.
    let mut copy = object(&stack, "configmap", "settings");
    stack.kubectl("delete configmap settings --namespace=$N");
    let fields = copy["metadata"]["managedFields"].clone();
    for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        copy["metadata"].as_object_mut().expect("metadata").remove(key);
    }
    let made = stack
        .cluster
        .run_kubectl(&["create", "--filename=-"], &copy.to_string());
    assert!(made.status.success());
    let patch = serde_json::json!({"metadata": {"managedFields": fields}}).to_string();
    stack.cluster.kubectl(&[
        "patch",
        "configmap",
        "settings",
        "--namespace=anew",
        "--type=merge",
        "--patch",
        &patch,
    ]);
    let before = object(&stack, "configmap", "settings");
    assert!(before.to_string().contains("terrace/anew/testing"), "{before}");
    assert!(
        stack
            .refusal(&yaml)
            .await
            .contains("ConfigMap anew/settings exists already")
    );
    let plan = stack.plan(NAMESPACE).await;
    assert!(plan.is_empty(), "{}", show(&plan));
    assert_eq!(
        plan.notes,
        ["ConfigMap anew/settings is not deleted: this environment did not create it"]
    );
    assert_eq!(object(&stack, "configmap", "settings"), before);
}

/// Without the state store, the traces of our writes prove ownership, and no foreign object becomes ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_store_loses_only_history() {
    let stack = Stack::new("storeless");
    let yaml = in_namespace([SETTINGS]);
    stack.apply(&yaml).await;
    stack.kubectl("create configmap theirs --namespace=$N --from-literal=color=theirs");
    stack.kubectl("label configmap theirs --namespace=$N terrace.dev/stack=storeless.testing");
    stack.kubectl("delete secrets --namespace=terrace-system --selector=terrace.dev/home=storeless.testing");
    let plan = stack.plan(&yaml).await;
    assert!(
        plan.changes_nothing() && plan.refusals.is_empty(),
        "{}",
        show(&plan)
    );
    let plan = stack.plan(NAMESPACE).await;
    assert_eq!(show(&plan), "delete ConfigMap settings: no longer in the stack\n");
    stack.apply(&yaml).await;
    assert_eq!(
        stack.field("configmap/theirs --namespace=$N", ".data.color"),
        "theirs"
    );
}

/// An object whose managedFields were cleared is still proven by the recorded identity.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_cleared_managed_fields_remains_ours() {
    let stack = Stack::new("cleared");
    let yaml = in_namespace([SETTINGS]);
    stack.apply(&yaml).await;
    let clear = || {
        stack.kubectl("patch configmap settings --namespace=$N --type=merge --patch={\"metadata\":{\"managedFields\":[{}]}}")
    };
    clear();
    let plan = stack.plan(&yaml).await;
    assert_eq!(
        show(&plan),
        "update ConfigMap settings: no value changes; this environment manages its fields again\n"
    );
    // A changed value does not conflict with the cleared manager.
    let changed = yaml.replace("round", "square");
    stack.apply(&changed).await;
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.shape"),
        "square"
    );
    clear();
    let plan = stack.plan(NAMESPACE).await;
    assert_eq!(show(&plan), "delete ConfigMap settings: no longer in the stack\n");
    stack.apply(NAMESPACE).await;
}

/// System namespaces are never created or deleted, and are adopted only by name.
#[tokio::test(flavor = "multi_thread")]
async fn never_deletes_system_namespaces() {
    let mut stack = Stack::new("system");
    for name in ["kube-mine", "openshift-mine", "openshift", "openshifty"] {
        let refusal = stack
            .refusal(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"
            ))
            .await;
        assert!(
            refusal.contains(&format!(
                "namespace `{name}` cannot be created: its name is reserved for the system"
            )),
            "{refusal}"
        );
    }
    let yaml = "{apiVersion: v1, kind: Namespace, metadata: {name: kube-node-lease}}";
    assert!(
        stack
            .refusal(yaml)
            .await
            .contains("--adopt 'platform/system/namespace-kube-node-lease'")
    );
    stack.adopt = vec!["platform/system/namespace-kube-node-lease".into()];
    stack.apply(yaml).await;
    stack.adopt.clear();
    // Not even with approval.
    stack.approved = vec![address("platform/system/namespace-kube-node-lease")];
    let plan = stack.destroy_plan(yaml).await;
    assert_eq!(
        show(&plan),
        "retain Namespace kube-node-lease: no longer in the stack, and Terrace never deletes system namespaces\n"
    );
    stack.apply("").await;
    let namespace = stack
        .cluster
        .get(&["namespace", "kube-node-lease", "--show-managed-fields"])
        .expect("the namespace still exists");
    assert!(
        !namespace["metadata"].to_string().contains("terrace"),
        "{namespace}"
    );
}

/// Kubernetes creates a ServiceAccount `default` in every namespace. The stack may declare it in a namespace that it
/// creates, because no other user created it.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_service_account_of_a_new_namespace_needs_no_adoption() {
    let stack = Stack::new("accounts");
    let yaml = in_namespace(["
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: $N}
automountServiceAccountToken: false
"]);
    stack.apply(&yaml).await;
    let mounts = stack.field(
        "serviceaccount/default --namespace=$N",
        ".automountServiceAccountToken",
    );
    assert_eq!(mounts, "false");
    stack.destroy(&yaml).await;
}
