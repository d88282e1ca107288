//! Typed documents for the later phases, decoded from valid nodes.
//!
//! Decoding cannot fail. A node that did not pass [`crate::validate`] is decoded to a document with empty values.

mod decode;

use semver::{Version, VersionReq};
use terrace_artifact::{Address, Class, Decimal, Quantity, Text};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Span, Spanned};

use crate::module::inputs::InputSchema;
use crate::validate::DocumentKind;
use crate::value::unit::Duration;

/// A document of any kind.
#[derive(Clone, Debug)]
pub enum Document {
    /// The platform.
    Platform(Platform),
    /// An environment.
    Environment(Environment),
    /// A tenant.
    Tenant(Tenant),
    /// A component.
    Component(Component),
    /// A pipeline.
    Pipeline(Pipeline),
    /// A module.
    Module(Module),
}

impl Document {
    /// Decodes a valid node.
    pub fn decode(kind: DocumentKind, node: Node) -> Document {
        match kind {
            DocumentKind::Platform => Document::Platform(Platform::decode(&node)),
            DocumentKind::Environment => Document::Environment(Environment::decode(&node)),
            DocumentKind::Tenant => Document::Tenant(Tenant::decode(&node)),
            DocumentKind::Component => Document::Component(Component::decode(&node)),
            DocumentKind::Pipeline => Document::Pipeline(Pipeline::decode(node)),
            DocumentKind::Module => Document::Module(Module::decode(&node)),
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> DocumentKind {
        match self {
            Document::Platform(_) => DocumentKind::Platform,
            Document::Environment(_) => DocumentKind::Environment,
            Document::Tenant(_) => DocumentKind::Tenant,
            Document::Component(_) => DocumentKind::Component,
            Document::Pipeline(_) => DocumentKind::Pipeline,
            Document::Module(_) => DocumentKind::Module,
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &Spanned<Text> {
        match self {
            Document::Platform(document) => &document.name,
            Document::Environment(document) => &document.name,
            Document::Tenant(document) => &document.name,
            Document::Component(document) => &document.name,
            Document::Pipeline(document) => &document.name,
            Document::Module(document) => &document.name,
        }
    }
}

/// The tier of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    /// The smallest tier.
    Basic,
    /// The medium tier.
    Professional,
    /// The largest tier.
    Enterprise,
    /// A tier with limits of the tenant itself.
    Custom,
}

impl Tier {
    /// Every tier, smallest first.
    pub const ALL: [Tier; 4] = [Tier::Basic, Tier::Professional, Tier::Enterprise, Tier::Custom];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Basic => "basic",
            Tier::Professional => "professional",
            Tier::Enterprise => "enterprise",
            Tier::Custom => "custom",
        }
    }
}

/// The confidentiality of data, from the lowest to the highest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Clearance {
    /// Data for the public.
    Public,
    /// Data for all members of the organization.
    Internal,
    /// Data for members who need it.
    Confidential,
    /// Data for named persons.
    Restricted,
}

impl Clearance {
    /// All clearances, the lowest first.
    pub const ALL: [Clearance; 4] = [
        Clearance::Public,
        Clearance::Internal,
        Clearance::Confidential,
        Clearance::Restricted,
    ];

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Clearance::Public => "public",
            Clearance::Internal => "internal",
            Clearance::Confidential => "confidential",
            Clearance::Restricted => "restricted",
        }
    }
}

/// The status of a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// The module can be used.
    Active,
    /// The module can be used, but the compiler warns.
    Deprecated,
    /// New components cannot use the module.
    Sunset,
    /// The module cannot be used.
    Archived,
}

/// The platform: settings for the whole stack.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The first part of composed names.
    pub name: Spanned<Text>,
    /// The owner.
    pub owner: Option<Spanned<Text>>,
    /// The required versions of the program.
    pub terrace: Option<Spanned<VersionReq>>,
    /// Directories of modules, relative to the directory of the stack.
    pub modules: Vec<Spanned<Text>>,
    /// Directories outside the directory of the stack that may contain assets, relative to it.
    pub assets: Vec<Spanned<Text>>,
    /// The settings of tiers.
    pub tiers: Vec<(Spanned<Tier>, TierMeaning)>,
    /// The directory of the golden files, relative to the directory of the stack.
    pub golden: Option<Spanned<Text>>,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The whole document.
    pub node: Node,
}

/// The settings of a tier.
#[derive(Clone, Debug)]
pub struct TierMeaning {
    /// The quota, by resource.
    pub quota: Vec<(Spanned<Text>, Spanned<Quantity>)>,
    /// The inputs by component.
    pub inputs: Vec<ComponentInputs>,
}

/// Inputs of a component that another document sets.
#[derive(Clone, Debug)]
pub struct ComponentInputs {
    /// The component.
    pub component: Spanned<Text>,
    /// A map of values by input.
    pub inputs: Node,
}

/// An environment.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The second part of composed names.
    pub name: Spanned<Text>,
    /// The class.
    pub class: Spanned<Class>,
    /// The environment whose bundles are promoted to this one.
    pub promotes_from: Option<Spanned<Text>>,
    /// Whether schedules and events start the pipelines. The default is true, except for the class `disaster-recovery`.
    pub triggers: bool,
    /// The directory for all artifacts, if the environment has neither cluster nor account.
    pub directory: Option<Spanned<Text>>,
    /// The prefix of its namespaces, for an environment that shares its cluster with another.
    pub namespace_prefix: Option<Spanned<Text>>,
    /// The cluster.
    pub kubernetes: Option<Cluster>,
    /// The account.
    pub aws: Option<Account>,
    /// Further clusters by name.
    pub clusters: Vec<(Spanned<Text>, Cluster)>,
    /// Further accounts by name.
    pub accounts: Vec<(Spanned<Text>, Account)>,
    /// The inputs by component.
    pub overrides: Vec<ComponentInputs>,
    /// The inputs by tenant and component.
    pub tenant_overrides: Vec<(Spanned<Text>, Vec<ComponentInputs>)>,
    /// The whole document.
    pub node: Node,
}

/// A Kubernetes cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The context in the kubeconfig.
    pub context: Spanned<Text>,
    /// `kubernetes`, `eks` or `openshift`.
    pub distribution: Text,
    /// The UID of its `kube-system` namespace, if it is set.
    pub id: Option<Spanned<Text>>,
    /// The place of the declaration.
    pub span: Span,
}

/// An AWS account with a region.
#[derive(Clone, Debug)]
pub struct Account {
    /// The account number with 12 digits.
    pub account: Spanned<Text>,
    /// The region, such as `eu-west-1`.
    pub region: Spanned<Text>,
    /// The profile for its credentials, if it is set.
    pub profile: Option<Spanned<Text>>,
    /// The place of the declaration.
    pub span: Span,
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The third part of composed names.
    pub name: Spanned<Text>,
    /// The display name.
    pub display_name: Option<Spanned<Text>>,
    /// The tier.
    pub tier: Spanned<Tier>,
    /// The environments, or `None` for all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// The maximum number of concurrent jobs.
    pub max_concurrent_jobs: Option<Spanned<i64>>,
    /// The maximum number of processing hours in a month.
    pub max_monthly_processing_hours: Option<Spanned<i64>>,
    /// The storage quota.
    pub storage_quota: Option<Spanned<Quantity>>,
    /// The resource pool of its jobs.
    pub resource_pool: Option<ResourcePool>,
    /// The clearance that its data requires.
    pub clearance: Option<Spanned<Clearance>>,
    /// Further limits by name.
    pub limits: Vec<(Spanned<Text>, Node)>,
    /// The labels of its resources.
    pub labels: Vec<(Spanned<Text>, Spanned<Text>)>,
    /// The inputs that the tenant overrides, by component.
    pub overrides: Vec<ComponentInputs>,
    /// The whole document.
    pub node: Node,
}

/// The resource pool of a tenant.
#[derive(Clone, Debug)]
pub struct ResourcePool {
    /// `cpu_intensive`, `memory_intensive`, `gpu_enabled` or `general_purpose`.
    pub kind: Spanned<Text>,
    /// The scale. The default is 1.
    pub scale_factor: Spanned<Decimal>,
}

/// A component: a use of a module, or its own resources.
#[derive(Clone, Debug)]
pub struct Component {
    /// The last part of composed names.
    pub name: Spanned<Text>,
    /// The source of its resources.
    pub recipe: ComponentSource,
    /// The tenants that it is deployed for.
    pub tenants: Tenants,
    /// The environments, or `None` for all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// The cluster and account that it is deployed to.
    pub on: Option<Placement>,
    /// The previous name.
    pub moved_from: Option<Spanned<Text>>,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The whole document.
    pub node: Node,
}

/// The source of the resources of a component.
#[derive(Clone, Debug)]
pub enum ComponentSource {
    /// A module.
    Module {
        /// The module.
        module: ModuleUse,
        /// The map of values by input, if there is one.
        inputs: Option<Node>,
        /// Changes to the resources of the module, by `RESOURCE` or `RESOURCE["KEY"]`.
        patches: Vec<(Spanned<Text>, Node)>,
        /// Objects that exist outside the stack, a map each.
        existing: Vec<Node>,
    },
    /// Resources in the component itself.
    Own(Body),
}

/// A reference to a module: `lake@^1`.
#[derive(Clone, Debug)]
pub struct ModuleUse {
    /// The name.
    pub name: Spanned<Text>,
    /// The accepted versions. The default is any version.
    pub requirement: Spanned<VersionReq>,
    /// The place of the whole reference.
    pub span: Span,
}

/// The tenants that a component is deployed for.
#[derive(Clone, Debug)]
pub enum Tenants {
    /// The platform itself.
    Platform,
    /// Every tenant.
    All(Span),
    /// Named tenants.
    Named(Vec<Spanned<Text>>),
    /// The tenants of these tiers.
    Tiers(Vec<Spanned<Tier>>),
}

/// The target of a component in an environment with several clusters or accounts.
#[derive(Clone, Debug)]
pub enum Placement {
    /// The cluster or account with this name.
    Named(Spanned<Text>),
    /// A cluster for objects and an account for CloudFormation stacks.
    Each {
        /// The name of a cluster.
        cluster: Option<Spanned<Text>>,
        /// The name of an account.
        account: Option<Spanned<Text>>,
    },
}

impl Tenants {
    /// Returns whether the selection includes a tenant.
    pub fn select(&self, tenant: &Tenant) -> bool {
        match self {
            Tenants::Platform => false,
            Tenants::All(_) => true,
            Tenants::Named(names) => names.contains(&tenant.name),
            Tenants::Tiers(tiers) => tiers.contains(&tenant.tier),
        }
    }
}

/// A pipeline. Its steps are read where they are lowered.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The last part of composed names.
    pub name: Spanned<Text>,
    /// The tenant, or `None` for the platform.
    pub tenant: Option<Spanned<Text>>,
    /// The environments, or `None` for all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// The cluster and account that it is deployed to.
    pub on: Option<Placement>,
    /// The maximum duration of a run.
    pub timeout: Option<Spanned<Duration>>,
    /// The previous name.
    pub moved_from: Option<Spanned<Text>>,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The whole document.
    pub node: Node,
}

/// A module: a versioned recipe.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name.
    pub name: Spanned<Text>,
    /// The version.
    pub version: Spanned<Version>,
    /// The status.
    pub status: Spanned<Status>,
    /// The module that replaces this one.
    pub replaced_by: Option<ModuleUse>,
    /// A summary in one line.
    pub summary: Spanned<Text>,
    /// The capabilities.
    pub capabilities: Vec<Spanned<Text>>,
    /// The supported formats.
    pub formats: Vec<Spanned<Text>>,
    /// The highest confidentiality of data that the module may process.
    pub clearance: Option<Spanned<Clearance>>,
    /// The certifications.
    pub certifications: Vec<Spanned<Text>>,
    /// The declared inputs.
    pub inputs: Vec<Input>,
    /// The resources and related declarations.
    pub body: Body,
    /// The waivers.
    pub waivers: Vec<Waiver>,
    /// The whole document.
    pub node: Node,
}

/// An input of a module.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name.
    pub name: Spanned<Text>,
    /// The schema of its values.
    pub schema: InputSchema,
}

/// The resources and related declarations of a module, or of a component without a module.
#[derive(Clone, Debug)]
pub struct Body {
    /// Resources by key.
    pub resources: Vec<(Spanned<Text>, Node)>,
    /// The modules that it requires.
    pub requires: Vec<(Spanned<Text>, Spanned<VersionReq>)>,
    /// The partitioning of its resources into several CloudFormation stacks.
    pub divides: Option<Divides>,
    /// The grants, a map each.
    pub grants: Vec<Node>,
    /// The connections, a map each.
    pub connects: Vec<Node>,
    /// Objects that exist outside the stack, a map each.
    pub existing: Vec<Node>,
    /// The outputs for other components.
    pub outputs: Vec<(Spanned<Text>, Node)>,
    /// The checks of inputs.
    pub checks: Vec<Check>,
}

/// The partitioning of a component that may exceed one CloudFormation stack.
#[derive(Clone, Debug)]
pub struct Divides {
    /// The expression that gives the key of a repeated resource.
    pub by: Node,
    /// The number of stacks.
    pub into: Spanned<i64>,
}

/// A check of a module.
#[derive(Clone, Debug)]
pub struct Check {
    /// The map or list of unique strings that the check is repeated for.
    pub for_each: Option<Node>,
    /// The expression that must be true.
    pub that: Node,
    /// The message if the check fails.
    pub message: Node,
    /// The path of the input that the message points to. `*` stands for the key of the iteration.
    pub at: Option<Spanned<Text>>,
    /// The rule name for waivers.
    pub rule: Option<Spanned<Text>>,
    /// The place of `that`.
    pub span: Span,
}

/// A waiver of a rule for one resource.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// The rule.
    pub rule: Spanned<Text>,
    /// The address of the resource.
    pub address: Spanned<Text>,
    /// The reason.
    pub reason: Spanned<Text>,
    /// The last day of the waiver, as `2027-06-30`. The order of such strings is chronological.
    pub expires: Spanned<Text>,
}

impl Waiver {
    /// Returns the address, if it is valid.
    pub fn resource(&self) -> Option<Address> {
        self.address.value.parse().ok()
    }
}
