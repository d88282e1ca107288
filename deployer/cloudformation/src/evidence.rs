//! Evidence that Terrace wrote a stack, for stacks that the state store does not record.
//!
//! Every write of Terrace is a change set whose name is the digest of its template, parameters and tags. CloudFormation stores
//! the last executed change set of a stack, and clears it when a user updates the stack in another way. A name and tags alone
//! prove nothing: users copy them, and CloudFormation copies tags to nested stacks.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Text, Value};
use terrace_deployer_model::failure::Failure;
use terrace_deployer_model::identities::Identities;
use terrace_deployer_model::ownership::{ApparentOwner, Mark, Ownership, Proof};

use super::account::Account;
use super::record::{ADOPTED_TAG, Record, STACK_TAG, change_set_name, may_be_ours};

/// The owner of a stack in status `REVIEW_IN_PROGRESS`, which contains no resources yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PendingChangeSet {
    /// Terrace created the change set, and was interrupted before it executed it.
    Ours,
    /// The stack has no change set any more.
    Missing,
    /// A change set of another user waits for review; its name.
    Foreign(Text),
}

/// The record of a stack in the state store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Recorded {
    /// The proof that the stack belongs to this environment.
    pub(super) proof: Option<Proof>,
    /// Whether the stack was adopted.
    pub(super) adopted: bool,
    /// Whether the record may be incomplete, so that evidence counts as proof.
    pub(super) has_gaps: bool,
}

impl Recorded {
    /// Returns the record of the stack with this id.
    pub(super) fn of(identities: &Identities, id: &ArtifactId, stack_id: &str) -> Recorded {
        Recorded {
            proof: identities.proof(id, stack_id, false),
            adopted: identities.is_adopted(id, stack_id),
            has_gaps: identities.proof(id, stack_id, true) == Some(Proof::Evidence),
        }
    }
}

impl Account {
    /// Determines the owner of a stack with this template. Sends requests for evidence only if the result depends on it.
    pub(super) async fn ownership(
        &self,
        record: &Record,
        template: &Value,
        label: &str,
        recorded: &Recorded,
    ) -> Result<Ownership, Failure> {
        let tagged = record.tags.get(STACK_TAG);
        let is_label = tagged.is_some_and(|value| value == label);
        let counts = match is_label {
            true => recorded.proof.is_none() && recorded.has_gaps,
            // A change set of another environment proves that the stack belongs to that environment now.
            false => recorded.proof.is_some() && tagged.is_some(),
        };
        let evidence = counts && self.written_by_terrace(record, template).await?;
        let mark = match tagged {
            Some(_) if is_label => Mark::Ours,
            Some(other) if evidence => Mark::Other(other.clone()),
            _ => Mark::Absent,
        };
        let proof = recorded
            .proof
            .or_else(|| (is_label && evidence).then_some(Proof::Evidence));
        let adopted = recorded.adopted || record.is_tagged_adopted();
        Ok(Ownership::of(mark, proof, adopted, owner(record, label)))
    }

    /// Returns whether the content of the last executed change set matches the digest in its name.
    async fn written_by_terrace(&self, record: &Record, template: &Value) -> Result<bool, Failure> {
        let Some(set) = record.change_set_id.as_ref().filter(|_| {
            let name = record.change_set.as_deref();
            name.is_some_and(may_be_ours)
        }) else {
            return Ok(false);
        };
        if record.has_what_we_wrote(template) {
            return Ok(true);
        }
        // During an operation and after a rollback, the stack differs from its change set.
        if matches!(&*record.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
            return Ok(false);
        }
        let tags = self.content_of(&record.id, set).await?;
        Ok(tags.is_some_and(|tags| tags.get(STACK_TAG) == record.tags.get(STACK_TAG)))
    }

    /// Returns the tags of a change set, if its content matches the digest in its name.
    async fn content_of(&self, stack: &str, set: &str) -> Result<Option<BTreeMap<Text, Text>>, Failure> {
        let Some(found) = self.describe_change_set(stack, set, None).await? else {
            return Ok(None);
        };
        let text = |text: Option<&str>| Text::from(text.unwrap_or_default());
        let parameters = found.parameters().iter();
        let parameters = parameters.map(|it| (text(it.parameter_key()), text(it.parameter_value())));
        let tags = found.tags().iter();
        let tags: BTreeMap<Text, Text> = tags.map(|it| (text(it.key()), text(it.value()))).collect();
        let template = self.get_template(stack, found.change_set_id()).await?;
        let name = change_set_name(&template, &parameters.collect(), &tags);
        Ok((found.change_set_name() == Some(&name)).then_some(tags))
    }

    /// Determines the owner of a stack without resources.
    pub(super) async fn review(&self, record: &Record, label: &str) -> Result<PendingChangeSet, Failure> {
        let mut review = PendingChangeSet::Missing;
        for (name, set) in self.change_sets(&record.id).await? {
            let tags = match may_be_ours(&name) {
                true => self.content_of(&record.id, &set).await?,
                false => None,
            };
            let is_ours = tags.is_some_and(|tags| tags.get(STACK_TAG).is_some_and(|value| value == label));
            if !is_ours {
                return Ok(PendingChangeSet::Foreign(name));
            }
            review = PendingChangeSet::Ours;
        }
        Ok(review)
    }
}

/// Returns the tags of a foreign stack that can help the user to find its owner. The tag of another environment comes alone: it is
/// the most exact sign.
fn owner(record: &Record, label: &str) -> Option<ApparentOwner> {
    let tags = record.tags.iter();
    let shown = |tags: Vec<(&Text, &Text)>| -> Option<ApparentOwner> {
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (!tags.is_empty()).then(|| ApparentOwner::Tags(tags.join(", ").into()))
    };
    let environment = tags
        .clone()
        .filter(|(key, value)| *key == STACK_TAG && *value != label);
    let is_of_user = |key: &Text| !key.starts_with("terrace:") && !key.starts_with("aws:");
    let of_user = tags.filter(|(key, _)| is_of_user(key)).take(3);
    shown(environment.collect()).or_else(|| shown(of_user.collect()))
}

/// Returns the tags of a stack without the tags of Terrace.
pub(super) fn without_marks(record: &Record) -> BTreeMap<Text, Text> {
    let mut tags = record.tags.clone();
    tags.remove(STACK_TAG);
    tags.remove(ADOPTED_TAG);
    tags
}
