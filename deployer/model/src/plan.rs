//! The plan as a value: the steps, their reasons, their risks, and the facts they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use terrace_artifact::{Address, ArtifactId, Bundle, Digest, Origin, Owner, Segment, Text, Value};
use terrace_catalog::nearest;

use crate::claim::StackOrigin;
use crate::failure::Failure;
use crate::live::{Basis, Identity};
use crate::subject::Subject;

/// The schema of a plan's JSON.
pub const PLAN_SCHEMA: &str = include_str!("../../../schemas/plan.schema.json");

/// The steps of an apply. Its JSON has a published schema, `schemas/plan.schema.json`, and is self-contained.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Always `terrace-plan/1`.
    pub format: Text,
    /// The version of the program.
    pub terrace: Text,
    /// The time it was made, such as `2026-11-21T03:30:00Z`.
    pub made: Text,
    /// The user who made it.
    pub who: Text,
    /// The directory of the stack, relative to the user's working directory. Source locations and the paths of
    /// directory targets are relative to it.
    pub folder: PathBuf,
    /// The origin of that directory. An apply of this plan claims the environment for it.
    #[serde(default)]
    pub origin: StackOrigin,
    /// Whether the user accepts that the environment moves here from another directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_origin: bool,
    /// Whether it deploys the bundle or destroys the environment.
    pub purpose: Purpose,
    /// The digest of `bundle`.
    pub digest: Digest,
    /// The only target of `destroy --at`, which the environment no longer names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Text>,
    /// The desired bundle; for a destroy, the bundle to delete.
    pub bundle: Bundle,
    /// The identities of the targets.
    pub targets: BTreeMap<Text, Identity>,
    /// The display name of the state store.
    pub home: Text,
    /// The last release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Text>,
    /// The arguments of `--only`; empty for the whole stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Text>,
    /// Whether fields of other field managers are taken over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
    /// The arguments of `--adopt`: addresses, or `TENANT/COMPONENT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Text>,
    /// All steps in the order of their waves, including steps that change nothing.
    pub steps: Vec<Step>,
    /// The reasons why this plan cannot be applied, such as a foreign resource with the same name. A refused artifact
    /// has no step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Failure>,
    /// The foreign resources that a destroy does not delete although their names belong to this environment. A line
    /// each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<String>,
    /// Notes for the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The purpose of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To deploy a bundle.
    Apply,
    /// To delete everything.
    Destroy,
}

/// The change of one artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The artifact's id.
    pub artifact: ArtifactId,
    /// A key of [`Plan::targets`].
    pub target: Text,
    /// The wave, from 1. Steps of one wave do not depend on each other or on later waves.
    pub wave: u32,
    /// The owner of the component.
    #[serde(rename = "tenant")]
    pub owner: Owner,
    /// The component that owns it.
    pub component: Text,
    /// The display name.
    pub subject: Subject,
    /// The addresses of its resources.
    pub addresses: Vec<Address>,
    /// The part of the artifact's change that this step makes; absent if it makes the whole change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The condition that is not ready yet, if an earlier apply wrote the artifact without seeing it become ready. An
    /// apply waits for it, although it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// The declaring lines; absent if the stack no longer declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Artifacts whose steps must complete first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<ArtifactId>,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// The facts at the time the plan was made.
    pub basis: Basis,
}

/// A part of an artifact's change, if it takes two steps: other artifacts use a removed part and must stop using it
/// first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Everything but the removal of parts that other artifacts use.
    First {
        /// The parts that are kept for now: logical ids of a CloudFormation stack.
        keeps: BTreeSet<Text>,
    },
    /// The removal, after no artifact uses these parts any more.
    Second,
}

/// The change of one artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The action.
    pub action: Action,
    /// The reason: `spec.replicas changes`, `no longer in the stack`.
    pub reason: String,
    /// The highest risk.
    #[serde(default, skip_serializing_if = "Risk::is_none")]
    pub risk: Risk,
    /// The changed fields; empty for a create or a delete, which concern all fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The changed resources of a CloudFormation stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberChange>,
    /// Resources whose data is lost. Each requires approval by address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub loses_data: BTreeSet<Address>,
    /// Foreign objects, and objects without their own step, that are deleted along with a container (a namespace, a
    /// CRD, a CloudFormation stack). Their addresses are also in `loses_data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// Resources whose data is retained but no longer managed. Each requires approval by address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retains: BTreeSet<Address>,
    /// Resources with an address or a credential that other systems use and that a new resource does not have. Each
    /// requires approval by address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub loses_identity: BTreeSet<Address>,
    /// The in-place changes that lose data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Whether the server computed the result. Otherwise it was derived from the observed state.
    pub previewed: bool,
    /// Notes for the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An object that is deleted along with its container.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Content {
    /// The address for `--approve`. An object without its own address has the container's address, with its kind and
    /// name as the key: `platform/base/namespace["Secret/precious"]`.
    pub address: Address,
    /// The kind and name: `Secret precious`. For many objects of one kind: `52 objects of kind Secret`.
    pub shown: String,
    /// The owner, if known: a field manager, a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Text>,
    /// The physical identities of the objects. Objects that were added after the plan was made are not included.
    pub identities: BTreeSet<Text>,
}

impl Content {
    /// Returns the address of an object in a container that does not have its own address. `name` is its kind and name:
    /// `Secret/precious`.
    pub fn address_in(container: &Address, name: &str) -> Address {
        let key = match &container.key {
            Some(key) => format!("{key}: {name}"),
            None => name.to_owned(),
        };
        Address {
            key: Some(key.into()),
            ..container.clone()
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{}, created by `{owner}`", self.shown),
            None => f.write_str(&self.shown),
        }
    }
}

/// The change of one resource of a CloudFormation stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberChange {
    /// The logical id in the template.
    pub logical_id: Text,
    /// The address; absent if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The resource type, such as `AWS::S3::Bucket`.
    #[serde(rename = "type")]
    pub resource_type: Text,
    /// The declaring lines; absent if the stack no longer declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The action.
    pub action: Action,
    /// The reason.
    pub reason: String,
    /// The highest risk.
    #[serde(default, skip_serializing_if = "Risk::is_none")]
    pub risk: Risk,
    /// The changed fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The in-place changes that lose data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
}

/// The action of a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It does not change.
    Keep,
    /// It does not exist and is created.
    Create,
    /// It exists and is not ours; Terrace starts to manage it, because the user named it.
    Adopt,
    /// It is changed in place.
    Update,
    /// It is deleted and created again.
    Replace,
    /// It is deleted.
    Delete,
    /// It is retained without management: an adopted artifact that left the stack, or a CloudFormation resource with a
    /// retention policy.
    Retain,
}

/// The risk of a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// No interruption.
    #[default]
    None,
    /// Pods or instances are restarted.
    Restart,
    /// It does not exist for a while and gets a new identity.
    Replace,
    /// Other systems use an address or a credential of it that a new resource does not have.
    IdentityLoss,
    /// Data is lost.
    DataLoss,
}

impl Risk {
    /// Returns whether there is no risk.
    pub fn is_none(&self) -> bool {
        *self == Risk::None
    }
}

/// The change of one field.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Field {
    /// The path in the object, the template or the resource's properties.
    pub path: Vec<Segment>,
    /// The present value; absent if the field is not set. Secret values are masked.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub before: Option<Value>,
    /// The new value; absent if the field is removed.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Value>,
    /// The source of a value that is known only after apply: `finance/lake/role.arn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_after: Option<Text>,
    /// Whether this field forces the replacement of the resource.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forces_replacement: bool,
}

/// A change that loses data although the resource remains.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Loss {
    /// The field, as in [`Field::path`].
    pub path: Vec<Segment>,
    /// The present value, or the default if the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The effect: `older records are deleted`.
    pub what: String,
}

/// The format of a plan, in [`Plan::format`].
pub const FORMAT: &str = "terrace-plan/1";

/// The placeholder for a secret in a plan.
pub const MASKED: &str = "(secret)";

impl Field {
    /// Creates the change of a field from one known value to another.
    pub fn new(path: Vec<Segment>, before: Option<Value>, after: Option<Value>) -> Field {
        Field {
            path,
            before,
            after,
            known_after: None,
            forces_replacement: false,
        }
    }
}

impl Change {
    /// Creates a change that changes nothing.
    pub fn keep() -> Change {
        Change::of(Action::Keep, "up to date")
    }

    /// Creates a change with only an action and a reason.
    pub fn of(action: Action, reason: impl Into<String>) -> Change {
        Change {
            action,
            reason: reason.into(),
            risk: Risk::None,
            fields: Vec::new(),
            members: Vec::new(),
            loses_data: BTreeSet::new(),
            contents: Vec::new(),
            retains: BTreeSet::new(),
            loses_identity: BTreeSet::new(),
            losses: Vec::new(),
            previewed: false,
            notes: Vec::new(),
        }
    }

    /// Adds the objects that are deleted along with a container. They and the container require approval.
    pub fn delete_contents(&mut self, contents: Vec<Content>, container: &[Address]) {
        if contents.is_empty() {
            return;
        }
        self.loses_data.extend(container.iter().cloned());
        self.loses_data
            .extend(contents.iter().map(|content| content.address.clone()));
        self.contents.extend(contents);
        self.risk = Risk::DataLoss;
    }

    /// Returns the contents that include objects unknown to the plan.
    pub fn unknown_contents(&self, now: Vec<Content>) -> impl Iterator<Item = Content> {
        let known = self.contents.iter().flat_map(|content| &content.identities);
        let known: BTreeSet<&Text> = known.collect();
        now.into_iter()
            .filter(move |content| !content.identities.iter().all(|id| known.contains(id)))
    }

    /// Returns whether the value of some field is known only after other artifacts are ready.
    pub fn waits_for_values(&self) -> bool {
        let late = |fields: &[Field]| fields.iter().any(|field| field.known_after.is_some());
        late(&self.fields) || self.members.iter().any(|member| late(&member.fields))
    }
}

impl Step {
    /// Returns whether it runs after all steps that create or update, and only if these succeeded.
    pub fn runs_last(&self) -> bool {
        matches!(self.change.action, Action::Delete | Action::Retain) || self.stage == Some(Stage::Second)
    }
}

impl Plan {
    /// Returns the bundle after the apply.
    pub fn wanted(&self) -> Bundle {
        match self.purpose {
            Purpose::Apply => self.bundle.clone(),
            Purpose::Destroy => Bundle {
                artifacts: Vec::new(),
                assets: BTreeMap::new(),
                ..self.bundle.clone()
            },
        }
    }

    /// Iterates over the steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|step| step.change.action != Action::Keep)
    }

    /// Returns whether an apply would change nothing.
    pub fn changes_nothing(&self) -> bool {
        self.changes().next().is_none()
    }

    /// Returns whether there is nothing to apply: nothing would change, and there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.changes_nothing() && self.steps.iter().all(|step| step.awaits.is_none())
    }

    /// Returns those of these addresses that need no approval, each with the address that the user may have meant.
    pub fn approved_for_nothing<'a>(
        &'a self,
        approved: &'a BTreeSet<Address>,
    ) -> impl Iterator<Item = (&'a Address, Option<String>)> {
        let needed = self.approvals();
        let open: Vec<String> = needed
            .iter()
            .filter(|address| !approved.contains(**address))
            .map(ToString::to_string)
            .collect();
        let idle = approved.iter().filter(move |address| !needed.contains(*address));
        idle.map(move |address| {
            let meant = nearest(&address.to_string(), open.iter().map(String::as_str));
            (address, meant.map(str::to_owned))
        })
    }

    /// Returns all addresses that require approval: those that lose data, are retained with their data, or lose an
    /// identity that other systems use.
    pub fn approvals(&self) -> BTreeSet<&Address> {
        self.changes_of_steps().flat_map(Change::approvals).collect()
    }

    /// Returns all addresses whose data would be lost.
    pub fn loses_data(&self) -> BTreeSet<&Address> {
        self.changes_of_steps()
            .flat_map(|change| &change.loses_data)
            .collect()
    }

    /// Returns all addresses whose data would be retained but no longer managed.
    pub fn retains(&self) -> BTreeSet<&Address> {
        let lost = self.loses_data();
        let all = self.changes_of_steps().flat_map(|change| &change.retains);
        all.filter(|address| !lost.contains(*address)).collect()
    }

    /// Returns all addresses whose identity would be lost.
    pub fn loses_identity(&self) -> BTreeSet<&Address> {
        self.changes_of_steps()
            .flat_map(|change| &change.loses_identity)
            .collect()
    }

    fn changes_of_steps(&self) -> impl Iterator<Item = &Change> {
        self.steps.iter().map(|step| &step.change)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Keep => "keep",
            Action::Create => "create",
            Action::Adopt => "adopt",
            Action::Update => "update",
            Action::Replace => "replace",
            Action::Delete => "delete",
            Action::Retain => "retain",
        })
    }
}

/// Deserializes a value that is present, including `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
