//! Documents that several tests use. `$N` is the placeholder for the stack's name.

/// The stack's namespace.
pub(crate) const NAMESPACE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: $N}
";

/// A ConfigMap with two keys.
pub(crate) const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: $N}
data: {color: blue, shape: round}
";

/// A RoleBinding. Its `roleRef` is immutable.
pub(crate) const READERS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: $N}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: Group, name: readers}]
";

/// Joins documents after the stack's namespace.
pub(crate) fn in_namespace<'a>(documents: impl IntoIterator<Item = &'a str>) -> String {
    let mut yaml = NAMESPACE.to_owned();
    for document in documents {
        yaml += "\n---\n";
        yaml += document;
    }
    yaml
}

/// Returns a Deployment, a StatefulSet or a DaemonSet with one container; `spec` contains further fields of its `spec`.
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

/// Returns a Job; `spec` contains further fields of its `spec`.
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

/// Returns a PersistentVolumeClaim that holds data.
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
