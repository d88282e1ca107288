//! Changes of one resource, and the losses that each change causes.

use terrace_artifact::Value;
use terrace_catalog::{loss_when_deleted, losses_of_object, losses_of_type};

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Describes the losses of a change. A value that contains `?` is known only after apply.
fn losses(resource_type: &str, before: &str, after: &str) -> Vec<String> {
    let is_open = |value: &Value| value.as_str().is_some_and(|text| text.contains('?'));
    let found = losses_of_type(resource_type, &value(before), &value(after), &is_open);
    found
        .iter()
        .map(|loss| format!("{}{loss}", if loss.certain { "" } else { "perhaps " }))
        .collect()
}

#[track_caller]
fn check(resource_type: &str, before: &str, after: &str, expect: &[&str]) {
    assert_eq!(
        losses(resource_type, before, after),
        expect,
        "{resource_type} {before} {after}"
    );
}

#[test]
fn detects_a_smaller_value_and_compares_with_the_default() {
    let stream = "AWS::Kinesis::Stream";
    check(
        stream,
        r#"{"RetentionPeriodHours": 168}"#,
        r#"{"RetentionPeriodHours": "24"}"#,
        &["`RetentionPeriodHours` 168 → \"24\": older records are deleted"],
    );
    check(
        stream,
        r#"{"RetentionPeriodHours": 24}"#,
        r#"{"RetentionPeriodHours": 168}"#,
        &[],
    );
    check(
        stream,
        r#"{"RetentionPeriodHours": 168}"#,
        "{}",
        &["`RetentionPeriodHours` 168 → 24: older records are deleted (24 is the default and the new value)"],
    );
    check(stream, "{}", r#"{"RetentionPeriodHours": 24}"#, &[]);
    check(
        stream,
        r#"{"RetentionPeriodHours": 168}"#,
        r#"{"RetentionPeriodHours": "?"}"#,
        &["perhaps `RetentionPeriodHours` 168 → \"?\": older records are deleted"],
    );
    check(
        "AWS::Logs::LogGroup",
        "{}",
        r#"{"RetentionInDays": 7}"#,
        &["`RetentionInDays` nothing → 7: older log events are deleted (there was no limit before)"],
    );
    check("AWS::Logs::LogGroup", r#"{"RetentionInDays": 7}"#, "{}", &[]);
    // For this type zero means no limit; for other types it means that nothing is kept.
    check(
        "AWS::Events::Archive",
        r#"{"RetentionDays": 0}"#,
        r#"{"RetentionDays": 30}"#,
        &["`RetentionDays` 0 → 30: older events are deleted"],
    );
    check("AWS::Events::Archive", r#"{"RetentionDays": 30}"#, "{}", &[]);
    check(
        "AWS::RDS::DBInstance",
        r#"{"BackupRetentionPeriod": 14}"#,
        r#"{"BackupRetentionPeriod": 0}"#,
        &["`BackupRetentionPeriod` 14 → 0: older backups are deleted"],
    );
    check(
        "AWS::S3::Bucket",
        r#"{"ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Years": 1}}}}"#,
        r#"{"ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}}}"#,
        &[
            "`ObjectLockConfiguration.Rule.DefaultRetention` {\"Mode\":\"GOVERNANCE\",\"Years\":1} → {\"Mode\":\"GOVERNANCE\",\"Days\":30}: new objects are locked for a shorter time",
        ],
    );
    assert_eq!(
        loss_when_deleted("AWS::Backup::BackupPlan"),
        Some("it no longer creates backups")
    );
    assert_eq!(loss_when_deleted("AWS::IAM::Role"), None);
}

#[test]
fn removing_a_protection_is_a_loss() {
    check(
        "AWS::DynamoDB::Table",
        r#"{"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}, "DeletionProtectionEnabled": "true"}"#,
        "{}",
        &[
            "`DeletionProtectionEnabled` \"true\" → false: it is no longer protected from deletion (false is the default and the new value)",
            "`PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled` true → false: a point in time can no longer be restored, and the recorded ones are deleted (false is the default and the new value)",
        ],
    );
    check(
        "AWS::DynamoDB::Table",
        "{}",
        r#"{"TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": true}}"#,
        &[
            "`TimeToLiveSpecification.Enabled` false → true: expired items are deleted (false is the default and the current value)",
        ],
    );
    check(
        "AWS::DynamoDB::Table",
        r#"{"TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": true}}"#,
        r#"{"TimeToLiveSpecification": {"AttributeName": "end", "Enabled": true}}"#,
        &[
            "`TimeToLiveSpecification.AttributeName` \"ttl\" → \"end\": a different attribute determines when items are deleted",
        ],
    );
    check(
        "AWS::DynamoDB::Table",
        r#"{"TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": false}}"#,
        r#"{"TimeToLiveSpecification": {"AttributeName": "end", "Enabled": false}}"#,
        &[],
    );
    check(
        "AWS::KMS::Key",
        "{}",
        r#"{"Enabled": false, "PendingWindowInDays": 7}"#,
        &[
            "`Enabled` true → false: data that it encrypted can no longer be read (true is the default and the current value)",
            "`PendingWindowInDays` 30 → 7: there is less time to cancel a deletion (30 is the default and the current value)",
        ],
    );
    check("AWS::KMS::Key", r#"{"Enabled": false}"#, "{}", &[]);
    check(
        "AWS::S3::Bucket",
        r#"{"VersioningConfiguration": {"Status": "Enabled"}}"#,
        "{}",
        &[
            "`VersioningConfiguration.Status` \"Enabled\" → \"Suspended\": overwritten and deleted objects are no longer kept (Suspended is the default and the new value)",
        ],
    );
    // If the service decides the default, the loss is uncertain.
    check(
        "AWS::DSQL::Cluster",
        r#"{"DeletionProtectionEnabled": true}"#,
        "{}",
        &["perhaps `DeletionProtectionEnabled` true → nothing: it is no longer protected from deletion"],
    );
    check(
        "AWS::SES::MailManagerArchive",
        r#"{"Retention": {"RetentionPeriod": "ONE_YEAR"}}"#,
        r#"{"Retention": {"RetentionPeriod": "SIX_MONTHS"}}"#,
        &["`Retention.RetentionPeriod` \"ONE_YEAR\" → \"SIX_MONTHS\": older mail is deleted"],
    );
}

#[test]
fn names_the_removed_replicas() {
    let table = "AWS::DynamoDB::GlobalTable";
    let two = r#"{"Replicas": [{"Region": "eu-west-1", "DeletionProtectionEnabled": true}, {"Region": "us-east-1"}]}"#;
    check(
        table,
        two,
        r#"{"Replicas": [{"Region": "eu-west-1", "DeletionProtectionEnabled": false}]}"#,
        &[
            "`Replicas[1]` \"us-east-1\" → nothing: the copy in the region is deleted",
            "`Replicas[0].DeletionProtectionEnabled` true → false: the copy is no longer protected from deletion",
        ],
    );
    check(table, r#"{"Replicas": [{"Region": "eu-west-1"}]}"#, two, &[]);
    // The order is irrelevant, and a value that is known only after apply may be the same.
    check(
        table,
        two,
        r#"{"Replicas": [{"Region": "us-east-1"}, {"Region": "eu-west-1", "DeletionProtectionEnabled": true}]}"#,
        &[],
    );
    check(
        table,
        two,
        r#"{"Replicas": [{"Region": "eu-west-1", "DeletionProtectionEnabled": true}, {"Region": "?"}]}"#,
        &["perhaps `Replicas[1]` \"us-east-1\" → nothing: the copy in the region is deleted"],
    );
    check(
        "AWS::Backup::BackupSelection",
        r#"{"BackupSelection": {"Resources": ["a", "b"]}}"#,
        r#"{"BackupSelection": {"Resources": ["b", "c"]}}"#,
        &["`BackupSelection.Resources[0]` \"a\" → nothing: the resource is no longer backed up"],
    );
    check(
        "AWS::Backup::BackupSelection",
        "{}",
        r#"{"BackupSelection": {"NotResources": ["a"]}}"#,
        &["`BackupSelection.NotResources[0]` nothing → \"a\": the resource is no longer backed up"],
    );
}

#[track_caller]
fn bucket(before: &str, after: &str, expect: &[&str]) {
    let rules = |rules: &str| format!(r#"{{"LifecycleConfiguration": {{"Rules": [{rules}]}}}}"#);
    check("AWS::S3::Bucket", &rules(before), &rules(after), expect);
}

#[test]
fn lifecycle_rules_are_compared_by_what_they_delete() {
    let all = r#"{"Id": "x", "Status": "Enabled", "ExpirationInDays": 400}"#;
    bucket(
        all,
        r#"{"Id": "x", "Status": "Enabled", "ExpirationInDays": 1}"#,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` 400 → 1: objects are deleted sooner than before",
        ],
    );
    bucket(
        r#"{"Id": "x", "Status": "Enabled", "ExpirationInDays": 1}"#,
        all,
        &[],
    );
    bucket(all, "", &[]);
    bucket(
        "",
        all,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` nothing → 400: objects are deleted sooner than before",
        ],
    );
    bucket(
        all,
        r#"{"Id": "x", "Status": "Disabled", "ExpirationInDays": 1}"#,
        &[],
    );
    // Removing a prefix makes the rule match more; adding one makes it match less.
    let logs = r#"{"Id": "x", "Status": "Enabled", "Prefix": "logs/", "ExpirationInDays": 400}"#;
    bucket(
        logs,
        all,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` 400 → 400: objects are deleted sooner than before: the rule matches more than before",
        ],
    );
    bucket(all, logs, &[]);
    bucket(
        all,
        r#"{"Id": "y", "Status": "Enabled", "Prefix": "a/", "ExpirationInDays": 500}, {"Status": "Enabled", "Prefix": "b/", "ExpirationInDays": 400}"#,
        &[],
    );
    // The same applies to tags and sizes.
    let tagged = r#"{"Id": "x", "Status": "Enabled", "TagFilters": [{"Key": "a", "Value": "b"}], "ObjectSizeGreaterThan": "100", "ExpirationInDays": 400}"#;
    bucket(all, tagged, &[]);
    bucket(
        tagged,
        all,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` 400 → 400: objects are deleted sooner than before: the rule matches more than before",
        ],
    );
    bucket(
        tagged,
        &tagged.replace("\"100\"", "50"),
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` 400 → 400: objects are deleted sooner than before: the rule matches more than before",
        ],
    );
    // Noncurrent versions are separate from current ones, and keeping fewer of them is a loss.
    let old = r#"{"Id": "x", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5}}"#;
    bucket(
        all,
        old,
        &[
            "`LifecycleConfiguration.Rules[0].NoncurrentVersionExpiration.NoncurrentDays` nothing → 30: objects are deleted sooner than before",
        ],
    );
    bucket(old, &old.replace('5', "9"), &[]);
    bucket(
        old,
        &old.replace('5', "1"),
        &[
            "`LifecycleConfiguration.Rules[0].NoncurrentVersionExpiration.NoncurrentDays` 30 → 30: objects are deleted sooner than before",
        ],
    );
    bucket(
        old,
        r#"{"Status": "Enabled", "NoncurrentVersionExpirationInDays": 10}"#,
        &[
            "`LifecycleConfiguration.Rules[0].NoncurrentVersionExpirationInDays` nothing → 10: objects are deleted sooner than before",
        ],
    );
    bucket(
        r#"{"Status": "Enabled", "ExpirationDate": "2030-01-01"}"#,
        r#"{"Status": "Enabled", "ExpirationDate": "2031-01-01"}"#,
        &[],
    );
    bucket(
        r#"{"Status": "Enabled", "ExpirationDate": "2030-01-01"}"#,
        r#"{"Status": "Enabled", "ExpirationDate": "2029-01-01"}"#,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationDate` nothing → \"2029-01-01\": objects are deleted sooner than before",
        ],
    );
    bucket(
        r#"{"Id": "x", "Status": "Enabled", "Prefix": "?", "ExpirationInDays": 400}"#,
        r#"{"Id": "x", "Status": "Enabled", "Prefix": "?", "ExpirationInDays": 1}"#,
        &[
            "perhaps `LifecycleConfiguration.Rules[0].ExpirationInDays` 400 → 1: objects are deleted sooner than before",
        ],
    );
    // A transition only moves objects, and an incomplete multipart upload is not an object.
    bucket(
        "",
        r#"{"Status": "Enabled", "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 1}], "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}"#,
        &[],
    );
    check(
        "AWS::S3Outposts::Bucket",
        r#"{"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "ExpirationInDays": 9, "Filter": {"AndOperator": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}]}}}]}}"#,
        r#"{"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "ExpirationInDays": 9, "Filter": {"Prefix": "a"}}]}}"#,
        &[
            "`LifecycleConfiguration.Rules[0].ExpirationInDays` nothing → 9: objects are deleted sooner than before",
        ],
    );
}

#[test]
fn reads_policies_in_strings() {
    let images = |rules: &str| {
        let policy = format!(r#"{{"rules": [{rules}]}}"#);
        format!(
            r#"{{"LifecyclePolicy": {{"LifecyclePolicyText": {}}}}}"#,
            serde_json::to_string(&policy).unwrap()
        )
    };
    let rule = |status: &str, count: u32| {
        format!(
            r#"{{"rulePriority": 1, "selection": {{{status}, "countType": "imageCountMoreThan", "countNumber": {count}}}, "action": {{"type": "expire"}}}}"#
        )
    };
    let ecr = "AWS::ECR::Repository";
    let (any, untagged) = (r#""tagStatus": "any""#, r#""tagStatus": "untagged""#);
    check(
        ecr,
        &images(&rule(any, 100)),
        &images(&rule(any, 10)),
        &[
            "`LifecyclePolicy.LifecyclePolicyText.rules[0].selection.countNumber` 100 → 10: images are deleted sooner than before",
        ],
    );
    check(ecr, &images(&rule(any, 10)), &images(&rule(untagged, 10)), &[]);
    check(
        ecr,
        &images(&rule(untagged, 10)),
        &images(&rule(any, 10)),
        &[
            "`LifecyclePolicy.LifecyclePolicyText.rules[0].selection.countNumber` 10 → 10: images are deleted sooner than before: the rule matches more than before",
        ],
    );
    check(
        ecr,
        "{}",
        &images(&rule(any, 10)),
        &[
            "`LifecyclePolicy.LifecyclePolicyText.rules[0].selection.countNumber` nothing → 10: images are deleted sooner than before",
        ],
    );
    check(ecr, &images(&rule(any, 10)), "{}", &[]);
    check(
        ecr,
        &images(&rule(any, 10)),
        r#"{"LifecyclePolicy": {"LifecyclePolicyText": "?"}}"#,
        &[
            "perhaps `LifecyclePolicy.LifecyclePolicyText` \"{\\\"rules\\\": [{\\\"rulePriority\\\": 1, \\\"selection\\\": {\\\"tagStatus\\\": \\\"any\\\", \\\"countType\\\": \\\"imageCountMoreThan\\\", \\\"countNumber\\\": 10}, \\\"action\\\": {\\\"type\\\": \\\"expire\\\"}}]}\" → \"?\": ",
        ],
    );
    let search = |retention: &str| {
        let policy = format!(
            r#"{{"Rules": [{{"ResourceType": "index", "Resource": ["index/logs/*"], "MinIndexRetention": "{retention}"}}]}}"#
        );
        format!(r#"{{"Policy": {}}}"#, serde_json::to_string(&policy).unwrap())
    };
    check(
        "AWS::OpenSearchServerless::LifecyclePolicy",
        &search("81d"),
        &search("24h"),
        &["`Policy.Rules[0].MinIndexRetention` \"81d\" → \"24h\": documents are deleted sooner than before"],
    );
    check(
        "AWS::OpenSearchServerless::LifecyclePolicy",
        &search("24h"),
        &search("2d"),
        &[],
    );
    // The base64 text is `retention.ms=604800000` and `cleanup.policy=compact`, then `retention.ms=1000`.
    check(
        "AWS::MSK::Topic",
        r#"{"Configs": "cmV0ZW50aW9uLm1zPTYwNDgwMDAwMApjbGVhbnVwLnBvbGljeT1jb21wYWN0"}"#,
        r#"{"Configs": "cmV0ZW50aW9uLm1zPTEwMDA="}"#,
        &[
            "`Configs[\"retention.ms\"]` \"604800000\" → \"1000\": older records are deleted",
            "`Configs[\"cleanup.policy\"]` \"compact\" → nothing: older records are deleted",
        ],
    );
    check(
        "AWS::MSK::Configuration",
        r#"{"ServerProperties": "log.retention.hours=-1\n"}"#,
        r##"{"ServerProperties": "# a\nlog.retention.hours = 24\n"}"##,
        &["`ServerProperties[\"log.retention.hours\"]` \"-1\" → \"24\": older records are deleted"],
    );
}

#[test]
fn reports_removed_and_narrower_columns() {
    let table = |columns: &str| {
        format!(r#"{{"TableInput": {{"Name": "t", "StorageDescriptor": {{"Columns": [{columns}]}}}}}}"#)
    };
    let wide = r#"{"Name": "id", "Type": "bigint"}, {"Name": "price", "Type": "decimal(18,2)"}, {"Name": "note", "Type": "string"}"#;
    check(
        "AWS::Glue::Table",
        &table(wide),
        &table(r#"{"Name": "ID", "Type": "bigint"}, {"Name": "price", "Type": "decimal(10,2)"}"#),
        &[
            "`TableInput.StorageDescriptor.Columns[1]` \"decimal(18,2)\" → \"decimal(10,2)\": column `price` gets narrower",
            "`TableInput.StorageDescriptor.Columns[2]` \"string\" → nothing: column `note` is dropped",
        ],
    );
    check(
        "AWS::Glue::Table",
        &table(r#"{"Name": "id", "Type": "int"}"#),
        &table(wide),
        &[],
    );
}

#[test]
fn detects_losses_of_kubernetes_objects() {
    let of = |kind: &str, before: &str, after: &str| -> Vec<String> {
        let (version, kind) = kind.split_once(' ').unwrap();
        let found = losses_of_object(version, kind, &value(before), &value(after));
        found.iter().map(ToString::to_string).collect()
    };
    let set = |replicas: u8, policy: &str| {
        format!(
            r#"{{"spec": {{"replicas": {replicas}, "volumeClaimTemplates": [{{}}], "persistentVolumeClaimRetentionPolicy": {{"whenScaled": "{policy}"}}}}}}"#
        )
    };
    assert_eq!(
        of("apps/v1 StatefulSet", &set(3, "Delete"), &set(1, "Delete")),
        ["`spec.replicas` 3 → 1: the PersistentVolumeClaims of the removed pods are deleted",]
    );
    assert_eq!(
        of("apps/v1 StatefulSet", &set(3, "Retain"), &set(1, "Retain")),
        [""; 0]
    );
    assert_eq!(
        of("apps/v1 StatefulSet", &set(1, "Retain"), &set(1, "Delete")),
        [
            "`spec.persistentVolumeClaimRetentionPolicy.whenScaled` \"Retain\" → \"Delete\": the PersistentVolumeClaims of removed pods are deleted",
        ]
    );
    let claim =
        |size: &str| format!(r#"{{"spec": {{"resources": {{"requests": {{"storage": "{size}"}}}}}}}}"#);
    assert_eq!(
        of("v1 PersistentVolumeClaim", &claim("2Gi"), &claim("1024Mi")),
        ["`spec.resources.requests.storage` \"2Gi\" → \"1024Mi\": the volume gets smaller",]
    );
    assert_eq!(
        of("v1 PersistentVolumeClaim", &claim("1Gi"), &claim("2Gi")),
        [""; 0]
    );
    let definition = |fields: &str, versions: &str| {
        format!(
            r#"{{"spec": {{"versions": [{{"name": "v1", "schema": {{"openAPIV3Schema": {{"properties": {{"spec": {{"properties": {{{fields}}}}}}}}}}}}}{versions}]}}}}"#
        )
    };
    assert_eq!(
        of(
            "apiextensions.k8s.io/v1 CustomResourceDefinition",
            &definition(r#""a": {}, "b": {}"#, r#", {"name": "v1beta1"}"#),
            &definition(r#""a": {}"#, "")
        ),
        [
            "`spec.versions[1]` \"v1beta1\" → nothing: objects of the version can no longer be read",
            "`spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.b`: the field is dropped from every object when it is next written",
        ]
    );
    assert_eq!(
        of(
            "monitoring.coreos.com/v1 Prometheus",
            r#"{"spec": {"retention": "30d"}}"#,
            r#"{"spec": {"retention": "2w"}}"#
        ),
        ["`spec.retention` \"30d\" → \"2w\": older metrics are deleted",]
    );
    assert_eq!(
        of(
            "postgresql.cnpg.io/v1 Database",
            r#"{"spec": {}}"#,
            r#"{"spec": {"ensure": "absent"}}"#
        ),
        [
            "`spec.ensure` \"present\" → \"absent\": the database is dropped (present is the default and the current value)",
        ]
    );
}
