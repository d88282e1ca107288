//! A platform that needs few calls, in the shared cluster and in its own account.

use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Account, Cluster};
use terrace_tests::{Run, Scratch, Terrace};

/// A stack, its cluster and its account, with names that no other test uses.
pub(crate) struct Small {
    pub(crate) stack: Scratch,
    pub(crate) account: Account<'static>,
    pub(crate) namespace: String,
    kubeconfig: PathBuf,
}

const PLATFORM: &str = "kind: Platform\nname: PLATFORM\nowner: data@small.example\ntiers: {basic: {}}\n";

/// The cluster is declared in line 4, the account in line 5.
const ENVIRONMENT: &str = r#"kind: Environment
name: live
class: development
kubernetes: {context: here, distribution: kubernetes}
aws: {account: "ACCOUNT", region: eu-west-1}
---
{kind: Tenant, name: TENANT, tier: basic}
"#;

const BEFORE: &str = r#"kind: Component
name: home
tenants: all
resources:
  namespace: {type: v1/Namespace, metadata: {name: "{{ namespace }}"}}
  settings: {type: v1/ConfigMap, data: {topic: "{{ ref('alerts').arn }}", level: low}}
---
kind: Component
name: alerts
tenants: all
resources: {topic: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}", DisplayName: before}}}
outputs: {arn: "{{ ref('topic').arn }}"}
---
kind: Component
name: notes
tenants: all
resources: {text: {type: v1/ConfigMap, data: {text: one}}}
---
kind: Component
name: pager
tenants: all
resources: {topic: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}"}}}
"#;

/// One change of each kind in both systems, except replacements, which send no other calls.
const AFTER: &str = r#"kind: Component
name: home
tenants: all
resources:
  namespace: {type: v1/Namespace, metadata: {name: "{{ namespace }}"}}
  settings: {type: v1/ConfigMap, data: {topic: "{{ ref('alerts').arn }}", level: "{{ ref('watch').arn }}"}}
  runner: {type: v1/ServiceAccount}
---
kind: Component
name: alerts
tenants: all
resources: {topic: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}", DisplayName: after}}}
outputs: {arn: "{{ ref('topic').arn }}"}
---
kind: Component
name: watch
tenants: all
resources: {topic: {type: "AWS::SNS::Topic", holds_data: false, properties: {TopicName: "{{ name }}"}}}
outputs: {arn: "{{ ref('topic').arn }}"}
"#;

impl Small {
    /// Creates the stack. Nothing is deployed yet.
    pub(crate) fn new() -> Small {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let account = servers::aws().account();
        let stack = Scratch::new("small");
        stack.write(
            "platform.yaml",
            &PLATFORM.replace("PLATFORM", &format!("small-{id}")),
        );
        let environment = ENVIRONMENT
            .replace("ACCOUNT", account.id())
            .replace("TENANT", &format!("crew-{id}"));
        stack.write("environment.yaml", &environment);
        stack.write("components.yaml", BEFORE);
        let kubeconfig = stack.path().join("kubeconfig");
        servers::write_kubeconfig(&kubeconfig, &[("here", servers::kubernetes())]);
        let small = Small {
            stack,
            account,
            namespace: format!("data-tenant-crew-{id}"),
            kubeconfig,
        };
        let _ = small.terrace().run(&["bootstrap", "-e", "live"]).expect(0);
        small
    }

    /// Creates the stack and applies it.
    pub(crate) fn applied() -> Small {
        let small = Small::new();
        let _ = small.apply();
        small
    }

    /// Writes the changed stack.
    pub(crate) fn change(&self) {
        self.stack.write("components.yaml", AFTER);
    }

    /// Removes one object from the changed stack.
    pub(crate) fn drop_runner(&self) {
        let less = AFTER.replace("  runner: {type: v1/ServiceAccount}\n", "");
        assert_ne!(less, AFTER);
        self.stack.write("components.yaml", &less);
    }

    /// Returns the name of the platform.
    pub(crate) fn platform(&self) -> String {
        self.tenant().replace("crew-", "small-")
    }

    /// Returns the name of its tenant.
    pub(crate) fn tenant(&self) -> &str {
        self.namespace.trim_start_matches("data-tenant-")
    }

    /// Returns the program, configured for both systems.
    pub(crate) fn terrace(&self) -> Terrace {
        Terrace::in_directory(self.stack.path())
            .kubeconfig(&self.kubeconfig)
            .account(&self.account)
    }

    pub(crate) fn apply(&self) -> Run {
        self.terrace().run(&["apply", "-e", "live", "--yes"]).expect(0)
    }

    /// Asserts that a plan contains no changes.
    #[track_caller]
    pub(crate) fn assert_no_changes(&self) {
        let _ = self
            .terrace()
            .run(&["plan", "-e", "live", "--detailed-exitcode"])
            .expect(0);
    }

    /// Asserts that the live resources match the changed stack.
    #[track_caller]
    pub(crate) fn assert_changed(&self) {
        let settings = self
            .object("configmap", "home-settings")
            .expect("the ConfigMap exists");
        let (alerts, watch) = (self.topic("alerts"), self.topic("watch"));
        assert_eq!(settings["data"], json!({"topic": alerts, "level": watch}));
        assert!(
            self.object("serviceaccount", "home-runner").is_some(),
            "the ServiceAccount was not created"
        );
        assert_eq!(
            self.object("configmap", "notes-text"),
            None,
            "the ConfigMap was not deleted"
        );
        let shown = self
            .account
            .call("sns", "get_topic_attributes", json!({"TopicArn": alerts}));
        assert_eq!(shown["Attributes"]["DisplayName"], "after");
        assert_eq!(self.topics(), ["alerts", "watch"]);
    }

    /// Destroys everything, because the cluster is shared.
    pub(crate) fn destroy(&self) {
        let _ = self.terrace().run(&["destroy", "-e", "live", "--yes"]).expect(0);
        let left = self.account.call("cloudformation", "describe_stacks", json!({}));
        assert_eq!(left["Stacks"], json!([]));
    }

    /// Returns an object in the namespace.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Json> {
        servers::kubernetes().get(&[kind, name, "--namespace", &self.namespace])
    }

    /// Runs kubectl in the namespace, as another user.
    pub(crate) fn kubectl(&self, arguments: &[&str]) {
        let cluster: &Cluster = servers::kubernetes();
        let namespace = ["--namespace", self.namespace.as_str()];
        let _ = cluster.kubectl(&[arguments, &namespace].concat());
    }

    /// Returns the status of a component's CloudFormation stack.
    pub(crate) fn status(&self, component: &str) -> String {
        let all = self.account.call("cloudformation", "describe_stacks", json!({}));
        let mut stacks = all["Stacks"].as_array().into_iter().flatten();
        let name = format!("-{component}");
        let found = stacks.find(|stack| {
            stack["StackName"]
                .as_str()
                .is_some_and(|found| found.ends_with(&name))
        });
        found
            .and_then(|stack| stack["StackStatus"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    fn topic(&self, component: &str) -> Json {
        let all = self.account.call("sns", "list_topics", json!({}));
        let mut arns = all["Topics"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|topic| &topic["TopicArn"]);
        let found = arns.find(|arn| {
            arn.as_str()
                .is_some_and(|arn| arn.ends_with(&format!("-{component}")))
        });
        found
            .cloned()
            .unwrap_or_else(|| panic!("no topic of `{component}` in {all}"))
    }

    /// Returns the names of all topics in the account, without the prefix of the tenant.
    pub(crate) fn topics(&self) -> Vec<String> {
        let all = self.account.call("sns", "list_topics", json!({}));
        let tenant = format!("{}-", self.tenant());
        let of = |item: &Json| {
            let name = item["TopicArn"].as_str().unwrap_or_default();
            name.rsplit_once(&tenant).map_or(name, |(_, end)| end).to_owned()
        };
        let mut names: Vec<String> = all["Topics"].as_array().into_iter().flatten().map(of).collect();
        names.sort();
        names
    }
}
