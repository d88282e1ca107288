//! Isolation: between tenants, environments and platforms, and from foreign namespaces.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Cluster};
use terrace_tests::{Scratch, Terrace, tools};

/// A stack of two tenants in the shared cluster, with names that no other test uses.
struct Stack {
    scratch: Scratch,
    id: String,
    kubeconfig: PathBuf,
}

const PLATFORM: &str = r#"{kind: Platform, name: contained-ID}
---
{kind: Environment, name: live, class: production, kubernetes: {context: here}}
---
{kind: Tenant, name: red-ID, tier: basic, max_concurrent_jobs: 2}
---
{kind: Tenant, name: blue-ID, tier: basic}
---
{kind: Component, name: tenant, module: tenant, tenants: all}
"#;

impl Stack {
    /// Writes a stack of these components; `ID` in them is replaced with the id of the stack.
    fn new(components: &str) -> Stack {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch::new("contained");
        scratch.write("platform.yaml", &PLATFORM.replace("ID", &id));
        scratch.write("components.yaml", &components.replace("ID", &id));
        let kubeconfig = scratch.path().join("kubeconfig");
        servers::write_kubeconfig(&kubeconfig, &[("here", servers::kubernetes())]);
        Stack {
            scratch,
            id,
            kubeconfig,
        }
    }

    fn terrace(&self) -> Terrace {
        Terrace::in_directory(self.scratch.path()).kubeconfig(&self.kubeconfig)
    }

    #[track_caller]
    fn run(&self, command: &str, environment: &str, code: i32) -> String {
        let options: &[&str] = match command {
            "plan" => &["--detailed-exitcode"],
            _ => &["--yes"],
        };
        let arguments = [&[command, "-e", environment], options].concat();
        self.terrace().run(&arguments).expect(code).stderr
    }

    fn namespace(&self, tenant: &str) -> String {
        format!("data-tenant-{tenant}-{}", self.id)
    }
}

/// Waits until a condition is true.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "did not happen within a minute: {what}"
        );
        sleep(Duration::from_millis(200));
    }
}

/// Returns the names of all objects of a kind in a namespace.
fn names(cluster: &Cluster, kind: &str, namespace: &str) -> Vec<String> {
    let found = cluster.get(&[kind, "--namespace", namespace]).unwrap_or_default();
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Json| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    items.iter().map(name).collect()
}

const CONNECTED: &str = r#"kind: Component
name: scorer
module: workload
tenants: [red-ID]
inputs: {image: registry.example.com/scorer, tag: 1.0.0, auto_scaling: false}
---
kind: Component
name: access
tenants: [red-ID]
resources: {note: {type: v1/ConfigMap, data: {a: b}}}
connects:
  - {from: "{{ ref('scorer').deployment }}", to: {namespace: kube-system}, port: 443}
  - {from: {namespace: gateway-ID}, to: "{{ ref('scorer').deployment }}", port: 8080}
---
kind: Component
name: open
resources:
  space: {type: v1/Namespace, metadata: {name: open-ID}}
  pod:
    type: v1/Pod
    metadata: {namespace: open-ID, labels: {app: open}}
    spec: {containers: [{name: main, image: "registry.example.com/open:1.0.0"}]}
connects:
  - {from: pod, to: {cidr: 10.0.0.0/16}, port: 5432}
"#;

#[test]
fn connections_create_policies_only_in_isolated_namespaces_of_the_stack() {
    let cluster = servers::kubernetes();
    let stack = Stack::new(CONNECTED);
    let (gateway, open) = (format!("gateway-{}", stack.id), format!("open-{}", stack.id));
    let _ = cluster.kubectl(&["create", "namespace", &gateway]);
    let before = names(cluster, "networkpolicy", "kube-system");
    let _ = stack.run("apply", "live", 0);

    assert_eq!(names(cluster, "networkpolicy", "kube-system"), before);
    assert_eq!(names(cluster, "networkpolicy", &gateway), Vec::<String>::new());
    assert_eq!(names(cluster, "networkpolicy", &open), Vec::<String>::new());
    let own = names(cluster, "networkpolicy", &stack.namespace("red"));
    assert!(
        own.contains(&"scorer-deployment-to-kube-system-443-egress".to_owned())
            && own.contains(&format!("{gateway}-to-scorer-deployment-8080-ingress")),
        "{own:?}"
    );
    let _ = stack.run("plan", "live", 0);
    let _ = stack.run("destroy", "live", 0);
    let _ = cluster.kubectl(&["delete", "namespace", &gateway]);
}

/// Returns a Job of one pod, optionally with a deadline of the pod.
fn job(name: &str, image: &str, deadline: bool) -> String {
    let mut pod = json!({
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "main",
            "image": image,
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    if deadline {
        pod["activeDeadlineSeconds"] = json!(3600);
    }
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}},
    });
    job.to_string()
}

#[test]
fn limits_running_jobs_but_not_finished_ones() {
    let cluster = servers::kubernetes();
    let stack = Stack::new("");
    let _ = stack.run("apply", "live", 0);
    let namespace = stack.namespace("red");
    let create = |name: &str, image: &str, deadline: bool| {
        let output = cluster.run_kubectl(
            &["create", "--namespace", &namespace, "--filename", "-"],
            &job(name, image, deadline),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let status = |name: &str, field: &str| {
        let found = cluster
            .get(&["job", name, "--namespace", &namespace])
            .unwrap_or_default();
        found["status"][field].as_i64().unwrap_or_default()
    };
    let (good, never) = (
        "registry.example.com/load:1.0.0",
        "registry.example.com/load:broken",
    );

    // More Jobs than the limit finish, one after the other.
    for number in 0..5 {
        let name = format!("done-{number}");
        create(&name, good, true);
        eventually("a job is done", || status(&name, "succeeded") == 1);
    }
    assert_eq!(names(cluster, "job", &namespace).len(), 5);

    // Two Jobs that never end reach the limit. A third one gets no pod, but a Job outside the limit does.
    for name in ["first", "second"] {
        create(name, never, true);
        eventually("a pod exists", || status(name, "active") == 1);
    }
    create("third", good, true);
    let refused = || {
        let events = cluster
            .get(&["events", "--namespace", &namespace])
            .unwrap_or_default();
        events["items"]
            .to_string()
            .contains("exceeded quota: concurrent-jobs")
    };
    eventually("the quota refuses a pod", refused);
    create("backup", good, false);
    eventually("a backup is done", || status("backup", "succeeded") == 1);
    assert_eq!(status("third", "succeeded"), 0);

    let _ = cluster.kubectl(&["delete", "job", "first", "--namespace", &namespace]);
    eventually("the third is done", || status("third", "succeeded") == 1);
    let _ = stack.terrace().run(&["destroy", "-e", "live", "--yes"]);
    let _ = cluster.kubectl(&["delete", "namespace", &namespace, "--ignore-not-found"]);
    let _ = cluster.kubectl(&[
        "delete",
        "namespace",
        &stack.namespace("blue"),
        "--ignore-not-found",
    ]);
}

#[test]
fn refuses_resources_beyond_the_quota_of_a_tenant() {
    let cluster = servers::kubernetes();
    let stack = Stack::new("");
    let _ = stack.run("apply", "live", 0);
    let namespace = stack.namespace("blue");
    let refusal = |resource: &str, amount: &str| {
        let mut pod: Json =
            serde_json::from_str(&job("x", "registry.example.com/x:1.0.0", false)).expect("JSON");
        let mut spec = pod["spec"]["template"]["spec"].take();
        spec["containers"][0]["resources"] = json!({"limits": {resource: amount}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec});
        let arguments = [
            "create",
            "--dry-run=server",
            "--namespace",
            &namespace,
            "--filename",
            "-",
        ];
        let output = cluster.run_kubectl(&arguments, &pod.to_string());
        assert!(!output.status.success(), "{amount} of {resource} is accepted");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // The quota takes effect after the controller has computed it once.
    eventually("the quota is counted", || {
        let quota = cluster.get(&["resourcequota", "tenant", "--namespace", &namespace]);
        quota.unwrap_or_default()["status"]["used"].is_object()
    });
    for (resource, amount) in [
        ("nvidia.com/gpu", "1"),
        ("amd.com/gpu", "1"),
        ("aws.amazon.com/neuron", "1"),
        ("google.com/tpu", "1"),
        ("ephemeral-storage", "2000Gi"),
        ("cpu", "97"),
        ("memory", "310Gi"),
    ] {
        let message = refusal(resource, amount);
        assert!(
            message.contains("exceeded quota: tenant") || message.contains("maximum"),
            "{amount} of {resource}: {message}"
        );
    }
    let _ = stack.run("destroy", "live", 0);
}

const SECOND: &str = "{kind: Environment, name: testing, class: testing, kubernetes: {context: here}}\n";

#[test]
fn environments_in_one_cluster_need_different_namespaces() {
    let cluster = servers::kubernetes();
    let stack = Stack::new("");
    stack.scratch.write("testing.yaml", SECOND);
    for environment in ["live", "testing"] {
        let refused = stack.run("apply", environment, 1);
        assert!(
            refused.contains("environment-collision") && refused.contains("namespace_prefix: testing"),
            "{refused}"
        );
    }
    let (first, second) = (
        stack.namespace("red"),
        format!("testing-{}", stack.namespace("red")),
    );
    assert_eq!(
        cluster.get(&["namespace", &first]),
        None,
        "a refused apply created the namespace"
    );

    let prefixed = SECOND.replace("name: testing,", "name: testing, namespace_prefix: testing,");
    stack.scratch.write("testing.yaml", &prefixed);
    for environment in ["live", "testing"] {
        let _ = stack.run("apply", environment, 0);
    }
    for environment in ["live", "testing"] {
        let _ = stack.run("plan", environment, 0);
    }
    assert!(cluster.get(&["namespace", &first]).is_some() && cluster.get(&["namespace", &second]).is_some());
    let _ = stack.run("destroy", "testing", 0);
    let _ = stack.run("plan", "live", 0);
    let _ = stack.run("destroy", "live", 0);
}

#[test]
fn platforms_in_one_cluster_need_different_namespaces() {
    let cluster = servers::kubernetes();
    let stack = Stack::new("");
    let _ = stack.run("apply", "live", 0);
    let first = stack.namespace("red");
    let uid = |namespace: &str| {
        let found = cluster.get(&["namespace", namespace]);
        found.map(|found| found["metadata"]["uid"].clone())
    };
    let before = uid(&first);

    let rival = Scratch::new("rival");
    let platform = PLATFORM.replace("name: contained-ID", "name: rival-ID");
    rival.write("platform.yaml", &platform.replace("ID", &stack.id));
    let terrace = Terrace::in_directory(rival.path()).kubeconfig(&stack.kubeconfig);
    let refused = terrace.run(&["apply", "-e", "live", "--yes"]).expect(4).stderr;
    assert!(
        refused.contains(&first) && refused.contains(&format!("contained-{}", stack.id)),
        "{refused}"
    );
    assert_eq!(uid(&first), before);
    let _ = stack.run("plan", "live", 0);

    rival.edit(
        "platform.yaml",
        "name: live,",
        "name: live, namespace_prefix: rival,",
    );
    let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert!(uid(&format!("rival-{first}")).is_some() && uid(&first) == before);
    let _ = terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
    let _ = stack.run("plan", "live", 0);
    let _ = stack.run("destroy", "live", 0);
}

const WORKING: &str = r#"kind: Component
name: scorer
module: workload
tenants: all
inputs: {image: registry.example.com/scorer, tag: 1.0.0, auto_scaling: false}
---
kind: Component
name: store
module: postgresql
tenants: all
inputs: {credentials: "{{ secret('store').password }}", storage_class: standard, snapshots: {class: any, api_server: [10.0.0.0/16]}}
"#;

#[test]
fn service_accounts_of_a_tenant_cannot_leave_its_isolation() {
    let cluster = servers::kubernetes();
    let stack = Stack::new(WORKING);
    // The Secret of the database does not exist, so its pods never become ready. This test does not need them.
    let arguments = ["apply", "-e", "live", "--yes", "--timeout", "5s"];
    let _ = stack.terrace().run(&arguments);
    let (own, other) = (stack.namespace("red"), stack.namespace("blue"));
    let accounts = names(cluster, "serviceaccount", &own);
    assert!(
        accounts.iter().any(|name| name == "store-snapshot") && accounts.len() == 3,
        "{accounts:?}"
    );
    let may = |account: &str, verb: &str, resource: &str, namespace: &str| {
        let user = format!("--as=system:serviceaccount:{own}:{account}");
        let all = ["auth", "can-i", verb, resource, &user, "--namespace", namespace];
        let output = cluster.run_kubectl(&all, "");
        String::from_utf8_lossy(&output.stdout).trim() == "yes"
    };
    for account in &accounts {
        for place in [other.as_str(), "kube-system", "default"] {
            for (verb, resource) in [
                ("get", "secrets"),
                ("list", "pods"),
                ("create", "pods"),
                ("create", "jobs"),
                ("get", "configmaps"),
                ("delete", "volumesnapshots.snapshot.storage.k8s.io"),
            ] {
                assert!(
                    !may(account, verb, resource, place),
                    "{account}: {verb} {resource} in {place}"
                );
            }
        }
        for resource in [
            "networkpolicies",
            "resourcequotas",
            "limitranges",
            "rolebindings",
            "roles",
        ] {
            for verb in ["create", "delete", "patch"] {
                assert!(
                    !may(account, verb, resource, &own),
                    "{account}: {verb} {resource}"
                );
            }
        }
        for (verb, resource) in [
            ("get", "secrets"),
            ("create", "pods/exec"),
            ("impersonate", "serviceaccounts"),
        ] {
            assert!(
                !may(account, verb, resource, &own),
                "{account}: {verb} {resource}"
            );
        }
    }
    assert!(may(
        &format!("data-processing-red-{}", stack.id),
        "create",
        "jobs",
        &own
    ));
    for tenant in ["red", "blue"] {
        let _ = cluster.kubectl(&["delete", "namespace", &stack.namespace(tenant), "--wait=false"]);
    }
}

/// Applies the objects of every golden case of the Kubernetes modules in a dry run.
#[test]
fn the_server_accepts_the_objects_of_all_modules() {
    // The cases use common namespace names, so they need their own cluster.
    let cluster = Cluster::start();
    let mut tried = 0;
    for module in ["tenant", "workload", "postgresql"] {
        let cases = tools::root().join("modules").join(module).join("tests");
        for case in tools::subfolders(&cases) {
            let objects = case.join("kubernetes");
            if !objects.exists() {
                continue;
            }
            for tenant in tools::subfolders(&objects) {
                let name = tenant
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .replace('_', "-");
                let namespace = match name.as_str() {
                    "platform" => "data-platform".to_owned(),
                    name => format!("data-tenant-{name}"),
                };
                if cluster.get(&["namespace", &namespace]).is_none() {
                    let _ = cluster.kubectl(&["create", "namespace", &namespace]);
                }
                let files = tenant.to_string_lossy();
                let _ = cluster.kubectl(&[
                    "apply",
                    "--server-side",
                    "--dry-run=server",
                    "--force-conflicts",
                    "--filename",
                    &files,
                ]);
                tried += 1;
            }
        }
    }
    assert!(tried > 15, "only {tried} cases have objects");
}

/// Checks the limits in `catalog/src/grammar.rs` with the server.
#[test]
fn name_limits_match_those_of_the_server() {
    let cluster = servers::kubernetes();
    let namespace = format!("names-{}", process::id());
    let _ = cluster.kubectl(&["create", "namespace", &namespace]);
    let dry_run = [
        "create",
        "--dry-run=server",
        "--namespace",
        &namespace,
        "--filename",
        "-",
    ];
    let accepts = |object: &str| cluster.run_kubectl(&dry_run, object).status.success();
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "registry.example.com/x:1.0.0"}]});
    let named = |api_version: &str, kind: &str, length: usize, spec: Json| {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a".repeat(length)}, "spec": spec})
            .to_string()
    };
    let job = json!({"template": {"spec": pod}});
    let hourly = json!({"schedule": "0 * * * *", "jobTemplate": {"spec": job}});
    let service = json!({"ports": [{"port": 80}]});
    for (api_version, kind, maximum, spec) in [
        ("batch/v1", "Job", 63, &job),
        ("batch/v1", "CronJob", 52, &hourly),
        ("v1", "Service", 63, &service),
    ] {
        assert!(
            accepts(&named(api_version, kind, maximum, spec.clone())),
            "{kind} of {maximum}"
        );
        assert!(
            !accepts(&named(api_version, kind, maximum + 1, spec.clone())),
            "{kind} of {}",
            maximum + 1
        );
    }
    let mut indexed = job.clone();
    indexed["completionMode"] = json!("Indexed");
    indexed["completions"] = json!(100);
    assert!(accepts(&named("batch/v1", "Job", 60, indexed.clone())));
    assert!(!accepts(&named("batch/v1", "Job", 61, indexed)));

    // The server accepts a StatefulSet name of any length; only its pods show the limit.
    let mut always = pod;
    always["restartPolicy"] = json!("Always");
    for (length, is_accepted) in [(52, true), (53, false)] {
        let set = json!({
            "selector": {"matchLabels": {"app": "x"}},
            "serviceName": "x",
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": always},
        });
        let name = "a".repeat(length);
        let created = cluster.run_kubectl(
            &["create", "--namespace", &namespace, "--filename", "-"],
            &named("apps/v1", "StatefulSet", length, set),
        );
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        let has_pod = || names(cluster, "pod", &namespace).contains(&format!("{name}-0"));
        let is_refused = || {
            let events = cluster
                .get(&["events", "--namespace", &namespace])
                .unwrap_or_default();
            events["items"].to_string().contains("must be no more than 63")
        };
        match is_accepted {
            true => eventually("the pod exists", has_pod),
            false => eventually("the pod is refused", is_refused),
        }
        let _ = cluster.kubectl(&["delete", "statefulset", &name, "--namespace", &namespace]);
    }
    let _ = cluster.kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
}
