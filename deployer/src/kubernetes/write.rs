//! Writing, deleting, and looking once at what came of it.

use std::time::Duration;

use terrace_artifact::{Artifact, ArtifactId, Map, Value};

use super::Kubernetes;
use super::kinds::{Kinds, Served};
use super::live::{is_being_deleted, metadata};
use super::preview::{about, object_of, pinned, stored_form};
use super::requests::{Apply, Refusal};
use super::settle::{Verdict, departure, verdict};
use super::words::{About, by_hand, is_missing_right};
use crate::backend::{Live, Look, Ownership, Ticket, Write};
use crate::failure::{Failure, FailureKind};
use crate::plan::Action;

/// A server lists a new kind a moment after it accepted its definition.
const NEW_KIND: Duration = Duration::from_secs(15);
/// How often a delete is sent again because a controller wrote a status in between.
const DELETES: usize = 8;

impl Kubernetes {
    pub(super) async fn write_one(&self, write: Write<'_>) -> Result<Ticket, Failure> {
        let object = object_of(write.artifact)?;
        let about_it = |failure: Failure| failure.about(Some(&object.address), Some(&object.origin));
        let filled = write.values.fill(object);
        if let Some((_, shown)) = filled.later.first() {
            let message = format!(
                "`{shown}` is not known when it is needed; this is a mistake of ours, please report it"
            );
            return Err(about_it(Failure::new(FailureKind::Broken, message)));
        }
        let live = (write.action != Action::Create).then_some(write.live).flatten();
        let manifest = pinned(&stored_form(filled.manifest), live);
        let apply = Apply {
            manager: &self.whose.manager,
            dry_run: false,
            force: write.take_over,
        };
        let given_up = tokio::time::Instant::now() + NEW_KIND;
        loop {
            let kinds = self.kinds().await?;
            let known = kinds.get(&object.api_version, &object.kind);
            let refused = match known {
                Some(served) => {
                    let path = served.path(object.namespace.as_deref(), &object.name);
                    let mut answer = self.requests.apply(&path, &manifest, apply).await;
                    if let (Err(refusal), Some(live)) = (&answer, live)
                        && write.action == Action::Update
                        && by_hand(refusal, &live.value).is_some()
                    {
                        answer = self
                            .requests
                            .apply(&path, &manifest, Apply { force: true, ..apply })
                            .await;
                    }
                    match answer {
                        Ok(answer) => return Ok(ticket(&path, answer.value, &manifest)),
                        // A path that is not there yet: the definition has only just been accepted.
                        Err(Refusal::Status(status)) if is_missing_path(&status) => Refusal::Status(status),
                        Err(refusal) => {
                            let failure = self.requests.failure(refusal, about("patch", served, object));
                            return Err(about_it(failure));
                        }
                    }
                }
                None => Refusal::Unreadable(format!("no kind `{}` at `{}`", object.kind, object.api_version)),
            };
            if tokio::time::Instant::now() > given_up {
                let message = format!(
                    "the cluster does not serve `{}` at `{}`",
                    object.kind, object.api_version
                );
                let failure = Failure::new(FailureKind::Rejected, message).server(refused.to_string());
                return Err(about_it(
                    failure.hint("is its CustomResourceDefinition installed?"),
                ));
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
            self.forget_kinds().await;
        }
    }

    pub(super) async fn delete_one(&self, live: &Live) -> Result<Ticket, Failure> {
        let kinds = self.kinds().await?;
        let Some(served) = served(&kinds, &live.value) else {
            // The kind is gone, and all of its objects with it.
            return Ok(Ticket::default());
        };
        let about = About {
            verb: "delete",
            served,
            namespace: live.subject.namespace.as_deref(),
            name: Some(&live.subject.name),
        };
        let fail = |refusal| {
            self.requests
                .failure(refusal, about)
                .about(live.addresses.first(), None)
        };
        let path = served.path(about.namespace, &live.subject.name);
        let uid = metadata(&live.value, "uid");
        let mut object = live.value.clone();
        for _ in 0..DELETES {
            if is_being_deleted(&object) {
                break;
            }
            match self.requests.delete(&path, &options(served, &object)).await {
                Ok(_) => break,
                Err(Refusal::Status(status)) if status.is_not_found() => break,
                Err(Refusal::Status(status)) if status.code == 409 => {
                    // A controller wrote a status, or it is not what it was: only a look tells.
                    let now = self.requests.get(&path).await.map_err(fail)?;
                    let Some(now) = now.filter(|now| metadata(now, "uid") == uid) else {
                        break;
                    };
                    let ours = live.ownership == Ownership::Ours;
                    if ours && self.whose.ownership(&now, false) != Ownership::Ours {
                        let message = format!(
                            "{} `{}` was taken over by somebody else",
                            served.kind, live.subject.name
                        );
                        let failure = Failure::new(FailureKind::Stale, message);
                        return Err(failure.about(live.addresses.first(), None));
                    }
                    object = now;
                }
                Err(refusal) => return Err(fail(refusal)),
            }
        }
        let mut map = Map::new();
        map.insert("path", path);
        map.insert("uid", uid);
        Ok(Ticket(map.into()))
    }

    pub(super) async fn look_once(
        &self,
        id: &ArtifactId,
        artifact: Option<&Artifact>,
        ticket: &Ticket,
    ) -> Result<Look, Failure> {
        match artifact {
            None => self.look_after_delete(id, ticket).await,
            Some(artifact) => self.look_after_write(artifact, ticket).await,
        }
    }

    async fn look_after_delete(&self, id: &ArtifactId, ticket: &Ticket) -> Result<Look, Failure> {
        let text = |key| ticket.0.get(key).and_then(Value::as_str);
        let (Some(path), Some(uid)) = (text("path"), text("uid")) else {
            return Ok(Look::Gone);
        };
        let now = match self.requests.get(path).await {
            Ok(now) => now,
            Err(Refusal::Status(status)) if is_missing_right(&status) => {
                let message = format!("`{id}` was deleted, but there is no right to `get` it to see it gone");
                return Err(Failure::new(
                    FailureKind::Denied {
                        verb: "get".into(),
                        resource: path.into(),
                        rule: None,
                    },
                    message,
                )
                .server(&status.message));
            }
            Err(Refusal::Silence(words)) => return Err(self.requests.unreachable(words)),
            Err(refusal) => {
                return Err(
                    Failure::new(FailureKind::Throttled, format!("`{id}` cannot be read"))
                        .server(refusal.to_string()),
                );
            }
        };
        Ok(match now {
            Some(now) if metadata(&now, "uid") == uid => Look::Waiting(departure(&now)),
            _ => Look::Gone,
        })
    }

    async fn look_after_write(&self, artifact: &Artifact, ticket: &Ticket) -> Result<Look, Failure> {
        let object = object_of(artifact)?;
        let kinds = self.kinds().await?;
        let Some(served) = kinds.get(&object.api_version, &object.kind) else {
            return Ok(Look::Gone);
        };
        if let Some(settled) = ticket.0.get("settled") {
            let live = self
                .whose
                .live(&artifact.target, served, settled.clone(), Some(artifact));
            return Ok(Look::Settled(Box::new(live)));
        }
        let path = served.path(object.namespace.as_deref(), &object.name);
        let fail = |refusal, verb| {
            let failure = self.requests.failure(refusal, about(verb, served, object));
            failure.about(Some(&object.address), Some(&object.origin))
        };
        let mut now = self
            .requests
            .get(&path)
            .await
            .map_err(|refusal| fail(refusal, "get"))?;
        if now.is_none()
            && let Some(manifest) = ticket.0.get("again")
        {
            // One of the same name was still being deleted when this was written, and took the write with it.
            let apply = Apply {
                manager: &self.whose.manager,
                dry_run: false,
                force: false,
            };
            let answer = self.requests.apply(&path, manifest, apply).await;
            now = Some(answer.map_err(|refusal| fail(refusal, "patch"))?.value);
        }
        let Some(now) = now else {
            return Ok(Look::Gone);
        };
        let verdict = match verdict(&now) {
            Verdict::Waiting(_)
                if object.kind == "PersistentVolumeClaim" && self.waits_for_consumer(&now).await =>
            {
                Verdict::Ready
            }
            Verdict::Ready => Verdict::Ready,
            other if is_being_deleted(&now) => other,
            other => self.explain(&now, other).await,
        };
        Ok(match verdict {
            Verdict::Ready => Look::Settled(Box::new(self.whose.live(
                &artifact.target,
                served,
                now,
                Some(artifact),
            ))),
            Verdict::Waiting(why) => Look::Waiting(why),
            Verdict::Failed(why) => {
                let message = format!("{} `{}` does not get ready", object.kind, object.name);
                let failure = Failure::new(FailureKind::NotReady { why }, message);
                Look::Failed(failure.about(Some(&object.address), Some(&object.origin)))
            }
        })
    }
}

/// Whether a 404 is about the path itself: no namespace and no object is named.
fn is_missing_path(status: &kube::core::Status) -> bool {
    let named = status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty() || !details.kind.is_empty());
    status.code == 404 && !named
}

/// What a look after a write starts from. An answer that is ready already needs no look; one that is being deleted needs
/// to be written again.
fn ticket(path: &str, answer: Value, manifest: &Value) -> Ticket {
    let mut map = Map::new();
    map.insert("path", path);
    map.insert("uid", metadata(&answer, "uid"));
    if is_being_deleted(&answer) {
        map.insert("again", manifest.clone());
    } else if verdict(&answer) == Verdict::Ready {
        map.insert("settled", answer);
    }
    Ticket(map.into())
}

fn served<'a>(kinds: &'a Kinds, object: &Value) -> Option<&'a Served> {
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
    kinds.get(text("apiVersion"), text("kind"))
}

/// Only this very object, as it was read. What makes pods goes after its pods, so that "gone" means all of it.
fn options(served: &Served, object: &Value) -> Value {
    let foreground = matches!(
        (served.group.as_str(), served.kind.as_str()),
        ("apps" | "batch", _)
    );
    let mut preconditions = Map::new();
    preconditions.insert("uid", metadata(object, "uid"));
    preconditions.insert("resourceVersion", metadata(object, "resourceVersion"));
    let mut map = Map::new();
    map.insert("apiVersion", "v1");
    map.insert("kind", "DeleteOptions");
    map.insert(
        "propagationPolicy",
        if foreground { "Foreground" } else { "Background" },
    );
    map.insert("preconditions", preconditions);
    map.into()
}
