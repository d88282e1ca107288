//! What goes along with an object that is taken away, and is not told by its own line in a plan.

use std::time::Duration;

use terrace_deployer::{Error, Refusal, Risk};

use crate::documents::{NAMESPACE, in_namespace};
use crate::support::{Stack, address, show, words};

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ledgers.$N.example.com}
spec:
  group: $N.example.com
  names: {kind: Ledger, plural: ledgers, singular: ledger}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// Writes an object as somebody with kubectl does.
fn by_hand(stack: &Stack<'_>, object: &str) {
    let object = object.replace("$N", stack.name);
    let output = stack.cluster.run_kubectl(&["apply", "--filename=-"], &object);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

const CLAIM: &str = r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
    "metadata": {"name": "written", "namespace": "$N", "labels": {"terrace.dev/stack": "$N.testing"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#;

/// Claims that nobody declared go with their namespace, even where they carry our label: a StatefulSet hands it on.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_takes_claims_along() {
    let mut stack = Stack::new("claimed");
    stack.apply(NAMESPACE).await;
    let saved = stack.plan("").await;
    assert_eq!(
        show(&saved),
        "delete Namespace claimed: it is not in the stack any more\n"
    );
    assert!(saved.loses_data().is_empty());
    by_hand(&stack, CLAIM);

    // A plan from before does not know of them.
    match stack.try_apply_plan(&saved).await {
        Err(Error::Refused(Refusal::Stale(moved))) => {
            let moved: Vec<&str> = moved.iter().map(|moved| &*moved.what).collect();
            assert_eq!(
                moved,
                ["data goes with it now (`platform/claimed/namespace-claimed`)"]
            );
        }
        other => panic!("it was to be refused: {other:?}"),
    }
    let plan = stack.plan("").await;
    assert_eq!(
        show(&plan),
        "delete Namespace claimed: it is not in the stack any more
  note: `written` of the persistentvolumeclaims in namespace `claimed` is deleted with it: nobody declared them here
"
    );
    let refused = words(stack.try_apply("").await);
    assert!(
        refused.contains("--approve 'platform/claimed/namespace-claimed'"),
        "{refused}"
    );
    stack.approved = vec![address("platform/claimed/namespace-claimed")];
    stack.apply("").await;
}

/// A definition goes with all objects of its kind, whoever made them.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_takes_its_objects_along() {
    let mut stack = Stack::new("defined");
    let own = "
apiVersion: defined.example.com/v1
kind: Ledger
metadata: {name: ours, namespace: $N}
";
    let all = in_namespace([DEFINITION, own]);
    stack.apply(&all).await;
    // What has a line of its own in the plan needs no other.
    let plan = stack.plan(NAMESPACE).await;
    assert!(plan.loses_data().is_empty(), "{}", show(&plan));
    by_hand(
        &stack,
        r#"{"apiVersion": "defined.example.com/v1", "kind": "Ledger", "metadata": {"name": "theirs", "namespace": "default"}}"#,
    );
    let plan = stack.plan(NAMESPACE).await;
    let definition = address("platform/defined/customresourcedefinition-ledgers.defined.example.com");
    assert_eq!(plan.loses_data(), [&definition].into_iter().collect());
    assert!(
        show(&plan).contains(
            "note: `default/theirs` of the ledgers it defines is deleted with it: nobody declared them here"
        ),
        "{}",
        show(&plan)
    );
    // And so does one that cannot be changed in place.
    let wider = in_namespace([DEFINITION.replace("scope: Namespaced", "scope: Cluster").as_str()]);
    let plan = stack.plan(&wider).await;
    assert!(plan.loses_data().contains(&definition), "{}", show(&plan));
    stack.approved = vec![definition];
    stack.destroy(&all).await;
}

/// A StatefulSet may be told to delete the claims of pods that it has no more.
#[tokio::test(flavor = "multi_thread")]
async fn fewer_pods_may_take_their_claims_along() {
    let mut stack = Stack::new("scaled");
    stack.timeout = Duration::from_secs(90);
    let set = |replicas: u8, policy: &str| {
        in_namespace([format!(
            "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: store, namespace: $N, annotations: {{terrace.dev/holds-data: 'true'}}}}
spec:
  replicas: {replicas}
  serviceName: store
  persistentVolumeClaimRetentionPolicy: {{whenDeleted: Retain, whenScaled: {policy}}}
  selector: {{matchLabels: {{app: store}}}}
  template:
    metadata: {{labels: {{app: store}}}}
    spec: {{containers: [{{name: store, image: 'registry.example/store:1', volumeMounts: [{{name: data, mountPath: /data}}]}}]}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"
        )
        .as_str()])
    };
    stack.apply(&set(2, "Delete")).await;
    let kept = stack
        .plan(&set(1, "Retain").replace("replicas: 1", "replicas: 2"))
        .await;
    assert!(kept.loses_data().is_empty(), "{}", show(&kept));
    let plan = stack.plan(&set(1, "Delete")).await;
    let store = address("platform/scaled/statefulset-store");
    assert_eq!(
        plan.loses_data(),
        [&store].into_iter().collect(),
        "{}",
        show(&plan)
    );
    assert!(plan.changes().all(|step| step.change.risk == Risk::DataLoss));
    let more = stack.plan(&set(3, "Delete")).await;
    assert!(more.loses_data().is_empty(), "{}", show(&more));
    stack.approved = vec![store, address("platform/scaled/namespace-scaled")];
    stack.apply(&set(1, "Delete")).await;
    stack.destroy(&set(1, "Delete")).await;
}
