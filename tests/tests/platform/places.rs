//! An environment cannot leave resources behind in a place that it no longer names.

use serde_json::json;
use terrace_tests::Terrace;
use terrace_tests::servers::{self, Cluster};

use crate::lab::{Lab, assert_contains, claim, queue, stacks};

/// Asserts that every command refuses.
#[track_caller]
fn refused(lab: &Lab, wanted: &[&str]) {
    for command in [
        &["plan", "-e", "dev"][..],
        &["apply", "-e", "dev", "--yes"],
        &["destroy", "-e", "dev", "--yes"],
    ] {
        assert_contains(&lab.run(command, 4).stderr, wanted);
    }
}

#[test]
fn refuses_a_changed_region_until_the_old_one_is_destroyed() {
    for with_lock in [true, false] {
        let lab = Lab::new();
        lab.queues(&["lake", "orders"]);
        let lab = lab.applied();
        assert_contains(
            &lab.lock().expect("the lock file exists"),
            &["lake: 1", "orders: 1"],
        );
        if !with_lock {
            lab.delete_lock();
        }
        lab.places(&lab.aws_in("us-east-1"));
        lab.bootstrap();
        let old = format!("{}/eu-west-1", lab.account.id());
        refused(
            &lab,
            &[
                &format!(
                    "account {} in eu-west-1: 2 CloudFormation stacks: lake (1), orders (1)",
                    lab.account.id()
                ),
                &format!("terrace destroy . -e dev --at {old}"),
                &format!("terrace forget . -e dev {old}"),
            ],
        );
        let new = lab.account.clone().in_region("us-east-1");
        assert_eq!((lab.stacks().len(), stacks(&new).len()), (2, 0));

        let destroyed = lab.run(&["destroy", "-e", "dev", "--yes", "--at", &old], 0);
        assert_contains(&destroyed.stdout, &["2 to delete"]);
        assert_eq!(lab.stacks(), []);
        assert_eq!(lab.claim(), None);
        let _ = lab.apply(0);
        assert_eq!(stacks(&new).len(), 2);
        let _ = lab.plan(0);
        assert_contains(&lab.lock().expect("the lock file exists"), &["us-east-1"]);
        let _ = lab.destroy(0);
        assert_eq!(lab.lock(), None);
    }
}

#[test]
fn forget_keeps_the_resources_and_permits_the_next_plan() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    lab.places(&lab.aws_in("us-east-1"));
    lab.bootstrap();
    let before = lab.stacks();
    let old = format!("{}/eu-west-1", lab.account.id());
    let forget = ["forget", ".", "-e", "dev", &old];

    let unasked = lab.run(&forget, 1).stderr;
    assert_contains(
        &unasked,
        &[
            "1 CloudFormation stack: lake (1)",
            "these resources are not changed or deleted",
            "add `--yes`",
        ],
    );
    assert!(lab.claim().is_some());
    let wrong = lab.run(&["forget", "-e", "dev", "--yes", "elsewhere"], 1).stderr;
    assert_contains(
        &wrong,
        &["environment `dev` has no recorded place `elsewhere`", &old],
    );

    let forgotten = lab.run(&[&forget[..], &["--yes"]].concat(), 0).stderr;
    assert_contains(&forgotten, &["forgotten, recorded as release 2 in s3://"]);
    assert_eq!(lab.stacks(), before, "a resource was deleted");
    assert_eq!(lab.claim(), None);
    assert_eq!(lab.lock(), None);
    let bucket = format!("terrace-assets-{}-eu-west-1", lab.account.id());
    let key = format!("environments/{}.dev/ledger/00000003", lab.platform);
    let entry = lab
        .account
        .call("s3", "get_object", json!({"Bucket": bucket, "Key": key}));
    let entry: serde_json::Value =
        serde_json::from_str(entry["Body"].as_str().unwrap_or_default()).expect("an entry");
    assert_eq!(entry["release"]["forgotten"][0]["id"], old.as_str());
    assert_eq!(entry["release"]["forgotten"][0]["components"], json!({"lake": 1}));
    assert!(entry["release"]["who"].is_string());

    let _ = lab.apply(0);
    let _ = lab.plan(0);
    let _ = lab.run(&["forget", "-e", "dev", "--yes", &old], 1);
    let _ = lab.destroy(0);
    assert_eq!(lab.stacks(), before, "a resource was deleted");
}

#[test]
fn one_apply_moves_an_environment_that_names_both_places() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    lab.places(&format!(
        "{}\naccounts: {{old: {{account: \"{}\", region: eu-west-1}}}}",
        lab.aws_in("us-east-1"),
        lab.account.id()
    ));
    let new = lab.account.clone().in_region("us-east-1");
    lab.bootstrap();
    let _ = lab.apply(0);
    assert_eq!((lab.stacks().len(), stacks(&new).len()), (0, 1));
    let _ = lab.plan(0);
    let _ = lab.destroy(0);
}

#[test]
fn refuses_a_context_that_now_selects_another_cluster() {
    let lab = Lab::new();
    lab.places("kubernetes: {context: here}");
    lab.stack.write("components.yaml", &lab.object());
    let _ = lab.apply(0);
    let cluster = Cluster::start();
    lab.context_leads_to(&cluster);
    let id = servers::kubernetes()
        .get(&["namespace", "kube-system"])
        .expect("the namespace exists");
    let id = id["metadata"]["uid"].as_str().expect("a uid").to_owned();
    // The context now selects the other cluster, so the message names the old one by its id.
    refused(
        &lab,
        &[
            "cluster here: 2 objects: notes (2); the history of the environment (recorded in `terrace.lock`)",
            &format!("terrace destroy . -e dev --at {id}"),
            &format!("terrace forget . -e dev {id}"),
        ],
    );
    assert_eq!(cluster.get(&["namespace", &lab.namespace()]), None);
    // The old cluster cannot be reached through this context.
    let wrong = lab.run(&["destroy", "-e", "dev", "--yes", "--at", &id], 4).stderr;
    assert_contains(&wrong, &["here"]);

    lab.contexts(&[("here", servers::kubernetes()), ("there", &cluster)]);
    lab.places("kubernetes: {context: there}");
    refused(&lab, &["terrace destroy . -e dev --at here"]);
    let _ = lab.run(&["destroy", "-e", "dev", "--yes", "--at", "here"], 0);
    assert_eq!(servers::kubernetes().get(&["namespace", &lab.namespace()]), None);
    let _ = lab.apply(0);
    assert!(cluster.get(&["namespace", &lab.namespace()]).is_some());
    let _ = lab.plan(0);
}

#[test]
fn a_deleted_cluster_can_be_forgotten() {
    let lab = Lab::new();
    lab.places("kubernetes: {context: here}");
    lab.stack.write("components.yaml", &lab.object());
    {
        let cluster = Cluster::start();
        lab.context_leads_to(&cluster);
        let _ = lab.apply(0);
    }
    lab.context_leads_to(servers::kubernetes());
    refused(&lab, &["2 objects: notes (2)"]);
    let forgotten = lab.run(&["forget", "-e", "dev", "--yes"], 0).stderr;
    assert_contains(&forgotten, &["cannot connect to cluster here", "forgotten"]);
    let _ = lab.apply(0);
    let _ = lab.plan(0);
    let _ = lab.destroy(0);
}

#[test]
fn refuses_to_drop_one_of_two_accounts() {
    let lab = Lab::new();
    let other = servers::aws().account();
    let keys = format!(
        "[archive]\naws_access_key_id = {}\naws_secret_access_key = test\n",
        other.id()
    );
    lab.stack.write("credentials", &keys);
    let terrace = |lab: &Lab| -> Terrace {
        lab.terrace().variable(
            "AWS_SHARED_CREDENTIALS_FILE",
            lab.stack.path().join("credentials"),
        )
    };
    let named = |name: &str| {
        format!(
            "{}\naccounts: {{{name}: {{account: \"{}\", region: eu-west-1, profile: archive}}}}",
            lab.aws(),
            other.id()
        )
    };
    lab.places(&named("archive"));
    let both = |name: &str| {
        format!(
            "{}---\n{}",
            queue("lake", ""),
            queue("kept", &format!("on: {{account: {name}}}\n"))
        )
    };
    lab.stack.write("components.yaml", &both("archive"));
    let run = |arguments: &[&str], code| terrace(&lab).run(arguments).expect(code);
    let _ = run(&["bootstrap", "-e", "dev"], 0);
    let _ = run(&["apply", "-e", "dev", "--yes"], 0);

    // Renaming a key of `accounts:` leaves nothing behind.
    lab.places(&named("cold"));
    lab.stack.write("components.yaml", &both("cold"));
    let _ = run(&["plan", "-e", "dev", "--detailed-exitcode"], 0);
    let _ = run(&["apply", "-e", "dev", "--yes"], 0);

    lab.places(&lab.aws());
    lab.queues(&["lake"]);
    let expected = [format!(
        "account {} in eu-west-1: 1 CloudFormation stack: kept (1)",
        other.id()
    )];
    for command in ["plan", "apply", "destroy"] {
        assert_contains(
            &run(&[command, "-e", "dev"], 4).stderr,
            &[&expected[0], "the claim in account"],
        );
    }
    let _ = run(
        &[
            "destroy",
            "-e",
            "dev",
            "--yes",
            "--at",
            &format!("{}/eu-west-1", other.id()),
        ],
        0,
    );
    assert_eq!(
        (stacks(&lab.account).len(), stacks(&other).len()),
        (1, 0),
        "resources in other places were deleted"
    );
    assert_eq!(claim(&other, &lab.platform), None);
    let _ = run(&["plan", "-e", "dev", "--detailed-exitcode"], 0);
    let _ = run(&["apply", "-e", "dev", "--yes"], 0);
    let _ = run(&["destroy", "-e", "dev", "--yes"], 0);
}

#[test]
fn an_emptied_place_can_be_dropped_after_forgetting_its_history() {
    let lab = Lab::new();
    lab.places(&format!("{}\nclusters: {{side: {{context: here}}}}", lab.aws()));
    let object = lab
        .object()
        .replace("name: notes\n", "name: notes\non: {cluster: side}\n");
    lab.stack
        .write("components.yaml", &format!("{}---\n{object}", queue("lake", "")));
    lab.bootstrap();
    let _ = lab.apply(0);
    lab.queues(&["lake"]);
    let _ = lab.apply(0);
    lab.places(&lab.aws());
    // Only the history remains in the cluster.
    refused(&lab, &["cluster here: nothing; the history of the environment"]);
    let _ = lab.run(&["forget", ".", "-e", "dev", "here", "--yes"], 0);
    let _ = lab.plan(0);
    let _ = lab.apply(0);
    let _ = lab.destroy(0);
}

#[test]
fn an_environment_that_adds_a_cluster_keeps_its_state_store() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    lab.places(&format!("kubernetes: {{context: here}}\n{}", lab.aws()));
    lab.queue_and_object();
    let applied = lab.apply(0).stderr;
    assert_contains(&applied, &["release 2"]);
    let claim = lab.claim().expect("a claim");
    assert_eq!(claim["store"], "aws");
    assert_eq!(claim["targets"]["kubernetes"]["components"], json!({"notes": 2}));
    let _ = lab.plan(0);

    // Resources in a cluster without the state store would also be left behind.
    lab.places(&lab.aws());
    lab.queues(&["lake"]);
    refused(
        &lab,
        &["cluster here: 2 objects: notes (2) (recorded in the claim in account"],
    );
    let _ = lab.run(&["destroy", "-e", "dev", "--yes", "--at", "here"], 0);
    assert_eq!(servers::kubernetes().get(&["namespace", &lab.namespace()]), None);
    let _ = lab.plan(0);
    let _ = lab.destroy(0);
}

#[test]
fn refuses_a_changed_directory_target() {
    let lab = Lab::new();
    lab.places("directory: out/a");
    lab.stack.write("components.yaml", &lab.object());
    let _ = lab.apply(0);
    assert!(lab.stack.path().join("out/a/.terrace/claim.json").exists());
    lab.places("directory: out/b");
    refused(
        &lab,
        &[
            "directory out/a: 2 artifacts: notes (2)",
            "terrace destroy . -e dev --at out/a",
        ],
    );
    let _ = lab.run(&["destroy", "-e", "dev", "--yes", "--at", "out/a"], 0);
    let _ = lab.apply(0);
    let _ = lab.plan(0);

    // A copy of the stack includes the rendered directory. Another stack that renders to it is refused.
    let copy = Lab::new();
    crate::lab::copy(lab.stack.path(), copy.stack.path());
    let _ = copy.plan(0);
    let _ = copy.apply(0);
    let other = lab.another();
    other.stack.write("components.yaml", &lab.object());
    other.places(&format!(
        "directory: {}",
        lab.stack.path().join("out/b").display()
    ));
    assert_contains(&other.plan(4).stderr, &["is deployed from another directory"]);
    let _ = lab.destroy(0);
}

#[test]
fn refuses_a_renamed_environment_or_platform_until_it_is_forgotten() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    let environment = lab.stack.read("environment.yaml");
    lab.stack.write(
        "environment.yaml",
        &environment.replace("name: dev", "name: development"),
    );
    let renamed = lab.run(&["plan", "-e", "development"], 4).stderr;
    assert_contains(
        &renamed,
        &[
            &format!(
                "environment `dev` of platform `{}` is deployed, but this stack no longer contains it",
                lab.platform
            ),
            "1 CloudFormation stack: lake (1)",
            "restore the old name",
            "terrace forget . -e dev",
        ],
    );
    lab.stack.write("environment.yaml", &environment);
    let _ = lab.plan(0);

    lab.platform_named(&format!("{}-new", lab.platform));
    let before = lab.stacks();
    assert_contains(
        &lab.plan(4).stderr,
        &[&format!(
            "environment `dev` of platform `{}` is deployed",
            lab.platform
        )],
    );
    let _ = lab.run(&["forget", "-e", "dev", "--yes"], 0);
    assert_eq!(lab.claim(), None);
    assert_eq!(lab.stacks(), before);
    assert_contains(&lab.plan(2).stdout, &["1 to create"]);

    // An environment that the stack no longer contains can be forgotten by name.
    lab.platform_named(&lab.platform);
    let _ = lab.run(&["apply", "-e", "dev", "--yes", "--adopt", "platform/lake"], 0);
    lab.stack.write(
        "environment.yaml",
        "{kind: Environment, name: other, class: development, directory: out}",
    );
    let plan = lab.run(&["plan", "-e", "other"], 0).stdout;
    assert_contains(
        &plan,
        &[
            "environment `dev` of platform",
            "this stack no longer contains it; to remove the record, run `terrace forget . -e dev`",
        ],
    );
    let _ = lab.run(&["forget", "-e", "dev", "--yes"], 0);
    assert_eq!((lab.claim(), lab.lock()), (None, None));
    assert_eq!(lab.stacks(), before);
}

#[test]
fn claims_overrule_the_lock_file() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    let lab = lab.applied();
    let lock = lab.lock().expect("the lock file exists");
    let stale = lock.replace("eu-west-1", "ap-south-1");
    lab.stack.write("terrace.lock", &stale);
    let plan = lab.plan(0).stdout;
    assert_contains(
        &plan,
        &[
            "`terrace.lock` names account",
            "ap-south-1",
            "Terrace uses the claim",
        ],
    );
    let applied = lab.apply(0).stderr;
    assert_contains(&applied, &["updated `./terrace.lock`: commit it"]);
    assert_eq!(lab.lock().as_ref(), Some(&lock));
    let message = lab.apply(0).stderr;
    assert!(!message.contains("terrace.lock"), "{message}");

    lab.stack.write("terrace.lock", &format!("<<<<<<< HEAD\n{lock}"));
    assert_contains(
        &lab.plan(1).stderr,
        &["cannot read `./terrace.lock`: line 1 starts an unresolved merge conflict"],
    );
    lab.delete_lock();
    let _ = lab.apply(0);
    assert_eq!(lab.lock(), Some(lock.clone()));

    // In a fork, the file describes the deployment of the parent.
    let fork = Lab::new();
    fork.queues(&["lake"]);
    fork.platform_named(&lab.platform);
    fork.clone_of("https://github.com/ben/platform");
    let theirs = lock.replace("    store:", "    origin: github.com/acme/platform\n    store:");
    fork.stack.write("terrace.lock", &theirs);
    fork.bootstrap();
    assert_contains(
        &fork.plan(2).stdout,
        &["`terrace.lock` was written for github.com/acme/platform"],
    );
    let _ = lab.destroy(0);
}

#[test]
fn a_saved_plan_is_checked_against_the_claims_and_updates_the_lock_file() {
    let lab = Lab::new();
    lab.queues(&["lake"]);
    lab.bootstrap();
    let _ = lab.run(&["plan", "-e", "dev", "--save", "plan.json"], 0);
    let other = lab.another();
    other.queues(&["jobs"]);
    let _ = other.apply(0);
    assert_contains(
        &lab.run(&["apply", "plan.json"], 4).stderr,
        &["is deployed from another directory"],
    );
    let _ = other.destroy(0);
    let applied = lab.run(&["apply", "plan.json"], 0).stderr;
    assert_contains(&applied, &["updated `"]);
    assert_contains(&lab.lock().expect("the lock file exists"), &["lake: 1"]);

    // An apply from another directory does not update the file, and reports that.
    lab.queues(&["lake", "orders"]);
    let _ = lab.run(&["plan", "-e", "dev", "--save", "plan.json"], 0);
    let other_lab = Lab::new();
    other_lab.stack.write("plan.json", &lab.stack.read("plan.json"));
    let elsewhere = other_lab
        .terrace()
        .account(&lab.account)
        .run(&["apply", "plan.json"])
        .expect(0)
        .stderr;
    assert_contains(&elsewhere, &["`terrace.lock` was not updated"]);
    assert_eq!(other_lab.lock(), None);
    let _ = lab.apply(0);
    assert_contains(&lab.lock().expect("the lock file exists"), &["orders: 1"]);
    let _ = lab.destroy(0);
}
