//! Pipeline: a workflow of steps. Its steps are read where they are lowered.

use std::cmp::Ordering;

use terrace_artifact::Text;
use terrace_syntax::node::Node;
use terrace_syntax::source::Spanned;

use super::DocumentType;
use super::decode::{name, names, parsed, text};
use super::fields::{Placement, Waiver, placement, waivers};
use crate::validate::{SchemaFile, schema_file};
use crate::value::unit::Duration;

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

impl DocumentType for Pipeline {
    /// Environments can have different pipelines with the same name. Resolving reports duplicates in one environment.
    const UNIQUE: bool = false;

    fn schema() -> &'static SchemaFile {
        static SCHEMA: SchemaFile = schema_file!("pipeline");
        &SCHEMA
    }

    fn decode(node: Node) -> Pipeline {
        Pipeline {
            name: name(&node),
            tenant: text(&node, "tenant"),
            environments: names(&node, "environments"),
            on: placement(&node),
            timeout: parsed(&node, "timeout"),
            moved_from: text(&node, "moved_from"),
            waivers: waivers(&node),
            node,
        }
    }

    fn name(&self) -> &Spanned<Text> {
        &self.name
    }

    fn order(&self, other: &Pipeline) -> Ordering {
        let by_tenant = || {
            self.tenant
                .as_ref()
                .map(|t| &t.value)
                .cmp(&other.tenant.as_ref().map(|t| &t.value))
        };
        self.name.value.cmp(&other.name.value).then_with(by_tenant)
    }
}
