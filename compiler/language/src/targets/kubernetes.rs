//! Declarations of Kubernetes objects.

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean, shown};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Files;

use crate::body::Body;
use crate::module::ResourceTemplate;
use crate::resource::ResourceKind;
use crate::targets::{Kubernetes, TargetLanguage};
use crate::value::term::Term;

/// The keys of a declaration that are not fields of the object.
const LANGUAGE_KEYS: [&str; 5] = ["type", "for_each", "when", "depends_on", "holds_data"];

impl TargetLanguage for Kubernetes {
    fn is_deployed_alone(&self) -> bool {
        true
    }

    fn is_type(&self, text: &str) -> bool {
        text.contains('/')
    }

    fn read_type(&self, text: &str, node: &Node, diagnostics: &mut Diagnostics) -> Option<ResourceKind> {
        let (api_version, kind) = text.rsplit_once('/')?;
        if terrace_catalog::kubernetes(api_version, kind).is_some() {
            return Some(ResourceKind::Kubernetes {
                api_version: api_version.into(),
                kind: kind.into(),
            });
        }
        let diagnostic = Diagnostic::new(
            Code::UnknownType,
            format!(
                "unknown Kubernetes kind `{}` in `{}`",
                shown(kind),
                shown(api_version)
            ),
        )
        .at(node.span, "");
        diagnostics.push(match terrace_catalog::nearest_kind(api_version, kind) {
            Some((version, kind)) => {
                let name = format!("{version}/{kind}");
                diagnostic.replace(node.span, name.clone(), did_you_mean(&name))
            }
            None => {
                diagnostic.note("`terrace explain unknown-type` lists the operators whose kinds are known")
            }
        });
        None
    }

    /// Reads the object. Its fields are next to the keys of the language.
    fn read_body(
        &self,
        template: &mut ResourceTemplate,
        declaration: &Node,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) {
        let fields: Vec<(Text, Node)> = declaration
            .entries()
            .iter()
            .filter(|(key, _)| !LANGUAGE_KEYS.contains(&key.as_str()))
            .cloned()
            .collect();
        for (key, field) in &fields {
            if matches!(key.as_str(), "apiVersion" | "kind") {
                diagnostics.push(
                    Diagnostic::new(Code::UnknownKey, format!("`{key}` is already set by `type`"))
                        .at(field.key, "")
                        .also(template.kind.span, format!("sets `{key}`"))
                        .help(format!("remove `{key}`")),
                );
            }
        }
        let object = Node {
            kind: NodeKind::Map(fields),
            ..declaration.clone()
        };
        template.body = Body::read(&object, files, diagnostics);
    }

    fn check_patch(&self, _patch: &Node, _body: &Term, _files: &Files) -> Option<Diagnostic> {
        None
    }

    fn holds_data(&self, kind: &ResourceKind, body: &Term) -> bool {
        kind.group_version_kind().is_some_and(|(api_version, kind)| {
            let data = terrace_catalog::data_of_object(api_version, kind, body).data;
            data.class == terrace_catalog::DataClass::Data
        })
    }
}
