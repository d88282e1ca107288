//! Documents as types: what later phases work on, decoded from nodes that are valid.
//!
//! Decoding cannot fail. A node that did not pass [`crate::validate`] gives a document with empty places, never a panic.

mod decode;

use semver::{Version, VersionReq};
use terrace_artifact::{Address, Class, Decimal, Text};

use crate::input::InputSchema;
use crate::node::Node;
use crate::source::Span;
use crate::unit::{Duration, Quantity};
use crate::validate::Kind;

/// A value that knows its place. Equality ignores the place.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its bytes; of a key, the key's.
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Spanned<T>) -> bool {
        self.value == other.value
    }
}

/// Any document.
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
    pub fn decode(kind: Kind, node: Node) -> Document {
        match kind {
            Kind::Platform => Document::Platform(Platform::decode(&node)),
            Kind::Environment => Document::Environment(Environment::decode(&node)),
            Kind::Tenant => Document::Tenant(Tenant::decode(&node)),
            Kind::Component => Document::Component(Component::decode(&node)),
            Kind::Pipeline => Document::Pipeline(Pipeline::decode(node)),
            Kind::Module => Document::Module(Module::decode(&node)),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Document::Platform(_) => Kind::Platform,
            Document::Environment(_) => Kind::Environment,
            Document::Tenant(_) => Kind::Tenant,
            Document::Component(_) => Kind::Component,
            Document::Pipeline(_) => Kind::Pipeline,
            Document::Module(_) => Kind::Module,
        }
    }

    /// Its name.
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

/// What a tenant has booked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    /// The smallest.
    Basic,
    /// The middle.
    Professional,
    /// The largest.
    Enterprise,
    /// By the tenant's own limits.
    Custom,
}

impl Tier {
    /// Every tier, smallest first.
    pub const ALL: [Tier; 4] = [Tier::Basic, Tier::Professional, Tier::Enterprise, Tier::Custom];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Basic => "basic",
            Tier::Professional => "professional",
            Tier::Enterprise => "enterprise",
            Tier::Custom => "custom",
        }
    }
}

/// How confidential data may be; ordered, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Clearance {
    /// For everybody.
    Public,
    /// For everybody inside.
    Internal,
    /// For those who need it.
    Confidential,
    /// For those who are named.
    Restricted,
}

impl Clearance {
    /// Every clearance, the least first.
    pub const ALL: [Clearance; 4] = [
        Clearance::Public,
        Clearance::Internal,
        Clearance::Confidential,
        Clearance::Restricted,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Clearance::Public => "public",
            Clearance::Internal => "internal",
            Clearance::Confidential => "confidential",
            Clearance::Restricted => "restricted",
        }
    }
}

/// Whether a module may be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// Yes.
    Active,
    /// Yes, with a warning.
    Deprecated,
    /// Not by anything new.
    Sunset,
    /// No.
    Archived,
}

/// The platform: what all of a stack has in common.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The first part of composed names.
    pub name: Spanned<Text>,
    /// Who answers for it.
    pub owner: Option<Spanned<Text>>,
    /// The versions of the program it is for.
    pub terrace: Option<Spanned<VersionReq>>,
    /// Folders of modules, relative to the stack's.
    pub modules: Vec<Spanned<Text>>,
    /// Directories outside of the stack's that assets may come from, relative to it.
    pub assets: Vec<Spanned<Text>>,
    /// What tiers mean; those that are described.
    pub tiers: Vec<(Spanned<Tier>, TierMeaning)>,
    /// Where the goldens are, relative to the stack's folder.
    pub golden: Option<Spanned<Text>>,
    /// Rules that may be broken.
    pub waivers: Vec<Waiver>,
    /// All of it.
    pub node: Node,
}

/// What a tier means.
#[derive(Clone, Debug)]
pub struct TierMeaning {
    /// The quota, by resource.
    pub quota: Vec<(Spanned<Text>, Spanned<Quantity>)>,
    /// Inputs by component.
    pub inputs: Vec<ComponentInputs>,
}

/// Inputs that somebody other than the component gives.
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
    /// What it is used for.
    pub class: Spanned<Class>,
    /// The environment whose bundles come here next.
    pub promotes_from: Option<Spanned<Text>>,
    /// Whether schedules and events start its pipelines: where nothing is said, everywhere but in disaster recovery.
    pub triggers: bool,
    /// The folder everything is written to, where there is neither cluster nor account.
    pub directory: Option<Spanned<Text>>,
    /// The first part of its namespaces, for an environment that shares its cluster with another one.
    pub namespace_prefix: Option<Spanned<Text>>,
    /// The cluster.
    pub kubernetes: Option<Cluster>,
    /// The account.
    pub aws: Option<Account>,
    /// More clusters, by name.
    pub clusters: Vec<(Spanned<Text>, Cluster)>,
    /// More accounts, by name.
    pub accounts: Vec<(Spanned<Text>, Account)>,
    /// Inputs by component.
    pub overrides: Vec<ComponentInputs>,
    /// Inputs by tenant and component.
    pub tenant_overrides: Vec<(Spanned<Text>, Vec<ComponentInputs>)>,
    /// All of it.
    pub node: Node,
}

/// A Kubernetes cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The context of the kubeconfig.
    pub context: Spanned<Text>,
    /// `kubernetes`, `eks` or `openshift`.
    pub distribution: Text,
    /// The uid of its `kube-system` namespace, where it is stated.
    pub id: Option<Spanned<Text>>,
    /// Its place.
    pub span: Span,
}

/// An AWS account, and a region in it.
#[derive(Clone, Debug)]
pub struct Account {
    /// 12 digits.
    pub account: Spanned<Text>,
    /// Such as `eu-west-1`.
    pub region: Spanned<Text>,
    /// The profile that its credentials come from, where it is stated.
    pub profile: Option<Spanned<Text>>,
    /// Its place.
    pub span: Span,
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The third part of composed names.
    pub name: Spanned<Text>,
    /// Its name for people.
    pub display_name: Option<Spanned<Text>>,
    /// What it has booked.
    pub tier: Spanned<Tier>,
    /// The environments it is in; absent: all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// How many jobs it may run at once.
    pub max_concurrent_jobs: Option<Spanned<i64>>,
    /// How many hours of processing it may use in a month.
    pub max_monthly_processing_hours: Option<Spanned<i64>>,
    /// How much it may store.
    pub storage_quota: Option<Spanned<Quantity>>,
    /// The pool its jobs run in.
    pub resource_pool: Option<ResourcePool>,
    /// The most confidential data it may use.
    pub clearance: Option<Spanned<Clearance>>,
    /// Limits of its own, by name.
    pub limits: Vec<(Spanned<Text>, Node)>,
    /// Labels of everything that is its own.
    pub labels: Vec<(Spanned<Text>, Spanned<Text>)>,
    /// What it wants otherwise.
    pub overrides: Vec<ComponentInputs>,
    /// All of it.
    pub node: Node,
}

/// What a tenant's jobs run in.
#[derive(Clone, Debug)]
pub struct ResourcePool {
    /// `cpu_intensive`, `memory_intensive`, `gpu_enabled` or `general_purpose`.
    pub kind: Spanned<Text>,
    /// How large it is; 1 where nothing is said.
    pub scale_factor: Spanned<Decimal>,
}

/// A component: one use of a module, or resources of one's own.
#[derive(Clone, Debug)]
pub struct Component {
    /// The last part of composed names.
    pub name: Spanned<Text>,
    /// Where its resources come from.
    pub recipe: Recipe,
    /// For whom it is.
    pub tenants: Tenants,
    /// The environments it is in; absent: all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// Where it goes.
    pub on: Option<Placement>,
    /// The name it had before.
    pub moved_from: Option<Spanned<Text>>,
    /// Rules that may be broken.
    pub waivers: Vec<Waiver>,
    /// All of it.
    pub node: Node,
}

/// Where a component's resources come from.
#[derive(Clone, Debug)]
pub enum Recipe {
    /// From a module.
    Module {
        /// Which.
        module: ModuleUse,
        /// A map of values by input, where there are any.
        inputs: Option<Node>,
        /// What is different from what the module makes, by `RESOURCE` or `RESOURCE["KEY"]`.
        patches: Vec<(Spanned<Text>, Node)>,
        /// Objects that somebody else made; a map each.
        existing: Vec<Node>,
    },
    /// From the component itself.
    Own(Body),
}

/// A module, as it is asked for: `lake@^1`.
#[derive(Clone, Debug)]
pub struct ModuleUse {
    /// Its name.
    pub name: Spanned<Text>,
    /// The versions that will do; any where nothing is said.
    pub requirement: Spanned<VersionReq>,
    /// The place of both.
    pub span: Span,
}

/// For whom a component is.
#[derive(Clone, Debug)]
pub enum Tenants {
    /// For the platform itself.
    Platform,
    /// For every tenant.
    All(Span),
    /// For these.
    Named(Vec<Spanned<Text>>),
    /// For those of these tiers.
    Tiers(Vec<Spanned<Tier>>),
}

/// Where a component goes, in an environment of several clusters or accounts.
#[derive(Clone, Debug)]
pub enum Placement {
    /// To the cluster or account of this name.
    Named(Spanned<Text>),
    /// Its objects here, its CloudFormation stack there.
    Each {
        /// The name of a cluster.
        cluster: Option<Spanned<Text>>,
        /// The name of an account.
        account: Option<Spanned<Text>>,
    },
}

impl Tenants {
    /// Whether it is for a tenant.
    pub(crate) fn select(&self, tenant: &Tenant) -> bool {
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
    /// The tenant it belongs to; absent: the platform.
    pub tenant: Option<Spanned<Text>>,
    /// The environments it is in; absent: all.
    pub environments: Option<Vec<Spanned<Text>>>,
    /// Where it goes.
    pub on: Option<Placement>,
    /// The longest a run may take.
    pub timeout: Option<Spanned<Duration>>,
    /// The name it had before.
    pub moved_from: Option<Spanned<Text>>,
    /// Rules that may be broken.
    pub waivers: Vec<Waiver>,
    /// All of it.
    pub node: Node,
}

/// A module: a versioned recipe.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name.
    pub name: Spanned<Text>,
    /// Its version.
    pub version: Spanned<Version>,
    /// Whether it may be used.
    pub status: Spanned<Status>,
    /// What to use instead.
    pub replaced_by: Option<ModuleUse>,
    /// What it is, in one line.
    pub summary: Spanned<Text>,
    /// What it can do.
    pub capabilities: Vec<Spanned<Text>>,
    /// The formats it understands.
    pub formats: Vec<Spanned<Text>>,
    /// The most confidential data it is fit for.
    pub clearance: Option<Spanned<Clearance>>,
    /// What it is certified for.
    pub certifications: Vec<Spanned<Text>>,
    /// Its inputs, as declared.
    pub inputs: Vec<Input>,
    /// Its resources and what belongs to them.
    pub body: Body,
    /// Rules that may be broken.
    pub waivers: Vec<Waiver>,
    /// All of it.
    pub node: Node,
}

/// An input of a module.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: Spanned<Text>,
    /// What its values are.
    pub schema: InputSchema,
}

/// Resources and what belongs to them, of a module or of a component without one.
#[derive(Clone, Debug)]
pub struct Body {
    /// Resources by key.
    pub resources: Vec<(Spanned<Text>, Node)>,
    /// Modules that have to be there beside it.
    pub requires: Vec<(Spanned<Text>, Spanned<VersionReq>)>,
    /// How its resources are divided among CloudFormation stacks, where one may not hold them all.
    pub divides: Option<Divides>,
    /// What resources may do with each other; a map each.
    pub grants: Vec<Node>,
    /// Who connects to whom; a map each.
    pub connects: Vec<Node>,
    /// Objects that somebody else made; a map each.
    pub existing: Vec<Node>,
    /// What others see of it.
    pub outputs: Vec<(Spanned<Text>, Node)>,
    /// What has to be true of the inputs.
    pub checks: Vec<Check>,
}

/// How a component that may outgrow one CloudFormation stack divides.
#[derive(Clone, Debug)]
pub struct Divides {
    /// The expression that gives the key of a repeated resource.
    pub by: Node,
    /// Into how many stacks.
    pub into: Spanned<i64>,
}

/// Something that has to be true.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is repeated over: a map, or a list of unique strings.
    pub for_each: Option<Node>,
    /// The expression.
    pub that: Node,
    /// What is wrong when it is not true.
    pub message: Node,
    /// The path of the input to blame; `*` stands for the key of a repeated one.
    pub at: Option<Spanned<Text>>,
    /// The name it is waived by.
    pub rule: Option<Spanned<Text>>,
    /// The place of `that`.
    pub span: Span,
}

/// A rule that may be broken for one resource.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// The rule.
    pub rule: Spanned<Text>,
    /// The resource.
    pub address: Spanned<Text>,
    /// Why.
    pub reason: Spanned<Text>,
    /// The last day, as `2027-06-30`; such texts are in order of time.
    pub expires: Spanned<Text>,
}

impl Waiver {
    /// The resource it is for, where the address is one.
    pub fn resource(&self) -> Option<Address> {
        self.address.value.parse().ok()
    }
}
