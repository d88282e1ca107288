//! The plan as a value: what will be done, why, what it risks, and what it rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use terrace_artifact::{Address, ArtifactId, Bundle, Digest, Origin, Segment, Text, Value};
use terrace_catalog::nearest;

use crate::backend::{Basis, Identity, Live};
use crate::claims::StackOrigin;
use crate::error::Refusal;
use crate::failure::Failure;
use crate::loss::Loss;

/// The schema of a plan's JSON.
pub const PLAN_SCHEMA: &str = include_str!("../../schemas/plan.schema.json");

/// What an apply will do. JSON with a published schema, `schemas/plan.schema.json`; needs nothing beside it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Always `terrace-plan/1`.
    pub format: Text,
    /// The version of the program that made it.
    pub terrace: Text,
    /// When it was made, such as `2026-11-21T03:30:00Z`.
    pub made: Text,
    /// Who made it.
    pub who: Text,
    /// The folder of the stack it was made of, from where the user stood: what is declared where is told from there, and
    /// folders that are delivered to are in it.
    pub folder: PathBuf,
    /// The origin of that directory. An apply of this plan claims the environment for it.
    #[serde(default)]
    pub origin: StackOrigin,
    /// Whether the user accepts that the environment moves here from another directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_origin: bool,
    /// Whether it brings the bundle about, or takes everything away.
    pub purpose: Purpose,
    /// The digest of `bundle`.
    pub digest: Digest,
    /// The only target of `destroy --at`, which the environment no longer names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Text>,
    /// What is wanted; for a destroy, what is taken away.
    pub bundle: Bundle,
    /// Who the targets said they are.
    pub targets: BTreeMap<Text, Identity>,
    /// Where the ledger and the lock are, for a reader.
    pub home: Text,
    /// The last release it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Text>,
    /// Addresses the plan was limited to; empty when it is for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Text>,
    /// Whether fields that another manager owns are taken over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
    /// What the user adopted by name: an address, or `TENANT/COMPONENT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopt: Vec<Text>,
    /// All steps in the order of their waves, those that change nothing included.
    pub steps: Vec<Step>,
    /// Why this plan cannot be applied as it is, one for each thing that is in the way (something of the same name that is
    /// not ours). What is refused has no step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Failure>,
    /// What a destroy leaves alone although it has the name of something of this environment: it is not ours. A line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<String>,
    /// What a reader should know beside the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To bring about a bundle.
    Apply,
    /// To take everything away.
    Destroy,
}

/// What is done with one artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Which artifact.
    pub artifact: ArtifactId,
    /// A key of [`Plan::targets`].
    pub target: Text,
    /// Steps of one wave depend on nothing in it or in later ones. From 1.
    pub wave: u32,
    /// The tenant it belongs to, or `platform`.
    pub tenant: Text,
    /// The component it belongs to.
    pub component: Text,
    /// What to call it.
    pub subject: Subject,
    /// The resources in it.
    pub addresses: Vec<Address>,
    /// Which part of the artifact's change it makes; absent where it makes all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What it still lacks, where an earlier apply began it and did not see it settle: an apply waits for it, though it
    /// changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// Where it was declared; absent for what is declared no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Artifacts whose steps have to be done first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<ArtifactId>,
    /// What changes.
    #[serde(flatten)]
    pub change: Change,
    /// What was there when the plan was made.
    pub basis: Basis,
}

/// A part of an artifact's change, where it takes two steps: others use what goes away, and are to stop first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Everything but taking away what others use.
    First {
        /// What stays for now: logical ids of a CloudFormation stack.
        keeps: BTreeSet<Text>,
    },
    /// The rest, when nobody uses it any more.
    Second,
}

/// What an artifact is called by the system it is in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// `Deployment`, `CloudFormation stack`.
    pub kind: Text,
    /// A Kubernetes namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Text>,
    /// Its name.
    pub name: Text,
}

/// How one artifact changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// Why, in words: `spec.replicas changes`, `no longer in the stack`.
    pub reason: String,
    /// The worst that comes of it.
    #[serde(default, skip_serializing_if = "Risk::is_none")]
    pub risk: Risk,
    /// The fields that change; for a create or a delete, empty: all of them do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// For a CloudFormation stack: the resources in it that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberChange>,
    /// Resources whose data is lost. Each has to be approved by address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub loses_data: BTreeSet<Address>,
    /// What goes along with a container (a namespace, a definition, a CloudFormation stack) that is deleted or replaced,
    /// and is not ours, or has no step of its own. The address of each is among `loses_data`, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// Resources whose data is retained but no longer managed. Each has to be approved by address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retains: BTreeSet<Address>,
    /// Resources that have an address or a credential that others use and that a new one does not have. Each has to be approved by
    /// address.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub loses_identity: BTreeSet<Address>,
    /// How data is lost of an object that stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// Whether the server itself said what would come out; otherwise it was worked out from what was read.
    pub previewed: bool,
    /// What a reader should know beside this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Something in a container that is deleted, which the deletion takes along.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Content {
    /// What a user passes to `--approve`. For something that has no address of its own it is the container's, with what it is
    /// as the key: `platform/base/namespace["Secret/precious"]`.
    pub address: Address,
    /// What it is, with its kind and name: `Secret precious`. Of very many of one kind: `52 objects of kind Secret`.
    pub shown: String,
    /// Who owns it, where something tells: a field manager, a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Text>,
    /// The physical identities behind it. What came into the container since the plan was made is not among them.
    pub identities: BTreeSet<Text>,
}

impl Content {
    /// The address of something in a container that has no address of its own. `name` says what it is: `Secret/precious`.
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
            Some(owner) => write!(f, "{}, made by `{owner}`", self.shown),
            None => f.write_str(&self.shown),
        }
    }
}

/// How one resource of a CloudFormation stack changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberChange {
    /// Its name in the template.
    pub logical_id: Text,
    /// Its address; absent where nobody recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Such as `AWS::S3::Bucket`.
    #[serde(rename = "type")]
    pub resource_type: Text,
    /// Where it was declared; absent for what is declared no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What is done.
    pub action: Action,
    /// Why, in words.
    pub reason: String,
    /// The worst that comes of it.
    #[serde(default, skip_serializing_if = "Risk::is_none")]
    pub risk: Risk,
    /// The fields that change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// How data is lost although the resource stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
}

/// What is done with a thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing: it is as it should be.
    Keep,
    /// It does not exist, and will.
    Create,
    /// It exists, is not ours, and will be: the user named it.
    Adopt,
    /// It is changed where it is.
    Update,
    /// It is deleted and created again.
    Replace,
    /// It is deleted.
    Delete,
    /// It stays, and is no longer ours: an adopted artifact that left the stack, a CloudFormation resource that is retained.
    Release,
}

/// The worst that comes of a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Nothing stops.
    #[default]
    None,
    /// Pods or instances are started anew.
    Restart,
    /// It is gone for a while, and its identity is another one.
    Replace,
    /// Others use an address or a credential of it that a new one does not have.
    IdentityLoss,
    /// Data is lost.
    DataLoss,
}

impl Risk {
    /// Whether there is nothing to fear.
    pub fn is_none(&self) -> bool {
        *self == Risk::None
    }
}

/// How one field changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Field {
    /// Where in the object, the template or the resource's properties.
    pub path: Vec<Segment>,
    /// What is there; absent where nothing is. Secret values are masked.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub before: Option<Value>,
    /// What will be there; absent where nothing will be.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Value>,
    /// Where the value comes from, when it is known only after apply: `finance/lake/role.arn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_after: Option<Text>,
    /// Whether this is why the resource has to be replaced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forces_replacement: bool,
}

/// The format of a plan, in [`Plan::format`].
pub(crate) const FORMAT: &str = "terrace-plan/1";

/// What stands for a secret in a plan.
pub const MASKED: &str = "(secret)";

/// Masks the values of a Secret's fields.
pub fn hide_secrets(fields: &mut [Field]) {
    for field in fields {
        let secret = match field.path.first() {
            Some(Segment::Key(key)) => matches!(key.as_str(), "data" | "stringData"),
            _ => false,
        };
        if secret {
            field.before = field.before.take().map(|_| MASKED.into());
            field.after = field.after.take().map(|_| MASKED.into());
        }
    }
}

impl Change {
    /// Nothing changes.
    pub fn keep() -> Change {
        Change::of(Action::Keep, "it is as it should be")
    }

    /// A change with nothing but an action and a reason.
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

    /// It is deleted, and what it holds is lost.
    pub(crate) fn removal(live: &Live) -> Change {
        let mut change = Change::of(Action::Delete, "no longer in the stack");
        change.takes_object(live, None);
        change
    }

    /// Adds what goes along with it; all of that has to be approved, and so does the container itself.
    pub fn take_along(&mut self, contents: Vec<Content>, container: &[Address]) {
        if contents.is_empty() {
            return;
        }
        self.loses_data.extend(container.iter().cloned());
        self.loses_data
            .extend(contents.iter().map(|content| content.address.clone()));
        self.contents.extend(contents);
        self.risk = Risk::DataLoss;
    }

    /// Those of these contents that have something in them which the plan does not know of.
    pub(crate) fn unknown_contents(&self, now: Vec<Content>) -> impl Iterator<Item = Content> {
        let known = self.contents.iter().flat_map(|content| &content.identities);
        let known: BTreeSet<&Text> = known.collect();
        now.into_iter()
            .filter(move |content| !content.identities.iter().all(|id| known.contains(id)))
    }

    /// Whether some field's value is known only when others have settled.
    pub fn waits_for_values(&self) -> bool {
        let late = |fields: &[Field]| fields.iter().any(|field| field.known_after.is_some());
        late(&self.fields) || self.members.iter().any(|member| late(&member.fields))
    }
}

impl Step {
    /// In words, that it deletes more than what is ours.
    fn deletes_along(&self) -> String {
        match self.change.action {
            Action::Delete | Action::Replace => format!("{} is deleted with all that is in it", self.subject),
            _ => format!("this deletes resources of {}", self.subject),
        }
    }

    /// Whether it is taken after all that bring something about, and only if these went well.
    pub(crate) fn takes_away(&self) -> bool {
        matches!(self.change.action, Action::Delete | Action::Release) || self.stage == Some(Stage::Second)
    }
}

impl Plan {
    /// What is there when it has been applied.
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

    /// The steps that change something.
    pub fn changes(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|step| step.change.action != Action::Keep)
    }

    /// Whether applying it would change nothing.
    pub fn changes_nothing(&self) -> bool {
        self.changes().next().is_none()
    }

    /// Whether there is nothing to apply: nothing would change, and nothing is left to be waited for.
    pub fn is_empty(&self) -> bool {
        self.changes_nothing() && self.steps.iter().all(|step| step.awaits.is_none())
    }

    /// Those of these addresses whose approval applying it does not need, each with the one that may have been meant.
    pub(crate) fn approved_for_nothing<'a>(
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

    /// Whether it may be applied by who has approved these addresses.
    pub fn allowed(&self, approved: &BTreeSet<Address>) -> Result<(), Refusal> {
        if !self.refusals.is_empty() {
            return Err(Refusal::NotAllowed(self.refusals.clone()));
        }
        let open = |addresses: BTreeSet<&Address>| -> Vec<Address> {
            let missing = addresses
                .into_iter()
                .filter(|address| !approved.contains(*address));
            missing.cloned().collect()
        };
        let addresses = open(self.approvals());
        if addresses.is_empty() {
            return Ok(());
        }
        let containers = self.steps.iter().filter_map(|step| {
            let contents = step.change.contents.iter();
            let contents = contents.filter(|content| !approved.contains(&content.address));
            let contents: Vec<String> = contents.map(ToString::to_string).collect();
            (!contents.is_empty()).then(|| (step.deletes_along(), contents))
        });
        Err(Refusal::DataLoss {
            addresses,
            retains: open(self.retains()),
            loses_identity: open(self.loses_identity()),
            containers: containers.collect(),
        })
    }

    /// All addresses that have to be approved before it is applied: what loses data, is retained with its data,
    /// or loses an identity that others use.
    pub fn approvals(&self) -> BTreeSet<&Address> {
        self.changes_of_steps().flat_map(Change::approvals).collect()
    }

    /// All addresses whose data would be lost.
    pub fn loses_data(&self) -> BTreeSet<&Address> {
        self.changes_of_steps()
            .flat_map(|change| &change.loses_data)
            .collect()
    }

    /// All addresses whose data would be retained but no longer managed.
    pub fn retains(&self) -> BTreeSet<&Address> {
        let lost = self.loses_data();
        let all = self.changes_of_steps().flat_map(|change| &change.retains);
        all.filter(|address| !lost.contains(*address)).collect()
    }

    /// All addresses whose identity would be lost.
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
            Action::Release => "release",
        })
    }
}

impl fmt::Display for Subject {
    /// `Deployment data-tenant-finance/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
