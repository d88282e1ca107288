//! An environment belongs to the directory that deploys it. A second directory with the same names is refused.

use std::fs;
use std::thread;

use terrace_tests::proxy::{Calls, Proxy};
use terrace_tests::servers;

use crate::lab::{Lab, assert_contains, claim};

/// Every command that reads or changes the environment.
const COMMANDS: [&[&str]; 3] = [
    &["plan", "-e", "dev"],
    &["apply", "-e", "dev", "--yes"],
    &["destroy", "-e", "dev", "--yes"],
];

#[test]
fn every_command_refuses_a_second_directory_with_the_same_names() {
    let first = Lab::new();
    first.queues(&["lake", "orders"]);
    let first = first.applied();
    let second = first.another();
    second.queues(&["jobs"]);
    let before = first.stacks();
    for command in COMMANDS {
        let refused = second.run(command, 4).stderr;
        assert_contains(
            &refused,
            &[
                &format!(
                    "environment `dev` of platform `{}` is deployed from another directory",
                    first.platform
                ),
                &first.stack.path().display().to_string(),
                &second.stack.path().display().to_string(),
                "2 CloudFormation stacks: lake (1), orders (1)",
                "environment.yaml:4:",
                "change the `name` of this Platform or of this Environment",
                "terrace apply . -e dev --accept-origin",
            ],
        );
    }
    assert_eq!(first.stacks(), before);
    assert_eq!(second.lock(), None);
    let _ = first.plan(0);

    // One of the two solutions: a different name.
    second.platform_named(&format!("{}b", second.platform));
    let _ = second.apply(0);
    assert_eq!(first.stacks().len(), 3);
    let _ = first.plan(0);
    let _ = second.destroy(0);
    let _ = first.destroy(0);
    assert_eq!(claim(&first.account, &first.platform), None);
}

#[test]
fn refuses_a_second_directory_that_uses_another_state_store() {
    for cluster_first in [true, false] {
        let both = Lab::new();
        both.places(&format!("kubernetes: {{context: here}}\n{}", both.aws()));
        both.queue_and_object();
        let account = both.another();
        account.places(&account.aws());
        account.queues(&["jobs"]);
        both.bootstrap();
        let (first, second) = if cluster_first {
            (&both, &account)
        } else {
            (&account, &both)
        };
        let _ = first.apply(0);
        let before = first.stacks();
        for command in COMMANDS {
            let refused = second.run(command, 4).stderr;
            assert_contains(
                &refused,
                &[
                    "is deployed from another directory",
                    &first.stack.path().display().to_string(),
                ],
            );
        }
        assert_eq!(first.stacks(), before);
        let namespace = servers::kubernetes().get(&["namespace", &both.namespace()]);
        assert_eq!(namespace.is_some(), cluster_first);
        let _ = first.plan(0);
        let _ = first.destroy(0);
    }
}

#[test]
fn accept_origin_records_a_moved_directory() {
    let before = Lab::new();
    before.queues(&["lake"]);
    let before = before.applied();
    let moved = before.another();
    moved.queues(&["lake", "orders"]);
    let accept = |command: &'static [&str], code| moved.run(&[command, &["--accept-origin"]].concat(), code);

    let plan = accept(&["plan", "-e", "dev"], 0).stdout;
    assert_contains(
        &plan,
        &[
            "was deployed from",
            &before.stack.path().display().to_string(),
            "1 to create",
        ],
    );
    let _ = moved.plan(4);
    let saved = accept(&["plan", "-e", "dev", "--save", "plan.json"], 0);
    assert_contains(&saved.stderr, &["saved"]);
    let _ = moved.run(&["apply", "plan.json"], 0);
    let _ = moved.plan(0);
    assert_contains(
        &before.plan(4).stderr,
        &[&moved.stack.path().display().to_string()],
    );

    // An apply without changes still updates the claim.
    let _ = before.run(
        &[
            "apply",
            "-e",
            "dev",
            "--yes",
            "--accept-origin",
            "--only",
            "platform/lake",
        ],
        0,
    );
    let _ = moved.plan(4);
    let _ = accept(&["apply", "-e", "dev", "--yes"], 0);
    let _ = moved.plan(0);
    let _ = moved.destroy(0);
}

#[test]
fn exactly_one_of_two_concurrent_first_applies_succeeds() {
    for other_store in [true, false] {
        let first_lab = Lab::new();
        if other_store {
            first_lab.places(&format!("kubernetes: {{context: here}}\n{}", first_lab.aws()));
            first_lab.queue_and_object();
        } else {
            first_lab.queues(&["lake"]);
        }
        let second_lab = first_lab.another();
        second_lab.places(&second_lab.aws());
        second_lab.queues(&["jobs"]);
        first_lab.bootstrap();
        let apply = |lab: &Lab| lab.terrace().run(&["apply", "-e", "dev", "--yes"]);
        let (first, second) = thread::scope(|scope| {
            let second = scope.spawn(|| apply(&second_lab));
            (apply(&first_lab), second.join().expect("the apply ends"))
        });
        let (winner, loser, lost) = match (first.code, second.code) {
            (0, _) => (&first_lab, &second_lab, second),
            (_, 0) => (&second_lab, &first_lab, first),
            _ => panic!("no apply succeeded:\n{}\n{}", first.stderr, second.stderr),
        };
        // If both share the state store, the loser may have failed to get the lock.
        assert!(
            lost.code == 4 || !other_store && lost.code == 1,
            "{}: {}",
            lost.code,
            lost.stderr
        );
        let _ = winner.plan(0);
        let _ = loser.plan(4);
        let names: Vec<String> = first_lab.stacks().into_iter().map(|(name, _)| name).collect();
        let component = if std::ptr::eq(winner, &first_lab) {
            "lake"
        } else {
            "jobs"
        };
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(names[0].ends_with(component), "{names:?}");
        let _ = winner.destroy(0);
        let _ = loser.apply(0);
        let _ = loser.destroy(0);
    }
}

/// The apply is killed after it has written its claim and before its first change.
#[test]
fn an_apply_killed_after_its_claim_still_owns_the_environment() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    lab.bootstrap();
    let counted = Calls::counted();
    let dry = lab.another();
    dry.platform_named(&format!("{}-dry", lab.platform));
    dry.queues(&["lake"]);
    let proxy = Proxy::of_endpoint(servers::aws(), &counted);
    let applied = dry.terrace().variable("AWS_ENDPOINT_URL", proxy.url());
    let _ = applied.run(&["apply", "-e", "dev", "--yes"]).expect(0);
    let made = counted.made();
    let claimed = made
        .iter()
        .position(|call| call.starts_with("PUT") && call.contains("claim.json"));
    let claimed = claimed.expect("the claim is written") + 1;
    let _ = dry.destroy(0);

    let calls = Calls::cut_at(claimed);
    let proxy = Proxy::of_endpoint(servers::aws(), &calls);
    let terrace = lab.terrace().variable("AWS_ENDPOINT_URL", proxy.url());
    let mut apply = terrace.start(&["apply", "-e", "dev", "--yes"]);
    assert!(
        calls.wait(&mut apply),
        "the apply made fewer than {claimed} calls"
    );
    apply.kill().and_then(|()| apply.wait()).expect("the apply ends");
    assert_eq!(lab.stacks(), []);
    assert!(lab.claim().is_some());

    let other = lab.another();
    other.queues(&["jobs"]);
    assert_contains(&other.plan(4).stderr, &["is deployed from another directory"]);
    let _ = lab.apply(0);
    let _ = lab.plan(0);
    let _ = lab.destroy(0);
    let _ = other.apply(0);
    let _ = other.destroy(0);
}

#[test]
fn all_checkouts_of_a_repository_share_an_origin_and_a_fork_does_not() {
    let laptop = Lab::new();
    laptop.queues(&["lake"]);
    laptop.clone_of("git@github.com:acme/platform.git");
    let laptop = laptop.applied();
    assert_eq!(
        laptop.claim().expect("a claim")["origin"]["repository"],
        "github.com/acme/platform"
    );

    let runner = laptop.another();
    runner.queues(&["lake"]);
    runner.clone_of("https://x-access-token:hunter2@github.com/acme/platform");
    let _ = runner.plan(0);

    // `insteadOf` in the user's own configuration abbreviates the URL.
    let short = laptop.another();
    short.queues(&["lake"]);
    short.clone_of("gh:acme/platform");
    short.stack.write(
        "home/.gitconfig",
        "[url \"git@github.com:\"]\n\tinsteadOf = gh:\n",
    );
    let terrace = short.terrace().variable("HOME", short.stack.path().join("home"));
    let _ = terrace
        .run(&["plan", "-e", "dev", "--detailed-exitcode"])
        .expect(0);

    let fork = laptop.another();
    fork.queues(&["lake"]);
    fork.clone_of("https://github.com/ben/platform");
    assert_contains(
        &fork.plan(4).stderr,
        &["github.com/acme/platform", "github.com/ben/platform"],
    );

    // Another directory of the same repository is a different stack.
    let sibling = laptop.another();
    sibling.clone_of("https://github.com/acme/platform");
    for file in ["platform.yaml", "environment.yaml"] {
        sibling
            .stack
            .write(&format!("stacks/lake/{file}"), &sibling.stack.read(file));
    }
    let plan = ["plan", "stacks/lake", "-e", "dev"];
    assert_contains(
        &sibling.run(&plan, 4).stderr,
        &["github.com/acme/platform//stacks/lake"],
    );

    // Without git, the user states the origin.
    let container = laptop.another();
    container.queues(&["lake"]);
    assert_contains(
        &container.plan(4).stderr,
        &["TERRACE_ORIGIN=HOST/REPOSITORY//DIRECTORY"],
    );
    for stated in ["github.com/acme/platform", "https://github.com/acme/platform.git"] {
        let stated = container.terrace().variable("TERRACE_ORIGIN", stated);
        let _ = stated
            .run(&["plan", "-e", "dev", "--detailed-exitcode"])
            .expect(0);
    }
    let wrong = container.terrace().variable("TERRACE_ORIGIN", "platform");
    assert_contains(
        &wrong.run(&["plan", "-e", "dev"]).expect(1).stderr,
        &["the value of `TERRACE_ORIGIN` is not a repository"],
    );
    let _ = laptop.destroy(0);
}

#[test]
fn a_symbolic_link_to_a_stack_has_the_same_origin() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    let link = lab.stack.path().with_extension("link");
    std::os::unix::fs::symlink(lab.stack.path(), &link).expect("a link");
    let path = link.display().to_string();
    let _ = lab.run(&["plan", &path, "-e", "dev", "--detailed-exitcode"], 0);
    let _ = lab.run(&["destroy", &path, "-e", "dev", "--yes"], 0);
    fs::remove_file(link).expect("the link exists");
}

#[test]
fn a_lost_state_store_or_lost_claims_do_not_lose_the_origin() {
    let lab = Lab::new();
    lab.places(&format!("kubernetes: {{context: here}}\n{}", lab.aws()));
    lab.queue_and_object();
    lab.bootstrap();
    let _ = lab.apply(0);
    let home = format!("terrace.dev/home={}.dev", lab.platform);
    let delete = |more: &str| {
        let selector = format!("{home}{more}");
        let _ = servers::kubernetes().kubectl(&[
            "delete",
            "secrets",
            "--namespace=terrace-system",
            "-l",
            &selector,
        ]);
    };
    // The history and the claim in the cluster are deleted. The claim in the account remains.
    delete("");
    let other = lab.another();
    other.queue_and_object();
    assert_contains(&other.plan(4).stderr, &["is deployed from another directory"]);
    let plan = lab.run(&["plan", "-e", "dev", "--detailed-exitcode"], 0);
    assert_contains(&plan.stdout, &["the ledger in"]);
    let _ = lab.apply(0);

    // The claims are deleted. The history remains.
    delete(",terrace.dev/role=claim");
    let bucket = format!("terrace-assets-{}-eu-west-1", lab.account.id());
    let key = format!("environments/{}.dev/claim.json", lab.platform);
    lab.account.call(
        "s3",
        "delete_object",
        serde_json::json!({"Bucket": bucket, "Key": key}),
    );
    assert_contains(&other.plan(4).stderr, &["is deployed from another directory"]);
    let _ = lab.plan(0);
    let _ = lab.apply(0);
    assert!(lab.claim().is_some(), "the apply did not write the claim");
    let _ = lab.destroy(0);
}
