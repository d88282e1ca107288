//! Objects that somebody else made: what `existing` states of a component's resources.

use terrace_artifact::Text;

use super::Graph;
use super::objects::mentions;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, shown};
use crate::expand::Stated;
use crate::resolve::UseKind;
use crate::resource::Resource;
use crate::source::Span;
use crate::term::Term;

/// An object that is there already.
#[derive(Debug)]
pub(super) struct Existing {
    /// The component that states it.
    instance: usize,
    kind: Text,
    name: Text,
    span: Span,
}

/// Reads what components state. What cannot be read is reported.
pub(super) fn read(stated: &[Stated], diagnostics: &mut Diagnostics) -> Vec<Existing> {
    stated
        .iter()
        .filter_map(|one| read_one(one, diagnostics))
        .collect()
}

fn read_one(stated: &Stated, diagnostics: &mut Diagnostics) -> Option<Existing> {
    let word = |key: &str| stated.value.get(key).and_then(Term::as_str);
    let (api_version, kind) = word("type")?.rsplit_once('/')?;
    if terrace_catalog::kubernetes(api_version, kind).is_none() {
        let message = format!(
            "no Kubernetes kind `{}` is known in `{}`",
            shown(kind),
            shown(api_version)
        );
        diagnostics.push(Diagnostic::new(Code::UnknownType, message).at(stated.span, "no such kind"));
        return None;
    }
    let Some(name) = word("name") else {
        let found = stated.value.get("name").map_or("nothing", Term::kind);
        diagnostics.push(
            Diagnostic::new(
                Code::ExpressionType,
                format!("the name of an existing object is text, not {found}"),
            )
            .at(stated.span, "its name has to be known when the stack is compiled"),
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
    /// Whether a component states that an object is there already.
    pub(super) fn exists(&self, instance: usize, kind: &str, name: &str) -> bool {
        let of_instance = self.existing.partition_point(|one| one.instance < instance);
        self.existing[of_instance..]
            .iter()
            .take_while(|one| one.instance == instance)
            .any(|one| one.kind == kind && one.name == name)
    }

    /// Reports objects that a component states and that none of its resources refers to. What a module states is its own affair: there it
    /// depends on inputs.
    pub(crate) fn report_unused_existing(&self, diagnostics: &mut Diagnostics) {
        for one in &self.existing {
            let own = match &self.uses[one.instance].kind {
                UseKind::Component { component, .. } => {
                    let whole = component.node.span;
                    whole.file == one.span.file && whole.start <= one.span.start && one.span.end <= whole.end
                }
                UseKind::Pipeline(_) => false,
            };
            let refers = |resource: &Resource| {
                let namespace = resource
                    .body
                    .at(&["metadata", "namespace"])
                    .and_then(Term::as_str);
                one.kind == "Namespace" && namespace == Some(one.name.as_str())
                    || mentions(resource)
                        .iter()
                        .any(|mention| mention.is(&one.kind, &one.name))
            };
            let is_used = || {
                self.resources_of(one.instance)
                    .any(|(_, resource)| refers(resource))
            };
            if own && !is_used() {
                let message = format!("nothing here refers to the {} `{}`", one.kind, shown(&one.name));
                diagnostics.push(
                    Diagnostic::new(Code::UnusedExisting, message)
                        .at(one.span, "has no effect")
                        .help("remove it, or correct its name"),
                );
            }
        }
    }
}
