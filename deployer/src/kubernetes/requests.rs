//! Requests to one cluster's API, and what comes back. Knows HTTP and `Status`; nothing of what we want there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use kube::client::Body;
use kube::core::Status;
use terrace_artifact::{Text, Value};
use tokio::sync::Semaphore;

/// Requests in flight at once. The API server's own limits are per user and far above; this keeps memory and
/// connections small.
const AT_ONCE: usize = 24;
/// Tries of one request that meets a server too busy to answer, within about four seconds.
const TRIES: u32 = 5;
/// Objects in one page of a list.
const PAGE: usize = 2000;
/// A single answer may take this long; watches are not used.
const ANSWER: Duration = Duration::from_secs(60);

/// Asks for whole objects.
pub(crate) const WHOLE: &str = "application/json";
/// Asks for the metadata of a list's objects only.
pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// One cluster's API.
#[derive(Clone)]
pub(crate) struct Requests {
    client: kube::Client,
    /// The name of the context, for messages.
    pub(crate) context: Text,
    /// The URL of the server, for messages.
    pub(crate) server: Text,
    slots: Arc<Semaphore>,
}

/// Why a request gave nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server answered with an error.
    Status(Box<Status>),
    /// There was no answer.
    Silence(String),
    /// The answer could not be read.
    Unreadable(String),
}

/// An answer, and what the server warned about beside it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The object.
    pub(crate) value: Value,
    /// Texts of `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// How a server-side apply is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apply<'a> {
    /// The field manager.
    pub(crate) manager: &'a str,
    /// Whether only to say what would come out.
    pub(crate) dry_run: bool,
    /// Whether fields of other managers are taken over.
    pub(crate) force: bool,
}

impl Requests {
    /// Requests through a client.
    pub(crate) fn new(client: kube::Client, context: Text, server: Text) -> Requests {
        Requests {
            client,
            context,
            server,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Reads one object, or nothing where there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, Refusal> {
        match self.send(Method::GET, path, WHOLE, None).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(Refusal::Status(status)) if status.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Reads something that is not an object, in a form of the caller's choice.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Value, Refusal> {
        Ok(self.send(Method::GET, path, accept, None).await?.value)
    }

    /// All items of a list, page by page. `query` holds selectors, already encoded; `accept` says how much of each.
    ///
    /// Items do not say what they are; the caller knows.
    pub(crate) async fn list(&self, path: &str, query: &str, accept: &str) -> Result<Vec<Value>, Refusal> {
        let (mut items, mut restarted) = (Vec::new(), false);
        let mut from = String::new();
        loop {
            let url = format!("{path}?limit={PAGE}{query}{from}");
            let mut page = match self.send(Method::GET, &url, accept, None).await {
                // What the next page was to continue is forgotten: all over again, once.
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

    /// Begins to delete an object, if it still is the one that is meant.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, Refusal> {
        let body = terrace_artifact::to_json_compact(options).into_bytes();
        Ok(self
            .send(Method::DELETE, path, WHOLE, Some(("application/json", body)))
            .await?
            .value)
    }

    /// Sends until there is an answer that is not "too busy". Every request of ours may be sent twice: an apply says
    /// the same again, a delete names a uid, a create fails the second time and is then looked at.
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
        Err(Refusal::Silence("no answer".to_owned()))
    }

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
                    "no answer in {} seconds",
                    ANSWER.as_secs()
                )));
            }
        };
        if status.is_success() {
            let value =
                serde_json::from_slice(&bytes).map_err(|error| Refusal::Unreadable(error.to_string()))?;
            return Ok(Answer { value, warnings });
        }
        let told = serde_json::from_slice::<Status>(&bytes)
            .ok()
            .filter(|status| !status.message.is_empty());
        let mut told = told.unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&bytes);
            Status::failure(text.trim(), "")
        });
        told.code = status.as_u16();
        Err(Refusal::Status(told.boxed()))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status(status) => f.write_str(&status.message),
            Refusal::Silence(words) | Refusal::Unreadable(words) => f.write_str(words),
        }
    }
}

/// A text as a part of a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// The innermost cause: the outer ones say "service error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

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

/// Up to half as much again, so that many clients do not come back at once.
fn jitter(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    pause.mul_f64(f64::from(nanos % 1000) / 2000.0)
}
