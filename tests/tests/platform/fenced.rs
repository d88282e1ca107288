//! A program that was suspended during an apply does not overwrite the changes of later applies.

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use terrace_tests::servers::{self, Cluster};
use terrace_tests::{Scratch, Terrace};

/// A Deployment that never becomes ready if `CPU` exceeds the capacity of a node, and an object that depends on it.
const COMPONENTS: &str = r#"kind: Platform
name: NAME
owner: data@fenced.example
---
kind: Environment
name: live
class: development
kubernetes: {context: here, distribution: kubernetes}
---
kind: Component
name: fence
resources:
  namespace: {type: v1/Namespace, metadata: {name: NAME}}
  slow:
    type: apps/v1/Deployment
    metadata: {name: slow, namespace: NAME}
    spec:
      selector: {matchLabels: {app: slow}}
      template:
        metadata: {labels: {app: slow}}
        spec:
          securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
          containers:
          - name: main
            image: registry.example/main:VERSION
            resources: {requests: {cpu: CPU, memory: 128Mi}, limits: {cpu: CPU, memory: 128Mi}}
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  after: {type: v1/ConfigMap, depends_on: [slow], metadata: {name: after, namespace: NAME}, data: {version: "VERSION"}}
"#;

struct Fenced {
    name: &'static str,
    stack: Scratch,
    terrace: Terrace,
    cluster: &'static Cluster,
}

impl Fenced {
    fn new(name: &'static str) -> Fenced {
        let stack = Scratch::new(name);
        let kubeconfig = stack.path().join("kubeconfig");
        let cluster = servers::kubernetes();
        servers::write_kubeconfig(&kubeconfig, &[("here", cluster)]);
        let terrace = Terrace::in_directory(stack.path()).kubeconfig(&kubeconfig);
        Fenced {
            name,
            stack,
            terrace,
            cluster,
        }
    }

    fn write_stack(&self, version: &str, cpu: &str) {
        let text = COMPONENTS
            .replace("NAME", self.name)
            .replace("VERSION", version)
            .replace("CPU", cpu);
        self.stack.write("platform.yaml", &text);
    }

    /// Starts an apply, and suspends its program while it waits for the Deployment.
    fn stopped_in_the_middle(&self) -> Child {
        let apply = self.terrace.start(&["apply", "-e", "live", "--yes"]);
        let begun = Instant::now();
        let namespace = format!("--namespace={}", self.name);
        while self.cluster.get(&["deployment", "slow", &namespace]).is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the apply did not create the Deployment"
            );
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(Duration::from_secs(1));
        signal(&apply, "-STOP");
        apply
    }

    fn version(&self) -> Option<String> {
        let namespace = format!("--namespace={}", self.name);
        let after = self.cluster.get(&["configmap", "after", &namespace])?;
        Some(after["data"]["version"].as_str().expect("a version").to_owned())
    }
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Resumes a program and returns its exit code and its messages.
fn resume(child: Child) -> (Option<i32>, String) {
    signal(&child, "-CONT");
    let output = child.wait_with_output().expect("the program ends");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// While one apply is suspended, another takes the lock, completes and releases it. The first writes nothing
/// afterwards.
#[test]
fn a_suspended_apply_does_not_overwrite_a_newer_one() {
    let fenced = Fenced::new("fence-newer");
    fenced.write_stack("old", "300");
    let first = fenced.stopped_in_the_middle();
    fenced.write_stack("new", "1");
    let second = fenced.terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert!(
        second.stderr.contains("waiting for the lock"),
        "{}",
        second.stderr
    );
    assert_eq!(fenced.version().as_deref(), Some("new"));
    let (code, words) = resume(first);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("the lock of this environment was lost"), "{words}");
    assert!(!words.contains("applied fence-newer"), "{words}");
    assert_eq!(fenced.version().as_deref(), Some("new"));
    let _ = fenced
        .terrace
        .run(&["plan", "-e", "live", "--detailed-exitcode"])
        .expect(0);
    // The lock is free, so the next apply does not wait.
    let again = fenced.terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
    assert!(!again.stderr.contains("waiting for the lock"), "{}", again.stderr);
}

/// The lock is lost if another apply could have taken it, even if none did.
#[test]
fn an_apply_that_was_suspended_longer_than_its_lease_stops() {
    let fenced = Fenced::new("fence-late");
    fenced.write_stack("old", "300");
    let apply = fenced.stopped_in_the_middle();
    thread::sleep(Duration::from_secs(18));
    let (code, words) = resume(apply);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("the lock of this environment was lost"), "{words}");
    assert_eq!(fenced.version(), None);
    fenced.write_stack("new", "1");
    let _ = fenced.terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert_eq!(fenced.version().as_deref(), Some("new"));
    let _ = fenced.terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
}

/// A manually created Lease of an hour is refused at once, with the command that deletes it.
#[test]
fn refuses_to_wait_for_a_manually_created_lease() {
    let fenced = Fenced::new("fence-endless");
    fenced.write_stack("new", "1");
    let _ = fenced.terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    fenced.cluster.apply(
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: fence-endless.live, namespace: terrace-system}, spec: {holderIdentity: ben, leaseDurationSeconds: 3600}}",
    );
    fenced.write_stack("newer", "1");
    let begun = Instant::now();
    let refused = fenced.terrace.run(&["apply", "-e", "live", "--yes"]).expect(1);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(
        refused.stderr.contains("the lock of ben lasts 3600 seconds"),
        "{}",
        refused.stderr
    );
    let remedy = "delete lease --namespace terrace-system fence-endless.live";
    assert!(refused.stderr.contains(remedy), "{}", refused.stderr);
    fenced.cluster.kubectl(&[
        "delete",
        "lease",
        "--namespace",
        "terrace-system",
        "fence-endless.live",
    ]);
    let _ = fenced.terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    let _ = fenced.terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
}

/// Two stacks, the second of which uses an output of the first.
const STACKS: &str = r#"kind: Platform
name: fence
owner: data@fenced.example
---
kind: Environment
name: live
class: development
aws: {account: "ACCOUNT", region: eu-west-1}
---
kind: Component
name: first
resources: {topic: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}", DisplayName: VERSION}}}
outputs: {arn: "{{ ref('topic').arn }}"}
---
kind: Component
name: second
resources:
  text: {type: "AWS::SSM::Parameter", holds_data: false, properties: {Name: "{{ name }}", Type: String, Value: "VERSION {{ ref('first').arn }}"}}
"#;

/// The same with the lock in the bootstrap bucket: a suspended program writes no stack after a newer apply.
#[test]
fn a_suspended_apply_does_not_overwrite_stacks_of_a_newer_one() {
    let account = servers::aws().account();
    let stack = Scratch::new("fence-stacks");
    let write_stack = |version: &str| {
        let text = STACKS
            .replace("ACCOUNT", account.id())
            .replace("VERSION", version);
        stack.write("platform.yaml", &text);
    };
    let second = || {
        let of = serde_json::json!({"Name": "fence-live-platform-second"});
        let parameter = account.call("ssm", "get_parameter", of);
        let value = parameter["Parameter"]["Value"].as_str().unwrap_or_default();
        value.split(' ').next().unwrap_or_default().to_owned()
    };
    let terrace = Terrace::in_directory(stack.path()).account(&account);
    write_stack("zero");
    let _ = terrace.run(&["bootstrap", "-e", "live"]).expect(0);
    let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert_eq!(second(), "zero");

    write_stack("old");
    account.delay(Duration::from_secs(6));
    let old = terrace.start(&["apply", "-e", "live", "--yes"]);
    let begun = Instant::now();
    let of = serde_json::json!({"StackName": "fence-live-platform-first"});
    while account.call("cloudformation", "describe_stacks", of.clone())["Stacks"][0]["StackStatus"]
        != "UPDATE_IN_PROGRESS"
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the apply did not start the first update"
        );
        thread::sleep(Duration::from_millis(100));
    }
    signal(&old, "-STOP");
    account.delay(Duration::ZERO);
    write_stack("new");
    let new = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert!(new.stderr.contains("waiting for the lock"), "{}", new.stderr);
    assert_eq!(second(), "new");
    let (code, words) = resume(old);
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("the lock of this environment was lost"), "{words}");
    assert_eq!(second(), "new");
    let _ = terrace
        .run(&["plan", "-e", "live", "--detailed-exitcode"])
        .expect(0);
    let again = terrace.run(&["destroy", "-e", "live", "--yes"]).expect(0);
    assert!(!again.stderr.contains("waiting for the lock"), "{}", again.stderr);
}
