//! Writes, deletes and retains objects, and reads once whether the operation is complete.

use std::time::Duration;

use terrace_artifact::{Artifact, ArtifactId, Map, Object, Value};
use terrace_deployer_model::backend::{Observation, Ticket, Write};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::{ApparentOwner, Mark, not_ours};
use terrace_deployer_model::plan::Action;

use super::Kubernetes;
use super::api_errors::{About, is_missing_permission, put_back};
use super::claims::enlarged;
use super::kinds::{Kinds, Served};
use super::live::{apparent_owner, is_being_deleted, metadata, stranger};
use super::manifest::{adopted, instead_of, only_new, pinned, released, stored_form};
use super::ownership::applied_by;
use super::preview::{about, object_of};
use super::requests::{Apply, Refusal};
use super::settle::{Verdict, departure, verdict};
use super::state_store::MANAGER;

/// The maximum time until a server serves the kind of a new CRD.
const NEW_KIND: Duration = Duration::from_secs(15);
/// The maximum number of attempts of a delete or a retain while controllers write the object's status.
const WRITTEN_MEANWHILE: usize = 8;

impl Kubernetes {
    pub(super) async fn write_one(&self, write: Write<'_>) -> Result<Ticket, Failure> {
        let object = object_of(write.artifact)?;
        let located = |failure: Failure| failure.about(Some(&object.address), Some(&object.origin));
        let filled = write.values.fill(object);
        if let Some((_, shown)) = filled.later.first() {
            let message = format!(
                "`{shown}` is not known when it is needed; this is a bug in Terrace, please report it"
            );
            return Err(located(Failure::new(FailureKind::Broken, message)));
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
                            return found.map_err(located);
                        }
                        // The server does not serve the path of a new CRD yet.
                        Err(Refusal::Status(status)) if is_missing_path(&status) => Refusal::Status(status),
                        Err(refusal) => {
                            let failure = self.requests.failure(refusal, about("patch", served, object));
                            return Err(located(failure));
                        }
                    }
                }
                None => Refusal::Unreadable(format!(
                    "`{}` at `{}` is not among the API resources",
                    object.kind, object.api_version
                )),
            };
            if tokio::time::Instant::now() > given_up {
                let message = format!(
                    "the cluster does not serve `{}` at `{}`",
                    object.kind, object.api_version
                );
                let failure = Failure::new(FailureKind::Rejected, message).server(refused.to_string());
                return Err(located(failure.hint(
                    "install its CustomResourceDefinition, or check why the server does not serve it",
                )));
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
            self.forget_kinds().await;
        }
    }

    /// Handles a create that found an object of the same name. The object may be Terrace's own, if the answer to a first attempt was
    /// lost. It may be in deletion: Terrace waits for that. Any other object was created after the plan was made, and is a failure.
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
            // The object has been deleted since the create, so a second attempt creates it.
            None => {
                let message = format!(
                    "{} `{}` was deleted while Terrace created it",
                    object.kind, object.name
                );
                Err(Failure::new(FailureKind::Throttled, message).server(&status.message))
            }
            Some(found) if is_being_deleted(&found) => Ok(ticket(&path, found, manifest)),
            Some(found) if applied_by(&found, &self.whose.manager) => Ok(ticket(&path, found, manifest)),
            // The system creates this account in every new namespace.
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
                    Mark::Other(other) => Some(ApparentOwner::Manager(other)),
                    _ => apparent_owner(&found, &self.whose.manager),
                };
                let mut failure = not_ours(artifact, owner.as_ref(), Ok(()));
                failure
                    .message
                    .push_str("; it was created after the plan was made");
                Err(failure)
            }
        }
    }

    /// Retains an object: removes Terrace's label, annotations and managedFields entry. Its values stay.
    pub(super) async fn release_one(&self, live: &Live) -> Result<Ticket, Failure> {
        let kinds = self.kinds().await?;
        let Some(served) = served(&kinds, &live.value) else {
            return Ok(Ticket::default());
        };
        let about = About::live("patch", served, live);
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
            // The server no longer serves the kind, so its objects do not exist either.
            return Ok(Ticket::default());
        };
        let about = About::live("delete", served, live);
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
                    // A controller wrote the status, or the object was replaced. Only the live object shows which.
                    let now = self.requests.get(&path).await.map_err(fail)?;
                    let Some(now) = now.filter(|now| metadata(now, "uid") == uid) else {
                        break;
                    };
                    if let Mark::Other(other) = self.whose.mark(&now) {
                        let message = format!(
                            "{} `{}` was adopted by `{other}` after the plan was made",
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

    /// Converts an object that Terrace has just written. The Apply entry of this write proves the ownership.
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
    ) -> Result<Observation, Failure> {
        match artifact {
            None => self.look_after_delete(id, ticket).await,
            Some(artifact) => self.look_after_write(artifact, ticket).await,
        }
    }

    async fn look_after_delete(&self, id: &ArtifactId, ticket: &Ticket) -> Result<Observation, Failure> {
        let text = |key| ticket.0.get(key).and_then(Value::as_str);
        let (Some(path), Some(uid)) = (text("path"), text("uid")) else {
            return Ok(Observation::Gone);
        };
        let now = match self.requests.get(path).await {
            Ok(now) => now,
            Err(Refusal::Status(status)) if is_missing_permission(&status) => {
                let message = format!(
                    "`{id}` was deleted, but Terrace cannot confirm it: the credentials lack the permission to `get` it"
                );
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
            Err(Refusal::Silence(reason)) => return Err(self.requests.unreachable(reason)),
            Err(refusal) => {
                return Err(
                    Failure::new(FailureKind::Throttled, format!("`{id}` cannot be read"))
                        .server(refusal.to_string()),
                );
            }
        };
        Ok(match now {
            Some(now) if metadata(&now, "uid") == uid => Observation::Waiting(departure(&now)),
            _ => Observation::Gone,
        })
    }

    async fn look_after_write(&self, artifact: &Artifact, ticket: &Ticket) -> Result<Observation, Failure> {
        let object = object_of(artifact)?;
        let kinds = self.kinds().await?;
        let Some(served) = kinds.get(&object.api_version, &object.kind) else {
            return Ok(Observation::Gone);
        };
        if let Some(settled) = ticket.0.get("settled") {
            let live = self.live_now(artifact, served, settled.clone());
            return Ok(Observation::Settled(Box::new(live)));
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
            // The write changed an object of the same name that was still being deleted. Now that it is deleted, the new object can be
            // created.
            let apply = Apply {
                manager: &self.whose.manager,
                dry_run: false,
                force: false,
            };
            let answer = self.requests.apply(&path, manifest, apply).await;
            now = Some(answer.map_err(|refusal| fail(refusal, "patch"))?.value);
        }
        let Some(now) = now else {
            return Ok(Observation::Gone);
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
            Verdict::Ready => Observation::Settled(Box::new(self.live_now(artifact, served, now))),
            Verdict::Waiting(why) => Observation::Waiting(why),
            Verdict::Failed(why) => {
                let message = format!("{} `{}` does not become ready", object.kind, object.name);
                let failure = Failure::new(FailureKind::NotReady { why }, message);
                Observation::Failed(failure.about(Some(&object.address), Some(&object.origin)))
            }
        })
    }
}

/// Returns whether this is the ServiceAccount that the system creates in every namespace, without changes by other managers.
fn is_default_account(served: &Served, object: &Value) -> bool {
    let is_systems = |object: &Value| stranger(object, "").is_none_or(|by| by.starts_with("kube-"));
    served.group.is_empty()
        && &*served.kind == "ServiceAccount"
        && metadata(object, "name") == "default"
        && is_systems(object)
}

/// Returns whether a 404 concerns the path itself: it names no namespace and no object.
fn is_missing_path(status: &kube::core::Status) -> bool {
    let named = status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty() || !details.kind.is_empty());
    status.code == 404 && !named
}

/// Creates the ticket with which Terrace waits for a written object. An object that is already ready needs no further request. An
/// object that is being deleted must be written again afterwards.
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

/// Returns the kind of a live object.
fn served<'a>(kinds: &'a Kinds, object: &Value) -> Option<&'a Served> {
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
    kinds.get(text("apiVersion"), text("kind"))
}

/// Returns the options that delete exactly this object in the state in which it was read. A workload is deleted in the foreground:
/// the deletion is complete only after its pods are deleted.
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
