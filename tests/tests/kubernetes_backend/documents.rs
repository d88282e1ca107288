//! Documents that several tests start from. `$N` stands for the stack's name.

/// The stack's namespace.
pub(crate) const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: $N}
";

/// Who may read: its `roleRef` cannot be changed.
pub(crate) const READERS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: $N}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: Group, name: readers}]
";

/// Documents in the stack's namespace, which comes first.
pub(crate) fn in_namespace<'a>(documents: impl IntoIterator<Item = &'a str>) -> String {
    let mut yaml = NAMESPACE.to_owned();
    for document in documents {
        yaml += "\n---\n";
        yaml += document;
    }
    yaml
}

/// A Deployment, a StatefulSet or a DaemonSet of one container; `spec` is what else its `spec` has.
pub(crate) fn workload(kind: &str, name: &str, spec: &str, image: &str, cpu: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: $N}}
spec:
  {spec}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: 'registry.example/{image}', resources: {{requests: {{cpu: '{cpu}'}}}}}}]}}
"
    )
}

/// A Job that migrates; `spec` is what else its `spec` has.
pub(crate) fn job(image: &str, spec: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: migrate, namespace: $N}}
spec:
  {spec}
  template:
    spec: {{restartPolicy: Never, containers: [{{name: migrate, image: 'registry.example/{image}'}}]}}
"
    )
}

/// A claim that holds data.
pub(crate) fn archive(size: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: archive, namespace: $N, annotations: {{terrace.dev/holds-data: 'true'}}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}
"
    )
}
