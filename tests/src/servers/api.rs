use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use super::Cluster;
use crate::http;
use crate::tools::Tool;

/// The API of a cluster, for requests with paths and JSON as its administrator.
#[derive(Debug)]
pub struct Api {
    url: String,
    /// `kubectl proxy`, which provides plain HTTP.
    helper: Child,
}

impl Api {
    /// Connects to the API of a cluster.
    ///
    /// # Panics
    ///
    /// If `kubectl proxy` does not start.
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
            .expect("kubectl prints its address");
        let host = line.trim().rsplit(' ').next().unwrap_or_default();
        Api {
            url: format!("http://{host}"),
            helper,
        }
    }

    /// Returns the address and the port of plain HTTP.
    pub(crate) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Reads a path in a format that the server supports; `None` if it does not exist.
    ///
    /// # Panics
    ///
    /// If the server refuses the request.
    #[track_caller]
    pub fn get(&self, path: &str, accept: &str) -> Option<Json> {
        for _ in 0..30 {
            match self.send("GET", path, &[("Accept", accept)], "") {
                Ok(answer) => return Some(answer),
                Err((404, _)) => return None,
                // The storage of a new CRD is not ready yet.
                Err((429, _)) => thread::sleep(Duration::from_millis(200)),
                Err((status, words)) => panic!("GET {path}: {status}: {words}"),
            }
        }
        panic!("GET {path}: the storage is not ready")
    }

    /// Writes JSON to a path. The error contains the status and the body of the answer.
    pub fn write(&self, method: &str, path: &str, body: &Json) -> Result<Json, (u16, String)> {
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.send(method, path, &[("Content-Type", content)], &body.to_string())
    }

    /// Applies an object server-side. The path contains `?fieldManager=`.
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
