//! Validates CloudFormation's intrinsic functions, which can replace any value.

use terrace_artifact::{Text, Tree, View};

use crate::check::{At, Checker};
use crate::nearest;
use crate::node::{Node, NodeId};
use crate::problem::ProblemKind;

const FUNCTIONS: [&str; 20] = [
    "Ref",
    "Fn::And",
    "Fn::Base64",
    "Fn::Cidr",
    "Fn::Equals",
    "Fn::FindInMap",
    "Fn::GetAZs",
    "Fn::GetAtt",
    "Fn::GetStackOutput",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Length",
    "Fn::Not",
    "Fn::Or",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
    "Fn::Transform",
];

/// Returns whether a key of a map is a directive of CloudFormation and not a property.
pub(crate) fn is_directive(key: &str) -> bool {
    key == "Fn::Transform" || key.starts_with("Fn::ForEach::")
}

impl Checker<'_> {
    /// Returns whether the map is a function. Validates the branches of `Fn::If` against the node.
    pub(crate) fn intrinsic<T: Tree>(
        &mut self,
        id: NodeId,
        node: &Node<'static>,
        entries: &[(Text, T)],
        at: &At<'_>,
    ) -> bool {
        let [(key, argument)] = entries else { return false };
        if key == "Fn::If" {
            if let View::List([_, then, otherwise]) = argument.view() {
                let at = at.key(key);
                self.value(id, then, &at.index(1));
                self.value(id, otherwise, &at.index(2));
            }
            return true;
        }
        if key == "Ref" || key.starts_with("Fn::") {
            if node.field(key).is_some() {
                return false;
            }
            if !FUNCTIONS.contains(&key.as_str()) && !is_directive(key) {
                self.report(&at.key(key), || ProblemKind::UnknownKey {
                    nearest: nearest(key, FUNCTIONS.into_iter()).map(Text::from),
                    known: Vec::new(),
                });
            }
            return true;
        }
        key == "Condition" && matches!(argument.view(), View::String(_)) && node.fields.is_empty()
    }

    /// Validates a value that the schema does not describe. Reports only what the target rejects everywhere.
    pub(crate) fn anything<T: Tree>(&mut self, value: &T, at: &At<'_>) {
        if !self.looks_at_anything() {
            return;
        }
        match value.view() {
            View::Null => self.report(at, || ProblemKind::WrongType {
                expected: "a value".into(),
                found: "null",
            }),
            View::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.anything(item, &at.index(index));
                }
            }
            View::Map(entries) => {
                for (key, value) in entries {
                    self.anything(value, &at.key(key));
                }
            }
            _ => {}
        }
    }
}
