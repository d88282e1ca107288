//! Bodies as people write them: nothing is said against them, and what is wrong with a broken one is found.

use expect_test::{Expect, expect};
use terrace_artifact::Value;
use terrace_catalog::{Problem, cloudformation, kubernetes};

fn body(json: &str) -> Value {
    Value::from_json(&serde_json::from_str(json).expect("the test's own JSON"))
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[track_caller]
fn resource(resource_type: &str, properties: &str, expected: Expect) {
    let mut problems = Vec::new();
    cloudformation(resource_type)
        .expect("a known type")
        .validate(&body(properties), &mut problems);
    expected.assert_eq(&shown(&problems));
}

#[track_caller]
fn object(object: &str, expected: Expect) {
    let object = body(object);
    let kind = kubernetes(
        object.get("apiVersion").unwrap().as_str().unwrap(),
        object.get("kind").unwrap().as_str().unwrap(),
    );
    let mut problems = Vec::new();
    kind.expect("a known kind").validate(&object, &mut problems);
    expected.assert_eq(&shown(&problems));
}

#[test]
fn a_bucket() {
    resource(
        "AWS::S3::Bucket",
        r#"{"BucketName": {"Fn::Sub": "${AWS::StackName}-raw"}, "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": [{"Id": "a", "Status": "Enabled", "ExpirationInDays": "30"}]},
            "Tags": [{"Key": "a", "Value": 5}]}"#,
        expect![""],
    );
    resource(
        "AWS::S3::Bucket",
        r#"{"BucketNaem": "x", "VersioningConfiguration": {"Status": "On"}, "Arn": "x", "Tags": {"a": "b"},
            "LifecycleConfiguration": {"Rules": [{"Id": "a", "ExpirationInDays": "soon"}]}}"#,
        expect![[r#"
            BucketNaem: there is no field `BucketNaem` here
            VersioningConfiguration.Status: `Status` must be `Enabled` or `Suspended`
            Arn: `Arn` is set by the server and cannot be given
            Tags: `Tags` must be a list, not a map
            LifecycleConfiguration.Rules[0].ExpirationInDays: `ExpirationInDays` must be an integer, not a string
            LifecycleConfiguration.Rules[0]: `Status` is missing
        "#]],
    );
}

#[test]
fn a_deployment() {
    object(
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "creationTimestamp": "x", "labels": {"a b": "c d"}},
            "spec": {"replica": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [
              {"name": "a", "image": 5, "imagePullPolicy": "Sometimes", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}],
               "resources": {"limits": {"cpu": "500mm", "memory": 5}}}]}}}, "status": {}}"#,
        expect![[r#"
            metadata.creationTimestamp: `creationTimestamp` is set by the server and cannot be given
            metadata.labels["a b"]: `a b` must be a key such as `app` or `example.org/app`: at most 63 letters, digits, `-`, `_` and `.` after an optional domain
            metadata.labels["a b"]: `a b` must be a label value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends
            spec.replica: there is no field `replica` here
            spec.template.spec.containers[0].image: `image` must be a string, not an integer
            spec.template.spec.containers[0].imagePullPolicy: `imagePullPolicy` must be `Always`, `IfNotPresent` or `Never`
            spec.template.spec.containers[0].ports[1]: item 1 repeats item 0
            spec.template.spec.containers[0].resources.limits.cpu: `cpu` must be a quantity such as 500m or 2Gi
            status: `status` is set by the server and cannot be given
        "#]],
    );
}
