//! In-place changes that lose data, and deletions of resources that hold data: each is refused until it is approved,
//! and the live resources do not change.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::small::Small;

/// A property of a live resource that retains data.
struct Property {
    /// The component and the resource of the same name.
    name: &'static str,
    resource_type: &'static str,
    /// Properties that keep data, and properties that lose it.
    keeps: &'static str,
    loses: &'static str,
    /// Expected lines of the plan: the path, the value before and the value after.
    shown: &'static [&'static str],
}

const PROPERTIES: &[Property] = &[
    Property {
        name: "lake",
        resource_type: "AWS::S3::Bucket",
        keeps: "{VersioningConfiguration: {Status: Enabled}, \
                LifecycleConfiguration: {Rules: [{Id: old, Status: Enabled, Prefix: tmp/, ExpirationInDays: 400}]}}",
        loses: "{VersioningConfiguration: {Status: Suspended}, \
                LifecycleConfiguration: {Rules: [{Id: old, Status: Enabled, ExpirationInDays: 1}]}}",
        shown: &[
            "loses data: `LifecycleConfiguration.Rules",
            "loses data: `VersioningConfiguration.Status` \"Enabled\" → \"Suspended\": ",
        ],
    },
    Property {
        name: "stream",
        resource_type: "AWS::Kinesis::Stream",
        keeps: "{ShardCount: 1, RetentionPeriodHours: 168}",
        loses: "{ShardCount: 1, RetentionPeriodHours: 24}",
        shown: &["loses data: `RetentionPeriodHours` 168 → 24: "],
    },
    Property {
        name: "logs",
        resource_type: "AWS::Logs::LogGroup",
        keeps: "{RetentionInDays: 400}",
        loses: "{RetentionInDays: 1}",
        shown: &["loses data: `RetentionInDays` 400 → 1: "],
    },
    Property {
        name: "inbox",
        resource_type: "AWS::SQS::Queue",
        keeps: "{MessageRetentionPeriod: 1209600}",
        loses: "{MessageRetentionPeriod: 60}",
        shown: &["loses data: `MessageRetentionPeriod` 1209600 → 60: "],
    },
    Property {
        name: "orders",
        resource_type: "AWS::DynamoDB::Table",
        keeps: "{BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: id, AttributeType: S}], \
                KeySchema: [{AttributeName: id, KeyType: HASH}], \
                PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}}",
        loses: "{BillingMode: PAY_PER_REQUEST, AttributeDefinitions: [{AttributeName: id, AttributeType: S}], \
                KeySchema: [{AttributeName: id, KeyType: HASH}], \
                TimeToLiveSpecification: {AttributeName: seen, Enabled: true}}",
        shown: &[
            "loses data: `PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled` true → false: ",
            "loses data: `TimeToLiveSpecification",
        ],
    },
    Property {
        name: "ledger",
        resource_type: "AWS::RDS::DBInstance",
        keeps: "{Engine: postgres, DBInstanceClass: db.t4g.micro, AllocatedStorage: '20', MasterUsername: root, \
                ManageMasterUserPassword: true, BackupRetentionPeriod: 14}",
        loses: "{Engine: postgres, DBInstanceClass: db.t4g.micro, AllocatedStorage: '20', MasterUsername: root, \
                ManageMasterUserPassword: true, BackupRetentionPeriod: 0}",
        shown: &["loses data: `BackupRetentionPeriod` 14 → 0: "],
    },
    Property {
        name: "sales",
        resource_type: "AWS::Glue::Table",
        keeps: "{CatalogId: 'ACCOUNT', DatabaseName: default, TableInput: {Name: sales, \
                StorageDescriptor: {Columns: [{Name: id, Type: bigint}, {Name: amount, Type: bigint}]}}}",
        loses: "{CatalogId: 'ACCOUNT', DatabaseName: default, TableInput: {Name: sales, \
                StorageDescriptor: {Columns: [{Name: id, Type: int}]}}}",
        shown: &["loses data: `TableInput.StorageDescriptor.Columns"],
    },
    Property {
        name: "key",
        resource_type: "AWS::KMS::Key",
        keeps: "{KeyPolicy: POLICY}",
        loses: "{KeyPolicy: POLICY, Enabled: false}",
        shown: &["loses data: `Enabled` true → false: "],
    },
];

const KEY_POLICY: &str = "{Version: '2012-10-17', Statement: [{Effect: Allow, Action: 'kms:*', Resource: '*', \
                          Principal: {AWS: 'arn:aws:iam::ACCOUNT:root'}}]}";

/// Two pods with a PersistentVolumeClaim each. Scaling down deletes the claim of the removed pod.
const SET: &str = "---\nkind: Component\nname: server\ntenants: all\nexisting: [{type: v1/Service, name: server}]\nresources:\n  \
    pods:\n    type: apps/v1/StatefulSet\n    spec:\n      serviceName: server\n      replicas: REPLICAS\n      \
    persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}\n      selector: {matchLabels: {app: server}}\n      \
    template:\n        metadata: {labels: {app: server}}\n        \
    spec: {containers: [{name: server, image: 'registry.example/server:1', volumeMounts: [{name: disk, mountPath: /data}]}]}\n      \
    volumeClaimTemplates: [{metadata: {name: disk}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]\n";

/// Declares all resources, each with the properties that `of` selects.
fn declare(small: &Small, replicas: u32, of: fn(&Property) -> &'static str) {
    let mut text = String::from(
        "kind: Component\nname: home\ntenants: all\nresources:\n  \
         namespace: {type: v1/Namespace, metadata: {name: '{{ namespace }}'}}\n",
    );
    for property in PROPERTIES {
        let _ = write!(
            text,
            "---\nkind: Component\nname: {0}\ntenants: all\nresources: {{{0}: {{type: '{1}', properties: {2}}}}}\n",
            property.name,
            property.resource_type,
            of(property)
                .replace("POLICY", KEY_POLICY)
                .replace("ACCOUNT", small.account.id()),
        );
    }
    text += &SET.replace("REPLICAS", &replicas.to_string());
    small.stack.write("components.yaml", &text);
}

/// Returns the addresses that require approval.
fn addresses(small: &Small) -> Vec<String> {
    let named = PROPERTIES
        .iter()
        .map(|property| format!("{}/{1}/{1}", small.tenant(), property.name));
    named.chain([format!("{}/server/pods", small.tenant())]).collect()
}

/// Returns the values that the services themselves report.
fn live_values(small: &Small) -> Json {
    let template = |stack: &str| {
        let name = format!("{}-live-{}-{stack}", small.platform(), small.tenant());
        let found = small
            .account
            .call("cloudformation", "get_template", json!({"StackName": name}));
        found["TemplateBody"].clone()
    };
    let queue = small.account.call("sqs", "list_queues", json!({}));
    let retention = json!({"QueueUrl": queue["QueueUrls"][0], "AttributeNames": ["MessageRetentionPeriod"]});
    let tables = small.account.call("dynamodb", "list_tables", json!({}));
    let recovery = json!({"TableName": tables["TableNames"][0]});
    let set = small
        .object("statefulset", "server-pods")
        .expect("the StatefulSet exists");
    json!({
        "templates": PROPERTIES.iter().map(|property| template(property.name)).collect::<Vec<Json>>(),
        "logs": small.account.call("logs", "describe_log_groups", json!({}))["logGroups"][0]["retentionInDays"],
        "queue": small.account.call("sqs", "get_queue_attributes", retention)["Attributes"],
        "recovery": small.account.call("dynamodb", "describe_continuous_backups", recovery)["ContinuousBackupsDescription"]
            ["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
        "replicas": set["spec"]["replicas"],
    })
}

/// Asserts that a command was refused with requests for all these approvals.
#[track_caller]
fn assert_refused(small: &Small, command: &[&str], reason: &str) {
    let refused = small.terrace().run(command).expect(4);
    assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    for address in addresses(small) {
        let approve = format!("--approve '{address}'");
        assert!(
            refused.stderr.contains(&approve),
            "no `{approve}` in\n{}",
            refused.stderr
        );
    }
}

/// Runs a command with all these approvals, and more of them.
fn approved(small: &Small, command: &[&str], more: &[String]) {
    let addresses = [addresses(small).as_slice(), more].concat();
    let approvals = addresses
        .iter()
        .flat_map(|address| ["--approve", address.as_str()]);
    let command: Vec<&str> = command.iter().copied().chain(approvals).collect();
    let _ = small.terrace().run(&command).expect(0);
}

#[test]
fn refuses_to_lose_data_in_place_without_approval() {
    let small = Small::new();
    let database = json!({"DatabaseInput": {"Name": "default"}});
    small.account.call("glue", "create_database", database);
    declare(&small, 2, |property| property.keeps);
    let _ = small.apply();
    let before = live_values(&small);

    declare(&small, 1, |property| property.loses);
    let plan = ["plan", "-e", "live", "--save", "plan.json"];
    let planned = small.terrace().run(&plan).expect(0);
    let lines = PROPERTIES
        .iter()
        .flat_map(|property| property.shown.iter().copied());
    for line in lines.chain(["loses data: `spec.replicas` 2 → 1: ", "[LOSES DATA]"]) {
        assert!(
            planned.stdout.contains(line),
            "no `{line}` in\n{}",
            planned.stdout
        );
    }
    let saved: Json = serde_json::from_str(&small.stack.read("plan.json")).expect("JSON");
    let steps = saved["steps"].as_array().expect("a list");
    let losses = steps.iter().filter(|step| {
        step["losses"][0]["what"].is_string() || step["members"][0]["losses"][0]["what"].is_string()
    });
    assert_eq!(losses.count(), PROPERTIES.len() + 1, "{saved}");

    assert_refused(
        &small,
        &["apply", "-e", "live", "--yes"],
        "the plan would lose data",
    );
    assert_refused(&small, &["apply", "plan.json"], "the plan would lose data");
    assert_eq!(live_values(&small), before);

    approved(&small, &["apply", "plan.json"], &[]);
    let after = live_values(&small);
    assert_eq!(after["logs"], 1);
    assert_eq!(after["queue"]["MessageRetentionPeriod"], "60");
    assert_eq!(after["recovery"], "DISABLED");
    assert_eq!(after["replicas"], 1);

    // The opposite change loses no data.
    declare(&small, 2, |property| property.keeps);
    let planned = small.terrace().run(&["plan", "-e", "live"]).expect(0);
    assert!(!planned.stdout.contains("LOSES"), "{}", planned.stdout);
    let _ = small.apply();
    assert_eq!(live_values(&small), before);

    assert_refused(
        &small,
        &["destroy", "-e", "live", "--yes"],
        "stop managing data that is retained",
    );
    assert_eq!(live_values(&small), before);
    // The namespace contains the PersistentVolumeClaims of the StatefulSet.
    let namespace = format!("{}/home/namespace", small.tenant());
    let claims = [0, 1].map(|pod| format!(r#"{namespace}["PersistentVolumeClaim/disk-server-pods-{pod}"]"#));
    let contents = [&[namespace][..], &claims].concat();
    approved(&small, &["destroy", "-e", "live", "--yes"], &contents);
    // Retained resources have left their stacks and still exist.
    let stacks = small.account.call("cloudformation", "describe_stacks", json!({}));
    assert_eq!(stacks["Stacks"], json!([]));
    assert_eq!(
        small.account.call("dynamodb", "list_tables", json!({}))["TableNames"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        small.account.call("s3", "list_buckets", json!({}))["Buckets"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}
