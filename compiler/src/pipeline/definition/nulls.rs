//! Paths that are `null`. A template has no null: what is left out instead means the whole, the opposite.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};

/// The paths, and how to say the same without them.
const PATHS: [(&str, &str); 3] = [
    (
        "ResultPath",
        "say `ResultSelector: {done: true}, ResultPath: $.done`: the result is dropped, and the input stays",
    ),
    ("InputPath", "say `Parameters: {}`"),
    ("OutputPath", "give nothing with a Pass state: `Result: {}`"),
];

/// Reports such paths in the properties of a state machine.
pub(crate) fn lost_nulls(properties: &Node, diagnostics: &mut Diagnostics) {
    let definitions = ["Definition", "DefinitionString"].into_iter();
    for definition in definitions.filter_map(|key| properties.get(key)) {
        walk(definition, diagnostics);
    }
}

fn walk(node: &Node, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| walk(item, diagnostics)),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                let path = PATHS.iter().find(|(path, _)| path == key && value.is_null());
                if let Some((path, help)) = path {
                    diagnostics.push(
                        Diagnostic::new(
                            Code::InvalidState,
                            format!("`{path}: null` cannot be said in a CloudFormation template"),
                        )
                        .at(value.key, "would be left out, which means `$`")
                        .help(*help),
                    );
                }
                walk(value, diagnostics);
            }
        }
        _ => {}
    }
}
