//! Resolves one environment. Determines for each component its tenants, module, inputs and targets.

pub mod cli_inputs;
mod names;
pub mod placement;
pub mod presence;
mod requirements;
pub mod unused_overrides;
pub mod waivers;

use std::collections::BTreeSet;

use foldhash::HashMap;
use rayon::prelude::*;
use terrace_artifact::{Owner, Text};
use terrace_language::body::{Body, Expansion};
use terrace_language::document::{
    Clearance, Component, ComponentInputs, ComponentSource, Environment, Pipeline, StackDocuments, Status,
    Tenant, Tenants,
};
use terrace_language::expression::Scope;
use terrace_language::expression::scope;
use terrace_language::expression::words::slug;
use terrace_language::load::unknown;
use terrace_language::module::layers::InputSource;
use terrace_language::module::layers::Layer;
use terrace_language::module::{ComponentTemplate, Module};
use terrace_language::resource::Instance;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics, those};
use terrace_syntax::node::Node;
use terrace_syntax::source::Files;

use crate::resolve::placement::{namespace, placement};
use crate::resolve::presence::is_in;

/// A stack with the parsed expressions of its modules, shared by all environments.
pub struct Prepared<'a> {
    pub stack: &'a StackDocuments,
    pub modules: Vec<Module>,
    /// The recipe of each component with its own resources, in the order of the components.
    pub(crate) own: Vec<Option<ComponentTemplate>>,
    /// The values of `--set`, by component.
    pub set: Vec<(Text, Node)>,
    pub tenants: TenantNames,
}

/// The names of all tenants of a stack, by slug and by namespace.
#[derive(Default)]
pub struct TenantNames {
    /// Tenants by their slugs.
    pub slugs: HashMap<Text, Text>,
    /// Tenants by their namespaces, in every environment of the stack.
    pub namespaces: HashMap<Text, Text>,
}

impl TenantNames {
    fn new(stack: &StackDocuments) -> TenantNames {
        let mut names = TenantNames::default();
        for tenant in &stack.tenants {
            let name = &tenant.name.value;
            names.slugs.insert(slug(name), name.clone());
            for environment in &stack.environments {
                names
                    .namespaces
                    .insert(namespace(environment, Some(name)), name.clone());
            }
        }
        names
    }
}

/// One use of a component or pipeline.
pub struct ComponentInstance<'a> {
    pub(crate) instance: Instance,
    pub tenant: Option<&'a Tenant>,
    pub kind: UseKind<'a>,
    /// The scope of its expressions, without `inputs`.
    pub names: Vec<(Text, Term)>,
    pub(crate) layers: Vec<Layer<'a>>,
}

pub enum UseKind<'a> {
    Component {
        component: &'a Component,
        module: Option<&'a Module>,
        recipe: &'a ComponentTemplate,
    },
    Pipeline(&'a Pipeline),
}

impl<'a> Prepared<'a> {
    /// Parses the expressions of every module and component, and reports names that do not exist.
    pub fn new(
        stack: &'a StackDocuments,
        set: Vec<(Text, Node)>,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) -> Prepared<'a> {
        let modules = stack
            .modules
            .iter()
            .map(|module| Module::read(module, files, diagnostics))
            .collect();
        let own = stack
            .components
            .iter()
            .map(|component| match &component.recipe {
                ComponentSource::Own(body) => Some(ComponentTemplate::read(body, files, diagnostics)),
                ComponentSource::Module { .. } => None,
            })
            .collect();
        names::check(stack, diagnostics);
        Prepared {
            stack,
            modules,
            own,
            set,
            tenants: TenantNames::new(stack),
        }
    }

    /// Returns the module of a component. Reports a module that does not exist, and returns the most similar one, so that
    /// the inputs of the component are checked as well.
    fn module(&self, component: &Component, diagnostics: &mut Diagnostics) -> Option<&Module> {
        let ComponentSource::Module { module: wanted, .. } = &component.recipe else {
            return None;
        };
        let name = &wanted.name;
        let of = |name: &str| -> Vec<&Module> {
            let all = self.modules.iter();
            all.filter(|module| module.document.name.value == name).collect()
        };
        let named = of(&name.value);
        if named.is_empty() {
            let own = self
                .modules
                .iter()
                .map(|module| module.document.name.value.as_str());
            let known = own.chain(
                terrace_language::module::library::MODULES
                    .iter()
                    .map(|(name, _)| *name),
            );
            let known: BTreeSet<&str> = known.collect();
            let known = known.iter().copied();
            let nearest = terrace_catalog::nearest(&name.value, known.clone());
            diagnostics.push(unknown(
                Code::UnknownModule,
                "module",
                &name.value,
                name.span,
                known,
            ));
            return newest(of(nearest?));
        }
        let fits: Vec<&Module> = named
            .iter()
            .copied()
            .filter(|m| wanted.requirement.value.matches(&m.document.version.value))
            .collect();
        if fits.is_empty() {
            let versions = named
                .iter()
                .map(|module| module.document.version.value.to_string());
            let versions = those("the only version is", "the versions are", versions);
            diagnostics.push(
                Diagnostic::new(
                    Code::UnknownVersion,
                    format!(
                        "no version of module `{}` matches `{}`",
                        name.value, wanted.requirement.value
                    ),
                )
                .at(wanted.requirement.span, versions),
            );
            return newest(named);
        }
        newest(fits)
    }

    /// Returns the components and pipelines of an environment, in order of tenant and name.
    pub fn uses(
        &'a self,
        environment: &'a Environment,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ComponentInstance<'a>> {
        let mut seeds = Vec::new();
        for (component, own) in self.stack.components.iter().zip(&self.own) {
            if !is_in(component.environments.as_deref(), environment) {
                continue;
            }
            let module = self.module(component, diagnostics);
            if let Some(module) = module {
                check_status(component, module, diagnostics);
            }
            let Some(recipe) = module.map(|module| &module.recipe).or(own.as_ref()) else {
                continue;
            };
            for tenant in self.tenants_of(component, environment) {
                if let (Some(module), Some(tenant)) = (module, tenant) {
                    check_clearance(component, module, tenant, diagnostics);
                }
                let kind = UseKind::Component {
                    component,
                    module,
                    recipe,
                };
                seeds.push((tenant, kind));
            }
        }
        for pipeline in &self.stack.pipelines {
            if !is_in(pipeline.environments.as_deref(), environment) {
                continue;
            }
            let tenant = pipeline
                .tenant
                .as_ref()
                .and_then(|name| self.stack.tenant(&name.value));
            if pipeline.tenant.is_some()
                && !tenant.is_some_and(|tenant| is_in(tenant.environments.as_deref(), environment))
            {
                continue;
            }
            seeds.push((tenant, UseKind::Pipeline(pipeline)));
        }
        let (mut uses, found): (Vec<ComponentInstance<'a>>, Vec<Diagnostics>) = seeds
            .into_par_iter()
            .map(|(tenant, kind)| self.make(environment, tenant, kind))
            .unzip();
        found.into_iter().for_each(|found| diagnostics.append(found));
        uses.sort_by(|a, b| {
            (&a.instance.owner, &a.instance.component).cmp(&(&b.instance.owner, &b.instance.component))
        });
        for pair in uses.windows(2) {
            let (a, b) = (&pair[0].instance, &pair[1].instance);
            if a.owner == b.owner && a.component == b.component && a.declared != b.declared {
                diagnostics.push(
                    Diagnostic::new(Code::DuplicateName, format!("duplicate name `{}`", b.component))
                        .repeats(b.declared, a.declared)
                        .note("a component and a pipeline of one tenant cannot have the same name"),
                );
            }
        }
        crate::resolve::requirements::check(&uses, &self.modules, diagnostics);
        let layer = |instance: &mut ComponentInstance<'a>| {
            let mut found = Diagnostics::new();
            self.layer(instance, environment, files, &mut found);
            found
        };
        let found: Vec<Diagnostics> = uses.par_iter_mut().map(layer).collect();
        found.into_iter().for_each(|found| diagnostics.append(found));
        uses
    }

    /// Finds a tenant by name, falling back to the most similar one. An unknown name is reported elsewhere. The match lets the
    /// compiler check the inputs of the component.
    fn meant(&self, name: &str) -> Option<&'a Text> {
        let names = || self.stack.tenants.iter().map(|tenant| &tenant.name.value);
        names().find(|known| *known == name).or_else(|| {
            let near = terrace_catalog::nearest(name, names().map(Text::as_str))?;
            names().find(|known| *known == near)
        })
    }

    fn tenants_of(&self, component: &Component, environment: &Environment) -> Vec<Option<&'a Tenant>> {
        let named: Vec<&Text> = match &component.tenants {
            Tenants::Named(names) => names.iter().filter_map(|name| self.meant(&name.value)).collect(),
            _ => Vec::new(),
        };
        let chosen =
            |tenant: &&Tenant| component.tenants.select(tenant) || named.contains(&&tenant.name.value);
        if matches!(component.tenants, Tenants::Platform) {
            return vec![None];
        }
        let here = self
            .stack
            .tenants
            .iter()
            .filter(|tenant| is_in(tenant.environments.as_deref(), environment));
        here.filter(chosen).map(Some).collect()
    }

    fn make(
        &self,
        environment: &Environment,
        tenant: Option<&'a Tenant>,
        kind: UseKind<'a>,
    ) -> (ComponentInstance<'a>, Diagnostics) {
        let (name, moved_from, on) = match kind {
            UseKind::Component { component, .. } => (&component.name, &component.moved_from, &component.on),
            UseKind::Pipeline(pipeline) => (&pipeline.name, &pipeline.moved_from, &pipeline.on),
        };
        let mut diagnostics = Diagnostics::new();
        let platform = &self.stack.platform.name.value;
        let owner = tenant.map_or(Owner::Platform, |tenant| Owner::from(tenant.name.value.as_str()));
        let identity = moved_from.as_ref().map_or(&name.value, |old| &old.value);
        let (cluster, account) = placement(environment, on.as_ref(), &mut diagnostics);
        let (module, partitions, requires) = match &kind {
            UseKind::Component { module, recipe, .. } => (
                module.map(|module| module.document.name.value.clone()),
                recipe.partitioning.as_ref().map(|partitioning| partitioning.into),
                recipe
                    .requires
                    .iter()
                    .map(|(name, _)| name.value.clone())
                    .collect(),
            ),
            UseKind::Pipeline(_) => (None, None, Vec::new()),
        };
        let instance = Instance {
            name: format!(
                "{}-{}-{}-{}",
                slug(platform),
                slug(&environment.name.value),
                slug(owner.as_str()),
                slug(identity)
            )
            .into(),
            namespace: namespace(environment, tenant.map(|tenant| &tenant.name.value)),
            owner,
            component: name.value.clone(),
            identity: identity.clone(),
            module,
            cluster,
            account,
            declared: name.span,
            outputs: Vec::new(),
            partitions,
            requires,
        };
        let version = match &kind {
            UseKind::Component {
                module: Some(module), ..
            } => Some(&module.document),
            _ => None,
        };
        let names = scope::names(&self.stack.platform, environment, tenant, &instance, version);
        let component_instance = ComponentInstance {
            instance,
            tenant,
            kind,
            names,
            layers: Vec::new(),
        };
        (component_instance, diagnostics)
    }

    /// Collects the layers of input values of one use, in order of precedence.
    fn layer(
        &'a self,
        component_instance: &mut ComponentInstance<'a>,
        environment: &'a Environment,
        files: &Files,
        diagnostics: &mut Diagnostics,
    ) {
        let UseKind::Component {
            component,
            module: Some(_),
            ..
        } = component_instance.kind
        else {
            return;
        };
        let name = &component.name.value;
        let of = |list: &'a [ComponentInputs]| {
            list.iter()
                .find(|c| c.component.value == *name)
                .map(|c| &c.inputs)
        };
        let mut layers: Vec<(InputSource, &'a Node)> = Vec::new();
        let mut add = |by: InputSource, node: Option<&'a Node>| layers.extend(node.map(|node| (by, node)));
        if let Some(tenant) = component_instance.tenant {
            let mut tiers = self.stack.platform.tiers.iter();
            let meaning = tiers.find(|(tier, _)| tier.value == tenant.tier.value);
            let tier = InputSource::Tier(tenant.tier.value);
            add(tier, meaning.and_then(|(_, meaning)| of(&meaning.inputs)));
        }
        if let ComponentSource::Module { inputs, .. } = &component.recipe {
            add(InputSource::Component(name.clone()), inputs.as_ref());
        }
        if let Some(tenant) = component_instance.tenant {
            add(
                InputSource::Tenant(tenant.name.value.clone()),
                of(&tenant.overrides),
            );
        }
        let place = &environment.name.value;
        add(
            InputSource::Environment(place.clone()),
            of(&environment.overrides),
        );
        if let Some(tenant) = component_instance.tenant {
            let mut overrides = environment.tenant_overrides.iter();
            let own = overrides.find(|(name, _)| name.value == tenant.name.value);
            let by = InputSource::EnvironmentForTenant(place.clone(), tenant.name.value.clone());
            add(by, own.and_then(|(_, list)| of(list)));
        }
        for (_, node) in self.set.iter().filter(|(component, _)| component == name) {
            add(InputSource::CommandLine, Some(node));
        }
        let scope = Scope {
            names: &component_instance.names,
            variables: None,
            local: false,
        };
        component_instance.layers = layers
            .into_iter()
            .map(|(by, node)| {
                let mut expansion = Expansion::of_values();
                let value = Body::read(node, files, diagnostics).expand(&scope, &mut expansion);
                for failure in expansion.failures {
                    diagnostics.push(failure.diagnostic());
                }
                Layer { by, node, value }
            })
            .collect();
    }
}

/// Reports a component whose module is deprecated, being phased out or archived.
fn check_status(component: &Component, module: &Module, diagnostics: &mut Diagnostics) {
    let ComponentSource::Module { module: wanted, .. } = &component.recipe else {
        return;
    };
    let document = &module.document;
    let pinned = wanted.requirement.value.to_string().starts_with('=');
    let (code, words) = match document.status.value {
        Status::Active => return,
        Status::Deprecated => (Code::DeprecatedModule, "is deprecated"),
        Status::Sunset if pinned => (Code::DeprecatedModule, "is being phased out"),
        Status::Sunset => (
            Code::RetiredModule,
            "is being phased out, so new components cannot use it",
        ),
        Status::Archived => (Code::RetiredModule, "is archived"),
    };
    let mut diagnostic = Diagnostic::new(
        code,
        format!(
            "module `{}` {} {words}",
            document.name.value, document.version.value
        ),
    )
    .at(wanted.span, "used here")
    .also(document.status.span, "status declared here");
    if let Some(other) = &document.replaced_by {
        let name = match other.requirement.value == semver::VersionReq::STAR {
            true => other.name.value.to_string(),
            false => format!("{}@{}", other.name.value, other.requirement.value),
        };
        diagnostic = diagnostic.replace(wanted.span, name.clone(), format!("use `{name}`"));
    } else if document.status.value == Status::Archived {
        diagnostic = diagnostic.help("use another version of the module, or another module");
    }
    if document.status.value == Status::Sunset && !pinned {
        let pin = format!("{}@={}", document.name.value, document.version.value);
        diagnostic = diagnostic.replace(
            wanted.span,
            pin,
            "if the component is already deployed, pin the version",
        );
    }
    diagnostics.push(diagnostic);
}

/// Reports a component whose module does not have the clearance that the data of a tenant requires.
fn check_clearance(component: &Component, module: &Module, tenant: &Tenant, diagnostics: &mut Diagnostics) {
    let found = below_clearance(module, tenant);
    diagnostics.extend(found.map(|diagnostic| diagnostic.at(component.name.span, "deployed for the tenant")));
}

/// Returns the diagnostic, without its place, if a module does not have the clearance that the data of a tenant requires. A
/// module without `clearance` is cleared for public data.
pub fn below_clearance(module: &Module, tenant: &Tenant) -> Option<Diagnostic> {
    let needed = tenant.clearance.as_ref()?;
    let (name, who, data) = (&module.document.name, &tenant.name.value, needed.value.as_str());
    let stated = module.document.clearance.as_ref();
    if stated.map_or(Clearance::Public, |fit| fit.value) >= needed.value {
        return None;
    }
    let message = match stated {
        Some(fit) => format!(
            "module `{}` is cleared for {} data, but tenant `{who}` has {data} data",
            name.value,
            fit.value.as_str()
        ),
        None => format!(
            "module `{}` declares no clearance, but tenant `{who}` has {data} data",
            name.value
        ),
    };
    let diagnostic =
        Diagnostic::new(Code::ClearanceTooLow, message).also(needed.span, "clearance that the data requires");
    Some(match stated {
        Some(fit) => diagnostic.also(fit.span, "clearance of the module").help(format!(
            "if the module may process such data, set its `clearance` to `{data}`"
        )),
        None => diagnostic.also(name.span, "has no `clearance`").help(format!(
            "if the module may process such data, add `clearance: {data}` to it"
        )),
    })
}

/// Returns the module with the highest version.
fn newest(modules: Vec<&Module>) -> Option<&Module> {
    let version = |module: &&Module| module.document.version.value.clone();
    modules.into_iter().max_by_key(version)
}
