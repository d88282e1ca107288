//! Objects outside the stack that a component declares with `existing`.

use terrace_artifact::Text;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, shown};
use terrace_syntax::source::Span;

use super::Graph;
use crate::connect::object_references::mentions;
use crate::expand::DeclaredEdge;
use crate::resolve::UseKind;

/// An object that exists outside the stack.
#[derive(Debug)]
pub(super) struct Existing {
    /// The component that declares the object.
    instance: usize,
    kind: Text,
    name: Text,
    span: Span,
}

/// Reads the declarations of components and reports invalid ones.
pub(super) fn read(stated: &[DeclaredEdge], diagnostics: &mut Diagnostics) -> Vec<Existing> {
    stated
        .iter()
        .filter_map(|stated| read_one(stated, diagnostics))
        .collect()
}

fn read_one(stated: &DeclaredEdge, diagnostics: &mut Diagnostics) -> Option<Existing> {
    let word = |key: &str| stated.value.get(key).and_then(Term::as_str);
    let (api_version, kind) = word("type")?.rsplit_once('/')?;
    if terrace_catalog::kubernetes(api_version, kind).is_none() {
        let message = format!(
            "unknown Kubernetes kind `{}` in `{}`",
            shown(kind),
            shown(api_version)
        );
        diagnostics.push(Diagnostic::new(Code::UnknownType, message).at(stated.span, ""));
        return None;
    }
    let Some(name) = word("name") else {
        let found = stated.value.get("name").map_or("nothing", Term::kind);
        diagnostics.push(
            Diagnostic::new(
                Code::ExpressionType,
                "the name of an existing object must be a string that is known at compile time",
            )
            .at(stated.span, format!("found {found}")),
        );
        return None;
    };
    Some(Existing {
        instance: stated.instance,
        kind: kind.into(),
        name: name.into(),
        span: stated.span,
    })
}

impl Graph<'_> {
    /// Returns whether a component declares that an object exists.
    pub(super) fn exists(&self, instance: usize, kind: &str, name: &str) -> bool {
        let of_instance = self.existing.partition_point(|object| object.instance < instance);
        self.existing[of_instance..]
            .iter()
            .take_while(|object| object.instance == instance)
            .any(|object| object.kind == kind && object.name == name)
    }

    /// Reports declared objects that no resource of the component refers to. Declarations of modules are not checked, because their use depends
    /// on inputs.
    pub fn report_unused_existing(&self, diagnostics: &mut Diagnostics) {
        for object in &self.existing {
            let own = match &self.uses[object.instance].kind {
                UseKind::Component { component, .. } => {
                    let whole = component.node.span;
                    whole.file == object.span.file
                        && whole.start <= object.span.start
                        && object.span.end <= whole.end
                }
                UseKind::Pipeline(_) => false,
            };
            let refers = |resource: &Resource| {
                let namespace = resource
                    .body
                    .at(&["metadata", "namespace"])
                    .and_then(Term::as_str);
                object.kind == "Namespace" && namespace == Some(object.name.as_str())
                    || mentions(resource)
                        .iter()
                        .any(|mention| mention.is(&object.kind, &object.name))
            };
            let is_used = || {
                self.resources_of(object.instance)
                    .any(|(_, resource)| refers(resource))
            };
            if own && !is_used() {
                let message = format!(
                    "no resource of this component refers to the {} `{}`",
                    object.kind,
                    shown(&object.name)
                );
                diagnostics.push(
                    Diagnostic::new(Code::UnusedExisting, message)
                        .at(object.span, "has no effect")
                        .help("remove it, or correct its name"),
                );
            }
        }
    }
}
