//! The resources and related declarations of a module, or of a component without a module.

use semver::VersionReq;
use terrace_artifact::Text;
use terrace_syntax::node::Node;
use terrace_syntax::source::{Span, Spanned};

use super::decode::{here, keyed, text};

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
    /// The path of the input that the message points to. `*` is the key of the iteration.
    pub at: Option<Spanned<Text>>,
    /// The rule name for waivers.
    pub rule: Option<Spanned<Text>>,
    /// The place of `that`.
    pub span: Span,
}

impl Body {
    pub(super) fn decode(node: &Node) -> Body {
        let list = |key: &str| node.get(key).map_or(&[][..], Node::items).to_vec();
        Body {
            resources: keyed(node.get("resources"), Node::clone),
            requires: keyed(node.get("requires"), |n| {
                let requirement = n.as_str().and_then(|text| text.parse().ok());
                here(n, requirement.unwrap_or(VersionReq::STAR))
            }),
            divides: node.get("divides").and_then(|divides| {
                let into = divides.get("into")?;
                Some(Divides {
                    by: divides.get("by")?.clone(),
                    into: here(into, into.as_number()?.as_integer()?),
                })
            }),
            grants: list("grants"),
            connects: list("connects"),
            existing: list("existing"),
            outputs: keyed(node.get("outputs"), Node::clone),
            checks: list("checks")
                .iter()
                .filter_map(|check| {
                    let that = check.get("that")?;
                    Some(Check {
                        that: that.clone(),
                        for_each: check.get("for_each").cloned(),
                        message: check.get("message")?.clone(),
                        at: text(check, "at"),
                        rule: text(check, "rule"),
                        span: that.span,
                    })
                })
                .collect(),
        }
    }
}
