use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{ENVIRONMENT, ReservedPorts, Server};
use crate::http;
use crate::tools::{self, Tool};

/// An AWS endpoint whose CloudFormation behaves as AWS documents it: `tests/aws`.
#[derive(Debug)]
pub struct Endpoint {
    url: String,
    /// Absent if another process started the endpoint.
    _server: Option<Server>,
}

/// Returns the endpoint that all tests share. Accounts are isolated: each test uses its own account from
/// [`Endpoint::account`]. Names of buckets are global, as on AWS.
///
/// # Panics
///
/// If there is no endpoint and none can be started.
#[track_caller]
pub fn aws() -> &'static Endpoint {
    static ENDPOINT: OnceLock<Endpoint> = OnceLock::new();
    ENDPOINT.get_or_init(|| match env::var(ENVIRONMENT[2]) {
        Ok(url) => Endpoint { url, _server: None },
        Err(_) => Endpoint::start(),
    })
}

/// Operations on resources that must fail. Names are patterns with `*`.
#[derive(Clone, Debug, Default)]
pub struct Fault<'a> {
    /// `create` (including replacements), `update`, `delete`, or `revert` (an update during a rollback).
    pub operation: &'a str,
    /// The type of the resource; all types if empty.
    pub resource_type: &'a str,
    /// The logical id; all ids if empty.
    pub logical_id: &'a str,
    /// The name of the CloudFormation stack; all stacks if empty.
    pub stack: &'a str,
    /// The reason that CloudFormation reports.
    pub reason: &'a str,
    /// The number of failures; unlimited if 0.
    pub times: u32,
}

impl Endpoint {
    /// Starts a separate endpoint for the caller. The start takes about two seconds. The endpoint ends when the value
    /// is dropped.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    #[track_caller]
    pub fn start() -> Endpoint {
        let _ = Tool::Python.path();
        Endpoint::try_start().unwrap_or_else(|error| panic!("the aws endpoint did not start: {error}"))
    }

    /// Starts an endpoint that checks signatures and permissions. An access key that equals the id of an account
    /// belongs to its root user, who has all permissions.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    #[track_caller]
    pub fn start_checking_rights() -> Endpoint {
        let _ = Tool::Python.path();
        Endpoint::try_start_with(&[("AUTH", "true")])
            .unwrap_or_else(|error| panic!("the aws endpoint did not start: {error}"))
    }

    pub(super) fn try_start() -> Result<Endpoint, String> {
        Endpoint::try_start_with(&[])
    }

    fn try_start_with(variables: &[(&str, &str)]) -> Result<Endpoint, String> {
        let ports = ReservedPorts::take("aws", 4600, 1)?;
        let url = format!("http://127.0.0.1:{}", ports.port);
        let mut command = python();
        command.envs(variables.iter().copied());
        command.args([
            "-m",
            "endpoint",
            "--until-input-ends",
            "--port",
            &ports.port.to_string(),
            "--state",
        ]);
        command.arg(&ports.state);
        let health = url.clone();
        let server = Server::start(ports, &mut command, |_| {
            request(&health, "GET", "/_ministack/health", "").is_ok()
        })?;
        Ok(Endpoint {
            url,
            _server: Some(server),
        })
    }

    /// Returns the URL, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns an account in `eu-west-1` that no other caller uses.
    pub fn account(&self) -> Account<'_> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let process = u64::from(std::process::id()) % 10_000_000;
        let number = process * 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        self.account_named(&format!("{:012}", 200_000_000_000 + number))
    }

    /// Returns the account with this id, which is shared with all callers that name it.
    pub fn account_named(&self, id: &str) -> Account<'_> {
        Account {
            endpoint: self,
            id: id.to_owned(),
            region: "eu-west-1".to_owned(),
            credentials: None,
        }
    }

    /// Empties every account. Only for a separate endpoint.
    ///
    /// # Panics
    ///
    /// If the endpoint does not answer.
    #[track_caller]
    pub fn reset(&self) {
        self.control("POST", "/_ministack/reset", "");
    }

    #[track_caller]
    fn control(&self, method: &str, path: &str, body: &str) {
        if let Err(error) = request(&self.url, method, path, body) {
            panic!("{method} {path}: {error}");
        }
    }
}

/// An account of an [`Endpoint`], in a region.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    endpoint: &'a Endpoint,
    id: String,
    region: String,
    /// The credentials of the caller; absent for the root user.
    credentials: Option<Credentials>,
}

/// The credentials of a principal from IAM or STS.
#[derive(Clone, Debug)]
pub struct Credentials {
    key: String,
    secret: String,
    token: Option<String>,
}

impl Credentials {
    /// Parses `{"AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …}`. Users have no token.
    ///
    /// # Panics
    ///
    /// If a key is missing.
    #[track_caller]
    pub fn of(answer: &Json) -> Credentials {
        let text = |key: &str| answer[key].as_str().map(str::to_owned);
        Credentials {
            key: text("AccessKeyId").expect("an access key"),
            secret: text("SecretAccessKey").expect("a secret key"),
            token: text("SessionToken"),
        }
    }
}

impl Account<'_> {
    /// Returns the id of 12 digits, which is also the access key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the region of the calls.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns the same account in another region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// Returns the same account with the credentials of another principal.
    #[must_use]
    pub fn acting_as(&self, credentials: Credentials) -> Self {
        Account {
            credentials: Some(credentials),
            ..self.clone()
        }
    }

    /// Returns the environment variables that AWS clients read.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (key, secret, token) = self.keys();
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", self.endpoint.url.clone()),
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", self.region.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        variables.extend(token.map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }

    /// Returns the access key, the secret, and the token of a session.
    fn keys(&self) -> (String, String, Option<String>) {
        match &self.credentials {
            Some(Credentials { key, secret, token }) => (key.clone(), secret.clone(), token.clone()),
            None => (self.id.clone(), "test".to_owned(), None),
        }
    }

    /// Calls an operation with boto3: `account.call("s3", "get_bucket_tagging", json!({"Bucket": name}))`.
    ///
    /// # Panics
    ///
    /// If the call fails.
    #[track_caller]
    pub fn call(&self, service: &str, operation: &str, parameters: Json) -> Json {
        match self.try_call(service, operation, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{service} {operation}: {error}"),
        }
    }

    /// Calls an operation. The error contains the code and the message of the answer.
    ///
    /// # Panics
    ///
    /// If the client cannot run.
    #[track_caller]
    pub fn try_call(&self, service: &str, operation: &str, parameters: Json) -> Result<Json, String> {
        static CLIENT: Mutex<Option<Client>> = Mutex::new(None);
        let (key, secret, token) = self.keys();
        let question = json!({
            "endpoint": self.endpoint.url, "account": key, "secret": secret, "token": token, "region": self.region,
            "service": service, "operation": operation, "parameters": parameters,
        });
        let mut client = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = client.get_or_insert_with(Client::start).ask(&question);
        match answer.get("error").and_then(Json::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["answer"].clone()),
        }
    }

    /// Lists all items of the account, in every service and region, by store, region and name. The objects of a bucket
    /// are separate items.
    ///
    /// # Panics
    ///
    /// If the endpoint does not answer.
    #[track_caller]
    pub fn items(&self) -> BTreeMap<String, String> {
        let path = format!("/_endpoint/inventory/{}", self.id);
        let found = request(&self.endpoint.url, "GET", &path, "")
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        found.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Makes operations on this account's resources fail.
    #[track_caller]
    pub fn fail(&self, fault: &Fault<'_>) {
        let mut body = json!({"account": self.id, "op": fault.operation, "reason": fault.reason});
        for (key, pattern) in [
            ("type", fault.resource_type),
            ("logical", fault.logical_id),
            ("stack", fault.stack),
        ] {
            if !pattern.is_empty() {
                body[key] = pattern.into();
            }
        }
        if fault.times > 0 {
            body["times"] = fault.times.into();
        }
        self.endpoint
            .control("POST", "/_endpoint/faults", &body.to_string());
    }

    /// Delays each operation on a resource of this account, so that tests can observe `*_IN_PROGRESS`.
    #[track_caller]
    pub fn delay(&self, time: Duration) {
        let body = json!({"account": self.id, "seconds": time.as_secs_f64()});
        self.endpoint
            .control("POST", "/_endpoint/delay", &body.to_string());
    }
}

/// The process of `tests/aws/client.py`, which runs as long as this process.
#[derive(Debug)]
struct Client {
    _child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn start() -> Client {
        let mut command = python();
        let mut child = command
            .args(["-m", "client"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let questions = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Client {
            _child: child,
            questions,
            answers,
        }
    }

    fn ask(&mut self, question: &Json) -> Json {
        writeln!(self.questions, "{question}").expect("the client reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the client answers");
        serde_json::from_str(&line).expect("the client answers in JSON")
    }
}

fn python() -> Command {
    let mut command = Command::new(Tool::Python.path());
    command
        .current_dir(tools::root().join("tests/aws"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Sends a request to one of the endpoint's own paths.
fn request(url: &str, method: &str, path: &str, body: &str) -> Result<String, String> {
    let request = http::Request {
        method,
        path,
        headers: &[],
        body,
    };
    match http::send(url, request)? {
        (200, text) => Ok(text),
        (status, text) => Err(format!("{status}: {text}")),
    }
}
