//! Requests to the API of one cluster. This module knows HTTP and `Status`, but not the purpose of a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use kube::client::Body;
use kube::core::Status;
use terrace_artifact::{Text, Value};
use tokio::sync::Semaphore;

/// The maximum number of concurrent requests. The limits of the API server are per user and much higher. This limit saves memory
/// and connections.
const AT_ONCE: usize = 24;
/// The maximum number of attempts of one request while the server is too busy. They take about four seconds.
const TRIES: u32 = 5;
/// The number of objects in one page of a list.
const PAGE: usize = 2000;
/// The timeout of one response.
const ANSWER: Duration = Duration::from_secs(60);

/// The `Accept` header for complete objects.
pub(crate) const WHOLE: &str = "application/json";
/// The `Accept` header for the metadata of a list's objects only.
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// A client of the API of one cluster.
#[derive(Clone)]
pub(crate) struct Requests {
    client: kube::Client,
    /// The name of the context, for messages.
    pub(crate) context: Text,
    /// The URL of the server, for messages.
    pub(crate) server: Text,
    slots: Arc<Semaphore>,
}

/// The reason why a request failed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server answered with an error.
    Status(Box<Status>),
    /// The server did not answer.
    Silence(String),
    /// The answer could not be parsed.
    Unreadable(String),
}

/// An answer, with the warnings of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The object.
    pub(crate) value: Value,
    /// The texts of the `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// The options of a server-side apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apply<'a> {
    /// The field manager.
    pub(crate) manager: &'a str,
    /// Whether the server only computes the result and does not store it.
    pub(crate) dry_run: bool,
    /// Whether the apply takes over fields of other managers.
    pub(crate) force: bool,
}

impl Requests {
    /// Creates a client of the API. `context` and `server` are for messages.
    pub(crate) fn new(client: kube::Client, context: Text, server: Text) -> Requests {
        Requests {
            client,
            context,
            server,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Reads one object. Returns nothing if it does not exist.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, Refusal> {
        match self.send(Method::GET, path, WHOLE, None).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(Refusal::Status(status)) if status.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Reads a resource that is not an object, with the `Accept` header `accept`.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Value, Refusal> {
        Ok(self.send(Method::GET, path, accept, None).await?.value)
    }

    /// Reads all items of a list, page by page. `query` contains encoded selectors. `accept` is [`WHOLE`] or [`METADATA`].
    ///
    /// The items have no `apiVersion` and `kind`.
    pub(crate) async fn list(&self, path: &str, query: &str, accept: &str) -> Result<Vec<Value>, Refusal> {
        let (mut items, mut restarted) = (Vec::new(), false);
        let mut from = String::new();
        loop {
            let url = format!("{path}?limit={PAGE}{query}{from}");
            let mut page = match self.send(Method::GET, &url, accept, None).await {
                // The token of the next page has expired: the list starts again, once.
                Err(Refusal::Status(status)) if status.code == 410 && !restarted => {
                    (restarted, from) = (true, String::new());
                    items.clear();
                    continue;
                }
                page => page?.value,
            };
            let next = page
                .at(&["metadata", "continue"])
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            if let Some(Value::List(list)) = page.as_map_mut().and_then(|page| page.remove("items")) {
                items.extend(list);
            }
            if next.is_empty() {
                return Ok(items);
            }
            from = format!("&continue={}", encode(&next));
        }
    }

    /// Applies a manifest.
    pub(crate) async fn apply(
        &self,
        path: &str,
        manifest: &Value,
        apply: Apply<'_>,
    ) -> Result<Answer, Refusal> {
        let dry_run = if apply.dry_run { "&dryRun=All" } else { "" };
        let url = format!(
            "{path}?fieldManager={}&fieldValidation=Strict&force={}{dry_run}",
            encode(apply.manager),
            apply.force
        );
        let body = terrace_artifact::to_json_compact(manifest).into_bytes();
        self.send(
            Method::PATCH,
            &url,
            WHOLE,
            Some(("application/apply-patch+yaml", body)),
        )
        .await
    }

    /// Creates an object that must not exist yet.
    pub(crate) async fn create(&self, path: &str, object: &Value, manager: &str) -> Result<Value, Refusal> {
        let url = format!("{path}?fieldManager={}", encode(manager));
        let body = terrace_artifact::to_json_compact(object).into_bytes();
        Ok(self
            .send(Method::POST, &url, WHOLE, Some(("application/json", body)))
            .await?
            .value)
    }

    /// Replaces an object whose `resourceVersion` is still the one in `object`.
    pub(crate) async fn replace(&self, path: &str, object: &Value, manager: &str) -> Result<Value, Refusal> {
        let url = format!("{path}?fieldManager={}", encode(manager));
        let body = terrace_artifact::to_json_compact(object).into_bytes();
        Ok(self
            .send(Method::PUT, &url, WHOLE, Some(("application/json", body)))
            .await?
            .value)
    }

    /// Merges a patch into an object whose uid and `resourceVersion` are still those in the patch.
    pub(crate) async fn merge(&self, path: &str, patch: &Value, manager: &str) -> Result<Value, Refusal> {
        let url = format!("{path}?fieldManager={}", encode(manager));
        let body = terrace_artifact::to_json_compact(patch).into_bytes();
        let content = Some(("application/merge-patch+json", body));
        Ok(self.send(Method::PATCH, &url, WHOLE, content).await?.value)
    }

    /// Starts to delete an object. `options` are `DeleteOptions`, whose preconditions identify the object.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, Refusal> {
        let body = terrace_artifact::to_json_compact(options).into_bytes();
        Ok(self
            .send(Method::DELETE, path, WHOLE, Some(("application/json", body)))
            .await?
            .value)
    }

    /// Sends a request, and repeats it while the server is too busy. Every request may be sent twice: an apply is idempotent, a
    /// delete names a uid, and a second create fails, after which the caller reads the existing object.
    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Answer, Refusal> {
        let _slot = self.slots.acquire().await;
        let mut pause = Duration::from_millis(120);
        for attempt in 1.. {
            let refusal = match self.send_once(&method, path, accept, body.as_ref()).await {
                Err(Refusal::Status(status)) if attempt < TRIES && matches!(status.code, 429 | 503 | 504) => {
                    let wish = status
                        .details
                        .as_ref()
                        .map_or(0, |details| details.retry_after_seconds);
                    pause = pause.max(Duration::from_secs(u64::from(wish.min(2))));
                    Refusal::Status(status)
                }
                answer => return answer,
            };
            drop(refusal);
            tokio::time::sleep(pause + jitter(pause)).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        Err(Refusal::Silence("no response".to_owned()))
    }

    /// Sends a request once.
    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        accept: &str,
        body: Option<&(&str, Vec<u8>)>,
    ) -> Result<Answer, Refusal> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, accept);
        if let Some((content_type, _)) = body {
            request = request.header(http::header::CONTENT_TYPE, *content_type);
        }
        let bytes = body.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let request = request
            .body(Body::from(bytes))
            .map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let exchange = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            let warnings = warnings(response.headers());
            let bytes = response.into_body().collect_bytes().await?;
            Ok::<_, kube::Error>((status, warnings, bytes))
        };
        let (status, warnings, bytes) = match tokio::time::timeout(ANSWER, exchange).await {
            Ok(Ok(parts)) => parts,
            Ok(Err(error)) => return Err(Refusal::Silence(cause(&error))),
            Err(_) => {
                return Err(Refusal::Silence(format!(
                    "no response within {} seconds",
                    ANSWER.as_secs()
                )));
            }
        };
        if status.is_success() {
            let value =
                serde_json::from_slice(&bytes).map_err(|error| Refusal::Unreadable(error.to_string()))?;
            return Ok(Answer { value, warnings });
        }
        let parsed = serde_json::from_slice::<Status>(&bytes)
            .ok()
            .filter(|status| !status.message.is_empty());
        let mut failure = parsed.unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&bytes);
            Status::failure(text.trim(), "")
        });
        failure.code = status.as_u16();
        Err(Refusal::Status(failure.boxed()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status(status) => f.write_str(&status.message),
            Refusal::Silence(reason) | Refusal::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// Percent-encodes a string for a path or a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Returns the message of the innermost cause. The outer causes contain only "service error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns the texts of the `Warning` headers.
fn warnings(headers: &http::HeaderMap) -> Vec<String> {
    headers
        .get_all(http::header::WARNING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        // `299 - "the text"`
        .filter_map(|value| {
            Some(
                value
                    .split_once('"')?
                    .1
                    .trim_end_matches('"')
                    .replace("\\\"", "\""),
            )
        })
        .collect()
}

/// Returns a random addition of up to half of a pause, so that many clients do not retry at the same time.
fn jitter(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
