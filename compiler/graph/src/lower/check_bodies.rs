//! Validates lowered bodies against the schemas of their targets.

use terrace_artifact::{Decimal, Segment, show_path};
use terrace_catalog::{Problem, ProblemKind};
use terrace_language::body::{Leaf, Mark};
use terrace_language::document::ComponentSource;
use terrace_language::expression::words::slug;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, did_you_mean, listed};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use crate::connect::Graph;
use crate::resolve::{ComponentInstance, UseKind};
use crate::targets::lowering_of;

impl Graph<'_> {
    /// Reports problems of a body that its target would reject.
    pub fn check_body(
        &self,
        at: usize,
        body: &Term,
        attributes: &[(terrace_artifact::Text, Term)],
        diagnostics: &mut Diagnostics,
    ) {
        let resource = &self.resources[at];
        let mut problems = Vec::new();
        lowering_of(&resource.kind).validate(&resource.kind, body, attributes, &mut problems);
        for problem in problems {
            diagnostics.push(self.refused(resource, &problem));
        }
    }

    fn refused(&self, resource: &Resource, problem: &Problem) -> Diagnostic {
        let kind = resource.kind.name();
        if let Some(diagnostic) = self.name_too_long(resource, kind, problem) {
            return diagnostic;
        }
        let diagnostic = Diagnostic::new(Code::InvalidResource, described(resource, kind, problem));
        let mut diagnostic = match self.key_of_field(resource, &problem.path) {
            // The key itself is wrong, not its value.
            Some(span) if is_about_the_key(&problem.kind) => {
                let (nearest, label) = match &problem.kind {
                    ProblemKind::UnknownKey { nearest, .. } => (nearest.as_ref(), ""),
                    _ => (None, "not allowed here"),
                };
                let diagnostic = self.located(resource, diagnostic.at(span, label));
                match nearest {
                    Some(name) => return diagnostic.replace(span, name.as_str(), did_you_mean(name)),
                    None => diagnostic,
                }
            }
            _ => self.at_field(resource, &problem.path, diagnostic),
        };
        match &problem.kind {
            ProblemKind::UnknownKey {
                nearest: Some(name), ..
            } => {
                diagnostic = diagnostic.help(did_you_mean(name));
            }
            ProblemKind::UnknownKey { known, .. } if !known.is_empty() => {
                diagnostic = diagnostic.note(format!("the valid fields are {}", listed(known)));
            }
            ProblemKind::NotInEnum {
                nearest: Some(name), ..
            } => {
                let help = did_you_mean(name);
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

    /// Suggests a valid name of an object, if only capital letters and underscores make the name invalid.
    fn with_slug(&self, resource: &Resource, path: &[Segment], diagnostic: Diagnostic) -> Diagnostic {
        if !lowering_of(&resource.kind).is_slug(path) {
            return diagnostic;
        }
        let Some(name) = resource.body.at_path(path).and_then(Term::as_str) else {
            return diagnostic;
        };
        let slug = slug(name);
        let plain = name.to_lowercase().replace('_', "-");
        match self.literal(resource, path) {
            _ if slug.is_empty() || slug != plain => diagnostic,
            Some(span) => {
                diagnostic.replace(span, slug.as_str(), "use lower case, with `-` between the words")
            }
            None => diagnostic.help(format!("use the filter `| slug`, which returns `{slug}`")),
        }
    }

    fn name_too_long(&self, resource: &Resource, kind: &str, problem: &Problem) -> Option<Diagnostic> {
        if let Some(diagnostic) = self.label_too_long(resource, problem) {
            return Some(diagnostic);
        }
        let (name, most) = lowering_of(&resource.kind).limited_name(resource, problem)?;
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
            true => diagnostic.help("shorten one of these names").note(format!("`{name}` contains the names of the platform, environment, tenant and component; the maximum is {most} characters")),
            false => diagnostic.help("shorten the name").note(format!("the maximum is {most} characters")),
        })
    }

    /// Reports names of a tenant and a component that are too long for the label which contains both.
    fn label_too_long(&self, resource: &Resource, problem: &Problem) -> Option<Diagnostic> {
        let (Some(Segment::Key(key)), ProblemKind::Form { .. }) = (problem.path.last(), &problem.kind) else {
            return None;
        };
        let instance = &self.instances[resource.instance];
        let label = terrace_language::expression::scope::instance_label(instance);
        let length = label.chars().count();
        if key != terrace_language::expression::scope::INSTANCE_LABEL
            || length <= terrace_catalog::LONGEST_LABEL
        {
            return None;
        }
        let message = format!(
            "the names of tenant `{}` and component `{}` are too long together",
            instance.owner, instance.component
        );
        Some(
            Diagnostic::new(Code::NameTooLong, message)
                .at(
                    instance.declared,
                    format!("{length} characters with the name of the tenant"),
                )
                .note(format!(
                    "`{label}` is the value of the label `{key}` of its objects; the maximum is {} characters",
                    terrace_catalog::LONGEST_LABEL
                ))
                .help("shorten one of the two names"),
        )
    }

    /// Returns the key of a field in a file: in a patch, in the body, or in an input that the body passes on.
    fn key_of_field(&self, resource: &Resource, path: &[Segment]) -> Option<Span> {
        let component_instance = &self.uses[resource.instance];
        if let Some(node) = patched(component_instance, resource, path) {
            return Some(node.key);
        }
        let trace = crate::expand::trace(component_instance, &resource.address, self.files)?;
        trace.key(path).or_else(|| {
            let leaf = trace.find(path)?;
            let below = path.strip_prefix(leaf.path.as_slice())?;
            self.input_node(resource.instance, leaf, below)
                .map(|node| node.key)
        })
    }

    /// Sets the place of a diagnostic to the line that sets a field: in the module, or in the stack if the field reads an input.
    pub fn at_field(&self, resource: &Resource, path: &[Segment], diagnostic: Diagnostic) -> Diagnostic {
        let component_instance = &self.uses[resource.instance];
        let declared = |diagnostic: Diagnostic| {
            self.located(resource, diagnostic.at(resource.declared, "declared here"))
        };
        let UseKind::Component { .. } = &component_instance.kind else {
            return declared(diagnostic);
        };
        if let Some(node) = patched(component_instance, resource, path) {
            return self.located(resource, diagnostic.at(node.span, "patched here"));
        }
        let Some(trace) = crate::expand::trace(component_instance, &resource.address, self.files) else {
            return declared(diagnostic);
        };
        let leaf = match trace.mark(path) {
            Some(Mark::Leaf(leaf)) => leaf,
            Some(Mark::Key(span)) => return self.located(resource, diagnostic.at(span, "")),
            None => return declared(diagnostic),
        };
        match self.input_span(resource.instance, leaf, path) {
            // The value in the stack is the primary place, and the line that uses it a related one.
            Some(span) => diagnostic.at(span, "").also(leaf.span, "used here"),
            None => self.located(resource, diagnostic.at(leaf.span, "")),
        }
    }

    /// Returns whether a value is a literal in the component or its module, neither computed nor from an input.
    pub fn is_literal(&self, resource: &Resource, path: &[Segment]) -> bool {
        self.literal(resource, path).is_some()
    }

    /// Returns the place of such a literal.
    pub fn literal(&self, resource: &Resource, path: &[Segment]) -> Option<Span> {
        let component_instance = &self.uses[resource.instance];
        let span = match patched(component_instance, resource, path) {
            Some(node) => Some(node.span),
            None => {
                crate::expand::trace(component_instance, &resource.address, self.files).and_then(|trace| {
                    let leaf = trace.find(path).filter(|leaf| leaf.path == path)?;
                    Some(leaf.span)
                })
            }
        };
        span.filter(|span| !self.files.text(*span).contains("{{"))
    }

    /// Returns the place in the stack of an input that a leaf reads, or of the value below it at the rest of the path.
    pub(crate) fn input_span(&self, instance: usize, leaf: &Leaf, path: &[Segment]) -> Option<Span> {
        let below = path.strip_prefix(leaf.path.as_slice()).unwrap_or_default();
        let exact = self.input_node(instance, leaf, below);
        exact
            .or_else(|| self.input_node(instance, leaf, &[]))
            .map(|node| node.span)
    }

    /// Returns the node in the stack of an input that a leaf reads, or of a value below it.
    fn input_node(&self, instance: usize, leaf: &Leaf, below: &[Segment]) -> Option<&Node> {
        let component_instance = &self.uses[instance];
        leaf.inputs.iter().find_map(|path| {
            component_instance.layers.iter().rev().find_map(|layer| {
                let node = path.iter().try_fold(layer.node, |node, key| node.get(key))?;
                descend(node, below)
            })
        })
    }
}

/// Returns the value with or without quotes, if only the quotes are wrong, and the help.
fn requoted(written: &str, expected: &str) -> Option<(String, &'static str)> {
    let is_scalar = |text: &str| text.parse::<Decimal>().is_ok() || matches!(text, "true" | "false");
    let inner = written
        .strip_prefix(['"', '\''])
        .and_then(|rest| rest.strip_suffix(['"', '\'']));
    match inner {
        Some(inner)
            if inner.parse::<Decimal>().is_ok_and(|number| {
                expected.contains("number") || expected.contains("integer") && number.is_integer()
            }) =>
        {
            Some((inner.to_owned(), "remove the quotes"))
        }
        Some(inner) if expected.contains("boolean") && matches!(inner, "true" | "false") => {
            Some((inner.to_owned(), "remove the quotes"))
        }
        None if expected == "a string" && is_scalar(written) => {
            Some((format!("\"{written}\""), "put it in quotes"))
        }
        _ => None,
    }
}

/// Describes a problem of a resource in one sentence. The sentence names the whole path of the field where it can.
fn described(resource: &Resource, kind: &str, problem: &Problem) -> String {
    let address = &resource.address;
    let place = show_path(&problem.path);
    // The message of the problem names the key, the item or the body.
    let about_a_part = || match place.is_empty() {
        true => format!("{kind} `{address}`: {}", problem.message()),
        false => format!("{kind} `{address}`, `{place}`: {}", problem.message()),
    };
    match &problem.kind {
        ProblemKind::UnknownKey { .. } => format!("{kind} `{address}` has no field `{place}`"),
        ProblemKind::Missing { key } => {
            let mut path = problem.path.clone();
            path.push(Segment::Key(key.clone()));
            format!("`{}` of {kind} `{address}` is missing", show_path(&path))
        }
        ProblemKind::KeyPattern { .. } | ProblemKind::Requires { .. } => about_a_part(),
        _ => match problem.path.last() {
            Some(Segment::Key(_)) => problem.sentence(&format!("`{place}` of {kind} `{address}`")),
            _ => about_a_part(),
        },
    }
}

/// Returns whether the presence of a key is the problem.
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

/// Returns the node of a patch of the component at a path of a resource.
pub(crate) fn patched<'a>(
    component_instance: &ComponentInstance<'a>,
    resource: &Resource,
    path: &[Segment],
) -> Option<&'a Node> {
    let UseKind::Component { component, .. } = &component_instance.kind else {
        return None;
    };
    let ComponentSource::Module { patches, .. } = &component.recipe else {
        return None;
    };
    let mut hits = patches
        .iter()
        .filter(|(target, _)| terrace_language::module::patch::hits(&target.value, &resource.address));
    hits.find_map(|(_, node)| descend(node, path))
}

/// Returns the node at a path, including entries that patches add.
fn descend<'a>(node: &'a Node, path: &[Segment]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, segment| match segment {
        Segment::Key(key) => node.get(key).or_else(|| node.get("$add")?.get(key)),
        Segment::Index(at) => node.items().get(*at),
    })
}
