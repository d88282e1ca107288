//! Finds the attributes of resources: values that are known at compile time, or known after apply.

use terrace_artifact::Text;
use terrace_language::expression::Failure;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::diagnostic::did_you_mean;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::targets::lowering_of;

/// An attribute of a resource.
#[derive(Clone, PartialEq, Debug)]
pub enum Attribute {
    /// The value of `Ref` in CloudFormation.
    Ref,
    /// An attribute of `Fn::GetAtt` in CloudFormation.
    GetAtt(Text),
    /// A field of a live Kubernetes object.
    Field(Vec<Text>),
    /// A value in the body of the resource. References in it are those of the component of the resource.
    Known(Term),
}

impl Graph<'_> {
    /// Finds the attribute of a path. `same_artifact` is true if the reader is in the same CloudFormation stack, where an intrinsic function
    /// also determines the order.
    pub(crate) fn attribute(
        &self,
        resource: &Resource,
        path: &[Text],
        same_artifact: bool,
        span: Span,
    ) -> Result<Attribute, Box<Failure>> {
        let found = lowering_of(&resource.kind).attribute(resource, path, same_artifact, span);
        found.map_err(|failure| self.at_attribute(failure, &path.join(".")))
    }

    /// Moves a failure to the place of the attribute inside the reference, if the reference contains it literally.
    pub(crate) fn at_attribute(&self, mut failure: Box<Failure>, attribute: &str) -> Box<Failure> {
        let written = self.files.text(failure.span);
        let ends = |at: usize| {
            let rest = &written[at + attribute.len()..];
            !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        };
        let mut dots = written.match_indices('.').map(|(dot, _)| dot + 1).rev();
        let found =
            dots.find(|at| !attribute.is_empty() && written[*at..].starts_with(attribute) && ends(*at));
        match (found, failure.nearest.take()) {
            (Some(at), nearest) => {
                failure.span = failure.span.within(at..at + attribute.len());
                failure.nearest = nearest;
                failure
            }
            (None, Some(nearest)) => failure.with_help(did_you_mean(&nearest)),
            (None, None) => failure,
        }
    }
}
