//! Kubernetes: objects with the fields of every object, and fields that the deployer fills in during apply.

mod attributes;
mod render;

use std::sync::Arc;

use terrace_artifact::{Segment, Text};
use terrace_catalog::{At, Problem, ProblemKind};
use terrace_language::expression::Failure;
use terrace_language::expression::words::slug;
use terrace_language::resource::{Destination, Instance, Resource, ResourceKind};
use terrace_language::targets::Kubernetes;
use terrace_language::value::term::{SecretReference, Term};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::connect::unique_names::Name;
use crate::lower::attributes::Attribute;
use crate::lower::{Atom, Lowering};
use crate::targets::TargetLowering;

impl TargetLowering for Kubernetes {
    fn place<'i>(&self, instance: &'i Instance) -> Option<&'i Text> {
        instance.cluster.as_ref()
    }

    fn missing_place(&self) -> (&'static str, &'static str) {
        (
            "cluster",
            "add `kubernetes:` to the environment, select one of its clusters with `on: NAME`, or exclude the environment with `environments:`",
        )
    }

    fn complete(&self, resource: &mut Resource, instance: &Instance) {
        add_common_fields(resource, instance);
        add_name(resource, instance);
    }

    fn unique_names<'r>(&self, resource: &'r Resource, report: &mut dyn FnMut(Name<'r>)) {
        if let Some((group, kind, namespace, name)) = object_identity(resource, &resource.body) {
            report(Name::Set([group, kind, namespace], name));
        }
    }

    fn check_artifact_names(&self, _graph: &Graph<'_>, _diagnostics: &mut Diagnostics) {}

    fn name<'t>(&self, _kind: &ResourceKind, body: &'t Term) -> Option<&'t Term> {
        body.at(&["metadata", "name"])
    }

    fn name_field(&self, _kind: &ResourceKind) -> Option<Vec<Segment>> {
        Some(["metadata", "name"].map(|key| Segment::Key(key.into())).into())
    }

    fn attribute(
        &self,
        resource: &Resource,
        path: &[Text],
        _same_artifact: bool,
        span: Span,
    ) -> Result<Attribute, Box<Failure>> {
        attributes::find(resource, path, span)
    }

    /// An object has no functions for the account and the region.
    fn resolves_pseudo_parameters(&self, _place: &Destination, _own: &Destination) -> bool {
        false
    }

    fn render(&self, lowering: &mut Lowering<'_>, atoms: Vec<Atom>, span: Span, at: &At<'_>) -> Term {
        lowering.binding(atoms, span, at)
    }

    fn secret(&self, lowering: &mut Lowering<'_>, secret: &Arc<SecretReference>, _at: &At<'_>) -> Term {
        let failure = Failure::new(
            Code::LiteralSecret,
            secret.span,
            "a secret cannot be used here",
            "the object would contain its value",
        );
        lowering.fail(
            failure.with_help(
                "use it as the `value` of an environment variable, or mount the Secret as a volume",
            ),
        );
        Term::Null
    }

    /// A variable reads a secret from an object with `valueFrom`.
    fn secret_entry(
        &self,
        lowering: &mut Lowering<'_>,
        key: &str,
        secret: &SecretReference,
    ) -> Option<(Text, Term)> {
        (key == "value").then(|| ("valueFrom".into(), lowering.secret_key_ref(secret)))
    }

    fn validate(
        &self,
        kind: &ResourceKind,
        body: &Term,
        _attributes: &[(Text, Term)],
        problems: &mut Vec<Problem>,
    ) {
        if let Some(kind) = catalog_kind(kind) {
            kind.validate(body, problems);
        }
    }

    fn limited_name(&self, resource: &Resource, problem: &Problem) -> Option<(String, usize)> {
        let ([Segment::Key(metadata), Segment::Key(key)], ProblemKind::Form { .. }) =
            (problem.path.as_slice(), &problem.kind)
        else {
            return None;
        };
        if metadata != "metadata" || !is_name(key) {
            return None;
        }
        let name = resource.body.at(&["metadata", key])?.as_str()?.to_owned();
        let maximum = match key.as_str() {
            "name" => catalog_kind(&resource.kind)?.longest_name(),
            _ => terrace_catalog::LONGEST_LABEL,
        };
        Some((name, maximum))
    }

    fn is_slug(&self, path: &[Segment]) -> bool {
        matches!(path.last(), Some(Segment::Key(key)) if is_name(key))
    }
}

/// Returns whether a key of an object contains a name that the server restricts.
fn is_name(key: &str) -> bool {
    matches!(key, "name" | "namespace")
}

/// Returns the kind of an object in the catalog.
pub fn catalog_kind(kind: &ResourceKind) -> Option<&'static terrace_catalog::Kind> {
    let (api_version, kind) = kind.group_version_kind()?;
    terrace_catalog::kubernetes(api_version, kind)
}

/// Returns whether the kind of an object is cluster-scoped, even if the object has a namespace.
pub fn is_cluster_scoped(resource: &Resource) -> bool {
    match catalog_kind(&resource.kind) {
        Some(kind) => !kind.namespaced(),
        None => {
            resource.kind.kubernetes().is_some() && resource.body.at(&["metadata", "namespace"]).is_none()
        }
    }
}

/// Returns the identity of an object in a cluster: group, kind, namespace (empty for a cluster-scoped object) and name. Returns `None` for a
/// resource of another language, and if the name is not known at compile time.
pub fn object_identity<'a>(
    resource: &'a Resource,
    body: &'a Term,
) -> Option<(&'a str, &'a str, &'a str, &'a str)> {
    let (api_version, kind) = resource.kind.group_version_kind()?;
    let metadata = |key: &str| body.at(&["metadata", key]).and_then(Term::as_str);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Some((
        group,
        kind,
        metadata("namespace").unwrap_or_default(),
        metadata("name")?,
    ))
}

/// Adds the fields that every object has: version, kind, namespace.
fn add_common_fields(resource: &mut Resource, instance: &Instance) {
    let Some((api_version, kind)) = resource.kind.group_version_kind() else {
        return;
    };
    let mut fields = if let Term::Map(fields) = std::mem::take(&mut resource.body) {
        fields.into_vec()
    } else {
        Vec::new()
    };
    let mut object: Vec<(Text, Term)> = Vec::with_capacity(fields.len() + 3);
    object.push(("apiVersion".into(), Term::from(api_version)));
    object.push(("kind".into(), Term::from(kind)));
    let metadata = fields.iter_mut().find(|(key, _)| key == "metadata");
    let mut metadata = match metadata.map(|(_, term)| std::mem::take(term)) {
        Some(Term::Map(entries)) => entries.into_vec(),
        _ => Vec::new(),
    };
    let namespaced = terrace_catalog::kubernetes(api_version, kind).is_none_or(|kind| kind.namespaced());
    if namespaced && !metadata.iter().any(|(key, _)| key == "namespace") {
        let after_name = metadata
            .iter()
            .position(|(key, _)| key == "name")
            .map_or(0, |at| at + 1);
        metadata.insert(after_name, ("namespace".into(), Term::from(&instance.namespace)));
    }
    object.push(("metadata".into(), Term::Map(metadata.into())));
    object.extend(fields.into_iter().filter(|(key, _)| key != "metadata"));
    resource.body = Term::Map(object.into());
}

/// Adds a name if the module sets none. The name of a repeated object contains its key.
fn add_name(resource: &mut Resource, instance: &Instance) {
    if let Some(metadata) = resource.body.get_mut("metadata")
        && metadata.get("name").is_none()
        && let Term::Map(entries) = metadata
    {
        let key = resource
            .address
            .key
            .as_deref()
            .map(|key| format!("-{}", slug(key)))
            .unwrap_or_default();
        let name = format!(
            "{}-{}{key}",
            slug(&instance.identity),
            slug(&resource.address.resource)
        );
        entries.make_mut().insert(0, ("name".into(), name.into()));
    }
}
