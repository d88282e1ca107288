//! `stacks/acme` through all commands.

use std::fs;
use std::time::Instant;

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Cluster};
use terrace_tests::{Run, Scratch, Terrace, tools};

const ENVIRONMENT: [&str; 2] = ["-e", "development"];

fn run(terrace: &Terrace, command: &str, more: &[&str]) -> Run {
    terrace.run(&[&[command], &ENVIRONMENT[..], more].concat())
}

/// Returns the steps of a plan as `ACTION KIND NAME`, with the changed fields.
fn steps(terrace: &Terrace) -> Vec<String> {
    let plan = run(terrace, "plan", &["--output", "json"]).expect(0).json();
    let steps = plan["steps"].as_array().expect("steps").iter();
    let changing = steps.filter(|step| step["action"] != "keep");
    let mut shown: Vec<String> = changing.map(shown).collect();
    shown.sort();
    shown
}

fn shown(step: &Json) -> String {
    let word = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let mut text = format!(
        "{} {} {}",
        word(&step["action"]),
        word(&step["subject"]["kind"]),
        word(&step["subject"]["name"])
    );
    let members = list(&step["members"]);
    let nested = members.iter().flat_map(|member| list(&member["fields"]));
    for field in list(&step["fields"]).into_iter().chain(nested) {
        let path: Vec<String> = list(&field["path"])
            .iter()
            .map(|key| key.to_string().replace('"', ""))
            .collect();
        text.push_str(&format!(
            " {}: {} to {}",
            path.join("."),
            field["before"],
            field["after"]
        ));
    }
    text
}

/// Returns the file of `golden/acme/development`, for this account.
fn golden(file: &str, account: &str) -> Json {
    let path = tools::root().join("golden/acme/development").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text.replace("111122223331", account)).expect("JSON")
}

#[test]
fn applies_repairs_updates_and_destroys_acme() {
    let started = Instant::now();
    let stack = Scratch::copy_of("stacks/acme");
    // Its namespaces have common names, so it needs its own cluster.
    let cluster = Cluster::start();
    let account = servers::aws().account();
    stack.edit("environments/development.yaml", "111122223331", account.id());
    let kubeconfig = stack.path().join("kubeconfig");
    servers::write_kubeconfig(&kubeconfig, &[("acme-development", &cluster)]);
    let terrace = Terrace::in_directory(stack.path())
        .kubeconfig(&kubeconfig)
        .account(&account);

    let _ = run(&terrace, "bootstrap", &[]).expect(0);
    let planned = steps(&terrace);
    assert!(
        planned.len() > 50 && planned.iter().all(|step| step.starts_with("create ")),
        "{planned:#?}"
    );
    let applying = Instant::now();
    let _ = run(&terrace, "apply", &["--yes"]).expect(0);
    eprintln!(
        "acme: {} steps applied in {:.1?}",
        planned.len(),
        applying.elapsed()
    );
    let _ = run(&terrace, "plan", &["--detailed-exitcode"]).expect(0);

    // The live resources match the golden files.
    let quota = cluster.get(&["resourcequota", "tenant", "--namespace=data-tenant-finance"]);
    let quota = quota.expect("a quota");
    assert_eq!(quota["status"]["hard"]["requests.cpu"], "200");
    assert_eq!(quota["status"]["hard"]["requests.memory"], "800Gi");
    assert_eq!(quota["status"]["hard"]["requests.nvidia.com/gpu"], "0");
    let jobs = cluster.get(&[
        "resourcequota",
        "concurrent-jobs",
        "--namespace=data-tenant-finance",
    ]);
    assert_eq!(jobs.expect("a quota of jobs")["status"]["hard"]["pods"], "20");
    let ready = cluster
        .get(&["statefulset", "warehouse", "--namespace=data-tenant-finance"])
        .expect("a server");
    assert_eq!(ready["status"]["readyReplicas"], 1);
    let lifecycles = golden("lifecycle/finance/lake.json", account.id());
    for zone in ["raw", "processed", "curated", "archive"] {
        let bucket = format!("acme-{zone}-development-finance-{}", account.id());
        let live = account.call(
            "s3",
            "get_bucket_lifecycle_configuration",
            json!({"Bucket": bucket}),
        );
        let wanted = lifecycles.as_object().expect("buckets").iter();
        let (_, wanted) = wanted
            .clone()
            .find(|(id, _)| id.to_lowercase().ends_with(zone))
            .expect("the golden file contains the zone");
        assert_eq!(
            transitions(&live["Rules"], "ID", "Days"),
            transitions(wanted, "Id", "TransitionInDays"),
            "{zone}"
        );
    }
    let machines = account.call("stepfunctions", "list_state_machines", json!({}));
    let machines = machines["stateMachines"].as_array().expect("a list").clone();
    assert_eq!(machines.len(), 1);
    let machine = json!({"stateMachineArn": machines[0]["stateMachineArn"]});
    let machine = account.call("stepfunctions", "describe_state_machine", machine);
    let live: Json = serde_json::from_str(machine["definition"].as_str().expect("text")).expect("JSON");
    let wanted = golden("step-functions/finance/sales.json", account.id());
    assert_eq!(live["StartAt"], wanted["StartAt"]);
    let names = |definition: &Json| -> Vec<(String, Json)> {
        let states = definition["States"].as_object().expect("states").iter();
        states
            .map(|(name, state)| (name.clone(), state["Type"].clone()))
            .collect()
    };
    assert_eq!(names(&live), names(&wanted));
    assert!(
        !live.to_string().contains("${"),
        "a placeholder was not filled in: {live}"
    );

    // One object is edited manually and another is deleted.
    let edit = r#"{"spec": {"hard": {"pods": "7"}}}"#;
    let finance = "--namespace=data-tenant-finance";
    let _ = cluster.kubectl(&["patch", "resourcequota", "tenant", finance, "--patch", edit]);
    let service = "data-processing-marketing-web";
    let _ = cluster.kubectl(&["delete", "service", service, "--namespace=data-tenant-marketing"]);
    let repairs = [
        "create Service data-processing-marketing-web".to_owned(),
        r#"update ResourceQuota tenant spec.hard.pods: "7" to "400""#.to_owned(),
    ];
    assert_eq!(steps(&terrace), repairs);
    let _ = run(&terrace, "apply", &["--yes"]).expect(0);
    let _ = run(&terrace, "plan", &["--detailed-exitcode"]).expect(0);
    let quota = cluster
        .get(&["resourcequota", "tenant", finance])
        .expect("a quota");
    assert_eq!(quota["spec"]["hard"]["pods"], "400");
    assert!(
        cluster
            .get(&["service", service, "--namespace=data-tenant-marketing"])
            .is_some()
    );

    // The user edits two inputs, one for each system.
    stack.edit("components/marketing.yaml", "max_replicas: 6", "max_replicas: 5");
    stack.edit("components/marketing.yaml", "retention: 48h", "retention: 72h");
    let changes = [
        "update CloudFormation stack acme-development-marketing-clicks RetentionPeriodHours: 48 to 72"
            .to_owned(),
        "update HorizontalPodAutoscaler data-processing-marketing-web-hpa spec.maxReplicas: 6 to 5"
            .to_owned(),
    ];
    assert_eq!(steps(&terrace), changes);
    let _ = run(&terrace, "apply", &["--yes"]).expect(0);
    let _ = run(&terrace, "plan", &["--detailed-exitcode"]).expect(0);

    let refused = run(&terrace, "destroy", &["--yes"]).expect(4);
    let addresses = refused
        .stderr
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--approve '"));
    let addresses: Vec<&str> = addresses.filter_map(|rest| rest.strip_suffix('\'')).collect();
    assert!(addresses.contains(&"finance/warehouse/server"), "{addresses:?}");
    let approvals = addresses.iter().flat_map(|address| ["--approve", address]);
    let _ = run(
        &terrace,
        "destroy",
        &[&["--yes"], &*approvals.collect::<Vec<_>>()].concat(),
    )
    .expect(0);
    let left = account.call("cloudformation", "describe_stacks", json!({}));
    assert_eq!(left["Stacks"], json!([]));
    assert_eq!(cluster.get(&["namespace", "data-tenant-finance"]), None);
    eprintln!("acme: {:.0?} in total", started.elapsed());
}

/// Returns the rules that move data: their names, transitions and expirations.
fn transitions(rules: &Json, id: &str, days: &str) -> Vec<Json> {
    let rules = rules.as_array().expect("rules").iter();
    let moving = rules.filter(|rule| rule.get("Transitions").is_some());
    let moves = moving.map(|rule| {
        let steps = rule["Transitions"].as_array().expect("a list").iter();
        let mut steps: Vec<Json> = steps
            .map(|step| json!([step[days], step["StorageClass"]]))
            .collect();
        steps.sort_by_key(|step| step[0].as_u64());
        let expires = rule
            .get("ExpirationInDays")
            .or_else(|| rule.get("Expiration").and_then(|e| e.get("Days")));
        json!({"rule": rule[id], "to": steps, "expires": expires})
    });
    moves.collect()
}
