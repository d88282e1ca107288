//! The live state: the current state of a target and its artifacts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use terrace_artifact::{Address, ArtifactId, Text, Value};

use crate::ownership::Ownership;
use crate::subject::Subject;

/// The identity of a target, as the system reports it. A plan is applied only to the targets it was made for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// `directory`, `kubernetes` or `aws`.
    pub kind: Text,
    /// Stable and unique: the UID of the namespace `kube-system`, `ACCOUNT/REGION`, or a path.
    pub id: Text,
    /// The display name: `cluster acme-prod at https://10.0.0.1:6443`, `account 111122223333 in eu-west-1`.
    pub shown: Text,
}

/// The live state of an artifact.
#[derive(Clone, PartialEq, Debug)]
pub struct Live {
    /// The artifact's id.
    pub id: ArtifactId,
    /// The display name.
    pub subject: Subject,
    /// The owner.
    pub ownership: Ownership,
    /// The physical identity, which a replacement does not share: an object's UID, a stack id. Empty if the system has
    /// no such identity (a file).
    pub identity: Text,
    /// Notes for the user that apply whatever the plan does with the artifact, such as a lost mark.
    pub notes: Vec<String>,
    /// The facts about this artifact that a plan depends on.
    pub basis: Basis,
    /// The addresses of its resources, as recorded on the live artifact (or in the last bundle): one for an object, one
    /// for each member of a CloudFormation stack. The user passes them to `--approve`.
    pub addresses: Vec<Address>,
    /// Those of `addresses` whose data the live artifact is marked to hold. Deleting the resource from the stack's
    /// documents does not remove the mark.
    pub holds_data: Vec<Address>,
    /// The artifacts that must be deleted after this one, as far as the live artifact shows: an object's namespace, a
    /// custom resource's CRD. The engine adds the dependencies of the last bundle and ignores ids that are not deleted.
    pub needs: BTreeSet<ArtifactId>,
    /// The data that the backend needs again later: the live object, or the template and outputs of a CloudFormation
    /// stack. The engine does not read it.
    pub value: Value,
}

/// The facts that a plan depends on, at the time it was made. If one of them differs at apply, the plan is stale.
///
/// Contains only facts that other users and controllers do not change without touching our resources: the UID, our own
/// fields with their live values, a CloudFormation stack's status and last change set; never `resourceVersion` or
/// `generation`. Secret values are digests.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Basis(pub BTreeMap<Text, Value>);

impl Basis {
    /// The fact that an operation was running when the plan was made (a CloudFormation stack that was being created).
    pub const IN_PROGRESS: &str = "in progress";

    /// Creates the basis of an artifact that does not exist.
    pub fn absent() -> Basis {
        Basis::default()
    }

    /// Returns whether this is the basis of an artifact that exists.
    pub fn exists(&self) -> bool {
        !self.0.is_empty()
    }

    /// Describes the differences from `now`, a line for each fact. An operation that was running at plan time must have
    /// ended since, with any result; then only the identity is compared.
    pub fn moved(&self, now: &Basis) -> Vec<String> {
        let in_progress = self.0.contains_key(Basis::IN_PROGRESS);
        match (self.exists(), now.exists()) {
            (false, false) => return Vec::new(),
            (true, false) if in_progress => return Vec::new(),
            (true, false) => return vec!["it no longer exists".to_owned()],
            (false, true) => return vec!["it exists now".to_owned()],
            (true, true) => {}
        }
        let mut names: BTreeSet<&Text> = self.0.keys().chain(now.0.keys()).collect();
        if in_progress {
            names.retain(|name| *name != Basis::IN_PROGRESS && self.0.contains_key(*name));
        }
        let mut lines = Vec::new();
        for name in names {
            match (self.0.get(name), now.0.get(name)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => {
                    lines.push(format!("`{name}` was {before} and is now {after}"));
                }
                (Some(before), None) => lines.push(format!("`{name}` was {before} and is now absent")),
                (None, Some(after)) => lines.push(format!("`{name}` was absent and is now {after}")),
                (None, None) => {}
            }
        }
        lines
    }
}

/// The label on everything that Terrace manages; its value is [`terrace_artifact::Bundle::label`].
pub const LABEL: &str = "terrace.dev/stack";
/// The annotation (and tag key) that contains the resource's address.
pub const ADDRESS: &str = "terrace.dev/address";
/// The annotation (and tag key) of adopted artifacts; its value is `"true"`.
pub const ADOPTED: &str = "terrace.dev/adopted";
/// The annotation of an object that holds data; its value is `"true"`.
pub const HOLDS_DATA: &str = "terrace.dev/holds-data";
