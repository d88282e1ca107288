//! Tests of the engine with a live cluster and a live account, and values that are passed between them.

mod killed;
mod platform;

use std::collections::BTreeSet;

use expect_test::expect;
use platform::Platform;
use serde_json::json;
use terrace_deployer::{Action, Error, Event, Outcome, Refusal, Status};
use terrace_tests::servers;

#[tokio::test(flavor = "multi_thread")]
async fn passes_values_between_the_account_and_the_cluster() {
    let platform = Platform::new("both").await;
    let plan = platform.plan().await;
    platform.fits_the_schema(&plan);
    expect![[r#"
        plan for both in testing: 7 to create
          where: account ACCOUNT in REGION, cluster local at SERVER

        platform/lake
          + CloudFormation stack both-testing-platform-lake (2 resources)
              + platform/lake/bucket AWS::S3::Bucket
              + platform/lake/role AWS::IAM::Role

        platform/notes
          + CloudFormation stack both-testing-platform-notes (1 resource)
              + platform/notes/address AWS::SSM::Parameter

        platform/web
          + Namespace both
          + Service both/web
          + ServiceAccount both/web
          + Deployment both/web

        note: namespace `both` does not exist yet: planned without a server-side dry run (3 steps)

        7 to create
    "#]]
    .assert_eq(&platform.shown(&plan));
    let events = platform.apply(&plan).await;

    // Each step started only after its dependencies were ready.
    let started = |kind: &str, name: &str| {
        let is = |event: &Event| matches!(event, Event::Started { step } if &*step.subject.kind == kind && step.subject.name.ends_with(name));
        events
            .iter()
            .position(is)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let done = |kind: &str, name: &str| {
        let is = |event: &Event| matches!(event, Event::Done { step, .. } if &*step.subject.kind == kind && step.subject.name.ends_with(name));
        events
            .iter()
            .position(is)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    assert!(done("Namespace", "both") < started("ServiceAccount", "web"));
    assert!(done("CloudFormation stack", "lake") < started("ServiceAccount", "web"));
    assert!(done("Service", "web") < started("CloudFormation stack", "notes"));
    assert!(done("ServiceAccount", "web") < started("Deployment", "web"));

    // The live systems contain the passed values.
    let role = platform
        .account
        .call("iam", "get_role", json!({"RoleName": "both-reader"}));
    let role = role["Role"]["Arn"].as_str().expect("an ARN").to_owned();
    assert_eq!(platform.annotation(), role);
    let address = platform.kubectl("get service web --namespace both --output=jsonpath={.spec.clusterIP}");
    let note = platform
        .account
        .call("ssm", "get_parameter", json!({"Name": "/both/address"}));
    assert_eq!(note["Parameter"]["Value"], address);

    assert!(platform.plan().await.is_empty());
    let history = platform.history().await;
    assert_eq!(history.releases.len(), 1);
    assert_eq!(history.releases[0].status, Status::Deployed);
    assert_eq!(history.releases[0].targets.len(), 2);

    // Another user edits one object and deletes another. The plan changes exactly these.
    platform.kubectl("annotate serviceaccount web --namespace both --overwrite role=mine");
    platform.kubectl("delete deployment web --namespace both --wait=true");
    let plan = platform.plan().await;
    let changed: Vec<_> = plan
        .changes()
        .map(|step| (step.subject.to_string(), step.change.action))
        .collect();
    assert_eq!(
        changed,
        [
            ("ServiceAccount both/web".to_owned(), Action::Update),
            ("Deployment both/web".to_owned(), Action::Create)
        ]
    );
    // A plan that was made before another edit is refused.
    platform.kubectl("annotate serviceaccount web --namespace both --overwrite role=theirs");
    let Err(Error::Refused(Refusal::Stale(moved))) = platform.try_apply(&plan).await else {
        panic!("the apply was not refused as stale");
    };
    let moved: BTreeSet<_> = moved
        .iter()
        .map(|moved| moved.artifact.as_str().to_owned())
        .collect();
    assert_eq!(
        moved,
        BTreeSet::from(["kubernetes:core/ServiceAccount/both/web".to_owned()])
    );
    platform.apply(&platform.plan().await).await;
    assert_eq!(platform.annotation(), role);
    assert!(platform.plan().await.is_empty());

    platform.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_arn_of_a_replaced_role_to_the_cluster() {
    let mut platform = Platform::new("renamed").await;
    platform.apply(&platform.plan().await).await;
    let before = platform.annotation();
    platform.role("renamed-writer");
    let plan = platform.plan().await;
    platform.fits_the_schema(&plan);
    expect![[r#"
        plan for renamed in testing: 1 to update, 1 to replace, 5 unchanged
          where: account ACCOUNT in REGION, cluster local at SERVER

        platform/lake
          ~ CloudFormation stack renamed-testing-platform-lake (1 resource)  updated  [replaces]
              -/+ platform/lake/role AWS::IAM::Role  replaced: `RoleName` cannot be changed in place
                  RoleName: "renamed-reader" → "renamed-writer"  (forces replacement)
              note: the old `platform/lake/role` is deleted before ServiceAccount renamed/web is updated

        platform/web
          ~ ServiceAccount renamed/web  updated
              metadata.annotations.role: "ROLE" → (known after apply: platform/lake/role.arn)

        1 to update, 1 to replace, 5 unchanged
    "#]]
    .assert_eq(
        &platform
            .shown(&plan)
            .replace(&before.replace(platform.account.id(), "ACCOUNT"), "ROLE"),
    );
    platform.apply(&plan).await;
    let after = platform.annotation();
    assert!(after.ends_with("role/renamed-writer"), "{after}");
    assert!(platform.plan().await.is_empty());
    platform.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_role_until_the_cluster_uses_its_successor() {
    let mut platform = Platform::new("switched").await;
    platform.apply(&platform.plan().await).await;
    platform.role_with_key("Writer", "switched-writer");
    let plan = platform.plan().await;
    platform.fits_the_schema(&plan);
    let role = |name: &str| {
        let request = json!({"RoleName": name});
        platform.account.try_call("iam", "get_role", request).is_ok()
    };
    let events = platform
        .apply_and_watch(&plan, &|event| {
            if let Event::Done { step, .. } = event
                && &*step.subject.kind == "ServiceAccount"
            {
                assert!(
                    role("switched-reader"),
                    "the role was deleted before the cluster stopped using it"
                );
            }
        })
        .await;
    let done = events.iter().filter_map(|event| match event {
        Event::Done { step, .. } => Some(step.to_string()),
        _ => None,
    });
    expect![[r#"
        update CloudFormation stack switched-testing-platform-lake
        update ServiceAccount switched/web
        update CloudFormation stack switched-testing-platform-lake"#]]
    .assert_eq(&done.collect::<Vec<_>>().join("\n"));
    assert!(platform.annotation().ends_with("role/switched-writer"));
    assert_eq!((role("switched-reader"), role("switched-writer")), (false, true));
    assert!(platform.plan().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_nothing_is_deleted_and_the_next_apply_completes() {
    let mut platform = Platform::new("broken").await;
    platform.apply(&platform.plan().await).await;
    // The image cannot be pulled, and the component `notes` is no longer declared.
    platform.image("web:broken");
    platform.drop_notes();
    platform.timeout = std::time::Duration::from_secs(6);
    let plan = platform.plan().await;
    let Err(Error::Partly(report)) = platform.try_apply(&plan).await else {
        panic!("the apply must fail in part");
    };
    let ends: Vec<_> = report
        .steps
        .iter()
        .map(|(step, outcome)| {
            let end = match outcome {
                Outcome::Done => "done",
                Outcome::Unsettled(_) => "unsettled",
                Outcome::Failed(_) => "failed",
                Outcome::Skipped(_) => "skipped",
            };
            format!("{step}: {end}")
        })
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(
        !ends[0].ends_with("done") && ends[0].starts_with("update Deployment"),
        "{ends:?}"
    );
    assert_eq!(
        ends[1],
        "delete CloudFormation stack broken-testing-platform-notes: skipped"
    );
    let message = report.to_string();
    assert!(message.contains("defined at web.yaml:7:3"), "{message}");
    assert!(
        message.contains("ImagePullBackOff") || message.contains("pull"),
        "{message}"
    );
    assert_eq!(
        platform.history().await.last().map(|last| last.status),
        Some(Status::Failed)
    );

    platform.image("web:2");
    platform.timeout = std::time::Duration::from_secs(60);
    let plan = platform.plan().await;
    assert!(
        plan.notes.iter().any(|note| note.contains("did not complete")),
        "{:?}",
        plan.notes
    );
    platform.apply(&plan).await;
    assert!(platform.plan().await.is_empty());
    platform.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_concurrent_apply() {
    let platform = Platform::new("locked").await;
    let plan = platform.plan().await;
    let (first, second) = tokio::join!(platform.try_apply(&plan), platform.try_apply(&plan));
    let (done, refused) = match (first, second) {
        (Ok(done), Err(refused)) | (Err(refused), Ok(done)) => (done, refused),
        (first, second) => panic!("{first:?} and {second:?}"),
    };
    assert!(done.is_complete());
    let message = refused.to_string();
    // The second apply finds either the lock or, if the first apply was fast, a changed live state.
    let expected =
        message.contains("has held the lock of this environment since") || message.contains("it exists now");
    assert!(expected, "{message}");
    platform.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_apply_a_plan_in_another_account() {
    let platform = Platform::new("elsewhere").await;
    let plan = platform.plan().await;
    let other = servers::aws().account();
    let mut access = platform.access();
    access.aws.key = Some((other.id().into(), "secret".into()));
    let error = platform
        .apply_with(&plan, &access)
        .await
        .expect_err("another account");
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains(other.id()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_forget_an_account_with_resources() {
    let mut platform = Platform::new("forgotten").await;
    platform.apply(&platform.plan().await).await;
    platform.drop_account();
    let error = platform
        .try_plan()
        .await
        .expect_err("the account still contains resources");
    assert_eq!(error.exit_code(), 4, "{error}");
    let message = error.to_string().replace(platform.account.id(), "ACCOUNT");
    let message = message.replace(platform.account.region(), "REGION");
    expect![[r#"
        environment `testing` no longer names every place where it is deployed; nothing was changed
          an apply would leave these resources deployed but unmanaged:
            account ACCOUNT in REGION: 2 CloudFormation stacks: lake (1), notes (1) (recorded in the claim in cluster local)
          help: to delete these resources:
            terrace destroy . -e testing --at ACCOUNT/REGION
          help: to keep these resources and stop managing them:
            terrace forget . -e testing ACCOUNT/REGION
          help: to move the environment, name the old place together with the new one (under `accounts:` or `clusters:`) for one apply; it creates everything in the new place, then deletes it from the old one"#]]
    .assert_eq(&message);
    let platform = Platform::in_account("forgotten", platform.account).await;
    platform.destroy().await;
    // A remaining claim would refuse the next environment of this name.
    let secrets = platform.kubectl("get secrets --namespace terrace-system --output=name");
    assert!(secrets.contains("secret/forgotten.testing.ledger"), "{secrets}");
    assert!(!secrets.contains("secret/forgotten.testing.claim"), "{secrets}");
}
