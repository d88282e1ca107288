//! Tests that kill an apply after each of its calls to either system, and complete it with the next apply.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use terrace_deployer::{Access, Status};
use terrace_tests::Scratch;
use terrace_tests::proxy::{Calls, Proxy};
use terrace_tests::servers;

use crate::platform::Platform;

/// The number of parallel cases. A case mostly waits until the lease of the killed apply expires.
const AT_ONCE: usize = 12;

/// Returns a platform whose next apply creates, updates, replaces and deletes resources.
async fn changing(name: String) -> Platform {
    let mut platform = Platform::new(name.leak()).await;
    platform.apply(&platform.plan().await).await;
    platform.role(&format!("{}-writer", platform.name));
    platform.image("web:2");
    platform.page();
    platform.drop_notes();
    platform
}

/// Returns access to both systems through proxies that count calls.
fn through(platform: &Platform, scratch: &Scratch, calls: &Calls) -> (Access, [Proxy; 2]) {
    let cluster = Proxy::of_cluster(servers::kubernetes(), calls);
    let endpoint = Proxy::of_endpoint(servers::aws(), calls);
    let kubeconfig = scratch.path().join("kubeconfig");
    cluster.write_kubeconfig(&kubeconfig, "local");
    let mut access = platform.access();
    access.kubeconfig = Some(kubeconfig);
    access.aws.endpoint = Some(endpoint.url().into());
    (access, [cluster, endpoint])
}

/// Applies, kills the apply after this number of calls, and applies again.
async fn killed_after(last: usize) {
    let platform = changing(format!("killed-{last}")).await;
    let scratch = Scratch::new("killed");
    let calls = Calls::cut_at(last);
    let (access, _proxies) = through(&platform, &scratch, &calls);
    let plan = platform.plan().await;
    let apply = platform.apply_with(&plan, &access);
    let enough = async {
        while calls.made().len() < last {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The last call takes effect, but its response does not arrive.
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    // A dropped apply does nothing more, as if its process had been killed: it does not release the lock.
    let ended = tokio::select! {
        ended = apply => Some(ended),
        () = enough => None,
    };
    if let Some(Err(error)) = ended {
        panic!("the apply failed before it was killed after call {last}: {error}");
    }
    platform.apply(&platform.plan().await).await;
    let again = platform.plan().await;
    assert!(
        again.is_empty(),
        "after call {last}, a second plan is not empty:\n{}",
        platform.shown(&again)
    );
    let role = format!("{}-writer", platform.name);
    let role = platform
        .account
        .call("iam", "get_role", json!({"RoleName": role}));
    assert_eq!(
        platform.annotation(),
        role["Role"]["Arn"].as_str().expect("an ARN")
    );
    let note = format!("/{}/address", platform.name);
    let note = platform
        .account
        .try_call("ssm", "get_parameter", json!({"Name": note}));
    assert!(
        note.is_err(),
        "after call {last}, the note still exists: {note:?}"
    );
    let history = platform.history().await;
    assert_eq!(history.last().map(|last| last.status), Some(Status::Deployed));
    assert_eq!(history.broken_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_killed_after_any_call_is_finished_by_the_next() {
    let platform = changing("killed-never".to_owned()).await;
    let scratch = Scratch::new("killed");
    let calls = Calls::counted();
    let (access, _proxies) = through(&platform, &scratch, &calls);
    let plan = platform.plan().await;
    let applied = platform.apply_with(&plan, &access).await;
    applied.unwrap_or_else(|error| panic!("{error}"));
    platform.destroy().await;
    let made = calls.made();
    for kind in [
        "PATCH",
        "DELETE",
        "CreateChangeSet",
        "ExecuteChangeSet",
        "DeleteStack",
    ] {
        assert!(
            made.iter().any(|call| call.contains(kind)),
            "no {kind} in {made:#?}"
        );
    }
    let next = AtomicUsize::new(1);
    let failed: Vec<usize> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| work(&next, made.len())))
            .collect();
        let failed = workers
            .into_iter()
            .map(|worker| worker.join().expect("the worker catches panics"));
        failed.flatten().collect()
    });
    assert!(
        failed.is_empty(),
        "of {} calls, the cases after these failed: {failed:?}",
        made.len()
    );
}

/// Runs cases until none remains. Returns the calls of the failed cases.
fn work(next: &AtomicUsize, count: usize) -> Vec<usize> {
    let mut failed = Vec::new();
    loop {
        let last = next.fetch_add(1, Ordering::Relaxed);
        if last > count {
            return failed;
        }
        let case = catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(killed_after(last));
        });
        if case.is_err() {
            failed.push(last);
        }
    }
}
