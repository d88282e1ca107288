//! Resources with references in them: what modules expand to, and what the later phases work on.

use terrace_artifact::{Address, Class, Text};

use crate::source::Span;
use crate::term::{Reference, Term};

/// One resource of one component.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in the platform.
    pub address: Address,
    /// What kind of thing it is.
    pub kind: ResourceKind,
    /// The properties of a CloudFormation resource, or the whole Kubernetes object with `apiVersion` and `kind`.
    pub body: Term,
    /// Names in the same component that it says it comes after.
    pub depends_on: Vec<(Text, Span)>,
    /// `DeletionPolicy` and its like, of a CloudFormation resource.
    pub attributes: Vec<(Text, Term)>,
    /// Whether losing it loses data.
    pub holds_data: bool,
    /// Whether only principals that a policy of the platform names may use what is in it.
    pub granted_only: bool,
    /// The key that declares it, in its module or in the stack.
    pub declared: Span,
    /// The component it is part of: an index into [`Expanded::instances`].
    pub instance: usize,
    /// Which of the component's CloudFormation stacks it is in: 0 is the one of the component's own name.
    pub part: u32,
}

impl Resource {
    /// A reference to one of its attributes: it means the same wherever it stands.
    pub(crate) fn attribute(&self, name: &str, span: Span) -> Term {
        Reference::of_address(self.address.to_string(), name, span).into()
    }
}

/// What kind of thing a resource is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResourceKind {
    /// Such as `AWS::S3::Bucket`.
    CloudFormation(Text),
    /// Such as `apps/v1` and `Deployment`.
    Kubernetes {
        /// Group and version.
        api_version: Text,
        /// The kind.
        kind: Text,
    },
}

impl ResourceKind {
    /// Whether a resource of this kind with this body holds data, by the catalog. Its module may say otherwise.
    pub(crate) fn holds_data(&self, body: &Term) -> bool {
        let data = match self {
            ResourceKind::CloudFormation(name) => terrace_catalog::data_of_type(name),
            ResourceKind::Kubernetes { api_version, kind } => {
                terrace_catalog::data_of_object(api_version, kind, body).data
            }
        };
        data.class == terrace_catalog::DataClass::Data
    }

    /// The type of a CloudFormation resource.
    pub fn cloudformation(&self) -> Option<&str> {
        if let ResourceKind::CloudFormation(name) = self {
            Some(name)
        } else {
            None
        }
    }

    /// The kind of a Kubernetes object.
    pub fn kubernetes(&self) -> Option<&str> {
        if let ResourceKind::Kubernetes { kind, .. } = self {
            Some(kind)
        } else {
            None
        }
    }
}

/// What stands for the tenant in the addresses of components that have none.
pub const PLATFORM: &str = "platform";

/// One use of a module (or of a component's own resources, or of a pipeline) for the platform or for one tenant.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The tenant's name, or `platform`.
    pub tenant: Text,
    /// The component's name.
    pub component: Text,
    /// The name its composed names were made of, for good: an earlier one where it was `moved_from`.
    pub identity: Text,
    /// The module's name, where it is of a module.
    pub module: Option<Text>,
    /// The base of composed names: `PLATFORM-ENVIRONMENT-TENANT-COMPONENT`, in slugs.
    pub name: Text,
    /// The Kubernetes namespace of its objects.
    pub namespace: Text,
    /// The name of its Kubernetes target in the environment, where it has one.
    pub cluster: Option<Text>,
    /// The name of its AWS target in the environment, where it has one.
    pub account: Option<Text>,
    /// The place that asked for it: the `name` of its document.
    pub declared: Span,
    /// What it tells others.
    pub outputs: Vec<(Text, Term)>,
    /// Into how many CloudFormation stacks its repeated resources are divided; 0 where they are not.
    pub divided: u32,
    /// Components that its module requires, as `ref` finds them: module names.
    pub requires: Vec<Text>,
}

impl Instance {
    /// The name of one of its CloudFormation stacks.
    pub fn stack_name(&self, part: u32) -> Text {
        match part {
            0 => self.name.clone(),
            part => format!("{}-{part}", self.name).into(),
        }
    }
}

/// Where a resource is deployed to, as far as compile time knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The environment's class.
    pub class: Class,
    /// The 12 digits, where the environment names an account.
    pub account: Option<Text>,
    /// The region, where the environment names one.
    pub region: Option<Text>,
    /// Whether schedules and events start the pipelines there.
    pub triggers: bool,
}

/// What phase 4 makes: components and their resources, references unresolved.
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// Every use of every component, in order of tenant and name.
    pub instances: Vec<Instance>,
    /// Their resources, in order of instance and declaration.
    pub resources: Vec<Resource>,
}
