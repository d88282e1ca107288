//! The state store is deleted. Terrace loses only history: its resources do not change, and foreign resources remain
//! foreign.

use std::path::PathBuf;
use std::process;

use serde_json::{Value as Json, json};
use terrace_tests::inventory::{self, Inventory};
use terrace_tests::servers::{self, Account, Api};
use terrace_tests::{Run, Scratch, Terrace};

const OBJECTS: &str = r#"---
kind: Component
name: base
resources:
  place: {type: v1/Namespace, metadata: {name: NAME}}
  settings: {type: v1/ConfigMap, metadata: {name: settings, namespace: NAME}, data: {level: low}}
  more: {type: v1/ConfigMap, metadata: {name: more, namespace: NAME}, data: {level: low}}
"#;

const RESOURCES: &str = r#"---
kind: Component
name: alerts
resources: {topic: {type: "AWS::SNS::Topic", properties: {TopicName: "{{ name }}", DisplayName: low}}}
---
kind: Component
name: jobs
resources: {queue: {type: "AWS::SQS::Queue", properties: {QueueName: "{{ name }}", MessageRetentionPeriod: 600}}}
"#;

/// An environment with a cluster, an account or both, which has been applied once.
struct Lost {
    stack: Scratch,
    account: Account<'static>,
    name: String,
    kubeconfig: PathBuf,
    in_cluster: bool,
    in_account: bool,
    api: Api,
}

impl Lost {
    fn applied(in_cluster: bool, in_account: bool) -> Lost {
        let name = format!(
            "lost-{}{}-{}",
            u8::from(in_cluster),
            u8::from(in_account),
            process::id()
        );
        let stack = Scratch::new("lost");
        let kubeconfig = stack.path().join("kubeconfig");
        servers::write_kubeconfig(&kubeconfig, &[("here", servers::kubernetes())]);
        let lost = Lost {
            stack,
            account: servers::aws().account(),
            name,
            kubeconfig,
            in_cluster,
            in_account,
            api: Api::of(servers::kubernetes()),
        };
        lost.declare("");
        if in_account {
            let _ = lost.run(&["bootstrap", "-e", "live"]).expect(0);
        }
        let _ = lost.run(&["apply", "-e", "live", "--yes"]).expect(0);
        lost
    }

    /// Writes the stack, without the lines that contain a text.
    fn declare(&self, without: &str) {
        let mut text = format!(
            "kind: Platform\nname: {0}\nowner: data@lost.example\n---\nkind: Environment\nname: live\nclass: development\n",
            self.name
        );
        if self.in_cluster {
            text += "kubernetes: {context: here, distribution: kubernetes}\n";
        }
        if self.in_account {
            text += &format!("aws: {{account: \"{}\", region: eu-west-1}}\n", self.account.id());
        }
        for (present, components) in [(self.in_cluster, OBJECTS), (self.in_account, RESOURCES)] {
            if present {
                text += &components.replace("NAME", &self.name);
            }
        }
        let kept = text
            .lines()
            .filter(|line| without.is_empty() || !line.contains(without));
        let kept: Vec<&str> = kept.collect();
        self.stack.write("platform.yaml", &(kept.join("\n") + "\n"));
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Terrace::in_directory(self.stack.path())
            .kubeconfig(&self.kubeconfig)
            .account(&self.account)
            .run(arguments)
    }

    /// Creates foreign resources: a backup of the ConfigMap `more`, restored into another namespace with its labels and
    /// old managedFields, and objects and stacks with copied marks.
    fn strangers(&self) {
        if self.in_cluster {
            let (attic, more) = (
                self.attic(),
                format!("/api/v1/namespaces/{}/configmaps/more", self.name),
            );
            let original = self
                .api
                .get(&more, "application/json")
                .expect("the ConfigMap exists");
            let mut managers = original["metadata"]["managedFields"].clone();
            for entry in managers.as_array_mut().into_iter().flatten() {
                entry["time"] = json!("2020-01-01T00:00:00Z");
            }
            let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": attic}});
            self.api
                .write("POST", "/api/v1/namespaces", &space)
                .expect("a namespace");
            let labels = original["metadata"]["labels"].clone();
            for (namespace, name, managers) in [
                (attic.as_str(), "more", managers),
                (&self.name, "copied", json!([])),
            ] {
                let configmaps = format!("/api/v1/namespaces/{namespace}/configmaps");
                let metadata = json!({"name": name, "labels": labels, "annotations": original["metadata"]["annotations"]});
                let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": original["data"]});
                self.api.write("POST", &configmaps, &copy).expect("a copy");
                let path = format!("{configmaps}/{name}");
                let managed = json!({"metadata": {"managedFields": managers}});
                self.api
                    .write("PATCH", &path, &managed)
                    .expect("managedFields are restored");
            }
        }
        if self.in_account {
            let template = json!({"Resources": {"Orders": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "orders"}}}});
            let tags = json!([{"Key": "terrace:stack", "Value": format!("{}.live", self.name)}]);
            let stack = json!({"StackName": format!("{}-live-platform-old", self.name), "TemplateBody": template.to_string(), "Tags": tags});
            self.account.call("cloudformation", "create_stack", stack);
        }
    }

    fn attic(&self) -> String {
        format!("{}-attic", self.name)
    }

    /// Deletes the Secrets and the Lease, or all objects of the bucket.
    fn lose_the_state_store(&self) {
        let mut deleted = 0;
        for list in [
            "/api/v1/namespaces/terrace-system/secrets",
            "/apis/coordination.k8s.io/v1/namespaces/terrace-system/leases",
        ] {
            let found = self.api.get(list, "application/json").unwrap_or_default();
            for object in found["items"].as_array().into_iter().flatten() {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                if name.contains(&self.name) {
                    self.api
                        .write("DELETE", &format!("{list}/{name}"), &json!({}))
                        .expect("the object exists");
                    deleted += 1;
                }
            }
        }
        let bucket = json!({"Bucket": format!("terrace-assets-{}-eu-west-1", self.account.id())});
        let found = self
            .account
            .try_call("s3", "list_objects_v2", bucket.clone())
            .unwrap_or_default();
        for object in found["Contents"].as_array().into_iter().flatten() {
            let mut key = bucket.clone();
            key["Key"] = object["Key"].clone();
            self.account.call("s3", "delete_object", key);
            deleted += 1;
        }
        assert!(deleted > 0, "no state store was found");
    }

    /// Returns the resources that belong to this environment, or those that do not.
    fn inventory(&self, ours: bool) -> Inventory {
        let of_ours = |key: &str| {
            let foreign = key.contains(&self.attic())
                || key.contains("/copied ")
                || key.contains("platform-old")
                || key.contains("orders");
            !foreign
        };
        let cluster = inventory::of_cluster(&self.api, |key| key.contains(&self.name));
        let all = cluster.into_iter().chain(inventory::of_account(&self.account));
        all.filter(|(key, _)| of_ours(key) == ours && !key.contains("terrace-"))
            .collect()
    }

    fn clean_up(&self) {
        for namespace in [self.name.clone(), self.attic()] {
            let _ = self
                .api
                .write("DELETE", &format!("/api/v1/namespaces/{namespace}"), &Json::Null);
        }
    }
}

/// Asserts that losing the state store loses only history.
#[track_caller]
fn only_history_is_lost(in_cluster: bool, in_account: bool) {
    let lost = Lost::applied(in_cluster, in_account);
    lost.strangers();
    let (ours, foreign) = (lost.inventory(true), lost.inventory(false));
    assert!(!ours.is_empty() && !foreign.is_empty());
    lost.lose_the_state_store();

    let _ = lost.run(&["plan", "-e", "live", "--detailed-exitcode"]).expect(0);
    let _ = lost.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert_eq!(lost.inventory(true), ours);
    assert_eq!(lost.inventory(false), foreign);

    // A resource that leaves the stack is deleted although only evidence proves its ownership. Nothing else is deleted.
    lost.lose_the_state_store();
    lost.declare("more:");
    let applied = lost.run(&["apply", "-e", "live", "--yes"]).expect(0);
    assert!(
        !in_cluster || applied.stdout.contains("1 to delete"),
        "{}",
        applied.stdout
    );
    assert_eq!(lost.inventory(false), foreign);
    let _ = lost.run(&["plan", "-e", "live", "--detailed-exitcode"]).expect(0);

    lost.lose_the_state_store();
    let destroy = ["destroy", "-e", "live", "--yes"];
    let of_topic_and_queue = [
        "--approve",
        "platform/alerts/topic",
        "--approve",
        "platform/jobs/queue",
    ];
    let destroyed = lost.run(&[&destroy[..], if in_account { &of_topic_and_queue } else { &[] }].concat());
    // The namespace contains a foreign object without approval.
    assert_eq!(
        destroyed.code,
        if in_cluster { 4 } else { 0 },
        "{}",
        destroyed.stderr
    );
    assert_eq!(lost.inventory(false), foreign);
    lost.clean_up();
}

#[test]
fn losing_the_state_store_of_a_cluster_loses_only_history() {
    only_history_is_lost(true, false);
}

#[test]
fn losing_the_state_store_of_an_account_loses_only_history() {
    only_history_is_lost(false, true);
}

#[test]
fn losing_the_state_store_of_both_loses_only_history() {
    only_history_is_lost(true, true);
}
