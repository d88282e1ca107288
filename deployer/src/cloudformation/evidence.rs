//! What shows that a stack is ours where the state store does not say so: what only our own writes leave behind.
//!
//! Every write of ours is a change set whose name is the digest of its template, its parameters and its tags. CloudFormation
//! remembers which one it executed last, and forgets it when somebody updates the stack in another way. A name and tags alone
//! prove nothing: both are copied, and tags are handed on to nested stacks.

use std::collections::BTreeMap;

use terrace_artifact::{ArtifactId, Text, Value};

use crate::failure::Failure;
use crate::ownership::{Identities, Mark, Ownership, Proof};

use super::account::Account;
use super::record::{ADOPTED_TAG, Record, STACK_TAG, change_set_name, may_be_ours};

/// Whose a stack in `REVIEW_IN_PROGRESS` is, in which there is nothing yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Review {
    /// A run of ours was killed before it executed its change set.
    Ours,
    /// There is no change set left: nobody waits for anything.
    Nobodys,
    /// A change set of somebody else waits there, by its name.
    Somebodys(Text),
}

/// What the state store says of a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Recorded {
    /// The proof that it is ours.
    pub(super) proof: Option<Proof>,
    /// Whether it was adopted.
    pub(super) adopted: bool,
    /// Whether a stack of ours may be missing in it, so that evidence counts.
    pub(super) has_gaps: bool,
}

impl Recorded {
    /// What is recorded of the stack of this id.
    pub(super) fn of(identities: &Identities, id: &ArtifactId, stack_id: &str) -> Recorded {
        Recorded {
            proof: identities.proof(id, stack_id, false),
            adopted: identities.is_adopted(id, stack_id),
            has_gaps: identities.proof(id, stack_id, true) == Some(Proof::Evidence),
        }
    }
}

impl Account {
    /// Whose a stack is, with this template. What costs a question is asked only where the answer counts.
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
            // Another environment's change set would show that the stack is theirs now.
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

    /// Whether the change set that was executed last has the content that its name states.
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
        // What was rolled back, or is still under way, does not have what the change set says.
        if matches!(&*record.status, "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
            return Ok(false);
        }
        let tags = self.content_of(&record.id, set).await?;
        Ok(tags.is_some_and(|tags| tags.get(STACK_TAG) == record.tags.get(STACK_TAG)))
    }

    /// The tags that a change set gives its stack, if its name is the digest of its content.
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

    /// Whose a stack is that has nothing in it yet.
    pub(super) async fn review(&self, record: &Record, label: &str) -> Result<Review, Failure> {
        let mut review = Review::Nobodys;
        for (name, set) in self.change_sets(&record.id).await? {
            let tags = match may_be_ours(&name) {
                true => self.content_of(&record.id, &set).await?,
                false => None,
            };
            let is_ours = tags.is_some_and(|tags| tags.get(STACK_TAG).is_some_and(|value| value == label));
            if !is_ours {
                return Ok(Review::Somebodys(name));
            }
            review = Review::Ours;
        }
        Ok(review)
    }
}

/// Who seems to own a stack that is not ours: what its tags say.
fn owner(record: &Record, label: &str) -> Option<Text> {
    if let Some(other) = record.tags.get(STACK_TAG).filter(|value| *value != label) {
        return Some(other.clone());
    }
    let telling = |key: &Text| !key.starts_with("terrace:") && !key.starts_with("aws:");
    let tags = record.tags.iter().filter(|(key, _)| telling(key));
    let shown: Vec<String> = tags
        .take(3)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    (!shown.is_empty()).then(|| shown.join(", ").into())
}

/// The tags of a stack without those by which we know it.
pub(super) fn without_marks(record: &Record) -> BTreeMap<Text, Text> {
    let mut tags = record.tags.clone();
    tags.remove(STACK_TAG);
    tags.remove(ADOPTED_TAG);
    tags
}
