//! What writing an object would change: by a look, by a dry run, or worked out here, in this order.

use terrace_artifact::{Artifact, Object, Segment, Text, Value};

use super::claims::enlarged;
use super::difference::difference;
use super::kinds::Served;
use super::manifest::{adopted, only_new, pinned, stored_form};
use super::ownership::our_entry;
use super::predict::{mark_immutable, predicted};
use super::reasons::{cannot_change, changes, fields_named, restarts};
use super::requests::{Answer, Apply, Refusal};
use super::words::{About, causes, is_missing_namespace, is_missing_right, put_back, words};
use super::{Kubernetes, is_systems};
use crate::backend::{Live, PreviewOptions};
use crate::failure::{Failure, FailureKind};
use crate::ownership::Ownership;
use crate::plan::{Action, Change, Field, Risk};
use crate::values::{Filled, Values, at_path, at_path_mut};

/// One preview: what is wanted, and where.
struct Question<'a> {
    object: &'a Object,
    served: &'a Served,
    manifest: Value,
    later: Vec<(Vec<Segment>, Text)>,
    options: &'a PreviewOptions,
}

impl Kubernetes {
    pub(super) async fn preview_one(
        &self,
        artifact: &Artifact,
        live: Option<&Live>,
        values: &Values,
        options: &PreviewOptions,
    ) -> Result<Change, Failure> {
        let object = object_of(artifact)?;
        let Filled { manifest, later } = values.fill(object);
        let adopts = live.is_some_and(|live| !live.ownership.is_ours() || live.ownership.is_adopted());
        let manifest = match adopts {
            true => adopted(stored_form(manifest)),
            false => stored_form(manifest),
        };
        let enlarged = live.and_then(|live| enlarged(&manifest, &live.value, &self.whose.manager));
        let (manifest, note) = match enlarged {
            Some((manifest, note)) => (manifest, Some(note)),
            None => (manifest, None),
        };
        let kinds = self.kinds().await?;
        let Some(served) = kinds.get(&object.api_version, &object.kind) else {
            return self.unserved(object, &kinds);
        };
        let question = Question {
            object,
            served,
            manifest,
            later,
            options,
        };
        let change = match live {
            None => self.create(&artifact.target, question).await,
            Some(live)
                if question.later.is_empty() && self.whose.is_unchanged(&question.manifest, &live.value) =>
            {
                Ok(Change::keep())
            }
            Some(live) => self.update(question, live).await,
        };
        let mut change =
            change.map_err(|failure| failure.about(Some(&object.address), Some(&object.origin)))?;
        change.notes.extend(note);
        Ok(change)
    }

    /// A kind that the server does not know: its definition is among what is coming, or it never will be.
    fn unserved(&self, object: &Object, kinds: &super::kinds::Kinds) -> Result<Change, Failure> {
        let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
        let known: Vec<String> = kinds
            .versions(group, &object.kind)
            .map(|served| format!("`{}`", served.api_version()))
            .collect();
        if known.is_empty() && self.coming().kinds.contains(&(group.into(), object.kind.clone())) {
            let mut change = Change::of(Action::Create, "it does not exist");
            change.notes.push(format!(
                "the cluster does not know `{}` yet: planned from what is wanted, without asking it",
                object.kind
            ));
            return Ok(change);
        }
        let failure = Failure::new(
            FailureKind::Rejected,
            format!(
                "the cluster does not serve `{}` at `{}`",
                object.kind, object.api_version
            ),
        );
        let failure = if known.is_empty() {
            failure.hint("install the operator that defines it, or deliver its CustomResourceDefinition with this environment")
        } else {
            failure.hint(format!("it serves {}", known.join(", ")))
        };
        Err(failure.about(Some(&object.address), Some(&object.origin)))
    }

    async fn create(&self, target: &str, question: Question<'_>) -> Result<Change, Failure> {
        if question.object.kind == "Namespace" && is_systems(&question.object.name) {
            let name = &question.object.name;
            let message = format!("namespace `{name}` would be created, and its name belongs to the system");
            return Err(Failure::new(FailureKind::Protected, message).hint(
                "names that are `default`, or begin with `kube-` or `openshift`, are never created: choose another one",
            ));
        }
        let mut change = Change::of(Action::Create, "it does not exist");
        let coming = self.coming();
        let namespace = question.object.namespace.as_deref();
        let missing = |namespace: &str| {
            coming
                .existing
                .as_ref()
                .is_some_and(|all| !all.contains(namespace))
        };
        if let Some(namespace) = namespace.filter(|name| coming.namespaces.contains(*name) && missing(name)) {
            change.notes.push(unasked(namespace));
            return Ok(change);
        }
        let Some(refusal) = self.ask(&question, None, &mut change).await? else {
            return Ok(change);
        };
        if let (Refusal::Status(status), Some(namespace)) = (&refusal, namespace)
            && is_missing_namespace(status, namespace)
            && coming.namespaces.contains(namespace)
        {
            change.notes.push(unasked(namespace));
            return Ok(change);
        }
        if self.waits_for_another(&question, &refusal).await {
            self.still_used(target, question.object).await?;
            change
                .notes
                .push("one of this name is still being deleted: it is created when that is gone".to_owned());
            return Ok(change);
        }
        Err(self
            .requests
            .failure(refusal, about("patch", question.served, question.object)))
    }

    async fn update(&self, mut question: Question<'_>, live: &Live) -> Result<Change, Failure> {
        // A value that is not known yet is taken to stay what it is, and said to be known later.
        let later = std::mem::take(&mut question.later);
        for (path, _) in &later {
            if let (Some(now), Some(place)) = (
                at_path(&live.value, path),
                at_path_mut(&mut question.manifest, path),
            ) {
                *place = now.clone();
            }
        }
        let foreign = match &live.ownership {
            Ownership::Ours { .. } => None,
            Ownership::Foreign(who) => Some(who.clone()),
        };
        let action = if foreign.is_some() {
            Action::Adopt
        } else {
            Action::Update
        };
        let mut change = Change::of(action, String::new());
        let mut after = None;
        match self.ask_about(&question, live, &mut change).await? {
            Asked::Answer(answer) => after = Some(answer),
            Asked::Nothing => {}
            Asked::Refused(refusal) => {
                if !later.is_empty()
                    && matches!(&refusal, Refusal::Status(status) if matches!(status.code, 400 | 422))
                {
                    change
                        .notes
                        .push("the server is asked when the values that come later are known".to_owned());
                } else {
                    return self.replace(&question, live, refusal).await;
                }
            }
        }
        let manager = &self.whose.manager;
        let asked = after.is_some();
        let after = after.unwrap_or_else(|| predicted(&question.manifest, &live.value, manager));
        let same_owner = !asked || fields_of(&after, manager) == fields_of(&live.value, manager);
        change.fields = difference(&live.value, &after);
        if !asked && mark_immutable(&live.value, &mut change.fields) {
            change.action = Action::Replace;
        }
        for (path, shown) in later {
            change.fields.retain(|field| !field.path.starts_with(&path));
            change.fields.push(Field {
                before: at_path(&live.value, &path).cloned(),
                path,
                after: None,
                known_after: Some(shown),
                forces_replacement: false,
            });
        }
        if change.fields.is_empty() && same_owner && foreign.is_none() {
            return Ok(Change {
                notes: change.notes,
                previewed: change.previewed,
                ..Change::keep()
            });
        }
        change.reason = match (&foreign, change.action) {
            (_, Action::Replace) => cannot_change(&change.fields),
            (Some(Some(who)), _) => format!("it exists, made by `{who}`, and is managed here from now on"),
            (Some(None), _) => "it exists, and is managed here from now on".to_owned(),
            (None, _) => changes(&change.fields),
        };
        if change.action == Action::Replace {
            replaced(&mut change, question.object, live);
        } else {
            if restarts(&live.value, &change.fields) {
                change.risk = Risk::Restart;
            }
            change.loses_in_object(question.object, !live.holds_data.is_empty(), &live.value, &after);
        }
        Ok(change)
    }

    /// What a refused change comes to: a replacement where the object can be had, but not by changing this one.
    async fn replace(
        &self,
        question: &Question<'_>,
        live: &Live,
        refusal: Refusal,
    ) -> Result<Change, Failure> {
        let about = about("patch", question.served, question.object);
        let Refusal::Status(status) = &refusal else {
            return Err(self.requests.failure(refusal, about));
        };
        if status.code != 422 {
            return Err(self.requests.failure(refusal, about));
        }
        let after = predicted(&question.manifest, &live.value, &self.whose.manager);
        let mut fields = difference(&live.value, &after);
        let told = fields_named(status, &mut fields);
        let known = mark_immutable(&live.value, &mut fields);
        // Under another name the server says whether it is the change or the object that it does not want.
        let possible = match self.apply_elsewhere(question).await {
            Ok(()) => true,
            Err(Some(_)) => return Err(self.requests.failure(refusal, about)),
            Err(None) => (told || known) && status.message.contains("immutable"),
        };
        if !possible {
            return Err(self.requests.failure(refusal, about));
        }
        let mut change = Change::of(Action::Replace, cannot_change(&fields));
        change.previewed = true;
        change.fields = fields;
        change.notes.push(format!("details: {}", words(status, about)));
        replaced(&mut change, question.object, live);
        Ok(change)
    }

    /// A dry run of the same object under a name that is free. `Err(None)`: that did not tell.
    async fn apply_elsewhere(&self, question: &Question<'_>) -> Result<(), Option<Refusal>> {
        let elsewhere = format!(
            "{}-terrace-probe",
            question
                .object
                .name
                .chars()
                .take(40)
                .collect::<String>()
                .trim_end_matches(['.', '-'])
        );
        let mut manifest = question.manifest.clone();
        if let Some(place) = at_path_mut(
            &mut manifest,
            &[Segment::Key("metadata".into()), Segment::Key("name".into())],
        ) {
            *place = elsewhere.as_str().into();
        }
        if let Some(spec) = manifest
            .as_map_mut()
            .and_then(|map| map.get_mut("spec"))
            .and_then(Value::as_map_mut)
            && question.object.kind == "Service"
        {
            // Addresses and ports that the live one has are not free.
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        let path = question
            .served
            .path(question.object.namespace.as_deref(), &elsewhere);
        match self
            .requests
            .apply(&path, &manifest, self.apply_options(true, question.options))
            .await
        {
            Ok(_) => Ok(()),
            Err(Refusal::Status(status)) if status.code == 422 => {
                // A definition's name is part of its body: under another it is always wrong.
                let only_name = causes(&status)
                    .iter()
                    .all(|cause| cause.field.starts_with("metadata.name"));
                if only_name {
                    Err(None)
                } else {
                    Err(Some(Refusal::Status(status)))
                }
            }
            Err(_) => Err(None),
        }
    }

    /// Asks about a create. Gives the refusal, if the server refused.
    async fn ask(
        &self,
        question: &Question<'_>,
        live: Option<&Live>,
        change: &mut Change,
    ) -> Result<Option<Refusal>, Failure> {
        match self.dry_run(question, live, change).await? {
            Asked::Refused(refusal) if question.later.is_empty() => Ok(Some(refusal)),
            Asked::Refused(refusal) if !matches!(&refusal, Refusal::Status(status) if matches!(status.code, 400 | 422)) => {
                Ok(Some(refusal))
            }
            Asked::Refused(_) => {
                change
                    .notes
                    .push("the server is asked when the values that come later are known".to_owned());
                Ok(None)
            }
            Asked::Answer(_) | Asked::Nothing => Ok(None),
        }
    }

    async fn ask_about(
        &self,
        question: &Question<'_>,
        live: &Live,
        change: &mut Change,
    ) -> Result<Asked, Failure> {
        self.dry_run(question, Some(live), change).await
    }

    async fn dry_run(
        &self,
        question: &Question<'_>,
        live: Option<&Live>,
        change: &mut Change,
    ) -> Result<Asked, Failure> {
        let object = question.object;
        let (served, namespace) = (question.served, object.namespace.as_ref());
        let denied = |change: &mut Change| {
            change.notes.push(format!(
                "no right to `patch` {}: planned from what was read, without asking the server",
                question.served.resource()
            ));
            Asked::Nothing
        };
        if !question.options.dry_run {
            return Ok(Asked::Nothing);
        }
        if self.right("patch", served, namespace) == Some(false) {
            return Ok(denied(change));
        }
        let path = question.served.path(object.namespace.as_deref(), &object.name);
        let manifest = match live {
            Some(live) => pinned(&question.manifest, Some(live)),
            None => only_new(&question.manifest),
        };
        let apply = self.apply_options(true, question.options);
        let mut answer = self.requests.apply(&path, &manifest, apply).await;
        if let (Err(refusal), Some(live)) = (&answer, live)
            && let Some(notes) = put_back(refusal, live)
        {
            answer = self
                .requests
                .apply(&path, &manifest, Apply { force: true, ..apply })
                .await;
            change.notes.extend(notes);
        }
        match answer {
            Ok(Answer { value, warnings }) => {
                change.previewed = true;
                self.remember_right("patch", served, namespace, true);
                if live.is_none() {
                    self.remember_right("create", served, namespace, true);
                }
                change.notes.extend(
                    warnings
                        .into_iter()
                        .map(|warning| format!("the server warns: {warning}")),
                );
                Ok(Asked::Answer(value))
            }
            Err(Refusal::Status(status)) if is_missing_right(&status) => {
                self.remember_right("patch", served, namespace, false);
                Ok(denied(change))
            }
            // The server does not even ask a webhook that may do more than answer.
            Err(Refusal::Status(status)) if status.message.contains("does not support dry run") => {
                change
                    .notes
                    .push(format!("planned without asking the server: {}", status.message));
                Ok(Asked::Nothing)
            }
            Err(refusal) => Ok(Asked::Refused(refusal)),
        }
    }

    fn apply_options(&self, dry_run: bool, options: &PreviewOptions) -> Apply<'_> {
        Apply {
            manager: &self.whose.manager,
            dry_run,
            force: options.take_over,
        }
    }

    /// Whether a create is refused because an object of the same name is still on its way out.
    async fn waits_for_another(&self, question: &Question<'_>, refusal: &Refusal) -> bool {
        let object = question.object;
        let path = question.served.path(object.namespace.as_deref(), &object.name);
        matches!(refusal, Refusal::Status(status) if matches!(status.code, 409 | 422))
            && matches!(self.requests.get(&path).await, Ok(Some(live)) if super::live::is_being_deleted(&live))
    }
}

/// What a replacement costs.
fn replaced(change: &mut Change, object: &Object, live: &Live) {
    change.risk = Risk::Replace;
    change.takes_object(live, Some(object));
    if object.kind == "StatefulSet" && change.approvals().next().is_none() {
        let note = "its claims stay as they are, with their data and their size";
        change.notes.push(note.to_owned());
    }
}

/// What came of a dry run.
enum Asked {
    Answer(Value),
    Refused(Refusal),
    Nothing,
}

fn unasked(namespace: &str) -> String {
    format!(
        "namespace `{namespace}` does not exist yet: planned from what is wanted, without asking the server"
    )
}

/// The object of an artifact; a stack has no place in a cluster.
pub(super) fn object_of(artifact: &Artifact) -> Result<&Object, Failure> {
    artifact.object().ok_or_else(|| {
        Failure::new(
            FailureKind::Broken,
            format!(
                "`{}` is no Kubernetes object, and its target is a cluster",
                artifact.id
            ),
        )
    })
}

/// What a request about an object is about.
pub(super) fn about<'a>(verb: &'a str, served: &'a Served, object: &'a Object) -> About<'a> {
    About {
        verb,
        served,
        namespace: object.namespace.as_deref(),
        name: Some(&object.name),
    }
}

fn fields_of<'a>(object: &'a Value, manager: &str) -> Option<(&'a Value, &'a Value)> {
    let entry = our_entry(object, manager)?;
    Some((entry.get("apiVersion")?, entry.get("fieldsV1")?))
}
