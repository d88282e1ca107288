//! Component: one use of a module, or its own resources.

use terrace_artifact::Text;
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::{Span, Spanned};

use super::DocumentType;
use super::body::Body;
use super::decode::{keyed, name, names, one_of, scalar, text};
use super::fields::{ModuleUse, Placement, Waiver, module_use, placement, waivers};
use super::tenant::{Tenant, Tier, tiers};
use crate::validate::{SchemaFile, schema_file};

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

impl DocumentType for Component {
    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("component");
        &SCHEMA
    }

    fn decode(node: Node) -> Component {
        let recipe = match node.get("module") {
            Some(module) => ComponentSource::Module {
                module: module_use(module),
                inputs: node.get("inputs").cloned(),
                patches: keyed(node.get("patches"), Node::clone),
                existing: node.get("existing").map_or(&[][..], Node::items).to_vec(),
            },
            None => ComponentSource::Own(Body::decode(&node)),
        };
        Component {
            name: name(&node),
            recipe,
            tenants: match node.get("tenants") {
                None => Tenants::Platform,
                Some(all) if all.as_str().is_some() => Tenants::All(all.span),
                Some(list) if matches!(list.kind, NodeKind::List(_)) => {
                    Tenants::Named(list.items().iter().map(scalar).collect())
                }
                Some(map) => {
                    let words = tiers();
                    let items = map.get("tier").map_or(&[][..], Node::items).iter();
                    Tenants::Tiers(items.filter_map(|tier| one_of(tier, &words)).collect())
                }
            },
            environments: names(&node, "environments"),
            on: placement(&node),
            moved_from: text(&node, "moved_from"),
            waivers: waivers(&node),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }
}
