//! Fields that documents of several kinds have.

use semver::VersionReq;
use terrace_artifact::{Address, Text};
use terrace_syntax::node::Node;
use terrace_syntax::source::{Span, Spanned};

use super::decode::{here, keyed, scalar, text};

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

/// Inputs of a component that another document sets.
#[derive(Clone, Debug)]
pub struct ComponentInputs {
    /// The component.
    pub component: Spanned<Text>,
    /// A map of values by input.
    pub inputs: Node,
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

pub(super) fn clearances() -> [(&'static str, Clearance); 4] {
    Clearance::ALL.map(|clearance| (clearance.as_str(), clearance))
}

pub(super) fn component_inputs(node: Option<&Node>) -> Vec<ComponentInputs> {
    keyed(node, Node::clone)
        .into_iter()
        .map(|(component, inputs)| ComponentInputs { component, inputs })
        .collect()
}

pub(super) fn module_use(node: &Node) -> ModuleUse {
    let whole = node.as_str().unwrap_or_default();
    let (name, requirement) = whole.split_once('@').unwrap_or((whole, ""));
    // In quotes, the string starts one byte later. The characters of both parts need no escapes.
    let quote = usize::from((node.span.end - node.span.start) as usize > whole.len());
    let name_span = node.span.within(quote..quote + name.len());
    let rest = if requirement.is_empty() {
        name_span
    } else {
        node.span.within(quote + name.len() + 1..quote + whole.len())
    };
    ModuleUse {
        name: Spanned {
            value: name.into(),
            span: name_span,
        },
        requirement: Spanned {
            value: requirement.parse().unwrap_or(VersionReq::STAR),
            span: rest,
        },
        span: node.span,
    }
}

pub(super) fn placement(node: &Node) -> Option<Placement> {
    let on = node.get("on")?;
    Some(match on.as_str() {
        Some(_) => Placement::Named(scalar(on)),
        None => Placement::Each {
            cluster: text(on, "cluster"),
            account: text(on, "account"),
        },
    })
}

pub(super) fn waivers(node: &Node) -> Vec<Waiver> {
    let field = |waiver: &Node, key| text(waiver, key).unwrap_or(here(waiver, Text::default()));
    let items = node.get("waivers").map_or(&[][..], Node::items).iter();
    items
        .map(|waiver| Waiver {
            rule: field(waiver, "rule"),
            address: field(waiver, "address"),
            reason: field(waiver, "reason"),
            expires: field(waiver, "expires"),
        })
        .collect()
}
