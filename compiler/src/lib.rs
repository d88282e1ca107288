//! Compiles a stack into bundles: a pure function from text to text, with everything it has to say about the input.
//!
//! The phases, one verb each: [load](load) documents, validate them, [resolve](resolve) an environment, [expand](expand)
//! components into resources, [connect](connect) them, check them, and [emit](emit) artifacts. What is wrong in documents (their
//! form, their names, the values of inputs) is reported all at once, and so is everything wrong within a later phase; between
//! those we stop, so that nobody reads echoes of the first mistake.

#![expect(
    clippy::vec_box,
    clippy::boxed_local,
    reason = "failures are boxed where they are made, so that results stay small"
)]

mod asset;
pub mod body;
mod check;
pub mod code;
mod collision;
mod connect;
pub mod diagnostic;
pub mod dimension;
mod division;
pub mod document;
mod emit;
mod encryption;
mod expand;
pub mod expression;
mod iam;
pub mod input;
pub mod library;
mod limits;
mod load;
mod module;
pub mod module_test;
pub mod node;
mod patch;
mod pipeline;
mod placement;
mod presence;
pub mod provenance;
mod reach;
mod requirement;
mod resolve;
pub mod resource;
mod s3_url;
mod scope;
mod set;
pub mod source;
pub mod term;
pub mod unit;
pub mod validate;
mod values;
pub mod yaml;

use rayon::prelude::*;
use terrace_artifact::{Bundle, Text};

use asset::Assets;
use code::Code;
use connect::lower::{Lowered, is_object};
use connect::{Edge, Graph, places};
use diagnostic::{Diagnostic, Diagnostics};
use document::Environment;
use emit::Header;
use load::{Stack, unknown};
use resolve::{Prepared, Use};
use source::{Files, Sources, Span};

pub use emit::{Emission, Piece};

/// What is asked of the compiler. Everything that is not in the sources is in here.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The environments to compile; every one where none is named.
    pub environments: Vec<String>,
    /// Inputs from the command line: `COMPONENT.INPUT=VALUE`.
    pub set: Vec<String>,
    /// The version of the program, which the platform may demand.
    pub program: String,
    /// The day, as `2026-11-21`: waivers expire.
    pub today: String,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Compiled {
    /// One for each environment, in order of name; none where there are errors.
    pub bundles: Vec<Bundle>,
    /// Everything there is to say, in order of place.
    pub diagnostics: Vec<Diagnostic>,
    /// What spans are resolved against.
    pub files: Files,
    /// Where the platform says its goldens are, relative to the stack's folder.
    pub golden: Option<String>,
    /// The names of the environments that exist.
    pub environments: Vec<String>,
    /// The platform's name, where a document says it.
    pub platform: Option<Text>,
}

impl Compiled {
    /// Whether nothing was emitted because of errors.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// What a compilation does, in this order. Each environment goes through all but the first by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Reads documents and modules, and holds each against its schema.
    Load,
    /// Finds what an environment uses: its components for each tenant, with their layers of inputs.
    Resolve,
    /// Makes resources of components.
    Expand,
    /// Makes pipelines, grants and connects into resources, and finds what refers to what.
    Connect,
    /// Gives references the form of their targets, and holds every body against its schema.
    Lower,
    /// Holds the resources against our rules.
    Check,
    /// Makes artifacts.
    Emit,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Phase; 7] = [
        Phase::Load,
        Phase::Resolve,
        Phase::Expand,
        Phase::Connect,
        Phase::Lower,
        Phase::Check,
        Phase::Emit,
    ];
}

/// Is told each phase when it is done. The compiler itself has no clock.
type Watch<'w> = &'w (dyn Fn(Phase) + Sync);

/// Compiles a stack.
pub fn compile(sources: &dyn Sources, request: &Request) -> Compiled {
    compile_watched(sources, request, &|_| {})
}

/// Compiles a stack, and calls `watch` after each phase: once for [`Phase::Load`], once for each environment and other phase.
pub fn compile_watched(sources: &dyn Sources, request: &Request, watch: Watch<'_>) -> Compiled {
    let (mut compiled, bundles) = compile_with(sources, request, watch, |emissions| {
        let bundle = |emission: Emission<'_>| {
            let bundle = emission.into_bundle();
            watch(Phase::Emit);
            bundle
        };
        emissions.into_par_iter().map(bundle).collect()
    });
    compiled.bundles = bundles.unwrap_or_default();
    compiled
}

/// Compiles a stack without its bundles: where nothing is wrong, `take` gets what they are made of, for each environment in
/// order of name, and its answer comes back.
pub fn compile_with<T>(
    sources: &dyn Sources,
    request: &Request,
    watch: Watch<'_>,
    take: impl FnOnce(Vec<Emission<'_>>) -> T,
) -> (Compiled, Option<T>) {
    let mut compiled = Compiled::default();
    let mut diagnostics = Diagnostics::new();
    let stack = load::load(sources, &mut compiled.files, &mut diagnostics);
    watch(Phase::Load);
    let taken = stack.and_then(|stack| {
        compile_stack(
            &stack,
            sources,
            request,
            watch,
            &mut compiled,
            &mut diagnostics,
            take,
        )
    });
    compiled.diagnostics = diagnostics.into_sorted();
    (compiled, taken)
}

/// What comes after loading.
fn compile_stack<T>(
    stack: &Stack,
    sources: &dyn Sources,
    request: &Request,
    watch: Watch<'_>,
    compiled: &mut Compiled,
    diagnostics: &mut Diagnostics,
    take: impl FnOnce(Vec<Emission<'_>>) -> T,
) -> Option<T> {
    compiled.golden = stack
        .platform
        .golden
        .as_ref()
        .map(|golden| golden.value.to_string());
    compiled.environments = stack
        .environments
        .iter()
        .map(|e| e.name.value.to_string())
        .collect();
    compiled.platform = Some(stack.platform.name.value.clone());
    let mut asked = Diagnostics::new();
    check_program(stack, request, &mut asked);
    let environments = chosen(stack, request, &mut compiled.files, &mut asked);
    let for_another = asked.has_errors();
    diagnostics.append(asked);
    if for_another {
        return None;
    }
    let set = set::parse_set(&request.set, stack, &mut compiled.files, diagnostics);
    let files = &compiled.files;
    let following = following(stack);
    let mut said = Diagnostics::new();
    let prepared = Prepared::new(stack, set, files, &mut said);
    if !diagnostics.is_broken() && !said.is_broken() {
        presence::check(stack, &mut said);
        reach::check_tenants(stack, &mut said);
        reach::check_set(stack, &prepared.set, &environments, &mut said);
    }
    match diagnostics.is_broken() {
        true => diagnostics.append_beside(said, &following),
        false => diagnostics.append_beside(said, &[]),
    }
    let whole = Whole {
        prepared: &prepared,
        request,
        assets: &Assets::new(sources, &stack.platform.assets),
        files,
        watch,
    };
    if diagnostics.is_broken() {
        // Nothing comes of it, and yet all mistakes in its documents are said at once.
        for environment in environments {
            diagnostics.append_beside(whole.inputs(environment), &following);
        }
        return None;
    }
    let (uses, said): (Vec<Vec<Use<'_>>>, Vec<Diagnostics>) = environments
        .par_iter()
        .map(|environment| whole.uses(environment))
        .unzip();
    let checked: Vec<(Option<Emission<'_>>, Diagnostics)> = environments
        .par_iter()
        .zip(&uses)
        .zip(said)
        .map(|((environment, uses), mut said)| (whole.emission(environment, uses, &mut said), said))
        .collect();
    let mut emissions = Vec::new();
    let mut found = Diagnostics::new();
    for (emission, said) in checked {
        emissions.extend(emission);
        found.append(said);
    }
    diagnostics.append_beside(found, &[]);
    if !diagnostics.has_errors() {
        whole.collisions(&environments, &emissions, diagnostics);
    }
    if !diagnostics.is_broken() {
        whole.assets.report_exclusions(diagnostics);
        for module in &prepared.modules {
            diagnostics.append(module.misspelt.clone());
        }
    }
    (!diagnostics.has_errors()).then(|| take(emissions))
}

/// What all environments share.
struct Whole<'w> {
    prepared: &'w Prepared<'w>,
    request: &'w Request,
    assets: &'w Assets<'w>,
    files: &'w Files,
    watch: Watch<'w>,
}

impl<'w> Whole<'w> {
    /// What an environment uses.
    fn uses(&self, environment: &'w Environment) -> (Vec<Use<'w>>, Diagnostics) {
        let mut diagnostics = Diagnostics::new();
        let uses = self.prepared.uses(environment, self.files, &mut diagnostics);
        (self.watch)(Phase::Resolve);
        (uses, diagnostics)
    }

    /// What is wrong with the inputs of an environment, where something else is wrong already.
    fn inputs(&self, environment: &'w Environment) -> Diagnostics {
        let (uses, mut said) = self.uses(environment);
        for one in &uses {
            said.append(expand::check_inputs(one, self.files));
        }
        said
    }

    /// The phases of one environment up to where nothing can be wrong any more.
    fn emission<'e>(
        &self,
        environment: &Environment,
        uses: &'e [Use<'e>],
        diagnostics: &mut Diagnostics,
    ) -> Option<Emission<'e>>
    where
        'w: 'e,
    {
        let Whole {
            prepared,
            request,
            files,
            watch,
            ..
        } = *self;
        let waivers = check::Waivers::new(
            uses,
            &prepared.stack.platform.waivers,
            &prepared.modules,
            &request.today,
        );
        let mut expansions = expand::expand(uses, &waivers, files, diagnostics);
        let waived = std::mem::take(&mut expansions.waived);
        watch(Phase::Expand);
        if diagnostics.is_broken() {
            return None;
        }
        let targets = placement::targets(environment);
        let declared = placement::places(environment, files);
        let class = environment.class.value;
        let places = places(uses, environment, &targets);
        let mut graph = Graph::connect(
            uses,
            expansions,
            places,
            files,
            self.assets,
            &prepared.tenants,
            diagnostics,
        );
        let others = prepared
            .stack
            .environments
            .iter()
            .filter(|other| other.name.value != environment.name.value);
        graph.other_accounts = others.clone().flat_map(placement::accounts).collect();
        let own = [environment.name.value.as_str(), class.as_str()];
        let words = others.flat_map(|other| [other.name.value.clone(), other.class.value.as_str().into()]);
        graph.other_environments = words.filter(|word| !own.contains(&word.as_str())).collect();
        watch(Phase::Connect);
        let connected = !diagnostics.is_broken();
        if !connected && !graph.has_every_pipeline() {
            return None;
        }
        // A grant or a connection that is wrong takes nothing away that others would miss.
        let mut said = Diagnostics::new();
        let (lowered, edges, broken) = lower(&graph, &mut said);
        watch(Phase::Lower);
        diagnostics.append_beside(said, &[]);
        if !connected {
            return None;
        }
        check::clearance::check(&graph, &edges, diagnostics);
        graph.report_unused_existing(diagnostics);
        check::check(&graph, &lowered, &broken, &waivers, &waived, diagnostics);
        watch(Phase::Check);
        stop(diagnostics)?;
        let name = environment.name.value.clone();
        let platform = prepared.stack.platform.name.value.clone();
        let environment = terrace_artifact::Environment {
            name,
            class,
            places: declared,
        };
        let header = Header {
            platform,
            environment,
            targets: targets.into_iter().collect(),
            set: request.set.iter().map(Text::from).collect(),
        };
        let outputs = graph.outputs(&lowered);
        limits::check(&graph, &lowered, &outputs, diagnostics);
        stop(diagnostics)?;
        Some(Emission::new(graph, header, edges, lowered, outputs))
    }
}

impl Whole<'_> {
    /// Reports what environments of one cluster have in common. An environment that was not asked for is compiled for that, too:
    /// its objects are in the cluster whether or not this command is about them.
    fn collisions(&self, asked: &[&Environment], emissions: &[Emission<'_>], diagnostics: &mut Diagnostics) {
        let all = &self.prepared.stack.environments;
        let is_asked = |other: &Environment| asked.iter().any(|one| one.name.value == other.name.value);
        let beside: Vec<&Environment> = all
            .iter()
            .filter(|other| !is_asked(other))
            .filter(|other| asked.iter().any(|one| collision::shares_cluster(one, other)))
            .collect();
        let quiet = Whole {
            watch: &|_| {},
            ..*self
        };
        let uses: Vec<Vec<Use<'_>>> = beside.iter().map(|one| quiet.uses(one).0).collect();
        let others = beside.iter().zip(&uses);
        let others: Vec<Emission<'_>> = others
            .filter_map(|(one, uses)| quiet.emission(one, uses, &mut Diagnostics::new()))
            .collect();
        let environment = |name: &Text| all.iter().find(|one| one.name.value == *name);
        let compiled: Vec<collision::Compiled<'_>> = emissions
            .iter()
            .chain(&others)
            .filter_map(|emission| {
                let environment = environment(&emission.environment().name)?;
                Some(collision::Compiled {
                    asked: is_asked(environment),
                    environment,
                    emission,
                })
            })
            .collect();
        collision::check(&compiled, diagnostics);
    }
}

/// Lowers every resource for its target and holds it against what the target accepts. Gives the resources, what needs what, and
/// which resources are not what was meant.
fn lower(graph: &Graph<'_>, diagnostics: &mut Diagnostics) -> (Vec<Lowered>, Vec<Edge>, Vec<usize>) {
    let objects = graph.objects();
    let one = |at: usize| {
        let mut lowered = graph.lower(at);
        let mut said = std::mem::take(&mut lowered.diagnostics);
        let body = lowered.body(&graph.resources[at]);
        let secret = check::secrets_in_body(graph, at, body, &mut said);
        if !secret && !said.has_errors() {
            graph.check_body(at, body, &lowered.attributes, &mut said);
        }
        if is_object(&graph.resources[at]) {
            check::canonical(&graph.resources[at], &mut lowered);
            lowered.edges.extend(graph.mentioned(at, &objects, &mut said));
        }
        lowered.diagnostics = said;
        lowered
    };
    let mut names = Diagnostics::new();
    let (mut lowered, ()) = rayon::join(
        || {
            (0..graph.resources.len())
                .into_par_iter()
                .map(one)
                .collect::<Vec<Lowered>>()
        },
        || graph.check_names(&mut names),
    );
    let mut edges = Vec::new();
    let mut broken = Vec::new();
    for (at, one) in lowered.iter_mut().enumerate() {
        if one.diagnostics.is_broken() {
            broken.push(at);
        }
        diagnostics.append(std::mem::take(&mut one.diagnostics));
        edges.append(&mut one.edges);
    }
    for code in [
        Code::AssetTooLarge,
        Code::DanglingReference,
        Code::InvalidAsset,
        Code::MissingAsset,
    ] {
        diagnostics.merge(code);
    }
    diagnostics.append(names);
    // A ring of resources is told with its path; that a reference in it comes back is the same mistake.
    let mut rings = Diagnostics::new();
    graph.report_cycles(&edges, &mut rings);
    diagnostics.remove_told(Code::DependencyCycle, &rings);
    diagnostics.append(rings);
    (lowered, edges, broken)
}

/// What may be said only because something else is wrong.
fn following(stack: &Stack) -> Vec<Code> {
    let mut following = vec![
        Code::MissingInput,
        Code::Undefined,
        Code::ExpressionType,
        Code::UnmetRequirement,
    ];
    if stack.lost {
        following.extend([
            Code::UnknownComponent,
            Code::UnknownEnvironment,
            Code::UnknownModule,
            Code::UnknownTenant,
            Code::UnknownVersion,
        ]);
    }
    following
}

fn stop(diagnostics: &Diagnostics) -> Option<()> {
    (!diagnostics.has_errors()).then_some(())
}

/// The environments that were asked for.
fn chosen<'a>(
    stack: &'a Stack,
    request: &Request,
    files: &mut Files,
    diagnostics: &mut Diagnostics,
) -> Vec<&'a Environment> {
    if request.environments.is_empty() {
        return stack.environments.iter().collect();
    }
    let mut environments = Vec::new();
    for name in &request.environments {
        match stack
            .environments
            .iter()
            .find(|environment| environment.name.value == name.as_str())
        {
            Some(environment) => environments.push(environment),
            None => {
                let file = files.add("--environment", name.as_str());
                let span = Span {
                    file,
                    start: 0,
                    end: u32::try_from(name.len()).unwrap_or(u32::MAX),
                };
                let names = stack
                    .environments
                    .iter()
                    .map(|environment| environment.name.value.as_str());
                diagnostics.push(unknown(
                    Code::UnknownEnvironment,
                    "environment",
                    name,
                    span,
                    names,
                ));
            }
        }
    }
    environments.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    environments.dedup_by(|a, b| a.name.value == b.name.value);
    environments
}

fn check_program(stack: &Stack, request: &Request, diagnostics: &mut Diagnostics) {
    let Some(wanted) = &stack.platform.terrace else {
        return;
    };
    let Ok(version) = request.program.parse::<semver::Version>() else {
        return;
    };
    if !wanted.value.matches(&version) {
        diagnostics.push(
            Diagnostic::new(
                Code::WrongVersion,
                format!(
                    "the stack requires Terrace `{}`, but this is version {version}",
                    wanted.value
                ),
            )
            .at(wanted.span, "required here")
            .help("install a matching version, or change the requirement"),
        );
    }
}
