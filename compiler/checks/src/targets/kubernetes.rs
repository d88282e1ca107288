//! The rules for Kubernetes objects.

use terrace_graph::lower::Lowered;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::targets::Kubernetes;

use crate::{
    Finding, Subject, TargetRules, autoscaling, environments, jobs, names, network, percentages, permissions,
    pods, quantities, quota, rbac, tenancy,
};

impl TargetRules for Kubernetes {
    fn check(&self, subject: &Subject<'_>, findings: &mut Vec<Finding>) {
        match subject.resource.kind.name().as_str() {
            "HorizontalPodAutoscaler" => autoscaling::autoscaler(subject, findings),
            "ResourceQuota" if !subject.inexact && !subject.senseless => quota::quota(subject, findings),
            "PodDisruptionBudget" => autoscaling::budget(subject, findings),
            "Role" | "ClusterRole" => {
                permissions::role(subject, findings);
                rbac::role(subject, findings);
            }
            _ => {}
        }
        pods::workload(subject, findings);
        percentages::percentages(subject, findings);
        jobs::job(subject, findings);
        quota::devices(subject, findings);
        names::indexed_job(subject, findings);
        network::names(subject, findings);
        tenancy::object(subject, findings);
        if subject.inexact {
            quantities::inexact(subject, findings);
        }
        if subject.senseless {
            quantities::senseless(subject, findings);
        }
        environments::name(subject, findings);
    }

    fn is_secret(&self, kind: &ResourceKind) -> bool {
        let of_object = kind.group_version_kind();
        of_object.is_some_and(|(api_version, kind)| api_version == "v1" && kind == "Secret")
    }

    fn has_password_properties(&self) -> bool {
        false
    }

    fn canonicalize(&self, resource: &Resource, lowered: &mut Lowered) {
        quantities::canonicalize(resource, lowered);
    }
}
