//! An apply is killed after each of its calls, or interrupted, and the next apply completes it.

use std::panic::catch_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use terrace_tests::proxy::{Calls, Proxy};
use terrace_tests::{Terrace, servers};

use crate::small::Small;

/// The number of cases that run concurrently. Most of the time of a case is waiting for the lease of the killed apply
/// to expire.
const AT_ONCE: usize = 12;

/// The maximum number of calls of an apply of the small platform, including looks at CloudFormation stacks in progress:
/// it plans, takes the lock, observes again, and makes one change of each kind.
const CALLS: usize = 60;

/// Returns the changed small platform, and the program with every call to a server counted.
fn changing(calls: &Calls) -> (Small, Terrace, [Proxy; 2]) {
    let small = Small::applied();
    small.change();
    let cluster = Proxy::of_cluster(servers::kubernetes(), calls);
    let endpoint = Proxy::of_endpoint(servers::aws(), calls);
    let kubeconfig = small.stack.path().join("kubeconfig-of-the-proxy");
    cluster.write_kubeconfig(&kubeconfig, "here");
    let terrace = small
        .terrace()
        .kubeconfig(&kubeconfig)
        .variable("AWS_ENDPOINT_URL", endpoint.url());
    (small, terrace, [cluster, endpoint])
}

/// Returns all calls of an uninterrupted apply.
fn calls_of_an_apply() -> Vec<String> {
    let calls = Calls::counted();
    let (small, terrace, _proxies) = changing(&calls);
    let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    small.assert_changed();
    small.destroy();
    calls.made()
}

fn killed_after(last: usize) {
    let calls = Calls::cut_at(last);
    let (small, terrace, _proxies) = changing(&calls);
    let mut apply = terrace.start(&["apply", "-e", "live", "--yes"]);
    // The number of concurrent calls varies, so the apply may end earlier.
    let reached = calls.wait(&mut apply);
    let _ = apply.kill();
    let ended = apply.wait().expect("the apply ends");
    assert!(
        reached || ended.success(),
        "the apply ended before call {last}: {ended}"
    );
    let finished = small.apply();
    let lease = |verb: &str| {
        calls
            .made()
            .iter()
            .any(|call| call.starts_with(verb) && call.contains("/leases"))
    };
    let changed = !finished.stderr.contains("no changes were necessary");
    if changed && lease("POST") && !lease("DELETE") {
        let waiting = "waiting for the lock, held by ";
        assert!(
            finished.stderr.contains(waiting),
            "no `{waiting}` in\n{}",
            finished.stderr
        );
    }
    small.assert_no_changes();
    small.assert_changed();
    small.destroy();
}

#[test]
fn the_next_apply_completes_an_apply_killed_after_any_call() {
    let made = calls_of_an_apply();
    for kind in [
        "POST",
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
    assert!(made.len() <= CALLS, "{} calls: {made:#?}", made.len());
    let next = AtomicUsize::new(1);
    let take = || {
        let mut failed = Vec::new();
        loop {
            let last = next.fetch_add(1, Ordering::Relaxed);
            if last > made.len() {
                return failed;
            }
            if catch_unwind(|| killed_after(last)).is_err() {
                failed.push((last, made[last - 1].clone()));
            }
        }
    };
    let started = Instant::now();
    let failed: Vec<(usize, String)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("panics are caught"))
            .collect()
    });
    eprintln!(
        "killed after each of {} calls, in {:.0?}",
        made.len(),
        started.elapsed()
    );
    assert!(
        failed.is_empty(),
        "of {} calls, after these: {failed:#?}",
        made.len()
    );
}

#[test]
fn the_next_apply_completes_an_interrupted_apply() {
    let small = Small::applied();
    small.change();
    small.account.delay(Duration::from_secs(2));
    let apply = small.terrace().start(&["apply", "-e", "live", "--yes"]);
    let id = apply.id().to_string();
    let begun = Instant::now();
    // Interrupts the apply while CloudFormation runs an update.
    while small.status("alerts") != "UPDATE_IN_PROGRESS" {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the apply did not start the update"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let sent = Command::new("kill")
        .args(["-INT", &id])
        .status()
        .expect("kill runs");
    assert!(sent.success());
    let output = apply.wait_with_output().expect("the apply ends");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("run the command again to finish"), "{words}");
    small.account.delay(Duration::ZERO);
    let _ = small.apply();
    small.assert_no_changes();
    small.assert_changed();
    small.destroy();
}
