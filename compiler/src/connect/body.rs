//! Holds lowered bodies against what their targets accept.

use terrace_artifact::{Segment, show_path};
use terrace_catalog::{Problem, ProblemKind};

use super::Graph;
use crate::body::Leaf;
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::resolve::UseKind;
use crate::resource::{Resource, ResourceKind};
use crate::term::Term;

impl Graph<'_> {
    /// Reports what the target of a resource would refuse.
    pub(crate) fn check_body(
        &self,
        at: usize,
        body: &Term,
        attributes: &[(terrace_artifact::Text, Term)],
        diagnostics: &mut Diagnostics,
    ) {
        let resource = &self.resources[at];
        let mut problems = Vec::new();
        match &resource.kind {
            ResourceKind::CloudFormation(name) => {
                if let Some(resource_type) = terrace_catalog::cloudformation(name) {
                    resource_type.validate(body, &mut problems);
                }
                if !attributes.is_empty() {
                    let mut whole = vec![("Type".into(), Term::from(name))];
                    whole.extend(attributes.iter().cloned());
                    terrace_catalog::validate_resource_attributes(&Term::Map(whole), &mut problems);
                }
            }
            ResourceKind::Kubernetes { api_version, kind } => {
                if let Some(kind) = terrace_catalog::kubernetes(api_version, kind) {
                    kind.validate(body, &mut problems);
                }
            }
        }
        for problem in problems {
            diagnostics.push(self.refused(resource, &problem));
        }
    }

    fn refused(&self, resource: &Resource, problem: &Problem) -> Diagnostic {
        let kind = match &resource.kind {
            ResourceKind::CloudFormation(name) => name.to_string(),
            ResourceKind::Kubernetes { kind, .. } => kind.to_string(),
        };
        if let Some(diagnostic) = self.name_too_long(resource, &kind, problem) {
            return diagnostic;
        }
        let place = show_path(&problem.path);
        let message = match place.is_empty() {
            true => format!("{kind} `{}`: {}", resource.address, problem.message()),
            false => format!("{kind} `{}`, `{place}`: {}", resource.address, problem.message()),
        };
        let mut diagnostic = self.at_field(
            resource,
            &problem.path,
            Diagnostic::new(Code::InvalidResource, message),
        );
        match &problem.kind {
            ProblemKind::UnknownKey {
                nearest: Some(name), ..
            } => {
                diagnostic = diagnostic.help(format!("`{name}` exists"));
            }
            ProblemKind::UnknownKey { known, .. } if !known.is_empty() => {
                diagnostic = diagnostic.help(format!("there are {}", crate::diagnostic::listed(known)));
            }
            ProblemKind::NotInEnum {
                nearest: Some(name), ..
            } => {
                diagnostic = diagnostic.help(format!("`{name}` exists"));
            }
            _ => {}
        }
        diagnostic
    }

    fn name_too_long(&self, resource: &Resource, kind: &str, problem: &Problem) -> Option<Diagnostic> {
        let ProblemKind::Length {
            maximum: Some(most), ..
        } = &problem.kind
        else {
            return None;
        };
        let [Segment::Key(key)] = problem.path.as_slice() else {
            return None;
        };
        let name = resource.body.get(key)?.shown();
        let named = resource
            .kind
            .cloudformation()
            .and_then(terrace_catalog::cloudformation);
        let type_name = resource.kind.cloudformation()?;
        if super::attribute::name_property(type_name, named?) != Some(key.as_str())
            || name.chars().count() <= *most as usize
        {
            return None;
        }
        let length = name.chars().count();
        let diagnostic = Diagnostic::new(
            Code::NameTooLong,
            format!(
                "the name of {kind} `{}` is {length} characters long",
                resource.address
            ),
        );
        let diagnostic = self.at_field(resource, &problem.path, diagnostic);
        Some(diagnostic.note(format!("`{name}` is composed of the names of platform, environment, tenant and component; {most} are allowed")))
    }

    /// Points a diagnostic at the line that wrote a field: of the module, and of the stack whose input it used.
    pub(crate) fn at_field(
        &self,
        resource: &Resource,
        path: &[Segment],
        diagnostic: Diagnostic,
    ) -> Diagnostic {
        let one = &self.uses[resource.instance];
        let declared = |diagnostic: Diagnostic| {
            self.located(resource, diagnostic.at(resource.declared, "declared here"))
        };
        let UseKind::Component { .. } = &one.kind else {
            return declared(diagnostic);
        };
        let Some(trace) = crate::expand::trace(one, &resource.address, self.files) else {
            return declared(diagnostic);
        };
        let Some(leaf) = trace.find(path) else {
            return declared(diagnostic);
        };
        match self.input_span(resource.instance, leaf) {
            // What the user wrote comes first, then the line that used it.
            Some(span) => diagnostic.at(span, "this value").also(leaf.span, "used here"),
            None => self.located(resource, diagnostic.at(leaf.span, "written here")),
        }
    }

    /// The place in the stack of an input that a leaf reads.
    pub(crate) fn input_span(&self, instance: usize, leaf: &Leaf) -> Option<crate::source::Span> {
        let one = &self.uses[instance];
        leaf.inputs.iter().find_map(|path| {
            one.layers.iter().rev().find_map(|layer| {
                let node = path.iter().try_fold(layer.node, |node, key| node.get(key))?;
                Some(node.span)
            })
        })
    }
}
