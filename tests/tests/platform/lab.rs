//! Stack directories that deploy queues and ConfigMaps, for tests about origins and places.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value as Json, json};
use terrace_tests::servers::{self, Account, Cluster};
use terrace_tests::{Run, Scratch, Terrace};

/// A stack's directory, with access to the shared cluster and to an account.
pub(crate) struct Lab {
    pub(crate) stack: Scratch,
    pub(crate) platform: String,
    pub(crate) account: Account<'static>,
    kubeconfig: PathBuf,
}

impl Lab {
    /// Creates a stack with its own platform and its own account. Nothing is deployed.
    pub(crate) fn new() -> Lab {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let platform = format!("lab-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Lab::named(platform, servers::aws().account())
    }

    fn named(platform: String, account: Account<'static>) -> Lab {
        let stack = Scratch::new("lab");
        let kubeconfig = stack.path().join("kubeconfig");
        servers::write_kubeconfig(&kubeconfig, &[("here", servers::kubernetes())]);
        let lab = Lab {
            stack,
            platform,
            account,
            kubeconfig,
        };
        lab.platform_named(&lab.platform);
        lab.places(&lab.aws());
        lab
    }

    /// Creates another directory with the same names and the same places.
    pub(crate) fn another(&self) -> Lab {
        let other = Lab::named(self.platform.clone(), self.account.clone());
        other
            .stack
            .write("environment.yaml", &self.stack.read("environment.yaml"));
        other
    }

    pub(crate) fn platform_named(&self, name: &str) {
        let text = format!("{{kind: Platform, name: {name}, owner: data@lab.example}}\n");
        self.stack.write("platform.yaml", &text);
    }

    /// Writes the environment with these places.
    pub(crate) fn places(&self, places: &str) {
        let text = format!("kind: Environment\nname: dev\nclass: development\n{places}\n");
        self.stack.write("environment.yaml", &text);
    }

    /// Returns the account in `eu-west-1`, as an environment names it.
    pub(crate) fn aws(&self) -> String {
        self.aws_in("eu-west-1")
    }

    pub(crate) fn aws_in(&self, region: &str) -> String {
        format!("aws: {{account: \"{}\", region: {region}}}", self.account.id())
    }

    /// Writes queues, one component each.
    pub(crate) fn queues(&self, components: &[&str]) {
        let text = components.iter().map(|name| queue(name, "")).collect::<Vec<_>>();
        self.stack.write("components.yaml", &text.join("---\n"));
    }

    /// Writes a queue, and a ConfigMap in its own namespace.
    pub(crate) fn queue_and_object(&self) {
        let text = format!("{}---\n{}", queue("lake", ""), self.object());
        self.stack.write("components.yaml", &text);
    }

    /// Returns a component with a namespace and a ConfigMap.
    pub(crate) fn object(&self) -> String {
        let namespace = self.namespace();
        format!(
            "kind: Component\nname: notes\nresources:\n  \
             place: {{type: v1/Namespace, metadata: {{name: {namespace}}}}}\n  \
             text: {{type: v1/ConfigMap, metadata: {{namespace: {namespace}}}, data: {{text: one}}}}\n"
        )
    }

    pub(crate) fn namespace(&self) -> String {
        format!("{}-notes", self.platform)
    }

    /// Makes the directory a repository, like a clone of `remote`.
    pub(crate) fn clone_of(&self, remote: &str) {
        for directory in ["objects", "refs"] {
            fs::create_dir_all(self.stack.path().join(".git").join(directory)).expect("a directory");
        }
        self.stack.write(".git/HEAD", "ref: refs/heads/main\n");
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = {remote}\n"
        );
        self.stack.write(".git/config", &config);
    }

    pub(crate) fn terrace(&self) -> Terrace {
        Terrace::in_directory(self.stack.path())
            .kubeconfig(&self.kubeconfig)
            .account(&self.account)
    }

    /// Makes the context `here` select another cluster.
    pub(crate) fn context_leads_to(&self, cluster: &Cluster) {
        servers::write_kubeconfig(&self.kubeconfig, &[("here", cluster)]);
    }

    pub(crate) fn contexts(&self, contexts: &[(&str, &Cluster)]) {
        servers::write_kubeconfig(&self.kubeconfig, contexts);
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> Run {
        self.terrace().run(arguments).expect(code)
    }

    #[track_caller]
    pub(crate) fn plan(&self, code: i32) -> Run {
        self.run(&["plan", "-e", "dev", "--detailed-exitcode"], code)
    }

    #[track_caller]
    pub(crate) fn apply(&self, code: i32) -> Run {
        self.run(&["apply", "-e", "dev", "--yes"], code)
    }

    #[track_caller]
    pub(crate) fn destroy(&self, code: i32) -> Run {
        self.run(&["destroy", "-e", "dev", "--yes"], code)
    }

    /// Bootstraps the account and applies.
    #[track_caller]
    pub(crate) fn applied(self) -> Lab {
        self.bootstrap();
        let _ = self.apply(0);
        self
    }

    #[track_caller]
    pub(crate) fn bootstrap(&self) {
        let _ = self.run(&["bootstrap", "-e", "dev"], 0);
    }

    /// Returns the names of all CloudFormation stacks in the region, with their ids. A replaced stack has a different
    /// id.
    pub(crate) fn stacks(&self) -> Vec<(String, String)> {
        stacks(&self.account)
    }

    pub(crate) fn lock(&self) -> Option<String> {
        self.stack
            .path()
            .join("terrace.lock")
            .exists()
            .then(|| self.stack.read("terrace.lock"))
    }

    /// Returns the environment's claim in the bootstrap bucket.
    pub(crate) fn claim(&self) -> Option<Json> {
        claim(&self.account, &self.platform)
    }

    pub(crate) fn delete_lock(&self) {
        let _ = fs::remove_file(self.stack.path().join("terrace.lock"));
    }
}

/// Returns a component with a queue; `more` contains further lines of the component.
pub(crate) fn queue(name: &str, more: &str) -> String {
    format!(
        "kind: Component\nname: {name}\n{more}resources: {{queue: {{type: \"AWS::SQS::Queue\", holds_data: false, \
         properties: {{QueueName: \"{{{{ name }}}}\"}}}}}}\n"
    )
}

pub(crate) fn stacks(account: &Account<'_>) -> Vec<(String, String)> {
    let all = account.call("cloudformation", "describe_stacks", json!({}));
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let stacks = all["Stacks"].as_array().into_iter().flatten();
    let mut stacks: Vec<_> = stacks
        .map(|stack| (text(&stack["StackName"]), text(&stack["StackId"])))
        .collect();
    stacks.sort();
    stacks
}

pub(crate) fn claim(account: &Account<'_>, platform: &str) -> Option<Json> {
    let bucket = format!("terrace-assets-{}-{}", account.id(), account.region());
    let key = format!("environments/{platform}.dev/claim.json");
    let found = account
        .try_call("s3", "get_object", json!({"Bucket": bucket, "Key": key}))
        .ok()?;
    serde_json::from_str(found["Body"].as_str()?).ok()
}

/// Asserts that a text contains all of these.
#[track_caller]
pub(crate) fn assert_contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }
}

/// Copies a directory, like `cp -r`.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = process::Command::new("cp")
        .arg("-r")
        .arg(from.join("."))
        .arg(to)
        .status();
    assert!(status.expect("cp runs").success());
}
