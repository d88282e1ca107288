//! The places that an environment is deployed to, as claims and `terrace.lock` record them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Artifact, Target, Text};

use crate::live::Identity;

/// The places of an environment, with the number of artifacts that are deployed in each.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Deployment {
    /// The key in `targets` of the place with the state store.
    pub store: Text,
    /// The places, by the names that the environment gives them.
    pub targets: BTreeMap<Text, Place>,
}

/// A cluster, an account and region, or a directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// `kubernetes`, `aws` or `directory`.
    pub kind: Text,
    /// The uid of the namespace `kube-system`, `ACCOUNT/REGION`, or the directory as the environment names it.
    pub id: Text,
    /// The name for messages: `cluster acme-prod`, `account 111122223333 in eu-west-1`.
    pub shown: Text,
    /// The kubeconfig context of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Text>,
    /// The AWS profile of an account, if the environment states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Text>,
    /// The number of deployed objects or CloudFormation stacks, by component.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<Text, u32>,
}

impl Place {
    /// Creates the record of an identified target, without components.
    pub fn of(target: &Target, identity: &Identity) -> Place {
        let (id, shown, context, profile) = match target {
            // The identity of a directory names the environment, not the path.
            Target::Directory { path } => (path.clone(), format!("directory {path}"), None, None),
            Target::Kubernetes { context, .. } => (
                identity.id.clone(),
                format!("cluster {context}"),
                Some(context.clone()),
                None,
            ),
            Target::Aws { profile, .. } => (
                identity.id.clone(),
                identity.shown.to_string(),
                None,
                profile.clone(),
            ),
        };
        Place {
            kind: identity.kind.clone(),
            id,
            shown: shown.into(),
            context,
            profile,
            components: BTreeMap::new(),
        }
    }

    /// Returns whether the place is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == "directory"
    }

    /// Returns the target to connect to. Returns nothing for a kind that this version does not know.
    pub fn target(&self) -> Option<Target> {
        match self.kind.as_str() {
            "directory" => Some(Target::Directory {
                path: self.id.clone(),
            }),
            "kubernetes" => Some(Target::Kubernetes {
                context: self.context.clone()?,
                distribution: "kubernetes".into(),
                id: Some(self.id.clone()),
            }),
            "aws" => {
                let (account, region) = self.id.split_once('/')?;
                Some(Target::Aws {
                    account: account.into(),
                    region: region.into(),
                    profile: self.profile.clone(),
                })
            }
            _ => None,
        }
    }

    /// Returns whether both are the same system, under any name.
    pub fn is_same(&self, other: &Place) -> bool {
        self.kind == other.kind && self.id == other.id
    }

    /// Returns whether `text`, an argument of a command, names this place.
    pub fn is_meant_by(&self, text: &str) -> bool {
        self.id == text || self.context.as_deref() == Some(text)
    }

    /// Adds one artifact of a component.
    pub fn count(&mut self, component: &Text) {
        *self.components.entry(component.clone()).or_default() += 1;
    }

    /// Describes what is deployed here: `3 CloudFormation stacks: lake (2), orders (1)`, or `nothing`.
    pub fn contents(&self) -> String {
        let total: u32 = self.components.values().sum();
        let unit = match (self.kind.as_str(), total) {
            (_, 0) => return "nothing".to_owned(),
            ("aws", 1) => "CloudFormation stack",
            ("aws", _) => "CloudFormation stacks",
            ("kubernetes", 1) => "object",
            ("kubernetes", _) => "objects",
            (_, 1) => "artifact",
            _ => "artifacts",
        };
        let each = self
            .components
            .iter()
            .map(|(component, count)| format!("{component} ({count})"));
        format!("{total} {unit}: {}", each.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Deployment {
    /// Adds an artifact to its place.
    pub fn count(&mut self, artifact: &Artifact) {
        if let Some(place) = self.targets.get_mut(&artifact.target) {
            place.count(artifact.component().1);
        }
    }

    /// Returns the place with the state store.
    pub fn state_store(&self) -> Option<&Place> {
        self.targets.get(&self.store)
    }

    /// Returns whether one of the places is this one, under any name.
    pub fn has(&self, place: &Place) -> bool {
        self.targets.values().any(|other| other.is_same(place))
    }

    /// Returns whether nothing is deployed in any place.
    pub fn is_empty(&self) -> bool {
        self.targets.values().all(|place| place.components.is_empty())
    }

    /// Returns the places that hold artifacts or the state store.
    pub fn holders(&self) -> impl Iterator<Item = (&Text, &Place)> {
        let targets = self.targets.iter();
        targets.filter(|(name, place)| !place.components.is_empty() || **name == self.store)
    }

    /// Returns the places that `now` does not have and that hold artifacts or the state store.
    pub fn left_behind<'a>(&'a self, now: &'a Deployment) -> impl Iterator<Item = (&'a Text, &'a Place)> {
        self.holders().filter(|(_, place)| !now.has(place))
    }
}
