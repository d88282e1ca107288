//! An apply is killed at each of its requests, before and after it is delivered, and finished by the next run.

use std::thread;
use std::time::Duration;

use serde_json::json;
use terrace_deployer::{Access, Error};

use crate::estate::{Estate, queue, shown};
use crate::proxy::{Cut, Proxy};

/// What is there before, and what is wanted then: a create, an update, a replacement, a deletion, values passed on.
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
    // Long enough that some are killed while CloudFormation is at work.
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

/// The requests of an apply that nobody kills.
pub(crate) async fn requests(whole: &Estate) -> Vec<String> {
    let upstream = whole.access.aws.endpoint.clone().expect("an endpoint");
    let proxy = Proxy::start(&upstream, Cut::Never).await;
    let plan = whole.plan().await;
    let access = through(&proxy, &whole.access, "1");
    let applied = whole.apply_with(&plan, &access, &|_| {}).await;
    applied.unwrap_or_else(|error| panic!("not applied: {error}"));
    proxy.requests()
}

/// Applies until the line goes dead; gives whether it came that far.
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
    applied.unwrap_or_else(|error| panic!("{cut:?}: not finished: {error}\nplan:\n{}", shown(&plan)));
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

    // Most of the time a run waits for the lock of the one that was killed, so all can go at once.
    let cuts = (1..=requests.len()).flat_map(|number| [Cut::Before(number), Cut::After(number)]);
    let runs: Vec<_> = cuts
        .map(|cut| thread::spawn(move || kill_and_finish(cut)))
        .collect();
    let mut cut_off = 0;
    for run in runs {
        cut_off += usize::from(run.join().expect("finished"));
    }
    // The slower the machine, the fewer looks at a stack that is at work: the last numbers may not be reached.
    let all = requests.len() * 2;
    assert!(cut_off * 3 >= all * 2, "{cut_off} of {all}");
}

/// Runs on a thread of its own, beside the others.
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
