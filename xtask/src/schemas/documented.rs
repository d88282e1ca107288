//! The rules for Kubernetes objects that appear in the API's documentation but not in the schemas: allowed values, limits,
//! required fields, and fields that exclude each other. Verified against an API server 1.36.

use serde_json::{Value, json};

/// The allowed values: a definition (the end of its name), a field, and the values.
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
/// The types of limits, including two that only OpenShift has.
const LIMIT_TYPES: &[&str] = &[
    "Container",
    "PersistentVolumeClaim",
    "Pod",
    "openshift.io/Image",
    "openshift.io/ImageStream",
];

/// The limits of numbers: a definition, a field, the minimum and the maximum.
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

/// The required fields of definitions. The API's documentation calls them "effectively required".
const REQUIRED: &[(&str, &[&str])] = &[
    ("core.v1.ConfigMapEnvSource", &["name"]),
    ("core.v1.ConfigMapKeySelector", &["name"]),
    ("core.v1.ConfigMapProjection", &["name"]),
    ("core.v1.ConfigMapVolumeSource", &["name"]),
    ("core.v1.Container", &["image"]),
    ("core.v1.EphemeralContainer", &["image"]),
    ("core.v1.PersistentVolumeClaimSpec", &["accessModes", "resources"]),
    ("core.v1.PersistentVolumeSpec", &["accessModes", "capacity"]),
    ("core.v1.SecretEnvSource", &["name"]),
    ("core.v1.SecretKeySelector", &["name"]),
    ("core.v1.SecretProjection", &["name"]),
    ("core.v1.SecretVolumeSource", &["secretName"]),
];

/// The number of fields in a group that may be present.
#[derive(Clone, Copy)]
enum Choice {
    One,
    AtMostOne,
    AtLeastOne,
}

/// The groups of fields: a definition, the choice, and the fields. An empty list means all fields that refer to a volume source.
const CHOICES: &[(&str, Choice, &[&str])] = &[
    (
        "admissionregistration.v1.ParamRef",
        Choice::One,
        &["name", "selector"],
    ),
    (
        "admissionregistration.v1.WebhookClientConfig",
        Choice::One,
        &["service", "url"],
    ),
    (
        "apiextensions.v1.WebhookClientConfig",
        Choice::One,
        &["service", "url"],
    ),
    (
        "autoscaling.v2.MetricSpec",
        Choice::One,
        &["containerResource", "external", "object", "pods", "resource"],
    ),
    (
        "autoscaling.v2.MetricTarget",
        Choice::AtMostOne,
        &["averageUtilization", "averageValue"],
    ),
    (
        "batch.v1.PodFailurePolicyRule",
        Choice::One,
        &["onExitCodes", "onPodConditions"],
    ),
    (
        "batch.v1.SuccessPolicyRule",
        Choice::AtLeastOne,
        &["succeededCount", "succeededIndexes"],
    ),
    (
        "core.v1.DownwardAPIVolumeFile",
        Choice::One,
        &["fieldRef", "resourceFieldRef"],
    ),
    (
        "core.v1.EnvFromSource",
        Choice::One,
        &["configMapRef", "secretRef"],
    ),
    ("core.v1.EnvVar", Choice::AtMostOne, &["value", "valueFrom"]),
    (
        "core.v1.EnvVarSource",
        Choice::One,
        &[
            "configMapKeyRef",
            "fieldRef",
            "fileKeyRef",
            "resourceFieldRef",
            "secretKeyRef",
        ],
    ),
    (
        "core.v1.LifecycleHandler",
        Choice::One,
        &["exec", "httpGet", "sleep", "tcpSocket"],
    ),
    ("core.v1.PersistentVolumeSpec", Choice::One, &[]),
    (
        "core.v1.PodResourceClaim",
        Choice::One,
        &["resourceClaimName", "resourceClaimTemplateName"],
    ),
    (
        "core.v1.Probe",
        Choice::One,
        &["exec", "grpc", "httpGet", "tcpSocket"],
    ),
    ("core.v1.Volume", Choice::AtMostOne, &[]),
    (
        "core.v1.VolumeMount",
        Choice::AtMostOne,
        &["subPath", "subPathExpr"],
    ),
    (
        "networking.v1.IngressBackend",
        Choice::One,
        &["resource", "service"],
    ),
    (
        "networking.v1.IngressSpec",
        Choice::AtLeastOne,
        &["defaultBackend", "rules"],
    ),
    (
        "networking.v1.NetworkPolicyPeer",
        Choice::AtLeastOne,
        &["ipBlock", "namespaceSelector", "podSelector"],
    ),
    (
        "networking.v1.NetworkPolicyPeer",
        Choice::AtMostOne,
        &["ipBlock", "namespaceSelector"],
    ),
    (
        "networking.v1.NetworkPolicyPeer",
        Choice::AtMostOne,
        &["ipBlock", "podSelector"],
    ),
    (
        "networking.v1.ServiceBackendPort",
        Choice::One,
        &["name", "number"],
    ),
    (
        "policy.v1.PodDisruptionBudgetSpec",
        Choice::AtMostOne,
        &["maxUnavailable", "minAvailable"],
    ),
];

const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The pattern of a port name: at least one letter, and no two consecutive hyphens.
const PORT_NAME: &str = "^(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const SCHEDULE: &str = r"^\s*(@[a-z]+(\s+\S+)?|\S+(\s+\S+){4})\s*$";

/// The forms of strings: a definition, a field, the pattern and the maximum length in characters.
const FORMS: &[(&str, &str, &str, u32)] = &[
    ("batch.v1.CronJobSpec", "schedule", SCHEDULE, 1024),
    ("core.v1.Container", "name", LABEL, 63),
    ("core.v1.ContainerPort", "name", PORT_NAME, 15),
    ("core.v1.EnvVar", "name", "^[ -<>-~]+$", 1024),
    ("core.v1.EphemeralContainer", "name", LABEL, 63),
    ("core.v1.PodSpec", "hostname", LABEL, 63),
    ("core.v1.PodSpec", "serviceAccountName", SUBDOMAIN, 253),
    ("core.v1.ServicePort", "name", LABEL, 63),
    ("core.v1.Volume", "name", LABEL, 63),
    ("core.v1.VolumeMount", "mountPath", "^[^:]+$", 4096),
];

/// The resource names: a definition, its maps of resources to quantities, and the allowed names. Huge page sizes and
/// extended resources with a domain prefix are always allowed.
const RESOURCES: &[(&str, &[&str], &[&str])] = &[
    (
        "core.v1.LimitRangeItem",
        &["default", "defaultRequest", "max", "maxLimitRequestRatio", "min"],
        LIMITED,
    ),
    ("core.v1.PersistentVolumeSpec", &["capacity"], &["storage"]),
    ("core.v1.ResourceQuotaSpec", &["hard"], COUNTED),
    (
        "core.v1.ResourceRequirements",
        &["limits", "requests"],
        &["cpu", "ephemeral-storage", "memory"],
    ),
    (
        "core.v1.VolumeResourceRequirements",
        &["limits", "requests"],
        &["storage"],
    ),
];

const LIMITED: &[&str] = &["cpu", "ephemeral-storage", "memory", "storage"];
const COUNTED: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];
const OTHER_RESOURCE: &str = "^(((requests|limits)\\.)?hugepages-.+|.+/.+)$";

/// Adds the rules to an OpenAPI 3 document. Rules of the schema itself take precedence.
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
    for (definition, field, pattern, longest) in FORMS {
        if let Some(scalar) = scalar(document, definition, field)? {
            scalar["pattern"] = json!(pattern);
            scalar["maxLength"] = json!(longest);
        }
    }
    if let Some(schema) = self::definition(document, "core.v1.PodSpec") {
        schema["properties"]["containers"]["minItems"] = json!(1);
    }
    for (definition, fields) in REQUIRED {
        if let Some(schema) = self::definition(document, definition) {
            known(schema, definition, fields)?;
            push(&mut schema["required"], fields.iter().map(|field| json!(field)));
        }
    }
    for (definition, fields, resources) in RESOURCES {
        let Some(schema) = self::definition(document, definition) else {
            continue;
        };
        known(schema, definition, fields)?;
        for field in *fields {
            let map = &mut schema["properties"][*field];
            let quantity = map["additionalProperties"].take();
            map["properties"] = resources
                .iter()
                .map(|name| ((*name).to_owned(), quantity.clone()))
                .collect();
            map["patternProperties"] = json!({ OTHER_RESOURCE: quantity });
            map["additionalProperties"] = json!(false);
        }
    }
    for (definition, choice, fields) in CHOICES {
        if let Some(schema) = self::definition(document, definition) {
            known(schema, definition, fields)?;
            let fields = if fields.is_empty() {
                volume_sources(schema)
            } else {
                json!(fields)
            };
            let keyword = match choice {
                Choice::One => "requiredXor",
                Choice::AtMostOne => "atMostOne",
                Choice::AtLeastOne => "requiredOr",
            };
            push(&mut schema[keyword], [fields]);
        }
    }
    Ok(())
}

fn known(schema: &Value, definition: &str, fields: &[&str]) -> Result<(), String> {
    match fields
        .iter()
        .find(|field| schema["properties"].get(**field).is_none())
    {
        Some(field) => Err(format!("{definition} has no field {field} any more")),
        None => Ok(()),
    }
}

fn push(list: &mut Value, items: impl IntoIterator<Item = Value>) {
    if list.is_null() {
        *list = json!([]);
    }
    if let Value::Array(list) = list {
        list.extend(items);
    }
}

fn volume_sources(schema: &Value) -> Value {
    let refers = |property: &Value| {
        let reference = property["allOf"][0]["$ref"]
            .as_str()
            .or(property["$ref"].as_str());
        reference.is_some_and(|reference| reference.ends_with("VolumeSource"))
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .filter(|(_, property)| refers(property))
        .map(|(name, _)| json!(name))
        .collect()
}

/// Returns the definition whose name ends in `definition`, if the document has it.
fn definition<'d>(document: &'d mut Value, definition: &str) -> Option<&'d mut Value> {
    let schemas = document.pointer_mut("/components/schemas")?.as_object_mut()?;
    let suffix = format!(".{definition}");
    schemas
        .iter_mut()
        .find(|(name, _)| name.ends_with(&suffix))
        .map(|(_, schema)| schema)
}

/// Returns the schema of a field, or of its items if the field is a list. Returns `None` if the document does not have the
/// definition.
fn scalar<'d>(
    document: &'d mut Value,
    definition: &str,
    field: &str,
) -> Result<Option<&'d mut Value>, String> {
    let Some(schema) = self::definition(document, definition) else {
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
