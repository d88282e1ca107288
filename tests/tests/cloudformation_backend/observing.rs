//! Tests that a plan shows changes by other users, and that a plan without changes needs few requests.

use expect_test::expect;
use serde_json::json;
use terrace_deployer::{Error, PlanOptions, Refusal};

use crate::estate::{Estate, held, name, queue, shown};
use crate::proxy::{Cut, Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn plans_to_revert_edits_and_deletions_by_other_users() {
    let mut estate = Estate::new().await;
    for component in ["alpha", "beta", "gamma"] {
        estate.want(
            component,
            json!({"Queue": queue(1), "Topic": {"Type": "AWS::SNS::Topic"}}),
            json!({}),
        );
    }
    estate.apply().await;
    let stack = estate.wanted("alpha").clone();
    let mut template = stack.template.to_json();
    template["Resources"]["Queue"]["Properties"]["VisibilityTimeout"] = 99.into();
    let tags: Vec<_> = estate.described("alpha").unwrap()["Tags"]
        .as_array()
        .unwrap()
        .clone();
    estate.account.call(
        "cloudformation",
        "update_stack",
        json!({"StackName": name("alpha"), "TemplateBody": template.to_string(), "Tags": tags}),
    );
    estate.account.call(
        "cloudformation",
        "delete_stack",
        json!({"StackName": name("beta")}),
    );
    expect![[r#"
        Update acme-dev-platform-alpha (None): a resource in it changes
          Update platform/alpha/queue (None): `VisibilityTimeout` changes
            VisibilityTimeout: 99 -> 1
        Create acme-dev-platform-beta (None): it does not exist
          Create platform/beta/queue (None): it does not exist
          Create platform/beta/topic (None): it does not exist
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_a_template_in_yaml() {
    let mut estate = Estate::new().await;
    let topic = json!({"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::GetAtt": ["Queue", "QueueName"]}}});
    let topics = json!({"Queue": held(queue(1)), "Topic": held(topic)});
    estate.want("alpha", topics, json!({}));
    estate.apply().await;
    let yaml = "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties:\n      VisibilityTimeout: 7\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      DisplayName: !GetAtt Queue.QueueName\n";
    let tags = estate.described("alpha").unwrap()["Tags"].clone();
    estate.account.call(
        "cloudformation",
        "update_stack",
        json!({"StackName": name("alpha"), "TemplateBody": yaml, "Tags": tags}),
    );
    expect![[r#"
        Update acme-dev-platform-alpha (None): 2 of 2 resources in it change
          Update platform/alpha/queue (None): `VisibilityTimeout` and `Metadata` change
            VisibilityTimeout: 7 -> 1
            Metadata: - -> {"terrace":{"address":"platform/alpha/queue","holds-data":true}}
          Update platform/alpha/topic (None): `Metadata` changes
            Metadata: - -> {"terrace":{"address":"platform/alpha/topic","holds-data":true}}
    "#]]
    .assert_eq(&estate.shown().await);
    estate.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_stale_plan() {
    let mut estate = Estate::new().await;
    estate.want("alpha", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    estate.want("alpha", json!({"Queue": queue(2)}), json!({}));
    let plan = estate.plan().await;
    estate.want("alpha", json!({"Queue": queue(3)}), json!({}));
    estate.apply().await;
    let error = estate.try_apply(&plan).await.expect_err("the plan is stale");
    assert_eq!(error.exit_code(), 4);
    assert!(matches!(error, Error::Refused(Refusal::Stale(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_bundle_needs_few_reads_and_no_writes() {
    let mut estate = Estate::new().await;
    for number in 0..5 {
        estate.want(&format!("jobs-{number}"), json!({"Queue": queue(1)}), json!({}));
    }
    estate.apply().await;
    let endpoint = estate.access.aws.endpoint.clone().unwrap();
    let proxy = Proxy::start(&endpoint, Cut::Never).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    let plan = estate.plan().await;
    estate.try_apply(&plan).await.unwrap();
    let (store, calls): (Vec<String>, Vec<String>) = proxy
        .requests()
        .into_iter()
        .partition(|request| request.contains(' '));
    // One request describes all five stacks: the last executed change set has the name of the desired one.
    assert_eq!(
        calls,
        ["GetCallerIdentity", "DescribeStacks", "GetCallerIdentity"]
    );
    assert!(
        store.iter().all(|request| request.starts_with("GET ")),
        "{store:?}"
    );
    assert!(store.len() <= 10, "{store:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_a_stack_in_place_of_an_empty_one_without_change_sets() {
    let mut estate = Estate::new().await;
    let template = json!({"Resources": {"Queue": queue(1)}}).to_string();
    let review = json!({"StackName": name("alpha"), "ChangeSetName": "left", "ChangeSetType": "CREATE", "TemplateBody": template});
    estate.account.call("cloudformation", "create_change_set", review);
    let left = json!({"StackName": name("alpha"), "ChangeSetName": "left"});
    estate.account.call("cloudformation", "delete_change_set", left);
    assert_eq!(estate.status("alpha"), "REVIEW_IN_PROGRESS");
    estate.want("alpha", json!({"Queue": queue(2)}), json!({}));
    let planned = estate.shown().await;
    assert!(
        planned.starts_with("Create acme-dev-platform-alpha (None): it does not exist"),
        "{planned}"
    );
    estate.apply().await;
    assert_eq!(estate.status("alpha"), "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_the_template_after_an_update_without_a_change_set() {
    let mut estate = Estate::new().await;
    estate.want("alpha", json!({"Queue": queue(1)}), json!({}));
    estate.want("beta", json!({"Queue": queue(1)}), json!({}));
    estate.apply().await;
    let template = estate.wanted("alpha").template.to_string();
    let update = |seconds: &str| {
        let template = template.replace(
            r#""VisibilityTimeout":1"#,
            &format!(r#""VisibilityTimeout":{seconds}"#),
        );
        let tags = estate.described("alpha").expect("a stack")["Tags"].clone();
        let request = json!({"StackName": name("alpha"), "TemplateBody": template, "Tags": tags});
        estate.account.call("cloudformation", "update_stack", request);
    };
    update("2");
    update("1");
    let endpoint = estate.access.aws.endpoint.clone().unwrap();
    let proxy = Proxy::start(&endpoint, Cut::Never).await;
    estate.access.aws.endpoint = Some(proxy.url.as_str().into());
    assert!(estate.plan().await.is_empty());
    let requests = proxy.requests();
    let calls: Vec<&String> = requests.iter().filter(|request| !request.contains(' ')).collect();
    assert_eq!(calls, ["GetCallerIdentity", "DescribeStacks", "GetTemplate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_with_a_change_set_on_request() {
    let mut estate = Estate::new().await;
    estate.want(
        "alpha",
        json!({"Queue": queue(1), "Topic": {"Type": "AWS::SNS::Topic"}}),
        json!({}),
    );
    estate.apply().await;
    let topic = json!({"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "one"}});
    estate.want("alpha", json!({"Queue": queue(2), "Topic": topic}), json!({}));
    let mut options = PlanOptions::everything();
    options.preview.change_set = true;
    let plan = terrace_deployer::plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap();
    assert!(plan.changes().all(|step| step.change.previewed));
    expect![[r#"
        Update acme-dev-platform-alpha (Replace): 2 of 2 resources in it change
          Update platform/alpha/queue (None): `VisibilityTimeout` changes
            VisibilityTimeout: 1 -> 2
          Replace platform/alpha/topic (Replace): `TopicName` cannot be changed in place
            TopicName: - -> "one" forces replacement
    "#]]
    .assert_eq(&shown(&plan));
    // The change set of the preview is deleted.
    let sets = estate.account.call(
        "cloudformation",
        "list_change_sets",
        json!({"StackName": name("alpha")}),
    );
    let available = sets["Summaries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|set| set["ExecutionStatus"] == "AVAILABLE")
        .count();
    assert_eq!(available, 0);
    estate.try_apply(&plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn warns_when_history_is_missing() {
    let mut estate = Estate::new().await;
    estate.want("jobs", json!({"Queue": queue(1)}), json!({}));
    let first = estate.plan().await;
    assert_eq!(first.notes, [""; 0]);
    estate.apply().await;
    assert_eq!(estate.plan().await.notes, [""; 0]);
    let bucket = format!(
        "terrace-assets-{}-{}",
        estate.account.id(),
        estate.account.region()
    );
    let history = json!({"Bucket": bucket, "Prefix": "environments/acme.dev/ledger/"});
    let found = estate.account.call("s3", "list_objects_v2", history);
    for object in found["Contents"].as_array().into_iter().flatten() {
        let object = json!({"Bucket": bucket, "Key": object["Key"]});
        estate.account.call("s3", "delete_object", object);
    }
    let plan = estate.plan().await;
    let notes = estate.neutral(&plan.notes.join("\n"));
    expect![[r#"
        the ledger in s3://terrace-assets-ACCOUNT-eu-west-1/environments/acme.dev/ is empty, but 1 artifact of this environment exists: the ledger was deleted, or is in a target that the environment no longer names; Terrace does not find resources in such a target"#]]
    .assert_eq(&notes);
}
