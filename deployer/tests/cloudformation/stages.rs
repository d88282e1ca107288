//! What another stack still uses is taken away only when that has stopped using it.

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

/// A queue with a tag that names a topic.
fn jobs(estate: &mut Estate, output: &str) {
    let tags = json!([{"Key": "topic", "Value": {"Ref": "TopicArn"}}]);
    let queue = json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": tags}}});
    estate.want("jobs", queue, json!({}));
    estate.bind("jobs", "TopicArn", "topics", output);
}

/// A topic that another stack uses is to give way to another one.
async fn estate() -> Estate {
    let mut estate = Estate::new().await;
    estate.want("topics", topics(&["Old"]), output("Arn", "Old"));
    jobs(&mut estate, "Arn");
    estate.apply().await;
    estate.want("topics", topics(&["New"]), output("NewArn", "New"));
    jobs(&mut estate, "NewArn");
    estate
}

/// Fails where the queue names a topic that does not exist.
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
        "the queue names {named}, which is gone"
    );
}

/// Applies; whenever something is done, the queue names a topic that exists. Gives what was done.
async fn apply_and_watch(estate: &Estate) -> Vec<String> {
    let plan = estate.plan().await;
    let done = Mutex::new(Vec::new());
    let tell = |event| {
        if let Event::Done { step, .. } = event {
            jobs_has_a_topic(estate);
            done.lock().expect("nobody panicked").push(step.to_string());
        }
    };
    let applied = estate.apply_with(&plan, &estate.access, &tell).await;
    applied.unwrap_or_else(|error| panic!("not applied: {error}"));
    let again = estate.plan().await;
    assert!(again.is_empty(), "a second plan is not empty:\n{}", shown(&again));
    done.into_inner().expect("nobody panicked")
}

fn template(estate: &Estate, section: &str) -> Vec<String> {
    let asked = json!({"StackName": crate::estate::name("topics"), "TemplateStage": "Original"});
    let answer = estate.account.call("cloudformation", "get_template", asked);
    let body = match &answer["TemplateBody"] {
        Json::String(text) => serde_json::from_str(text).expect("JSON"),
        body => body.clone(),
    };
    let names = body[section].as_object().into_iter().flatten();
    names.map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn add_switch_remove() {
    let estate = estate().await;
    expect![[r#"
        Update acme-dev-platform-topics (None): a resource in it changes
          Outputs.NewArn: - -> {"Value":"${New}"}
          Create platform/topics/new (None): it is new in the template
          note: `platform/topics/old` is kept until it is no longer used by CloudFormation stack acme-dev-platform-jobs
        Update acme-dev-platform-jobs (None): a resource in it changes
          Update platform/jobs/queue (None): `Tags[0].Value` changes
            Tags[0].Value: "arn:aws:sns:eu-west-1:ACCOUNT:acme-dev-platform-topics-Old-7DED16FFAF8AC" -> known after platform/topics/newarn
        Update acme-dev-platform-topics (None): a resource in it changes
          Outputs.Arn: {"Value":"${Old}"} -> -
          Delete platform/topics/old (None): it is not in the template any more
    "#]]
    .assert_eq(&estate.shown().await);
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
    assert_eq!(template(&estate, "Resources"), ["New"]);
    assert_eq!(template(&estate, "Outputs"), ["NewArn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_may_keep_its_name() {
    let mut estate = estate().await;
    estate.want("topics", topics(&["New"]), output("Arn", "New"));
    jobs(&mut estate, "Arn");
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
    assert_eq!(template(&estate, "Outputs"), ["Arn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_goes_first() {
    let mut estate = estate().await;
    estate.drop_component("jobs");
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "delete CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [topics, jobs, topics]);
}

/// Parameters hold values: an output that is only called something else is nobody's loss.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_output_takes_one_change_set() {
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
async fn what_is_used_by_what_the_plan_leaves_out_stays() {
    let estate = estate().await;
    let mut options = PlanOptions::everything();
    options.only = vec!["platform/topics".into()];
    let only = plan(&estate.bundle, &estate.access, &options)
        .await
        .unwrap_or_else(|error| panic!("no plan: {error}"));
    let note = "`platform/topics/old` is kept: it is used by CloudFormation stack acme-dev-platform-jobs, which this plan does not include";
    assert!(shown(&only).contains(note), "{}", shown(&only));
    let applied = estate.apply_with(&only, &estate.access, &|_| {}).await;
    applied.unwrap_or_else(|error| panic!("not applied: {error}"));
    jobs_has_a_topic(&estate);
    assert_eq!(template(&estate, "Resources"), ["New", "Old"]);
    // The next plan of everything finishes it.
    let topics = "update CloudFormation stack acme-dev-platform-topics";
    let jobs = "update CloudFormation stack acme-dev-platform-jobs";
    assert_eq!(apply_and_watch(&estate).await, [jobs, topics]);
    assert_eq!(template(&estate, "Resources"), ["New"]);
}

/// Whenever it is killed, nobody is left with the name of nothing, then or while the next run finishes.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nobody_loses_what_it_uses() {
    let requests = requests(&estate().await).await;
    let changes = |name: &String| ["CreateChangeSet", "ExecuteChangeSet"].contains(&name.as_str());
    let cuts: Vec<usize> = (1..=requests.len())
        .filter(|number| changes(&requests[number - 1]))
        .collect();
    assert_eq!(cuts.len(), 6, "three change sets: {requests:?}");
    let runs: Vec<_> = cuts
        .into_iter()
        .map(|cut| thread::spawn(move || kill_and_finish(Cut::After(cut))))
        .collect();
    for run in runs {
        run.join().expect("finished");
    }
}

fn kill_and_finish(cut: Cut) {
    alone(async {
        let estate = estate().await;
        assert!(killed(&estate, cut).await, "{cut:?}: not killed");
        jobs_has_a_topic(&estate);
        apply_and_watch(&estate).await;
        assert_eq!(template(&estate, "Resources"), ["New"], "{cut:?}");
        assert_eq!(template(&estate, "Outputs"), ["NewArn"], "{cut:?}");
    });
}
