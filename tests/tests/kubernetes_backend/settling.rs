//! Readiness: objects of each kind that become ready, fail, or time out.

use std::time::Duration;

use terrace_deployer::{Error, FailureKind, Outcome};

use crate::documents::{NAMESPACE, in_namespace, job, workload};
use crate::support::{Stack, address, show};

/// Returns the outcome of the step that did not complete.
async fn outcome(stack: &Stack<'_>, yaml: &str) -> Outcome {
    let error = stack
        .try_apply(&in_namespace([yaml]))
        .await
        .expect_err("the object does not become ready");
    let Error::Partly(report) = error else {
        panic!("{error}")
    };
    let bad = report
        .steps
        .into_iter()
        .map(|(_, outcome)| outcome)
        .find(|outcome| *outcome != Outcome::Done);
    bad.expect("a step that did not complete")
}

async fn why_failed(stack: &Stack<'_>, yaml: &str) -> String {
    match outcome(stack, yaml).await {
        Outcome::Failed(failure) => match failure.kind {
            FailureKind::NotReady { why } => why,
            kind => panic!("{kind:?}"),
        },
        outcome => panic!("{outcome:?}"),
    }
}

async fn why_late(stack: &Stack<'_>, yaml: &str) -> String {
    match outcome(stack, yaml).await {
        Outcome::Unsettled(failure) => {
            assert_eq!(failure.kind, FailureKind::TimedOut);
            assert_eq!(failure.detail.server, None);
            failure.detail.last_state.expect("why")
        }
        outcome => panic!("{outcome:?}"),
    }
}

fn late(name: &'static str) -> Stack<'static> {
    Stack {
        timeout: Duration::from_secs(4),
        ..Stack::new(name)
    }
}

fn deployment(image: &str, cpu: &str) -> String {
    workload("Deployment", "web", "replicas: 2", image, cpu)
}

/// An image that cannot be pulled fails the rollout, and the next version replaces the broken one.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_with_a_broken_image_fails() {
    let stack = Stack::new("deployment-failed");
    stack.apply(&in_namespace([&*deployment("web:1", "1")])).await;
    let why = why_failed(&stack, &deployment("web:broken", "1")).await;
    assert!(why.contains("of 2 pods are created; pod `web-"), "{why}");
    assert!(
        why.contains(
            "image `registry.example/web:broken` of container `web` cannot be pulled (ImagePullBackOff: "
        ),
        "{why}"
    );
    stack.apply(&in_namespace([&*deployment("web:2", "1")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_does_not_fit_on_a_node_times_out() {
    let stack = late("deployment-late");
    let why = why_late(&stack, &deployment("web:1", "500")).await;
    assert!(why.contains("0 of 2 pods are available; pod `web-"), "{why}");
    assert!(
        why.contains("` cannot be scheduled: ") && why.contains("Insufficient cpu"),
        "{why}"
    );
    // Another apply continues to wait.
    let plan = stack.plan(&in_namespace([&*deployment("web:1", "500")])).await;
    assert!(plan.changes_nothing() && !plan.is_empty(), "{}", show(&plan));
    let shown = terrace_deployer::render(&plan, false);
    assert!(shown.contains("in testing: no changes, 1 not ready\n"), "{shown}");
    assert!(
        shown.contains("  = Deployment deployment-late/web  not ready: 0 of 2 pods are available;"),
        "{shown}"
    );
    assert!(stack.try_apply_plan(&plan).await.is_err());
}

/// If a quota is too small, the message contains the event of the ReplicaSet.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_over_its_quota_reports_the_quota() {
    let quota = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: small, namespace: $N}
spec: {hard: {requests.cpu: '3'}}
";
    let stack = late("quota");
    stack.apply(&in_namespace([quota])).await;
    let why = why_late(&stack, &format!("{quota}---{}", deployment("web:1", "2"))).await;
    assert!(why.contains("1 of 2 pods are created: pods \"web-"), "{why}");
    assert!(
        why.contains(
            "exceeded quota: small, requested: requests.cpu=2, used: requests.cpu=2, limited: requests.cpu=3"
        ),
        "{why}"
    );
}

fn stateful_set(image: &str, cpu: &str) -> String {
    workload(
        "StatefulSet",
        "store",
        "serviceName: store\n  replicas: 2",
        image,
        cpu,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_with_a_broken_image_fails() {
    let stack = Stack::new("statefulset-failed");
    let why = why_failed(&stack, &stateful_set("store:broken", "1")).await;
    assert!(
        why.contains("1 of 2 pods are created; pod `store-0`: image `registry.example/store:broken`"),
        "{why}"
    );
    // The controller waits for a pod that never gets ready, whatever the next version is.
    stack.apply(&in_namespace([&*stateful_set("store:1", "1")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_that_does_not_fit_on_a_node_times_out() {
    let why = why_late(&late("statefulset-late"), &stateful_set("store:1", "500")).await;
    assert!(
        why.contains("1 of 2 pods are created; pod `store-0` cannot be scheduled: "),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_over_its_deadline_fails() {
    let stack = Stack::new("job-failed");
    let why = why_failed(&stack, &job("migrate:broken", "activeDeadlineSeconds: 2")).await;
    assert!(
        why.starts_with("DeadlineExceeded: Job was active longer than specified deadline"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_broken_image_times_out() {
    let why = why_late(&late("job-late"), &job("migrate:broken", "backoffLimit: 1")).await;
    assert!(why.starts_with("0 of 1 pod is complete; pod `migrate-"), "{why}");
}

fn claim(class: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: $N}}
spec: {{storageClassName: {class}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_a_storage_class_times_out() {
    let why = why_late(&late("claim-late"), &claim("no-such-class")).await;
    assert!(why.contains("it is not bound to a volume; PersistentVolumeClaim `data`: storageclass.storage.k8s.io \"no-such-class\" not found (event ProvisioningFailed)"), "{why}");
}

/// The volume of a PersistentVolumeClaim was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_its_volume_fails() {
    let mut stack = Stack::new("claim-failed");
    stack.apply(&in_namespace([&*claim("standard")])).await;
    let volume = stack.field("pvc/data --namespace=$N", ".spec.volumeName");
    stack.kubectl(&format!("delete pv {volume} --wait=false"));
    stack.kubectl(&format!(
        "patch pv {volume} --type=merge --patch={{\"metadata\":{{\"finalizers\":null}}}}"
    ));
    stack.kubectl("wait pvc/data --namespace=$N --for=jsonpath={.status.phase}=Lost --timeout=30s");
    let with_label = claim("standard").replace("name: data,", "name: data, labels: {a: b},");
    // The fixture declares no data, the live object is a PersistentVolumeClaim: the change of the mark needs an approval.
    stack.approved = vec![address("platform/claim-failed/persistentvolumeclaim-data")];
    let why = why_failed(&stack, &with_label).await;
    assert!(why.starts_with("its volume no longer exists"), "{why}");
}

/// A PersistentVolumeClaim that waits for its first consumer is ready while no pod uses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_for_its_first_pod_is_ready() {
    let stack = late("claim-waits");
    let class = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: claim-waits}
provisioner: example.com/none
volumeBindingMode: WaitForFirstConsumer
";
    let yaml = in_namespace([class, &claim("claim-waits")]);
    stack.apply(&yaml).await;
    assert_eq!(stack.field("pvc/data --namespace=$N", ".status.phase"), "Pending");
    // With a pod that uses it, it must be bound.
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: consumer, namespace: $N}
spec:
  containers: [{name: c, image: 'registry.example/c:1'}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
";
    let why = why_late(&stack, &format!("{class}---{}---{pod}", claim("claim-waits"))).await;
    assert_eq!(
        why,
        "its phase is `Pending`; pod `consumer` waits for PersistentVolumeClaim `data`, which is not bound to a volume"
    );
}

fn definition(plural: &str, kind: &str) -> String {
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.$N.example.com}}
spec:
  group: $N.example.com
  scope: Cluster
  names: {{plural: {plural}, kind: {kind}}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]
"
    )
}

/// A CRD with the names of another CRD.
#[tokio::test(flavor = "multi_thread")]
async fn a_crd_with_taken_names_fails() {
    let stack = Stack::new("definition-failed");
    stack.apply(&definition("widgets", "Widget")).await;
    let why = why_failed(
        &stack,
        &format!(
            "{}---{}",
            definition("widgets", "Widget"),
            definition("gadgets", "Widget")
        ),
    )
    .await;
    assert!(
        why.starts_with("its names conflict with another CRD: \"Widget")
            && why.ends_with("is already in use"),
        "{why}"
    );
}

/// Custom resources are ready according to their conditions, and a CRD is deleted after its custom resources.
#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_are_ready_by_their_conditions() {
    let stack = late("conditions");
    let with = |size: u32| {
        let widget = format!(
            "
apiVersion: $N.example.com/v1
kind: Widget
metadata: {{name: one, finalizers: [example.com/stay]}}
spec: {{size: {size}}}
"
        );
        format!("{}---{widget}", definition("widgets", "Widget"))
    };
    // Writes a condition like an operator.
    let operator = |condition: &str| {
        stack.kubectl(&format!(
            "patch widgets.conditions.example.com one --type=merge --patch={{\"status\":{{\"conditions\":[{condition}]}}}}"
        ));
    };
    stack.apply(&in_namespace([&*with(1)])).await;
    operator("{\"type\":\"Ready\",\"status\":\"False\",\"message\":\"unpainted\"}");
    assert_eq!(why_late(&stack, &with(2)).await, "unpainted");
    operator("{\"type\":\"Stalled\",\"status\":\"True\",\"message\":\"no-paint\"}");
    assert_eq!(why_failed(&stack, &with(3)).await, "no-paint");
    operator("{\"type\":\"Ready\",\"status\":\"True\"}");
    stack.apply(&in_namespace([&*with(4)])).await;

    // The deletion waits for the finalizer and reports it.
    let why = {
        let plan = stack.plan(NAMESPACE).await;
        let error = stack
            .try_apply_plan(&plan)
            .await
            .expect_err("the finalizer stays");
        let Error::Partly(report) = error else {
            panic!("{error}")
        };
        let bad = report
            .steps
            .into_iter()
            .map(|(_, outcome)| outcome)
            .find(|outcome| *outcome != Outcome::Done);
        match bad {
            Some(Outcome::Unsettled(failure)) => failure.detail.last_state.unwrap_or_default(),
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(why, "being deleted: waiting for the finalizer `example.com/stay`");
    stack.kubectl(
        "patch widgets.conditions.example.com one --type=merge --patch={\"metadata\":{\"finalizers\":null}}",
    );
    stack.apply(NAMESPACE).await;
    assert!(
        stack
            .cluster
            .get(&["crd", "widgets.conditions.example.com"])
            .is_none()
    );
}

/// A namespace is deleted after its contents, and the failure lists the remaining contents.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_a_finalizer_inside_times_out() {
    // The controller reports the remaining contents after a few seconds.
    let stack = Stack {
        timeout: Duration::from_secs(15),
        approved: vec![
            address("platform/namespace-late/namespace-namespace-late"),
            address("platform/namespace-late/namespace-namespace-late[\"ConfigMap/stays\"]"),
        ],
        ..Stack::new("namespace-late")
    };
    stack.apply(NAMESPACE).await;
    stack.cluster.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, namespace: namespace-late, finalizers: [example.com/stay]}}",
    );
    let plan = terrace_deployer::destroy_plan(
        &stack.bundle(NAMESPACE),
        &stack.access(),
        &terrace_deployer::PlanOptions::everything(),
    )
    .await
    .expect("a plan");
    let error = stack
        .try_apply_plan(&plan)
        .await
        .expect_err("an object with a finalizer remains");
    let words = error.to_string();
    assert!(
        words.contains(
            "Some content in the namespace has finalizers remaining: example.com/stay in 1 resource instances"
        ),
        "{words}"
    );
    // The stack contains the namespace again while it is being deleted: it is created after the deletion.
    let again = format!(
        "{NAMESPACE}---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings, namespace: $N}}, data: {{a: b}}}}"
    );
    let plan = stack.plan(&again).await;
    let shown = show(&plan);
    assert!(
        shown.contains("create Namespace namespace-late: it does not exist"),
        "{shown}"
    );
    assert!(
        shown.contains("create ConfigMap settings: it does not exist"),
        "{shown}"
    );
    let patch = [
        "patch",
        "configmap",
        "stays",
        "--namespace=namespace-late",
        "--type=merge",
        "--patch={\"metadata\":{\"finalizers\":null}}",
    ];
    let stack = Stack {
        timeout: Duration::from_secs(60),
        ..stack
    };
    let old = stack.field("namespace/namespace-late", ".metadata.uid");
    let cluster = stack.cluster;
    let waiting = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        cluster.kubectl(&patch);
    });
    stack.try_apply_plan(&plan).await.expect("created again");
    waiting.join().expect("patched");
    assert_ne!(stack.field("namespace/namespace-late", ".metadata.uid"), old);
    assert!(stack.plan(&again).await.is_empty());
}
