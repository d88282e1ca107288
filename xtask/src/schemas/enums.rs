//! What the API's documentation says of a field and its schema does not: which values there are, and between which limits.

use serde_json::{Value, json};

/// A definition (the end of its name), a field, and the values there are.
const VALUES: &[(&str, &str, &[&str])] = &[
    (
        "admissionregistration.v1.ParamRef",
        "parameterNotFoundAction",
        &["Allow", "Deny"],
    ),
    ("admissionregistration.v1.Validation", "reason", DENIALS),
    (
        "apiextensions.v1.CustomResourceColumnDefinition",
        "type",
        COLUMN_TYPES,
    ),
    (
        "apiextensions.v1.CustomResourceConversion",
        "strategy",
        &["None", "Webhook"],
    ),
    (
        "apiextensions.v1.CustomResourceDefinitionSpec",
        "scope",
        &["Cluster", "Namespaced"],
    ),
    ("apiextensions.v1.JSONSchemaProps", "type", SCHEMA_TYPES),
    (
        "apiextensions.v1.JSONSchemaProps",
        "x-kubernetes-list-type",
        &["atomic", "map", "set"],
    ),
    (
        "apiextensions.v1.JSONSchemaProps",
        "x-kubernetes-map-type",
        &["atomic", "granular"],
    ),
    (
        "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenDeleted",
        &["Delete", "Retain"],
    ),
    (
        "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenScaled",
        &["Delete", "Retain"],
    ),
    ("autoscaling.v2.HPAScalingPolicy", "type", &["Percent", "Pods"]),
    (
        "autoscaling.v2.HPAScalingRules",
        "selectPolicy",
        &["Disabled", "Max", "Min"],
    ),
    ("autoscaling.v2.MetricSpec", "type", METRIC_TYPES),
    (
        "autoscaling.v2.MetricTarget",
        "type",
        &["AverageValue", "Utilization", "Value"],
    ),
    ("core.v1.Container", "restartPolicy", RESTART_POLICIES),
    (
        "core.v1.ContainerResizePolicy",
        "resourceName",
        &["cpu", "memory"],
    ),
    (
        "core.v1.ContainerResizePolicy",
        "restartPolicy",
        &["NotRequired", "RestartContainer"],
    ),
    (
        "core.v1.ContainerRestartRule",
        "action",
        &["Restart", "RestartAllContainers"],
    ),
    (
        "core.v1.ContainerRestartRuleOnExitCodes",
        "operator",
        &["In", "NotIn"],
    ),
    ("core.v1.LimitRangeItem", "type", LIMIT_TYPES),
    ("core.v1.PodOS", "name", &["linux", "windows"]),
    (
        "core.v1.PodSecurityContext",
        "seLinuxChangePolicy",
        &["MountOption", "Recursive"],
    ),
    (
        "core.v1.VolumeMount",
        "recursiveReadOnly",
        &["Disabled", "Enabled", "IfPossible"],
    ),
    (
        "flowcontrol.v1.FlowDistinguisherMethod",
        "type",
        &["ByNamespace", "ByUser"],
    ),
    ("flowcontrol.v1.LimitResponse", "type", &["Queue", "Reject"]),
    (
        "flowcontrol.v1.PriorityLevelConfigurationSpec",
        "type",
        &["Exempt", "Limited"],
    ),
    (
        "flowcontrol.v1.Subject",
        "kind",
        &["Group", "ServiceAccount", "User"],
    ),
    (
        "meta.v1.LabelSelectorRequirement",
        "operator",
        &["DoesNotExist", "Exists", "In", "NotIn"],
    ),
    (
        "networking.v1.IngressClassParametersReference",
        "scope",
        &["Cluster", "Namespace"],
    ),
    ("rbac.v1.RoleRef", "apiGroup", &["", "rbac.authorization.k8s.io"]),
    ("rbac.v1.RoleRef", "kind", &["ClusterRole", "Role"]),
    ("rbac.v1.Subject", "apiGroup", &["", "rbac.authorization.k8s.io"]),
    ("rbac.v1.Subject", "kind", &["Group", "ServiceAccount", "User"]),
    (
        "storage.v1.CSIDriverSpec",
        "fsGroupPolicy",
        &["File", "None", "ReadWriteOnceWithFSType"],
    ),
    (
        "storage.v1.CSIDriverSpec",
        "volumeLifecycleModes",
        &["Ephemeral", "Persistent"],
    ),
];

const DENIALS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const SCHEMA_TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
/// OpenShift has two of its own.
const LIMIT_TYPES: &[&str] = &[
    "Container",
    "PersistentVolumeClaim",
    "Pod",
    "openshift.io/Image",
    "openshift.io/ImageStream",
];

/// A definition, a field, the least and the greatest number.
const LIMITS: &[(&str, &str, i64, Option<i64>)] = &[
    ("apps.v1.DeploymentSpec", "minReadySeconds", 0, None),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", 1, None),
    ("apps.v1.DeploymentSpec", "replicas", 0, None),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", 0, None),
    ("apps.v1.ReplicaSetSpec", "replicas", 0, None),
    ("apps.v1.StatefulSetSpec", "replicas", 0, None),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", 0, None),
    ("autoscaling.v2.HPAScalingPolicy", "periodSeconds", 1, Some(1800)),
    ("autoscaling.v2.HPAScalingPolicy", "value", 1, None),
    (
        "autoscaling.v2.HPAScalingRules",
        "stabilizationWindowSeconds",
        0,
        Some(3600),
    ),
    (
        "autoscaling.v2.HorizontalPodAutoscalerSpec",
        "maxReplicas",
        1,
        None,
    ),
    (
        "autoscaling.v2.HorizontalPodAutoscalerSpec",
        "minReplicas",
        0,
        None,
    ),
    ("autoscaling.v2.MetricTarget", "averageUtilization", 1, None),
    ("batch.v1.CronJobSpec", "failedJobsHistoryLimit", 0, None),
    ("batch.v1.CronJobSpec", "startingDeadlineSeconds", 0, None),
    ("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", 0, None),
    ("batch.v1.JobSpec", "activeDeadlineSeconds", 0, None),
    ("batch.v1.JobSpec", "backoffLimit", 0, None),
    ("batch.v1.JobSpec", "completions", 0, None),
    ("batch.v1.JobSpec", "parallelism", 0, None),
    ("batch.v1.JobSpec", "ttlSecondsAfterFinished", 0, None),
    ("core.v1.ContainerPort", "containerPort", 1, Some(65535)),
    ("core.v1.ContainerPort", "hostPort", 1, Some(65535)),
    ("core.v1.GRPCAction", "port", 1, Some(65535)),
    ("core.v1.PodSecurityContext", "runAsGroup", 0, None),
    ("core.v1.PodSecurityContext", "runAsUser", 0, None),
    ("core.v1.PodSpec", "activeDeadlineSeconds", 1, None),
    ("core.v1.PodSpec", "terminationGracePeriodSeconds", 0, None),
    ("core.v1.Probe", "failureThreshold", 1, None),
    ("core.v1.Probe", "initialDelaySeconds", 0, None),
    ("core.v1.Probe", "periodSeconds", 1, None),
    ("core.v1.Probe", "successThreshold", 1, None),
    ("core.v1.Probe", "terminationGracePeriodSeconds", 1, None),
    ("core.v1.Probe", "timeoutSeconds", 1, None),
    ("core.v1.SecurityContext", "runAsGroup", 0, None),
    ("core.v1.SecurityContext", "runAsUser", 0, None),
    ("core.v1.ServicePort", "nodePort", 0, Some(65535)),
    ("core.v1.ServicePort", "port", 1, Some(65535)),
    ("core.v1.TopologySpreadConstraint", "maxSkew", 1, None),
    ("core.v1.WeightedPodAffinityTerm", "weight", 1, Some(100)),
];

/// Adds what is known to a document of OpenAPI 3. What the schema says itself stays.
pub(super) fn add(document: &mut Value) -> Result<(), String> {
    for (definition, field, values) in VALUES {
        if let Some(scalar) = scalar(document, definition, field)?
            && scalar.get("enum").is_none()
        {
            scalar["enum"] = values.iter().copied().collect();
        }
    }
    for (definition, field, least, most) in LIMITS {
        if let Some(scalar) = scalar(document, definition, field)?
            && scalar.get("minimum").is_none()
        {
            scalar["minimum"] = json!(least);
            if let Some(most) = most {
                scalar["maximum"] = json!(most);
            }
        }
    }
    Ok(())
}

/// The schema of a field, of a list's items; nothing where the document has no such definition.
fn scalar<'d>(
    document: &'d mut Value,
    definition: &str,
    field: &str,
) -> Result<Option<&'d mut Value>, String> {
    let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") else {
        return Ok(None);
    };
    let suffix = format!(".{definition}");
    let Some((_, schema)) = schemas.iter_mut().find(|(name, _)| name.ends_with(&suffix)) else {
        return Ok(None);
    };
    let property = schema
        .pointer_mut(&format!("/properties/{field}"))
        .ok_or_else(|| format!("{definition} has no field {field} any more"))?;
    Ok(Some(if property["type"] == "array" {
        &mut property["items"]
    } else {
        property
    }))
}
