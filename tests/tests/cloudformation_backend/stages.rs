//! Tests that a resource is deleted only after other stacks have stopped using it.

use std::sync::Mutex;
use std::thread;

use expect_test::expect;
use serde_json::{Value as Json, json};
use terrace_deployer::{Event, PlanOptions, plan};

use crate::estate::{Estate, shown};
use crate::killed::{alone, killed, requests};
use crate::proxy::Cut;

fn topics(topics: &[&str]) -> Json {
    let of = topics.iter().map(|key| {
        let resource = json!({"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": key}});
        ((*key).to_owned(), resource)
    });
    Json::Object(of.collect())
}

fn output(name: &str, of: &str) -> Json {
    json!({name: {"Value": {"Ref": of}}})
}

/// Declares a queue with a tag that refers to a topic.
fn jobs(estate: &mut Estate, output: &str) {
    let tags = json!([{"Key": "topic", "Value": {"Ref": "TopicArn"}}]);
    let queue = json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": tags}}});
    estate.want("jobs", queue, json!({}));
    estate.bind("jobs", "TopicArn", "topics", output);
}

/// Declares a new topic in place of a topic that another stack uses.
async fn estate() -> Estate {
    let mut estate = Estate::new().await;
    estate.want("topics", topics(&["Old"]), output("Arn", "Old"));
    jobs(&mut estate, "Arn");
    estate.apply().await;
    estate.want("topics", topics(&["New"]), output("NewArn", "New"));
    jobs(&mut estate, "NewArn");
    estate
}

/// Checks that the queue does not refer to a missing topic.
#[track_caller]
fn jobs_has_a_topic(estate: &Estate) {
    let Some(jobs) = estate.described("jobs") else {
        return;
    };
    let named = &jobs["Parameters"][0]["ParameterValue"];
    let all = estate.account.call("sns", "list_topics", json!({}));
    let mut all = all["Topics"].as_array().into_iter().flatten();
    assert!(
        all.any(|topic| topic["TopicArn"] == *named),
        "the queue refers to {named}, which does not exist"
    );
}

/// Applies, and checks after each step that the queue refers to an existing topic. Returns the steps.
async fn apply_and_watch(estate: &Estate) -> Vec<String> {
    let plan = estate.plan().await;
    let done = Mutex::new(Vec::new());
    let watch = |event| {
        if let Event::Done { step, .. } = event {
            jobs_has_a_topic(estate);
            done.lock().expect("no panic").push(step.to_string());
        }
    };
    let applied = estate.apply_with(&plan, &estate.access, &watch).await;
    applied.unwrap_or_else(|error| panic!("the apply failed: {error}"));
    let again = estate.plan().await;
    assert!(again.is_empty(), "a second plan is not empty:\n{}", shown(&again));
    done.into_inner().expect("no panic")
}

fn template(estate: &Estate, section: &str) -> Vec<String> {
    let request = json!({"StackName": crate::estate::name("topics"), "TemplateStage": "Original"});
    let response = estate.account.call("cloudformation", "get_template", request);
    let body = match &response["TemplateBody"] {
        Json::String(text) => serde_json::from_str(text).expect("JSON"),
        body => body.clone(),
    };
    let names = body[section].as_object().into_iter().flatten();
    names.map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn adds_the_new_resource_switches_and_removes_the_old_one() {
    let estate = estate().await;
    expect![[r#"
        Update acme-dev-platform-topics (None): a resource in it changes
          Outputs.NewArn: - -> {"Value":"${New}"}
          Create platform/topics/new (None): new in the template
          note: `platform/topics/old` is kept until it is no longer used by CloudFormation stack acme-dev-platform-jobs
        Update acme-dev-platform-jobs (None): a resource in it changes
          Update platform/jobs/queue (None): `Tags[0].Value` changes
            Tags[0].Value: "arn:aws:sns:eu-west-1:ACCOUNT:acme-dev-platform-topics-Old-7DED16FFAF8AC" -> known after platform/topics/newarn
        Update acme-dev-platform-topics (None): a resource in it changes
          Outputs.Arn: {"Value":"${Old}"} -> -
          Delete platform/topics/old (None): no longer in the template
    "#]]
    .assert_eq(&estate.shown().await);
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
    assert_eq!(template(&estate, "Resources"), ["New"]);
    assert_eq!(template(&estate, "Outputs"), ["NewArn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_can_keep_its_name() {
    let mut estate = estate().await;
    estate.want("topics", topics(&["New"]), output("Arn", "New"));
    jobs(&mut estate, "Arn");
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
    assert_eq!(template(&estate, "Outputs"), ["Arn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_a_dependent_stack_before_the_resources_it_uses() {
    let mut estate = estate().await;
    estate.drop_component("jobs");
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "delete CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
}

/// Parameters contain values, so renaming an output does not affect other stacks.
#[tokio::test(flavor = "multi_thread")]
async fn renaming_an_output_needs_one_change_set() {
    let mut estate = estate().await;
    estate.want("topics", topics(&["Old"]), output("NewArn", "Old"));
    jobs(&mut estate, "NewArn");
    assert!(
        !estate.shown().await.contains("stays"),
        "{}",
        estate.shown().await
    );
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_a_resource_that_a_stack_outside_the_plan_uses() {
    let estate = estate().await;
    let mut options = PlanOptions::everything();
    options.only = vec!["platform/topics".into()];
    let only = plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap_or_else(|error| panic!("the plan failed: {error}"));
    let note = "`platform/topics/old` is kept: it is used by CloudFormation stack acme-dev-platform-jobs, which this plan does not include";
    assert!(shown(&only).contains(note), "{}", shown(&only));
    let applied = estate.apply_with(&only, &estate.access, &|_| {}).await;
    applied.unwrap_or_else(|error| panic!("the apply failed: {error}"));
    jobs_has_a_topic(&estate);
    assert_eq!(template(&estate, "Resources"), ["New", "Old"]);
    // The next complete plan deletes the old topic.
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [jobs, topics]);
    assert_eq!(template(&estate, "Resources"), ["New"]);
}

/// The queue never refers to a missing topic: not after the kill, and not during the next apply.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_does_not_delete_resources_in_use() {
    let requests = requests(&estate().await).await;
    let changes = |name: &String| ["CreateChangeSet", "ExecuteChangeSet"].contains(&name.as_str());
    let cuts: Vec<usize> = (1..=requests.len())
        .filter(|number| changes(&requests[number - 1]))
        .collect();
    assert_eq!(cuts.len(), 6, "not three change sets: {requests:?}");
    let runs: Vec<_> = cuts
        .into_iter()
        .map(|cut| thread::spawn(move || kill_and_finish(Cut::After(cut))))
        .collect();
    for run in runs {
        run.join().expect("the run must complete");
    }
}

fn kill_and_finish(cut: Cut) {
    alone(async {
        let estate = estate().await;
        assert!(killed(&estate, cut).await, "{cut:?}: the apply was not killed");
        jobs_has_a_topic(&estate);
        apply_and_watch(&estate).await;
        assert_eq!(template(&estate, "Resources"), ["New"], "{cut:?}");
        assert_eq!(template(&estate, "Outputs"), ["NewArn"], "{cut:?}");
    });
}
