//! Writing, deleting, and looking once at what came of it.

use std::time::Duration;

use terrace_artifact::{Artifact, ArtifactId, Map, Object, Value};

use super::Kubernetes;
use super::claims::enlarged;
use super::home::MANAGER;
use super::kinds::{Kinds, Served};
use super::live::{is_being_deleted, metadata, stranger};
use super::manifest::{adopted, instead_of, only_new, pinned, released, stored_form};
use super::ownership::applied_by;
use super::preview::{about, object_of};
use super::requests::{Apply, Refusal};
use super::settle::{Verdict, departure, verdict};
use super::words::{About, is_missing_right, put_back};
use crate::backend::{Live, Look, Ticket, Write};
use crate::failure::{Failure, FailureKind};
use crate::ownership::{Identities, Mark, not_ours};
use crate::plan::Action;

/// A server lists a new kind a moment after it accepted its definition.
const NEW_KIND: Duration = Duration::from_secs(15);
/// How often a delete or a release is sent again because a controller wrote a status in between.
const WRITTEN_MEANWHILE: usize = 8;

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
        let adopts = write.action == Action::Adopt || live.is_some_and(|live| live.ownership.is_adopted());
        let wanted = match adopts {
            true => adopted(stored_form(filled.manifest)),
            false => stored_form(filled.manifest),
        };
        let manifest = match live {
            Some(live) => {
                let kept = enlarged(&wanted, &live.value, &self.whose.manager);
                pinned(&kept.map_or(wanted, |(manifest, _)| manifest), Some(live))
            }
            None => only_new(&wanted),
        };
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
                        && put_back(refusal, live).is_some()
                    {
                        answer = self
                            .requests
                            .apply(&path, &manifest, Apply { force: true, ..apply })
                            .await;
                    }
                    match answer {
                        Ok(answer) => return Ok(ticket(&path, answer.value, &manifest)),
                        Err(Refusal::Status(status)) if live.is_none() && status.code == 409 => {
                            let found = self.met(write.artifact, served, object, &manifest, &status).await;
                            return found.map_err(about_it);
                        }
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

    /// What became of a create that met something of its name. It may be our own: the answer to the first try was lost. It
    /// may be on its way out: then it is waited for. Anything else was made by somebody since the plan.
    async fn met(
        &self,
        artifact: &Artifact,
        served: &Served,
        object: &Object,
        manifest: &Value,
        status: &kube::core::Status,
    ) -> Result<Ticket, Failure> {
        let path = served.path(object.namespace.as_deref(), &object.name);
        let found = self.requests.get(&path).await;
        let found = found.map_err(|refusal| self.requests.failure(refusal, about("get", served, object)))?;
        match found {
            // It was there a moment ago: a second try creates it.
            None => Err(
                Failure::new(FailureKind::Throttled, "something of this name was just deleted")
                    .server(&status.message),
            ),
            Some(found) if is_being_deleted(&found) => Ok(ticket(&path, found, manifest)),
            Some(found) if applied_by(&found, &self.whose.manager) => Ok(ticket(&path, found, manifest)),
            // Every namespace gets it a moment after it was created, also one of ours.
            Some(found) if is_default_account(served, &found) => {
                let manifest = instead_of(manifest, &found);
                let apply = Apply {
                    manager: &self.whose.manager,
                    dry_run: false,
                    force: true,
                };
                let written = self.requests.apply(&path, &manifest, apply).await;
                let written = written
                    .map_err(|refusal| self.requests.failure(refusal, about("patch", served, object)))?;
                Ok(ticket(&path, written.value, &manifest))
            }
            Some(found) => {
                let owner = match self.whose.mark(&found) {
                    Mark::Other(other) => Some(other),
                    _ => stranger(&found, &self.whose.manager),
                };
                let mut failure = not_ours(artifact, owner.as_ref(), Ok(()));
                failure.message.push_str(", since the plan was made");
                Err(failure)
            }
        }
    }

    /// Takes our label, our annotations and our entry of managedFields off an object. Its values stay, whoever owns them then.
    pub(super) async fn release_one(&self, live: &Live) -> Result<Ticket, Failure> {
        let kinds = self.kinds().await?;
        let Some(served) = served(&kinds, &live.value) else {
            return Ok(Ticket::default());
        };
        let about = About {
            verb: "patch",
            served,
            namespace: live.subject.namespace.as_deref(),
            name: Some(&live.subject.name),
        };
        let fail = |refusal| {
            let failure = self.requests.failure(refusal, about);
            failure.about(live.addresses.first(), None)
        };
        let path = served.path(about.namespace, &live.subject.name);
        for _ in 0..WRITTEN_MEANWHILE {
            let now = self.requests.get(&path).await.map_err(fail)?;
            let Some(now) = now.filter(|now| metadata(now, "uid") == live.identity.as_str()) else {
                break;
            };
            let patch = released(&now, &self.whose.manager);
            match self.requests.merge(&path, &patch, MANAGER).await {
                Ok(_) => break,
                Err(Refusal::Status(status)) if status.is_not_found() => break,
                Err(Refusal::Status(status)) if status.code == 409 => {}
                Err(refusal) => return Err(fail(refusal)),
            }
        }
        Ok(Ticket::default())
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
        for _ in 0..WRITTEN_MEANWHILE {
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
                    if matches!(self.whose.mark(&now), Mark::Other(_)) {
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

    /// An object that was just written: our own write is all the proof there is.
    fn live_now(&self, artifact: &Artifact, served: &Served, object: Value) -> Live {
        let identities = Identities::default();
        self.whose
            .live(&artifact.target, served, object, Some(artifact), &identities)
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
            let live = self.live_now(artifact, served, settled.clone());
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
            Verdict::Ready => Look::Settled(Box::new(self.live_now(artifact, served, now))),
            Verdict::Waiting(why) => Look::Waiting(why),
            Verdict::Failed(why) => {
                let message = format!("{} `{}` does not get ready", object.kind, object.name);
                let failure = Failure::new(FailureKind::NotReady { why }, message);
                Look::Failed(failure.about(Some(&object.address), Some(&object.origin)))
            }
        })
    }
}

/// Whether this is the ServiceAccount that the system makes in every namespace, as it made it.
fn is_default_account(served: &Served, object: &Value) -> bool {
    let is_systems = |object: &Value| stranger(object, "").is_none_or(|by| by.starts_with("kube-"));
    served.group.is_empty()
        && &*served.kind == "ServiceAccount"
        && metadata(object, "name") == "default"
        && is_systems(object)
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
