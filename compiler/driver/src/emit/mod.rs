//! Emits artifacts. All problems were reported before, so this phase cannot fail.

mod cloudformation;
mod kubernetes;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use terrace_artifact::{
    Address, Artifact, ArtifactId, Asset, Body, Bundle, Digest, Environment, Origin, Partition, Segment,
    Source, Target, Text, Value,
};
use terrace_graph::connect::{Edge, Graph};
use terrace_graph::lower::attributes::Attribute;
use terrace_graph::lower::outputs::{Outputs, intrinsic};
use terrace_graph::lower::{Late, Lowered, output_name};
use terrace_graph::provenance::Provenance;
use terrace_graph::targets;
use terrace_language::resource::{Instance, Resource, ResourceKind};
use terrace_language::target_languages;
use terrace_language::value::term::Term;

/// A valid environment whose artifacts have not been generated yet.
///
/// The artifacts together need more memory than their sources. A caller that only passes them on should take them
/// [component by component](Emission::each).
pub struct Emission<'a> {
    graph: Graph<'a>,
    header: Header,
    edges: Vec<Edge>,
    /// The lowered resources. They get their bodies when the artifacts are generated.
    lowered: Vec<Lowered>,
    outputs: Outputs,
}

/// The parts of a bundle other than its artifacts.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) platform: Text,
    pub(crate) environment: Environment,
    pub(crate) targets: BTreeMap<Text, Target>,
    pub(crate) set: Vec<Text>,
}

/// The artifacts of one component.
#[derive(Debug)]
pub struct ComponentArtifacts {
    /// The objects and stacks, without order.
    pub artifacts: Vec<Artifact>,
    /// The files that the artifacts name.
    pub assets: BTreeMap<Digest, Asset>,
}

/// Data that all artifacts share while they are generated.
struct Context {
    /// The value of the label `terrace.dev/stack`.
    label: Text,
    /// The artifact of each resource.
    ids: Vec<ArtifactId>,
    /// The dependencies between artifacts, as pairs of numbers (see [`Graph::artifact`]), in order.
    needs: Vec<(usize, usize)>,
}

/// The index of a resource, and its lowered form.
type LoweredResource<'l> = (usize, &'l mut Lowered);

/// The form of the artifacts of a target language.
trait TargetEmission: Sync {
    /// Returns the ID of the artifact that contains a resource.
    fn artifact_id(&self, target: &str, resource: &Resource, instance: &Instance) -> ArtifactId;

    /// Generates the body of the artifact of these resources: one resource, or those of one component and partition. Adds the files that it
    /// names to `assets`.
    fn body(
        &self,
        emission: &Emission<'_>,
        members: &mut [LoweredResource<'_>],
        context: &Context,
        assets: &mut BTreeMap<Digest, Asset>,
    ) -> Body;
}

/// Returns the target language of a resource.
fn emission_of(kind: &ResourceKind) -> &'static dyn TargetEmission {
    target_languages!(kind, TargetEmission)
}

impl<'a> Emission<'a> {
    pub(crate) fn new(
        graph: Graph<'a>,
        header: Header,
        edges: Vec<Edge>,
        lowered: Vec<Lowered>,
        outputs: Outputs,
    ) -> Emission<'a> {
        Emission {
            graph,
            header,
            edges,
            lowered,
            outputs,
        }
    }

    /// Returns the graph of resources.
    pub(crate) fn graph(&self) -> &Graph<'a> {
        &self.graph
    }

    /// Returns the body of a resource as its target gets it.
    pub(crate) fn body(&self, at: usize) -> &Term {
        self.lowered[at].body(&self.graph.resources[at])
    }

    /// Returns the environment.
    pub fn environment(&self) -> &Environment {
        &self.header.environment
    }

    /// Returns the targets of the artifacts by name.
    pub fn targets(&self) -> &BTreeMap<Text, Target> {
        &self.header.targets
    }

    /// Returns the origin of a field of a resource, or `None` if the compiler generates the field.
    pub fn provenance(&self, address: &Address, field: &[Segment]) -> Option<Provenance> {
        self.graph.provenance(address, field)
    }

    /// Generates the bundle.
    pub fn into_bundle(mut self) -> Bundle {
        let header = self.header.clone();
        let mut artifacts = Vec::new();
        let mut assets = BTreeMap::new();
        for piece in self.each(|piece| piece) {
            artifacts.extend(piece.artifacts);
            assets.extend(piece.assets);
        }
        Bundle {
            platform: header.platform,
            environment: header.environment,
            targets: header.targets,
            artifacts: in_order(artifacts),
            assets,
            set: header.set,
        }
    }

    /// Generates the artifacts of each component and passes them to `take`, in parallel and without order. Returns the results in order of tenant
    /// and component. A second call generates empty artifacts, because the bodies are moved.
    pub fn each<T: Send>(&mut self, take: impl Fn(ComponentArtifacts) -> T + Sync) -> Vec<T> {
        let context = Context {
            label: format!("{}.{}", self.header.platform, self.header.environment.name).into(),
            ids: self.ids(),
            needs: self.needs(),
        };
        let mut lowered = std::mem::take(&mut self.lowered);
        for (resource, lowered) in self.graph.resources.iter_mut().zip(&mut lowered) {
            // The bodies are not needed after this point, so unchanged ones are moved, not copied.
            lowered
                .body
                .get_or_insert_with(|| std::mem::take(&mut resource.body));
        }
        let mut components: Vec<Vec<LoweredResource<'_>>> = Vec::new();
        components.resize_with(self.graph.instances.len(), Vec::new);
        for (at, lowered) in lowered.iter_mut().enumerate() {
            components[self.graph.resources[at].instance].push((at, lowered));
        }
        let piece = |resources| take(self.component(resources, &context));
        components.into_par_iter().map(piece).collect()
    }

    /// Returns the dependencies between artifacts by number.
    fn needs(&self) -> Vec<(usize, usize)> {
        let pairs = self
            .edges
            .iter()
            .map(|edge| (self.graph.artifact(edge.from), self.graph.artifact(edge.to)));
        let mut needs: Vec<_> = pairs.filter(|(from, to)| from != to).collect();
        needs.par_sort_unstable();
        needs.dedup();
        needs
    }

    /// Returns the artifacts that the artifact of a resource depends on.
    fn needed(&self, at: usize, context: &Context) -> BTreeSet<ArtifactId> {
        let artifact = self.graph.artifact(at);
        let start = context.needs.partition_point(|(from, _)| *from < artifact);
        context.needs[start..]
            .iter()
            .take_while(|(from, _)| *from == artifact)
            .map(|(_, to)| context.ids[self.graph.resource_of(*to)].clone())
            .collect()
    }

    fn target(&self, resource: &Resource) -> Text {
        let instance = &self.graph.instances[resource.instance];
        let place = targets::place(&resource.kind, instance);
        place.cloned().unwrap_or_default()
    }

    fn ids(&self) -> Vec<ArtifactId> {
        let id = |resource: &Resource| {
            let instance = &self.graph.instances[resource.instance];
            emission_of(&resource.kind).artifact_id(&self.target(resource), resource, instance)
        };
        self.graph.resources.par_iter().map(id).collect()
    }

    fn origin(&self, resource: &Resource) -> Origin {
        let instance = &self.graph.instances[resource.instance];
        Origin {
            component: self.graph.files.location(instance.declared),
            resource: self.graph.files.location(resource.declared),
        }
    }

    /// Returns the source of a late value.
    fn source(&self, late: &Late, context: &Context) -> Source {
        let resource = &self.graph.resources[late.resource];
        let attribute = match &late.attribute {
            Attribute::Field(path) => path.iter().map(|key| Segment::Key(key.clone())).collect(),
            attribute => {
                let value = intrinsic(resource, attribute);
                let known = self
                    .outputs
                    .get(&(resource.instance, resource.partition))
                    .and_then(|outputs| {
                        outputs
                            .iter()
                            .find(|(_, other)| **other == value)
                            .map(|(name, _)| name.clone())
                    });
                vec![Segment::Key(
                    known.unwrap_or_else(|| output_name(resource, attribute)),
                )]
            }
        };
        Source {
            artifact: context.ids[late.resource].clone(),
            attribute,
            shown: late.shown.clone(),
        }
    }

    fn component(&self, resources: Vec<LoweredResource<'_>>, context: &Context) -> ComponentArtifacts {
        let mut piece = ComponentArtifacts {
            artifacts: Vec::new(),
            assets: BTreeMap::new(),
        };
        let mut groups: BTreeMap<Partition, Vec<LoweredResource<'_>>> = BTreeMap::new();
        for mut member in resources {
            let resource = &self.graph.resources[member.0];
            if resource.kind.is_deployed_alone() {
                let members = std::slice::from_mut(&mut member);
                let artifact = self.artifact(members, context, &mut piece.assets);
                piece.artifacts.push(artifact);
            } else {
                groups.entry(resource.partition).or_default().push(member);
            }
        }
        for members in groups.values_mut() {
            let artifact = self.artifact(members, context, &mut piece.assets);
            piece.artifacts.push(artifact);
        }
        piece
    }

    /// Generates the artifact of these resources, which is not empty.
    fn artifact(
        &self,
        members: &mut [LoweredResource<'_>],
        context: &Context,
        assets: &mut BTreeMap<Digest, Asset>,
    ) -> Artifact {
        let at = members[0].0;
        let resource = &self.graph.resources[at];
        let body = emission_of(&resource.kind).body(self, members, context, assets);
        Artifact {
            id: context.ids[at].clone(),
            target: self.target(resource),
            needs: self.needed(at, context),
            body,
        }
    }
}

/// Sorts artifacts by ID. The indices are sorted first, so that each artifact is moved once.
fn in_order(artifacts: Vec<Artifact>) -> Vec<Artifact> {
    let mut order: Vec<usize> = (0..artifacts.len()).collect();
    order.par_sort_by(|a, b| artifacts[*a].id.cmp(&artifacts[*b].id));
    let mut artifacts: Vec<Option<Artifact>> = artifacts.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| artifacts[at].take()).collect()
}

/// Returns the body of a resource as the target gets it.
fn take_body(lowered: &mut Lowered) -> Value {
    lowered.body.take().unwrap_or_default().into_value()
}

/// Returns the mark of a resource: `true` if it holds data, `false` if its module declares that it holds none although its type does.
/// The deployer accepts `false` only if the previous release contained the same mark.
fn data_mark(resource: &Resource) -> Option<bool> {
    (resource.holds_data || resource.kind.holds_data(&resource.body)).then_some(resource.holds_data)
}
