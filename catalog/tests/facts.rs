//! The facts in the catalog that are not part of the schemas: replacements, attributes, merge keys, immutable fields.

use terrace_artifact::Segment;
use terrace_catalog::{
    ListType, Replacement, cloudformation, is_built_in_group, kinds, kubernetes, nearest_kind, nearest_type,
    types,
};

fn path(text: &str) -> Vec<Segment> {
    let segment = |part: &str| {
        part.parse()
            .map_or_else(|_| Segment::Key(part.into()), Segment::Index)
    };
    text.split('.').map(segment).collect()
}

#[test]
fn reads_every_type_and_kind() {
    assert_eq!(types().count(), 1854);
    for name in types() {
        let known = cloudformation(name).unwrap();
        assert_eq!(known.name(), name);
        let has_some = known.properties().next().is_some();
        assert!(has_some, "{name} has no properties");
        assert!(!known.primary_identifier().is_empty(), "{name} has no identifier");
    }
    let mut count = (0, 0);
    for (version, name) in kinds() {
        let kind = kubernetes(version, name).unwrap();
        assert_eq!((kind.api_version(), kind.name()), (version, name));
        assert!(!kind.plural().is_empty());
        if kind.is_custom() {
            count.1 += 1;
        } else {
            count.0 += 1;
        }
    }
    assert!(count.0 >= 65 && count.1 >= 100, "{count:?}");
    assert!(cloudformation("AWS::S3::Bukcet").is_none());
    assert!(kubernetes("apps/v1", "Deploymnet").is_none());
    assert!(kubernetes("v1", "Deployment").is_none());
}

#[test]
fn threads_can_read_the_catalog_concurrently() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for name in types().step_by(37) {
                    assert!(cloudformation(name).is_some());
                }
                assert!(kubernetes("apps/v1", "StatefulSet").is_some());
            });
        }
    });
}

#[test]
fn create_only_properties_replace_the_resource() {
    let check = |name: &str, at: &str, expected| {
        assert_eq!(
            cloudformation(name).unwrap().is_create_only(&path(at)),
            expected,
            "{name} {at}"
        );
    };
    check("AWS::S3::Bucket", "BucketName", Replacement::Always);
    check(
        "AWS::S3::Bucket",
        "VersioningConfiguration.Status",
        Replacement::Never,
    );
    check("AWS::Kinesis::Stream", "Name", Replacement::Always);
    check("AWS::Kinesis::Stream", "ShardCount", Replacement::Never);
    check("AWS::Glue::Table", "TableInput.Name", Replacement::Always);
    check("AWS::Glue::Table", "TableInput.Description", Replacement::Never);
    check("AWS::Glue::Table", "TableInput", Replacement::Always);
    check(
        "AWS::DynamoDB::Table",
        "KeySchema.0.AttributeName",
        Replacement::Conditional,
    );
    check("AWS::RDS::DBInstance", "Engine", Replacement::Conditional);
    check(
        "AWS::StepFunctions::StateMachine",
        "StateMachineType",
        Replacement::Always,
    );
    check("AWS::Lambda::Function", "FunctionName", Replacement::Always);
}

#[test]
fn attributes_match_fn_get_att() {
    let check = |name: &str, attribute: &str, expected: bool| {
        assert_eq!(
            cloudformation(name).unwrap().attribute(attribute),
            expected,
            "{name} {attribute}"
        );
    };
    check("AWS::S3::Bucket", "Arn", true);
    check("AWS::S3::Bucket", "arn", false);
    check("AWS::S3::Bucket", "BucketName", false);
    check("AWS::IAM::Role", "Arn", true);
    check("AWS::IAM::Role", "RoleId", true);
    check("AWS::RDS::DBInstance", "Endpoint.Address", true);
    check("AWS::SQS::Queue", "QueueName", true);
    check("AWS::CloudFormation::Stack", "Outputs.Anything", true);
    check("AWS::CloudFormation::Stack", "Outputs.", false);
    check("Custom::Whatever", "Anything", true);
    assert_eq!(
        cloudformation("AWS::S3::Bucket").unwrap().primary_identifier(),
        ["BucketName"]
    );
}

#[test]
fn suggests_a_type_or_kind_for_a_misspelled_one() {
    assert_eq!(nearest_type("AWS::S3::Bukcet"), Some("AWS::S3::Bucket"));
    assert_eq!(nearest_type("AWS::Kinesis::stream"), Some("AWS::Kinesis::Stream"));
    assert_eq!(
        nearest_kind("apps/v1", "Deploymnet"),
        Some(("apps/v1", "Deployment"))
    );
    assert_eq!(nearest_kind("v1", "Deployment"), Some(("apps/v1", "Deployment")));
    assert_eq!(
        nearest_kind("apps/v1beta1", "Deployment"),
        Some(("apps/v1", "Deployment"))
    );
    assert_eq!(nearest_kind("example.org/v1", "Nothing at all"), None);
}

#[test]
fn groups_are_built_in_or_custom() {
    let built_in = [
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    for group in built_in {
        assert!(is_built_in_group(group), "{group}");
    }
    for group in [
        "gateway.networking.k8s.io",
        "monitoring.coreos.com",
        "example.com",
    ] {
        assert!(!is_built_in_group(group), "{group}");
    }
    // A group has no kinds of both sorts, so its first kind decides.
    for (version, name) in kinds() {
        let kind = kubernetes(version, name).unwrap();
        assert_eq!(
            is_built_in_group(kind.group()),
            !kind.is_custom(),
            "{version} {name}"
        );
    }
}

#[test]
fn kinds_state_their_scope_and_url_name() {
    let check = |version: &str, name: &str, plural: &str, namespaced: bool, custom: bool| {
        let kind = kubernetes(version, name).unwrap();
        assert_eq!(
            (kind.plural(), kind.namespaced(), kind.is_custom()),
            (plural, namespaced, custom),
            "{name}"
        );
    };
    check("v1", "Namespace", "namespaces", false, false);
    check(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "networkpolicies",
        true,
        false,
    );
    check(
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
        false,
        false,
    );
    check(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "servicemonitors",
        true,
        true,
    );
    check("ray.io/v1", "RayCluster", "rayclusters", true, true);
    check(
        "external-secrets.io/v1",
        "ClusterSecretStore",
        "clustersecretstores",
        false,
        true,
    );
    assert_eq!(kubernetes("v1", "Pod").unwrap().group(), "");
    assert_eq!(kubernetes("batch/v1", "Job").unwrap().group(), "batch");
}

#[test]
fn fields_state_how_they_merge() {
    let deployment = kubernetes("apps/v1", "Deployment").unwrap();
    let field = |at: &str| deployment.field(&path(at)).unwrap();
    let container = "spec.template.spec.containers";
    assert_eq!(field(container).list, ListType::Map(vec![("name", None)]));
    assert_eq!(
        field(&format!("{container}.0.ports")).list,
        ListType::Map(vec![("containerPort", None), ("protocol", Some("TCP".into()))])
    );
    assert_eq!(field(&format!("{container}.0.args")).list, ListType::Atomic);
    assert_eq!(field("metadata.finalizers").list, ListType::Set);
    assert!(field(&format!("{container}.0.resources.limits.cpu")).is_quantity);
    assert!(!field(&format!("{container}.0.image")).is_quantity);
    assert!(field("spec.selector").is_atomic_map);
    assert!(!field("metadata.labels").is_atomic_map);
    assert_eq!(deployment.field(&path("spec.nothing")), None);
    let service = kubernetes("v1", "Service").unwrap();
    assert_eq!(
        service.field(&path("spec.ports")).unwrap().list,
        ListType::Map(vec![("port", None), ("protocol", Some("TCP".into()))])
    );
    // The server treats a quantity of a custom resource as a string.
    let prometheus = kubernetes("monitoring.coreos.com/v1", "Prometheus").unwrap();
    assert!(
        !prometheus
            .field(&path("spec.resources.limits.cpu"))
            .unwrap()
            .is_quantity
    );
}

#[test]
fn immutable_fields_are_known() {
    let check = |version: &str, name: &str, at: &str, expected: bool| {
        assert_eq!(
            kubernetes(version, name).unwrap().is_immutable(&path(at)),
            expected,
            "{name} {at}"
        );
    };
    check("apps/v1", "Deployment", "spec.selector.matchLabels.app", true);
    check("apps/v1", "Deployment", "spec.replicas", false);
    check("apps/v1", "StatefulSet", "spec.replicas", false);
    check(
        "apps/v1",
        "StatefulSet",
        "spec.template.spec.containers.0.image",
        false,
    );
    check(
        "apps/v1",
        "StatefulSet",
        "spec.volumeClaimTemplates.0.spec.resources",
        true,
    );
    check("apps/v1", "StatefulSet", "metadata.labels.app", false);
    check("batch/v1", "Job", "spec.template.spec.containers.0.image", true);
    check("batch/v1", "Job", "spec.suspend", false);
    check(
        "v1",
        "PersistentVolumeClaim",
        "spec.resources.requests.storage",
        false,
    );
    check("v1", "PersistentVolumeClaim", "spec.storageClassName", true);
    check(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "roleRef.name",
        true,
    );
    check(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "subjects.0.name",
        false,
    );
    check("v1", "Secret", "type", true);
    check("v1", "Secret", "data.password", false);
    assert_eq!(
        kubernetes("v1", "ConfigMap").unwrap().frozen_by_mark(),
        ["data", "binaryData", "immutable"]
    );
}
