//! The servers that tests run against: a Kubernetes cluster and an AWS endpoint, both on 127.0.0.1.
//!
//! `cargo xtask test` starts one of each and passes their addresses in the environment ([`ENVIRONMENT`]). Otherwise,
//! the first test of a program that needs a server starts it. The server ends with that program, even if the program is
//! killed.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::tools;

mod api;
mod cluster;
mod endpoint;

pub use api::Api;
pub use cluster::{Cluster, kubernetes, write_kubeconfig};
pub use endpoint::{Account, Credentials, Endpoint, Fault, aws};

/// The variables with the addresses of running servers: the kubeconfig of an administrator, the kubeconfig of a user
/// without permissions, and the address of the AWS endpoint.
pub const ENVIRONMENT: [&str; 3] = [
    "TERRACE_TEST_KUBECONFIG",
    "TERRACE_TEST_KUBECONFIG_LIMITED",
    "TERRACE_TEST_AWS_ENDPOINT",
];

/// The ports and the directory of one server, reserved for this process as long as the value exists.
#[derive(Debug)]
struct ReservedPorts {
    port: u16,
    state: PathBuf,
    /// Locked until this process ends. The file itself remains.
    _lock: File,
}

impl ReservedPorts {
    /// Reserves the first free slot for a server that uses `ports` ports, starting at port `first`.
    fn take(name: &str, first: u16, ports: u16) -> Result<ReservedPorts, String> {
        let directory = tools::directory().join("run");
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for number in 0..100 {
            let port = first + number * ports;
            let lock = File::create(directory.join(format!("{name}-{port}.lock")))
                .map_err(|error| error.to_string())?;
            if lock.try_lock().is_err() || !(port..port + ports).all(is_free) {
                continue;
            }
            let state = directory.join(format!("{name}-{port}"));
            let _ = fs::remove_dir_all(&state); // left by a server that has ended
            fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
            return Ok(ReservedPorts {
                port,
                state,
                _lock: lock,
            });
        }
        Err(format!("no free port for the {name} server from {first} on"))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The process of a server. Dropping the value asks it to stop. It also stops when this process ends, because it reads
/// its standard input, whose other end is here.
#[derive(Debug)]
struct Server {
    child: Child,
    ports: ReservedPorts,
}

impl Server {
    /// Starts a server and waits until it is ready.
    fn start(
        ports: ReservedPorts,
        command: &mut Command,
        ready: impl Fn(&ReservedPorts) -> bool,
    ) -> Result<Server, String> {
        let log = |name: &str| File::create(ports.state.join(name)).map_err(|error| error.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(log("stdout.log")?)
            .stderr(log("stderr.log")?);
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let mut server = Server { child, ports };
        let deadline = Instant::now() + Duration::from_secs(90);
        while !ready(&server.ports) {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("the server ended ({status}):\n{}", server.words()));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "the server was not ready after 90 seconds:\n{}",
                    server.words()
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn words(&self) -> String {
        let mut words = String::new();
        for name in ["stdout.log", "stderr.log"] {
            let file = File::open(self.ports.state.join(name));
            let _ = file.and_then(|mut file| file.read_to_string(&mut words));
        }
        let start = words.len().saturating_sub(4000);
        words.chars().skip(start).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both servers, for other programs.
#[derive(Debug)]
pub struct Shared {
    cluster: Cluster,
    endpoint: Endpoint,
}

impl Shared {
    /// Starts both servers concurrently.
    pub fn start() -> Result<Shared, String> {
        thread::scope(|scope| {
            let cluster = scope.spawn(Cluster::try_start);
            let endpoint = Endpoint::try_start()?;
            let cluster = cluster
                .join()
                .map_err(|_| "starting the cluster failed".to_owned())??;
            Ok(Shared { cluster, endpoint })
        })
    }

    /// Returns the values of [`ENVIRONMENT`] for programs that use the servers.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.display().to_string();
        let values = [
            shown(self.cluster.kubeconfig()),
            shown(self.cluster.limited_kubeconfig()),
            self.endpoint.url().to_owned(),
        ];
        ENVIRONMENT.into_iter().zip(values).collect()
    }
}
