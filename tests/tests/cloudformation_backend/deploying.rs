//! Tests that stacks are created, updated, replaced and deleted, and reach the desired state.

use expect_test::expect;
use serde_json::json;

use crate::estate::{Estate, name, queue};

#[tokio::test(flavor = "multi_thread")]
async fn creates_a_stack_with_the_resources_of_its_template() {
    let mut estate = Estate::new().await;
    let bucket = format!("acme-dev-lake-raw-{}", estate.account.id());
    estate.want(
        "lake",
        json!({
            "Raw": {"Type": "AWS::S3::Bucket", "Metadata": {"holds": true}, "DeletionPolicy": "Retain",
                    "Properties": {"BucketName": bucket, "LifecycleConfiguration": {"Rules": [
                        {"Id": "cool", "Status": "Enabled", "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 90}]}]}}},
            "Queue": queue(30),
        }),
        json!({"Arn": {"Value": {"Fn::GetAtt": ["Raw", "Arn"]}}}),
    );
    expect![[r#"
        Create acme-dev-platform-lake (None): it does not exist
          Create platform/lake/raw (None): it does not exist
          Create platform/lake/queue (None): it does not exist
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;

    assert_eq!(estate.status("lake"), "CREATE_COMPLETE");
    assert_eq!(estate.output("lake", "Arn"), format!("arn:aws:s3:::{bucket}"));
    let rules = estate.account.call(
        "s3",
        "get_bucket_lifecycle_configuration",
        json!({"Bucket": bucket}),
    );
    assert_eq!(rules["Rules"][0]["Transitions"][0]["Days"], 90);
    let stack = estate.described("lake").unwrap();
    let mut tags: Vec<String> = stack["Tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| format!("{}={}", tag["Key"], tag["Value"]))
        .collect();
    tags.sort();
    assert_eq!(
        tags.join(" "),
        r#""terrace:component"="lake" "terrace:stack"="acme.dev""#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_each_changed_field_and_updates_the_stack() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(30), "Other": queue(5)}), json!({}));
    estate.apply().await;
    let id = estate.described("jobs").unwrap()["StackId"].clone();

    estate.want(
        "jobs",
        json!({"Queue": queue(60), "Topic": {"Type": "AWS::SNS::Topic"}}),
        json!({}),
    );
    expect![[r#"
        Update acme-dev-platform-jobs (None): 3 of 3 resources in it change
          Delete platform/jobs/other (None): no longer in the template
          Update platform/jobs/queue (None): `VisibilityTimeout` changes
            VisibilityTimeout: 30 -> 60
          Create platform/jobs/topic (None): new in the template
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    let stack = estate.described("jobs").unwrap();
    assert_eq!(stack["StackStatus"], "UPDATE_COMPLETE");
    assert_eq!(stack["StackId"], id);
    let request = json!({"StackName": name("jobs")});
    let resources = estate
        .account
        .call("cloudformation", "list_stack_resources", request);
    let mut ids: Vec<&str> = resources["StackResourceSummaries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["LogicalResourceId"].as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["Queue", "Topic"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_a_return_to_an_earlier_template() {
    let mut estate = Estate::new().await;
    for seconds in [10, 20, 10, 20] {
        estate.want("jobs", json!({"Queue": queue(seconds)}), json!({}));
        estate.apply().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn predicts_a_replacement_and_updates_the_resources_that_refer_to_it() {
    let mut estate = Estate::new().await;
    let with = |fifo: &str| {
        json!({
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": fifo}},
            "Rule": {"Type": "AWS::CloudWatch::Alarm", "Properties": {
                "AlarmActions": [{"Ref": "Topic"}], "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1,
                "MetricName": "m", "Namespace": "n", "Period": 60, "Statistic": "Sum", "Threshold": 1}},
        })
    };
    estate.want(
        "alarms",
        with("one"),
        json!({"Topic": {"Value": {"Ref": "Topic"}}}),
    );
    estate.apply().await;
    let before = estate.output("alarms", "Topic");
    estate.want(
        "alarms",
        with("two"),
        json!({"Topic": {"Value": {"Ref": "Topic"}}}),
    );
    expect![[r#"
        Update acme-dev-platform-alarms (Replace): 2 of 2 resources in it change
          Update platform/alarms/rule (None): `platform/alarms/topic` is replaced
            AlarmActions: - -> known after platform/alarms/topic.Ref
          Replace platform/alarms/topic (Replace): `TopicName` cannot be changed in place
            TopicName: "one" -> "two" forces replacement
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    let after = estate.output("alarms", "Topic");
    assert_ne!(before, after);
    let alarms = estate.account.call("cloudwatch", "describe_alarms", json!({}));
    assert_eq!(alarms["MetricAlarms"][0]["AlarmActions"][0], after.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_outputs_of_one_stack_as_parameters_to_another() {
    let mut estate = Estate::new().await;
    let producer =
        |name: &str| json!({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}}});
    let outputs = json!({"Arn": {"Value": {"Ref": "Topic"}}});
    estate.want("topics", producer("one"), outputs.clone());
    let consumer = json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": [{"Key": "topic", "Value": {"Ref": "TopicArn"}}]}}});
    estate.want("jobs", consumer, json!({}));
    estate.bind("jobs", "TopicArn", "topics", "Arn");
    expect![[r#"
        Create acme-dev-platform-topics (None): it does not exist
          Create platform/topics/topic (None): it does not exist
        Create acme-dev-platform-jobs (None): it does not exist
          Create platform/jobs/queue (None): it does not exist
            Tags: - -> known after platform/topics/arn
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    let stack = estate.described("jobs").unwrap();
    assert_eq!(
        stack["Parameters"][0]["ParameterValue"],
        estate.output("topics", "Arn").as_str()
    );

    // A change of the producer that keeps its output does not change the consumer.
    let mut tagged = producer("one");
    tagged["Topic"]["Properties"]["DisplayName"] = "orders".into();
    estate.want("topics", tagged, outputs.clone());
    expect![[r#"
        Update acme-dev-platform-topics (None): a resource in it changes
          Update platform/topics/topic (None): `DisplayName` changes
            DisplayName: - -> "orders"
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;

    // A replacement of the producer changes the consumer. The new value is known after apply.
    estate.want("topics", producer("two"), outputs);
    expect![[r#"
        Update acme-dev-platform-topics (Replace): a resource in it changes
          Replace platform/topics/topic (Replace): `TopicName` cannot be changed in place
            DisplayName: "orders" -> -
            TopicName: "one" -> "two" forces replacement
          note: the old `platform/topics/topic` is deleted before CloudFormation stack acme-dev-platform-jobs is updated
        Update acme-dev-platform-jobs (None): a resource in it changes
          Update platform/jobs/queue (None): `Tags[0].Value` changes
            Tags[0].Value: "arn:aws:sns:eu-west-1:ACCOUNT:one" -> known after platform/topics/arn
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    let stack = estate.described("jobs").unwrap();
    assert_eq!(
        stack["Parameters"][0]["ParameterValue"],
        estate.output("topics", "Arn").as_str()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_consumer_and_producer_in_one_apply() {
    let mut estate = Estate::new().await;
    estate.want(
        "topics",
        json!({"Topic": {"Type": "AWS::SNS::Topic"}}),
        json!({"Arn": {"Value": {"Ref": "Topic"}, "Export": {"Name": "topic"}}}),
    );
    let consumer = json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": [{"Key": "topic", "Value": {"Ref": "TopicArn"}}, {"Key": "x", "Value": {"Fn::ImportValue": "topic"}}]}}});
    estate.want("jobs", consumer, json!({}));
    estate.bind("jobs", "TopicArn", "topics", "Arn");
    estate.want("stays", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.drop_component("topics");
    estate.drop_component("jobs");
    // CloudFormation does not delete the producer while the consumer imports from it. The template of the consumer records the order.
    expect![[r#"
        Delete acme-dev-platform-jobs (None): no longer in the stack
          Delete platform/jobs/queue (None): its stack is deleted
        Delete acme-dev-platform-topics (None): no longer in the stack
          Delete platform/topics/topic (None): its stack is deleted
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    assert_eq!(
        [
            estate.status("jobs"),
            estate.status("topics"),
            estate.status("stays")
        ],
        ["absent", "absent", "CREATE_COMPLETE"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn destroys_all_stacks() {
    let mut estate = Estate::new().await;
    estate.want(
        "topics",
        json!({"Topic": {"Type": "AWS::SNS::Topic"}}),
        json!({"Arn": {"Value": {"Ref": "Topic"}}}),
    );
    estate.want("jobs", json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": [{"Key": "t", "Value": {"Ref": "P"}}]}}}), json!({}));
    estate.bind("jobs", "P", "topics", "Arn");
    estate.apply().await;
    let plan = estate.destroy_plan().await;
    estate.try_apply(&plan).await.unwrap();
    assert_eq!(
        [estate.status("jobs"), estate.status("topics")],
        ["absent", "absent"]
    );
    assert!(estate.destroy_plan().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ignores_differences_that_cloudformation_does_not_count_as_changes() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(30), "Other": queue(5)}), json!({}));
    estate.apply().await;
    let stack = estate.wanted("jobs");
    let mut template = stack.template.to_json();
    template["Description"] = "queues".into();
    template["Resources"]["Queue"]["DependsOn"] = "Other".into();
    template["Parameters"] = json!({"Unused": {"Type": "String", "Default": "x"}});
    stack.template = terrace_artifact::Value::from_json(&template);
    assert_eq!(estate.shown().await, "no changes\n");
    // CloudFormation counts a deletion policy as a change, and deploys the other differences with it.
    let stack = estate.wanted("jobs");
    template["Resources"]["Queue"]["DeletionPolicy"] = "Retain".into();
    stack.template = terrace_artifact::Value::from_json(&template);
    estate.apply().await;
    assert_eq!(estate.described("jobs").unwrap()["Description"], "queues");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_the_tags_of_a_stack() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(30)}), json!({}));
    estate.apply().await;
    estate
        .wanted("jobs")
        .tags
        .insert("cost-center".into(), "42".into());
    expect![[r#"
        Update acme-dev-platform-jobs (None): `Tags.cost-center` changes
          Tags.cost-center: - -> "42"
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_named_roles_with_the_required_capability() {
    let mut estate = Estate::new().await;
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
    let role = json!({"Type": "AWS::IAM::Role", "Properties": {"RoleName": "acme-dev-jobs", "AssumeRolePolicyDocument": trust}});
    estate.want(
        "jobs",
        json!({"Role": role}),
        json!({"Arn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}),
    );
    estate.apply().await;
    assert_eq!(
        estate.output("jobs", "Arn"),
        format!("arn:aws:iam::{}:role/acme-dev-jobs", estate.account.id())
    );
    assert_eq!(
        estate.described("jobs").unwrap()["Capabilities"],
        json!(["CAPABILITY_NAMED_IAM"])
    );
}
