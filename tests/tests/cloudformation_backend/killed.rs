//! Tests that kill an apply before and after each of its requests, and complete it with the next apply.

use std::thread;
use std::time::Duration;

use serde_json::json;
use terrace_deployer::{Access, Error};

use crate::estate::{Estate, queue, shown};
use crate::proxy::{Cut, Proxy};

/// Returns an account whose next apply creates, updates, replaces and deletes stacks, and passes a value between stacks.
async fn estate() -> Estate {
    let mut estate = Estate::new().await;
    estate.want("old", json!({"Queue": queue(1)}), json!({}));
    estate.want(
        "topics",
        topic("one"),
        json!({"Arn": {"Value": {"Ref": "Topic"}}}),
    );
    estate.apply().await;
    estate.drop_component("old");
    estate.want(
        "topics",
        topic("two"),
        json!({"Arn": {"Value": {"Ref": "Topic"}}}),
    );
    let tags = json!([{"Key": "topic", "Value": {"Ref": "TopicArn"}}]);
    estate.want(
        "jobs",
        json!({"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Tags": tags}}}),
        json!({}),
    );
    estate.bind("jobs", "TopicArn", "topics", "Arn");
    estate.wanted("jobs").termination_protection = true;
    // The delay is long enough that some applies are killed during an operation of CloudFormation.
    estate.account.delay(Duration::from_millis(300));
    estate
}

fn topic(name: &str) -> serde_json::Value {
    json!({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name}}})
}

pub(crate) fn through(proxy: &Proxy, access: &Access, run: &str) -> Access {
    let mut access = access.clone();
    access.aws.endpoint = Some(proxy.url.as_str().into());
    access.run = run.into();
    access
}

/// Returns the requests of a complete apply.
pub(crate) async fn requests(whole: &Estate) -> Vec<String> {
    let upstream = whole.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, Cut::Never).await;
    let plan = whole.plan().await;
    let access = through(&proxy, &whole.access, "1");
    let applied = whole.apply_with(&plan, &access, &|_| {}).await;
    applied.unwrap_or_else(|error| panic!("the apply failed: {error}"));
    proxy.requests()
}

/// Applies until the proxy cuts the connection. Returns whether it did.
pub(crate) async fn killed(estate: &Estate, cut: Cut) -> bool {
    let upstream = estate.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, cut).await;
    let plan = estate.plan().await;
    let access = through(&proxy, &estate.access, "killed");
    tokio::select! {
        () = proxy.dead() => true,
        applied = estate.apply_with(&plan, &access, &|_| {}) => {
            applied.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
            false
        }
    }
}

async fn finish(estate: &Estate, cut: Cut) {
    let plan = estate.plan().await;
    let applied: Result<_, Error> = estate.try_apply(&plan).await;
    applied.unwrap_or_else(|error| panic!("{cut:?}: the apply failed: {error}\nplan:\n{}", shown(&plan)));
    let again = estate.plan().await;
    assert!(
        again.is_empty(),
        "{cut:?}: a second plan is not empty:\n{}",
        shown(&again)
    );
    assert_eq!(estate.status("old"), "absent", "{cut:?}");
    let jobs = estate.described("jobs").expect("a stack");
    assert_eq!(
        jobs["Parameters"][0]["ParameterValue"],
        estate.output("topics", "Arn").as_str(),
        "{cut:?}"
    );
    assert_eq!(jobs["EnableTerminationProtection"], true, "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_killed_at_any_request_is_finished_by_the_next() {
    let requests = requests(&estate().await).await;
    assert!((20..80).contains(&requests.len()), "{requests:?}");

    // A run mostly waits for the lock of the killed apply, so all runs can be parallel.
    let cuts = (1..=requests.len()).flat_map(|number| [Cut::Before(number), Cut::After(number)]);
    let runs: Vec<_> = cuts
        .map(|cut| thread::spawn(move || kill_and_finish(cut)))
        .collect();
    let mut cut_off = 0;
    for run in runs {
        cut_off += usize::from(run.join().expect("the run must complete"));
    }
    // A slow machine sends fewer requests while CloudFormation works, so the last numbers may not occur.
    let all = requests.len() * 2;
    assert!(
        cut_off * 3 >= all * 2,
        "only {cut_off} of {all} applies were killed"
    );
}

/// Runs a future to completion on its own runtime.
pub(crate) fn alone<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run)
}

fn kill_and_finish(cut: Cut) -> bool {
    alone(async {
        let estate = estate().await;
        let dead = killed(&estate, cut).await;
        finish(&estate, cut).await;
        dead
    })
}
