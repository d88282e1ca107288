//! Ownership: manual edits, other field managers, removed labels, and foreign objects.

use terrace_deployer::{Error, FailureKind, PlanOptions};
use terrace_tests::servers;

use crate::documents::{SETTINGS, in_namespace};
use crate::support::{Stack, show, words};

/// A ConfigMap and a Deployment, which the stack has in addition to its settings.
const OTHERS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: $N}
data: {a: b}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $N}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'registry.example/web:1', env: [{name: A, value: '1'}, {name: B, value: '2'}]}
";

/// Returns the documents of the stack.
fn web() -> String {
    in_namespace([SETTINGS, OTHERS])
}

/// After a manual edit of one field and a manual deletion of one object, the plan contains these two changes, and an
/// apply restores both.
#[tokio::test(flavor = "multi_thread")]
async fn restores_manual_edits_and_deletions() {
    let stack = Stack::new("edited");
    stack.apply(&web()).await;
    stack.kubectl(
        "patch configmap settings --namespace=$N --type=merge --patch={\"data\":{\"color\":\"red\"}}",
    );
    stack.kubectl("delete configmap other --namespace=$N");
    let plan = stack.plan(&web()).await;
    assert_eq!(
        show(&plan),
        "create ConfigMap other: it does not exist
update ConfigMap settings: `data.color` changes
  data.color: \"red\" -> \"blue\"
  note: `data.color` was changed with `kubectl-patch`; apply reverts the change
"
    );
    stack.apply(&web()).await;
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.color"),
        "blue"
    );
}

/// Edits that revert themselves, reorder items, or change another field are all detected.
#[tokio::test(flavor = "multi_thread")]
async fn detects_edits_that_only_a_dry_run_shows() {
    let stack = Stack::new("doubted");
    stack.apply(&web()).await;
    let patch = |patch: &str| {
        stack.kubectl(&format!(
            "patch deployment web --namespace=$N --type=json --patch={patch}"
        ));
    };
    const ENV: &str = "/spec/template/spec/containers/0/env";
    // The order of a list whose items have keys.
    patch(&format!(
        "[{{\"op\":\"replace\",\"path\":\"{ENV}\",\"value\":[{{\"name\":\"B\",\"value\":\"2\"}},{{\"name\":\"A\",\"value\":\"1\"}}]}}]"
    ));
    let plan = stack.plan(&web()).await;
    assert!(show(&plan).contains("update Deployment web"), "{}", show(&plan));
    stack.apply(&web()).await;
    assert_eq!(
        stack.field(
            "deployment/web --namespace=$N",
            ".spec.template.spec.containers[0].env[*].name"
        ),
        "A B"
    );
    // Our item was removed and is restored; a foreign item was added and remains.
    patch(&format!("[{{\"op\":\"remove\",\"path\":\"{ENV}/1\"}}]"));
    patch(&format!(
        "[{{\"op\":\"add\",\"path\":\"{ENV}/-\",\"value\":{{\"name\":\"C\",\"value\":\"3\"}}}}]"
    ));
    let plan = stack.plan(&web()).await;
    assert!(
        show(&plan)
            .contains("spec.template.spec.containers[0].env[2]: - -> {\"name\":\"B\",\"value\":\"2\"}"),
        "{}",
        show(&plan)
    );
    stack.apply(&web()).await;
    let names = stack.field(
        "deployment/web --namespace=$N",
        ".spec.template.spec.containers[0].env[*].name",
    );
    assert!(names.contains('B') && names.contains('C'), "{names}");
    // A field that the stack no longer sets is removed, and no other.
    let fewer = web().replace(", env: [{name: A, value: '1'}, {name: B, value: '2'}]", "");
    stack.apply(&fewer).await;
    assert_eq!(
        stack.field(
            "deployment/web --namespace=$N",
            ".spec.template.spec.containers[0].env[*].name"
        ),
        "C"
    );
}

/// Fields of other managers remain and cause no changes.
#[tokio::test(flavor = "multi_thread")]
async fn leaves_fields_of_other_managers_unchanged() {
    let stack = Stack::new("foreign");
    stack.apply(&web()).await;
    stack.kubectl("annotate deployment web --namespace=$N who=me");
    stack.kubectl("scale deployment web --namespace=$N --replicas=3");
    stack.kubectl("label configmap settings --namespace=$N team=data");
    let plan = stack.plan(&web()).await;
    assert!(plan.is_empty(), "{}", show(&plan));
    stack.apply(&web().replace("web:1", "web:2")).await;
    assert_eq!(
        stack.field("deployment/web --namespace=$N", ".spec.replicas"),
        "3"
    );
    assert_eq!(
        stack.field("deployment/web --namespace=$N", ".metadata.annotations.who"),
        "me"
    );
    // A controller's object with a copy of our label is not ours and is not deleted.
    stack.kubectl("label configmap kube-root-ca.crt --namespace=$N terrace.dev/stack=foreign.testing");
    let plan = stack.plan(&web().replace("web:1", "web:2")).await;
    assert!(plan.is_empty(), "{}", show(&plan));
}

/// If our label was removed, a wanted object gets it back, and an unwanted object is still deleted. The plan notes
/// both.
#[tokio::test(flavor = "multi_thread")]
async fn notes_and_restores_a_removed_label() {
    let stack = Stack::new("unlabelled");
    stack.apply(&web()).await;
    let remove_label = || stack.kubectl("label configmap settings --namespace=$N terrace.dev/stack-");
    let note = "note: its label `terrace.dev/stack` was removed; the entry of `terrace/unlabelled/testing` in its \
                managedFields proves that it belongs to this environment";
    remove_label();
    let plan = stack.plan(&web()).await;
    assert_eq!(
        show(&plan),
        format!(
            "update ConfigMap settings: `metadata.labels[\"terrace.dev/stack\"]` changes
  metadata.labels[\"terrace.dev/stack\"]: - -> \"unlabelled.testing\"
  {note}
"
        )
    );
    stack.apply(&web()).await;
    // The object also leaves the stack.
    remove_label();
    let fewer = web().replace("metadata: {name: settings,", "metadata: {name: renamed,");
    let plan = stack.plan(&fewer).await;
    assert!(
        show(&plan).contains(&format!(
            "delete ConfigMap settings: no longer in the stack\n  {note}\n"
        )),
        "{}",
        show(&plan)
    );
    // A destroy finds it by the recorded identity.
    let plan = stack.destroy_plan(&web()).await;
    assert!(
        show(&plan).contains("delete ConfigMap settings"),
        "{}",
        show(&plan)
    );
    stack.apply(&fewer).await;
    assert!(
        stack
            .cluster
            .get(&["configmap", "settings", "--namespace=unlabelled"])
            .is_none()
    );
}

/// If another manager owns a field, the plan names that manager and fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_other_field_manager() {
    let stack = Stack::new("conflict");
    stack.apply(&web()).await;
    stack.cluster.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: conflict}, data: {color: red, size: big}}",
    );
    let error = stack
        .try_plan(&stack.bundle(&web()))
        .await
        .expect_err("a conflict");
    let Error::Failed(failures) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        failures[0].kind,
        FailureKind::Conflict {
            manager: "other-manager".into()
        }
    );
    let words = error.to_string();
    for line in [
        "platform/conflict/configmap-settings: ConfigMap `settings` in namespace `conflict` has a field conflict: `data.color` is managed by `other-manager`",
        "declared at components.yaml:1:3, defined at components.yaml:7:3",
        "help: remove the field from this stack or from the other manager, or take it over with `--take-over`",
    ] {
        assert!(words.contains(line), "{line}\n{words}");
    }
    // Fields are taken over only if the options allow it.
    let mut options = PlanOptions::everything();
    options.preview.take_over = true;
    let plan = terrace_deployer::plan(&stack.bundle(&web()), &stack.access(), &options)
        .await
        .expect("taken over");
    assert!(
        show(&plan).contains("data.color: \"red\" -> \"blue\""),
        "{}",
        show(&plan)
    );
    stack.try_apply_plan(&plan).await.expect("taken over");
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data"),
        r#"{"color":"blue","shape":"round","size":"big"}"#
    );
    assert!(stack.plan(&web()).await.is_empty());
}

/// Two stacks in one cluster do not change each other's objects.
#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_cannot_manage_the_same_object() {
    let (first, second) = (Stack::new("first"), Stack::new("second"));
    let yaml = "
apiVersion: v1
kind: Namespace
metadata: {name: shared-by-two}
";
    first.apply(yaml).await;
    let refusal = second.refusal(yaml).await;
    assert!(
        refusal.contains("Namespace shared-by-two exists already and is managed by `terrace/first/testing`"),
        "{refusal}"
    );
    first.destroy(yaml).await;
    assert!(
        servers::kubernetes()
            .get(&["namespace", "shared-by-two"])
            .is_none()
    );
}

/// A plan is valid only for the live state at the time it was made.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_stale_plan() {
    let stack = Stack::new("stale");
    stack.apply(&web()).await;
    let changed = web().replace("color: blue", "color: green");
    let plan = stack.plan(&changed).await;
    // A change by a controller does not make the plan stale.
    stack.kubectl("scale deployment web --namespace=$N --replicas=2");
    stack.kubectl(
        "patch configmap settings --namespace=$N --type=merge --patch={\"data\":{\"shape\":\"square\"}}",
    );
    let refused = words(stack.try_apply_plan(&plan).await);
    assert!(
        refused.contains("`data.shape` was \"round\" and is now \"square\""),
        "{refused}"
    );
    assert!(!refused.contains("replicas"), "{refused}");
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.color"),
        "blue"
    );
}
