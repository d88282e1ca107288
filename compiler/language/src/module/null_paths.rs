//! Paths that are `null`. A template cannot contain null, and an omitted path means the opposite: the whole input or result.

use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};

/// The paths, and the equivalent without null.
const PATHS: [(&str, &str); 3] = [
    (
        "ResultPath",
        "write `ResultSelector: {done: true}, ResultPath: $.done` to discard the result and keep the input",
    ),
    ("InputPath", "write `Parameters: {}`"),
    ("OutputPath", "use a Pass state with `Result: {}`"),
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
                            format!("a CloudFormation template cannot contain `{path}: null`"),
                        )
                        .at(
                            value.key,
                            "CloudFormation omits it, and Step Functions then uses `$`",
                        )
                        .help(*help),
                    );
                }
                walk(value, diagnostics);
            }
        }
        _ => {}
    }
}
