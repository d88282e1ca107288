//! Tenant: a group of users that components are deployed for.

use terrace_artifact::{Decimal, Quantity, Text};
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

use super::DocumentType;
use super::decode::{here, integer, keyed, name, names, scalar, text, word};
use super::fields::{Clearance, ComponentInputs, clearances, component_inputs};
use crate::validate::{SchemaFile, schema_file};

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

impl DocumentType for Tenant {
    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("tenant");
        &SCHEMA
    }

    fn decode(node: Node) -> Tenant {
        Tenant {
            name: name(&node),
            display_name: text(&node, "display_name"),
            tier: word(&node, "tier", &tiers()).unwrap_or(here(&node, Tier::Basic)),
            environments: names(&node, "environments"),
            max_concurrent_jobs: integer(&node, "max_concurrent_jobs"),
            max_monthly_processing_hours: integer(&node, "max_monthly_processing_hours"),
            storage_quota: node.get("storage_quota").filter(|n| !n.is_null()).map(|n| {
                let amount = n.as_str().and_then(Quantity::size);
                here(
                    n,
                    amount.unwrap_or(Quantity {
                        amount: Decimal::ZERO,
                        binary: true,
                    }),
                )
            }),
            resource_pool: node.get("resource_pool").map(|pool| ResourcePool {
                kind: text(pool, "type").unwrap_or(here(pool, Text::default())),
                scale_factor: pool
                    .get("scale_factor")
                    .and_then(|n| Some(here(n, n.as_number()?)))
                    .unwrap_or(here(pool, 1.into())),
            }),
            clearance: word(&node, "clearance", &clearances()),
            limits: keyed(node.get("limits"), Node::clone),
            labels: keyed(node.get("labels"), scalar),
            overrides: component_inputs(node.get("overrides")),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }
}

pub(super) fn tiers() -> [(&'static str, Tier); 4] {
    Tier::ALL.map(|tier| (tier.as_str(), tier))
}
