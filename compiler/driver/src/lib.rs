//! Compiles a stack into bundles. The compiler is a pure function from text to text and diagnostics.
//!
//! This crate contains the whole pipeline on one page, and the last phase. [`Phase`] lists the phases. The other phases are in the crates that
//! this one depends on.
//!
//! All problems of documents (their form, names and input values) are reported together, and so are all problems within a later phase. The compiler
//! stops between phases after an error, so that it does not report consequences of the first problem.

#![warn(missing_docs)]

mod collision;
mod emit;
pub mod module_test;

use rayon::prelude::*;
use terrace_artifact::{Bundle, Text};
use terrace_graph::connect::{Edge, Graph, places};
use terrace_graph::expand;
use terrace_graph::lower::Lowered;
use terrace_graph::resolve::{
    ComponentInstance, Prepared, cli_inputs, placement, presence, unused_overrides, waivers,
};
use terrace_language::assets::Assets;
use terrace_language::document::{Environment, StackDocuments};
use terrace_language::load::{self, unknown};

use code::{Cause, Code};
use diagnostic::{Diagnostic, Diagnostics};
use emit::Header;
use source::{Files, Sources, Span};

pub use emit::{ComponentArtifacts, Emission};
pub use terrace_graph::provenance;
pub use terrace_language::module::library;
pub use terrace_language::value::{term, unit};
pub use terrace_language::{document, expression, validate};
pub use terrace_syntax::{code, diagnostic, node, source, yaml};

/// A request to the compiler: everything that is not in the sources.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The environments to compile, or all if the list is empty.
    pub environments: Vec<String>,
    /// Inputs from the command line: `COMPONENT.INPUT=VALUE`.
    pub set: Vec<String>,
    /// The version of the program, which the platform may restrict.
    pub program: String,
    /// The current date, as `2026-11-21`, for the expiry of waivers.
    pub today: String,
}

/// The result of a compilation.
#[derive(Debug, Default)]
pub struct Compiled {
    /// One bundle for each environment, in order of name. Empty if there are errors.
    pub bundles: Vec<Bundle>,
    /// All diagnostics in order of place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that spans refer to.
    pub files: Files,
    /// The directory of the golden files, relative to the directory of the stack.
    pub golden: Option<String>,
    /// The names of all environments.
    pub environments: Vec<String>,
    /// The name of the platform, if it is known.
    pub platform: Option<Text>,
}

impl Compiled {
    /// Returns whether errors prevented the emission.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// The phases of a compilation, in order. All phases except the first run for each environment.
///
/// This is the only list of the phases. `ARCHITECTURE.md`, the benchmark and `docs/performance.md` use the same names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Reads documents and modules, and validates them against their schemas ([`terrace_language::load`]).
    Load,
    /// Resolves the components of an environment for each tenant, with their layers of inputs ([`terrace_graph::resolve`]).
    Resolve,
    /// Expands components to resources ([`terrace_graph::expand`]).
    Expand,
    /// Converts pipelines, grants and connections to resources, and resolves references ([`terrace_graph::connect`]).
    Connect,
    /// Converts references to the form of their targets, and validates every body against its schema ([`terrace_graph::lower`]).
    Lower,
    /// Checks the resources against the rules of Terrace ([`terrace_checks`]).
    Check,
    /// Generates artifacts.
    Emit,
}

impl Phase {
    /// All phases in order.
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

/// A callback that is called after each phase. The compiler itself has no clock.
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

/// Compiles a stack without generating its bundles. If there are no errors, `take` gets the emission of each environment in order of name, and its
/// result is returned.
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

/// Runs the phases after loading.
fn compile_stack<T>(
    stack: &StackDocuments,
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
    let set = cli_inputs::parse_set(&request.set, stack, &mut compiled.files, diagnostics);
    let files = &compiled.files;
    let causes: &[Cause] = match stack.lost {
        true => &[Cause::EarlierError, Cause::LostFile],
        false => &[Cause::EarlierError],
    };
    let mut reported = Diagnostics::new();
    let prepared = Prepared::new(stack, set, files, &mut reported);
    if !diagnostics.blocks_next_phase() && !reported.blocks_next_phase() {
        presence::check(stack, &mut reported);
        unused_overrides::check_tenants(stack, &mut reported);
        unused_overrides::check_set(stack, &prepared.set, &environments, &mut reported);
    }
    match diagnostics.blocks_next_phase() {
        true => diagnostics.append_unless_follow_on(reported, causes),
        false => diagnostics.append_unless_follow_on(reported, &[]),
    }
    let whole = Compilation {
        prepared: &prepared,
        request,
        assets: &Assets::new(sources, &stack.platform.assets),
        files,
        watch,
    };
    if diagnostics.blocks_next_phase() {
        // No bundle is emitted, but all problems of the documents are reported together.
        for environment in environments {
            diagnostics.append_unless_follow_on(whole.inputs(environment), causes);
        }
        return None;
    }
    let (uses, reported): (Vec<Vec<ComponentInstance<'_>>>, Vec<Diagnostics>) = environments
        .par_iter()
        .map(|environment| whole.uses(environment))
        .unzip();
    let checked: Vec<(Option<Emission<'_>>, Diagnostics)> = environments
        .par_iter()
        .zip(&uses)
        .zip(reported)
        .map(|((environment, uses), mut reported)| {
            (whole.emission(environment, uses, &mut reported), reported)
        })
        .collect();
    let mut emissions = Vec::new();
    let mut found = Diagnostics::new();
    for (emission, reported) in checked {
        emissions.extend(emission);
        found.append(reported);
    }
    diagnostics.append_unless_follow_on(found, &[]);
    if !diagnostics.has_errors() {
        whole.collisions(&environments, &emissions, diagnostics);
    }
    if !diagnostics.blocks_next_phase() {
        whole.assets.report_exclusions(diagnostics);
        for module in &prepared.modules {
            diagnostics.append(module.misspelt.clone());
        }
    }
    (!diagnostics.has_errors()).then(|| take(emissions))
}

/// The data that all environments share.
struct Compilation<'w> {
    prepared: &'w Prepared<'w>,
    request: &'w Request,
    assets: &'w Assets<'w>,
    files: &'w Files,
    watch: Watch<'w>,
}

impl<'w> Compilation<'w> {
    /// Returns the uses of components in an environment.
    fn uses(&self, environment: &'w Environment) -> (Vec<ComponentInstance<'w>>, Diagnostics) {
        let mut diagnostics = Diagnostics::new();
        let uses = self.prepared.uses(environment, self.files, &mut diagnostics);
        (self.watch)(Phase::Resolve);
        (uses, diagnostics)
    }

    /// Reports problems of the inputs of an environment after earlier errors.
    fn inputs(&self, environment: &'w Environment) -> Diagnostics {
        let (uses, mut reported) = self.uses(environment);
        for one in &uses {
            reported.append(expand::check_inputs(one, self.files));
        }
        reported
    }

    /// Runs the phases of one environment that can find problems.
    fn emission<'e>(
        &self,
        environment: &Environment,
        uses: &'e [ComponentInstance<'e>],
        diagnostics: &mut Diagnostics,
    ) -> Option<Emission<'e>>
    where
        'w: 'e,
    {
        let Compilation {
            prepared,
            request,
            files,
            watch,
            ..
        } = *self;
        let waivers = waivers::Waivers::new(
            uses,
            &prepared.stack.platform.waivers,
            &prepared.modules,
            &request.today,
        );
        let mut expansions = expand::expand(uses, &waivers, files, diagnostics);
        let waived = std::mem::take(&mut expansions.waived);
        watch(Phase::Expand);
        if diagnostics.blocks_next_phase() {
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
        let connected = !diagnostics.blocks_next_phase();
        if !connected && !graph.has_every_pipeline() {
            return None;
        }
        // An invalid grant or connection does not affect other resources, so they are still checked.
        let mut reported = Diagnostics::new();
        let (lowered, edges, broken) = lower(&graph, &mut reported);
        watch(Phase::Lower);
        diagnostics.append_unless_follow_on(reported, &[]);
        if !connected {
            return None;
        }
        terrace_checks::clearance::check(&graph, &edges, diagnostics);
        graph.report_unused_existing(diagnostics);
        terrace_checks::check(&graph, &lowered, &broken, &waivers, &waived, diagnostics);
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
        terrace_checks::stack_quotas::check(&graph, &lowered, &outputs, diagnostics);
        stop(diagnostics)?;
        Some(Emission::new(graph, header, edges, lowered, outputs))
    }
}

impl Compilation<'_> {
    /// Reports objects that environments of one cluster have in common. Environments that were not requested are compiled for this, too, because
    /// their objects are in the cluster.
    fn collisions(&self, asked: &[&Environment], emissions: &[Emission<'_>], diagnostics: &mut Diagnostics) {
        let all = &self.prepared.stack.environments;
        let is_asked = |other: &Environment| asked.iter().any(|one| one.name.value == other.name.value);
        let beside: Vec<&Environment> = all
            .iter()
            .filter(|other| !is_asked(other))
            .filter(|other| asked.iter().any(|one| collision::shares_cluster(one, other)))
            .collect();
        let quiet = Compilation {
            watch: &|_| {},
            ..*self
        };
        let uses: Vec<Vec<ComponentInstance<'_>>> = beside.iter().map(|one| quiet.uses(one).0).collect();
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

/// Lowers every resource for its target and validates it. Returns the lowered resources, their dependencies, and the indices of resources with
/// errors.
fn lower(graph: &Graph<'_>, diagnostics: &mut Diagnostics) -> (Vec<Lowered>, Vec<Edge>, Vec<usize>) {
    let objects = graph.objects();
    let one = |at: usize| {
        let mut lowered = graph.lower(at);
        let mut reported = std::mem::take(&mut lowered.diagnostics);
        let body = lowered.body(&graph.resources[at]);
        let secret = terrace_checks::secrets_in_body(graph, at, body, &mut reported);
        if !secret && !reported.has_errors() {
            graph.check_body(at, body, &lowered.attributes, &mut reported);
        }
        terrace_checks::canonicalize(&graph.resources[at], &mut lowered);
        lowered.edges.extend(graph.mentioned(at, &objects, &mut reported));
        lowered.diagnostics = reported;
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
        if one.diagnostics.blocks_next_phase() {
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
    // A cycle of resources is reported with its path. A circular reference in it is the same problem.
    let mut rings = Diagnostics::new();
    graph.report_cycles(&edges, &mut rings);
    diagnostics.remove_reported_at(Code::DependencyCycle, &rings);
    diagnostics.append(rings);
    (lowered, edges, broken)
}

fn stop(diagnostics: &Diagnostics) -> Option<()> {
    (!diagnostics.has_errors()).then_some(())
}

/// Returns the requested environments.
fn chosen<'a>(
    stack: &'a StackDocuments,
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

fn check_program(stack: &StackDocuments, request: &Request, diagnostics: &mut Diagnostics) {
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
