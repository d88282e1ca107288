use std::fmt::Write as _;

use expect_test::{Expect, expect};
use terrace_artifact::{Member, Origin, Owner, show_path};
use terrace_tests::plans::{write_fields, write_losses_and_notes};

use super::*;
use crate::record::Record;

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn stack(template: &Value) -> CloudFormationStack {
    let holding = template::holding(template, None, false);
    let members = template::resources(template).map(|(id, resource)| {
        let member = Member {
            address: format!("platform/lake/{}", id.to_lowercase()).parse().unwrap(),
            origin: Origin::default(),
            resource_type: template::resource_type(resource).into(),
            holds_data: holding.contains(id),
        };
        (id.clone(), member)
    });
    CloudFormationStack {
        name: "acme-dev-platform-lake".into(),
        component: "lake".into(),
        owner: Owner::Platform,
        origin: Origin::default(),
        members: members.collect(),
        template: template.clone(),
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        termination_protection: false,
        partition: None,
        policy: None,
        assets: BTreeSet::new(),
    }
}

/// Compares resources before and after an update. The parameter `P` is `old` before, and `parameter` after the update.
fn compare(before: &str, after: &str, parameter: Late<Text>) -> Result<Change, Failure> {
    let wrap = |text: &str| value(&format!(r#"{{"Resources": {{{text}}}}}"#));
    let before = wrap(before);
    let observed = Observed {
        holders: template::holding(&before, None, false),
        record: Record {
            parameters: BTreeMap::from([("P".into(), "old".into())]),
            ..Record::default()
        },
        template: before,
        ..Observed::default()
    };
    let parameters = BTreeMap::from([("P".into(), parameter)]);
    difference(&stack(&wrap(after)), &parameters, &BTreeMap::new(), &observed)
}

#[track_caller]
fn check(before: &str, after: &str, expect: Expect) {
    check_with(before, after, Late::Known("old".into()), expect);
}

#[track_caller]
fn check_with(before: &str, after: &str, parameter: Late<Text>, expect: Expect) {
    expect.assert_eq(&match compare(before, after, parameter) {
        Ok(change) => render(&change),
        Err(failure) => format!("{failure}\n"),
    });
}

fn render(change: &Change) -> String {
    let mut out = format!("{:?}: {} ({:?})\n", change.action, change.reason, change.risk);
    write_fields(&change.fields, "  ", &mut out);
    for member in &change.members {
        let name = member
            .address
            .as_ref()
            .map_or("?".to_owned(), ToString::to_string);
        let _ = writeln!(
            out,
            "  {:?} {name}: {} ({:?})",
            member.action, member.reason, member.risk
        );
        write_fields(&member.fields, "    ", &mut out);
        for loss in &member.losses {
            let _ = writeln!(out, "    loses data: {} {}", show_path(&loss.path), loss.what);
        }
    }
    write_losses_and_notes(change, &mut out);
    out
}

const QUEUE: &str = r#""Queue": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1, "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}}"#;

#[test]
fn keeps_a_stack_with_reordered_properties() {
    let reordered = r#""Queue": {"Properties": {"Tags": [{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "1"}], "DelaySeconds": 1}, "Type": "AWS::SQS::Queue", "DependsOn": "X"}"#;
    check(
        QUEUE,
        reordered,
        expect![[r#"
        Keep: up to date (None)
    "#]],
    );
}

#[test]
fn lists_changed_fields_by_their_paths() {
    check(
        QUEUE,
        r#""Queue": {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain", "Properties": {"DelaySeconds": 2, "Tags": [{"Key": "a", "Value": "1"}]}}, "Topic": {"Type": "AWS::SNS::Topic"}"#,
        expect![[r#"
            Update: 2 of 2 resources in it change (None)
              Update platform/lake/queue: `DelaySeconds` and 2 other fields change (None)
                DelaySeconds: 1 -> 2
                Tags[1]: {"Key":"b","Value":"2"} -> -
                DeletionPolicy: - -> "Retain"
              Create platform/lake/topic: new in the template (None)
        "#]],
    );
}

const PARAMETER: &str =
    r#""Queue": {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": {"Ref": "P"}}}"#;

#[test]
fn compares_parameters_by_their_values() {
    check(
        PARAMETER,
        r#""Queue": {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": "old"}}"#,
        expect![[r#"
        Keep: up to date (None)
    "#]],
    );
    check_with(
        PARAMETER,
        PARAMETER,
        Late::Known("new".into()),
        expect![[r#"
        Update: a resource in it changes (None)
          Update platform/lake/queue: `KmsMasterKeyId` changes (None)
            KmsMasterKeyId: "old" -> "new"
    "#]],
    );
    check_with(
        PARAMETER,
        PARAMETER,
        Late::Later("platform/kms/key.arn".into()),
        expect![[r#"
        Update: a resource in it changes (None)
          Update platform/lake/queue: `KmsMasterKeyId` changes (None)
            KmsMasterKeyId: "old" -> known after platform/kms/key.arn
    "#]],
    );
}

#[test]
fn updates_resources_that_refer_to_a_replaced_resource() {
    let with = |engine: &str| {
        format!(
            r#""Bucket": {{"Type": "AWS::S3::Bucket", "Properties": {{"BucketName": "{engine}"}}}},
               "Policy": {{"Type": "AWS::S3::BucketPolicy", "Properties": {{"Bucket": {{"Ref": "Bucket"}}, "PolicyDocument": {{}}}}}},
               "Alarm": {{"Type": "AWS::CloudWatch::Alarm", "Properties": {{"Dimensions": [{{"Name": "b", "Value": {{"Ref": "Bucket"}}}}]}}}}"#
        )
    };
    check(
        &with("a"),
        &with("b"),
        expect![[r#"
            Update: 3 of 3 resources in it change (DataLoss)
              Update platform/lake/alarm: `platform/lake/bucket` is replaced (None)
                Dimensions: - -> known after platform/lake/bucket.Ref
              Replace platform/lake/bucket: `BucketName` cannot be changed in place (DataLoss)
                BucketName: "a" -> "b" forces replacement
              Replace platform/lake/policy: `Bucket` cannot be changed in place (Replace)
                Bucket: - -> known after platform/lake/bucket.Ref forces replacement
              loses the data of platform/lake/bucket
              note: `platform/lake/bucket` holds data that is lost with it: objects
        "#]],
    );
}

#[test]
fn refuses_to_replace_a_resource_that_keeps_its_name() {
    let stream = |name: &str, kind: &str| {
        format!(
            r#""Machine": {{"Type": "AWS::StepFunctions::StateMachine", "Properties": {{"StateMachineName": "{name}", "StateMachineType": "{kind}", "RoleArn": "r"}}}}"#
        )
    };
    check(
        &stream("sales", "STANDARD"),
        &stream("sales", "EXPRESS"),
        expect![[r#"
        platform/lake/machine: `StateMachineType` of `Machine` cannot be changed: CloudFormation creates the new `AWS::StepFunctions::StateMachine` before it deletes the old one, and both would have the name "sales"
          declared at :0:0
          help: change `StateMachineName` as well, or remove the resource in one apply and declare it again in the next
    "#]],
    );
    check(
        &stream("sales", "STANDARD"),
        &stream("sales-2", "EXPRESS"),
        expect![[r#"
            Update: a resource in it changes (Replace)
              Replace platform/lake/machine: `StateMachineName` and `StateMachineType` cannot be changed in place (Replace)
                StateMachineName: "sales" -> "sales-2" forces replacement
                StateMachineType: "STANDARD" -> "EXPRESS" forces replacement
        "#]],
    );
}

#[test]
fn replaces_a_glue_table_that_is_renamed_in_its_database() {
    let table = |name: &str| {
        format!(
            r#""Table": {{"Type": "AWS::Glue::Table", "Properties": {{"DatabaseName": "sales", "CatalogId": "1", "TableInput": {{"Name": "{name}"}}}}}}"#
        )
    };
    check(
        &table("a"),
        &table("b"),
        expect![[r#"
            Update: a resource in it changes (DataLoss)
              Replace platform/lake/table: `TableInput.Name` cannot be changed in place (DataLoss)
                TableInput.Name: "a" -> "b" forces replacement
              loses the data of platform/lake/table
              note: `platform/lake/table` holds data that is lost with it: partitions, statistics, versions, and the current metadata of an Iceberg table
        "#]],
    );
}

#[test]
fn protects_data_by_the_marks_of_the_live_template() {
    let held = |rest: &str| {
        format!(
            r#""Table": {{"Type": "AWS::DynamoDB::Table", {rest} "Metadata": {{"terrace": {{"address": "finance/lake/table", "holds-data": true}}}}, "Properties": {{"TableName": "orders"}}}}, {QUEUE}"#
        )
    };
    check(
        &held(""),
        QUEUE,
        expect![[r#"
            Update: a resource in it changes (DataLoss)
              Delete finance/lake/table: no longer in the template (DataLoss)
              loses the data of finance/lake/table
              note: `finance/lake/table` holds data that is lost with it: items
        "#]],
    );
    check(
        &held(r#""DeletionPolicy": "Retain","#),
        QUEUE,
        expect![[r#"
            Update: a resource in it changes (None)
              Retain finance/lake/table: no longer in the template (None)
              retains the data of finance/lake/table
              note: `finance/lake/table`: it stays in the account (DeletionPolicy: Retain)
        "#]],
    );
}

#[test]
fn refuses_to_change_the_type_of_a_resource() {
    check(
        r#""A": {"Type": "AWS::SQS::Queue"}"#,
        r#""A": {"Type": "AWS::SNS::Topic"}"#,
        expect![[r#"
        platform/lake/a: `A` cannot change its type from `AWS::SQS::Queue` to `AWS::SNS::Topic`
          declared at :0:0
          help: declare the new resource under another key; the plan then shows what happens to the old one
    "#]],
    );
}

#[test]
fn protects_data_in_a_resource_that_may_be_replaced() {
    let table = |key: &str, policy: &str| {
        format!(
            r#""Table": {{"Type": "AWS::DynamoDB::Table", {policy} "Metadata": {{"terrace": {{"holds-data": true}}}}, "Properties": {{"KeySchema": [{{"AttributeName": "{key}"}}]}}}}"#
        )
    };
    check(
        &table("a", ""),
        &table("b", ""),
        expect![[r#"
            Update: a resource in it changes (DataLoss)
              Update platform/lake/table: `KeySchema[0].AttributeName` changes, which may require replacement (DataLoss)
                KeySchema[0].AttributeName: "a" -> "b"
              loses the data of platform/lake/table
              note: `platform/lake/table` holds data that is lost with it: items
        "#]],
    );
    let kept = r#""UpdateReplacePolicy": "Retain","#;
    check(
        &table("a", kept),
        &table("b", kept),
        expect![[r#"
            Update: a resource in it changes (Replace)
              Update platform/lake/table: `KeySchema[0].AttributeName` changes, which may require replacement (Replace)
                KeySchema[0].AttributeName: "a" -> "b"
        "#]],
    );
}
