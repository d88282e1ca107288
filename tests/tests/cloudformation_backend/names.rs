//! Tests that a plan refuses a name that a remaining resource has. No message advises to delete that resource.

use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};
use terrace_deployer::{Error, Refusal};

use crate::estate::{Estate, fault, name, queue};

/// Returns a bucket with the attributes that the compiler gives to a resource with data.
fn bucket(estate: &Estate) -> Json {
    json!({"Type": "AWS::S3::Bucket", "Metadata": {"holds": true}, "DeletionPolicy": "Retain",
           "UpdateReplacePolicy": "Retain", "Properties": {"BucketName": bucket_name(estate)}})
}

fn bucket_name(estate: &Estate) -> String {
    format!("acme-dev-raw-{}", estate.account.id())
}

fn named_queue(name: &str) -> Json {
    json!({"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}})
}

/// Checks that an apply is refused in spite of approvals, and that it changes nothing.
async fn refused(estate: &Estate, expected: Expect) {
    let plan = estate.plan().await;
    let stacks = estate
        .account
        .call("cloudformation", "describe_stacks", json!({}));
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("the apply must be refused");
    assert!(
        matches!(error, Error::Refused(Refusal::NotAllowed(_))),
        "{error:?}"
    );
    let error = estate.neutral(&error.to_string());
    assert!(!error.contains("help: delete"), "{error}");
    expected.assert_eq(&error);
    assert_eq!(
        estate
            .account
            .call("cloudformation", "describe_stacks", json!({})),
        stacks
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_move_a_retained_bucket_to_another_stack() {
    let mut estate = Estate::new().await;
    estate.want(
        "lake",
        json!({"Raw": bucket(&estate), "Queue": queue(1)}),
        json!({}),
    );
    estate.apply().await;
    estate.want("lake", json!({"Queue": queue(1)}), json!({}));
    estate.want("pond", json!({"Raw": bucket(&estate)}), json!({}));
    estate.approve("lake", "Raw");
    refused(&estate, expect![[r#"
        platform/pond/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name and is retained in the account
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: keep the resource at the address `platform/lake/raw`, or choose another name: Terrace cannot import an existing resource into a stack yet"#]]).await;
    // The same holds if the plan deletes the whole stack.
    estate.drop_component("lake");
    refused(&estate, expect![[r#"
        platform/pond/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name and is retained in the account
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: keep the resource at the address `platform/lake/raw`, or choose another name: Terrace cannot import an existing resource into a stack yet"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_another_key_for_a_resource_with_an_explicit_name() {
    let mut estate = Estate::new().await;
    estate.want(
        "lake",
        json!({"Raw": bucket(&estate), "Queue": named_queue("jobs")}),
        json!({}),
    );
    estate.apply().await;
    estate.approve("lake", "Raw");
    estate.want(
        "lake",
        json!({"Raw2": bucket(&estate), "Queue": named_queue("jobs")}),
        json!({}),
    );
    refused(&estate, expect![[r#"
        platform/lake/raw2: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name and is retained in the account
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: keep the resource at the address `platform/lake/raw`, or choose another name: Terrace cannot import an existing resource into a stack yet"#]]).await;
    estate.want(
        "lake",
        json!({"Raw": bucket(&estate), "Queue2": named_queue("jobs")}),
        json!({}),
    );
    refused(&estate, expect![[r#"
        platform/lake/queue2: `AWS::SQS::Queue` `jobs` cannot be created: `platform/lake/queue` has this name, and apply deletes it only after the creation
          declared at components.yaml:3:1, defined at module:lake/module.yaml:11:1
          help: choose another name, or remove the old resource in one apply and declare the new one in the next"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_plan_finds_a_bucket_that_destroy_retained() {
    let mut estate = Estate::new().await;
    estate.want("lake", json!({"Raw": bucket(&estate)}), json!({}));
    estate.apply().await;
    estate.approve("lake", "Raw");
    let plan = estate.destroy_plan().await;
    estate.try_apply(&plan).await.expect("the destroy must succeed");
    refused(&estate, expect![[r#"
        platform/lake/raw: bucket `acme-dev-raw-ACCOUNT` cannot be created: it already exists in this account
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: choose another name: Terrace cannot import an existing bucket into a stack yet. No stack of this environment contains the bucket, and it may hold data: an earlier stack may have retained it"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_recreate_a_retained_bucket_of_an_incomplete_stack() {
    let mut estate = Estate::new().await;
    estate.want(
        "lake",
        json!({"Raw": bucket(&estate), "Queue": queue(1)}),
        json!({}),
    );
    estate.apply().await;
    estate.account.fail(&fault("delete", "Queue", "no"));
    let delete = json!({"StackName": name("lake")});
    estate.account.call("cloudformation", "delete_stack", delete);
    assert_eq!(estate.status("lake"), "DELETE_FAILED");
    estate.approve("lake", "Raw");
    refused(&estate, expect![[r#"
        platform/lake/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created again: apply must first delete its incomplete CloudFormation stack, and this deletion retains the existing resource in the account
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: choose another name: Terrace cannot import an existing resource into a stack yet"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_name_that_another_stack_uses() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": named_queue("jobs")}), json!({}));
    estate.apply().await;
    estate.want("more", json!({"Queue": named_queue("jobs")}), json!({}));
    refused(
        &estate,
        expect![[r#"
        platform/more/queue: `AWS::SQS::Queue` `jobs` cannot be created: `platform/jobs/queue` has this name
          declared at components.yaml:3:1, defined at module:lake/module.yaml:10:1
          help: rename one of the two resources"#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_resources_whose_names_need_not_be_unique() {
    let mut estate = Estate::new().await;
    let query = json!({"Type": "AWS::Athena::NamedQuery", "Properties": {
        "Name": "top", "Database": "sales", "QueryString": "select 1"}});
    estate.want("jobs", json!({"Query": query}), json!({}));
    estate.apply().await;
    estate.want(
        "more",
        json!({"Query": query, "Queue": named_queue("a")}),
        json!({}),
    );
    estate.want(
        "jobs",
        json!({"Query": query, "Queue": named_queue("b")}),
        json!({}),
    );
    let plan = estate.plan().await;
    assert_eq!(plan.refusals, []);
}
