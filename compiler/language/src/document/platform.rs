//! Platform: the settings that a whole stack shares.

use std::cmp::Ordering;

use semver::VersionReq;
use terrace_artifact::{Decimal, Quantity, Text};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Spanned;

use super::DocumentType;
use super::decode::{here, keyed, name, parsed, text, texts};
use super::fields::{ComponentInputs, Waiver, component_inputs, waivers};
use super::tenant::Tier;
use crate::validate::{SchemaFile, schema_file};

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

impl DocumentType for Platform {
    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("platform");
        &SCHEMA
    }

    fn decode(node: Node) -> Platform {
        Platform {
            name: name(&node),
            owner: text(&node, "owner"),
            terrace: parsed(&node, "terrace"),
            modules: texts(&node, "modules"),
            assets: texts(&node, "assets"),
            tiers: keyed(node.get("tiers"), |meaning| TierMeaning {
                quota: keyed(meaning.get("quota"), quantity),
                inputs: component_inputs(meaning.get("inputs")),
            })
            .into_iter()
            .filter_map(|(key, meaning)| {
                let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == key.value)?;
                Some((
                    Spanned {
                        value: tier,
                        span: key.span,
                    },
                    meaning,
                ))
            })
            .collect(),
            golden: text(&node, "golden"),
            waivers: waivers(&node),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }

    /// Several platforms are ordered by their place. Loading reports them, because a stack has exactly one.
    fn order(&self, other: &Platform) -> Ordering {
        self.name.span.cmp(&other.name.span)
    }
}

fn quantity(node: &Node) -> Spanned<Quantity> {
    let amount = match &node.kind {
        NodeKind::Number(number) => Some(Quantity {
            amount: *number,
            binary: false,
        }),
        _ => node.as_str().and_then(|text| text.parse().ok()),
    };
    here(
        node,
        amount.unwrap_or(Quantity {
            amount: Decimal::ZERO,
            binary: false,
        }),
    )
}
