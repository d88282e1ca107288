//! The fields of Kubernetes objects that contain quantities.
//!
//! The server stores a canonical spelling (`1000m` becomes `1`), but only in fields whose type is `Quantity`. The same text in a
//! custom resource is a string, and a different spelling there is a change.

/// Returns whether the field at `path` of a built-in object is a quantity.
///
/// `path` holds keys from the root; items of lists appear as `*`.
pub(crate) fn is_quantity_field(api_version: &str, path: &[&str]) -> bool {
    if !is_built_in(api_version) {
        return false;
    }
    match path {
        [.., "limits" | "requests", _] => path.len() >= 3 && path[path.len() - 3] == "resources",
        [.., "overhead", _] => path.iter().rev().nth(2) == Some(&"spec"),
        [.., "emptyDir", "sizeLimit"] => true,
        [.., "resourceFieldRef", "divisor"] => true,
        ["spec", "hard", _] | ["spec", "capacity", _] => true,
        [
            "spec",
            "limits",
            "*",
            "max" | "min" | "default" | "defaultRequest" | "maxLimitRequestRatio",
            _,
        ] => true,
        ["spec", "metrics", "*", _, "target", "value" | "averageValue"] => true,
        _ => false,
    }
}

/// Returns whether the API server itself serves this group. Some groups of custom resources also end in `k8s.io` (Gateway API), so this
/// is a list of names.
pub(crate) fn is_built_in(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    matches!(
        group,
        "" | "apps"
            | "autoscaling"
            | "batch"
            | "policy"
            | "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "certificates.k8s.io"
            | "coordination.k8s.io"
            | "discovery.k8s.io"
            | "events.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "node.k8s.io"
            | "rbac.authorization.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_quantities_only_in_built_in_fields() {
        let pod = ["spec", "containers", "*", "resources", "limits", "cpu"];
        assert!(is_quantity_field("v1", &pod));
        assert!(!is_quantity_field("example.com/v1", &pod));
        assert!(!is_quantity_field("v1", &["data", "cpu"]));
        assert!(is_quantity_field("v1", &["spec", "hard", "requests.cpu"]));
        assert!(!is_quantity_field("gateway.networking.k8s.io/v1", &pod));
    }
}
