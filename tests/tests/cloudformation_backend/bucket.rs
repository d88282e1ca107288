//! Tests of the bootstrap bucket: its configuration and its content.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::{Map, Value as Json, json};
use terrace_artifact::{Asset, Digest, to_json_compact};
use terrace_deployer::{Error, PlanOptions, bootstrap, history};

use crate::estate::{Estate, queue};
use crate::proxy::{Cut, Proxy};

const SCRIPT: &[u8] = b"print(1)";

fn bucket(estate: &Estate) -> String {
    format!("terrace-assets-{}-eu-west-1", estate.account.id())
}

/// Declares a component whose stack refers to a script. Returns the key of the script in the bucket.
fn with_script(estate: &mut Estate) -> String {
    let digest = Digest::of_bytes(SCRIPT);
    let key = format!("assets/{digest}/script.py");
    let asset = Asset {
        key: key.as_str().into(),
        bytes: SCRIPT.to_vec(),
    };
    estate.bundle.assets = BTreeMap::from([(digest.clone(), asset)]);
    let stack = estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    stack.assets.insert(digest);
    key
}

/// Returns resources whose template is too large for a request.
fn many(seconds: u32) -> Json {
    let mut resources = Map::new();
    for number in 0..160 {
        let mut queue = queue(seconds);
        queue["Properties"]["Tags"] = json!([{"Key": "description", "Value": "x".repeat(250)}]);
        resources.insert(format!("Queue{number:03}"), queue);
    }
    resources.into()
}

/// Returns the text of an error, which must be a refusal.
fn refusal<T: std::fmt::Debug>(estate: &Estate, outcome: Result<T, Error>) -> String {
    let error = outcome.expect_err("the operation must be refused");
    assert_eq!(error.exit_code(), 4, "{error}");
    estate.neutral(&error.to_string())
}

/// Returns all keys of a bucket of an account.
fn keys(estate: &Estate, bucket: &str) -> Vec<String> {
    let listed = estate
        .account
        .call("s3", "list_objects_v2", json!({"Bucket": bucket}));
    let objects = listed["Contents"].as_array().into_iter().flatten();
    let keys = objects.map(|object| object["Key"].as_str().unwrap_or_default().to_owned());
    keys.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_creates_a_private_bucket_and_can_run_again() {
    let estate = Estate::without_bucket();
    let lines = bootstrap(&estate.bundle, &estate.access).await.unwrap();
    expect![[r#"
        bucket `terrace-assets-ACCOUNT-eu-west-1` was created
        public access is blocked
        object ownership is enforced
        encryption is enabled
        versioning is enabled
        noncurrent versions are deleted after 90 days
        requests without TLS are denied"#]]
    .assert_eq(&estate.neutral(&lines.join("\n")));
    let again = bootstrap(&estate.bundle, &estate.access).await.unwrap();
    assert_eq!(
        estate.neutral(&again[0]),
        "bucket `terrace-assets-ACCOUNT-eu-west-1` already exists"
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
async fn bootstrap_keeps_existing_settings_of_the_bucket() {
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
async fn uploads_a_large_template_to_the_bucket() {
    let mut estate = Estate::new().await;
    estate.want("jobs", many(30), json!({}));
    let size = estate.wanted("jobs").template.to_string().len();
    assert!(size > 51_200, "{size}");
    estate.apply().await;
    estate.want("jobs", many(31), json!({}));
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
    let templates = json!({"Bucket": bucket(&estate), "Prefix": "templates/"});
    let listed = estate.account.call("s3", "list_objects_v2", templates);
    assert_eq!(listed["KeyCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_assets_before_the_stack_that_uses_them() {
    let mut estate = Estate::new().await;
    let key = with_script(&mut estate);
    estate.apply().await;
    let object = json!({"Bucket": bucket(&estate), "Key": key, "ChecksumMode": "ENABLED"});
    let stored = estate.account.call("s3", "head_object", object);
    assert_eq!(stored["ChecksumSHA256"], Digest::of_bytes(SCRIPT).to_base64());
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_the_ledger_in_the_bucket() {
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

/// Deletes the bucket with all versions of its objects.
fn delete_bucket(estate: &Estate) {
    let bucket = bucket(estate);
    let all = json!({"Bucket": bucket});
    let versions = estate.account.call("s3", "list_object_versions", all.clone());
    for kind in ["Versions", "DeleteMarkers"] {
        for version in versions[kind].as_array().into_iter().flatten() {
            let version = json!({"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]});
            estate.account.call("s3", "delete_object", version);
        }
    }
    estate.account.call("s3", "delete_bucket", all);
}

/// Creates a bucket with the name of this account's bucket in another account. Its policy allows everything.
fn create_bucket_in_another_account(estate: &Estate) -> Estate {
    let other = Estate::without_bucket();
    let bucket = bucket(estate);
    let request = json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}});
    other.account.call("s3", "create_bucket", request);
    let objects = [
        format!("arn:aws:s3:::{bucket}"),
        format!("arn:aws:s3:::{bucket}/*"),
    ];
    let open = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": objects}]});
    let policy = json!({"Bucket": bucket, "Policy": open.to_string()});
    other.account.call("s3", "put_bucket_policy", policy);
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_account_is_neither_read_nor_written() {
    let mut estate = Estate::without_bucket();
    let other = create_bucket_in_another_account(&estate);
    with_script(&mut estate);
    let expected = expect![[r#"
        bucket `terrace-assets-ACCOUNT-eu-west-1` belongs to another account, not to ACCOUNT
          help: Terrace neither reads nor writes this bucket: its owner could read and change the files that Terrace deploys. Bucket names are unique across all accounts, so Terrace cannot be used in this account and region until the name is free"#]];
    expected.assert_eq(&refusal(&estate, estate.try_plan().await));
    expected.assert_eq(&refusal(&estate, estate.try_destroy_plan().await));
    expected.assert_eq(&refusal(&estate, bootstrap(&estate.bundle, &estate.access).await));
    expected.assert_eq(&refusal(&estate, history(&estate.bundle, &estate.access).await));
    assert_eq!(keys(&other, &bucket(&estate)), [""; 0]);
    assert_eq!(estate.status("jobs"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_bucket_that_another_account_created_after_the_plan() {
    let mut estate = Estate::new().await;
    with_script(&mut estate);
    estate.apply().await;
    estate.want("more", json!({"Queue": queue(1)}), json!({}));
    let plan = estate.plan().await;
    delete_bucket(&estate);
    let other = create_bucket_in_another_account(&estate);
    let error = refusal(&estate, estate.try_apply(&plan).await);
    assert!(error.contains("belongs to another account"), "{error}");
    let error = refusal(&estate, estate.try_destroy_plan().await);
    assert!(error.contains("belongs to another account"), "{error}");
    assert_eq!(keys(&other, &bucket(&estate)), [""; 0]);
    assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
    assert_eq!(estate.status("more"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_without_the_bucket_but_refuses_to_apply() {
    let mut estate = Estate::without_bucket();
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let plan = estate.plan().await;
    expect![[r#"
        `terrace apply` would refuse this plan: account ACCOUNT is not bootstrapped in eu-west-1: bucket `terrace-assets-ACCOUNT-eu-west-1` does not exist
          help: create the bucket:
            terrace bootstrap -e dev"#]]
    .assert_eq(&estate.neutral(&plan.notes.join("\n")));
    expect![[r#"
        account ACCOUNT is not bootstrapped in eu-west-1: bucket `terrace-assets-ACCOUNT-eu-west-1` does not exist
          help: create the bucket:
            terrace bootstrap -e dev"#]]
    .assert_eq(&refusal(&estate, estate.try_apply(&plan).await));
    assert_eq!(estate.status("jobs"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_change_set_preview_of_a_large_template_without_the_bucket() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    delete_bucket(&estate);
    estate.want("jobs", many(1), json!({}));
    let mut options = PlanOptions::everything();
    options.preview.change_set = true;
    let planned = terrace_deployer::plan(&estate.bundle, &estate.access, &options).await;
    let error = refusal(&estate, planned);
    assert!(error.contains("terrace bootstrap -e dev"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_for_the_bucket_states_its_owner() {
    let mut estate = Estate::without_bucket();
    let endpoint = estate.access.aws.endpoint.clone().unwrap();
    let proxy = Proxy::start(&endpoint, Cut::Never).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    bootstrap(&estate.bundle, &estate.access).await.unwrap();
    bootstrap(&estate.bundle, &estate.access).await.unwrap();
    with_script(&mut estate);
    estate.want("large", many(1), json!({}));
    estate.apply().await;
    estate.drop_component("large");
    estate.apply().await;
    let plan = estate.destroy_plan().await;
    estate.try_apply(&plan).await.unwrap();
    history(&estate.bundle, &estate.access).await.unwrap();
    let owner = format!("x-amz-expected-bucket-owner: {}", estate.account.id());
    let bucket = bucket(&estate);
    let heads = proxy.heads();
    let of_bucket: Vec<&String> = heads.iter().filter(|head| head.contains(&bucket)).collect();
    assert!(of_bucket.len() > 40, "{}", of_bucket.len());
    for head in of_bucket {
        let states_owner = head.lines().any(|line| line.eq_ignore_ascii_case(&owner));
        // The creation of a bucket does not support this condition, and fails if the name is taken.
        let url = head.split(' ').nth(1).unwrap_or_default();
        let path = url.split('?').next().unwrap_or_default().trim_matches('/');
        let creates = head.starts_with("PUT ") && path == bucket && !url.contains('?');
        assert!(states_owner || creates, "{head}");
    }
}

/// Writes an object that does not match the digest in its key, as a user with access to the bucket could.
fn plant(estate: &Estate, key: &str) {
    let object = json!({"Bucket": bucket(estate), "Key": key, "Body": "print('mine')"});
    estate.account.call("s3", "put_object", object);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_an_asset_that_does_not_match_its_digest() {
    let mut estate = Estate::new().await;
    let key = with_script(&mut estate);
    plant(&estate, &key);
    let plan = estate.plan().await;
    let error = refusal(&estate, estate.try_apply(&plan).await);
    expect![[r#"
        the content of `assets/d287bb7f9d15abdc5b6e98536263815744b6ef21c8f3c839fc434ca70d8efe99/script.py` in bucket `terrace-assets-ACCOUNT-eu-west-1` does not match the digest in its name: another user wrote it
          help: find out who wrote it (the bucket keeps versions), delete it, and run this command again:
            aws s3api list-object-versions --bucket terrace-assets-ACCOUNT-eu-west-1 --prefix assets/d287bb7f9d15abdc5b6e98536263815744b6ef21c8f3c839fc434ca70d8efe99/script.py
            aws s3api delete-object --bucket terrace-assets-ACCOUNT-eu-west-1 --key assets/d287bb7f9d15abdc5b6e98536263815744b6ef21c8f3c839fc434ca70d8efe99/script.py"#]]
    .assert_eq(&error);
    assert_eq!(estate.status("jobs"), "absent");
    // Terrace accepts an object with the right content, even if S3 has stored no checksum of it.
    let object = json!({"Bucket": bucket(&estate), "Key": key, "Body": "print(1)"});
    estate.account.call("s3", "put_object", object);
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_template_that_does_not_match_its_digest() {
    let mut estate = Estate::new().await;
    estate.want("jobs", many(1), json!({}));
    let text = to_json_compact(&estate.wanted("jobs").template);
    plant(
        &estate,
        &format!("templates/{}.json", Digest::of_bytes(text.as_bytes())),
    );
    let plan = estate.plan().await;
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("the object must be rejected")
        .to_string();
    assert!(error.contains("does not match the digest in its name"), "{error}");
    assert_eq!(estate.status("jobs"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_upload_an_asset_that_differs_from_its_digest() {
    let mut estate = Estate::new().await;
    let key = with_script(&mut estate);
    let asset = estate.bundle.assets.values_mut().next().expect("an asset");
    asset.bytes = b"print('mine')".to_vec();
    let plan = estate.plan().await;
    let error = estate
        .try_apply(&plan)
        .await
        .expect_err("the object must be rejected")
        .to_string();
    assert!(
        error.contains(&format!("the content of `{key}` does not match its digest")),
        "{error}"
    );
    assert!(!keys(&estate, &bucket(&estate)).contains(&key));
    assert_eq!(estate.status("jobs"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_stored_bundle_that_another_user_changed() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    let bucket = bucket(&estate);
    let of_bundles = |key: &String| key.starts_with("environments/acme.dev/bundles/");
    let key = keys(&estate, &bucket).into_iter().find(of_bundles);
    let key = key.expect("the bundle of the release");
    // The forged bundle lists another stack, which a plan would find and delete.
    let mut forged = estate.bundle.clone();
    forged.artifacts[0].id = terrace_artifact::ArtifactId::stack("aws", "payments");
    let forged = serde_json::to_string(&forged).unwrap();
    let object = json!({"Bucket": bucket, "Key": key, "Body": forged});
    estate.account.call("s3", "put_object", object);
    let error = refusal(&estate, estate.try_plan().await);
    assert!(
        error.contains("does not match its digest in the ledger: it was changed after the release"),
        "{error}"
    );
    let command = format!("aws s3 rm s3://terrace-assets-ACCOUNT-eu-west-1/{key}");
    assert!(error.contains(&command), "{error}");
    let error = refusal(&estate, estate.try_destroy_plan().await);
    assert!(
        error.contains("does not match its digest in the ledger"),
        "{error}"
    );
    // Without the stored bundle, only history is lost.
    estate
        .account
        .call("s3", "delete_object", json!({"Bucket": bucket, "Key": key}));
    assert!(estate.plan().await.is_empty());
}
