use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use super::Cluster;
use crate::http;
use crate::tools::Tool;

/// A cluster's own API, spoken to without a client: paths and JSON, as its administrator.
#[derive(Debug)]
pub struct Api {
    url: String,
    /// `kubectl proxy`, which speaks TLS with the cluster for us.
    helper: Child,
}

impl Api {
    /// The API of a cluster.
    ///
    /// # Panics
    ///
    /// When `kubectl proxy` does not start.
    #[track_caller]
    pub fn of(cluster: &Cluster) -> Api {
        let mut command = Command::new(Tool::Kubernetes.path());
        command
            .args(["kubectl", "proxy", "--port=0", "--kubeconfig"])
            .arg(cluster.kubeconfig());
        let mut helper = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("kubectl starts");
        let mut line = String::new();
        let stdout = helper.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("kubectl says where it serves");
        let host = line.trim().rsplit(' ').next().unwrap_or_default();
        Api {
            url: format!("http://{host}"),
            helper,
        }
    }

    /// Where plain HTTP leads to it: an address and a port.
    pub(crate) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What is at a path, in a form that the server knows; `None` where there is nothing.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[track_caller]
    pub fn get(&self, path: &str, accept: &str) -> Option<Json> {
        for _ in 0..30 {
            match self.send("GET", path, &[("Accept", accept)], "") {
                Ok(answer) => return Some(answer),
                Err((404, _)) => return None,
                // A kind that was defined a moment ago: its storage begins.
                Err((429, _)) => thread::sleep(Duration::from_millis(200)),
                Err((status, words)) => panic!("GET {path}: {status}: {words}"),
            }
        }
        panic!("GET {path}: the server is not ready for it")
    }

    /// Writes JSON to a path: the answer, or the status and what the server says.
    pub fn write(&self, method: &str, path: &str, body: &Json) -> Result<Json, (u16, String)> {
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send(method, path, &[("Content-Type", content)], &body.to_string())
    }

    /// Applies an object server-side, with the path's `?fieldManager=`.
    pub fn apply(&self, path: &str, body: &Json) -> Result<Json, (u16, String)> {
        let content = [("Content-Type", "application/apply-patch+yaml")];
        self.send("PATCH", path, &content, &body.to_string())
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Json, (u16, String)> {
        let request = http::Request {
            method,
            path,
            headers,
            body,
        };
        let (status, text) = http::send(&self.url, request).map_err(|error| (0, error))?;
        match serde_json::from_str(&text) {
            Ok(json) if (200..300).contains(&status) => Ok(json),
            _ => Err((status, text)),
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.helper.kill();
        let _ = self.helper.wait();
    }
}
