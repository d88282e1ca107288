//! The display names of artifacts.

use std::fmt;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Artifact, Body, Text};

/// The name of an artifact in the target system.
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

impl Subject {
    /// Returns the subject of an artifact.
    pub fn of(artifact: &Artifact) -> Subject {
        match &artifact.body {
            Body::Object(object) => Subject {
                kind: object.kind.clone(),
                namespace: object.namespace.clone(),
                name: object.name.clone(),
            },
            Body::Stack(stack) => Subject::stack(&stack.name),
        }
    }

    /// Returns the subject of the CloudFormation stack with this name.
    pub fn stack(name: &Text) -> Subject {
        Subject {
            kind: "CloudFormation stack".into(),
            namespace: None,
            name: name.clone(),
        }
    }
}

impl fmt::Display for Subject {
    /// Writes `Deployment data-tenant-finance/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
