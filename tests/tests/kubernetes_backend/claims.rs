//! PersistentVolumeClaims that are in use, that were enlarged manually, and those of StatefulSets.

use std::time::Duration;

use terrace_deployer::{Action, Risk};

use crate::documents::{in_namespace, workload};
use crate::support::{Stack, address, show};

fn claim(size: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: files, namespace: $N, annotations: {{terrace.dev/holds-data: 'true'}}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}
"
    )
}

/// Returns a Deployment whose pods mount the PersistentVolumeClaim.
fn mounting() -> String {
    workload("Deployment", "web", "replicas: 2", "web:1", "1").replace(
        "containers: [{",
        "volumes: [{name: files, persistentVolumeClaim: {claimName: files}}], containers: [{",
    )
}

/// A PersistentVolumeClaim in use is neither replaced nor deleted, because its deletion would never complete. The
/// refusal names the user and a command that stops it.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_replace_or_delete_a_claim_in_use() {
    let mut stack = Stack::new("used");
    stack.timeout = Duration::from_secs(90);
    let with = |size: &str| in_namespace([&*claim(size), &mounting()]);
    stack.apply(&with("2Gi")).await;
    assert!(mounting().contains("claimName"), "{}", mounting());
    stack.approved = vec![address("platform/used/persistentvolumeclaim-files")];
    let refusal = stack.refusal(&with("1Gi")).await;
    assert!(
        refusal.contains("PersistentVolumeClaim used/files cannot be replaced while it is used by Deployment web (pods web-"),
        "{refusal}"
    );
    assert!(
        refusal.contains("kubectl --context local scale deployment web --namespace used --replicas=0"),
        "{refusal}"
    );
    // Deleting only the PersistentVolumeClaim would never complete either.
    let without_claim = in_namespace([&*mounting()]);
    let refusal = stack.refusal(&without_claim).await;
    assert!(
        refusal.contains("used/files cannot be deleted while it is used by Deployment web"),
        "{refusal}"
    );
    assert_eq!(
        stack.field("persistentvolumeclaim/files --namespace=$N", ".status.phase"),
        "Bound"
    );

    // The suggested commands work: stop the pods, replace the PersistentVolumeClaim, start the pods.
    stack.kubectl("scale deployment web --namespace=$N --replicas=0");
    stack.kubectl("wait pod --namespace=$N --selector=app=web --for=delete --timeout=60s");
    stack.apply(&with("1Gi")).await;
    assert_eq!(
        stack.field(
            "persistentvolumeclaim/files --namespace=$N",
            ".spec.resources.requests.storage"
        ),
        "1Gi"
    );
    assert_eq!(
        stack.field("deployment/web --namespace=$N", ".status.readyReplicas"),
        "2"
    );
    // Deleting everything together needs no such refusal.
    stack.destroy(&with("1Gi")).await;
}

/// A PersistentVolumeClaim in use was deleted manually: it cannot be replaced until its users stop.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_replace_a_terminating_claim_in_use() {
    let stack = Stack::new("dying");
    let yaml = in_namespace([&*claim("1Gi"), &mounting()]);
    stack.apply(&yaml).await;
    stack.kubectl("delete persistentvolumeclaim files --namespace=$N --wait=false");
    let refusal = stack.refusal(&yaml).await;
    assert!(
        refusal.contains(
            "PersistentVolumeClaim dying/files is still being deleted, because it is used by Deployment web"
        ),
        "{refusal}"
    );
    stack.kubectl("scale deployment web --namespace=$N --replicas=0");
    stack.kubectl("wait pod --namespace=$N --selector=app=web --for=delete --timeout=60s");
    stack.apply(&yaml).await;
}

/// A PersistentVolumeClaim that lost its label and left the stack is found, and deleted only with approval.
#[tokio::test(flavor = "multi_thread")]
async fn finds_a_claim_that_lost_its_label() {
    let mut stack = Stack::new("unlabelled-claim");
    stack.apply(&in_namespace([&*claim("1Gi")])).await;
    stack.kubectl("label persistentvolumeclaim files --namespace=$N terrace.dev/stack-");
    let others =
        in_namespace(["{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: $N}}"]);
    let plan = stack.plan(&others).await;
    let shown = show(&plan);
    assert!(
        shown.contains("delete PersistentVolumeClaim files: no longer in the stack\n")
            && shown.contains("  note: its label `terrace.dev/stack` was removed"),
        "{shown}"
    );
    let refusal = stack.refusal_of(&plan).await;
    assert!(
        refusal.contains("--approve 'platform/unlabelled-claim/persistentvolumeclaim-files'"),
        "{refusal}"
    );
    stack.approved = vec![address("platform/unlabelled-claim/persistentvolumeclaim-files")];
    stack.apply(&others).await;
    assert!(
        stack
            .cluster
            .get(&["persistentvolumeclaim", "files", "--namespace=unlabelled-claim"])
            .is_none()
    );
}

/// A PersistentVolumeClaim that was enlarged manually keeps its size and does not block other changes.
#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_manually_enlarged_claim() {
    let stack = Stack::new("enlarged");
    let with = |size: &str, color: &str| {
        let settings = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings, namespace: $N}}, data: {{color: {color}}}}}"
        );
        in_namespace([&*claim(size), &settings])
    };
    stack.apply(&with("1Gi", "blue")).await;
    stack.kubectl(
        "patch persistentvolumeclaim files --namespace=$N --type=merge --patch={\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}",
    );
    let plan = stack.plan(&with("1Gi", "red")).await;
    assert!(plan.loses_data().is_empty(), "{}", show(&plan));
    let notes: Vec<&String> = plan.steps.iter().flat_map(|step| &step.change.notes).collect();
    assert_eq!(
        notes,
        [
            "another manager enlarged it to 2Gi, but the stack declares 1Gi: a PersistentVolumeClaim cannot shrink, so it keeps its size; declare `storage: 2Gi`"
        ]
    );
    stack.apply(&with("1Gi", "red")).await;
    let size = || {
        stack.field(
            "persistentvolumeclaim/files --namespace=$N",
            ".spec.resources.requests.storage",
        )
    };
    assert_eq!(size(), "2Gi");
    // Declares the enlarged size, then a larger one.
    stack.apply(&with("2Gi", "red")).await;
    stack.apply(&with("3Gi", "red")).await;
    assert_eq!(size(), "3Gi");
    // After the volume has really grown, a smaller declared size requires a replacement.
    stack.kubectl(
        "patch persistentvolumeclaim files --namespace=$N --subresource=status --type=merge --patch={\"status\":{\"capacity\":{\"storage\":\"3Gi\"}}}",
    );
    let plan = stack.plan(&with("2Gi", "red")).await;
    assert!(
        plan.changes().any(|step| step.change.action == Action::Replace),
        "{}",
        show(&plan)
    );
    assert_eq!(plan.loses_data().len(), 1);
}

/// A StatefulSet is replaced to enlarge its claim template. Its PersistentVolumeClaims remain, so no data is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_larger_claim_template_loses_no_data() {
    let mut stack = Stack::new("grown");
    stack.timeout = Duration::from_secs(90);
    let set = |size: &str, when_deleted: &str| {
        let more = format!(
            "serviceName: store
  persistentVolumeClaimRetentionPolicy: {{whenDeleted: {when_deleted}, whenScaled: Retain}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}"
        );
        let set = workload("StatefulSet", "store", &more, "store:1", "1");
        in_namespace([&*set.replace(
            "metadata: {name: store, namespace: $N}",
            "metadata: {name: store, namespace: $N, annotations: {terrace.dev/holds-data: 'true'}}",
        )])
    };
    stack.apply(&set("1Gi", "Retain")).await;
    let uid = stack.field(
        "persistentvolumeclaim/data-store-0 --namespace=$N",
        ".metadata.uid",
    );
    let plan = stack.plan(&set("3Gi", "Retain")).await;
    let step = plan.changes().next().expect("a change");
    assert_eq!(
        (step.change.action, step.change.risk),
        (Action::Replace, Risk::Replace),
        "{}",
        show(&plan)
    );
    assert_eq!(
        step.change.reason,
        "`spec.volumeClaimTemplates[0].spec.resources.requests.storage` cannot be changed in place"
    );
    assert!(plan.loses_data().is_empty(), "{}", show(&plan));
    stack.apply(&set("3Gi", "Retain")).await;
    assert_eq!(
        stack.field(
            "persistentvolumeclaim/data-store-0 --namespace=$N",
            ".metadata.uid"
        ),
        uid
    );
    // The policy that deletes the claims with the StatefulSet needs an approval, and so does each later replacement.
    stack.approved = [address("platform/grown/statefulset-store")]
        .into_iter()
        .collect();
    stack.apply(&set("3Gi", "Delete")).await;
    let plan = stack.plan(&set("4Gi", "Delete")).await;
    assert_eq!(
        plan.loses_data(),
        [&address("platform/grown/statefulset-store")]
            .into_iter()
            .collect(),
        "{}",
        show(&plan)
    );
}
