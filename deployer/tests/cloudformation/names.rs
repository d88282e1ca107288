//! A name that something has which stays is told at plan time, with what to do, and never with the advice to delete it.

use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};
use terrace_deployer::{Error, Refusal};

use crate::estate::{Estate, fault, name, queue};

/// A bucket as the compiler declares one that holds data.
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

/// What is wanted is refused, whatever was approved, and leaves everything as it is.
async fn refused(estate: &Estate, expected: Expect) {
    let plan = estate.plan().await;
    let stacks = estate
        .account
        .call("cloudformation", "describe_stacks", json!({}));
    let error = estate.try_apply(&plan).await.expect_err("it is refused");
    assert!(
        matches!(error, Error::Refused(Refusal::NotAllowed(_))),
        "{error:?}"
    );
    let error = estate.neutral(&error.to_string());
    assert!(!error.contains("delete it"), "{error}");
    expected.assert_eq(&error);
    assert_eq!(
        estate
            .account
            .call("cloudformation", "describe_stacks", json!({})),
        stacks
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_bucket_cannot_move_to_another_stack() {
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
        platform/pond/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name, and is retained in the account
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: leave it where it is declared now, or give the new one another name: terrace cannot take an existing resource into a stack yet"#]]).await;
    // Nor does it when its stack goes as a whole.
    estate.drop_component("lake");
    refused(&estate, expect![[r#"
        platform/pond/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name, and is retained in the account
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: leave it where it is declared now, or give the new one another name: terrace cannot take an existing resource into a stack yet"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_with_a_name_cannot_get_another_key() {
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
        platform/lake/raw2: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created: `platform/lake/raw` has this name, and is retained in the account
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: leave it where it is declared now, or give the new one another name: terrace cannot take an existing resource into a stack yet"#]]).await;
    estate.want(
        "lake",
        json!({"Raw": bucket(&estate), "Queue2": named_queue("jobs")}),
        json!({}),
    );
    refused(&estate, expect![[r#"
        platform/lake/queue2: `AWS::SQS::Queue` `jobs` cannot be created: `platform/lake/queue` has this name, and is deleted only afterwards
          declared at module:lake/module.yaml:11:1, for the component at components.yaml:3:1
          help: give the new one another name; or take the old one out of the stack in one apply, and declare the new one in the next"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_a_destroy_retained_is_found_by_the_next_plan() {
    let mut estate = Estate::new().await;
    estate.want("lake", json!({"Raw": bucket(&estate)}), json!({}));
    estate.apply().await;
    estate.approve("lake", "Raw");
    let plan = estate.destroy_plan().await;
    estate.try_apply(&plan).await.expect("it is destroyed");
    refused(&estate, expect![[r#"
        platform/lake/raw: bucket `acme-dev-raw-ACCOUNT` cannot be created: it exists in this account already
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: no stack of this environment has it, and it may hold data: a bucket is retained when it leaves its stack or its stack is deleted. Give the new one another name: terrace cannot take an existing bucket into a stack yet"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_deleted_stack_with_a_retained_bucket_is_no_way_back() {
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
        platform/lake/raw: `AWS::S3::Bucket` `acme-dev-raw-ACCOUNT` cannot be created again: its stack is unfinished and has to be deleted first, and it stays in the account
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: give the new one another name: terrace cannot take an existing resource into a stack yet"#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_stack_of_ours_has_is_told() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": named_queue("jobs")}), json!({}));
    estate.apply().await;
    estate.want("more", json!({"Queue": named_queue("jobs")}), json!({}));
    refused(
        &estate,
        expect![[r#"
        platform/more/queue: `AWS::SQS::Queue` `jobs` cannot be created: `platform/jobs/queue` has this name
          declared at module:lake/module.yaml:10:1, for the component at components.yaml:3:1
          help: give one of them another name"#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_the_name_of_another_is_created() {
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
