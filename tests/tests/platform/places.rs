//! Places where an environment is deployed: `terrace.lock` and `terrace forget`.

use serde_json::json;

use crate::lab::{Lab, says};

#[test]
fn forget_keeps_the_resources_and_permits_the_next_plan() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    lab.places(&lab.aws_in("us-east-1"));
    lab.bootstrap();
    let before = lab.stacks();
    let old = format!("{}/eu-west-1", lab.account.id());
    let forget = ["forget", ".", "-e", "dev", &old];

    let unasked = lab.run(&forget, 1).stderr;
    says(
        &unasked,
        &[
            "1 CloudFormation stack: lake (1)",
            "these resources are not changed or deleted",
            "add `--yes`",
        ],
    );
    assert!(lab.claim().is_some());
    let wrong = lab.run(&["forget", "-e", "dev", "--yes", "elsewhere"], 1).stderr;
    says(
        &wrong,
        &["environment `dev` has no recorded place `elsewhere`", &old],
    );

    let forgotten = lab.run(&[&forget[..], &["--yes"]].concat(), 0).stderr;
    says(&forgotten, &["forgotten, recorded as release 2 in s3://"]);
    assert_eq!(lab.stacks(), before, "nothing is deleted");
    assert_eq!(lab.claim(), None);
    assert_eq!(lab.lock(), None);
    let bucket = format!("terrace-assets-{}-eu-west-1", lab.account.id());
    let key = format!("environments/{}.dev/ledger/00000003", lab.platform);
    let entry = lab
        .account
        .call("s3", "get_object", json!({"Bucket": bucket, "Key": key}));
    let entry: serde_json::Value =
        serde_json::from_str(entry["Body"].as_str().unwrap_or_default()).expect("an entry");
    assert_eq!(entry["release"]["forgotten"][0]["id"], old.as_str());
    assert_eq!(entry["release"]["forgotten"][0]["components"], json!({"lake": 1}));
    assert!(entry["release"]["who"].is_string());

    let _ = lab.apply(0);
    let _ = lab.plan(0);
    let _ = lab.run(&["forget", "-e", "dev", "--yes", &old], 1);
    let _ = lab.destroy(0);
    assert_eq!(lab.stacks(), before, "nothing is deleted");
}

#[test]
fn a_saved_plan_is_checked_against_the_claims_and_updates_the_lock_file() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    lab.bootstrap();
    let _ = lab.run(&["plan", "-e", "dev", "--save", "plan.json"], 0);
    let other = lab.another();
    other.queues(&["jobs"]);
    let _ = other.apply(0);
    says(
        &lab.run(&["apply", "plan.json"], 4).stderr,
        &["is deployed from another directory"],
    );
    let _ = other.destroy(0);
    let applied = lab.run(&["apply", "plan.json"], 0).stderr;
    says(&applied, &["updated `"]);
    says(&lab.lock().expect("it is written"), &["lake: 1"]);

    // Applied from another directory, the plan does not update the file, and a message says so.
    lab.queues(&["lake", "orders"]);
    let _ = lab.run(&["plan", "-e", "dev", "--save", "plan.json"], 0);
    let away = Lab::new();
    away.stack.write("plan.json", &lab.stack.read("plan.json"));
    let elsewhere = away
        .terrace()
        .account(&lab.account)
        .run(&["apply", "plan.json"])
        .expect(0)
        .stderr;
    says(&elsewhere, &["`terrace.lock` was not updated"]);
    assert_eq!(away.lock(), None);
    let _ = lab.apply(0);
    says(&lab.lock().expect("it is written"), &["orders: 1"]);
    let _ = lab.destroy(0);
}
