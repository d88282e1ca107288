//! Tests that failures report their first cause, and that the next apply recovers from them.

use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use terrace_deployer::{ApplyOptions, Cancel, Error, Event, FailureKind, Outcome, Refusal, apply};

use crate::estate::{Estate, access, fault, held, name, queue};
use crate::proxy::{Cut, Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_reports_its_cause_and_is_retried_by_the_next_apply() {
    let mut estate = Estate::new().await;
    estate.want(
        "jobs",
        json!({"Alpha": queue(1), "Beta": queue(2), "Gamma": queue(3)}),
        json!({}),
    );
    estate
        .account
        .fail(&fault("create", "Beta", "the limit of queues is reached"));
    let error = estate.apply_fails().await;
    expect![[r#"
        0 of 1 steps done

        failed: create CloudFormation stack acme-dev-platform-jobs
        platform/jobs/beta: `acme-dev-platform-jobs` could not be created and was rolled back
          cause: `Beta` (AWS::SQS::Queue): CREATE_FAILED: the limit of queues is reached
          declared at components.yaml:3:1, defined at module:lake/module.yaml:11:1"#]]
    .assert_eq(&error);
    assert_eq!(estate.status("jobs"), "ROLLBACK_COMPLETE");
    expect![[r#"
        Replace acme-dev-platform-jobs (Replace): its creation failed (ROLLBACK_COMPLETE): apply deletes it first
          Create platform/jobs/alpha (None): it does not exist
          Create platform/jobs/beta (None): it does not exist
          Create platform/jobs/gamma (None): it does not exist
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_is_rolled_back_and_retried_by_the_next_apply() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Alpha": queue(1), "Beta": queue(2)}), json!({}));
    estate.want("other", json!({"Queue": queue(2)}), json!({}));
    estate.apply().await;
    estate.want("jobs", json!({"Alpha": queue(10), "Beta": queue(20)}), json!({}));
    estate.want("other", json!({"Queue": queue(20)}), json!({}));
    estate.account.fail(&fault("update", "Beta", "not today"));
    let error = estate.apply_fails().await;
    expect![[r#"
        1 of 2 steps done

        failed: update CloudFormation stack acme-dev-platform-jobs
        platform/jobs/beta: `acme-dev-platform-jobs` could not be updated and was rolled back to its last stable state
          cause: `Beta` (AWS::SQS::Queue): UPDATE_FAILED: not today
          declared at components.yaml:3:1, defined at module:lake/module.yaml:11:1"#]]
    .assert_eq(&error);
    assert_eq!(estate.status("jobs"), "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(estate.status("other"), "UPDATE_COMPLETE");
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_a_failed_update_needs_no_change() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Alpha": queue(1)}), json!({}));
    estate.apply().await;
    estate.want("jobs", json!({"Alpha": queue(10)}), json!({}));
    estate.account.fail(&fault("update", "Alpha", "not today"));
    estate.apply_fails().await;
    estate.want("jobs", json!({"Alpha": queue(1)}), json!({}));
    assert_eq!(estate.shown().await, "no changes\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_fails_is_completed_by_the_next_apply() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Alpha": queue(1), "Beta": queue(2)}), json!({}));
    estate.apply().await;
    estate.drop_component("jobs");
    estate.account.fail(&fault("delete", "Alpha", "it is in use"));
    let error = estate.apply_fails().await;
    expect![[r#"
        0 of 1 steps done

        failed: delete CloudFormation stack acme-dev-platform-jobs
        platform/jobs/alpha: `acme-dev-platform-jobs` could not be deleted
          cause: `Alpha` (AWS::SQS::Queue): DELETE_FAILED: it is in use"#]]
    .assert_eq(&error);
    assert_eq!(estate.status("jobs"), "DELETE_FAILED");
    // The stack can also be declared again.
    estate.want("jobs", json!({"Alpha": queue(1), "Beta": queue(2)}), json!({}));
    let shown = estate.shown().await;
    assert!(
        shown.starts_with("Replace acme-dev-platform-jobs (Replace): its deletion failed"),
        "{shown}"
    );
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_reports_the_command_that_continues_it() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Alpha": queue(1), "Beta": queue(2)}), json!({}));
    estate.apply().await;
    estate.want("jobs", json!({"Alpha": queue(10), "Beta": queue(20)}), json!({}));
    estate.account.fail(&fault("update", "Beta", "not today"));
    estate.account.fail(&fault("revert", "Alpha", "not back either"));
    let error = estate.apply_fails().await;
    assert_eq!(estate.status("jobs"), "UPDATE_ROLLBACK_FAILED");
    expect![[r#"
        0 of 1 steps done

        failed: update CloudFormation stack acme-dev-platform-jobs
        platform/jobs/beta: `acme-dev-platform-jobs` could not be updated, and its rollback failed
          cause: `Beta` (AWS::SQS::Queue): UPDATE_FAILED: not today
          declared at components.yaml:3:1, defined at module:lake/module.yaml:11:1
          help: fix the cause of the failed rollback (see the events of the stack), then run
            aws cloudformation continue-update-rollback --stack-name acme-dev-platform-jobs --region eu-west-1
            and run this command again"#]]
    .assert_eq(&error);
    let error = estate
        .try_plan()
        .await
        .expect_err("the rollback failed")
        .to_string();
    assert!(
        error.contains("`acme-dev-platform-jobs` is in status UPDATE_ROLLBACK_FAILED"),
        "{error}"
    );
    assert!(
        error.contains("aws cloudformation continue-update-rollback --stack-name acme-dev-platform-jobs"),
        "{error}"
    );
    estate.account.call(
        "cloudformation",
        "continue_update_rollback",
        json!({"StackName": name("jobs")}),
    );
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_progress_and_continues_after_a_timeout() {
    let mut estate = Estate::new().await;
    let queues = ["Alpha", "Beta", "Delta", "Gamma", "Omega", "Sigma"];
    let resources: serde_json::Map<_, _> = queues.iter().map(|name| ((*name).to_owned(), queue(1))).collect();
    estate.want("jobs", resources.into(), json!({}));
    estate.account.delay(Duration::from_secs(1));
    estate.timeout = Duration::from_secs(3);
    let plan = estate.plan().await;
    let reasons = std::sync::Mutex::new(Vec::new());
    let events = |event: Event| {
        if let Event::Waiting { why, .. } = event {
            reasons.lock().unwrap().push(why);
        }
    };
    let report = match estate.apply_with(&plan, &estate.access, &events).await {
        Err(Error::Partly(report)) => report,
        other => panic!("the apply did not time out: {other:?}"),
    };
    let [(_, Outcome::Unsettled(failure))] = report.steps.as_slice() else {
        panic!("{report}");
    };
    assert_eq!(failure.kind, FailureKind::TimedOut);
    let reasons = reasons.into_inner().unwrap();
    let first = &reasons[0];
    assert!(first.contains(" of 6 resources, creating "), "{first}");
    let shows_progress = |why: &String| why.starts_with("CREATE_IN_PROGRESS: ") && !why.contains(" 0 of 6");
    assert!(reasons.iter().any(shows_progress), "{reasons:?}");
    let shown = failure.to_string();
    assert!(
        shown.contains("\n  last observed state: CREATE_IN_PROGRESS: ") && !shown.contains("server response"),
        "{shown}"
    );

    // CloudFormation still creates the stack. The next apply waits for it and creates nothing twice.
    let shown = estate.shown().await;
    assert!(
        shown.starts_with("Update acme-dev-platform-jobs (None): apply waits for it"),
        "{shown}"
    );
    estate.timeout = Duration::from_secs(60);
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_template_leaves_no_stack() {
    let mut estate = Estate::new().await;
    estate.want(
        "jobs",
        json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Arn": {"Ref": "Nothing"}}}}),
        json!({}),
    );
    let error = estate.apply_fails().await;
    assert!(
        error.contains("AWS rejects `cloudformation:CreateChangeSet` for `acme-dev-platform-jobs`"),
        "{error}"
    );
    assert!(
        error.contains("Unresolved resource dependencies [Nothing]"),
        "{error}"
    );
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_credentials_of_another_account_before_reading() {
    let mut estate = Estate::without_bucket();
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let endpoint = estate.access.aws.endpoint.clone().unwrap();
    estate.access = access(&endpoint, "999988887777");
    let error = estate.try_plan().await.expect_err("another account");
    assert_eq!(error.exit_code(), 4);
    assert!(
        matches!(error, Error::Refused(Refusal::WrongTarget(_))),
        "{error:?}"
    );
    expect![[r#"
        the environment names account `ACCOUNT`, but the credentials belong to account `999988887777`
          server response: arn:aws:iam::999988887777:root
          help: log in to account ACCOUNT, set `AWS_PROFILE` to a profile of it, or add `profile: NAME` to the account in the environment"#]]
    .assert_eq(&estate.neutral(&error.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_an_unreachable_endpoint_within_seconds() {
    let mut estate = Estate::without_bucket();
    estate.access = access("http://127.0.0.1:9", estate.account.id());
    let start = std::time::Instant::now();
    let error = estate.try_plan().await.expect_err("no endpoint").to_string();
    assert!(
        error.starts_with("AWS does not respond to `sts:GetCallerIdentity` in eu-west-1"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_missing_credentials_within_seconds() {
    let mut estate = Estate::without_bucket();
    estate.access.aws.key = None;
    estate.access.aws.profile = Some("no-such-profile".into());
    let start = std::time::Instant::now();
    let error = estate.try_plan().await.expect_err("no credentials").to_string();
    let error = estate.neutral(&error);
    assert!(
        error.starts_with("no credentials were found for account `ACCOUNT`"),
        "{error}"
    );
    assert!(error.contains("help: log in with `aws sso login`"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_throttled_requests() {
    let mut estate = Estate::new().await;
    for number in 0..4 {
        estate.want(&format!("jobs-{number}"), json!({"Queue": queue(1)}), json!({}));
    }
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, Cut::Throttle).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    let plan = estate.plan().await;
    estate
        .try_apply(&plan)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(estate.status("jobs-3"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_missing_permission_with_its_policy_statement() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let creates = |body: &str| body.starts_with("Action=CreateChangeSet");
    let proxy = Proxy::start(&upstream, Cut::Deny(creates)).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    let error = estate.apply_fails().await;
    expect![[r#"
        0 of 1 steps done

        failed: create CloudFormation stack acme-dev-platform-jobs
        platform/jobs/queue: the credentials lack the permission `cloudformation:CreateChangeSet` on `acme-dev-platform-jobs`
          server response: User: arn:aws:iam::1:user/ben is not authorized to do that (AccessDenied)
          declared at components.yaml:3:1, defined at module:lake/module.yaml:3:1
          a rule that would allow it:
            {"Effect": "Allow", "Action": "cloudformation:CreateChangeSet", "Resource": "arn:aws:cloudformation:eu-west-1:ACCOUNT:stack/acme-dev-platform-jobs/*"}"#]]
    .assert_eq(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_stacks_by_name_without_the_permission_to_list() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    estate.want("other", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let lists = |body: &str| body.starts_with("Action=DescribeStacks") && !body.contains("StackName");
    let proxy = Proxy::start(&upstream, Cut::Deny(lists)).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    estate.drop_component("other");
    estate.want("jobs", json!({"Queue": queue(2)}), json!({}));
    estate.apply().await;
    assert_eq!(estate.status("other"), "absent");
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_delete_a_stack_whose_export_is_used() {
    let mut estate = Estate::new().await;
    let output = json!({"Arn": {"Value": {"Ref": "Topic"}, "Export": {"Name": "topic"}}});
    estate.want("topics", json!({"Topic": {"Type": "AWS::SNS::Topic"}}), output);
    estate.apply().await;
    let template = json!({"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::ImportValue": "topic"}}}}});
    let theirs = json!({"StackName": "theirs", "TemplateBody": template.to_string()});
    estate.account.call("cloudformation", "create_stack", theirs);
    estate.drop_component("topics");
    let error = estate.apply_fails().await;
    assert!(
        error.contains("AWS rejects `cloudformation:DeleteStack` for `acme-dev-platform-topics`"),
        "{error}"
    );
    assert!(error.contains("imported by stack theirs"), "{error}");
    assert_eq!(estate.status("topics"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_early_validation_errors_by_resource() {
    let mut estate = Estate::new().await;
    let bucket = format!("acme-dev-lake-{}", estate.account.id());
    let request = json!({"Bucket": bucket, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}});
    let raw = json!({"Type": "AWS::S3::Bucket", "Properties": {"BucketName": bucket}});
    estate.want("lake", json!({"Queue": queue(1), "Raw": raw}), json!({}));
    let plan = estate.plan().await;
    // Another user creates the bucket after the plan.
    estate.account.call("s3", "create_bucket", request);
    let error = estate.try_apply(&plan).await.expect_err("the name is taken");
    let error = estate.neutral(&error.to_string());
    expect![[r#"
        0 of 1 steps done

        failed: create CloudFormation stack acme-dev-platform-lake
        platform/lake/raw: `acme-dev-platform-lake` could not be created and was rolled back
          cause: `Raw` (AWS::S3::Bucket): Resource of type 'AWS::S3::Bucket' with identifier 'acme-dev-lake-ACCOUNT' already exists.
          declared at components.yaml:3:1, defined at module:lake/module.yaml:11:1
          help: choose another name: Terrace cannot import an existing resource into a stack yet. The existing one may hold data: an earlier stack retained it, or another user created it"#]]
    .assert_eq(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn can_be_canceled_while_waiting_for_the_update_of_another_user() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Alpha": held(queue(1))}), json!({}));
    estate.apply().await;
    estate.want("jobs", json!({"Alpha": held(queue(10))}), json!({}));
    estate.account.delay(Duration::from_secs(5));
    let template = json!({"Resources": {"Alpha": queue(7)}}).to_string();
    let update = json!({"StackName": name("jobs"), "TemplateBody": template});
    estate.account.call("cloudformation", "update_stack", update);
    let plan = estate.plan().await;
    let (canceller, cancel) = Cancel::channel();
    let options = ApplyOptions {
        approved: estate.approved.clone(),
        timeout: Some(estate.timeout),
        cancel,
    };
    let stopping = |event: Event| {
        if let Event::Started { .. } = event {
            canceller.cancel();
        }
    };
    let report = match apply(&plan, &estate.access, &options, stopping).await {
        Err(Error::Partly(report)) => report,
        other => panic!("the apply was not canceled: {other:?}"),
    };
    let [(_, Outcome::Failed(failure))] = report.steps.as_slice() else {
        panic!("{report}");
    };
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert_eq!(estate.status("jobs"), "UPDATE_IN_PROGRESS");
    estate.account.delay(Duration::ZERO);
    estate.apply().await;
    assert_eq!(estate.status("jobs"), "UPDATE_COMPLETE");
}
