//! The names that resources give themselves, and what a plan can know of names that are taken.
//!
//! CloudFormation creates what is new before it deletes what goes, and leaves in the account what is retained. A resource that
//! is to have the name of such a one is refused while it is created, each time it is tried: the plan says so instead.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use terrace_artifact::{Artifact, ArtifactId, Text, Value};

use crate::backend::Draft;
use crate::failure::{Failure, FailureKind};
use crate::plan::{Action, MemberChange, Stage, Step};
use crate::values::Late;

use super::account::Account;
use super::bucket::status;
use super::record::Observed;
use super::template::{self, flat};

/// How many buckets are for the component at once.
const AT_ONCE: usize = 8;

/// The properties that no two resources of an account can have alike: those that identify one together, and those that
/// hold a name on their own.
pub(super) fn own_names(resource_type: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let Some(known) = terrace_catalog::cloudformation(resource_type) else {
        return Default::default();
    };
    let identifier = known.primary_identifier();
    let given = identifier.iter().all(|path| !known.read_only().contains(path));
    let short = resource_type.rsplit("::").next().unwrap_or_default();
    let naming = |path: &&str| {
        !path.contains('/')
            && (*path == "Name" || path.strip_suffix("Name").is_some_and(|of| short.ends_with(of)))
    };
    let names = known.create_only().iter().copied().filter(naming).collect();
    (if given { identifier.to_vec() } else { Vec::new() }, names)
}

/// A name that two resources of one type cannot have: the type and the name.
type Name = (Text, Text);

/// Who has a name now.
#[derive(Clone)]
struct Holder {
    stack: ArtifactId,
    /// Its address, or its logical id.
    shown: String,
    holds_data: bool,
    fate: Fate,
}

/// What a plan does with whoever has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing.
    Stands,
    /// Its stack retains it in the account and no longer contains it.
    Retained,
    /// An update of its stack deletes it: whatever waits for that finds the name free.
    DeletedByUpdate,
    /// It is deleted when all else is done.
    DeletedLast,
}

impl Holder {
    fn is_gone_before(&self, step: &Step) -> bool {
        self.fate == Fate::DeletedByUpdate && step.after.contains(&self.stack)
    }
}

impl Account {
    /// The resources of a plan that cannot be created, because something has their name that stays, is deleted only later, or
    /// is not known to this environment.
    pub(super) async fn taken_names(&self, draft: &Draft<'_>) -> Result<Vec<Failure>, Failure> {
        let steps = draft.steps.iter().filter(|step| step.target == *draft.target);
        let created: Vec<(&Step, &MemberChange, Name)> =
            steps.flat_map(|step| names_that_come(step, draft)).collect();
        if created.is_empty() {
            return Ok(Vec::new());
        }
        let holders = holders(draft);
        let mut taken = Vec::new();
        let mut buckets = Vec::new();
        for (step, member, name) in created {
            let holder = holders.get(&name);
            let failure = match holder.filter(|holder| !holder.is_gone_before(step)) {
                Some(holder) => name_is_taken(&name, holder, step),
                None if holder.is_none() && &*name.0 == "AWS::S3::Bucket" => {
                    buckets.push((member, name.1));
                    continue;
                }
                None => continue,
            };
            taken.push(failure.about(member.address.as_ref(), member.origin.as_ref()));
        }
        let names: Vec<Text> = buckets.iter().map(|(_, bucket)| bucket.clone()).collect();
        let exist: Vec<bool> = futures::stream::iter(names)
            .map(|bucket| self.has_bucket(bucket))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for ((member, bucket), _) in buckets.iter().zip(exist).filter(|(_, exists)| *exists) {
            let failure = unknown_bucket(bucket);
            taken.push(failure.about(member.address.as_ref(), member.origin.as_ref()));
        }
        Ok(taken)
    }

    /// Whether a bucket of this account has a name. Who may not ask is not told.
    async fn has_bucket(&self, name: Text) -> Result<bool, Failure> {
        match self.s3.head_bucket().bucket(name.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if matches!(status(&error), 301 | 400 | 403 | 404) => Ok(false),
            Err(error) => Err(self.refused(&error, "s3:ListBucket", &name)),
        }
    }
}

/// Who has which name now, in all stacks of ours, and what the plan does with it.
fn holders(draft: &Draft<'_>) -> BTreeMap<Name, Holder> {
    let mut steps: BTreeMap<&ArtifactId, Vec<&Step>> = BTreeMap::new();
    for step in draft.steps {
        steps.entry(&step.artifact).or_default().push(step);
    }
    let mut holders = BTreeMap::new();
    for (id, (target, live)) in draft.live {
        if target != draft.target || !live.ownership.is_ours() {
            continue;
        }
        let observed = Observed::from_value(&live.value);
        let known = observed.parameters();
        for (logical_id, resource) in template::resources(&observed.template) {
            let holds_data = observed.holds_data(logical_id);
            let Some(name) = unique_name(resource, &known, holds_data) else {
                continue;
            };
            let of_stack = steps.get(id).map_or(&[][..], Vec::as_slice);
            let Some(fate) = fate(logical_id, resource, of_stack) else {
                continue;
            };
            let address = observed.addresses.get(logical_id);
            let holder = Holder {
                stack: id.clone(),
                shown: address.map_or(logical_id.to_string(), ToString::to_string),
                holds_data,
                fate,
            };
            holders.insert(name, holder);
        }
    }
    holders
}

/// What the steps of its stack do with a resource; nothing where it is gone before anything is created.
fn fate(logical_id: &Text, resource: &Value, steps: &[&Step]) -> Option<Fate> {
    let stays = |policy: &str| template::keeps(resource, policy).is_some_and(|kept| kept != "Snapshot");
    let mut fate = Fate::Stands;
    for step in steps {
        let whole = match step.change.action {
            // Its stack is deleted before it is made anew.
            Action::Replace => return stays("DeletionPolicy").then_some(Fate::Retained),
            Action::Delete => Some(Action::Delete),
            _ => None,
        };
        let mut members = step.change.members.iter();
        let member = members.find(|member| member.logical_id == *logical_id);
        let at_the_end = whole.is_some() || step.stage == Some(Stage::Second);
        fate = match whole.or(member.map(|member| member.action)) {
            Some(Action::Release) => Fate::Retained,
            Some(Action::Delete) if stays("DeletionPolicy") => Fate::Retained,
            Some(Action::Replace) if stays("UpdateReplacePolicy") => Fate::Retained,
            Some(Action::Delete) if at_the_end => Fate::DeletedLast,
            Some(Action::Delete | Action::Replace) => Fate::DeletedByUpdate,
            _ => fate,
        };
    }
    Some(fate)
}

/// The names of what a step creates.
fn names_that_come<'a>(step: &'a Step, draft: &Draft<'a>) -> Vec<(&'a Step, &'a MemberChange, Name)> {
    let Some(stack) = draft.bundle.artifact(&step.artifact).and_then(Artifact::stack) else {
        return Vec::new();
    };
    let created = step
        .change
        .members
        .iter()
        .filter(|member| member.action == Action::Create);
    let created: Vec<&MemberChange> = created.collect();
    if created.is_empty() {
        return Vec::new();
    }
    let parameters = draft.values.parameters(stack);
    let named = created.into_iter().filter_map(|member| {
        let resource = template::resource(&stack.template, &member.logical_id)?;
        let declared = stack.members.get(&member.logical_id);
        let holds_data = declared.is_some_and(|member| member.holds_data);
        Some((step, member, unique_name(resource, &parameters, holds_data)?))
    });
    named.collect()
}

/// The name that a resource has to itself among those of its type. `Name` beside an identifier that AWS generates is one for
/// what holds data (a secret); a query or a step may have the name of another.
pub(super) fn unique_name(
    resource: &Value,
    parameters: &BTreeMap<Text, Late<Text>>,
    holds_data: bool,
) -> Option<Name> {
    let resource_type = template::resource_type(resource);
    let (identifier, names) = own_names(resource_type);
    let names = names.into_iter().filter(|name| holds_data || *name != "Name");
    // A part of an identifier that has several parts names nothing.
    let alone = identifier.len() == 1;
    let mut paths = identifier.into_iter().filter(|_| alone).chain(names);
    let properties = resource.get("Properties")?;
    let name = paths.find_map(|path| {
        let path: Vec<&str> = path.split('/').collect();
        match flat(properties.at(&path)?, parameters) {
            Value::String(name) if name.is_ascii() => Some(name),
            _ => None,
        }
    })?;
    Some((resource_type.into(), name))
}

fn name_is_taken((resource_type, name): &Name, holder: &Holder, step: &Step) -> Failure {
    if step.change.action == Action::Replace && holder.stack == step.artifact {
        let message = format!(
            "`{resource_type}` `{name}` cannot be created again: its stack is unfinished and has to be deleted first, and it stays \
             in the account"
        );
        return Failure::new(FailureKind::Protected, message).hint(
            "give the new one another name: terrace cannot take an existing resource into a stack yet",
        );
    }
    let shown = &holder.shown;
    let (has_it, hint) = match (holder.fate, holder.holds_data) {
        (Fate::Stands, _) => ("", "give one of them another name"),
        (Fate::Retained, _) => (
            ", and is retained in the account",
            "leave it where it is declared now, or give the new one another name: terrace cannot take an existing resource into \
             a stack yet",
        ),
        (_, true) => (
            ", and would be deleted with its data only afterwards",
            "leave it where it is declared now, or give the new one another name",
        ),
        (_, false) => (
            ", and is deleted only afterwards",
            "give the new one another name; or take the old one out of the stack in one apply, and declare the new one in the next",
        ),
    };
    let message = format!("`{resource_type}` `{name}` cannot be created: `{shown}` has this name{has_it}");
    Failure::new(FailureKind::Protected, message).hint(hint)
}

fn unknown_bucket(bucket: &str) -> Failure {
    let message = format!("bucket `{bucket}` cannot be created: it exists in this account already");
    Failure::new(FailureKind::Protected, message).hint(
        "no stack of this environment has it, and it may hold data: a bucket is retained when it leaves its stack or its stack is \
         deleted. Give the new one another name: terrace cannot take an existing bucket into a stack yet",
    )
}
