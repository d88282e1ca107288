//! Resources with unresolved references. Modules expand to them, and the later phases use them.

use std::num::NonZeroU32;

use terrace_artifact::{Address, Class, Owner, Partition, Text};
use terrace_syntax::source::Span;

use crate::target_languages;
use crate::targets::TargetLanguage;
use crate::value::term::{Reference, Term};

/// One resource of one component.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The address in the platform.
    pub address: Address,
    /// The type of the resource.
    pub kind: ResourceKind,
    /// The properties of a CloudFormation resource, or the whole Kubernetes object with `apiVersion` and `kind`.
    pub body: Term,
    /// The values of `depends_on`: names in the same component.
    pub depends_on: Vec<(Text, Span)>,
    /// Attributes of a CloudFormation resource, such as `DeletionPolicy`.
    pub attributes: Vec<(Text, Term)>,
    /// Whether deleting the resource loses data.
    pub holds_data: bool,
    /// Whether only principals in policies of the platform may use the contents.
    pub granted_only: bool,
    /// Whether a list or map of the body is omitted because all its entries are.
    pub emptied: bool,
    /// The key that declares the resource, in its module or in the stack.
    pub declared: Span,
    /// The component of the resource: an index into [`Expanded::instances`].
    pub instance: usize,
    /// The partition of the component that contains the resource.
    pub partition: Partition,
}

impl Resource {
    /// Creates a resource that no document declares, such as a policy of a grant. It holds no data, and it is in no partition.
    pub fn generated(
        address: Address,
        kind: ResourceKind,
        body: Term,
        declared: Span,
        instance: usize,
    ) -> Resource {
        Resource {
            address,
            kind,
            body,
            depends_on: Vec::new(),
            attributes: Vec::new(),
            holds_data: false,
            granted_only: false,
            emptied: false,
            declared,
            instance,
            partition: None,
        }
    }

    /// Returns a reference to an attribute that has the same meaning in every component.
    #[inline]
    pub fn attribute(&self, name: &str, span: Span) -> Term {
        Reference::of_address(self.address.to_string(), name, span).into()
    }
}

/// The type of a resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResourceKind {
    /// A CloudFormation type, such as `AWS::S3::Bucket`.
    CloudFormation(Text),
    /// A Kubernetes kind, such as `apps/v1` and `Deployment`.
    Kubernetes {
        /// Group and version.
        api_version: Text,
        /// The kind.
        kind: Text,
    },
}

impl ResourceKind {
    /// Returns the target language.
    #[inline]
    pub fn language(&self) -> &'static dyn TargetLanguage {
        target_languages!(self, TargetLanguage)
    }

    /// Returns whether each resource of this kind is an artifact. See [`TargetLanguage::is_deployed_alone`].
    #[inline]
    pub fn is_deployed_alone(&self) -> bool {
        self.language().is_deployed_alone()
    }

    /// Returns whether a resource of this kind with this body holds data, according to the catalog. A module can override this.
    pub fn holds_data(&self, body: &Term) -> bool {
        self.language().holds_data(self, body)
    }

    /// Returns the name of the type, without the API version of a Kubernetes kind.
    #[inline]
    pub fn name(&self) -> &Text {
        match self {
            ResourceKind::CloudFormation(name) | ResourceKind::Kubernetes { kind: name, .. } => name,
        }
    }

    /// Returns the type of a CloudFormation resource.
    #[inline]
    pub fn cloudformation(&self) -> Option<&str> {
        if let ResourceKind::CloudFormation(name) = self {
            Some(name)
        } else {
            None
        }
    }

    /// Returns the API version and the kind of a Kubernetes object.
    #[inline]
    pub fn group_version_kind(&self) -> Option<(&Text, &Text)> {
        if let ResourceKind::Kubernetes { api_version, kind } = self {
            Some((api_version, kind))
        } else {
            None
        }
    }

    /// Returns the kind of a Kubernetes object.
    #[inline]
    pub fn kubernetes(&self) -> Option<&str> {
        if let ResourceKind::Kubernetes { kind, .. } = self {
            Some(kind)
        } else {
            None
        }
    }
}

/// One use of a component or pipeline, for the platform or for one tenant.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The tenant or the platform.
    pub owner: Owner,
    /// The name of the component.
    pub component: Text,
    /// The name of the component in composed names. It does not change: with `moved_from`, it is the earlier name.
    pub identity: Text,
    /// The name of the module, if the component uses one.
    pub module: Option<Text>,
    /// The base of composed names: `PLATFORM-ENVIRONMENT-TENANT-COMPONENT`, in slugs.
    pub name: Text,
    /// The Kubernetes namespace of the objects.
    pub namespace: Text,
    /// The name of the Kubernetes target in the environment, if there is one.
    pub cluster: Option<Text>,
    /// The name of the AWS target in the environment, if there is one.
    pub account: Option<Text>,
    /// The place of the declaration: the `name` of the document.
    pub declared: Span,
    /// The outputs for other components.
    pub outputs: Vec<(Text, Term)>,
    /// The number of partitions for repeated resources, if the component is partitioned.
    pub partitions: Option<NonZeroU32>,
    /// The names of the modules that the module requires, which `ref` resolves.
    pub requires: Vec<Text>,
}

impl Instance {
    /// Returns the name of a CloudFormation stack of the component.
    pub fn stack_name(&self, partition: Partition) -> Text {
        match partition {
            None => self.name.clone(),
            Some(number) => format!("{}-{number}", self.name).into(),
        }
    }
}

/// The account, region and class that a resource is deployed to, as far as they are known at compile time.
#[derive(Clone, PartialEq, Debug)]
pub struct Destination {
    /// The class of the environment.
    pub class: Class,
    /// The account with 12 digits, if the environment has one.
    pub account: Option<Text>,
    /// The region, if the environment has one.
    pub region: Option<Text>,
    /// Whether schedules and events start pipelines.
    pub triggers: bool,
}

/// The result of phase 4: components and their resources, with unresolved references.
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// All uses of all components, in order of owner and name.
    pub instances: Vec<Instance>,
    /// The resources, in order of instance and declaration.
    pub resources: Vec<Resource>,
}
