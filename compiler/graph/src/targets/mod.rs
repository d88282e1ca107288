//! The target languages in the graph: the names of resources, their attributes, and the form of values that are known after apply.
//!
//! Everything that differs between targets is in the directory of its language. The rest of the crate is the same for all of them.

pub mod cloudformation;
pub mod kubernetes;

use std::sync::Arc;

use terrace_artifact::{Segment, Text};
use terrace_catalog::{At, Problem};
use terrace_language::expression::Failure;
use terrace_language::resource::{Destination, Instance, Resource, ResourceKind};
use terrace_language::target_languages;
use terrace_language::value::term::{SecretReference, Term};
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::connect::unique_names::Name;
use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Lowering};

/// The facts about a target language that expanding, connecting and lowering a resource need.
pub(crate) trait TargetLowering: Sync {
    /// Returns the place in the environment that an instance deploys resources of this language to.
    fn place<'i>(&self, instance: &'i Instance) -> Option<&'i Text>;

    /// Returns the noun for such a place, and the help if an environment has none.
    fn missing_place(&self) -> (&'static str, &'static str);

    /// Adds the parts of a body that every resource has.
    fn complete(&self, resource: &mut Resource, instance: &Instance);

    /// Calls `report` with every name of a resource that must be unique in its place.
    fn unique_names<'r>(&self, resource: &'r Resource, report: &mut dyn FnMut(Name<'r>));

    /// Reports names of artifacts that are not unique or too long, for artifacts that contain several resources.
    fn check_artifact_names(&self, graph: &Graph<'_>, diagnostics: &mut Diagnostics);

    /// Returns the name that the body gives the resource in its place, if there is one.
    fn name<'t>(&self, kind: &ResourceKind, body: &'t Term) -> Option<&'t Term>;

    /// Returns the field with this name.
    fn name_field(&self, kind: &ResourceKind) -> Option<Vec<Segment>>;

    /// Finds an attribute of a resource. `same_artifact` is true if the reader is in the same artifact.
    fn attribute(
        &self,
        resource: &Resource,
        path: &[Text],
        same_artifact: bool,
        span: Span,
    ) -> Result<Attribute, Box<Failure>>;

    /// Returns whether the target itself knows the account and the region of `place` for a reader in `own`.
    fn resolves_pseudo_parameters(&self, place: &Destination, own: &Destination) -> bool;

    /// Renders a value with parts that are not known at compile time.
    fn render(&self, lowering: &mut Lowering<'_>, atoms: Vec<Atom>, span: Span, at: &At<'_>) -> Term;

    /// Renders a secret that is a whole value.
    fn secret(&self, lowering: &mut Lowering<'_>, secret: &Arc<SecretReference>, at: &At<'_>) -> Term;

    /// Returns the entry that replaces an entry with this key and a secret, if the target has its own form for it.
    fn secret_entry(
        &self,
        lowering: &mut Lowering<'_>,
        key: &str,
        secret: &SecretReference,
    ) -> Option<(Text, Term)>;

    /// Validates a lowered body and the attributes of the resource against the schema of its type.
    fn validate(
        &self,
        kind: &ResourceKind,
        body: &Term,
        attributes: &[(Text, Term)],
        problems: &mut Vec<Problem>,
    );

    /// Returns the name that a problem is about and its maximum length, if the name may be too long.
    fn limited_name(&self, resource: &Resource, problem: &Problem) -> Option<(String, usize)>;

    /// Returns whether a field contains a name in lower case without underscores.
    fn is_slug(&self, path: &[Segment]) -> bool;
}

/// Returns the target language of a resource.
#[inline]
pub(crate) fn lowering_of(kind: &ResourceKind) -> &'static dyn TargetLowering {
    target_languages!(kind, TargetLowering)
}

/// Returns the place in the environment that an instance deploys resources of a kind to.
pub fn place<'i>(kind: &ResourceKind, instance: &'i Instance) -> Option<&'i Text> {
    lowering_of(kind).place(instance)
}

/// Returns the name that a body gives a resource in its place, if there is one.
pub fn name<'t>(kind: &ResourceKind, body: &'t Term) -> Option<&'t Term> {
    lowering_of(kind).name(kind, body)
}

/// Returns the field with the name of a resource.
pub fn name_field(kind: &ResourceKind) -> Option<Vec<Segment>> {
    lowering_of(kind).name_field(kind)
}
