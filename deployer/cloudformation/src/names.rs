//! Explicit names of resources, and conflicts between them that a plan can detect.
//!
//! CloudFormation creates new resources before it deletes old ones, and retained resources remain in the account. The creation
//! of a resource with the name of such a resource fails at each attempt, so the plan refuses it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use terrace_artifact::{Artifact, ArtifactId, Text, Value};
use terrace_deployer_model::backend::PlanDraft;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::plan::{Action, MemberChange, Stage, Step};
use terrace_deployer_model::values::Late;

use super::account::Account;
use super::bucket::status;
use super::record::Observed;
use super::template::{self, flat};

/// The number of parallel requests for buckets.
const AT_ONCE: usize = 8;

/// Returns the properties whose values must be unique in an account: those that identify a resource together, and those that
/// contain a name by themselves.
pub(super) fn own_names(resource_type: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let Some(known) = terrace_catalog::cloudformation(resource_type) else {
        return Default::default();
    };
    let identifier = known.primary_identifier();
    let is_user_defined = identifier.iter().all(|path| !known.read_only().contains(path));
    let short = resource_type.rsplit("::").next().unwrap_or_default();
    let is_name_property = |path: &&str| {
        !path.contains('/')
            && (*path == "Name" || path.strip_suffix("Name").is_some_and(|of| short.ends_with(of)))
    };
    let names = known
        .create_only()
        .iter()
        .copied()
        .filter(is_name_property)
        .collect();
    (
        if is_user_defined {
            identifier.to_vec()
        } else {
            Vec::new()
        },
        names,
    )
}

/// A name that is unique among the resources of one type: the type and the name.
type Name = (Text, Text);

/// The live resource that has a name.
#[derive(Clone)]
struct Holder {
    stack: ArtifactId,
    /// The address of the resource, or its logical id.
    shown: String,
    holds_data: bool,
    fate: Fate,
}

/// The effect of a plan on the live resource that has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The plan does not change the resource.
    Stands,
    /// Its stack retains it in the account and no longer contains it.
    Retained,
    /// An update of its stack deletes it. The name is free for the steps that wait for this update.
    DeletedByUpdate,
    /// The plan deletes it after all other steps.
    DeletedLast,
}

impl Holder {
    fn is_gone_before(&self, step: &Step) -> bool {
        self.fate == Fate::DeletedByUpdate && step.after.contains(&self.stack)
    }
}

impl Account {
    /// Returns a failure for each new resource of a plan whose name is taken: by a resource that remains, by a resource that is
    /// deleted only later, or by a bucket that does not belong to this environment.
    pub(super) async fn taken_names(&self, draft: &PlanDraft<'_>) -> Result<Vec<Failure>, Failure> {
        let steps = draft.steps.iter().filter(|step| step.target == *draft.target);
        let created: Vec<(&Step, &MemberChange, Name)> =
            steps.flat_map(|step| created_names(step, draft)).collect();
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

    /// Returns whether this account has a bucket with this name. Returns `false` if a permission is missing.
    async fn has_bucket(&self, name: Text) -> Result<bool, Failure> {
        match self.s3.head_bucket().bucket(name.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if matches!(status(&error), 301 | 400 | 403 | 404) => Ok(false),
            Err(error) => Err(self.refused(&error, "s3:ListBucket", &name)),
        }
    }
}

/// Returns the names of all resources in the stacks of this environment, and the effect of the plan on these resources.
fn holders(draft: &PlanDraft<'_>) -> BTreeMap<Name, Holder> {
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

/// Returns the effect of the steps of its stack on a resource, or `None` if it is deleted before any resource is created.
fn fate(logical_id: &Text, resource: &Value, steps: &[&Step]) -> Option<Fate> {
    let stays = |policy: &str| template::keeps(resource, policy).is_some_and(|kept| kept != "Snapshot");
    let mut fate = Fate::Stands;
    for step in steps {
        let whole = match step.change.action {
            // The whole stack is deleted before it is created again.
            Action::Replace => return stays("DeletionPolicy").then_some(Fate::Retained),
            Action::Delete => Some(Action::Delete),
            _ => None,
        };
        let mut members = step.change.members.iter();
        let member = members.find(|member| member.logical_id == *logical_id);
        let is_deleted_last = whole.is_some() || step.stage == Some(Stage::Second);
        fate = match whole.or(member.map(|member| member.action)) {
            Some(Action::Retain) => Fate::Retained,
            Some(Action::Delete) if stays("DeletionPolicy") => Fate::Retained,
            Some(Action::Replace) if stays("UpdateReplacePolicy") => Fate::Retained,
            Some(Action::Delete) if is_deleted_last => Fate::DeletedLast,
            Some(Action::Delete | Action::Replace) => Fate::DeletedByUpdate,
            _ => fate,
        };
    }
    Some(fate)
}

/// Returns the names of the resources that a step creates.
fn created_names<'a>(step: &'a Step, draft: &PlanDraft<'a>) -> Vec<(&'a Step, &'a MemberChange, Name)> {
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

/// Returns the unique name of a resource among the resources of its type. If AWS generates the identifier, the property `Name`
/// is unique only for types that hold data, such as a secret: two Athena queries may have the same name.
pub(super) fn unique_name(
    resource: &Value,
    parameters: &BTreeMap<Text, Late<Text>>,
    holds_data: bool,
) -> Option<Name> {
    let resource_type = template::resource_type(resource);
    let (identifier, names) = own_names(resource_type);
    let names = names.into_iter().filter(|name| holds_data || *name != "Name");
    // One part of an identifier with several parts is not unique.
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
            "`{resource_type}` `{name}` cannot be created again: apply must first delete its incomplete CloudFormation stack, and \
             this deletion retains the existing resource in the account"
        );
        return Failure::new(FailureKind::Protected, message)
            .hint("choose another name: Terrace cannot import an existing resource into a stack yet");
    }
    let shown = &holder.shown;
    let keep = format!("keep the resource at the address `{shown}`, or choose another name");
    let (fate, hint) = match (holder.fate, holder.holds_data) {
        (Fate::Stands, _) => ("", "rename one of the two resources".to_owned()),
        (Fate::Retained, _) => (
            " and is retained in the account",
            format!("{keep}: Terrace cannot import an existing resource into a stack yet"),
        ),
        (_, true) => (", and apply deletes it with its data only after the creation", keep),
        (_, false) => (
            ", and apply deletes it only after the creation",
            "choose another name, or remove the old resource in one apply and declare the new one in the next".to_owned(),
        ),
    };
    let message = format!("`{resource_type}` `{name}` cannot be created: `{shown}` has this name{fate}");
    Failure::new(FailureKind::Protected, message).hint(hint)
}

fn unknown_bucket(bucket: &str) -> Failure {
    let message = format!("bucket `{bucket}` cannot be created: it already exists in this account");
    Failure::new(FailureKind::Protected, message).hint(
        "choose another name: Terrace cannot import an existing bucket into a stack yet. No stack of this environment contains \
         the bucket, and it may hold data: an earlier stack may have retained it",
    )
}
