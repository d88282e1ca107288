//! Modules with parsed expressions. Each module is parsed once, for all components that use it.

pub mod inputs;
pub mod layers;
pub mod library;
pub(crate) mod null_paths;
mod partition;
pub mod patch;

use std::num::NonZeroU32;

use terrace_artifact::Text;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::{Node, NodeKind};
use terrace_syntax::source::Files;
use terrace_syntax::source::Spanned;

use crate::body::{Body, number, whole_expression};
use crate::document::{self, Input};
use crate::expression::{self, Expression, Reads, Template};
use crate::resource::ResourceKind;
use crate::target_languages;
use crate::targets::TargetLanguage;

/// The template of a module, or of a component with its own resources.
#[derive(Clone, Debug)]
pub struct ComponentTemplate {
    pub resources: Vec<ResourceTemplate>,
    /// For each number of a tree in the resources, whether several trees have it.
    pub repeated: Vec<bool>,
    pub outputs: Vec<(Spanned<Text>, Body)>,
    pub checks: Vec<Check>,
    /// One body for each list item. A loop in an item produces several grants.
    pub grants: Vec<Body>,
    pub connects: Vec<Body>,
    pub existing: Vec<Body>,
    pub requires: Vec<(Spanned<Text>, Spanned<semver::VersionReq>)>,
    /// The partitioning of repeated resources into CloudFormation stacks, if the module declares it.
    pub partitioning: Option<Partitioning>,
}

/// The partitioning of repeated resources into CloudFormation stacks.
#[derive(Clone, Debug)]
pub struct Partitioning {
    /// The expression of the key of a resource.
    pub(crate) by: Expression,
    /// The number of partitions.
    pub into: NonZeroU32,
}

/// A module with its recipe.
#[derive(Clone, Debug)]
pub struct Module {
    pub document: document::Module,
    pub recipe: ComponentTemplate,
    /// Diagnostics of unused inputs whose reader misspells them. They are reported only if the misspelled name is not.
    pub misspelt: Diagnostics,
}

/// A resource before expansion.
#[derive(Clone, Debug)]
pub struct ResourceTemplate {
    pub name: Spanned<Text>,
    pub kind: Spanned<ResourceKind>,
    pub for_each: Option<Expression>,
    pub when: Option<Expression>,
    pub body: Body,
    /// Attributes of the resource beside its properties, such as `DeletionPolicy`.
    pub attributes: Vec<(Text, Body)>,
    pub depends_on: Vec<Spanned<Text>>,
    /// Whether the resource holds data. If absent, its type decides.
    pub holds_data: Option<Body>,
    /// Whether only grantees may use it.
    pub granted_only: Option<Body>,
}

/// A condition on the inputs.
#[derive(Clone, Debug)]
pub struct Check {
    pub for_each: Option<Expression>,
    pub that: Expression,
    pub message: Template,
    pub at: Option<Spanned<Text>>,
    pub rule: Option<Spanned<Text>>,
}

impl Module {
    /// Parses the expressions of a module, and reports inputs that none of them reads.
    pub fn read(document: &document::Module, files: &Files, diagnostics: &mut Diagnostics) -> Module {
        let mut problems = Diagnostics::new();
        let recipe = ComponentTemplate::read(&document.body, files, &mut problems);
        let mut misspelt = Diagnostics::new();
        if !problems.has_errors() {
            recipe.unused_inputs(&document.inputs, &mut problems, &mut misspelt);
        }
        diagnostics.append(problems);
        Module {
            document: document.clone(),
            recipe,
            misspelt,
        }
    }
}

impl ComponentTemplate {
    /// Parses the expressions of a document.
    pub fn read(body: &document::Body, files: &Files, diagnostics: &mut Diagnostics) -> ComponentTemplate {
        let bodies = |nodes: &[Node], diagnostics: &mut Diagnostics| {
            nodes
                .iter()
                .map(|node| Body::read(node, files, diagnostics))
                .collect()
        };
        let mut resources: Vec<ResourceTemplate> = body
            .resources
            .iter()
            .filter_map(|(name, node)| ResourceTemplate::read(name, node, files, diagnostics))
            .collect();
        let repeated = number(resources.iter_mut().map(|resource| &mut resource.body), files);
        ComponentTemplate {
            resources,
            repeated,
            outputs: body
                .outputs
                .iter()
                .map(|(name, node)| (name.clone(), Body::read(node, files, diagnostics)))
                .collect(),
            checks: body
                .checks
                .iter()
                .filter_map(|check| {
                    Some(Check {
                        for_each: check
                            .for_each
                            .as_ref()
                            .and_then(|node| whole_expression(node, files, diagnostics)),
                        that: whole_expression(&check.that, files, diagnostics)?,
                        message: expression::template(&check.message, files, diagnostics),
                        at: check.at.clone(),
                        rule: check.rule.clone(),
                    })
                })
                .collect(),
            grants: bodies(&body.grants, diagnostics),
            connects: bodies(&body.connects, diagnostics),
            existing: bodies(&body.existing, diagnostics),
            requires: body.requires.clone(),
            partitioning: body.divides.as_ref().and_then(|divides| {
                Some(Partitioning {
                    by: whole_expression(&divides.by, files, diagnostics)?,
                    into: NonZeroU32::new(divides.into.value.try_into().ok()?)?,
                })
            }),
        }
    }

    /// Calls `see` with every expression.
    fn expressions(&self, see: &mut impl FnMut(&Expression)) {
        for resource in &self.resources {
            resource.for_each.iter().chain(&resource.when).for_each(&mut *see);
            resource.body.expressions(see);
            resource
                .attributes
                .iter()
                .for_each(|(_, body)| body.expressions(see));
            let flags = resource.holds_data.iter().chain(&resource.granted_only);
            flags.for_each(|body| body.expressions(see));
        }
        self.partitioning
            .iter()
            .for_each(|partitioning| see(&partitioning.by));
        self.outputs.iter().for_each(|(_, body)| body.expressions(see));
        self.grants
            .iter()
            .chain(&self.connects)
            .chain(&self.existing)
            .for_each(|body| body.expressions(see));
    }

    /// Reports unused inputs. An input that only a check reads has no effect, so it counts as unused.
    fn unused_inputs(&self, inputs: &[Input], diagnostics: &mut Diagnostics, misspelt: &mut Diagnostics) {
        let mut reads = Reads::default();
        self.expressions(&mut |expression| reads.add(expression));
        if reads.all {
            return;
        }
        let declared = |name: &Text| inputs.iter().any(|input| input.name.value == *name);
        let strange: Vec<&Text> = reads.names.iter().filter(|name| !declared(name)).collect();
        for input in inputs
            .iter()
            .filter(|input| !reads.names.contains(&input.name.value))
        {
            let name = input.name.value.as_str();
            let meant = |read: &&Text| terrace_catalog::nearest(read, [name].into_iter()).is_some();
            let misread = reads.elsewhere.contains(&input.name.value);
            let sink = match misread || strange.iter().copied().any(|read| meant(&read)) {
                true => &mut *misspelt,
                false => &mut *diagnostics,
            };
            sink.push(
                Diagnostic::new(
                    Code::UnusedInput,
                    format!("input `{}` is never used", input.name.value),
                )
                .at(input.name.span, "has no effect")
                .help("use it in a resource, or remove it"),
            );
        }
    }
}

impl ResourceTemplate {
    fn read(
        name: &Spanned<Text>,
        node: &Node,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) -> Option<ResourceTemplate> {
        let type_node = node.get("type")?;
        let kind = resource_kind(type_node, diagnostics)?;
        let mut template = ResourceTemplate {
            name: name.clone(),
            kind: Spanned {
                value: kind,
                span: type_node.span,
            },
            for_each: node
                .get("for_each")
                .and_then(|node| whole_expression(node, files, diagnostics)),
            when: node
                .get("when")
                .and_then(|node| whole_expression(node, files, diagnostics)),
            body: Body::read(&empty(node), files, diagnostics),
            attributes: Vec::new(),
            depends_on: Vec::new(),
            holds_data: node
                .get("holds_data")
                .map(|node| Body::read(node, files, diagnostics)),
            granted_only: node
                .get("granted_only")
                .map(|node| Body::read(node, files, diagnostics)),
        };
        for item in node.get("depends_on").map_or(&[][..], Node::items) {
            if let Some(name) = item.as_str() {
                template.depends_on.push(Spanned {
                    value: name.into(),
                    span: item.span,
                });
            }
        }
        let language = template.kind.value.language();
        language.read_body(&mut template, node, files, diagnostics);
        Some(template)
    }
}

fn empty(node: &Node) -> Node {
    Node {
        kind: NodeKind::Map(Vec::new()),
        span: node.span,
        key: node.key,
    }
}

/// Parses a type such as `AWS::S3::Bucket`, `apps/v1/Deployment` or `v1/ConfigMap`. Reports a type that does not exist.
fn resource_kind(node: &Node, diagnostics: &mut Diagnostics) -> Option<ResourceKind> {
    let text = node.as_str()?;
    let languages = target_languages!(all as TargetLanguage);
    let language = languages.iter().find(|language| language.is_type(text))?;
    language.read_type(text, node, diagnostics)
}
