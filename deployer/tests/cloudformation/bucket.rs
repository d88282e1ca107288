//! The bootstrap bucket: what it is like, and what goes into it.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::{Map, json};
use terrace_artifact::{Asset, Digest};
use terrace_deployer::{bootstrap, history};

use crate::estate::{Estate, queue};

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_makes_a_bucket_that_is_closed_and_can_be_run_again() {
    let estate = Estate::without_bucket();
    let lines = bootstrap(&estate.bundle, &estate.access).await.unwrap();
    expect![[r#"
        bucket `terrace-assets-ACCOUNT-eu-west-1` is created
        public access is blocked
        objects belong to the account
        objects are encrypted
        versions are kept
        replaced versions are deleted after 90 days
        requests without TLS are refused"#]]
    .assert_eq(&estate.neutral(&lines.join("\n")));
    let again = bootstrap(&estate.bundle, &estate.access).await.unwrap();
    assert_eq!(
        estate.neutral(&again[0]),
        "bucket `terrace-assets-ACCOUNT-eu-west-1` is there"
    );
    let of = json!({"Bucket": format!("terrace-assets-{}-eu-west-1", estate.account.id())});
    let get = |operation: &str| estate.account.call("s3", operation, of.clone());
    assert_eq!(get("get_bucket_versioning")["Status"], "Enabled");
    let blocked = get("get_public_access_block")["PublicAccessBlockConfiguration"].clone();
    assert_eq!(
        blocked,
        json!({"BlockPublicAcls": true, "IgnorePublicAcls": true, "BlockPublicPolicy": true, "RestrictPublicBuckets": true})
    );
    let policy = get("get_bucket_policy")["Policy"].to_string();
    assert!(policy.contains("aws:SecureTransport"), "{policy}");
    let rules = get("get_bucket_encryption")["ServerSideEncryptionConfiguration"]["Rules"].clone();
    assert_eq!(
        rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "AES256"
    );
    let rules = get("get_bucket_lifecycle_configuration")["Rules"].clone();
    assert_eq!(rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"], 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_added_to_the_bucket_stays() {
    let estate = Estate::without_bucket();
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let call = |operation: &str, mut parameters: serde_json::Value| {
        parameters["Bucket"] = bucket.as_str().into();
        estate.account.call("s3", operation, parameters)
    };
    call(
        "create_bucket",
        json!({"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
    );
    let kms = json!({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/ours"});
    let rules = json!({"Rules": [{"ApplyServerSideEncryptionByDefault": kms}]});
    call(
        "put_bucket_encryption",
        json!({"ServerSideEncryptionConfiguration": rules}),
    );
    let statement = json!({"Sid": "Ours", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": format!("arn:aws:s3:::{bucket}")});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
    call("put_bucket_policy", json!({"Policy": policy.to_string()}));
    let rule =
        json!({"ID": "ours", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}});
    call(
        "put_bucket_lifecycle_configuration",
        json!({"LifecycleConfiguration": {"Rules": [rule]}}),
    );
    for _ in 0..2 {
        bootstrap(&estate.bundle, &estate.access).await.unwrap();
    }
    let rules =
        call("get_bucket_encryption", json!({}))["ServerSideEncryptionConfiguration"]["Rules"].clone();
    assert_eq!(
        rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "aws:kms"
    );
    let policy = call("get_bucket_policy", json!({}))["Policy"].clone();
    let policy: serde_json::Value = serde_json::from_str(policy.as_str().unwrap()).unwrap();
    let sids: Vec<&str> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["Sid"].as_str())
        .collect();
    assert_eq!(sids, ["Ours", "TlsOnly"]);
    let rules = call("get_bucket_lifecycle_configuration", json!({}))["Rules"].clone();
    let ids: Vec<&str> = rules
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["ID"].as_str())
        .collect();
    assert_eq!(ids, ["ours", "old-versions"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_that_name_in_another_account_is_not_used() {
    let estate = Estate::without_bucket();
    let other = Estate::without_bucket();
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let place = json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}});
    other.account.call("s3", "create_bucket", place);
    let error = bootstrap(&estate.bundle, &estate.access)
        .await
        .expect_err("it is another's")
        .to_string();
    assert!(
        estate
            .neutral(&error)
            .starts_with("bucket `terrace-assets-ACCOUNT-eu-west-1` belongs to another account"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bucket_a_plan_is_made_and_an_apply_says_what_to_do() {
    let mut estate = Estate::without_bucket();
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let plan = estate.plan().await;
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("there is no bucket")
        .to_string();
    expect![[r#"
        there is no bucket `terrace-assets-ACCOUNT-eu-west-1` yet
          help: create what the account needs once: `terrace bootstrap`"#]]
    .assert_eq(&estate.neutral(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_template_goes_through_the_bucket() {
    let mut estate = Estate::new().await;
    let many = |seconds: u32| {
        let mut resources = Map::new();
        for number in 0..160 {
            let mut queue = queue(seconds);
            queue["Properties"]["Tags"] = json!([{"Key": "description", "Value": "x".repeat(250)}]);
            resources.insert(format!("Queue{number:03}"), queue);
        }
        resources
    };
    estate.want("jobs", many(30).into(), json!({}));
    let size = estate.wanted("jobs").template.to_string().len();
    assert!(size > 51_200, "{size}");
    estate.apply().await;
    estate.want("jobs", many(31).into(), json!({}));
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    let listed = estate.account.call(
        "s3",
        "list_objects_v2",
        json!({"Bucket": bucket, "Prefix": "templates/"}),
    );
    assert_eq!(listed["KeyCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_there_before_the_stack_that_names_them() {
    let mut estate = Estate::new().await;
    let asset = Asset {
        key: "assets/script.py".into(),
        bytes: b"print(1)".to_vec(),
    };
    let digest = Digest::of_bytes(&asset.bytes);
    estate.bundle.assets = BTreeMap::from([(digest.clone(), asset)]);
    estate
        .want("jobs", json!({"Queue": queue(1)}), json!({}))
        .assets
        .insert(digest);
    estate.apply().await;
    let bucket = format!("terrace-assets-{}-eu-west-1", estate.account.id());
    estate.account.call(
        "s3",
        "head_object",
        json!({"Bucket": bucket, "Key": "assets/script.py"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_in_the_bucket() {
    let mut estate = Estate::new().await;
    for seconds in [1, 2] {
        estate.want("jobs", json!({"Queue": queue(seconds)}), json!({}));
        estate.apply().await;
    }
    let history = history(&estate.bundle, &estate.access).await.unwrap();
    let shown: Vec<String> = history
        .releases
        .iter()
        .map(|release| format!("{} {:?}", release.id, release.status))
        .collect();
    assert_eq!(shown, ["1 Deployed", "2 Deployed"]);
    assert_eq!(history.broken_at, None);
}
