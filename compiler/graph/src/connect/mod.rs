//! Connects resources: resolves references, converts grants and connections to IAM, RBAC and network policies, converts pipelines to
//! state machines, and reports cycles.

mod cycles;
mod existing;
mod grants;
mod lookup;
pub mod network;
mod object_references;
mod pipeline_targets;
pub(crate) mod unique_names;

use std::sync::OnceLock;

use foldhash::{HashMap, HashMapExt};
use terrace_artifact::{Owner, Partition, Text};
use terrace_language::assets::Assets;
use terrace_language::document::Environment;
use terrace_language::resource::{Destination, Instance, Resource};
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::source::{Files, Span};

use crate::expand::{DeclaredEdge, Expansions};
use crate::resolve::{ComponentInstance, TenantNames, UseKind};

pub use grants::pod_spec;
pub(crate) use lookup::Found;

/// All resources of an environment with their indices.
pub struct Graph<'a> {
    pub uses: &'a [ComponentInstance<'a>],
    pub instances: Vec<Instance>,
    pub resources: Vec<Resource>,
    pub places: Vec<Destination>,
    pub files: &'a Files,
    pub assets: &'a Assets<'a>,
    /// All tenants of the stack, including those that are not in this environment.
    pub tenants: &'a TenantNames,
    /// The number of the first CloudFormation stack of each instance. A partitioned instance has several.
    first_stack: Vec<usize>,
    /// Objects that components declare with `existing`, in order of instance.
    existing: Vec<existing::Existing>,
    /// The accounts of the other environments of the stack.
    pub other_accounts: Vec<Text>,
    /// The names and classes of the other environments of the stack, without those of this one.
    pub other_environments: Vec<Text>,
    /// Indices of resources by instance and key, in order of declaration.
    by_name: HashMap<(usize, Text), Vec<usize>>,
    /// Indices of CloudFormation resources by type, in order of owner.
    by_type: HashMap<Text, Vec<usize>>,
    /// Instances by owner and component.
    by_component: HashMap<(Owner, Text), usize>,
    /// The policies of each role, computed on first use.
    policies_by_role: OnceLock<grants::granted_only::PoliciesByRole>,
}

/// A dependency of one resource on another, with the expression that causes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub span: Span,
}

impl<'a> Graph<'a> {
    /// Connects expanded resources.
    pub fn connect(
        uses: &'a [ComponentInstance<'a>],
        expansions: Expansions,
        places: Vec<Destination>,
        files: &'a Files,
        assets: &'a Assets<'a>,
        tenants: &'a TenantNames,
        diagnostics: &mut Diagnostics,
    ) -> Graph<'a> {
        let Expansions {
            expanded,
            grants,
            connects,
            existing,
            ..
        } = expansions;
        let stacks = expanded.instances.iter().scan(0, |next, instance| {
            let first = *next;
            *next += 1 + instance.partitions.map_or(0, |count| count.get() as usize);
            Some(first)
        });
        let mut graph = Graph {
            uses,
            first_stack: stacks.collect(),
            instances: expanded.instances,
            resources: expanded.resources,
            places,
            files,
            assets,
            tenants,
            existing: existing::read(&existing, diagnostics),
            other_accounts: Vec::new(),
            other_environments: Vec::new(),
            by_name: HashMap::new(),
            by_type: HashMap::new(),
            by_component: HashMap::new(),
            policies_by_role: OnceLock::new(),
        };
        graph.index();
        graph.lower_pipelines(diagnostics);
        graph.lower_grants(&grants, diagnostics);
        graph.lower_connects(&connects, diagnostics);
        graph
    }

    fn index(&mut self) {
        self.by_name.clear();
        self.by_name.reserve(self.resources.len());
        for (at, resource) in self.resources.iter().enumerate() {
            self.by_name
                .entry((resource.instance, resource.address.resource.clone()))
                .or_default()
                .push(at);
        }
        self.by_type.clear();
        for (at, resource) in self.resources.iter().enumerate() {
            if resource.kind.cloudformation().is_some() {
                let name = resource.kind.name().clone();
                self.by_type.entry(name).or_default().push(at);
            }
        }
        self.by_component = self
            .instances
            .iter()
            .enumerate()
            .map(|(at, instance)| ((instance.owner.clone(), instance.component.clone()), at))
            .collect();
    }

    fn lower_pipelines(&mut self, diagnostics: &mut Diagnostics) {
        let mut made = Vec::new();
        for (index, component_instance) in self.uses.iter().enumerate() {
            let UseKind::Pipeline(pipeline) = &component_instance.kind else {
                continue;
            };
            let targets = pipeline_targets::InGraph {
                graph: self,
                from: index,
            };
            let context = terrace_pipelines::Context {
                instance: &self.instances[index],
                index,
                place: &self.places[index],
                targets: &targets,
            };
            let scope = terrace_language::expression::Scope {
                names: &component_instance.names,
                variables: None,
                local: false,
            };
            made.extend(terrace_pipelines::lower(
                pipeline,
                &context,
                &scope,
                self.files,
                diagnostics,
            ));
        }
        if !made.is_empty() {
            self.resources.extend(made);
            self.resources.sort_by_key(|resource| resource.instance);
            self.index();
        }
        for (index, component_instance) in self.uses.iter().enumerate() {
            if let UseKind::Pipeline(_) = component_instance.kind {
                let machine = self.resources.iter().find(|r| {
                    r.instance == index && r.kind.cloudformation() == Some("AWS::StepFunctions::StateMachine")
                });
                if let Some(machine) = machine {
                    let name = machine.address.to_string();
                    let arn = terrace_language::value::term::Reference {
                        name: name.into(),
                        key: None,
                        path: vec!["arn".into()],
                        local: false,
                        span: machine.declared,
                    };
                    let mut outputs: Vec<(Text, terrace_language::value::term::Term)> =
                        vec![("arn".into(), arn.into())];
                    // The queue of undelivered events, for components that process them again.
                    let undelivered = self.resources.iter().find(|resource| {
                        resource.instance == index
                            && resource.address.resource == terrace_pipelines::UNDELIVERED
                    });
                    outputs.extend(undelivered.map(|queue| {
                        let queue = terrace_language::value::term::Reference {
                            path: Vec::new(),
                            ..terrace_language::value::term::Reference::of_address(
                                queue.address.to_string(),
                                "",
                                queue.declared,
                            )
                        };
                        ("undelivered".into(), queue.into())
                    }));
                    self.instances[index].outputs = outputs;
                }
            }
        }
    }

    /// Returns whether every pipeline was converted to a state machine.
    pub fn has_every_pipeline(&self) -> bool {
        let missing = |(component_instance, instance): (&ComponentInstance<'_>, &Instance)| {
            matches!(component_instance.kind, UseKind::Pipeline(_)) && instance.outputs.is_empty()
        };
        !self.uses.iter().zip(&self.instances).any(missing)
    }

    fn lower_grants(&mut self, grants: &[DeclaredEdge], diagnostics: &mut Diagnostics) {
        let made = grants::lower(self, grants, diagnostics);
        self.add(made);
        let made = grants::granted_only::lower(self, diagnostics);
        self.add(made);
    }

    fn lower_connects(&mut self, connects: &[DeclaredEdge], diagnostics: &mut Diagnostics) {
        let made = network::lower(self, connects, diagnostics);
        self.add(made);
    }

    /// Adds a resource at the end, out of order. [`Graph::add`] restores the order.
    fn push(&mut self, resource: Resource) -> usize {
        let at = self.resources.len();
        self.by_name
            .entry((resource.instance, resource.address.resource.clone()))
            .or_default()
            .push(at);
        self.resources.push(resource);
        at
    }

    fn add(&mut self, made: Vec<Resource>) {
        if made.is_empty() {
            return;
        }
        self.resources.extend(made);
        self.resources.sort_by_key(|resource| resource.instance);
        self.index();
    }

    /// Returns the place of a value of a grant or connection, or the whole entry if the value comes from elsewhere.
    fn word(&self, stated: &DeclaredEdge, key: &str) -> Span {
        let UseKind::Component { recipe, .. } = &self.uses[stated.instance].kind else {
            return stated.span;
        };
        let mut bodies = recipe.grants.iter().chain(&recipe.connects);
        let body = bodies.find(|body| body.span() == stated.span);
        body.and_then(|body| body.value_span(key)).unwrap_or(stated.span)
    }

    /// Returns the diagnostic of a grant or a connection between resources of different places: `accounts`.
    fn are_apart(&self, one: usize, other: usize, places: &str) -> Diagnostic {
        let [one, other] = [one, other].map(|at| &self.resources[at].address);
        Diagnostic::new(
            Code::InvalidGrant,
            format!("`{one}` and `{other}` are in different {places}"),
        )
    }

    /// Returns the view of the graph from a component, for the checks of pipelines.
    pub fn targets(&self, from: usize) -> impl terrace_pipelines::Targets {
        pipeline_targets::InGraph { graph: self, from }
    }

    /// Returns the CloudFormation resources of a type that a component can refer to: those of its tenant and of the platform. The platform can
    /// refer to all.
    fn visible(&self, from: usize, resource_type: &str) -> impl Iterator<Item = &Resource> {
        let of_type = self.by_type.get(resource_type).map_or(&[][..], Vec::as_slice);
        let owner = |at: &usize| &self.resources[*at].address.owner;
        let owned_by = |wanted: &Owner| {
            let start = of_type.partition_point(|at| owner(at) < wanted);
            let count = of_type[start..].partition_point(|at| owner(at) == wanted);
            &of_type[start..start + count]
        };
        let seen = match &self.instances[from].owner {
            Owner::Platform => [of_type, &[]],
            tenant => [owned_by(tenant), owned_by(&Owner::Platform)],
        };
        seen.into_iter().flatten().map(|at| &self.resources[*at])
    }

    /// Returns the name of the component of a resource for composed names. It does not change when the component is renamed.
    fn identity(&self, resource: &Resource) -> &Text {
        &self.instances[resource.instance].identity
    }

    /// Returns the number of the artifact that contains a resource. An object has its own number, and stacks come after all objects.
    pub fn artifact(&self, at: usize) -> usize {
        let resource = &self.resources[at];
        if resource.kind.is_deployed_alone() {
            at
        } else {
            self.resources.len() + self.first_stack[resource.instance] + stack_offset(resource.partition)
        }
    }

    /// Returns a resource of an artifact.
    pub fn resource_of(&self, artifact: usize) -> usize {
        let Some(stack) = artifact.checked_sub(self.resources.len()) else {
            return artifact;
        };
        let instance = self.first_stack.partition_point(|first| *first <= stack) - 1;
        let offset = stack - self.first_stack[instance];
        let member = self.resources_of(instance).find(|(_, resource)| {
            !resource.kind.is_deployed_alone() && stack_offset(resource.partition) == offset
        });
        member.map_or(0, |(at, _)| at)
    }

    /// Returns whether another environment of the stack may deploy to the account of an instance.
    pub fn shares_account(&self, instance: usize) -> bool {
        let own = self.places[instance].account.as_ref();
        self.other_accounts
            .iter()
            .any(|other| own.is_none_or(|own| own == other))
    }

    /// Iterates over the resources of an instance.
    pub fn resources_of(&self, instance: usize) -> impl Iterator<Item = (usize, &Resource)> {
        let start = self
            .resources
            .partition_point(|resource| resource.instance < instance);
        let rest = self.resources[start..]
            .iter()
            .take_while(move |resource| resource.instance == instance);
        rest.enumerate().map(move |(at, resource)| (start + at, resource))
    }
}

/// Returns the offset of a stack among those of its instance. The stack with the name of the component is the first.
fn stack_offset(partition: Partition) -> usize {
    partition.map_or(0, |number| number.get() as usize)
}

/// Returns where each instance is deployed to, as far as this is known at compile time.
pub fn places(
    uses: &[ComponentInstance<'_>],
    environment: &Environment,
    targets: &[(Text, terrace_artifact::Target)],
) -> Vec<Destination> {
    uses.iter()
        .map(|component_instance| {
            let target = targets
                .iter()
                .find(|(name, _)| Some(name) == component_instance.instance.account.as_ref());
            let (account, region) = match target {
                Some((_, terrace_artifact::Target::Aws { account, region, .. })) => {
                    (Some(account.clone()), Some(region.clone()))
                }
                _ => (None, None),
            };
            Destination {
                class: environment.class.value,
                account,
                region,
                triggers: environment.triggers,
            }
        })
        .collect()
}
