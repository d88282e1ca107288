//! The immutable fields of live Kubernetes objects. The schemas do not contain them. Sources: the API's documentation and the
//! validation code of Kubernetes 1.36.

use terrace_artifact::Segment;

/// The immutable fields of a kind, as paths of names separated by `/`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Immutable {
    /// Only these fields.
    Only(&'static [&'static str]),
    /// All fields under `spec` except these.
    SpecBut(&'static [&'static str]),
}

/// Returns the immutable fields of a kind.
pub(crate) fn of(group: &str, kind: &str) -> Immutable {
    use Immutable::{Only, SpecBut};
    match (group, kind) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => Only(&["spec/selector"]),
        ("apps", "StatefulSet") => SpecBut(&[
            "spec/replicas",
            "spec/ordinals",
            "spec/template",
            "spec/updateStrategy",
            "spec/revisionHistoryLimit",
            "spec/persistentVolumeClaimRetentionPolicy",
            "spec/minReadySeconds",
        ]),
        ("apps", "ControllerRevision") => Only(&["data"]),
        ("batch", "Job") => Only(&[
            "spec/selector",
            "spec/template",
            "spec/completionMode",
            "spec/podFailurePolicy",
            "spec/successPolicy",
            "spec/backoffLimitPerIndex",
            "spec/managedBy",
            "spec/podReplacementPolicy",
        ]),
        ("", "Pod") => SpecBut(&[
            "spec/containers/image",
            "spec/initContainers/image",
            "spec/activeDeadlineSeconds",
            "spec/tolerations",
            "spec/terminationGracePeriodSeconds",
            "spec/schedulingGates",
        ]),
        ("", "Service") => Only(&["spec/clusterIP", "spec/clusterIPs"]),
        ("", "PersistentVolumeClaim") => SpecBut(&[
            "spec/resources/requests/storage",
            "spec/volumeAttributesClassName",
        ]),
        ("", "PersistentVolume") => SpecBut(&[
            "spec/capacity",
            "spec/accessModes",
            "spec/claimRef",
            "spec/persistentVolumeReclaimPolicy",
            "spec/mountOptions",
            "spec/storageClassName",
            "spec/volumeAttributesClassName",
            "spec/nodeAffinity",
        ]),
        ("", "Secret") => Only(&["type"]),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => Only(&["roleRef"]),
        ("storage.k8s.io", "StorageClass") => {
            Only(&["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"])
        }
        ("storage.k8s.io", "VolumeAttributesClass") => Only(&["driverName", "parameters"]),
        ("networking.k8s.io", "IngressClass") => Only(&["spec/controller"]),
        ("networking.k8s.io", "IPAddress" | "ServiceCIDR") => SpecBut(&[]),
        ("scheduling.k8s.io", "PriorityClass") => Only(&["value", "preemptionPolicy"]),
        ("node.k8s.io", "RuntimeClass") => Only(&["handler"]),
        ("discovery.k8s.io", "EndpointSlice") => Only(&["addressType"]),
        ("certificates.k8s.io", "CertificateSigningRequest") => SpecBut(&[]),
        ("resource.k8s.io", "ResourceClaim" | "ResourceClaimTemplate") => SpecBut(&[]),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Only(&["spec/group", "spec/scope", "spec/names/plural", "spec/names/kind"])
        }
        _ => Only(&[]),
    }
}

/// Returns whether a path is equal to `known` or below it.
pub(crate) fn is_within(known: &str, path: &[Segment]) -> bool {
    let mut keys = path.iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key.as_str()),
        Segment::Index(_) => None,
    });
    known
        .split('/')
        .all(|step| keys.next().is_some_and(|key| key == step))
}
