//! Declarations of CloudFormation resources.

use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::node::Node;
use terrace_syntax::source::Files;

use crate::body::Body;
use crate::module::{ResourceTemplate, null_paths};
use crate::resource::ResourceKind;
use crate::targets::{CloudFormation, TargetLanguage};
use crate::value::term::Term;

impl TargetLanguage for CloudFormation {
    fn is_deployed_alone(&self) -> bool {
        false
    }

    fn is_type(&self, text: &str) -> bool {
        text.contains("::")
    }

    fn read_type(&self, text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<ResourceKind> {
        if terrace_catalog::cloudformation(text).is_some() {
            return Some(ResourceKind::CloudFormation(text.into()));
        }
        diagnostics.push(
            Diagnostic::new(
                Code::UnknownType,
                format!("unknown CloudFormation type `{}`", shown(text)),
            )
            .at(node.span, "")
            .nearest(node.span, text, terrace_catalog::types()),
        );
        None
    }

    fn read_body(
        &self,
        template: &mut ResourceTemplate,
        declaration: &Node,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) {
        if let Some(properties) = declaration.get("properties") {
            if template.kind.value.cloudformation() == Some("AWS::StepFunctions::StateMachine") {
                null_paths::lost_nulls(properties, diagnostics);
            }
            template.body = Body::read(properties, files, diagnostics);
        }
        for (key, node) in declaration.entries() {
            let attribute = match key.as_str() {
                "deletion_policy" => "DeletionPolicy",
                "update_replace_policy" => "UpdateReplacePolicy",
                "update_policy" => "UpdatePolicy",
                "creation_policy" => "CreationPolicy",
                "metadata" => "Metadata",
                _ => continue,
            };
            template
                .attributes
                .push((attribute.into(), Body::read(node, files, diagnostics)));
        }
    }

    fn check_patch(&self, patch: &Node, body: &Term, files: &Files) -> Option<Diagnostic> {
        wrapper(patch, body).map(|around| without_wrapper(around, patch, files))
    }

    fn holds_data(&self, kind: &ResourceKind, _body: &Term) -> bool {
        let data = kind.cloudformation().map(terrace_catalog::data_of_type);
        data.is_some_and(|data| data.class == terrace_catalog::DataClass::Data)
    }
}

/// Returns an entry of a CloudFormation patch that is not a property, such as `Properties` itself.
fn wrapper<'a>(node: &'a Node, body: &Term) -> Option<&'a Node> {
    const NOT_PROPERTIES: [&str; 7] = [
        "properties",
        "Properties",
        "deletion_policy",
        "DeletionPolicy",
        "update_replace_policy",
        "UpdateReplacePolicy",
        "type",
    ];
    let entries = node.entries().iter();
    let mut found =
        entries.filter(|(key, _)| NOT_PROPERTIES.contains(&key.as_str()) && body.get(key).is_none());
    found.next().map(|(_, node)| node)
}

/// Reports a patch of something other than properties.
fn without_wrapper(around: &Node, patch: &Node, files: &Files) -> Diagnostic {
    let key = files.text(around.key).to_owned();
    let message = format!(
        "cannot patch `{}`: a patch contains only properties, by name",
        shown(&key)
    );
    let diagnostic = Diagnostic::new(Code::PatchWithoutTarget, message).at(around.key, "");
    if !key.eq_ignore_ascii_case("properties") {
        return diagnostic.help(format!("remove `{}`", shown(&key)));
    }
    let inner = files.text(around.span);
    match patch.entries().len() == 1 && !inner.contains('\n') && files.text(patch.span).starts_with('{') {
        true => diagnostic.replace(
            patch.span,
            inner,
            format!("write the properties directly, not in `{key}`"),
        ),
        false => diagnostic.help(format!("write the properties directly, not in `{key}`")),
    }
}
