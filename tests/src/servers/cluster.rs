use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::{env, fs, thread};

use serde_json::Value as Json;

use super::{ENVIRONMENT, ReservedPorts, Server};
use crate::tools::Tool;

/// A Kubernetes cluster: the real API server, controllers and scheduler, with simulated nodes.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    limited_kubeconfig: PathBuf,
    /// Absent if another process started the cluster.
    _server: Option<Server>,
}

/// Returns the cluster that all tests share. Tests use different namespaces and names; cluster-scoped objects contain
/// the name of the test.
///
/// # Panics
///
/// If there is no cluster and none can be started.
#[track_caller]
pub fn kubernetes() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| match (env::var(ENVIRONMENT[0]), env::var(ENVIRONMENT[1])) {
        (Ok(admin), Ok(limited)) => Cluster {
            kubeconfig: admin.into(),
            limited_kubeconfig: limited.into(),
            _server: None,
        },
        _ => Cluster::start(),
    })
}

impl Cluster {
    /// Starts a separate cluster for the caller. The start takes four seconds. The cluster ends when the value is
    /// dropped.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    #[track_caller]
    pub fn start() -> Cluster {
        let _ = Tool::Kubernetes.path();
        Cluster::try_start().unwrap_or_else(|error| panic!("the kubernetes cluster did not start: {error}"))
    }

    pub(super) fn try_start() -> Result<Cluster, String> {
        let ports = ReservedPorts::take("kubernetes", 7400, 6)?;
        let (kubeconfig, limited_kubeconfig) = (
            ports.state.join("admin.kubeconfig"),
            ports.state.join("limited.kubeconfig"),
        );
        let mut command = Command::new(Tool::Kubernetes.path());
        command
            .args([
                "up",
                "--until-input-ends",
                "--port",
                &ports.port.to_string(),
                "--state",
            ])
            .arg(&ports.state);
        let ready = |ports: &ReservedPorts| {
            fs::read_to_string(ports.state.join("stdout.log")).is_ok_and(|words| words.starts_with("ready "))
        };
        let server = Server::start(ports, &mut command, ready)?;
        Ok(Cluster {
            kubeconfig,
            limited_kubeconfig,
            _server: Some(server),
        })
    }

    /// Returns the kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the kubeconfig of the user `limited`, who has no permissions unless a test grants them.
    pub fn limited_kubeconfig(&self) -> &Path {
        &self.limited_kubeconfig
    }

    /// Runs `kubectl` as administrator.
    ///
    /// # Panics
    ///
    /// If it fails. The message contains its output.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.run_kubectl(arguments, "");
        assert!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Returns the JSON output of `kubectl get` for one object or several; `None` if the object does not exist.
    ///
    /// # Panics
    ///
    /// If it fails for another reason.
    #[track_caller]
    pub fn get(&self, arguments: &[&str]) -> Option<Json> {
        let output = self.run_kubectl(&[&["get", "--output=json"], arguments].concat(), "");
        let words = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && words.contains("(NotFound)") {
            return None;
        }
        assert!(
            output.status.success(),
            "kubectl get {}: {words}",
            arguments.join(" ")
        );
        Some(serde_json::from_slice(&output.stdout).expect("kubectl prints JSON"))
    }

    /// Applies objects (YAML or JSON) server-side, as a field manager other than Terrace.
    ///
    /// # Panics
    ///
    /// If the server rejects them.
    #[track_caller]
    pub fn apply(&self, objects: &str) {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=other-manager",
            "--filename=-",
        ];
        let output = self.run_kubectl(&arguments, objects);
        assert!(
            output.status.success(),
            "kubectl apply: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs `kubectl` as administrator with an input. It may fail.
    pub fn run_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(Tool::Kubernetes.path());
        command
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        thread::scope(|scope| {
            // Writes concurrently, because kubectl prints before it has read everything. It may end without reading its
            // input.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            child.wait_with_output().expect("kubectl ends")
        })
    }
}

/// Writes a kubeconfig whose contexts select test clusters, under names such as `acme-staging` and `acme-production`.
/// The first context is the current one.
///
/// # Panics
///
/// If the kubeconfig of a cluster cannot be read.
pub fn write_kubeconfig(path: &Path, contexts: &[(&str, &Cluster)]) {
    let mut text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {:?}\n",
        contexts.first().map_or("", |(name, _)| name)
    );
    let (mut clusters, mut users, mut named) = (String::new(), String::new(), String::new());
    for (name, cluster) in contexts {
        let own = fs::read_to_string(cluster.kubeconfig()).expect("the cluster's kubeconfig");
        // The kubeconfig of a test cluster has one line for each list: `clusters: [{name: local, cluster: {…}}]`.
        let entry = |key: &str| {
            let line = own
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .expect("a key of the kubeconfig");
            let start = line[1..].find('{').expect("the entry") + 1;
            let inner = line[start + 1..].find('{').expect("the entry's own") + start + 1;
            line[inner..]
                .trim_end_matches(']')
                .strip_suffix('}')
                .expect("the entry's end")
                .to_owned()
        };
        let _ = writeln!(clusters, "- {{name: {name:?}, cluster: {}}}", entry("clusters:"));
        let _ = writeln!(users, "- {{name: {name:?}, user: {}}}", entry("users:"));
        let _ = writeln!(
            named,
            "- {{name: {name:?}, context: {{cluster: {name:?}, user: {name:?}}}}}"
        );
    }
    let _ = write!(text, "clusters:\n{clusters}users:\n{users}contexts:\n{named}");
    fs::write(path, text).expect("the kubeconfig can be written");
}
