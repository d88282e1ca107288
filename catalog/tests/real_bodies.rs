//! Realistic bodies: valid ones are accepted, and the errors of broken ones are reported.

use expect_test::{Expect, expect};
use terrace_artifact::{Text, Tree, Value, View};
use terrace_catalog::{Problem, cloudformation, kubernetes, validate_resource_attributes};

fn body(json: &str) -> Value {
    serde_json::from_str(json).expect("the test's own JSON")
}

fn shown(problems: &[Problem]) -> String {
    let line = |problem: &Problem| match problem.help() {
        Some(help) => format!("{problem} ({help})\n"),
        None => format!("{problem}\n"),
    };
    problems.iter().map(line).collect()
}

#[track_caller]
fn resource(resource_type: &str, properties: &str, expected: Expect) {
    let mut problems = Vec::new();
    cloudformation(resource_type)
        .expect("a known type")
        .validate(&body(properties), &mut problems);
    expected.assert_eq(&shown(&problems));
}

fn object_problems(object: &Value) -> Vec<Problem> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut problems = Vec::new();
    kubernetes(text("apiVersion"), text("kind"))
        .expect("a known kind")
        .validate(object, &mut problems);
    problems
}

#[track_caller]
fn object(json: &str, expected: Expect) {
    expected.assert_eq(&shown(&object_problems(&body(json))));
}

#[test]
fn accepts_the_whole_workload() {
    let objects = body(include_str!("workload/objects.json"));
    for object in objects.as_list().unwrap() {
        assert_eq!(shown(&object_problems(object)), "", "{object}");
    }
    let template = body(include_str!("workload/template.json"));
    let resources = template.get("Resources").and_then(Value::as_map).unwrap();
    assert_eq!((objects.as_list().unwrap().len(), resources.len()), (12, 11));
    for (name, resource) in resources {
        let mut problems = Vec::new();
        validate_resource_attributes(resource, &mut problems);
        let known = cloudformation(resource.get("Type").unwrap().as_str().unwrap()).unwrap();
        known.validate(resource.get("Properties").unwrap(), &mut problems);
        assert_eq!(shown(&problems), "", "{name}");
    }
}

#[test]
fn checks_a_bucket() {
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
            BucketNaem: unknown field `BucketNaem` (did you mean `BucketName`?)
            VersioningConfiguration.Status: `Status` must be `Enabled` or `Suspended`
            Arn: `Arn` is read-only: only the server sets it
            Tags: `Tags` must be a list, not a map
            LifecycleConfiguration.Rules[0].ExpirationInDays: `ExpirationInDays` must be an integer, not a string
            LifecycleConfiguration.Rules[0]: `Status` is missing
        "#]],
    );
}

#[test]
fn accepts_functions_and_checks_their_branches() {
    resource(
        "AWS::SQS::Queue",
        r#"{"QueueName": {"Ref": "Name"}, "DelaySeconds": {"Fn::If": ["Fast", 0, {"Ref": "Delay"}]},
            "Tags": {"Fn::Split": [",", "a,b"]}, "FifoQueue": {"Fn::If": ["Fast", true, {"Ref": "AWS::NoValue"}]},
            "KmsMasterKeyId": {"Fn::GetAtt": ["Key", "Arn"]}}"#,
        expect![""],
    );
    resource(
        "AWS::SQS::Queue",
        r#"{"DelaySeconds": {"Fn::If": ["Fast", "soon", 901]}, "QueueName": {"Fn::Join2": ["", []]},
            "RedrivePolicy": {"maxReceiveCount": null}}"#,
        expect![[r#"
            DelaySeconds.Fn::If[1]: item 1 must be an integer, not a string
            DelaySeconds.Fn::If[2]: item 2 must be between 0 and 900
            QueueName.Fn::Join2: unknown field `Fn::Join2` (did you mean `Fn::Join`?)
            RedrivePolicy.maxReceiveCount: `maxReceiveCount` must be an integer, not null
        "#]],
    );
    // A condition may decide a required property, but both branches must give a value.
    resource(
        "AWS::SSM::Parameter",
        r#"{"Type": {"Fn::If": ["A", "String", {"Ref": "AWS::NoValue"}]}, "Value": "a"}"#,
        expect![""],
    );
    resource(
        "AWS::SSM::Parameter",
        r#"{"Type": {"Ref": "AWS::NoValue"}, "Value": "a"}"#,
        expect![[r#"
            `Type` is missing
        "#]],
    );
}

#[test]
fn rejects_keys_that_exclude_each_other() {
    resource(
        "AWS::Events::Rule",
        r#"{"Name": "a"}"#,
        expect![[r#"
        the body must have `EventPattern` or `ScheduleExpression`
    "#]],
    );
    resource(
        "AWS::EC2::Instance",
        r#"{"ImageId": "ami-12345678", "SubnetId": "subnet-12345678", "NetworkInterfaces": [{"DeviceIndex": "0"}]}"#,
        expect![[r#"
            SubnetId: `SubnetId` cannot be combined with `NetworkInterfaces`
        "#]],
    );
    resource(
        "AWS::IAM::Policy",
        r#"{"PolicyName": "a", "PolicyDocument": {"Version": "2012-10-17", "Statement": []}}"#,
        expect![[r#"
            the body must have `Users`, `Groups` or `Roles`
        "#]],
    );
    resource(
        "AWS::Lambda::Function",
        r#"{"Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ZipFile": "x"}, "Runtime": "python3.13", "Handler": "index.main",
            "Timeout": 1000, "MemorySize": 64, "Environment": {"Variables": {"A": 1, "B": "x"}}}"#,
        expect![[r#"
            MemorySize: `MemorySize` must be between 128 and 32768
            Environment.Variables.A: the key `A` must match `[a-zA-Z][a-zA-Z0-9_]+`
            Environment.Variables.B: the key `B` must match `[a-zA-Z][a-zA-Z0-9_]+`
        "#]],
    );
}

#[test]
fn checks_the_attributes_of_a_resource() {
    let check = |json: &str, expected: Expect| {
        let mut problems = Vec::new();
        validate_resource_attributes(&body(json), &mut problems);
        expected.assert_eq(&shown(&problems));
    };
    check(
        r#"{"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "DependsOn": ["A", "B"],
            "Condition": "C", "Metadata": {"a": null}, "Properties": {}}"#,
        expect![""],
    );
    check(
        r#"{"DeletionPolicy": "Retian", "DependsOn": {"a": 1}, "UpdateReplacePolicy": "RetainExceptOnCreate", "Propertys": {}}"#,
        expect![[r#"
            DeletionPolicy: `DeletionPolicy` must be `Delete`, `Retain`, `RetainExceptOnCreate` or `Snapshot` (did you mean `Retain`?)
            DependsOn: `DependsOn` must be a string or a list, not a map
            UpdateReplacePolicy: `UpdateReplacePolicy` must be `Delete`, `Retain` or `Snapshot`
            Propertys: unknown field `Propertys` (did you mean `Properties`?)
            `Type` is missing
        "#]],
    );
}

#[test]
fn checks_a_deployment() {
    object(
        r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "creationTimestamp": "x", "labels": {"a b": "c d"}},
            "spec": {"replica": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [
              {"name": "a", "image": 5, "imagePullPolicy": "Sometimes", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}],
               "resources": {"limits": {"cpu": "500mm", "memory": 5}}}]}}}, "status": {}}"#,
        expect![[r#"
            metadata.creationTimestamp: `creationTimestamp` is read-only: only the server sets it
            metadata.labels["a b"]: `a b` must be a key such as `app` or `example.org/app`: at most 63 letters, digits, `-`, `_` and `.` after an optional domain
            metadata.labels["a b"]: `a b` must be a label value: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends
            spec.replica: unknown field `replica` (did you mean `replicas`?)
            spec.template.spec.containers[0].image: `image` must be a string, not an integer
            spec.template.spec.containers[0].imagePullPolicy: `imagePullPolicy` must be `Always`, `IfNotPresent` or `Never`
            spec.template.spec.containers[0].ports[1]: item 1 repeats item 0
            spec.template.spec.containers[0].resources.limits.cpu: `cpu` must be a quantity such as 500m or 2Gi
            status: `status` is read-only: only the server sets it
        "#]],
    );
}

#[test]
fn enforces_rules_from_the_api_documentation() {
    object(
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "A", "image": "b",
            "livenessProbe": {"httpGet": {"port": 80}, "exec": {"command": ["a"]}}, "readinessProbe": {"periodSeconds": 0},
            "env": [{"name": "A", "valueFrom": {}}, {"name": "A=B", "value": "c"}], "ports": [{"containerPort": 0, "name": "much-too-long-a-name"}],
            "resources": {"limits": {"memmory": "1Gi", "nvidia.com/gpu": 1, "hugepages-2Mi": "4Mi"}}}]}}"#,
        expect![[r#"
            spec.containers[0].name: `name` must match `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
            spec.containers[0].livenessProbe.httpGet: `httpGet` cannot be combined with `exec`
            spec.containers[0].readinessProbe.periodSeconds: `periodSeconds` must be at least 1
            spec.containers[0].readinessProbe: `readinessProbe` must have `exec`, `grpc`, `httpGet` or `tcpSocket`
            spec.containers[0].env[0].valueFrom: `valueFrom` must have `configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`
            spec.containers[0].env[1].name: `name` must match `^[ -<>-~]+$`
            spec.containers[0].ports[0].containerPort: `containerPort` must be between 1 and 65535
            spec.containers[0].ports[0].name: `name` must have at most 15 characters
            spec.containers[0].resources.limits.memmory: unknown field `memmory` (did you mean `memory`?)
        "#]],
    );
    object(
        r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "a"}, "spec": {"hard": {"requests.cpu": "10", "count/jobs.batch": 5,
            "gold.storageclass.storage.k8s.io/requests.storage": "1Ti", "request.memory": "1Gi"}}}"#,
        expect![[r#"
            spec.hard["request.memory"]: unknown field `request.memory` (did you mean `requests.memory`?)
        "#]],
    );
    object(
        r#"{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"schedule": "0 2 * *", "concurrencyPolicy": "Never",
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": []}}}}}}"#,
        expect![[r#"
            spec.schedule: `schedule` must match `^\s*(@[a-z]+(\s+\S+)?|\S+(\s+\S+){4})\s*$`
            spec.concurrencyPolicy: `concurrencyPolicy` must be `Allow`, `Forbid` or `Replace`
            spec.jobTemplate.spec.template.spec.containers: `containers` must not be empty
        "#]],
    );
}

#[test]
fn checks_names_and_namespaces() {
    object(
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1st", "namespace": "A"}, "spec": {"type": "Loadbalancer"}}"#,
        expect![[r#"
            spec.type: `type` must be `ClusterIP`, `ExternalName`, `LoadBalancer` or `NodePort` (did you mean `LoadBalancer`?)
            metadata.name: `name` must be a DNS label that starts with a letter: at most 63 lower-case letters, digits and `-`
            metadata.namespace: `namespace` must be a DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends
        "#]],
    );
    object(
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team.a", "namespace": "b"}}"#,
        expect![[r#"
            metadata.name: `name` must be a DNS label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends
            metadata.namespace: `namespace` is not allowed: objects of this kind are cluster-scoped
        "#]],
    );
    object(
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"a": 1}, "binaryData": {"b": "?"}}"#,
        expect![[r#"
            data.a: `a` must be a string, not an integer
            binaryData.b: `b` must be a base64 string
            metadata: `name` is missing
        "#]],
    );
    object(
        r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:a"}, "rules": []}"#,
        expect![""],
    );
}

#[test]
fn checks_custom_resources() {
    object(
        r#"{"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "a"},
            "spec": {"endpoints": [{"port": "http", "intervall": "30s"}], "selector": {"matchLabels": {"app": "a"}}}}"#,
        expect![[r#"
            spec.endpoints[0].intervall: unknown field `intervall` (did you mean `interval`?)
        "#]],
    );
    object(
        r#"{"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "a"},
            "spec": {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": "1", "memory": "2Gx"}}}]}}}}}"#,
        expect![[r#"
            spec.headGroupSpec.template.spec.containers[0].resources.limits.memory: `memory` must be a quantity such as 500m or 2Gi
        "#]],
    );
}

/// A tree with parts that are known only after apply.
enum Later {
    Known(Vec<(Text, Later)>),
    Text(&'static str),
    Unknown,
}

impl Tree for Later {
    fn view(&self) -> View<'_, Later> {
        match self {
            Later::Known(entries) => View::Map(entries),
            Later::Text(text) => View::String(text),
            Later::Unknown => View::Unknown,
        }
    }
}

#[test]
fn values_known_after_apply_satisfy_any_type() {
    let bucket = Later::Known(vec![
        ("BucketName".into(), Later::Unknown),
        ("Tags".into(), Later::Unknown),
        ("AccessControl".into(), Later::Text("Open")),
    ]);
    let mut problems = Vec::new();
    cloudformation("AWS::S3::Bucket")
        .unwrap()
        .validate(&bucket, &mut problems);
    assert_eq!(problems.len(), 1, "{problems:?}");
}
