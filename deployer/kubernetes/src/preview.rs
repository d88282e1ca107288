//! Previews the change of an object: by a comparison with the live object, by a server-side dry run, or by a prediction, in this
//! order.

use terrace_artifact::{Artifact, Object, Segment, Text, Value};
use terrace_deployer_model::backend::PreviewOptions;
use terrace_deployer_model::diff::objects::diff_objects;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::Live;
use terrace_deployer_model::ownership::{ApparentOwner, Ownership};
use terrace_deployer_model::plan::{Action, Change, Field, Risk};
use terrace_deployer_model::reasons::cannot_change_in_place;
use terrace_deployer_model::values::{Filled, Values, at_path, at_path_mut};

use super::api_errors::{
    About, causes, is_missing_namespace, is_missing_permission, put_back, server_message,
};
use super::claims::enlarged;
use super::kinds::Served;
use super::manifest::{adopted, only_new, pinned, stored_form};
use super::ownership::our_entry;
use super::predict::{mark_immutable, predicted};
use super::reasons::{changes, fields_named, restarts};
use super::requests::{Answer, Apply, Refusal};
use super::{Kubernetes, is_systems};

/// The input of a preview: the desired object and its kind.
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

    /// Previews an object of a kind that the server does not serve. It fails unless the bundle itself contains the CRD.
    fn unserved(&self, object: &Object, kinds: &super::kinds::Kinds) -> Result<Change, Failure> {
        let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
        let known: Vec<String> = kinds
            .versions(group, &object.kind)
            .map(|served| format!("`{}`", served.api_version()))
            .collect();
        if known.is_empty() && self.coming().kinds.contains(&(group.into(), object.kind.clone())) {
            let mut change = Change::of(Action::Create, "it does not exist");
            change.notes.push(format!(
                "the cluster does not serve `{}` yet: planned without a server-side dry run",
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
            failure.hint("install the operator that defines it, or add its CustomResourceDefinition to this environment")
        } else {
            failure.hint(format!(
                "use a version that the cluster serves: {}",
                known.join(", ")
            ))
        };
        Err(failure.about(Some(&object.address), Some(&object.origin)))
    }

    async fn create(&self, target: &str, question: Question<'_>) -> Result<Change, Failure> {
        if question.object.kind == "Namespace" && is_systems(&question.object.name) {
            let name = &question.object.name;
            let message =
                format!("namespace `{name}` cannot be created: its name is reserved for the system");
            return Err(Failure::new(FailureKind::Protected, message).hint(
                "choose another name: `default`, `terrace-system` and names that begin with `kube-` or `openshift` are reserved",
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
            change.notes.push(
                "an object of this name is still being deleted; apply creates the new one afterwards"
                    .to_owned(),
            );
            return Ok(change);
        }
        Err(self
            .requests
            .failure(refusal, about("patch", question.served, question.object)))
    }

    async fn update(&self, mut question: Question<'_>, live: &Live) -> Result<Change, Failure> {
        // The dry run uses the live value in place of a value that is known after apply. The plan shows it as known after apply.
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
                    change.notes.push(VALUES_UNKNOWN.to_owned());
                } else {
                    return self.replace(&question, live, refusal).await;
                }
            }
        }
        let manager = &self.whose.manager;
        let asked = after.is_some();
        let after = after.unwrap_or_else(|| predicted(&question.manifest, &live.value, manager));
        let same_owner = !asked || fields_of(&after, manager) == fields_of(&live.value, manager);
        change.fields = diff_objects(&live.value, &after);
        if !asked && mark_immutable(&live.value, &mut change.fields) {
            change.action = Action::Replace;
        }
        for (path, shown) in later {
            change.fields.retain(|field| !field.path.starts_with(&path));
            let before = at_path(&live.value, &path).cloned();
            change.fields.push(Field {
                known_after: Some(shown),
                ..Field::new(path, before, None)
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
            (_, Action::Replace) => cannot_change_in_place(&change.fields),
            (Some(Some(ApparentOwner::Manager(who))), _) => {
                format!("it exists and is managed by `{who}`; this environment manages it from now on")
            }
            (Some(_), _) => "it exists; this environment manages it from now on".to_owned(),
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

    /// Converts a refused update to a replacement, if the server would accept the object under another name.
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
        let mut fields = diff_objects(&live.value, &after);
        let named = fields_named(status, &mut fields);
        let known = mark_immutable(&live.value, &mut fields);
        // A dry run under another name shows whether the server rejects the change or the object itself.
        let possible = match self.apply_elsewhere(question).await {
            Ok(()) => true,
            Err(Some(_)) => return Err(self.requests.failure(refusal, about)),
            Err(None) => (named || known) && status.message.contains("immutable"),
        };
        if !possible {
            return Err(self.requests.failure(refusal, about));
        }
        let mut change = Change::of(Action::Replace, cannot_change_in_place(&fields));
        change.previewed = true;
        change.fields = fields;
        change
            .notes
            .push(format!("server response: {}", server_message(status, about)));
        replaced(&mut change, question.object, live);
        Ok(change)
    }

    /// Sends a dry run of the same object under a name that is not in use. `Err(None)` means that the result is inconclusive.
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
            // The addresses of the live Service are in use.
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
                // The name of a CRD follows from its content, so the server rejects it under any other name.
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

    /// Sends the dry run of a create. Returns the refusal, if the server refused the object.
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
                change.notes.push(VALUES_UNKNOWN.to_owned());
                Ok(None)
            }
            Asked::Answer(_) | Asked::Nothing => Ok(None),
        }
    }

    /// Sends the dry run of an update.
    async fn ask_about(
        &self,
        question: &Question<'_>,
        live: &Live,
        change: &mut Change,
    ) -> Result<Asked, Failure> {
        self.dry_run(question, Some(live), change).await
    }

    /// Sends a dry run, unless the options or a missing permission prevent it. A note in `change` states why it was not sent.
    async fn dry_run(
        &self,
        question: &Question<'_>,
        live: Option<&Live>,
        change: &mut Change,
    ) -> Result<Asked, Failure> {
        let object = question.object;
        let (served, namespace) = (question.served, object.namespace.as_ref());
        let note_missing_permission = |change: &mut Change| {
            change.notes.push(format!(
                "the credentials lack the permission to `patch` {}: planned without a server-side dry run",
                question.served.resource()
            ));
            Asked::Nothing
        };
        if !question.options.dry_run {
            return Ok(Asked::Nothing);
        }
        if self.right("patch", served, namespace) == Some(false) {
            return Ok(note_missing_permission(change));
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
            Err(Refusal::Status(status)) if is_missing_permission(&status) => {
                self.remember_right("patch", served, namespace, false);
                Ok(note_missing_permission(change))
            }
            // The server rejects a dry run if it would have to call a webhook with side effects.
            Err(Refusal::Status(status)) if status.message.contains("does not support dry run") => {
                change.notes.push(format!(
                    "planned without a server-side dry run: {}",
                    status.message
                ));
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

    /// Returns whether the server refuses a create because an object of the same name is still being deleted.
    async fn waits_for_another(&self, question: &Question<'_>, refusal: &Refusal) -> bool {
        let object = question.object;
        let path = question.served.path(object.namespace.as_deref(), &object.name);
        matches!(refusal, Refusal::Status(status) if matches!(status.code, 409 | 422))
            && matches!(self.requests.get(&path).await, Ok(Some(live)) if super::live::is_being_deleted(&live))
    }
}

/// Records the risk of a replacement, and the data that is lost.
fn replaced(change: &mut Change, object: &Object, live: &Live) {
    change.risk = Risk::Replace;
    change.record_loss_of_object(live, Some(object));
    if object.kind == "StatefulSet" && change.approvals().next().is_none() {
        let note = "its PersistentVolumeClaims are retained with their data and size";
        change.notes.push(note.to_owned());
    }
}

/// The note for a dry run that the server refused although only placeholders are wrong.
const VALUES_UNKNOWN: &str =
    "planned without a server-side dry run, because some of its values are known after apply";

/// The result of a dry run.
enum Asked {
    /// The object as the server would store it.
    Answer(Value),
    /// The server refused the object.
    Refused(Refusal),
    /// No dry run was sent.
    Nothing,
}

/// Returns the note for an object in a namespace that the plan creates.
fn unasked(namespace: &str) -> String {
    format!("namespace `{namespace}` does not exist yet: planned without a server-side dry run")
}

/// Returns the object of an artifact. Fails for a CloudFormation stack, which a cluster cannot store.
pub(super) fn object_of(artifact: &Artifact) -> Result<&Object, Failure> {
    artifact.object().ok_or_else(|| {
        Failure::new(
            FailureKind::Broken,
            format!(
                "`{}` is not a Kubernetes object, but its target is a cluster",
                artifact.id
            ),
        )
    })
}

/// Describes a request about an object, for failures.
pub(super) fn about<'a>(verb: &'a str, served: &'a Served, object: &'a Object) -> About<'a> {
    About {
        verb,
        served,
        namespace: object.namespace.as_deref(),
        name: Some(&object.name),
    }
}

/// Returns the version and the fields of a manager's Apply entry.
fn fields_of<'a>(object: &'a Value, manager: &str) -> Option<(&'a Value, &'a Value)> {
    let entry = our_entry(object, manager)?;
    Some((entry.get("apiVersion")?, entry.get("fieldsV1")?))
}
