//! Tests that data, termination protection, stack policies and foreign stacks are protected.

use expect_test::expect;
use serde_json::{Value as Json, json};
use terrace_artifact::Value;
use terrace_deployer::{Error, Refusal};

use crate::estate::{Estate, name, queue};

fn table(name: &str) -> Json {
    json!({"Type": "AWS::DynamoDB::Table", "Metadata": {"holds": true}, "Properties": {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}})
}

async fn refused(estate: &Estate) -> String {
    let plan = estate.plan().await;
    match estate.try_apply(&plan).await {
        Err(Error::Refused(Refusal::DataLoss { approvals })) => approvals
            .iter()
            .map(|approval| approval.address.to_string())
            .collect::<Vec<_>>()
            .join(" "),
        other => panic!("the apply was not refused because of data: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaces_a_resource_with_data_only_with_approval() {
    let mut estate = Estate::new().await;
    estate.want(
        "orders",
        json!({"Table": table("one"), "Queue": queue(1)}),
        json!({}),
    );
    estate.apply().await;
    estate.want(
        "orders",
        json!({"Table": table("two"), "Queue": queue(1)}),
        json!({}),
    );
    expect![[r#"
        Update acme-dev-platform-orders (DataLoss): a resource in it changes
          Replace platform/orders/table (DataLoss): `TableName` cannot be changed in place
            TableName: "one" -> "two" forces replacement
          loses the data of platform/orders/table
          note: `platform/orders/table` holds data that is lost with it: items
    "#]]
    .assert_eq(&estate.shown().await);
    assert_eq!(refused(&estate).await, "platform/orders/table");
    assert_eq!(estate.status("orders"), "CREATE_COMPLETE");
    estate.approve("orders", "Table");
    estate.apply().await;
    let tables = estate.account.call("dynamodb", "list_tables", json!({}));
    assert_eq!(tables["TableNames"], json!(["two"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_removed_component_stays_protected() {
    let mut estate = Estate::new().await;
    estate.want("orders", json!({"Table": table("orders")}), json!({}));
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    // The component is no longer declared, but the live template still marks the resource with data.
    estate.drop_component("orders");
    expect![[r#"
        Delete acme-dev-platform-orders (DataLoss): no longer in the stack
          Delete platform/orders/table (DataLoss): its stack is deleted
          loses the data of platform/orders/table
          note: `platform/orders/table` holds data that is lost with it: items
    "#]]
    .assert_eq(&estate.shown().await);
    assert_eq!(refused(&estate).await, "platform/orders/table");
    assert_eq!(estate.status("orders"), "CREATE_COMPLETE");
    // The marks also protect a resource whose component now declares that it holds no data.
    let mut harmless = table("two");
    harmless["Metadata"] = json!({});
    estate.want("orders", json!({"Table": harmless}), json!({}));
    assert_eq!(refused(&estate).await, "platform/orders/table");
    estate.drop_component("orders");
    estate.approve("orders", "Table");
    estate.apply().await;
    assert_eq!(estate.status("orders"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_retained_resources() {
    let mut estate = Estate::new().await;
    let bucket = format!("acme-dev-lake-{}", estate.account.id());
    let raw = json!({"Type": "AWS::S3::Bucket", "Metadata": {"holds": true}, "DeletionPolicy": "Retain",
                     "Properties": {"BucketName": bucket}});
    estate.want("lake", json!({"Raw": raw, "Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.drop_component("lake");
    expect![[r#"
        Delete acme-dev-platform-lake (None): no longer in the stack
          Retain platform/lake/raw (None): its stack is deleted
          Delete platform/lake/queue (None): its stack is deleted
          retains the data of platform/lake/raw
          note: `platform/lake/raw`: it stays in the account (DeletionPolicy: Retain)
    "#]]
    .assert_eq(&estate.shown().await);
    assert_eq!(refused(&estate).await, "platform/lake/raw");
    estate.approve("lake", "Raw");
    estate.apply().await;
    assert_eq!(estate.status("lake"), "absent");
    estate
        .account
        .call("s3", "head_bucket", json!({"Bucket": bucket}));
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_termination_protection_and_stack_policy() {
    let mut estate = Estate::new().await;
    let policy = json!({"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"], "Resource": "LogicalResourceId/Table"}]});
    let guard = |estate: &mut Estate| {
        let stack = estate.wanted("orders");
        stack.termination_protection = true;
        stack.policy = Some(Value::from_json(&policy));
    };
    estate.want("orders", json!({"Table": table("one")}), json!({}));
    guard(&mut estate);
    estate.apply().await;
    let live_policy = |estate: &Estate| -> Json {
        let response = estate.account.call(
            "cloudformation",
            "get_stack_policy",
            json!({"StackName": name("orders")}),
        );
        serde_json::from_str(response["StackPolicyBody"].as_str().unwrap()).unwrap()
    };
    assert_eq!(
        estate.described("orders").unwrap()["EnableTerminationProtection"],
        true
    );
    assert_eq!(live_policy(&estate), policy);

    // Terrace detects guards that another user relaxed, and restores them without a change of resources.
    let loosen = json!({"StackName": name("orders"), "EnableTerminationProtection": false});
    estate
        .account
        .call("cloudformation", "update_termination_protection", loosen);
    let everything =
        r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}]}"#;
    estate.account.call(
        "cloudformation",
        "set_stack_policy",
        json!({"StackName": name("orders"), "StackPolicyBody": everything}),
    );
    let shown = estate.shown().await;
    assert!(shown.starts_with("Update acme-dev-platform-orders (None): `TerminationProtection` and `StackPolicy` change\n  TerminationProtection: false -> true\n  StackPolicy"), "{shown}");
    estate.apply().await;
    assert_eq!(
        estate.described("orders").unwrap()["StackStatus"],
        "CREATE_COMPLETE"
    );
    assert_eq!(live_policy(&estate), policy);

    // An approved replacement is possible in spite of the policy, which is restored afterwards.
    estate.want("orders", json!({"Table": table("two")}), json!({}));
    guard(&mut estate);
    estate.approve("orders", "Table");
    estate.apply().await;
    assert_eq!(live_policy(&estate), policy);

    // A protected stack is deleted if the deletion is planned and approved.
    estate.drop_component("orders");
    let shown = estate.shown().await;
    assert!(
        shown.contains("note: its termination protection is disabled first"),
        "{shown}"
    );
    estate.apply().await;
    assert_eq!(estate.status("orders"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn removes_a_stack_policy_that_is_no_longer_declared() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let policy =
        json!({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "Update:*", "Resource": "*"}]});
    estate.wanted("jobs").policy = Some(Value::from_json(&policy));
    estate.wanted("jobs").termination_protection = true;
    estate.apply().await;
    // CloudFormation would deny this update with the old policy.
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    estate.apply().await;
    assert_eq!(
        estate.described("jobs").unwrap()["EnableTerminationProtection"],
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_replacement_with_the_same_name() {
    let mut estate = Estate::new().await;
    let machine = |kind: &str| {
        json!({"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
            "StateMachineName": "sales", "StateMachineType": kind, "RoleArn": "arn:aws:iam::1:role/r",
            "DefinitionString": r#"{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}"#}}})
    };
    estate.want("sales", machine("STANDARD"), json!({}));
    estate.apply().await;
    estate.want("sales", machine("EXPRESS"), json!({}));
    let error = estate
        .try_plan()
        .await
        .expect_err("the names would conflict")
        .to_string();
    expect![[r#"
        platform/sales/machine: `StateMachineType` of `Machine` cannot be changed: CloudFormation creates the new `AWS::StepFunctions::StateMachine` before it deletes the old one, and both would have the name "sales"
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: change `StateMachineName` as well, or remove the resource in one apply and declare it again in the next"#]]
    .assert_eq(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_a_foreign_stack_alone() {
    let mut estate = Estate::new().await;
    let template = json!({"Resources": {"Queue": queue(1)}}).to_string();
    let tags = json!([{"Key": "terrace:stack", "Value": "other.dev"}]);
    estate.account.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": name("jobs"), "TemplateBody": template, "Tags": tags}),
    );
    estate.account.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": name("topics"), "TemplateBody": template}),
    );
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    let refused = async |estate: &Estate| {
        let plan = estate.try_plan().await.expect("a plan with a refusal");
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        refusals.join("\n")
    };
    expect![[r#"
        CloudFormation stack acme-dev-platform-jobs exists already, and its tags are `terrace:stack=other.dev`
          declared at components.yaml:3:1, defined at module:lake/module.yaml:3:1
          help: to manage it in this environment from now on, adopt it: --adopt 'platform/jobs'
            to leave it unchanged, rename the component in the stack or remove it from the stack"#]]
    .assert_eq(&refused(&estate).await);
    estate.drop_component("jobs");
    estate.want("topics", json!({"Queue": queue(2)}), json!({}));
    let refusal = refused(&estate).await;
    assert!(
        refusal.contains("acme-dev-platform-topics exists already, and this environment did not create it"),
        "{refusal}"
    );
    // Terrace does not delete a foreign stack either.
    estate.drop_component("topics");
    assert_eq!(estate.shown().await, "no changes\n");
    assert!(estate.destroy_plan().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_alone_does_not_prove_ownership() {
    let mut estate = Estate::new().await;
    // CloudFormation copies the tags of a stack to nested stacks, and users copy tags.
    let template = json!({"Resources": {"Queue": queue(1)}}).to_string();
    let tags = json!([{"Key": "terrace:stack", "Value": "acme.dev"}]);
    estate.account.call(
        "cloudformation",
        "create_stack",
        json!({"StackName": "foreign", "TemplateBody": template, "Tags": tags}),
    );
    assert_eq!(estate.shown().await, "no changes\n");
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    estate.apply().await;
    estate.drop_component("jobs");
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "absent");
    assert!(estate.destroy_plan().await.is_empty());
    let remaining = estate
        .account
        .call("cloudformation", "describe_stacks", json!({}));
    assert_eq!(remaining["Stacks"][0]["StackName"], "foreign");
}
