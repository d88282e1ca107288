//! Holds lowered bodies against what their targets accept.

use terrace_artifact::{Decimal, Segment, show_path};
use terrace_catalog::{Problem, ProblemKind};

use super::Graph;
use crate::body::{Leaf, Mark};
use crate::code::Code;
use crate::diagnostic::{Diagnostic, Diagnostics, those};
use crate::document::Recipe;
use crate::expression::filters::slug;
use crate::node::Node;
use crate::resolve::{Use, UseKind};
use crate::resource::{Resource, ResourceKind};
use crate::source::Span;
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
                    terrace_catalog::validate_resource_attributes(&Term::Map(whole.into()), &mut problems);
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
        let diagnostic = Diagnostic::new(Code::InvalidResource, message);
        let mut diagnostic = match self.key_of_field(resource, &problem.path) {
            // A key that is too much is wrong itself, not its value.
            Some(span) if is_about_the_key(&problem.kind) => {
                let (nearest, label) = match &problem.kind {
                    ProblemKind::UnknownKey { nearest, .. } => (nearest.as_ref(), "no such field"),
                    _ => (None, "cannot stand here"),
                };
                let diagnostic = self.located(resource, diagnostic.at(span, label));
                match nearest {
                    Some(name) => return diagnostic.replace(span, name.as_str(), format!("`{name}` exists")),
                    None => diagnostic,
                }
            }
            _ => self.at_field(resource, &problem.path, diagnostic),
        };
        match &problem.kind {
            ProblemKind::UnknownKey {
                nearest: Some(name), ..
            } => {
                diagnostic = diagnostic.help(format!("`{name}` exists"));
            }
            ProblemKind::UnknownKey { known, .. } if !known.is_empty() => {
                diagnostic = diagnostic.help(those("there is", "there are", known));
            }
            ProblemKind::NotInEnum {
                nearest: Some(name), ..
            } => {
                let help = format!("`{name}` exists");
                diagnostic = match self.literal(resource, &problem.path) {
                    Some(span) => diagnostic.replace(span, name.as_str(), help),
                    None => diagnostic.help(help),
                };
            }
            ProblemKind::WrongType { expected, .. } => {
                if let Some(span) = self.literal(resource, &problem.path)
                    && let Some((with, help)) = requoted(self.files.text(span), expected)
                {
                    diagnostic = diagnostic.replace(span, with, help);
                }
            }
            ProblemKind::Form { .. } | ProblemKind::Pattern { .. } => {
                diagnostic = self.with_slug(resource, &problem.path, diagnostic);
            }
            _ => {}
        }
        diagnostic
    }

    /// Offers a name of an object in the form that such names have, where only capitals and underscores keep it from that.
    fn with_slug(&self, resource: &Resource, path: &[Segment], diagnostic: Diagnostic) -> Diagnostic {
        let named = matches!(path.last(), Some(Segment::Key(key)) if key == "name" || key == "namespace");
        if !named || resource.kind.kubernetes().is_none() {
            return diagnostic;
        }
        let name = path
            .iter()
            .try_fold(&resource.body, |term, segment| match segment {
                Segment::Key(key) => term.get(key),
                Segment::Index(at) => term.items().get(*at),
            });
        let Some(name) = name.and_then(Term::as_str) else {
            return diagnostic;
        };
        let slug = slug(name);
        let plain = name.to_lowercase().replace('_', "-");
        match self.literal(resource, path) {
            _ if slug.is_empty() || slug != plain => diagnostic,
            Some(span) => diagnostic.replace(span, slug.as_str(), "lower case, with `-` between the words"),
            None => diagnostic.help(format!("the filter `| slug` makes a name of it: `{slug}`")),
        }
    }

    fn name_too_long(&self, resource: &Resource, kind: &str, problem: &Problem) -> Option<Diagnostic> {
        if let Some(diagnostic) = self.label_too_long(resource, problem) {
            return Some(diagnostic);
        }
        let (name, most) = match (&resource.kind, problem.path.as_slice(), &problem.kind) {
            (
                ResourceKind::CloudFormation(type_name),
                [Segment::Key(key)],
                ProblemKind::Length {
                    maximum: Some(most), ..
                },
            ) => {
                let named = terrace_catalog::cloudformation(type_name)?;
                let name = super::attribute::name_property(type_name, named)?;
                let shown = (name == key.as_str()).then(|| resource.body.get(key))??.shown();
                (shown, *most as usize)
            }
            (
                ResourceKind::CloudFormation(type_name),
                [Segment::Key(key)],
                ProblemKind::Pattern { pattern },
            ) => {
                let named = terrace_catalog::cloudformation(type_name)?;
                let name = super::attribute::name_property(type_name, named)?;
                let shown = (name == key.as_str()).then(|| resource.body.get(key))??.shown();
                // Where a part of it would do, it is its length that is wrong.
                let pattern = terrace_catalog::Pattern::new(pattern);
                let fits = |length: &usize| pattern.matches(&shown[..*length]);
                let mut lengths = shown.char_indices().rev().map(|(at, _)| at);
                let most = lengths.find(|length| *length > 0 && fits(length))?;
                (shown, most)
            }
            (
                ResourceKind::Kubernetes { api_version, kind },
                [Segment::Key(metadata), Segment::Key(key)],
                ProblemKind::Form { .. },
            ) if metadata == "metadata" && matches!(key.as_str(), "name" | "namespace") => {
                let name = resource.body.at(&["metadata", key])?.as_str()?.to_owned();
                let most = match key.as_str() {
                    "name" => terrace_catalog::kubernetes(api_version, kind)?.longest_name(),
                    _ => terrace_catalog::LONGEST_LABEL,
                };
                (name, most)
            }
            _ => return None,
        };
        let length = name.chars().count();
        if length <= most {
            return None;
        }
        let what = match problem.path.last() {
            Some(Segment::Key(key)) if key == "namespace" => "namespace",
            _ => "name",
        };
        let diagnostic = Diagnostic::new(
            Code::NameTooLong,
            format!(
                "the {what} of {kind} `{}` is {length} characters long",
                resource.address
            ),
        );
        let diagnostic = self.at_field(resource, &problem.path, diagnostic);
        let composed = name.contains(self.instances[resource.instance].name.as_str());
        Some(match composed {
            true => diagnostic.note(format!("`{name}` is composed of the names of platform, environment, tenant and component; {most} are allowed")),
            false => diagnostic.note(format!("`{name}` may have {most}")),
        }
        .help("shorten one of the names it is made of: a component that is renamed says `moved_from`"))
    }

    /// The label of all objects of a component that has its name and that of its tenant in it.
    fn label_too_long(&self, resource: &Resource, problem: &Problem) -> Option<Diagnostic> {
        let (Some(Segment::Key(key)), ProblemKind::Form { .. }) = (problem.path.last(), &problem.kind) else {
            return None;
        };
        let instance = &self.instances[resource.instance];
        let label = crate::scope::instance_label(instance);
        let length = label.chars().count();
        if key != crate::scope::INSTANCE_LABEL || length <= terrace_catalog::LONGEST_LABEL {
            return None;
        }
        let message = format!(
            "the names of tenant `{}` and component `{}` are too long together",
            instance.tenant, instance.component
        );
        Some(
            Diagnostic::new(Code::NameTooLong, message)
                .at(
                    instance.declared,
                    format!("{length} characters with the tenant's"),
                )
                .note(format!(
                    "`{label}` is the label `{key}` of its objects; {} are allowed",
                    terrace_catalog::LONGEST_LABEL
                ))
                .help("shorten one of the two: a component that is renamed says `moved_from`"),
        )
    }

    /// The key of a field, where somebody wrote it: a patch, the body, or an input that the body passes on.
    fn key_of_field(&self, resource: &Resource, path: &[Segment]) -> Option<Span> {
        let one = &self.uses[resource.instance];
        if let Some(node) = patched(one, resource, path) {
            return Some(node.key);
        }
        let trace = crate::expand::trace(one, &resource.address, self.files)?;
        trace.key(path).or_else(|| {
            let leaf = trace.find(path)?;
            let below = path.strip_prefix(leaf.path.as_slice())?;
            self.input_node(resource.instance, leaf, below)
                .map(|node| node.key)
        })
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
        if let Some(node) = patched(one, resource, path) {
            return self.located(resource, diagnostic.at(node.span, "patched here"));
        }
        let Some(trace) = crate::expand::trace(one, &resource.address, self.files) else {
            return declared(diagnostic);
        };
        let leaf = match trace.mark(path) {
            Some(Mark::Leaf(leaf)) => leaf,
            Some(Mark::Key(span)) => return self.located(resource, diagnostic.at(span, "written here")),
            None => return declared(diagnostic),
        };
        match self.input_span(resource.instance, leaf, path) {
            // What the user wrote comes first, then the line that used it.
            Some(span) => diagnostic.at(span, "this value").also(leaf.span, "used here"),
            None => self.located(resource, diagnostic.at(leaf.span, "written here")),
        }
    }

    /// Whether a value stands in the component or its module as it is, neither computed nor given by an input.
    pub(crate) fn is_literal(&self, resource: &Resource, path: &[Segment]) -> bool {
        self.literal(resource, path).is_some()
    }

    /// Where such a value stands.
    pub(crate) fn literal(&self, resource: &Resource, path: &[Segment]) -> Option<Span> {
        let one = &self.uses[resource.instance];
        let span = match patched(one, resource, path) {
            Some(node) => Some(node.span),
            None => crate::expand::trace(one, &resource.address, self.files).and_then(|trace| {
                let leaf = trace.find(path).filter(|leaf| leaf.path == path)?;
                Some(leaf.span)
            }),
        };
        span.filter(|span| !self.files.text(*span).contains("{{"))
    }

    /// The place in the stack of an input that a leaf reads, or of what the input has at a path that leads on from the leaf.
    pub(crate) fn input_span(&self, instance: usize, leaf: &Leaf, path: &[Segment]) -> Option<Span> {
        let below = path.strip_prefix(leaf.path.as_slice()).unwrap_or_default();
        let exact = self.input_node(instance, leaf, below);
        exact
            .or_else(|| self.input_node(instance, leaf, &[]))
            .map(|node| node.span)
    }

    /// What the stack says for an input that a leaf reads, or for what is below it.
    fn input_node(&self, instance: usize, leaf: &Leaf, below: &[Segment]) -> Option<&Node> {
        let one = &self.uses[instance];
        leaf.inputs.iter().find_map(|path| {
            one.layers.iter().rev().find_map(|layer| {
                let node = path.iter().try_fold(layer.node, |node, key| node.get(key))?;
                descend(node, below)
            })
        })
    }
}

/// The same value of the type that is wanted, where quotes are all that is wrong.
fn requoted(written: &str, expected: &str) -> Option<(String, &'static str)> {
    let is_scalar = |text: &str| text.parse::<Decimal>().is_ok() || matches!(text, "true" | "false");
    let inner = written
        .strip_prefix(['"', '\''])
        .and_then(|rest| rest.strip_suffix(['"', '\'']));
    match inner {
        Some(inner) if expected.contains("number") && inner.parse::<Decimal>().is_ok() => {
            Some((inner.to_owned(), "take the quotes off"))
        }
        Some(inner) if expected.contains("boolean") && matches!(inner, "true" | "false") => {
            Some((inner.to_owned(), "take the quotes off"))
        }
        None if expected == "text" && is_scalar(written) => {
            Some((format!("\"{written}\""), "put it in quotes"))
        }
        _ => None,
    }
}

/// Whether a problem is that a key is there at all.
fn is_about_the_key(kind: &ProblemKind) -> bool {
    matches!(
        kind,
        ProblemKind::UnknownKey { .. }
            | ProblemKind::KeyPattern { .. }
            | ProblemKind::ReadOnly
            | ProblemKind::ClusterWide
            | ProblemKind::Excludes { .. }
    )
}

/// What a patch of the component says at a path of a resource.
pub(crate) fn patched<'a>(one: &Use<'a>, resource: &Resource, path: &[Segment]) -> Option<&'a Node> {
    let UseKind::Component { component, .. } = &one.kind else {
        return None;
    };
    let Recipe::Module { patches, .. } = &component.recipe else {
        return None;
    };
    let mut hits = patches
        .iter()
        .filter(|(target, _)| crate::patch::hits(&target.value, &resource.address));
    hits.find_map(|(_, node)| descend(node, path))
}

/// The node at a path that leads all the way, through what patches add.
fn descend<'a>(node: &'a Node, path: &[Segment]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, segment| match segment {
        Segment::Key(key) => node.get(key).or_else(|| node.get("$add")?.get(key)),
        Segment::Index(at) => node.items().get(*at),
    })
}
