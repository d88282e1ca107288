//! Objects that are deleted along with a container, and that do not have their own step in the plan.

use std::time::Duration;

use terrace_deployer::{Error, Refusal, Risk};
use terrace_tests::servers;

use crate::documents::{NAMESPACE, in_namespace, workload};
use crate::reach::grant;
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

/// Applies an object with kubectl.
fn by_hand(stack: &Stack<'_>, object: &str) {
    let object = object.replace("$N", stack.name);
    let output = stack.cluster.run_kubectl(&["apply", "--filename=-"], &object);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

const CLAIM: &str = r#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
    "metadata": {"name": "written", "namespace": "$N", "labels": {"terrace.dev/stack": "$N.testing"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#;

/// PersistentVolumeClaims that the stack does not declare are deleted with their namespace, even if they carry our
/// label, which a StatefulSet passes on.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_namespace_requires_approval_for_its_claims() {
    let mut stack = Stack::new("claimed");
    stack.apply(NAMESPACE).await;
    let saved = stack.plan("").await;
    assert_eq!(show(&saved), "delete Namespace claimed: no longer in the stack\n");
    assert!(saved.loses_data().is_empty());
    by_hand(&stack, CLAIM);

    // A saved plan does not contain objects that were added later.
    match stack.try_apply_plan(&saved).await {
        Err(Error::Refused(Refusal::Stale(moved))) => {
            let moved: Vec<&str> = moved.iter().map(|moved| &*moved.what).collect();
            assert_eq!(
                moved,
                ["it now contains PersistentVolumeClaim written, created by `kubectl-client-side-apply`"]
            );
        }
        other => panic!("the stale plan was not refused: {other:?}"),
    }
    let refusal = stack.refusal("").await;
    assert_eq!(
        refusal,
        "the plan would lose data without your approval; nothing was changed
  Namespace claimed: deleted together with the objects in it
    the stack no longer declares it
  PersistentVolumeClaim written, created by `kubectl-client-side-apply`: deleted together with Namespace claimed
  help: to approve each change, add these options:
    --approve 'platform/claimed/namespace-claimed'
    --approve 'platform/claimed/namespace-claimed[\"PersistentVolumeClaim/written\"]'"
    );
    // Approving only the container is not enough.
    stack.approved = vec![address("platform/claimed/namespace-claimed")];
    assert!(stack.refusal("").await.contains("PersistentVolumeClaim/written"));
    stack.approved.push(address(
        "platform/claimed/namespace-claimed[\"PersistentVolumeClaim/written\"]",
    ));
    stack.apply("").await;
}

/// Deleting a namespace requires approval for every object in it, of any kind. Objects that Kubernetes creates, and
/// objects that belong to our objects, do not count.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_delete_a_namespace_with_foreign_objects() {
    let mut stack = Stack::new("inhabited");
    let ours = in_namespace([
        DEFINITION,
        &workload("Deployment", "web", "replicas: 2", "web:1", "1"),
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: $N}, spec: {selector: {app: web}, ports: [{port: 80}]}}",
        "{apiVersion: batch/v1, kind: Job, metadata: {name: once, namespace: $N}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'registry.example/main:1'}]}}}}",
    ]);
    stack.apply(&ours).await;
    assert!(
        stack.destroy_plan(&ours).await.loses_data().is_empty(),
        "{}",
        show(&stack.destroy_plan(&ours).await)
    );

    stack.kubectl("create secret generic precious --namespace=$N --from-literal=a=b");
    stack.kubectl("create deployment theirs --namespace=$N --image=registry.example/theirs:1");
    by_hand(
        &stack,
        r#"{"apiVersion": "inhabited.example.com/v1", "kind": "Ledger", "metadata": {"name": "theirs", "namespace": "$N"}}"#,
    );
    let expected_lines = [
        "  Deployment theirs, created by `kubectl-create`",
        "  Ledger.inhabited.example.com theirs, created by `kubectl-client-side-apply`",
        "  Secret precious, created by `kubectl-create`",
        "    --approve 'platform/inhabited/namespace-inhabited[\"Secret/precious\"]'",
        "    --approve 'platform/inhabited/namespace-inhabited[\"Deployment/theirs\"]'",
        "    --approve 'platform/inhabited/customresourcedefinition-ledgers.inhabited.example.com[\"Ledger.inhabited.example.com/inhabited/theirs\"]'",
    ];
    for plan in [stack.plan("").await, stack.destroy_plan(&ours).await] {
        let refusal = stack.refusal_of(&plan).await;
        for line in expected_lines {
            assert!(refusal.contains(line), "{line}\n{refusal}");
        }
        // Objects that their Deployment created are not listed.
        assert!(
            !refusal.contains("ReplicaSet") && !refusal.contains("Pod"),
            "{refusal}"
        );
    }
    assert!(
        stack
            .cluster
            .get(&["secret", "precious", "--namespace=inhabited"])
            .is_some()
    );
    // After the custom resource is deleted, only the contents of the namespace require approval.
    stack.kubectl("delete ledgers.inhabited.example.com theirs --namespace=$N");
    let plan = stack.destroy_plan(&ours).await;
    stack.approved = plan.approvals().into_iter().cloned().collect();
    assert_eq!(stack.approved.len(), 3, "{:?}", stack.approved);
    // An object is added after everything has been approved.
    stack.kubectl("create configmap late --namespace=$N --from-literal=a=b");
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("Namespace inhabited: it now contains ConfigMap late, created by `kubectl-create`"),
        "{refusal}"
    );
    stack.kubectl("delete configmap late --namespace=$N");
    stack.destroy(&ours).await;
    assert!(stack.cluster.get(&["namespace", "inhabited"]).is_none());
}

/// An object that is created in a namespace during an apply is found just before the deletion of the namespace.
#[tokio::test(flavor = "multi_thread")]
async fn does_not_delete_objects_that_are_created_during_the_apply() {
    let stack = Stack::new("overtaken");
    let ours = in_namespace([
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: ours, namespace: $N}, data: {a: b}}",
    ]);
    stack.apply(&ours).await;
    let plan = stack.destroy_plan(&ours).await;
    let create = "create secret generic precious --namespace=$N --from-literal=a=b";
    let result = stack.apply_and_then(&plan, "ours", create).await;
    let message = words(result);
    assert!(
        message.contains("Namespace overtaken was not deleted: it contains objects that were added after the plan was made: Secret precious, created by `kubectl-create`"),
        "{message}"
    );
    assert!(
        stack
            .cluster
            .get(&["secret", "precious", "--namespace=overtaken"])
            .is_some()
    );
}

/// Many objects of one kind are approved as a set, which must not change afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_approved_as_a_set() {
    let mut stack = Stack::new("crowded");
    stack.apply(NAMESPACE).await;
    let many: Vec<String> = (0..30)
        .map(|n| format!(r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "c{n:02}", "namespace": "$N"}}}}"#))
        .collect();
    by_hand(
        &stack,
        &format!(
            r#"{{"apiVersion": "v1", "kind": "List", "items": [{}]}}"#,
            many.join(",")
        ),
    );
    let plan = stack.plan("").await;
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("  30 objects of kind ConfigMap (c00, c01, c02 and others), created by `kubectl-client-side-apply`: deleted together with "),
        "{refusal}"
    );
    stack.approved = plan.approvals().into_iter().cloned().collect();
    assert_eq!(stack.approved.len(), 2);
    // An object was replaced, so the set is not the approved one.
    stack.kubectl("delete configmap c00 --namespace=$N");
    stack.kubectl("create configmap c00 --namespace=$N");
    assert!(stack.refusal("").await.contains("30 objects of kind ConfigMap"));
    let plan = stack.plan("").await;
    stack.approved = plan.approvals().into_iter().cloned().collect();
    stack.apply("").await;
}

/// Deleting a CRD also deletes all objects of its kind, including foreign ones.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_crd_requires_approval_for_its_objects() {
    let mut stack = Stack::new("defined");
    let own = "
apiVersion: defined.example.com/v1
kind: Ledger
metadata: {name: ours, namespace: $N}
";
    let all = in_namespace([DEFINITION, own]);
    stack.apply(&all).await;
    // An object with its own step needs no further approval.
    let plan = stack.plan(NAMESPACE).await;
    assert!(plan.loses_data().is_empty(), "{}", show(&plan));
    by_hand(
        &stack,
        r#"{"apiVersion": "defined.example.com/v1", "kind": "Ledger", "metadata": {"name": "theirs", "namespace": "default"}}"#,
    );
    let plan = stack.plan(NAMESPACE).await;
    let definition = address("platform/defined/customresourcedefinition-ledgers.defined.example.com");
    let theirs = address(
        "platform/defined/customresourcedefinition-ledgers.defined.example.com[\"Ledger.defined.example.com/default/theirs\"]",
    );
    assert_eq!(plan.loses_data(), [&definition, &theirs].into_iter().collect());
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("Ledger.defined.example.com default/theirs, created by `kubectl-client-side-apply`"),
        "{refusal}"
    );
    // A CRD that is replaced requires the same approval.
    let wider = in_namespace([DEFINITION.replace("scope: Namespaced", "scope: Cluster").as_str()]);
    let plan = stack.plan(&wider).await;
    assert!(plan.loses_data().contains(&definition), "{}", show(&plan));
    stack.approved = vec![definition, theirs];
    stack.destroy(&all).await;
}

/// A StatefulSet can be configured to delete the PersistentVolumeClaims of removed pods.
#[tokio::test(flavor = "multi_thread")]
async fn scaling_down_requires_approval_if_claims_are_deleted() {
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
    let claim = address("platform/scaled/namespace-scaled[\"PersistentVolumeClaim/data-store-0\"]");
    stack.approved = vec![store, address("platform/scaled/namespace-scaled"), claim];
    stack.apply(&set(1, "Delete")).await;
    stack.destroy(&set(1, "Delete")).await;
}

/// A user without permissions to list the contents of a namespace cannot delete it, and the refusal lists the missing
/// permissions.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_delete_a_namespace_whose_contents_cannot_be_listed() {
    // A separate cluster, because permissions of the user `limited` must not affect other tests.
    let cluster = servers::Cluster::start();
    let admin = Stack::in_cluster("hidden", &cluster);
    admin.apply(NAMESPACE).await;
    admin.kubectl("create secret generic precious --namespace=$N --from-literal=a=b");
    let limited = Stack {
        kubeconfig: cluster.limited_kubeconfig().to_owned(),
        ..Stack::in_cluster("hidden", &cluster)
    };
    let own = "[{apiGroups: [''], resources: [secrets], verbs: ['*']}, {apiGroups: [coordination.k8s.io], resources: [leases], verbs: ['*']}]";
    grant(&admin, "terrace-home", Some("terrace-system"), own);
    let namespaces =
        "[{apiGroups: [''], resources: [namespaces], verbs: [get, list, create, patch, delete]}]";
    grant(&admin, "terrace-namespaces", None, namespaces);
    for plan in [limited.plan("").await, limited.destroy_plan(NAMESPACE).await] {
        let refusal = limited.refusal_of(&plan).await;
        for words in [
            "Namespace hidden cannot be deleted: ",
            "so Terrace cannot list what would be deleted with it",
            "\"secrets\"",
            "# in a Role of namespace hidden",
        ] {
            assert!(refusal.contains(words), "{words}\n{refusal}");
        }
    }
    // With permissions to list the contents, the refusal names them.
    grant(
        &admin,
        "terrace-look",
        Some("hidden"),
        "[{apiGroups: ['*'], resources: ['*'], verbs: [get, list]}]",
    );
    let refusal = limited.refusal("").await;
    assert!(
        refusal.contains("Secret precious, created by `kubectl-create`"),
        "{refusal}"
    );
}

/// A damaged claim is refused with the command that deletes it.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_command_that_deletes_a_damaged_claim() {
    let stack = Stack::new("damaged");
    stack.apply(NAMESPACE).await;
    stack.kubectl("patch secret damaged.testing.claim --namespace=terrace-system --patch={\"data\":{\"claim\":\"e30=\"}}");
    let error = words(stack.try_plan(&stack.bundle(NAMESPACE)).await);
    assert!(
        error.contains("is not a valid record")
            && error.contains(
                "kubectl --context local delete secret --namespace terrace-system damaged.testing.claim"
            ),
        "{error}"
    );
}
